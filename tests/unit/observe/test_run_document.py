"""A run as a document and as tables: the contract's keys are there, and nothing in it breaks JSON or a terminal."""

import io
import json
import math

import msgspec
import pytest
from rich.console import Console

from slotzero.detection.records import DetectorStats, DropReason
from slotzero.engine import EngineReport
from slotzero.observe.console import live_view, print_summary
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
from slotzero.units import DurationNs, Lamports, LamportsDelta, Slot, TokenAmount, WallNs
from slotzero.workloads.bot_run import BotRun
from trading_lab import SIGNER, pump_pool

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
        start_lamports=Lamports(2_000),
        end_lamports=Lamports(1_000),
        expected_lamports=990,
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
