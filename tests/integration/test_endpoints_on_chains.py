"""Two embedded chains as endpoints: one is killed with SIGKILL and comes back on its port; reading and hearing go on.

They are two chains of one seed, not one chain with two ports, so what they know differs; here it matters only who
answers.
"""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from solders.pubkey import Pubkey

from scripted_node import eventually
from slotzero.clock import SystemClock, ms
from slotzero.secret import Secret
from slotzero.solana.endpoints import BreakerRules, EndpointPool, EndpointSpec
from slotzero.solana.pubsub import Gap, PubSub
from slotzero.solana.reads import AccountReads

KEY = Pubkey.from_bytes(bytes([9] * 32))
RULES = BreakerRules(failures=3, window_ns=ms(10_000), open_ns=ms(200), max_open_ns=ms(400))


@contextmanager
def chain(port: int = 0) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A chain in a process of its own, and its port."""
    command = [sys.executable, "-m", "slotzero", "localnet", "--port", str(port), "--slot-ms", "50"]
    with subprocess.Popen(
        [*command, "--until-stdin-closes"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process, int(json.loads(process.stdout.readline())["port"])
        finally:
            process.stdin.close()
            process.wait(20)


async def test_killed_endpoint_is_left_alone_and_taken_back_while_reads_and_streams_go_on() -> None:
    clock = SystemClock()
    with ExitStack() as chains:
        first, port = chains.enter_context(chain())
        _, other = chains.enter_context(chain())
        ports = (port, other)
        specs = [EndpointSpec(rpc=Secret(f"http://127.0.0.1:{p}"), name=f"chain {n}") for n, p in enumerate(ports)]
        gaps: list[Gap] = []
        answered = 0

        async def read_on(reads: AccountReads) -> None:
            nonlocal answered
            while True:
                assert await reads.get([KEY], "processed") == [None]
                answered += 1
                await asyncio.sleep(0.005)

        async with EndpointPool(specs, clock=clock, rules=RULES, probe_ms=200) as pool, asyncio.TaskGroup() as tasks:
            pubsub = PubSub(
                [f"ws://127.0.0.1:{p}" for p in ports], clock=clock, on_gap=gaps.append, silent_after_ms=2_000
            )
            services = [tasks.create_task(pool.run()), tasks.create_task(pubsub.run())]
            # An error of a single read would end this task, and with it the test.
            services.append(tasks.create_task(read_on(AccountReads(pool, pubsub, clock=clock, tasks=tasks))))
            await eventually(lambda: answered > 20 and pubsub.slot is not None)

            first.send_signal(signal.SIGKILL)
            await eventually(lambda: pool.stats()[0].state == "open")
            seen = answered
            await eventually(lambda: answered > seen + 20 and gaps and pubsub.slot is not None)
            assert gaps[0].endpoint == f"ws://127.0.0.1:{other}"

            await asyncio.to_thread(first.wait, 20)
            chains.enter_context(await asyncio.to_thread(_entered, port))
            await eventually(lambda: pool.stats()[0].state == "closed")
            states = [change.state for change in pool.stats()[0].transitions]
            assert (states[:2], states[-2:]) == (["open", "half_open"], ["half_open", "closed"])
            assert pool.stats()[0].failures["transport"] >= RULES.failures
            assert (pool.stats()[1].state, pool.stats()[1].failures) == ("closed", {})
            for service in services:
                service.cancel()


def _entered(port: int) -> ExitStack:
    """Start a chain on `port`; the stack ends it."""
    stack = ExitStack()
    stack.enter_context(chain(port))
    return stack
