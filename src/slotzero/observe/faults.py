"""Which of several failures a person is told of."""

import asyncio
from collections.abc import Iterator

from slotzero.errors import SlotzeroError

__all__ = ["first_fault"]


def first_fault(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the operating fault inside a group, or the group itself when it holds a bug."""
    leaves = list(_leaves(group))
    faults = [leaf for leaf in leaves if isinstance(leaf, SlotzeroError)]
    bugs = [leaf for leaf in leaves if not isinstance(leaf, SlotzeroError | asyncio.CancelledError)]
    return faults[0] if faults and not bugs else group


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for inner in group.exceptions:
        if isinstance(inner, BaseExceptionGroup):
            yield from _leaves(inner)
        else:
            yield inner
