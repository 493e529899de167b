"""Past the capacity: climb until throughput no longer grows, then show what twice that load does.

Each step is a closed load of its own with half as many users again. The climb ends when a step brings hardly more than
the best before, or when too few succeed. The capacity is the lowest step that brings within 5 % of the most. Then three
steps at twice the capacity's users: the median of their throughput against the most says whether the bot degrades or
collapses. Throughput is that of a step's last two thirds: at its beginning users are still coming, and the first snipes
are still under way.

A step in which the generator was the limit, or a process was lost, says nothing of the bot. The climb ends before it
and its users do not count; where the capacity is not reached so, what twice of it does cannot be said either. A step in
which the chain was the limit counts, and says so.
"""

from collections.abc import Sequence
from statistics import median
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from slotzero.perf.arrivals import Closed
from slotzero.perf.load_types import Incident, LoadResult, LoadTestConfig
from slotzero.workloads.scenarios import PreparedScenario, Rerun
from slotzero.workloads.snipe_scenarios.conclusion import Block

__all__ = ["Climbed", "climb", "climb_from", "why_of"]

_LONGEST_STEP_S: Final = 20.0
_GROWTH: Final = 1.5
_MOST_STEPS: Final = 5
_HARDLY_MORE: Final = 1.05
_LEAST_SUCCESS: Final = 80.0
_REPEATS: Final = 3
_PERCENT: Final = 100.0
_MS: Final = 0.001
_NOT_THE_BOT: Final = frozenset({"generator_limited", "degraded"})
"""Verdicts of steps that measured something else."""


class Climbed(Struct, frozen=True, kw_only=True):
    """What a climb has found.

    Attributes:
        blocks: One for each step, and "capacity" unless not even the first step counts or somebody has stopped it. A
            step's verdict is the figure of that name in its block, a 1.
        incidents: What happened meanwhile.
        notes: Why a step's verdict is not "ok", a sentence for each.
        unknown: Why it is not known what twice the capacity's users do; empty when it is.
    """

    blocks: dict[str, Block]
    incidents: tuple[Incident, ...] = ()
    notes: tuple[str, ...] = ()
    unknown: str = ""


async def climb(first: LoadResult, config: LoadTestConfig, rerun: Rerun) -> Climbed:
    """Run the steps after the first. *Does I/O.*

    Args:
        first: The scenario's own run: the lowest step.
        config: Its load, with a closed plan.
        rerun: Puts a load on.
    """
    return await _Climb(config, rerun, None).run(first)


async def climb_from(config: LoadTestConfig, rerun: Rerun, on: PreparedScenario) -> Climbed:
    """Do as `climb` on another scenario that is up, whose first step is not run yet. *Does I/O.*"""
    return await _Climb(config, rerun, on).run(None)


def why_of(step: str, notes: Sequence[str]) -> str:
    """Return why the verdict of the step of that name is not "ok", from a climb's notes; empty when it is. *Pure.*"""
    return next((note.partition(": ")[2] for note in notes if note.startswith(f"{step} was ")), "")


class _Climb:
    """The steps of one climb."""

    def __init__(self, config: LoadTestConfig, rerun: Rerun, on: PreparedScenario | None) -> None:
        plan = config.plan
        assert isinstance(plan, Closed), "a climb is by users"
        self._plan = plan
        self._config = config
        self._rerun = rerun
        self._on = on
        self._step_s = min(_LONGEST_STEP_S, config.duration / _REPEATS)
        self._blocks: dict[str, Block] = {}
        self._incidents: list[Incident] = []
        self._notes: list[str] = []
        self._unknown = ""
        self._is_stopped = False

    async def run(self, first: LoadResult | None) -> Climbed:
        """Climb from the first step; None when that is still to be run."""
        lowest = await self._step("step 1", self._plan.users) if first is None else self._counted("step 1", first)
        if lowest is not None:
            best, peak = await self._to_capacity(lowest)
            twice = await self._at(2 * best.concurrency)
            if not self._is_stopped:
                self._blocks["capacity"] = {
                    "users": best.concurrency,
                    "ops_per_s": peak,
                    "success_percent": best.success_rate_percent,
                    "at_twice_users_ops_per_s": twice,
                    "at_twice_users_percent": round(_PERCENT * twice / peak, 2) if peak and twice is not None else None,
                }
        return Climbed(
            blocks=self._blocks, incidents=tuple(self._incidents), notes=tuple(self._notes), unknown=self._unknown
        )

    async def _to_capacity(self, best: LoadResult) -> tuple[LoadResult, float]:
        """Return the lowest step that brings about the most, and the most."""
        peak, users = _rate(best), best.concurrency
        for number in range(2, _MOST_STEPS + 2):
            users = round(users * _GROWTH)
            step = await self._step(f"step {number}", users)
            if step is None:
                break
            peak = max(peak, _rate(step))
            is_over = _rate(step) < _rate(best) * _HARDLY_MORE
            if is_over or step.success_rate_percent < _LEAST_SUCCESS:
                break
            best = step
        return best, peak

    async def _at(self, users: int) -> float | None:
        """Return the median throughput of some steps with so many users; None when one of them does not count."""
        rates: list[float] = []
        while not self._unknown and len(rates) < _REPEATS:
            step = await self._step(f"overload {len(rates) + 1}", users)
            if step is not None:
                rates.append(_rate(step))
        return None if self._unknown else median(rates)

    async def _step(self, name: str, users: int) -> LoadResult | None:
        """Run one step; None when it does not count: `_unknown` says why then."""
        load = replace(
            self._config,
            scenario=f"{self._config.scenario} {users}",
            arrivals=replace(self._plan, users=users),
            duration=self._step_s,
            ramp_up=min(self._config.ramp_up, self._step_s),
            thresholds=(),
        )
        outcome = await self._rerun(load, self._on)
        if not isinstance(outcome, LoadResult) or outcome.stopped == "interrupted":
            self._is_stopped = True
            self._unknown = f"{name} was stopped" if isinstance(outcome, LoadResult) else f"{name} failed: {outcome}"
            return None
        self._incidents += outcome.incidents
        return self._counted(name, outcome)

    def _counted(self, name: str, step: LoadResult) -> LoadResult | None:
        """Note a step. Returns it when it counts."""
        verdict = step.generator.verdict
        self._blocks[name] = _block(step)
        if verdict == "ok":
            return step
        note = f"{name} was {verdict}: {next(iter(step.generator.reasons), 'no reason was given')}"
        self._notes.append(note)
        if verdict not in _NOT_THE_BOT:
            return step
        self._unknown = note
        return None


def _rate(result: LoadResult) -> float:
    """Return the successes a second of the last two thirds, in windows that lie in them entirely."""
    steady = [
        window
        for window in result.timeline
        if window.at_s >= result.duration_s / 3 and window.at_s + window.span_s <= result.duration_s + _MS
    ]
    span_s = sum(window.span_s for window in steady)
    return round(sum(window.ops for window in steady) / span_s, 3) if span_s else result.achieved_ops_per_s


def _block(result: LoadResult) -> Block:
    return {
        "users": result.concurrency,
        "ops_per_s": _rate(result),
        "success_percent": result.success_rate_percent,
        "p95_ms": None if result.latency_ms is None else result.latency_ms.p95,
        "errors": sum(result.errors.values()),
        result.generator.verdict: 1,
    }
