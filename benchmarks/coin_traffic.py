"""Traffic of snipes against a chain in another process: coins are created, bought and sold as fast as it answers."""

import asyncio
import itertools
from collections.abc import Iterator

import msgspec
from msgspec import Struct
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.transaction import VersionedTransaction

from slotzero.clock import elapsed_ns, mono_ns
from slotzero.localnet.render import base64_text
from slotzero.venues.pumpfun import instructions
from slotzero.venues.pumpfun.accounts import decode_global
from slotzero.venues.pumpfun.addresses import GLOBAL, curve_address

SOL = 1_000_000_000
USERS = 16
TOKENS = 10_000_000_000
UNIT_LIMIT = 250_000
BUDGET = 10_000_000 * SOL
NS_PER_S = 1_000_000_000

_Json = dict[str, object]


class Client:
    """An HTTP connection that sends one request at a time, as lean as asyncio's streams allow."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> "Client":
        """Return a connected client."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def call(self, method: str, *params: object) -> object:
        """Return the result of a request."""
        body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        self._writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        answer = msgspec.json.decode(await self._reader.readexactly(length), type=_Json)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["result"]

    def close(self) -> None:
        """Cut the connection."""
        self._writer.transport.abort()


class Subscriber:
    """A WebSocket that subscribes to much and reads whatever comes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._numbers = itertools.count(1)

    @classmethod
    async def open(cls, port: int) -> "Subscriber":
        """Return a connected subscriber."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        await reader.readuntil(b"\r\n\r\n")
        return cls(reader, writer)

    def subscribe(self, method: str, key: object, config: _Json) -> None:
        """Send a subscription of 126 to 65,535 bytes."""
        number = next(self._numbers)
        request = {"jsonrpc": "2.0", "id": number, "method": method, "params": [str(key), config], "pad": "x" * 126}
        body = msgspec.json.encode(request)
        self._writer.write(bytes([0x81, 0x80 | 126]) + len(body).to_bytes(2, "big") + bytes(4) + body)

    async def drain(self) -> None:
        """Read until cancelled."""
        while await self._reader.read(1 << 20):
            pass

    def close(self) -> None:
        """Cut the connection, and the subscriptions with it."""
        self._writer.transport.abort()


class Counters(Struct, frozen=True, kw_only=True):
    """What the chain says of itself."""

    landed: int
    failed: int
    cpu_seconds: float
    subscriptions: int
    sent: int


class Coin(Struct, frozen=True, kw_only=True):
    """A coin to be created: its mint, and the signed transaction that creates it."""

    mint: Keypair
    creation: VersionedTransaction


class Window(Struct, frozen=True, kw_only=True):
    """What a stretch of time brought."""

    seconds: float
    transactions: int
    failed: int
    cpu_seconds: float
    notifications: int


class Traffic:
    """Sixteen users, each creating a coin, buying it and selling it, again and again."""

    def __init__(self, port: int, watcher: Client) -> None:
        self.port = port
        self.watcher = watcher
        self.creator = Keypair()
        self._protocol, self._buyback = (Keypair().pubkey(), Keypair().pubkey())
        self._blockhash = Hash.default()
        self._names = itertools.count()

    async def prepare(self) -> None:
        """Fund the creator and read what trades need."""
        await self.watcher.call("requestAirdrop", str(self.creator.pubkey()), BUDGET)
        options = {"encoding": "base64", "commitment": "processed"}
        shown = await self.watcher.call("getAccountInfo", str(GLOBAL), options)
        assert isinstance(shown, dict)
        data = msgspec.json.decode(msgspec.json.encode(shown["value"]["data"][0]), type=bytes)
        self._protocol, self._buyback = instructions.fee_recipients(decode_global(data), is_mayhem=False)
        await self.refresh()

    async def counters(self) -> Counters:
        """Return what the chain has counted so far."""
        stats = await self.watcher.call("slotzero_stats")
        assert isinstance(stats, dict)
        return Counters(
            landed=stats["transactions"]["landed"],
            failed=stats["transactions"]["failed"],
            cpu_seconds=stats["process"]["cpuSeconds"],
            subscriptions=stats["pubsub"]["subscriptions"],
            sent=stats["pubsub"]["sent"],
        )

    async def refresh(self) -> None:
        """Take the newest blockhash."""
        latest = await self.watcher.call("getLatestBlockhash", {"commitment": "processed"})
        assert isinstance(latest, dict)
        self._blockhash = Hash.from_string(latest["value"]["blockhash"])

    def coins(self) -> Iterator[Coin]:
        """Yield coins, signed over the newest blockhash."""
        creator = self.creator.pubkey()
        while True:
            mint, name = Keypair(), str(next(self._names))
            create = instructions.create_v2(
                user=creator, mint=mint.pubkey(), creator=creator, name=name, symbol="M", uri=name
            )
            yield Coin(mint=mint, creation=self._signed([self.creator, mint], create))

    async def user(self, client: Client, wallet: Keypair, coins: Iterator[Coin]) -> None:
        """Trade until cancelled."""
        skip = {"encoding": "base64", "skipPreflight": True}

        async def send(transaction: VersionedTransaction) -> None:
            await client.call("sendTransaction", base64_text(bytes(transaction)), skip)

        for coin in coins:
            await send(coin.creation)
            trade = instructions.trade_accounts(
                instructions.wallet_accounts(wallet.pubkey()),
                mint=coin.mint.pubkey(),
                creator=self.creator.pubkey(),
                fee_recipient=self._protocol,
                buyback_recipient=self._buyback,
            )
            account = instructions.create_associated_token_account(trade)
            await send(self._signed([wallet], account, instructions.buy(trade, TOKENS, SOL)))
            await send(self._signed([wallet], instructions.sell(trade, TOKENS, 0)))

    def _signed(self, signers: list[Keypair], *steps: Instruction) -> VersionedTransaction:
        budget = (set_compute_unit_limit(UNIT_LIMIT), set_compute_unit_price(50_000))
        message = MessageV0.try_compile(signers[0].pubkey(), [*budget, *steps], [], self._blockhash)
        return VersionedTransaction(message, signers)


async def window(traffic: Traffic, seconds: float, *, subscriptions: int) -> Window:
    """Let the traffic run for so long.

    Args:
        traffic: Prepared.
        seconds: How long.
        subscriptions: To so many coins, the first of this window: one to the curve, one to the creation's signature.
    """
    coins = traffic.coins()
    await traffic.refresh()
    first = [next(coins) for _ in range(1_000)]  # whether they are listened to or not: the same work in each window
    clients = [await Client.open(traffic.port) for _ in range(USERS)]
    wallets = [Keypair() for _ in clients]
    for wallet in wallets:
        await traffic.watcher.call("requestAirdrop", str(wallet.pubkey()), BUDGET // 1_000)
    subscriber = await Subscriber.open(traffic.port)
    for coin in first[:subscriptions]:
        curve = curve_address(coin.mint.pubkey())
        subscriber.subscribe("accountSubscribe", curve, {"commitment": "processed", "encoding": "base64"})
        subscriber.subscribe("signatureSubscribe", coin.creation.signatures[0], {"commitment": "confirmed"})
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(subscriber.drain())]
        while (before := await traffic.counters()).subscriptions < 2 * subscriptions:
            pass  # the next answer comes after the next subscriptions
        start = mono_ns()
        ahead = itertools.chain(first, coins)
        tasks.extend(
            group.create_task(traffic.user(client, wallet, ahead))
            for client, wallet in zip(clients, wallets, strict=True)
        )
        while elapsed_ns(start, mono_ns()) < seconds * NS_PER_S:
            await asyncio.sleep(0.5)
            await traffic.refresh()
        after = await traffic.counters()
        elapsed = elapsed_ns(start, mono_ns())
        for task in tasks:
            task.cancel()
    for connection in clients:
        connection.close()
    subscriber.close()
    return Window(
        seconds=elapsed / NS_PER_S,
        transactions=after.landed - before.landed,
        failed=after.failed - before.failed,
        cpu_seconds=after.cpu_seconds - before.cpu_seconds,
        notifications=after.sent - before.sent,
    )
