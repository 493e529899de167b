"""The hot loops: call, await, read the clock twice, append. Everything else happens between two samples.

These loops keep themselves to what a bare loop around two clock readings does (benchmarks/bench_lab_overhead.py), so
they break three house rules, for measured reasons: they subtract instants themselves (a call of `elapsed_ns` is 60 ns,
as much as the reading), they await in the caller's task without `asyncio.timeout` (3 to 14 us; see `watchdog`), and
they catch everything a callable raises, since a failed sample is a result.
"""

import asyncio
import inspect
from array import array
from collections.abc import Awaitable, Callable
from typing import Final, Literal, TypeAlias, cast

from slotzero.clock import later, mono_ns, ms
from slotzero.perf.histogram import Histogram
from slotzero.perf.types import BenchmarkError, HookFailed, SampleFailed, UnawaitedResult
from slotzero.perf.unawaited import unawaited
from slotzero.perf.watchdog import Watchdog
from slotzero.trace import Component, Span, Trace

__all__ = ["AbandonedError", "Callable0", "Check", "SampleLoop", "Tape", "is_async", "kind_of", "leaf_of"]

Callable0: TypeAlias = Callable[[], object]
Check: TypeAlias = Callable[[object], str | None]
"""Looks at what a sample returned: None when it is good, else the kind of error it counts as."""

RAW_LIMIT: Final = 1_000_000
"""Samples that are kept one by one (8 MB); a longer run is folded into a histogram on the way."""
_FOLD_AT: Final = 65_536
_HOLD_MS: Final = 5
"""The longest we keep the loop for ourselves when samples never suspend. Timers, cancellation and the loop-delay
probes of others run then; the next sample finds somewhat colder caches."""
_NS_PER_S: Final = 1e9
_MOST_KINDS: Final = 32
_MOST_TEXT: Final = 500
_MOST_TYPES: Final = 1_000
TIMEOUT: Final = "timeout"


class AbandonedError(Exception):
    """The benchmark cannot go on; `error` says why."""

    def __init__(self, error: BenchmarkError) -> None:
        self.error = error
        super().__init__(error)


class Tape:
    """What the samples of one phase left behind.

    Attributes:
        durations: Of successes and timeouts, in order, in nanoseconds.
        failed: Of the other failures.
        own: Our CPU time of the samples whose trace tells it, and `waited` the rest of them.
        histogram: What has been folded away, or None.
        starts: Where clocks of traces started.
    """

    __slots__ = (
        "_split_at",
        "durations",
        "errors",
        "examples",
        "failed",
        "histogram",
        "own",
        "spans",
        "starts",
        "waited",
    )

    def __init__(self) -> None:
        self.durations = array("q")
        self.failed = array("q")
        self.own = array("q")
        self.waited = array("q")
        self.errors: dict[str, int] = {}
        self.examples: dict[str, str] = {}
        self.spans = 0
        self._split_at = 0
        """How many durations there were when the last span was taken in: whether the last sample had one."""
        self.starts: set[Literal["chain", "frame"]] = set()
        self.histogram: Histogram | None = None

    @property
    def timed(self) -> int:
        """Return how many samples the distribution holds."""
        return len(self.durations) + (self.histogram.count if self.histogram else 0)

    @property
    def made(self) -> int:
        """Return how many calls were made."""
        return self.timed + len(self.failed)

    @property
    def succeeded(self) -> int:
        """Return how many samples succeeded."""
        return self.timed - self.errors.get(TIMEOUT, 0)

    def count_error(self, kind: str, text: str) -> None:
        """Count a failed sample. Kinds beyond the bound share one, so that generated names cannot fill memory."""
        if kind not in self.errors and len(self.errors) >= _MOST_KINDS:
            kind = "_OTHER"
        self.errors[kind] = self.errors.get(kind, 0) + 1
        self.examples.setdefault(kind, text[:_MOST_TEXT])

    def split(self, span: Span) -> None:
        """Put a span's time in place of the last duration: it starts and stops where the component does."""
        self.durations[-1] = span.total_ns
        self.spans += 1
        self._split_at = len(self.durations)
        self.starts.add(span.starts_at)
        if span.own_ns is not None and span.waited_ns is not None:
            self.own.append(span.own_ns)
            self.waited.append(span.waited_ns)

    def take_back(self) -> None:
        """Move the last duration to the failed ones, and forget what its span said."""
        if self._split_at == len(self.durations):
            self._split_at = 0
            self.spans -= 1
            if len(self.own) > self.spans:  # either every sample of a component tells, or none does
                self.own.pop()
                self.waited.pop()
        self.failed.append(self.durations.pop())

    def fold(self) -> None:
        """Move all durations to the histogram."""
        self._split_at = 0
        if self.histogram is None:
            self.histogram = Histogram()
        self.histogram.fold(self.durations)
        del self.durations[:]


def is_async(fn: Callable0) -> bool:
    """Tell whether calling `fn` gives a coroutine to await (functions, methods, partials, objects with `__call__`)."""
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(getattr(fn, "__call__", None))  # noqa: B004 its kind, not whether it is there


def leaf_of(error: BaseException) -> BaseException:
    """Return the error itself, for a group its first leaf."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def kind_of(error: BaseException) -> str:
    """Return a stable short name of an error: its class, for a group that of its first leaf."""
    return type(leaf_of(error)).__name__


class SampleLoop:
    """Takes samples of one callable.

    Args:
        fn: The callable, sync or async.
        component: Whose span a returned `Trace` is asked for.
        timeout_ms: A sample that takes as long or longer counts as a timeout.
        fail_fast: Whether the first failure ends it.
        setup: Called before each sample, outside the clock; awaited when it returns something to await, for as long as
            a sample may take.
        teardown: Called after each sample, failed ones included, likewise.
        check: Looks at each returned value, outside the clock.
        watch: Open while samples are taken.
        pause: Called between samples every few milliseconds with the calls made; True ends the phase early.
    """

    def __init__(
        self,
        fn: Callable0,
        *,
        component: Component | None,
        timeout_ms: int,
        fail_fast: bool,
        setup: Callable0 | None,
        teardown: Callable0 | None,
        check: Check | None,
        watch: Watchdog,
        pause: Callable[[int], bool],
    ) -> None:
        self._fn = fn
        self._component = component
        self._timeout_ns = ms(timeout_ms)
        self._fail_fast = fail_fast
        self._setup = setup
        self._teardown = teardown
        self._check = check
        self._watch = watch
        self._pause = pause
        self._number = 0
        self._plain: set[type] = set()
        self._is_async = is_async(fn)

    async def take(self, tape: Tape, count: int, *, phase: Literal["warmup", "measure"], keep_raw: bool) -> bool:
        """Add `count` samples to `tape`.

        Args:
            tape: Where to.
            count: How many calls to make.
            phase: For the text of errors.
            keep_raw: False folds durations away on the way.

        Returns:
            Whether all were taken; False when `pause` ended it.

        Raises:
            AbandonedError: It cannot or must not go on.
        """
        self._phase: Literal["warmup", "measure"] = phase
        self._first = tape.made
        left = count
        while left > 0:
            before = tape.made
            await (self._async(tape, left) if self._is_async else self._sync(tape, left))
            left -= tape.made - before
            if not keep_raw and len(tape.durations) >= _FOLD_AT:
                tape.fold()
            if self._pause(tape.made):
                return left == 0
            if left:
                await asyncio.sleep(0)
        return True

    async def _async(self, tape: Tape, count: int) -> None:
        """Take samples for some milliseconds. *Hot path.*"""
        now, keep, watch, plain = mono_ns, tape.durations.append, self._watch, self._plain
        fn = cast("Callable[[], Awaitable[object]]", self._fn)
        limit, around, number = self._timeout_ns, self._has_hooks(), self._number
        give_up = later(now(), ms(_HOLD_MS))
        for number in range(number + 1, number + count + 1):  # noqa: B020 goes on counting where it was
            if around:
                await self._before()
            watch.sample = number
            start = now()
            try:
                value = await fn()
                end = now()
            except BaseException as error:  # noqa: BLE001 sorted out in `_failed`, which raises what is not a sample's
                end = now()
                watch.sample = 0
                value = self._failed(tape, error, number, end - start)
            else:
                watch.sample = 0
                took = end - start
                keep(took)
                if took >= limit:
                    value = self._overdue(tape, number)
                elif value is not None and type(value) not in plain:
                    value = self._examine(tape, value)
            if around:
                await self._after(tape, value)
            if end > give_up:
                break
        self._number = number

    async def _sync(self, tape: Tape, count: int) -> None:
        """Take samples for some milliseconds. *Hot path.* The same as `_async` but for the `await`."""
        now, keep, watch, plain, fn = mono_ns, tape.durations.append, self._watch, self._plain, self._fn
        limit, around, number = self._timeout_ns, self._has_hooks(), self._number
        give_up = later(now(), ms(_HOLD_MS))
        for number in range(number + 1, number + count + 1):  # noqa: B020 goes on counting where it was
            if around:
                await self._before()
            watch.sample = number
            start = now()
            try:
                value = fn()
                end = now()
            except BaseException as error:  # noqa: BLE001 sorted out in `_failed`, which raises what is not a sample's
                end = now()
                watch.sample = 0
                value = self._failed(tape, error, number, end - start)
            else:
                watch.sample = 0
                took = end - start
                keep(took)
                if took >= limit:
                    value = self._overdue(tape, number)
                elif value is not None and type(value) not in plain:
                    value = self._examine(tape, value)
            if around:
                await self._after(tape, value)
            if end > give_up:
                break
        self._number = number

    # Between samples

    def _has_hooks(self) -> bool:
        return self._setup is not None or self._teardown is not None or self._check is not None

    async def _before(self) -> None:
        if self._setup is not None:
            await self._called(self._setup, "setup")

    async def _after(self, tape: Tape, value: object) -> None:
        if self._check is not None and value is not _FAILED:
            try:
                kind = self._check(value)
            except Exception as error:
                raise AbandonedError(_hook_failed("check", error)) from error
            if kind is not None:
                tape.take_back()
                self._count(tape, kind, f"the check found {kind}")
        if self._teardown is not None:
            await self._called(self._teardown, "teardown")

    async def _called(self, hook: Callable0, name: Literal["setup", "teardown"]) -> None:
        """Call a hook; what it awaits may take as long as a sample, so that nobody waits for it for ever."""
        try:
            result = hook()
            if inspect.isawaitable(result):
                async with asyncio.timeout(self._timeout_ns / _NS_PER_S):
                    await result
        except Exception as error:
            raise AbandonedError(_hook_failed(name, error)) from error

    def _failed(self, tape: Tape, error: BaseException, number: int, took: int) -> object:
        if self._watch.is_ours(error, number):
            tape.durations.append(took)
            self._count(tape, TIMEOUT, "it took too long and was ended")
            return _FAILED
        if isinstance(error, asyncio.CancelledError):
            if not self._is_async or self._watch.is_cancelled():
                raise error
        elif not isinstance(error, Exception):
            raise error
        tape.failed.append(took)
        self._count(tape, kind_of(error), str(error), error)
        return _FAILED

    def _overdue(self, tape: Tape, number: int) -> object:
        self._watch.forgive(number)
        self._count(tape, TIMEOUT, "it came back, too late")
        return _FAILED

    def _count(self, tape: Tape, kind: str, text: str, cause: BaseException | None = None) -> None:
        tape.count_error(kind, text)
        if self._fail_fast:
            sample = tape.made - self._first
            failed = SampleFailed(phase=self._phase, sample=sample, kind=kind, message=text[:_MOST_TEXT])
            raise AbandonedError(failed) from cause

    def _examine(self, tape: Tape, value: object) -> object:
        """Look at a returned value of a kind not seen before, or one that tells the sample's own times.

        Returns:
            The value, or the mark of a failed sample.
        """
        if isinstance(value, Trace):
            span = value.span(self._component) if self._component is not None else None
            if span is None:
                tape.take_back()
                name = self._component.value if self._component else "no component"
                self._count(tape, "incomplete_trace", f"the trace has no span of {name}")
                return _FAILED
            tape.split(span)
        elif isinstance(value, Span):
            tape.split(value)
        elif (nobody := unawaited(value)) is not None:
            raise AbandonedError(UnawaitedResult(returned=nobody))
        else:
            if len(self._plain) >= _MOST_TYPES:
                self._plain.clear()
            self._plain.add(type(value))
        return value


_FAILED: Final = object()
"""Stands for the value of a sample that has none."""


def _hook_failed(hook: Literal["setup", "teardown", "check"], error: Exception) -> HookFailed:
    return HookFailed(hook=hook, kind=kind_of(error), message=str(error)[:_MOST_TEXT])
