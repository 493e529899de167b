"""A set that remembers the newest so many things: bounded in memory, whatever is put into it."""

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Iterator
from typing import Generic, TypeVar

__all__ = ["Recent"]

T = TypeVar("T", bound=Hashable)


class Recent(Generic[T]):
    """The newest `size` different things; adding one that is there changes nothing.

    Args:
        size: How many are remembered; None = all.
        things: What it begins with, oldest first.
    """

    __slots__ = ("_size", "_things")

    def __init__(self, size: int | None, things: Iterable[T] = ()) -> None:
        self._size = size
        self._things: OrderedDict[T, None] = OrderedDict()
        for thing in things:
            self.add(thing)

    def __contains__(self, thing: object) -> bool:
        """Tell whether a thing is remembered."""
        return thing in self._things

    def __iter__(self) -> Iterator[T]:
        """Return the things, oldest first."""
        return iter(self._things)

    def __len__(self) -> int:
        """Return how many are remembered."""
        return len(self._things)

    def add(self, thing: T) -> None:
        """Remember a thing, in the place of the oldest one where there is no room."""
        self._things[thing] = None
        if self._size is not None and len(self._things) > self._size:
            self._things.popitem(last=False)
