"""A run as a document and as tables: the contract's keys are there, and nothing in it breaks JSON or a terminal."""

import io
import json
import math
import re

import msgspec
import pytest
from rich.console import Console

from slotzero.control import PositionView, Status
from slotzero.detection.records import DetectorStats, DropReason
from slotzero.engine import EngineReport
from slotzero.observe.console import live_view, print_summary, status_view, widened
from slotzero.observe.run_document import run_document
from slotzero.solana.reads import ReadStats
from slotzero.trace import Component, Span
from slotzero.trading.admission import AdmissionStats
from slotzero.trading.context import RaisedAlert
from slotzero.trading.journal import PositionRecord
from slotzero.trading.limits import Limits, LimitsRules
from slotzero.trading.loop_watch import LoopDelay
from slotzero.trading.rug_rules import RugAlert
from slotzero.trading.sniper import Refused
from slotzero.trading.wallets.book import WalletStanding
from slotzero.units import DurationNs, Lamports, LamportsDelta, Slot, TokenAmount, WallNs
from slotzero.workloads.bot_run import BotRun, RunStart
from trading_lab import SIGNER, pump_pool

STARTED = RunStart(
    lamports=Lamports(2_000),
    moved_lamports=LamportsDelta(0),
    has_open_orders=False,
    traded_lamports=LamportsDelta(0),
    closed_positions=frozenset(),
    left_positions=frozenset(),
    forgotten_positions=7,
)
NASTY = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202e\r\n\x00[bold]</script>\U0001f680"


def span(component: Component, total: int, own: int | None) -> Span:
    return Span(
        component=component,
        total_ns=DurationNs(total),
        own_ns=None if own is None else DurationNs(own),
        waited_ns=None if own is None else DurationNs(total - own),
        starts_at="chain",
    )


def finished(**changes: object) -> BotRun:
    pool = pump_pool(symbol=NASTY, name=NASTY, uri=NASTY)
    position = PositionRecord(
        id="b1",
        pool=pool,
        wallet=SIGNER.pubkey,
        bought=TokenAmount(2**64 - 1),
        tokens=TokenAmount(2**64 - 1),
        quoted_lamports=Lamports(95_000_000),
        opened_wall_ns=WallNs(1),
        pnl_lamports=LamportsDelta(-5_000),
        state="stuck",
        reason=NASTY,
    )
    report = EngineReport(
        detected=5,
        rejected={"freeze_authority": 2, "mayhem": 1},
        refusals=(Refused(pool=pool, reason="freeze_authority", detail=f"frozen by {NASTY}"),),
        bought=2,
        closed=1,
        failed={"TooMuchSolRequired": 3, "expired": 1},
        recovered=1,
        in_flight=0,
        positions=(position,),
        forgotten_positions=7,
        forgotten_pnl_lamports=-42,
        values={"b1": None},
        spans=(
            span(Component.DETECTION, 5_000_000, 20_000),
            span(Component.DETECTION, 7_000_000, 30_000),
            span(Component.HONEYPOT, 9_000_000, None),
        ),
        exits={},
        troubles={},
        timings={Component.POSITION_MONITOR: (DurationNs(40_000),)},
        alerts=(
            RaisedAlert(mint=pool.mint, alert=RugAlert(signal="outflow", act="tighten", slot=Slot(5), detail=NASTY)),
        ),
        admission=AdmissionStats(in_flight=0, waiting=0, waited=0, dropped=0, most_in_flight=3),
        limits=Limits(LimitsRules(), overhead_lamports=Lamports(0)).view(WallNs(0)),
        loop_delay=LoopDelay(probes=9, p50_ms=0.1, p99_ms=0.5, max_ms=0.7, over_5_ms=0),
        reads=ReadStats(asked=4, cached=1, merged=1, sent=2, calls=1, streamed=7, unwatched=0, purposes={}),
        seen_first={"websocket": 5},
        wallets=(),
        differences=(),
        endpoints=(),
        privacy_delays=(),
        detector=DetectorStats(frames=9, prefiltered=6, pools=5, dropped={DropReason.TRUNCATED_LOG: 1}),
        rpc_calls={"startup": 6, "safety": 8},
        wallet=SIGNER.pubkey,
        balance=Lamports(1_000),
        expected_lamports=990,
        double_buys=0,
        lost_intents=0,
        unknown_open=0,
    )
    run = BotRun(
        report=report,
        cluster="localnet",
        genesis="G",
        journal="/tmp/j/journal.sqlite3",  # noqa: S108 a name
        slot_ms=200,
        seed=7,
        duration_ns=DurationNs(12_345_678_901),
        start=STARTED,
        end_lamports=Lamports(1_000),
        expected_lamports=990,
        all_runs_lamports=LamportsDelta(-1_010),
    )
    inner = {name: value for name, value in changes.items() if name in EngineReport.__struct_fields__}
    outer = {name: value for name, value in changes.items() if name not in inner}
    return msgspec.structs.replace(run, report=msgspec.structs.replace(report, **inner), **outer)


EMPTY: dict[str, object] = {
    "detected": 0,
    "rejected": {},
    "refusals": (),
    "failed": {},
    "positions": (),
    "spans": (),
    "timings": {},
    "rpc_calls": {},
    "detector": DetectorStats(frames=0, prefiltered=0, pools=0, dropped={}),
    "slot_ms": None,
}


def document(**changes: object) -> dict[str, object]:
    """The document as another program reads it."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    text = msgspec.json.encode(run_document(finished(**changes)))
    loaded: dict[str, object] = json.loads(text, parse_constant=refuse)
    return loaded


@pytest.mark.parametrize("changes", [{}, EMPTY])
def test_keys_of_the_contract_are_there_in_any_run(changes: dict[str, object]) -> None:
    read = document(**changes)
    assert {"snipes", "positions", "latency_ms", "invariants"} <= set(read)
    assert {"detected", "rejected", "bought", "closed", "failed"} <= set(read["snipes"])  # type: ignore[call-overload]
    assert {"double_buys", "lost_intents", "unknown_open"} <= set(read["invariants"])  # type: ignore[call-overload]
    assert isinstance(read["positions"], list)
    assert read["schema"] == "slotzero.run/1"


def test_counts_are_those_of_the_report() -> None:
    snipes = document()["snipes"]
    assert snipes == {
        "detected": 5,
        "rejected": {"freeze_authority": 2, "mayhem": 1},
        "bought": 2,
        "closed": 1,
        "failed": 4,
        "failures": {"TooMuchSolRequired": 3, "expired": 1},
        "recovered": 1,
    }


def test_latencies_are_milliseconds_by_component_with_their_count() -> None:
    read = document()
    assert read["latency_ms"] == {
        "DETECTION": {"p50": 5.0, "p95": 7.0, "p99": 7.0, "count": 2},
        "HONEYPOT": {"p50": 9.0, "p95": 9.0, "p99": 9.0, "count": 1},
        "POSITION_MONITOR": {"p50": 0.04, "p95": 0.04, "p99": 0.04, "count": 1},
    }
    assert read["own_ms"] == {
        "DETECTION": {"p50": 0.02, "p95": 0.03, "p99": 0.03, "count": 2},
        "POSITION_MONITOR": {"p50": 0.04, "p95": 0.04, "p99": 0.04, "count": 1},
    }


def test_component_the_run_did_not_go_through_has_no_figures() -> None:
    assert document(**EMPTY)["latency_ms"] == document(**EMPTY)["own_ms"] == {}


def test_wallet_that_holds_more_or_less_than_the_journal_says_is_an_invariant_broken() -> None:
    assert document()["invariants"] == {
        "double_buys": 0,
        "lost_intents": 0,
        "unknown_open": 0,
        "unexplained_lamports": 10,
    }
    assert document(end_lamports=Lamports(980))["invariants"]["unexplained_lamports"] == -10  # type: ignore[index]
    assert document()["wallet"]["change_lamports"] == -1_000  # type: ignore[index]


def before(**changes: object) -> RunStart:
    return msgspec.structs.replace(STARTED, **changes)


def test_result_is_this_runs_and_that_of_all_runs_stands_apart() -> None:
    read = document(start=before(traded_lamports=LamportsDelta(35_000)), all_runs_lamports=LamportsDelta(33_990))
    assert read["pnl"] == {"run_lamports": -1_010, "all_runs_lamports": 33_990}


@pytest.mark.parametrize("changes", [{"start": before(has_open_orders=True)}, {"unknown_open": 1}])
def test_result_is_the_whole_change_of_the_wallets_where_an_order_has_no_end(changes: dict[str, object]) -> None:
    assert document(**changes)["pnl"]["run_lamports"] == -1_000  # type: ignore[index]


@pytest.mark.parametrize("lamports", [None, 0, -1_030_686_041])
def test_money_that_was_moved_before_the_run_is_told(lamports: int | None) -> None:
    read = document(start=before(moved_lamports=lamports))
    assert read["wallet"]["moved_before_lamports"] == lamports  # type: ignore[index]


@pytest.mark.parametrize(
    ("start", "whose"),
    [
        (before(), "this"),
        (before(left_positions=frozenset({"b1"})), "taken_up"),
        (before(closed_positions=frozenset({"b1"})), "earlier"),
    ],
)
def test_position_says_which_run_held_it(start: RunStart, whose: str) -> None:
    positions = document(start=start)["positions"]
    assert isinstance(positions, list)
    assert [position["run"] for position in positions] == [whose]


def test_positions_of_this_run_that_are_forgotten_are_counted_without_those_of_earlier_ones() -> None:
    earlier = frozenset({"a1", "a2", "b1"})  # of which b1 is still known
    run = finished(start=before(closed_positions=earlier, forgotten_positions=1), forgotten_positions=7)
    assert run.forgotten_positions == 7 - 1 - 2


@pytest.mark.parametrize("calls", [{}, {"safety": 8}])
def test_calls_between_a_frame_and_signed_bytes_are_named_even_if_there_are_none(calls: dict[str, int]) -> None:
    assert document(rpc_calls=calls)["rpc_calls"] == {"plan": 0, **calls}


def test_large_numbers_and_strange_texts_survive() -> None:
    positions = document()["positions"]
    assert isinstance(positions, list)
    (position,) = positions
    assert (position["tokens"], position["symbol"], position["state"]) == (2**64 - 1, NASTY, "stuck")


def test_closed_positions_that_are_no_longer_listed_are_summed() -> None:
    assert document()["older_positions"] == {"closed": 7, "pnl_lamports": -42}


def test_environment_names_what_it_ran_on() -> None:
    environment = document()["environment"]
    assert isinstance(environment, dict)
    assert {
        "slotzero",
        "python",
        "platform",
        "libraries",
        "cluster",
        "genesis",
        "slot_ms",
        "seed",
        "duration_s",
    } <= set(environment)
    assert environment["duration_s"] == 12.346
    assert all(isinstance(version, str) and version != "unknown" for version in environment["libraries"].values())


def test_no_figure_is_not_a_number() -> None:
    def walk(value: object) -> None:
        if isinstance(value, dict):
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)
        elif isinstance(value, float):
            assert math.isfinite(value)

    walk(document())


@pytest.mark.parametrize("changes", [{}, EMPTY])
@pytest.mark.parametrize("is_terminal", [False, True])
def test_tables_show_a_strangers_text_without_what_a_terminal_acts_on(
    changes: dict[str, object],
    is_terminal: bool,  # noqa: FBT001 drawn
) -> None:
    out = io.StringIO()
    console = Console(file=out, width=200, force_terminal=is_terminal, color_system=None)
    run = finished(**changes)
    print_summary(console, run)
    console.print(live_view(run.report))
    text = out.getvalue()
    for code in ("\x1b[2J", "\x1b]0", "\x07", "\x9b", "\u202e", "\x00"):
        assert code not in text
    assert "seen" in text
    if not changes:
        assert "[bold]</script>" in text  # and is not taken for markup
        assert "unexplained lamports 10" in text


# ---- as text -------------------------------------------------------------------------------------------------------


def printed(view: object, *, width: int = 200) -> str:
    """What a terminal of that width shows."""
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=True, color_system=None).print(view)
    return out.getvalue()


def summary(*, width: int = 200, **changes: object) -> str:
    out = io.StringIO()
    print_summary(Console(file=out, width=width, force_terminal=True, color_system=None), finished(**changes))
    return out.getvalue()


def test_summary_begins_with_this_runs_result() -> None:
    start = before(traded_lamports=LamportsDelta(35_055_000))
    text = summary(start=start, all_runs_lamports=LamportsDelta(35_055_000))
    assert "PnL 0.000000 SOL" in text.splitlines()[0]
    assert "0.035055 SOL by all orders in this journal" in text


def test_summary_of_a_first_run_says_nothing_of_other_runs() -> None:
    text = summary()
    assert "all runs" not in text
    assert "moved" not in text


def test_summary_tells_money_that_was_moved_before_the_run() -> None:
    text = summary(start=before(moved_lamports=LamportsDelta(-1_030_686_041)))
    assert "-1.030686 SOL outside of trading before this run" in text


def test_summary_says_when_what_is_unexplained_may_be_older() -> None:
    assert "may be older than this run" in summary(start=before(moved_lamports=None))
    assert "may be older" not in summary(start=before(moved_lamports=None), end_lamports=Lamports(990))


def test_summary_lists_the_positions_of_this_run_alone() -> None:
    assert "stuck" in summary()
    assert "stuck" not in summary(start=before(closed_positions=frozenset({"b1"})))
    assert "1 bought by an earlier run: what was paid before this run is not in its PnL" in summary(
        start=before(left_positions=frozenset({"b1"}))
    )


def test_live_table_shows_what_the_wallets_changed_by_and_no_position_of_an_earlier_run() -> None:
    standing = WalletStanding(
        wallet=SIGNER.pubkey,
        balance=Lamports(1_900_000_000),
        start_lamports=Lamports(2_000_000_000),
        free_lamports=0,
        reserved_lamports=0,
        at_risk_lamports=0,
        open_positions=1,
        spent_hour_lamports=0,
        spent_day_lamports=0,
        uses=0,
    )
    held = finished().report.positions[0]
    earlier = msgspec.structs.replace(held, id="b0", state="closed", reason="long_ago")
    report = finished(
        wallets=(standing,), positions=(earlier, held), values={"b1": Lamports(90_000_000)}, closed=0
    ).report
    text = printed(live_view(report))
    assert "PnL -0.100000 SOL   holding 0.090000 SOL" in text
    assert "long_ago" not in text
    assert "stuck" in text


def status(**changes: object) -> Status:
    position = PositionView(
        id="9aed27dc51b94a95a0c1d3b0c2a4a1de",
        mint="9yhJ3kHkDs5ePoAZsyTLBTqYQqUDxcS7Fi5yJPZLNgNn",
        symbol="A-VERY-LONG-SYMBOL-OF-A-COIN",
        venue="pumpfun",
        wallet="W",
        state="graduated",
        reason="its curve is complete and trades elsewhere",
        tokens=1,
        quoted_lamports=123_095_000_000,
        value_lamports=122_090_000_000,
        stop_lamports=118_076_000_000,
        pnl_lamports=-123_100_000_000,
    )
    shown = msgspec.structs.replace(position, **changes)
    return Status(
        pid=1, detected=1, bought=1, closed=0, refused={}, failed={}, buys_under_way=0, halted="", positions=(shown,)
    )


@pytest.mark.parametrize("width", [40, 50, 60, 70, 80, 100, 120, 200])
def test_positions_show_numbers_ids_and_states_whole_or_not_at_all(width: int) -> None:
    text = printed(status_view(status()), width=width)
    assert all(word in text for word in ("9aed27dc", "graduated", "-1.010000"))
    figures = re.findall(r"-?\d+\.\d+", text)
    assert set(figures) <= {"123.095000", "122.090000", "118.076000", "-1.010000"}
    assert all(len(line) <= width for line in text.splitlines()[1:])


def test_positions_leave_out_the_mint_first_and_the_stop_next() -> None:
    texts = [printed(status_view(status()), width=width) for width in (60, 80, 100, 115, 160)]
    shown = [[name for name in ("mint", "stop", "paid", "worth") if name in text] for text in texts]
    assert shown == [[], ["worth"], ["paid", "worth"], ["stop", "paid", "worth"], ["mint", "stop", "paid", "worth"]]


def test_summary_at_80_columns_shows_numbers_and_states_whole() -> None:
    assert all(word in summary(width=80) for word in ("0.095000", "stuck", "-0.000005"))


@pytest.mark.parametrize("width", [40, 80])
def test_path_of_the_journal_is_printed_whole(width: int) -> None:
    path = "/home/somebody/.local/state/slotzero/live/" + 5 * "a-folder-in-between/" + "journal.sqlite3"
    assert path in summary(width=width, journal=path)


def test_what_is_no_terminal_is_wide() -> None:
    assert widened(Console(file=io.StringIO())).width == 200
    assert widened(Console(file=io.StringIO(), force_terminal=True, width=80)).width == 80
