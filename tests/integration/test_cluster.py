"""Distributed load on a real Dask cluster of this machine: its start, its merging, and what becomes of lost shards."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import dask
import msgspec
import pytest
from distributed import Client, LocalCluster

from cluster_target import with_argument
from slotzero.errors import UsageError
from slotzero.perf import shard
from slotzero.perf.cluster import ClusterLoadService
from slotzero.perf.load_document import load_outcomes
from slotzero.perf.load_types import LoadFailure, LoadOutcome, LoadProgress, LoadResult, LoadTestConfig
from slotzero.perf.result_file import read_result_file
from slotzero.perf.shard import ClockReading
from slotzero.perf.thresholds import Threshold

WORKERS = 3
connected: Callable[..., Client] = Client  # not typed
LEAD_S = 0.3


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """A scheduler somebody else has started, with defaults somebody else has chosen."""
    make: Callable[..., LocalCluster] = LocalCluster  # not typed
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "10s"}),
        make(
            n_workers=WORKERS,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=50,
        ) as running,
    ):
        address: str = running.scheduler_address
        yield address


@pytest.fixture(autouse=True)
def short_lead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slotzero.perf.cluster._LEAST_LEAD_S", LEAD_S)
    # A machine busy with other tests may keep a healthy worker waiting for seconds.
    monkeypatch.setattr("slotzero.perf.shard_merge._LOST_AFTER_BEATS", 5)


def config(**changes: object) -> LoadTestConfig:
    made = LoadTestConfig(scenario="test", duration=1, target_ops=300, graceful_stop_s=5, window_s=0.5, catch_up_s=30)
    return msgspec.structs.replace(made, **changes)


async def measured(address: str, target: object, wanted: LoadTestConfig, **more: object) -> LoadResult:
    outcome: LoadOutcome = await ClusterLoadService(address).run(target, wanted, **more)  # type: ignore[arg-type]
    assert isinstance(outcome, LoadResult), str(outcome)
    return outcome


async def test_shards_together_run_the_plan_and_are_merged_live(cluster: str) -> None:
    seen: list[LoadProgress] = []
    limits = (Threshold(metric="total_ops", limit=300), Threshold(metric="success_percent", limit=99))
    result = await measured(cluster, "cluster_target:short_wait", config(thresholds=limits), on_progress=seen.append)
    assert (result.total_ops, result.generator.planned, result.generator.started) == (300, 300, 300)
    assert [found.state for found in result.shards] == ["finished"] * WORKERS
    assert [found.total_ops for found in result.shards] == [100, 100, 100]
    assert result.latency_ms is not None
    assert result.latency_ms.count == 300
    assert [found.met for found in result.thresholds] == [True, True]
    assert sum(window.ops for window in result.timeline) == 300
    assert seen
    assert 0 < seen[0].total_ops <= 300
    assert set(result.resources) == {"shard-0", "shard-1", "shard-2"}


async def test_a10_shards_of_one_machine_share_its_clock(cluster: str) -> None:
    result = await measured(cluster, "cluster_target:short_wait", config(duration=0.5))
    for found in result.shards:
        assert found.clock.same_machine
        assert abs(found.clock.offset_ms) <= found.clock.uncertainty_ms + 5
        assert found.start_skew_ms is not None


async def test_errors_are_merged_and_users_shared_out(cluster: str) -> None:
    result = await measured(
        cluster, "cluster_target:fail_now_and_then", config(target_ops=None, concurrency=4, duration=0.6)
    )
    assert (result.model, result.concurrency) == ("closed", 4)
    assert result.errors["connection"] == sum(result.errors.values()) > 0
    assert len(result.error_details) == 1
    assert result.error_details[0].code == "refused"
    assert result.total_ops == sum(found.total_ops for found in result.shards)
    assert all(found.total_ops > 0 for found in result.shards)


async def test_places_in_flight_are_those_of_the_whole_run(cluster: str) -> None:
    result = await measured(cluster, "cluster_target:short_wait", config(max_in_flight=1, target_ops=100))
    assert (result.concurrency, result.peak_in_flight, len(result.shards)) == (1, 1, 1)
    assert result.total_ops == 100


async def test_callable_that_needs_arguments_is_refused_before_anything_starts() -> None:
    with pytest.raises(UsageError, match="cannot be called without arguments"):
        await ClusterLoadService("local:2").run(with_argument, config())  # type: ignore[arg-type]  # that is the test


async def test_callable_itself_is_carried_to_the_workers(cluster: str) -> None:
    pause_s = 0.001

    async def operation() -> None:
        await asyncio.sleep(pause_s)

    result = await measured(cluster, operation, config(duration=0.5))
    assert result.total_ops == 150


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("no_such_module:thing", "cannot be imported"),
        ("cluster_target:not_async", "instead of something to await"),
        ("cluster_target:with_argument", "cannot be called without arguments"),
    ],
)
async def test_target_that_cannot_run_is_a_typed_failure(cluster: str, target: str, sentence: str) -> None:
    outcome = await ClusterLoadService(cluster).run(target, config(duration=0.5))
    assert isinstance(outcome, LoadFailure)
    assert sentence in str(outcome)


async def test_threshold_on_the_merged_windows_aborts_all_shards(cluster: str) -> None:
    limit = Threshold(metric="success_percent", limit=90, scope="window", abort=True)
    result = await measured(
        cluster,
        "cluster_target:fail_now_and_then",
        config(duration=60, thresholds=(limit,), target_ops=None, concurrency=3),
    )
    assert (result.stopped, result.passed) == ("aborted", False)
    assert result.duration_s < 30
    assert [found.state for found in result.shards] == ["finished"] * WORKERS
    assert "success_percent>=90" in result.incidents[0].what


async def test_stop_ends_all_shards_with_what_they_have(cluster: str) -> None:
    stop = asyncio.Event()
    result = await measured(
        cluster,
        "cluster_target:short_wait",
        config(duration=60),
        stop=stop,
        on_progress=lambda _: stop.set(),
    )
    assert result.stopped == "interrupted"
    assert result.total_ops > 0
    assert [found.state for found in result.shards] == ["finished"] * WORKERS


def test_interrupt_from_a_terminal_loses_no_worker_of_this_machine(tmp_path: Path) -> None:
    """A terminal's Ctrl-C goes to all processes of the group: the coordinator and its workers."""
    file = tmp_path / "out.json"
    words = ["load", "mine", "--target", "cluster_target:announce", "--cluster-address", "local:2", "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "slotzero", *words, str(file)],
        stdout=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"first operation\n"  # of a worker
        os.killpg(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=50)
    finally:
        process.kill()
    assert process.returncode == 130, output
    [outcome] = load_outcomes(read_result_file(file), str(file))
    assert isinstance(outcome, LoadResult)
    assert outcome.stopped == "interrupted"
    assert [found.state for found in outcome.shards] == ["finished", "finished"]


async def test_a10_clocks_that_disagree_refuse_the_run(cluster: str) -> None:
    def shift(by_ms: int) -> None:
        def read() -> ClockReading:
            found = original()
            return msgspec.structs.replace(found, wall_ns=found.wall_ns + by_ms * 1_000_000)

        original = shard.read_clocks
        shard.read_clocks = read  # in the worker's process: its clock is off

    def unshift() -> None:
        import importlib  # noqa: PLC0415 on the worker

        importlib.reload(shard)

    async with connected(cluster, asynchronous=True, set_as_default=False) as client:
        await client.run(shift, 700)
        try:
            outcome = await ClusterLoadService(cluster).run("cluster_target:short_wait", config())
        finally:
            await client.run(unshift)
    assert isinstance(outcome, LoadFailure)
    assert "ms from ours (at most 100 ms): synchronise both" in str(outcome)


async def test_a7_lost_shards_keep_their_figures_and_are_never_run_again(cluster: str) -> None:
    pids: list[int] = []

    def progress(said: LoadProgress) -> None:
        if said.shards == WORKERS and not signalled:  # something of every shard is known by now
            signalled.append(said)
            os.kill(pids[0], signal.SIGSTOP)
            os.kill(pids[1], signal.SIGKILL)

    signalled: list[LoadProgress] = []
    try:
        result = await measured(
            cluster,
            "cluster_target:short_wait",
            config(duration=3),
            on_armed=lambda found: pids.extend(found[worker] for worker in sorted(found)),
            on_progress=progress,
        )
    finally:
        os.kill(pids[0], signal.SIGCONT)
    stopped, killed, other = result.shards
    assert (result.generator.verdict, result.passed) == ("degraded", False)
    assert [found.state for found in result.shards] == ["lost", "lost", "finished"]
    assert "nothing was heard of it" in stopped.why
    assert killed.why == "its worker died"
    for lost in (stopped, killed):
        assert lost.lost_at_s is not None
        assert lost.lost_at_s >= lost.last_snapshot_s > 0
        assert 0 < lost.total_ops < 300
        assert any(f"shard {lost.shard} on {lost.worker} was lost" in reason for reason in result.generator.reasons)
    # Nobody fired the lost shares: all that counts is what was measured until then.
    assert (result.generator.planned, other.total_ops, other.missed_starts) == (900, 300, 0)
    assert result.total_ops == stopped.total_ops + killed.total_ops + 300
    assert len(result.incidents) == 2


async def test_scheduler_keeps_its_own_settings(cluster: str) -> None:
    def allowed(dask_scheduler: object = None) -> int:
        found: int = dask_scheduler.allowed_failures  # type: ignore[attr-defined]  # it is the scheduler
        return found

    async with connected(cluster, asynchronous=True, set_as_default=False) as client:
        assert await client.run_on_scheduler(allowed) == dask.config.get("distributed.scheduler.allowed-failures") == 3


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("tcp://192.0.2.7:8786", "neither on this machine nor TLS"),
        ("load.example:8786", "neither on this machine nor TLS"),
        ("tls://192.0.2.7:8786", "no certificate is configured"),
        ("local:0", "local:1 to local:256"),
        ("local:many", "local:1 to local:256"),
    ],
)
async def test_address_that_is_not_safe_is_refused(address: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        await ClusterLoadService(address).run("cluster_target:short_wait", config())


async def test_scheduler_that_is_not_there_is_a_typed_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slotzero.perf.cluster._CONNECT_TIMEOUT_S", 0.5)
    outcome = await ClusterLoadService("tcp://127.0.0.1:9").run("cluster_target:short_wait", config())
    assert isinstance(outcome, LoadFailure)
    assert "no scheduler answers at tcp://127.0.0.1:9" in str(outcome)
