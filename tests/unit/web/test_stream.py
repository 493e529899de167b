import asyncio
import json

import msgspec

from slotzero.web.board import Board
from slotzero.web.records import Performance
from slotzero.web.stream import RING, Broadcast
from slotzero.workloads.targets import target_of

BASE = Board(target_of).performance(seq=0, now=1, wall_ms=1, memory_mb=None, cpu=None)


def tick(number: int) -> Performance:
    return msgspec.structs.replace(BASE, seq=number, ts_ms=number)


def broadcast(ticks: int) -> Broadcast:
    made = Broadcast("boot")
    for number in range(ticks):
        made.tick(tick(number))
    return made


def ids(text: bytes) -> list[int]:
    return [int(line.rpartition(b"-")[2]) for line in text.splitlines() if line.startswith(b"id: ")]


async def first(made: Broadcast, last_event_id: str = "") -> bytes:
    events = made.listen(last_event_id)
    found = await anext(events)
    await events.aclose()  # type: ignore[attr-defined]
    return found


async def test_new_viewer_gets_the_history_and_the_newest_tick() -> None:
    text = await first(broadcast(5))
    history = next(line for line in text.splitlines() if line.startswith(b"data: ["))
    assert [point["ts_ms"] for point in json.loads(history[6:])] == [0, 1, 2, 3, 4]
    assert ids(text) == [4]


async def test_viewer_that_comes_back_gets_what_it_missed() -> None:
    text = await first(broadcast(5), "boot-2")
    assert ids(text) == [3, 4]
    assert b"event: history" not in text


async def test_viewer_that_missed_too_much_or_knows_another_server_begins_anew() -> None:
    made = broadcast(RING + 10)
    for strange in ("boot-3", "other-608", "boot-99999", "boot-x", "-", "boot-" + "9" * 5_000, "boot-٣"):
        assert b"event: history" in await first(made, strange)


async def test_all_viewers_get_the_same_bytes() -> None:
    made = broadcast(1)
    viewers = [made.listen("") for _ in range(3)]
    for viewer in viewers:
        await anext(viewer)
    made.tick(tick(1))
    events = [await anext(viewer) for viewer in viewers]
    assert all(event is events[0] for event in events)


async def test_slow_viewer_loses_the_oldest_and_holds_up_nobody() -> None:
    made = broadcast(1)
    slow = made.listen("")
    await anext(slow)
    for number in range(1, 100):
        made.tick(tick(number))
    assert ids(await anext(slow)) == [84]


async def test_viewer_who_leaves_is_forgotten() -> None:
    made = broadcast(1)
    viewer = made.listen("")
    await anext(viewer)
    assert made.viewers == 1
    await viewer.aclose()  # type: ignore[attr-defined]
    assert made.viewers == 0


async def test_end_lets_all_go() -> None:
    made = broadcast(1)
    viewer = made.listen("")
    await anext(viewer)
    waiting = asyncio.gather(anext(viewer), return_exceptions=True)
    await asyncio.sleep(0)
    made.end()
    (found,) = await waiting
    assert isinstance(found, StopAsyncIteration)
