"""What distributed runs are pointed at: importable on their workers."""

import asyncio
import os
import sys

__all__ = ["announce", "fail_now_and_then", "not_async", "short_wait", "with_argument"]

_calls = 0


async def short_wait() -> None:
    """Wait for two milliseconds."""
    await asyncio.sleep(0.002)


async def fail_now_and_then() -> None:
    """Refuse every fourth call."""
    global _calls  # noqa: PLW0603 one worker, one process
    _calls += 1
    number = _calls
    await asyncio.sleep(0.001)
    if number % 4 == 0:
        raise ConnectionRefusedError(111, f"refused in process {os.getpid()}")


def not_async() -> int:
    """Return a number."""
    return 3


async def announce() -> None:
    """Say that the first operation has begun."""
    global _calls  # noqa: PLW0603 one worker, one process
    _calls += 1
    if _calls == 1:
        sys.stdout.write("first operation\n")
        sys.stdout.flush()
    await asyncio.sleep(0.01)


async def with_argument(number: int) -> int:
    """Return what was given, which nobody gives."""
    return number
