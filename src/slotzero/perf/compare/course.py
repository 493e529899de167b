"""The course of a paired comparison: which launch comes next, and what has been decided. A pure machine.

::

    course = Course({"FILTERS": "FILTERS"}, seed=1)
    while (launch := course.next_launch()) is not None:
        course.add(measure(launch.turns))          # the shell's work
    course.comparisons()

After the launches of each look every test of every workload is judged as one family. A workload needs no further
launches once all its percentiles are decided, or one of them alarms. When the first pass is over, the workloads that
alarmed are measured once more, from nothing, with as many launches as the alarm rests on and at least six; an alarm
that this repeat does not come to as well is taken back to SUSPECT.
"""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Final, Literal

import msgspec
from msgspec import Struct

from slotzero.perf.compare.design import DEFAULT_DESIGN, Design, Turn, turns
from slotzero.perf.compare.family import judge
from slotzero.perf.compare.rule import DEFAULT_RULES, EARLY_CONFIDENCE, Evidence, Rule, as_percent, weigh
from slotzero.perf.stats import CONFIDENCE
from slotzero.perf.types import Comparison, Interval, Verdict

__all__ = ["Course", "LaunchPlan", "LaunchRatios"]

LaunchRatios = Mapping[str, Sequence[Mapping[str, float]]]
"""By workload, for each pair of blocks in order: the log ratio of each percentile."""
_Key = tuple[str, str]
_FEWEST_REPEATED: Final = 6
_OPEN: Final = (Verdict.SUSPECT, Verdict.INCONCLUSIVE)


class LaunchPlan(Struct, frozen=True, kw_only=True):
    """One launch to make.

    Attributes:
        number: From 1 on, in its phase.
        most: How many there can be in this phase.
        phase: The first pass, or the repeat of its alarms.
        turns: The pairs of blocks in order.
    """

    number: int
    most: int
    phase: Literal["first", "repeat"]
    turns: tuple[Turn, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Return the workloads of this launch."""
        return tuple(dict.fromkeys(turn.name for turn in self.turns))


class _Pass:
    """Ratios collected by (workload, percentile), one list for each launch."""

    def __init__(self, metrics: Sequence[str], names: Sequence[str]) -> None:
        self.ratios: dict[_Key, list[list[float]]] = {(name, metric): [] for name in names for metric in metrics}

    def add(self, launch: LaunchRatios) -> None:
        for (name, metric), launches in self.ratios.items():
            if blocks := launch.get(name):
                launches.append([block[metric] for block in blocks])

    def judged(
        self, rules: Mapping[str, Rule], confidence: float
    ) -> tuple[dict[_Key, Evidence], dict[_Key, tuple[Verdict, float]]]:
        evidence = {
            key: weigh(launches, rules[key[1]], confidence) for key, launches in self.ratios.items() if launches
        }
        return evidence, judge(evidence, rules)


class Course:
    """Decides what to measure next and what it amounts to.

    Args:
        components: The workloads by name, each with the sniper's component it stands for or None.
        seed: Of the order of blocks.
        design: How much is measured.
        rules: What counts, by percentile; these percentiles are judged.
    """

    def __init__(
        self,
        components: Mapping[str, str | None],
        *,
        seed: int,
        design: Design = DEFAULT_DESIGN,
        rules: Mapping[str, Rule] = DEFAULT_RULES,
    ) -> None:
        if not components:
            raise ValueError("a comparison needs at least one workload")
        self._components = dict(components)
        self._design = design
        self._rules = rules
        self._draw = Random(seed)  # noqa: S311 an order, not a secret
        self._open = tuple(components)
        self._first = _Pass(tuple(rules), self._open)
        self._made = 0
        self._evidence: dict[_Key, Evidence] = {}
        self._verdicts: dict[_Key, tuple[Verdict, float]] = {}
        self._repeat: _Pass | None = None
        self._repeated = 0
        self._repeats = 0
        self._is_asked = False

    @property
    def alarmed(self) -> tuple[str, ...]:
        """The workloads with a percentile that regressed in the first pass."""
        found = {name for (name, _), (verdict, _) in self._verdicts.items() if verdict is Verdict.REGRESSED}
        return tuple(name for name in self._components if name in found)

    def next_launch(self) -> LaunchPlan | None:
        """Return the next launch to make, or None when everything is decided."""
        assert not self._is_asked, "the launch before has not been added"
        phase: Literal["first", "repeat"] = "first"
        names, number, most = self._open, self._made + 1, self._design.looks[-1]
        if not names or self._made == most:
            self._begin_repeat()
            if self._repeat is None or self._repeated == self._repeats:
                return None
            phase, names, number, most = "repeat", self.alarmed, self._repeated + 1, self._repeats
        self._is_asked = True
        order = turns(names, self._design.rounds, self._draw)
        return LaunchPlan(number=number, most=most, phase=phase, turns=tuple(order))

    def add(self, launch: LaunchRatios) -> None:
        """Take in what a launch measured: all pairs of blocks of its workloads."""
        assert self._is_asked, "no launch was asked for"
        self._is_asked = False
        if self._repeat is not None:
            self._repeat.add(launch)
            self._repeated += 1
            return
        self._first.add(launch)
        self._made += 1
        if self._made in self._design.looks:
            self._look()

    def drop(self, name: str) -> None:
        """Leave a workload out from now on: one of the versions cannot run it."""
        del self._components[name]
        self._open = tuple(other for other in self._open if other != name)
        for found in (self._first.ratios, self._evidence, self._verdicts):
            for key in [key for key in found if key[0] == name]:
                del found[key]

    def comparisons(self) -> list[Comparison]:
        """Return a line for each percentile of each workload, in order; those of early stops included."""
        repeated: dict[_Key, tuple[Verdict, float]] = {}
        evidence: dict[_Key, Evidence] = {}
        if self._repeat is not None and self._repeated == self._repeats:
            evidence, repeated = self._repeat.judged(self._rules, CONFIDENCE)
        lines = []
        for key, (verdict, p_value) in self._verdicts.items():
            line = self._line(key, verdict, p_value)
            if verdict is Verdict.REGRESSED and key in repeated:
                line = _confirmed(line, repeated[key][0], evidence[key])
            lines.append(line)
        return lines

    def _look(self) -> None:
        is_last = self._made == self._design.looks[-1]
        self._evidence, self._verdicts = self._first.judged(self._rules, CONFIDENCE if is_last else EARLY_CONFIDENCE)
        alarmed = self.alarmed
        undecided = {name for (name, _), (verdict, _) in self._verdicts.items() if verdict in _OPEN}
        self._open = tuple(name for name in self._open if name in undecided and name not in alarmed)

    def _begin_repeat(self) -> None:
        if self._repeat is not None or not self._design.repeat or not self.alarmed:
            return
        self._repeat = _Pass(tuple(self._rules), self.alarmed)
        rested = max(self._evidence[key].launches for key in self._evidence if key[0] in self.alarmed)
        self._repeats = max(_FEWEST_REPEATED, rested)

    def _line(self, key: _Key, verdict: Verdict, p_value: float) -> Comparison:
        found, rule = self._evidence[key], self._rules[key[1]]
        has_interval = found.low is not None and found.high is not None
        return Comparison(
            name=key[0],
            component=self._components[key[0]],
            metric=key[1],
            verdict=verdict,
            effect_percent=round(as_percent(found.effect), 3),
            interval=Interval(round(as_percent(found.low), 3), round(as_percent(found.high), 3))
            if found.low is not None and found.high is not None
            else None,
            floor_percent=rule.floor_percent,
            p_value=p_value,
            launches=found.launches,
            launches_needed=found.launches_needed if verdict in _OPEN and has_interval else None,
            detectable_percent=None if found.detectable is None else round(as_percent(found.detectable), 3),
        )


def _confirmed(line: Comparison, verdict: Verdict, evidence: Evidence) -> Comparison:
    is_confirmed = verdict is Verdict.REGRESSED
    return msgspec.structs.replace(
        line,
        verdict=Verdict.REGRESSED if is_confirmed else Verdict.SUSPECT,
        confirmed=is_confirmed,
        repeat_effect_percent=round(as_percent(evidence.effect), 3),
        note="" if is_confirmed else f"the repeat did not confirm it: {verdict.value} there",
    )
