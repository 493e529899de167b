"""One check for all who ask, and its verdict only while it is true."""

import asyncio
from collections.abc import Callable

import pytest
from solders.pubkey import Pubkey

from market_lab import PaperStream, coin, key
from slotzero.clock import TestClock, ms
from slotzero.safety import Decision, Evidence, PubSubGuard, RoundTripProbe, Verdict, VerdictCache
from slotzero.units import Lamports, TokenAmount
from slotzero.venues.records import NewPool

POOL = coin()
MINT = POOL.mint


def probe(size: int = 100) -> RoundTripProbe:
    return RoundTripProbe(
        raw=b"tx",
        trader=key(91),
        trader_lamports=Lamports(10),
        token_account=key(92),
        tokens=TokenAmount(1),
        quoted_total=Lamports(size),
        buy_index=0,
        sell_index=1,
    )


class PaperCheck:
    def __init__(self, pool: NewPool, decision: Decision) -> None:
        self.done = asyncio.Event()
        self.is_cancelled = False
        self._verdict = Verdict(
            decision=decision,
            evidence=(Evidence(layer="paper", decision=decision, reason="passed", detail=""),),
            facts_decision=decision,
            depends_on=(pool.mint, pool.pool),
        )

    async def facts(self) -> Decision:
        return (await self.verdict()).facts_decision

    async def verdict(self) -> Verdict:
        await self.done.wait()
        return self._verdict

    def cancel(self) -> None:
        self.is_cancelled = True
        self.done.set()


class PaperChecker:
    def __init__(self) -> None:
        self.checks: list[PaperCheck] = []
        self.decision: Decision = "ALLOW"
        self.is_quick = True

    def start(self, pool: NewPool, probe: RoundTripProbe | None, group: asyncio.TaskGroup) -> PaperCheck:
        del probe, group
        check = PaperCheck(pool, self.decision)
        self.checks.append(check)
        if self.is_quick:
            check.done.set()
        return check


class PaperGuarded:
    def __init__(self, on_change: Callable[[], None]) -> None:
        self.on_change = on_change
        self.is_live = False
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class PaperGuard:
    def __init__(self) -> None:
        self.connection: int | None = 1
        self.watched: dict[Pubkey, PaperGuarded] = {}

    def watch(self, key: Pubkey, on_change: Callable[[], None]) -> PaperGuarded:
        assert key not in self.watched or self.watched[key].is_cancelled
        self.watched[key] = PaperGuarded(on_change)
        return self.watched[key]

    def accept(self) -> None:
        for guarded in self.watched.values():
            guarded.is_live = True


class Lab:
    def __init__(self, group: asyncio.TaskGroup, **changes: int) -> None:
        self.clock = TestClock()
        self.checker = PaperChecker()
        self.guard = PaperGuard()
        self.cache = VerdictCache(self.checker, tasks=group, clock=self.clock, guard=self.guard, **changes)

    async def check(self, size: int = 100, pool: NewPool = POOL) -> Verdict:
        verdict = await self.cache.check(pool, probe(size))
        await settle()
        return verdict

    async def guarded(self) -> None:
        """Have a verdict whose accounts were listened to before its check began."""
        await self.check()
        self.guard.accept()
        self.cache.forget(MINT)
        await self.check()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_callers_at_the_same_time_share_one_check() -> None:
    async with asyncio.TaskGroup() as group:
        lab = Lab(group)
        lab.checker.is_quick = False
        callers = [group.create_task(lab.cache.check(POOL, probe())) for _ in range(20)]
        await settle()
        lab.checker.checks[0].done.set()
        verdicts = await asyncio.gather(*callers)
        assert all(verdict is verdicts[0] for verdict in verdicts)
        assert (len(lab.checker.checks), lab.cache.stats().joined) == (1, 19)


async def test_cancelled_caller_leaves_the_check_to_the_others_and_the_last_one_stops_it() -> None:
    async with asyncio.TaskGroup() as group:
        lab = Lab(group)
        lab.checker.is_quick = False
        one, two = (group.create_task(lab.cache.check(POOL, probe())) for _ in range(2))
        await settle()
        one.cancel()
        await settle()
        assert [check.is_cancelled for check in lab.checker.checks] == [False]
        two.cancel()
        await settle()
        assert [check.is_cancelled for check in lab.checker.checks] == [True]
        lab.checker.is_quick = True
        await lab.check()  # a new one: nobody joins a check that was stopped
        assert len(lab.checker.checks) == 2


async def test_first_verdict_is_unguarded_and_lives_two_slots() -> None:
    async with asyncio.TaskGroup() as group:
        lab = Lab(group, max_age_ms=30_000, max_unguarded_age_ms=400)
        first = await lab.check()
        lab.guard.accept()
        await lab.clock.advance(ms(400))
        assert lab.cache.lookup(MINT, 100) is first
        await lab.clock.advance(1)
        assert lab.cache.lookup(MINT, 100) is None
        assert lab.cache.stats().expired == 1


async def test_guarded_verdict_lives_to_its_age() -> None:
    async with asyncio.TaskGroup() as group:
        lab = Lab(group, max_age_ms=30_000)
        await lab.guarded()
        await lab.clock.advance(ms(30_000))
        assert lab.cache.lookup(MINT, 100) is not None
        await lab.clock.advance(1)
        assert lab.cache.lookup(MINT, 100) is None


async def test_lost_connection_takes_the_guard_away_and_its_return_does_not_bring_it_back() -> None:
    async with asyncio.TaskGroup() as group:
        lab = Lab(group)
        await lab.guarded()
        await lab.clock.advance(ms(1_000))
        lab.guard.connection = 2
        assert lab.cache.lookup(MINT, 100) is None


@pytest.mark.parametrize("at", [MINT, POOL.pool])
async def test_change_of_an_account_it_rests_on_ends_a_verdict(at: Pubkey) -> None:
    async with asyncio.TaskGroup() as group:
        lab = Lab(group)
        await lab.guarded()
        lab.guard.watched[at].on_change()
        assert lab.cache.lookup(MINT, 100) is None
        lab.checker.decision = "DENY"
        assert (await lab.check()).decision == "DENY"
        assert lab.cache.stats().changed == 2  # one was by hand
        assert not lab.guard.watched[at].is_cancelled


async def test_change_during_a_check_keeps_its_verdict_out() -> None:
    async with asyncio.TaskGroup() as group:
        lab = Lab(group)
        await lab.guarded()
        lab.cache.forget(MINT)
        lab.checker.is_quick = False
        caller = group.create_task(lab.cache.check(POOL, probe()))
        await settle()
        lab.guard.watched[MINT].on_change()
        lab.checker.checks[-1].done.set()
        await caller
        await settle()
        assert lab.cache.lookup(MINT, 100) is None


async def test_what_is_unsure_is_asked_again() -> None:
    async with asyncio.TaskGroup() as group:
        lab = Lab(group)
        lab.checker.decision = "UNSURE"
        await lab.check()
        await lab.check()
        assert len(lab.checker.checks) == 2
        assert lab.guard.watched == {}


async def test_verdict_holds_for_the_size_it_was_simulated_with() -> None:
    async with asyncio.TaskGroup() as group:
        lab = Lab(group)
        await lab.check(100)
        await lab.check(100)
        assert len(lab.checker.checks) == 1
        await lab.check(1_000)
        assert len(lab.checker.checks) == 2


async def test_known_verdict_is_a_check_that_is_done() -> None:
    async with asyncio.TaskGroup() as group:
        lab = Lab(group)
        verdict = await lab.check()
        known = lab.cache.start(POOL, probe(), group)
        known.cancel()
        assert (await known.facts(), await known.verdict()) == ("ALLOW", verdict)
        assert lab.cache.stats().hits == 1


async def test_cache_has_a_bound_and_ends_what_it_listened_to() -> None:
    async with asyncio.TaskGroup() as group:
        lab = Lab(group, capacity=2)
        for number in (1, 2, 3):
            await lab.check(pool=coin(number))
        assert (len(lab.cache), lab.cache.stats().evicted) == (2, 1)
        assert lab.guard.watched[coin(1).mint].is_cancelled
        assert not lab.guard.watched[coin(2).mint].is_cancelled
        lab.cache.clear()
        assert len(lab.cache) == 0
        assert all(guarded.is_cancelled for guarded in lab.guard.watched.values())


async def test_cache_without_a_guard_goes_by_age_alone() -> None:
    async with asyncio.TaskGroup() as group:
        clock, checker = TestClock(), PaperChecker()
        cache = VerdictCache(checker, tasks=group, clock=clock, max_unguarded_age_ms=10)
        await cache.check(POOL, None)
        await settle()
        assert cache.lookup(MINT, None) is not None
        await clock.advance(ms(11))
        assert cache.lookup(MINT, None) is None


async def test_guard_over_a_real_client_tells_changes_and_losses() -> None:
    stream = PaperStream(TestClock())
    guard, changes = PubSubGuard(stream.pubsub), []
    guarded = guard.watch(MINT, lambda: changes.append(1))
    assert (guarded.is_live, guard.connection) == (False, 1)
    await settle()
    assert (guarded.is_live, guard.connection) == (True, 1)
    stream.account(MINT, b"anything")
    assert changes == [1]
    stream.lose()
    assert (guarded.is_live, guard.connection) == (False, None)
    stream.connect()
    await settle()
    assert (guarded.is_live, guard.connection) == (True, 2)
    guarded.cancel()
    assert not stream.is_watched(MINT)
