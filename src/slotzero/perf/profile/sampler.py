"""Takes the measured thread's stacks from a thread beside it: what is there where py-spy is not permitted.

Each stack is weighed by the CPU time the kernel has booked on the measured thread since the one before, so waiting
weighs nothing and no guess about idle frames is needed. Where the kernel keeps no such clock (macOS) a stack weighs
its interval, and stacks that end in the loop's own wait are left out.

Weaknesses: the sampler needs the interpreter's lock, so a stack is taken where Python lets go of it: time in C is
booked on the Python function that called it, and a function of some microseconds may be seen in its caller's place.
While it is open the interpreter switches threads every 0.5 ms; the measured thread becomes slower by some percent.
"""

import sys
import threading
import time
from array import array
from types import CodeType, FrameType, TracebackType
from typing import Final, Self

from slotzero.clock import elapsed_ns, is_due, later, mono_ns
from slotzero.perf.profile.records import Frame, Profile, Stack

__all__ = ["InProcessSampler"]

_MOST_STACKS: Final = 1_000_000
_DEEPEST: Final = 200
_SWITCH_S: Final = 0.0005
_IDLE: Final = frozenset({"select", "poll"})
_NS_PER_S: Final = 1e9


class InProcessSampler:
    """Samples the thread that opens it: `with InProcessSampler() as sampler: ...`, then `sampler.profile()`.

    Args:
        interval_us: How often. Below 500 the thread switches do not keep up.
    """

    def __init__(self, interval_us: int = 1_000) -> None:
        self._interval_us = interval_us
        self._frames: dict[CodeType, Frame] = {}
        self._stacks: dict[tuple[CodeType, ...], int] = {}
        self._order: list[tuple[CodeType, ...]] = []
        self._at = array("q")
        self._which = array("l")
        self._weight = array("q")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="slotzero-profile", daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._target = threading.get_ident()
        self._switch_before = sys.getswitchinterval()
        sys.setswitchinterval(_SWITCH_S)
        self._began = mono_ns()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""
        self._ended.set()
        self._thread.join()
        self._stopped = mono_ns()
        sys.setswitchinterval(self._switch_before)

    def profile(self, *, since: int | None = None, until: int | None = None) -> Profile:
        """Return what was seen, or what was seen between two instants."""
        low = self._began if since is None else since
        high = self._stopped if until is None else until
        weights: dict[int, int] = {}
        taken = 0
        for at, which, weight in zip(self._at, self._which, self._weight, strict=True):
            if is_due(low, at) and is_due(at, high):
                weights[which] = weights.get(which, 0) + weight
                taken += 1
        return Profile(
            stacks=tuple(Stack(self._named(which), weight) for which, weight in sorted(weights.items()) if weight),
            source="in-process",
            window_ns=elapsed_ns(low, high),
            interval_us=self._interval_us,
            taken=taken,
        )

    def timeline(self, since: int, until: int) -> list[tuple[int, int, Frame]]:
        """Return the stacks between two instants in their order: instant, weight and innermost function."""
        return [
            (at, weight, self._frame(self._order[which][-1]))
            for at, which, weight in zip(self._at, self._which, self._weight, strict=True)
            if is_due(since, at) and is_due(at, until)
        ]

    def _run(self) -> None:
        clock = _cpu_clock(self._target)
        used = time.clock_gettime_ns(clock) if clock is not None else 0
        due = later(mono_ns(), self._interval_us * 1_000)
        while not self._ended.wait(max(elapsed_ns(mono_ns(), due), 0) / _NS_PER_S) and len(self._at) < _MOST_STACKS:
            now = mono_ns()
            due = later(now, self._interval_us * 1_000)
            frame = sys._current_frames().get(self._target)  # noqa: SLF001 there is no public way to it
            if clock is None:
                weight = 0 if frame is None or frame.f_code.co_name in _IDLE else self._interval_us * 1_000
            else:
                before, used = used, time.clock_gettime_ns(clock)
                weight = used - before
            if frame is not None and weight > 0:
                self._keep(now, frame, weight)

    def _keep(self, now: int, frame: FrameType, weight: int) -> None:
        codes: list[CodeType] = []
        at: FrameType | None = frame
        while at is not None and len(codes) < _DEEPEST:
            codes.append(at.f_code)
            at = at.f_back
        stack = tuple(reversed(codes))
        which = self._stacks.get(stack)
        if which is None:
            which = self._stacks[stack] = len(self._order)
            self._order.append(stack)
        self._at.append(now)
        self._which.append(which)
        self._weight.append(weight)

    def _named(self, which: int) -> tuple[Frame, ...]:
        return tuple(self._frame(code) for code in self._order[which])

    def _frame(self, code: CodeType) -> Frame:
        frame = self._frames.get(code)
        if frame is None:
            frame = self._frames[code] = Frame(code.co_qualname, _short(code.co_filename), code.co_firstlineno)
        return frame


def _short(file: str) -> str:
    """Return a file's name from the folder that imports start at, as py-spy writes it."""
    roots = [f"{root}/" for root in sys.path if root]
    known = max((root for root in roots if file.startswith(root)), key=len, default="")
    return file.removeprefix(known)


def _cpu_clock(thread: int) -> int | None:
    """Return the clock of a thread's CPU time. The thread must outlive its use."""
    get = getattr(time, "pthread_getcpuclockid", None)
    return None if get is None else int(get(thread))
