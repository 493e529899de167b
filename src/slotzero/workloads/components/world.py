"""What the component workloads stand on: an embedded chain in a process of its own, and who makes things happen on it.

Everything that happens is caused by real transactions of wallets that are not the measured one's. They are sent
through a plain socket whose answer is read after the sample, so that no client of ours works beside the measured code.
"""

import asyncio
import hashlib
import socket
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from random import Random
from typing import Final, Self, TypeAlias
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct
from solders.instruction import Instruction
from solders.pubkey import Pubkey

from slotzero.clock import SystemClock
from slotzero.detection.detector import Detector
from slotzero.errors import LocalnetError
from slotzero.localnet.endpoints import DEFAULT_SLOT_MS, LocalnetEndpoints
from slotzero.localnet.launcher.actors import Actor, signed
from slotzero.localnet.process import running_localnet
from slotzero.secret import Secret
from slotzero.solana.addresses import TOKEN_2022_PROGRAM
from slotzero.solana.blockhash import BlockhashCache
from slotzero.solana.pubsub import PubSub
from slotzero.solana.rpc import Rpc, RpcClient
from slotzero.solana.transaction import Signer, compute_budget
from slotzero.trading.probe import RentFacts
from slotzero.units import LAMPORTS_PER_SOL, ComputeUnits, Lamports, MicroLamportsPerCu, MonoNs
from slotzero.venues.market import Trader
from slotzero.venues.pumpfun import (
    FEE_CONFIG,
    GLOBAL,
    TradeAccounts,
    buy,
    create_associated_token_account,
    create_v2,
    curve_address,
    decode_fee_config,
    decode_global,
    fee_rates,
    fee_recipients,
    quote_buy,
    sell,
    tokens_for_budget,
    trade_accounts,
)
from slotzero.venues.records import NewPool, Reserves
from slotzero.venues.registry import PUMPFUN

__all__ = ["DEFAULT_SEED", "DEFAULT_SLOTS", "Coin", "Detected", "Stage", "Wire", "World", "open_stage", "open_world"]

DEFAULT_SLOTS: Final = str(DEFAULT_SLOT_MS)
DEFAULT_SEED: Final = "7"
_PURSE: Final = Lamports(100_000 * LAMPORTS_PER_SOL)
_WITHIN_S: Final = 10
_WIRE_TIMEOUT_S: Final = 5
_UNIT_LIMIT: Final = 300_000
_NOTHING: Final = Lamports(0)
_ANY_COST: Final = Lamports(1_000 * LAMPORTS_PER_SOL)


Detected: TypeAlias = tuple[NewPool, MonoNs]
"""A pool, and when it was handed on."""


class Coin(Struct, frozen=True, kw_only=True):
    """A coin of ours: its mint and the signed transaction that creates it."""

    mint: Pubkey
    creation: bytes
    creator: TradeAccounts


class Wire:
    """A connection to the chain's RPC port that sends a transaction now and reads the answer when it is asked to."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._socket = socket.create_connection((parts.hostname, parts.port), timeout=_WIRE_TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._waiting = 0

    def __enter__(self) -> Self:
        """Return it connected."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close it."""
        self._socket.close()

    def send(self, raw: bytes) -> None:
        """Hand a transaction to the chain (about 30 us)."""
        options = {"encoding": "base64", "skipPreflight": True}
        params = [b64encode(raw).decode(), options]
        body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": "sendTransaction", "params": params})
        head = b"POST / HTTP/1.1\r\nHost: localnet\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self._socket.sendall(head % len(body) + body)
        self._waiting += 1

    def answers(self) -> None:
        """Read the answers to what was sent. Raises LocalnetError when the chain did not take it."""
        while self._waiting:
            self._waiting -= 1
            answer = self._read()
            if b'"error"' in answer:
                raise LocalnetError(
                    f"the embedded chain refused a transaction: {answer[:300].decode(errors='replace')}"
                )

    def _read(self) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._more()
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
        )
        while len(body) < length:
            body += self._more()
        return body

    def _more(self) -> bytes:
        found = self._socket.recv(65_536)
        if not found:
            raise LocalnetError("the embedded chain closed the connection")
        return found


class World:
    """A chain with somebody who creates and trades coins on it.

    Attributes:
        slot_ms: 0 = a slot for each transaction.
        creator: Who creates coins; `rival` trades them.
    """

    def __init__(self, endpoints: LocalnetEndpoints, rpc: Rpc, wire: Wire) -> None:
        self.endpoints = endpoints
        self.slot_ms = endpoints.slot_ms
        self.rpc = rpc
        self.wire = wire
        self.clock = SystemClock()
        self.creator = Actor(_signer("creator"))
        self.rival = Actor(_signer("rival"))
        self._blockhashes = BlockhashCache(rpc, clock=self.clock)
        self._phases = Random(endpoints.seed)  # noqa: S311 when samples start, no secret
        self._made = 0

    async def prepare(self) -> None:
        """Fund the wallets and read what trades need."""
        for actor in (self.creator, self.rival):
            await self.fund(actor.pubkey, _PURSE)
        accounts = await self.rpc.get_multiple_accounts([GLOBAL, FEE_CONFIG], "processed")
        settings, fees = accounts
        assert settings is not None
        assert fees is not None
        self._global = decode_global(settings.data)
        self._fees = decode_fee_config(fees.data)
        await self.refresh()

    async def fund(self, key: Pubkey, lamports: Lamports) -> None:
        """Have the faucet pay a wallet, and wait until it has."""
        before = await self.rpc.get_balance(key, "processed")
        await self.rpc.request_airdrop(key, lamports)
        async with asyncio.timeout(_WITHIN_S):
            while await self.rpc.get_balance(key, "processed") == before:  # noqa: ASYNC110 the chain tells nobody
                await asyncio.sleep(0.005)

    async def refresh(self) -> None:
        """Take the newest blockhash. Before each sample: on a chain that counts slots by transactions it ages fast."""
        self._hash = (await self.rpc.get_latest_blockhash("processed")).hash

    async def random_phase(self) -> None:
        """Let a random part of a slot pass, each as likely: what starts at a slot's edge measures the timer alone."""
        if self.slot_ms:
            await asyncio.sleep(self._phases.uniform(0, self.slot_ms / 1_000))

    @property
    def launch_reserves(self) -> Reserves:
        """What a curve starts with."""
        return self._global.initial_reserves

    def coin(self, *, creator_buys: Lamports = _NOTHING) -> Coin:
        """Prepare a new coin, whose creator buys in the creating transaction. Not sent yet."""
        self._made += 1
        mint = _signer(f"mint {self._made}")
        accounts = self.accounts(self.creator, mint.pubkey)
        steps = [
            create_v2(
                user=self.creator.pubkey,
                mint=mint.pubkey,
                creator=self.creator.pubkey,
                name=f"Measured coin {self._made}",
                symbol=f"M{self._made}",
                uri=f"https://ipfs.example/{self._made:032x}.json",
            )
        ]
        if creator_buys:
            steps += self.buying(accounts, self.tokens_for(self.launch_reserves, creator_buys))
        return Coin(mint=mint.pubkey, creation=self.signed(steps, self.creator, mint), creator=accounts)

    def accounts(self, actor: Actor, mint: Pubkey) -> TradeAccounts:
        """Return the accounts of one wallet's trades in a coin of ours."""
        protocol, buyback = fee_recipients(self._global, is_mayhem=False, choice=self._made)
        return trade_accounts(
            actor.wallet,
            mint=mint,
            creator=self.creator.pubkey,
            fee_recipient=protocol,
            buyback_recipient=buyback,
            token_program=TOKEN_2022_PROGRAM,
            curve=curve_address(mint),
        )

    def tokens_for(self, reserves: Reserves, lamports: Lamports) -> int:
        """Return how many tokens so many lamports buy."""
        rates = fee_rates(self._fees, reserves, self._global.token_supply)
        tokens = tokens_for_budget(reserves, lamports, rates)
        assert quote_buy(reserves, tokens, rates) is not None
        return tokens

    @staticmethod
    def buying(accounts: TradeAccounts, tokens: int) -> list[Instruction]:
        """Build a buy at any price."""
        return [create_associated_token_account(accounts), buy(accounts, tokens, _ANY_COST)]

    @staticmethod
    def selling(accounts: TradeAccounts, tokens: int) -> list[Instruction]:
        """Build a sell at any price."""
        return [sell(accounts, tokens, 0)]

    def signed(self, steps: list[Instruction], actor: Actor, *others: Signer) -> bytes:
        """Sign a transaction. Its unit limit makes it another one than the same steps a moment ago."""
        self._made += 1
        budget = compute_budget(ComputeUnits(_UNIT_LIMIT + self._made % 50_000), MicroLamportsPerCu(50_000))
        return signed([*budget, *steps], self._hash, actor.signer, *others)

    async def configured(self, wallet: Pubkey) -> Trader:
        """Return the venue's trader for a wallet, as the chain configures it."""
        trader = PUMPFUN.trader(wallet)
        accounts = await self.rpc.get_multiple_accounts(trader.config_accounts, "processed")
        trader.configure([None if account is None else account.data for account in accounts])
        return trader

    async def rent(self) -> RentFacts:
        """Return what the chain asks for new accounts."""
        empty, first = await self.rpc.get_minimum_balance(0), await self.rpc.get_minimum_balance(400)
        return RentFacts(empty_account_lamports=empty, first_trade_lamports=first)


class Stage:
    """A world that is watched: one connection, and the feed of new pools through the real detector.

    Attributes:
        blockhashes: Kept warm in the background.
        group: Owns what runs beside the samples.
    """

    def __init__(self, world: World, group: asyncio.TaskGroup) -> None:
        self.world = world
        self.group = group
        self.pubsub = PubSub(world.endpoints.ws, clock=world.clock)
        self.blockhashes = BlockhashCache(world.rpc, clock=world.clock)
        self.detector = Detector([PUMPFUN])
        self._awaited: dict[Pubkey, asyncio.Future[Detected]] = {}

    async def start(self) -> None:
        """Connect and listen to the venue's creations."""
        self.services = [self.group.create_task(self.pubsub.run())]
        await self.blockhashes.refresh()
        self.services.append(self.group.create_task(self.blockhashes.run()))
        mentions = {"mentions": [str(PUMPFUN.program)]}
        feed = self.pubsub.subscribe("logsSubscribe", [mentions, {"commitment": "processed"}], self._on_frame)
        async with asyncio.timeout(_WITHIN_S):
            await feed.active

    def _on_frame(self, frame: bytes, now: MonoNs) -> None:
        pools = self.detector.on_frame(frame, now)
        if pools:
            at = self.world.clock.mono_ns()
            for pool in pools:
                waiting = self._awaited.pop(pool.mint, None)
                if waiting is not None and not waiting.done():
                    waiting.set_result((pool, at))

    def expect(self, mint: Pubkey) -> asyncio.Future[Detected]:
        """Return what will hold the pool of a mint, and when it was handed on."""
        self._awaited[mint] = asyncio.get_running_loop().create_future()
        return self._awaited[mint]

    async def launched(self, coin: Coin) -> NewPool:
        """Create a coin and wait until its pool was detected."""
        seen = self.expect(coin.mint)
        self.world.wire.send(coin.creation)
        async with asyncio.timeout(_WITHIN_S):
            pool, _ = await seen
        self.world.wire.answers()
        return pool


@asynccontextmanager
async def open_world(slot_ms: str, seed: str) -> AsyncIterator[World]:
    """Start a chain and end it with the block."""
    async with (
        running_localnet(slot_ms=int(slot_ms), seed=int(seed)) as endpoints,
        RpcClient(endpoints.rpc) as rpc,
    ):
        with Wire(endpoints.rpc) as wire:
            world = World(endpoints, rpc, wire)
            await world.prepare()
            yield world


@asynccontextmanager
async def open_stage(slot_ms: str, seed: str) -> AsyncIterator[Stage]:
    """Start a chain, watch it, and end both with the block."""
    async with open_world(slot_ms, seed) as world, asyncio.TaskGroup() as group:
        stage = Stage(world, group)
        await stage.start()
        with _ending(stage):
            yield stage


@contextmanager
def _ending(stage: Stage) -> Iterator[None]:
    try:
        yield
    finally:
        for service in stage.services:
            service.cancel()


def _signer(name: str) -> Signer:
    return Signer(Secret(hashlib.sha256(f"slotzero workloads {name}".encode()).digest()))
