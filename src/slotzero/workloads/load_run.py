"""From the words of a command line to a load run: which load, on what, from how many processes."""

import asyncio
import sys
from collections.abc import Callable
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from slotzero.errors import UsageError
from slotzero.perf.arguments import require_no_arguments
from slotzero.perf.arrivals import ArrivalPlan, Closed, Constant
from slotzero.perf.cluster import ClusterLoadService
from slotzero.perf.load import load_test_service
from slotzero.perf.load_target import open_target
from slotzero.perf.load_types import LoadOutcome, LoadProgress, LoadResult, LoadTestConfig
from slotzero.perf.thresholds import Threshold, parse_threshold
from slotzero.workloads import scenarios
from slotzero.workloads.scenarios import PreparedScenario, Scenario
from slotzero.workloads.snipe_scenarios import SCENARIOS

for _scenario in SCENARIOS:
    scenarios.register(_scenario)

__all__ = ["LoadPlan", "plan_load", "run_load", "with_options"]

_RATE: Final = "ops_per_s"


class LoadPlan(Struct, frozen=True, kw_only=True):
    """A load run that fits together.

    Attributes:
        config: Which load.
        target: `module:callable`, or None for the scenario's own operation.
        scenario: The registered scenario, or None where a target is given.
        cluster_address: A Dask scheduler or `local:N`, or None for this process alone.
    """

    config: LoadTestConfig
    target: str | None
    scenario: Scenario | None
    cluster_address: str | None


def plan_load(
    name: str,
    *,
    target: str | None,
    cluster_address: str | None,
    concurrency: int | None,
    duration: float | None,
    ramp_up: float | None,
    rate: float | None,
    thresholds: list[str],
) -> LoadPlan:
    """Return the run that a command line asks for. *Pure.*

    Raises:
        UsageError: Its parts do not fit together.
    """
    known = scenarios.find(name)
    if target is None and known is None:
        registered = ", ".join(scenarios.names()) or "none is registered in this version"
        raise UsageError(
            f"no scenario is called {name} ({registered}); give --target module:callable to load a function"
        )
    if cluster_address is not None and target is None:
        raise UsageError("--cluster-address needs --target module:callable: a scenario drives one bot on this machine")
    base = known.config if known is not None and target is None else scenarios.shape(name)
    config = with_options(
        base, concurrency=concurrency, duration=duration, ramp_up=ramp_up, rate=rate, thresholds=thresholds
    )
    return LoadPlan(config=config, target=target, scenario=None if target else known, cluster_address=cluster_address)


def with_options(
    base: LoadTestConfig,
    *,
    concurrency: int | None,
    duration: float | None,
    ramp_up: float | None,
    rate: float | None,
    thresholds: list[str],
) -> LoadTestConfig:
    """Return a load with what the command line says in place of its own. *Pure.*

    Raises:
        UsageError: The parts do not fit together.
    """
    seconds = base.duration if duration is None else duration
    try:
        plan, places = _plan(base, concurrency, rate)
        return replace(
            base,
            arrivals=plan,
            max_in_flight=places,
            duration=seconds,
            ramp_up=min(base.ramp_up, seconds) if ramp_up is None else ramp_up,
            thresholds=(*_limits(base, plan), *(parse_threshold(text) for text in thresholds)),
        )
    except ValueError as error:
        raise UsageError(str(error)) from error


def _plan(base: LoadTestConfig, concurrency: int | None, rate: float | None) -> tuple[ArrivalPlan | None, int | None]:
    """Return the arrivals and how many may be in flight, None where the load's own stand."""
    if rate is not None:
        return Constant(rate_per_s=rate), concurrency
    if concurrency is None:
        return base.arrivals, base.max_in_flight
    if isinstance(base.arrivals, Closed):
        return replace(base.arrivals, users=concurrency), base.max_in_flight
    return base.arrivals, concurrency


def _limits(base: LoadTestConfig, plan: ArrivalPlan | None) -> tuple[Threshold, ...]:
    """Return a load's own thresholds for another plan.

    In a closed plan the users set the rate, so what is asked of it goes with their number. An open plan has its rate
    from elsewhere, and the verdict holds the run against that.
    """
    if not isinstance(base.arrivals, Closed) or plan == base.arrivals:
        return base.thresholds
    if not isinstance(plan, Closed):
        return tuple(limit for limit in base.thresholds if limit.metric != _RATE)
    share = plan.users / base.arrivals.users
    return tuple(
        replace(limit, limit=limit.limit * share) if limit.metric == _RATE else limit for limit in base.thresholds
    )


async def run_load(plan: LoadPlan, *, on_progress: Callable[[LoadProgress], None], stop: asyncio.Event) -> LoadOutcome:
    """Run a plan to its end. *Does I/O.*

    Raises:
        UsageError: The target cannot be loaded or needs arguments, or the cluster's address is not safe.
    """
    config, target = plan.config, plan.target
    if target is not None:
        if "" not in sys.path:
            sys.path.insert(0, "")  # a module of the current folder, as `python -m` has it
        if plan.cluster_address is not None:
            service = ClusterLoadService(plan.cluster_address)
            return await service.run(target, config, on_progress=on_progress, stop=stop)
        async with open_target(target) as opened:
            require_no_arguments(opened.fn, target)
            return await load_test_service.run(
                opened.fn, config, classify_result=opened.classify_result, on_progress=on_progress, stop=stop
            )
    assert plan.scenario is not None, "a plan has a target or a scenario"
    async with plan.scenario.prepare(config) as prepared:

        async def load(wanted: LoadTestConfig, on: PreparedScenario | None = None) -> LoadOutcome:
            there = on or prepared
            if there.begin is not None:
                there.begin()
            return await load_test_service.run(
                there.target.fn,
                replace(wanted, processes=there.processes),
                classify_result=there.target.classify_result,
                probe=there.probe,
                on_progress=on_progress,
                stop=stop,
            )

        outcome = await load(config)
        if prepared.conclude is None or not isinstance(outcome, LoadResult):
            return outcome
        return await prepared.conclude(outcome, load)
