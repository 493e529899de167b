import msgspec

from slotzero.control.feed_records import FeedFrame
from slotzero.web.board import Board
from slotzero.web.records import ComponentFigures, Performance
from slotzero.workloads.targets import target_of
from web_lab import HELLO, MS, bought, frame, view

S = 1_000 * MS


def snapshot(board: Board, now: int, *, cpu: float | None = None) -> Performance:
    return board.performance(seq=1, now=now, wall_ms=1, memory_mb=80.0, cpu=cpu)


def figures(found: Performance, component: str) -> ComponentFigures:
    return next(one for one in found.components if one.component == component)


def fed(now: int = S) -> Board:
    board = Board(target_of)
    board.on_frame(frame(), now)
    return board


def test_figures_are_exact_percentiles_of_the_window() -> None:
    found = figures(snapshot(fed(), S), "FULL_FLOW")
    assert (found.p50_ms, found.p95_ms, found.p99_ms, found.own_p95_ms) == (50, 95, 99, 1)
    assert (found.count, found.window_count, found.ops_per_s) == (100, 100, 10)
    assert (found.target_p95_ms, found.used_percent, found.standing, found.aim_met) == (4_000, 2.38, "ok", True)


def test_samples_leave_the_window_and_stay_counted() -> None:
    found = figures(snapshot(fed(), S + 301 * S), "FULL_FLOW")
    assert (found.count, found.window_count, found.p95_ms, found.standing) == (100, 0, None, "idle")


def test_rate_is_of_the_last_seconds() -> None:
    found = figures(snapshot(fed(), S + 11 * S), "FULL_FLOW")
    assert (found.window_count, found.ops_per_s) == (100, 0)


def test_own_time_is_unknown_where_it_is_not_told_apart() -> None:
    assert figures(snapshot(fed(), S), "PRICE_FEED").own_p95_ms is None


def test_standing_is_near_in_the_last_fifth_and_over_beyond() -> None:
    for ms, standing in ((3_000, "ok"), (3_201, "near"), (4_000, "near"), (4_001, "over")):
        board = Board(target_of)
        board.on_frame(FeedFrame(mono_ns=1, hello=HELLO, spans={"FULL_FLOW": [(ms * MS, None)]}), S)
        found = snapshot(board, S)
        assert (figures(found, "FULL_FLOW").standing, found.verdict) == (standing, standing)


def test_without_a_bot_nothing_is_judged() -> None:
    found = snapshot(Board(target_of), S)
    assert found.bot is None
    assert {one.standing for one in found.components} == {"idle"}


def test_system_targets_wait_for_enough_evidence() -> None:
    board = Board(target_of)
    board.on_frame(FeedFrame(mono_ns=1, hello=HELLO, view=view(reads_asked=3, reads_without_rpc_bps=0)), S)
    system = {one.name: one for one in snapshot(board, S, cpu=100.0).system}
    assert system["reads without a call"].standing == system["CPU, average"].standing == "idle"
    assert (system["snipes landed"].value, system["snipes landed"].standing) == (90, "ok")
    for _ in range(8):
        snapshot(board, S, cpu=100.0)
    found = snapshot(board, S, cpu=100.0)
    assert next(one for one in found.system if one.name == "CPU, average").standing == "over"


def test_another_bot_begins_anew() -> None:
    board = fed()
    board.on_frame(FeedFrame(mono_ns=1, hello=msgspec.structs.replace(HELLO, pid=2)), S)
    found = snapshot(board, S)
    assert (found.bot and found.bot.pid, figures(found, "FULL_FLOW").count, board.positions(), board.snipes()) == (
        *(2, 0),
        *((), []),
    )


def test_gone_bot_leaves_what_it_told() -> None:
    board = fed()
    board.on_gone()
    assert snapshot(board, S).bot is None
    assert len(board.positions()) == 2


def test_snipe_has_its_buy_before_its_exit() -> None:
    traces = fed().snipe(bought().id)
    assert [trace.outcome for trace in traces] == ["bought", "closed"]


def test_traces_are_bounded() -> None:
    board = Board(target_of)
    for number in range(700):
        board.on_frame(FeedFrame(mono_ns=1, snipes=(msgspec.structs.replace(bought(), id=str(number)),)), S)
    kept = board.snipes()
    assert (len(kept), kept[-1].id) == (600, "699")
