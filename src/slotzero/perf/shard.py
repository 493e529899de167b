"""One share of a distributed load run, whatever engine carries it to its worker.

The order of things: the shard is handed its `ShardOrder`, gets ready and says `Armed`; the coordinator compares clocks
and tells every shard one common instant; the shard runs its share of the plan and sends cumulative, numbered
`Snapshot`s; the last one says how it ended. Because a snapshot holds everything since the start, a lost one costs
nothing, and a shard that dies leaves all it measured up to its last. Windows of the timeline are repeated in eight
snapshots for the same reason. A `Beat` from a thread of its own says that the process lives even where an operation
holds the loop.

A shard that is late, or was stopped for a while, skips arrivals that are more than `CATCH_UP_S` past and counts them as
missed: fired at once they would be a storm that nobody planned.
"""

import asyncio
import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from slotzero.clock import SystemClock, as_ms, elapsed_ns, later, mono_ns
from slotzero.errors import UsageError
from slotzero.perf.load import LoadRun
from slotzero.perf.load_loops import Dispatcher
from slotzero.perf.load_target import open_target
from slotzero.perf.load_types import ErrorDetail, Incident, LoadError, LoadTestConfig, ProcessStats, Window
from slotzero.perf.procfs import read_text
from slotzero.perf.timing import Callable0
from slotzero.perf.types import CallableNotFound, ResourceStats

__all__ = [
    "CATCH_UP_S",
    "Armed",
    "Beat",
    "ClockReading",
    "ShardMessage",
    "ShardOrder",
    "ShardStart",
    "Snapshot",
    "decode_message",
    "read_clocks",
    "run_shard",
    "start_shard",
    "stop_shard",
]

CATCH_UP_S: Final = 0.25
_REPEATED: Final = 8
_START_TIMEOUT_S: Final = 120.0
_NS_PER_S: Final = 1_000_000_000


class ShardOrder(Struct, frozen=True, kw_only=True):
    """What a shard is to do.

    Attributes:
        run: The run's name; unique.
        config: The whole run's load; the shard takes its share of it.
        target: `module:callable`; None when the callable itself came with the order.
        snapshot_s: How often a snapshot is sent, and a sign of life.
    """

    run: str
    config: LoadTestConfig
    shard: int
    shards: int
    target: str | None
    snapshot_s: float


class ShardStart(Struct, frozen=True, kw_only=True):
    """The common instant, as the shard's own clocks show it.

    Attributes:
        mono_ns: On the machine's monotonic clock, where the coordinator reads the same one; else None.
        wall_ns: On the shard's wall clock.
    """

    mono_ns: int | None
    wall_ns: int


class ClockReading(Struct, frozen=True, kw_only=True):
    """A worker's clocks, read at one moment. `boot` names the machine's boot, hence its monotonic clock."""

    wall_ns: int
    mono_ns: int
    boot: str


class Armed(Struct, frozen=True, kw_only=True, tag="armed"):
    """A shard is ready to start."""

    shard: int
    pid: int


class Beat(Struct, frozen=True, kw_only=True, tag="beat"):
    """A shard's process lives."""

    shard: int


class Snapshot(Struct, frozen=True, kw_only=True, tag="snapshot"):
    """Everything a shard has measured since its start.

    Attributes:
        seq: Its number, from 1; an older one that comes later says nothing new.
        at_s: When it was made, in seconds since the start.
        state: "running", "finished" for the last one, or "failed" with `failure`.
        sums: The distributions, as `Sums.to_bytes` writes them.
        windows: The last windows of the timeline; each is repeated in several snapshots.
        start_skew_ns: From the common instant to the first operation's start less its own planned instant.
    """

    shard: int
    seq: int
    at_s: float
    state: Literal["running", "finished", "failed"]
    sums: dict[str, bytes] = {}
    by_class: dict[str, int] = {}
    details: tuple[ErrorDetail, ...] = ()
    windows: tuple[Window, ...] = ()
    begun: int = 0
    in_plan: int = 0
    begun_in_plan: int = 0
    planned: int = 0
    dropped: int = 0
    late: int = 0
    unstarted: int = 0
    interrupted: int = 0
    in_flight: int = 0
    peak_in_flight: int = 0
    drain_s: float = 0.0
    start_skew_ns: int | None = None
    driver: ResourceStats | None = None
    process: ProcessStats | None = None
    incidents: tuple[Incident, ...] = ()
    stopped: Literal["completed", "interrupted", "aborted"] = "completed"
    pacer: str | None = None
    event_loop: str = ""
    failure: LoadError | None = None


ShardMessage: TypeAlias = Armed | Beat | Snapshot
decode_message: Final = msgspec.msgpack.Decoder(ShardMessage).decode
_encode: Final = msgspec.msgpack.Encoder().encode


class _Control:
    """How the coordinator reaches a shard within its worker's process, from another thread."""

    def __init__(self) -> None:
        self.start: ShardStart | None = None
        self.is_stopped = False
        self._changed: Callable[[], None] = lambda: None

    def listen(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        changed()

    def change(self, *, start: ShardStart | None = None, is_stopped: bool = False) -> None:
        self.start = start or self.start
        self.is_stopped = self.is_stopped or is_stopped
        self._changed()


_controls: Final[dict[str, _Control]] = {}
"""The shards of this process by run. Two threads touch it, one key each."""


def read_clocks() -> ClockReading:
    """Return this process's clocks. Called on a worker."""
    boot = read_text("/proc/sys/kernel/random/boot_id") or ""
    return ClockReading(wall_ns=SystemClock().wall_ns(), mono_ns=mono_ns(), boot=boot)


def start_shard(run: str, start: ShardStart) -> bool:
    """Let the shard of `run` in this process begin at `start`. Called on a worker. Returns whether there is one."""
    if (control := _controls.get(run)) is not None:
        control.change(start=start)
    return control is not None


def stop_shard(run: str) -> bool:
    """Let the shard of `run` in this process end. Called on a worker. Returns whether there is one."""
    if (control := _controls.get(run)) is not None:
        control.change(is_stopped=True)
    return control is not None


def run_shard(order: ShardOrder, fn: Callable0 | None, send: Callable[[bytes], None]) -> int:
    """Run one share, to its end. *Does I/O.* Called in a thread of a worker. Returns the number of snapshots sent.

    Args:
        order: Which share.
        fn: The operation, when it is not named in the order.
        send: Takes an encoded `ShardMessage` to the coordinator; called from several threads.
    """
    import uvloop  # noqa: PLC0415 not where the coordinator imports this module only for its records

    control = _controls.setdefault(order.run, _Control())
    ended = threading.Event()
    beat = threading.Thread(target=_beat, args=(order, send, ended), name="slotzero-beat", daemon=True)
    beat.start()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_Shard(order, fn, send, control).run())
    finally:
        ended.set()
        beat.join()
        _controls.pop(order.run, None)


def _beat(order: ShardOrder, send: Callable[[bytes], None], ended: threading.Event) -> None:
    message = _encode(Beat(shard=order.shard))
    while not ended.wait(order.snapshot_s):
        send(message)


class _Shard:
    def __init__(
        self, order: ShardOrder, fn: Callable0 | None, send: Callable[[bytes], None], control: _Control
    ) -> None:
        self._order = order
        self._fn = fn
        self._send = send
        self._control = control
        self._seq = 0
        self._windows: deque[Window] = deque(maxlen=_REPEATED)
        self._start_ns: int | None = None

    async def run(self) -> int:
        """Arm, wait for the common instant, run, and send the last snapshot."""
        self._loop = asyncio.get_running_loop()
        self._has_changed = asyncio.Event()
        self._control.listen(self._wake)
        target = self._fn if self._fn is not None else self._order.target or ""
        try:
            async with open_target(target) as opened:
                run = LoadRun(
                    opened.fn,
                    _share(self._order.config),
                    classify_result=opened.classify_result,
                    on_window=self._windows.append,
                    shard=self._order.shard,
                    shards=self._order.shards,
                )
                await self._run(run)
        except UsageError as error:
            self._fail(CallableNotFound(reference=str(target), message=str(error)))
        return self._seq

    async def _run(self, run: LoadRun) -> None:
        async with AsyncExitStack() as stack:
            run.arm(stack)
            self._send(_encode(Armed(shard=self._order.shard, pid=os.getpid())))
            start = await self._started()
            if start is None:
                return
            self._start_ns = _on_our_clock(start)
            await run.begin(self._start_ns)
            async with asyncio.TaskGroup() as group:
                teller = group.create_task(self._tell(run), name="snapshots")
                await run.wait()
                teller.cancel()
        failure = run.outcome_failure
        if failure is not None:
            self._fail(failure)
        else:
            self._send_snapshot(run, state="finished")

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has just ended
            self._loop.call_soon_threadsafe(self._has_changed.set)

    async def _started(self) -> ShardStart | None:
        """Return the common instant; None when the run was called off, or nobody has started it in two minutes."""
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                while self._control.start is None and not self._control.is_stopped:
                    await self._has_changed.wait()
                    self._has_changed.clear()
        except TimeoutError:
            return None
        return None if self._control.is_stopped else self._control.start

    async def _tell(self, run: LoadRun) -> None:
        while True:
            self._has_changed.clear()
            if self._control.is_stopped:
                run.stop()
            try:
                async with asyncio.timeout(self._order.snapshot_s):
                    await self._has_changed.wait()
            except TimeoutError:
                self._send_snapshot(run, state="running")

    def _send_snapshot(self, run: LoadRun, *, state: Literal["running", "finished"]) -> None:
        self._seq += 1
        run.tape.fold()
        tape, loop = run.tape, run.loop
        is_last = state == "finished"
        measured = run.measured() if is_last else None
        begun, succeeded = loop.begun, tape.succeeded
        snapshot = Snapshot(
            shard=self._order.shard,
            seq=self._seq,
            at_s=round(run.elapsed_s, 3),
            state=state,
            sums=tape.sums.to_bytes(),
            by_class=dict(tape.errors.by_class),
            details=tape.errors.details(),
            windows=tuple(self._windows),
            begun=begun,
            in_plan=measured.in_plan if measured else succeeded,
            begun_in_plan=measured.begun_in_plan if measured else begun,
            planned=loop.planned if isinstance(loop, Dispatcher) else 0,
            dropped=tape.dropped,
            late=tape.late,
            unstarted=loop.unstarted if isinstance(loop, Dispatcher) else 0,
            interrupted=tape.interrupted,
            in_flight=loop.in_flight,
            peak_in_flight=measured.peak_in_flight if measured else tape.peak_in_flight,
            drain_s=measured.drain_s if measured else 0.0,
            start_skew_ns=self._skew(run),
            driver=measured.driver if measured else None,
            process=run.driver_stats(),
            incidents=tuple(run.incidents),
            stopped=measured.stopped if measured else "completed",
            pacer=measured.pacer if measured else None,
            event_loop=measured.event_loop if measured else "",
        )
        self._send(_encode(snapshot))

    def _skew(self, run: LoadRun) -> int | None:
        first, planned = run.loop.first_start, run.loop.first_planned
        if first is None or planned is None:
            return None
        return elapsed_ns(planned, first)

    def _fail(self, failure: LoadError) -> None:
        self._seq += 1
        at_s = 0.0 if self._start_ns is None else round(as_ms(elapsed_ns(self._start_ns, mono_ns())) / 1_000, 3)
        self._send(
            _encode(Snapshot(shard=self._order.shard, seq=self._seq, at_s=at_s, state="failed", failure=failure))
        )


def _share(config: LoadTestConfig) -> LoadTestConfig:
    """Return the run's configuration as a shard needs it: thresholds and watched processes are the coordinator's."""
    return replace(
        config,
        thresholds=(),
        processes={},
        catch_up_s=config.catch_up_s or CATCH_UP_S,
    )


def _on_our_clock(start: ShardStart) -> int:
    """Return the common instant on this machine's monotonic clock; a later step of the wall clock does not move it."""
    if start.mono_ns is not None:
        return start.mono_ns
    now_mono, now_wall = mono_ns(), SystemClock().wall_ns()
    return later(now_mono, start.wall_ns - now_wall)
