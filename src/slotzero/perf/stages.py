"""Writes down the stages of samples as they happen, for callables that have no trace of their own.

    tape = StageTape()

    async def snipe() -> None:
        with tape.sample():
            with tape.own("decode"):
                ...
            with tape.call("getAccountInfo", endpoint="rpc-1"):
                ...

A stage costs about 2 us, so this belongs into a pass of its own beside the timed one, or into callables that wait.
Stages begun in tasks of their own are kept under the stage that was open where the task was made.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, Literal

from slotzero.clock import elapsed_ns, mono_ns
from slotzero.perf.evidence import SampleRecord, Stage
from slotzero.units import DurationNs, MonoNs

__all__ = ["Lookup", "StageTape"]

_MOST_STAGES: Final = 2_000
"""Of one sample; later ones are counted as lost."""


class Lookup:
    """One look-up in a cache, while it lasts. It counts as a hit until `miss` is called."""

    __slots__ = ("is_miss",)

    def __init__(self) -> None:
        self.is_miss = False

    def miss(self) -> None:
        """Say that the cache did not have it."""
        self.is_miss = True


class _Open:
    __slots__ = ("stages", "start")

    def __init__(self, start: int) -> None:
        self.start = start
        self.stages: list[Stage | None] = []


class StageTape:
    """Keeps the newest `capacity` samples, and counts what it had to drop.

    Attributes:
        lost_stages: Stages beyond what one sample may have, or begun outside of a sample.
    """

    def __init__(self, capacity: int = 10_000) -> None:
        self._samples: deque[SampleRecord] = deque(maxlen=capacity)
        self._open: ContextVar[tuple[_Open, int] | None] = ContextVar("slotzero_open_stage", default=None)
        self.lost_stages = 0

    @property
    def samples(self) -> tuple[SampleRecord, ...]:
        """Return what is kept, oldest first."""
        return tuple(self._samples)

    def add(self, sample: SampleRecord) -> None:
        """Keep a sample that was put together elsewhere."""
        self._samples.append(sample)

    def replace_newest(self, sample: SampleRecord) -> None:
        """Put `sample` in the place of the newest one."""
        if self._samples:
            self._samples.pop()
        self._samples.append(sample)

    @contextmanager
    def sample(self) -> Iterator[None]:
        """Open a sample. Inside another one it opens none: the outer sample goes on."""
        if self._open.get() is not None:
            yield
            return
        start = mono_ns()
        opened = _Open(start)
        token = self._open.set((opened, -1))
        try:
            yield
        finally:
            took = elapsed_ns(start, mono_ns())
            self._open.reset(token)
            ended = _closed(opened.stages)
            self._samples.append(SampleRecord(start=MonoNs(start), took_ns=took, stages=ended))

    @contextmanager
    def own(self, name: str) -> Iterator[None]:
        """Note a stage that keeps our CPU busy."""
        with self._stage(name, is_own=True):
            yield

    @contextmanager
    def waited(self, name: str) -> Iterator[None]:
        """Note a stage that waits."""
        with self._stage(name, is_own=False):
            yield

    @contextmanager
    def call(self, method: str, *, endpoint: str) -> Iterator[None]:
        """Note a call of `method` to a server."""
        with self._stage(method, is_own=False, endpoint=endpoint):
            yield

    @contextmanager
    def lookup(self, cache: str) -> Iterator[Lookup]:
        """Note a look-up in the cache of that name, with whatever a miss does to fill it."""
        with self._stage(cache, is_own=False, is_lookup=True) as found:
            yield found

    @contextmanager
    def _stage(self, name: str, *, is_own: bool, endpoint: str = "", is_lookup: bool = False) -> Iterator[Lookup]:
        found = Lookup()
        current = self._open.get()
        if current is None or len(current[0].stages) >= _MOST_STAGES:
            self.lost_stages += 1
            yield found
            return
        opened, parent = current
        place = len(opened.stages)
        opened.stages.append(None)
        token = self._open.set((opened, place))
        start = mono_ns()
        try:
            yield found
        finally:
            end = mono_ns()
            self._open.reset(token)
            cache: Literal["", "hit", "miss"] = ("miss" if found.is_miss else "hit") if is_lookup else ""
            opened.stages[place] = Stage(
                name=name,
                start_ns=elapsed_ns(opened.start, start),
                took_ns=elapsed_ns(start, end),
                is_own=is_own,
                parent=parent,
                endpoint=endpoint,
                cache=cache,
            )


def _closed(stages: list[Stage | None]) -> tuple[Stage, ...]:
    """Return the stages that have ended, their parents' places counted anew.

    What is still open when the sample ends runs in a task that nobody waited for.
    """
    places: dict[int, int] = {-1: -1}
    kept: list[Stage] = []
    for place, stage in enumerate(stages):
        if stage is None or stage.parent not in places:
            continue
        places[place] = len(kept)
        parent = places[stage.parent]
        if parent == stage.parent:
            kept.append(stage)
            continue
        kept.append(
            Stage(
                name=stage.name,
                start_ns=DurationNs(stage.start_ns),
                took_ns=stage.took_ns,
                is_own=stage.is_own,
                parent=parent,
                endpoint=stage.endpoint,
                cache=stage.cache,
            )
        )
    return tuple(kept)
