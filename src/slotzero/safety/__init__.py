"""Is the token a honeypot? Layers of evidence, one verdict."""

from slotzero.safety.cache import AccountGuard, PubSubGuard, VerdictCache, VerdictCacheStats
from slotzero.safety.catalogue import LAYER_NAMES, SNIPE_LAYERS, LayerName, build_layers
from slotzero.safety.creator_history import CreatorHistoryLayer, CreatorHistoryPolicy
from slotzero.safety.holders import HolderPolicy, HoldersLayer
from slotzero.safety.honeypot import Check, Checker, HoneypotChecker, RunningCheck, first_layers
from slotzero.safety.layers import CheckContext, Layer, MintFactsLayer, NotAvailableError, RoundTripLayer
from slotzero.safety.liquidity import LiquidityLayer, LiquidityPolicy
from slotzero.safety.mint_facts import MINT_POLICIES, STRICT_POLICY, MintPolicy
from slotzero.safety.reader import (
    AccountView,
    ChainReader,
    HistoryReader,
    HolderReader,
    RoundTripProbe,
    SignatureView,
    SimulationView,
)
from slotzero.safety.records import CheckPolicy, Decision, Evidence, Role, Verdict, combine
from slotzero.safety.rpc_reader import RpcReader

__all__ = [
    "LAYER_NAMES",
    "MINT_POLICIES",
    "SNIPE_LAYERS",
    "STRICT_POLICY",
    "AccountGuard",
    "AccountView",
    "ChainReader",
    "Check",
    "CheckContext",
    "CheckPolicy",
    "Checker",
    "CreatorHistoryLayer",
    "CreatorHistoryPolicy",
    "Decision",
    "Evidence",
    "HistoryReader",
    "HolderPolicy",
    "HolderReader",
    "HoldersLayer",
    "HoneypotChecker",
    "Layer",
    "LayerName",
    "LiquidityLayer",
    "LiquidityPolicy",
    "MintFactsLayer",
    "MintPolicy",
    "NotAvailableError",
    "PubSubGuard",
    "Role",
    "RoundTripLayer",
    "RoundTripProbe",
    "RpcReader",
    "RunningCheck",
    "SignatureView",
    "SimulationView",
    "Verdict",
    "VerdictCache",
    "VerdictCacheStats",
    "build_layers",
    "combine",
    "first_layers",
]
