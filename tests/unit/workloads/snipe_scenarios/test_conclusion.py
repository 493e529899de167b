"""Blocks and limits of a finished run."""

import asyncio
from contextlib import AbstractAsyncContextManager

import pytest
from msgspec.structs import replace

from slotzero.errors import LocalnetError
from slotzero.perf.arrivals import Closed
from slotzero.perf.load import load_test_service
from slotzero.perf.load_target import LoadTarget
from slotzero.perf.load_types import LoadOutcome, LoadResult, LoadTestConfig, ProcessStats, Verdict, Window
from slotzero.workloads.scenarios import PreparedScenario
from slotzero.workloads.snipe_scenarios import catalogue
from slotzero.workloads.snipe_scenarios.catalogue import SCENARIOS, bundles_block, slope_limits
from slotzero.workloads.snipe_scenarios.climb import _rate, climb, climb_from
from slotzero.workloads.snipe_scenarios.conclusion import Limit, concluded, machine_block, what_limits
from slotzero.workloads.snipe_scenarios.scene import Scene, Stage


async def nothing() -> None:
    await asyncio.sleep(0.01)


async def measured(users: int = 2) -> LoadResult:
    config = LoadTestConfig(scenario="T", arrivals=Closed(users=users), duration=0.1, freeze_gc=False)
    outcome = await load_test_service.run(nothing, config)
    assert isinstance(outcome, LoadResult)
    return outcome


async def test_a_limit_is_met_missed_or_without_data() -> None:
    result = await measured()
    limits = (
        Limit(figure="bot.a", limit=5),
        Limit(figure="bot.a", limit=4),
        Limit(figure="bot.a", limit=4, is_least=True),
        Limit(figure="bot.b", limit=1),
        Limit(figure="chain.c", limit=1),
    )
    judged = concluded(result, {"bot": {"a": 5, "b": None}}, limits, ["a note"])
    found = judged.thresholds[len(result.thresholds) :]
    assert [(threshold.name, threshold.met, threshold.why) for threshold in found] == [
        ("bot.a<=5", True, ""),
        ("bot.a<=4", False, "it was 5"),
        ("bot.a>=4", True, ""),
        ("bot.b<=1", False, "there is no data"),
        ("chain.c<=1", False, "there is no data"),
    ]
    assert (judged.passed, judged.extra, judged.notes[-1]) == (False, {"bot": {"a": 5, "b": None}}, "a note")


async def test_limits_that_are_met_change_no_verdict_and_never_make_a_failed_run_pass() -> None:
    result = await measured()
    met = (Limit(figure="bot.a", limit=1),)
    for passed in (True, False):
        before = LoadResult(**{name: getattr(result, name) for name in result.__struct_fields__} | {"passed": passed})
        assert concluded(before, {"bot": {"a": 1}}, met).passed is passed


async def test_the_machine_is_all_processes_over_all_cores() -> None:
    result = await measured()
    block = machine_block(result, 4)
    (driver,) = result.resources.values()
    assert block == {
        "cores": 4,
        "cpu_percent": round(driver.avg_cpu_percent / 4, 2),
        "rss_mb": round(driver.peak_rss_mb, 1),
        "driver_cpu_ms_per_op": round(driver.avg_cpu_percent * 10 * result.duration_s / result.total_ops, 2),
    }


def told(
    result: LoadResult, verdict: Verdict, *, chain_percent: float, ops: int, extra: dict[str, float] | None = None
) -> str | None:
    chain = ProcessStats(
        pid=1, avg_cpu_percent=chain_percent, peak_cpu_percent=99, peak_rss_mb=1, rss_growth_mb=0, peak_fds=None
    )
    generator = replace(result.generator, verdict=verdict)
    timeline = tuple(replace(window, extra=window.extra | (extra or {})) for window in result.timeline)
    result = replace(result, timeline=timeline)
    return what_limits(replace(result, resources={"chain": chain}, generator=generator, total_ops=ops, duration_s=10.0))


async def test_where_the_chain_is_the_limit_what_an_operation_cost_its_core_is_told() -> None:
    result = await measured()
    said = told(result, "chain_limited", chain_percent=90, ops=900)
    assert said == "an operation took 10.0 ms of the chain's core, busy for 90 %"
    said = told(result, "chain_limited", chain_percent=90, ops=900, extra={"probe:chain_vm_percent": 45.0})
    assert said == "an operation took 10.0 ms of the chain's core, busy for 90 %, the VM 5.0 of them"
    assert told(result, "ok", chain_percent=90, ops=900) is None
    assert told(result, "chain_limited", chain_percent=90, ops=0) is None
    assert what_limits(result) is None


def test_bundles_have_a_share_only_where_there_are_some() -> None:
    assert bundles_block({"accepted": 0, "landed": 0})["landed_percent"] is None
    assert bundles_block({"accepted": 8, "landed": 7})["landed_percent"] == 87.5


def test_slopes_of_memory_are_limits_in_long_runs_only() -> None:
    assert slope_limits(1_799) == ()
    assert [(limit.figure, limit.limit) for limit in slope_limits(1_800)] == [
        ("drift.bot_rss_mb_per_h_high", 5),
        ("drift.chain_rss_mb_per_h_high", 5),
    ]


class Service:
    """A service of a known capacity: more users than it has places bring nothing, and far more make it collapse."""

    def __init__(self, places: int, *, collapses: bool) -> None:
        self.places = places
        self.collapses = collapses
        self.steps: list[int] = []
        self.on: PreparedScenario | None = None

    async def load(self, config: LoadTestConfig, on: PreparedScenario | None = None, /) -> LoadOutcome:
        self.on = on
        plan = config.plan
        assert isinstance(plan, Closed)
        self.steps.append(plan.users)
        result = await measured()
        rate = float(min(plan.users, self.places))
        if self.collapses and plan.users > 2 * self.places:
            rate /= 10
        values = {name: getattr(result, name) for name in result.__struct_fields__}
        return LoadResult(**values | {"concurrency": plan.users, "achieved_ops_per_s": rate, "timeline": ()})


async def test_a_steps_rate_is_that_of_its_last_two_thirds() -> None:
    def window(at_s: int, ops: int) -> Window:
        return Window(
            at_s=at_s, span_s=1, ops=ops, errors=0, started=0, missed=0, in_flight=0, ops_per_s=ops, cpu_percent=0
        )

    result = await measured()
    values = {name: getattr(result, name) for name in result.__struct_fields__}
    # Users still come for three seconds; what ends after the plan's nine is no part of its rate either.
    timeline = tuple(window(second, ops) for second, ops in enumerate((0, 0, 1, 6, 6, 6, 6, 6, 6, 90)))
    assert _rate(LoadResult(**values | {"duration_s": 9.0, "timeline": timeline})) == 6


async def test_a_climb_finds_the_capacity_and_what_twice_of_it_does() -> None:
    for collapses, left in ((False, 100.0), (True, 10.0)):
        service = Service(300, collapses=collapses)
        config = LoadTestConfig(scenario="STRESS", arrivals=Closed(users=200), duration=60)
        first = await service.load(config)
        assert isinstance(first, LoadResult)
        blocks, incidents = await climb(first, config, service.load)
        assert (
            service.steps == [200, 300, 450, 600, 600, 600] if not collapses else service.steps[:3] == [200, 300, 450]
        )
        assert (blocks["capacity"]["users"], blocks["capacity"]["ops_per_s"]) == (300, 300)
        if not collapses:
            assert blocks["capacity"]["at_twice_users_percent"] == left
        assert incidents == []


async def test_a_climb_on_another_scene_runs_its_first_step_there() -> None:
    service, there = Service(50, collapses=False), PreparedScenario(target=LoadTarget(nothing, None))
    config = LoadTestConfig(scenario="STRESS", arrivals=Closed(users=40), duration=60)
    blocks, _ = await climb_from(config, service.load, there)
    assert service.on is there
    assert service.steps == [40, 60, 90, 120, 120, 120]
    assert (blocks["capacity"]["users"], blocks["capacity"]["at_twice_users_percent"]) == (60, 100.0)


async def test_second_climb_that_cannot_begin_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_stage: Stage) -> AbstractAsyncContextManager[Scene]:
        raise LocalnetError("no port is free")

    monkeypatch.setattr(catalogue, "open_scene", refuse)
    notes: list[str] = []
    load = LoadTestConfig(scenario="STRESS", arrivals=Closed(users=200), duration=60)
    found = await catalogue._degrade(catalogue.Act(), load, Service(50, collapses=False).load, notes)
    assert found == ({}, [])
    assert notes == ["the bounded climb was given up: no port is free"]


def test_both_bots_of_stress_are_held_to_what_is_honest() -> None:
    figures = {limit.figure for limit in catalogue._DEGRADES}
    assert {"bounded bot.double_buys", "bounded bot.unexplained_lamports"} <= figures


def test_the_eight_are_there_and_each_is_held_against_something() -> None:
    assert [scenario.name for scenario in SCENARIOS] == [
        "BASELINE",
        "MODERATE",
        "HEAVY",
        "STRESS",
        "SPIKE",
        "SUSTAINED",
        "FAST_SNIPES",
        "SLOW_SNIPES",
    ]
    for scenario in SCENARIOS:
        metrics = [threshold.metric for threshold in scenario.config.thresholds]
        assert {"success_percent", "rss_mb:bot", "rss_mb:chain"} <= set(metrics), scenario.name
        plan = scenario.config.plan
        assert isinstance(plan, Closed)
        assert plan.jitter_s == 0.2
