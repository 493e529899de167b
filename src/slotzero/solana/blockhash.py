"""A blockhash kept warm, so that signing needs no RPC call."""

import logging

from slotzero.clock import Clock, add_ms, elapsed_ns
from slotzero.errors import EndpointError, MalformedError
from slotzero.solana.rpc import Rpc
from slotzero.solana.transaction import RecentBlockhash
from slotzero.units import NS_PER_MS, BlockHeight, MonoNs

__all__ = ["VALID_BLOCKS", "BlockhashCache"]

log = logging.getLogger(__name__)

VALID_BLOCKS = 150
"""How many blocks a blockhash stays valid; about 30 s at 200 ms a slot."""


class BlockhashCache:
    """The newest *confirmed* blockhash, fetched anew in the background.

    Confirmed, because a processed one may be dropped with its fork and a finalized one has spent a fifth of its life.

    Args:
        rpc: The endpoint.
        clock: For the pace and the age.
        refresh_ms: How often it is fetched.
        max_age_ms: Beyond this age `current` gives nothing: better no order than one that dies on the way.
        max_exit_age_ms: Beyond this age `usable` gives nothing. Less than half of what a blockhash lives on mainnet:
            better a sell that may die on the way than none.
    """

    def __init__(
        self,
        rpc: Rpc,
        *,
        clock: Clock,
        refresh_ms: int = 1_000,
        max_age_ms: int = 10_000,
        max_exit_age_ms: int = 25_000,
    ) -> None:
        self._rpc = rpc
        self._clock = clock
        self._refresh_ms = refresh_ms
        self._max_age_ns = max_age_ms * NS_PER_MS
        self._max_exit_age_ns = max_exit_age_ms * NS_PER_MS
        self._newest: RecentBlockhash | None = None
        self._fetched_at = MonoNs(0)

    def current(self, now: MonoNs) -> RecentBlockhash | None:
        """Return the blockhash, or None when it is too old or was never fetched. *Hot path.*"""
        return self._younger_than(self._max_age_ns, now)

    def usable(self, now: MonoNs) -> RecentBlockhash | None:
        """Return the blockhash for an exit, which takes an older one, or None. *Hot path.*"""
        return self._younger_than(self._max_exit_age_ns, now)

    def _younger_than(self, age_ns: int, now: MonoNs) -> RecentBlockhash | None:
        return None if self._newest is None or elapsed_ns(self._fetched_at, now) > age_ns else self._newest

    @property
    def block_height(self) -> BlockHeight:
        """The confirmed block height at the last fetch: a lower bound of today's."""
        if self._newest is None:
            return BlockHeight(0)
        return BlockHeight(max(0, self._newest.last_valid_block_height - VALID_BLOCKS))

    async def refresh(self) -> None:
        """Fetch once. Raises EndpointError and MalformedError.

        An older one than we have comes from a node that lags: it is passed over, and does not count as fresh.
        """
        newest = await self._rpc.get_latest_blockhash("confirmed")
        if self._newest is None or newest.last_valid_block_height >= self._newest.last_valid_block_height:
            self._newest = newest
            self._fetched_at = self._clock.mono_ns()

    async def wait_current(self) -> RecentBlockhash:
        """Return a blockhash that is fresh, waiting for one if need be."""
        while (newest := self.current(self._clock.mono_ns())) is None:
            await self._pass()
        return newest

    async def wait_usable(self) -> RecentBlockhash:
        """Return a blockhash for an exit, which must not be given up, waiting for one if need be."""
        while (newest := self.usable(self._clock.mono_ns())) is None:
            await self._pass()
        return newest

    async def _pass(self) -> None:
        await self._clock.sleep_until(add_ms(self._clock.mono_ns(), max(self._refresh_ms // 4, 1)))

    async def run(self) -> None:
        """Keep it warm until cancelled; a failing endpoint is logged and asked again. *Does I/O.*"""
        while True:
            try:
                await self.refresh()
            except (EndpointError, MalformedError) as error:
                log.warning("no fresh blockhash: %s", error)
            await self._clock.sleep_until(add_ms(self._clock.mono_ns(), self._refresh_ms))
