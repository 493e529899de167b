"""Paper against the chain: the same bytes on two equal chains, one on paper and one in earnest."""

import base64

from solders.account import Account
from solders.pubkey import Pubkey

from chain_world import World
from paper_lab import FREE, PaperLab, buy_of, market_on, trade, world_with_coin
from slotzero.localnet.chain import Landed
from slotzero.solana.addresses import SYSTEM_PROGRAM
from slotzero.solana.rpc import AccountInfo
from slotzero.solana.transaction import SignedTransaction
from slotzero.trading.paper import PaperFill
from slotzero.trading.paper.impact import Impact, shifted_pool
from slotzero.units import Lamports
from slotzero.venues.pumpfun import decode_curve
from trading_lab import SIGNER


def in_earnest(world: World, signed: SignedTransaction) -> dict[str, object]:
    """Land a transaction on the real chain; return what getTransaction says of it."""
    outcome = world.chain.submit(signed.raw)
    assert isinstance(outcome, Landed), outcome
    world.chain.advance(2)
    answer = world.call(
        "getTransaction",
        signed.signature,
        {"encoding": "json", "commitment": "confirmed", "maxSupportedTransactionVersion": 1},
    )
    assert isinstance(answer, dict)
    meta = answer["meta"]
    assert isinstance(meta, dict)
    return meta


def assert_same(fill: PaperFill, meta: dict[str, object]) -> None:
    pre, post = meta["preBalances"], meta["postBalances"]
    assert isinstance(pre, list)
    assert isinstance(post, list)
    assert (fill.before, fill.after) == (pre[0], post[0]), "to the lamport"
    assert (fill.fee, fill.units, fill.err) == (meta["fee"], meta["computeUnitsConsumed"], meta["err"])
    rows = meta["postTokenBalances"]
    assert isinstance(rows, list)
    ours = {row["mint"]: int(row["uiTokenAmount"]["amount"]) for row in rows if row["owner"] == str(SIGNER.pubkey)}
    assert {row.mint: row.amount for row in fill.token_balances} == ours


def curve_of(lab: PaperLab, pool: Pubkey) -> AccountInfo:
    account = lab.world.chain.account(pool)
    assert account is not None
    real = AccountInfo(lamports=Lamports(account.lamports), owner=account.owner, data=account.data, executable=False)
    seen = lab.book.view(pool, real)
    assert seen is not None
    return seen


async def test_buy_and_sells_on_paper_are_those_of_the_chain_to_the_lamport() -> None:
    real, lab = world_with_coin(), PaperLab(world_with_coin())
    real.chain.set_account(SIGNER.pubkey, Account(FREE.wallet_lamports, b"", SYSTEM_PROGRAM))
    market = market_on(real)
    tokens, buy = buy_of(market)
    half = type(tokens)(tokens // 2)
    steps = [
        buy,
        market.sell(half, Lamports(0), closes_account=False),
        market.sell(type(tokens)(tokens - half), Lamports(0), closes_account=True),
    ]
    for number, step in enumerate(steps):
        signed = trade(real, step, price=1_000 * (number + 1))
        assert_same(await lab.fill(signed), in_earnest(real, signed))
        account = real.chain.account(market.state_account)
        assert account is not None
        if number < len(steps) - 1:
            seen = curve_of(lab, market.state_account)
            assert (seen.data, seen.lamports) == (account.data, account.lamports), "the pool as our trades left it"

    assert not lab.book.touches(market.state_account), "what we hold nothing of is its real self again"
    assert list(lab.book.token_accounts(SIGNER.pubkey)) == []


async def test_refused_trade_costs_its_fee_as_on_the_chain() -> None:
    real, lab = world_with_coin(), PaperLab(world_with_coin())
    real.chain.set_account(SIGNER.pubkey, Account(FREE.wallet_lamports, b"", SYSTEM_PROGRAM))
    market = market_on(real)
    tokens, _ = buy_of(market)
    signed = trade(real, market.buy(tokens, Lamports(1_000)))

    fill = await lab.fill(signed)
    assert_same(fill, in_earnest(real, signed))
    assert fill.failed_by == "chain"
    assert market.is_slippage(fill.err)
    assert fill.before - fill.after == fill.fee


async def test_fill_is_made_at_the_state_of_the_slot_it_lands_in_not_of_the_send() -> None:
    world = world_with_coin()
    lab, market = PaperLab(world), market_on(world)
    tokens, buy = buy_of(market)
    signed = trade(world, buy)
    lab.desk.submit(signed.raw)
    rival = shifted_pool(curve_of(lab, market.state_account), Impact(tokens=10**14, quote=5 * 10**9))
    world.chain.set_account(market.state_account, Account(rival.lamports, rival.data, rival.owner))
    await lab.pass_slots(3)

    fill = lab.desk.fill(signed.signature)
    assert fill is not None
    quote = market.quote_buy(decode_curve(rival.data).reserves, tokens)
    assert quote is not None
    vault = lab.world.chain.svm.rent_exempt_minimum(0)
    assert -fill.traded_lamports == quote.total + vault, "the venue's own total, and the creator's vault filled up"


async def test_simulation_sees_paper_money_and_leaves_nothing() -> None:
    world = world_with_coin()
    lab, market = PaperLab(world), market_on(world)
    _, buy = buy_of(market)
    raw = trade(world, buy).raw
    run, accounts = await lab.desk.simulate(raw, [SIGNER.pubkey, market.user_tokens])

    assert run.err is None, run.logs
    assert all(account is not None for account in accounts)
    assert lab.book.balance(SIGNER.pubkey) == FREE.wallet_lamports
    assert not lab.book.touches(market.state_account)
    assert lab.upstream.methods.keys() == {"getMultipleAccounts"}
    assert base64.b64encode(raw).decode() not in str(lab.upstream.methods)
