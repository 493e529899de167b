"""Measure components of the sniper, each in a process of its own, and make a document of it.

Each has an embedded chain of its own, or all read the user's own endpoints.

The components that mostly wait for slots are measured side by side, the others alone: two processes that compute would
measure each other, two that wait do not. Each result names who ran beside it.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from msgspec import Struct
from msgspec.structs import replace

from slotzero.config import load
from slotzero.errors import UsageError
from slotzero.localnet.endpoints import DEFAULT_SLOT_MS
from slotzero.perf.benchmark import BenchmarkService
from slotzero.perf.compare.own_floor import kept_floor
from slotzero.perf.environment import passport
from slotzero.perf.isolated import LoopName
from slotzero.perf.result_file import ResultDocument, benchmark_document
from slotzero.perf.types import (
    BenchmarkFailure,
    BenchmarkOptions,
    BenchmarkOutcome,
    BenchmarkResult,
    NoSuccess,
    Progress,
    SecondLook,
)
from slotzero.secret import redacted_url
from slotzero.trace import COMPONENTS, Component
from slotzero.workloads.components import COMPONENT_WORKLOADS, PAPER_WORKLOADS, ComponentWorkload
from slotzero.workloads.paper_run import paper_cluster
from slotzero.workloads.targets import DETECTION_OWN_P50_MS, stage_targets_ns, target_of

__all__ = [
    "BenchObserver",
    "BenchPlan",
    "OwnEndpoints",
    "components_named",
    "is_good",
    "own_endpoints",
    "run_benchmarks",
]

NETWORK: Final = "none"
"""The only network profile of the embedded chain: nothing lies between a client and it."""
_LIBRARIES: Final = ("solders", "uvloop", "picows", "aiohttp", "PyNaCl")
_SIDE_BY_SIDE: Final = 4


class OwnEndpoints(Struct, frozen=True, kw_only=True):
    """Endpoints of the user's own configuration, which are read and sent nothing.

    Attributes:
        config: The configuration file.
        shown: The first endpoint, as it may be shown.
    """

    config: str
    shown: str


class BenchPlan(Struct, frozen=True, kw_only=True):
    """What is measured.

    Attributes:
        components: In the order they are reported.
        slot_ms: Of the embedded chain; 0 = a slot for each transaction, then only own times say something.
        loops: On which event loops; each component once on each.
        timeout_ms: For one sample.
        look: The second look at each, or None.
        own: The user's own endpoints in place of an embedded chain, or None.
    """

    components: tuple[Component, ...] = tuple(Component)
    samples: int = 100
    warmup: int = 10
    slot_ms: int = DEFAULT_SLOT_MS
    seed: int = 7
    loops: tuple[LoopName, ...] = ("uvloop",)
    timeout_ms: int = 30_000
    look: SecondLook | None = None
    own: OwnEndpoints | None = None

    @property
    def workloads(self) -> dict[Component, ComponentWorkload]:
        """How each component is measured here."""
        return COMPONENT_WORKLOADS if self.own is None else PAPER_WORKLOADS

    @property
    def title(self) -> str:
        """One line: what was measured and where."""
        if self.own is not None:
            return f"{self.samples} samples on {self.own.shown}, nothing is sent there, {' and '.join(self.loops)}"
        slots = f"slots of {self.slot_ms} ms" if self.slot_ms else "a slot for each transaction"
        loops = " and ".join(self.loops)
        return f"{self.samples} samples on the embedded chain, {slots}, network profile {NETWORK}, {loops}"


class BenchObserver(Protocol):
    """Who watches a run."""

    def on_progress(self, progress: Progress) -> None:
        """Take how far a benchmark is. The first word of each."""
        ...

    def on_outcome(self, outcome: BenchmarkOutcome) -> None:
        """Take a benchmark that has ended."""
        ...

    @property
    def wants_stop(self) -> bool:
        """Whether to end with what there is."""
        ...


def own_endpoints(config: Path | None) -> OwnEndpoints:
    """Return the endpoints of a configuration. *Does I/O.* Raises ConfigError, or UsageError where it names none."""
    if config is None:
        raise UsageError("--cluster paper reads your own endpoints: name a file that has them with --config FILE")
    return OwnEndpoints(config=str(config.absolute()), shown=redacted_url(paper_cluster(load(config)).rpc[0]))


def components_named(names: Sequence[str], *, spend_nothing: bool = False) -> tuple[Component, ...]:
    """Return the components of these names, each once, in the order of the table; all for no name.

    Args:
        names: In any case, with - or _.
        spend_nothing: Whether only those that trade nothing can be measured.

    Raises:
        UsageError: A name is none of a component, or of one that trades.
    """
    able = tuple(PAPER_WORKLOADS if spend_nothing else COMPONENT_WORKLOADS)
    if not names:
        return able
    wanted = set()
    for name in names:
        try:
            wanted.add(Component(name.upper().replace("-", "_")))
        except ValueError as error:
            known = ", ".join(component.value for component in Component)
            raise UsageError(f"there is no component {name[:40]!r}; components are {known}") from error
    if trading := [component.value for component in Component if component in wanted - set(able)]:
        known = ", ".join(component.value for component in able)
        raise UsageError(f"{', '.join(trading)} would trade; with --cluster paper there are {known}")
    return tuple(component for component in Component if component in wanted)


def is_good(outcome: BenchmarkOutcome) -> bool:
    """Tell whether a benchmark has a result that meets its target. *Pure.*"""
    return isinstance(outcome, BenchmarkResult) and (outcome.target is None or outcome.target.passed)


async def run_benchmarks(plan: BenchPlan, observer: BenchObserver) -> ResultDocument:
    """Measure and return the document. *Does I/O.* *Cancellation: ends every process, without a document.*

    What had no sample when it was stopped is not in the document.
    """
    service = BenchmarkService(lambda finished: observer.on_outcome(finished.outcome))
    outcomes: dict[tuple[Component, LoopName], BenchmarkOutcome] = {}
    room = asyncio.Semaphore(_SIDE_BY_SIDE)

    async def one(component: Component, loop: LoopName) -> None:
        async with room:
            if not observer.wants_stop:
                outcomes[component, loop] = await _measured(service, plan, observer, component, loop)

    jobs = [(component, loop) for loop in plan.loops for component in plan.components]
    for component, loop in jobs:
        if not plan.workloads[component].waits_for_slots:
            await one(component, loop)
    async with asyncio.TaskGroup() as tasks:
        for component, loop in jobs:
            if plan.workloads[component].waits_for_slots:
                tasks.create_task(one(component, loop))
    ordered = [outcomes[job] for job in jobs if job in outcomes and not _is_empty(outcomes[job])]
    if plan.own is None:
        extra = {"cluster": "localnet", "slot_ms": str(plan.slot_ms), "network": NETWORK, "seed": str(plan.seed)}
    else:
        extra = {"cluster": "paper", "endpoint": plan.own.shown, "seed": str(plan.seed)}
    loops = sorted({outcome.event_loop for outcome in ordered if isinstance(outcome, BenchmarkResult)})
    environment = passport(event_loop=", ".join(loops) or "none", libraries=_LIBRARIES, extra=extra)
    floor = kept_floor(fingerprint=environment.fingerprint, ts_ms=environment.ts_ms)
    certified = [_with_floor(outcome, floor) for outcome in ordered]
    return benchmark_document(certified, environment, title=plan.title, stopped=observer.wants_stop)


def _with_floor(outcome: BenchmarkOutcome, floor_percent: float | None) -> BenchmarkOutcome:
    """Add to a result's noise certificate what two copies of one version differed by here today."""
    if not isinstance(outcome, BenchmarkResult) or outcome.noise is None or floor_percent is None:
        return outcome
    return replace(outcome, noise=replace(outcome.noise, aa_floor_percent=floor_percent))


async def _measured(
    service: BenchmarkService, plan: BenchPlan, observer: BenchObserver, component: Component, loop: LoopName
) -> BenchmarkOutcome:
    workload = plan.workloads[component]
    parameters = {"seed": str(plan.seed)}
    if workload.has_config:
        assert plan.own is not None, "those are the user's own endpoints"
        parameters = {"config": plan.own.config}
    if workload.has_chain:
        parameters["slot_ms"] = str(plan.slot_ms)
    options = BenchmarkOptions(
        component=component,
        warmup=plan.warmup,
        samples=plan.samples,
        timeout_ms=plan.timeout_ms,
        labels={"loop": loop},
        target=target_of(component, plan.slot_ms),
    )

    def on_progress(progress: Progress) -> bool:
        observer.on_progress(progress)
        return observer.wants_stop

    observer.on_progress(Progress(name=component.value, phase="warmup", made=0, of=plan.warmup))
    outcome = await service.run_isolated(
        workload.reference,
        options,
        loop=loop,
        parameters=parameters,
        look=_look(plan, component, loop),
        on_progress=on_progress,
    )
    if component is Component.DETECTION and isinstance(outcome, BenchmarkResult) and outcome.own_ms is not None:
        own, aim = 1_000 * outcome.own_ms.median, 1_000 * DETECTION_OWN_P50_MS
        return replace(outcome, notes=(f"own time p50 {own:.0f} us, the aim is {aim:.0f} us", *outcome.notes))
    return outcome


def _look(plan: BenchPlan, component: Component, loop: LoopName) -> SecondLook | None:
    """Return the second look at one component: files of its own where it is measured on several loops."""
    if plan.look is None:
        return None
    folder = str(Path(plan.look.folder) / loop) if len(plan.loops) > 1 else plan.look.folder
    targets = stage_targets_ns(plan.slot_ms) if component in COMPONENTS else {}
    return replace(plan.look, folder=folder, targets_ns=targets)


def _is_empty(outcome: BenchmarkOutcome) -> bool:
    """Tell whether it was stopped before its first sample."""
    return isinstance(outcome, BenchmarkFailure) and isinstance(outcome.error, NoSuccess) and not outcome.error.errors
