"""The load scenarios by name: what each runs, and with which load.

A scenario is registered with `register`, and `slotzero load NAME` runs it. With `--target module:callable` the name of
a known shape (BASELINE, HEAVY ...) gives its concurrency and duration to anyone's function, and any other name is only
a label.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol, TypeAlias

from msgspec import Struct

from slotzero.perf.arrivals import Closed
from slotzero.perf.load_target import LoadTarget
from slotzero.perf.load_types import LoadOutcome, LoadResult, LoadTestConfig, Probe
from slotzero.perf.thresholds import Threshold

__all__ = ["SHAPES", "Conclude", "PreparedScenario", "Rerun", "Scenario", "find", "names", "register", "shape"]


class Rerun(Protocol):
    """Puts another load on, watched in the same way: on the same target, or on another scenario that is up."""

    def __call__(self, config: LoadTestConfig, on: "PreparedScenario | None" = None, /) -> Awaitable[LoadOutcome]:
        """Run it to its end."""


Conclude: TypeAlias = Callable[[LoadResult, Rerun], Awaitable[LoadResult]]


class PreparedScenario(Struct, frozen=True, kw_only=True):
    """A scenario whose surroundings are up.

    Attributes:
        target: The operation, and what looks at its results.
        processes: Ids of the processes to watch, by name: "chain" and "bot".
        probe: Further figures of the system under test, or None.
        begin: Called before each load on it, or None: figures over a run begin here.
        conclude: Called with the result while everything is still up: it may put more load on, ask the system under
            test for its own figures, and returns the result with them. None = the result stands as it is.
    """

    target: LoadTarget
    processes: dict[str, int] = {}
    probe: Probe | None = None
    begin: Callable[[], None] | None = None
    conclude: Conclude | None = None


class Scenario(Struct, frozen=True, kw_only=True):
    """A registered scenario.

    Attributes:
        config: Its load; what the command line says replaces parts of it.
        prepare: Builds chain, bot and driver for a load, for as long as its context is open.
        summary: One line for people.
    """

    name: str
    summary: str
    config: LoadTestConfig
    prepare: Callable[[LoadTestConfig], AbstractAsyncContextManager[PreparedScenario]]


_scenarios: Final[dict[str, Scenario]] = {}

_AT_CAPACITY: Final = (Threshold(metric="success_percent", limit=90),)
_BEYOND: Final = (Threshold(metric="success_percent", limit=80),)


def _users(name: str, users: int, seconds: float, thresholds: tuple[Threshold, ...] = _AT_CAPACITY) -> LoadTestConfig:
    return LoadTestConfig(scenario=name, arrivals=Closed(users=users), duration=seconds, thresholds=thresholds)


SHAPES: Final[dict[str, LoadTestConfig]] = {
    config.scenario: config
    for config in (
        _users("BASELINE", 10, 30),
        _users("MODERATE", 50, 60),
        _users("HEAVY", 100, 90),
        _users("STRESS", 200, 60, _BEYOND),
        _users("SPIKE", 100, 60),
        _users("SUSTAINED", 50, 300),
        _users("FAST_SNIPES", 50, 60),
        _users("SLOW_SNIPES", 30, 60),
    )
}
"""Users and seconds of each name; all are closed plans with a threshold on the success rate."""


def register(scenario: Scenario) -> None:
    """Make a scenario known by its name. Raises ValueError when the name is taken."""
    if scenario.name in _scenarios:
        raise ValueError(f"there is a scenario {scenario.name} already")
    _scenarios[scenario.name] = scenario


def find(name: str) -> Scenario | None:
    """Return the scenario of that name, in whatever case it is written; None when there is none."""
    return _scenarios.get(name.upper().replace("-", "_"))


def names() -> list[str]:
    """Return the registered names."""
    return sorted(_scenarios)


def shape(name: str) -> LoadTestConfig:
    """Return the load that goes with a name; ten users for half a minute when the name is not known."""
    known = SHAPES.get(name.upper().replace("-", "_"))
    return known or _users(name, 10, 30)
