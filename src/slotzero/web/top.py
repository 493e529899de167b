"""`slotzero top`: the live figures in a terminal, as a client of the API.

Never in the bot's process: a redraw takes 5 ms.
"""

import asyncio
import http.client
from collections.abc import Callable
from typing import ClassVar, Final, TypeVar
from urllib.parse import urlsplit

import msgspec
from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import DataTable, Footer, Header, Static

from slotzero.errors import SlotzeroError, UsageError
from slotzero.units import LAMPORTS_PER_SOL
from slotzero.web.records import Performance, Positions, Standing

__all__ = ["Api", "TopApp"]

_EVERY_S: Final = 1.0
_TIMEOUT_S: Final = 3.0
_MARKS: Final[dict[Standing, str]] = {"ok": "✓ within", "near": "▲ near", "over": "✗ beyond", "idle": "· no data"}
_COLOURS: Final[dict[Standing, str]] = {"ok": "green", "near": "yellow", "over": "red", "idle": "grey50"}
_SECOND_MS: Final = 1_000
_T = TypeVar("_T")
_decode_performance = msgspec.json.Decoder(Performance).decode
_decode_positions = msgspec.json.Decoder(Positions).decode


class Api:
    """A server of `slotzero serve`.

    Args:
        url: Its address.

    Raises:
        UsageError: It is no http address.
    """

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            is_http, host, port = parts.scheme == "http", parts.hostname, parts.port
        except ValueError:  # no port, or no IPv6 address
            is_http, host, port = False, None, None
        if not is_http or host is None:
            raise UsageError("--url takes the address that `slotzero serve` prints, such as http://127.0.0.1:9464")
        self.url = url
        self._host, self._port = host, port

    def performance(self) -> Performance:
        """Return the newest figures. *Does I/O.*

        Raises:
            SlotzeroError: The server does not answer, or answers with something else.
        """
        return self._ask("/api/v1/performance", _decode_performance)

    def positions(self) -> Positions:
        """Return what is held. *Does I/O.* Raises likewise."""
        return self._ask("/api/v1/positions?state=held&limit=50", _decode_positions)

    def _ask(self, path: str, decode: Callable[[bytes], _T]) -> _T:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=_TIMEOUT_S)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return decode(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:  # no JSON, or a name that can be none
            raise SlotzeroError(
                f"{self.url} does not answer as slotzero does ({error}); is `slotzero serve` running?"
            ) from error
        finally:
            connection.close()


class TopApp(App[None]):
    """The figures, once a second.

    Args:
        api: Where they come from.
    """

    TITLE = "slotzero"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("q", "quit", "Quit"), Binding("p", "pause", "Pause")]
    CSS = """
    #verdict { padding: 1 2; text-style: bold; }
    #components { height: auto; max-height: 60%; }
    #held { height: 1fr; }
    """

    def __init__(self, api: Api) -> None:
        super().__init__()
        self._api = api
        self._is_paused = False

    def compose(self) -> ComposeResult:
        """Lay out."""
        yield Header()
        yield Static("connecting", id="verdict")
        yield DataTable(id="components", cursor_type="none", zebra_stripes=True)
        yield DataTable(id="held", cursor_type="none")
        yield Footer()

    async def on_mount(self) -> None:
        """Begin."""
        self.query_one("#components", DataTable).add_columns(
            "component", "p50", "p95", "p99", "own p95", "must", "", "calls"
        )
        self.query_one("#held", DataTable).add_columns("coin", "state", "quoted", "would bring", "result")
        self.set_interval(_EVERY_S, self.update)
        await self.update()

    def action_pause(self) -> None:
        """Stop updating, or go on."""
        self._is_paused = not self._is_paused
        self.sub_title = "paused" if self._is_paused else ""

    async def update(self) -> None:
        """Ask, and show."""
        if self._is_paused:
            return
        try:
            live, held = await asyncio.to_thread(lambda: (self._api.performance(), self._api.positions()))
        except SlotzeroError as error:
            self.query_one("#verdict", Static).update(Text(str(error), style="red"))
            return
        self._show(live, held)

    def _show(self, live: Performance, held: Positions) -> None:
        counts = live.counts
        who = "no bot answers" if live.bot is None else f"{live.bot.cluster}, process {live.bot.pid}"
        self.query_one("#verdict", Static).update(
            f"[{_COLOURS[live.verdict]}]{_MARKS[live.verdict]}[/]  {who}   "
            f"seen {counts.detected}  bought {counts.bought}  "
            f"held {counts.held}  closed {counts.closed}  result {live.pnl_lamports / LAMPORTS_PER_SOL:+.6f} SOL"
        )
        table: DataTable[str] = self.query_one("#components", DataTable)
        table.clear()
        for one in live.components:
            cells = (one.p50_ms, one.p95_ms, one.p99_ms, one.own_p95_ms, one.target_p95_ms)
            standing = f"[{_COLOURS[one.standing]}]{_MARKS[one.standing]}[/]"
            table.add_row(one.component.lower().replace("_", " "), *map(duration, cells), standing, f"{one.count:,}")
        below: DataTable[str] = self.query_one("#held", DataTable)
        below.clear()
        for position in held.positions:
            value = position.value_lamports
            result = "-" if value is None else f"{(value - position.quoted_lamports) / LAMPORTS_PER_SOL:+.6f}"
            below.add_row(_plain(position.symbol), position.state, _sol(position.quoted_lamports), _sol(value), result)


def duration(value_ms: float | None) -> str:
    """Return a duration for people. *Pure.*"""
    if value_ms is None:
        return "-"
    if value_ms < 1:
        return f"{value_ms * 1_000:.1f} µs"
    return f"{value_ms:.1f} ms" if value_ms < _SECOND_MS else f"{value_ms / _SECOND_MS:.2f} s"


def _sol(lamports: int | None) -> str:
    return "-" if lamports is None else f"{lamports / LAMPORTS_PER_SOL:.6f}"


def _plain(text: str) -> str:
    """Return a stranger's text without what the terminal or the markup would act on."""
    return "".join(char for char in text if char.isprintable()).replace("[", "(")[:16]
