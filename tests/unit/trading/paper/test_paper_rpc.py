"""The paper endpoint: what is about us comes from the desk, the rest from the chain, and nothing can get out."""

import contextlib
from base64 import b64encode
from typing import Any

import pytest
from solders.pubkey import Pubkey

from chain_world import WALLETS, World
from paper_lab import FREE, PaperLab, buy_of, market_on, trade, world_with_coin
from slotzero.clock import TestClock
from slotzero.errors import RpcError
from slotzero.localnet.rpc import METHODS
from slotzero.solana.addresses import TOKEN_2022_PROGRAM, TOKEN_PROGRAM
from slotzero.trading.paper import PaperRpc
from slotzero.trading.paper.rpc import FORWARDED
from slotzero.units import Lamports, TokenAmount
from trading_lab import SIGNER

READS = FORWARDED | {"getMultipleAccounts", "getBalance", "getTokenAccountsByOwner"}
CHANGES = {name for name in METHODS if name.startswith(("send", "request", "slotzero_"))}


def endpoint(world: World | None = None) -> tuple[PaperLab, PaperRpc]:
    lab = PaperLab(world or world_with_coin())
    return lab, PaperRpc(lab.upstream, lab.desk, clock=TestClock())


async def test_no_method_that_changes_anything_reaches_the_chain() -> None:
    world = world_with_coin()
    lab, rpc = endpoint(world)
    raw = b64encode(trade(world, buy_of(market_on(world))[1]).raw).decode()
    for method in sorted({*METHODS, "sendBundle", "sendRawTransaction", "anythingElse"}):
        for params in ([], [str(SIGNER.pubkey), 1], [str(SIGNER.pubkey), {}, {}], [raw, {}], [[raw], {}]):
            with contextlib.suppress(Exception):  # wrong parameters fail in many ways; where they went is what counts
                await rpc._call(method, params, object, "send")
    assert set(lab.upstream.methods) <= READS
    assert not set(lab.upstream.methods) & CHANGES
    assert set(rpc.forwarded) <= READS
    assert len(CHANGES) > 5


async def test_send_is_answered_and_lands_on_paper_alone() -> None:
    world = world_with_coin()
    lab, rpc = endpoint(world)
    signed = trade(world, buy_of(market_on(world))[1])
    assert await rpc.send_transaction(signed.raw) == signed.signature
    assert (await rpc.get_signature_statuses([signed.signature, "other"])) == [None, None]
    await lab.pass_slots(2)
    (status,) = await rpc.get_signature_statuses([signed.signature])
    assert status is not None
    assert (status.slot, status.confirmation, status.err) == (12, "processed", None)
    assert await rpc.get_transaction(signed.signature, "confirmed") is None, "not before it is confirmed"
    await lab.pass_slots(1)
    (status,) = await rpc.get_signature_statuses([signed.signature], search_history=True)
    assert status is not None
    assert status.confirmation == "confirmed"
    record = await rpc.get_transaction(signed.signature, "confirmed")
    assert record is not None
    assert record.payer_before - record.payer_after == FREE.wallet_lamports - await rpc.get_balance(
        SIGNER.pubkey, "processed"
    )
    assert world.chain.transaction_count == 0


async def test_accounts_of_ours_are_on_paper_and_those_of_others_real() -> None:
    world = world_with_coin()
    lab, rpc = endpoint(world)
    market = market_on(world)
    tokens, buy = buy_of(market)
    await lab.fill(trade(world, buy))

    wallet, held, curve, stranger, nobody = await rpc.get_multiple_accounts(
        [SIGNER.pubkey, market.user_tokens, market.state_account, WALLETS[0].pubkey(), Pubkey.new_unique()], "processed"
    )
    assert wallet is not None
    assert wallet.lamports == lab.book.balance(SIGNER.pubkey)
    assert held is not None
    assert int.from_bytes(held.data[64:72], "little") == tokens
    assert curve is not None
    state = market.decode_state(curve.data)
    assert state.reserves.virtual_token == market.pool.reserves.virtual_token - tokens
    assert stranger is not None
    assert nobody is None
    rows = await rpc.get_token_accounts_by_owner(SIGNER.pubkey, "confirmed", program=TOKEN_2022_PROGRAM)
    assert rows == [(market.user_tokens, held)]
    assert await rpc.get_token_accounts_by_owner(SIGNER.pubkey, "confirmed", program=TOKEN_PROGRAM) == []
    assert await rpc.get_token_accounts_by_owner(SIGNER.pubkey, "confirmed", mint=market.pool.mint) == rows
    assert await rpc.get_balance(WALLETS[0].pubkey(), "processed") == 1_000 * 10**9


async def test_simulation_is_answered_as_a_node_answers_it() -> None:
    world = world_with_coin()
    _, rpc = endpoint(world)
    market = market_on(world)
    tokens, buy = buy_of(market)
    good = await rpc.simulate(trade(world, buy).raw, [SIGNER.pubkey, market.user_tokens], "processed")
    assert good.err is None
    assert good.units > 10_000
    assert any("Instruction: Buy" in line for line in good.logs)
    assert good.accounts[1] is not None
    assert int.from_bytes(good.accounts[1].data[64:72], "little") == tokens

    bad = await rpc.simulate(
        trade(world, market.sell(TokenAmount(5), Lamports(0), closes_account=False)).raw,
        [market.user_tokens],
        "processed",
    )
    assert bad.err is not None
    assert bad.accounts == (None,)


async def test_bytes_that_are_no_transaction_are_refused_like_a_node_does() -> None:
    _, rpc = endpoint()
    with pytest.raises(RpcError) as caught:
        await rpc.send_transaction(b"nothing")
    assert caught.value.code == -32602


async def test_what_the_chain_says_no_to_is_said_no_to() -> None:
    _, rpc = endpoint()
    with pytest.raises(RpcError):
        await rpc._call("getTokenLargestAccounts", ["no address"], dict[str, Any], "safety")
