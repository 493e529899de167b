"""What a load run is held against: limits on figures, over the whole run or in each window. *Pure.*

A threshold with no data is missed, never met: a run of zero operations must not pass because zero operations were slow.
A windowed threshold is judged at the end of each window of the timeline, after a grace period, and may need several
bad windows in a row; with `abort` the run ends there, with its reason. Latencies and shares are of operations, so a
window that holds too few is passed over. What counts or is read off a process is a datum in an empty window, too:
throughput above all, since a target that hangs altogether leaves nothing but empty windows. Throughput is judged only
in whole windows inside the plan, for afterwards no operation begins.
"""

import math
import re
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from slotzero.perf.classify import ErrorClass

__all__ = ["Figures", "Threshold", "ThresholdResult", "ThresholdWatch", "parse_threshold"]

Figures: TypeAlias = Mapping[str, float]
"""The figures of a run or a window by name. A figure without data is absent."""

AT_LEAST: Final = frozenset({"success_percent", "ops_per_s", "total_ops"})
"""Figures of which more is better; of all others at most the limit is allowed."""
_THROUGHPUT: Final = frozenset({"ops_per_s", "total_ops"})
_PERCENTILES: Final = ("p50_ms", "p75_ms", "p90_ms", "p95_ms", "p99_ms", "p999_ms", "mean_ms", "max_ms")
_OF_OPERATIONS: Final = frozenset(
    {"success_percent", "error_percent", *_PERCENTILES, *(f"service_{name}" for name in _PERCENTILES)}
)
"""Figures that say nothing where there are few operations."""
_METRICS: Final = frozenset(
    {
        *AT_LEAST,
        *_OF_OPERATIONS,
        *(f"errors.{kind.value}" for kind in ErrorClass),
        "errors",
        "missed_starts",
        "cpu_percent",
        "rss_mb",
    }
)
_TEXT: Final = re.compile(
    r"^\s*(?P<metric>[\w.:]+)\s*(?P<sign><=|>=)\s*(?P<limit>[0-9.]+)\s*"
    r"(?P<scope>window)?\s*(?P<abort>abort)?\s*$"
)


class Threshold(Struct, frozen=True, kw_only=True):
    """One limit.

    Attributes:
        metric: A figure's name: "p95_ms" of the headline latency (and p50, p75, p90, p99, p999, mean, max),
            "service_p95_ms", "success_percent", "error_percent", "errors", "errors.timeout" and the other classes,
            "ops_per_s", "total_ops", "missed_starts", "cpu_percent" and "rss_mb" of the driver, "cpu_percent:NAME"
            and "rss_mb:NAME" of a watched process, or a figure a probe reports as "probe:NAME" (of a run its last
            value).
        limit: At most this much; at least this much for success, throughput and the number of operations.
        scope: "run" judges the whole run at its end, "window" each window of the timeline.
        min_samples: Operations a run or window must hold to be judged; a run with fewer misses it, a window with
            fewer is passed over, where it is a latency or a share that is limited.
        grace_s: Windows that begin earlier than this are not judged.
        windows: Bad windows in a row that it takes to miss it.
        abort: Whether a missed window ends the run.
    """

    metric: str
    limit: float
    scope: Literal["run", "window"] = "run"
    min_samples: int = 1
    grace_s: float = 0.0
    windows: int = 1
    abort: bool = False

    def __post_init__(self) -> None:
        """Refuse a figure that does not exist: it would have no data for ever."""
        if self.metric not in _METRICS and not self.metric.startswith(("cpu_percent:", "rss_mb:", "probe:")):
            raise ValueError(f"no figure is called {self.metric!r}; one of {', '.join(sorted(_METRICS))}")
        if not _is_finite(self.limit):
            raise ValueError(f"the limit of {self.metric} is a finite number, got {self.limit!r}")
        if not _is_whole(self.windows) or not _is_whole(self.min_samples) or not _is_finite(self.grace_s):
            raise ValueError("windows and min_samples are whole numbers, grace_s is a finite one")
        if self.windows < 1 or self.min_samples < 0 or self.grace_s < 0:
            raise ValueError("windows is at least 1, min_samples and grace_s are not negative")
        if self.scope not in {"run", "window"}:
            raise ValueError(f'a threshold\'s scope is "run" or "window", got {self.scope!r}')
        if self.abort and self.scope == "run":
            raise ValueError('only a threshold with scope "window" can abort a run that is under way')

    @property
    def wants_more(self) -> bool:
        """Return whether the limit is the least allowed."""
        return self.metric in AT_LEAST

    @property
    def name(self) -> str:
        """Return it as text, the way `parse_threshold` reads it."""
        sign = ">=" if self.wants_more else "<="
        scope = " window" if self.scope == "window" else ""
        return f"{self.metric}{sign}{self.limit:g}{scope}{' abort' if self.abort else ''}"

    def allows(self, value: float) -> bool:
        """Tell whether a value is within the limit."""
        return value >= self.limit if self.wants_more else value <= self.limit


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _is_whole(value: object) -> bool:
    return type(value) is int


class ThresholdResult(Struct, frozen=True, kw_only=True):
    """How a threshold came out.

    Attributes:
        name: The threshold as text.
        value: The run's value; of a windowed one the worst window's. None where there was no data.
        met: Whether it is met; without data it is not.
        at_s: When it was first missed, for windowed ones, in seconds since the start.
        bad_windows: How many windows were beyond the limit.
        why: Why it is not met, in a sentence; empty when it is.
    """

    name: str
    limit: float
    value: float | None
    met: bool
    at_s: float | None = None
    bad_windows: int = 0
    why: str = ""


def parse_threshold(text: str) -> Threshold:
    """Return a threshold from text: "p95_ms<=400", "success_percent>=99", "p99_ms<=900 window abort".

    Raises:
        ValueError: The text is none, or its sign contradicts its figure.
    """
    found = _TEXT.match(text)
    if found is None:
        raise ValueError(f'a threshold reads like "p95_ms<=400" or "p99_ms<=900 window abort", got {text!r}')
    try:
        limit = float(found["limit"])
    except ValueError:
        raise ValueError(f"a limit is a number, got {found['limit']!r}") from None
    made = Threshold(
        metric=found["metric"],
        limit=limit,
        scope="window" if found["scope"] or found["abort"] else "run",
        abort=bool(found["abort"]),
    )
    if made.wants_more != (found["sign"] == ">="):
        raise ValueError(
            f"{made.metric} is held {'above' if made.wants_more else 'below'} its limit: write {made.name}"
        )
    return made


class ThresholdWatch:
    """Judges the thresholds of one run: windows as they end, the run at its end."""

    def __init__(self, thresholds: tuple[Threshold, ...]) -> None:
        self._thresholds = thresholds
        count = len(thresholds)
        self._row = [0] * count
        self._bad = [0] * count
        self._judged = [0] * count
        self._worst: list[float | None] = [None] * count
        self._missed_at: list[float | None] = [None] * count
        self._said: dict[str, float] = {}

    def window(self, at_s: float, figures: Figures, samples: int, *, is_in_plan: bool | None = None) -> str | None:
        """Judge a window. Returns why the run must end, or None.

        Args:
            at_s: When it began, in seconds since the start.
            figures: Its figures.
            samples: Operations it holds.
            is_in_plan: Whether it is a whole one inside the plan. None where that is not known: throughput is judged
                then wherever there are operations.
        """
        why = None
        self._said |= {name: value for name, value in figures.items() if name.startswith("probe:")}
        for place, threshold in enumerate(self._thresholds):
            if threshold.scope != "window" or at_s < threshold.grace_s:
                continue
            value = figures.get(threshold.metric)
            if value is None or not _is_judged(threshold, samples, is_in_plan=is_in_plan):
                continue
            self._judged[place] += 1
            worst = self._worst[place]
            if worst is None or (value < worst if threshold.wants_more else value > worst):
                self._worst[place] = value
            if threshold.allows(value):
                self._row[place] = 0
                continue
            self._bad[place] += 1
            self._row[place] += 1
            if self._row[place] >= threshold.windows and self._missed_at[place] is None:
                self._missed_at[place] = at_s
                if threshold.abort:
                    why = f"{threshold.name} was missed at {at_s:.1f} s with {value:.6g}"
        return why

    def results(self, figures: Figures, samples: int) -> tuple[ThresholdResult, ...]:
        """Return how all came out, given the whole run's figures. What a probe said last stands for the run."""
        figures = {**self._said, **figures}
        return tuple(
            self._windowed(place, threshold) if threshold.scope == "window" else _whole(threshold, figures, samples)
            for place, threshold in enumerate(self._thresholds)
        )

    def _windowed(self, place: int, threshold: Threshold) -> ThresholdResult:
        missed_at = self._missed_at[place]
        if not self._judged[place]:
            why = "no window held enough data"
        elif missed_at is not None:
            why = f"missed in {self._bad[place]} of {self._judged[place]} windows"
        else:
            why = ""
        return ThresholdResult(
            name=threshold.name,
            limit=threshold.limit,
            value=self._worst[place],
            met=not why,
            at_s=missed_at,
            bad_windows=self._bad[place],
            why=why,
        )


def _is_judged(threshold: Threshold, samples: int, *, is_in_plan: bool | None) -> bool:
    metric = threshold.metric
    if metric in _THROUGHPUT and is_in_plan is not None:
        return is_in_plan
    return samples >= threshold.min_samples or not (metric in _OF_OPERATIONS or metric in _THROUGHPUT)


def _whole(threshold: Threshold, figures: Figures, samples: int) -> ThresholdResult:
    value = figures.get(threshold.metric)
    if value is None:
        why = "there is no data"
    elif samples < threshold.min_samples:
        why = f"{samples} operations are too few to judge, {threshold.min_samples} are needed"
    else:
        why = "" if threshold.allows(value) else f"it was {value:.6g}"
    return ThresholdResult(name=threshold.name, limit=threshold.limit, value=value, met=not why, why=why)
