"""What each wallet must hold by the journal, and what its orders have brought: a fold of the journal's events.

A pure machine. The journal's own state keeps the sum over all wallets it has ever had; a run looks at those it trades
with, so a wallet that was rotated out, or is another configuration's, explains and disturbs nothing here.
"""

from collections import Counter

from solders.pubkey import Pubkey

from slotzero.trading.journal import (
    Event,
    ExternalTransfer,
    IntentAbandoned,
    IntentExpired,
    IntentFailed,
    IntentLanded,
    IntentSigned,
)
from slotzero.units import LamportsDelta, WallNs

__all__ = ["WalletLedger"]


class WalletLedger:
    """The wallets' books. Let it listen to the journal before that is entered, so that it hears of earlier runs too.

    Attributes:
        traded_lamports: The balance changes of all orders that have landed, failed ones and fees included.
    """

    def __init__(self) -> None:
        self.traded_lamports = LamportsDelta(0)
        self._expected: Counter[Pubkey] = Counter()
        self._open: dict[str, Pubkey] = {}
        """Who pays for each order without an end."""

    def on_event(self, event: Event, _wall_ns: WallNs) -> None:
        """Take in an event of the journal."""
        match event:
            case ExternalTransfer(wallet=wallet, lamports_delta=delta):
                self._expected[wallet] += delta
            case IntentSigned(intent=intent, wallet=wallet):
                self._open[intent] = wallet
            case IntentLanded(intent=intent, lamports_delta=delta) | IntentFailed(intent=intent, lamports_delta=delta):
                self._expected[self._open.pop(intent)] += delta
                self.traded_lamports = LamportsDelta(self.traded_lamports + delta)
            case IntentExpired(intent=intent) | IntentAbandoned(intent=intent):
                del self._open[intent]
            case _:
                pass

    @property
    def has_open_orders(self) -> bool:
        """Whether an order may have moved money that is not booked."""
        return bool(self._open)

    def expected_of(self, wallet: Pubkey) -> int:
        """Return what a wallet must hold, as far as its orders have an end."""
        return self._expected[wallet]
