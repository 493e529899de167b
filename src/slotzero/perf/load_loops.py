"""The hot loops of a load run: users of a closed plan, dispatched tasks of an open one.

They keep themselves to what a bare loop around two clock readings does (benchmarks/bench_load_overhead.py: below 1 us
an operation awaited, below 6 us as a task), so they break three house rules, for measured reasons: they subtract
instants themselves (`elapsed_ns` is 60 ns, as much as a clock reading); there is no `asyncio.timeout` around an
operation (7 us) but one reaper that looks for overdue ones; operations are tasks in a plain dictionary and not in a
TaskGroup, which would cancel all of them when one fails. Everything a callable raises is caught, since a failed
operation is a result; what escapes from the loops themselves is noted (`OperationEnd.broke`).

Both end alike: `ended_within` waits for operations under way, `close` cancels what is left of them, waits for
`SETTLE_S` at the most, and leaves what does not end: a callable that swallows its cancellation holds nobody up.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from itertools import count
from random import Random
from typing import Final, TypeAlias

from slotzero.clock import later, mono_ns, ms
from slotzero.perf.load_tape import LoadTape
from slotzero.perf.operation_end import OperationEnd
from slotzero.perf.pacing import PacingClock, open_pacer

__all__ = ["SETTLE_S", "AsyncCallable", "Dispatcher", "Users"]

SETTLE_S: Final = 3.0
"""How long cancelled operations have to end."""
AsyncCallable: TypeAlias = Callable[[], Awaitable[object]]

_NEVER: Final = 2**63 - 1
_HOLD_MS: Final = 5
"""The longest the users together keep the loop when operations never suspend."""
_LOOKS: Final = 20
"""Looks of the reaper in one timeout, hence a timeout is at most 5 % late."""
_SHORTEST_LOOK_S: Final = 0.005
_LONGEST_LOOK_S: Final = 0.25
_MOST_AT_ONCE: Final = 500
"""Arrivals begun in one go, 3 ms of work: a plan beyond the dispatcher's speed must not keep the loop from turning."""
_FOLD_AT: Final = 65_536
_CATCH_UP_MS: Final = 1_000
"""How long after the plan's end arrivals are still begun that the loop did not get to in time."""


class _Reaper:
    """Looks for overdue operations every twentieth of the timeout."""

    def __init__(self, timeout_ns: int, look: Callable[[int], None]) -> None:
        self._every_s = min(max(timeout_ns / 1e9 / _LOOKS, _SHORTEST_LOOK_S), _LONGEST_LOOK_S)
        self._look = look
        self._handle: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        if timeout_ns < _NEVER:
            self._tick()

    def _tick(self) -> None:
        self._look(mono_ns())
        self._handle = self._loop.call_later(self._every_s, self._tick)

    def close(self) -> None:
        if self._handle is not None:
            self._handle.cancel()


class Users:
    """The closed loop: each user begins an operation when its last one has ended.

    Args:
        fn: The operation.
        tape: Where durations go.
        ends: What sorts out how operations end.
        starts_ns: When each user begins, after the run's start.
        pacing_ns: The least time between two starts of one user.
        gap_ns: The least time between two starts of any users (the rate limit).
        jitter_ns: Each start waits a random part of this; `seed` is what it follows from.
    """

    def __init__(
        self,
        fn: AsyncCallable,
        *,
        tape: LoadTape,
        ends: OperationEnd,
        starts_ns: list[int],
        pacing_ns: int = 0,
        gap_ns: int = 0,
        jitter_ns: int = 0,
        seed: int = 0,
    ) -> None:
        self._fn = fn
        self._tape = tape
        self._ends = ends
        self._jitter_ns = jitter_ns
        self._draw = Random(seed)  # noqa: S311 a run is repeatable, not secret
        self._starts_ns = starts_ns
        self._pacing_ns = pacing_ns
        self._gap_ns = gap_ns
        self._free_at = 0
        self._started = [0] * len(starts_ns)
        self._struck = [False] * len(starts_ns)
        self._tasks: list[asyncio.Task[None]] = []
        self._all_ended: asyncio.Task[None] | None = None
        self._is_stopped = False
        self._give_up = 0
        self._is_renewing = False
        self._end = 0
        self.first_start: int | None = None
        self.first_planned: int | None = None

    @property
    def in_flight(self) -> int:
        """Return how many operations are under way."""
        return sum(1 for start in self._started if start)

    @property
    def begun(self) -> int:
        """Return how many operations have begun."""
        tape = self._tape
        return tape.succeeded + tape.errors.total + tape.interrupted + self.in_flight

    async def begin(self, start_ns: int, end_ns: int) -> None:
        """Start the users."""
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._end = end_ns
        self._clock = await PacingClock().__aenter__()
        self._reaper = _Reaper(self._ends.timeout_ns, self._look)
        self._renew()
        for user, offset in enumerate(self._starts_ns):
            self._tasks.append(loop.create_task(self._user(user, later(start_ns, offset)), name=f"user {user}"))

    def stop(self) -> None:
        """Begin no further operation."""
        self._end = min(self._end, mono_ns())
        for user, task in enumerate(self._tasks):
            if task.cancelled() and not self._is_stopped:
                self._ends.broke(asyncio.CancelledError("a user's task was cancelled from outside"))
            if not self._started[user]:  # it sleeps until its next turn
                task.cancel()
        self._is_stopped = True

    async def ended_within(self, timeout_s: float) -> bool:
        """Begin no further operation, and wait at most `timeout_s` for those under way. Returns whether all ended."""
        self.stop()
        if self._all_ended is None:
            self._all_ended = self._loop.create_task(_ended(self._tasks), name="users")
        await asyncio.wait({self._all_ended}, timeout=timeout_s)
        return self._all_ended.done()

    async def close(self) -> None:
        """Cancel what is still under way and leave what does not end; give back what was taken."""
        self.stop()
        self._ends.is_ending = True
        left = await _settled([*self._tasks, *((self._all_ended,) if self._all_ended else ())])
        for user, task in enumerate(self._tasks):
            if task in left:
                self._started[user] = 0
            elif not task.cancelled() and (error := task.exception()) is not None:
                self._ends.broke(error)
        self._tape.interrupted += len(left)
        self._ends.left = len(left)
        self._reaper.close()
        await self._clock.__aexit__(None, None, None)

    async def _user(self, user: int, begins: int) -> None:  # noqa: C901 one hot loop; a call in it costs 60 ns
        """Call, await, read the clock twice, append. *Hot path.*"""
        if begins < self._end:
            await self._clock.sleep_until(begins)
        fn, now, started, ends = self._fn, mono_ns, self._started, self._ends
        keep, plain, limit = self._tape.service.append, self._ends.plain, self._ends.timeout_ns
        is_spaced = self._pacing_ns > 0 or self._gap_ns > 0 or self._jitter_ns > 0
        if self._gap_ns or self._jitter_ns:
            await self._next_turn(0)
        if self.first_start is None:
            self.first_start, self.first_planned = now(), begins
        while True:
            start = now()
            if start >= self._end:
                return
            started[user] = start
            try:
                value = await fn()
                end = now()
            except BaseException as error:  # noqa: BLE001 whatever it is, it is the operation's
                end = now()
                started[user] = 0
                ends.failed(error, end - start, is_struck=self._was_struck(user))
                if ends.is_ending:
                    return
            else:
                started[user] = 0
                took = end - start
                keep(took)
                if took >= limit:
                    self._was_struck(user)
                    ends.overdue()
                elif value is not None and type(value) not in plain:
                    ends.examine(value)
            if end > self._give_up:
                await self._yield()
            if is_spaced:
                await self._next_turn(start)

    async def _next_turn(self, start: int) -> None:
        now = mono_ns()
        turn = max(now, later(start, self._pacing_ns)) if start else now
        if self._jitter_ns:
            turn = later(turn, self._draw.randrange(self._jitter_ns))
        if self._gap_ns:  # no credit for time nobody used
            turn = max(turn, self._free_at)
            self._free_at = later(turn, self._gap_ns)
        if turn > now:
            await self._clock.sleep_until(min(turn, self._end))

    async def _yield(self) -> None:
        """Let the loop turn; the first to do so gives everybody a new span of holding it."""
        if self._tape.is_full:
            self._tape.fold()
        if not self._is_renewing:
            self._is_renewing = True
            self._loop.call_soon(self._renew)
        await asyncio.sleep(0)

    def _renew(self) -> None:
        self._is_renewing = False
        self._give_up = later(mono_ns(), ms(_HOLD_MS))

    def _look(self, now: int) -> None:
        limit = self._ends.timeout_ns
        for user, start in enumerate(self._started):
            if start and now - start >= limit and not self._struck[user]:
                self._struck[user] = True
                self._tasks[user].cancel()

    def _was_struck(self, user: int) -> bool:
        """Tell whether the reaper cancelled this user's operation, and take the cancellation back."""
        was, self._struck[user] = self._struck[user], False
        if was:
            self._tasks[user].uncancel()
        return was


class Dispatcher:
    """The open loop: operations begin at planned instants as tasks of their own.

    Args:
        fn: The operation.
        tape: Where durations go.
        ends: What sorts out how operations end.
        instants: Planned instants in nanoseconds after the start, ascending.
        most_in_flight: How many operations may be under way.
        most_waiting: How many arrivals may wait for a place; 0 drops them.
        catch_up_ns: Arrivals later than this are missed.
        arrivals: How many arrivals there are from one planned instant to another, both after the start.
    """

    def __init__(
        self,
        fn: AsyncCallable,
        *,
        tape: LoadTape,
        ends: OperationEnd,
        instants: Iterator[int],
        most_in_flight: int,
        most_waiting: int,
        catch_up_ns: int,
        arrivals: Callable[[int, int], int],
    ) -> None:
        self._fn = fn
        self._tape = tape
        self._ends = ends
        self._instants = instants
        self._most = most_in_flight
        self._most_waiting = most_waiting
        self._catch_up_ns = catch_up_ns
        self._arrivals = arrivals
        self._numbers = count()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._starts: dict[int, int] = {}
        self._struck: set[int] = set()
        self._waiting: deque[int] = deque()
        self._next: int | None = None
        self._give_up_at = _NEVER
        self.planned = 0
        self.unstarted = 0
        self.first_start: int | None = None
        self.first_planned: int | None = None
        self.pacer = ""

    @property
    def in_flight(self) -> int:
        """Return how many operations are under way."""
        return len(self._tasks)

    @property
    def begun(self) -> int:
        """Return how many operations have begun."""
        return self._tape.started

    @property
    def missed(self) -> int:
        """Return how many arrivals will never begin."""
        return self._tape.dropped + self._tape.late + self.unstarted

    async def begin(self, start_ns: int, end_ns: int) -> None:
        """Arm the first arrival."""
        self._end = end_ns
        self._loop = asyncio.get_running_loop()
        self._start = start_ns
        self._idle = asyncio.Event()
        self._pacer = open_pacer(self._due)
        self.pacer = self._pacer.kind
        self._reaper = _Reaper(self._ends.timeout_ns, self._look)
        self._advance()
        if self._next is not None:
            self._pacer.arm(self._next)

    def stop(self) -> None:
        """Begin no further operation; arrivals that wait for a place never will."""
        self._drop_backlog()
        self.unstarted += len(self._waiting)
        self._waiting.clear()
        if not self._tasks:
            self._idle.set()

    async def ended_within(self, timeout_s: float) -> bool:
        """Wait at most `timeout_s` for operations under way and arrivals that wait. Returns whether all ended."""
        if self._give_up_at == _NEVER:
            self._give_up_at = later(mono_ns(), ms(_CATCH_UP_MS))
        if self._tasks or self._next is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._idle.wait()
        return not self._tasks and self._next is None

    async def close(self) -> None:
        """Cancel what is still under way and leave what does not end; give back what was taken."""
        self.stop()
        self._ends.is_ending = True
        left = await _settled(list(self._tasks.values()))
        self._tape.interrupted += len(self._tasks)  # those left, and those cancelled before their first step
        self._ends.left = len(left)
        self._tasks = {number: task for number, task in self._tasks.items() if task in left}
        self._pacer.close()
        self._reaper.close()

    # From the pacer to the task

    def _advance(self) -> None:
        offset = next(self._instants, None)
        self._next = None if offset is None else later(self._start, offset)

    def _due(self) -> None:
        """Begin arrivals that are due, so many at the most that the loop turns meanwhile. *Hot path.*"""
        tape = self._tape
        tasks, note, catch_up = self._tasks, tape.dispatch.append, self._catch_up_ns
        now = mono_ns()
        for _ in range(_MOST_AT_ONCE):
            intended = self._next
            if intended is None or intended > now:
                break
            self.planned += 1
            behind = now - intended
            note(behind)
            if behind > catch_up:
                tape.late += 1
            elif len(tasks) >= self._most:
                self._wait(intended)
            else:
                self._launch(intended)
            self._advance()
        if len(tape.dispatch) >= _FOLD_AT:
            tape.fold()
        if now > self._give_up_at:
            self._drop_backlog()
        if self._next is not None:
            self._pacer.arm(self._next)
        elif not tasks:
            self._idle.set()

    def _drop_backlog(self) -> None:
        """Handle no further arrival. Those that are due already were planned, and never started."""
        due_until = min(mono_ns(), self._end)
        if self._next is not None and self._next < due_until:
            backlog = self._arrivals(self._next - self._start, due_until - self._start)
            self.planned += backlog
            self.unstarted += backlog
        self._next = None

    def _wait(self, intended: int) -> None:
        if len(self._waiting) < self._most_waiting:
            self._waiting.append(intended)
        else:
            self._tape.dropped += 1

    def _launch(self, intended: int) -> None:
        number = next(self._numbers)
        self._tasks[number] = self._loop.create_task(self._operation(number, intended))
        self._tape.started += 1
        if len(self._tasks) > self._tape.peak_in_flight:  # noqa: PLR1730 a third of the time of `max`
            self._tape.peak_in_flight = len(self._tasks)

    async def _operation(self, number: int, intended: int) -> None:
        """Call, await, read the clock twice, append. *Hot path.*"""
        tape, ends = self._tape, self._ends
        start = mono_ns()
        if self.first_start is None:
            self.first_start, self.first_planned = start, intended
        self._starts[number] = start
        tape.lateness.append(start - intended)
        try:
            try:
                value = await self._fn()
                end = mono_ns()
            except BaseException as error:  # noqa: BLE001 whatever it is, it is the operation's
                ends.failed(error, mono_ns() - start, is_struck=self._was_struck(number))
            else:
                tape.service.append(end - start)
                tape.response.append(end - intended)
                if end - start >= ends.timeout_ns:
                    self._was_struck(number)
                    ends.overdue()
                elif value is not None and type(value) not in ends.plain:
                    ends.examine(value)
        except BaseException as error:  # noqa: BLE001 nobody awaits this task: it would be lost without a word
            ends.broke(error)
        finally:
            del self._tasks[number], self._starts[number]
            if self._waiting:
                self._launch(self._waiting.popleft())
            elif not self._tasks and self._next is None:
                self._idle.set()

    def _look(self, now: int) -> None:
        limit = self._ends.timeout_ns
        for number, start in self._starts.items():  # in the order of their starts
            if now - start < limit:
                break
            if number not in self._struck:
                self._struck.add(number)
                self._tasks[number].cancel()

    def _was_struck(self, number: int) -> bool:
        if number in self._struck:
            self._struck.discard(number)
            return True
        return False


async def _ended(tasks: list[asyncio.Task[None]]) -> None:
    if tasks:  # a shard may have no user
        await asyncio.wait(tasks)


async def _settled(tasks: Iterable[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
    """Cancel `tasks` and wait for `SETTLE_S` at the most. Returns those that have not ended."""
    left = {task for task in tasks if not task.done()}
    for task in left:
        task.cancel()
    if left:
        _, left = await asyncio.wait(left, timeout=SETTLE_S)
    for task in left:
        # Else whoever closes the event loop waits for it, for ever. asyncio offers this to those who extend it.
        asyncio.tasks._unregister_task(task)  # noqa: SLF001 not in its type stubs
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 the run has reported it
    return left
