"""The report in a real Chromium: light and dark, wide and on a phone, nothing loaded, nothing complained of."""

import asyncio
import os
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # it has no types
from playwright.sync_api import Browser, Page, Request, sync_playwright
from typer.testing import CliRunner

from report_lab import full_document, judged_document, load_run, measured_document, write
from slotzero.cli.main import app
from slotzero.perf.compare.document import encode

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-sync"]
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser; skips where there is none, fails where CI requires it."""
    if CHROMIUM is None:
        reason = "Chromium is not on this machine (apt install chromium)"
        if os.environ.get("SLOTZERO_REQUIRE_SERVICES") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A folder with a report of each kind, served on loopback."""
    folder = tmp_path_factory.mktemp("report")
    # In a thread: the browser's own loop runs in this one.
    with ThreadPoolExecutor(1) as thread:
        real = write(folder, "real", thread.submit(asyncio.run, measured_document()).result())
        load = write(folder, "load-run", thread.submit(asyncio.run, load_run()).result())
    judged = folder / "judged.json"
    judged.write_bytes(encode(judged_document()))
    before = write(folder, "before", full_document())
    after = write(folder, "after", full_document(2, slower=1.3))
    for name, results in (("one", [real]), ("full", [before]), ("two", [before, after]), ("load", [load, judged])):
        ended = CliRunner().invoke(app, ["report", *map(str, results), "--out", str(folder / f"{name}.html")])
        assert ended.exit_code == 0, ended.output
    handler = partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        serving.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 its name
        pass


class _Seen:
    """What a page did that it should not."""

    def __init__(self, page: Page) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", self._on_request)
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _on_request(self, request: Request) -> None:
        self.requests.append(request.url)


@pytest.mark.parametrize(
    ("name", "width", "scheme"),
    [
        ("one", 360, "light"),
        ("full", 1280, "light"),
        ("full", 1280, "dark"),
        ("full", 360, "dark"),
        ("two", 1280, "dark"),
        ("two", 360, "light"),
        ("load", 1280, "light"),
        ("load", 360, "dark"),
    ],
)
def test_report_opened_is_clean(
    browser: Browser, site: str, name: str, width: int, scheme: Literal["light", "dark"]
) -> None:
    with browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme) as context:
        page = context.new_page()
        seen = _Seen(page)
        page.goto(f"{site}/{name}.html")
        page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")

        assert seen.requests == [f"{site}/{name}.html"]
        assert seen.complaints == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways"
        assert page.locator("svg.chart").count() > 0
        # The page's policy lets no script in but its own; axe comes through the debugger's door.
        found = Axe().run(page, options={"runOnly": RULES, "resultTypes": ["violations"]})
        assert found.violations_count == 0, found.generate_report()
        assert seen.complaints == []


def test_report_answers_to_keyboard_and_buttons(browser: Browser, site: str) -> None:
    with browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme="light") as context:
        page = context.new_page()
        page.goto(f"{site}/full.html")
        paper = "getComputedStyle(document.body).backgroundColor"
        light = page.evaluate(paper)

        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "To the content"
        page.get_by_role("button", name="Dark colours").click()
        assert page.evaluate(paper) != light
        page.get_by_role("button", name="Open all").press("Enter")
        assert page.locator("details.card:not([open])").count() == 0
        page.get_by_role("button", name="Close all").press("Space")
        assert page.locator("details.card[open]").count() == 0
        page.get_by_role("link", name="EXIT", exact=True).press("Enter")
        page.locator("details.card[open] >> text=The limit of 500 ms is not kept").wait_for()


def test_report_is_complete_without_script(browser: Browser, site: str) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(f"{site}/one.html")

        assert page.locator("svg.chart").first.is_visible()
        assert page.get_by_role("button").count() == 0
