"""EXECUTION, its own time: from the plan to the signed buy."""

from collections.abc import Callable
from itertools import cycle

from slotzero.config import Settings
from slotzero.solana.transaction import compute_budget, sign
from slotzero.trading.plan import BuyPlan, plan_buy

from .scene import COINS, blockhash, market, signer

__all__ = ["build"]


def build() -> Callable[[], object]:
    """Build and sign the buy of one coin after the other."""
    settings, recent, wallet = Settings(), blockhash(), signer()
    planned = []
    for number in range(COINS):
        there = market(number)
        plan = plan_buy(there, there.pool.reserves, settings.trade)
        assert isinstance(plan, BuyPlan)
        planned.append((there, plan))
    limit, price = settings.fees.buy_unit_limit, settings.fees.unit_price_microlamports_per_cu
    following = cycle(planned).__next__

    def execute() -> None:
        there, plan = following()
        sign(wallet, [*compute_budget(limit, price), *there.buy(plan.tokens, plan.limit_lamports)], recent)

    return execute
