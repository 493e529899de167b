"""What the API answers, as records: the OpenAPI document is made of them."""

from typing import Final, Literal

from msgspec import Struct, field

from slotzero.control.feed_records import Hello, LogLine
from slotzero.perf.compare.document import CompareDocument
from slotzero.perf.types import Interval
from slotzero.tracing import SnipeTrace

__all__ = [
    "Answer",
    "Comparing",
    "ComponentFigures",
    "Counts",
    "Curve",
    "Difference",
    "Health",
    "LoadRun",
    "Logs",
    "Performance",
    "Position",
    "Positions",
    "Problem",
    "Resources",
    "RunDetail",
    "RunEntry",
    "RunFigures",
    "Runs",
    "SnipeDetail",
    "Snipes",
    "Standing",
    "SystemCheck",
]

SCHEMA: Final = "slotzero.performance/1"
Standing = Literal["ok", "near", "over", "idle"]
"""Within its target, within the last fifth of it, beyond it, nothing to judge."""


class Problem(Struct, frozen=True, kw_only=True):
    """Why a request was not answered, in one sentence."""

    error: str


class Health(Struct, frozen=True, kw_only=True):
    """Whether the server lives, and what it shows.

    Attributes:
        ready: Whether a bot is being watched; stored runs are shown either way.
    """

    status: Literal["ok", "waiting"]
    ready: bool
    bot: int | None


class ComponentFigures(Struct, frozen=True, kw_only=True):
    """One component over the window, in milliseconds; None without a sample.

    Attributes:
        count: Since the watching began; `window_count` in the window, which the figures are of.
        used_percent: p95 in percent of the target.
        aim_met: Whether p95 is within the aim.
    """

    component: str
    count: int
    window_count: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    own_p95_ms: float | None
    ops_per_s: float
    target_p95_ms: float
    aim_p95_ms: float | None
    used_percent: float | None
    aim_met: bool | None
    standing: Standing


class Counts(Struct, frozen=True, kw_only=True):
    """What the run has done so far."""

    detected: int = 0
    bought: int = 0
    closed: int = 0
    held: int = 0
    in_flight: int = 0
    waiting: int = 0
    refused: dict[str, int] = {}
    failed: dict[str, int] = {}


class Resources(Struct, frozen=True, kw_only=True):
    """What the bot's process uses; 1 MB = 10**6 bytes, 100 % = one core, None = not known."""

    memory_mb: float | None = None
    cpu_percent: float | None = None
    loop_p50_ms: float | None = None
    loop_p99_ms: float | None = None
    loop_max_ms: float | None = None


class SystemCheck(Struct, frozen=True, kw_only=True):
    """One target of the whole system. `limit` must be exceeded where `is_floor`, else stayed under."""

    name: str
    unit: str
    value: float | None
    limit: float
    is_floor: bool
    standing: Standing


class Performance(Struct, frozen=True, kw_only=True):
    """The live state, once a tick.

    Attributes:
        seq: Of the tick, counted from the server's start.
        ts_ms: Wall clock, milliseconds since 1970.
        bot: Who is watched; None = nobody.
        verdict: The worst of all standings.
        window_s: What the components' figures are of.
        pnl_lamports: Of closed positions; `value_lamports` what the open ones would bring.
        invariants: What must be 0.
    """

    schema_: str = field(name="schema", default=SCHEMA)
    seq: int
    ts_ms: int
    bot: Hello | None
    verdict: Standing
    window_s: int
    components: tuple[ComponentFigures, ...]
    system: tuple[SystemCheck, ...]
    counts: Counts
    resources: Resources
    success_percent: float | None
    pnl_lamports: int
    value_lamports: int
    balance_lamports: int
    halted: str
    invariants: dict[str, int]
    endpoints: dict[str, str]


class Position(Struct, frozen=True, kw_only=True):
    """One position; amounts in lamports, None where they are not known."""

    id: str
    mint: str
    symbol: str
    venue: str
    wallet: str
    state: str
    reason: str
    tokens: int
    quoted_lamports: int
    value_lamports: int | None
    stop_lamports: int | None
    pnl_lamports: int
    opened_ms: int | None


class Positions(Struct, frozen=True, kw_only=True):
    """Held ones first, then closed ones, newest first.

    Attributes:
        total: How many there are of what was asked for; beyond the limit they are left out here.
    """

    positions: tuple[Position, ...]
    halted: str
    total: int = 0


class Snipes(Struct, frozen=True, kw_only=True):
    """Traces the server remembers, without their stages where `stages` was not asked for."""

    snipes: tuple[SnipeTrace, ...]


class SnipeDetail(Struct, frozen=True, kw_only=True):
    """One pool's traces: the buy or refusal, and the exit where there was one."""

    id: str
    traces: tuple[SnipeTrace, ...]


class Logs(Struct, frozen=True, kw_only=True):
    """The newest lines, oldest first."""

    lines: tuple[LogLine, ...]


class RunFigures(Struct, frozen=True, kw_only=True):
    """One benchmark of a stored run, in milliseconds."""

    name: str
    component: str | None
    count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    own_p95_ms: float | None
    intervals: dict[str, Interval | None]
    success_percent: float
    target_p95_ms: float | None
    passed: bool | None


class LoadPoint(Struct, frozen=True, kw_only=True):
    """A stretch of a load run."""

    at_s: float
    ops_per_s: float
    errors: int
    in_flight: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    cpu_percent: float | None
    rss_mb: float | None


class LoadRun(Struct, frozen=True, kw_only=True):
    """One load run of a stored result."""

    scenario: str
    model: str
    concurrency: int
    total_ops: int
    success_percent: float
    ops_per_s: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    passed: bool
    generator: str
    missed_starts: int
    errors: dict[str, int]
    thresholds: dict[str, bool]
    timeline: tuple[LoadPoint, ...]


class RunEntry(Struct, frozen=True, kw_only=True):
    """One stored run in the list.

    Attributes:
        passed: How many results met their targets, of `judged`; `failed` ended without figures.
    """

    id: str
    kind: Literal["benchmark", "load"]
    title: str
    ts_ms: int
    slotzero: str
    python: str
    cpu: str
    fingerprint: str
    results: int
    judged: int
    passed: int
    failed: int
    bytes: int


class Runs(Struct, frozen=True, kw_only=True):
    """Stored runs, newest first. `unreadable` names files that are none, and why."""

    runs: tuple[RunEntry, ...]
    unreadable: dict[str, str]


class RunDetail(Struct, frozen=True, kw_only=True):
    """One stored run."""

    entry: RunEntry
    environment: dict[str, str]
    benchmarks: tuple[RunFigures, ...]
    loads: tuple[LoadRun, ...]
    failures: dict[str, str]


class Curve(Struct, frozen=True, kw_only=True):
    """A cumulative distribution: `percent` of calls took at most `ms`."""

    ms: tuple[float, ...]
    percent: tuple[float, ...]


class Difference(Struct, frozen=True, kw_only=True):
    """A fact in which two environments differ."""

    name: str
    base: str
    new: str


class Comparing(Struct, frozen=True, kw_only=True):
    """Two stored runs beside one another.

    Attributes:
        verdicts: What the comparison says; None where it refuses, with `refusal` saying why.
        curves: By benchmark, the base's and the new one's distribution.
    """

    base: RunEntry
    new: RunEntry
    base_figures: dict[str, RunFigures]
    new_figures: dict[str, RunFigures]
    verdicts: CompareDocument | None
    refusal: str
    curves: dict[str, tuple[Curve, Curve]]
    differences: tuple[Difference, ...]


class Answer(Struct, frozen=True, kw_only=True):
    """What the bot says after it was told to act."""

    halted: str
    positions: tuple[Position, ...]
