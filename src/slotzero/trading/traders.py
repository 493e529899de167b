"""How each venue's pools are traded by each wallet of a run."""

from collections.abc import Iterable, Sequence

from solders.pubkey import Pubkey

from slotzero.venues.market import Market, Trader
from slotzero.venues.records import NewPool
from slotzero.venues.registry import Venue

__all__ = ["Traders"]


class Traders:
    """One trader for each venue and wallet.

    Args:
        venues: What is traded.
        wallets: Who trades, at least one; the first quotes where nobody has been chosen yet.
    """

    def __init__(self, venues: Iterable[Venue], wallets: Sequence[Pubkey]) -> None:
        self._first = wallets[0]
        self._traders: dict[tuple[str, Pubkey], Trader] = {
            (venue.name, wallet): venue.trader(wallet) for venue in venues for wallet in wallets
        }

    def config_accounts(self, venue: str) -> tuple[Pubkey, ...]:
        """Return the accounts of a venue that must be kept warm."""
        return self._traders[venue, self._first].config_accounts

    def configure(self, venue: str, accounts: Sequence[bytes | None]) -> None:
        """Take the data of `config_accounts`, in their order. Raises MalformedError, and then none has changed."""
        for (name, _), trader in self._traders.items():
            if name == venue:
                trader.configure(accounts)

    def market(self, pool: NewPool, wallet: Pubkey | None = None) -> Market:
        """Return the market of a pool for a wallet; None = for the first. *Hot path.*

        A wallet that is none of this run's gets a market all the same: what it holds can be valued, not sold.
        """
        trader = self._traders.get((pool.venue, wallet or self._first))
        if trader is not None:
            return trader.market(pool)
        assert wallet is not None
        return self._traders[pool.venue, self._first].market(pool).for_wallet(wallet)
