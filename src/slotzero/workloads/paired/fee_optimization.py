"""FEE_OPTIMIZATION: unit limit, unit price and tip chosen."""

from collections.abc import Callable
from itertools import count
from random import Random

from slotzero.trading.fee_policy import Expectation, FeeChoice, FeePolicy, FeeRequest, FeeRules, TipFloor
from slotzero.units import ComputeUnits, Lamports, MonoNs

from .keys import key

__all__ = ["build"]


def build() -> Callable[[], object]:
    """Choose for an entry on four hot accounts, each with a full window of prices."""
    draw = Random(7)  # noqa: S311 the same every time
    policy = FeePolicy(FeeRules(), {("pumpfun", "first_buy"): ComputeUnits(160_000)})
    accounts = tuple(key(number) for number in range(4))
    for index in range(4_096):
        policy.market.on_landed(accounts[index % 4], index // 50, int(draw.lognormvariate(11.5, 1)))
        policy.units.observe(("pumpfun", "first_buy"), int(draw.gauss(95_000, 4_000)))
        policy.on_outcome(draw.choice(("landed", "landed", "failed", "expired")))
    policy.market.on_floors((slot, 500) for slot in range(150))
    tips = [Lamports(lamports) for lamports in (5_000, 20_000, 60_000, 400_000, 2_000_000)]
    policy.on_tip_floor(TipFloor(at=MonoNs(0), p25=tips[0], p50=tips[1], p75=tips[2], p95=tips[3], p99=tips[4]))
    for index in range(5_000):
        policy.charge(1_000, MonoNs(index))
    request = FeeRequest(
        venue="pumpfun",
        kind="first_buy",
        purpose="entry",
        hot_accounts=accounts,
        stake_lamports=Lamports(100_000_000),
        takes_tip=True,
        min_tip_lamports=Lamports(1_000),
        expectation=Expectation(
            gain_lamports=Lamports(25_000_000), chance_bps=3_000, exit_fee_lamports=Lamports(20_000)
        ),
    )
    times = count(10_000)
    assert isinstance(policy.choose(request, MonoNs(next(times))), FeeChoice)
    return lambda: policy.choose(request, MonoNs(next(times)))
