"""`slotzero load`: put load on the sniper, or on anyone's async callable."""

import sys
from pathlib import Path
from typing import Annotated, Final

import typer

__all__ = ["load"]

_NOT_PASSED: Final = 1
_INTERRUPTED: Final = 130


def load(
    scenario: Annotated[str, typer.Argument(help="One of the eight named above; with --target any name.")],
    *,
    concurrency: Annotated[int | None, typer.Option(min=1, help="Users at once; places in flight with --rate.")] = None,
    duration: Annotated[float | None, typer.Option(min=0.01, help="Seconds in which operations begin.")] = None,
    ramp_up: Annotated[float | None, typer.Option(min=0, help="Seconds until all users run, or the full rate.")] = None,
    rate: Annotated[
        float | None, typer.Option(min=0.001, help="Operations a second at planned instants (open model).")
    ] = None,
    target: Annotated[str | None, typer.Option(help="module:callable, an async function without arguments.")] = None,
    threshold: Annotated[
        list[str] | None, typer.Option(help='A limit, as in "p95_ms<=400", see above; may be given several times.')
    ] = None,
    cluster_address: Annotated[
        str | None, typer.Option(help="A Dask scheduler, or local:N for N processes here; needs --target.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the result to this file; - for stdout.")] = None,
) -> None:
    """Put load on the sniper, or on anyone's async function, and say what the figures are worth.

    Without --rate each of the users begins its next operation when its last one has ended (closed: service times).
    With --rate operations begin at instants planned beforehand, whatever the target does (open: response times from
    those instants). A run whose generator was the bottleneck does not pass. Ctrl-C or SIGTERM ends it with what it has.

    The scenarios drive real snipes: BASELINE (10 users for 30 s), MODERATE (50, 60 s), HEAVY (100, 90 s), STRESS (200,
    60 s and a climb past the capacity), SPIKE (0 to 100, 60 s), SUSTAINED (50, 300 s), FAST_SNIPES (50, 60 s),
    SLOW_SNIPES (30, 60 s). With --target such a name stands for its users and seconds, any other for ten and 30 s.

    Limits are on p50_ms p75_ms p90_ms p95_ms p99_ms p999_ms mean_ms max_ms, the same with service_ before it,
    error_percent, errors, errors.CLASS, missed_starts, cpu_percent, rss_mb, cpu_percent:NAME and rss_mb:NAME of a
    process (driver, bot, chain), all with <=; and on success_percent, ops_per_s, total_ops with >=.
    "p99_ms<=900 window" is held against each second, "p99_ms<=900 window abort" also ends the run at the first that
    misses it.

    The exit code is 0 when it passed, 1 when it did not, 2 for wrong use, 130 after Ctrl-C or SIGTERM.

    Example: slotzero load HEAVY --json heavy.json

    Example: slotzero load HEAVY --target my_module:fetch_quote --rate 200 --duration 30 --json result.json
    """
    # Here, so that `slotzero --help` loads none of the lab's parts.
    from slotzero.observe.load_session import load_session  # noqa: PLC0415
    from slotzero.perf.load_types import LoadFailure  # noqa: PLC0415
    from slotzero.workloads.load_run import plan_load  # noqa: PLC0415

    plan = plan_load(
        scenario,
        target=target,
        cluster_address=cluster_address,
        concurrency=concurrency,
        duration=duration,
        ramp_up=ramp_up,
        rate=rate,
        thresholds=threshold or [],
    )
    outcome = load_session(plan, json=json, stdout=sys.stdout)
    if isinstance(outcome, LoadFailure):
        typer.echo(f"slotzero: {outcome}", err=True)
        raise typer.Exit(_NOT_PASSED)
    if outcome.stopped == "interrupted":
        raise typer.Exit(_INTERRUPTED)
    if not outcome.passed:
        raise typer.Exit(_NOT_PASSED)
