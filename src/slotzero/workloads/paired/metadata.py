"""METADATA: a mint nobody has asked for yet, its names and authorities read. The accounts come from memory."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import cycle

from solders.pubkey import Pubkey

from slotzero.clock import SystemClock
from slotzero.market.metadata import MetadataStore, metadata_keys
from slotzero.solana.rpc import AccountInfo, Commitment, Purpose
from slotzero.units import Lamports

from .scene import chain, coins

__all__ = ["build"]


def build() -> Callable[[], Awaitable[object]]:
    """Read one coin after the other, each with an empty cache."""
    known: dict[Pubkey, AccountInfo | None] = {}
    for pool in coins():
        for at in metadata_keys(pool.mint):
            account = chain().account(at)
            known[at] = None
            if account is not None:
                known[at] = AccountInfo(
                    lamports=Lamports(account.lamports),
                    owner=account.owner,
                    data=account.data,
                    executable=account.executable,
                )

    async def read(
        keys: Sequence[Pubkey],
        commitment: Commitment,  # noqa: ARG001 the interface
        *,
        purpose: Purpose = "account",  # noqa: ARG001 the interface
    ) -> list[AccountInfo | None]:
        return [known[at] for at in keys]

    clock, following = SystemClock(), cycle([pool.mint for pool in coins()]).__next__

    async def look() -> None:
        async with asyncio.TaskGroup() as group:
            assert await MetadataStore(read, clock=clock, tasks=group).get(following()) is not None

    return look
