"""Is the token a honeypot? Layers of evidence, one verdict."""

from slotzero.safety.honeypot import HoneypotChecker, RunningCheck, first_layers
from slotzero.safety.layers import CheckContext, Layer, MintFactsLayer, RoundTripLayer
from slotzero.safety.mint_facts import MINT_POLICIES, STRICT_POLICY, MintPolicy
from slotzero.safety.reader import AccountView, ChainReader, RoundTripProbe, SimulationView
from slotzero.safety.records import Decision, Evidence, Verdict, combine

__all__ = [
    "MINT_POLICIES",
    "STRICT_POLICY",
    "AccountView",
    "ChainReader",
    "CheckContext",
    "Decision",
    "Evidence",
    "HoneypotChecker",
    "Layer",
    "MintFactsLayer",
    "MintPolicy",
    "RoundTripLayer",
    "RoundTripProbe",
    "RunningCheck",
    "SimulationView",
    "Verdict",
    "combine",
    "first_layers",
]
