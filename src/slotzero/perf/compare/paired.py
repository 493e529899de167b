"""Compare two versions paired in time. The shell around `course`. *Does I/O*: it starts two processes a launch.

Both workers of a launch are pinned to one core, which is never asked of both at once, and have one hash seed: what is
not the version's own should not differ between them. They load in parallel and are measured in turns.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from random import Random
from statistics import median
from typing import Final, Literal

from msgspec import Struct

from slotzero.errors import WorkerError
from slotzero.perf.compare.blocks import log_ratios, quantiles
from slotzero.perf.compare.course import Course, LaunchPlan
from slotzero.perf.compare.design import DEFAULT_DESIGN, Design, Size
from slotzero.perf.compare.rule import DEFAULT_RULES, Rule
from slotzero.perf.compare.workers import Side, Worker
from slotzero.perf.environment import NoiseCertificate, QuietWatch
from slotzero.perf.types import Comparison

__all__ = ["Missing", "PairedOutcome", "PairedRun", "Workload"]

_LOAD_MS: Final = 120_000
_BLOCK_MS: Final = 60_000
_TRIAL_CALLS: Final = 15
_SEEDS: Final = 2**32


class Workload(Struct, frozen=True, kw_only=True):
    """One thing to measure in both versions.

    Attributes:
        name: What to call it.
        target: `module:callable`. What it names is measured, or (with a `package`) builds what is measured.
        package: A folder of workload definitions used for both versions, or None where each version brings its own.
        component: The sniper's component it stands for, or None.
    """

    name: str
    target: str
    package: str | None = None
    component: str | None = None


class Missing(Struct, frozen=True, kw_only=True):
    """A workload that could not be compared, and why."""

    name: str
    side: Literal["BASE", "NEW"]
    reason: str


class PairedOutcome(Struct, frozen=True, kw_only=True):
    """What a paired comparison found.

    Attributes:
        comparisons: A line for each percentile of each workload.
        missing: What could not be compared.
        launches: Launches made, those of the repeat included.
        base_ns: By workload, the median over blocks of each percentile's value in the base; likewise `new_ns`.
        loops: How many calls were timed as one sample, by workload; percentiles of such workloads are those of groups.
        told: The workloads whose calls told their own time, which is not how long they lasted.
        noise: How quiet the machine was meanwhile.
        stopped: Whether it was stopped before everything was decided.
    """

    comparisons: list[Comparison]
    missing: list[Missing]
    launches: int
    base_ns: dict[str, dict[str, float]]
    new_ns: dict[str, dict[str, float]]
    loops: dict[str, int]
    told: tuple[str, ...]
    noise: NoiseCertificate
    stopped: bool = False


class PairedRun:
    """One comparison of two versions.

    Args:
        base: The version compared with.
        new: The version judged.
        workloads: What to measure; their names must differ.
        seed: Of everything drawn.
        design: How much is measured.
        rules: What counts, by percentile.
        on_launch: Called before each launch with its plan and the workloads' number, for showing progress.
        block_timeout_ms: After which a block counts as hung.
    """

    def __init__(
        self,
        base: Side,
        new: Side,
        workloads: Sequence[Workload],
        *,
        seed: int,
        design: Design = DEFAULT_DESIGN,
        rules: Mapping[str, Rule] = DEFAULT_RULES,
        on_launch: Callable[[LaunchPlan], None] = lambda _plan: None,
        block_timeout_ms: int = _BLOCK_MS,
    ) -> None:
        if len({workload.name for workload in workloads}) != len(workloads):
            raise ValueError("workloads must have different names")
        self._sides = (base, new)
        self._workloads = {workload.name: workload for workload in workloads}
        self._design = design
        self._metrics = tuple(rules)
        self._on_launch = on_launch
        self._block_ms = block_timeout_ms
        self._draw = Random(seed)  # noqa: S311 hash seeds and an order, no secret
        components = {workload.name: workload.component for workload in workloads}
        self._course = Course(components, seed=self._draw.randrange(_SEEDS), design=design, rules=rules)
        self._sizes: dict[str, Size] = {}
        self._told: set[str] = set()
        self._missing: list[Missing] = []
        self._values: tuple[dict[str, list[dict[str, float]]], ...] = ({}, {})

    def run(self) -> PairedOutcome:
        """Measure until everything is decided, or Ctrl-C: then with what the last look had. *Does I/O.*

        Raises:
            WorkerError: A version's process ended, hung or failed in the middle.
            KeyboardInterrupt: It was stopped before the first look.
        """
        watch, launches, stopped = QuietWatch(), 0, False
        try:
            while (plan := self._course.next_launch()) is not None:
                self._on_launch(plan)
                self._course.add(self._launch(plan))
                launches += 1
        except KeyboardInterrupt:
            if not self._course.comparisons():
                raise
            stopped = True
        base, new = ({name: self._middle(blocks) for name, blocks in side.items()} for side in self._values)
        return PairedOutcome(
            comparisons=self._course.comparisons(),
            missing=self._missing,
            launches=launches,
            base_ns=base,
            new_ns=new,
            loops={name: size.loops for name, size in self._sizes.items() if size.loops > 1},
            told=tuple(name for name in self._workloads if name in self._told),
            noise=watch.certificate(),
            stopped=stopped,
        )

    def _launch(self, plan: LaunchPlan) -> dict[str, list[dict[str, float]]]:
        environment = {
            "PYTHONHASHSEED": str(self._draw.randrange(_SEEDS)),
            **_core(),
        }
        found: dict[str, list[dict[str, float]]] = {}
        with ExitStack() as stack:
            base, new = (stack.enter_context(Worker(side, environment)) for side in self._sides)
            base.await_ready()
            new.await_ready()
            self._load(base, new, plan.names)
            for turn in plan.turns:
                if turn.name not in self._workloads or len(found.get(turn.name, ())) == self._sizes[turn.name].rounds:
                    continue  # one of the versions cannot run it, or it is slow and has had its rounds
                order = (base, new) if turn.base_first else (new, base)
                blocks = {worker: self._block(worker, turn.name) for worker in order}
                pair = [quantiles(blocks[worker], self._metrics) for worker in (base, new)]
                for kept, values in zip(self._values, pair, strict=True):
                    kept.setdefault(turn.name, []).append(values)
                found.setdefault(turn.name, []).append(log_ratios(*pair))
            for worker in (base, new):
                worker.dismiss()  # both take down their surroundings at the same time
        return found

    def _load(self, base: Worker, new: Worker, names: Sequence[str]) -> None:
        for name in names:
            workload = self._workloads[name]
            workers: tuple[tuple[Literal["BASE", "NEW"], Worker], ...] = (("BASE", base), ("NEW", new))
            for (_, worker), side in zip(workers, self._sides, strict=True):
                request = {"do": "load", "name": name, "target": workload.target, "package": workload.package}
                worker.send({**request, "root": side.root}, f"loading {name}")
            replies = [(which, worker, worker.receive(_LOAD_MS).missing) for which, worker in workers]
            for which, worker, why in replies:
                if why is not None:
                    self._give_up(name, which, worker, why)
                    break
            else:
                if name not in self._sizes:
                    self._measure_size(name, workers)

    def _measure_size(self, name: str, workers: Sequence[tuple[Literal["BASE", "NEW"], Worker]]) -> None:
        """Find out how long a call takes, once for the whole comparison: both versions get blocks of one size."""
        trial = {"do": "block", "name": name, "calls": _TRIAL_CALLS, "dropped": 3, "loops": 1}
        middles, lasting = [], []
        for which, worker in workers:
            reply = worker.ask(trial, f"trying {name}", self._block_ms)
            if reply.ns is None:
                self._give_up(name, which, worker, reply.failed or "no answer")
                return
            middles.append(round(median(reply.ns)))
            if reply.call_ns is not None:
                lasting.append(reply.call_ns)
        if lasting:
            self._told.add(name)
            self._sizes[name] = self._design.told_size_of(max(lasting))
        else:
            self._sizes[name] = self._design.size_of(min(middles), max(middles))

    def _give_up(self, name: str, which: Literal["BASE", "NEW"], worker: Worker, why: str) -> None:
        if name in self._sizes:
            raise WorkerError(f"{worker.label} ran {name} in an earlier launch and cannot any more: {why}")
        self._missing.append(Missing(name=name, side=which, reason=why))
        del self._workloads[name]
        self._course.drop(name)

    def _block(self, worker: Worker, name: str) -> list[int]:
        size = self._sizes[name]
        request = {"do": "block", "name": name, "calls": size.calls, "dropped": size.dropped}
        reply = worker.ask({**request, "loops": size.loops}, f"running a block of {name}", self._block_ms)
        if reply.ns is None:
            raise WorkerError(f"{name} failed in {worker.label}: {reply.failed}")
        return reply.ns

    def _middle(self, blocks: list[dict[str, float]]) -> dict[str, float]:
        return {metric: median(block[metric] for block in blocks) for metric in self._metrics}


def _core() -> dict[str, str]:
    """Return the core for both workers: the last we may use, which least other work is on."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
    cores: set[int] = set() if affinity is None else affinity(0)
    return {"SLOTZERO_WORKER_CORE": str(max(cores))} if len(cores) > 1 else {}
