"""What the isolated benchmarks of the second look's tests measure."""

import asyncio
from collections.abc import AsyncIterator

from slotzero.clock import add_ms, later, mono_ns
from slotzero.perf.workload import Workload, workload
from slotzero.trace import Component, Stamp, Trace

__all__ = ["COMPONENT", "snipes", "unsteady"]

COMPONENT = Component.FULL_FLOW


@workload
async def snipes() -> AsyncIterator[Workload]:
    """Yield a callable that returns a trace, as the components do."""

    async def run() -> Trace:
        trace = Trace()
        start = mono_ns()
        await asyncio.sleep(0.001)
        for stamp, at_ms in ((Stamp.CAUSE, 0), (Stamp.FRAME, 1), (Stamp.POOL, 2), (Stamp.FILTERED, 3)):
            trace.mark(stamp, add_ms(start, at_ms))
        for stamp, at_ms in ((Stamp.PLANNED, 4), (Stamp.SIGNED, 5), (Stamp.VERDICT, 45), (Stamp.GATED, 46)):
            trace.mark(stamp, add_ms(start, at_ms))
        trace.mark(Stamp.SENT, add_ms(start, 47))
        trace.mark(Stamp.CONFIRMED, later(start, 60_000_000))
        return trace

    yield Workload(run=run)


@workload
async def unsteady() -> AsyncIterator[Workload]:
    """Yield a callable that works for the first look only."""
    calls = 0

    async def run() -> None:
        nonlocal calls
        calls += 1
        if calls > 24:
            raise ConnectionResetError("it has had enough")
        await asyncio.sleep(0)

    yield Workload(run=run)
