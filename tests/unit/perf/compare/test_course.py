import math
from random import Random

import pytest

from slotzero.perf.compare.course import Course, LaunchPlan
from slotzero.perf.compare.design import Design
from slotzero.perf.compare.rule import DEFAULT_RULES
from slotzero.perf.types import Verdict

METRICS = tuple(DEFAULT_RULES)


class Machine:
    """Answers launches with ratios of known changes."""

    def __init__(self, changes: dict[str, float], *, block: float = 0.005, seed: int = 1) -> None:
        self.changes = changes
        self.block = block
        self.draw = Random(seed)  # noqa: S311 a simulation
        self.plans: list[LaunchPlan] = []

    def run(self, course: Course) -> None:
        while (plan := course.next_launch()) is not None:
            self.plans.append(plan)
            course.add(
                {
                    name: [
                        dict.fromkeys(METRICS, math.log1p(self.change(name, plan)) + self.draw.gauss(0, self.block))
                        for _ in range(10)
                    ]
                    for name in plan.names
                }
            )

    def change(self, name: str, plan: LaunchPlan) -> float:  # noqa: ARG002 a subclass asks for it
        return self.changes[name]


def test_equal_versions_are_settled_at_the_first_look() -> None:
    course, machine = Course({"A": None, "B": None}, seed=1), Machine({"A": 0.0, "B": 0.001})
    machine.run(course)
    assert [(plan.phase, plan.number) for plan in machine.plans] == [("first", 1), ("first", 2), ("first", 3)]
    assert {line.verdict for line in course.comparisons()} == {Verdict.EQUIVALENT}


def test_alarm_is_repeated_alone_and_confirmed() -> None:
    course, machine = Course({"A": "FILTERS", "B": None}, seed=1), Machine({"A": 0.1, "B": 0.0})
    machine.run(course)
    repeats = [plan for plan in machine.plans if plan.phase == "repeat"]
    assert [plan.names for plan in repeats] == [("A",)] * 6
    lines = {(line.name, line.metric): line for line in course.comparisons()}
    alarm = lines["A", "median"]
    assert (alarm.verdict, alarm.confirmed, alarm.component) == (Verdict.REGRESSED, True, "FILTERS")
    assert alarm.effect_percent == pytest.approx(10, abs=0.5)
    assert alarm.repeat_effect_percent == pytest.approx(10, abs=0.5)
    assert lines["B", "median"].confirmed is None


class OnceSlow(Machine):
    """Slow in the first pass only: a neighbour that has gone."""

    def change(self, name: str, plan: LaunchPlan) -> float:
        return self.changes[name] if plan.phase == "first" else 0.0


def test_alarm_the_repeat_does_not_see_is_taken_back() -> None:
    course, machine = Course({"A": None}, seed=1), OnceSlow({"A": 0.1})
    machine.run(course)
    lines = course.comparisons()
    assert {line.verdict for line in lines} == {Verdict.SUSPECT}
    assert {line.confirmed for line in lines} == {False}
    assert lines[0].note == "the repeat did not confirm it: EQUIVALENT there"


def test_alarm_without_a_repeat_stands_unconfirmed() -> None:
    course, machine = Course({"A": None}, seed=1, design=Design(repeat=False)), Machine({"A": 0.1})
    machine.run(course)
    assert len(machine.plans) == 3
    assert {(line.verdict, line.confirmed) for line in course.comparisons()} == {(Verdict.REGRESSED, None)}


def test_undecided_workload_goes_on_alone_to_the_last_look() -> None:
    course = Course({"A": None, "B": None}, seed=1)

    class Loud(Machine):
        def change(self, name: str, plan: LaunchPlan) -> float:  # noqa: ARG002
            return self.draw.uniform(-0.5, 0.6) if name == "B" else 0.0

    loud = Loud({"A": 0.0, "B": 0.0})
    loud.run(course)
    assert [plan.names for plan in loud.plans[3:]] == [("B",)] * 9
    undecided = [line for line in course.comparisons() if line.name == "B"]
    assert {line.verdict for line in undecided} == {Verdict.INCONCLUSIVE}
    assert all(line.launches == 12 for line in undecided)
    assert all(line.detectable_percent is not None for line in undecided)


def test_dropped_workload_leaves_no_line() -> None:
    course = Course({"A": None, "B": None}, seed=1)
    assert course.next_launch() is not None
    course.drop("B")
    course.add({"A": [dict.fromkeys(METRICS, 0.0)] * 10})
    Machine({"A": 0.0}).run(course)
    assert {line.name for line in course.comparisons()} == {"A"}


def test_nothing_left_ends_it() -> None:
    course = Course({"A": None}, seed=1)
    assert course.next_launch() is not None
    course.drop("A")
    course.add({})
    assert course.next_launch() is None
    assert course.comparisons() == []


def test_same_seed_asks_for_the_same_order() -> None:
    first, second = (Course({"A": None, "B": None}, seed=5).next_launch() for _ in range(2))
    assert first == second
