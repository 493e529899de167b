"""Resources: what is planted is found. Bounds are generous: the machine belongs to others too."""

import asyncio
import gc
import os
import subprocess
import sys
import threading
import time

import pytest

from slotzero.perf import procfs
from slotzero.perf.resources import ResourceWatch

pytestmark = pytest.mark.skipif(not procfs.is_linux_proc(), reason="needs Linux's /proc")


def burn(seconds: float) -> None:
    """Use the CPU for so long, by its own account."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_cpu_time_is_that_of_the_kernel() -> None:
    with ResourceWatch(interval_ms=20) as watch:
        burn(0.2)
    found = watch.stats()
    used = found.cpu_user_s + found.cpu_system_s
    assert 0.19 <= used < 1.0
    assert found.avg_cpu_percent > 0
    assert found.peak_cpu_percent >= found.avg_cpu_percent
    assert found.source == "proc"


def test_a_sleeping_process_uses_next_to_nothing() -> None:
    with ResourceWatch() as watch:
        time.sleep(0.2)
    found = watch.stats()
    assert found.cpu_user_s + found.cpu_system_s < 0.15
    assert found.switches_voluntary >= 1


def test_a_spike_of_memory_between_two_readings_is_the_peak() -> None:
    with ResourceWatch(interval_ms=60_000) as watch:
        spike = bytearray(120_000_000)
        spike[::4096] = b"x" * len(spike[::4096])
        del spike
    found = watch.stats()
    assert found.peak_rss_mb >= 120
    assert found.pss_mb is not None


def test_memory_that_stays_is_growth() -> None:
    gc.collect()
    with ResourceWatch() as watch:
        kept: list[object] = [bytes(100) for _ in range(100_000)]
        kept.append(b"\1" * 64_000_000)  # too large for memory that earlier tests have left free
    found = watch.stats()
    assert found.heap_blocks_growth >= 90_000
    assert found.rss_growth_mb > 40
    del kept


def test_the_python_heap_is_traced_on_request_only() -> None:
    with ResourceWatch() as plain:
        pass
    assert plain.stats().python_heap_mb is None
    with ResourceWatch(trace_heap=True) as watch:
        peak = bytearray(30_000_000)
        del peak
    found = watch.stats().python_heap_mb
    assert found is not None
    assert 30 <= found < 60


def test_passes_of_the_collector_are_told_to_the_samples_they_hit() -> None:
    number, others = 0, len(gc.callbacks)
    with ResourceWatch(sample=lambda: number) as watch:
        gc.collect()
        number = 3
        gc.collect()
        gc.collect(0)
        number = 4
        gc.collect()
    found = watch.stats().gc
    assert found.pauses >= 4
    assert found.by_generation[2] >= 3
    assert found.by_generation[0] >= 1
    assert found.samples_hit == 2
    assert 0 < found.max_ms <= found.total_ms
    assert len(gc.callbacks) == others


def test_children_are_counted_and_their_cpu_too() -> None:
    code = "import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    with ResourceWatch(interval_ms=10) as watch:
        children = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
        for child in children:
            assert child.wait() == 0
    found = watch.stats().children
    assert found is not None
    assert found.peak_count == 2
    assert found.cpu_s >= 0.5
    assert found.peak_rss_mb > 1


def test_open_files_and_threads_have_a_peak() -> None:
    before = procfs.open_files()
    assert before is not None
    leave = threading.Event()
    with ResourceWatch(interval_ms=5) as watch:
        pipes = [os.pipe() for _ in range(20)]
        threads = [threading.Thread(target=leave.wait) for _ in range(5)]
        for thread in threads:
            thread.start()
        time.sleep(0.1)
        leave.set()
        for ends in pipes:
            for end in ends:
                os.close(end)
    found = watch.stats()
    assert found.peak_fds is not None
    assert found.peak_fds >= before + 40
    assert found.peak_threads is not None
    assert found.peak_threads >= 6


async def test_a_blocked_loop_shows_in_its_delay() -> None:
    with ResourceWatch(interval_ms=5, loop=asyncio.get_running_loop()) as watch:
        await asyncio.sleep(0.05)
        time.sleep(0.15)  # noqa: ASYNC251 what is to be found
        await asyncio.sleep(0.05)
    found = watch.stats().loop_delay
    assert found is not None
    assert found.probes >= 3
    assert found.max_ms > 50
    assert found.p50_ms <= found.p99_ms <= found.max_ms


async def test_a_loop_that_was_never_asked_has_no_delay() -> None:
    with ResourceWatch(interval_ms=60_000, loop=asyncio.get_running_loop()) as watch:
        pass
    assert watch.stats().loop_delay is None


def test_the_sampler_publishes_its_own_cost() -> None:
    with ResourceWatch(interval_ms=5) as watch:
        time.sleep(0.2)
    cost = watch.stats().sampler
    assert cost.interval_ms == 5
    assert cost.ticks >= 5
    assert cost.cpu_us > 0
    assert 0 < cost.cpu_percent < 100


def test_the_machine_is_in_it() -> None:
    with ResourceWatch() as watch:
        burn(0.1)
    machine = watch.stats().machine
    assert machine is not None
    assert machine.cores == os.cpu_count()
    assert machine.available_mb > 0
    assert 0 <= machine.steal_percent <= 100


def test_without_proc_there_is_the_process_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(procfs, "is_linux_proc", lambda: False)
    with ResourceWatch(interval_ms=10) as watch:
        burn(0.05)
    found = watch.stats()
    assert found.source == "rusage"
    assert (found.children, found.machine, found.pss_mb, found.peak_fds) == (None, None, None, None)
    assert found.peak_rss_mb > 1
    assert found.cpu_user_s + found.cpu_system_s >= 0.04


# ---- /proc ---------------------------------------------------------------------------------------------------------


def test_a_process_line_with_a_strange_name_is_read() -> None:
    line = "42 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 100 50 20 10 20 0 3 0 12345 999 7 0"
    found = procfs.parse_process(line)
    ticks = os.sysconf("SC_CLK_TCK")
    assert found.cpu_s == pytest.approx(150 / ticks)
    assert found.reaped_cpu_s == pytest.approx(30 / ticks)
    assert found.threads == 3
    assert found.rss_bytes == 7 * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("text", ["", "42 (x) S 1 2", "nonsense"])
def test_what_is_no_process_line_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a stat line"):
        procfs.parse_process(text)


def test_the_machines_line_is_read_and_guest_time_not_counted_twice() -> None:
    found = procfs.parse_cpu_times("cpu  100 20 30 1000 40 5 6 7 50 0\ncpu0 1 2 3\n")
    ticks = os.sysconf("SC_CLK_TCK")
    assert found.busy_s == pytest.approx(161 / ticks)
    assert found.steal_s == pytest.approx(7 / ticks)
    assert found.total_s == pytest.approx((161 + 1000 + 40 + 7) / ticks)
    with pytest.raises(ValueError, match="cpu line"):
        procfs.parse_cpu_times("cpu0 1 2 3 4 5 6 7 8")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("some avg10=1.50 avg60=0.00 avg300=0.00 total=1\nfull avg10=9.00", 1.5),
        ("full avg10=9.00", None),
        ("some", None),
        (None, None),
    ],
)
def test_pressure_is_the_share_in_which_some_task_waited(text: str | None, value: float | None) -> None:
    assert procfs.parse_pressure(text) == value


def test_a_process_that_has_ended_is_none() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert procfs.process_times(child.pid) is None
    assert procfs.open_files(child.pid) is None
    assert procfs.proportional_bytes(child.pid) is None
    assert procfs.descendants(child.pid) is None
