"""Where new names come from: intents' ids, and the fresh addresses a safety check buys with.

A run with money takes them from the system; one that is to be repeated byte for byte takes them from a seed.
"""

import secrets
from random import Random
from typing import Final, Protocol

from solders.pubkey import Pubkey

from slotzero.trading.journal import new_intent_id

__all__ = ["Identities", "SeededIdentities", "SystemIdentities"]

_KEY_BYTES: Final = 32
_ID_BYTES: Final = 16


class Identities(Protocol):
    """A source of names."""

    def intent_id(self) -> str:
        """Return a new intent's id."""
        ...

    def address(self) -> Pubkey:
        """Return an address that nobody has used."""
        ...


class SystemIdentities:
    """The system's randomness: nobody can know an address beforehand and prepare for it."""

    def intent_id(self) -> str:
        """Return a new intent's id, unique without asking anyone."""
        return new_intent_id()

    def address(self) -> Pubkey:
        """Return an address that nobody has used."""
        return Pubkey.from_bytes(secrets.token_bytes(_KEY_BYTES))


class SeededIdentities:
    """Names that follow from a seed. For replays: where somebody knows the seed, a check proves nothing.

    Args:
        rng: Where they come from, used by nobody else.
    """

    def __init__(self, rng: Random) -> None:
        self._rng = rng

    def intent_id(self) -> str:
        """Return a new intent's id."""
        return self._rng.randbytes(_ID_BYTES).hex()

    def address(self) -> Pubkey:
        """Return an address that nobody has used."""
        return Pubkey.from_bytes(self._rng.randbytes(_KEY_BYTES))
