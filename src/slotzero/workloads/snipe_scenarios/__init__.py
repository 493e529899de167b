"""The load scenarios: real snipes, with chain, bot and driver in processes of their own."""

from slotzero.workloads.snipe_scenarios.catalogue import SCENARIOS

__all__ = ["SCENARIOS"]
