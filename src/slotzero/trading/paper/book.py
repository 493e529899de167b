"""What our paper trades have left behind: the wallets, the accounts they have opened, the pools they have moved."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec
from solders.pubkey import Pubkey

from slotzero.solana.addresses import SYSTEM_PROGRAM
from slotzero.solana.rpc import AccountInfo
from slotzero.trading.paper.impact import (
    Impact,
    impact_between,
    is_pool,
    shifted_pool,
    shifted_vault,
    token_holder,
)
from slotzero.units import Lamports

__all__ = ["PaperBook"]

_UNTOUCHED: Final = Impact()


class PaperBook:
    """The accounts that exist on paper only, laid over the real ones.

    Args:
        wallets: Whose trades these are; nothing real is ever theirs.
        lamports: What each begins with.
    """

    def __init__(self, wallets: Iterable[Pubkey], lamports: Lamports) -> None:
        self.wallets: Final = frozenset(wallets)
        self._accounts: dict[Pubkey, AccountInfo] = {
            wallet: AccountInfo(lamports=lamports, owner=SYSTEM_PROGRAM, data=b"", executable=False)
            for wallet in self.wallets
        }
        self._impacts: dict[Pubkey, Impact] = {}
        self._vaults: dict[Pubkey, Pubkey] = {}
        """The pool of each token account that belongs to a pool we have moved."""

    def balance(self, wallet: Pubkey) -> Lamports:
        """Return what a wallet holds."""
        account = self._accounts.get(wallet)
        return Lamports(0) if account is None else account.lamports

    def touches(self, key: Pubkey) -> bool:
        """Tell whether an account looks other on paper than it really is."""
        return key in self._accounts or key in self._impacts or key in self._vaults or key in self.wallets

    def view(self, key: Pubkey, real: AccountInfo | None) -> AccountInfo | None:
        """Return an account as it is on paper. *Hot path.*

        An account that a paper trade has opened for somebody else gives way to the real one as soon as there is one.
        """
        mine = self._accounts.get(key)
        if key in self.wallets or (mine is not None and (real is None or token_holder(mine) in self.wallets)):
            return mine
        if real is None:
            return None
        if (impact := self._impacts.get(key)) is not None:
            return shifted_pool(real, impact) if is_pool(real) else real
        if (pool := self._vaults.get(key)) is not None:
            return shifted_vault(real, self._impacts.get(pool, _UNTOUCHED))
        return real

    def token_accounts(self, wallet: Pubkey) -> Iterator[tuple[Pubkey, AccountInfo]]:
        """Yield the token accounts of a wallet, in the order they were opened."""
        for key, account in self._accounts.items():
            if token_holder(account) == wallet:
                yield key, account

    def apply(
        self,
        before: Mapping[Pubkey, AccountInfo | None],
        after: Mapping[Pubkey, AccountInfo | None],
        real: Mapping[Pubkey, AccountInfo | None],
    ) -> list[Pubkey]:
        """Take over what a trade has written. Returns the accounts whose change somebody may be waiting for.

        Args:
            before: Every account of it as it was on paper.
            after: What it has written.
            real: Every account of it as it really is.
        """
        changed = []
        for key, account in after.items():
            is_ours = key in self.wallets or key in self._accounts or token_holder(account) in self.wallets
            old = before.get(key)
            if is_ours or real.get(key) is None:
                self._put(key, account)
                changed.append(key)
            elif old is not None and account is not None and is_pool(old) and is_pool(account):
                self._move(key, impact_between(old, account), after)
                changed.append(key)
        return changed

    def charge(self, wallet: Pubkey, lamports: int) -> Lamports:
        """Take up to `lamports` from a wallet. Returns what was taken."""
        account = self._accounts.get(wallet)
        taken = Lamports(0 if account is None else min(lamports, account.lamports))
        if account is not None:
            rest = Lamports(account.lamports - taken)
            self._put(wallet, msgspec.structs.replace(account, lamports=rest) if rest else None)
        return taken

    def deposits(self) -> int:
        """Return the rent in what our trades have opened; what has no data is somebody's purse, filled up by us."""
        return sum(
            account.lamports for key, account in self._accounts.items() if account.data and key not in self.wallets
        )

    def _put(self, key: Pubkey, account: AccountInfo | None) -> None:
        if account is None or account.lamports == 0:
            self._accounts.pop(key, None)
        else:
            self._accounts[key] = account

    def _move(self, pool: Pubkey, impact: Impact, after: Mapping[Pubkey, AccountInfo | None]) -> None:
        total = self._impacts.get(pool, _UNTOUCHED) + impact
        vaults = [key for key, account in after.items() if token_holder(account) == pool]
        if total.tokens > 0:
            self._impacts[pool] = total
            self._vaults.update(dict.fromkeys(vaults, pool))
        else:
            self._impacts.pop(pool, None)
            for key in vaults:
                self._vaults.pop(key, None)
