"""Which new pools are worth a buy. *Pure:* a pool and the settings in, a refusal or None out."""

from typing import Final

from msgspec import Struct

from slotzero.config import FiltersSettings
from slotzero.units import BPS, format_sol
from slotzero.venues.records import NewPool

__all__ = ["Filters", "Refusal"]


class Refusal(Struct, frozen=True, kw_only=True):
    """Why a pool is not bought: `reason` is a short machine word, `detail` one sentence with the values found."""

    reason: str
    detail: str


class Filters:
    """The filters of one configuration, ready to decide.

    Args:
        settings: The `[filters]` section.
    """

    def __init__(self, settings: FiltersSettings) -> None:
        self._settings: Final = settings
        self._deny_creators: Final = frozenset(settings.deny_creators)
        self._deny_symbols: Final = frozenset(symbol.casefold() for symbol in settings.deny_symbols)

    def decide(self, pool: NewPool) -> Refusal | None:
        """Return the first reason to refuse `pool`, or None. *Hot path* (about 2 us)."""
        limits = self._settings
        if pool.quote_mint is not None:
            return Refusal(reason="quote_mint", detail=f"priced in {pool.quote_mint}, not in SOL")
        if pool.is_mayhem and not limits.allow_mayhem:
            return Refusal(reason="mayhem", detail="created in mayhem mode, whose agent trades by no published formula")
        if pool.is_cashback and not limits.allow_cashback:
            return Refusal(reason="cashback", detail="pays its creator fee back to traders")
        if pool.reserves.real_quote < limits.min_liquidity_lamports:
            held, least = format_sol(pool.reserves.real_quote), format_sol(limits.min_liquidity_lamports)
            return Refusal(reason="low_liquidity", detail=f"holds {held} SOL, the least is {least}")
        if pool.creator_fee_bps > limits.max_creator_fee_bps:
            detail = f"takes {pool.creator_fee_bps} bps of each trade, the most is {limits.max_creator_fee_bps}"
            return Refusal(reason="creator_fee", detail=detail)
        if pool.creator_bought * BPS > limits.max_creator_bought_bps * pool.token_supply:
            share = pool.creator_bought * BPS // max(pool.token_supply, 1)
            detail = f"its creator bought {share} bps of the supply, the most is {limits.max_creator_bought_bps}"
            return Refusal(reason="creator_bought", detail=detail)
        return self._denied(pool)

    def _denied(self, pool: NewPool) -> Refusal | None:
        if self._deny_symbols and pool.symbol.casefold() in self._deny_symbols:
            return Refusal(reason="denied_symbol", detail=f"the symbol {pool.symbol!r} is on the deny list")
        if self._deny_creators and str(pool.creator) in self._deny_creators:
            return Refusal(reason="denied_creator", detail=f"the creator {pool.creator} is on the deny list")
        return None
