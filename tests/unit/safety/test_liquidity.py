"""Is there money in the pool, is it the pool that was announced, does it still trade."""

import msgspec
import pytest

from market_lab import LAUNCH, account, coin, curve_bytes, key, moved
from slotzero.safety import Evidence, LiquidityPolicy
from slotzero.safety.liquidity import judge_liquidity
from slotzero.solana.addresses import SYSTEM_PROGRAM, WSOL_MINT
from slotzero.units import BasisPoints, Lamports
from slotzero.venues.pumpfun import PUMP_PROGRAM
from slotzero.venues.records import NewPool, Reserves

POOL = coin()
BOUGHT = coin(reserves=moved(LAUNCH, 4 * 10**9))


def judged(
    now: Reserves | None = None,
    *,
    pool: NewPool = POOL,
    policy: LiquidityPolicy | None = None,
    is_complete: bool = False,
    lamports: int = 10**12,
) -> list[tuple[str, str]]:
    data = curve_bytes(pool, now, is_complete=is_complete)
    found = judge_liquidity(account(data, PUMP_PROGRAM, lamports), pool, policy or LiquidityPolicy())
    return [(item.decision, item.reason) for item in found]


def reasons(found: tuple[Evidence, ...]) -> list[tuple[str, str]]:
    return [(item.decision, item.reason) for item in found]


@pytest.mark.parametrize("lamports", [0, 1, 10**9, 84 * 10**9])
def test_curve_after_honest_buys_passes(lamports: int) -> None:
    assert judged(moved(LAUNCH, lamports)) == [("ALLOW", "passed")]


def test_figures_stand_in_the_detail() -> None:
    (found,) = judge_liquidity(account(curve_bytes(POOL, moved(LAUNCH, 5)), PUMP_PROGRAM), POOL)
    assert found.detail.startswith("5 lamports and ")


def test_complete_curve_is_denied() -> None:
    assert judged(is_complete=True) == [("DENY", "complete")]


def test_pool_that_is_not_there_yet_is_unsure() -> None:
    assert reasons(judge_liquidity(None, POOL)) == [("UNSURE", "pool_missing")]


def test_pool_of_another_program_is_denied() -> None:
    found = judge_liquidity(account(curve_bytes(POOL), SYSTEM_PROGRAM), POOL)
    assert reasons(found) == [("DENY", "pool_owner")]


def test_bytes_that_are_no_curve_are_denied() -> None:
    assert reasons(judge_liquidity(account(b"x" * 151, PUMP_PROGRAM), POOL)) == [("DENY", "pool_malformed")]


def test_venue_nobody_here_knows_is_unsure() -> None:
    found = judge_liquidity(account(b"", PUMP_PROGRAM), coin(venue="elsewhere"))
    assert reasons(found) == [("UNSURE", "venue_unknown")]


@pytest.mark.parametrize(
    "change",
    [
        {"creator": key(77)},
        {"token_supply": 5},
        {"quote_mint": key(78)},
        {"creator_fee_bps": 9},
        {"is_mayhem": True},
        {"is_cashback": True},
    ],
)
def test_pool_that_is_not_as_announced_is_denied(change: dict[str, object]) -> None:
    announced = msgspec.structs.replace(POOL, **change)
    found = judge_liquidity(account(curve_bytes(POOL), PUMP_PROGRAM), announced)
    assert ("DENY", "pool_inconsistent") in reasons(found)


def test_wrapped_sol_is_sol() -> None:
    assert judged(pool=coin(quote_mint=WSOL_MINT)) == [("ALLOW", "passed")]


def test_reserves_no_trade_explains_are_denied() -> None:
    shifted = msgspec.structs.replace(LAUNCH, real_quote=1)
    shrunk = Reserves(
        virtual_token=LAUNCH.virtual_token - 10**12,
        virtual_quote=LAUNCH.virtual_quote,
        real_token=LAUNCH.real_token - 10**12,
        real_quote=LAUNCH.real_quote,
    )
    assert judged(shifted) == [("DENY", "pool_inconsistent")]
    assert judged(shrunk) == [("DENY", "pool_inconsistent")]
    assert judged(shrunk, pool=coin(is_mayhem=True)) == [("ALLOW", "passed")]


def test_money_that_is_not_there_is_denied() -> None:
    assert judged(moved(LAUNCH, 10**9), lamports=10**9 - 1) == [("DENY", "quote_not_backed")]


def test_too_little_money_is_denied() -> None:
    policy = LiquidityPolicy(min_quote_lamports=Lamports(10**9))
    assert judged(moved(LAUNCH, 10**9 - 1), policy=policy) == [("DENY", "liquidity_low")]
    assert judged(moved(LAUNCH, 10**9), policy=policy) == [("ALLOW", "passed")]


def test_money_taken_out_since_the_creation_is_denied_beyond_the_limit() -> None:
    policy = LiquidityPolicy(max_drained_bps=BasisPoints(2_500))
    assert judged(moved(LAUNCH, 3 * 10**9), pool=BOUGHT, policy=policy) == [("ALLOW", "passed")]
    assert judged(moved(LAUNCH, 3 * 10**9 - 1), pool=BOUGHT, policy=policy) == [("DENY", "liquidity_drained")]


def test_quote_that_is_not_sol_is_unsure() -> None:
    assert judged(pool=coin(quote_mint=key(78))) == [("UNSURE", "quote_not_read")]
