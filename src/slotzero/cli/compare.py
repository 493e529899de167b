"""`slotzero compare`: two versions or two result files."""

import enum
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from slotzero.errors import UsageError, WorkerError

if TYPE_CHECKING:
    from slotzero.perf.compare.document import CompareDocument
    from slotzero.perf.compare.workers import EventLoop
    from slotzero.perf.types import Comparison

__all__ = ["as_text", "compare"]

_REGRESSED: Final = 1
_UNUSABLE: Final = 2
_INTERRUPTED: Final = 130
_NAMES: Final = {"median": "p50"}


class _Loop(enum.Enum):
    ASYNCIO = "asyncio"
    UVLOOP = "uvloop"
    ASYNCIO_TO_UVLOOP = "asyncio-to-uvloop"


_LOOPS: "Final[dict[_Loop, tuple[EventLoop, EventLoop]]]" = {
    _Loop.ASYNCIO: ("asyncio", "asyncio"),
    _Loop.UVLOOP: ("uvloop", "uvloop"),
    _Loop.ASYNCIO_TO_UVLOOP: ("asyncio", "uvloop"),
}


def compare(
    base: Annotated[
        str, typer.Argument(help="A git revision, a folder or a result file; with --baseline, the new one.")
    ],
    new: Annotated[str | None, typer.Argument(help="What is judged: of the same kind as BASE.")] = None,
    *,
    baseline: Annotated[str | None, typer.Option(help="Compare with the results saved under this name.")] = None,
    component: Annotated[
        list[str] | None, typer.Option(help="Only this component or hot path; may be repeated.")
    ] = None,
    workload: Annotated[
        list[str] | None, typer.Option(help="Measure this module:callable of both versions; may be repeated.")
    ] = None,
    launches: Annotated[
        int, typer.Option(min=3, max=60, help="The most launches; an early decision needs fewer.")
    ] = 12,
    fail_at: Annotated[float, typer.Option(min=0, help="Exit 1 only for regressions of so many percent.")] = 0.0,
    loop: Annotated[
        _Loop | None,
        typer.Option(help="The event loop of async workloads: by default uvloop for components, asyncio for others."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the order of blocks.")] = 1,
    allows_other_machine: Annotated[
        bool,
        typer.Option("--allow-other-machine", help="Compare files of different machines or chains, with a warning."),
    ] = False,
    is_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Compare two versions paired in time, or two stored results.

    Revisions are checked out and measured in turns by two processes; an alarm is measured a second time before it
    counts. All components take some minutes, most of them for EXECUTION, FULL_FLOW and EXIT, whole snipes on a chain;
    without those it is half a minute. Files were measured at different times and are compared through the reference
    work: less sharply.

    Ctrl-C ends with what the last look had. To compare event loops: compare a revision with itself, --loop
    asyncio-to-uvloop.

    The exit code is 1 on a regression, 0 otherwise, 2 for wrong use or a version that cannot be measured, 130 after
    Ctrl-C.

    Example: slotzero compare HEAD~1 HEAD --component FILTERS
    """
    # Here, so that `slotzero --help` loads none of it.
    from slotzero.perf.compare.design import DEFAULT_DESIGN, Design  # noqa: PLC0415
    from slotzero.perf.compare.document import encode, regressions  # noqa: PLC0415
    from slotzero.perf.result_file import baseline_path  # noqa: PLC0415
    from slotzero.workloads.comparing import (  # noqa: PLC0415
        compare_files,
        compare_revisions,
        kind_of,
        workloads_for,
    )

    here = Path.cwd()
    if (new is None) == (baseline is None):
        raise UsageError("give BASE and NEW, or --baseline NAME and NEW")
    first, second = (str(baseline_path(baseline)), base) if baseline is not None else (base, str(new))
    if baseline is not None and not Path(first).is_file():
        raise UsageError(f"there is no baseline {baseline}; save one with `slotzero bench --save-baseline {baseline}`")
    kinds = kind_of(first, here), kind_of(second, here)
    if kinds[0] != kinds[1]:
        raise UsageError(f"{first} is a {kinds[0]} and {second} is a {kinds[1]}: compare two of one kind")
    if kinds[0] == "file":
        document = compare_files(Path(first), Path(second), allows_other_machine=allows_other_machine)
    else:
        looks = tuple(sorted({*(look for look in DEFAULT_DESIGN.looks if look < launches), launches}))
        try:
            document = compare_revisions(
                first,
                second,
                folder=here,
                workloads=workloads_for(component or [], workload or []),
                seed=seed,
                design=Design(looks=looks),
                loops=_LOOPS[loop or (_Loop.ASYNCIO if workload and not component else _Loop.UVLOOP)],
                report=_progress,
            )
        except WorkerError as error:
            typer.echo(f"slotzero: {error}", err=True)
            raise typer.Exit(_UNUSABLE) from error
    typer.echo(encode(document).decode() if is_json else as_text(document))
    if document.stopped:
        raise typer.Exit(_INTERRUPTED)
    if regressions(document, fail_at):
        raise typer.Exit(_REGRESSED)


def as_text(document: "CompareDocument") -> str:
    """Return a comparison as a table for a terminal. *Pure.*"""
    width = max(len(line.name) for line in document.comparisons)
    head = f"{'':<{width}}  {'':<4} {'BASE':>10} {'NEW':>10}  {'change':>8}  {'95 % interval':>18}  verdict"
    lines = [f"{document.base.name} -> {document.new.name} ({document.kind})", "", head]
    for line in document.comparisons:
        figures = [side.get(line.name, {}).get(line.metric) for side in (document.base_ns, document.new_ns)]
        shown = " ".join(f"{_duration(value):>10}" for value in figures)
        interval = "" if line.interval is None else f"[{line.interval.low:+.1f}, {line.interval.high:+.1f}]"
        name = line.name if line.metric == "median" else ""
        lines.append(
            f"{name:<{width}}  {_NAMES.get(line.metric, line.metric):<4} {shown}  {line.effect_percent:>+7.1f}%  "
            f"{interval:>18}  {line.verdict.value}{_remark(line)}"
        )
    lines += ["", *_summary(document)]
    return "\n".join(lines)


def _remark(line: "Comparison") -> str:
    said = []
    if line.confirmed:
        said.append(f"the repeat saw {line.repeat_effect_percent:+.1f}%")
    if line.note:
        said.append(line.note)
    if line.verdict.value == "INCONCLUSIVE":
        needed = "more than 200" if line.launches_needed is None else str(line.launches_needed)
        if line.launches > 1:
            said.append(f"{needed} launches would decide it")
        if line.detectable_percent is not None:
            said.append(f"could have seen {line.detectable_percent:.1f}%")
    return f"  ({'; '.join(said)})" if said else ""


def _summary(document: "CompareDocument") -> list[str]:
    lines = [f"not compared: {name}, {why}" for name, why in document.missing.items()]
    if document.suite_effect_percent is not None:
        lines.append(
            f"{document.verdict.value}; medians changed by {document.suite_effect_percent:+.1f} % in the geometric "
            f"mean, {document.launches} launch{'es' if document.launches != 1 else ''}"
        )
    noise = document.noise
    if noise is not None:
        own = "not measured today" if noise.aa_floor_percent is None else f"{noise.aa_floor_percent:.1f} %"
        lines.append(f"noise: {'quiet' if noise.quiet else '; '.join(noise.reasons)}; two copies of one version: {own}")
    if document.stopped:
        lines.append("stopped: these are the verdicts of the last look, alarms are not confirmed")
    return [*lines, *document.notes]


def _duration(value_ns: float | None) -> str:
    if value_ns is None:
        return ""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if value_ns >= size:
            return f"{value_ns / size:.2f} {unit}"
    return f"{value_ns:.0f} ns"


def _progress(text: str) -> None:
    """Say what is going on where somebody watches."""
    if sys.stderr.isatty():
        typer.echo(text, err=True)
