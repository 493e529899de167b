"""What merging account reads brings: readers of one turn, each with a call of its own against all in one. About 15 s.

The chain has a process of its own. Time runs from the first reader's question to the last one's answer: what a tick
that needs all of them waits.
"""

import asyncio
import gc

import uvloop
from solders.pubkey import Pubkey

from environment import print_environment, print_row
from slotzero.clock import SystemClock, elapsed_ns, mono_ns
from slotzero.localnet.process import running_localnet
from slotzero.secret import Secret
from slotzero.solana.endpoints import EndpointPool, EndpointSpec
from slotzero.solana.pubsub import PubSub
from slotzero.solana.reads import AccountReads
from slotzero.solana.rpc import Rpc, RpcClient
from slotzero.venues.pumpfun.addresses import GLOBAL

ROUNDS = 300
WARM_UP = 30
READERS = (1, 5, 20, 50)
CACHED = 20_000


def keys(count: int) -> list[Pubkey]:
    """Return accounts to read: one that is there, and others that are not."""
    return [GLOBAL, *(Pubkey.from_bytes(number.to_bytes(32, "big")) for number in range(1, count))]


async def single(rpc: Rpc, count: int) -> int:
    """Read `count` accounts, a call for each, at once."""
    start = mono_ns()
    await asyncio.gather(*(rpc.get_multiple_accounts([key], "processed") for key in keys(count)))
    return elapsed_ns(start, mono_ns())


async def merged(reads: AccountReads, count: int) -> int:
    """Read `count` accounts as so many callers of one turn."""
    start = mono_ns()
    await asyncio.gather(*(reads.get([key], "processed") for key in keys(count)))
    return elapsed_ns(start, mono_ns())


async def main() -> None:
    """Print everything."""
    print_environment("Account reads: a call for each reader, against readers of one turn merged into one call")
    clock = SystemClock()
    async with running_localnet() as chain, RpcClient(chain.rpc) as rpc, asyncio.TaskGroup() as tasks:
        pubsub = PubSub(chain.ws, clock=clock, follows_slots=True)
        running = tasks.create_task(pubsub.run())
        reads = AccountReads(rpc, pubsub, clock=clock, tasks=tasks)
        gc.collect()
        gc.freeze()
        for count in READERS:
            # In turn, so that whatever else the machine does falls on both.
            rows: tuple[list[int], list[int]] = ([], [])
            for _ in range(WARM_UP + ROUNDS):
                rows[0].append(await single(rpc, count))
                rows[1].append(await merged(reads, count))
            print_row(f"{count:>3} readers, a call each", rows[0][WARM_UP:])
            print_row(f"{count:>3} readers, merged", rows[1][WARM_UP:])
        async with EndpointPool([EndpointSpec(rpc=Secret(chain.rpc))], clock=clock) as pool:
            samples: tuple[list[int], list[int]] = ([], [])
            for _ in range(WARM_UP + 3 * ROUNDS):
                samples[0].append(await single(rpc, 1))
                samples[1].append(await single(pool, 1))
            print_row("one read by the client alone", samples[0][WARM_UP:])
            print_row("one read through a pool of one endpoint", samples[1][WARM_UP:])
        reads.watch(GLOBAL, "processed")
        while reads.peek(GLOBAL, "processed") is None:
            await reads.get([GLOBAL], "processed")
            await asyncio.sleep(0.05)
        answered = []
        for _ in range(CACHED):
            start = mono_ns()
            await reads.get([GLOBAL], "processed")
            answered.append(elapsed_ns(start, mono_ns()))
        print_row("one read answered by a stream", answered)
        stats = reads.stats()
        print(f"  {stats.asked} reads: {stats.cached} by streams, {stats.merged} merged, {stats.calls} calls")
        running.cancel()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
