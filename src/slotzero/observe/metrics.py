"""Counters, gauges and fixed-bucket histograms, and their text for Prometheus.

Written to on one thread (the drain of `observe.bot`, or the lab's hook), read by any: a cell is one number or one
list, so a scrape sees each as it was at one instant. A histogram's count is the sum of the buckets it prints, hence
never at odds with them; its sum may be one observation ahead.

An observation costs about 0.2 us (a bisection, no lock), and a scrape prints with prepared line heads: prometheus-
client takes 1.7 us and fifty times as long for the same text, which on the loop of a bot is a missed slot. Its parser
is what the text is tested against. `benchmarks/bench_instrumentation.py` prints today's figures.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import Final, Generic, Literal, TypeAlias, TypeVar

__all__ = [
    "CONTENT_TYPE",
    "OPENMETRICS_TYPE",
    "Counter",
    "Family",
    "Gauge",
    "Histogram",
    "Kind",
    "Registry",
]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
"""Prometheus 3 refuses a scrape that does not name its format."""
OPENMETRICS_TYPE: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
OTHER: Final = "other"
"""What a label says once its family is full."""
_MOST_CHILDREN: Final = 64

Kind = Literal["counter", "gauge", "histogram"]


class Counter:
    """A number that only grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def add(self, amount: float = 1) -> None:
        """Add to it. *Hot path.*"""
        self.value += amount

    def reach(self, total: float) -> None:
        """Take over a total that is kept elsewhere; a smaller one is ignored, since a counter never goes back."""
        self.value = max(self.value, total)


class Gauge:
    """A number that goes up and down; None = nothing is known yet, and no line is printed."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float | None = None

    def set(self, value: float | None) -> None:
        """Replace it. *Hot path.*"""
        self.value = value


class Histogram:
    """Observations counted by the smallest bound they do not exceed."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        assert list(bounds) == sorted(set(bounds)), f"bounds must rise strictly, got {bounds}"
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total: float = 0

    def observe(self, value: float) -> None:
        """Count one observation. *Hot path* (about 0.2 us)."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def count(self, value: float, times: int) -> None:
        """Count `times` observations of one value into their bucket; `total` is the caller's to add to."""
        self.counts[bisect_left(self.bounds, value)] += times

    def merge(self, counts: Sequence[int], total: float) -> None:
        """Add observations that were counted elsewhere, in buckets of these bounds."""
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, counts, strict=True)]
        self.total += total


Cell: TypeAlias = Counter | Gauge | Histogram
_Cell = TypeVar("_Cell", Counter, Gauge, Histogram)


class Family(Generic[_Cell]):
    """All cells of one metric, by the values of its labels.

    Keep a cell instead of asking for it on a hot path: `at` takes about 0.2 us. A family holds at most `most` cells;
    whatever comes after them is counted under "other", so that no stranger's text can fill the memory of two
    programs.

    Args:
        name: As it is exposed, with `_total` for a counter.
        text: What it means, with its unit.
        labels: Names of the labels.
        make: Makes a cell, from the values of its labels.
        most: How many cells there may be.
    """

    def __init__(  # one definition of a metric, written out in observe/catalogue.py
        self,
        kind: Kind,
        name: str,
        text: str,
        labels: tuple[str, ...],
        make: Callable[[tuple[str, ...]], _Cell],
        *,
        most: int = _MOST_CHILDREN,
    ) -> None:
        assert not set(text) & set('\\"\n'), "a help text needs no escapes"
        self.kind = kind
        self.name = name
        self.text = text
        self.labels = labels
        self._make: Callable[[tuple[str, ...]], _Cell] = make
        self._most = most
        self._cells: dict[tuple[str, ...], _Cell] = {}
        self._lines: list[tuple[Cell, tuple[str, ...]]] = []

    def at(self, *values: str) -> _Cell:
        """Return the cell of these label values, making it when it is new."""
        cell = self._cells.get(values)
        if cell is None:
            assert len(values) == len(self.labels), f"{self.name} has labels {self.labels}, got {values}"
            if len(self._cells) >= self._most and values != (rest := (OTHER,) * len(values)):
                return self.at(*rest)
            cell = self._make(values)
            self._cells[values] = cell
            self._lines.append((cell, self._prefixes(cell, values)))
        return cell

    def cells(self) -> dict[tuple[str, ...], _Cell]:
        """Return the cells by label values, as they are now."""
        return dict(self._cells)

    def series(self) -> int:
        """Return how many lines it prints."""
        return sum(len(prefixes) for cell, prefixes in tuple(self._lines) if not _is_empty(cell))

    def write(self, out: list[str]) -> None:
        """Append its sample lines."""
        for cell, prefixes in tuple(self._lines):
            if isinstance(cell, Histogram):
                summed = tuple(accumulate(tuple(cell.counts)))
                out += map("%s%d\n".__mod__, zip(prefixes, summed, strict=False))
                out.append(f"{prefixes[-2]}{cell.total!r}\n{prefixes[-1]}{summed[-1]}\n")
            elif cell.value is not None:
                out.append(f"{prefixes[0]}{cell.value!r}\n")

    def _prefixes(self, cell: Cell, values: tuple[str, ...]) -> tuple[str, ...]:
        """Return the heads of a cell's lines, with everything but the numbers."""
        pairs = [f'{name}="{_escaped(value)}"' for name, value in zip(self.labels, values, strict=True)]
        if isinstance(cell, Histogram):
            return _histogram_prefixes(self.name, pairs, cell.bounds)
        return (f"{self.name}{_braced(pairs)} ",)


class Registry:
    """All metrics of one process, in the order they were made."""

    def __init__(self) -> None:
        self._families: dict[str, Family[Counter] | Family[Gauge] | Family[Histogram]] = {}

    def counter(self, name: str, text: str, *labels: str) -> Family[Counter]:
        """Make a counter."""
        assert name.endswith("_total"), f"a counter's name ends in _total, got {name}"
        return self._added(Family("counter", name, text, labels, lambda _: Counter()))

    def gauge(self, name: str, text: str, *labels: str) -> Family[Gauge]:
        """Make a gauge."""
        return self._added(Family("gauge", name, text, labels, lambda _: Gauge()))

    def histogram(
        self, name: str, text: str, *labels: str, bounds: Callable[[tuple[str, ...]], Sequence[float]]
    ) -> Family[Histogram]:
        """Make a histogram; `bounds` gives the buckets from the values of the labels."""
        return self._added(Family("histogram", name, text, labels, lambda values: Histogram(bounds(values))))

    def _added(self, family: Family[_Cell]) -> Family[_Cell]:
        assert family.name not in self._families, f"{family.name} is there already"
        self._families[family.name] = family
        return family

    def families(self) -> Iterable[Family[Counter] | Family[Gauge] | Family[Histogram]]:
        """Return the metrics."""
        return tuple(self._families.values())

    def series(self) -> int:
        """Return how many sample lines a scrape has."""
        return sum(family.series() for family in self.families())

    def render(self, *, openmetrics: bool = False) -> bytes:
        """Return the text of a scrape, in Prometheus' text format or in OpenMetrics 1.0."""
        out: list[str] = []
        for family in self.families():
            name = family.name.removesuffix("_total") if openmetrics and family.kind == "counter" else family.name
            out.append(f"# HELP {name} {family.text}\n# TYPE {name} {family.kind}\n")
            family.write(out)
        if openmetrics:
            out.append("# EOF\n")
        return "".join(out).encode()


def _is_empty(cell: Cell) -> bool:
    return isinstance(cell, Gauge) and cell.value is None


def _histogram_prefixes(name: str, pairs: list[str], bounds: tuple[float, ...]) -> tuple[str, ...]:
    spelt = [*map(repr, bounds), "+Inf"]  # "6000.0": what Prometheus 3 makes of any spelling
    buckets = [name + "_bucket" + _braced([*pairs, f'le="{bound}"']) + " " for bound in spelt]
    return (*buckets, f"{name}_sum{_braced(pairs)} ", f"{name}_count{_braced(pairs)} ")


def _braced(pairs: list[str]) -> str:
    return "{" + ",".join(pairs) + "}" if pairs else ""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
