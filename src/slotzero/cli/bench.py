"""`slotzero bench`: the sniper's components against their targets."""

import enum
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from slotzero.errors import UsageError

if TYPE_CHECKING:
    from slotzero.perf.types import SecondLook

__all__ = ["bench"]

_MISSED: Final = 1
_INTERRUPTED: Final = 130
_MOST_LOOKED_AT: Final = 200
"""Samples of a second look: enough for a p95 and a flame graph."""


class Cluster(enum.StrEnum):
    """What is measured on."""

    LOCALNET = "localnet"
    PAPER = "paper"


class Loop(enum.StrEnum):
    """Which event loop is measured on."""

    UVLOOP = "uvloop"
    ASYNCIO = "asyncio"
    BOTH = "both"


_LOOPS: Final[dict[Loop, tuple[Literal["uvloop", "asyncio"], ...]]] = {
    Loop.UVLOOP: ("uvloop",),
    Loop.ASYNCIO: ("asyncio",),
    Loop.BOTH: ("uvloop", "asyncio"),
}


def bench(
    components: Annotated[list[str] | None, typer.Argument(help="Which components; all when none is named.")] = None,
    *,
    samples: Annotated[int, typer.Option(min=1, max=10_000_000, help="Counted calls of each.")] = 100,
    warmup: Annotated[int, typer.Option(min=0, max=1_000_000, help="Calls before them that are not counted.")] = 10,
    cluster: Annotated[Cluster, typer.Option(help="What to measure on.")] = Cluster.LOCALNET,
    config: Annotated[
        Path | None, typer.Option(help="With --cluster paper: the TOML file that names your endpoints.")
    ] = None,
    slot_ms: Annotated[
        int, typer.Option(min=0, max=10_000, help="The embedded chain's slot; 0 opens one after each transaction.")
    ] = 200,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="What chance is derived from.")] = 7,
    loop: Annotated[Loop, typer.Option(help="The event loop; `both` measures everything on each.")] = Loop.UVLOOP,
    save_baseline: Annotated[
        str | None, typer.Option(metavar="NAME", help="Keep the result for later comparisons.")
    ] = None,
    profile: Annotated[
        bool, typer.Option("--profile", help="Look again after each, for flame graph, stages and suggestions.")
    ] = False,
    memory: Annotated[bool, typer.Option("--memory", help="With --profile: a memory profile as well.")] = False,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the result; - is stdout.")] = None,
) -> None:
    """Measure components of the sniper on an embedded chain, against their targets.

    Each is measured in a process of its own, with a chain of its own. Ctrl-C ends with the samples taken so far; what
    was still warming up has none.

    --cluster paper measures those that spend nothing, on your own endpoints:
    what strangers create and trade there meanwhile; nothing is sent.

    With --profile each is run once more in the same surroundings, watched;
    the figures stay those of the first time. Files go to FILE.profile beside
    the result file, or to slotzero.profile here; `slotzero report` links them.

    The exit code is 0 when every target is met, 1 when one is missed, 2 for wrong use, 130 after Ctrl-C.

    Example: slotzero bench DETECTION FULL_FLOW --samples 200 --json out.json
    """
    is_paper = cluster is Cluster.PAPER
    if config is not None and not is_paper:
        raise UsageError("--config belongs to --cluster paper; the embedded chain needs none")
    if memory and not profile:
        raise UsageError("--memory belongs to --profile; give both")
    # Here, so that `slotzero --help` loads none of the bot's parts.
    from slotzero.observe.bench_session import bench_session  # noqa: PLC0415
    from slotzero.workloads.bench_run import BenchPlan, components_named, own_endpoints  # noqa: PLC0415

    plan = BenchPlan(
        components=components_named(components or [], spend_nothing=is_paper),
        own=own_endpoints(config) if is_paper else None,
        samples=samples,
        warmup=warmup,
        slot_ms=slot_ms,
        seed=seed,
        loops=_LOOPS[loop],
        look=_look(json, samples, wants_memory=memory) if profile else None,
    )
    end = bench_session(plan, baseline=save_baseline, json=json, stdout=sys.stdout)
    if end.was_interrupted:
        raise typer.Exit(_INTERRUPTED)
    if not end.is_good:
        raise typer.Exit(_MISSED)


def _look(json: Path | None, samples: int, *, wants_memory: bool) -> "SecondLook":
    from slotzero.perf.types import SecondLook  # noqa: PLC0415 as above

    result = json if json is not None and json != Path("-") else Path("slotzero.json")
    return SecondLook(
        samples=min(samples, _MOST_LOOKED_AT),
        folder=str(result.with_suffix(".profile").absolute()),
        relative_to=str(result.parent.absolute()),
        wants_memory=wants_memory,
    )
