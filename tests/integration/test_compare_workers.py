"""Real worker processes: what they measure, and what becomes of them when the measured code misbehaves."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from compare_lab import program, side
from slotzero.errors import WorkerError
from slotzero.perf.compare.workers import Reply, Side, Worker

TOY = """
import os, sys, time

import asyncio

print("printed while loading")


def plain():
    print("printed while measured")


async def asynchronous():
    await asyncio.sleep(0)


def unawaited():
    return asynchronous()


def fails():
    raise LookupError("no such coin")


async def fails_in_a_group():
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.to_thread(fails))


def dies():
    sys.stderr.write("out of luck\\n")
    sys.stderr.flush()
    os._exit(7)


def hangs():
    time.sleep(600)
"""
WAIT_MS = 20_000


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    with Worker(side(program(tmp_path / "toy", TOY)), {}) as made:
        made.await_ready()
        yield made


def load(worker: Worker, name: str, target: str | None = None, root: str | None = None) -> Reply:
    request = {"do": "load", "name": name, "target": target or f"toy:{name}", "package": None, "root": root}
    return worker.ask(request, f"loading {name}", WAIT_MS)


def block(worker: Worker, name: str, *, loops: int = 1, timeout_ms: int = WAIT_MS) -> Reply:
    request = {"do": "block", "name": name, "calls": 12, "dropped": 2, "loops": loops}
    return worker.ask(request, f"running a block of {name}", timeout_ms)


@pytest.mark.parametrize("name", ["plain", "asynchronous"])
@pytest.mark.parametrize("loops", [1, 5])
def test_block_gives_a_duration_for_each_call_that_counts(worker: Worker, name: str, loops: int) -> None:
    assert load(worker, name).ok
    reply = block(worker, name, loops=loops)
    assert reply.ns is not None
    assert len(reply.ns) == 10
    assert min(reply.ns) > 0


def test_what_is_not_there_is_missing(worker: Worker) -> None:
    assert load(worker, "absent").missing == "AttributeError: module 'toy' has no attribute 'absent'"
    assert load(worker, "gone", "gone:tick").missing == "ModuleNotFoundError: No module named 'gone'"


def test_coroutine_nobody_awaits_fails_hard(worker: Worker) -> None:
    load(worker, "unawaited")
    reply = block(worker, "unawaited")
    assert (reply.ns, reply.failed) == (
        None,
        "TypeError: it returned coroutine that nobody awaits; pass an `async def` function instead",
    )


@pytest.mark.parametrize("name", ["fails", "fails_in_a_group"])
def test_error_of_the_measured_code_is_an_answer(worker: Worker, name: str) -> None:
    load(worker, name)
    assert block(worker, name).failed == "LookupError: no such coin"
    assert load(worker, "plain").ok  # and it lives on


def test_code_from_elsewhere_is_refused(worker: Worker, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    missing = load(worker, "plain", root=str(elsewhere)).missing
    assert missing is not None
    assert "outside of" in missing


def test_death_is_one_sentence(worker: Worker) -> None:
    load(worker, "dies")
    with pytest.raises(WorkerError) as caught:
        block(worker, "dies")
    assert str(caught.value) == (
        "the worker of BASE ended with exit code 7 while running a block of dies; it last wrote: out of luck"
    )


def test_hang_is_one_sentence_and_ends_the_process(worker: Worker) -> None:
    load(worker, "hangs")
    with pytest.raises(WorkerError) as caught:
        block(worker, "hangs", timeout_ms=300)
    assert str(caught.value).startswith(
        "the worker of BASE did not answer within 0.3 s while running a block of hangs; it was ended"
    )
    worker.close()
    assert worker._process.returncode == -9


def test_interpreter_that_is_not_there_is_one_sentence() -> None:
    with pytest.raises(WorkerError, match="the worker of NEW cannot be started: "):
        Worker(Side(label="NEW", python="/nowhere/python"), {})


def test_nonsense_is_one_sentence(tmp_path: Path) -> None:
    parrot = tmp_path / "parrot"
    parrot.write_text("#!/bin/sh\necho hello\ncat >/dev/null\n")
    parrot.chmod(0o755)
    with (
        Worker(Side(label="BASE", python=str(parrot)), {}) as worker,
        pytest.raises(WorkerError, match="answered nonsense while starting: hello"),
    ):
        worker.await_ready()


def test_end_of_stdin_ends_the_worker(worker: Worker) -> None:
    worker.close()
    worker.close()
    assert worker._process.returncode == 0
