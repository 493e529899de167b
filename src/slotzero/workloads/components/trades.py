"""Small trades of somebody else in one coin."""

from typing import Final

from solders.pubkey import Pubkey

from slotzero.units import Lamports
from slotzero.workloads.components.world import World

__all__ = ["Trades"]

_SMALL: Final = Lamports(10_000_000)


class Trades:
    """Somebody who buys and sells the same few tokens of a coin in turn: its price goes nowhere.

    Args:
        world: Whose rival trades.
        mint: A coin of that world.
    """

    def __init__(self, world: World, mint: Pubkey) -> None:
        self._world = world
        self._accounts = world.accounts(world.rival, mint)
        self._tokens = world.tokens_for(world.launch_reserves, _SMALL)
        self._holds = False
        self._raw = b""

    async def prepare(self) -> None:
        """Sign the next trade."""
        await self._world.refresh()
        steps = self._world.selling if self._holds else self._world.buying
        self._holds = not self._holds
        self._raw = self._world.signed(steps(self._accounts, self._tokens), self._world.rival)

    def send(self) -> None:
        """Send it."""
        self._world.wire.send(self._raw)
