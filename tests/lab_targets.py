"""What tests of the lab have measured in another process."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator

from slotzero.perf.workload import Workload, workload

NUMBER = 7
CALLS: list[None] = []


def quick() -> None:
    """Do nothing."""


async def quick_async() -> None:
    """Do nothing, to be awaited."""


def chatty() -> None:
    """Print, which must not come between the lab's own lines."""
    print("hello from the measured code")  # noqa: T201 that is what it is for
    sys.stderr.write("and on stderr\n")


def fatal() -> None:
    """End the process at once."""
    sys.stderr.write("these are its last words\n")
    os._exit(9)


async def blocked() -> None:
    """Block the event loop, deaf to cancellation."""
    time.sleep(60)  # noqa: ASYNC251 on purpose


def unawaited() -> object:
    """Return what nobody awaits."""
    return quick_async()


async def waiting() -> None:
    """Wait a little."""
    await asyncio.sleep(0.002)


def curious() -> None:
    """Read what is on stdin, as does a child; both find nothing, not the lab's own lines."""
    assert os.read(0, 100) == b""
    assert subprocess.run(["/bin/cat"], capture_output=True, check=True).stdout == b""


async def hangs_once() -> None:
    """Hang at the second call."""
    CALLS.append(None)
    if len(CALLS) == 2:
        await asyncio.sleep(60)


@workload
async def surrounded(name: str = "nobody") -> AsyncIterator[Workload]:
    """Count what belongs to each sample."""
    counts = {"setup": 0, "teardown": 0, "check": 0}

    def count(what: str) -> None:
        counts[what] += 1

    def check(value: object) -> str | None:
        count("check")
        return None if value == name else "wrong"

    yield Workload(
        run=lambda: name,
        setup=lambda: count("setup"),
        teardown=lambda: count("teardown"),
        check=check,
        notes=(f"for {name}",),
        report=lambda: (f"{counts['setup']} setups, {counts['teardown']} teardowns, {counts['check']} checks",),
    )


@workload
async def broken() -> AsyncIterator[Workload]:
    """Fail while the surroundings are built."""
    raise RuntimeError("the surroundings cannot be built")
    yield Workload(run=quick)  # type: ignore[unreachable]  # what makes it a generator


@workload
async def leaky() -> AsyncIterator[Workload]:
    """Fail while the surroundings are taken down."""
    yield Workload(run=quick)
    raise OSError("the connection hangs")
