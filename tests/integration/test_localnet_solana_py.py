"""solana-py's clients, unmodified, against a chain that runs as a child process."""

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar

import pytest
import pytest_asyncio
from solana.exceptions import SolanaRpcException
from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Confirmed, Finalized, Processed
from solana.rpc.core import RPCException
from solana.rpc.models import TxOpts
from solana.rpc.websocket_api import SolanaWsClient
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.rpc.config import RpcTransactionLogsFilterMentions
from solders.rpc.errors import SendTransactionPreflightFailureMessage
from solders.rpc.responses import (
    AccountNotification,
    LogsNotification,
    SignatureNotification,
    SlotNotification,
)
from solders.signature import Signature
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction
from solders.transaction_status import TransactionConfirmationStatus

from slotzero.localnet.endpoints import LocalnetEndpoints
from slotzero.localnet.process import running_localnet
from slotzero.solana.addresses import SYSTEM_PROGRAM
from slotzero.venues.pumpfun import accounts, instructions, quote
from slotzero.venues.pumpfun.addresses import FEE_CONFIG, GLOBAL, PUMP_PROGRAM
from slotzero.venues.records import Reserves

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOL = 1_000_000_000
SKIP = TxOpts(skip_preflight=True)
T = TypeVar("T")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def endpoints() -> AsyncIterator[LocalnetEndpoints]:
    async with running_localnet(slot_ms=50) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def client(endpoints: LocalnetEndpoints) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(endpoints.rpc, commitment=Confirmed) as connected:
        yield connected


@pytest_asyncio.fixture(loop_scope="module")
async def pubsub(endpoints: LocalnetEndpoints) -> AsyncIterator[SolanaWsClient]:
    async with SolanaWsClient(endpoints.ws) as connected:
        yield connected


async def funded(client: AsyncClient, lamports: int = 100 * SOL) -> Keypair:
    keypair = Keypair()
    signature = (await client.request_airdrop(keypair.pubkey(), lamports)).value
    await confirmed(client, signature)
    return keypair


async def confirmed(client: AsyncClient, signature: Signature) -> None:
    statuses = await client.confirm_transaction(signature, Confirmed, sleep_seconds=0.02)
    assert statuses.value[0] is not None


async def signed(client: AsyncClient, signers: list[Keypair], *steps: Instruction) -> VersionedTransaction:
    blockhash = (await client.get_latest_blockhash(Processed)).value.blockhash
    return VersionedTransaction(MessageV0.try_compile(signers[0].pubkey(), list(steps), [], blockhash), signers)


def payment(payer: Keypair, to: Pubkey, lamports: int) -> Instruction:
    return transfer(TransferParams(from_pubkey=payer.pubkey(), to_pubkey=to, lamports=lamports))


async def next_of(pubsub: SolanaWsClient, kind: type[T]) -> T:
    async with asyncio.timeout(30):
        while True:
            notification = await pubsub.recv()
            if isinstance(notification, kind):
                return notification


async def test_cluster_methods_give_typed_answers(client: AsyncClient, endpoints: LocalnetEndpoints) -> None:
    assert await client.is_connected()
    assert (await client.get_version()).value.solana_core == "4.1.2"
    assert str((await client.get_genesis_hash()).value) == endpoints.genesis
    latest = (await client.get_latest_blockhash(Processed)).value
    slot = (await client.get_slot(Processed)).value
    height = (await client.get_block_height(Processed)).value
    assert latest.last_valid_block_height - 150 <= slot <= height
    assert (await client.get_slot(Finalized)).value <= slot
    assert (await client.get_minimum_balance_for_rent_exemption(165)).value == (128 + 165) * 5080


async def test_transfer_moves_lamports_and_is_found_by_status_and_signature(client: AsyncClient) -> None:
    payer, to = await funded(client), Keypair().pubkey()
    transaction = await signed(client, [payer], payment(payer, to, SOL))
    signature = (await client.send_transaction(transaction)).value
    assert signature == transaction.signatures[0]
    await confirmed(client, signature)
    assert (await client.get_balance(to)).value == SOL
    assert (await client.get_balance(payer.pubkey())).value == 99 * SOL - 5000
    status = (await client.get_signature_statuses([signature, Signature.default()])).value
    assert status[0] is not None
    assert status[0].err is None
    assert status[0].confirmation_status in (
        TransactionConfirmationStatus.Confirmed,
        TransactionConfirmationStatus.Finalized,
    )
    assert status[1] is None

    for encoding in ("json", "base64"):
        found = (await client.get_transaction(signature, encoding, Confirmed, 0)).value
        assert found is not None
        assert found.transaction.meta is not None
        assert found.transaction.meta.fee == 5000
        assert found.transaction.meta.pre_balances[:2] == [100 * SOL, 0]
        assert found.transaction.meta.post_balances[:2] == [99 * SOL - 5000, SOL]
        assert found.transaction.meta.log_messages
    with pytest.raises(RPCException, match="maxSupportedTransactionVersion"):
        await client.get_transaction(signature, "json", Confirmed)
    assert (await client.get_transaction(Signature.default(), "json", Confirmed, 0)).value is None


async def test_accounts_are_read_one_and_many(client: AsyncClient) -> None:
    payer = await funded(client, 3 * SOL)
    one = (await client.get_account_info(payer.pubkey())).value
    assert one is not None
    assert (one.lamports, one.owner, one.data) == (3 * SOL, SYSTEM_PROGRAM, b"")
    many = (await client.get_multiple_accounts([payer.pubkey(), Keypair().pubkey(), PUMP_PROGRAM])).value
    assert many[0] == one
    assert many[1] is None
    assert many[2] is not None
    assert many[2].executable


async def test_commitments_see_different_states(client: AsyncClient) -> None:
    payer = await funded(client)
    assert (await client.get_balance(payer.pubkey(), Processed)).value == 100 * SOL
    assert (await client.get_balance(payer.pubkey(), Finalized)).value == 0


async def test_simulation_shows_what_a_transfer_would_do(client: AsyncClient) -> None:
    payer, to = await funded(client), Keypair().pubkey()
    transaction = await signed(client, [payer], payment(payer, to, SOL))
    simulated = (
        await client.simulate_transaction(
            transaction,
            sig_verify=True,
            commitment=Processed,
            inner_instructions=True,
            accounts_addresses=[to, payer.pubkey()],
        )
    ).value
    assert simulated.err is None
    assert simulated.units_consumed == 150
    assert simulated.fee == 5000
    assert simulated.pre_balances is not None
    assert simulated.post_balances is not None
    assert simulated.pre_balances[0] - simulated.post_balances[0] == SOL + 5000
    assert simulated.accounts is not None
    assert simulated.accounts[0] is not None
    assert simulated.accounts[0].lamports == SOL
    assert (await client.get_balance(to, Processed)).value == 0

    too_much = await signed(client, [payer], payment(payer, to, 1000 * SOL))
    replaced = (await client.simulate_transaction(too_much, replace_recent_blockhash=True)).value
    assert replaced.replacement_blockhash is not None
    assert replaced.err is not None
    assert replaced.logs
    with pytest.raises(RPCException, match="sigVerify may not be used"):
        await client.simulate_transaction(too_much, sig_verify=True, replace_recent_blockhash=True)


async def test_failing_preflight_is_a_typed_error_and_leaves_no_trace(client: AsyncClient) -> None:
    payer, to = await funded(client), Keypair().pubkey()
    transaction = await signed(client, [payer], payment(payer, to, 1000 * SOL))
    with pytest.raises(RPCException) as caught:
        await client.send_transaction(transaction)
    error = caught.value.args[0]
    assert isinstance(error, SendTransactionPreflightFailureMessage)
    assert error.message == ("Transaction simulation failed: Error processing Instruction 0: custom program error: 0x1")
    assert error.data.logs
    assert (await client.get_balance(payer.pubkey(), Processed)).value == 100 * SOL
    assert (await client.get_signature_statuses(transaction.signatures[:1])).value == [None]


async def test_failing_transaction_without_preflight_lands_and_pays_its_fee(client: AsyncClient) -> None:
    payer, to = await funded(client), Keypair().pubkey()
    transaction = await signed(client, [payer], payment(payer, to, 1000 * SOL))
    signature = (await client.send_transaction(transaction, SKIP)).value
    await confirmed(client, signature)
    assert (await client.get_balance(payer.pubkey())).value == 100 * SOL - 5000
    status = (await client.get_signature_statuses([signature])).value[0]
    assert status is not None
    assert status.err is not None


async def test_second_send_of_the_same_bytes_is_already_processed(client: AsyncClient) -> None:
    payer = await funded(client)
    transaction = await signed(client, [payer], payment(payer, Keypair().pubkey(), SOL))
    await client.send_transaction(transaction)
    with pytest.raises(RPCException, match="already been processed"):
        await client.send_transaction(transaction)
    again = (await client.send_transaction(transaction, SKIP)).value
    assert again == transaction.signatures[0]
    assert (await client.get_balance(payer.pubkey(), Processed)).value == 99 * SOL - 5000


async def test_notifications_are_parsed_by_typed_classes(client: AsyncClient, pubsub: SolanaWsClient) -> None:
    payer, to = await funded(client), Keypair().pubkey()
    transaction = await signed(client, [payer], payment(payer, to, SOL))
    mentions = await pubsub.logs_subscribe(
        filter_=RpcTransactionLogsFilterMentions(payer.pubkey()), commitment=Processed
    )
    await pubsub.account_subscribe(pubkey=to, commitment=Confirmed, encoding="base64")
    await pubsub.signature_subscribe(signature=transaction.signatures[0], commitment=Confirmed)
    await client.send_transaction(transaction, SKIP)
    logs = await next_of(pubsub, LogsNotification)
    assert logs.result.value.signature == transaction.signatures[0]
    assert logs.result.value.err is None
    assert f"Program {SYSTEM_PROGRAM} success" in logs.result.value.logs
    async with asyncio.timeout(30):
        both = {type(await pubsub.recv()), type(await pubsub.recv())}
    assert both == {AccountNotification, SignatureNotification}

    await pubsub.unsubscribe(mentions)
    late = await pubsub.signature_subscribe(signature=transaction.signatures[0], commitment=Processed)
    told = await next_of(pubsub, SignatureNotification)
    assert told.subscription == late.subscription_id
    assert told.result.value.err is None
    slots = await pubsub.slot_subscribe()
    first, second = await next_of(pubsub, SlotNotification), await next_of(pubsub, SlotNotification)
    assert second.result.slot == first.result.slot + 1 == second.result.parent + 1
    await pubsub.unsubscribe(slots)


async def test_transaction_too_large_is_refused(client: AsyncClient) -> None:
    payer = await funded(client)
    blockhash = (await client.get_latest_blockhash(Processed)).value.blockhash
    big = Instruction(SYSTEM_PROGRAM, bytes(1200), [])
    message = MessageV0.try_compile(payer.pubkey(), [big], [], blockhash)
    with pytest.raises((RPCException, SolanaRpcException), match="too large"):
        await client.send_transaction(VersionedTransaction(message, [payer]))


async def test_pump_coin_is_created_bought_and_sold(client: AsyncClient, pubsub: SolanaWsClient) -> None:
    creator, buyer, mint = await funded(client), await funded(client), Keypair()
    await pubsub.logs_subscribe(filter_=RpcTransactionLogsFilterMentions(PUMP_PROGRAM), commitment=Processed)
    create = instructions.create_v2(
        user=creator.pubkey(), mint=mint.pubkey(), creator=creator.pubkey(), name="Moon", symbol="MOON", uri="ipfs://x"
    )
    created = (await client.send_transaction(await signed(client, [creator, mint], create))).value
    logs = await next_of(pubsub, LogsNotification)
    assert logs.result.value.signature == created
    assert any(line.startswith("Program data: ") for line in logs.result.value.logs)

    read = (await client.get_multiple_accounts([GLOBAL, FEE_CONFIG], Processed)).value
    assert read[0] is not None
    assert read[1] is not None
    settings = accounts.decode_global(read[0].data)
    fee_config = accounts.decode_fee_config(read[1].data)
    protocol, buyback = instructions.fee_recipients(settings, is_mayhem=False)
    trade = instructions.trade_accounts(
        instructions.wallet_accounts(buyer.pubkey()),
        mint=mint.pubkey(),
        creator=creator.pubkey(),
        fee_recipient=protocol,
        buyback_recipient=buyback,
    )

    async def curve() -> accounts.Curve:
        account = (await client.get_account_info(trade.curve, Processed, "base64")).value
        assert account is not None
        return accounts.decode_curve(account.data)

    async def tokens() -> int:
        return int((await client.get_token_account_balance(trade.user_tokens, Processed)).value.amount)

    before = await curve()
    assert fee_config is not None
    amount = before.reserves.real_token // 100
    buy = instructions.buy(trade, amount, SOL)
    account = instructions.create_associated_token_account(trade)
    await client.send_transaction(await signed(client, [buyer], account, buy))
    assert await tokens() == amount
    bought = await curve()
    assert bought.reserves.real_token == before.reserves.real_token - amount
    expected = quote.reserves_after_buy(
        before.reserves, amount, bought.reserves.real_quote - before.reserves.real_quote
    )
    assert isinstance(expected, Reserves)
    assert bought.reserves == expected

    slipped = await signed(client, [buyer], instructions.sell(trade, amount, SOL))
    with pytest.raises(RPCException, match="0x1773"):  # 6003: too little SOL received
        await client.send_transaction(slipped)
    sold = (await client.send_transaction(await signed(client, [buyer], instructions.sell(trade, amount, 0)))).value
    assert await tokens() == 0
    await confirmed(client, sold)
    shown = (await client.get_transaction(sold, "json", Confirmed, 0)).value
    assert shown is not None
    assert shown.transaction.meta is not None
    rows = shown.transaction.meta.pre_token_balances
    assert rows is not None
    assert {(row.owner, row.ui_token_amount.amount) for row in rows} >= {(buyer.pubkey(), str(amount))}
    assert shown.transaction.meta.inner_instructions
