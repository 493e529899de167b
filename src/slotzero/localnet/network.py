"""What lies between a client and the chain, by name: the plans that `--network` gives to every port.

The figures are choices, not measurements of a provider: `regional` is a paid endpoint in the same region on a quiet
day; `congested` is a launch everybody wants, with sends that get lost, limits that are reached, and delays of up to a
slot and more. The direct port has none of it: who drives or judges the chain must not be slowed down by what it tests.
"""

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from slotzero.localnet.faults import FaultPlan, Latency, Portion, RateLimit

__all__ = ["NETWORKS", "NetworkName"]

NetworkName: TypeAlias = Literal["none", "regional", "congested"]

NETWORKS: Final[Mapping[NetworkName, FaultPlan]] = {
    "none": FaultPlan(),
    "regional": FaultPlan(latency=Latency(p50_us=3_000, p99_us=12_000)),
    "congested": FaultPlan(
        latency=Latency(p50_us=20_000, p99_us=120_000),
        drop_sends=Portion(share_bps=1_500),
        http_429=RateLimit(share_bps=100, retry_after_s=1),
    ),
}
