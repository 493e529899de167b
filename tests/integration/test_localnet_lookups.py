"""solana-py's typed calls for the methods that look things up, against a served chain."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Confirmed, Processed
from solana.rpc.core import RPCException
from solana.rpc.models import DataSliceOpts, TokenAccountOpts
from solders.compute_budget import set_compute_unit_price
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.signature import Signature
from solders.system_program import (
    AdvanceNonceAccountParams,
    CreateAccountParams,
    InitializeNonceAccountParams,
    advance_nonce_account,
    create_account,
    initialize_nonce_account,
)
from solders.transaction import VersionedTransaction

from chain_world import MINT, MINT_2022, MINTS, SOL, home, mint_account, open_home, pay, token_account
from slotzero.localnet.chain import Chain, ChainConfig
from slotzero.localnet.server import Localnet, LocalnetConfig, serve
from slotzero.solana.addresses import SYSTEM_PROGRAM, TOKEN_PROGRAM

pytestmark = pytest.mark.asyncio(loop_scope="module")


@asynccontextmanager
async def served(slot_ms: int) -> AsyncIterator[Localnet]:
    stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
    config = LocalnetConfig(port=0, chain=ChainConfig(slot_ms=slot_ms))
    async with asyncio.TaskGroup() as group:
        group.create_task(serve(config, on_ready=ready.set_result, stop=stop))
        try:
            yield await ready
        finally:
            stop.set()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chain_and_url() -> AsyncIterator[tuple[Chain, str]]:
    async with served(slot_ms=0) as localnet:
        for mint, program in MINTS.items():
            localnet.chain.set_account(mint, mint_account(program))
        yield localnet.chain, localnet.endpoints.rpc


@pytest_asyncio.fixture(loop_scope="module")
async def client(chain_and_url: tuple[Chain, str]) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(chain_and_url[1], commitment=Processed) as connected:
        yield connected


@pytest.fixture
def chain(chain_and_url: tuple[Chain, str]) -> Chain:
    return chain_and_url[0]


async def funded(client: AsyncClient) -> Keypair:
    wallet = Keypair()
    await client.request_airdrop(wallet.pubkey(), 100 * SOL)
    return wallet


async def sent(client: AsyncClient, *steps: Instruction, signers: list[Keypair]) -> Signature:
    blockhash = (await client.get_latest_blockhash()).value.blockhash
    message = MessageV0.try_compile(signers[0].pubkey(), list(steps), [], blockhash)
    return (await client.send_transaction(VersionedTransaction(message, signers))).value


async def test_token_accounts_and_largest_holders_are_typed(client: AsyncClient, chain: Chain) -> None:
    wallet = await funded(client)
    await sent(client, open_home(wallet, MINT), open_home(wallet, MINT_2022), signers=[wallet])
    chain.set_account(home(wallet.pubkey(), MINT), token_account(MINT, wallet.pubkey(), 2_500_000))
    by_mint = await client.get_token_accounts_by_owner(wallet.pubkey(), TokenAccountOpts(mint=MINT))
    (row,) = by_mint.value
    assert row.pubkey == home(wallet.pubkey(), MINT)
    assert row.account.owner == TOKEN_PROGRAM
    assert row.account.data[:32] == bytes(MINT)
    opts = TokenAccountOpts(program_id=MINTS[MINT_2022], data_slice=DataSliceOpts(offset=0, length=32))
    (row,) = (await client.get_token_accounts_by_owner(wallet.pubkey(), opts)).value
    assert (row.pubkey, row.account.data) == (home(wallet.pubkey(), MINT_2022), bytes(MINT_2022))
    (largest, *_) = (await client.get_token_largest_accounts(MINT)).value
    assert (largest.address, largest.amount.amount) == (home(wallet.pubkey(), MINT), "2500000")
    assert largest.amount.ui_amount_string == "2.5"
    assert (await client.get_token_supply(MINT)).value.decimals == 6


async def test_signatures_for_an_address_are_typed_and_an_unknown_cursor_is_told(client: AsyncClient) -> None:
    wallet, to = await funded(client), Keypair().pubkey()
    signatures = [await sent(client, pay(to, SOL + n, wallet), signers=[wallet]) for n in range(3)]
    found = (await client.get_signatures_for_address(to, commitment=Confirmed)).value
    assert [row.signature for row in found] == signatures[::-1]
    assert found[0].err is None
    older = await client.get_signatures_for_address(to, before=signatures[2], limit=1, commitment=Confirmed)
    assert [row.signature for row in older.value] == [signatures[1]]
    unknown = await client.get_signatures_for_address(to, until=Signature.new_unique(), commitment=Confirmed)
    assert str(unknown) == "-32020"  # solders 0.29 has no class for it and hands out the bare number


async def test_recent_prices_are_typed(client: AsyncClient) -> None:
    wallet, to = await funded(client), Keypair().pubkey()
    await sent(client, set_compute_unit_price(4_321), pay(to, SOL, wallet), signers=[wallet])
    fees = (await client.get_recent_prioritization_fees([wallet.pubkey(), to])).value
    assert [fee.prioritization_fee for fee in fees if fee.prioritization_fee] == [4_321]
    assert any(fee.prioritization_fee for fee in (await client.get_recent_prioritization_fees()).value)


async def test_blocks_epoch_and_fees_are_typed(client: AsyncClient, chain: Chain) -> None:
    wallet = await funded(client)
    chain.advance(40)
    slot = (await client.get_slot()).value
    assert (await client.get_blocks(slot - 34, slot)).value == [slot - 34, slot - 33, slot - 32]
    assert (await client.get_block_time(slot)).value
    epoch = (await client.get_epoch_info()).value
    assert (epoch.absolute_slot, epoch.slots_in_epoch) == (slot, 432_000)
    assert epoch.transaction_count
    blockhash = (await client.get_latest_blockhash()).value.blockhash
    message = MessageV0.try_compile(wallet.pubkey(), [pay(wallet.pubkey(), 1, wallet)], [], blockhash)
    assert (await client.get_fee_for_message(message)).value == 5_000


async def test_durable_nonce_works_over_the_wire(client: AsyncClient) -> None:
    wallet, nonce = await funded(client), Keypair()
    create = create_account(
        CreateAccountParams(
            from_pubkey=wallet.pubkey(), to_pubkey=nonce.pubkey(), lamports=SOL, space=80, owner=SYSTEM_PROGRAM
        )
    )
    make = initialize_nonce_account(
        InitializeNonceAccountParams(nonce_pubkey=nonce.pubkey(), authority=wallet.pubkey())
    )
    await sent(client, create, make, signers=[wallet, nonce])
    stored = (await client.get_account_info(nonce.pubkey())).value
    assert stored is not None
    advance = advance_nonce_account(
        AdvanceNonceAccountParams(nonce_pubkey=nonce.pubkey(), authorized_pubkey=wallet.pubkey())
    )
    to = Keypair().pubkey()
    value = type((await client.get_latest_blockhash()).value.blockhash)(stored.data[40:72])
    variants = [
        VersionedTransaction(
            MessageV0.try_compile(wallet.pubkey(), [advance, pay(to, SOL + n, wallet)], [], value), [wallet]
        )
        for n in range(2)
    ]
    await client.send_transaction(variants[1])
    with pytest.raises(RPCException, match="Blockhash not found"):
        await client.send_transaction(variants[0])
    assert (await client.get_balance(to)).value == SOL + 1
