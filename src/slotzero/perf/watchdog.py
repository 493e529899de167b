"""The one watchdog of a benchmark run: it ends a sample that takes too long, and costs a quick one nothing.

A timeout around each sample would be in the timed region (7 to 14 us for `wait_for`, 3 for `asyncio.timeout`). Here
the hot loop writes the number of the sample under way to an attribute outside of its clock, and a thread looks at it
ten times in a timeout. An async callable is cancelled through its loop; a sync one is interrupted by a signal whose
handler raises, which ends a blocking system call too. SIGURG is ignored unless somebody asks for it, hence harmless.

Weakness: a sync callable in another thread than the main one, or an async one that blocks the loop, cannot be
interrupted: it is counted as a timeout when it comes back. In a process of its own (`run_isolated`) it is ended.
"""

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Final, Self

from slotzero.clock import elapsed_ns, mono_ns, ms

__all__ = ["OverdueError", "Watchdog"]

_LOOKS: Final = 10
_SHORTEST_S: Final = 0.01
_LONGEST_S: Final = 1.0
_STUCK_TIMEOUTS: Final = 3
_NS_PER_S: Final = 1e9


class OverdueError(BaseException):
    """Raised inside a sync sample that took too long; no `except Exception` of the callable stops it."""


class Watchdog:
    """Ends overdue samples while it is open.

    Attributes:
        sample: The number of the sample under way, 0 between two. Only the hot loop writes it.
        struck: The number of the last sample that was told to end.

    Args:
        timeout_ms: What one sample may take.
        is_async: Whether samples are awaited in the current task, or called in the current thread.
        on_stuck: Called in the watchdog's thread with a sample that did not end for three timeouts.
    """

    def __init__(self, *, timeout_ms: int, is_async: bool, on_stuck: Callable[[int], None] | None = None) -> None:
        self.sample = 0
        self.struck = 0
        self._timeout_ns = ms(timeout_ms)
        self._on_stuck = on_stuck
        self._task = asyncio.current_task() if is_async else None
        self._cancels_before = self._task.cancelling() if self._task else 0
        self._loop = asyncio.get_running_loop()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="slotzero-watchdog", daemon=True)
        self._by_signal = False

    def __enter__(self) -> Self:
        """Begin to watch."""
        in_main = threading.current_thread() is threading.main_thread()
        if self._task is None and in_main and signal.getsignal(signal.SIGURG) in {signal.SIG_DFL, signal.SIG_IGN}:
            self._handler = signal.signal(signal.SIGURG, self._on_signal)
            self._by_signal = True
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop watching."""
        self.sample = 0
        self._ended.set()
        self._thread.join()
        if self._by_signal:
            signal.signal(signal.SIGURG, self._handler)

    def is_ours(self, error: BaseException, sample: int) -> bool:
        """Tell whether `error` came out of `sample` because this watchdog ended it, and take our cancellation back."""
        return self.forgive(sample) or isinstance(error, OverdueError)

    def forgive(self, sample: int) -> bool:
        """Take back the cancellation of a sample that has ended. Returns whether it had been told to end."""
        if self.struck != sample:
            return False
        while self._task is not None and self._task.cancelling() > self._cancels_before and self._strikes > 0:
            self._task.uncancel()
            self._strikes -= 1
        return True

    def is_cancelled(self) -> bool:
        """Tell whether somebody else has cancelled the task."""
        return self._task is not None and self._task.cancelling() > self._cancels_before

    _strikes = 0

    def _watch(self) -> None:
        look_s = min(max(self._timeout_ns / _NS_PER_S / _LOOKS, _SHORTEST_S), _LONGEST_S)
        seen, since = 0, mono_ns()
        while not self._ended.wait(look_s):
            sample, now = self.sample, mono_ns()
            if sample != seen or not sample:
                seen, since = sample, now
                continue
            over = elapsed_ns(since, now)
            if over >= self._timeout_ns:
                self._strike(sample)
            if over >= _STUCK_TIMEOUTS * self._timeout_ns and self._on_stuck is not None:
                self._on_stuck(sample)

    def _strike(self, sample: int) -> None:
        if self._task is not None:
            self._loop.call_soon_threadsafe(self._cancel, sample)
        elif self._by_signal:
            self.struck = sample
            os.kill(os.getpid(), signal.SIGURG)

    def _cancel(self, sample: int) -> None:
        if self._task is not None and self.sample == sample:
            self.struck = sample
            self._strikes += 1
            self._task.cancel(f"sample {sample} took too long")

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self.sample and self.sample == self.struck:
            raise OverdueError
