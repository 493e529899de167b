"""Where a figure was measured: printed above every benchmark, so that no number stands alone."""

import os
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import version

from slotzero.perf.environment import cpu_name
from slotzero.perf.stats import nearest_rank

LIBRARIES = ("solders", "uvloop", "picows", "aiohttp", "msgspec", "PyNaCl")


def print_environment(title: str) -> None:
    """Print the title, the machine, its load and the versions that matter."""
    libraries = " ".join(f"{name} {version(name)}" for name in LIBRARIES)
    print(title)
    system = f"{platform.system()} {platform.release()}"
    print(f"  {cpu_name()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.2f}, {system}")
    print(f"  Python {sys.version.split()[0]}, {libraries}")


def print_row(name: str, samples_ns: Sequence[int], *, unit_ns: int = 1_000, unit: str = "us") -> None:
    """Print p50, p95 and p99 (nearest rank) of durations in nanoseconds."""
    ordered = sorted(samples_ns)
    figures = "  ".join(f"p{q} {nearest_rank(ordered, q) / unit_ns:8.1f}" for q in (50, 95, 99))
    print(f"  {name:<52} {figures}  {unit}  (n={len(ordered)})")
