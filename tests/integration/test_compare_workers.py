"""Real worker processes: what they measure, and what becomes of them when the measured code misbehaves."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from compare_lab import program, side
from slotzero.errors import WorkerError
from slotzero.perf.compare import paired
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


SURROUNDED = """
import asyncio, contextlib, os, pathlib, sys
from itertools import count

HERE = pathlib.Path(__file__).parent
CHILD = "import pathlib, sys; sys.stdin.read(); pathlib.Path(sys.argv[1], 'child ended').touch()"


@contextlib.asynccontextmanager
async def standing():
    command = (sys.executable, "-c", CHILD, HERE)
    child = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.PIPE)
    (HERE / "cores").write_text(" ".join(map(str, sorted(os.sched_getaffinity(child.pid)))))
    told = count(1_000)

    async def sample():
        await asyncio.sleep(0.002)
        return next(told)

    try:
        yield sample
    finally:
        child.stdin.close()
        (HERE / "closed").write_text(str(await child.wait()))


@contextlib.asynccontextmanager
async def failing():
    async def sample():
        raise LookupError("no such coin")

    yield sample


@contextlib.asynccontextmanager
async def never():
    raise LookupError("no such chain")
    yield


@contextlib.asynccontextmanager
async def falling():
    async def fall():
        await asyncio.sleep(0.05)
        raise LookupError("the chain is gone")

    async with asyncio.TaskGroup() as group:
        group.create_task(fall())
        yield asyncio.Event().wait
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package of workloads with surroundings."""
    folder = tmp_path / "workloads"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "toy.py").write_text(SURROUNDED)
    return folder


@pytest.fixture(params=["asyncio", "uvloop"])
def surrounded(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Worker]:
    """A worker of a version, on each event loop, pinned where there are several cores."""
    version = msgspec.structs.replace(side(program(tmp_path / "toy", TOY)), event_loop=request.param)
    with Worker(version, paired._core()) as made:
        made.await_ready()
        yield made


def build(worker: Worker, package: Path, name: str) -> Reply:
    request = {"do": "load", "name": name, "target": f"toy:{name}", "package": str(package), "root": None}
    return worker.ask(request, f"loading {name}", WAIT_MS)


def test_time_that_is_told_is_what_is_reported_and_calls_are_not_grouped(surrounded: Worker, package: Path) -> None:
    assert build(surrounded, package, "standing").ok
    reply = block(surrounded, "standing", loops=50)
    assert reply.ns == list(range(1_002, 1_012))
    assert reply.call_ns is not None
    assert reply.call_ns > 1_000_000  # how long one lasted, not what it told


def test_surroundings_stand_from_block_to_block_and_are_closed_at_the_end(surrounded: Worker, package: Path) -> None:
    build(surrounded, package, "standing")
    block(surrounded, "standing")
    block(surrounded, "standing")
    assert not (package / "child ended").exists()
    surrounded.close()
    assert (surrounded._process.returncode, (package / "closed").read_text()) == (0, "0")
    assert (package / "child ended").exists()


def test_processes_of_the_surroundings_keep_off_the_core_of_the_blocks(surrounded: Worker, package: Path) -> None:
    build(surrounded, package, "standing")
    cores = {int(core) for core in (package / "cores").read_text().split()}
    mine = os.sched_getaffinity(surrounded._process.pid)
    assert cores == (os.sched_getaffinity(0) - mine or mine)


def test_killed_worker_leaves_no_process_that_lives_by_its_stdin(surrounded: Worker, package: Path) -> None:
    build(surrounded, package, "standing")
    surrounded._process.kill()
    while not (package / "child ended").exists():
        time.sleep(0.01)


def test_sample_that_fails_is_an_answer_and_so_are_surroundings_that_do(surrounded: Worker, package: Path) -> None:
    assert build(surrounded, package, "failing").ok
    assert block(surrounded, "failing").failed == "LookupError: no such coin"
    assert build(surrounded, package, "never").missing == "LookupError: no such chain"
    assert build(surrounded, package, "falling").ok
    assert block(surrounded, "falling").failed == "LookupError: the chain is gone"
    assert block(surrounded, "failing").failed == "LookupError: no such coin"  # and it lives on
