"""Result documents of a known distribution, for tests of what is done with stored results."""

from pathlib import Path
from random import Random

import msgspec

from slotzero.perf.environment import REFERENCE, NoiseCertificate, Passport, passport
from slotzero.perf.histogram import Histogram
from slotzero.perf.result_file import ResultDocument, benchmark_document, write_result_file
from slotzero.perf.summary import latency_stats, throughput_stats
from slotzero.perf.timing import Tape
from slotzero.perf.types import BenchmarkResult, SampleCount, as_sample_count


def result(
    name: str = "FILTERS",
    *,
    speed: float = 1.0,
    reference_us: float = 150.0,
    samples: int = 500,
    seed: int = 1,
    event_loop: str = "uvloop 0.23.0",
    **changes: object,
) -> BenchmarkResult:
    """A benchmark whose calls take about 100 us, times `speed`, on a machine of this speed of reference work."""
    draw = Random(seed)  # noqa: S311 a simulation
    tape = Tape()
    scale = 100_000 * speed * reference_us / 150
    tape.durations.extend(round(scale * draw.lognormvariate(0, 0.05)) for _ in range(samples))
    histogram = Histogram()
    histogram.fold(tape.durations)
    made = BenchmarkResult(
        component=name,
        name=name,
        samples=SampleCount(samples),
        warmup=as_sample_count(10),
        latency_ms=latency_stats(tape.durations),
        throughput=throughput_stats(tape),
        histogram=histogram.to_text(),
        event_loop=event_loop,
        noise=certificate(reference_us),
        samples_ns=tuple(tape.durations),
    )
    return msgspec.structs.replace(made, **changes)


def certificate(reference_us: float, reference: str = REFERENCE) -> NoiseCertificate:
    """A quiet machine of this speed."""
    return NoiseCertificate(
        reference=reference,
        reference_before_us=reference_us,
        reference_after_us=reference_us,
        reference_drift_percent=0.0,
        reference_spread_percent=1.0,
        clock_floor_ns=60,
        load_1m=0.1,
        cpu_pressure_percent=0.0,
        steal_percent=0.0,
        quiet=True,
        reasons=(),
    )


def machine(**changes: object) -> Passport:
    """Where it was measured."""
    return msgspec.structs.replace(passport(event_loop="uvloop"), **changes)


def document(*results: BenchmarkResult, **changes: object) -> ResultDocument:
    """A document of some results."""
    return benchmark_document(results, machine(**changes))


def stored(path: Path, *results: BenchmarkResult, **changes: object) -> Path:
    """Write a document. Returns where it is."""
    write_result_file(path, document(*results, **changes))
    return path
