"""Whose turn it is, and how long everybody has waited."""

import asyncio
from collections.abc import Callable

import pytest

from slotzero.localnet import turns as module
from slotzero.localnet.turns import Turns
from slotzero.units import DurationNs, MonoNs

MS = 1_000_000


class Desk:
    """A clock set by hand, turns by it, and what has happened: to serve takes 1 ms, to settle a tenth of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = MonoNs(1_000 * MS)
        self.log: list[str] = []
        self.waits: list[tuple[bool, int]] = []
        monkeypatch.setattr(module, "mono_ns", lambda: self.now)
        monkeypatch.setattr(module, "_SLICE", MS)
        self.turns = Turns(lambda body: body.startswith(b"send"), self._on_begin, self._settle)

    def come(self, name: str, ago_ms: int = 0) -> None:
        """Have a request come, or have come some milliseconds ago."""
        came = MonoNs(self.now - ago_ms * MS)
        self.turns.wait(name.encode(), came, came, self._serve(name))

    @property
    def served(self) -> list[str]:
        """What was served, without what was settled and answered."""
        return [line for line in self.log if line.startswith(("read", "send"))]

    def _serve(self, name: str) -> Callable[[], None]:
        def serve() -> None:
            self.log.append(name)
            self.now = MonoNs(self.now + MS)
            self.turns.answer(lambda: self.log.append(f"answer {name}"))

        return serve

    def _settle(self) -> None:
        self.log.append("settle")
        self.now = MonoNs(self.now + MS // 10)

    def _on_begin(self, is_transaction: bool, wait: DurationNs) -> None:  # noqa: FBT001 a callback
        self.waits.append((is_transaction, wait // MS))


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(monkeypatch)


async def turns_of_the_loop(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_what_comes_alone_is_served_in_the_next_turn_and_has_not_waited(desk: Desk) -> None:
    for name in ("read 1", "send 1", "read 2"):
        desk.come(name)
        await turns_of_the_loop(2)
    assert desk.log == ["read 1", "answer read 1", "send 1", "settle", "answer send 1", "read 2", "answer read 2"]
    assert desk.waits == [(False, 0), (True, 0), (False, 0)]


async def test_transactions_overtake_reads_and_the_loop_has_its_turn_after_each_slice(desk: Desk) -> None:
    for name in ("read 1", "read 2", "send 1", "read 3", "send 2"):
        desk.come(name)
    assert not desk.log
    seen = []
    for _ in range(5):
        await turns_of_the_loop(1)
        seen.append(desk.served[-1])
    assert seen == ["send 1", "send 2", "read 1", "read 2", "read 3"]
    assert desk.waits == [(True, 0), (True, 1), (False, 2), (False, 3), (False, 4)]


async def test_what_transactions_leave_is_told_before_anybody_reads(desk: Desk) -> None:
    for name in ("send 1", "send 2", "read"):
        desk.come(name)
    await turns_of_the_loop(4)
    told = ["settle", "answer send 1", "settle", "answer send 2"]
    assert desk.log == ["send 1", "send 2", *told, "read", "answer read"]


async def test_nobody_is_answered_later_than_twenty_milliseconds_while_transactions_come(desk: Desk) -> None:
    for number in range(40):
        desk.come(f"send {number}")
        await turns_of_the_loop(1)
    first = desk.log.index("answer send 0")
    assert desk.log[:first] == [*(f"send {number}" for number in range(21)), "settle"]
    # One is told for each that is executed from now on, so that none of them is answered later.
    assert desk.log[first + 1 :][:3] == ["send 21", "settle", "answer send 1"]


async def test_somebody_who_cannot_wait_has_all_told(desk: Desk) -> None:
    for name in ("send 1", "send 2", "send 3"):
        desk.come(name)
    await turns_of_the_loop(2)
    desk.turns.tell_all()
    assert desk.log == ["send 1", "send 2", "settle", "answer send 1", "settle", "answer send 2"]
    await turns_of_the_loop(1)
    assert desk.served[-1] == "send 3"


async def test_a_read_gives_way_for_a_hundred_milliseconds_and_no_more(desk: Desk) -> None:
    desk.come("read")
    for number in range(200):
        desk.come(f"send {number}")
        await turns_of_the_loop(1)
        if "read" in desk.served:
            break
    assert desk.waits[-1][0] is False
    assert 100 <= desk.waits[-1][1] < 130


async def test_when_a_transaction_has_waited_for_long_all_are_served_as_they_came(desk: Desk) -> None:
    desk.come("send 2", ago_ms=28)
    desk.come("read 1", ago_ms=29)
    desk.come("send 1", ago_ms=32)
    desk.come("read 0", ago_ms=33)
    await turns_of_the_loop(8)
    # The first transaction has waited for 31 ms when the second one's turn comes, which has waited for 29.
    assert desk.served == ["read 0", "send 1", "read 1", "send 2"]


async def test_equals_are_served_in_the_order_in_which_they_came(desk: Desk) -> None:
    names = [f"read {number}" for number in range(20)]
    for name in names:
        desk.come(name)
    await turns_of_the_loop(len(names))
    assert desk.served == names


async def test_who_came_earlier_is_served_earlier_though_he_asks_later(desk: Desk) -> None:
    desk.come("send 1")
    desk.come("send 2")
    desk.come("send 0", ago_ms=1)
    await turns_of_the_loop(3)
    assert desk.served == ["send 0", "send 1", "send 2"]


async def test_who_was_behind_another_request_of_his_own_has_waited_for_it_but_has_his_turn_later(desk: Desk) -> None:
    desk.turns.wait(b"send 1", MonoNs(desk.now - 5 * MS), desk.now, lambda: desk.log.append("send 1"))
    desk.come("send 0", ago_ms=2)
    await turns_of_the_loop(1)
    assert (desk.served, desk.waits) == (["send 0"], [(True, 2)])
    await turns_of_the_loop(1)
    assert (desk.served, desk.waits[-1]) == (["send 0", "send 1"], (True, 6))


async def test_a_failing_request_costs_nobody_else_his_turn(desk: Desk) -> None:
    failures: list[BaseException | None] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: failures.append(told.get("exception")))

    def fail() -> None:
        raise ZeroDivisionError

    desk.come("send 1")
    desk.turns.wait(b"send 2", desk.now, desk.now, fail)
    desk.come("send 3")
    await turns_of_the_loop(6)
    assert desk.log.count("settle") == 2
    assert desk.served == ["send 1", "send 3"]
    assert [type(failure) for failure in failures] == [ZeroDivisionError]


async def test_a_failing_listener_costs_nobody_his_answer(monkeypatch: pytest.MonkeyPatch, desk: Desk) -> None:
    failures: list[BaseException | None] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: failures.append(told.get("exception")))

    def fail() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(desk.turns, "_settle_next", fail)
    desk.come("send 1")
    desk.come("send 2")
    await turns_of_the_loop(6)
    assert desk.log == ["send 1", "send 2", "answer send 1", "answer send 2"]
    assert len(failures) == 2
