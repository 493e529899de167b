"""EXIT, its own time: from the trigger to the signed sell."""

from collections.abc import Callable
from itertools import cycle

from slotzero.config import Settings
from slotzero.solana.transaction import compute_budget, sign
from slotzero.trading.plan import SellPlan, plan_sell
from slotzero.units import Lamports, TokenAmount

from .scene import COINS, account_data, blockhash, market, signer

__all__ = ["build"]

_HELD = TokenAmount(3_000_000_000_000)


def build() -> Callable[[], object]:
    """Price, build and sign the sell of one coin after the other."""
    settings, recent, wallet = Settings(), blockhash(), signer()
    states = []
    for number in range(COINS):
        there = market(number)
        traded = there.decode_state(account_data(there.pool, bought=Lamports(10**9)))
        states.append((there, traded.reserves))
    limit, price = settings.fees.buy_unit_limit, settings.fees.unit_price_microlamports_per_cu
    following, slippage = cycle(states).__next__, int(settings.trade.exit_slippage_bps)

    def leave() -> None:
        there, reserves = following()
        plan = plan_sell(there, reserves, _HELD, slippage)
        assert isinstance(plan, SellPlan)
        steps = [*compute_budget(limit, price), *there.sell(_HELD, plan.limit_lamports, closes_account=True)]
        sign(wallet, steps, recent)

    return leave
