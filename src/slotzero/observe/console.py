"""What a person sees of a run: a live table on a terminal, and a summary at the end.

Numbers, ids and states are never shortened: where there is no room, columns that can be spared are left out and texts
are wrapped. What is no terminal is as wide as `widened` makes it, so that a line can be searched for.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
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

__all__ = ["live_view", "print_summary", "status_view", "widened"]

_SHOWN_LIVE: Final = 8
_SHOWN_AT_END: Final = 100
_SHOWN_DIFFERENCES: Final = 20
_SOL_DIGITS: Final = 6
_KEY_ENDS: Final = 4
_ID_CHARS: Final = 8
_DETAIL_CHARS: Final = 90
_GAP: Final = 2
_SYMBOL_CHARS: Final = 12
_WIDE: Final = 200
"""Characters of a line where no terminal says how many there are."""
_UNBOUNDED: Final = 10_000
_SPARED: Final = (("mint", 20), ("stop", 20), ("paid", 10), ("worth", 10), ("reason", 5), ("symbol", 5))
"""The columns of positions that are left out in this order, each where texts of so many characters have no room."""
_WRAPPED: Final = ("symbol", "reason")
_FIGURES: Final = ("paid", "worth", "stop", "PnL (SOL)")


def widened(console: Console) -> Console:
    """Return the console, with a fixed width if it is no terminal: else it would be 80 characters wide."""
    if not console.is_terminal:
        console.width = _WIDE
    return console


def live_view(report: EngineReport) -> RenderableType:
    """Return the tables of a run under way."""
    change = sum(standing.balance - standing.start_lamports for standing in report.wallets)
    return Group(
        _counts(report, change),
        _positions(_of_this_run(report)[-_SHOWN_LIVE:], report),
        _refusals(report),
        _latency_table(report),
    )


def print_summary(console: Console, run: BotRun) -> None:
    """Print what a finished run has done."""
    report, console = run.report, widened(console)
    console.print(_counts(report, run.pnl_lamports))
    if run.positions:
        console.print(_positions(run.positions[-_SHOWN_AT_END:], report))
        left_out = run.forgotten_positions + max(len(run.positions) - _SHOWN_AT_END, 0)
        if left_out:
            console.print(f"  and {left_out} before them")
        taken_up = sum(position.id in run.start.left_positions for position in run.positions)
        if taken_up:
            console.print(f"  {taken_up} bought by an earlier run: what was paid before this run is not in its PnL")
    if report.refusals:
        console.print(_refusals(report))
    if run.cluster != "replay":  # whose time stands still while the program works
        console.print(_latency_table(report))
    facts = _facts(run)
    console.print(_grid(facts))
    # Alone and unwrapped, so that it can be copied: a terminal wraps it without cutting it in two.
    pad = max(len(name) for name, _ in facts) + _GAP
    console.print(Text.assemble(("journal".ljust(pad), "bold"), run.journal or "not kept"), soft_wrap=True)


def status_view(status: Status) -> RenderableType:
    """Return what a running bot says of itself over its control socket."""
    halted = f"   buying is stopped: {status.halted}" if status.halted else ""
    counts = (
        f"process {status.pid}   seen {status.detected}   bought {status.bought}   closed {status.closed}   "
        f"buys under way {status.buys_under_way}{halted}"
    )
    rows: list[dict[str, str | Text]] = [
        {
            "id": position.id[:_ID_CHARS],
            "symbol": _symbol(position.symbol),
            "mint": _short(position.mint),
            "state": position.state,
            "reason": _plain(position.reason),
            "paid": _sol(position.quoted_lamports),
            "worth": _sol_or_blank(position.value_lamports),
            "stop": _sol_or_blank(position.stop_lamports),
            "PnL (SOL)": _sol(position.pnl_lamports + (position.value_lamports or 0)),
        }
        for position in status.positions
    ]
    names = ("id", "symbol", "mint", "state", "reason", "paid", "worth", "stop", "PnL (SOL)")
    return Group(Text(counts, style="bold"), _PositionTable(names, rows))


class _PositionTable:
    """A table of positions that leaves out what can be spared where it would not fit.

    Args:
        names: Its columns, from the left.
        rows: Each with a cell for each of them.
    """

    def __init__(self, names: Sequence[str], rows: Sequence[dict[str, str | Text]]) -> None:
        self._names = names
        self._rows = rows

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        names, unbounded = list(self._names), options.update(width=_UNBOUNDED)
        for spared, text_chars in _SPARED:
            wanted = self._table(names, text_chars=text_chars)
            if Measurement.get(console, unbounded, wanted).maximum <= options.max_width:
                break
            if spared in names:
                names.remove(spared)
        yield self._table(names)

    def _table(self, names: Sequence[str], *, text_chars: int | None = None) -> Table:
        table = _table("positions")
        for name in names:
            is_text = name in _WRAPPED
            table.add_column(
                name,
                no_wrap=not is_text,
                overflow="fold",
                justify="right" if name in _FIGURES else "left",
                max_width=text_chars if is_text else None,
            )
        for row in self._rows:
            table.add_row(*(row[name] for name in names))
        return table


def _facts(run: BotRun) -> list[tuple[str, str]]:
    report = run.report
    pace = "joined" if run.slot_ms is None else f"slots of {run.slot_ms} ms, seed {run.seed}"
    calls = ", ".join(f"{purpose} {count}" for purpose, count in sorted(report.rpc_calls.items()))
    return [
        *_money_facts(run),
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
    ]


def _money_facts(run: BotRun) -> list[tuple[str, str]]:
    """What the wallets changed by, and what of that, or before it, was not trading in this run."""
    report, start = run.report, run.start
    others = f" and {len(report.wallets) - 1} more" if len(report.wallets) > 1 else ""
    facts = [("wallet", f"{report.wallet}{others} changed by {_sol(run.change_lamports)} SOL")]
    if run.all_runs_lamports != run.pnl_lamports:
        facts.append(("all runs", f"{_sol(run.all_runs_lamports)} SOL by all orders in this journal"))
    if start.moved_lamports:
        facts.append(
            ("moved", f"{_sol(start.moved_lamports)} SOL outside of trading before this run; the journal knows it now")
        )
    if start.moved_lamports is None and run.unexplained_lamports:
        why = "when it began an order had no end yet, or the newest slots did not agree"
        facts.append(("unexplained", f"may be older than this run: {why}; the next start tells it apart"))
    return facts


def _grid(facts: Sequence[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, _GAP))
    for name, fact in facts:
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


def _counts(report: EngineReport, pnl_lamports: int) -> Text:
    """What was seen and done, with what the wallets changed by and what is still held would bring."""
    rejected, failed = sum(report.rejected.values()), sum(report.failed.values())
    reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(report.failed.items()))
    parts = [
        f"seen {report.detected}",
        f"refused {rejected}",
        f"bought {report.bought}",
        f"failed {failed}" + (f" ({reasons})" if reasons else ""),
        f"closed {report.closed}",
        f"PnL {_sol(pnl_lamports)} SOL",
    ]
    if report.values:
        parts.append(f"holding {_sol(sum(value or 0 for value in report.values.values()))} SOL")
    return Text("   ".join(parts), style="bold")


def _of_this_run(report: EngineReport) -> list[PositionRecord]:
    """Return the positions that are held, and as many of the newest closed ones as this run has closed."""
    closed = [position.id for position in report.positions if position.state == "closed"]
    earlier = set(closed[: max(len(closed) - report.closed, 0)])
    return [position for position in report.positions if position.id not in earlier]


def _positions(positions: Iterable[PositionRecord], report: EngineReport) -> RenderableType:
    rows: list[dict[str, str | Text]] = []
    for position in positions:
        pnl = _pnl(position, report)
        rows.append(
            {
                "symbol": _symbol(position.pool.symbol),
                "mint": _short(str(position.pool.mint)),
                "state": position.state,
                "reason": _plain(position.reason),
                "paid": _sol(position.quoted_lamports),
                "worth": _sol_or_blank(report.values.get(position.id)),
                "PnL (SOL)": Text(_sol(pnl), style="" if position.state != "closed" else "green" if pnl > 0 else "red"),
            }
        )
    return _PositionTable(("symbol", "mint", "state", "reason", "paid", "worth", "PnL (SOL)"), rows)


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


def _symbol(text: str) -> Text:
    """Return a coin's symbol, which may be of any length, as far as a table has room for it."""
    return _plain(text if len(text) <= _SYMBOL_CHARS else f"{text[: _SYMBOL_CHARS - 1]}…")


def _short(key: str) -> str:
    return f"{key[:_KEY_ENDS]}…{key[-_KEY_ENDS:]}"


def _sol(lamports: int) -> str:
    return format_sol(lamports)[: _SOL_DIGITS - 9]


def _sol_or_blank(lamports: int | None) -> str:
    return "" if lamports is None else _sol(lamports)
