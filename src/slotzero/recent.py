"""A set that remembers the newest so many things: bounded in memory, whatever is put into it.

It forgets by blocks. One large table that things are added to and taken from is copied again and again, 1.3 MB each
time for 16,384 of them, and what is allocated in between keeps the heap from using the old place again: a bot at 50
snipes a second grew by 7 MB an hour. A block is only ever filled, then dropped.
"""

from collections import deque
from collections.abc import Hashable, Iterable, Iterator
from itertools import chain
from typing import Final, Generic, TypeVar

__all__ = ["Recent"]

T = TypeVar("T", bound=Hashable)

_BLOCKS: Final = 8


class Recent(Generic[T]):
    """The newest `size` different things, and at most an eighth more; adding one that is there changes nothing.

    Args:
        size: How many are remembered at least; None = all.
        things: What it begins with, oldest first.
    """

    __slots__ = ("_blocks", "_in_block", "_len", "_size")

    def __init__(self, size: int | None, things: Iterable[T] = ()) -> None:
        self._size = size
        self._in_block = None if size is None else max(1, size // _BLOCKS)
        self._blocks: deque[dict[T, None]] = deque([{}])
        self._len = 0
        for thing in things:
            self.add(thing)

    def __contains__(self, thing: object) -> bool:
        """Tell whether a thing is remembered (a lookup in each block)."""
        return any(thing in block for block in self._blocks)

    def __iter__(self) -> Iterator[T]:
        """Return the things, oldest first."""
        return chain.from_iterable(self._blocks)

    def __len__(self) -> int:
        """Return how many are remembered."""
        return self._len

    def add(self, thing: T) -> None:
        """Remember a thing; the oldest ones make room where the others are enough."""
        if thing in self:
            return
        if len(self._blocks[-1]) == self._in_block:
            self._blocks.append({})
        self._blocks[-1][thing] = None
        self._len += 1
        if self._size is not None and self._len - len(self._blocks[0]) >= self._size:
            self._len -= len(self._blocks.popleft())
