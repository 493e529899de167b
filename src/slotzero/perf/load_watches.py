"""What a load run looks at beside its operations: the driver, the watched processes, the probe. *Does I/O.*

Averages of CPU count from the plan's start to its end. Operations that end later (one that runs into its timeout takes
30 s) would dilute them, and a generator or a chain at its limit would pass.
"""

import os
import resource
from collections.abc import Callable, Mapping
from math import isfinite
from numbers import Real
from sys import intern
from typing import Final

from msgspec.structs import replace

from slotzero.clock import elapsed_ns, mono_ns
from slotzero.perf.classify import message_of
from slotzero.perf.generator import ProcessWatch
from slotzero.perf.load_types import Probe, ProcessStats

__all__ = ["LoadWatches"]

_NS_PER_S: Final = 1e9
_CHAIN: Final = "chain"
_CHAIN_QUEUE: Final = "chain_queue_p99_ms"


class LoadWatches:
    """Watches from now on; `begin` and `end_plan` mark the span that averages are of.

    Args:
        processes: Ids by name.
        probe: Further figures, or None.
        note: Called with an instant in seconds since the start and what happened then.
        lost: Called likewise when a process is found gone.
    """

    def __init__(
        self,
        processes: Mapping[str, int],
        probe: Probe | None,
        *,
        note: Callable[[float, str], None],
        lost: Callable[[float, str], None],
    ) -> None:
        self._processes = {name: ProcessWatch(pid) for name, pid in processes.items()}
        self._driver = ProcessWatch(os.getpid())
        self._probe = probe
        self._note = note
        self._lost = lost
        self._no_figures: set[str] = set()
        self._began = mono_ns(), _own_cpu_s()
        self._cpu_percent: float | None = None
        self.chain_queue_ms: float | None = None

    @property
    def _all(self) -> tuple[ProcessWatch, ...]:
        return self._driver, *self._processes.values()

    def begin(self) -> None:
        """Take the readings that averages count from."""
        self._began = mono_ns(), _own_cpu_s()
        for watch in self._all:
            watch.begin()

    def end_plan(self) -> None:
        """Take the readings that averages count to."""
        began, used_s = self._began
        span_s = elapsed_ns(began, mono_ns()) / _NS_PER_S
        self._cpu_percent = round(100 * (_own_cpu_s() - used_s) / span_s, 2) if span_s else 0.0
        for watch in self._all:
            watch.end_plan()

    def look(self, at_s: float) -> dict[str, float]:
        """Take a reading of everything, at the end of a window. Returns what `Window.extra` holds."""
        self._driver.look(at_s)
        extra: dict[str, float] = {}
        for name, watch in self._processes.items():
            was_ended, was_stopped = watch.ended_at_s is not None, watch.is_stopped
            if watch.look(at_s):
                extra[intern(f"cpu_percent:{name}")] = watch.cpu_percent
                extra[intern(f"rss_mb:{name}")] = watch.rss_mb
                if watch.is_stopped and not was_stopped:
                    self._note(at_s, f"the process {name} ({watch.pid}) has been stopped by a signal")
            elif not was_ended:
                self._lost(at_s, f"the process {name} ({watch.pid}) has ended")
        if self._probe is not None:
            extra.update(self._asked(self._probe, at_s))
        return extra

    def _asked(self, probe: Probe, at_s: float) -> dict[str, float]:
        try:
            figures = {name: float(value) for name, value in probe().items() if self._is_figure(at_s, name, value)}
        except Exception as error:  # noqa: BLE001 somebody else's probe: the run goes on without it, and says so
            self._note(at_s, f"the probe failed with {type(error).__name__}: {message_of(error)}")
            self._probe = None
            return {}
        self.chain_queue_ms = figures.get(_CHAIN_QUEUE, self.chain_queue_ms)
        # Thousands of windows hold these names: they are one string each.
        return {intern(f"probe:{name}"): value for name, value in figures.items()}

    def _is_figure(self, at_s: float, name: str, value: object) -> bool:
        """Tell whether the probe said a finite number; a result with another one could not be read back."""
        if isinstance(value, Real) and isfinite(value):
            return True
        if name not in self._no_figures:
            self._no_figures.add(name)
            said = f"{value}" if isinstance(value, Real) else f"a value of {type(value).__name__}"
            self._note(at_s, f"the probe said {said} for {name}, which is no finite number: it is left out")
        return False

    @property
    def cpu_percent(self) -> float:
        """Return the driver's CPU share since the last look."""
        return self._driver.cpu_percent

    @property
    def rss_mb(self) -> float:
        """Return the driver's memory at the last look."""
        return self._driver.rss_mb

    def driver_stats(self) -> ProcessStats:
        """Return what this process has used since the start."""
        stats, share = self._driver.stats(), self._cpu_percent
        if share is None:
            return stats
        # Its own books are finer than the kernel's steps of 10 ms, and are kept on every system.
        return replace(stats, avg_cpu_percent=share, peak_cpu_percent=max(stats.peak_cpu_percent, share))

    def stats(self) -> dict[str, ProcessStats]:
        """Return what each process has used, by name, the driver first."""
        return {"driver": self.driver_stats(), **{name: watch.stats() for name, watch in self._processes.items()}}

    @property
    def chain_cpu_percent(self) -> float | None:
        """Return the chain's CPU share; None when no process of that name is watched."""
        watch = self._processes.get(_CHAIN)
        return None if watch is None else watch.stats().avg_cpu_percent


def _own_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
