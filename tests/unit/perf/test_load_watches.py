"""What a run looks at beside its operations: averages of the plan's time, and a probe that may say anything."""

import math
import os
from collections.abc import Callable, Mapping

import pytest

from slotzero.perf import generator, load_watches
from slotzero.perf.load_watches import LoadWatches
from slotzero.perf.procfs import ProcessTimes

S = 1_000_000_000


class Kernel:
    """A clock and the books of every process, which all use the same."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = self.cpu_s = 0.0
        self.lives = True
        for module in (generator, load_watches):
            monkeypatch.setattr(module, "mono_ns", lambda: round(self.now_s * S))
        monkeypatch.setattr(generator, "_read", self._read)
        monkeypatch.setattr(load_watches, "_own_cpu_s", lambda: self.cpu_s)

    def _read(self, pid: int) -> tuple[str | None, ProcessTimes | None]:
        del pid
        if not self.lives:
            return None, None
        return "born", ProcessTimes(cpu_s=self.cpu_s, reaped_cpu_s=0.0, rss_bytes=5_000_000, threads=1)

    def at(self, now_s: float, cpu_s: float) -> None:
        self.now_s, self.cpu_s = now_s, cpu_s


class Watched:
    def __init__(self, probe: Callable[[], Mapping[str, float]] | None = None) -> None:
        self.notes: list[str] = []
        self.lost: list[str] = []
        self.watches = LoadWatches(
            {"chain": os.getpid()},
            probe,
            note=lambda _, what: self.notes.append(what),
            lost=lambda _, what: self.lost.append(what),
        )


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    return Kernel(monkeypatch)


def test_cpu_is_averaged_over_the_plan_not_over_the_rest_of_the_run(kernel: Kernel) -> None:
    watched = Watched().watches
    kernel.at(10.0, 0.5)  # what came before is not load either
    watched.begin()
    kernel.at(12.5, 2.9)
    watched.end_plan()
    kernel.at(19.0, 3.0)
    watched.look(9.0)
    assert watched.chain_cpu_percent == 96.0
    assert {name: stats.avg_cpu_percent for name, stats in watched.stats().items()} == {"driver": 96.0, "chain": 96.0}
    assert all(stats.peak_cpu_percent >= 96 for stats in watched.stats().values())


def test_process_that_ends_in_the_plan_keeps_its_average_and_is_told_of(kernel: Kernel) -> None:
    watched = Watched()
    watched.watches.begin()
    kernel.at(2.0, 1.0)
    watched.watches.look(2.0)
    kernel.lives = False
    kernel.at(4.0, 1.0)
    watched.watches.end_plan()
    watched.watches.look(4.0)
    assert watched.watches.chain_cpu_percent == 50.0
    assert watched.lost == [f"the process chain ({os.getpid()}) has ended"]


def test_probe_that_says_no_finite_number_is_left_out_with_one_incident() -> None:
    said = {"nan": math.nan, "endless": math.inf, "nothing": None, "good": 3, "chain_queue_p99_ms": math.nan}
    watched = Watched(lambda: said)  # type: ignore[arg-type, return-value]  # wrong on purpose
    for _ in range(3):
        extra = watched.watches.look(1.0)
        assert {name: value for name, value in extra.items() if name.startswith("probe:")} == {"probe:good": 3.0}
    assert watched.watches.chain_queue_ms is None
    assert watched.notes == [
        "the probe said nan for nan, which is no finite number: it is left out",
        "the probe said inf for endless, which is no finite number: it is left out",
        "the probe said a value of NoneType for nothing, which is no finite number: it is left out",
        "the probe said nan for chain_queue_p99_ms, which is no finite number: it is left out",
    ]


def test_probe_that_returns_no_mapping_is_an_incident_and_asked_no_more() -> None:
    watched = Watched(lambda: 5)  # type: ignore[arg-type, return-value]  # wrong on purpose
    watched.watches.look(1.0)
    watched.watches.look(2.0)
    assert watched.notes == ["the probe failed with AttributeError: 'int' object has no attribute 'items'"]
