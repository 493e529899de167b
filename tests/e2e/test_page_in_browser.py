"""The live page in a real Chromium, watching a real bot: every view, light, dark and on a phone."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # it has no types
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from bot_process import start_bot
from page_process import PageServer
from report_lab import full_document, measured_document
from slotzero.perf.environment import passport
from slotzero.perf.load import LoadTestService
from slotzero.perf.load_document import load_document
from slotzero.perf.load_types import LoadTestConfig
from slotzero.perf.result_file import write_result_file

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-sync"]
CONTRAST = {"type": "rule", "values": ["color-contrast"]}
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]
VIEWS = ("live", "positions", "snipes", "snipe", "runs", "run", "compare", "load", "logs")
CONFIG = "[localnet]\nlaunches_per_s = 4.0\n"


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


async def measure(folder: Path) -> None:
    """Store real results: a benchmark, and a load test."""
    write_result_file(folder / "measured.json", await measured_document())

    async def target() -> None:
        await asyncio.sleep(0.002)

    outcome = await LoadTestService().run(
        target, LoadTestConfig(scenario="STEADY", target_ops=100, duration=2, window_s=0.5)
    )
    write_result_file(folder / "steady.json", load_document([outcome], passport()))


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("state")
    runs = folder / "slotzero" / "runs"
    runs.mkdir(parents=True)
    # In a thread: the browser's own loop runs in this one.
    thread = threading.Thread(target=lambda: asyncio.run(measure(runs)))
    thread.start()
    thread.join()
    write_result_file(runs / "before.json", full_document())
    write_result_file(runs / "after.json", full_document(2, slower=1.3))
    return folder


@pytest.fixture(scope="module")
def bot(state: Path) -> Iterator[subprocess.Popen[bytes]]:
    config = state / "config.toml"
    config.write_text(CONFIG)
    process = start_bot("--config", str(config), "--seed", "7", "--for", "300", "--json", state=state)
    yield process
    for _ in range(2):  # the second ends it at once
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
    process.communicate(timeout=30)


def wait_until(is_so: Callable[[], bool], what: str, within_s: float = 40) -> None:
    deadline = time.monotonic() + within_s  # noqa: TID251 a test waits for another process
    while not is_so():
        assert time.monotonic() < deadline, f"{what} did not come within {within_s} s"  # noqa: TID251
        time.sleep(0.1)


@pytest.fixture(scope="module")
def server(state: Path, bot: subprocess.Popen[bytes]) -> Iterator[PageServer]:
    """A server that watches a bot which has bought and sold."""
    made = PageServer(state)

    def has_traded() -> bool:
        assert bot.poll() is None, "the bot ended"
        return made.get("/api/v1/performance")["counts"]["closed"] > 0 and bool(
            made.get("/api/v1/snipes?outcome=bought")["snipes"]
        )

    try:
        wait_until(has_traded, "a closed position")
        yield made
    finally:
        made.end()


def address(server: PageServer, view: str) -> str:
    """The address of a view; of one snipe, one that was bought."""
    if view == "snipe":
        return f"/snipes/{server.get('/api/v1/snipes?outcome=bought')['snipes'][0]['id']}"
    return {"run": "/runs/measured", "compare": "/compare?base=before&new=after"}.get(view, f"/{view}")


class Watched:
    """A page of which every complaint and every request is kept."""

    def __init__(self, context: BrowserContext, base: str) -> None:
        self.base = base
        self.complaints: list[str] = []
        self.strange: list[str] = []
        self.page: Page = context.new_page()
        self.page.on("console", lambda said: self.complaints.append(said.text) if said.type != "log" else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda asked: None if self._is_ours(asked.url) else self.strange.append(asked.url))

    def _is_ours(self, url: str) -> bool:
        return url.startswith((self.base + "/", "data:", "blob:"))

    def show(self, path: str) -> Page:
        self.page.goto(self.base + path)
        self.page.wait_for_selector("[data-ready=yes]")
        return self.page


HAS_DATA = {
    "live": ".tile .value >> text=/\\d/",
    "positions": "tbody tr",
    "snipes": "tbody tr a",
    "snipe": "svg.fall rect.own",
    "runs": "tbody tr >> text=measured",
    "run": "tbody tr",
    "compare": "figure canvas",
    "load": "figure canvas",
    "logs": "tbody tr",
}


# Contrast does not depend on the width, nor the rest of axe's rules on the colours: each is asked where it can differ.
@pytest.mark.parametrize(
    ("scheme", "width", "rules"),
    [("light", 1280, CONTRAST), ("dark", 1280, None), ("dark", 390, RULES), ("light", 390, None)],
)
def test_every_view_shows_data_and_complains_of_nothing(
    browser: Browser, server: PageServer, scheme: str, width: int, rules: object
) -> None:
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})  # type: ignore[arg-type]  # one of two words
    watched = Watched(context, server.url)
    for view in VIEWS:
        page = watched.show(address(server, view))
        page.wait_for_selector(HAS_DATA[view], timeout=15_000)
        if view == "live":
            page.wait_for_selector(".link[data-state=live]")
            page.wait_for_selector("figure canvas")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{view} is wider than {width}"
        if rules is not None:
            axe = Axe().run(page, options={"runOnly": rules, "resultTypes": ["violations"]})
            assert axe.violations_count == 0, f"{view}: {axe.generate_report()}"
    assert (watched.complaints, watched.strange) == ([], [])
    context.close()


def test_views_are_reached_by_keyboard_and_history(browser: Browser, server: PageServer) -> None:
    context = browser.new_context()
    watched = Watched(context, server.url)
    page = watched.show("/live")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.focus("#tabs a[data-view=runs]")
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-view=runs][data-ready=yes]")
    assert page.url.endswith("/runs")
    assert page.evaluate("document.activeElement.id") == "view"
    page.go_back()
    page.wait_for_selector("div[data-view=live][data-ready=yes]")
    page.click("#theme")
    assert page.get_attribute("html", "data-theme") == "dark"
    assert (watched.complaints, watched.strange) == ([], [])
    context.close()


def test_pause_ends_with_the_view_that_says_so(browser: Browser, server: PageServer) -> None:
    context = browser.new_context()
    page = Watched(context, server.url).show("/live")
    page.wait_for_selector("figure canvas")
    page.click("text=Pause")
    page.click("#tabs a[data-view=snipes]")
    page.wait_for_selector("div[data-view=snipes] tbody tr")
    first = page.text_content("tbody")
    page.wait_for_function("(first) => document.querySelector('tbody').textContent !== first", arg=first)
    page.click("#tabs a[data-view=live]")
    page.wait_for_selector("button[aria-pressed=false] >> text=Pause")
    context.close()


def test_table_with_the_focus_in_it_goes_on_and_keeps_it(browser: Browser, server: PageServer) -> None:
    context = browser.new_context()
    page = Watched(context, server.url).show("/snipes")
    page.wait_for_selector("tbody tr")
    focused = page.evaluate("() => { const link = document.querySelector('tbody a'); link.focus(); return link.href; }")
    first = page.text_content("tbody")
    page.wait_for_function("(first) => document.querySelector('tbody').textContent !== first", arg=first)
    assert page.evaluate("document.activeElement.href") == focused
    context.close()


def test_view_is_saved_as_one_file_that_needs_nothing(browser: Browser, server: PageServer, tmp_path: Path) -> None:
    context = browser.new_context(accept_downloads=True)
    watched = Watched(context, server.url)
    page = watched.show("/live")
    page.wait_for_selector("figure canvas")
    with page.expect_download() as saving:
        page.click("text=One file")
    saved = tmp_path / "live.html"
    saving.value.save_as(saved)
    text = saved.read_text()
    assert "<script" not in text
    assert not re.search(r"(?:src|href)=\"(?:https?:|/)", text)
    alone = context.new_page()
    asked: list[str] = []
    alone.on("request", lambda request: asked.append(request.url))
    alone.goto(saved.as_uri())
    assert alone.locator("table").count() >= 2
    assert alone.locator("figure img").count() >= 1
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert (watched.complaints, watched.strange) == ([], [])
    context.close()


def test_wrong_token_is_told_and_the_right_one_sells_everything(
    browser: Browser, server: PageServer, state: Path
) -> None:
    context = browser.new_context()
    watched = Watched(context, server.url)
    page = watched.show("/positions")
    page.click("text=Panic")
    page.fill("#ask-token", "wrong")
    page.click("#ask-yes")
    page.wait_for_selector("#ask-error:has-text('token')")
    page.fill("#ask-token", server.token_file.read_text().strip())
    page.click("#ask-yes")
    page.wait_for_selector("#ask", state="hidden")
    page.wait_for_selector("text=Buying is stopped", timeout=15_000)
    assert all("401" in complaint for complaint in watched.complaints)
    assert server.token_file.stat().st_mode & 0o777 == 0o600
    assert str(server.token_file).startswith(str(state))
    page.click("text=Release")
    page.click("#ask-yes")
    page.wait_for_selector("text=Buying is stopped", state="detached", timeout=15_000)
    context.close()


@pytest.mark.usefixtures("server")  # so that there is a bot which has something to tell
def test_page_survives_a_restart_of_its_server(browser: Browser, state: Path) -> None:
    first = PageServer(state)
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{first.url}/live")
    page.wait_for_selector(".link[data-state=live]", timeout=15_000)
    first.end()
    page.wait_for_selector(".link[data-state=lost]", timeout=15_000)
    again = PageServer(state, port=first.port)
    page.wait_for_selector(".link[data-state=live]", timeout=20_000)
    page.wait_for_selector(".tile .value >> text=/\\d/")
    context.close()
    again.end()
    assert not again.token_file.exists()
