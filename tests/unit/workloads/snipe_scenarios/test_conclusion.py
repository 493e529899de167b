"""Blocks and limits of a finished run."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

import pytest
from msgspec.structs import replace

from slotzero.errors import LocalnetError
from slotzero.perf.arrivals import Closed, Constant
from slotzero.perf.load import load_test_service
from slotzero.perf.load_target import LoadTarget
from slotzero.perf.load_types import LoadOutcome, LoadResult, LoadTestConfig, ProcessStats, Verdict, Window
from slotzero.workloads.scenarios import PreparedScenario
from slotzero.workloads.snipe_scenarios import catalogue
from slotzero.workloads.snipe_scenarios.catalogue import SCENARIOS, bundles_block, slope_limits
from slotzero.workloads.snipe_scenarios.climb import Climbed, _rate, climb, climb_from, why_of
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
        "driver_cpu_ms_per_op": pytest.approx(
            driver.avg_cpu_percent * 10 * result.duration_s / result.total_ops, abs=0.01
        ),
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
    """A service of a known capacity: more users than it has places bring nothing, and far more make it collapse.

    Attributes:
        verdicts: Of the steps in their order; "ok" of all further ones.
    """

    def __init__(self, places: int, *, collapses: bool = False, verdicts: Sequence[Verdict] = ()) -> None:
        self.places = places
        self.collapses = collapses
        self.verdicts = list(verdicts)
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
        verdict: Verdict = self.verdicts.pop(0) if self.verdicts else "ok"
        reasons = () if verdict == "ok" else (f"{plan.users} users were too many", "and more")
        return replace(
            result,
            concurrency=plan.users,
            achieved_ops_per_s=rate,
            timeline=(),
            generator=replace(result.generator, verdict=verdict, reasons=reasons),
            stopped="aborted" if verdict == "degraded" else "completed",
        )


STRESS = LoadTestConfig(scenario="STRESS", arrivals=Closed(users=200), duration=60)


async def climbed(service: Service) -> Climbed:
    return await climb_from(STRESS, service.load, PreparedScenario(target=LoadTarget(nothing, None)))


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
        first = await service.load(STRESS)
        assert isinstance(first, LoadResult)
        found = await climb(first, STRESS, service.load)
        blocks = found.blocks
        assert (
            service.steps == [200, 300, 450, 600, 600, 600] if not collapses else service.steps[:3] == [200, 300, 450]
        )
        assert (blocks["capacity"]["users"], blocks["capacity"]["ops_per_s"]) == (300, 300)
        if not collapses:
            assert blocks["capacity"]["at_twice_users_percent"] == left
        assert (found.incidents, found.notes, found.unknown) == ((), (), "")


async def test_a_climb_on_another_scene_runs_its_first_step_there() -> None:
    service, there = Service(50), PreparedScenario(target=LoadTarget(nothing, None))
    config = LoadTestConfig(scenario="STRESS", arrivals=Closed(users=40), duration=60)
    blocks = (await climb_from(config, service.load, there)).blocks
    assert service.on is there
    assert service.steps == [40, 60, 90, 120, 120, 120]
    assert (blocks["capacity"]["users"], blocks["capacity"]["at_twice_users_percent"]) == (60, 100.0)


@pytest.mark.parametrize("verdict", ["generator_limited", "degraded"])
async def test_a_climb_ends_below_a_step_that_measured_something_else(verdict: Verdict) -> None:
    service = Service(1_000, verdicts=["ok", "ok", verdict])
    found = await climbed(service)
    why = f"step 3 was {verdict}: 450 users were too many"
    assert service.steps == [200, 300, 450]  # the capacity was not reached, so there is no twice of it
    assert (found.blocks["capacity"]["users"], found.blocks["capacity"]["ops_per_s"]) == (300, 300)
    assert found.blocks["capacity"]["at_twice_users_percent"] is None
    assert (found.notes, found.unknown) == ((why,), why)
    assert (found.blocks["step 2"]["ok"], found.blocks["step 3"][verdict]) == (1, 1)


async def test_a_climb_whose_first_step_measured_something_else_has_no_capacity() -> None:
    found = await climbed(Service(1_000, verdicts=["generator_limited"]))
    assert list(found.blocks) == ["step 1"]
    assert found.unknown == "step 1 was generator_limited: 200 users were too many"


async def test_a_step_in_which_the_chain_was_the_limit_counts_and_says_so() -> None:
    found = await climbed(Service(300, verdicts=["ok", "ok", "chain_limited", "chain_limited"]))
    assert (found.blocks["capacity"]["users"], found.blocks["capacity"]["at_twice_users_percent"]) == (300, 100.0)
    assert [name for name, block in found.blocks.items() if "chain_limited" in block] == ["step 3", "overload 1"]
    assert why_of("overload 1", found.notes) == "600 users were too many"
    assert (why_of("overload 2", found.notes), found.unknown) == ("", "")


async def test_degradation_is_missed_with_a_sentence_where_an_overload_was_the_generators() -> None:
    found = catalogue._bounded(await climbed(Service(300, verdicts=["ok", "ok", "ok", "ok", "generator_limited"])))
    blocks, figure = found.blocks, catalogue._AT_TWICE
    assert list(blocks)[-2:] == ["bounded overload 2", "bounded capacity"]
    result = replace(await measured(), passed=True)
    judged = concluded(result, blocks, catalogue._DEGRADES[:1], found.notes, unknown={figure: found.unknown})
    assert [(limit.met, limit.why) for limit in judged.thresholds] == [
        (False, "there is no data: overload 2 was generator_limited: 600 users were too many")
    ]
    assert not judged.passed
    assert why_of("bounded overload 2", judged.notes) == "600 users were too many"


async def test_a_climb_that_is_stopped_has_no_capacity() -> None:
    class Stopped(Service):
        async def load(self, config: LoadTestConfig, on: PreparedScenario | None = None, /) -> LoadOutcome:
            outcome = await super().load(config, on)
            assert isinstance(outcome, LoadResult)
            return replace(outcome, stopped="interrupted") if len(self.steps) > 1 else outcome

    found = await climbed(Stopped(300))
    assert (list(found.blocks), found.unknown) == (["step 1"], "step 2 was stopped")


async def test_second_climb_that_cannot_begin_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_stage: Stage) -> AbstractAsyncContextManager[Scene]:
        raise LocalnetError("no port is free")

    monkeypatch.setattr(catalogue, "open_scene", refuse)
    found = await catalogue._degrade(catalogue.Act(), STRESS, Service(50).load)
    assert found.blocks == {}
    assert found.notes == (found.unknown,) == ("the bounded climb was given up: no port is free",)


def test_a_climb_takes_a_run_of_some_length_and_users() -> None:
    assert catalogue.no_climb(STRESS) is None
    assert "a run of 30 s at least" in (catalogue.no_climb(replace(STRESS, duration=29.0)) or "")
    assert "leave --rate out" in (catalogue.no_climb(replace(STRESS, arrivals=Constant(rate_per_s=5))) or "")


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
