"""A site as the server makes it, fed with frames as a bot sends them."""

from pathlib import Path

from slotzero.clock import SystemClock
from slotzero.control.feed_records import BotView, FeedFrame, Hello, LogLine
from slotzero.control.records import PositionView, Status
from slotzero.hook import PositionEnded, SnipeDecided
from slotzero.secret import Secret
from slotzero.trace import Stamp, Trace
from slotzero.tracing import SnipeTrace, of_event
from slotzero.tracing.snipe import Anchor
from slotzero.units import LamportsDelta
from slotzero.web.app import Site
from slotzero.web.board import Board
from slotzero.web.runs import RunStore
from slotzero.web.stream import Broadcast
from slotzero.web.watch import Watch
from slotzero.workloads.targets import target_of

MINT = "6LvwUCsAA1Wo62X4DFxSh3Vf7jvWns1YUcP5ta47y4bV"
OTHER_MINT = "Nq5bgkbeZ592Ka2bV6Rw7DwoQW7C9cc12dVSPHmGqoy"
TOKEN = "the-token-of-this-test"  # noqa: S105 of a test
MS = 1_000_000
START = 5_000 * MS
ANCHOR = Anchor(mono=START, wall=1_790_000_000_000_000_000)
HELLO = Hello(pid=1, version="0.1.0", cluster="localnet", slot_ms=200, ts_ms=1_790_000_000_000)


def bought_trace() -> Trace:
    """Stamps of a buy: 10 ms own, 190 ms waited; the verdict joined at 60 ms."""
    trace = Trace()
    at = {
        Stamp.CAUSE: 0,
        Stamp.FRAME: 20,
        Stamp.POOL: 22,
        Stamp.FILTERED: 24,
        Stamp.PLANNED: 26,
        Stamp.SIGNED: 28,
        Stamp.GATED: 60,
        Stamp.SENT: 62,
        Stamp.CONFIRMED: 200,
        Stamp.VERDICT: 58,
    }
    for stamp, ms in at.items():
        trace.mark(stamp, START + ms * MS)
    return trace


def closed_trace() -> Trace:
    """The same, and an exit: triggered after 3 s, sold within 150 ms."""
    trace = bought_trace()
    for stamp, ms in ((Stamp.TRIGGERED, 3_200), (Stamp.EXIT_SIGNED, 3_202), (Stamp.EXIT_SENT, 3_210)):
        trace.mark(stamp, START + ms * MS)
    trace.mark(Stamp.EXIT_CONFIRMED, START + 3_350 * MS)
    return trace


def bought(mint: str = MINT) -> SnipeTrace:
    """The record of a buy that landed."""
    event = SnipeDecided(id=mint, outcome="bought", reason="", trace=bought_trace(), slots_to_land=1)
    made = of_event(event, ANCHOR)
    assert made is not None
    return made


def closed(mint: str = MINT) -> SnipeTrace:
    """The record of its end."""
    event = PositionEnded(
        id=mint, reason="take_profit", is_stuck=False, pnl_lamports=LamportsDelta(5_000_000), trace=closed_trace()
    )
    made = of_event(event, ANCHOR)
    assert made is not None
    return made


def position(number: int, state: str = "open") -> PositionView:
    """A position; its symbol is one that a spreadsheet would run."""
    return PositionView(
        id=f"position{number}",
        mint=MINT,
        symbol="=1+1",
        venue="pumpfun",
        wallet=OTHER_MINT,
        state=state,
        reason="" if state == "open" else "take_profit",
        tokens=1_000,
        quoted_lamports=90_000_000,
        value_lamports=100_000_000 if state == "open" else None,
        stop_lamports=70_000_000,
        pnl_lamports=-5_000,
        opened_ms=1_790_000_000_000,
    )


def view(**changes: object) -> BotView:
    """The state of a bot that holds one position and has closed one."""
    status = Status(
        pid=1,
        detected=10,
        bought=9,
        closed=1,
        refused={"freeze_authority": 1},
        failed={"expired": 1},
        buys_under_way=0,
        halted="",
        positions=(position(1), position(2, "closed")),
    )
    fields: dict[str, object] = {
        "status": status,
        "in_flight": 2,
        "waiting": 0,
        "value_lamports": 100_000_000,
        "pnl_lamports": -5_000,
        "balance_lamports": 10**9,
        "loop_p50_ms": 0.1,
        "loop_p99_ms": 2.0,
        "loop_max_ms": 9.0,
        "double_buys": 0,
        "lost_intents": 0,
        "unknown_open": 0,
        "reads_without_rpc_bps": 9_500,
        "reads_asked": 100,
        "frames": 500,
        "rpc_calls": 30,
        "endpoints": {"localnet": "closed"},
    }
    return BotView(**{**fields, **changes})  # type: ignore[arg-type]


def frame(*, with_hello: bool = True) -> FeedFrame:
    """All a bot has to tell, in one frame."""
    return FeedFrame(
        mono_ns=START,
        hello=HELLO if with_hello else None,
        spans={"FULL_FLOW": [(ms * MS, MS) for ms in range(1, 101)], "PRICE_FEED": [(100, None)]},
        snipes=(bought(), closed(), bought(OTHER_MINT)),
        logs=(
            LogLine(ts_ns=1, level="info", logger="slotzero.snipe", message="bought", trace_id="ab", mint=MINT),
            LogLine(ts_ns=2, level="warning", logger="slotzero.engine", message="a warning"),
        ),
        view=view(),
    )


def site(folder: Path, *, is_fed: bool = True) -> Site:
    """A site over `folder`: stored runs in its `runs`, the state beside them."""
    clock = SystemClock()
    board, broadcast = Board(target_of), Broadcast("boot")
    made = Site(
        board=board,
        broadcast=broadcast,
        watch=Watch(board, folder, clock=clock, pid=None),
        runs=RunStore(folder / "runs"),
        state=folder,
        token=Secret(TOKEN),
    )
    now = clock.mono_ns()
    if is_fed:
        board.on_frame(frame(), now)
    broadcast.tick(board.performance(seq=0, now=now, wall_ms=1_790_000_000_000, memory_mb=80.0, cpu=5.0))
    return made
