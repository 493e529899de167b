"""FULL_FLOW, its own time: from the frame of a creation to the signed buy."""

from collections.abc import Callable
from itertools import cycle

from slotzero.config import Settings
from slotzero.detection.detector import Detector
from slotzero.solana.transaction import compute_budget, sign
from slotzero.trading.filters import Filters
from slotzero.trading.plan import BuyPlan, plan_buy
from slotzero.units import MonoNs
from slotzero.venues.registry import PUMPFUN

from .scene import blockhash, creations, signer, trader

__all__ = ["build"]


def build() -> Callable[[], object]:
    """Detect, filter, plan and sign one coin after the other."""
    settings, recent, wallet, venue = Settings(), blockhash(), signer(), trader()
    detector, filters = Detector([PUMPFUN], remembered=1), Filters(settings.filters)
    limit, price = settings.fees.buy_unit_limit, settings.fees.unit_price_microlamports_per_cu
    following = cycle(creations()).__next__

    def snipe() -> None:
        (pool,) = detector.on_frame(following(), MonoNs(0))
        assert filters.decide(pool) is None
        there = venue.market(pool)
        plan = plan_buy(there, pool.reserves, settings.trade)
        assert isinstance(plan, BuyPlan)
        sign(wallet, [*compute_budget(limit, price), *there.buy(plan.tokens, plan.limit_lamports)], recent)

    return snipe
