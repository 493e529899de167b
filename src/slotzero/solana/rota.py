"""Whose turn it is among several addresses of one service, and after what delay. A machine."""

from typing import Final

__all__ = ["Rota"]

_FIRST_DELAY_MS: Final = 100
_MAX_DELAY_MS: Final = 5_000
_MAX_DOUBLINGS: Final = 6


class Rota:
    """The others have their turn at once, the same address again ever later.

    Args:
        count: How many addresses there are.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._ends = 0
        self.turn = 0

    def on_end(self, *, was_of_use: bool) -> int:
        """Take note that a connection has ended. Returns how many milliseconds to wait before the next one.

        Args:
            was_of_use: Whether it has served for a while. One that is taken and closed again at once is a refusal.
        """
        self._ends = 1 if was_of_use else self._ends + 1
        self.turn = (self.turn + 1) % self._count
        rounds, others = divmod(self._ends, self._count)
        return 0 if others else min(_FIRST_DELAY_MS << min(rounds - 1, _MAX_DOUBLINGS), _MAX_DELAY_MS)
