"""Load from many processes or machines, carried by Dask distributed (extra `cluster`, imported only here and lazily).

Dask is used as a transport and a process manager, against several of its defaults, each for something that happened
with it: `allowed-failures` is 0, since a killed shard was silently run again 3.4 s late and fired its backlog at once;
each shard is pinned to one worker and is never stolen or tried again; what a shard says goes over its worker's event
stream in about 10 ms, and a shard that has said nothing for 1.5 s is lost, since Dask notices a stopped worker after
minutes only. Every address must be loopback or TLS.

Weakness: `allowed-failures` belongs to the scheduler, so other people's tasks on the same one have it for as long as
the run lasts. Workers need the same Python and the same slotzero (pickled by reference).
"""

import asyncio
import contextlib
import ipaddress
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from multiprocessing import resource_tracker
from typing import Any, Final, TypeAlias, cast

from slotzero.clock import SystemClock, elapsed_ns, later, mono_ns
from slotzero.errors import UsageError
from slotzero.perf.arguments import require_no_arguments
from slotzero.perf.load_report import load_result
from slotzero.perf.load_types import (
    ClockCheck,
    ClusterFailed,
    LoadFailure,
    LoadOutcome,
    LoadProgress,
    LoadTestConfig,
)
from slotzero.perf.procfs import read_text
from slotzero.perf.shard import ShardOrder, decode_message, read_clocks, run_shard, start_shard, stop_shard
from slotzero.perf.shard_merge import ClockProbe, Follower, check_clocks, clock_refusal, start_for
from slotzero.perf.timing import Callable0
from slotzero.perf.workload import load_reference

__all__ = ["ClusterLoadService", "insecure", "is_loopback"]

SNAPSHOT_S: Final = 0.5
_PROBES: Final = 12
_ARM_TIMEOUT_S: Final = 60.0
_CALL_TIMEOUT_S: Final = 5.0
_CONNECT_TIMEOUT_S: Final = 10.0
_LOST_TIMEOUT_S: Final = 0.3
_LOOK_S: Final = 0.1
_LEAST_LEAD_S: Final = 1.0
_LEAD_ROUND_TRIPS: Final = 4
_NS_PER_S: Final = 1_000_000_000
_LOCAL: Final = "local:"
_MOST_LOCAL: Final = 256
_RUN_GRACE_S: Final = 15.0

OnProgress: TypeAlias = Callable[[LoadProgress], None]
_DASK_CONFIG: Final = {
    "distributed.scheduler.allowed-failures": 0,
    "distributed.scheduler.work-stealing": False,
    "distributed.scheduler.worker-ttl": None,  # a silent worker is lost to us, and not to be started anew
    "distributed.worker.profile.enabled": False,
}


class ClusterLoadService:
    """Runs load tests on a Dask cluster.

    Args:
        address: A scheduler's (`tcp://127.0.0.1:8786`, `tls://host:8786`), or `local:N` for N processes started here
            for as long as the run lasts.
        security: A `distributed.Security`; None for what Dask is configured with (`DASK_DISTRIBUTED__COMM__TLS__...`).
    """

    def __init__(self, address: str, *, security: object = None) -> None:
        self._address = address
        self._security = security

    async def run(
        self,
        target: str | Callable0,
        config: LoadTestConfig,
        *,
        on_progress: OnProgress | None = None,
        stop: asyncio.Event | None = None,
        on_armed: Callable[[Mapping[str, int]], None] | None = None,
    ) -> LoadOutcome:
        """Put the load on `target` from every worker of the cluster. *Does I/O.*

        Users and places in flight are those of the whole run, and a shard has one of them at least: where there are
        fewer than workers, the other workers are left out.

        Args:
            target: `module:callable`, importable on the workers, or the callable itself (it is pickled).
            config: The whole run's load: rates, users and places in flight are shared out.
            on_progress: Told of the merged progress at the end of each window.
            stop: Set it to end the run early, with what there is.
            on_armed: Told each worker's process id, by its address, when all are ready.

        Raises:
            UsageError: The address is no address, the extra is not installed, or it is neither loopback nor TLS; or the
                callable needs arguments.
        """
        if config.processes:
            raise UsageError("processes are watched where they run: leave `processes` out of a distributed run")
        if not isinstance(target, str):
            require_no_arguments(target, "the callable")
        _require_dask()
        try:
            async with self._client() as client:
                run = _Run(client, target, config, on_progress, stop or asyncio.Event(), on_armed)
                return await run.to_end()
        except _RefusedError as error:
            failed = ClusterFailed(message=str(error))
            return LoadFailure(scenario=config.scenario, error=failed, labels=config.labels)

    @asynccontextmanager
    async def _client(self) -> "AsyncIterator[Any]":
        import dask  # noqa: PLC0415 the extra, only where it is used
        from distributed import Client, LocalCluster  # noqa: PLC0415 likewise

        with dask.config.set(_DASK_CONFIG):
            if not self._address.startswith(_LOCAL):
                self._check_address()
                async with self._connected(Client, self._address) as client:
                    yield client
                return
            make: Callable[..., Any] = LocalCluster  # not typed
            cluster = make(
                n_workers=_local_count(self._address),
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",
                asynchronous=True,
                silence_logs=50,  # what a killed worker says is in the report
            )
            async with AsyncExitStack() as stack:
                with _spared_interrupts():
                    await stack.enter_async_context(cluster)
                yield await stack.enter_async_context(self._connected(Client, cluster))

    def _check_address(self) -> None:
        from distributed import Security  # noqa: PLC0415 as above

        if not _is_secure(self._address):
            raise UsageError(insecure(self._address))
        make: Callable[[], Any] = Security  # not typed
        security: Any = make() if self._security is None else self._security
        if self._address.startswith("tls://") and security.get_connection_args("client").get("ssl_context") is None:
            raise UsageError(
                f"{self._address} is TLS and no certificate is configured: set "
                "DASK_DISTRIBUTED__COMM__TLS__CA_FILE, ...__TLS__CLIENT__CERT and ...__TLS__CLIENT__KEY"
            )

    @asynccontextmanager
    async def _connected(self, make: Callable[..., Any], where: object) -> "AsyncIterator[Any]":
        try:
            client = await make(
                where, asynchronous=True, set_as_default=False, security=self._security, timeout=_CONNECT_TIMEOUT_S
            )
        except (OSError, TimeoutError, ValueError, RuntimeError) as error:
            raise _RefusedError(f"no scheduler answers at {self._address}: {error}") from error
        try:
            yield client
        finally:
            with contextlib.suppress(TimeoutError, OSError):
                await asyncio.wait_for(client.close(), _CALL_TIMEOUT_S)


@contextmanager
def _spared_interrupts() -> "Iterator[None]":
    """Let processes that are started within never see Ctrl-C, which a terminal sends to all of its processes.

    The coordinator ends them in order then, and a shard that dies of it would be one that was lost. A blocked signal
    stays blocked in a child from its first instruction on, where a handler set later would come too late for a Ctrl-C
    while it starts. To us it comes at the end of the block.
    """
    resource_tracker.ensure_running()  # started within, it would unblock the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _RefusedError(Exception):
    """The run cannot begin; the text says why."""


class _Run:
    """One distributed run."""

    def __init__(
        self,
        client: Any,  # noqa: ANN401 Dask's client is not typed
        target: str | Callable0,
        config: LoadTestConfig,
        on_progress: OnProgress | None,
        stop: asyncio.Event,
        on_armed: Callable[[Mapping[str, int]], None] | None,
    ) -> None:
        self._client = client
        self._target = target
        self._config = config
        self._on_progress = on_progress
        self._stop = stop
        self._on_armed = on_armed
        self._name = f"slotzero-load-{os.urandom(6).hex()}"
        self._worker_names: list[str] = []
        self._follower: Follower | None = None
        self._pids: dict[int, int] = {}

    async def to_end(self) -> LoadOutcome:
        """Compare clocks, arm, start, follow, merge."""
        client = self._client
        workers = self._worker_names = await self._workers()
        clocks, slowest_ns = await self._clocks(workers)
        follower = Follower(self._config, list(zip(workers, clocks, strict=True)), snapshot_s=SNAPSHOT_S)
        self._follower = follower
        client.subscribe_topic(self._name, self._heard)
        before = await client.run_on_scheduler(_set_allowed_failures, 0)
        futures = [self._submit(number, worker, len(workers)) for number, worker in enumerate(workers)]
        try:
            await self._armed(follower, futures)
            if self._on_armed is not None:
                self._on_armed({worker: self._pids[number] for number, worker in enumerate(workers)})
            await self._start(follower, workers, clocks, slowest_ns)
            await self._follow(follower, futures, workers)
            if (failed := follower.failure) is not None and failed.failure is not None:
                return LoadFailure(scenario=self._config.scenario, error=failed.failure, labels=self._config.labels)
            return load_result(follower.measured())
        finally:
            await self._clean_up(follower, futures, workers, before)

    # Before the start

    async def _workers(self) -> list[str]:
        """Return the workers that take part: as many as there are, but no more than operations at once."""
        said = await self._client.scheduler.identity(n_workers=-1)
        workers = sorted(said["workers"])
        if not workers:
            raise _RefusedError(f"the scheduler {said['address']} has no worker: start some with `dask worker`")
        for address in (said["address"], *workers):
            if not _is_secure(address):
                raise _RefusedError(insecure(address))
        return workers[: self._config.most_in_flight]

    async def _clocks(self, workers: list[str]) -> tuple[list[ClockCheck], int]:
        boot = read_text("/proc/sys/kernel/random/boot_id") or ""
        checks, slowest = [], 0
        for worker in workers:
            probes = [await self._probe(worker) for _ in range(_PROBES)]
            check = check_clocks(probes, boot)
            if (why := clock_refusal(worker, check)) is not None:
                raise _RefusedError(why)
            checks.append(check)
            slowest = max(slowest, *(elapsed_ns(one.sent_mono_ns, one.answered_mono_ns) for one in probes))
        return checks, slowest

    async def _probe(self, worker: str) -> ClockProbe:
        sent_wall, sent = SystemClock().wall_ns(), mono_ns()
        reading = (await self._call(worker, read_clocks))[worker]
        return ClockProbe(sent_wall_ns=sent_wall, sent_mono_ns=sent, answered_mono_ns=mono_ns(), reading=reading)

    async def _call(self, worker: str, function: Callable[..., object], *args: object) -> dict[str, Any]:
        try:
            async with asyncio.timeout(_CALL_TIMEOUT_S):
                return cast("dict[str, Any]", await self._client.run(function, *args, workers=[worker]))
        except (OSError, TimeoutError) as error:
            raise _RefusedError(f"the worker {worker} does not answer: {str(error) or 'it took too long'}") from error

    def _submit(self, number: int, worker: str, shards: int) -> Awaitable[object]:
        order = ShardOrder(
            run=self._name,
            config=self._config,
            shard=number,
            shards=shards,
            target=self._target if isinstance(self._target, str) else None,
            snapshot_s=SNAPSHOT_S,
        )
        future = self._client.submit(
            _carry,
            order,
            None if isinstance(self._target, str) else self._target,
            key=f"{self._name}-{number}",
            workers=[worker],
            allow_other_workers=False,
            pure=False,
            retries=0,
        )
        return cast("Awaitable[object]", future)

    async def _armed(self, follower: Follower, futures: Sequence[Any]) -> None:
        until = later(mono_ns(), round(_ARM_TIMEOUT_S * _NS_PER_S))
        while not follower.is_armed:
            for future in futures:
                if future.status == "error":
                    raise _RefusedError(f"a shard could not begin: {await _why(future)}")
            if follower.failure is not None:
                return
            if mono_ns() > until:
                raise _RefusedError("not all shards were ready in a minute: are the workers' threads busy?")
            await asyncio.sleep(_LOOK_S)  # messages come by callback; this only looks for workers that died

    async def _start(self, follower: Follower, workers: list[str], clocks: list[ClockCheck], slowest_ns: int) -> None:
        if follower.failure is not None:
            return
        lead_ns = max(round(_LEAST_LEAD_S * _NS_PER_S), _LEAD_ROUND_TRIPS * slowest_ns)
        now_mono, now_wall = mono_ns(), SystemClock().wall_ns()
        start_mono, start_wall = later(now_mono, lead_ns), now_wall + lead_ns
        self._start_ns = start_mono
        follower.started(start_mono, now_mono)
        calls = (
            self._call(worker, start_shard, self._name, start_for(clock, mono_ns=start_mono, wall_ns=start_wall))
            for worker, clock in zip(workers, clocks, strict=True)
        )
        for number, said in enumerate(await asyncio.gather(*calls, return_exceptions=True)):
            if isinstance(said, BaseException):
                follower.gone(number, str(said), mono_ns())

    # While it runs

    def _heard(self, event: tuple[float, bytes]) -> None:
        message = decode_message(event[1])
        if hasattr(message, "pid"):
            self._pids[message.shard] = message.pid
        if self._follower is not None:
            self._follower.received(message, mono_ns())

    async def _follow(self, follower: Follower, futures: Sequence[Any], workers: list[str]) -> None:
        config = self._config
        if follower.failure is not None:
            return
        longest_s = config.duration + config.graceful_stop_s + _RUN_GRACE_S
        until = later(self._start_ns, round(longest_s * _NS_PER_S))
        while not follower.is_ended:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self._wait(follower)
            await self._look(follower, futures, workers)
            if mono_ns() > until:
                for number in range(len(workers)):
                    follower.gone(number, "it did not end in time", mono_ns())
        for progress, _ in follower.closed_windows(is_last=True):
            if self._on_progress is not None:
                self._on_progress(progress)

    async def _look(self, follower: Follower, futures: Sequence[Any], workers: list[str]) -> None:
        now = mono_ns()
        for number, future in enumerate(futures):
            if follower.is_waiting(number) and future.status in {"error", "lost", "cancelled"}:
                follower.gone(number, await _why(future), now)
        follower.look(now)
        for progress, why in follower.closed_windows():
            if self._on_progress is not None:
                self._on_progress(progress)
            if why is not None and follower.stopped == "completed":
                follower.stopped = "aborted"
                await self._stop_all(follower, workers)

    async def _wait(self, follower: Follower) -> None:
        if follower.stopped != "completed":
            await asyncio.sleep(_LOOK_S)
            return
        await self._stop.wait()
        follower.stopped = "interrupted"
        await self._stop_all(follower, self._worker_names)

    async def _stop_all(self, follower: Follower, workers: list[str]) -> None:
        waiting = [worker for number, worker in enumerate(workers) if follower.is_waiting(number)]
        await asyncio.gather(
            *(self._call(worker, stop_shard, self._name) for worker in waiting), return_exceptions=True
        )

    async def _stop_lost(self, follower: Follower, workers: list[str]) -> None:
        """Tell shards that were given up to end, should they still live; most will not answer."""
        lost = [worker for number, worker in enumerate(workers) if follower.is_lost(number)]
        calls = [self._client.run(stop_shard, self._name, workers=[worker], on_error="ignore") for worker in lost]
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(_LOST_TIMEOUT_S):
                await asyncio.gather(*calls, return_exceptions=True)

    # Afterwards

    async def _clean_up(
        self, follower: Follower, futures: Sequence[Any], workers: list[str], allowed_failures: int
    ) -> None:
        """Leave the cluster as it was found. Nothing here may hang on a worker that does not answer."""
        client = self._client
        with contextlib.suppress(TimeoutError, OSError, _RefusedError):
            async with asyncio.timeout(_CALL_TIMEOUT_S):
                if not follower.is_ended:
                    await self._stop_all(follower, workers)
                await self._stop_lost(follower, workers)
                client.unsubscribe_topic(self._name)
                await client.run_on_scheduler(_set_allowed_failures, allowed_failures)
                await client.run_on_scheduler(_forget, self._name)
                await client.cancel(list(futures))


def _carry(order: ShardOrder, fn: Callable0 | None) -> int:
    """Run a shard within a worker's thread. Called by Dask."""
    from distributed import get_worker  # noqa: PLC0415 the extra, on the worker

    worker = get_worker()
    if order.target is not None:
        _require_no_arguments(order.target)

    def send(message: bytes) -> None:
        worker.log_event(order.run, message)

    return run_shard(order, fn, send)


def _require_no_arguments(target: str) -> None:
    try:
        found: Any = load_reference(target)
    except UsageError:
        return  # the shard says so
    require_no_arguments(found, target)


def _set_allowed_failures(number: int, dask_scheduler: Any = None) -> int:  # noqa: ANN401 not typed
    """Set how often a task may be tried again on another worker. Returns what it was. Called on the scheduler."""
    before = int(dask_scheduler.allowed_failures)
    dask_scheduler.allowed_failures = number
    return before


def _forget(topic: str, dask_scheduler: Any = None) -> None:  # noqa: ANN401 not typed
    """Drop a run's messages, which the scheduler would keep for whoever asks later. Called on the scheduler."""
    dask_scheduler._broker.truncate(topic)  # noqa: SLF001 there is no public way


async def _why(future: Any) -> str:  # noqa: ANN401 not typed
    """Return what a future failed of, in a few words."""
    if future.status != "error":
        return f"its task was {future.status}"
    try:
        async with asyncio.timeout(_CALL_TIMEOUT_S):
            error = await future.exception()
    except (TimeoutError, OSError):
        return "its worker died"
    if type(error).__name__ == "KilledWorker":
        return "its worker died"
    if isinstance(error, UsageError):
        return str(error)  # a sentence already
    return f"{type(error).__name__}: {error}"


def is_loopback(address: str) -> bool:
    """Tell whether an address (`tcp://127.0.0.1:8786`, `inproc://...`) stays on this machine. *Pure.*"""
    scheme, _, rest = address.rpartition("://")
    if scheme == "inproc":
        return True
    host = rest.rsplit(":", 1)[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def insecure(address: str) -> str:
    """Return why an address is refused, and what to do. *Pure.*"""
    return (
        f"{address} is neither on this machine nor TLS, and whoever reaches a Dask port can run code: start scheduler "
        "and workers with --tls-ca-file, --tls-cert and --tls-key, and use a tls:// address"
    )


def _is_secure(address: str) -> bool:
    return address.startswith("tls://") or is_loopback(address)


def _local_count(address: str) -> int:
    text = address.removeprefix(_LOCAL)
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= _MOST_LOCAL:
        raise UsageError(f"a cluster of this machine is local:1 to local:{_MOST_LOCAL}, got {address!r}")
    return int(text)


def _require_dask() -> None:
    try:
        import distributed  # noqa: F401, PLC0415 whether it is there
    except ImportError as error:
        raise UsageError(
            "a distributed run needs Dask; from the checkout: .venv/bin/python -m pip install -e '.[cluster]'"
        ) from error
