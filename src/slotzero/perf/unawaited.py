"""What a callable returned that should have been run: a measurement of it would have measured nothing."""

import asyncio
import inspect
from collections.abc import Coroutine
from types import AsyncGeneratorType, GeneratorType

__all__ = ["unawaited"]


def unawaited(value: object) -> str | None:
    """Return what a value is that should have been run, and dispose of it; None for anything else."""
    name = getattr(value, "__qualname__", type(value).__name__)
    if isinstance(value, Coroutine):
        value.close()
        return f"a coroutine ({name})"
    if isinstance(value, asyncio.Future):
        value.cancel()
        return f"a future ({name})"
    if isinstance(value, GeneratorType | AsyncGeneratorType):
        return f"a generator ({name})"
    return f"an awaitable ({name})" if inspect.isawaitable(value) else None
