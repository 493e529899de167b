"""One token looked at by hand: find its pool, run every layer of the safety check, read its metadata.

Starts nothing and signs nothing. The chain must be running and say that it is a slotzero localnet, because the wallet
that pays for the simulated round trip has its money from the faucet; nobody has its key, and only simulations name it.
"""

import asyncio
import hashlib
import ipaddress
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.clock import SystemClock, add_ms, is_due
from slotzero.config import SafetySettings, Settings
from slotzero.errors import LocalnetError, MalformedError, SlotzeroError, TransportError, UsageError
from slotzero.market.metadata import TokenProfile, metadata_keys, read_profile
from slotzero.market.offchain import OffchainDocument, fetch_offchain
from slotzero.safety import (
    LAYER_NAMES,
    SNIPE_LAYERS,
    CheckPolicy,
    HoneypotChecker,
    RoundTripProbe,
    RpcReader,
    Verdict,
    build_layers,
)
from slotzero.secret import redacted_url
from slotzero.solana.addresses import TOKEN_2022_PROGRAM, TOKEN_PROGRAM
from slotzero.solana.rpc import AccountInfo, Rpc, RpcClient
from slotzero.solana.token import parse_token_account
from slotzero.trading.filters import Refusal
from slotzero.trading.plan import plan_buy
from slotzero.trading.probe import read_rent, round_trip_probe
from slotzero.units import LAMPORTS_PER_SOL, Lamports, MonoNs, Slot, TokenAmount
from slotzero.venues.pumpfun import PUMP_PROGRAM, decode_curve
from slotzero.venues.pumpfun.addresses import MINT_AUTHORITY
from slotzero.venues.records import NewPool
from slotzero.venues.registry import PUMPFUN

__all__ = ["DEFAULT_RPC", "CheckReport", "check_token"]

DEFAULT_RPC: Final = "http://127.0.0.1:8899"
"""Where `slotzero localnet` listens when nothing is said."""

_PAYER: Final = Pubkey.from_bytes(hashlib.sha256(b"slotzero check: pays in simulations, has no key").digest())
_FUNDED_WITHIN_MS: Final = 10_000
_LOOK_EVERY_S: Final = 0.01
_BUDGET_MS: Final = 5_000
"""A person waits: what takes longer than a snipe can afford is still an answer."""
_HISTORY: Final = 1_000
_NEWEST: Final = 20
"""Creations that are looked at for one that did not fail."""
_COMMITMENT: Final = "processed"


class CheckReport(Struct, frozen=True, kw_only=True):
    """What is known of a token.

    Attributes:
        pool: Its pool, as its account says now; `slot` and `signature` are the creation's where the chain still knows
            them, else 0 and "".
        is_complete: Nothing trades in this pool any more.
        profile: What the token says of itself; None where its metadata cannot be read, and `profile_fault` says why.
        offchain: The document behind its uri, when it was asked for; `offchain_fault` says why there is none.
        rpc_calls: Calls made for all of it, by purpose.
    """

    pool: NewPool
    is_complete: bool
    verdict: Verdict
    profile: TokenProfile | None
    profile_fault: str
    offchain: OffchainDocument | None
    offchain_fault: str
    rpc_calls: dict[str, int]


async def check_token(
    settings: Settings,
    *,
    mint: str | None = None,
    pool: str | None = None,
    is_newest: bool = False,
    rpc_url: str | None = None,
    wants_offchain: bool = False,
) -> CheckReport:
    """Find a token's pool and judge it by every layer. *Does I/O.*

    The layers of a snipe must be sure; of the deeper ones only what they find counts, not what they cannot find out.

    Args:
        settings: The limits, and where the chain is when `rpc_url` does not say so.
        mint: The token, or None.
        pool: Its pool, or None.
        is_newest: Whether the token of the newest pool on the chain is meant: exactly one of the three.
        rpc_url: The chain; None = the configured one, or where a localnet listens by default.
        wants_offchain: Whether to ask the host in the token's uri, which a stranger chose.

    Raises:
        UsageError: An address is none, or the chain is no slotzero localnet.
        SlotzeroError: There is no such token or pool, or the chain cannot be asked.
    """
    if (mint is not None) + (pool is not None) + is_newest != 1:
        raise UsageError("give either a MINT, --pool ADDRESS or --newest")
    key = None if is_newest else _address(mint if mint is not None else str(pool))
    url = _loopback(rpc_url or settings.cluster.rpc_url or DEFAULT_RPC)
    async with RpcClient(url) as rpc:
        await _require_localnet(rpc)
        if key is None:
            found = await _newest_mint(rpc)
        else:
            found = key if mint is not None else await _mint_of(rpc, key)
        return await _check(rpc, found, settings, wants_offchain=wants_offchain)


async def _check(rpc: Rpc, mint: Pubkey, settings: Settings, *, wants_offchain: bool) -> CheckReport:
    pool_address = PUMPFUN.pool_address(mint)
    trader = PUMPFUN.trader(_PAYER)
    keys = [*metadata_keys(mint), pool_address, *trader.config_accounts]
    accounts = await rpc.get_multiple_accounts(keys, _COMMITMENT)
    account, _metaplex, curve, *config = accounts
    if account is None:
        raise SlotzeroError(f"{rpc.endpoint} knows no token {mint}; is it the right chain, and the mint's address?")
    profile, profile_fault = _read_profile(mint, accounts[:2])
    if account.owner not in (TOKEN_PROGRAM, TOKEN_2022_PROGRAM):
        raise SlotzeroError(f"{mint} is no token: its account is owned by {account.owner}")
    if curve is None:
        raise SlotzeroError(f"{mint} has no pool at {PUMPFUN.name}: there is no account {pool_address}")
    pool, is_complete = await _pool(rpc, mint, account, curve, profile)
    trader.configure([None if entry is None else entry.data for entry in config])

    probe = None
    if not is_complete:
        market = trader.market(pool)
        plan = plan_buy(market, pool.reserves, settings.trade)
        if not isinstance(plan, Refusal):
            await _fund(rpc, Lamports(4 * plan.limit_lamports + LAMPORTS_PER_SOL))
            probe = round_trip_probe(market, _PAYER, plan, rent=await read_rent(rpc))
    verdict = await _judge(rpc, pool, probe, settings.safety)

    offchain, offchain_fault = None, ""
    if wants_offchain:
        try:
            offchain = await fetch_offchain(pool.uri)
        except (MalformedError, TransportError) as error:
            offchain_fault = str(error)
    return CheckReport(
        pool=pool,
        is_complete=is_complete,
        verdict=verdict,
        profile=profile,
        profile_fault=profile_fault,
        offchain=offchain,
        offchain_fault=offchain_fault,
        rpc_calls=dict(rpc.calls),
    )


def _read_profile(mint: Pubkey, accounts: Sequence[AccountInfo | None]) -> tuple[TokenProfile | None, str]:
    """Metadata that cannot be read is a finding, no reason to say nothing of the rest."""
    try:
        return read_profile(mint, accounts), ""
    except MalformedError as error:
        return None, str(error)


async def _judge(rpc: Rpc, pool: NewPool, probe: RoundTripProbe | None, safety: SafetySettings) -> Verdict:
    layers = build_layers(LAYER_NAMES, max_round_trip_loss_bps=safety.max_round_trip_loss_bps)
    deeper = [name for name in LAYER_NAMES if name not in SNIPE_LAYERS]
    checker = HoneypotChecker(
        RpcReader(rpc), layers, budget_ms=_BUDGET_MS, policy=CheckPolicy(roles=dict.fromkeys(deeper, "advisory"))
    )
    return await checker.check(pool, probe)


# ---- the pool ------------------------------------------------------------------------------------------------------


async def _pool(
    rpc: Rpc, mint: Pubkey, account: AccountInfo, curve_account: AccountInfo, profile: TokenProfile | None
) -> tuple[NewPool, bool]:
    """Build the pool from its account: the creating transaction may be long gone."""
    if curve_account.owner != PUMP_PROGRAM:
        raise SlotzeroError(f"the pool of {mint} is not the venue's: its account is owned by {curve_account.owner}")
    curve = decode_curve(curve_account.data)
    if curve.creator is None:
        raise SlotzeroError(f"the pool of {mint} has the layout of 2024, which names no creator; it is not judged")
    slot, signature = await _creation(rpc, mint)
    pool = NewPool(
        venue=PUMPFUN.name,
        mint=mint,
        pool=PUMPFUN.pool_address(mint),
        creator=curve.creator,
        user=curve.creator,
        name="" if profile is None else profile.name,
        symbol="" if profile is None else profile.symbol,
        uri="" if profile is None else profile.uri,
        token_program=account.owner,
        quote_mint=curve.quote_mint,
        reserves=curve.reserves,
        token_supply=curve.token_supply,
        creator_bought=TokenAmount(0),
        creator_fee_bps=curve.creator_fee_bps,
        is_mayhem=curve.is_mayhem,
        is_cashback=curve.is_cashback,
        is_holder_reward=curve.is_holder_reward,
        signature=signature,
        slot=slot,
        mono_cause=None,
        mono_frame=MonoNs(SystemClock().mono_ns()),
        starts_at="frame",
    )
    return pool, curve.is_complete


async def _creation(rpc: Rpc, mint: Pubkey) -> tuple[Slot, str]:
    """Return where a mint's history begins; 0 and "" where the node does not know so far back."""
    try:
        past = await RpcReader(rpc).signatures(mint, _HISTORY)
    except SlotzeroError:
        return Slot(0), ""
    if not past or len(past) >= _HISTORY:
        return Slot(0), ""
    return past[-1].slot, past[-1].signature


async def _mint_of(rpc: Rpc, pool: Pubkey) -> Pubkey:
    """Find the mint of a pool: a curve does not name it, but holds its tokens and has its address from it."""
    reader = RpcReader(rpc)
    (account,) = await rpc.get_multiple_accounts([pool], _COMMITMENT)
    if account is None:
        raise SlotzeroError(f"{rpc.endpoint} knows no account {pool}; is it the right chain, and the pool's address?")
    if account.owner != PUMP_PROGRAM:
        raise SlotzeroError(f"{pool} is no pool of {PUMPFUN.name}: its account is owned by {account.owner}")
    for program in (TOKEN_2022_PROGRAM, TOKEN_PROGRAM):
        for held in await reader.token_accounts(pool, program):
            mint = parse_token_account(held.data, held.owner).mint
            # Anybody can send a curve tokens of another mint: only one has this address.
            if PUMPFUN.pool_address(mint) == pool:
                return mint
    raise SlotzeroError(f"the mint of pool {pool} cannot be found: the pool holds none of its tokens; give the MINT")


async def _newest_mint(rpc: Rpc) -> Pubkey:
    """Find what was created last: the venue's mint authority takes part in creations alone."""
    for made in await RpcReader(rpc).signatures(MINT_AUTHORITY, _NEWEST):
        record = None if made.err is not None else await rpc.get_transaction(made.signature, "confirmed")
        for balance in () if record is None else record.token_balances:
            mint = _address(balance.mint)
            if balance.owner == str(PUMPFUN.pool_address(mint)):
                return mint
    raise SlotzeroError(
        f"{rpc.endpoint} knows no pool that was created of late; start a chain with "
        "`slotzero localnet --launches-per-s 1` and wait some seconds, or give a MINT"
    )


# ---- the chain -----------------------------------------------------------------------------------------------------


async def _require_localnet(rpc: Rpc) -> None:
    try:
        version = await rpc.get_version()
    except TransportError as error:
        raise SlotzeroError(
            f"{error}; start a chain with `slotzero localnet --launches-per-s 1`, or name a running one with --rpc"
        ) from error
    if "slotzero-localnet" not in version:
        raise UsageError(f"{rpc.endpoint} is no slotzero localnet; start one with `slotzero localnet`")


async def _fund(rpc: Rpc, need: Lamports) -> None:
    """Have the faucet fill the wallet that pays in simulations."""
    clock = SystemClock()
    balance = await rpc.get_balance(_PAYER, _COMMITMENT)
    if balance >= need:
        return
    await rpc.request_airdrop(_PAYER, need)
    deadline = add_ms(clock.mono_ns(), _FUNDED_WITHIN_MS)
    while await rpc.get_balance(_PAYER, _COMMITMENT) < need:
        if is_due(deadline, clock.mono_ns()):
            raise LocalnetError("the embedded chain's faucet did not pay for the simulation")
        await asyncio.sleep(_LOOK_EVERY_S)


def _address(text: str) -> Pubkey:
    try:
        return Pubkey.from_string(text)
    except ValueError as error:
        raise UsageError(f"{text[:64]!r} is no address: expected 32 bytes in base58") from error


def _loopback(url: str) -> str:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        is_near = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_near, parts = False, urlsplit("")
    if parts.scheme not in ("http", "https") or not is_near:
        raise UsageError(f'--rpc expects a loopback address such as "{DEFAULT_RPC}", got {redacted_url(url)}')
    return url
