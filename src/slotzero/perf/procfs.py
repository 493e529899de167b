"""What Linux tells about processes and the machine under /proc, as records.

The parsers are pure; the readers *do I/O* and return None where the kernel does not tell (another system, a process
that has just ended, a hardened container).
"""

import os
from pathlib import Path
from typing import Final

from msgspec import Struct

__all__ = [
    "CpuTimes",
    "Pressure",
    "ProcessTimes",
    "available_bytes",
    "cpu_times",
    "descendants",
    "is_linux_proc",
    "open_files",
    "parse_cpu_times",
    "parse_pressure",
    "parse_process",
    "pressure",
    "process_times",
    "proportional_bytes",
    "read_text",
]

_PROC: Final = Path("/proc")
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_MOST_DESCENDANTS: Final = 4_096
"""A fork bomb must not stop the sampler."""


class CpuTimes(Struct, frozen=True, kw_only=True):
    """All cores' time since boot, in seconds. `total_s` includes idle and stolen time."""

    busy_s: float
    steal_s: float
    total_s: float


class ProcessTimes(Struct, frozen=True, kw_only=True):
    """One process: its CPU seconds with those of the children it has waited for, its memory and threads."""

    cpu_s: float
    reaped_cpu_s: float
    rss_bytes: int
    threads: int


class Pressure(Struct, frozen=True, kw_only=True):
    """The share of the last 10 s in which some task waited for a resource, in percent; None where it is not told."""

    cpu: float | None
    memory: float | None
    io: float | None


def is_linux_proc() -> bool:
    """Tell whether this machine accounts for processes under /proc as Linux does."""
    return (_PROC / "self" / "statm").exists() and (_PROC / "stat").exists()


def read_text(path: str | Path) -> str | None:
    """Return a small file's text without its outer blanks, or None when it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def parse_process(text: str) -> ProcessTimes:
    """Return a process from its `stat` line. A name may hold blanks and brackets, so fields count from the last one.

    Raises:
        ValueError: The text is no `stat` line.
    """
    fields = text[text.rfind(")") + 1 :].split()
    if len(fields) < 22:  # noqa: PLR2004 up to rss, proc_pid_stat(5)
        raise ValueError(f"a stat line has 24 fields or more, got {text[:80]!r}")
    user, system, reaped_user, reaped_system = (int(field) / _TICKS_PER_S for field in fields[11:15])
    return ProcessTimes(
        cpu_s=user + system,
        reaped_cpu_s=reaped_user + reaped_system,
        rss_bytes=int(fields[21]) * _PAGE,
        threads=int(fields[17]),
    )


def parse_cpu_times(text: str) -> CpuTimes:
    """Return the machine's times from the first line of `stat`. Raises ValueError when it is something else."""
    name, *fields = text.split("\n", 1)[0].split()
    if name != "cpu" or len(fields) < 8:  # noqa: PLR2004 user nice system idle iowait irq softirq steal
        raise ValueError(f"expected the machine's cpu line, got {text[:80]!r}")
    user, nice, system, idle, iowait, irq, softirq, steal = (int(field) / _TICKS_PER_S for field in fields[:8])
    busy = user + nice + system + irq + softirq  # guest time is within user
    return CpuTimes(busy_s=busy, steal_s=steal, total_s=busy + idle + iowait + steal)


def parse_pressure(text: str | None) -> float | None:
    """Return avg10 of the `some` line of a pressure file, or None when the text has none."""
    for line in (text or "").splitlines():
        if line.startswith("some "):
            for part in line.split():
                if part.startswith("avg10="):
                    return float(part[6:])
    return None


def process_times(pid: int | str = "self") -> ProcessTimes | None:
    """Return a process as the kernel accounts for it (10 ms steps), or None when it has ended."""
    text = read_text(_PROC / str(pid) / "stat")
    return parse_process(text) if text else None


def cpu_times() -> CpuTimes | None:
    """Return the machine's times, or None."""
    text = read_text(_PROC / "stat")
    return parse_cpu_times(text) if text else None


def pressure() -> Pressure:
    """Return the machine's pressure (PSI)."""
    folder = _PROC / "pressure"
    return Pressure(
        cpu=parse_pressure(read_text(folder / "cpu")),
        memory=parse_pressure(read_text(folder / "memory")),
        io=parse_pressure(read_text(folder / "io")),
    )


def available_bytes() -> int | None:
    """Return the memory a new program could have without swapping, or None."""
    return _field(_PROC / "meminfo", "MemAvailable:")


def proportional_bytes(pid: int | str = "self") -> int | None:
    """Return the proportional set size (shared pages divided among their users), or None. Costs about 0.2 ms."""
    return _field(_PROC / str(pid) / "smaps_rollup", "Pss:")


def open_files(pid: int | str = "self") -> int | None:
    """Return how many file descriptors a process has open (the one that reads them left out), or None."""
    try:
        return len(os.listdir(_PROC / str(pid) / "fd")) - 1  # noqa: PTH208 a third of iterdir's time
    except OSError:
        return None


def descendants(pid: int | None = None) -> list[int] | None:
    """Return the children of a process, their children and so on; None when the kernel does not list them."""
    found: list[int] = []
    parents = [os.getpid() if pid is None else pid]
    if not (_PROC / str(parents[0]) / "task" / str(parents[0]) / "children").exists():
        return None
    while parents and len(found) < _MOST_DESCENDANTS:
        tasks = _PROC / str(parents.pop()) / "task"
        try:
            threads = os.listdir(tasks)  # noqa: PTH208 a third of iterdir's time
        except OSError:
            continue
        for thread in threads:
            children = [int(child) for child in (read_text(tasks / thread / "children") or "").split()]
            found += children
            parents += children
    return found


def _field(path: Path, name: str) -> int | None:
    for line in (read_text(path) or "").splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    return None
