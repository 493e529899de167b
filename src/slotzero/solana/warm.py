"""What the hot path must know without asking, kept fresh in one place: rent, recent fees, balances.

Each fact has a pace at which it is fetched and an age beyond which it is not given out any more: nothing is better than
something that is no longer true. A fetch that fails is tried again at the pace of its kind; the old value stays good
until it is too old. The blockhash has a keeper of its own (`blockhash`), with a rule of its own.
"""

import logging
from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.clock import Clock, add_ms, elapsed_ns, is_due, ms
from slotzero.errors import EndpointError, MalformedError, RpcError
from slotzero.solana.reads import MAX_KEYS, AccountReads, Watch
from slotzero.solana.rpc import Commitment, RecentFee, Rpc
from slotzero.units import Lamports, MonoNs

__all__ = ["WarmFacts", "WarmPaces"]

log = logging.getLogger(__name__)

_METHOD_NOT_FOUND: Final = -32601


class WarmPaces(Struct, frozen=True, kw_only=True):
    """How often each kind is fetched, and how old it may be.

    Attributes:
        rent_ms: Rent falls in steps, each announced epochs ahead.
        rent_max_age_ms: So an hour's failure to ask is no reason to stop trading.
        fees_ms: A node looks back over 150 slots, about 30 s.
        balance_ms: How often a balance is read while no stream tells of it.
        retry_ms: After a failure, at the latest; `fees_ms` and `balance_ms` are shorter.
    """

    rent_ms: int = 600_000
    rent_max_age_ms: int = 3_600_000
    fees_ms: int = 2_000
    fees_max_age_ms: int = 30_000
    balance_ms: int = 5_000
    balance_max_age_ms: int = 30_000
    retry_ms: int = 5_000


class _Aged(Struct, frozen=True):
    """A value and when it was fetched."""

    value: int
    at: MonoNs


class WarmFacts:
    """Rent minimums, recent fees and balances. `start` fetches them once, `run` keeps them fresh.

    Args:
        rpc: Who is asked for rent and fees.
        reads: Who is asked for balances.
        clock: For paces and ages.
        rent_sizes: The sizes of accounts, in bytes, whose rent minimum is wanted.
        wallets: Whose balances are wanted.
        fee_accounts: The accounts whose recent fees are wanted; none = fees are not asked for.
        commitment: Of which state balances are.
        paces: How often and how old.
    """

    def __init__(
        self,
        rpc: Rpc,
        reads: AccountReads,
        *,
        clock: Clock,
        rent_sizes: Sequence[int],
        wallets: Sequence[Pubkey] = (),
        fee_accounts: Sequence[Pubkey] = (),
        commitment: Commitment = "processed",
        paces: WarmPaces | None = None,
    ) -> None:
        self._rpc = rpc
        self._reads = reads
        self._clock = clock
        self._paces = paces or WarmPaces()
        self._rent_sizes = tuple(rent_sizes)
        self._wallets = tuple(wallets)
        self._fee_accounts = tuple(fee_accounts)
        self._commitment: Commitment = commitment
        self._rent: dict[int, _Aged] = {}
        self._balances: dict[Pubkey, _Aged] = {}
        self._fees: tuple[RecentFee, ...] = ()
        self._fees_at: MonoNs | None = None
        self._has_fees = bool(fee_accounts)
        self._watches: list[Watch] = []

    # ---- what is known ---------------------------------------------------------------------------------------------

    def rent(self, size: int, now: MonoNs) -> Lamports | None:
        """Return what an account of `size` bytes must hold, or None when that was never told or long ago. *Hot path.*

        Raises KeyError for a size that was not asked for at construction: that is a bug.
        """
        if size not in self._rent_sizes:
            raise KeyError(size)
        value = _young(self._rent.get(size), now, self._paces.rent_max_age_ms)
        return None if value is None else Lamports(value)

    def balance(self, wallet: Pubkey, now: MonoNs) -> Lamports | None:
        """Return the lamports of `wallet`: the stream's word, else the last read if it is young enough. *Hot path.*"""
        if (seen := self._reads.peek(wallet, self._commitment, purpose="warm")) is not None:
            return Lamports(0) if seen[0] is None else seen[0].lamports
        value = _young(self._balances.get(wallet), now, self._paces.balance_max_age_ms)
        return None if value is None else Lamports(value)

    def recent_fees(self, now: MonoNs) -> tuple[RecentFee, ...]:
        """Return the least price that landed in each recent slot, oldest first; empty when not known. *Hot path.*"""
        if self._fees_at is None or elapsed_ns(self._fees_at, now) > ms(self._paces.fees_max_age_ms):
            return ()
        return self._fees

    # ---- keeping it so ---------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Fetch everything once and begin to watch the wallets. *Does I/O.*

        Raises:
            EndpointError: Rent or balances could not be read; nothing can be traded without them.
            MalformedError: They were answered with something else.
        """
        self._watches += [self._reads.watch(wallet, self._commitment) for wallet in self._wallets]
        await self._fetch_rent()
        await self._fetch_balances()
        try:
            await self._fetch_fees()
        except (EndpointError, MalformedError) as error:
            log.warning("no recent fees: %s", error)

    async def run(self) -> None:
        """Keep it fresh until cancelled. *Does I/O.*"""
        paces, now = self._paces, self._clock.mono_ns()
        kinds = {
            self._fetch_rent: (paces.rent_ms, "rent"),
            self._fetch_balances: (paces.balance_ms, "balances"),
            self._fetch_fees: (paces.fees_ms, "recent fees"),
        }
        due = {fetch: add_ms(now, pace_ms) for fetch, (pace_ms, _) in kinds.items()}
        while True:
            await self._clock.sleep_until(min(due.values()))
            for fetch, (pace_ms, name) in kinds.items():
                if not is_due(due[fetch], self._clock.mono_ns()):
                    continue
                try:
                    await fetch()
                except (EndpointError, MalformedError) as error:
                    log.warning("%s could not be refreshed: %s", name, error)
                    pace_ms = min(pace_ms, paces.retry_ms)  # noqa: PLW2901 this once
                due[fetch] = add_ms(self._clock.mono_ns(), pace_ms)

    def close(self) -> None:
        """End the watches."""
        while self._watches:
            self._watches.pop().cancel()

    async def _fetch_rent(self) -> None:
        for size in self._rent_sizes:
            lamports = await self._rpc.get_minimum_balance(size, purpose="warm")
            self._rent[size] = _Aged(lamports, self._clock.mono_ns())

    async def _fetch_balances(self) -> None:
        for first in range(0, len(self._wallets), MAX_KEYS):
            wallets = self._wallets[first : first + MAX_KEYS]
            accounts = await self._reads.get(wallets, self._commitment, purpose="warm", is_one_slot=False)
            now = self._clock.mono_ns()
            for wallet, account in zip(wallets, accounts, strict=True):
                self._balances[wallet] = _Aged(0 if account is None else account.lamports, now)

    async def _fetch_fees(self) -> None:
        if not self._has_fees:
            return
        try:
            fees = await self._rpc.get_recent_prioritization_fees(self._fee_accounts)
        except RpcError as error:
            if error.code != _METHOD_NOT_FOUND:
                raise
            self._has_fees = False  # for this run: a node does not learn methods
            log.info("recent fees are not available: %s", error)
            return
        self._fees = tuple(sorted(fees, key=lambda fee: fee.slot))
        self._fees_at = self._clock.mono_ns()


def _young(aged: _Aged | None, now: MonoNs, max_age_ms: int) -> int | None:
    return None if aged is None or elapsed_ns(aged.at, now) > ms(max_age_ms) else aged.value
