"""Which new pools are worth a buy. *Pure:* a pool and the settings in, a refusal or None out."""

import importlib
import inspect
import re
from collections.abc import Callable, Iterable
from typing import Final

from msgspec import Struct

from slotzero.clock import elapsed_ns, ms
from slotzero.config import FiltersSettings
from slotzero.errors import UsageError
from slotzero.units import BPS, MonoNs, format_sol
from slotzero.venues.records import NewPool

__all__ = ["FilterHook", "Filters", "Refusal", "load_hook", "market_cap_lamports"]

FilterHook = Callable[[NewPool], str | None]
"""A user's own filter: None to accept, else why not. It must be quick, and neither await nor block."""

_MAX_DETAIL: Final = 200


class Refusal(Struct, frozen=True, kw_only=True):
    """Why a pool is not bought: `reason` is a short machine word, `detail` one sentence with the values found."""

    reason: str
    detail: str


def market_cap_lamports(pool: NewPool) -> int:
    """Return the supply at the price after the creation, in the quote's smallest unit, rounded down. *Pure.*"""
    reserves = pool.reserves
    return pool.token_supply * reserves.virtual_quote // max(reserves.virtual_token, 1)


def load_hook(reference: str) -> FilterHook | None:
    """Return the function "module:function" names, or None for "". *Does I/O:* imports the module.

    Raises:
        UsageError: There is no such module or function, the module cannot be loaded, or the function is async.
    """
    if not reference:
        return None
    module, _, name = reference.partition(":")
    try:
        hook = getattr(importlib.import_module(module), name)
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        raise UsageError(f"filters.hook names {reference}, which cannot be loaded ({why}); mend it") from error
    if not callable(hook):
        raise UsageError(f"filters.hook names {reference}, which is no function")
    if inspect.iscoroutinefunction(hook):
        raise UsageError(f"filters.hook names {reference}, an async function; it must answer at once, without await")
    found: FilterHook = hook
    return found


class Filters:
    """The filters of one configuration, ready to decide.

    Args:
        settings: The `[filters]` section.
        hook: Asked last, about pools that the settings accept. What it raises refuses the pool, as "hook_failed".
    """

    def __init__(self, settings: FiltersSettings, hook: FilterHook | None = None) -> None:
        self._settings: Final = settings
        self._allow_creators: Final = frozenset(settings.allow_creators)
        self._deny_creators: Final = frozenset(settings.deny_creators)
        self._deny_symbols: Final = frozenset(symbol.casefold() for symbol in settings.deny_symbols)
        self._deny_names: Final = _compiled(settings.deny_names)
        self._require_names: Final = _compiled(settings.require_names)
        self._quotes: Final = frozenset(settings.quote_mints)
        self._hook: Final = hook

    def decide(self, pool: NewPool, now: MonoNs | None = None) -> Refusal | None:
        """Return the first reason to refuse `pool`, or None. *Hot path* (about 2 us).

        Args:
            pool: What was created.
            now: For its age; None leaves that out.
        """
        refusal = self._by_kind(pool) or self._by_money(pool) or self._by_creator(pool) or self._by_name(pool)
        if refusal is None and now is not None and self._settings.max_age_ms:
            refusal = self._by_age(pool, now)
        if refusal is None and self._hook is not None:
            refusal = self._by_hook(pool, self._hook)
        return refusal

    def _by_kind(self, pool: NewPool) -> Refusal | None:
        limits = self._settings
        quote = "SOL" if pool.quote_mint is None else str(pool.quote_mint)
        if quote not in self._quotes:
            return Refusal(reason="quote_mint", detail=f"priced in {quote}, which is not on the list of quote mints")
        if pool.quote_mint is not None:
            return Refusal(reason="quote_mint", detail=f"priced in {quote}; only pools priced in SOL can be traded yet")
        if pool.is_mayhem and not limits.allow_mayhem:
            return Refusal(reason="mayhem", detail="created in mayhem mode, whose agent trades by no published formula")
        if pool.is_cashback and not limits.allow_cashback:
            return Refusal(reason="cashback", detail="pays its creator fee back to traders")
        return None

    def _by_money(self, pool: NewPool) -> Refusal | None:
        limits, held = self._settings, pool.reserves.real_quote
        if held < limits.min_liquidity_lamports:
            least = format_sol(limits.min_liquidity_lamports)
            return Refusal(reason="low_liquidity", detail=f"holds {format_sol(held)} SOL, the least is {least}")
        if 0 < limits.max_liquidity_lamports < held:
            most = format_sol(limits.max_liquidity_lamports)
            return Refusal(reason="high_liquidity", detail=f"holds {format_sol(held)} SOL, the most is {most}")
        if not (limits.min_market_cap_lamports or limits.max_market_cap_lamports):
            return None
        cap = market_cap_lamports(pool)
        if cap < limits.min_market_cap_lamports:
            least = format_sol(limits.min_market_cap_lamports)
            return Refusal(reason="low_market_cap", detail=f"is worth {format_sol(cap)} SOL, the least is {least}")
        if 0 < limits.max_market_cap_lamports < cap:
            most = format_sol(limits.max_market_cap_lamports)
            return Refusal(reason="high_market_cap", detail=f"is worth {format_sol(cap)} SOL, the most is {most}")
        return None

    def _by_creator(self, pool: NewPool) -> Refusal | None:
        limits = self._settings
        if pool.creator_fee_bps > limits.max_creator_fee_bps:
            detail = f"takes {pool.creator_fee_bps} bps of each trade, the most is {limits.max_creator_fee_bps}"
            return Refusal(reason="creator_fee", detail=detail)
        bought = pool.creator_bought * BPS
        share = bought // max(pool.token_supply, 1)
        if bought > limits.max_creator_bought_bps * pool.token_supply:
            detail = f"its creator bought {share} bps of the supply, the most is {limits.max_creator_bought_bps}"
            return Refusal(reason="creator_bought", detail=detail)
        if bought < limits.min_creator_bought_bps * pool.token_supply:
            detail = f"its creator bought {share} bps of the supply, the least is {limits.min_creator_bought_bps}"
            return Refusal(reason="creator_bought", detail=detail)
        creator = str(pool.creator) if self._deny_creators or self._allow_creators else ""
        if creator in self._deny_creators:
            return Refusal(reason="denied_creator", detail=f"the creator {creator} is on the deny list")
        if self._allow_creators and creator not in self._allow_creators:
            return Refusal(reason="denied_creator", detail=f"the creator {creator} is not on the allow list")
        return None

    def _by_name(self, pool: NewPool) -> Refusal | None:
        if self._deny_symbols and pool.symbol.casefold() in self._deny_symbols:
            return Refusal(reason="denied_symbol", detail=f"the symbol {pool.symbol!r} is on the deny list")
        if (pattern := _first_found(self._deny_names, pool)) is not None:
            detail = f"{pattern!r} is found in the name {pool.name!r} or the symbol {pool.symbol!r}"
            return Refusal(reason="denied_name", detail=detail)
        if self._require_names and _first_found(self._require_names, pool) is None:
            detail = f"nothing that is required is found in the name {pool.name!r} or the symbol {pool.symbol!r}"
            return Refusal(reason="denied_name", detail=detail)
        if (self._settings.require_uri or self._settings.require_socials) and not pool.uri:
            return Refusal(reason="no_uri", detail="names no metadata document")
        return None

    def _by_age(self, pool: NewPool, now: MonoNs) -> Refusal | None:
        age_ns, most = elapsed_ns(pool.mono_frame, now), self._settings.max_age_ms
        if age_ns <= ms(most):
            return None
        return Refusal(reason="too_old", detail=f"was told of {age_ns // ms(1)} ms ago, the most is {most} ms")

    @staticmethod
    def _by_hook(pool: NewPool, hook: FilterHook) -> Refusal | None:
        try:
            why = hook(pool)
        except Exception as error:  # noqa: BLE001 a user's code: what it raises must not end the run, nor let a pool in
            return Refusal(
                reason="hook_failed", detail=f"the hook raised {type(error).__name__}: {error}"[:_MAX_DETAIL]
            )
        return None if why is None else Refusal(reason="hook", detail=str(why)[:_MAX_DETAIL])


def _compiled(patterns: Iterable[str]) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(pattern, re.IGNORECASE) for pattern in patterns)


def _first_found(patterns: Iterable[re.Pattern[str]], pool: NewPool) -> str | None:
    for pattern in patterns:
        if pattern.search(pool.name) or pattern.search(pool.symbol):
            return pattern.pattern
    return None
