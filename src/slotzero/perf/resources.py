"""What a benchmark uses: the process, its descendants and the machine, from the kernel's own accounting.

Model: totals (CPU time, context switches, collector pauses) are differences of two readings of exact counters, not
sampled guesses. Only peaks are sampled, by a thread that wakes once in an interval; where the kernel's high-water mark
of RSS rose meanwhile, that is the peak, so a short spike between two readings is not lost. The loop's delay is probed
from that thread too: from `call_soon_threadsafe` to the call, so no timer's rounding is in it.

Weaknesses: the kernel counts a descendant's CPU in ticks of 10 ms. The thread needs the interpreter's lock: its cost
is in the process's own figures, is published in `SamplerCost`, and at intervals of some milliseconds it shows in p99.
Off Linux there is the process alone (`source` is "rusage").
"""

import asyncio
import gc
import os
import resource
import sys
import threading
import time
import tracemalloc
from array import array
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from msgspec import Struct

from slotzero.clock import as_ms, elapsed_ns, mono_ns, ms
from slotzero.perf import procfs
from slotzero.perf.procfs import CpuTimes
from slotzero.perf.stats import nearest_rank
from slotzero.perf.types import (
    ChildStats,
    CpuPercent,
    GcStats,
    LoopDelayStats,
    MachineStats,
    MemoryMB,
    ResourcePoint,
    ResourceStats,
    SamplerCost,
)
from slotzero.units import LatencyMs

__all__ = ["ResourceWatch"]

_MB: Final = 1e6
_NS_PER_S: Final = 1e9
_MAXRSS_BYTES: Final = 1 if sys.platform == "darwin" else 1024
_MOST_PROBES: Final = 100_000
_MOST_PAUSES: Final = 100_000
"""Bounds of what is kept one by one: beyond them counts and totals go on, and the newest are left out."""
_MOST_POINTS: Final = 1_000
"""Of the timeline: when it is full, every other point goes, and from then on every other reading is left out."""


class _Reading(Struct, frozen=True, kw_only=True):
    mono: int
    user_s: float
    system_s: float
    voluntary: int
    involuntary: int
    max_rss: int
    blocks: int
    machine: CpuTimes | None


class _Children(Struct, frozen=True, kw_only=True):
    count: int
    rss: int
    cpu_s: float


class ResourceWatch:
    """Watches the process while it is open: `with ResourceWatch(...) as watch: ...`, then `watch.stats()`.

    Args:
        interval_ms: How often peaks are sampled.
        loop: The loop whose delay is probed, or None.
        trace_heap: Whether to trace the Python heap meanwhile (slow: see `BenchmarkOptions`).
        sample: Says which sample is under way, so that pauses can be told to samples; 0 for none.
    """

    def __init__(
        self,
        *,
        interval_ms: int = 100,
        loop: asyncio.AbstractEventLoop | None = None,
        trace_heap: bool = False,
        sample: Callable[[], int] = lambda: 0,
    ) -> None:
        self._interval_ms = interval_ms
        self._loop = loop
        self._trace_heap = trace_heap
        self._collector = _Collector(sample)
        self._is_proc = procfs.is_linux_proc()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="slotzero-resources", daemon=True)
        self._peak_rss = self._peak_fds = self._peak_threads = 0
        self._peak_children = self._peak_children_rss = 0
        self._peak_cpu = 0.0
        self._delays = array("q")
        self._ticks = self._wall_ns = self._cpu_ns = 0
        self._timeline: list[ResourcePoint] = []
        self._every = 1

    def __enter__(self) -> Self:
        """Begin. The first reading comes last, so that starting up is not in it."""
        self._started_tracing = self._trace_heap and not tracemalloc.is_tracing()
        if self._started_tracing:
            tracemalloc.start()
        if self._trace_heap:
            tracemalloc.reset_peak()
        self._children_before = self._children()
        self._observe()
        self._rss_before = self._peak_rss
        self._last = self._read()  # the thread compares with it from its first reading on
        self._thread.start()
        gc.callbacks.append(self._collector)
        self._before = self._read()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End. The last reading comes first, for the same reason."""
        self._after = self._read()
        gc.callbacks.remove(self._collector)
        self._ended.set()
        self._thread.join()
        self._rss_after = self._observe()
        self._children_after = self._children()
        self._heap = tracemalloc.get_traced_memory()[1] if self._trace_heap else None
        if self._started_tracing:
            tracemalloc.stop()

    def stats(self) -> ResourceStats:
        """Return what was used while it was open. *Does I/O.*"""
        before, after = self._before, self._after
        wall_s = max(elapsed_ns(before.mono, after.mono), 1) / _NS_PER_S
        user, system = after.user_s - before.user_s, after.system_s - before.system_s
        average = 100 * (user + system) / wall_s
        peak_rss = max(self._peak_rss, after.max_rss if after.max_rss > before.max_rss else 0)
        pss = procfs.proportional_bytes() if self._is_proc else None
        return ResourceStats(
            peak_rss_mb=_mb(peak_rss),
            rss_growth_mb=round((self._rss_after - self._rss_before) / _MB, 3),
            pss_mb=None if pss is None else _mb(pss),
            python_heap_mb=None if self._heap is None else _mb(self._heap),
            heap_blocks_growth=after.blocks - before.blocks,
            avg_cpu_percent=_percent(average),
            peak_cpu_percent=_percent(max(self._peak_cpu, average)),
            cpu_user_s=round(user, 6),
            cpu_system_s=round(system, 6),
            switches_voluntary=after.voluntary - before.voluntary,
            switches_involuntary=after.involuntary - before.involuntary,
            peak_fds=self._peak_fds or None,
            peak_threads=self._peak_threads or None,
            gc=self._collector.stats(),
            loop_delay=self._loop_delay(),
            children=self._child_stats(),
            machine=self._machine(wall_s),
            sampler=self._cost(wall_s),
            source="proc" if self._is_proc else "rusage",
            timeline=tuple(self._timeline),
        )

    # The thread

    def _sample(self) -> None:
        while not self._ended.wait(ms(self._interval_ms) / _NS_PER_S):
            # The thread's own CPU time is accounting, not an instant: `clock` has no business with it.
            began, used = mono_ns(), time.thread_time_ns()
            self._note(began, self._observe(), self._busiest())
            self._ticks += 1
            self._cpu_ns += time.thread_time_ns() - used
            self._wall_ns += elapsed_ns(began, mono_ns())
            if self._loop is not None and len(self._delays) < _MOST_PROBES:
                asked = mono_ns()
                try:
                    self._loop.call_soon_threadsafe(self._probed, asked)
                except RuntimeError:  # the loop has been closed under us
                    self._loop = None

    def _probed(self, asked: int) -> None:
        self._delays.append(elapsed_ns(asked, mono_ns()))

    def _observe(self) -> int:
        """Read what only peaks are known of. Returns RSS in bytes."""
        if self._is_proc:
            mine = procfs.process_times()
            rss, threads = (mine.rss_bytes, mine.threads) if mine else (0, 0)
            self._peak_fds = max(self._peak_fds, procfs.open_files() or 0)
            self._peak_threads = max(self._peak_threads, threads)
            children = self._children()
            if children is not None:
                self._peak_children = max(self._peak_children, children.count)
                self._peak_children_rss = max(self._peak_children_rss, children.rss)
        else:
            rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_BYTES
        self._peak_rss = max(self._peak_rss, rss)
        return rss

    def _busiest(self) -> float | None:
        """Return the CPU share of the interval that ends now, or None when it was too short to tell."""
        now, last = self._read(machine=False), self._last
        span_s = elapsed_ns(last.mono, now.mono) / _NS_PER_S
        if span_s <= ms(self._interval_ms) / _NS_PER_S / 2:  # it divides the kernel's steps by nearly nothing
            return None
        used = now.user_s + now.system_s - last.user_s - last.system_s
        self._peak_cpu = max(self._peak_cpu, 100 * used / span_s)
        self._last = now
        return 100 * used / span_s

    def _note(self, now: int, rss: int, cpu_percent: float | None) -> None:
        if cpu_percent is None or self._ticks % self._every:
            return
        at_ms = as_ms(elapsed_ns(self._before.mono, now))
        self._timeline.append(ResourcePoint(at_ms=at_ms, rss_mb=_mb(rss), cpu_percent=_percent(cpu_percent)))
        if len(self._timeline) >= _MOST_POINTS:
            del self._timeline[1::2]
            self._every *= 2

    # Readings

    def _read(self, *, machine: bool = True) -> _Reading:
        used = resource.getrusage(resource.RUSAGE_SELF)
        return _Reading(
            mono=mono_ns(),
            user_s=used.ru_utime,
            system_s=used.ru_stime,
            voluntary=used.ru_nvcsw,
            involuntary=used.ru_nivcsw,
            max_rss=used.ru_maxrss * _MAXRSS_BYTES,
            blocks=sys.getallocatedblocks(),
            machine=procfs.cpu_times() if machine and self._is_proc else None,
        )

    def _children(self) -> _Children | None:
        """Return all descendants. Their CPU and that of the ended ones add up: who is waited for moves to its parent.

        So the difference of two readings is what all of them used in between, whoever was born or ended.
        """
        pids = procfs.descendants() if self._is_proc else None
        if pids is None:
            return None
        alive = [found for pid in pids if (found := procfs.process_times(pid)) is not None]
        reaped = resource.getrusage(resource.RUSAGE_CHILDREN)
        return _Children(
            count=len(alive),
            rss=sum(child.rss_bytes for child in alive),
            cpu_s=reaped.ru_utime + reaped.ru_stime + sum(child.cpu_s + child.reaped_cpu_s for child in alive),
        )

    # Figures

    def _loop_delay(self) -> LoopDelayStats | None:
        if not self._delays:
            return None
        ordered = sorted(self._delays)
        return LoopDelayStats(
            probes=len(ordered),
            p50_ms=as_ms(int(nearest_rank(ordered, 50))),
            p99_ms=as_ms(int(nearest_rank(ordered, 99))),
            max_ms=as_ms(ordered[-1]),
        )

    def _child_stats(self) -> ChildStats | None:
        before, after = self._children_before, self._children_after
        if before is None or after is None:
            return None
        return ChildStats(
            peak_count=self._peak_children,
            peak_rss_mb=_mb(self._peak_children_rss),
            cpu_s=round(max(after.cpu_s - before.cpu_s, 0), 3),
        )

    def _machine(self, wall_s: float) -> MachineStats | None:
        before, after, free = self._before.machine, self._after.machine, procfs.available_bytes()
        if before is None or after is None or free is None:
            return None
        total = max(after.total_s - before.total_s, wall_s / 1_000)
        return MachineStats(
            cores=os.cpu_count() or 1,
            cpu_percent=_percent(100 * max(after.busy_s - before.busy_s, 0) / wall_s),
            steal_percent=round(100 * max(after.steal_s - before.steal_s, 0) / total, 2),
            available_mb=_mb(free),
        )

    def _cost(self, wall_s: float) -> SamplerCost:
        ticks = max(self._ticks, 1)
        return SamplerCost(
            interval_ms=self._interval_ms,
            ticks=self._ticks,
            cpu_us=round(self._cpu_ns / ticks / 1_000, 2),
            wall_us=round(self._wall_ns / ticks / 1_000, 2),
            cpu_percent=CpuPercent(round(100 * self._cpu_ns / _NS_PER_S / wall_s, 3)),
        )


class _Collector:
    """The garbage collector's callback: how long each pass held everything up, and which sample it hit."""

    def __init__(self, sample: Callable[[], int]) -> None:
        self._sample = sample
        self._began = 0
        self._pauses = self._total = self._max = 0
        self._generations = [0, 0, 0]
        self._hit: set[int] = set()

    def __call__(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._began = mono_ns()
            return
        took = elapsed_ns(self._began, mono_ns())
        self._pauses += 1
        self._total += took
        self._max = max(self._max, took)
        self._generations[min(info["generation"], 2)] += 1
        if len(self._hit) < _MOST_PAUSES and (number := self._sample()):
            self._hit.add(number)

    def stats(self) -> GcStats:
        first, second, third = self._generations
        return GcStats(
            pauses=self._pauses,
            total_ms=as_ms(self._total),
            max_ms=LatencyMs(as_ms(self._max)),
            by_generation=(first, second, third),
            samples_hit=len(self._hit),
        )


def _mb(size: float) -> MemoryMB:
    return MemoryMB(round(size / _MB, 3))


def _percent(value: float) -> CpuPercent:
    return CpuPercent(round(max(value, 0.0), 2))
