"""Is the generator fit to be believed? Its health, that of watched processes, and the verdict.

Model: a load figure speaks of the target only where the generator began operations when the plan said so, and where
nothing else was at its limit. The verdict is by fixed rules and one-sided: it can say what else was measured, never
that the target was. In order of precedence:

* degraded: a shard, a watched process or operations were lost on the way.
* generator_limited: an open plan's lateness p99 is above max(5 ms, 2 % of the response p50), or fewer than 99 % of its
  arrivals were started, or the driver used more than 90 % of a core, or a closed plan's loop delay p99 is above 10 ms.
* chain_limited: the process watched as "chain" used more than 90 % of a core, or its receive-to-execute queue p99
  (the probe's "chain_queue_p99_ms") is above 10 ms.

CPU is averaged from the plan's start to its end, without the time in which the last operations end.

Weakness: an operation that computes in the driver's own process counts as the driver's CPU.
"""

import os
from typing import Final, Literal

from msgspec import Struct

from slotzero.clock import elapsed_ns, mono_ns
from slotzero.perf import procfs
from slotzero.perf.histogram import Histogram
from slotzero.perf.load_types import ProcessStats, Verdict

__all__ = ["Evidence", "ProcessWatch", "judge"]

LATENESS_MS: Final = 5.0
LATENESS_OF_RESPONSE: Final = 0.02
LEAST_STARTED_PERCENT: Final = 99.0
MOST_CPU_PERCENT: Final = 90.0
LOOP_DELAY_MS: Final = 10.0
CHAIN_QUEUE_MS: Final = 10.0
_GC_PAUSE_MS: Final = 5.0
_NS_PER_S: Final = 1e9
_NS_PER_MS: Final = 1e6
_MB: Final = 1e6


class Evidence(Struct, frozen=True, kw_only=True):
    """What the verdict is judged by. For a closed plan `planned` is None.

    Attributes:
        lost: What was lost on the way, one sentence each.
    """

    model: Literal["closed", "open"]
    cpu_percent: float
    lateness: Histogram | None = None
    dispatch: Histogram | None = None
    response: Histogram | None = None
    planned: int | None = None
    started: int = 0
    most_in_flight: int = 0
    peak_in_flight: int = 0
    loop_delay_p99_ms: float | None = None
    gc_max_ms: float = 0.0
    chain_cpu_percent: float | None = None
    chain_queue_p99_ms: float | None = None
    lost: tuple[str, ...] = ()


def judge(found: Evidence) -> tuple[Verdict, tuple[str, ...]]:
    """Return what a run's figures are worth, and why. *Pure.*"""
    generator = _generator(found)
    chain = _chain(found)
    verdict: Verdict = (
        "degraded" if found.lost else "generator_limited" if generator else "chain_limited" if chain else "ok"
    )
    return verdict, (*found.lost, *generator, *chain)


def _generator(found: Evidence) -> list[str]:
    reasons = []
    if found.model == "open":
        reasons += _lateness(found)
        if found.planned and 100 * found.started / found.planned < LEAST_STARTED_PERCENT:
            reasons.append(
                f"{found.started} of {found.planned} planned operations were started, "
                f"fewer than {LEAST_STARTED_PERCENT:g} %{_full(found)}"
            )
    elif found.loop_delay_p99_ms is not None and found.loop_delay_p99_ms > LOOP_DELAY_MS:
        reasons.append(
            f"the event loop let a ready callback wait {found.loop_delay_p99_ms:.1f} ms (p99, limit "
            f"{LOOP_DELAY_MS:g} ms): the operations themselves keep it busy"
        )
    if found.cpu_percent > MOST_CPU_PERCENT:
        reasons.append(f"the driver used {found.cpu_percent:.0f} % of a core (limit {MOST_CPU_PERCENT:g} %)")
    if reasons and found.gc_max_ms > _GC_PAUSE_MS:
        reasons.append(f"the garbage collector held everything up for {found.gc_max_ms:.1f} ms at once")
    return reasons


def _lateness(found: Evidence) -> list[str]:
    if found.lateness is None or not found.lateness.count:
        return []
    late_ms = found.lateness.percentile(99) / _NS_PER_MS
    response_ms = found.response.percentile(50) / _NS_PER_MS if found.response and found.response.count else 0.0
    limit_ms = max(LATENESS_MS, LATENESS_OF_RESPONSE * response_ms)
    if late_ms <= limit_ms:
        return []
    own_ms = found.dispatch.percentile(99) / _NS_PER_MS if found.dispatch and found.dispatch.count else late_ms
    own = f"{own_ms:.1f} ms of it until they were dispatched"
    limits = f"p99, limit {limit_ms:.1f} ms; {own}"
    return [f"operations began {late_ms:.1f} ms after their planned instant ({limits}){_full(found)}"]


def _full(found: Evidence) -> str:
    if found.peak_in_flight < found.most_in_flight:
        return ""
    return f"; all {found.most_in_flight} places in flight were taken: allow more, or offer less"


def _chain(found: Evidence) -> list[str]:
    reasons = []
    if found.chain_cpu_percent is not None and found.chain_cpu_percent > MOST_CPU_PERCENT:
        reasons.append(f"the chain used {found.chain_cpu_percent:.0f} % of a core (limit {MOST_CPU_PERCENT:g} %)")
    if found.chain_queue_p99_ms is not None and found.chain_queue_p99_ms > CHAIN_QUEUE_MS:
        reasons.append(
            f"what the chain received waited {found.chain_queue_p99_ms:.1f} ms to be executed "
            f"(p99, limit {CHAIN_QUEUE_MS:g} ms)"
        )
    return reasons


class ProcessWatch:
    """Watches another process by its id: CPU, memory, files, and whether it lives. *Does I/O.*

    On Linux from /proc; elsewhere only whether it lives is known.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.is_stopped = False
        self._born, self._first = _read(pid)
        self._last = self._first
        self._began = self._last_at = mono_ns()
        self._plan_end: tuple[procfs.ProcessTimes | None, int] | None = None
        self._peak_cpu = 0.0
        self._peak_rss = self._first.rss_bytes if self._first else 0
        self._peak_fds = 0
        self.ended_at_s: float | None = None
        self.cpu_percent = 0.0
        self.rss_mb = round(self._peak_rss / _MB, 3)

    def begin(self) -> None:
        """Count from now on."""
        born, times = _read(self.pid)
        if times is not None and born == self._born:
            self._first = self._last = times
            self._began = self._last_at = mono_ns()

    def end_plan(self) -> None:
        """Take the reading that the average counts to: what is used later, while the rest ends, would dilute it."""
        born, times = _read(self.pid)
        is_alive = times is not None and born == self._born
        self._plan_end = (times, mono_ns()) if is_alive else (self._last, self._last_at)

    def look(self, at_s: float) -> bool:
        """Take a reading. Returns whether the process lives."""
        if self.ended_at_s is not None:
            return False
        born, times = _read(self.pid)
        now = mono_ns()
        if times is None or born != self._born or born is None:
            if times is None and not procfs.is_linux_proc() and _lives(self.pid):
                return True
            self.ended_at_s = round(at_s, 3)
            return False
        span_s = elapsed_ns(self._last_at, now) / _NS_PER_S
        if self._last is not None and span_s > 0:
            self.cpu_percent = round(100 * max(times.cpu_s - self._last.cpu_s, 0) / span_s, 2)
            if span_s > 0.05:  # noqa: PLR2004 shorter ones divide the kernel's 10 ms by nearly nothing
                self._peak_cpu = max(self._peak_cpu, self.cpu_percent)
        self._last, self._last_at = times, now
        self._peak_rss = max(self._peak_rss, times.rss_bytes)
        self._peak_fds = max(self._peak_fds, procfs.open_files(self.pid) or 0)
        self.rss_mb = round(times.rss_bytes / _MB, 3)
        self.is_stopped = _state(self.pid) in {"T", "t"}
        return True

    def stats(self) -> ProcessStats:
        """Return what it used from the first to the last reading; on average until `end_plan`, if that was called."""
        first, last = self._first, self._last
        until, until_at = self._plan_end or (last, self._last_at)
        span_s = max(elapsed_ns(self._began, until_at) / _NS_PER_S, 1e-9)
        known = first is not None and last is not None
        average = 100 * (until.cpu_s - first.cpu_s) / span_s if first is not None and until is not None else 0.0
        growth = last.rss_bytes - first.rss_bytes if first is not None and last is not None else 0
        return ProcessStats(
            pid=self.pid,
            avg_cpu_percent=round(average, 2),
            peak_cpu_percent=max(self._peak_cpu, round(average, 2)) if known else 0.0,
            peak_rss_mb=round(self._peak_rss / _MB, 3),
            rss_growth_mb=round(growth / _MB, 3),
            peak_fds=self._peak_fds or None,
            ended_at_s=self.ended_at_s,
        )


_STARTTIME: Final = 19
_GONE: Final = frozenset("ZXx")


def _read(pid: int) -> tuple[str | None, procfs.ProcessTimes | None]:
    """Return when a process began, in the kernel's own terms, and what it uses; None of both when it has ended."""
    text = procfs.read_text(f"/proc/{pid}/stat")
    if not text:
        return None, None
    fields = text[text.rfind(")") + 1 :].split()
    if fields[0] in _GONE:
        return None, None
    return fields[_STARTTIME], procfs.parse_process(text)


def _state(pid: int) -> str:
    text = procfs.read_text(f"/proc/{pid}/stat") or ""
    return text[text.rfind(")") + 1 :].strip()[:1]


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
