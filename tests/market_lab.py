"""A connected client with a paper node behind it, metadata accounts written by hand, and a coin to look at."""

import asyncio
import struct
from base64 import b64encode
from collections.abc import Sequence
from typing import cast

import msgspec
from picows import WSMsgType, WSTransport
from solders.pubkey import Pubkey

from slotzero.clock import TestClock
from slotzero.market.metaplex import METAPLEX_PROGRAM
from slotzero.solana.addresses import TOKEN_2022_PROGRAM, TOKEN_PROGRAM
from slotzero.solana.pubsub import PubSub
from slotzero.solana.rpc import AccountInfo, Commitment, Purpose
from slotzero.solana.token import MULTISIG_LENGTH
from slotzero.units import Lamports, MonoNs, Slot, TokenAmount
from slotzero.venues.pumpfun import curve_address
from slotzero.venues.pumpfun.accounts import CURVE_DISCRIMINATOR
from slotzero.venues.records import NewPool, Reserves

SUPPLY = TokenAmount(10**15)
LAUNCH = Reserves(
    virtual_token=1_073_000_000_000_000, virtual_quote=30_000_000_000, real_token=793_100_000_000_000, real_quote=0
)
NAMES = ("Coin", "COIN", "https://coin.example/1.json")


def key(number: int) -> Pubkey:
    """A key of nobody's, told apart by its number."""
    return Pubkey.from_bytes(bytes([99]) + number.to_bytes(31, "big"))


def coin(number: int = 1, **changes: object) -> NewPool:
    """A coin that was just created on a curve of its own."""
    mint = key(10_000 + number)
    pool = NewPool(
        venue="pumpfun",
        mint=mint,
        pool=curve_address(mint),
        creator=key(20_000 + number),
        user=key(20_000 + number),
        name="Coin",
        symbol="COIN",
        uri="https://coin.example/1.json",
        token_program=TOKEN_2022_PROGRAM,
        quote_mint=None,
        reserves=LAUNCH,
        token_supply=SUPPLY,
        creator_bought=TokenAmount(0),
        creator_fee_bps=0,
        is_mayhem=False,
        is_cashback=False,
        is_holder_reward=False,
        signature="",
        slot=Slot(7),
        mono_cause=None,
        mono_frame=MonoNs(1_000_000_000),
        starts_at="frame",
    )
    return msgspec.structs.replace(pool, **changes)


def moved(reserves: Reserves, lamports: int) -> Reserves:
    """The curve after somebody has put `lamports` in (or taken them out); the product rounds in its favour."""
    quote = reserves.virtual_quote + lamports
    token = -(-reserves.virtual_token * reserves.virtual_quote // quote)
    return Reserves(
        virtual_token=token,
        virtual_quote=quote,
        real_token=reserves.real_token - (reserves.virtual_token - token),
        real_quote=reserves.real_quote + lamports,
    )


def curve_bytes(pool: NewPool, reserves: Reserves | None = None, *, is_complete: bool = False) -> bytes:
    """The account of the pool's curve."""
    now = reserves or pool.reserves
    numbers = (now.virtual_token, now.virtual_quote, now.real_token, now.real_quote, pool.token_supply)
    quote = bytes(32) if pool.quote_mint is None else bytes(pool.quote_mint)
    tail = struct.pack("<??32sQ??", pool.is_mayhem, pool.is_cashback, quote, pool.creator_fee_bps, False, False)  # noqa: FBT003 flags
    return CURVE_DISCRIMINATOR + struct.pack("<5Q?", *numbers, is_complete) + bytes(pool.creator) + tail


def account(data: bytes, owner: Pubkey, lamports: int = 10**12) -> AccountInfo:
    return AccountInfo(lamports=Lamports(lamports), owner=owner, data=data, executable=False)


def mint_bytes(supply: int = SUPPLY, *extensions: tuple[int, bytes]) -> bytes:
    base = struct.pack("<I32sQBBI32s", 0, bytes(32), supply, 6, 1, 0, bytes(32))
    if not extensions:
        return base
    data = base.ljust(165, b"\0") + b"\1" + b"".join(struct.pack("<HH", t, len(v)) + v for t, v in extensions)
    return data + bytes(2) if len(data) == MULTISIG_LENGTH else data  # as the program does: a multisig has that length


def pointer_value(address: Pubkey | None, authority: Pubkey | None = None) -> tuple[int, bytes]:
    return 18, bytes(authority or Pubkey.default()) + bytes(address or Pubkey.default())


def names_value(
    mint: Pubkey, names: tuple[str, str, str] = NAMES, authority: Pubkey | None = None
) -> tuple[int, bytes]:
    value = bytes(authority or Pubkey.default()) + bytes(mint) + b"".join(map(text_bytes, names)) + bytes(4)
    return 19, value


def text_bytes(text: str, padded: int = 0) -> bytes:
    raw = text.encode().ljust(padded, b"\0")
    return struct.pack("<I", len(raw)) + raw


def metaplex_bytes(
    mint: Pubkey,
    names: tuple[str, str, str] = NAMES,
    *,
    authority: Pubkey | None = None,
    creators: int = 1,
    is_mutable: bool = True,
) -> bytes:
    """A metadata account as the program writes it: padded texts, then the tail nobody here reads."""
    name, symbol, uri = names
    people = b"\1" + struct.pack("<I", creators) + (bytes(key(5)) + b"\1\x64") * creators if creators else b"\0"
    return (
        b"\4"
        + bytes(authority or key(6))
        + bytes(mint)
        + text_bytes(name, 32)
        + text_bytes(symbol, 10)
        + text_bytes(uri, 200)
        + struct.pack("<H", 0)
        + people
        + bytes([0, is_mutable])
        + b"\1\xff\1\2\0\0\0".ljust(200, b"\0")
    )


def token_account_bytes(mint: Pubkey, owner: Pubkey, amount: int) -> bytes:
    return struct.pack(
        "<32s32sQI32sBIQQI32s", bytes(mint), bytes(owner), amount, 0, bytes(32), 1, 0, 0, 0, 0, bytes(32)
    )


def holding(mint: Pubkey, owner: Pubkey, amount: int) -> AccountInfo:
    return account(token_account_bytes(mint, owner, amount), TOKEN_2022_PROGRAM, 2_000_000)


class PaperAccounts:
    """Accounts that are read one call at a time; a test can hold a call back."""

    def __init__(self) -> None:
        self.known: dict[Pubkey, AccountInfo] = {}
        self.calls: list[tuple[Pubkey, ...]] = []
        self.fault: Exception | None = None
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def __call__(
        self, keys: Sequence[Pubkey], commitment: Commitment, *, purpose: Purpose = "account"
    ) -> list[AccountInfo | None]:
        del commitment, purpose
        self.calls.append(tuple(keys))
        await self.may_answer.wait()
        if self.fault is not None:
            raise self.fault
        return [self.known.get(at) for at in keys]

    def hold_classic_coin(self, mint: Pubkey, metadata: Pubkey, **changes: object) -> None:
        self.known[mint] = account(mint_bytes(), TOKEN_PROGRAM)
        self.known[metadata] = account(metaplex_bytes(mint, **changes), METAPLEX_PROGRAM)  # type: ignore[arg-type] # by name


class PaperStream:
    """The node's side of a WebSocket: accepts every subscription when the loop turns, and tells what a test says."""

    def __init__(self, clock: TestClock) -> None:
        self.clock = clock
        self.pubsub = PubSub("ws://127.0.0.1:1/paper", clock=clock)
        self.numbers: dict[str, int] = {}
        self.ended: list[int] = []
        self.connect()

    def connect(self) -> None:
        self.numbers.clear()
        self.pubsub._connected(cast("WSTransport", self))

    def lose(self) -> None:
        self.pubsub._disconnected(cast("WSTransport", self))

    def send(self, kind: WSMsgType, payload: bytes) -> None:
        assert kind == WSMsgType.TEXT
        request = msgspec.json.decode(payload)
        method, params = request["method"], request["params"]
        result: object = True
        if method.endswith("Unsubscribe"):
            self.ended.append(params[0])
            self.numbers = {name: number for name, number in self.numbers.items() if number != params[0]}
        else:
            result = self.numbers[params[0] if params else method] = 1_000 + int(request["id"])
        reply = msgspec.json.encode({"jsonrpc": "2.0", "result": result, "id": request["id"]})
        asyncio.get_running_loop().call_soon(self.pubsub._frame, reply, MonoNs(0))

    def _tell(self, name: str, result: object) -> None:
        number = self.numbers[name]
        frame = {"jsonrpc": "2.0", "method": "notification", "params": {"result": result, "subscription": number}}
        self.pubsub._frame(msgspec.json.encode(frame), self.clock.mono_ns())

    def account(self, at: Pubkey, data: bytes, *, slot: int = 8, lamports: int = 10**12) -> None:
        value = {"lamports": lamports, "data": [b64encode(data).decode(), "base64"]}
        self._tell(str(at), {"context": {"slot": slot}, "value": value})

    def slot(self, slot: int = 9) -> None:
        self._tell("slotSubscribe", {"slot": slot, "parent": slot - 1, "root": 1})

    def is_watched(self, at: Pubkey) -> bool:
        return str(at) in self.numbers
