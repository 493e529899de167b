"""The page of figures: what it says of the steps of a climb."""

import importlib
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from slotzero.perf.load import load_test_service
from slotzero.perf.load_types import LoadResult, LoadTestConfig

FOLDER = Path(__file__).parent.parent.parent / "benchmarks"
STEP = {"users": 200.0, "ops_per_s": 84.0, "success_percent": 90.0, "p95_ms": 1600.0, "errors": 3.0}
CAPACITY = {"users": 200.0, "ops_per_s": 84.0}


@pytest.fixture
def climbs(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, LoadResult, str], list[str]]:
    monkeypatch.syspath_prepend(str(FOLDER))
    found: Callable[[str, LoadResult, str], list[str]] = importlib.import_module("performance_table").climb
    return found


async def stress(extra: dict[str, dict[str, float | None]], *notes: str) -> LoadResult:
    async def nothing() -> None:
        pass

    config = LoadTestConfig(scenario="STRESS", duration=0.01, freeze_gc=False)
    outcome = await load_test_service.run(nothing, config)
    assert isinstance(outcome, LoadResult)
    return replace(outcome, extra=extra, notes=notes)


async def test_each_step_has_its_verdict_and_the_reason(
    climbs: Callable[[str, LoadResult, str], list[str]],
) -> None:
    extra: dict[str, dict[str, float | None]] = {
        "bounded step 1": {**STEP, "ok": 1.0},
        "bounded step 2": {**STEP, "generator_limited": 1.0},
        "bounded capacity": {**CAPACITY, "at_twice_users_percent": None},
    }
    result = await stress(extra, "bounded step 2 was generator_limited: the driver used 97 % of a core")
    lines = climbs("STRESS", result, "bounded ")
    assert "| step 1 | 200 | 84 | 90 | 1600 | 3 | ok |" in lines
    assert "| step 2 | 200 | 84 | 90 | 1600 | 3 | generator_limited: the driver used 97 % of a core |" in lines
    assert (
        "The most was 84 snipes/s; more than 200 users add next to nothing. What twice as many users do is not known."
        in lines
    )


async def test_a_climb_without_a_capacity_is_shown_too(climbs: Callable[[str, LoadResult, str], list[str]]) -> None:
    lines = climbs("STRESS", await stress({"step 1": {**STEP, "degraded": 1.0}}), "")
    assert "| step 1 | 200 | 84 | 90 | 1600 | 3 | degraded |" in lines
    assert "No step counts, so there is no capacity to speak of." in lines
