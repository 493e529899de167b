"""The engine: one run of the sniper, and what it reports."""

from slotzero.engine.engine import Engine
from slotzero.engine.report import EngineReport, Panic

__all__ = ["Engine", "EngineReport", "Panic"]
