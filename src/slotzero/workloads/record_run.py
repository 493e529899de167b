"""Keep a feed as it came, with all a deterministic replay needs: frames, slots, blockhashes, fees, accounts.

Of each new pool every account that a trade in it names is read once, and the three that its trades change (pool,
vault, mint) are followed for two minutes. Programs are kept too, so that a replay runs the cluster's own. Nothing is
signed and nothing is sent.
"""

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit, urlunsplit

import msgspec
from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.clock import Clock, SystemClock, add_ms, elapsed_ns
from slotzero.config import Settings
from slotzero.detection.detector import MAX_FRAME_BYTES, Detector
from slotzero.detection.recording import (
    SCHEMA,
    BlockhashRead,
    Ended,
    FeesRead,
    FrameRead,
    Header,
    Missed,
    Ready,
    RecordingWriter,
    SlotSeen,
    account_line,
)
from slotzero.errors import EndpointError, MalformedError, RpcError, TransportError
from slotzero.secret import Secret
from slotzero.solana.addresses import (
    ATA_PROGRAM,
    COMPUTE_BUDGET_PROGRAM,
    SYSTEM_PROGRAM,
    TOKEN_2022_PROGRAM,
    TOKEN_PROGRAM,
)
from slotzero.solana.endpoints import EndpointPool, EndpointSpec
from slotzero.solana.pubsub import Gap, PubSub, Subscription
from slotzero.solana.reads import MAX_KEYS
from slotzero.solana.rpc import AccountInfo, Rpc
from slotzero.trading.paper.fork import program_data_key
from slotzero.trading.paper.impact import token_holder
from slotzero.trading.paper.wire import read_account_frame
from slotzero.units import Lamports, MonoNs, Slot, TokenAmount
from slotzero.venues.records import NewPool, Reserves
from slotzero.venues.registry import VENUES, Venue
from slotzero.workloads.check import DEFAULT_RPC

if TYPE_CHECKING:
    from slotzero.venues.market import Trader

__all__ = ["RecordReport", "Recorder", "record_feed"]

log = logging.getLogger(__name__)

_COMMITMENT: Final = "processed"
_STRANGER: Final = Pubkey.from_bytes(hashlib.sha256(b"slotzero record: a wallet that owns nothing").digest())
_BUILT_IN: Final = frozenset({ATA_PROGRAM, COMPUTE_BUDGET_PROGRAM, SYSTEM_PROGRAM, TOKEN_2022_PROGRAM, TOKEN_PROGRAM})
"""Programs that every fork has: their code is not worth its space."""
_MARKETS: Final = 16
"""A venue takes its fee receivers in turn; after so many markets each has had its turn."""
_FOLLOWED_POOLS: Final = 256
"""When one more comes, the oldest is followed no longer."""
_FOLLOW_MS: Final = 120_000
_KNOWN_KEYS: Final = 50_000
"""When one more comes, the oldest is forgotten, and read again should a trade name it."""
_BLOCKHASH_MS: Final = 500
_FEES_MS: Final = 2_000
_TICK_MS: Final = 250
_ANSWERED_WITHIN_S: Final = 10
_NO_METHOD: Final = -32601
_BYTES_PER_MB: Final = 10**6

Ending = Literal["stopped", "time", "frames", "size"]


class RecordReport(Struct, frozen=True, kw_only=True):
    """What was recorded.

    Attributes:
        bytes_written: Before the compression of the whole file.
        unfollowed: Pools that were followed shorter than two minutes, to make room.
        gaps: Times of which nothing is known.
        ended: Why the recording ended.
    """

    path: str
    frames: int
    pools: int
    accounts: int
    slots: int
    bytes_written: int
    unfollowed: int
    gaps: int
    ended: Ending


class _Followed(Struct):
    """A pool that is followed, until when, and by which subscriptions."""

    until: MonoNs
    subscriptions: list[Subscription]


async def record_feed(
    settings: Settings,
    path: Path,
    *,
    for_s: float | None = None,
    frames: int | None = None,
    max_mb: int = 1_000,
    on_recorder: "Callable[[Recorder], None] | None" = None,
) -> RecordReport:
    """Record the configured feed until told to stop. *Does I/O.*

    Args:
        settings: `[cluster]` names the endpoints; none = where a localnet listens by default.
        path: The file, which must not exist.
        for_s: Stop after so many seconds.
        frames: Stop after so many frames of the log subscriptions.
        max_mb: Stop when so many million bytes were written, before compression.
        on_recorder: Called with the recorder once it records, to stop it or to look inside.

    Raises:
        UsageError: The file exists or cannot be made.
        SlotzeroError: The endpoints failed for good; what was recorded until then is whole. Possibly in a group.
    """
    clock = SystemClock()
    rpc_urls, ws_urls = _endpoints(settings)
    specs = [EndpointSpec(rpc=Secret(url)) for url in rpc_urls]
    async with EndpointPool(specs, clock=clock, timeout_ms=settings.cluster.call_timeout_ms) as pool:
        header = await _header(pool, clock)  # first: where nobody answers no file is left behind
        with RecordingWriter(path) as writer:
            recorder = Recorder(
                pool,
                ws_urls,
                writer,
                clock=clock,
                most_frames=frames,
                most_bytes=max_mb * _BYTES_PER_MB,
                silent_after_ms=settings.cluster.silent_after_ms or None,
            )
            async with asyncio.TaskGroup() as tasks:
                health = tasks.create_task(pool.run(), name="endpoints")
                try:
                    return await recorder.run(header, for_s, on_recorder)
                finally:
                    health.cancel()


def _endpoints(settings: Settings) -> tuple[Sequence[str], Sequence[str]]:
    cluster = settings.cluster
    if cluster.rpc_url:
        return (cluster.rpc_url, *cluster.other_rpc_urls), (cluster.ws_url, *cluster.other_ws_urls)
    return [DEFAULT_RPC], [urlunsplit(urlsplit(DEFAULT_RPC)._replace(scheme="ws"))]


async def _header(rpc: Rpc, clock: Clock) -> Header:
    genesis, rent = await rpc.get_genesis_hash(), await rpc.get_minimum_balance(0)
    return Header(
        at=clock.mono_ns(),
        schema=SCHEMA,
        genesis=genesis,
        wall_ns=clock.wall_ns(),
        venues=list(VENUES),
        empty_account_rent=rent,
        commitment=_COMMITMENT,
    )


class Recorder:
    """Writes down what a feed tells and what a trade would have to know.

    Args:
        rpc: Who is asked.
        ws_urls: Who tells.
        writer: The file, entered.
        clock: When.
        most_frames: How many frames end the recording; None = any.
        most_bytes: How many bytes end it.
        silent_after_ms: A feed without a slot for so long is dead; None = never.
    """

    def __init__(
        self,
        rpc: Rpc,
        ws_urls: Sequence[str],
        writer: RecordingWriter,
        *,
        clock: Clock,
        most_frames: int | None,
        most_bytes: int,
        silent_after_ms: int | None,
    ) -> None:
        self._rpc = rpc
        self._writer = writer
        self._clock = clock
        self._most_frames = most_frames
        self._most_bytes = most_bytes
        self._pubsub = PubSub(
            list(ws_urls), clock=clock, on_gap=self._on_gap, follows_slots=True, silent_after_ms=silent_after_ms
        )
        self._venues = tuple(VENUES.values())
        self._detectors = {venue.name: Detector([venue]) for venue in self._venues}
        self._traders: dict[str, Trader] = {venue.name: venue.trader(_STRANGER) for venue in self._venues}
        self._followed: OrderedDict[Pubkey, _Followed] = OrderedDict()
        self._known: OrderedDict[Pubkey, None] = OrderedDict()
        self._fees_until = Slot(0)
        self._has_fees = True
        self._tasks: asyncio.TaskGroup | None = None
        self._ended: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self.frames = self.pools = self.accounts = self.slots = self.unfollowed = self.gaps = 0

    @property
    def bytes_written(self) -> int:
        """How much was written so far, before the compression of the whole."""
        return self._writer.bytes_written

    def stop(self) -> None:
        """End the recording in order. Safe to call at any time."""
        self._end("stopped")

    def _end(self, why: Ending) -> None:
        if not self._ended.done():
            self._ended.set_result(why)

    async def run(
        self, header: Header, for_s: float | None, on_recorder: "Callable[[Recorder], None] | None" = None
    ) -> RecordReport:
        """Record until the end. *Does I/O.*"""
        self._writer.write(header)
        async with asyncio.TaskGroup() as self._tasks:
            services = [self._tasks.create_task(self._pubsub.run(), name="pubsub")]
            try:
                feeds = await self._start()
                services.append(self._tasks.create_task(self._keep_up(), name="upkeep"))
                if on_recorder is not None:
                    on_recorder(self)
                why = await self._wait(for_s)
                for feed in feeds:
                    feed.cancel()
            finally:
                for service in services:
                    service.cancel()
        self._writer.write(Ended(at=self._clock.mono_ns(), frames=self.frames, pools=self.pools))
        return RecordReport(
            path=str(self._writer.path),
            frames=self.frames,
            pools=self.pools,
            accounts=self.accounts,
            slots=self.slots,
            bytes_written=self._writer.bytes_written,
            unfollowed=self.unfollowed,
            gaps=self.gaps,
            ended=why,
        )

    async def _wait(self, for_s: float | None) -> Ending:
        try:
            async with asyncio.timeout(for_s):
                return await asyncio.shield(self._ended)
        except TimeoutError:
            self._end("time")
            return await self._ended

    async def _start(self) -> list[Subscription]:
        """Write down what a bot knows before its first frame, and begin to listen."""
        for venue in self._venues:
            trader = self._traders[venue.name]
            config = await self._read(trader.config_accounts)
            trader.configure([None if account is None else account.data for account in config])
            await self._read([venue.program])
            for is_mayhem in (False, True):
                await self._read(self._named(venue, _example(venue, is_mayhem=is_mayhem)))
        await self._read_blockhash()
        await self._read_fees()
        feeds = [self._pubsub.subscribe("slotSubscribe", [], self._on_slot)]
        for venue in self._venues:
            feeds += [self._watch(key, "confirmed") for key in self._traders[venue.name].config_accounts]
            feeds.append(
                self._pubsub.subscribe(
                    "logsSubscribe",
                    [{"mentions": [str(venue.program)]}, {"commitment": _COMMITMENT}],
                    lambda frame, now, venue=venue: self._on_frame(venue, frame, now),  # type: ignore[misc]  # mypy takes no defaults
                )
            )
        try:
            async with asyncio.timeout(_ANSWERED_WITHIN_S):
                for feed in feeds:
                    await feed.active
        except TimeoutError:
            raise TransportError(self._pubsub.endpoint, "the subscriptions were not answered in time") from None
        self._writer.write(Ready(at=self._clock.mono_ns()))
        return feeds

    # ---- what is told ----------------------------------------------------------------------------------------------

    def _on_frame(self, venue: Venue, frame: bytes, now: MonoNs) -> None:
        if self._ended.done() or len(frame) > MAX_FRAME_BYTES:
            return
        try:
            raw = msgspec.json.decode(frame, type=msgspec.Raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return  # what is no JSON cannot be kept as such; a bot passes over it too
        self._writer.write(FrameRead(at=now, venue=venue.name, frame=raw))
        self.frames += 1
        for pool in self._detectors[venue.name].on_frame(frame, now):
            self.pools += 1
            self._follow(venue, pool, now)
        if self._most_frames is not None and self.frames >= self._most_frames:
            self._end("frames")
        elif self._writer.bytes_written >= self._most_bytes:
            self._end("size")

    def _on_slot(self, frame: bytes, now: MonoNs) -> None:
        try:
            slot = _decode_slot(frame).params.result.slot
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return
        if not self._ended.done():
            self.slots += 1
            self._writer.write(SlotSeen(at=now, slot=Slot(slot)))

    def _on_gap(self, gap: Gap) -> None:
        self.gaps += 1
        if not self._ended.done():
            self._writer.write(Missed(at=gap.until, since=gap.since))

    def _watch(self, key: Pubkey, commitment: str) -> Subscription:
        def on_frame(frame: bytes, now: MonoNs) -> None:
            if not self._ended.done() and (read := read_account_frame(frame)) is not None:
                account, slot = read
                self.accounts += 1
                self._writer.write(account_line(key, account, slot, now, is_change=True))

        options = {"encoding": "base64", "commitment": commitment}
        return self._pubsub.subscribe("accountSubscribe", [str(key), options], on_frame)

    # ---- pools -----------------------------------------------------------------------------------------------------

    def _follow(self, venue: Venue, pool: NewPool, now: MonoNs) -> None:
        if len(self._followed) >= _FOLLOWED_POOLS:
            self.unfollowed += 1
            self._leave(next(iter(self._followed)))
        market = self._traders[venue.name].market(pool)
        followed = _Followed(
            until=add_ms(now, _FOLLOW_MS),
            subscriptions=[self._watch(key, _COMMITMENT) for key in (market.state_account, pool.mint)],
        )
        self._followed[pool.mint] = followed
        assert self._tasks is not None
        self._tasks.create_task(self._know(venue, pool, followed), name=f"accounts of {pool.mint}")

    async def _know(self, venue: Venue, pool: NewPool, followed: _Followed) -> None:
        keys = self._named(venue, pool)
        try:
            accounts = await self._read(keys)
        except (EndpointError, MalformedError) as error:
            log.warning("the accounts of %s were not read, a replay cannot trade it: %s", pool.mint, error)
            return
        vaults = [key for key, account in zip(keys, accounts, strict=True) if token_holder(account) == pool.pool]
        if self._followed.get(pool.mint) is followed:
            followed.subscriptions += [self._watch(key, _COMMITMENT) for key in vaults]

    def _leave(self, mint: Pubkey) -> None:
        for subscription in self._followed.pop(mint).subscriptions:
            subscription.cancel()

    def _named(self, venue: Venue, pool: NewPool) -> list[Pubkey]:
        """Return the accounts that somebody's trades in a pool name, and that are not known yet."""
        trader, keys = self._traders[venue.name], dict.fromkeys((pool.mint, pool.pool))
        for _ in range(_MARKETS):
            market = trader.market(pool)
            trades = [*market.buy(TokenAmount(1), Lamports(1))]
            trades += market.sell(TokenAmount(1), Lamports(0), closes_account=True)
            for instruction in trades:
                keys[instruction.program_id] = None
                keys.update(dict.fromkeys(meta.pubkey for meta in instruction.accounts))
        return [key for key in keys if key not in self._known and key not in _BUILT_IN]

    # ---- what is asked ---------------------------------------------------------------------------------------------

    async def _read(self, keys: Iterable[Pubkey]) -> list[AccountInfo | None]:
        """Read accounts and write them down, with the code of the programs among them."""
        wanted, found = list(keys), list[AccountInfo | None]()
        for first in range(0, len(wanted), MAX_KEYS):
            some = wanted[first : first + MAX_KEYS]
            reply = await self._rpc.accounts_at(some, _COMMITMENT)
            now = self._clock.mono_ns()
            for key, account in zip(some, reply.value, strict=True):
                self._known[key] = None
                if account is not None and not self._ended.done():
                    self.accounts += 1
                    self._writer.write(account_line(key, account, reply.slot, now, is_change=False))
            found += reply.value
        while len(self._known) > _KNOWN_KEYS:
            self._known.popitem(last=False)
        code = [data for account in found if account is not None and (data := program_data_key(account)) is not None]
        if code := [key for key in code if key not in self._known]:
            await self._read(code)
        return found

    async def _keep_up(self) -> None:
        """Read blockhashes and fees at their pace, and leave pools whose time is over."""
        clock = self._clock
        hashes, fees = clock.mono_ns(), clock.mono_ns()
        while True:
            now = clock.mono_ns()
            for mint in [mint for mint, followed in self._followed.items() if followed.until <= now]:
                self._leave(mint)
            try:
                if hashes <= now:
                    hashes = add_ms(now, _BLOCKHASH_MS)
                    await self._read_blockhash()
                if fees <= now:
                    fees = add_ms(now, _FEES_MS)
                    await self._read_fees()
            except (EndpointError, MalformedError) as error:
                log.warning("a blockhash or fees were not read: %s", error)
            await clock.sleep_until(add_ms(clock.mono_ns(), _TICK_MS))

    async def _read_blockhash(self) -> None:
        began = self._clock.mono_ns()
        reply = await self._rpc.latest_blockhash_at("confirmed")
        now = self._clock.mono_ns()
        if not self._ended.done():
            self._writer.write(
                BlockhashRead(
                    at=now,
                    slot=reply.slot,
                    hash=str(reply.value.hash),
                    last_valid_block_height=reply.value.last_valid_block_height,
                    took_ns=elapsed_ns(began, now),
                )
            )

    async def _read_fees(self) -> None:
        if not self._has_fees:
            return
        hot = [key for venue in self._venues for key in self._traders[venue.name].config_accounts]
        try:
            fees = await self._rpc.get_recent_prioritization_fees(hot)
        except RpcError as error:
            if error.code != _NO_METHOD:
                raise
            self._has_fees = False
            return
        new = sorted((int(fee.slot), int(fee.price)) for fee in fees if fee.slot > self._fees_until)
        if new and not self._ended.done():
            self._fees_until = Slot(new[-1][0])
            self._writer.write(FeesRead(at=self._clock.mono_ns(), fees=new))


def _example(venue: Venue, *, is_mayhem: bool) -> NewPool:
    """Return a pool that does not exist: what its trades name is what all trades name, and a few empty addresses."""
    nothing, none = TokenAmount(0), _STRANGER
    return NewPool(
        venue=venue.name,
        mint=none,
        pool=venue.pool_address(none),
        creator=none,
        user=none,
        name="",
        symbol="",
        uri="",
        token_program=TOKEN_PROGRAM,
        quote_mint=None,
        reserves=Reserves(virtual_token=0, virtual_quote=0, real_token=0, real_quote=0),
        token_supply=nothing,
        creator_bought=nothing,
        creator_fee_bps=0,
        is_mayhem=is_mayhem,
        is_cashback=False,
        is_holder_reward=False,
        signature="",
        slot=Slot(0),
        mono_cause=None,
        mono_frame=MonoNs(0),
        starts_at="frame",
    )


class _Slot(Struct):
    slot: int


class _SlotParams(Struct):
    result: _Slot


class _SlotNotification(Struct):
    params: _SlotParams


_decode_slot: Final = msgspec.json.Decoder(_SlotNotification).decode
