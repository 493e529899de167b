"""The keeper of one position, from its first price to its last lamport, against a paper node."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

import msgspec
import pytest
from msgspec import Struct
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from slotzero.clock import ms
from slotzero.config import ExitsSettings, TradeSettings
from slotzero.errors import TransportError
from slotzero.solana.transaction import unit_limit_of
from slotzero.trace import Component, Stamp, Trace
from slotzero.trading.exit_rules import DRAIN, HONEYPOT, ExitSignal
from slotzero.trading.journal import Event, IntentLanded, IntentUnknown, PositionRecord
from slotzero.trading.keeper import PositionKeeper
from slotzero.trading.plan import BuyPlan, plan_buy
from slotzero.trading.pool_watch import PoolWatch
from slotzero.trading.rug_rules import RugAlert
from slotzero.trading.rules import exit_rules
from slotzero.units import LamportsDelta, Slot, TokenAmount
from slotzero.venues.pumpfun.addresses import creator_vault_address
from slotzero.venues.pumpfun.trader import PumpfunMarket
from slotzero.venues.records import Reserves
from trading_lab import (
    LAUNCH,
    QUICK,
    Lab,
    Trade,
    buy_event,
    curve_data,
    key,
    moved,
    pump_pool,
    pump_trader,
    signature_of,
    trade_in,
    trading_lab,
    until,
)

BASE = moved(LAUNCH, 10_000_000_000)
"""Others have bought for 10 SOL before us, so the price can fall below ours."""
POOL = pump_pool(reserves=BASE)
SLIPPAGE = {"InstructionError": [2, {"Custom": 6003}]}
FROZEN = {"InstructionError": [2, {"Custom": 17}]}
RICH, POOR = 10_000_000_000, -8_000_000_000


class Held(Struct, kw_only=True):
    """A position with its keeper at work."""

    lab: Lab
    market: PumpfunMarket
    watch: PoolWatch
    keeper: PositionKeeper
    position: PositionRecord
    trace: Trace
    after: Reserves
    """The curve when the position was opened."""
    running: asyncio.Task[None]

    def price(self, lamports: int, *, is_complete: bool = False) -> None:
        """Somebody has put lamports into the curve, and we are told."""
        data = curve_data(moved(self.after, lamports), is_complete=is_complete)
        assert self.lab.transport.account(POOL.pool, data)

    def price_unheard(self, lamports: int) -> None:
        """The same a slot later, and nobody tells us."""
        self.lab.node.slot += 1
        self.lab.node.accounts[str(POOL.pool)] = curve_data(moved(self.after, lamports))

    @property
    def sells(self) -> list[Trade]:
        return [trade_in(raw) for raw in dict.fromkeys(self.lab.node.sent)]


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with trading_lab(tmp_path / "journal") as lab:
        yield lab


async def hold(
    lab: Lab,
    *,
    exits: ExitsSettings | None = None,
    is_complete: bool = False,
    is_known: bool = True,
    is_pushed: bool = False,
) -> Held:
    """Open a position of 0.1 SOL in the journal and let its keeper begin."""
    context = lab.context
    if exits is not None:
        rules = exit_rules(exits, slippage_bps=QUICK.trade.exit_slippage_bps)
        context = msgspec.structs.replace(context, exit_rules=rules)
    market = pump_trader().market(POOL)
    plan = plan_buy(market, BASE, TradeSettings())
    assert isinstance(plan, BuyPlan)
    quote = market.quote_buy(BASE, plan.tokens)
    assert quote is not None
    after = moved(BASE, quote.cost)
    event = msgspec.structs.replace(buy_event(pool=POOL), tokens=plan.tokens, quoted_lamports=plan.quoted_lamports)
    lab.journal.append(event)
    await lab.journal.append(
        IntentLanded(
            intent="buy", slot=Slot(1), lamports_delta=LamportsDelta(-plan.limit_lamports), tokens_held=plan.tokens
        )
    )
    if is_known:
        lab.node.accounts[str(POOL.pool)] = curve_data(after, is_complete=is_complete)
    watch, trace = PoolWatch(context, market), Trace()
    if is_pushed:
        await until(lambda: ("accountSubscribe", str(POOL.pool)) in lab.transport.numbers)
        await asyncio.sleep(0.005)  # its answer is on the way
        assert lab.transport.account(POOL.pool, curve_data(after))
    position = lab.journal.state.positions["buy"]
    keeper = PositionKeeper(context, position, watch, market, opened_at=lab.clock.mono_ns(), trace=trace)
    running = lab.tasks.create_task(keeper.run(), name="keeper")
    held = Held(
        lab=lab,
        market=market,
        watch=watch,
        keeper=keeper,
        position=position,
        trace=trace,
        after=after,
        running=running,
    )
    if is_known:
        await until(lambda: watch.on_state is not None or running.done())
    return held


def state_reads(lab: Lab) -> list[list[str]]:
    """The reads of the pool's state, not those of the mint."""
    return [keys for keys, _ in lab.node.asked("getMultipleAccounts") if str(POOL.pool) in keys]


# ---- the price -----------------------------------------------------------------------------------------------------


async def test_first_price_is_read_where_none_was_pushed(lab: Lab) -> None:
    held = await hold(lab)
    value, quoted = held.keeper.value_lamports, held.position.quoted_lamports
    assert value is not None
    assert 0.95 * quoted < value < quoted
    assert len(state_reads(lab)) == 1


async def test_price_that_was_pushed_before_the_position_existed_needs_no_read(lab: Lab) -> None:
    held = await hold(lab, is_pushed=True)
    assert held.keeper.value_lamports is not None
    assert state_reads(lab) == []


async def test_first_price_is_asked_for_until_it_comes(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    lab.node.faults["getMultipleAccounts"] = [TransportError("node", "reset")]
    held = await hold(lab, is_known=False)
    for _ in range(3):  # an error, an account that is not there yet, and once more
        await until(lambda: lab.clock._sleepers)
        await lab.clock.jump()
    lab.node.accounts[str(POOL.pool)] = curve_data(held.after)
    await until(lambda: lab.clock._sleepers)
    await lab.clock.jump()
    await until(lambda: held.watch.on_state is not None)
    assert "node: reset" in caplog.text


async def test_each_pushed_price_values_the_position_anew(lab: Lab) -> None:
    held = await hold(lab)
    before = held.keeper.value_lamports
    held.price(1_000_000_000)
    assert before is not None
    assert (held.keeper.value_lamports or 0) > before
    assert len(lab.context.timings.of(Component.POSITION_MONITOR)) == 1
    assert lab.node.sent == []


async def test_state_that_cannot_be_read_is_passed_over(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    held = await hold(lab)
    before = held.keeper.value_lamports
    assert lab.transport.account(POOL.pool, b"garbage")
    assert held.keeper.value_lamports == before
    assert "cannot be read" in caplog.text
    lab.node.on_send = lab.node.lands
    held.price(RICH)
    await held.running
    assert held.position.state == "closed"


# ---- selling -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("lamports", "reason"), [(RICH, "take_profit"), (POOR, "stop_loss")])
async def test_price_that_fires_a_rule_sells_everything_and_closes(lab: Lab, lamports: int, reason: str) -> None:
    held = await hold(lab)
    tokens = held.position.tokens
    lab.node.on_send = lab.node.lands
    held.price(lamports)
    await held.running
    (sell,) = held.sells
    assert (sell.side, sell.tokens, sell.closes) == ("sell", tokens, True)
    assert (held.position.state, held.position.reason, held.position.tokens) == ("closed", reason, 0)


async def test_sell_accepts_the_slippage_off_the_price_of_the_moment(lab: Lab) -> None:
    held = await hold(lab)
    lab.node.on_send = lab.node.lands
    held.price(RICH)
    quote = held.market.quote_sell(moved(held.after, RICH), held.position.tokens)
    await held.running
    assert quote is not None
    assert held.sells[0].limit == quote.net * 8_500 // 10_000


async def test_position_that_grows_too_old_is_sold(lab: Lab) -> None:
    held = await hold(lab, exits=ExitsSettings(max_hold_ms=20))
    lab.node.on_send = lab.node.lands
    await asyncio.sleep(0.03)  # the loop's own timer rings, by our clock too early: nothing may happen
    assert not held.running.done()
    assert lab.node.sent == []
    await lab.clock.advance(ms(20))
    await held.running
    assert held.position.reason == "max_hold"


async def test_position_can_be_sold_on_demand_and_the_first_reason_counts(lab: Lab) -> None:
    held = await hold(lab)
    lab.node.on_send = lab.node.lands
    held.keeper.signal(HONEYPOT)
    held.keeper.signal(DRAIN)
    await held.running
    assert held.position.reason == "honeypot"


async def test_sell_is_on_disk_before_it_is_sent(lab: Lab) -> None:
    held = await hold(lab)
    order: list[str] = []
    append = lab.journal.append

    def noted(event: object) -> asyncio.Future[None]:
        future = append(event)  # type: ignore[arg-type]
        future.add_done_callback(lambda _: order.append(f"{type(event).__name__} on disk"))
        return future

    lab.journal.append = noted  # type: ignore[method-assign]

    def on_send(raw: bytes) -> None:
        order.append("sent")
        lab.node.lands(raw)

    lab.node.on_send = on_send
    held.price(RICH)
    await held.running
    assert order[:2] == ["IntentSigned on disk", "sent"]


async def test_sell_is_tried_again_with_twice_the_slippage_and_without_the_closing(lab: Lab) -> None:
    held = await hold(lab)
    errors: list[object] = [SLIPPAGE, SLIPPAGE, SLIPPAGE]

    def on_send(raw: bytes) -> None:
        lab.node.fails(raw, errors.pop(0)) if errors else lab.node.lands(raw)

    lab.node.on_send = on_send
    lab.jump_when_asleep()
    held.price(RICH)
    await held.running
    quote = held.market.quote_sell(moved(held.after, RICH), TokenAmount(held.sells[0].tokens))
    assert quote is not None
    assert [sell.limit for sell in held.sells] == [quote.net * share // 10_000 for share in (8_500, 7_000, 4_000, 0)]
    assert [sell.closes for sell in held.sells] == [True, False, False, False]
    assert lab.kinds() == ["landed", "failed", "failed", "failed", "landed"]
    assert held.position.state == "closed"


async def test_each_attempt_is_priced_anew(lab: Lab) -> None:
    held = await hold(lab)
    errors: list[object] = [SLIPPAGE]

    def on_send(raw: bytes) -> None:
        if errors:
            lab.node.fails(raw, errors.pop(0))
            held.price(RICH // 2)
        else:
            lab.node.lands(raw)

    lab.node.on_send = on_send
    lab.jump_when_asleep()
    held.price(RICH)
    await held.running
    quote = held.market.quote_sell(moved(held.after, RICH // 2), TokenAmount(held.sells[1].tokens))
    assert quote is not None
    assert held.sells[1].limit == quote.net * 7_000 // 10_000


async def test_no_two_attempts_are_the_same_bytes_even_at_the_same_limit_and_blockhash(lab: Lab) -> None:
    held = await hold(lab, exits=ExitsSettings(max_attempts=8))
    lab.node.on_send = lambda raw: lab.node.fails(raw, FROZEN)
    lab.jump_when_asleep()
    held.price(RICH)
    await held.running
    assert [sell.limit for sell in held.sells[-3:]] == [0, 0, 0]
    assert len({signature_of(raw) for raw in lab.node.sent}) == len(lab.node.transactions) == 8
    assert held.position.pnl_lamports == -100_000_000 - 8 * 5_000


async def test_later_keeper_of_a_position_signs_no_bytes_an_earlier_one_has(lab: Lab) -> None:
    held = await hold(lab, exits=ExitsSettings(max_attempts=1))
    lab.node.on_send = lambda raw: lab.node.fails(raw, FROZEN)
    held.price(RICH)
    await held.running
    watch = PoolWatch(lab.context, held.market)
    again = PositionKeeper(lab.context, held.position, watch, held.market, opened_at=lab.clock.mono_ns(), trace=Trace())
    lab.node.on_send = lab.node.lands
    await again.run()
    assert len({signature_of(raw) for raw in lab.node.sent}) == 2
    assert lab.kinds() == ["landed", "failed", "landed"]
    assert held.position.pnl_lamports == lab.node.balance - 10_000_000_000 - 100_000_000, (
        "the buy was written down alone"
    )


async def test_frozen_account_ends_stuck_after_the_last_attempt_and_is_still_held(lab: Lab) -> None:
    held = await hold(lab)
    lab.node.on_send = lambda raw: lab.node.fails(raw, FROZEN)
    lab.jump_when_asleep()
    held.price(RICH)
    await held.running
    assert len(held.sells) == 5
    assert (held.position.state, held.position.reason) == ("stuck", "failed: AccountFrozen")
    assert lab.context.limits.view(lab.clock.wall_ns()).equity == held.position.pnl_lamports < 0
    assert [position.id for position in lab.journal.state.held_positions()] == ["buy"]


async def test_sell_that_expired_is_signed_again(lab: Lab) -> None:
    held = await hold(lab)
    held.price(RICH)
    await until(lambda: lab.node.sent)
    lab.node.height = 151
    await lab.context.blockhashes.refresh()
    for _ in range(2):
        asked = len(lab.node.asked("getSignatureStatuses"))
        await lab.clock.advance(ms(10))
        await until(lambda asked=asked: len(lab.node.asked("getSignatureStatuses")) > asked)  # type: ignore[misc]
    lab.node.on_send = lab.node.lands
    lab.jump_when_asleep()
    await held.running
    assert lab.kinds() == ["landed", "expired", "landed"]
    assert held.position.state == "closed"


async def test_sell_that_cannot_be_read_is_unknown_and_settled_when_it_can(lab: Lab) -> None:
    held = await hold(lab)
    lab.node.on_send = lambda raw: lab.node.confirm(signature_of(raw))
    lab.jump_when_asleep()
    held.price(RICH)
    await until(lambda: lab.kinds() == ["landed", "unknown"])
    assert (held.position.state, held.running.done()) == ("open", False)
    lab.node.lands(lab.node.sent[0])
    await held.running
    assert lab.kinds() == ["landed", "landed"]
    assert len(held.sells) == 1
    assert held.position.state == "closed"


async def test_sell_that_failed_is_tried_again_though_what_it_cost_cannot_be_read_yet(lab: Lab) -> None:
    held = await hold(lab)
    failed: list[bytes] = []

    def on_send(raw: bytes) -> None:
        if raw not in failed and len(failed) < 2:
            failed.append(raw)
            lab.node.confirm(signature_of(raw), FROZEN)
        elif raw not in failed:
            lab.node.lands(raw)

    lab.node.on_send = on_send
    lab.jump_when_asleep()
    held.keeper.signal(HONEYPOT)
    await until(lambda: held.position.state == "closed")
    assert not held.running.done(), "what two of the sells have cost is still to be written down"
    for raw in failed:
        lab.node.record(raw, err=FROZEN, delta=-5_000)
    await held.running
    assert lab.kinds() == ["landed", "failed", "failed", "landed"]


async def test_rung_that_is_given_up_leaves_the_rest_guarded(lab: Lab) -> None:
    held = await hold(
        lab,
        exits=ExitsSettings(
            ladder_gains_bps=(1_000,), ladder_shares_bps=(2_500,), max_attempts=2, max_hold_ms=86_400_000
        ),
    )
    lab.node.on_send = lambda raw: lab.node.fails(raw, SLIPPAGE)
    held.price(4_000_000_000)
    async with asyncio.timeout(10):
        while lab.kinds() != ["landed", "failed", "failed"]:
            await lab.clock.advance(ms(5))
            await asyncio.sleep(0.001)
    assert not held.running.done()
    lab.node.on_send = lab.node.lands
    held.price(-9_000_000_000)
    await until(lambda: held.position.state == "closed")
    assert held.position.reason == "stop_loss"
    await held.running


async def test_pool_that_completes_while_our_last_sell_is_written_down_ends_nothing(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = await hold(lab)
    append = lab.journal.append

    def slow_disk(event: Event) -> Awaitable[None]:
        written = append(event)
        if not isinstance(event, IntentLanded):
            return written

        async def commit() -> None:
            held.price(RICH + 1_000_000_000, is_complete=True)
            await asyncio.sleep(0.02)
            await written

        return commit()

    monkeypatch.setattr(lab.journal, "append", slow_disk)
    lab.node.on_send = lab.node.lands
    held.price(RICH)
    await held.running
    assert held.position.state == "closed"


async def test_emergency_sell_from_the_shelf_needs_no_fresh_blockhash(lab: Lab) -> None:
    held = await hold(lab, exits=ExitsSettings(max_hold_ms=86_400_000))
    lab.node.on_send = lab.node.lands
    await lab.clock.advance(ms(60_000))
    assert lab.context.blockhashes.usable(lab.clock.mono_ns()) is None
    held.keeper.signal(HONEYPOT)
    await until(lambda: held.position.state == "closed")
    await held.running


async def test_exit_takes_a_blockhash_that_is_too_old_for_a_buy(lab: Lab) -> None:
    held = await hold(lab, exits=ExitsSettings(max_hold_ms=86_400_000))
    lab.node.on_send = lab.node.lands
    await lab.clock.advance(ms(20_000))
    assert lab.context.blockhashes.current(lab.clock.mono_ns()) is None
    held.keeper.signal(DRAIN)
    await until(lambda: held.position.state == "closed")
    await held.running


def accounts_of(raw: bytes) -> list[Pubkey]:
    return list(VersionedTransaction.from_bytes(raw).message.account_keys)


@pytest.mark.parametrize("signal", [HONEYPOT, DRAIN])
async def test_position_whose_coin_has_a_new_creator_is_sold_with_the_new_creators_vault(
    lab: Lab, signal: ExitSignal
) -> None:
    held = await hold(lab, exits=ExitsSettings(max_hold_ms=86_400_000))
    lab.node.on_send = lab.node.lands
    assert lab.transport.account(POOL.pool, curve_data(held.after, creator=key(77)))
    held.keeper.signal(signal)
    await held.running
    (raw,) = dict.fromkeys(lab.node.sent)
    assert creator_vault_address(key(77)) in accounts_of(raw)
    assert creator_vault_address(POOL.creator) not in accounts_of(raw)


@pytest.mark.parametrize(("index", "paid"), [(4, 1), (0, 0)])
async def test_sell_that_fails_for_an_accounts_rent_but_not_for_our_own_pays_it_the_next_time(
    lab: Lab, index: int, paid: int
) -> None:
    held = await hold(lab, exits=ExitsSettings(max_hold_ms=86_400_000))
    err = {"InsufficientFundsForRent": {"account_index": index}}
    first: list[bytes] = []

    def on_send(raw: bytes) -> None:
        first[:] = first or [raw]
        if raw == first[0]:
            lab.node.fails(raw, err)
        else:
            lab.node.lands(raw)

    lab.node.on_send = on_send
    held.keeper.signal(HONEYPOT)
    await until(lambda: first)
    lab.jump_when_asleep()
    await held.running
    assert held.position.state == "closed"
    _, second = dict.fromkeys(lab.node.sent)
    instructions = VersionedTransaction.from_bytes(second).message.instructions
    transfers = [ix for ix in instructions if bytes(ix.data)[:4] == b"\2\0\0\0"]
    assert len(transfers) == paid
    for made in transfers:
        assert accounts_of(second)[bytes(made.accounts)[1]] == creator_vault_address(POOL.creator)
        assert int.from_bytes(bytes(made.data)[4:], "little") == await lab.context.rpc.get_minimum_balance(0)


async def test_shelf_that_is_laid_two_hundred_times_keeps_its_limit(lab: Lab) -> None:
    held = await hold(lab, exits=ExitsSettings(max_hold_ms=86_400_000))
    lab.node.on_send = lab.node.lands

    async def lay() -> None:
        lab.node.height += 51
        await lab.context.blockhashes.refresh()
        assert held.keeper.lay_shelf()

    for _ in range(200):
        await lay()
    held.keeper.signal(HONEYPOT)
    await held.running
    (first,) = held.sells
    assert unit_limit_of(lab.node.sent[0]) == QUICK.fees.sell_unit_limit
    assert first.limit == 0


async def test_pool_that_cannot_pay_leaves_the_position_stuck_without_a_sell(lab: Lab) -> None:
    held = await hold(lab)
    dry = msgspec.structs.replace(held.after, real_quote=0)
    assert lab.transport.account(POOL.pool, curve_data(dry))
    lab.jump_when_asleep()
    held.keeper.signal(DRAIN)
    await held.running
    assert lab.node.sent == []
    assert held.position.state == "stuck"
    assert "cannot pay" in held.position.reason


async def test_state_from_before_our_own_buy_is_read_anew_instead_of_giving_up(lab: Lab) -> None:
    held = await hold(lab)
    dry = msgspec.structs.replace(held.after, real_quote=0)
    assert lab.transport.account(POOL.pool, curve_data(dry))  # and nothing more is pushed
    held.price_unheard(0)
    lab.node.on_send = lab.node.lands
    lab.jump_when_asleep()
    held.keeper.signal(DRAIN)
    await held.running
    assert held.position.state == "closed"


async def test_attempt_after_a_failed_one_is_priced_from_the_chain_where_the_feed_is_silent(lab: Lab) -> None:
    held = await hold(lab)
    errors: list[object] = [SLIPPAGE]
    lab.node.on_send = lambda raw: lab.node.fails(raw, errors.pop(0)) if errors else lab.node.lands(raw)
    lab.jump_when_asleep()
    held.price(RICH)
    held.price_unheard(POOR)
    await held.running
    quote = held.market.quote_sell(moved(held.after, POOR), TokenAmount(held.sells[1].tokens))
    assert quote is not None
    assert held.sells[1].limit == quote.net * 7_000 // 10_000


async def test_older_state_than_is_known_counts_for_nothing(lab: Lab) -> None:
    held = await hold(lab)
    held.price(1_000_000_000)
    known = held.watch.state
    lab.node.slot -= 1
    held.price(0)
    assert held.watch.state == known
    lab.node.slot -= 1
    held.price_unheard(0)
    await held.watch.read()
    assert held.watch.state == known


async def test_rug_before_the_first_price_is_sold_with_it(lab: Lab) -> None:
    held = await hold(lab, is_known=False)
    await until(lambda: lab.node.asked("getMultipleAccounts"))
    alert = RugAlert(signal="creator_dump", act="exit_now", slot=Slot(1), detail="the creator sold")
    held.keeper._alert([alert], lab.clock.mono_ns())
    assert lab.node.sent == []
    lab.node.on_send = lab.node.lands
    lab.node.accounts[str(POOL.pool)] = curve_data(held.after)
    lab.jump_when_asleep()
    await held.running
    assert (held.position.state, held.position.reason) == ("closed", "rug")


# ---- a curve that is complete ---------------------------------------------------------------------------------------


async def test_position_on_a_complete_curve_is_kept(lab: Lab) -> None:
    held = await hold(lab, is_complete=True)
    await held.running
    assert lab.node.sent == []
    assert (held.position.state, held.position.reason[:9]) == ("graduated", "its curve")


async def test_curve_that_completes_while_held_is_kept_and_nobody_waits_for_its_rules(lab: Lab) -> None:
    held = await hold(lab, exits=ExitsSettings(max_hold_ms=1))
    held.price(RICH, is_complete=True)
    await lab.clock.advance(ms(10))
    await held.running
    assert lab.node.sent == []
    assert (held.position.state, held.position.reason[:9]) == ("graduated", "its curve")


async def test_curve_whose_completion_a_fork_takes_back_is_guarded_and_sold(lab: Lab) -> None:
    held = await hold(lab)
    lab.node.on_send = lab.node.lands
    lab.node.confirmed[str(POOL.pool)] = lab.node.accounts[str(POOL.pool)]
    held.price(RICH, is_complete=True)
    lab.jump_when_asleep()
    await until(lambda: len(_confirmed_reads(lab)) >= 3)
    assert (held.running.done(), held.position.state) == (False, "open")
    held.price(RICH)
    await held.running
    assert (held.position.state, held.position.reason) == ("closed", "take_profit")


async def test_completion_is_asked_for_until_it_is_confirmed(lab: Lab) -> None:
    held = await hold(lab)
    lab.node.confirmed[str(POOL.pool)] = b"no curve"
    held.price(RICH, is_complete=True)
    lab.jump_when_asleep()
    await until(lambda: len(_confirmed_reads(lab)) >= 2)
    lab.node.faults["getMultipleAccounts"] = [TransportError("node", "reset")]
    await until(lambda: len(_confirmed_reads(lab)) >= 4)
    assert not held.running.done()
    del lab.node.confirmed[str(POOL.pool)]
    await held.running
    assert held.position.state == "graduated"


def _confirmed_reads(lab: Lab) -> list[object]:
    asked = lab.node.asked("getMultipleAccounts")
    return [keys for keys, options in asked if keys == [str(POOL.pool)] and options["commitment"] == "confirmed"]


async def test_curve_that_completes_between_two_attempts_is_kept(lab: Lab) -> None:
    held = await hold(lab)

    def on_send(raw: bytes) -> None:
        lab.node.fails(raw, {"InstructionError": [2, {"Custom": 6005}]})
        held.price(RICH, is_complete=True)

    lab.node.on_send = on_send
    lab.jump_when_asleep()
    held.price(RICH)
    await held.running
    assert len(held.sells) == 1
    assert held.position.state == "graduated"


# ---- the end -------------------------------------------------------------------------------------------------------


async def test_subscription_ends_with_the_keeper(lab: Lab) -> None:
    held = await hold(lab)
    assert ("accountSubscribe", str(POOL.pool)) in lab.transport.numbers
    lab.node.on_send = lab.node.lands
    held.price(RICH)
    await held.running
    assert lab.transport.numbers == {}


async def test_cancelled_keeper_leaves_the_position_open_and_says_nothing(
    lab: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    held = await hold(lab)
    held.running.cancel()
    await asyncio.wait([held.running])
    assert held.running.cancelled()
    held.watch.signal(HONEYPOT)  # a late verdict: nobody is there any more
    assert lab.transport.numbers == {}
    assert held.position.state == "open"
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_keeper_cancelled_during_its_sell_leaves_the_intent_open(lab: Lab) -> None:
    held = await hold(lab)
    held.price(RICH)
    await until(lambda: lab.node.sent)
    held.running.cancel()
    await asyncio.wait([held.running])
    assert lab.kinds() == ["landed", "sent"]
    await lab.journal.append(
        IntentUnknown(intent=lab.journal.state.open_intents()[0].signed.intent, reason="the run has ended")
    )


async def test_exit_is_stamped_from_its_trigger_to_its_confirmation(lab: Lab) -> None:
    held = await hold(lab)
    lab.node.on_send = lab.node.lands
    held.price(RICH)
    await held.running
    assert held.trace.at(Stamp.TRIGGERED) is not None
    span = held.trace.span(Component.EXIT)
    assert span is not None


async def test_exit_that_failed_has_no_confirmation(lab: Lab) -> None:
    held = await hold(lab, exits=ExitsSettings(max_attempts=1))
    lab.node.on_send = lambda raw: lab.node.fails(raw, FROZEN)
    lab.jump_when_asleep()
    held.price(RICH)
    await held.running
    assert held.trace.at(Stamp.EXIT_SENT) is not None
    assert held.trace.span(Component.EXIT) is None
