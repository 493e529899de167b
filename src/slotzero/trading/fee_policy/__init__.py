"""Fees: how many compute units to request, what to offer for them, what to tip, and why."""

from slotzero.trading.fee_policy.policy import FeePolicy, SendOutcome
from slotzero.trading.fee_policy.prices import FeeMarket, PriceWindow
from slotzero.trading.fee_policy.records import (
    NO_VARIATION,
    Expectation,
    ExpiredSend,
    FeeChoice,
    FeeRequest,
    FeeRules,
    FeeVariation,
    Purpose,
    TipFloor,
    TipPercentile,
    TransactionKind,
    UnitKey,
    expired_send,
)
from slotzero.trading.fee_policy.unit_table import UnitTable

__all__ = [
    "NO_VARIATION",
    "Expectation",
    "ExpiredSend",
    "FeeChoice",
    "FeeMarket",
    "FeePolicy",
    "FeeRequest",
    "FeeRules",
    "FeeVariation",
    "PriceWindow",
    "Purpose",
    "SendOutcome",
    "TipFloor",
    "TipPercentile",
    "TransactionKind",
    "UnitKey",
    "UnitTable",
    "expired_send",
]
