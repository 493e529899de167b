"""The methods that look things up, as dialogues: typed clients and the indexes beneath have tests of their own."""

import base64
from typing import Any

import pytest
from solders.account import Account
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import MessageV0, MessageV1, TransactionConfig, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from chain_world import (
    MINT,
    MINT_2022,
    OTHER_MINT,
    SOL,
    SUPPLY,
    WALLETS,
    World,
    close,
    home,
    move,
    open_home,
    pay,
    token_account,
)
from slotzero.localnet.render import base64_text
from slotzero.solana.addresses import SYSTEM_PROGRAM, TOKEN_2022_PROGRAM, TOKEN_PROGRAM

MEMO = Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")
PROCESSED = {"commitment": "processed", "encoding": "base64"}
CONFIRMED = {"commitment": "confirmed"}
ALICE, BOB = WALLETS[0], WALLETS[1]


def places(count: int) -> list[Pubkey]:
    return [Keypair.from_seed(bytes([4, number]).ljust(32, b"\0")).pubkey() for number in range(count)]


def owned(world: World, owner: Pubkey, which: dict[str, str], **options: object) -> list[str]:
    rows = world.value("getTokenAccountsByOwner", str(owner), which, PROCESSED | options)
    return [str(row["pubkey"]) for row in rows]


def code_of(answer: object) -> tuple[int, str]:
    assert isinstance(answer, dict)
    return answer["code"], answer["message"]


# Tokens -------------------------------------------------------------------------------------------------------------


def test_token_accounts_of_an_owner_are_found_by_mint_and_by_program() -> None:
    world = World()
    world.land(open_home(ALICE, MINT), open_home(ALICE, MINT_2022))
    extra = places(1)[0]
    world.chain.set_account(extra, token_account(MINT, ALICE.pubkey(), 7))
    mine = {str(extra), str(home(ALICE.pubkey(), MINT))}
    of_2022 = [str(home(ALICE.pubkey(), MINT_2022))]
    assert set(owned(world, ALICE.pubkey(), {"mint": str(MINT)})) == mine
    assert set(owned(world, ALICE.pubkey(), {"programId": str(TOKEN_PROGRAM)})) == mine
    assert owned(world, ALICE.pubkey(), {"programId": str(TOKEN_2022_PROGRAM)}) == of_2022
    assert owned(world, ALICE.pubkey(), {"mint": str(OTHER_MINT)}) == []
    assert owned(world, BOB.pubkey(), {"mint": str(MINT)}) == []


def test_token_accounts_are_shown_as_of_their_commitment_and_sliced() -> None:
    world = World()
    world.land(open_home(ALICE, MINT))
    which = {"mint": str(MINT)}
    world.chain.advance()
    world.land(close(ALICE, MINT))
    assert owned(world, ALICE.pubkey(), which) == []
    assert owned(world, ALICE.pubkey(), which, commitment="confirmed") == [str(home(ALICE.pubkey(), MINT))]
    options = PROCESSED | {"commitment": "confirmed", "dataSlice": {"offset": 64, "length": 8}}
    (row,) = world.value("getTokenAccountsByOwner", str(ALICE.pubkey()), which, options)
    shown = row["account"]
    assert isinstance(shown, dict)
    assert base64.b64decode(shown["data"][0]) == bytes(8)
    assert shown["space"] == 165
    world.chain.advance(40)
    assert owned(world, ALICE.pubkey(), which, commitment="finalized") == []


@pytest.mark.parametrize(
    "which",
    [{}, None, {"mint": str(MINT), "programId": str(TOKEN_PROGRAM)}, {"mint": "x"}, {"programId": str(SYSTEM_PROGRAM)}],
)
def test_token_accounts_need_one_filter_that_makes_sense(which: object) -> None:
    assert code_of(World().call("getTokenAccountsByOwner", str(ALICE.pubkey()), which, PROCESSED))[0] == -32602


def test_what_is_no_mint_is_told_apart() -> None:
    world = World()
    nobody, wallet = places(1)[0], ALICE.pubkey()
    for method in ("getTokenLargestAccounts", "getTokenSupply"):
        assert code_of(world.call(method, str(nobody), PROCESSED)) == (
            -32602,
            "Invalid param: could not find mint",
        )
        assert code_of(world.call(method, str(wallet), PROCESSED))[1].startswith("Invalid param: not a Token mint")
    answer = world.call("getTokenAccountsByOwner", str(ALICE.pubkey()), {"mint": str(nobody)}, PROCESSED)
    assert code_of(answer) == (-32602, "Invalid param: could not find mint")


def test_largest_accounts_are_twenty_sorted_and_follow_trades() -> None:
    world = World()
    keys = places(25)
    for number, key in enumerate(keys):
        world.chain.set_account(key, token_account(MINT, BOB.pubkey(), number // 2))
    world.chain.set_account(places(26)[25], token_account(OTHER_MINT, BOB.pubkey(), 10**9))
    rows = world.value("getTokenLargestAccounts", str(MINT), PROCESSED)
    assert len(rows) == 20
    expected = sorted(((number // 2, key) for number, key in enumerate(keys)), key=lambda row: (-row[0], bytes(row[1])))
    assert [(row["amount"], row["address"]) for row in rows] == [(str(n), str(key)) for n, key in expected[:20]]
    assert rows[0]["decimals"] == 6
    assert rows[0]["uiAmountString"] == "0.000012"

    world.land(open_home(ALICE, MINT))
    world.land(open_home(BOB, MINT), by=BOB)
    world.chain.set_account(home(ALICE.pubkey(), MINT), token_account(MINT, ALICE.pubkey(), 1_000))
    world.land(move(ALICE, MINT, home(BOB.pubkey(), MINT), 900))
    rows = world.value("getTokenLargestAccounts", str(MINT), PROCESSED)
    homes = [str(home(wallet.pubkey(), MINT)) for wallet in (BOB, ALICE)]
    assert [(row["address"], row["amount"]) for row in rows[:2]] == list(zip(homes, ["900", "100"], strict=True))
    assert world.call("getTokenSupply", str(MINT), PROCESSED)["value"]["amount"] == str(SUPPLY)  # type: ignore[index]


# History ------------------------------------------------------------------------------------------------------------


def signatures(world: World, key: Pubkey, **options: object) -> list[str]:
    rows = world.call("getSignaturesForAddress", str(key), CONFIRMED | options)
    assert isinstance(rows, list), rows
    return [row["signature"] for row in rows]


def test_signatures_for_an_address_are_paged_newest_first() -> None:
    world = World()
    sent = []
    for lamports in range(SOL, SOL + 6):
        sent.append(str(world.land(pay(BOB.pubkey(), lamports)).signature))
        if lamports % 2:
            world.chain.advance()
    other = str(world.land(pay(ALICE.pubkey(), 5, BOB), by=BOB).signature)
    failed = str(world.land(pay(BOB.pubkey(), 10**6 * SOL)).signature)
    assert signatures(world, BOB.pubkey()) == sent[::-1], "the open slot is not confirmed"
    world.chain.advance()
    everything = [failed, other, *sent[::-1]]
    assert signatures(world, BOB.pubkey()) == everything
    assert signatures(world, BOB.pubkey(), limit=3) == everything[:3]
    assert signatures(world, BOB.pubkey(), before=everything[2], limit=2) == everything[3:5]
    assert signatures(world, BOB.pubkey(), before=everything[2], until=everything[5]) == everything[3:5]
    assert signatures(world, BOB.pubkey(), commitment="finalized") == []
    assert signatures(world, places(1)[0]) == []
    rows = world.call("getSignaturesForAddress", str(BOB.pubkey()), CONFIRMED | {"limit": 1})
    assert rows == [
        {
            "signature": failed,
            "slot": world.chain.slot - 1,
            "err": {"InstructionError": [0, {"Custom": 1}]},
            "memo": None,
            "blockTime": 1_790_000_000,
            "confirmationStatus": "confirmed",
        }
    ]


def test_cursor_that_is_unknown_or_forgotten_is_an_error_not_an_empty_list() -> None:
    world = World(history=2)
    first = world.land(pay(BOB.pubkey(), 1 * SOL)).signature
    for lamports in (SOL + 1, SOL + 2):
        world.land(pay(BOB.pubkey(), lamports))
    world.chain.advance()
    assert len(signatures(world, BOB.pubkey())) == 2
    for cursor in (first, Signature.default()):
        for name in ("before", "until"):
            answer = world.call("getSignaturesForAddress", str(BOB.pubkey()), CONFIRMED | {name: str(cursor)})
            assert code_of(answer) == (-32020, f"Filter transaction {cursor} not found")


@pytest.mark.parametrize("options", [{"limit": 0}, {"limit": 1_001}, {"commitment": "processed"}, {"before": "x"}])
def test_signatures_for_an_address_refuse_what_makes_no_sense(options: dict[str, object]) -> None:
    assert code_of(World().call("getSignaturesForAddress", str(BOB.pubkey()), CONFIRMED | options))[0] == -32602


def test_memo_stands_beside_the_signature() -> None:
    world = World()
    memos = [
        Instruction(MEMO, text, [AccountMeta(ALICE.pubkey(), is_signer=True, is_writable=False)])
        for text in (b"hi", b"you")
    ]
    world.land(*memos)
    world.chain.advance()
    (row,) = rows(world.call("getSignaturesForAddress", str(MEMO), CONFIRMED))
    assert row["memo"] == "[2] hi; [3] you"


def rows(answer: object) -> list[dict[str, Any]]:
    assert isinstance(answer, list), answer
    return answer


def test_recent_prices_are_the_lowest_that_locked_all_accounts() -> None:
    world = World()
    for price, wallet, to in ((500, ALICE, BOB), (300, ALICE, WALLETS[2]), (900, BOB, WALLETS[2])):
        world.land(set_compute_unit_price(price), pay(to.pubkey(), SOL, wallet), by=wallet)
    # A failed transaction landed and paid: it counts, for every account it locked.
    world.land(set_compute_unit_price(200), pay(WALLETS[3].pubkey(), 10**6 * SOL, BOB), by=BOB)
    slot = world.chain.slot

    def lowest(*wallets: Keypair) -> dict[int, int]:
        found = rows(world.call("getRecentPrioritizationFees", [str(wallet.pubkey()) for wallet in wallets]))
        return {row["slot"]: row["prioritizationFee"] for row in found}

    assert slot not in lowest(), "the open slot is not told"
    world.chain.advance(2)
    assert lowest()[slot] == 200
    assert lowest(ALICE)[slot] == 300
    assert lowest(ALICE, BOB)[slot] == 500
    assert lowest(BOB, WALLETS[2])[slot] == 900
    assert lowest(WALLETS[3])[slot] == 200
    assert lowest(ALICE, WALLETS[3])[slot] == 0
    assert lowest(ALICE)[slot + 1] == 0
    assert lowest() == {
        row["slot"]: row["prioritizationFee"] for row in rows(world.call("getRecentPrioritizationFees"))
    }
    world.chain.advance(150)
    assert len(lowest(ALICE)) == 150
    assert slot not in lowest(ALICE)
    assert code_of(world.call("getRecentPrioritizationFees", [str(ALICE.pubkey())] * 129))[0] == -32602


def test_price_of_a_version_1_transaction_is_its_sum_by_its_units() -> None:
    world = World()
    config = TransactionConfig(priority_fee=40, compute_unit_limit=20_000)
    message = MessageV1.try_compile(ALICE.pubkey(), [pay(BOB.pubkey())], world.chain.block.blockhash, config)
    slot = world.chain.slot
    world.chain.submit(bytes(VersionedTransaction(message, [ALICE])))
    world.chain.advance()
    found = rows(world.call("getRecentPrioritizationFees", [str(BOB.pubkey())]))
    assert [row["prioritizationFee"] for row in found if row["slot"] == slot] == [2_000]


# Blocks and fees ----------------------------------------------------------------------------------------------------


def test_blocks_and_their_times_are_told_as_far_as_they_are_kept() -> None:
    world = World()
    world.chain.advance(600)
    newest, oldest = world.chain.slot, world.chain.slot - 512
    assert world.call("getBlocks", newest - 3, newest + 9, CONFIRMED) == [newest - 3, newest - 2, newest - 1]
    assert world.call("getBlocks", newest - 2, CONFIRMED) == [newest - 2, newest - 1]
    assert world.call("getBlocks", newest - 2, None, CONFIRMED) == [newest - 2, newest - 1]
    assert world.call("getBlocks", newest - 34) == [newest - 34, newest - 33, newest - 32]
    assert len(rows(world.call("getBlocks", 0, newest, CONFIRMED))) == 512
    assert code_of(world.call("getBlocks", 0, 500_001))[0] == -32602
    assert world.call("getBlockTime", newest) == 1_790_000_000
    assert code_of(world.call("getBlockTime", newest + 1))[0] == -32004
    assert code_of(world.call("getBlockTime", oldest - 1))[0] == -32001


def test_epoch_info_counts_slots_and_transactions() -> None:
    world = World()
    world.land(pay(BOB.pubkey()))
    slot = world.chain.slot
    assert world.call("getEpochInfo", {"commitment": "processed"}) == {
        "absoluteSlot": slot,
        "blockHeight": slot,
        "epoch": 0,
        "slotIndex": slot,
        "slotsInEpoch": 432_000,
        "transactionCount": 1,
    }


def test_fee_for_a_message_is_what_it_will_cost() -> None:
    world = World()
    budget = [set_compute_unit_limit(10_000), set_compute_unit_price(1_000_000)]
    blockhash = world.chain.block.blockhash
    message = MessageV0.try_compile(ALICE.pubkey(), [*budget, pay(BOB.pubkey())], [], blockhash)
    raw = base64_text(to_bytes_versioned(message))
    answer = world.call("getFeeForMessage", raw, {"commitment": "processed"})
    assert isinstance(answer, dict)
    assert answer["value"] == 5_000 + 10_000
    record = world.land(*budget, pay(BOB.pubkey()))
    assert record.fee == answer["value"]
    world.chain.advance(151)
    answer = world.call("getFeeForMessage", raw, {"commitment": "processed"})
    assert isinstance(answer, dict)
    assert answer["value"] is None
    for bad in ("", "AAAA", "!", base64_text(bytes([0x80, 1, 0, 0]) + bytes(40))):
        assert code_of(world.call("getFeeForMessage", bad))[0] == -32602


def test_genesis_holds_no_token_account_and_deleted_ones_are_gone() -> None:
    world = World()
    assert world.chain.stats().token_accounts == 0
    world.chain.set_account(places(1)[0], token_account(MINT, BOB.pubkey(), 7))
    assert world.chain.stats().token_accounts == 1
    world.chain.set_account(places(1)[0], Account(0, b"", SYSTEM_PROGRAM))
    assert world.chain.stats().token_accounts == 0
