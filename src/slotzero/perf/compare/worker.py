"""The process that runs one version's blocks: a script of its own, run by that version's interpreter.

It imports nothing but the standard library and what it is told to measure, so that one and the same harness drives
versions of any age. It is started as `python -P worker.py`, with the version's sources on PYTHONPATH, and speaks JSON
lines: requests on stdin, one reply each on what was stdout when it started. Whatever the measured code prints goes to
stderr. The end of stdin ends it.

    {"do": "load", "name": N, "target": T, "package": DIR | null, "root": DIR | null}
                                                 -> {"ok": true} | {"missing": "why"}
    {"do": "block", "name": N, "calls": C, "dropped": D, "loops": L}  -> {"ns": [...]} | {"failed": "why"}
                                                 "call_ns": N beside "ns" where calls tell their own time

T is `module:callable`. With a `package`, the folder of that name is loaded as a package and T is a module in it whose
callable *builds* what is measured; without, T itself is measured. Where the code of module T lies outside `root` it is
refused: it would be somebody else's version.

What is built may also be an async context manager. Its surroundings stay up to the end, and it yields an async function
whose calls *return* how many nanoseconds they took: what else a call does is outside of its clock. `loops` is of no
meaning there, and the reply says how long a call really lasts.

The loops below are the lab's hottest: they subtract instants themselves and read the clock directly.
"""

import asyncio
import gc
import importlib
import importlib.util
import inspect
import json
import os
import pathlib
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from time import perf_counter_ns
from typing import TextIO, cast

__all__ = ["main"]

_PACKAGE = "measured_workloads"
_SHORT = 300
_CORE = "SLOTZERO_WORKER_CORE"
_ALLOWED = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()  # not on macOS


class _Workload:
    """A callable that was loaded, and whether it must be awaited.

    One with surroundings tells itself how long it took; `standing` is the task that holds them.
    """

    def __init__(self, fn: Callable[[], object], standing: asyncio.Task[None] | None = None) -> None:
        self.fn = fn
        self.standing = standing
        self.is_async = inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(
            getattr(fn, "__call__", None)  # noqa: B004 its kind, not whether it is there
        )


def main() -> None:
    """Answer requests until stdin ends."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # what the measured code prints is no reply of ours
    core = os.environ.get(_CORE)
    if core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(core)})
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        _serve(runner, replies)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if os.environ.get("SLOTZERO_WORKER_LOOP") != "uvloop":
        return None
    uvloop = importlib.import_module("uvloop")
    return cast("Callable[[], asyncio.AbstractEventLoop]", uvloop.new_event_loop)


def _serve(runner: asyncio.Runner, replies: TextIO) -> None:
    loaded: dict[str, _Workload] = {}
    replies.write(json.dumps({"ready": True, "python": sys.version.split()[0]}) + "\n")
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["do"] == "load":
                loaded[request["name"]] = runner.run(_load(request["target"], request["package"], request["root"]))
                gc.collect()
                gc.freeze()  # what was loaded is not to be searched during somebody's block
                reply: dict[str, object] = {"ok": True}
            else:
                reply = runner.run(_block(loaded[request["name"]], request))
        except Exception as raised:  # noqa: BLE001 whatever measured code raises is an answer, not our end
            error: BaseException = raised
            while isinstance(error, BaseExceptionGroup):
                error = error.exceptions[0]  # the first leaf says more than the group
            text = f"{type(error).__name__}: {error}"[:_SHORT]
            reply = {"missing" if request["do"] == "load" else "failed": text}
        replies.write(json.dumps(reply) + "\n")


async def _load(target: str, package: str | None, root: str | None) -> _Workload:
    """Load within the event loop: parts of a program may ask for it when they are made."""
    module_name, _, attribute = target.partition(":")
    if package is None:
        module = importlib.import_module(module_name)
        _refuse_strangers(module_name.partition(".")[0], root)
        return _Workload(getattr(module, attribute))
    if _PACKAGE not in sys.modules:
        folder = pathlib.Path(package)
        spec = importlib.util.spec_from_file_location(
            _PACKAGE, folder / "__init__.py", submodule_search_locations=[package]
        )
        assert spec is not None
        assert spec.loader is not None
        made = importlib.util.module_from_spec(spec)
        sys.modules[_PACKAGE] = made
        spec.loader.exec_module(made)
    made_of = getattr(importlib.import_module(f"{_PACKAGE}.{module_name}"), attribute)()
    _refuse_strangers("slotzero", root)
    if not isinstance(made_of, AbstractAsyncContextManager):
        return _Workload(made_of)
    with _off_the_core():
        return await _standing(made_of)


@contextmanager
def _off_the_core() -> Iterator[None]:
    """Start processes beside the core of the blocks: they inherit where we run, and would take turns with us there."""
    core = os.environ.get(_CORE)
    if core is None or not hasattr(os, "sched_setaffinity"):
        yield
        return
    os.sched_setaffinity(0, _ALLOWED - {int(core)} or _ALLOWED)
    try:
        yield
    finally:
        os.sched_setaffinity(0, {int(core)})


async def _standing(surroundings: AbstractAsyncContextManager[Callable[[], object]]) -> _Workload:
    """Enter the surroundings for good, in a task of their own, which is cancelled when the runner ends."""
    ready: asyncio.Future[Callable[[], object]] = asyncio.get_running_loop().create_future()

    async def stand() -> None:
        try:
            async with surroundings as fn:
                ready.set_result(fn)
                await asyncio.Event().wait()
        except Exception as error:
            if ready.done():
                raise
            ready.set_exception(error)

    task = asyncio.get_running_loop().create_task(stand())
    return _Workload(await ready, task)


def _refuse_strangers(top: str, root: str | None) -> None:
    """Make sure that the code measured is the version's, not an installed copy of another."""
    where = getattr(sys.modules.get(top), "__file__", None)
    if root is not None and where is not None and not pathlib.Path(where).resolve().is_relative_to(root):
        raise ImportError(f"{top} was loaded from {where}, outside of {root}")


async def _block(workload: _Workload, request: dict[str, int]) -> dict[str, object]:
    calls, dropped, loops = request["calls"], request["dropped"], request["loops"]
    if workload.standing is not None:
        return await _told(workload.fn, workload.standing, calls, dropped)
    if workload.is_async:
        taken = await _timed_async(cast("Callable[[], Awaitable[object]]", workload.fn), calls, loops)
    else:
        taken = _timed(workload.fn, calls, loops)
    return {"ns": [duration // loops for duration in taken[dropped:]]}


async def _told(fn: Callable[[], object], standing: asyncio.Task[None], calls: int, dropped: int) -> dict[str, object]:
    """Ask for durations, for as long as the surroundings stand."""
    tell = cast("Callable[[], Awaitable[int]]", fn)

    async def ask() -> list[int]:
        return [await tell() for _ in range(calls)]

    start = perf_counter_ns()
    asking = asyncio.get_running_loop().create_task(ask())
    try:
        await asyncio.wait({asking, standing}, return_when=asyncio.FIRST_COMPLETED)
        if not asking.done():
            standing.result()  # raises what brought them down
        taken = await asking
    finally:
        asking.cancel()
    return {"ns": taken[dropped:], "call_ns": (perf_counter_ns() - start) // calls}


def _timed(fn: Callable[[], object], calls: int, loops: int) -> list[int]:
    now, taken = perf_counter_ns, []
    _refuse_unawaited(fn())
    if loops == 1:
        for _ in range(calls):
            start = now()
            fn()
            taken.append(now() - start)
        return taken
    several = range(loops)
    for _ in range(calls):
        start = now()
        for _ in several:
            fn()
        taken.append(now() - start)
    return taken


async def _timed_async(fn: Callable[[], Awaitable[object]], calls: int, loops: int) -> list[int]:
    now, taken = perf_counter_ns, []
    several = range(loops)
    for _ in range(calls):
        start = now()
        for _ in several:
            await fn()
        taken.append(now() - start)
    return taken


def _refuse_unawaited(value: object) -> None:
    """Fail hard where only the creation of something would be timed."""
    if isinstance(value, Coroutine):
        value.close()
    if inspect.isawaitable(value):
        raise TypeError(f"it returned {type(value).__name__} that nobody awaits; pass an `async def` function instead")


if __name__ == "__main__":
    main()
