"""The chain for one wallet command: connect, make sure it is an embedded one, lend a treasury, disconnect.

Money is moved on an embedded chain only. Its endpoint is on loopback and has to say what it is; nothing is signed for
another cluster.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.clock import Clock, SystemClock, add_ms, is_due
from slotzero.config import OrdersSettings
from slotzero.errors import LocalnetError, RpcError, SlotzeroError, UsageError
from slotzero.solana.addresses import TOKEN_2022_PROGRAM, TOKEN_PROGRAM
from slotzero.solana.blockhash import BlockhashCache
from slotzero.solana.pubsub import PubSub
from slotzero.solana.rpc import RpcClient
from slotzero.solana.token import parse_token_account
from slotzero.trading.execution import OrderDesk
from slotzero.trading.wallets.treasury import Treasury
from slotzero.units import Lamports

__all__ = ["WalletSession", "wallet_session"]

_NO_SUCH_METHOD: Final = -32601
_FUNDED_WITHIN_MS: Final = 10_000
_LOOK_EVERY_MS: Final = 10
_MAX_READ: Final = 100


class _Keyed(Struct):
    pubkey: str


class _Listed(Struct):
    value: list[_Keyed]


class _Rpc(RpcClient):
    """The one call more that wallets need."""

    async def get_token_account_addresses(self, owner: Pubkey, token_program: Pubkey) -> list[Pubkey]:
        """Return where `owner` holds tokens of one program, at commitment *confirmed*."""
        options = {"encoding": "base64", "commitment": "confirmed", "dataSlice": {"offset": 0, "length": 0}}
        params = [str(owner), {"programId": str(token_program)}, options]
        reply = await self._call("getTokenAccountsByOwner", params, _Listed, "account")
        with self._reading("getTokenAccountsByOwner"):
            return [Pubkey.from_string(keyed.pubkey) for keyed in reply.value]


class WalletSession:
    """What a wallet command may do on the chain. Made by `wallet_session`."""

    def __init__(self, rpc: _Rpc, treasury: Treasury, clock: Clock) -> None:
        self._rpc = rpc
        self._clock = clock
        self.treasury = treasury

    async def balances(self, wallets: Sequence[Pubkey]) -> list[Lamports]:
        """Return the lamports of each wallet."""
        return [await self._rpc.get_balance(wallet, "confirmed") for wallet in wallets]

    async def token_accounts(self, owner: Pubkey) -> list[Pubkey]:
        """Return every token account of `owner`.

        Raises:
            UsageError: The node cannot list them.
        """
        try:
            found = [
                await self._rpc.get_token_account_addresses(owner, program)
                for program in (TOKEN_PROGRAM, TOKEN_2022_PROGRAM)
            ]
        except RpcError as error:
            if error.code != _NO_SUCH_METHOD:
                raise
            raise UsageError(f"{error.endpoint} cannot list token accounts, which this needs") from error
        return [address for addresses in found for address in addresses]

    async def tokens_held(self, owner: Pubkey) -> int:
        """Return in how many accounts `owner` holds tokens. Raises UsageError when the node cannot list them."""
        addresses = await self.token_accounts(owner)
        held = 0
        for first in range(0, len(addresses), _MAX_READ):
            accounts = await self._rpc.get_multiple_accounts(addresses[first : first + _MAX_READ], "confirmed")
            held += sum(1 for a in accounts if a is not None and parse_token_account(a.data, a.owner).amount)
        return held

    async def request(self, wallet: Pubkey, lamports: Lamports) -> None:
        """Have the embedded chain's faucet pay `lamports` to `wallet`, and wait until they are there.

        Raises:
            LocalnetError: They did not come.
        """
        want = await self._rpc.get_balance(wallet, "confirmed") + lamports
        await self._rpc.request_airdrop(wallet, lamports)
        deadline = add_ms(self._clock.mono_ns(), _FUNDED_WITHIN_MS)
        while await self._rpc.get_balance(wallet, "confirmed") < want:
            if is_due(deadline, self._clock.mono_ns()):
                raise LocalnetError(f"the embedded chain's faucet did not pay {wallet}")
            await self._clock.sleep_until(add_ms(self._clock.mono_ns(), _LOOK_EVERY_MS))


@asynccontextmanager
async def wallet_session(rpc_url: str, ws_url: str, orders: OrdersSettings) -> AsyncIterator[WalletSession]:
    """Connect to an embedded chain for one command. *Does I/O.*

    Args:
        rpc_url: Its JSON-RPC address.
        ws_url: Its WebSocket address.
        orders: How transactions are followed.

    Raises:
        SlotzeroError: What went wrong, within the block too.
        UsageError: It is no embedded chain.
    """
    clock = SystemClock()
    async with _Rpc(rpc_url) as rpc:
        if "slotzero-localnet" not in await rpc.get_version():
            raise UsageError(
                f"{rpc.endpoint} is no slotzero localnet, and nothing is signed for another cluster; "
                "start one with `slotzero localnet`"
            )
        blockhashes = BlockhashCache(rpc, clock=clock)
        await blockhashes.refresh()
        connected = asyncio.Event()
        pubsub = PubSub(ws_url, clock=clock, on_connection=lambda _: connected.set())
        try:
            async with asyncio.TaskGroup() as tasks:
                desk = OrderDesk(
                    rpc=rpc,
                    pubsub=pubsub,
                    blockhashes=blockhashes,
                    clock=clock,
                    tasks=tasks,
                    rebroadcast_ms=orders.rebroadcast_ms,
                    poll_ms=orders.status_poll_ms,
                )
                services = [
                    tasks.create_task(pubsub.run(), name="pubsub"),
                    tasks.create_task(blockhashes.run(), name="blockhash"),
                    tasks.create_task(desk.run(), name="orders"),
                ]
                try:
                    # A wrong address is told before anything is signed, and a quick end cuts no handshake short.
                    await connected.wait()
                    yield WalletSession(rpc, Treasury(rpc, desk, blockhashes), clock)
                finally:
                    for service in services:
                        service.cancel()
        except BaseExceptionGroup as group:
            if len(group.exceptions) == 1 and isinstance(group.exceptions[0], SlotzeroError):
                raise group.exceptions[0] from group
            raise
