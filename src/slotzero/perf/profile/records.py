"""A profile as counted stacks: the form that adds up, subtracts and draws. Pure."""

from collections.abc import Iterable

from msgspec import Struct

__all__ = ["Frame", "Profile", "Stack", "from_collapsed", "own_weights", "to_collapsed"]


class Frame(Struct, frozen=True, order=True):
    """One function on a stack. `line` is where the function begins, 0 where that is not known."""

    function: str
    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        """Return it as "function (file:line)"."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{self.function} ({place})" if place else self.function


class Stack(Struct, frozen=True):
    """Frames from the outermost inwards, and how much time was spent there."""

    frames: tuple[Frame, ...]
    weight_ns: int


class Profile(Struct, frozen=True, kw_only=True):
    """Where CPU time went in the measured window.

    Attributes:
        source: "py-spy" or "in-process".
        window_ns: How long the window was.
        interval_us: How often stacks were taken.
        taken: How many were.
        samples: How many calls of the measured callable the window held; 0 where nobody counted.
        notes: Sentences a reader should know.
    """

    stacks: tuple[Stack, ...]
    source: str
    window_ns: int
    interval_us: int
    taken: int
    samples: int = 0
    notes: tuple[str, ...] = ()

    @property
    def total_ns(self) -> int:
        """Return the time of all stacks together."""
        return sum(stack.weight_ns for stack in self.stacks)


def own_weights(profile: Profile) -> list[tuple[Frame, int]]:
    """Return the time each function spent itself, not in what it called, the most first. *Pure.*"""
    found: dict[Frame, int] = {}
    for stack in profile.stacks:
        if stack.frames:
            leaf = stack.frames[-1]
            found[leaf] = found.get(leaf, 0) + stack.weight_ns
    return sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))


def to_collapsed(profile: Profile) -> str:
    """Return one line for each stack, outermost frame first, with its weight in microseconds. *Pure.*"""
    lines = (
        f"{';'.join(str(frame).replace(';', ',') for frame in stack.frames)} {max(round(stack.weight_ns / 1_000), 1)}"
        for stack in profile.stacks
        if stack.frames
    )
    return "".join(f"{line}\n" for line in lines)


def from_collapsed(lines: Iterable[str], *, weight_ns: int) -> tuple[Stack, ...]:
    """Return the stacks of collapsed lines, each count worth `weight_ns`; lines without a count go. *Pure.*"""
    found: dict[tuple[Frame, ...], int] = {}
    for line in lines:
        text, _, count = line.rstrip().rpartition(" ")
        if not text or not count.isdigit():
            continue
        frames = tuple(_frame(part) for part in text.split(";"))
        found[frames] = found.get(frames, 0) + int(count) * weight_ns
    return tuple(Stack(frames, weight) for frames, weight in found.items())


def _frame(text: str) -> Frame:
    """Read "function (path/file.py:12)"; a text of any other form is the function's name."""
    function, bracket, rest = text.strip().rpartition(" (")
    if not bracket or not rest.endswith(")"):
        return Frame(text.strip())
    file, colon, line = rest[:-1].rpartition(":")
    if not colon or not line.isdigit():
        return Frame(function, rest[:-1])
    return Frame(function, file, int(line))
