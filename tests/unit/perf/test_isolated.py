"""Benchmarks in processes of their own: real processes, and every way in which they can end."""

import asyncio
import subprocess
import sys
from typing import Any

import pytest

from slotzero.clock import elapsed_ns, mono_ns
from slotzero.errors import UsageError
from slotzero.perf import BenchmarkFailure, BenchmarkOptions, BenchmarkResult, BenchmarkService, procfs
from slotzero.perf.types import CallableNotFound, Progress, Stuck, SurroundingsFailed, UnawaitedResult, WorkerLost
from slotzero.perf.workload import WorkloadFactory, load_reference


def options(**changes: Any) -> BenchmarkOptions:
    defaults: dict[str, Any] = {"name": "measured", "samples": 20, "warmup": 2, "collect_resources": False}
    return BenchmarkOptions(**defaults | changes)


async def isolated(reference: str, **changes: Any) -> BenchmarkResult | BenchmarkFailure:
    more = {name: changes.pop(name) for name in ("loop", "parameters", "on_progress") if name in changes}
    return await BenchmarkService().run_isolated(reference, options(**changes), **more)


async def test_a_function_is_measured_in_a_process_of_its_own() -> None:
    found = await isolated("lab_targets:quick", collect_resources=True)
    assert isinstance(found, BenchmarkResult)
    assert (found.samples, found.sharing, found.shared_with) == (20, "process", ())
    assert found.resources is not None
    assert found.event_loop.split()[0] == "asyncio"


async def test_the_event_loop_is_an_axis() -> None:
    found = await isolated("lab_targets:quick_async", loop="uvloop")
    assert isinstance(found, BenchmarkResult)
    assert found.event_loop.split()[0] == "uvloop"


async def test_what_the_measured_code_prints_disturbs_nothing() -> None:
    found = await isolated("lab_targets:chatty")
    assert isinstance(found, BenchmarkResult)
    assert found.throughput.total_ops == 20


async def test_what_the_measured_code_reads_is_not_ours() -> None:
    found = await isolated("lab_targets:curious")
    assert isinstance(found, BenchmarkResult)
    assert found.throughput.total_ops == 20


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_hanging_samples_time_out_on_either_loop(loop: str) -> None:
    found = await isolated("lab_targets:hangs_once", loop=loop, timeout_ms=200, samples=4, warmup=0)
    assert isinstance(found, BenchmarkResult)
    assert found.errors == {"timeout": 1}
    assert found.throughput.total_ops == 3


async def test_two_run_at_once_and_name_each_other() -> None:
    service = BenchmarkService()
    one, two = await asyncio.gather(
        service.run_isolated("lab_targets:waiting", options(name="one")),
        service.run_isolated("lab_targets:waiting", options(name="two")),
    )
    assert isinstance(one, BenchmarkResult)
    assert isinstance(two, BenchmarkResult)
    assert (one.shared_with, two.shared_with) == (("two",), ("one",))


async def test_a_workload_has_surroundings_hooks_parameters_and_notes() -> None:
    found = await isolated("lab_targets:surrounded", parameters={"name": "us"}, samples=5, warmup=1)
    assert isinstance(found, BenchmarkResult)
    assert found.notes[:2] == ("for us", "6 setups, 6 teardowns, 6 checks")


async def test_a_process_that_dies_leaves_its_last_words() -> None:
    found = await isolated("lab_targets:fatal")
    assert isinstance(found, BenchmarkFailure)
    assert found.error == WorkerLost(exit_code=9, output="these are its last words")


async def test_surroundings_that_cannot_be_built_are_one_sentence() -> None:
    found = await isolated("lab_targets:broken")
    assert isinstance(found, BenchmarkFailure)
    assert found.error == SurroundingsFailed(
        reference="lab_targets:broken", kind="RuntimeError", message="the surroundings cannot be built"
    )


async def test_surroundings_that_cannot_be_taken_down_do_not_cost_the_result() -> None:
    found = await isolated("lab_targets:leaky")
    assert isinstance(found, BenchmarkResult)
    assert found.throughput.total_ops == 20
    assert found.notes[-1] == "what it needed could not be taken down in order, OSError: the connection hangs"


async def test_a_worker_outlives_its_parent_by_an_instant_only() -> None:
    code = (
        "import asyncio; from slotzero.perf import *;"
        "asyncio.run(BenchmarkService().run_isolated('lab_targets:waiting',"
        "BenchmarkOptions(name='x', samples=10_000_000)))"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    async with asyncio.timeout(30):
        while not (workers := procfs.descendants(parent.pid) or []):  # noqa: ASYNC110 the kernel tells nobody
            await asyncio.sleep(0.01)
        parent.kill()
        await parent.wait()
        while any(procfs.process_times(pid) is not None for pid in workers):  # noqa: ASYNC110 likewise
            await asyncio.sleep(0.01)


async def test_a_sample_that_cannot_be_interrupted_ends_its_process() -> None:
    found = await isolated("lab_targets:blocked", timeout_ms=100, warmup=0, samples=3)
    assert isinstance(found, BenchmarkFailure)
    assert found.error == Stuck(sample=1, timeout_ms=100)


async def test_an_unawaited_coroutine_fails_hard_there_too() -> None:
    found = await isolated("lab_targets:unawaited")
    assert isinstance(found, BenchmarkFailure)
    assert isinstance(found.error, UnawaitedResult)


@pytest.mark.parametrize(
    ("reference", "parameters"),
    [
        ("lab_targets:absent", {}),
        ("no_such_module:x", {}),
        ("lab_targets", {}),
        ("lab_targets:NUMBER", {}),
        ("lab_targets:surrounded", {"nmae": "us"}),
    ],
)
async def test_what_cannot_be_loaded_is_one_sentence(reference: str, parameters: dict[str, str]) -> None:
    found = await isolated(reference, parameters=parameters)
    assert isinstance(found, BenchmarkFailure)
    assert isinstance(found.error, CallableNotFound)
    assert "\n" not in str(found)


async def test_progress_comes_through_and_stopping_keeps_what_there_is() -> None:
    seen: list[Progress] = []

    def on_progress(progress: Progress) -> bool:
        seen.append(progress)
        return progress.phase == "measure" and progress.made > 10

    found = await isolated("lab_targets:waiting", samples=100_000, on_progress=on_progress)
    assert isinstance(found, BenchmarkResult)
    assert found.stopped
    assert 10 < found.samples < 100_000
    assert seen[-1].of == 100_000


async def test_cancelling_ends_the_process() -> None:
    started = asyncio.Event()

    def on_progress(_progress: Progress) -> None:
        started.set()

    began = mono_ns()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(isolated("lab_targets:waiting", samples=10_000_000, on_progress=on_progress))
        await started.wait()
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled()
    assert elapsed_ns(began, mono_ns()) < 20e9, "it ended with its stdin, and was not waited for"


def test_the_worker_by_itself_says_what_it_is() -> None:
    ended = subprocess.run([sys.executable, "-m", "slotzero.perf.worker"], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "started by slotzero.perf itself" in ended.stderr


# ---- references ----------------------------------------------------------------------------------------------------


def test_references_name_attributes_of_attributes() -> None:
    found = load_reference("os:path.basename")
    assert getattr(found, "__name__", "") == "basename"
    assert isinstance(load_reference("lab_targets:surrounded"), WorkloadFactory)


async def test_a_workload_opens_with_the_defaults() -> None:
    factory = load_reference("lab_targets:surrounded")
    assert isinstance(factory, WorkloadFactory)
    assert factory.__doc__ == "Count what belongs to each sample."
    async with factory.open() as made:
        assert made.run() == "nobody"
    with pytest.raises(UsageError, match="no parameter size; it has: name"):
        factory.open(size="1")


def test_importing_the_lab_loads_none_of_the_heavy_parts() -> None:
    code = (
        "import sys, slotzero.perf, slotzero.perf.result_file;"
        "heavy = {'solders', 'aiohttp', 'grpc', 'picows', 'uvloop', 'numpy', 'nacl', 'rich', 'typer'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"
