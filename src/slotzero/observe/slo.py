"""Error budgets: records and alerts on how fast they burn. Pure.

Model: an objective allows a share of bad events in 30 days. A burn rate of 1 uses that budget up in exactly 30 days; a
window in which the share of bad events is `factor` times what is allowed burns at that rate. Each alert wants two
windows above its factor: the long one so that it matters, the short one (a twelfth) so that it is still going on. The
four pairs are those of the SRE workbook, with the pair for 10 % of the budget in a day beside them.

Known failure cases: the scheme was made for much traffic. A sniper buys a few times an hour, so an alert also wants a
number of events in its long window; below it the budget is silent, and the steady measure is a benchmark. And a factor
times the allowed share above 1 can never be reached: such pairs are left out (`admissible`), which leaves an objective
below 93 % without the fastest.
"""

from typing import Final

from msgspec import Struct

from slotzero.observe.rules import Alert, Group, Record, Severity

__all__ = ["PAIRS", "SLOS", "BurnPair", "Slo", "admissible", "slo_groups"]

_LEAST_EVENTS: Final = 10


class BurnPair(Struct, frozen=True, kw_only=True):
    """Two windows and the rate of burning that both must show."""

    factor: float
    long: str
    short: str
    severity: Severity
    for_s: int


PAIRS: Final = (
    BurnPair(factor=14.4, long="1h", short="5m", severity="critical", for_s=120),
    BurnPair(factor=6, long="6h", short="30m", severity="critical", for_s=300),
    BurnPair(factor=3, long="1d", short="2h", severity="warning", for_s=600),
    BurnPair(factor=1, long="3d", short="6h", severity="warning", for_s=600),
)
_WINDOWS: Final = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")


class Slo(Struct, frozen=True, kw_only=True):
    """A share of good events.

    Attributes:
        objective: The share that must be good, between 0 and 1.
        good: Expression of the good events' increase, with `{window}` in place of the window.
        total: Of all events, likewise.
    """

    name: str
    what: str
    objective: float
    good: str
    total: str


def _latency(name: str, component: str, limit_s: float) -> Slo:
    chosen = f'component="{component}"'
    within = f'bot_stage_duration_seconds_bucket{{{chosen}, le="{limit_s!r}"}}'
    return Slo(
        name=name,
        what=f"{component} within {limit_s:g} s",
        objective=0.95,  # what is held against a limit is p95
        good=f"sum by (job, instance) (increase({within}[{{window}}]))",
        total=f"sum by (job, instance) (increase(bot_stage_duration_seconds_count{{{chosen}}}[{{window}}]))",
    )


SLOS: Final = (
    _latency("detection-latency", "DETECTION", 0.5),
    _latency("honeypot-latency", "HONEYPOT", 2.0),
    _latency("execution-latency", "EXECUTION", 1.5),
    _latency("full-flow-latency", "FULL_FLOW", 4.0),
    Slo(
        name="buy-success",
        what="buys that land",
        objective=0.90,
        good='sum by (job, instance) (increase(bot_snipes_total{outcome="bought"}[{window}]))',
        total='sum by (job, instance) (increase(bot_snipes_total{outcome=~"bought|failed|unknown"}[{window}]))',
    ),
)
"""The running bot's objectives: four latencies at the targets of their p95, and that buys land."""


def admissible(slo: Slo, pair: BurnPair) -> bool:
    """Tell whether so fast a burn is possible at all. *Pure.*"""
    return pair.factor * (1 - slo.objective) < 1


def slo_groups() -> tuple[Group, ...]:
    """Return records and alerts of every objective, one group each."""
    return tuple(
        Group(
            name=f"slotzero-slo-{slo.name}",
            rules=(
                *(_bad_share(slo, window) for window in _WINDOWS),
                *(_burn(slo, pair) for pair in PAIRS if admissible(slo, pair)),
            ),
        )
        for slo in SLOS
    )


def _bad_share(slo: Slo, window: str) -> Record:
    good, total = slo.good.replace("{window}", window), slo.total.replace("{window}", window)
    return Record(name=f"slo:bad_events:ratio_{window}", expr=f"1 - {good} / ({total} > 0)", labels={"slo": slo.name})


def _burn(slo: Slo, pair: BurnPair) -> Alert:
    allowed = round(1 - slo.objective, 6)
    bound = f"{pair.factor:g} * {allowed:g}"
    chosen = f'{{slo="{slo.name}"}}'
    enough = slo.total.replace("{window}", pair.long)
    return Alert(
        name="SlotzeroErrorBudgetBurn",
        expr=(
            f"slo:bad_events:ratio_{pair.long}{chosen} > {bound}\n"
            f"and slo:bad_events:ratio_{pair.short}{chosen} > {bound}\n"
            f"and on (job, instance) {enough} >= {_LEAST_EVENTS}"
        ),
        severity=pair.severity,
        for_s=pair.for_s,
        keep_s=300,
        summary=(
            f"{slo.what}: {{{{ $value | humanizePercentage }}}} bad in {pair.long}, "
            f"{allowed * 100:g} % are allowed ({{{{ $labels.instance }}}})"
        ),
        description=(
            f"At {pair.factor:g} times the allowed rate the budget of 30 days is gone in {30 / pair.factor:.3g} days."
        ),
        labels={"slo": slo.name, "long_window": pair.long},
    )
