"""Which core runs what: the chain one of its own, as on a machine of its own; bot and driver the others.

Sharing cores with them, the chain stood ready and was not running for 11 % of the time in which something waited for
it (100 snipers on two cores), and what it received waited 18 to 28 ms at p99; apart from them 13 to 17 ms.
"""

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["cores", "kept_apart"]


@functools.cache
def cores() -> tuple[int, ...]:
    """Return the cores this process may use, as it was when first asked. *Does I/O* (once)."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


@contextmanager
def kept_apart(chain: int) -> Iterator[int | None]:
    """Give the process `chain` the last core, and this one and what it starts the others, until the block ends.

    The block is given that core, or None: on a single core, and where the system keeps no process to cores, nobody is
    moved.
    """
    *others, last = cores()
    if not others or not hasattr(os, "sched_setaffinity"):
        yield None
        return
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(chain, {last})
    except OSError:  # it has ended, which others will notice, or it may not be
        yield None
        return
    _keep_to(set(others))
    try:
        yield last
    finally:
        _keep_to(before)


def _keep_to(wanted: set[int]) -> None:
    """Keep every thread of this process to some cores."""
    for thread in Path("/proc/self/task").iterdir():
        with suppress(ProcessLookupError):  # it has just ended
            os.sched_setaffinity(int(thread.name), wanted)
