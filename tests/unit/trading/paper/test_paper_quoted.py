"""Fills by formula against the program itself: the same transactions, account by account."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solders.account import Account
from solders.pubkey import Pubkey

from paper_lab import FREE, PaperLab, buy_of, market_on, trade, world_with_coin
from slotzero.errors import MalformedError
from slotzero.solana.addresses import SYSTEM_PROGRAM
from slotzero.solana.transaction import SignedTransaction
from slotzero.trading.paper import Fork
from slotzero.trading.paper.fork import ForkRun, parse
from slotzero.trading.paper.quoted import run_quoted
from slotzero.units import Lamports, TokenAmount
from slotzero.venues.market import PoolState
from slotzero.venues.pumpfun import creator_vault_address
from trading_lab import LAUNCH, SIGNER, moved, pump_pool


def interesting(run: ForkRun, keys: list[Pubkey]) -> dict[Pubkey, tuple[int, int] | None]:
    """What a run has made of accounts: lamports and, of a token account, the amount."""
    found: dict[Pubkey, tuple[int, int] | None] = {}
    for key in keys:
        account = run.post.get(key)
        amount = int.from_bytes(account.data[64:72], "little") if account and len(account.data) >= 165 else 0
        found[key] = None if account is None else (account.lamports, amount)
    return found


class Both:
    """One state, run by the program and by formula."""

    def __init__(self, quote: int = 0) -> None:
        self.pool = pump_pool(reserves=moved(LAUNCH, quote)) if quote else pump_pool()
        self.world = world_with_coin(self.pool)
        self.lab = PaperLab(self.world)
        self.market = market_on(self.world, self.pool)

    async def run(self, instructions: list[Any], price: int = 1_000) -> tuple[ForkRun, ForkRun, SignedTransaction]:
        signed = trade(self.world, instructions, price=price)
        transaction = parse(signed.raw)
        seen = self.lab.desk._seen(await self.lab.desk._read(transaction.message.account_keys))
        by_program = await self.lab.desk._run(transaction, seen, is_signed=True)
        by_formula = run_quoted(transaction, seen, rent=self.lab.desk._fork.rent)
        return by_program, by_formula, signed

    def state(self, run: ForkRun) -> PoolState:
        account = run.post[self.market.state_account]
        assert account is not None
        return self.market.decode_state(account.data)

    async def agree(self, instructions: list[Any], price: int = 1_000) -> ForkRun:
        by_program, by_formula, signed = await self.run(instructions, price)
        assert (by_formula.err, by_formula.fee) == (by_program.err, by_program.fee)
        market = self.market
        keys = [SIGNER.pubkey, market.user_tokens, *market.deposits, *market.topped_up, market.state_account]
        assert interesting(by_formula, keys) == interesting(by_program, keys)
        if by_program.err is None:
            states = [self.state(run) for run in (by_program, by_formula)]
            assert states[0] == states[1]
            await self.lab.fill(signed)
        return by_formula


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 60 * 10**9), st.integers(1_000_000, 5 * 10**9), st.integers(1, 99))
def test_buy_and_sells_by_formula_are_those_of_the_program(quote: int, budget: int, percent: int) -> None:
    async def check() -> None:
        both = Both(quote)
        market = both.market
        tokens, buy = buy_of(market, budget)
        assert (await both.agree(buy)).err is None
        part = TokenAmount(max(1, tokens * percent // 100))
        assert (await both.agree(market.sell(part, Lamports(0), closes_account=False), 2_000)).err is None
        rest = TokenAmount(tokens - part)
        if rest:
            assert (await both.agree(market.sell(rest, Lamports(0), closes_account=True), 3_000)).err is None

    asyncio.run(check())


async def test_refusals_by_formula_are_those_of_the_program() -> None:
    both = Both(10**10)
    market = both.market
    tokens, buy = buy_of(market)
    await both.agree(market.buy(tokens, Lamports(1_000)))
    await both.agree(buy)
    run = await both.agree(market.sell(tokens, Lamports(10**12), closes_account=False), 2_000)
    assert market.is_slippage(run.err)


async def test_trade_of_an_earlier_creator_is_refused_as_by_the_program_and_the_fitted_one_fills() -> None:
    both = Both(10**10)
    tokens, buy = buy_of(both.market)
    await both.agree(buy)
    chain, curve = both.world.chain, both.world.chain.account(both.pool.pool)
    assert curve is not None
    creator = Pubkey.from_bytes(bytes(31) + b"\x4d")
    data = curve.data[:49] + bytes(creator) + curve.data[81:]
    chain.set_account(both.pool.pool, Account(curve.lamports, data, curve.owner))
    chain.set_account(creator_vault_address(creator), Account(10**7, b"", SYSTEM_PROGRAM))
    stale = both.market
    run = await both.agree(stale.sell(tokens, Lamports(0), closes_account=False), 2_000)
    assert stale.explain(run.err) == "ConstraintSeeds"
    assert stale.explain((await both.agree(stale.buy(tokens, Lamports(10**10)), 2_500)).err) == "ConstraintSeeds"
    both.market = stale.fitting(stale.decode_state(data))
    assert (await both.agree(both.market.sell(tokens, Lamports(0), closes_account=True), 3_000)).err is None


async def test_what_it_does_not_know_is_malformed_not_guessed_at() -> None:
    both = Both()
    strange = trade(both.world, [both.market.buy(TokenAmount(1), Lamports(10**9))[1]])
    transaction = parse(strange.raw)
    with pytest.raises(MalformedError):
        run_quoted(transaction, {SIGNER.pubkey: None}, rent=lambda _size: Lamports(1))


async def test_desk_falls_back_to_formulas_where_the_program_cannot_be_run(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = PaperLab(world_with_coin())
    fork_fill = await expected.fill(trade(expected.world, buy_of(market_on(expected.world))[1]))

    def refuse(_self: Fork, key: Pubkey, _elf: bytes) -> None:
        raise MalformedError(f"the program {key} cannot be loaded")

    monkeypatch.setattr(Fork, "add_program", refuse)
    world = world_with_coin()
    lab, market = PaperLab(world), market_on(world)
    signed = trade(world, buy_of(market)[1])
    fill = await lab.fill(signed)
    assert (fill.after, fill.fee, fill.err) == (fork_fill.after, fork_fill.fee, None)
    assert fill.after < FREE.wallet_lamports
    assert lab.desk.report({}, slippage_lamports=0).fills == "quote"
    with pytest.raises(MalformedError, match="cannot be run here"):
        await lab.desk.simulate(signed.raw, [])
