"""A paper desk in front of a chain in this process, and coins to trade on it."""

from collections import Counter
from typing import Any, TypeVar

import msgspec
from solders.account import Account
from solders.pubkey import Pubkey

from chain_world import World
from pump_world import Coin, curve_data, mint_data, token_account_data
from slotzero.clock import TestClock
from slotzero.config import PaperSettings
from slotzero.errors import RpcError
from slotzero.solana.addresses import TOKEN_2022_PROGRAM
from slotzero.solana.rpc import Purpose, Rpc
from slotzero.solana.transaction import RecentBlockhash, SignedTransaction, Signer, compute_budget, sign
from slotzero.trading.paper import Fork, ForkRunner, PaperBook, PaperDesk, PaperFill
from slotzero.units import BlockHeight, ComputeUnits, Lamports, MicroLamportsPerCu, Slot, TokenAmount
from slotzero.venues.market import Market
from slotzero.venues.pumpfun import PUMP_PROGRAM
from slotzero.venues.pumpfun.trader import PumpfunTrader
from slotzero.venues.records import NewPool
from trading_lab import SIGNER, pump_pool

T = TypeVar("T")

SUPPLY = 10**15
WALLET_LAMPORTS = Lamports(10_000_000_000)
FREE = PaperSettings(wallet_lamports=WALLET_LAMPORTS, landing_slots=2, drop_bps=0, failure_bps=0)


class WorldRpc(Rpc):
    """Asks a chain in this process, and counts what it was asked."""

    def __init__(self, world: World) -> None:
        super().__init__("world")
        self.world = world
        self.methods: Counter[str] = Counter()

    async def _call(self, method: str, params: list[Any], result: type[T], purpose: Purpose) -> T:
        self.calls[purpose] += 1
        self.methods[method] += 1
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = msgspec.json.decode(self.world.rpc.handle(msgspec.json.encode(request)))
        if "error" in answer:
            raise RpcError("world", answer["error"]["code"], answer["error"]["message"], None)
        return msgspec.convert(answer["result"], result)


def world_with_coin(pool: NewPool | None = None) -> World:
    """A chain with one coin on it, in the state its pool says."""
    pool = pool or pump_pool()
    world = World()
    coin = Coin(mint=pool.mint, creator=pool.creator, reserves=pool.reserves)
    assert coin.curve == pool.pool

    def put(key: Pubkey, data: bytes, owner: Pubkey, more: int = 0) -> None:
        world.chain.set_account(key, Account(world.chain.svm.rent_exempt_minimum(len(data)) + more, data, owner))

    put(coin.mint, mint_data(SUPPLY), TOKEN_2022_PROGRAM)
    put(coin.curve, curve_data(coin), PUMP_PROGRAM, pool.reserves.real_quote)
    put(coin.curve_tokens, token_account_data(coin.mint, coin.curve, SUPPLY), TOKEN_2022_PROGRAM)
    return world


def market_on(world: World, pool: NewPool | None = None, signer: Signer = SIGNER) -> Market:
    """The coin's market for a wallet, configured as the chain says."""
    trader = PumpfunTrader(signer.pubkey)
    accounts = [world.chain.account(key) for key in trader.config_accounts]
    trader.configure([None if account is None else account.data for account in accounts])
    return trader.market(pool or pump_pool())


def trade(world: World, instructions: list[Any], *, price: int = 50_000, signer: Signer = SIGNER) -> SignedTransaction:
    """Sign a trade with the chain's newest blockhash."""
    blockhash = RecentBlockhash(hash=world.chain.block.blockhash, last_valid_block_height=BlockHeight(10**6))
    budget = compute_budget(ComputeUnits(200_000), MicroLamportsPerCu(price))
    return sign(signer, [*budget, *instructions], blockhash)


class PaperLab:
    """A desk that lands what it is given when told."""

    def __init__(self, world: World, settings: PaperSettings = FREE) -> None:
        self.world = world
        self.upstream = WorldRpc(world)
        self.book = PaperBook([SIGNER.pubkey], settings.wallet_lamports)
        fork = Fork(Lamports(world.chain.svm.rent_exempt_minimum(0)))
        self.desk = PaperDesk(self.upstream, ForkRunner(fork), self.book, settings, clock=TestClock())
        self.desk.on_slot(Slot(10))

    async def pass_slots(self, count: int) -> None:
        """Open slots, and let land what is due in each."""
        for _ in range(count):
            self.desk.on_slot(Slot(self.desk.slot + 1))
            due = [pending for pending in self.desk._pending.values() if pending.due <= self.desk.slot]
            if due:
                await self.desk._land(due)

    async def fill(self, signed: SignedTransaction) -> PaperFill:
        """Send and land a transaction."""
        assert self.desk.submit(signed.raw) == signed.signature
        await self.pass_slots(3)
        fill = self.desk.fill(signed.signature)
        assert fill is not None
        return fill


def buy_of(market: Market, lamports: int = 100_000_000) -> tuple[TokenAmount, list[Any]]:
    """A buy of what `lamports` buy at the pool's creation, with room for slippage."""
    tokens = market.tokens_for_budget(market.pool.reserves, Lamports(lamports))
    return tokens, market.buy(tokens, Lamports(2 * lamports))
