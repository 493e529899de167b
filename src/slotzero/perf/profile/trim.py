"""Cuts the lab out of a profile: what is left is the measured callable, and what else ran meanwhile. Pure."""

from itertools import dropwhile
from typing import Final

from msgspec.structs import replace

from slotzero.perf.profile.records import Frame, Profile, Stack

__all__ = ["OTHERS", "trimmed"]

OTHERS: Final = Frame("other tasks and threads")
"""Stands above stacks that the measured callable is not on."""
_LAB: Final = "slotzero/perf/"
_TAPE: Final = (f"{_LAB}evidence_watch.py", f"{_LAB}stages.py")
_HARNESS: Final = frozenset(
    f"{name}.py"
    for name in (
        "benchmark",
        "diagnosis",
        "environment",
        "evidence_watch",
        "resources",
        "sampler",
        "timing",
        "watchdog",
    )
)
"""Who measures: anything of theirs that is not the measured callable is the lab's own work."""
_WRAPPERS: Final = frozenset({"awaited", "called"})
"""Functions of `evidence_watch` that call the measured callable; `stages` is what they note a sample with."""
_IDLE: Final = frozenset({"select", "poll", "_worker", "wait"})
_MACHINERY: Final = ("asyncio/", "concurrent/", "selectors.py", "threading.py", "contextlib.py")


def trimmed(profile: Profile, title: str) -> Profile:
    """Return the profile with `title` above the measured callable's stacks and `OTHERS` above the rest. *Pure.*

    Stacks of the lab itself (its reference work, its threads) and stacks that only wait are left out.
    """
    found: dict[tuple[Frame, ...], int] = {}
    for stack in profile.stacks:
        frames = _cut(stack.frames, Frame(title))
        if frames:
            found[frames] = found.get(frames, 0) + stack.weight_ns
    return replace(profile, stacks=tuple(Stack(frames, weight) for frames, weight in found.items()))


def _cut(frames: tuple[Frame, ...], title: Frame) -> tuple[Frame, ...]:
    wrapper = next((place for place, frame in enumerate(frames) if _is_wrapper(frame)), None)
    if wrapper is not None:
        inner = frames[wrapper + 1 :]
        is_tape = not inner or inner[-1].file.endswith(_TAPE) or inner[0].file == "contextlib.py"
        return () if is_tape else (title, *inner)
    if not frames or _is_idle(frames[-1]):
        return ()
    # A task's or a callback's own frames begin under the loop's; where there are none, the loop itself is at work.
    first = next((place for place, frame in enumerate(frames) if frame.file.startswith(_MACHINERY)), 0)
    inner = tuple(dropwhile(lambda frame: frame.file.startswith(_MACHINERY), frames[first:]))
    if not inner:
        return (OTHERS, Frame("the event loop"))
    return () if any(_is_harness(frame) for frame in inner) else (OTHERS, *inner)


def _is_wrapper(frame: Frame) -> bool:
    return frame.file.endswith(f"{_LAB}evidence_watch.py") and frame.function.rpartition(".")[2] in _WRAPPERS


def _is_harness(frame: Frame) -> bool:
    return _LAB in frame.file and frame.file.rpartition("/")[2] in _HARNESS


def _is_idle(frame: Frame) -> bool:
    return frame.function.rpartition(".")[2] in _IDLE and frame.file.startswith(_MACHINERY)
