"""Feeds into new pools: find creations, check who emitted them, tell duplicates; replay what was stored."""

from slotzero.detection.detector import Detector
from slotzero.detection.records import DetectorStats, DropReason, PoolTrade, ReplayReport
from slotzero.detection.replay import Replay, replay_file
from slotzero.detection.trades import decode_trades

__all__ = [
    "Detector",
    "DetectorStats",
    "DropReason",
    "PoolTrade",
    "Replay",
    "ReplayReport",
    "decode_trades",
    "replay_file",
]
