"""The shell: time budget, faults, bugs, calls, gates. Its layers here are made of paper."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest
from solders.account import Account
from solders.pubkey import Pubkey

from slotzero.errors import LocalnetError, MalformedError, RateLimitedError, TransportError
from slotzero.safety import (
    AccountView,
    CheckContext,
    Decision,
    Evidence,
    HoneypotChecker,
    Layer,
    RoundTripProbe,
    Verdict,
    first_layers,
)
from slotzero.solana.addresses import SYSTEM_PROGRAM
from slotzero.units import Lamports, TokenAmount
from slotzero.venues.records import NewPool
from token_lab import Simulated, key, new_pool

MINT = key(90)
POOL = new_pool(MINT)
PROBE = RoundTripProbe(
    raw=b"tx",
    trader=key(91),
    trader_lamports=Lamports(10),
    token_account=key(92),
    tokens=TokenAmount(1),
    quoted_total=Lamports(1),
    buy_index=0,
    sell_index=1,
)


class PaperReader:
    """A chain that knows one account under every key and lets nothing be traded."""

    def __init__(self) -> None:
        self.asked: list[tuple[Pubkey, ...]] = []
        self.simulated: list[bytes] = []

    async def accounts(self, keys: Sequence[Pubkey]) -> Sequence[AccountView | None]:
        self.asked.append(tuple(keys))
        return [Account(1, b"", SYSTEM_PROGRAM)] * len(keys)

    async def simulate(self, raw: bytes, watch: Sequence[Pubkey]) -> Simulated:
        self.simulated.append(raw)
        return Simulated(err="AccountNotFound", logs=(), units=0, accounts=(None,) * len(watch))


class PaperLayer:
    """A layer that does what the test says."""

    def __init__(
        self, name: str, act: Callable[[CheckContext], Awaitable[Decision]], *, is_facts: bool = False
    ) -> None:
        self.name = name
        self.is_facts = is_facts
        self._act = act

    def keys(self, pool: NewPool) -> tuple[Pubkey, ...]:
        return (pool.mint,)

    async def run(self, context: CheckContext) -> tuple[Evidence, ...]:
        decision = await self._act(context)
        return (Evidence(layer=self.name, decision=decision, reason="passed", detail=""),)


def says(name: str, decision: Decision, *, is_facts: bool = False) -> PaperLayer:
    async def act(_: CheckContext) -> Decision:
        return decision

    return PaperLayer(name, act, is_facts=is_facts)


def fails(name: str, error: Exception, *, is_facts: bool = False) -> PaperLayer:
    async def act(_: CheckContext) -> Decision:
        raise error

    return PaperLayer(name, act, is_facts=is_facts)


def hangs(name: str, *, is_facts: bool = False) -> PaperLayer:
    async def act(_: CheckContext) -> Decision:
        await asyncio.Event().wait()
        raise AssertionError

    return PaperLayer(name, act, is_facts=is_facts)


def checker(*layers: Layer, reader: PaperReader | None = None, budget_ms: int = 5_000) -> HoneypotChecker:
    return HoneypotChecker(reader or PaperReader(), layers, budget_ms=budget_ms)


async def check(*layers: Layer, budget_ms: int = 5_000) -> Verdict:
    return await checker(*layers, budget_ms=budget_ms).check(POOL, PROBE)


# ---- adding up -----------------------------------------------------------------------------------------------------


async def test_all_layers_allowing_allow() -> None:
    verdict = await check(says("a", "ALLOW", is_facts=True), says("b", "ALLOW"))
    assert (verdict.decision, verdict.facts_decision) == ("ALLOW", "ALLOW")
    assert [item.layer for item in verdict.evidence] == ["a", "b"]


async def test_evidence_stands_in_the_order_of_the_layers_not_of_the_answers() -> None:
    async def late(_: CheckContext) -> Decision:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return "ALLOW"

    verdict = await check(PaperLayer("slow", late), says("quick", "DENY"))
    assert [item.layer for item in verdict.evidence] == ["slow", "quick"]


async def test_any_denial_wins_over_what_is_unknown() -> None:
    verdict = await check(says("a", "DENY"), fails("b", TransportError("http://node", "closed")))
    assert verdict.decision == "DENY"


async def test_check_without_layers_shows_nothing() -> None:
    verdict = await check()
    assert (verdict.decision, verdict.facts_decision, verdict.evidence) == ("UNSURE", "UNSURE", ())


async def test_two_layers_of_one_name_are_a_bug() -> None:
    with pytest.raises(ValueError, match="different names"):
        checker(says("a", "ALLOW"), says("a", "ALLOW"))


# ---- faults, time, bugs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TransportError("http://node", "closed"), "endpoint_error"),
        (RateLimitedError("http://node", None), "endpoint_error"),
        (LocalnetError("gone"), "endpoint_error"),
        (MalformedError("no JSON"), "answer_malformed"),
    ],
)
async def test_fault_of_one_layer_is_unsure_and_leaves_the_others_alone(error: Exception, reason: str) -> None:
    verdict = await check(fails("bad", error), says("good", "ALLOW", is_facts=True))
    assert (verdict.decision, verdict.facts_decision, verdict.reasons) == ("UNSURE", "ALLOW", (reason,))
    assert verdict.evidence[0].detail == str(error)


async def test_layer_that_does_not_answer_in_time_is_unsure() -> None:
    # Waits on wall-clock time: the budget is the thing under test, and 20 ms is all it takes.
    verdict = await check(hangs("slow"), says("good", "ALLOW", is_facts=True), budget_ms=20)
    assert (verdict.decision, verdict.facts_decision) == ("UNSURE", "ALLOW")
    assert verdict.reasons == ("not_answered_in_time",)
    assert verdict.evidence[0].detail == "no answer within 20 ms"


@pytest.mark.parametrize("error", [KeyError("a bug"), TimeoutError("not the budget's")])
async def test_bug_in_a_layer_surfaces(error: Exception) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        await check(fails("bad", error), hangs("other"))
    assert caught.value.exceptions == (error,)


async def test_layer_without_evidence_is_a_bug() -> None:
    class Mute(PaperLayer):
        async def run(self, context: CheckContext) -> tuple[Evidence, ...]:
            del context
            return ()

    with pytest.raises(ExceptionGroup) as caught:
        await check(Mute("mute", says("x", "ALLOW").run))  # type: ignore[arg-type]  # never called
    assert isinstance(caught.value.exceptions[0], AssertionError)


async def test_cancelled_check_leaves_no_task_behind() -> None:
    before = asyncio.all_tasks()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await check(hangs("slow"))
    assert asyncio.all_tasks() == before


# ---- the gate "facts" ----------------------------------------------------------------------------------------------


async def test_facts_are_known_before_the_slower_layers_answer() -> None:
    answer = asyncio.Event()

    async def waits(_: CheckContext) -> Decision:
        await answer.wait()
        return "DENY"

    async with asyncio.TaskGroup() as group:
        subject = checker(says("facts", "ALLOW", is_facts=True), PaperLayer("trip", waits))
        running = subject.start(POOL, PROBE, group)
        assert await running.facts() == "ALLOW"
        answer.set()
        verdict = await running.verdict()
    assert (verdict.decision, verdict.facts_decision) == ("DENY", "ALLOW")


async def test_all_layers_of_facts_must_have_answered() -> None:
    async with asyncio.TaskGroup() as group:
        layers = says("a", "ALLOW", is_facts=True), hangs("b", is_facts=True)
        running = checker(*layers, budget_ms=20).start(POOL, PROBE, group)
        assert await running.facts() == "UNSURE"


async def test_cancelled_layers_are_unsure_and_nobody_waits_for_them() -> None:
    async with asyncio.TaskGroup() as group:
        running = checker(says("a", "ALLOW", is_facts=True), hangs("b")).start(POOL, PROBE, group)
        await running.facts()
        running.cancel()
        verdict = await running.verdict()
    assert (verdict.decision, verdict.reasons) == ("UNSURE", ("cancelled",))


async def test_check_cancelled_before_its_first_step_is_unsure() -> None:
    async with asyncio.TaskGroup() as group:
        running = checker(says("a", "ALLOW", is_facts=True), says("b", "ALLOW")).start(POOL, PROBE, group)
        running.cancel()
        verdict = await running.verdict()
    assert (verdict.decision, verdict.facts_decision, verdict.reasons) == ("UNSURE", "UNSURE", ("cancelled",))


# ---- calls ---------------------------------------------------------------------------------------------------------


async def test_check_makes_one_read_of_all_keys_and_one_simulation() -> None:
    reader = PaperReader()

    async def reads(context: CheckContext) -> Decision:
        await context.account(POOL.mint)
        await context.simulation()
        return "ALLOW"

    layers = (*first_layers(max_round_trip_loss_bps=500), PaperLayer("more", reads), PaperLayer("again", reads))
    verdict = await checker(*layers, reader=reader).check(POOL, PROBE)
    assert reader.asked == [(POOL.mint, POOL.pool)]
    assert reader.simulated == [b"tx"]
    assert verdict.depends_on == (POOL.mint, POOL.pool)
    assert verdict.reasons == ("mint_owner", "probe_not_run")


async def test_fault_of_the_shared_read_reaches_every_layer_and_is_not_tried_again() -> None:
    class Down(PaperReader):
        async def accounts(self, keys: Sequence[Pubkey]) -> Sequence[AccountView | None]:
            await super().accounts(keys)
            raise TransportError("http://node", "closed")

    async def reads(context: CheckContext) -> Decision:
        await context.account(POOL.mint)
        return "ALLOW"

    reader = Down()
    verdict = await checker(PaperLayer("a", reads), PaperLayer("b", reads), reader=reader).check(POOL, PROBE)
    assert [item.reason for item in verdict.evidence] == ["endpoint_error", "endpoint_error"]
    assert len(reader.asked) == 1


async def test_answer_of_another_length_is_malformed() -> None:
    class Short(PaperReader):
        async def accounts(self, keys: Sequence[Pubkey]) -> Sequence[AccountView | None]:
            return (await super().accounts(keys))[1:]

    layers = first_layers(max_round_trip_loss_bps=500)
    verdict = await checker(*layers, reader=Short()).check(POOL, PROBE)
    assert verdict.reasons == ("answer_malformed", "probe_not_run")


async def test_check_without_a_probe_simulates_nothing() -> None:
    reader = PaperReader()
    verdict = await checker(*first_layers(max_round_trip_loss_bps=500), reader=reader).check(POOL, None)
    assert reader.simulated == []
    assert "no_probe" in verdict.reasons
