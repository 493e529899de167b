"""What a comparison says, as one document: `slotzero.compare/1`."""

import math
from collections.abc import Sequence
from statistics import fmean
from typing import Final, Literal

import msgspec
from msgspec import Struct, field

from slotzero.perf.compare.checkouts import Checkout
from slotzero.perf.compare.design import Design
from slotzero.perf.compare.paired import PairedOutcome
from slotzero.perf.compare.rule import as_percent
from slotzero.perf.compare.stored import FiguresNs, Incomparable
from slotzero.perf.environment import NoiseCertificate, Passport
from slotzero.perf.types import Comparison, Verdict

__all__ = ["SCHEMA", "CompareDocument", "Version", "encode", "paired_document", "regressions", "stored_document"]

SCHEMA: Final = "slotzero.compare/1"


class Version(Struct, frozen=True, kw_only=True):
    """One of the two.

    Attributes:
        name: As it was asked for.
        commit: Its full hash, where it is a revision.
        environment: Where its interpreter came from, or the fingerprint of the machine a file was measured on.
    """

    name: str
    commit: str | None
    environment: str


class CompareDocument(Struct, frozen=True, kw_only=True):
    """One comparison.

    Attributes:
        kind: "paired" revisions, or "stored" files.
        verdict: The worst of all lines.
        suite_effect_percent: Geometric mean of the changes of the medians.
        comparisons: A line for each percentile of each workload.
        missing: What could not be compared, by name, and why.
        base_ns: By workload, each percentile's value: the median over blocks, or as the file has it; likewise `new_ns`.
        loops: How many calls were timed as one sample, where it was more than one.
        notes: Sentences a reader should know.
        stopped: Whether it was stopped before everything was decided.
    """

    schema_: str = field(name="schema", default=SCHEMA)
    kind: Literal["paired", "stored"]
    base: Version
    new: Version
    verdict: Verdict
    suite_effect_percent: float | None
    comparisons: tuple[Comparison, ...]
    missing: dict[str, str]
    launches: int
    environment: Passport | None = None
    design: Design | None = None
    noise: NoiseCertificate | None = None
    seed: int | None = None
    base_ns: dict[str, dict[str, float]] = {}
    new_ns: dict[str, dict[str, float]] = {}
    loops: dict[str, int] = {}
    notes: tuple[str, ...] = ()
    stopped: bool = False


_LEAST_EFFECT_PERCENT: Final = -99.9995
"""The smallest change that three digits tell from -100 %."""
_WORST_FIRST: Final = (
    Verdict.REGRESSED,
    Verdict.SUSPECT,
    Verdict.INCONCLUSIVE,
    Verdict.IMPROVED,
    Verdict.EQUIVALENT,
)


def paired_document(
    base: Checkout,
    new: Checkout,
    outcome: PairedOutcome,
    *,
    environment: Passport,
    design: Design,
    seed: int,
    notes: Sequence[str] = (),
) -> CompareDocument:
    """Return the document of a paired comparison. *Pure.*"""
    said = [f"BASE runs in {base.environment}", f"NEW runs in {new.environment}", *notes]
    if outcome.loops:
        shown = ", ".join(f"{name} {loops}" for name, loops in sorted(outcome.loops.items()))
        said.append(f"calls too short for the clock were timed in groups, percentiles are those of groups: {shown}")
    return CompareDocument(
        kind="paired",
        base=Version(name=base.name, commit=base.commit, environment=base.environment),
        new=Version(name=new.name, commit=new.commit, environment=new.environment),
        verdict=_worst(outcome.comparisons),
        suite_effect_percent=_suite(outcome.comparisons),
        comparisons=tuple(outcome.comparisons),
        missing={one.name: f"not in {one.side}: {one.reason}" for one in outcome.missing},
        launches=outcome.launches,
        environment=environment,
        design=design,
        noise=outcome.noise,
        seed=seed,
        base_ns=outcome.base_ns,
        new_ns=outcome.new_ns,
        loops=outcome.loops,
        notes=tuple(said),
        stopped=outcome.stopped,
    )


def stored_document(
    base: Version,
    new: Version,
    comparisons: list[Comparison],
    left_out: list[Incomparable],
    *,
    figures_ns: tuple[FiguresNs, FiguresNs],
    environment: Passport,
    notes: tuple[str, ...] = (),
) -> CompareDocument:
    """Return the document of two result files. *Pure.*"""
    said = (
        "measured at different times: percentiles are compared as multiples of the reference work, changes under 10 % "
        "are not told apart from the machine's mood; comparing two revisions is sharper"
    )
    return CompareDocument(
        kind="stored",
        base=base,
        new=new,
        verdict=_worst(comparisons),
        suite_effect_percent=_suite(comparisons),
        comparisons=tuple(comparisons),
        missing={one.name: one.reason for one in left_out},
        launches=1,
        environment=environment,
        base_ns=figures_ns[0],
        new_ns=figures_ns[1],
        notes=(said, *notes),
    )


def encode(document: CompareDocument) -> bytes:
    """Return the document as JSON. *Pure.*"""
    return msgspec.json.format(msgspec.json.encode(document), indent=2)


def regressions(document: CompareDocument, at_least_percent: float = 0.0) -> list[Comparison]:
    """Return the regressions of at least so many percent; one whose repeat disagreed is none. *Pure.*"""
    return [
        line
        for line in document.comparisons
        if line.verdict is Verdict.REGRESSED and line.effect_percent >= at_least_percent
    ]


def _worst(comparisons: list[Comparison]) -> Verdict:
    found = {line.verdict for line in comparisons}
    return next((verdict for verdict in _WORST_FIRST if verdict in found), Verdict.INCONCLUSIVE)


def _suite(comparisons: list[Comparison]) -> float | None:
    # What now takes less than a 200,000th of the time is written as a change of -100.0 %, which has no logarithm.
    effects = [
        math.log1p(max(line.effect_percent, _LEAST_EFFECT_PERCENT) / 100)
        for line in comparisons
        if line.metric == "median"
    ]
    return round(as_percent(fmean(effects)), 3) if effects else None
