"""Emergency sells of one position, signed ahead, so that an emergency exit is a choice and not a computation.

On the shelf lie a sell of everything, of a half and of a quarter, each at any price: what is signed ahead cannot know
the price of the moment, and an emergency whose policy sets a limit is signed on the spot instead. Each is good while
its blockhash is; the shelf is laid anew long before that, and whenever what is held has changed.
"""

from typing import Final

from msgspec import Struct

from slotzero.solana.transaction import RecentBlockhash, SignedTransaction, Signer, compute_budget, sign
from slotzero.trading.fee_policy import FeeChoice
from slotzero.units import BPS, BlockHeight, ComputeUnits, Lamports, TokenAmount
from slotzero.venues.market import Market

__all__ = ["EmergencyShelf", "ReadySell"]

SHARES_BPS: Final = (BPS, BPS // 2, BPS // 4)
_KEPT_BLOCKS: Final = 100
"""A sell is laid anew when fewer of its blockhash's 150 blocks are left."""


class ReadySell(Struct, frozen=True, kw_only=True):
    """A signed sell of `tokens` at any price."""

    tokens: TokenAmount
    signed: SignedTransaction
    fees: FeeChoice


class EmergencyShelf:
    """The signed sells of one position.

    Args:
        signer: The position's wallet.
        market: Where it is sold.
    """

    def __init__(self, signer: Signer, market: Market) -> None:
        self._signer = signer
        self._market = market
        self._ready: dict[int, ReadySell] = {}
        self._held = 0
        self._last_valid = BlockHeight(0)

    def is_good(self, held: int, height: BlockHeight) -> bool:
        """Tell whether what lies there fits `held` tokens and can land for a while from block `height` on."""
        return bool(self._ready) and held == self._held and self._last_valid >= height + _KEPT_BLOCKS

    def lay(self, held: TokenAmount, *, blockhash: RecentBlockhash, fees: FeeChoice, salt: int) -> None:
        """Sign them anew (about 60 us each).

        Args:
            held: What is held.
            blockhash: The newest.
            fees: What an emergency offers.
            salt: A number no sell of this position has had yet: it makes the bytes their own.
        """
        self._ready.clear()
        self._held, self._last_valid = int(held), blockhash.last_valid_block_height
        for place, share in enumerate(SHARES_BPS):
            tokens = TokenAmount(held * share // BPS)
            if not tokens or tokens in self._ready:
                continue
            limit = ComputeUnits(max(fees.limit - salt - place, 1))
            instructions = [
                *compute_budget(limit, fees.price),
                # A stranger's gift of one unit would make a closing fail: in an emergency nothing is closed.
                *self._market.sell(tokens, Lamports(0), closes_account=False),
            ]
            self._ready[tokens] = ReadySell(
                tokens=tokens, signed=sign(self._signer, instructions, blockhash), fees=fees
            )

    def refit(self, market: Market) -> None:
        """Throw everything away: it was signed for terms that are no more."""
        self._market = market
        self._ready.clear()

    def take(self, tokens: int, height: BlockHeight) -> ReadySell | None:
        """Take the sell of exactly `tokens` off the shelf, or None where there is none that can land. *Hot path.*"""
        ready = self._ready.pop(tokens, None)
        if ready is None or ready.signed.last_valid_block_height <= height:
            return None
        return ready
