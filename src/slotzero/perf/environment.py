"""The passport of a result: where it was measured, and how quiet it was there.

Model: a figure belongs to a machine, an interpreter and an event loop; those make the *fingerprint*, and results of
unequal fingerprints are not comparable. Library versions and load are written beside it: the first are often what is
being compared, the second is judged by the noise certificate. The certificate's *reference* is a fixed piece of work
of the interpreter's own, timed before and after a benchmark: dividing by it takes most of the host's speed out of a
history (here it brought the scatter of points from 24 % down to 2.4 %).

Weaknesses: two virtual machines of one type share a fingerprint and still differ by tens of percent. The reference
moves with the clock rate and the caches, not with the disk or the network.
"""

import asyncio
import gc
import hashlib
import json
import os
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Final

from msgspec import Meta, Struct

from slotzero import __version__
from slotzero.clock import SystemClock, elapsed_ns, mono_ns
from slotzero.perf.procfs import CpuTimes, cpu_times, pressure, read_text
from slotzero.perf.stats import nearest_rank

__all__ = [
    "REFERENCE",
    "NoiseCertificate",
    "Passport",
    "QuietWatch",
    "clock_floor_ns",
    "cpu_name",
    "event_loop_name",
    "passport",
]

REFERENCE: Final = "reference/1"
"""The version of the reference work. Its code is never changed: another one gets another name."""
_REFERENCE_TEXT: Final = json.dumps({f"key{n}": [n, n * n, {"even": n % 2 == 0}] for n in range(40)})
_REFERENCE_RUNS: Final = 15
_NEVER_MS: Final = 253_402_300_799_999
"""The last millisecond of the year 9999, beyond which no calendar goes."""
_CPU: Final = "/sys/devices/system/cpu/cpu0/cpufreq"
_CLOCK: Final = "/sys/devices/system/clocksource/clocksource0/current_clocksource"

# Where a certificate stops calling the machine quiet.
_QUIET_PRESSURE_PERCENT: Final = 20.0
_QUIET_STEAL_PERCENT: Final = 2.0
_QUIET_DRIFT_PERCENT: Final = 10.0
_QUIET_SPREAD_PERCENT: Final = 15.0


class NoiseCertificate(Struct, frozen=True, kw_only=True):
    """How quiet the machine was around one benchmark.

    Attributes:
        reference: The version of the reference work.
        reference_before_us: Its median before the benchmark; after: likewise.
        reference_drift_percent: Change from before to after.
        reference_spread_percent: Upper less lower quartile of all runs, of their median.
        clock_floor_ns: What two readings of the clock take: no sample can be shorter.
        load_1m: Load average at the end; None where there is none.
        cpu_pressure_percent: Share of the last 10 s in which some task waited for a core, the higher of both ends.
        steal_percent: Time the hypervisor gave to others meanwhile, of all cores' time.
        aa_floor_percent: The smallest difference two runs of the same code show here; None until a comparison
            has measured it.
        quiet: Whether nothing below was found.
        reasons: What speaks against it, one sentence each.
    """

    reference: str
    reference_before_us: float
    reference_after_us: float
    reference_drift_percent: float
    reference_spread_percent: float
    clock_floor_ns: int
    load_1m: float | None
    cpu_pressure_percent: float | None
    steal_percent: float | None
    quiet: bool
    reasons: tuple[str, ...]
    aa_floor_percent: float | None = None


class Passport(Struct, frozen=True, kw_only=True):
    """Where a result was measured.

    Attributes:
        fingerprint: 16 hexadecimal digits over machine, interpreter and event loop.
        cores_usable: Cores this process may run on.
        governor: The CPU frequency governor, or None where the kernel does not say (most virtual machines).
        virtual: Whether the CPU says it is a virtual one; None where it does not say.
        event_loop: The loop's module and version, as in "uvloop 0.22.1".
        flags: What changes the speed of the interpreter: debug mode, tracing, a profiler.
        gc_thresholds: Of the collector's three generations; `gc_frozen` objects are exempt from it.
        ts_ms: Wall clock, milliseconds since 1970.
        extra: What the measured program adds (cluster, slot time, seed).
    """

    fingerprint: str
    slotzero: str
    python: str
    system: str
    machine: str
    cpu: str
    cores: int
    cores_usable: int
    memory_mb: float | None
    governor: str | None
    clock_source: str | None
    virtual: bool | None
    event_loop: str
    libraries: dict[str, str]
    flags: tuple[str, ...]
    gc_thresholds: tuple[int, ...]
    gc_frozen: int
    load_1m: float | None
    cpu_pressure_percent: float | None
    ts_ms: Annotated[int, Meta(ge=0, le=_NEVER_MS)]
    extra: dict[str, str] = {}


def passport(
    *, event_loop: str | None = None, libraries: Sequence[str] = (), extra: dict[str, str] | None = None
) -> Passport:
    """Return where we are. *Does I/O* (a few small files).

    Args:
        event_loop: The loop results are measured on; None for the one that runs now.
        libraries: Names of distributions whose versions matter.
        extra: Free text to keep with it.
    """
    loop = event_loop_name() if event_loop is None else event_loop
    system = f"{platform.system()} {platform.release()}"
    python = f"{platform.python_implementation()} {platform.python_version()}"
    cpu = cpu_name()
    cores, usable = os.cpu_count() or 1, _cores_usable()
    stable = json.dumps([system, platform.machine(), cpu, cores, usable, python, loop])
    return Passport(
        fingerprint=hashlib.sha256(stable.encode()).hexdigest()[:16],
        slotzero=__version__,
        python=python,
        system=system,
        machine=platform.machine(),
        cpu=cpu,
        cores=cores,
        cores_usable=usable,
        memory_mb=_memory_mb(),
        governor=read_text(f"{_CPU}/scaling_governor"),
        clock_source=read_text(_CLOCK),
        virtual=_is_virtual(),
        event_loop=loop,
        libraries={name: found for name in ("msgspec", *libraries) if (found := _version(name)) is not None},
        flags=_flags(),
        gc_thresholds=gc.get_threshold(),
        gc_frozen=gc.get_freeze_count(),
        load_1m=_load(),
        cpu_pressure_percent=pressure().cpu,
        ts_ms=SystemClock().wall_ns() // 1_000_000,
        extra=dict(extra or {}),
    )


def cpu_name() -> str:
    """Return the processor's name; on x86 with family and model, as hypervisors call several generations "AMD EPYC"."""
    fields: dict[str, str] = {}
    for line in (read_text("/proc/cpuinfo") or "").splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())  # that of the first core
    found = fields.get("model name") or platform.processor() or platform.machine()
    family, model = fields.get("cpu family"), fields.get("model")
    return found if family is None or model is None else f"{found} (family {family}, model {model})"


def event_loop_name() -> str:
    """Return module and version of the running loop, or "none" outside of one."""
    try:
        module = type(asyncio.get_running_loop()).__module__.split(".")[0]
    except RuntimeError:
        return "none"
    found = _version(module)
    return module if found is None else f"{module} {found}"


def clock_floor_ns(readings: int = 1_000) -> int:
    """Return the median of what two readings of the clock take."""
    return int(nearest_rank(sorted(elapsed_ns(mono_ns(), mono_ns()) for _ in range(readings)), 50))


class QuietWatch:
    """Looks at the machine before a benchmark, and again after it. *Does I/O*; about 5 ms each time."""

    def __init__(self) -> None:
        self._before = _reference_ns()
        self._pressure = pressure().cpu
        self._times = cpu_times()

    def certificate(self) -> NoiseCertificate:
        """Return what was found since this object was made."""
        after = _reference_ns()
        before = sorted(self._before)
        both = sorted((*before, *after))
        middle = nearest_rank(both, 50)
        first, last = nearest_rank(before, 50), nearest_rank(sorted(after), 50)
        pressures = [found for found in (self._pressure, pressure().cpu) if found is not None]
        drift = 100 * (last - first) / first
        spread = 100 * (nearest_rank(both, 75) - nearest_rank(both, 25)) / middle
        waiting = max(pressures) if pressures else None
        stolen = _steal_percent(self._times, cpu_times())
        reasons = _reasons(drift=drift, spread=spread, waiting=waiting, stolen=stolen)
        return NoiseCertificate(
            reference=REFERENCE,
            reference_before_us=round(first / 1_000, 3),
            reference_after_us=round(last / 1_000, 3),
            reference_drift_percent=round(drift, 2),
            reference_spread_percent=round(spread, 2),
            clock_floor_ns=clock_floor_ns(),
            load_1m=_load(),
            cpu_pressure_percent=waiting,
            steal_percent=stolen,
            quiet=not reasons,
            reasons=reasons,
        )


def _reasons(*, drift: float, spread: float, waiting: float | None, stolen: float | None) -> tuple[str, ...]:
    found = []
    if abs(drift) > _QUIET_DRIFT_PERCENT:
        how = "longer" if drift > 0 else "less time"
        found.append(f"the reference work took {abs(drift):.0f} % {how} at the end than at the start")
    if spread > _QUIET_SPREAD_PERCENT:
        found.append(f"the reference work scattered by {spread:.0f} %")
    if waiting is not None and waiting > _QUIET_PRESSURE_PERCENT:
        found.append(f"some task waited for a core in {waiting:.0f} % of the time")
    if stolen is not None and stolen > _QUIET_STEAL_PERCENT:
        found.append(f"the hypervisor gave {stolen:.1f} % of the time to others")
    return tuple(found)


def _reference_ns() -> list[int]:
    """Time the reference work: parsing, arithmetic, dictionary and string work of the interpreter itself."""
    found: list[int] = []
    for _ in range(_REFERENCE_RUNS):
        start = mono_ns()
        parsed = json.loads(_REFERENCE_TEXT)
        total = 0
        for number in range(400):
            total = (total * 31 + number) % 1_000_003
        text = "".join(sorted(parsed)) + str(total)
        hashlib.sha256(text.encode()).digest()
        found.append(elapsed_ns(start, mono_ns()))
    return found


def _steal_percent(before: CpuTimes | None, after: CpuTimes | None) -> float | None:
    if before is None or after is None or after.total_s <= before.total_s:
        return None
    return round(100 * (after.steal_s - before.steal_s) / (after.total_s - before.total_s), 2)


def _flags() -> tuple[str, ...]:
    found = []
    if sys.flags.dev_mode:
        found.append("development mode")
    if sys.flags.optimize:
        found.append(f"optimize {sys.flags.optimize}")
    if sys.gettrace() is not None:
        found.append("a tracing function is set (debugger or coverage)")
    if sys.getprofile() is not None:
        found.append("a profiling function is set")
    if not gc.isenabled():
        found.append("the garbage collector is off")
    try:
        if asyncio.get_running_loop().get_debug():
            found.append("asyncio debug mode")
    except RuntimeError:
        pass
    return tuple(found)


def _is_virtual() -> bool | None:
    text = read_text("/proc/cpuinfo")
    flags = next((line for line in (text or "").splitlines() if line.startswith("flags")), None)
    return None if flags is None else "hypervisor" in flags.split()


def _cores_usable() -> int:
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
    return os.cpu_count() or 1 if affinity is None else len(affinity(0))


def _memory_mb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e6, 1)
    except (OSError, ValueError):
        return None


def _load() -> float | None:
    try:
        return round(os.getloadavg()[0], 2)
    except OSError:
        return None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
