"""The coordinator's half of a distributed run, without any engine: clocks compared, shards followed, results merged.

*Pure*: `now` is handed in, messages come as records. What the engine does is to carry bytes (see `cluster`).
"""

from collections.abc import Iterable, Sequence
from typing import Final, Literal

from msgspec import Struct

from slotzero.clock import elapsed_ns
from slotzero.perf.arrivals import count
from slotzero.perf.generator import Evidence, judge
from slotzero.perf.histogram import Histogram
from slotzero.perf.load_report import Measured, run_figures
from slotzero.perf.load_tape import Sums, Timeline, latency_stats, merge_windows, merged_details
from slotzero.perf.load_types import (
    ERROR_CLASSES,
    ClockCheck,
    GeneratorHealth,
    Incident,
    LoadProgress,
    LoadTestConfig,
    ShardReport,
    Window,
)
from slotzero.perf.shard import Armed, Beat, ClockReading, ShardMessage, ShardStart, Snapshot
from slotzero.perf.thresholds import ThresholdWatch

__all__ = ["ClockProbe", "Follower", "check_clocks", "clock_refusal", "start_for"]

_NS_PER_S: Final = 1_000_000_000
_NS_PER_MS: Final = 1e6
MOST_UNCERTAIN_MS: Final = 5.0
MOST_SKEW_MS: Final = 100.0
_LOST_AFTER_BEATS: Final = 3
_ROUNDING_NS: Final = 50_000_000
"""Two readings of one monotonic clock in two processes cannot lie further apart than the call that took them."""


class ClockProbe(Struct, frozen=True, kw_only=True):
    """One question to a worker for its clocks: ours when it was sent and answered, and what it said."""

    sent_wall_ns: int
    sent_mono_ns: int
    answered_mono_ns: int
    reading: ClockReading


def check_clocks(probes: Sequence[ClockProbe], boot: str) -> ClockCheck:
    """Return how a worker's clock stands to ours, by the quickest of its answers. *Pure.*

    The worker read its clock somewhere between question and answer, so half of the round trip is the uncertainty
    (Cristian 1989).
    """
    best = min(probes, key=lambda probe: elapsed_ns(probe.sent_mono_ns, probe.answered_mono_ns))
    half = elapsed_ns(best.sent_mono_ns, best.answered_mono_ns) // 2
    # An offset has a sign; `elapsed_ns` has none.
    offset = best.reading.wall_ns - (best.sent_wall_ns + half)
    mono = best.reading.mono_ns
    is_same = (
        bool(boot)
        and best.reading.boot == boot
        and best.sent_mono_ns - _ROUNDING_NS <= mono <= best.answered_mono_ns + _ROUNDING_NS
    )
    return ClockCheck(
        offset_ms=round(offset / _NS_PER_MS, 3), uncertainty_ms=round(half / _NS_PER_MS, 3), same_machine=is_same
    )


def clock_refusal(worker: str, check: ClockCheck) -> str | None:
    """Return why a run with this clock would not tell the truth, or None. *Pure.*"""
    beyond_ms = abs(check.offset_ms) - check.uncertainty_ms
    if beyond_ms > MOST_SKEW_MS:
        return (
            f"the clock of {worker} is {check.offset_ms:+.0f} ms from ours (at most {MOST_SKEW_MS:g} ms): "
            "synchronise both (chrony, systemd-timesyncd), then run again"
        )
    if not check.same_machine and check.uncertainty_ms > MOST_UNCERTAIN_MS:
        return (
            f"the clock of {worker} is known to {check.uncertainty_ms:.1f} ms only (at most {MOST_UNCERTAIN_MS:g} ms): "
            "the way to it is too slow for a common start"
        )
    return None


def start_for(check: ClockCheck, *, mono_ns: int, wall_ns: int) -> ShardStart:
    """Return the common instant as a shard's clocks show it. *Pure.*"""
    return ShardStart(
        mono_ns=mono_ns if check.same_machine else None, wall_ns=wall_ns + round(check.offset_ms * _NS_PER_MS)
    )


class _Shard:
    """What is known of one shard."""

    def __init__(self, number: int, worker: str, clock: ClockCheck) -> None:
        self.number = number
        self.worker = worker
        self.clock = clock
        self.heard_ns = 0
        self.is_armed = False
        self.snapshot: Snapshot | None = None
        self.snapshots = 0
        self.windows: dict[int, Window] = {}
        self.state: Literal["waiting", "finished", "lost", "failed"] = "waiting"
        self.lost_at_s: float | None = None
        self.why = ""


class Follower:
    """Follows the shards of one run.

    Args:
        config: The whole run's.
        workers: Who carries each shard, with its clock.
        snapshot_s: How often a shard says something; three times without is lost.
    """

    def __init__(self, config: LoadTestConfig, workers: Sequence[tuple[str, ClockCheck]], *, snapshot_s: float) -> None:
        self.config = config
        self._shards = [_Shard(number, worker, clock) for number, (worker, clock) in enumerate(workers)]
        self._lost_after_ns = round(_LOST_AFTER_BEATS * snapshot_s * _NS_PER_S)
        self._start_ns: int | None = None
        self._thresholds = ThresholdWatch(config.thresholds)
        self._timeline = Timeline()
        self._next_window = 0
        self.incidents: list[Incident] = []
        self._errors_before = dict.fromkeys(ERROR_CLASSES, 0)
        self.stopped: Literal["completed", "interrupted", "aborted"] = "completed"

    # Events

    def received(self, message: ShardMessage, now: int) -> None:
        """Take a message of a shard. One of a lost shard comes too late: its share stands as it was then."""
        shard = self._shards[message.shard]
        if shard.state != "waiting":
            return
        shard.heard_ns = now
        match message:
            case Armed():
                shard.is_armed = True
            case Beat():
                pass
            case Snapshot():
                self._take(shard, message)

    def _take(self, shard: _Shard, snapshot: Snapshot) -> None:
        shard.snapshots += 1
        if shard.snapshot is not None and snapshot.seq <= shard.snapshot.seq:
            return
        shard.snapshot = snapshot
        for window in snapshot.windows:
            number = round(window.at_s / self.config.window_s)
            if number >= self._next_window:
                shard.windows.setdefault(number, window)
        if snapshot.state != "running":
            shard.state = snapshot.state

    def started(self, start_ns: int, now: int) -> None:
        """Note the common instant; from `now` on silence means loss."""
        self._start_ns = start_ns
        for shard in self._shards:
            shard.heard_ns = max(shard.heard_ns, now)

    def gone(self, number: int, why: str, now: int) -> None:
        """Note that the engine has lost a shard, or that it ended without a last word."""
        shard = self._shards[number]
        if shard.state == "waiting":
            self._lose(shard, why, now)

    def look(self, now: int) -> list[int]:
        """Look for shards that have fallen silent. Returns the numbers of those lost since the last look."""
        silent = [
            shard
            for shard in self._shards
            if shard.state == "waiting" and elapsed_ns(shard.heard_ns, now) > self._lost_after_ns
        ]
        for shard in silent:
            quiet_s = elapsed_ns(shard.heard_ns, now) / _NS_PER_S
            self._lose(shard, f"nothing was heard of it for {quiet_s:.1f} s", now)
        return [shard.number for shard in silent]

    def _lose(self, shard: _Shard, why: str, now: int) -> None:
        at_s = 0.0 if self._start_ns is None else round(elapsed_ns(self._start_ns, now) / _NS_PER_S, 3)
        shard.state, shard.lost_at_s, shard.why = "lost", at_s, why
        self.incidents.append(Incident(at_s=at_s, what=f"shard {shard.number} on {shard.worker} was lost: {why}"))

    # State

    @property
    def is_armed(self) -> bool:
        """Tell whether all shards are ready."""
        return all(shard.is_armed for shard in self._shards)

    @property
    def is_ended(self) -> bool:
        """Tell whether no shard has anything more to say."""
        return all(shard.state != "waiting" for shard in self._shards)

    @property
    def failure(self) -> Snapshot | None:
        """Return the last word of a shard that failed, or None."""
        return next((shard.snapshot for shard in self._shards if shard.state == "failed"), None)

    def is_waiting(self, number: int) -> bool:
        """Tell whether something is still expected of a shard."""
        return self._shards[number].state == "waiting"

    def is_lost(self, number: int) -> bool:
        """Tell whether a shard was given up."""
        return self._shards[number].state == "lost"

    def merged(self) -> Sums:
        """Return all that was measured so far."""
        sums = Sums.empty()
        for snapshot in self._snapshots():
            if snapshot.sums:
                sums.merge(Sums.from_bytes(snapshot.sums))
        return sums

    def closed_windows(self, *, is_last: bool = False) -> Iterable[tuple[LoadProgress, str | None]]:
        """Yield progress for each window that all shards have ended, and why the run must end, or None."""
        while self._is_closed(self._next_window) or (is_last and self._has_window(self._next_window)):
            parts = [
                shard.windows.pop(self._next_window) for shard in self._shards if self._next_window in shard.windows
            ]
            self._next_window += 1
            if not parts:
                continue
            window = parts[0]
            for part in parts[1:]:
                window = merge_windows(window, part, beside=True)
            self._timeline.append(window)
            yield self._progress(window), self._judge(window, max(part.cpu_percent or 0.0 for part in parts))

    def _is_closed(self, number: int) -> bool:
        live = [shard for shard in self._shards if shard.state == "waiting"]
        return bool(live) and all(max(shard.windows, default=-1) >= number for shard in live)

    def _has_window(self, number: int) -> bool:
        return any(max(shard.windows, default=-1) >= number for shard in self._shards)

    def _snapshots(self) -> list[Snapshot]:
        return [shard.snapshot for shard in self._shards if shard.snapshot is not None]

    def _by_class(self) -> dict[str, int]:
        return {name: sum(found.by_class.get(name, 0) for found in self._snapshots()) for name in ERROR_CLASSES}

    def _judge(self, window: Window, busiest_percent: float) -> str | None:
        """Judge a merged window, and the CPU of the shard that had most to do in it: each has a core of its own."""
        headline = Histogram() if window.histogram is None else Histogram.from_bytes(window.histogram)
        by_class = self._by_class()
        figures = run_figures(
            headline=headline,
            service=headline if self.config.model == "closed" else None,
            ops=window.ops,
            errors=window.errors,
            by_class={name: number - self._errors_before[name] for name, number in by_class.items()},
            span_s=window.span_s,
            missed=window.missed,
            extra={"cpu_percent": busiest_percent, "rss_mb": window.rss_mb or 0.0},
        )
        self._errors_before = by_class
        is_whole = window.span_s >= self.config.window_s
        why = self._thresholds.window(
            window.at_s,
            figures,
            window.ops + window.errors,
            is_in_plan=is_whole and round(window.at_s + window.span_s, 3) <= self.config.duration,
        )
        if why is not None:
            self.incidents.append(Incident(at_s=round(window.at_s + window.span_s, 3), what=why))
        return why

    def _progress(self, window: Window) -> LoadProgress:
        snapshots = self._snapshots()
        errors = sum(self._by_class().values())
        succeeded = sum(found.begun - found.in_flight - found.interrupted for found in snapshots)
        return LoadProgress(
            elapsed_s=round(window.at_s + window.span_s, 3),
            duration_s=self.config.duration,
            ops_per_s=window.ops_per_s,
            p95_ms=window.p95_ms,
            errors=window.errors,
            in_flight=window.in_flight,
            total_ops=succeeded,
            total_errors=errors,
            missed_starts=sum(found.dropped + found.late + found.unstarted for found in snapshots),
            shards=sum(shard.state == "waiting" for shard in self._shards),
        )

    # At the end

    def measured(self) -> Measured:
        """Return the whole run as one."""
        config, snapshots, sums = self.config, self._snapshots(), self.merged()
        list(self.closed_windows(is_last=True))
        is_open = config.model == "open"
        drivers = [found.driver for found in snapshots if found.driver is not None]
        begun = sum(found.begun for found in snapshots)
        planned = self._planned(snapshots) if is_open else None
        lost = (
            *(_loss(shard) for shard in self._shards if shard.state == "lost"),
            *(why for shard in self._shards if shard.state == "finished" and (why := _missing(shard)) is not None),
        )
        delays = [found.loop_delay for found in drivers if found.loop_delay is not None]
        cpu_percent = max((found.process.avg_cpu_percent for found in snapshots if found.process), default=0.0)
        peak = sum(found.peak_in_flight for found in snapshots)
        evidence = Evidence(
            model=config.model,
            cpu_percent=cpu_percent,
            lateness=sums.lateness if is_open else None,
            dispatch=sums.dispatch if is_open else None,
            response=sums.response if is_open else None,
            planned=planned,
            started=begun,
            most_in_flight=config.most_in_flight,
            peak_in_flight=peak,
            loop_delay_p99_ms=max((found.p99_ms for found in delays), default=None),
            gc_max_ms=max((found.gc.max_ms for found in drivers), default=0.0),
            lost=lost,
        )
        verdict, reasons = judge(evidence)
        machines = [found.machine.steal_percent for found in drivers if found.machine is not None]
        health = GeneratorHealth(
            verdict=verdict,
            reasons=reasons,
            lateness_ms=latency_stats(sums.lateness),
            dispatch_ms=latency_stats(sums.dispatch),
            cpu_percent=cpu_percent,
            loop_delay_p50_ms=max((found.p50_ms for found in delays), default=None),
            loop_delay_p99_ms=evidence.loop_delay_p99_ms,
            gc_pauses=sum(found.gc.pauses for found in drivers),
            gc_max_ms=evidence.gc_max_ms,
            gc_total_ms=sum(found.gc.total_ms for found in drivers),
            planned=planned,
            started=begun,
            dropped=sum(found.dropped for found in snapshots),
            late=sum(found.late for found in snapshots),
            unstarted=sum(found.unstarted for found in snapshots),
            peak_fds=max((found.peak_fds for found in drivers if found.peak_fds is not None), default=None),
            steal_percent=max(machines, default=None),
            pacer=next((found.pacer for found in snapshots if found.pacer), None),
        )
        ended = [found for found in snapshots if found.state == "finished"]
        return Measured(
            config=config,
            sums=sums,
            by_class=self._by_class(),
            details=merged_details([found.details for found in snapshots]),
            interrupted=sum(found.interrupted for found in snapshots),
            in_plan=sum(found.in_plan for found in snapshots),
            begun_in_plan=sum(found.begun_in_plan for found in snapshots),
            begun=begun,
            dropped=health.dropped,
            late=health.late,
            unstarted=health.unstarted,
            planned=planned,
            peak_in_flight=peak,
            duration_s=min(max((found.at_s for found in snapshots), default=0.0), config.duration),
            drain_s=max((found.drain_s for found in ended), default=0.0),
            verdict=(verdict, reasons),
            driver=None,
            processes={f"shard-{found.shard}": found.process for found in snapshots if found.process is not None},
            thresholds=self._thresholds,
            timeline=tuple(self._timeline.windows),
            stopped=self.stopped,
            incidents=tuple(
                sorted(
                    (*self.incidents, *(incident for found in snapshots for incident in found.incidents)),
                    key=lambda incident: incident.at_s,
                )
            ),
            pacer=health.pacer,
            event_loop=next((found.event_loop for found in ended), ""),
            shards=tuple(self._report(shard) for shard in self._shards),
            health=health,
        )

    def _planned(self, snapshots: list[Snapshot]) -> int:
        """Return the whole plan's arrivals: those of a lost shard were planned too, and never started."""
        plan = self.config.open_plan
        if plan is not None and self.stopped == "completed":
            return count(plan, self.config.duration)
        return sum(found.planned for found in snapshots)

    def _report(self, shard: _Shard) -> ShardReport:
        found = shard.snapshot
        errors = sum(found.by_class.values()) if found else 0
        skew = found.start_skew_ns if found else None
        return ShardReport(
            shard=shard.number,
            worker=shard.worker,
            state="lost" if shard.state == "waiting" else shard.state,
            total_ops=_succeeded(found) + errors if found else 0,
            errors=errors,
            missed_starts=found.dropped + found.late + found.unstarted if found else 0,
            snapshots=shard.snapshots,
            last_snapshot_s=found.at_s if found else 0.0,
            clock=shard.clock,
            start_skew_ms=None if skew is None else round(skew / _NS_PER_MS, 3),
            lost_at_s=shard.lost_at_s,
            why=shard.why,
        )


def _loss(shard: _Shard) -> str:
    end_s = shard.snapshot.at_s if shard.snapshot else 0.0
    return (
        f"shard {shard.number} on {shard.worker} was lost {shard.lost_at_s:.1f} s after the start ({shard.why}); "
        f"its figures end at {end_s:.1f} s"
    )


def _missing(shard: _Shard) -> str | None:
    """Return how many operations of a shard that has ended are in no count; its own incidents tell why."""
    found = shard.snapshot
    assert found is not None, "it ends with one"
    missing = found.begun - _succeeded(found) - sum(found.by_class.values()) - found.interrupted
    return f"{missing} of shard {shard.number}'s operations did not end, or in no count" if missing else None


def _succeeded(found: Snapshot) -> int:
    return Histogram.from_bytes(found.sums["service"]).count if found.sums else 0
