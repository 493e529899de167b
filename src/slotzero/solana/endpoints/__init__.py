"""Several endpoints of one cluster, used as one."""

from slotzero.solana.endpoints.breaker import Breaker, BreakerRules, BreakerState, Permit, Transition
from slotzero.solana.endpoints.health import FailureKind, Health
from slotzero.solana.endpoints.limits import Limiter, Limits, MethodClass, TokenBucket, method_class
from slotzero.solana.endpoints.pool import EndpointPool
from slotzero.solana.endpoints.records import EndpointSpec, EndpointStats
from slotzero.solana.endpoints.witness import Proof, Witness

__all__ = [
    "Breaker",
    "BreakerRules",
    "BreakerState",
    "EndpointPool",
    "EndpointSpec",
    "EndpointStats",
    "FailureKind",
    "Health",
    "Limiter",
    "Limits",
    "MethodClass",
    "Permit",
    "Proof",
    "TokenBucket",
    "Transition",
    "Witness",
    "method_class",
]
