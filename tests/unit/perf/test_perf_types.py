"""The lab's units and the sentences of its errors."""

import math
from collections.abc import Callable

import msgspec
import pytest

from slotzero.perf.types import (
    BenchmarkError,
    BenchmarkFailure,
    CallableNotFound,
    HookFailed,
    MixedSpans,
    NoSuccess,
    SampleFailed,
    Stuck,
    SurroundingsFailed,
    UnawaitedResult,
    WorkerLost,
    as_cpu_percent,
    as_memory_mb,
    as_sample_count,
    as_success_rate,
    as_throughput_ops,
    sentence,
)

ERRORS: list[BenchmarkError] = [
    UnawaitedResult(returned="a coroutine (work)"),
    SampleFailed(phase="measure", sample=3, kind="OSError", message="wire cut"),
    HookFailed(hook="setup", kind="OSError", message="no disk"),
    NoSuccess(errors={"OSError": 3}, message="wire cut"),
    MixedSpans(with_span=1, without_span=2),
    Stuck(sample=4, timeout_ms=100),
    WorkerLost(exit_code=9, output="last words"),
    CallableNotFound(reference="a:b", message="a:b: the module a has no b"),
    SurroundingsFailed(reference="a:b", kind="LocalnetError", message="the chain did not start"),
]


@pytest.mark.parametrize("convert", [as_throughput_ops, as_memory_mb, as_cpu_percent])
def test_amounts_are_finite_and_not_negative(convert: Callable[[float], float]) -> None:
    assert convert(0) == 0
    assert convert(250.5) == 250.5
    for wrong in (-0.1, math.inf, math.nan):
        with pytest.raises(ValueError, match="finite and not negative"):
            convert(wrong)


def test_a_success_rate_is_a_percentage() -> None:
    assert as_success_rate(100) == pytest.approx(100)
    for wrong in (-0.1, 100.1, math.nan):
        with pytest.raises(ValueError, match="between 0 and 100"):
            as_success_rate(wrong)


def test_a_number_of_samples_is_whole() -> None:
    assert as_sample_count(3) + 0 == 3
    for wrong in (-1, 2.0, True):
        with pytest.raises(ValueError, match="whole and not negative"):
            as_sample_count(wrong)  # type: ignore[arg-type]  # what is refused


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_every_error_is_one_sentence_and_survives_json(error: BenchmarkError) -> None:
    told = sentence(error)
    assert told
    assert "\n" not in told
    failure = BenchmarkFailure(component=None, name="quote", error=error)
    assert msgspec.json.decode(msgspec.json.encode(failure), type=BenchmarkFailure) == failure
    assert str(failure) == f"quote: {told}"
