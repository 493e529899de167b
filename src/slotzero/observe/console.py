"""What a person sees of a run: a live table on a terminal, and a summary at the end."""

from collections.abc import Iterable
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from slotzero.clock import as_ms
from slotzero.engine import EngineReport
from slotzero.observe.run_document import latencies
from slotzero.perf.stats import Percentiles
from slotzero.trading.journal import PositionRecord
from slotzero.trading.sniper import Refused
from slotzero.units import format_sol
from slotzero.workloads.localnet_run import LocalnetRun

__all__ = ["live_view", "print_summary"]

_SHOWN_POSITIONS: Final = 8
_SHOWN_REFUSALS: Final = 8
_SOL_DIGITS: Final = 6


def live_view(report: EngineReport) -> RenderableType:
    """Return the table of a run under way."""
    return Group(
        _counts(report),
        _positions(report.positions[-_SHOWN_POSITIONS:], report),
        _refusals(report.refusals[-_SHOWN_REFUSALS:]),
        _latency_table(report),
    )


def print_summary(console: Console, run: LocalnetRun) -> None:
    """Print what a finished run has done."""
    report = run.report
    console.print(_counts(report))
    if report.positions:
        console.print(_positions(report.positions, report))
    if report.refusals:
        console.print(_refusals(report.refusals[-_SHOWN_REFUSALS * 2 :]))
    console.print(_latency_table(report))
    calls = ", ".join(f"{purpose} {count}" for purpose, count in sorted(report.rpc_calls.items()))
    change = run.end_lamports - run.start_lamports
    console.print(
        f"wallet   {report.wallet} changed by {_sol(change)} SOL; the journal explains {_sol(run.journal_lamports)}"
    )
    console.print(
        f"checks   double buys {report.double_buys}, lost intents {report.lost_intents}, unknown {report.unknown_open}"
    )
    console.print(f"rpc      {calls}; between a frame and signed bytes: {report.rpc_calls.get('plan', 0)}")
    console.print(f"journal  {run.journal}", soft_wrap=True)
    console.print(
        f"chain    slots of {run.slot_ms if run.slot_ms is not None else 'an existing chain'}"
        f"{' ms' if run.slot_ms is not None else ''}, seed {run.seed}, {as_ms(run.duration_ns) / 1000:.1f} s; "
        "waited time is the slot timer and loopback"
    )


def _counts(report: EngineReport) -> Text:
    rejected, failed = sum(report.rejected.values()), sum(report.failed.values())
    pnl = sum(position.pnl_lamports for position in report.positions)
    parts = [
        f"seen {report.detected}",
        f"refused {rejected}{_reasons(report.rejected)}",
        f"bought {report.bought}",
        f"failed {failed}{_reasons(report.failed)}",
        f"closed {report.closed}",
        f"PnL {_sol(pnl)} SOL",
    ]
    return Text("  ".join(parts), style="bold")


def _reasons(counts: dict[str, int]) -> str:
    if not counts:
        return ""
    return " (" + ", ".join(f"{reason} {count}" for reason, count in sorted(counts.items())) + ")"


def _positions(positions: Iterable[PositionRecord], report: EngineReport) -> Table:
    table = Table(title="positions", title_justify="left", pad_edge=False)
    for name in ("symbol", "mint", "state", "reason"):
        table.add_column(name, no_wrap=True, overflow="ellipsis")
    for name in ("paid", "worth", "PnL (SOL)"):
        table.add_column(name, justify="right", no_wrap=True)
    for position in positions:
        worth = report.values.get(position.id)
        pnl = position.pnl_lamports
        table.add_row(
            Text(position.pool.symbol),
            str(position.pool.mint),
            position.state,
            Text(position.reason),
            _sol(position.quoted_lamports),
            "" if worth is None else _sol(worth),
            Text(_sol(pnl), style="" if position.state != "closed" else "green" if pnl > 0 else "red"),
        )
    return table


def _refusals(refusals: Iterable[Refused]) -> Table:
    table = Table(title="refused", title_justify="left", pad_edge=False)
    for name in ("symbol", "mint", "reason"):
        table.add_column(name, no_wrap=True, overflow="ellipsis")
    table.add_column("found")
    for refused in refusals:
        table.add_row(Text(refused.pool.symbol), str(refused.pool.mint), refused.reason, Text(refused.detail))
    return table


def _latency_table(report: EngineReport) -> Table:
    table = Table(
        title="latency in ms (own = our CPU; the rest is slot, network and disk)", title_justify="left", pad_edge=False
    )
    table.add_column("component", no_wrap=True)
    for name in ("p50", "p95", "p99", "own p50", "own p95", "own p99", "n"):
        table.add_column(name, justify="right", no_wrap=True)
    for component, (whole, own) in latencies(report).items():
        table.add_row(component.value, *_row(whole), *_row(own), str(whole.count))
    return table


def _row(value: Percentiles | None) -> tuple[str, str, str]:
    if value is None:
        return ("", "", "")
    return (_figure(value.p50), _figure(value.p95), _figure(value.p99))


def _figure(milliseconds: float) -> str:
    return f"{milliseconds:.1f}" if milliseconds >= 10 else f"{milliseconds:.3f}"  # noqa: PLR2004 two useful digits either way


def _sol(lamports: int) -> str:
    return format_sol(lamports)[: _SOL_DIGITS - 9]
