"""EXECUTION, FULL_FLOW and EXIT: the version's own benchmarks, with its own engine and its own chain with manual slots.

Such a chain executes a transaction as soon as it comes, so a snipe waits for nothing but the loopback. What is compared
is its own time: the intervals of its line in which our CPU was busy with it. The chain is a process of its own, which
does nothing while nobody asks it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, cast

from slotzero.perf.workload import Workload, WorkloadFactory
from slotzero.trace import Component, Trace
from slotzero.workloads.components import snipes

__all__ = ["execution", "exit_position", "full_flow"]

_MANUAL: Final = "0"
_TRIES: Final = 5
_WITHIN_S: Final = 5


def execution() -> AbstractAsyncContextManager[Callable[[], Awaitable[int]]]:
    """From the plan to the confirmed buy."""
    return _own_time(snipes.execution, Component.EXECUTION)


def full_flow() -> AbstractAsyncContextManager[Callable[[], Awaitable[int]]]:
    """From the creation executed in the chain to the confirmed buy."""
    return _own_time(snipes.full_flow, Component.FULL_FLOW)


def exit_position() -> AbstractAsyncContextManager[Callable[[], Awaitable[int]]]:
    """From the trigger to the confirmed sell."""
    return _own_time(snipes.exit_position, Component.EXIT)


@asynccontextmanager
async def _own_time(factory: WorkloadFactory, component: Component) -> AsyncIterator[Callable[[], Awaitable[int]]]:
    async with factory.open(slot_ms=_MANUAL) as made:

        async def sample() -> int:
            found: object = None
            for _ in range(_TRIES):
                found = await _snipe(made)
                if isinstance(found, Trace):
                    span = found.span(component)
                    assert span is not None
                    assert span.own_ns is not None
                    return span.own_ns
            raise RuntimeError(f"{_TRIES} snipes one after the other did not get there: {found}")

        yield sample


async def _snipe(made: Workload) -> object:
    assert made.setup is not None
    assert made.teardown is not None
    try:
        async with asyncio.timeout(_WITHIN_S):
            await cast("Awaitable[None]", made.setup())
            return await cast("Awaitable[object]", made.run())
    except TimeoutError:
        return "timeout"
    finally:
        made.teardown()
