"""The desk's model: when a transaction lands, which are lost, which fail, and that the books add up."""

import msgspec
import pytest

from paper_lab import FREE, PaperLab, buy_of, market_on, trade, world_with_coin
from slotzero.config import PaperSettings
from slotzero.errors import MalformedError
from slotzero.trading.paper.desk import MODEL_ERROR, PaperListener
from slotzero.trading.paper.report import PaperReport
from slotzero.units import Lamports, Slot, TokenAmount
from trading_lab import SIGNER


def settings(**changes: int) -> PaperSettings:
    return msgspec.structs.replace(FREE, **changes)


def adds_up(report: PaperReport) -> bool:
    charged = report.fees_lamports + report.tips_lamports + report.failed_lamports
    return report.net_lamports == report.free_lamports - charged


async def test_transaction_lands_so_many_slots_after_its_send_and_is_confirmed_one_later() -> None:
    world = world_with_coin()
    lab = PaperLab(world, settings(landing_slots=3))
    told: list[str] = []
    lab.desk.listen(
        PaperListener(
            on_account=lambda key, _account, slot: told.append(
                f"{slot} {'wallet' if key == SIGNER.pubkey else 'other'}"
            ),
            on_confirmed=lambda _signature, slot, err: told.append(f"{lab.desk.slot} confirmed in {slot} {err}"),
        )
    )
    signed = trade(world, buy_of(market_on(world))[1])
    lab.desk.submit(signed.raw)
    await lab.pass_slots(2)
    assert lab.desk.fill(signed.signature) is None
    assert told == []
    await lab.pass_slots(1)
    fill = lab.desk.fill(signed.signature)
    assert fill is not None
    assert (fill.sent_slot, fill.slot) == (10, 13)
    assert "13 wallet" in told
    await lab.pass_slots(1)
    assert told[-1] == "14 confirmed in 13 None"


async def test_same_bytes_sent_again_land_once() -> None:
    world = world_with_coin()
    lab = PaperLab(world)
    signed = trade(world, buy_of(market_on(world))[1])
    for _ in range(3):
        lab.desk.submit(signed.raw)
    await lab.fill(signed)
    lab.desk.submit(signed.raw)
    await lab.pass_slots(5)

    report = lab.desk.report({}, slippage_lamports=0)
    assert (report.sends, report.landed) == (5, 1)
    assert adds_up(report)


async def test_lost_sends_cost_nothing_and_a_later_one_lands() -> None:
    world = world_with_coin()
    lab = PaperLab(world, settings(drop_bps=9_000))
    signed = trade(world, buy_of(market_on(world))[1])
    while not lab.desk._pending:
        lab.desk.submit(signed.raw)
    await lab.pass_slots(3)

    report = lab.desk.report({}, slippage_lamports=0)
    assert report.dropped == report.sends - 1 > 0
    assert report.landed == 1


async def test_failure_of_the_model_costs_the_fee_and_changes_nothing_else() -> None:
    world = world_with_coin()
    lab, market = PaperLab(world, settings(failure_bps=10_000)), market_on(world)
    fill = await lab.fill(trade(world, buy_of(market)[1]))

    assert (fill.err, fill.failed_by) == (MODEL_ERROR, "model")
    assert lab.book.balance(SIGNER.pubkey) == FREE.wallet_lamports - fill.fee
    assert not lab.book.touches(market.state_account)
    assert MODEL_ERROR in market.explain(fill.err)
    report = lab.desk.report({}, slippage_lamports=0)
    assert (report.failed, report.failed_lamports, report.free_lamports) == ({"model": 1}, fill.fee, 0)
    assert adds_up(report)


async def test_pnl_differs_from_free_fills_by_exactly_what_is_charged() -> None:
    free_of_cost = await round_trips(settings())
    charged = await round_trips(settings(tip_lamports=7_777, failure_bps=3_000, drop_bps=2_000))

    assert adds_up(free_of_cost)
    assert adds_up(charged)
    assert charged.tips_lamports == 7_777 * charged.landed
    assert charged.failed.keys() == {"model"}
    assert charged.failed_lamports > 0
    assert free_of_cost.tips_lamports == free_of_cost.failed_lamports == 0


async def round_trips(model: PaperSettings) -> PaperReport:
    """Buy and sell ten times, sending again what was lost, going on after what failed."""
    world = world_with_coin()
    lab, market = PaperLab(world, model), market_on(world)
    price = 1_000
    for _ in range(10):
        tokens, buy = buy_of(market, 50_000_000)
        for step in (buy, market.sell(TokenAmount(tokens), Lamports(0), closes_account=True)):
            while True:
                price += 1_000
                signed = trade(world, step, price=price)
                while signed.signature not in lab.desk._pending:
                    lab.desk.submit(signed.raw)
                await lab.pass_slots(3)
                fill = lab.desk.fill(signed.signature)
                assert fill is not None
                if fill.failed_by is None:
                    break
    assert list(lab.book.token_accounts(SIGNER.pubkey)) == []
    return lab.desk.report({}, slippage_lamports=0)


async def test_same_seed_loses_and_fails_the_same() -> None:
    model = settings(failure_bps=3_000, drop_bps=3_000)
    assert await round_trips(model) == await round_trips(model)
    assert await round_trips(model) != await round_trips(settings(failure_bps=3_000, drop_bps=3_000, seed=9))


async def test_wallet_pays_no_more_than_it_has() -> None:
    world = world_with_coin()
    lab = PaperLab(world, settings(tip_lamports=10**9, wallet_lamports=10**8 + 5 * 10**7))
    fill = await lab.fill(trade(world, buy_of(market_on(world), 10**8)[1]))
    assert fill.failed_by is None
    assert fill.after == lab.book.balance(SIGNER.pubkey) == 0
    assert adds_up(lab.desk.report({}, slippage_lamports=0))


async def test_unreadable_chain_lets_it_land_later() -> None:
    world = world_with_coin()
    lab = PaperLab(world)
    signed = trade(world, buy_of(market_on(world))[1])
    lab.desk.submit(signed.raw)
    handle = world.rpc.handle
    world.rpc.handle = lambda body: b'{"error": {"code": -32005, "message": "behind"}}'  # type: ignore[method-assign]  # noqa: ARG005
    await lab.pass_slots(4)
    assert lab.desk.fill(signed.signature) is None
    world.rpc.handle = handle  # type: ignore[method-assign]
    await lab.pass_slots(1)
    fill = lab.desk.fill(signed.signature)
    assert fill is not None
    assert fill.slot == Slot(15)


def test_what_is_no_transaction_is_refused() -> None:
    with pytest.raises(MalformedError):
        PaperLab(world_with_coin()).desk.submit(b"\x01nothing")
