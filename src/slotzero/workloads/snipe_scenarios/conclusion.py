"""A scenario's last word: what the bot and the chain say of the run, held against the limits that go with it.

The load engine has judged what it saw itself. Here come the figures that only the bot knows (its stages' latencies, its
books) and the chain's: as named blocks of the result, and as further thresholds. Nothing here can make a run pass that
the engine has failed.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from slotzero.perf.drift import drift_of
from slotzero.perf.load_types import LoadResult
from slotzero.perf.thresholds import ThresholdResult
from slotzero.workloads.snipe_scenarios.driver import DriverStats

__all__ = [
    "Limit",
    "bot_block",
    "chain_block",
    "concluded",
    "drift_block",
    "driver_block",
    "last_said",
    "machine_block",
    "what_limits",
]

Block = dict[str, float | None]

_INVARIANTS: Final = ("double_buys", "lost_intents", "unknown_open", "unexplained_lamports")
_STAGES: Final = ("DETECTION", "HONEYPOT", "EXECUTION", "FULL_FLOW", "EXIT")
_LOST: Final = ("truncated_log", "inconsistent_log", "malformed_frame", "frame_too_large", "malformed_event")
"""Why the detector drops what may have been a pool; a duplicate has been handed on already."""
_POINTS: Final = ("p50", "p95", "p99")
_MS_PER_S: Final = 1000


class Limit(Struct, frozen=True, kw_only=True):
    """A limit on a figure of a block.

    Attributes:
        figure: "BLOCK.FIGURE", for example "bot.detection_p95_ms".
        limit: At most this much; at least, when `is_least`.
    """

    figure: str
    limit: float
    is_least: bool = False


def concluded(
    result: LoadResult,
    blocks: Mapping[str, Block],
    limits: Sequence[Limit],
    notes: Sequence[str] = (),
    *,
    unknown: Mapping[str, str] = MappingProxyType({}),
) -> LoadResult:
    """Return the result with its blocks, and judged by the limits as well. *Pure.*

    Args:
        result: What the engine has measured and judged.
        blocks: The further figures, by name.
        limits: On those figures; one without data is missed.
        notes: What a reader should know.
        unknown: Why there is no data for a figure ("BLOCK.FIGURE"), where that is known.
    """
    found = tuple(_judged(limit, blocks, unknown.get(limit.figure, "")) for limit in limits)
    return replace(
        result,
        extra={**result.extra, **blocks},
        thresholds=(*result.thresholds, *found),
        passed=result.passed and all(threshold.met for threshold in found),
        notes=(*result.notes, *notes),
    )


def _judged(limit: Limit, blocks: Mapping[str, Block], unknown: str) -> ThresholdResult:
    block, _, figure = limit.figure.partition(".")
    value = blocks.get(block, {}).get(figure)
    sign = ">=" if limit.is_least else "<="
    met = value is not None and (value >= limit.limit if limit.is_least else value <= limit.limit)
    absent = f"there is no data: {unknown}" if unknown else "there is no data"
    why = "" if met else absent if value is None else f"it was {value:.6g}"
    return ThresholdResult(
        name=f"{limit.figure}{sign}{limit.limit:g}", limit=limit.limit, value=value, met=met, why=why
    )


def bot_block(document: Mapping[str, Any]) -> Block:
    """Return the figures of a run document, flat. *Pure.* Latencies are of the newest snipes."""
    block: Block = {}
    for stage in _STAGES:
        figures = document["latency_ms"].get(stage, {})
        for point in _POINTS:
            block[f"{stage.lower()}_{point}_ms"] = figures.get(point)
    snipes = document["snipes"]
    block |= {name: snipes[name] for name in ("detected", "bought", "closed", "failed")}
    block["refused"] = sum(snipes["rejected"].values())
    block["overloaded"] = snipes["rejected"].get("overloaded", 0)
    block["not_answered_in_time"] = snipes["rejected"].get("not_answered_in_time", 0)
    block["most_in_flight"] = document["admission"]["most_in_flight"]
    block["loop_delay_p99_ms"] = document["loop_delay_ms"]["p99"]
    block["loop_delay_max_ms"] = document["loop_delay_ms"]["max"]
    block["reads_without_rpc_percent"] = document["account_reads"]["without_rpc_percent"]
    block["rpc_calls_per_snipe"] = round(sum(document["rpc_calls"].values()) / max(snipes["bought"], 1), 2)
    dropped = document["feed"]["dropped"]
    block["events_lost"] = sum(dropped.get(reason, 0) for reason in _LOST) + document["admission"]["dropped"]
    block |= {name: document["invariants"][name] for name in _INVARIANTS}
    return block


def chain_block(stats: Mapping[str, Any]) -> Block:
    """Return the chain's figures, flat. *Pure.*"""
    transactions = stats["transactions"]
    return {
        "slot_late_p99_ms": stats["lateness"]["p99Ms"],
        "slot_late_max_ms": stats["lateness"]["maxMs"],
        "landed": transactions["landed"],
        "failed": transactions["failed"],
        "simulated": transactions["simulated"],
        "gc_max_ms": stats.get("garbage", {}).get("maxMs"),
    }


def driver_block(stats: DriverStats) -> Block:
    """Return the driver's figures, flat. *Pure.*"""
    return {
        "pools": stats.launched,
        "traps": stats.traps,
        "traps_bought": stats.traps_bought,
        "traps_refused": stats.traps_refused,
        "rival_buys": stats.rival_buys,
        "late_buys": stats.late_buys,
        "not_sent": sum(stats.sent_failures.values()),
        "unreadable": stats.unreadable,
        "answered_p99_ms": stats.answered_p99_ms,
        "swept": stats.swept,
        "not_swept": stats.not_swept,
    }


def machine_block(result: LoadResult, cores: int) -> Block:
    """Return what all processes together used, and each of them for one operation. *Pure.*

    100 % is the whole machine. A failed operation counts as one: it has cost something, too.
    """
    busy = sum(used.avg_cpu_percent for used in result.resources.values())
    memory = sum(used.peak_rss_mb for used in result.resources.values())
    block: Block = {"cores": cores, "cpu_percent": round(busy / cores, 2), "rss_mb": round(memory, 1)}
    for name in result.resources:
        block[f"{name}_cpu_ms_per_op"] = _cpu_ms_per_op(result, name)
    if (vm_percent := last_said(result, "chain_vm_percent")) is not None:
        block["chain_vm_ms_per_op"] = _ms_per_op(result, vm_percent)
    return block


def what_limits(result: LoadResult) -> str | None:
    """Return, where the chain was the limit, what an operation cost its core. *Pure.*

    What another rate would cost does not follow: the busier the chain, the less it spends on each operation.
    """
    chain, cost_ms = result.resources.get("chain"), _cpu_ms_per_op(result, "chain")
    if result.generator.verdict != "chain_limited" or chain is None or cost_ms is None:
        return None
    vm_percent = last_said(result, "chain_vm_percent")
    vm_ms = None if vm_percent is None else _ms_per_op(result, vm_percent)
    part = "" if vm_ms is None else f", the VM {vm_ms:.1f} of them"
    return f"an operation took {cost_ms:.1f} ms of the chain's core, busy for {chain.avg_cpu_percent:.0f} %{part}"


def last_said(result: LoadResult, figure: str) -> float | None:
    """Return what the chain last said of itself, by the name of a figure of the load's probe. *Pure.*"""
    said = (window.extra.get(f"probe:{figure}") for window in reversed(result.timeline))
    return next((value for value in said if value is not None), None)


def _cpu_ms_per_op(result: LoadResult, process: str) -> float | None:
    used = result.resources.get(process)
    return None if used is None else _ms_per_op(result, used.avg_cpu_percent)


def _ms_per_op(result: LoadResult, percent: float) -> float | None:
    return round(percent / 100 * result.duration_s * _MS_PER_S / result.total_ops, 2) if result.total_ops else None


def drift_block(result: LoadResult, *, skip_s: float) -> Block:
    """Return how the run changed while it lasted. *Pure.*"""
    drift = drift_of(result.timeline, skip_s=skip_s)
    block: Block = {
        "p99_first_third_ms": drift.p99_first_ms,
        "p99_last_third_ms": drift.p99_last_ms,
        "p99_change_percent": drift.p99_change_percent,
        "skipped_s": skip_s,
    }
    for name, slope in drift.rss_mb_per_h.items():
        block[f"{name}_rss_mb_per_h"] = round(slope.value, 3)
        block[f"{name}_rss_mb_per_h_high"] = round(slope.high, 3)
    return block
