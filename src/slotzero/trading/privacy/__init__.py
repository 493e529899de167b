"""Privacy: variations against copiers, and what remains visible on chain."""

from slotzero.trading.privacy.linkability import (
    Finding,
    FindingKind,
    LinkabilityReport,
    LinkabilityRules,
    WalletTransaction,
    linkability_report,
)
from slotzero.trading.privacy.machine import (
    DelayCost,
    Privacy,
    PrivacyPlan,
    PrivacyRules,
    PrivatePurpose,
    WalletChoice,
)

__all__ = [
    "DelayCost",
    "Finding",
    "FindingKind",
    "LinkabilityReport",
    "LinkabilityRules",
    "Privacy",
    "PrivacyPlan",
    "PrivacyRules",
    "PrivatePurpose",
    "WalletChoice",
    "WalletTransaction",
    "linkability_report",
]
