"""A run as a document: what `slotzero run --json` prints.

The keys named in the command-line contract are fixed; others may be added, never removed.
"""

import platform
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import msgspec

from slotzero import __version__
from slotzero.clock import as_ms
from slotzero.engine import EngineReport
from slotzero.perf.stats import Percentiles, percentiles
from slotzero.trace import Component
from slotzero.trading.journal import PositionRecord
from slotzero.units import DurationNs
from slotzero.workloads.bot_run import BotRun

__all__ = ["SCHEMA", "latencies", "run_document"]

SCHEMA: Final = "slotzero.run/1"
_LIBRARIES: Final = ("solders", "uvloop", "picows", "aiohttp", "msgspec", "PyNaCl")


def latencies(report: EngineReport) -> dict[Component, tuple[Percentiles, Percentiles | None]]:
    """Return whole and own time in milliseconds of each component the run went through. *Pure.*

    Own time is None where it is not told apart (the honeypot's layers run beside the snipe's line).
    """
    result: dict[Component, tuple[Percentiles, Percentiles | None]] = {}
    for component in Component:
        spans = [span for span in report.spans if span.component is component]
        whole = _ms(span.total_ns for span in spans)
        own = _ms(span.own_ns for span in spans if span.own_ns is not None)
        if (timed := report.timings.get(component)) is not None:
            whole = own = _ms(timed)
        if whole is not None:
            result[component] = (whole, own)
    return result


def run_document(run: BotRun) -> dict[str, object]:
    """Return the document of a finished run, ready to be encoded as JSON. *Pure.*"""
    report = run.report
    figures = latencies(report)
    return {
        "schema": SCHEMA,
        "environment": _environment(run),
        "snipes": {
            "detected": report.detected,
            "rejected": report.rejected,
            "bought": report.bought,
            "closed": report.closed,
            "failed": sum(report.failed.values()),
            "failures": report.failed,
            "recovered": report.recovered,
        },
        "refusals": [
            {"mint": str(item.pool.mint), "symbol": item.pool.symbol, "reason": item.reason, "detail": item.detail}
            for item in report.refusals
        ],
        "differences": [
            {
                "kind": item.kind,
                "wallet": str(item.wallet),
                "mint": None if item.mint is None else str(item.mint),
                "journal_tokens": item.journal_tokens,
                "chain_tokens": item.chain_tokens,
                "detail": item.detail,
            }
            for item in report.differences
        ],
        "pnl": {"run_lamports": run.pnl_lamports, "all_runs_lamports": run.all_runs_lamports},
        "positions": [_position(position, run) for position in report.positions],
        "older_positions": {"closed": report.forgotten_positions, "pnl_lamports": report.forgotten_pnl_lamports},
        "latency_ms": {component.value: _figures(whole) for component, (whole, _) in figures.items()},
        "own_ms": {component.value: _figures(own) for component, (_, own) in figures.items() if own is not None},
        "rug_alerts": [
            {
                "mint": str(item.mint),
                "signal": item.alert.signal,
                "act": item.alert.act,
                "detail": item.alert.detail,
            }
            for item in report.alerts
        ],
        "wallets": [
            {
                "address": str(standing.wallet),
                "balance_lamports": standing.balance,
                "uses": standing.uses,
                "at_risk_lamports": standing.at_risk_lamports,
            }
            for standing in report.wallets
        ],
        "limits": msgspec.to_builtins(report.limits),
        "admission": msgspec.to_builtins(report.admission),
        "loop_delay_ms": {
            "p50": report.loop_delay.p50_ms,
            "p99": report.loop_delay.p99_ms,
            "max": report.loop_delay.max_ms,
            "over_5_ms": report.loop_delay.over_5_ms,
            "probes": report.loop_delay.probes,
        },
        "privacy_delay_ms": {
            cost.purpose: {"count": cost.count, "total": as_ms(cost.total_ns), "longest": as_ms(cost.longest_ns)}
            for cost in report.privacy_delays
        },
        "account_reads": {
            "asked": report.reads.asked,
            "streamed": report.reads.streamed,
            "cached": report.reads.cached,
            "merged": report.reads.merged,
            "calls": report.reads.calls,
            "without_rpc_percent": report.reads.without_rpc_bps / 100,
        },
        "wallet": {
            "address": str(report.wallet),
            "start_lamports": run.start.lamports,
            "end_lamports": run.end_lamports,
            "change_lamports": run.change_lamports,
            "expected_lamports": run.expected_lamports,
            "moved_before_lamports": run.start.moved_lamports,
        },
        "rpc_calls": _calls(report),
        "rpc_calls_per_snipe": _per_snipe(report),
        "endpoints": [msgspec.to_builtins(endpoint) for endpoint in report.endpoints],
        "feed": {
            "frames": report.detector.frames,
            "examined": report.detector.prefiltered,
            "dropped": report.detector.dropped,
            "seen_first": report.seen_first,
        },
        "journal": run.journal,
        "paper": None if run.paper is None else msgspec.to_builtins(run.paper),
        "invariants": {
            "double_buys": report.double_buys,
            "lost_intents": report.lost_intents,
            "unknown_open": report.unknown_open,
            "unexplained_lamports": run.unexplained_lamports,
        },
    }


def _calls(report: EngineReport) -> dict[str, int]:
    """Return the calls by purpose; those between a frame and signed bytes even where there were none."""
    return {"plan": 0, **report.rpc_calls}


def _per_snipe(report: EngineReport) -> dict[str, float]:
    """Return the calls by purpose for each pool that was detected, refused ones included."""
    return {purpose: round(count / max(report.detected, 1), 3) for purpose, count in _calls(report).items()}


def _environment(run: BotRun) -> dict[str, object]:
    libraries = {}
    for name in _LIBRARIES:
        try:
            libraries[name] = version(name)
        except PackageNotFoundError:
            libraries[name] = "unknown"
    return {
        "slotzero": __version__,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "libraries": libraries,
        "cluster": run.cluster,
        "genesis": run.genesis,
        "slot_ms": run.slot_ms,
        "seed": run.seed,
        "duration_s": round(as_ms(run.duration_ns) / 1000, 3),
    }


def _position(position: PositionRecord, run: BotRun) -> dict[str, object]:
    return {
        "id": position.id,
        "mint": str(position.pool.mint),
        "symbol": position.pool.symbol,
        "venue": position.pool.venue,
        "state": position.state,
        "reason": position.reason,
        "tokens": position.tokens,
        "quoted_lamports": position.quoted_lamports,
        "pnl_lamports": position.pnl_lamports,
        "run": _which_run(position, run),
    }


def _which_run(position: PositionRecord, run: BotRun) -> str:
    """Return who held a position: this run alone, an earlier one first ("taken_up"), or earlier ones alone."""
    if position.id in run.start.closed_positions:
        return "earlier"
    return "taken_up" if position.id in run.start.left_positions else "this"


def _ms(durations: Iterable[DurationNs]) -> Percentiles | None:
    return percentiles(as_ms(duration) for duration in durations)


def _figures(value: Percentiles) -> dict[str, float]:
    return {
        "p50": round(value.p50, 4),
        "p95": round(value.p95, 4),
        "p99": round(value.p99, 4),
        "count": value.count,
    }
