"""Coins, rivals and traps on the embedded chain, all of it decided by one seed."""

from slotzero.localnet.launcher.coins import CoinScript, script_coin
from slotzero.localnet.launcher.launcher import Launcher, LauncherConfig, LauncherStats
from slotzero.localnet.launcher.mix import CoinKind, CoinPlan, Flavour, FlavourWeights, Mix, TrapWeights, plan_coin
from slotzero.localnet.launcher.mix_file import load_mix, parse_mix

__all__ = [
    "CoinKind",
    "CoinPlan",
    "CoinScript",
    "Flavour",
    "FlavourWeights",
    "Launcher",
    "LauncherConfig",
    "LauncherStats",
    "Mix",
    "TrapWeights",
    "load_mix",
    "parse_mix",
    "plan_coin",
    "script_coin",
]
