import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest
from textual.widgets import DataTable, Static
from typer.testing import CliRunner

from slotzero.cli.main import app
from slotzero.errors import SlotzeroError, UsageError
from slotzero.web.records import Performance, Positions
from slotzero.web.top import Api, TopApp, duration
from web_lab import site


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    """An API on loopback that answers as the server does."""
    made = site(tmp_path)
    bodies = {
        "/api/v1/performance": made.broadcast.newest,
        "/api/v1/positions?state=held&limit=50": msgspec.json.encode(
            Positions(positions=made.board.positions()[:1], halted="")
        ),
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(bodies[self.path])

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 its name in the standard library
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield Api(f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
        thread.join()


async def test_figures_and_positions_are_shown(api: Api) -> None:
    shown = TopApp(api)
    async with shown.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        assert shown.query_one("#components", DataTable).row_count == 13
        assert shown.query_one("#held", DataTable).row_count == 1
        assert "seen 10" in str(shown.query_one("#verdict", Static).render())
        await pilot.press("p")
        assert shown.sub_title == "paused"
        await pilot.press("q")


async def test_server_that_went_away_is_told_not_raised() -> None:
    shown = TopApp(Api("http://127.0.0.1:9"))
    async with shown.run_test() as pilot:
        await pilot.pause()
        assert "does not answer" in str(shown.query_one("#verdict", Static).render())


def test_command_without_a_server_is_a_sentence() -> None:
    ended = CliRunner().invoke(app, ["top", "--url", "http://127.0.0.1:9"])
    assert isinstance(ended.exception, SlotzeroError)
    assert "slotzero serve" in str(ended.exception)


@pytest.mark.parametrize("url", ["127.0.0.1:9464", "http://127.0.0.1:99999", "http://[::1", "http://", "https://x"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="--url"):
        Api(url)


@pytest.mark.parametrize(("ms", "text"), [(None, "-"), (0.0123, "12.3 µs"), (12.34, "12.3 ms"), (1_234, "1.23 s")])
def test_durations_are_for_people(ms: float | None, text: str) -> None:
    assert duration(ms) == text


async def test_what_a_failure_says_is_no_markup() -> None:
    class Failing(Api):
        def performance(self) -> Performance:
            raise SlotzeroError("expected `str`, got `null` - at `$.components[...].component` [/bold]")

    shown = TopApp(Failing("http://127.0.0.1:9"))
    async with shown.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        assert "[...].component` [/bold]" in str(shown.query_one("#verdict", Static).render())


def test_name_that_can_be_none_is_one_sentence() -> None:
    with pytest.raises(SlotzeroError, match="does not answer"):
        Api("http://a..b:9").performance()
