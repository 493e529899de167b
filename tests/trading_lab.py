"""A paper chain for tests of trading.

The RPC client, the subscriptions, the journal and the venue are the real ones; the node behind them is a few
dictionaries that a test fills. Nothing happens on this chain unless the test says so, or asks for `lands`.
"""

import asyncio
import struct
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, Literal, TypeVar, cast

import msgspec
from msgspec import Struct
from picows import WSMsgType, WSTransport
from solders.hash import Hash
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from slotzero.clock import TestClock
from slotzero.config import OrdersSettings, PrivacySettings, RugSettings, Settings
from slotzero.detection.trade_router import TradeRouter
from slotzero.hook import ignore
from slotzero.localnet import genesis
from slotzero.secret import Secret
from slotzero.solana.addresses import TOKEN_2022_PROGRAM
from slotzero.solana.blockhash import VALID_BLOCKS, BlockhashCache
from slotzero.solana.pubsub import PubSub
from slotzero.solana.reads import AccountReads
from slotzero.solana.rpc import Purpose, RpcClient
from slotzero.solana.transaction import RecentBlockhash, SignedTransaction, Signer, compute_budget, sign
from slotzero.trading.accountant import Accountant
from slotzero.trading.context import TradingContext
from slotzero.trading.execution import OrderDesk
from slotzero.trading.fee_policy import FeePolicy
from slotzero.trading.identities import SystemIdentities
from slotzero.trading.journal import IntentSigned, SqliteJournal
from slotzero.trading.limits import Limits
from slotzero.trading.privacy import Privacy
from slotzero.trading.rules import (
    exit_rules,
    fee_rules,
    limits_rules,
    privacy_rules,
    rug_rules,
    unit_seeds,
    wallet_caps,
)
from slotzero.trading.timings import Timings
from slotzero.trading.traders import Traders
from slotzero.trading.wallets.book import WalletBook
from slotzero.units import BlockHeight, ComputeUnits, Lamports, MicroLamportsPerCu, MonoNs, Slot, TokenAmount
from slotzero.venues.pumpfun import curve_address
from slotzero.venues.pumpfun.accounts import CURVE_DISCRIMINATOR
from slotzero.venues.pumpfun.trader import PumpfunTrader
from slotzero.venues.records import NewPool, Reserves
from slotzero.venues.registry import PUMPFUN

T = TypeVar("T")
CHAIN = "paper"
SIGNER = Signer(Secret(bytes(range(32))))
SUPPLY = TokenAmount(10**15)
LAUNCH = Reserves(
    virtual_token=1_073_000_000_000_000, virtual_quote=30_000_000_000, real_token=793_100_000_000_000, real_quote=0
)
BLOCKHASH = RecentBlockhash(hash=Hash.new_unique(), last_valid_block_height=BlockHeight(150))
PLAIN = PrivacySettings(size_noise_bps=0, limit_variation_bps=0, bid_variation_bps=0)
"""Nothing varies, so that a test can say what is sent."""
BLIND = RugSettings(min_outflow_lamports=Lamports(10**15))
"""No outflow is a drain, so that a test of prices may move them as it likes."""
QUICK = Settings(orders=OrdersSettings(rebroadcast_ms=20, status_poll_ms=10), privacy=PLAIN, rug=BLIND)
_CURVE = struct.Struct("<8s5Q?32s??32sQ??")
_TRADE = struct.Struct("<8sQQ")
_TOKEN_ACCOUNT = struct.Struct("<32s32sQI32sBIQQI32s")
_OF_TOKEN_2022 = {"programId": str(TOKEN_2022_PROGRAM)}
_BUY = bytes.fromhex("66063d1201daebea")
_SELL = bytes.fromhex("33e685a4017f83ad")


def key(number: int) -> Pubkey:
    """A key of nobody's, told apart by its number."""
    return Pubkey.from_bytes(number.to_bytes(32, "big"))


def pump_pool(number: int = 1, **changes: object) -> NewPool:
    """A coin that was just created on a curve of its own."""
    mint = key(10_000 + number)
    pool = NewPool(
        venue="pumpfun",
        mint=mint,
        pool=curve_address(mint),
        creator=key(20_000 + number),
        user=key(20_000 + number),
        name=f"Coin {number}",
        symbol=f"C{number}",
        uri="https://coin.invalid",
        token_program=TOKEN_2022_PROGRAM,
        quote_mint=None,
        reserves=LAUNCH,
        token_supply=SUPPLY,
        creator_bought=TokenAmount(0),
        creator_fee_bps=0,
        is_mayhem=False,
        is_cashback=False,
        is_holder_reward=False,
        signature=f"creation {number}",
        slot=Slot(7),
        mono_cause=MonoNs(900_000_000),
        mono_frame=MonoNs(950_000_000),
        starts_at="chain",
    )
    return msgspec.structs.replace(pool, **changes)


def curve_data(reserves: Reserves, *, is_complete: bool = False, creator: Pubkey | None = None) -> bytes:
    """A bonding curve's account, as long as today's; unless told otherwise it is that of the first coin."""
    return _CURVE.pack(
        CURVE_DISCRIMINATOR,
        reserves.virtual_token,
        reserves.virtual_quote,
        reserves.real_token,
        reserves.real_quote,
        SUPPLY,
        is_complete,
        bytes(creator or key(20_001)),
        False,  # noqa: FBT003 mayhem
        False,  # noqa: FBT003 cashback
        bytes(32),
        0,
        False,  # noqa: FBT003 fee editable
        False,  # noqa: FBT003 holder reward
    )


def moved(reserves: Reserves, lamports: int) -> Reserves:
    """The curve after somebody has put `lamports` in (or taken them out), along its constant product."""
    quote = reserves.virtual_quote + lamports
    token = reserves.virtual_token * reserves.virtual_quote // quote
    return Reserves(
        virtual_token=token,
        virtual_quote=quote,
        real_token=reserves.real_token - (reserves.virtual_token - token),
        real_quote=reserves.real_quote + lamports,
    )


def pump_trader(wallet: Pubkey = SIGNER.pubkey) -> PumpfunTrader:
    """pump.fun as the embedded chain configures it."""
    trader = PumpfunTrader(wallet)
    born = genesis.derive(1)
    trader.configure([genesis.global_data(born), genesis.fee_config_data(born)])
    return trader


def pump_traders() -> Traders:
    """The same for every wallet of a run."""
    traders = Traders([PUMPFUN], [SIGNER.pubkey])
    born = genesis.derive(1)
    traders.configure("pumpfun", [genesis.global_data(born), genesis.fee_config_data(born)])
    return traders


def signed_transaction(number: int = 0, *, last_valid: int = 150) -> SignedTransaction:
    """A transaction of ours that does nothing; its number makes its signature its own."""
    instructions = compute_budget(ComputeUnits(1_000 + number), MicroLamportsPerCu(0))
    blockhash = RecentBlockhash(hash=BLOCKHASH.hash, last_valid_block_height=BlockHeight(last_valid))
    return sign(SIGNER, instructions, blockhash)


def signed_buy(pool: NewPool, *, tokens: int = 10**12, limit: int = 100_000_000) -> SignedTransaction:
    """A real buy of a pump.fun coin."""
    market = pump_trader().market(pool)
    instructions = [
        *compute_budget(ComputeUnits(160_000), MicroLamportsPerCu(0)),
        *market.buy(TokenAmount(tokens), Lamports(limit)),
    ]
    return sign(SIGNER, instructions, BLOCKHASH)


def buy_event(
    intent: str = "buy", *, pool: NewPool | None = None, signed: SignedTransaction | None = None
) -> IntentSigned:
    """A signed buy of 1,000 units, quoted at 100 lamports, of at most 110."""
    pool, signed = pool or pump_pool(), signed or signed_transaction()
    return IntentSigned(
        intent=intent,
        side="buy",
        signature=signed.signature,
        raw=signed.raw,
        last_valid_block_height=signed.last_valid_block_height,
        mint=pool.mint,
        wallet=SIGNER.pubkey,
        tokens=TokenAmount(1_000),
        quoted_lamports=Lamports(100),
        limit_lamports=Lamports(110),
        reason="new_pool",
        pool=pool,
    )


def sell_event(intent: str = "sell", *, position: str = "buy", tokens: int = 1_000) -> IntentSigned:
    """A signed sell out of the position that the buy has opened."""
    return msgspec.structs.replace(
        buy_event(intent),
        side="sell",
        tokens=TokenAmount(tokens),
        limit_lamports=Lamports(90),
        reason="take_profit",
        position=position,
        pool=None,
    )


class Trade(Struct, frozen=True):
    """What a pump.fun trade of ours asks for."""

    side: Literal["buy", "sell"]
    tokens: int
    limit: int
    closes: bool


def trade_in(raw: bytes) -> Trade:
    """Read our own trade back out of its bytes."""
    instructions = [bytes(ix.data) for ix in VersionedTransaction.from_bytes(raw).message.instructions]
    for data in instructions:
        if data[:8] in (_BUY, _SELL):
            discriminator, tokens, limit = _TRADE.unpack(data[: _TRADE.size])
            return Trade("buy" if discriminator == _BUY else "sell", tokens, limit, instructions[-1] == b"\x09")
    raise AssertionError("no trade in it")


def mint_in(raw: bytes) -> str:
    """The third account of a trade is its mint."""
    message = VersionedTransaction.from_bytes(raw).message
    (trade,) = (ix for ix in message.instructions if bytes(ix.data)[:8] in (_BUY, _SELL))
    return str(message.account_keys[bytes(trade.accounts)[2]])


def signature_of(raw: bytes) -> str:
    return str(VersionedTransaction.from_bytes(raw).signatures[0])


def token_account(mint: Pubkey, amount: int, *, is_frozen: bool = False) -> bytes:
    """A token account of ours."""
    names = (bytes(mint), bytes(SIGNER.pubkey))
    return _TOKEN_ACCOUNT.pack(*names, amount, 0, bytes(32), 2 if is_frozen else 1, 0, 0, 0, 0, bytes(32))


def _account(data: bytes | None) -> object:
    if data is None:
        return None
    encoded = [b64encode(data).decode(), "base64"]
    return {"lamports": 1, "owner": str(key(5)), "data": encoded, "executable": False}


class PaperNode:
    """What a cluster would say. `log` is everything that was asked of it, in order."""

    def __init__(self) -> None:
        self.height = 0
        self.slot = 100
        self.balance = 10_000_000_000
        self.statuses: dict[str, dict[str, object] | None] = {}
        self.transactions: dict[str, dict[str, object]] = {}
        self.accounts: dict[str, bytes] = {}
        self.confirmed: dict[str, bytes] = {}
        """Those that are not confirmed as `accounts` has them yet, as they were before."""
        self.faults: dict[str, list[Exception]] = {}
        """What the next calls of a method raise instead of answering."""
        self.tokens: dict[str, int] = {}
        """What the wallet holds, by mint; `record` keeps it."""
        self.frozen: set[str] = set()
        """Mints whose tokens it cannot move."""
        self.answers: dict[str, object] = {"getRecentPrioritizationFees": []}
        """What a method answers instead of what the node knows."""
        self.ignored: set[str] = set()
        """Subscriptions that are never answered."""
        self.log: list[tuple[str, Any]] = []
        self.sent: list[bytes] = []
        self.on_send: Callable[[bytes], None] = lambda _: None
        self.transport: PaperTransport | None = None

    def asked(self, method: str) -> list[Any]:
        return [params for name, params in self.log if name == method]

    def answer(self, method: str, params: list[Any]) -> object:
        self.log.append((method, params))
        if self.faults.get(method):
            raise self.faults[method].pop(0)
        if method in self.answers:
            return self.answers[method]
        context = {"slot": self.slot}
        match method:
            case "sendTransaction":
                raw = b64decode(params[0])
                self.sent.append(raw)
                self.on_send(raw)
                return signature_of(raw)
            case "getSignatureStatuses":
                return {"context": context, "value": [self.statuses.get(signature) for signature in params[0]]}
            case "getTransaction":
                return self.transactions.get(params[0])
            case "getLatestBlockhash":
                value = {"blockhash": str(BLOCKHASH.hash), "lastValidBlockHeight": self.height + VALID_BLOCKS}
                return {"context": context, "value": value}
            case "getBalance":
                return {"context": context, "value": self.balance}
            case "getMinimumBalanceForRentExemption":
                return 1_000 * (128 + params[0])
            case "getMultipleAccounts":
                known = self.accounts | (self.confirmed if params[1]["commitment"] == "confirmed" else {})
                return {"context": context, "value": [_account(known.get(name)) for name in params[0]]}
            case "getTokenAccountsByOwner":
                wanted = [mint for mint in self.tokens if params[1] in ({"mint": mint}, _OF_TOKEN_2022)]
                return {"context": context, "value": [self._token_account(mint) for mint in wanted]}
        raise AssertionError(f"the paper node does not know {method}")

    def _token_account(self, mint: str) -> object:
        data = token_account(Pubkey.from_string(mint), self.tokens[mint], is_frozen=mint in self.frozen)
        encoded = [b64encode(data).decode(), "base64"]
        account = {"lamports": 1, "owner": str(TOKEN_2022_PROGRAM), "data": encoded, "executable": False}
        return {"pubkey": str(key(6)), "account": account}

    def record(self, raw: bytes, *, err: object = None, delta: int, tokens: int = 0) -> str:
        """Put a landed transaction where getTransaction finds it, without telling anyone. Returns its signature."""
        signature = signature_of(raw)
        if signature in self.transactions:
            return signature  # sent again: a chain executes the same bytes once
        before, self.balance = self.balance, self.balance + delta
        balances = []
        if err is None:
            self.tokens[mint_in(raw)] = tokens
        if tokens:
            amount = {"amount": str(tokens)}
            balances = [{"owner": str(SIGNER.pubkey), "mint": mint_in(raw), "uiTokenAmount": amount}]
        meta = {"err": err, "fee": 5_000, "preBalances": [before, 1], "postBalances": [self.balance, 1]}
        self.transactions[signature] = {"slot": self.slot, "meta": {**meta, "postTokenBalances": balances}}
        return signature

    def confirm(self, signature: str, err: object = None) -> None:
        """Let the status, and who has subscribed to it, say that it was confirmed."""
        self.statuses[signature] = {"slot": self.slot, "confirmationStatus": "confirmed", "err": err}
        if self.transport is not None:
            self.transport.notify("signatureSubscribe", signature, {"err": err})

    def lands(self, raw: bytes) -> None:
        """Execute and confirm a trade of ours: a buy costs its limit, a sell brings its limit."""
        trade = trade_in(raw)
        if trade.side == "buy":
            self.confirm(self.record(raw, delta=-trade.limit, tokens=trade.tokens))
        else:
            self.confirm(self.record(raw, delta=trade.limit))

    def fails(self, raw: bytes, err: object) -> None:
        """Execute a trade of ours with an error and confirm that."""
        self.confirm(self.record(raw, err=err, delta=-5_000), err)


class PaperRpc(RpcClient):
    """The real client up to the wire: replies are decoded by its own types."""

    def __init__(self, node: PaperNode) -> None:
        super().__init__("http://127.0.0.1:1/paper")
        self.node = node

    async def _call(self, method: str, params: list[Any], result: type[T], purpose: Purpose) -> T:
        self.calls[purpose] += 1
        await asyncio.sleep(0)
        reply = {"jsonrpc": "2.0", "id": 1, "result": self.node.answer(method, params)}
        return self._decode(method, 200, msgspec.json.encode(reply), result)


class PaperTransport:
    """The node's side of a WebSocket: accepts every subscription."""

    def __init__(self, node: PaperNode, pubsub: PubSub) -> None:
        self.node = node
        self.pubsub = pubsub
        self.numbers: dict[tuple[str, str], int] = {}
        """The number of each live subscription, by its method and first parameter."""
        node.transport = self

    def send(self, kind: WSMsgType, payload: bytes) -> None:
        assert kind == WSMsgType.TEXT
        request = msgspec.json.decode(payload)
        method, params = request["method"], request["params"]
        self.node.log.append((method, params))
        result: object = True
        if method.endswith("Unsubscribe"):
            self.numbers = {name: number for name, number in self.numbers.items() if number != params[0]}
        elif method in self.node.ignored:
            return
        else:
            name = params[0] if isinstance(params[0], str) else "-"
            result = self.numbers[method, name] = 1_000 + int(request["id"])
        reply = msgspec.json.encode({"jsonrpc": "2.0", "result": result, "id": request["id"]})
        asyncio.get_running_loop().call_soon(self.pubsub._frame, reply, MonoNs(0))

    def notify(self, method: str, name: str, value: object, *, now: int = 1_000_000_000) -> bool:
        """Tell who has subscribed; returns whether anyone has."""
        number = self.numbers.get((method, name))
        if number is None:
            return False
        result = {"context": {"slot": self.node.slot}, "value": value}
        frame = {"jsonrpc": "2.0", "method": "notification", "params": {"result": result, "subscription": number}}
        self.pubsub._frame(msgspec.json.encode(frame), MonoNs(now))
        if method == "signatureSubscribe":
            del self.numbers[method, name]
        return True

    def account(self, at: Pubkey, data: bytes, *, lamports: int = 1, now: int = 1_000_000_000) -> bool:
        """Change an account and tell."""
        self.node.accounts[str(at)] = data
        encoded = [b64encode(data).decode(), "base64"]
        value = {"lamports": lamports, "owner": str(key(5)), "data": encoded, "executable": False}
        return self.notify("accountSubscribe", str(at), value, now=now)


def paper_pubsub(node: PaperNode, clock: TestClock) -> PubSub:
    """A connected client whose other end is `node.transport`."""
    pubsub = PubSub("ws://127.0.0.1:1/paper", clock=clock)
    pubsub._connected(cast("WSTransport", PaperTransport(node, pubsub)))
    return pubsub


class Lab(Struct, kw_only=True):
    """A trading context on paper."""

    node: PaperNode
    rpc: PaperRpc
    pubsub: PubSub
    clock: TestClock
    journal: SqliteJournal
    tasks: asyncio.TaskGroup
    context: TradingContext

    @property
    def transport(self) -> PaperTransport:
        assert self.node.transport is not None
        return self.node.transport

    def kinds(self) -> list[str]:
        """The states of all intents, oldest first."""
        return [intent.state for intent in self.journal.state.intents.values()]

    def jump_when_asleep(self) -> "asyncio.Task[None]":
        """Let time run for whoever sleeps, as fast as it goes, until the lab ends."""

        async def run() -> None:
            while True:
                await until(lambda: self.clock._sleepers)
                await self.clock.jump()

        return self.tasks.create_task(run(), name="time")

    async def jump_until(self, condition: Callable[[], object]) -> None:
        """Let time run from one sleeper to the next until `condition` holds, and no further."""
        async with asyncio.timeout(10):
            while not condition():
                if self.clock._sleepers:
                    await self.clock.jump()
                await asyncio.sleep(0.001)


@asynccontextmanager
async def trading_lab(
    path: Path,
    *,
    settings: Settings = QUICK,
    clock: TestClock | None = None,
    balance: int = 10_000_000_000,
    node: PaperNode | None = None,
) -> AsyncIterator[Lab]:
    """Open a journal at `path` and wire a context with a running order desk. What is still running is cancelled.

    Args:
        path: The journal's.
        settings: The configuration.
        clock: Time; None = one that stands still.
        balance: What the wallet of a new node holds.
        node: The chain of an earlier lab, which goes on; None = a new one.
    """
    clock = clock or TestClock()
    if node is None:
        node = PaperNode()
        node.balance = balance
    balance = node.balance
    rpc, pubsub = PaperRpc(node), paper_pubsub(node, clock)
    book = SqliteJournal(path, CHAIN, clock=clock)
    limits = Limits(
        limits_rules(settings.limits, open_positions=settings.trade.max_open_positions),
        overhead_lamports=Lamports(0),
    )
    book.listen(limits.record)
    async with book as journal, asyncio.TaskGroup() as tasks:
        blockhashes = BlockhashCache(rpc, clock=clock)
        await blockhashes.refresh()
        desk = OrderDesk(
            rpc=rpc,
            pubsub=pubsub,
            blockhashes=blockhashes,
            clock=clock,
            tasks=tasks,
            rebroadcast_ms=settings.orders.rebroadcast_ms,
            poll_ms=settings.orders.status_poll_ms,
        )
        reads = AccountReads(rpc, pubsub, clock=clock, tasks=tasks)
        wallets = WalletBook(settings.wallets.rotation, wallet_caps(settings.wallets))
        wallets.add(SIGNER.pubkey, balance=Lamports(balance), kept=Lamports(0))
        context = TradingContext(
            settings=settings,
            clock=clock,
            rpc=rpc,
            reads=reads,
            pubsub=pubsub,
            journal=journal,
            blockhashes=blockhashes,
            desk=desk,
            accountant=Accountant(rpc, journal, clock=clock, tasks=tasks),
            signers={SIGNER.pubkey: SIGNER},
            book=wallets,
            limits=limits,
            fees=FeePolicy(fee_rules(settings.fees), unit_seeds(settings.fees, "pumpfun")),
            privacy=Privacy(privacy_rules(settings.privacy), Random(1)),  # noqa: S311 repeatable
            exit_rules=exit_rules(settings.exits, slippage_bps=settings.trade.exit_slippage_bps),
            rug_rules=rug_rules(settings.rug),
            identities=SystemIdentities(),
            trades=TradeRouter([PUMPFUN]),
            send_buy=None,
            hook=ignore,
            tasks=tasks,
            timings=Timings(),
            alerts=deque(maxlen=100),
        )
        tasks.create_task(desk.run(), name="orders")
        try:
            yield Lab(node=node, rpc=rpc, pubsub=pubsub, clock=clock, journal=journal, tasks=tasks, context=context)
        finally:
            for task in list(tasks._tasks):  # the group has no public way to end early
                task.cancel()


async def until(condition: Callable[[], object], *, within_s: float = 10.0) -> None:
    """Let the loop run until `condition` holds: for what another thread or the loop's own timers bring about."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 the condition may be anything
            await asyncio.sleep(0.001)
