import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from slotzero.clock import SystemClock
from slotzero.control.feed import LiveFeed
from slotzero.control.feed_records import FEED_LINE, FeedAsk, FeedFrame, LogLine, MetricsText, feed_path
from slotzero.hook import PoolJudged, PoolSeen, PositionEnded, SnipeDecided, StageTimed
from slotzero.trace import Component
from slotzero.units import DurationNs, LamportsDelta
from web_lab import MINT, OTHER_MINT, bought_trace, closed_trace


def decided(mint: str = MINT) -> SnipeDecided:
    return SnipeDecided(id=mint, outcome="bought", reason="", trace=bought_trace(), slots_to_land=1)


def ended(mint: str = MINT) -> PositionEnded:
    return PositionEnded(id=mint, reason="rug", is_stuck=False, pnl_lamports=LamportsDelta(-1), trace=closed_trace())


@pytest.fixture
async def feed(tmp_path: Path) -> AsyncIterator[LiveFeed]:
    made = LiveFeed(
        SystemClock(),
        cluster="localnet",
        slot_ms=200,
        metrics=lambda openmetrics: b"# EOF\n" if openmetrics else b"x 1\n",
    )
    async with made.serve(tmp_path):
        running = asyncio.get_running_loop().create_task(made.run(_nothing))
        yield made
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


def _nothing(*, with_exits: bool) -> None:
    """Say nothing, with exits or without."""
    assert with_exits


async def connected(folder: Path, what: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_unix_connection(feed_path(folder, os.getpid()), limit=FEED_LINE)
    writer.write(b'{"what":"%b"}\n' % what.encode())
    return reader, writer


async def frames(reader: asyncio.StreamReader, number: int) -> list[FeedFrame]:
    return [msgspec.json.decode(await reader.readline(), type=FeedFrame) for _ in range(number)]


async def test_watcher_hears_what_happened_before_and_then_what_is_new(feed: LiveFeed, tmp_path: Path) -> None:
    feed.on_event(decided())
    feed.on_log(LogLine(ts_ns=1, level="info", logger="x", message="before"))
    reader, writer = await connected(tmp_path, "frames")
    (first,) = await frames(reader, 1)
    assert first.hello is not None
    assert (first.hello.pid, first.hello.cluster) == (os.getpid(), "localnet")
    assert [trace.id for trace in first.snipes] == [MINT]
    assert [line.message for line in first.logs] == ["before"]
    feed.on_event(decided(OTHER_MINT))
    feed.on_event(ended(OTHER_MINT))
    (new,) = await frames(reader, 1)
    assert [(trace.id, trace.outcome) for trace in new.snipes] == [(OTHER_MINT, "bought"), (OTHER_MINT, "closed")]
    assert new.spans["FULL_FLOW"] == [(200_000_000, 10_000_000)]
    assert new.spans["EXIT"] == [(150_000_000, 2_000_000)]
    (quiet,) = await frames(reader, 1)
    assert (quiet.spans, quiet.snipes, quiet.logs) == ({}, (), ())
    writer.close()


async def test_components_beside_the_line_are_told_of(feed: LiveFeed, tmp_path: Path) -> None:
    reader, writer = await connected(tmp_path, "frames")
    await frames(reader, 1)
    feed.on_event(StageTimed(component=Component.PRICE_FEED, total_ns=DurationNs(5), own_ns=DurationNs(5)))
    feed.on_event(PoolJudged(decision="safe", took_ns=DurationNs(7)))
    feed.on_event(PoolSeen(feed="websocket", is_first=True, lag_ns=DurationNs(0)))
    (new,) = await frames(reader, 1)
    assert new.spans == {"PRICE_FEED": [(5, 5)], "HONEYPOT": [(7, None)]}
    writer.close()


async def test_without_a_watcher_no_span_is_kept(feed: LiveFeed) -> None:
    for _ in range(100):
        feed.on_event(decided())
    assert feed._spans == {}


async def test_too_many_spans_are_counted_not_kept(feed: LiveFeed, tmp_path: Path) -> None:
    reader, writer = await connected(tmp_path, "frames")
    await frames(reader, 1)
    for _ in range(5_000):
        feed.on_event(StageTimed(component=Component.PRICE_FEED, total_ns=DurationNs(5)))
    (new,) = await frames(reader, 1)
    assert (len(new.spans["PRICE_FEED"]), new.dropped) == (4_096, 904)
    writer.close()


async def test_slowest_snipes_outlive_the_newest(feed: LiveFeed, tmp_path: Path) -> None:
    slow = SnipeDecided(id=OTHER_MINT, outcome="bought", reason="", trace=closed_trace())
    feed.on_event(slow)
    quick = bought_trace()
    quick.mark(8, quick.as_dict()["sent"] + 1)  # type: ignore[arg-type]  # an IntEnum's number
    for number in range(600):
        feed.on_event(SnipeDecided(id=f"{number}", outcome="refused", reason="x", trace=quick))
    reader, writer = await connected(tmp_path, "frames")
    (first,) = await frames(reader, 1)
    assert OTHER_MINT in {trace.id for trace in first.snipes}
    assert len(first.snipes) <= 256 + 32
    writer.close()


@pytest.mark.usefixtures("feed")
async def test_scrape_is_answered_in_both_formats(tmp_path: Path) -> None:
    for what, text in (("metrics", "x 1\n"), ("openmetrics", "# EOF\n")):
        reader, writer = await connected(tmp_path, what)
        assert msgspec.json.decode(await reader.readline(), type=MetricsText).text == text
        writer.close()


@pytest.mark.usefixtures("feed")
async def test_strange_requests_end_the_connection_and_nothing_else(tmp_path: Path) -> None:
    for line in (b"hello\n", b"\n", b'{"what":"secrets"}\n', b"\xff\n", b"x" * 100_000 + b"\n"):
        reader, writer = await asyncio.open_unix_connection(feed_path(tmp_path, os.getpid()))
        with contextlib.suppress(ConnectionError):
            writer.write(line)
            assert await reader.read() == b""
        writer.close()
    reader, writer = await connected(tmp_path, "frames")
    assert len(await frames(reader, 1)) == 1
    writer.close()


async def test_socket_is_its_owners_alone_and_goes_with_the_run(tmp_path: Path) -> None:
    made = LiveFeed(SystemClock(), cluster="localnet", slot_ms=200, metrics=lambda _openmetrics: b"")
    path = feed_path(tmp_path, os.getpid())
    async with made.serve(tmp_path):
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700
    assert not path.exists()


def test_ask_knows_no_other_fields() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"what":"frames","more":1}', type=FeedAsk)
