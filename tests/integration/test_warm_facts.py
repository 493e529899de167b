"""Rent, fees and balances kept warm: paces and ages by a clock that jumps, against a node on loopback."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from msgspec import Struct
from solders.pubkey import Pubkey

from scripted_node import ScriptedNode, scripted_nodes
from slotzero.clock import TestClock
from slotzero.errors import TransportError
from slotzero.solana.pubsub import PubSub
from slotzero.solana.reads import AccountReads
from slotzero.solana.rpc import RpcClient
from slotzero.solana.warm import WarmFacts, WarmPaces

WALLET = Pubkey.from_bytes(bytes([7] * 32))
HOT = Pubkey.from_bytes(bytes([8] * 32))
MS = 1_000_000
PACES = WarmPaces(
    rent_ms=100,
    rent_max_age_ms=1_000,
    fees_ms=10,
    fees_max_age_ms=50,
    balance_ms=20,
    balance_max_age_ms=60,
    retry_ms=5,
)


class Desk(Struct, kw_only=True):
    node: ScriptedNode
    clock: TestClock
    facts: WarmFacts
    tasks: asyncio.TaskGroup

    async def pass_ms(self, count: int) -> None:
        """Let time pass a millisecond at a time, with a turn of real time for the socket in between."""
        for _ in range(count):
            await self.clock.advance(MS)
            await asyncio.sleep(0.003)


@asynccontextmanager
async def desk() -> AsyncIterator[Desk]:
    clock = TestClock()
    async with scripted_nodes(1) as (node,), RpcClient(node.rpc) as rpc, asyncio.TaskGroup() as tasks:
        node.accounts[str(WALLET)] = b""
        reads = AccountReads(rpc, PubSub(node.ws, clock=clock), clock=clock, tasks=tasks)
        facts = WarmFacts(
            rpc, reads, clock=clock, rent_sizes=(0, 165), wallets=(WALLET,), fee_accounts=(HOT,), paces=PACES
        )
        yield Desk(node=node, clock=clock, facts=facts, tasks=tasks)
        facts.close()


async def test_start_fetches_everything_once() -> None:
    async with desk() as d:
        now = d.clock.mono_ns()
        assert (d.facts.rent(0, now), d.facts.balance(WALLET, now), d.facts.recent_fees(now)) == (None, None, ())
        await d.facts.start()
        assert (d.facts.rent(0, now), d.facts.rent(165, now)) == (890_880, 2_039_280)
        assert d.facts.balance(WALLET, now) == 5
        assert [fee.price for fee in d.facts.recent_fees(now)] == [100, 300]
        assert d.node.calls == {
            "getMinimumBalanceForRentExemption": 2,
            "getMultipleAccounts": 1,
            "getRecentPrioritizationFees": 1,
        }


async def test_each_kind_is_fetched_at_its_own_pace() -> None:
    async with desk() as d:
        await d.facts.start()
        running = d.tasks.create_task(d.facts.run())
        d.node.calls.clear()
        await d.pass_ms(41)
        assert d.node.calls == {"getRecentPrioritizationFees": 4, "getMultipleAccounts": 2}
        running.cancel()


async def test_value_that_grew_too_old_is_given_out_no_more_and_comes_back() -> None:
    async with desk() as d:
        await d.facts.start()
        running = d.tasks.create_task(d.facts.run())
        d.node.fault = "503"
        await d.pass_ms(70)
        now = d.clock.mono_ns()
        assert (d.facts.balance(WALLET, now), d.facts.recent_fees(now), d.facts.rent(0, now)) == (None, (), 890_880)
        d.node.fault = None
        await d.pass_ms(20)
        now = d.clock.mono_ns()
        assert d.facts.balance(WALLET, now) == 5
        assert d.facts.recent_fees(now)
        running.cancel()


async def test_node_without_the_fee_method_is_asked_once_and_its_silence_stops_nothing() -> None:
    async with desk() as d:
        d.node.errors["getRecentPrioritizationFees"] = (-32601, "Method not found")
        await d.facts.start()
        running = d.tasks.create_task(d.facts.run())
        await d.pass_ms(25)
        assert d.node.calls["getRecentPrioritizationFees"] == 1
        assert d.facts.recent_fees(d.clock.mono_ns()) == ()
        running.cancel()


async def test_start_without_rent_fails_and_a_size_nobody_named_is_a_bug() -> None:
    async with desk() as d:
        d.node.fault = "503"
        with pytest.raises(TransportError):
            await d.facts.start()
        with pytest.raises(KeyError):
            d.facts.rent(99, d.clock.mono_ns())
