"""Settings: the table of sections, and the TOML file they are read from and written to."""

from slotzero.config.document import as_document, json_schema, load, parse, redacted, render
from slotzero.config.forms import is_loopback
from slotzero.config.sections import (
    ClusterSettings,
    ExitsSettings,
    FeesSettings,
    FiltersSettings,
    Gate,
    JournalSettings,
    LimitsSettings,
    LocalnetSettings,
    OrdersSettings,
    PaperSettings,
    PrivacySettings,
    RugSettings,
    SafetySettings,
    Settings,
    TradeSettings,
    WalletsSettings,
)

__all__ = [
    "ClusterSettings",
    "ExitsSettings",
    "FeesSettings",
    "FiltersSettings",
    "Gate",
    "JournalSettings",
    "LimitsSettings",
    "LocalnetSettings",
    "OrdersSettings",
    "PaperSettings",
    "PrivacySettings",
    "RugSettings",
    "SafetySettings",
    "Settings",
    "TradeSettings",
    "WalletsSettings",
    "as_document",
    "is_loopback",
    "json_schema",
    "load",
    "parse",
    "redacted",
    "render",
]
