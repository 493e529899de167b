"""Who may begin now, and who waits: a bounded number in flight, a bounded queue, and what is dropped when that is full.

Old news is worth nothing: of those that wait the newest begins first, and when one more comes than there is room for,
the oldest is dropped. A pure machine.
"""

from collections import deque
from typing import Final, Generic, TypeVar

from msgspec import Struct

__all__ = ["Admission", "AdmissionStats"]

T = TypeVar("T")


class AdmissionStats(Struct, frozen=True, kw_only=True):
    """How busy it is and was.

    Attributes:
        waited: How many had to wait, those dropped included.
        most_in_flight: The highest number at once.
    """

    in_flight: int
    waiting: int
    waited: int
    dropped: int
    most_in_flight: int


class Admission(Generic[T]):
    """Lets a bounded number in at once.

    Args:
        max_in_flight: How many, positive.
        max_waiting: How many more may wait.
    """

    def __init__(self, *, max_in_flight: int, max_waiting: int) -> None:
        self._max_in_flight: Final = max_in_flight
        self._max_waiting: Final = max_waiting
        self._waiting: deque[T] = deque()
        self._in_flight = self._waited = self._dropped = self._most = 0

    def enter(self, item: T) -> tuple[bool, T | None]:
        """Take one in, or let it wait. *Hot path.*

        Returns:
            Whether `item` may begin now; and who was dropped for it, perhaps itself.
        """
        if self._in_flight < self._max_in_flight:
            self._begin()
            return True, None
        self._waited += 1
        self._waiting.append(item)
        if len(self._waiting) <= self._max_waiting:
            return False, None
        self._dropped += 1
        return False, self._waiting.popleft()

    def leave(self) -> T | None:
        """Tell that one has ended. Returns who begins in its place, if anybody waits."""
        assert self._in_flight > 0, "more leave than have entered"
        self._in_flight -= 1
        if not self._waiting:
            return None
        self._begin()
        return self._waiting.pop()

    def clear(self) -> list[T]:
        """Send all who wait away, and return them."""
        gone = list(self._waiting)
        self._waiting.clear()
        self._dropped += len(gone)
        return gone

    @property
    def stats(self) -> AdmissionStats:
        """How busy it is and was."""
        return AdmissionStats(
            in_flight=self._in_flight,
            waiting=len(self._waiting),
            waited=self._waited,
            dropped=self._dropped,
            most_in_flight=self._most,
        )

    def _begin(self) -> None:
        self._in_flight += 1
        self._most = max(self._most, self._in_flight)
