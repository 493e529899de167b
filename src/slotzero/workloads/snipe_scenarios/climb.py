"""Past the capacity: climb until throughput no longer grows, then show what twice that load does.

Each step is a closed load of its own with half as many users again. The climb ends when a step brings hardly more than
the best before, or when too few succeed. The capacity is the lowest step that brings within 5 % of the most. Then three
steps at twice the capacity's users: the median of their throughput against the most says whether the bot degrades or
collapses. Throughput is that of a step's last two thirds: at its beginning users are still coming, and the first snipes
are still under way.
"""

from statistics import median
from typing import Final

from msgspec.structs import replace

from slotzero.perf.arrivals import Closed
from slotzero.perf.load_types import Incident, LoadResult, LoadTestConfig
from slotzero.workloads.scenarios import PreparedScenario, Rerun
from slotzero.workloads.snipe_scenarios.conclusion import Block

__all__ = ["climb", "climb_from"]

_LONGEST_STEP_S: Final = 20.0
_GROWTH: Final = 1.5
_MOST_STEPS: Final = 5
_HARDLY_MORE: Final = 1.05
_LEAST_SUCCESS: Final = 80.0
_REPEATS: Final = 3
_PERCENT: Final = 100.0
_MS: Final = 0.001


async def climb(first: LoadResult, config: LoadTestConfig, rerun: Rerun) -> tuple[dict[str, Block], list[Incident]]:
    """Run the steps after the first. Returns their blocks and what happened meanwhile. *Does I/O.*

    Args:
        first: The scenario's own run: the lowest step.
        config: Its load, with a closed plan.
        rerun: Puts a load on.
    """
    return await _Climb(config, rerun, None).run(first)


async def climb_from(
    config: LoadTestConfig, rerun: Rerun, on: PreparedScenario
) -> tuple[dict[str, Block], list[Incident]]:
    """Do as `climb` on another scenario that is up, whose first step is not run yet. *Does I/O.*"""
    steps = _Climb(config, rerun, on)
    first = await steps.step(steps.plan.users)
    return ({}, []) if first is None else await steps.run(first)


class _Climb:
    """The steps of one climb."""

    def __init__(self, config: LoadTestConfig, rerun: Rerun, on: PreparedScenario | None) -> None:
        plan = config.plan
        assert isinstance(plan, Closed), "a climb is by users"
        self.plan = plan
        self._config = config
        self._rerun = rerun
        self._on = on
        self._step_s = min(_LONGEST_STEP_S, config.duration / _REPEATS)
        self._incidents: list[Incident] = []

    async def run(self, first: LoadResult) -> tuple[dict[str, Block], list[Incident]]:
        """Climb from a first step that has been run."""
        blocks = {"step 1": _step(first)}
        best, peak, users = first, _rate(first), self.plan.users
        for number in range(2, _MOST_STEPS + 2):
            users = round(users * _GROWTH)
            step = await self.step(users)
            if step is None:
                return blocks, self._incidents
            blocks[f"step {number}"] = _step(step)
            peak = max(peak, _rate(step))
            is_over = _rate(step) < _rate(best) * _HARDLY_MORE
            if is_over or step.success_rate_percent < _LEAST_SUCCESS:
                break
            best = step
        rates = []
        for number in range(1, _REPEATS + 1):
            step = await self.step(2 * best.concurrency)
            if step is None:
                return blocks, self._incidents
            blocks[f"overload {number}"] = _step(step)
            rates.append(_rate(step))
        blocks["capacity"] = {
            "users": best.concurrency,
            "ops_per_s": peak,
            "success_percent": best.success_rate_percent,
            "at_twice_users_ops_per_s": median(rates),
            "at_twice_users_percent": round(_PERCENT * median(rates) / peak, 2) if peak else None,
        }
        return blocks, self._incidents

    async def step(self, users: int) -> LoadResult | None:
        """Run one step; None when it was ended before its time."""
        load = replace(
            self._config,
            scenario=f"{self._config.scenario} {users}",
            arrivals=replace(self.plan, users=users),
            duration=self._step_s,
            ramp_up=min(self._config.ramp_up, self._step_s),
            thresholds=(),
        )
        outcome = await self._rerun(load, self._on)
        if not isinstance(outcome, LoadResult) or outcome.stopped != "completed":
            return None
        self._incidents += outcome.incidents
        return outcome


def _rate(result: LoadResult) -> float:
    """Return the successes a second of the last two thirds, in windows that lie in them entirely."""
    steady = [
        window
        for window in result.timeline
        if window.at_s >= result.duration_s / 3 and window.at_s + window.span_s <= result.duration_s + _MS
    ]
    span_s = sum(window.span_s for window in steady)
    return round(sum(window.ops for window in steady) / span_s, 3) if span_s else result.achieved_ops_per_s


def _step(result: LoadResult) -> Block:
    return {
        "users": result.concurrency,
        "ops_per_s": _rate(result),
        "success_percent": result.success_rate_percent,
        "p95_ms": None if result.latency_ms is None else result.latency_ms.p95,
        "errors": sum(result.errors.values()),
    }
