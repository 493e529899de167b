"""What `doctor` says of a server's time, and which journal it tells of."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from slotzero.config import JournalSettings, Settings
from slotzero.errors import JournalError
from slotzero.workloads import doctor


@asynccontextmanager
async def server(date: str) -> AsyncIterator[str]:
    """A node whose answers bear this date."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text="{}", headers={"Date": date})

    app = web.Application()
    app.router.add_post("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("date", "status", "told"),
    [
        ("Fri, 01 Jan 2021 00:00:00 GMT", "warn", " s against node"),
        ("yesterday", "ok", "was not compared"),
        ("Fri, 99 Jan 2021 99:00:00 GMT", "ok", "was not compared"),
    ],
)
async def test_clock_is_compared_where_the_server_tells_the_time(date: str, status: str, told: str) -> None:
    async with server(date) as url:
        found = await doctor._clock_against(url, "node")
    assert (found.name, found.status) == ("clock", status)
    assert told in found.detail


def test_linkability_of_a_journal_in_a_database_is_not_that_of_some_file() -> None:
    with pytest.raises(JournalError, match="in a database"):
        doctor.linkability(Settings(journal=JournalSettings(url="postgresql://bot@127.0.0.1/bots")))
