"""When what is read had come."""

import select
import socket
from collections.abc import Iterator
from itertools import count

import pytest

from slotzero.localnet import arrivals as module
from slotzero.localnet.arrivals import Arrivals

pytestmark = pytest.mark.skipif(not hasattr(select, "epoll"), reason="this system has no epoll")


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


@pytest.fixture
def arrivals(monkeypatch: pytest.MonkeyPatch) -> Arrivals:
    """Return one whose clock shows 1 at its first look, 2 at the second, and so on."""
    ticks = count(1)
    monkeypatch.setattr(module, "mono_ns", lambda: next(ticks))
    return Arrivals()


def test_what_comes_between_two_looks_has_come_at_the_second(
    arrivals: Arrivals, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    arrivals.watch(ours.fileno())
    arrivals.look()
    theirs.send(b"x")
    arrivals.look()  # 2
    arrivals.look()
    theirs.send(b"y")  # more of the same that has not been read
    arrivals.look()
    assert arrivals.take(ours.fileno()) == 2


def test_what_nobody_has_looked_at_before_it_was_read_has_come_now(
    arrivals: Arrivals, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    arrivals.watch(ours.fileno())
    for expected in (1, 2):
        theirs.send(b"x")
        assert arrivals.take(ours.fileno()) == expected


def test_a_socket_that_is_forgotten_is_not_looked_at(
    arrivals: Arrivals, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    arrivals.watch(ours.fileno())
    arrivals.forget(ours.fileno())
    theirs.send(b"x")
    arrivals.look()  # 1
    assert arrivals.take(ours.fileno()) == 3  # the take's own look is 2, and then it is now


def test_a_number_that_is_used_again_has_no_past(arrivals: Arrivals) -> None:
    ours, theirs = socket.socketpair()
    number = ours.fileno()
    arrivals.watch(number)
    theirs.send(b"x")
    arrivals.look()
    ours.close()
    theirs.close()
    ours, theirs = socket.socketpair()
    assert number in (ours.fileno(), theirs.fileno())
    mine, other = (ours, theirs) if ours.fileno() == number else (theirs, ours)
    arrivals.watch(number)
    arrivals.look()  # 2
    other.send(b"x")
    arrivals.look()  # 3
    assert arrivals.take(number) == 3
    mine.close()
    other.close()
