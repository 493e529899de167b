"""PRIVACY: a plan, varied in size, delay, fees and wallet."""

from collections.abc import Callable
from random import Random

from slotzero.trading.privacy import Privacy, PrivacyRules
from slotzero.units import Lamports

from .keys import key

__all__ = ["build"]


def build() -> Callable[[], object]:
    """Vary an entry of one of 16 wallets."""
    privacy = Privacy(PrivacyRules(entry_jitter_ms=20), Random(7))  # noqa: S311 the same every time
    wallets, stake = [key(number) for number in range(16)], Lamports(100_000_000)
    return lambda: privacy.plan("entry", stake, wallets)
