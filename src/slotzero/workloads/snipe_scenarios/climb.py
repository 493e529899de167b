"""Past the capacity: climb until throughput no longer grows, then show what twice that load does.

Each step is a closed load of its own with half as many users again. The capacity is the step with the highest
throughput; the climb ends when a step brings hardly more than the best before, or when too few succeed. Then three
steps at twice the capacity's users: the median of their throughput against the peak says whether the bot degrades or
collapses. Throughput is that of a step's last two thirds: at its beginning users are still coming, and the first snipes
are still under way.
"""

from statistics import median
from typing import Final

from msgspec.structs import replace

from slotzero.perf.arrivals import Closed
from slotzero.perf.load_types import Incident, LoadResult, LoadTestConfig
from slotzero.workloads.scenarios import Rerun
from slotzero.workloads.snipe_scenarios.conclusion import Block

__all__ = ["climb"]

_LONGEST_STEP_S: Final = 20.0
_GROWTH: Final = 1.5
_MOST_STEPS: Final = 5
_HARDLY_MORE: Final = 1.05
_LEAST_SUCCESS: Final = 80.0
_REPEATS: Final = 3
_PERCENT: Final = 100.0
_MS: Final = 0.001


async def climb(first: LoadResult, config: LoadTestConfig, rerun: Rerun) -> tuple[dict[str, Block], list[Incident]]:
    """Run the steps. Returns their blocks and what happened meanwhile. *Does I/O.*

    Args:
        first: The scenario's own run: the lowest step.
        config: Its load, with a closed plan.
        rerun: Puts a load on.
    """
    plan = config.plan
    assert isinstance(plan, Closed), "a climb is by users"
    step_s = min(_LONGEST_STEP_S, config.duration / _REPEATS)
    blocks = {"step 1": _step(first)}
    incidents: list[Incident] = []
    best, users = first, plan.users
    for number in range(2, _MOST_STEPS + 2):
        users = round(users * _GROWTH)
        step = await _run(config, plan, users, step_s, rerun)
        if step is None:
            return blocks, incidents
        blocks[f"step {number}"] = _step(step)
        incidents += step.incidents
        is_better = _rate(step) > _rate(best)
        is_over = _rate(step) < _rate(best) * _HARDLY_MORE
        best = step if is_better else best
        if is_over or step.success_rate_percent < _LEAST_SUCCESS or step.stopped != "completed":
            break
    rates = []
    for number in range(1, _REPEATS + 1):
        step = await _run(config, plan, 2 * best.concurrency, step_s, rerun)
        if step is None:
            return blocks, incidents
        blocks[f"overload {number}"] = _step(step)
        incidents += step.incidents
        rates.append(_rate(step))
    peak = _rate(best)
    blocks["capacity"] = {
        "users": best.concurrency,
        "ops_per_s": peak,
        "success_percent": best.success_rate_percent,
        "at_twice_users_ops_per_s": median(rates),
        "at_twice_users_percent": round(_PERCENT * median(rates) / peak, 2) if peak else None,
    }
    return blocks, incidents


async def _run(config: LoadTestConfig, plan: Closed, users: int, step_s: float, rerun: Rerun) -> LoadResult | None:
    load = replace(
        config,
        scenario=f"{config.scenario} {users}",
        arrivals=replace(plan, users=users),
        duration=step_s,
        ramp_up=min(config.ramp_up, step_s),
        thresholds=(),
    )
    outcome = await rerun(load)
    return outcome if isinstance(outcome, LoadResult) and outcome.stopped == "completed" else None


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
