"""The layer that judges the pool itself: is there money in it, is it the pool that was announced, does it still trade.

Judged from the pool's account alone, which the check reads anyway: no further call. *Pure.*

**A curve is consistent** with its creation when everything that never changes is the same (creator, supply, quote, the
flags), when the constant between virtual and real reserves is, and when the product of the virtual reserves has not
fallen: trades round in the curve's favour, so it only grows. A mayhem coin's own agent trades by no published formula,
so the product of such a coin is not judged. A pool built from its present state (a check by hand) is consistent with
itself: then this part says nothing.

**What it does not prove.** That the liquidity stays: on a curve everybody may sell what they bought, and what the
creator holds is judged by `holders`. A quote other than SOL lies in a token account that is not read here: UNSURE.
"""

from collections.abc import Callable, Mapping
from typing import ClassVar, Final

from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.errors import MalformedError
from slotzero.safety.layers import CheckContext
from slotzero.safety.reader import AccountView
from slotzero.safety.records import Decision, Evidence
from slotzero.solana.addresses import WSOL_MINT
from slotzero.units import BPS, BasisPoints, Lamports, TokenAmount
from slotzero.venues import pumpfun
from slotzero.venues.records import NewPool, Reserves

__all__ = ["LAYER", "LiquidityLayer", "LiquidityPolicy", "judge_liquidity"]

LAYER: Final = "liquidity"


class LiquidityPolicy(Struct, frozen=True, kw_only=True):
    """What a pool must hold.

    Attributes:
        min_quote_lamports: The least real quote reserve. A coin nobody has bought yet has none.
        max_drained_bps: How much of the real quote reserve at its creation may be gone.
    """

    min_quote_lamports: Lamports = Lamports(0)
    max_drained_bps: BasisPoints = BasisPoints(5_000)


class _State(Struct, frozen=True, kw_only=True):
    """A pool's account in the words of `NewPool`."""

    reserves: Reserves
    token_supply: TokenAmount
    is_complete: bool
    creator: Pubkey | None
    quote_mint: Pubkey | None
    creator_fee_bps: int
    is_mayhem: bool
    is_cashback: bool


class _Venue(Struct, frozen=True, kw_only=True):
    program: Pubkey
    decode: Callable[[bytes], _State]


def _pumpfun(data: bytes) -> _State:
    curve = pumpfun.decode_curve(data)
    return _State(
        reserves=curve.reserves,
        token_supply=curve.token_supply,
        is_complete=curve.is_complete,
        creator=curve.creator,
        quote_mint=curve.quote_mint,
        creator_fee_bps=curve.creator_fee_bps,
        is_mayhem=curve.is_mayhem,
        is_cashback=curve.is_cashback,
    )


_VENUES: Final[Mapping[str, _Venue]] = {"pumpfun": _Venue(program=pumpfun.PUMP_PROGRAM, decode=_pumpfun)}


class LiquidityLayer:
    """Liquidity facts, from the account every check reads.

    Args:
        policy: What a pool must hold.
    """

    name: ClassVar[str] = LAYER
    is_facts: ClassVar[bool] = True

    def __init__(self, policy: LiquidityPolicy = LiquidityPolicy()) -> None:  # noqa: B008 a frozen record
        self._policy = policy

    def keys(self, pool: NewPool) -> tuple[Pubkey, ...]:
        """Return the pool account."""
        return (pool.pool,)

    async def run(self, context: CheckContext) -> tuple[Evidence, ...]:
        """Read the pool's account and judge it."""
        return judge_liquidity(await context.account(context.pool.pool), context.pool, self._policy)


def judge_liquidity(
    account: AccountView | None,
    pool: NewPool,
    policy: LiquidityPolicy = LiquidityPolicy(),  # noqa: B008 likewise
) -> tuple[Evidence, ...]:
    """Judge a pool's account by what stands in it. *Pure.* About 10 us.

    Args:
        account: As it is now, or None where the node knows none.
        pool: As it was announced.
        policy: What it must hold.

    Returns:
        Every objection found, or a single "passed" with the figures. A pool that is not there is UNSURE (the node may
        lag behind the feed).
    """
    venue = _VENUES.get(pool.venue)
    if venue is None:
        return (_evidence("UNSURE", "venue_unknown", f"nothing here can read a pool of {pool.venue}"),)
    if account is None:
        return (_evidence("UNSURE", "pool_missing", f"the node does not know the pool account {pool.pool} yet"),)
    if account.owner != venue.program:
        told = f"the pool account is owned by {account.owner}, not by {venue.program}"
        return (_evidence("DENY", "pool_owner", told),)
    try:
        state = venue.decode(account.data)
    except MalformedError as error:
        return (_evidence("DENY", "pool_malformed", str(error)),)
    found = [*_judge_identity(state, pool), *_judge_reserves(state, pool), *_judge_money(state, account, pool, policy)]
    return tuple(found) or (_passed(state.reserves),)


def _judge_identity(state: _State, pool: NewPool) -> list[Evidence]:
    """Look for a difference in what cannot change."""
    found = (
        [] if not state.is_complete else [_evidence("DENY", "complete", "the pool is complete: it trades elsewhere")]
    )
    pairs: tuple[tuple[str, object, object], ...] = (
        ("creator", state.creator, pool.creator),
        ("supply", state.token_supply, pool.token_supply),
        ("quote mint", _quote(state.quote_mint), _quote(pool.quote_mint)),
        ("creator fee", state.creator_fee_bps, pool.creator_fee_bps),
        ("mayhem mode", state.is_mayhem, pool.is_mayhem),
        ("cashback", state.is_cashback, pool.is_cashback),
    )
    for name, now, announced in pairs:
        if now != announced:
            told = f"the pool's {name} is {now}, {announced} was announced"
            found.append(_evidence("DENY", "pool_inconsistent", told))
    return found


def _quote(mint: Pubkey | None) -> Pubkey | None:
    """A curve says SOL in two ways."""
    return None if mint == WSOL_MINT else mint


def _judge_reserves(state: _State, pool: NewPool) -> list[Evidence]:
    now, then = state.reserves, pool.reserves
    gaps_now = now.virtual_token - now.real_token, now.virtual_quote - now.real_quote
    gaps_then = then.virtual_token - then.real_token, then.virtual_quote - then.real_quote
    if gaps_now != gaps_then:
        told = f"virtual and real reserves differ by {gaps_now} now and by {gaps_then} at the creation"
        return [_evidence("DENY", "pool_inconsistent", told)]
    product_now, product_then = now.virtual_token * now.virtual_quote, then.virtual_token * then.virtual_quote
    if product_now < product_then and not state.is_mayhem:
        told = f"the product of the reserves fell from {product_then} to {product_now}, which no trade does"
        return [_evidence("DENY", "pool_inconsistent", told)]
    return []


def _judge_money(state: _State, account: AccountView, pool: NewPool, policy: LiquidityPolicy) -> list[Evidence]:
    real, then = state.reserves.real_quote, pool.reserves.real_quote
    if _quote(state.quote_mint) is not None:
        told = f"the pool is priced in {state.quote_mint}; what it really holds is not read here"
        return [_evidence("UNSURE", "quote_not_read", told)]
    if account.lamports < real and not state.is_complete:
        told = f"the pool says it holds {real} lamports, its account has {account.lamports}"
        return [_evidence("DENY", "quote_not_backed", told)]
    found = []
    if real < policy.min_quote_lamports:
        told = f"the pool holds {real} lamports, at least {policy.min_quote_lamports} are asked for"
        found.append(_evidence("DENY", "liquidity_low", told))
    if real * BPS < then * (BPS - policy.max_drained_bps):
        told = f"the pool held {then} lamports at its creation and holds {real} now"
        found.append(_evidence("DENY", "liquidity_drained", told))
    return found


def _passed(reserves: Reserves) -> Evidence:
    told = f"{reserves.real_quote} lamports and {reserves.real_token} tokens are in the pool, as its trades explain"
    return _evidence("ALLOW", "passed", told)


def _evidence(decision: Decision, reason: str, detail: str) -> Evidence:
    return Evidence(layer=LAYER, decision=decision, reason=reason, detail=detail)
