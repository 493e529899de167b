"""`slotzero load`: put load on the sniper, or on anyone's async callable."""

import asyncio
import signal
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from slotzero.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slotzero.perf.load_types import LoadOutcome, LoadProgress, LoadResult, LoadTestConfig
    from slotzero.perf.types import LatencyStats
    from slotzero.workloads.scenarios import Scenario

__all__ = ["load", "with_options"]

_NOT_PASSED: Final = 1
_INTERRUPTED: Final = 130


def load(
    scenario: Annotated[str, typer.Argument(help="BASELINE, HEAVY ...; with --target any name.")],
    *,
    concurrency: Annotated[int | None, typer.Option(min=1, help="Users at once; places in flight with --rate.")] = None,
    duration: Annotated[float | None, typer.Option(min=0.01, help="Seconds in which operations begin.")] = None,
    ramp_up: Annotated[float | None, typer.Option(min=0, help="Seconds until all users run, or the full rate.")] = None,
    rate: Annotated[
        float | None, typer.Option(min=0.001, help="Operations a second at planned instants (open model).")
    ] = None,
    target: Annotated[str | None, typer.Option(help="module:callable, an async function without arguments.")] = None,
    threshold: Annotated[
        list[str] | None, typer.Option(help='A limit, as in "p95_ms<=400"; may be given several times.')
    ] = None,
    cluster_address: Annotated[
        str | None, typer.Option(help="A Dask scheduler, or local:N for N processes here; needs --target.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the result to this file; - for stdout.")] = None,
) -> None:
    """Put load on the sniper, or on anyone's async function, and say what the figures are worth.

    Without --rate each of the users begins its next operation when its last one has ended (closed: service times).
    With --rate operations begin at instants planned beforehand, whatever the target does (open: response times from
    those instants). A run whose generator was the bottleneck does not pass. Ctrl-C ends it with what it has.

    The exit code is 0 when it passed, 1 when it did not, 2 for wrong use, 130 after Ctrl-C.

    Example: slotzero load HEAVY --target my_module:fetch_quote --rate 200 --duration 30 --json result.json
    """
    # Here, so that `slotzero --help` loads none of the lab's parts.
    from slotzero.perf.load_types import LoadFailure  # noqa: PLC0415
    from slotzero.workloads import scenarios  # noqa: PLC0415

    known = scenarios.find(scenario)
    if target is None and known is None:
        registered = ", ".join(scenarios.names()) or "none is registered in this version"
        raise UsageError(
            f"no scenario is called {scenario} ({registered}); give --target module:callable to load a function"
        )
    if cluster_address is not None and target is None:
        raise UsageError("--cluster-address needs --target module:callable: a scenario drives one bot on this machine")
    base = known.config if known is not None and target is None else scenarios.shape(scenario)
    config = with_options(
        base, concurrency=concurrency, duration=duration, ramp_up=ramp_up, rate=rate, thresholds=threshold or []
    )
    outcome = _run(config, target, known, cluster_address)
    _write(outcome, json)
    if isinstance(outcome, LoadFailure):
        typer.echo(f"slotzero: {outcome}", err=True)
        raise typer.Exit(_NOT_PASSED)
    if outcome.stopped == "interrupted":
        raise typer.Exit(_INTERRUPTED)
    if not outcome.passed:
        raise typer.Exit(_NOT_PASSED)


def with_options(
    base: "LoadTestConfig",
    *,
    concurrency: int | None,
    duration: float | None,
    ramp_up: float | None,
    rate: float | None,
    thresholds: list[str],
) -> "LoadTestConfig":
    """Return a load with what the command line says in place of its own. *Pure.*

    Raises:
        UsageError: The parts do not fit together.
    """
    from msgspec.structs import replace  # noqa: PLC0415 as above

    from slotzero.perf.arrivals import Closed, Constant  # noqa: PLC0415
    from slotzero.perf.thresholds import parse_threshold  # noqa: PLC0415

    plan, places = base.arrivals, base.max_in_flight
    if rate is not None:
        plan, places = Constant(rate_per_s=rate), concurrency
    elif concurrency is not None and isinstance(plan, Closed):
        plan = replace(plan, users=concurrency)
    elif concurrency is not None:
        places = concurrency
    seconds = base.duration if duration is None else duration
    try:
        return replace(
            base,
            arrivals=plan,
            max_in_flight=places,
            duration=seconds,
            ramp_up=min(base.ramp_up, seconds) if ramp_up is None else ramp_up,
            thresholds=(*base.thresholds, *(parse_threshold(text) for text in thresholds)),
        )
    except ValueError as error:
        raise UsageError(str(error)) from error


def _run(
    config: "LoadTestConfig", target: str | None, scenario: "Scenario | None", cluster_address: str | None
) -> "LoadOutcome":
    import uvloop  # noqa: PLC0415 as above

    if target is not None:
        sys.path.insert(0, "")  # a module of the current folder, as `python -m` has it
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_drive(config, target, scenario, cluster_address))


async def _drive(
    config: "LoadTestConfig", target: str | None, scenario: "Scenario | None", cluster_address: str | None
) -> "LoadOutcome":
    from msgspec.structs import replace  # noqa: PLC0415 as above

    from slotzero.perf.cluster import ClusterLoadService  # noqa: PLC0415
    from slotzero.perf.load import load_test_service  # noqa: PLC0415
    from slotzero.perf.load_target import open_target  # noqa: PLC0415

    with _stop_on_interrupt() as stop:
        if cluster_address is not None and target is not None:
            return await ClusterLoadService(cluster_address).run(target, config, on_progress=_show, stop=stop)
        if target is not None:
            async with open_target(target) as opened:
                return await load_test_service.run(
                    opened.fn, config, classify_result=opened.classify_result, on_progress=_show, stop=stop
                )
        assert scenario is not None
        async with scenario.prepare(config) as prepared:
            return await load_test_service.run(
                prepared.target.fn,
                replace(config, processes=prepared.processes),
                classify_result=prepared.target.classify_result,
                probe=prepared.probe,
                on_progress=_show,
                stop=stop,
            )


@contextmanager
def _stop_on_interrupt() -> "Iterator[asyncio.Event]":
    """Let the first Ctrl-C end the run with what it has; a second one ends at once."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    task = asyncio.current_task()

    def interrupt() -> None:
        if stop.is_set() and task is not None:
            task.cancel()
        stop.set()

    loop.add_signal_handler(signal.SIGINT, interrupt)
    try:
        yield stop
    finally:
        loop.remove_signal_handler(signal.SIGINT)


def _show(progress: "LoadProgress") -> None:
    """Show progress on a terminal, in one line that is overwritten."""
    if not sys.stderr.isatty():
        return
    p95 = "-" if progress.p95_ms is None else f"{progress.p95_ms:.1f} ms"
    line = (
        f"{progress.elapsed_s:6.0f}/{progress.duration_s:.0f} s  {progress.ops_per_s:9.1f}/s  p95 {p95:>10}  "
        f"errors {progress.errors} (total {progress.total_errors})  in flight {progress.in_flight}"
    )
    shards = f"  shards {progress.shards}" if progress.shards > 1 else ""
    typer.echo(f"\r\x1b[K{line}{shards}", err=True, nl=False)


def _write(outcome: "LoadOutcome", path: Path | None) -> None:
    from slotzero.perf.load_types import LoadResult  # noqa: PLC0415 as above

    if sys.stderr.isatty():
        typer.echo(err=True)
    if path is None:
        if isinstance(outcome, LoadResult):
            typer.echo(_as_text(outcome))
        return
    from slotzero.perf.environment import passport  # noqa: PLC0415 as above
    from slotzero.perf.load_document import load_document  # noqa: PLC0415
    from slotzero.perf.result_file import encode_document, write_result_file  # noqa: PLC0415

    loop = outcome.event_loop if isinstance(outcome, LoadResult) else None
    document = load_document([outcome], passport(event_loop=loop or None))
    if str(path) == "-":
        sys.stdout.buffer.write(encode_document(document))
        sys.stdout.buffer.flush()
        return
    write_result_file(path, document)
    if isinstance(outcome, LoadResult):
        typer.echo(_as_text(outcome))


def _as_text(result: "LoadResult") -> str:
    health = result.generator
    verdict = "passed" if result.passed else "NOT PASSED"
    share, missed = result.success_rate_percent, result.missed_starts
    lines = [
        f"{result.scenario}: {verdict}, generator {health.verdict}",
        f"  {result.model} model, {result.concurrency} at once, {result.duration_s:.1f} s, {result.stopped}",
        f"  {result.total_ops} operations, {result.achieved_ops_per_s:.1f}/s, success {share:.2f} %",
        f"  {result.interrupted} interrupted, {missed} arrivals missed, at most {result.peak_in_flight} in flight",
    ]
    headline = "response" if result.model == "open" else "service"
    lines += _latency_line(headline, result.latency_ms)
    if result.model == "open":
        lines += _latency_line("service", result.service_ms)
    if health.lateness_ms is not None:
        lines.append(f"  {'lateness ms':<12} p50 {health.lateness_ms.median:.2f}  p99 {health.lateness_ms.p99:.2f}")
    lines += [f"  {kind}: {count}" for kind, count in result.errors.items() if count]
    lines += [
        f"    {detail.count} x {detail.kind}/{detail.code} ({detail.origin}): {detail.example}"
        for detail in result.error_details[:5]
    ]
    lines += [
        f"  {name:<12} CPU {used.avg_cpu_percent:.1f} %, RSS {used.peak_rss_mb:.1f} MB"
        for name, used in result.resources.items()
    ]
    lines += [
        f"  {'met   ' if found.met else 'MISSED'} {found.name}{f': {found.why}' if found.why else ''}"
        for found in result.thresholds
    ]
    lines += [f"  because {reason}" for reason in health.reasons]
    lines += [f"  at {incident.at_s:.1f} s: {incident.what}" for incident in result.incidents]
    lines += [f"  note: {note}" for note in result.notes]
    return "\n".join(lines)


def _latency_line(name: str, stats: "LatencyStats | None") -> list[str]:
    if stats is None:
        return []
    points = {"p50": stats.median, "p95": stats.p95, "p99": stats.p99, "p99.9": stats.p999, "max": stats.max}
    return [f"  {name + ' ms':<12} " + "  ".join(f"{point} {value:.2f}" for point, value in points.items())]
