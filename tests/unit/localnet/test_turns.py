"""Whose turn it is, and how long everybody has waited."""

import asyncio
from collections.abc import Callable

import pytest

from slotzero.localnet import turns as module
from slotzero.localnet.turns import Turns
from slotzero.units import DurationNs, MonoNs

MS = 1_000_000


class Desk:
    """A clock set by hand, turns by it, and what has been served: each request takes a millisecond."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = MonoNs(1_000 * MS)
        self.served: list[str] = []
        self.waits: list[tuple[bool, int]] = []
        monkeypatch.setattr(module, "mono_ns", lambda: self.now)
        monkeypatch.setattr(module, "_SLICE", MS)
        self.turns = Turns(lambda body: body.startswith(b"send"), self._on_begin)

    def come(self, name: str) -> None:
        """Have a request come, served now or when it is its turn."""
        if self.turns.may_begin(name.encode(), self.now):
            self._serve(name)()
        else:
            self.turns.wait(name.encode(), self.now, self._serve(name))

    def _serve(self, name: str) -> Callable[[], None]:
        def serve() -> None:
            self.served.append(name)
            self.now = MonoNs(self.now + MS)

        return serve

    def _on_begin(self, is_transaction: bool, wait: DurationNs) -> None:  # noqa: FBT001 a callback
        self.waits.append((is_transaction, wait // MS))


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(monkeypatch)


async def test_what_comes_alone_is_served_at_once_and_has_not_waited(desk: Desk) -> None:
    for name in ("read 1", "send 1", "read 2"):
        desk.come(name)
        await asyncio.sleep(0)
    assert desk.served == ["read 1", "send 1", "read 2"]
    assert desk.waits == [(False, 0), (True, 0), (False, 0)]


async def test_transactions_overtake_reads_and_the_loop_has_its_turn_after_each_slice(desk: Desk) -> None:
    for name in ("read 1", "read 2", "send 1", "read 3", "send 2"):
        desk.come(name)
    assert desk.served == ["read 1"]  # it used the slice up
    turns = []
    for _ in range(4):
        await asyncio.sleep(0)
        turns.append(desk.served[-1])
    assert turns == ["send 1", "send 2", "read 2", "read 3"]
    assert desk.waits == [(False, 0), (True, 0), (True, 1), (False, 2), (False, 3)]


async def test_a_read_gives_way_to_the_transactions_of_ten_milliseconds_and_no_more(desk: Desk) -> None:
    desk.come("send 0")
    desk.come("read")
    for number in range(1, 30):
        desk.come(f"send {number}")
        await asyncio.sleep(0)
        if "read" in desk.served:
            break
    # Those that came less than 10 ms after it are before it, all others behind.
    assert desk.served[-2:] == ["send 10", "read"]
    assert desk.waits[-1] == (False, 10)


async def test_equals_are_served_in_the_order_in_which_they_came(desk: Desk) -> None:
    names = [f"read {number}" for number in range(20)]
    for name in names:
        desk.come(name)
    for _ in names:
        await asyncio.sleep(0)
    assert desk.served == names


async def test_who_came_earlier_is_served_earlier_though_he_asks_later(desk: Desk) -> None:
    desk.come("send 1")
    desk.come("send 2")
    desk.turns.wait(b"send 0", MonoNs(desk.now - MS), lambda: desk.served.append("send 0"))
    for _ in range(2):
        await asyncio.sleep(0)
    assert desk.served == ["send 1", "send 0", "send 2"]


async def test_a_failing_request_costs_nobody_else_his_turn(desk: Desk) -> None:
    failures: list[BaseException | None] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: failures.append(told.get("exception")))

    def fail() -> None:
        raise ZeroDivisionError

    desk.come("send 1")
    desk.turns.wait(b"send 2", desk.now, fail)
    desk.come("send 3")
    for _ in range(3):
        await asyncio.sleep(0)
    assert desk.served == ["send 1", "send 3"]
    assert [type(failure) for failure in failures] == [ZeroDivisionError]
