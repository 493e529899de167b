"""The passport and the noise certificate."""

import asyncio
import gc
import sys

import pytest

from slotzero.perf import environment
from slotzero.perf.environment import QuietWatch, _reasons, clock_floor_ns, event_loop_name, passport


def test_the_fingerprint_is_the_machines_and_the_loops() -> None:
    one, two = passport(event_loop="uvloop 1"), passport(event_loop="uvloop 1", extra={"seed": "3"})
    assert one.fingerprint == two.fingerprint
    assert len(one.fingerprint) == 16
    assert passport(event_loop="asyncio").fingerprint != one.fingerprint
    assert two.extra == {"seed": "3"}
    assert one.python.startswith("CPython" if sys.implementation.name == "cpython" else "")
    assert 1 <= one.cores_usable <= one.cores


@pytest.mark.parametrize(
    ("cpuinfo", "name"),
    [
        ("processor\t: 0\ncpu family\t: 23\nmodel\t\t: 1\nmodel name\t: AMD EPYC\n", "AMD EPYC (family 23, model 1)"),
        ("cpu family\t: 26\nmodel\t\t: 2\nmodel name\t: AMD EPYC\n\nmodel\t: 9\n", "AMD EPYC (family 26, model 2)"),
        ("model name\t: ARMv8: rev 1\nCPU part\t: 0xd40\n", "ARMv8: rev 1"),
    ],
)
def test_processors_that_share_a_name_are_told_apart(monkeypatch: pytest.MonkeyPatch, cpuinfo: str, name: str) -> None:
    here = passport()
    monkeypatch.setattr(environment, "read_text", lambda path: cpuinfo if path == "/proc/cpuinfo" else None)
    there = passport()
    assert there.cpu == name
    assert (there.fingerprint == here.fingerprint) is (there.cpu == here.cpu)


def test_libraries_are_named_with_their_versions_where_they_are_installed() -> None:
    found = passport(libraries=("msgspec", "no-such-library")).libraries
    assert list(found) == ["msgspec"]


def test_what_changes_the_interpreters_speed_is_a_flag() -> None:
    gc.disable()
    try:
        assert "the garbage collector is off" in passport().flags
    finally:
        gc.enable()
    assert "the garbage collector is off" not in passport().flags


async def test_the_running_loop_is_named() -> None:
    asyncio.get_running_loop().set_debug(True)
    assert event_loop_name().split()[0] == "asyncio"
    assert "asyncio debug mode" in passport().flags


def test_outside_of_a_loop_there_is_none() -> None:
    assert event_loop_name() == "none"


def test_the_clock_has_a_floor() -> None:
    assert 0 < clock_floor_ns(101) < 1_000_000


def test_a_certificate_says_what_it_found() -> None:
    found = QuietWatch().certificate()
    assert found.reference == "reference/1"
    assert found.reference_before_us > 0
    assert found.reference_after_us > 0
    assert found.quiet == (found.reasons == ())
    assert found.aa_floor_percent is None


@pytest.mark.parametrize(
    ("readings", "told"),
    [
        ({}, []),
        ({"drift": 30.0}, ["took 30 % longer at the end"]),
        ({"drift": -30.0}, ["took 30 % less time at the end"]),
        ({"spread": 40.0}, ["scattered by 40 %"]),
        ({"waiting": 50.0}, ["waited for a core in 50 %"]),
        ({"stolen": 5.0}, ["5.0 % of the time to others"]),
        ({"drift": 30.0, "stolen": 5.0}, ["longer", "others"]),
    ],
)
def test_reasons_against_quiet_are_sentences(readings: dict[str, float], told: list[str]) -> None:
    found = _reasons(
        drift=readings.get("drift", 0.0),
        spread=readings.get("spread", 0.0),
        waiting=readings.get("waiting"),
        stolen=readings.get("stolen"),
    )
    assert len(found) == len(told)
    assert all(part in reason for part, reason in zip(told, found, strict=True))
