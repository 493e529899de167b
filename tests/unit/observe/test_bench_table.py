"""The tables of benchmarks, as text."""

import io

import pytest
from msgspec.structs import replace
from rich.console import Console

from slotzero.observe.bench_table import milliseconds, print_benchmarks
from slotzero.perf import (
    BenchmarkFailure,
    BenchmarkOptions,
    BenchmarkOutcome,
    BenchmarkResult,
    BenchmarkService,
    Target,
)
from slotzero.perf.environment import passport
from slotzero.perf.result_file import benchmark_document
from slotzero.perf.types import NoSuccess, Severity, Suggestion, as_latency_ms
from slotzero.trace import Component, Span
from slotzero.units import DurationNs


def printed(*outcomes: BenchmarkOutcome, width: int = 200, stopped: bool = False) -> str:
    out = io.StringIO()
    document = benchmark_document(outcomes, passport(), title="20 samples, slots of 200 ms", stopped=stopped)
    print_benchmarks(Console(file=out, width=width), document)
    return out.getvalue()


async def measured(component: Component, own_ms: float, waited_ms: float, target: Target | None) -> BenchmarkResult:
    own, waited = DurationNs(round(own_ms * 1e6)), DurationNs(round(waited_ms * 1e6))
    span = Span(component=component, total_ns=DurationNs(own + waited), own_ns=own, waited_ns=waited, starts_at="chain")
    options = BenchmarkOptions(component=component, samples=20, target=target)
    found = await BenchmarkService().run(lambda: span, options)
    assert isinstance(found, BenchmarkResult)
    return found


@pytest.mark.parametrize(
    ("value", "text"),
    [(1_234.5, "1234"), (100, "100"), (12.345, "12.3"), (1.2345, "1.23"), (0.12345, "0.123"), (0.0012, "0.0012")],
)
def test_milliseconds_have_the_digits_that_count(value: float, text: str) -> None:
    assert milliseconds(value) == text


async def test_margin_to_the_aim_and_the_must_as_a_mark() -> None:
    target = Target(p95_ms=as_latency_ms(2_000), aim_p95_ms=as_latency_ms(100))
    text = printed(await measured(Component.EXIT, 1, 149, target))
    assert text.startswith("20 samples, slots of 200 ms\n")
    assert passport().system in text.splitlines()[1]
    (row,) = (line for line in text.splitlines() if line.startswith(" EXIT") and "pass" in line)
    assert row.split()[:6] == ["EXIT", "100", "-50", "%", "pass", "150"]
    assert text.index("aim") < text.index("margin") < text.index("must") < text.index("p50")


async def test_what_a_second_look_suggests_stands_below_with_what_it_would_bring() -> None:
    result = await measured(Component.EXIT, 1, 149, None)
    found = Suggestion(
        rule="slow_endpoint",
        severity=Severity.HIGH,
        title="Most of it is one endpoint",
        advice="Ask the other one.",
        p95_ms=as_latency_ms(150),
        impact_p95_ms=as_latency_ms(40),
    )
    leak = Suggestion(rule="leak", severity=Severity.LOW, title="It leaks", advice="Free it.", impact_mb_per_h=12.34)
    text = printed(replace(result, suggestions=(found, leak)))
    assert "EXIT: HIGH Most of it is one endpoint. p95 would go from 150 to 40.0 ms\n  Ask the other one.\n" in text
    assert "EXIT: LOW It leaks. 12.3 MB/h would no longer be lost\n  Free it.\n" in text


async def test_a_missed_must_is_named() -> None:
    text = printed(await measured(Component.EXIT, 1, 149, Target(p95_ms=as_latency_ms(100))))
    assert "FAIL p95_ms" in text


async def test_own_and_waited_stand_side_by_side_where_something_was_waited_for() -> None:
    text = printed(await measured(Component.EXIT, 1.5, 120, None), await measured(Component.PRICE_FEED, 0.5, 0, None))
    below = text[text.index("own = our CPU") :]
    assert below.count("EXIT") == 1
    assert "PRICE_FEED" not in below
    assert "1.50" in below
    assert "120" in below


async def test_a_terminal_of_80_columns_cuts_nothing() -> None:
    target = Target(p95_ms=as_latency_ms(2_000), aim_p95_ms=as_latency_ms(100))
    text = printed(await measured(Component.POSITION_MONITOR, 0.0012, 149, target), width=80)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert "POSITION_MONITOR" in text


async def test_failures_errors_and_notes_are_told() -> None:
    failure = BenchmarkFailure(
        component="EXIT", name="EXIT", error=NoSuccess(errors={"OSError": 3}, message="[bold]wire")
    )
    numbers = iter(range(100))
    flaky = await BenchmarkService().run(
        lambda: 1 / (next(numbers) % 2), BenchmarkOptions(name="flaky", samples=10, warmup=0, trace_heap=True)
    )
    text = printed(failure, flaky, stopped=True)
    assert "EXIT: no sample succeeded (3 x OSError); the first said: [bold]wire" in text
    assert "flaky: 5 of 10 samples failed, ZeroDivisionError\n  division by zero" in text
    assert "flaky: the Python heap was traced" in text
    assert "the machine was" in text
    assert "stopped before all samples were taken" in text


def test_nothing_measured_is_no_table() -> None:
    assert printed() == ""


async def test_two_loops_are_two_rows_with_their_names() -> None:
    one = await measured(Component.EXIT, 1, 1, None)
    text = printed(one, _on_uvloop(one))
    assert "uvloop" in text
    assert "asyncio" in text


def _on_uvloop(result: BenchmarkResult) -> BenchmarkResult:
    from msgspec.structs import replace  # noqa: PLC0415 only here

    return replace(result, event_loop="uvloop 0.1")
