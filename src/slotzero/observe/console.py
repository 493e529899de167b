"""What a person sees of a run: a live table on a terminal, and a summary at the end."""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from slotzero.clock import as_ms
from slotzero.control import Status
from slotzero.engine import EngineReport
from slotzero.observe.run_document import latencies
from slotzero.perf.stats import Percentiles
from slotzero.trading.journal import PositionRecord
from slotzero.trading.paper import PaperReport
from slotzero.trading.sniper import Refused
from slotzero.units import format_sol
from slotzero.workloads.bot_run import BotRun

__all__ = ["live_view", "print_summary", "status_view"]

_SHOWN_LIVE: Final = 8
_SHOWN_AT_END: Final = 100
_SHOWN_DIFFERENCES: Final = 20
_SOL_DIGITS: Final = 6
_KEY_ENDS: Final = 4
_ID_CHARS: Final = 8
_DETAIL_CHARS: Final = 90


def live_view(report: EngineReport) -> RenderableType:
    """Return the tables of a run under way."""
    return Group(
        _counts(report),
        _positions(report.positions[-_SHOWN_LIVE:], report),
        _refusals(report),
        _latency_table(report),
    )


def print_summary(console: Console, run: BotRun) -> None:
    """Print what a finished run has done."""
    report = run.report
    console.print(_counts(report))
    if report.positions:
        console.print(_positions(report.positions[-_SHOWN_AT_END:], report))
        left_out = report.forgotten_positions + max(len(report.positions) - _SHOWN_AT_END, 0)
        if left_out:
            console.print(f"  and {left_out} before them")
    if report.refusals:
        console.print(_refusals(report))
    if run.cluster != "replay":  # whose time stands still while the program works
        console.print(_latency_table(report))
    console.print(_facts(run))


def status_view(status: Status) -> RenderableType:
    """Return what a running bot says of itself over its control socket."""
    table = _table("positions", "id", "symbol", "mint", "state", "reason")
    for name in ("paid", "worth", "stop", "PnL (SOL)"):
        table.add_column(name, justify="right", no_wrap=True)
    for position in status.positions:
        worth, stop = position.value_lamports, position.stop_lamports
        table.add_row(
            position.id[:_ID_CHARS],
            _plain(position.symbol),
            _short(position.mint),
            position.state,
            _plain(position.reason),
            _sol(position.quoted_lamports),
            "" if worth is None else _sol(worth),
            "" if stop is None else _sol(stop),
            _sol(position.pnl_lamports + (worth or 0)),
        )
    halted = f"   buying is stopped: {status.halted}" if status.halted else ""
    counts = (
        f"process {status.pid}   seen {status.detected}   bought {status.bought}   closed {status.closed}   "
        f"buys under way {status.buys_under_way}{halted}"
    )
    return Group(Text(counts, style="bold"), table)


def _facts(run: BotRun) -> Table:
    report = run.report
    change = run.end_lamports - run.start_lamports
    pace = "joined" if run.slot_ms is None else f"slots of {run.slot_ms} ms, seed {run.seed}"
    calls = ", ".join(f"{purpose} {count}" for purpose, count in sorted(report.rpc_calls.items()))
    table = Table.grid(padding=(0, 2))
    for name, fact in (
        ("wallet", f"{report.wallet} changed by {_sol(change)} SOL"),
        (
            "checks",
            (
                f"double buys {report.double_buys}, lost intents {report.lost_intents}, "
                f"unknown {report.unknown_open}, unexplained lamports {run.unexplained_lamports}"
            ),
        ),
        *(("differs", item.detail) for item in report.differences[:_SHOWN_DIFFERENCES]),
        *_paper_facts(run.paper),
        *_load_facts(report),
        ("RPC calls", f"{calls}; between a frame and signed bytes {report.rpc_calls.get('plan', 0)}"),
        (
            "chain",
            f"{'embedded' if run.cluster == 'localnet' else run.cluster}, {pace}, {as_ms(run.duration_ns) / 1000:.1f} s"
            + ("; waited time is its slot timer and loopback" if run.cluster == "localnet" else ""),
        ),
        ("journal", run.journal or "not kept"),
    ):
        table.add_row(Text(name, style="bold"), Text(fact, overflow="fold"))
    return table


def _paper_facts(paper: PaperReport | None) -> list[tuple[str, str]]:
    """What trading on paper has charged, as a sum that comes out."""
    if paper is None:
        return []
    model, failed = paper.model, sum(paper.failed.values())
    by_model, lost = paper.failed.get("model", 0), f"{paper.dropped} of {paper.sends} sends lost"
    sums = (
        f"{_sol(paper.free_lamports)} SOL of fills - {_sol(paper.fees_lamports)} fees - "
        f"{_sol(paper.tips_lamports)} tips - {_sol(paper.failed_lamports)} of {failed} that failed "
        f"({by_model} by the model) = {_sol(paper.net_lamports)}; {lost}"
    )
    stated = (
        f"fills by {paper.fills}, {model.landing_slots} slots to land, {model.drop_bps} bps lost, "
        f"{model.failure_bps} bps failed, tip {model.tip_lamports} lamports, seed {model.seed}; "
        f"transactions sent: {paper.transactions_sent}"
    )
    return [("on paper", sums), ("model", stated)]


def _load_facts(report: EngineReport) -> list[tuple[str, str]]:
    """What the run says of its own load: reads, loop, admission, rug signals, the kill switch."""
    reads, loop, admission, halt = report.reads, report.loop_delay, report.admission, report.limits.state
    snipes, calls, saved = max(report.bought, 1), sum(report.rpc_calls.values()), reads.without_rpc_bps / 100
    over = f"{loop.over_5_ms} of {loop.probes}"
    facts = [
        ("reads", f"{saved:.0f} % of account reads without an RPC call; {calls / snipes:.1f} calls a buy"),
        ("loop", f"delay p99 {loop.p99_ms:.2f} ms, longest {loop.max_ms:.1f} ms; {over} over 5 ms"),
    ]
    if admission.waited:
        facts.append(("admission", f"{admission.waited} pools waited, {admission.dropped} were dropped"))
    if report.alerts:
        signals = Counter(item.alert.signal for item in report.alerts)
        facts.append(("rug watch", ", ".join(f"{signal} {count}" for signal, count in signals.most_common())))
    if len(report.endpoints) > 1:
        states = ", ".join(f"{endpoint.name} {endpoint.state}" for endpoint in report.endpoints)
        facts.append(("endpoints", states))
    if halt.killed or halt.tripped:
        facts.append(("stopped", halt.killed or halt.tripped))
    return facts


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        table.add_column(name, no_wrap=True, overflow="ellipsis")
    return table


def _counts(report: EngineReport) -> Text:
    rejected, failed = sum(report.rejected.values()), sum(report.failed.values())
    pnl = report.forgotten_pnl_lamports + sum(_pnl(position, report) for position in report.positions)
    reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(report.failed.items()))
    parts = [
        f"seen {report.detected}",
        f"refused {rejected}",
        f"bought {report.bought}",
        f"failed {failed}" + (f" ({reasons})" if reasons else ""),
        f"closed {report.closed}",
        f"PnL {_sol(pnl)} SOL",
    ]
    return Text("   ".join(parts), style="bold")


def _positions(positions: Iterable[PositionRecord], report: EngineReport) -> Table:
    table = _table("positions", "symbol", "mint", "state", "reason")
    for name in ("paid", "worth", "PnL (SOL)"):
        table.add_column(name, justify="right", no_wrap=True)
    for position in positions:
        worth = report.values.get(position.id)
        pnl = _pnl(position, report)
        table.add_row(
            _plain(position.pool.symbol),
            _short(str(position.pool.mint)),
            position.state,
            _plain(position.reason),
            _sol(position.quoted_lamports),
            "" if worth is None else _sol(worth),
            Text(_sol(pnl), style="" if position.state != "closed" else "green" if pnl > 0 else "red"),
        )
    return table


def _pnl(position: PositionRecord, report: EngineReport) -> int:
    """What a position has brought so far, with what it would bring now while it is open."""
    return position.pnl_lamports + (report.values.get(position.id) or 0)


def _refusals(report: EngineReport) -> Table:
    """One row for each reason, with the newest pool it refused."""
    newest = {refused.reason: refused for refused in report.refusals}
    table = _table("refused", "reason")
    table.add_column("n", justify="right", no_wrap=True)
    table.add_column("the newest", overflow="fold")
    for reason, count in sorted(report.rejected.items(), key=lambda item: (-item[1], item[0])):
        refused = newest.get(reason)
        example = "" if refused is None else f"{refused.pool.symbol} {_short(str(refused.pool.mint))}: {_clip(refused)}"
        table.add_row(reason, str(count), _plain(example))
    return table


def _latency_table(report: EngineReport) -> Table:
    table = _table("latency in ms (own = our CPU; the rest is slot, network and disk)", "component")
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


def _clip(refused: Refused) -> str:
    """Return the first finding; the document (`--json`) has them all."""
    first = refused.detail.split("; ", 1)[0]
    return first if len(first) <= _DETAIL_CHARS else f"{first[:_DETAIL_CHARS]}…"


def _plain(text: str) -> Text:
    """Return a stranger's text with nothing in it that a terminal acts on: a coin's symbol may hold escape codes."""
    return Text("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text))


def _short(key: str) -> str:
    return f"{key[:_KEY_ENDS]}…{key[-_KEY_ENDS:]}"


def _sol(lamports: int) -> str:
    return format_sol(lamports)[: _SOL_DIGITS - 9]
