"""The accountant: what a landed transaction did is read from the chain, and is unknown as long as it cannot be read."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from slotzero.clock import ms
from slotzero.errors import MalformedError, TransportError
from slotzero.solana.transaction import SignedTransaction, compute_budget, sign
from slotzero.trading.journal import Intent, IntentSigned, IntentState, PositionOpened
from slotzero.trading.order import Confirmed, Expired, Failed, Outcome
from slotzero.units import ComputeUnits, Lamports, MicroLamportsPerCu, Slot, TokenAmount
from trading_lab import (
    BLOCKHASH,
    SIGNER,
    Lab,
    buy_event,
    key,
    pump_pool,
    pump_trader,
    token_account,
    trading_lab,
    until,
)

POOL = pump_pool()
MARKET = pump_trader().market(POOL)
LANDED = Confirmed(Slot(100))


def real_buy() -> SignedTransaction:
    instructions = [
        *compute_budget(ComputeUnits(160_000), MicroLamportsPerCu(0)),
        *MARKET.buy(TokenAmount(1_000), Lamports(110)),
    ]
    return sign(SIGNER, instructions, BLOCKHASH)


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with trading_lab(tmp_path / "journal") as lab:
        yield lab


async def begun(lab: Lab) -> IntentSigned:
    event = buy_event(pool=POOL, signed=real_buy())
    await lab.journal.append(event)
    return event


async def settled(lab: Lab, event: IntentSigned, outcome: Outcome = LANDED) -> tuple[IntentState, Intent]:
    state = await lab.context.accountant.settle(event, outcome, MARKET)
    intent = lab.journal.state.intents[event.intent]
    assert intent.state == state
    return state, intent


async def test_landed_buy_is_what_the_chain_says_and_not_what_was_quoted(lab: Lab) -> None:
    event = await begun(lab)
    lab.node.record(event.raw, delta=-123, tokens=998)
    state, intent = await settled(lab, event)
    assert (state, intent.lamports_delta, intent.slot) == ("landed", -123, 100)
    assert lab.journal.state.positions["buy"].tokens == 998


async def test_tokens_of_other_owners_and_mints_do_not_count_and_several_accounts_of_ours_do(lab: Lab) -> None:
    event = await begun(lab)
    lab.node.record(event.raw, delta=-123, tokens=998)
    meta = lab.node.transactions[event.signature]["meta"]
    assert isinstance(meta, dict)
    ours = {"owner": str(SIGNER.pubkey), "mint": str(POOL.mint), "uiTokenAmount": {"amount": "2"}}
    theirs = {"owner": str(key(1)), "mint": str(POOL.mint), "uiTokenAmount": {"amount": "40"}}
    other = {"owner": str(SIGNER.pubkey), "mint": str(key(2)), "uiTokenAmount": {"amount": "500"}}
    meta["postTokenBalances"] += [ours, theirs, other]
    await settled(lab, event)
    assert lab.journal.state.positions["buy"].tokens == 1_000


async def test_failed_transaction_costs_its_fee_and_is_told_in_the_venues_words(lab: Lab) -> None:
    event = await begun(lab)
    err = {"InstructionError": [3, {"Custom": 6002}]}
    lab.node.record(event.raw, err=err, delta=-5_000)
    state, intent = await settled(lab, event, Failed(Slot(100), err))
    assert (state, intent.reason, intent.lamports_delta) == ("failed", "TooMuchSolRequired", -5_000)
    assert lab.journal.state.positions == {}


async def test_confirmation_that_the_transaction_itself_contradicts_is_a_failure(lab: Lab) -> None:
    event = await begun(lab)
    lab.node.record(event.raw, err="AccountNotFound", delta=-5_000)
    state, intent = await settled(lab, event, LANDED)
    assert (state, intent.reason) == ("failed", "AccountNotFound")


async def test_expired_order_is_written_without_asking_the_chain(lab: Lab) -> None:
    state, _ = await settled(lab, await begun(lab), Expired())
    assert state == "expired"
    assert lab.node.asked("getTransaction") == []


async def test_node_that_lags_is_asked_again_until_it_knows(lab: Lab) -> None:
    event = await begun(lab)
    lab.node.faults["getTransaction"] = [TransportError("node", "reset"), MalformedError("node: not JSON")]
    settling = lab.tasks.create_task(settled(lab, event))
    for _ in range(4):
        await until(lambda: lab.clock._sleepers)
        assert await lab.clock.jump()
    assert not settling.done()
    lab.node.record(event.raw, delta=-123, tokens=998)
    await until(lambda: lab.clock._sleepers)
    await lab.clock.jump()
    assert (await settling)[0] == "landed"


async def asked_in_vain(lab: Lab, times: int) -> list[int]:
    """Let so many reads pass; returns how many nanoseconds it waited after each."""
    waited = []
    for _ in range(times):
        await until(lambda: lab.clock._sleepers)
        before = lab.clock.mono_ns()
        await lab.clock.jump()
        waited.append(lab.clock.mono_ns() - before)
    await until(lambda: lab.clock._sleepers)
    return waited


async def test_landed_transaction_that_cannot_be_read_is_unknown_until_it_can(lab: Lab) -> None:
    event = await begun(lab)
    settling = lab.tasks.create_task(settled(lab, event))
    await asked_in_vain(lab, 40)
    intent = lab.journal.state.intents[event.intent]
    assert (intent.state, intent.is_open, settling.done()) == ("unknown", True, False)
    assert "slot 100" in intent.reason
    assert lab.kinds() == ["unknown"]
    lab.node.record(event.raw, delta=-123, tokens=998)
    await lab.clock.jump()
    assert (await settling)[0] == "landed"
    assert lab.journal.state.positions["buy"].tokens == 998


@pytest.mark.parametrize("missing", ["postTokenBalances", "owner"])
async def test_node_that_keeps_no_token_balances_does_not_make_a_position_look_empty(lab: Lab, missing: str) -> None:
    event = await begun(lab)
    lab.node.record(event.raw, delta=-123, tokens=998)
    meta = lab.node.transactions[event.signature]["meta"]
    assert isinstance(meta, dict)
    if missing == "owner":
        del meta["postTokenBalances"][0]["owner"]
    else:
        meta["postTokenBalances"] = None
    settling = lab.tasks.create_task(settled(lab, event))
    await asked_in_vain(lab, 20)
    assert lab.journal.state.intents[event.intent].state == "unknown"
    assert lab.journal.state.positions == {}
    settling.cancel()


async def test_delays_between_reads_grow_and_stay_below_a_second(lab: Lab) -> None:
    event = await begun(lab)
    settling = lab.tasks.create_task(settled(lab, event))
    waited = await asked_in_vain(lab, 25)
    settling.cancel()
    assert waited[:3] == [ms(25), ms(50), ms(100)]
    assert max(waited) == ms(1_000)


async def test_position_is_open_as_soon_as_its_tokens_are_there_though_the_transaction_cannot_be_read(lab: Lab) -> None:
    event, held = await begun(lab), []
    settling = lab.tasks.create_task(
        lab.context.accountant.settle(event, LANDED, MARKET, on_held=lambda: held.append(lab.kinds()))
    )
    lab.jump_when_asleep()
    await until(lambda: len(lab.node.asked("getMultipleAccounts")) >= 2)
    assert (held, lab.journal.state.positions) == ([], {})  # it lags, too, or the account is not there
    lab.node.accounts[str(MARKET.user_tokens)] = token_account(POOL.mint, 998)
    await until(lambda: held)
    position = lab.journal.state.positions["buy"]
    assert (position.state, position.tokens, position.pnl_lamports) == ("open", 998, -100)
    ((_, options),) = {(params[0][0], str(params[1])) for params in lab.node.asked("getMultipleAccounts")}
    assert "'minContextSlot': 100" in options
    assert "'commitment': 'confirmed'" in options
    assert not settling.done()
    asked = len(lab.node.asked("getMultipleAccounts"))
    lab.node.record(event.raw, delta=-123, tokens=998)
    assert await settling == "landed"
    assert (position.state, position.pnl_lamports, len(held)) == ("open", -123, 1)
    assert len(lab.node.asked("getMultipleAccounts")) == asked


async def test_transaction_that_comes_first_opens_the_position_alone(lab: Lab) -> None:
    event, held = await begun(lab), []
    lab.node.accounts[str(MARKET.user_tokens)] = token_account(POOL.mint, 998)
    settling = lab.tasks.create_task(
        lab.context.accountant.settle(event, LANDED, MARKET, on_held=lambda: held.append(1))
    )
    await until(lambda: lab.clock._sleepers)
    lab.node.record(event.raw, delta=-123, tokens=998)
    lab.jump_when_asleep()
    assert await settling == "landed"
    await lab.clock.advance(ms(2_000))
    assert (held, lab.node.asked("getMultipleAccounts")) == ([], [])


async def test_position_that_an_earlier_run_has_opened_early_is_told_at_once(lab: Lab) -> None:
    event, held = await begun(lab), []
    await lab.journal.append(PositionOpened(intent="buy", slot=Slot(100), tokens_held=TokenAmount(998)))
    settling = lab.tasks.create_task(
        lab.context.accountant.settle(event, LANDED, MARKET, on_held=lambda: held.append(1))
    )
    await until(lambda: held)
    assert lab.node.asked("getMultipleAccounts") == []
    settling.cancel()
