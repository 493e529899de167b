import asyncio
import gc
import time

from slotzero.perf.benchmark import BenchmarkService
from slotzero.perf.evidence import Stage, sample_of
from slotzero.perf.evidence_watch import EvidenceWatch
from slotzero.perf.replay import critical_path, replayed_ns
from slotzero.perf.stages import StageTape
from slotzero.perf.types import BenchmarkOptions, BenchmarkResult
from slotzero.trace import Component, Stamp, Trace

MS = 1_000_000


def _names(stages: tuple[Stage, ...]) -> list[tuple[str, int]]:
    return [(stage.name, stage.parent) for stage in stages]


def test_tape_keeps_stages_within_stages() -> None:
    tape = StageTape()
    with tape.sample():
        with tape.own("decode"):
            pass
        with tape.lookup("metadata") as look:
            look.miss()
            with tape.call("getAccountInfo", endpoint="node"):
                pass

    (one,) = tape.samples
    assert _names(one.stages) == [("decode", -1), ("metadata", -1), ("getAccountInfo", 1)]
    assert [stage.cache for stage in one.stages] == ["", "miss", ""]
    assert [stage.is_own for stage in one.stages] == [True, False, False]


async def test_tape_keeps_samples_of_concurrent_tasks_apart() -> None:
    tape = StageTape()

    async def snipe(name: str) -> None:
        with tape.sample():
            await asyncio.sleep(0)
            with tape.own(name):
                await asyncio.sleep(0)

    await asyncio.gather(*(snipe(f"s{n}") for n in range(5)))

    assert sorted(_names(one.stages)[0][0] for one in tape.samples) == ["s0", "s1", "s2", "s3", "s4"]


async def test_stage_of_a_task_that_outlives_the_sample_is_left_out() -> None:
    tape = StageTape()
    go_on = asyncio.Event()

    async def left_running() -> None:
        with tape.waited("left running"):
            await go_on.wait()

    async with asyncio.TaskGroup() as tasks:
        with tape.sample():
            tasks.create_task(left_running())
            await asyncio.sleep(0)
            with tape.own("work"):
                pass
        go_on.set()

    assert _names(tape.samples[0].stages) == [("work", -1)]


def test_tape_is_bounded_and_says_what_it_lost() -> None:
    tape = StageTape(capacity=2)
    for _ in range(3):
        with tape.sample():
            for _ in range(2_001):
                with tape.own("x"):
                    pass

    assert len(tape.samples) == 2
    assert [len(one.stages) for one in tape.samples] == [2_000, 2_000]
    assert tape.lost_stages == 3
    with tape.own("outside of a sample"):
        pass
    assert tape.lost_stages == 4


def _trace(**stamps: float) -> Trace:
    trace = Trace()
    for name, at in stamps.items():
        trace.mark(Stamp[name.upper()], round(at * MS))
    return trace


def test_trace_becomes_stages_with_the_verdict_beside_the_line() -> None:
    trace = _trace(
        cause=0, frame=2, pool=3, filtered=4, planned=5, signed=6, gated=20, sent=21, confirmed=60, verdict=19
    )

    one = sample_of(trace, Component.FULL_FLOW)

    assert one is not None
    assert one.took_ns == 60 * MS
    assert critical_path(one)["honeypot"] == 16 * MS
    verdict = [stage.name for stage in one.stages].index("honeypot")
    assert replayed_ns(one, {verdict: 1 * MS}) == 47 * MS  # the gate then waits for the signature, not for the verdict


def test_trace_that_did_not_get_there_has_no_sample() -> None:
    assert sample_of(_trace(frame=1, pool=2), Component.FULL_FLOW) is None
    assert sample_of(_trace(frame=1, pool=2), Component.METADATA) is None


async def test_watch_keeps_counted_samples_only_and_sees_what_blocks_and_collects() -> None:
    calls = 0

    async def fn() -> None:
        nonlocal calls
        calls += 1
        if calls == 8:
            time.sleep(0.05)  # noqa: ASYNC251 what is to be seen
            gc.collect()
        await asyncio.sleep(0.002)

    with EvidenceWatch(loop=asyncio.get_running_loop()) as watch:
        outcome = await BenchmarkService().run(watch.wrap(fn), BenchmarkOptions(name="x", warmup=5, samples=10))
    assert isinstance(outcome, BenchmarkResult)
    seen = watch.evidence(outcome)

    assert len(seen.samples) == 10
    assert (True, True) in [
        (block.in_sample, "fn" in block.where) for block in seen.blocks
    ]  # a busy machine adds its own
    assert any(pause.generation == 2 for pause in seen.pauses)
    assert seen.memory
    assert seen.is_async


async def test_watch_of_a_sync_callable_that_returns_traces_cuts_them_into_stages() -> None:
    def fn() -> Trace:
        return _trace(cause=1, frame=2, pool=5)

    with EvidenceWatch(component=Component.DETECTION) as watch:
        options = BenchmarkOptions(component=Component.DETECTION, warmup=0, samples=3)
        outcome = await BenchmarkService().run(watch.wrap(fn), options)
    assert isinstance(outcome, BenchmarkResult)
    seen = watch.evidence(outcome)

    assert not seen.is_async
    assert [_names(one.stages) for one in seen.samples] == [[("frame under way", -1), ("detection", -1)]] * 3
    assert {one.took_ns for one in seen.samples} == {4 * MS}
