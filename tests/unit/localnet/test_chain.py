"""The chain as a dialogue: what goes in, what is returned, what listeners are told."""

import random
from collections.abc import Sequence

import pytest
from solders.account import Account
from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import Message, MessageV0, MessageV1
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from slotzero.clock import TestClock
from slotzero.errors import MalformedError
from slotzero.localnet.chain import Chain, ChainConfig
from slotzero.localnet.events import AccountSet, ChainEvent, SlotOpened, TransactionExecuted
from slotzero.localnet.history import TransactionRecord
from slotzero.localnet.outcomes import BundleLanded, Dropped, Executed, Landed, Refused
from slotzero.solana.addresses import SYSTEM_PROGRAM
from slotzero.units import Lamports

SOL = 1_000_000_000
SLOT_NS = 200_000_000
MEMO = Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")


def keypair(number: int) -> Keypair:
    return Keypair.from_seed(number.to_bytes(32, "little"))


PAYER, OTHER = keypair(1), keypair(2).pubkey()


def chain_of(slot_ms: int = 200, clock: TestClock | None = None, history: int = 20_000, seed: int = 7) -> Chain:
    config = ChainConfig(slot_ms=slot_ms, history=history, seed=seed)
    chain = Chain(config, clock=clock or TestClock())
    chain.set_account(PAYER.pubkey(), Account(100 * SOL, b"", SYSTEM_PROGRAM))
    return chain


def pay(lamports: int = SOL, payer: Keypair = PAYER, to: Pubkey = OTHER) -> Instruction:
    return transfer(TransferParams(from_pubkey=payer.pubkey(), to_pubkey=to, lamports=lamports))


def signed(
    blockhash: Hash, *steps: Instruction, payer: Keypair = PAYER, tables: Sequence[AddressLookupTableAccount] = ()
) -> VersionedTransaction:
    message = MessageV0.try_compile(payer.pubkey(), list(steps) or [pay()], list(tables), blockhash)
    return VersionedTransaction(message, [payer])


def landed(chain: Chain, transaction: VersionedTransaction) -> TransactionRecord:
    outcome = chain.submit_transaction(transaction)
    assert isinstance(outcome, Landed)
    return outcome.record


def balance(chain: Chain, key: Pubkey = OTHER) -> int:
    account = chain.account(key)
    return 0 if account is None else account.lamports


def heard(chain: Chain) -> list[ChainEvent]:
    events: list[ChainEvent] = []
    chain.add_listener(events.append)
    return events


# Landing ----------------------------------------------------------------------------------------------------------


def test_transfer_lands_with_balances_fee_and_instant() -> None:
    clock = TestClock()
    chain = chain_of(clock=clock)
    record = landed(chain, signed(chain.block.blockhash))
    assert (record.slot, record.index, record.err, record.fee) == (1, 0, None, 5000)
    assert record.pre_balances[:2] == (100 * SOL, 0)
    assert record.post_balances[:2] == (99 * SOL - 5000, SOL)
    assert record.mono_ns == clock.mono_ns()
    assert chain.transaction(record.signature) is record
    assert balance(chain) == SOL


def test_failing_preflight_runs_once_and_leaves_no_trace() -> None:
    chain = chain_of()
    events = heard(chain)
    before = chain.account(PAYER.pubkey())
    runs = chain.svm.executions
    transaction = signed(chain.block.blockhash, pay(SOL), pay(1000 * SOL))
    outcome = chain.submit_transaction(transaction, preflight=True)
    assert isinstance(outcome, Refused)
    assert outcome.err == {"InstructionError": [1, {"Custom": 1}]}
    assert outcome.execution is not None
    assert outcome.execution.logs()
    assert chain.svm.executions == runs + 1
    assert chain.account(PAYER.pubkey()) == before
    assert balance(chain) == 0
    assert chain.transaction(transaction.signatures[0]) is None
    assert events == []
    assert isinstance(chain.submit_transaction(transaction), Landed), "refused is not processed"


def test_passing_preflight_runs_once() -> None:
    chain = chain_of()
    runs = chain.svm.executions
    assert isinstance(chain.submit_transaction(signed(chain.block.blockhash), preflight=True), Landed)
    assert chain.svm.executions == runs + 1


def test_failure_without_preflight_lands_and_writes_the_payer_alone() -> None:
    chain = chain_of()
    events = heard(chain)
    record = landed(chain, signed(chain.block.blockhash, pay(SOL), pay(1000 * SOL)))
    assert record.err == {"InstructionError": [1, {"Custom": 1}]}
    assert record.post_balances[:2] == (100 * SOL - 5000, 0)
    assert balance(chain, PAYER.pubkey()) == 100 * SOL - 5000
    (event,) = events
    assert isinstance(event, TransactionExecuted)
    assert [write.key for write in event.written] == [PAYER.pubkey()]
    assert chain.stats().failed == 1


@pytest.mark.parametrize(
    ("spoil", "err"),
    [("payer", "AccountNotFound"), ("signature", "SignatureFailure"), ("blockhash", "BlockhashNotFound")],
)
def test_transaction_that_cannot_land_is_dropped_or_refused(spoil: str, err: str) -> None:
    chain = chain_of()
    blockhash = Hash.default() if spoil == "blockhash" else chain.block.blockhash
    payer = keypair(9) if spoil == "payer" else PAYER
    transaction = signed(blockhash, pay(payer=payer), payer=payer)
    if spoil == "signature":
        transaction = VersionedTransaction.populate(transaction.message, [Signature.default()])
    assert chain.submit_transaction(transaction) == Dropped(signature=transaction.signatures[0], err=err)
    refused = chain.submit_transaction(transaction, preflight=True)
    assert isinstance(refused, Refused)
    assert refused.err == err
    assert chain.transaction(transaction.signatures[0]) is None
    assert (chain.stats().dropped, chain.stats().refused, chain.stats().landed) == ({err: 1}, 1, 0)


def test_same_transaction_lands_once() -> None:
    chain = chain_of()
    transaction = signed(chain.block.blockhash)
    landed(chain, transaction)
    for _ in range(150):
        again = chain.submit_transaction(transaction)
        assert isinstance(again, Dropped)
        assert again.err == "AlreadyProcessed"
        chain.advance()
    assert balance(chain) == SOL


def test_duplicate_is_known_after_the_history_forgot_it() -> None:
    chain = chain_of(history=2)
    first = signed(chain.block.blockhash)
    landed(chain, first)
    for lamports in range(1, 4):
        landed(chain, signed(chain.block.blockhash, pay(SOL + lamports)))
    assert chain.transaction(first.signatures[0]) is None
    assert (chain.stats().history, chain.stats().evicted) == (2, 2)
    again = chain.submit_transaction(first)
    assert isinstance(again, Dropped)
    assert again.err == "AlreadyProcessed"


# Size and form ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "is_accepted"), [(1232, True), (1233, False)])
def test_transaction_of_1232_bytes_is_the_largest(size: int, is_accepted: bool) -> None:  # noqa: FBT001 a parameter
    chain = chain_of()

    def of(data_size: int) -> bytes:
        return bytes(signed(chain.block.blockhash, Instruction(SYSTEM_PROGRAM, bytes(data_size), [])))

    padding = 1000
    raw = of(padding + size - len(of(padding)))
    assert len(raw) == size
    if is_accepted:
        assert isinstance(chain.submit(raw), Landed)
    else:
        with pytest.raises(MalformedError, match=r"1233 bytes \(max: 1232 bytes\)"):
            chain.submit(raw)


def test_version_1_may_be_larger_and_legacy_is_accepted() -> None:
    chain = chain_of()
    filler = Instruction(MEMO, b"x" * 1300, [])
    v1 = VersionedTransaction(MessageV1.try_compile(PAYER.pubkey(), [pay(), filler], chain.block.blockhash), [PAYER])
    assert len(bytes(v1)) > 1232
    record = landed(chain, v1)
    assert (record.version, record.err) == (1, None)
    legacy = VersionedTransaction(Message.new_with_blockhash([pay(2)], PAYER.pubkey(), chain.block.blockhash), [PAYER])
    chain.set_account(OTHER, Account(SOL, b"", SYSTEM_PROGRAM))
    assert landed(chain, legacy).version is None
    with pytest.raises(MalformedError, match=r"4097 bytes \(max: 4096 bytes\)"):
        chain.submit(b"\x81" + bytes(4096))


def test_mutilated_bytes_are_malformed_or_cannot_land() -> None:
    chain = chain_of()
    events = heard(chain)
    rng = random.Random(5)  # noqa: S311 seeded on purpose
    good = bytes(signed(chain.block.blockhash))
    for _ in range(2000):
        raw = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
        del raw[rng.randrange(1, 2 * len(raw)) :]
        if raw == good:
            continue
        try:
            outcome = chain.submit(bytes(raw))
        except MalformedError:
            continue
        assert isinstance(outcome, Dropped)
    assert events == []
    for raw_bytes in (b"", b"\x81", bytes(1232), bytes(range(256)) * 4):
        with pytest.raises(MalformedError):
            chain.submit(raw_bytes)


def test_lookup_table_accounts_are_resolved_and_written() -> None:
    chain = chain_of()
    table_key, to = keypair(3).pubkey(), keypair(4).pubkey()
    header = (1).to_bytes(4, "little") + (2**64 - 1).to_bytes(8, "little") + bytes(44)
    owner = Pubkey.from_string("AddressLookupTab1e1111111111111111111111111")
    chain.set_account(table_key, Account(SOL, header + bytes(OTHER) + bytes(to), owner))
    table = AddressLookupTableAccount(table_key, [OTHER, to])
    events = heard(chain)
    record = landed(chain, signed(chain.block.blockhash, pay(to=to), tables=[table]))
    assert record.loaded_writable == (to,)
    assert record.post_balances[-1] == SOL
    (event,) = events
    assert isinstance(event, TransactionExecuted)
    assert to in event.account_keys
    assert {write.key for write in event.written} == {PAYER.pubkey(), to}
    missing = AddressLookupTableAccount(keypair(5).pubkey(), [to])
    lost = signed(chain.block.blockhash, pay(to=to), tables=[missing])
    with pytest.raises(MalformedError, match="does not exist"):
        chain.submit_transaction(lost)


# Blockhashes --------------------------------------------------------------------------------------------------------


def test_blockhash_is_accepted_150_blocks_later_and_refused_at_151() -> None:
    chain = chain_of()
    block = chain.block
    transaction = signed(block.blockhash)
    chain.advance(150)
    assert chain.block.height == block.last_valid_height
    assert chain.is_blockhash_valid(block.blockhash)
    assert chain.simulate(transaction).err is None
    chain.advance()
    assert not chain.is_blockhash_valid(block.blockhash)
    dropped = chain.submit_transaction(transaction)
    assert isinstance(dropped, Dropped)
    assert dropped.err == "BlockhashNotFound"

    late = chain_of()
    late_transaction = signed(late.block.blockhash)
    late.advance(150)
    assert landed(late, late_transaction).slot == 151


def test_blockhash_of_the_open_slot_is_unknown_to_older_commitments() -> None:
    chain = chain_of()
    chain.advance(40)
    assert chain.is_blockhash_valid(chain.block.blockhash)
    assert not chain.is_blockhash_valid(chain.block.blockhash, "confirmed")
    assert chain.block_at("confirmed").slot == 40
    assert chain.block_at("finalized").slot == 9
    assert chain.is_blockhash_valid(chain.block_at("finalized").blockhash, "finalized")


def test_genesis_hash_differs_between_starts_unless_deterministic() -> None:
    assert chain_of().genesis_hash != chain_of().genesis_hash
    assert chain_of(slot_ms=0).genesis_hash == chain_of(slot_ms=0).genesis_hash
    assert chain_of(slot_ms=0).genesis_hash != chain_of(slot_ms=0, seed=8).genesis_hash


def test_sysvars_follow_the_slots() -> None:
    chain = chain_of(slot_ms=0)
    chain.advance(599)
    clock = chain.svm.clock()
    assert (clock.slot, clock.epoch, clock.unix_timestamp) == (600, 0, 1_790_000_000 + 600 // 5)
    hashes = chain.account(Pubkey.from_string("SysvarS1otHashes111111111111111111111111111"))
    assert hashes is not None
    assert int.from_bytes(hashes.data[:8], "little") == 512
    assert int.from_bytes(hashes.data[8:16], "little") == 599
    assert hashes.data[16:48] == bytes(chain.block_at("confirmed").blockhash)


# Commitments --------------------------------------------------------------------------------------------------------


def test_account_is_confirmed_when_its_slot_ends_and_finalized_32_later() -> None:
    chain = chain_of()
    chain.advance(40)
    landed(chain, signed(chain.block.blockhash))

    def seen() -> list[int]:
        accounts = [chain.account(OTHER, at) for at in ("processed", "confirmed", "finalized")]
        return [0 if account is None else account.lamports // SOL for account in accounts]

    assert seen() == [1, 0, 0]
    chain.advance()
    assert seen() == [1, 1, 0]
    landed(chain, signed(chain.block.blockhash))
    landed(chain, signed(chain.block.blockhash, pay(SOL), pay(SOL)))
    assert seen() == [4, 1, 0]
    chain.advance(30)
    assert seen() == [4, 4, 0]
    chain.advance()
    assert seen() == [4, 4, 1]
    chain.advance()
    assert seen() == [4, 4, 4]


def test_set_account_is_noted_told_and_deletes() -> None:
    chain = chain_of()
    chain.advance(40)
    events = heard(chain)
    key = keypair(6).pubkey()
    chain.set_account(key, Account(5, b"abc", OTHER))
    chain.advance()
    chain.set_account(key, None)
    assert chain.account(key) is None
    confirmed = chain.account(key, "confirmed")
    assert confirmed is not None
    assert confirmed.data == b"abc"
    assert chain.account(key, "finalized") is None
    assert [type(event) for event in events] == [AccountSet, SlotOpened, AccountSet]
    last = events[-1]
    assert isinstance(last, AccountSet)
    assert last.write.account is None
    with pytest.raises(MalformedError, match="cannot be set"):
        chain.set_account(key, Account(1, b"no program", OTHER, executable=True))


def test_simulation_runs_on_the_state_of_its_commitment() -> None:
    chain = chain_of()
    chain.advance(40)
    transaction = signed(chain.block.blockhash)
    rich = keypair(8)
    chain.set_account(rich.pubkey(), Account(100 * SOL, b"", SYSTEM_PROGRAM))
    unborn = signed(chain.block.blockhash, pay(payer=rich), payer=rich)
    assert chain.simulate(unborn, commitment="finalized", check_blockhash=False).err == "AccountNotFound"
    assert chain.simulate(unborn, check_blockhash=False).err is None
    assert chain.simulate(transaction, commitment="confirmed").err == "BlockhashNotFound"
    simulation = chain.simulate(transaction)
    assert simulation.err is None
    assert simulation.post_balances[:2] == (99 * SOL - 5000, SOL)
    assert simulation.accounts[OTHER].lamports == SOL
    assert (balance(chain), balance(chain, PAYER.pubkey())) == (0, 100 * SOL)
    forged = VersionedTransaction.populate(transaction.message, [Signature.default()])
    assert chain.simulate(forged).err is None
    assert chain.simulate(forged, verify_signatures=True).err == "SignatureFailure"
    landed(chain, transaction)
    assert chain.simulate(transaction).err == "AlreadyProcessed"


# Slots --------------------------------------------------------------------------------------------------------------


async def test_due_slots_open_in_any_call_and_lateness_is_kept() -> None:
    clock = TestClock()
    chain = chain_of(clock=clock)
    events = heard(chain)
    await clock.advance(SLOT_NS - 1)
    chain.catch_up()
    assert chain.slot == 1
    await clock.advance(3 * SLOT_NS)
    record = landed(chain, signed(chain.block.blockhash))
    assert record.slot == 4
    assert [type(event) for event in events] == [SlotOpened] * 3 + [TransactionExecuted]
    lateness = chain.stats().lateness
    assert lateness is not None
    assert (lateness.slots, lateness.max_ns, lateness.p50_ns) == (3, 3 * SLOT_NS - 1, 2 * SLOT_NS - 1)


async def test_long_stall_starts_the_schedule_anew() -> None:
    clock = TestClock()
    chain = chain_of(clock=clock)
    await clock.advance(3600 * 5 * SLOT_NS)
    chain.catch_up()
    assert chain.slot == 2
    lateness = chain.stats().lateness
    assert lateness is not None
    assert lateness.restarts == 1
    await clock.advance(SLOT_NS)
    chain.catch_up()
    assert chain.slot == 3


def test_slot_per_transaction_opens_one_after_each() -> None:
    chain = chain_of(slot_ms=0)
    events = heard(chain)
    assert chain.next_deadline is None
    record = landed(chain, signed(chain.block.blockhash))
    assert (record.slot, chain.slot) == (1, 2)
    assert [type(event) for event in events] == [TransactionExecuted, SlotOpened]
    assert isinstance(chain.submit_transaction(signed(chain.block.blockhash, pay(1000 * SOL)), preflight=True), Refused)
    assert chain.slot == 2


def test_chains_of_one_seed_and_one_history_are_equal() -> None:
    def run() -> tuple[list[ChainEvent], int]:
        chain = chain_of(slot_ms=0, clock=TestClock())
        events = heard(chain)
        rng = random.Random(11)  # noqa: S311 seeded on purpose
        for number in range(60):
            to = keypair(100 + rng.randrange(5)).pubkey()
            if number % 10 == 3:
                chain.airdrop(to, Lamports(rng.randrange(SOL, 9 * SOL)))
            else:
                steps = [pay(rng.randrange(10_000_000, 4 * SOL), to=to)]
                chain.submit_transaction(signed(chain.block.blockhash, *steps), preflight=rng.random() < 0.5)
        return events, chain.slot

    first, second = run(), run()
    assert len(first[0]) > 100
    assert str(first) == str(second)


def test_airdrops_of_equal_amounts_in_one_slot_all_land() -> None:
    chain = chain_of()
    outcomes = [chain.airdrop(OTHER, Lamports(100_000_000 * SOL)) for _ in range(3)]
    assert all(isinstance(outcome, Landed) for outcome in outcomes)
    assert balance(chain) == 300_000_000 * SOL
    assert isinstance(chain.airdrop(OTHER, Lamports(2**64 - 1)), Refused)


def test_listener_may_not_write() -> None:
    chain = chain_of()

    def write(event: ChainEvent) -> None:
        if isinstance(event, TransactionExecuted):
            chain.submit_transaction(signed(chain.block.blockhash, pay(7)))

    chain.add_listener(write)
    with pytest.raises(AssertionError, match="may not write"):
        chain.submit_transaction(signed(chain.block.blockhash))


# Executed first, settled afterwards ---------------------------------------------------------------------------------


def executed(chain: Chain, *payments: int) -> list[VersionedTransaction]:
    transactions = [signed(chain.block.blockhash, pay(lamports)) for lamports in payments]
    for transaction in transactions:
        outcome = chain.execute(bytes(transaction))
        assert outcome == Executed(signature=transaction.signatures[0])
    return transactions


def test_what_was_executed_is_in_the_accounts_and_in_nothing_else_until_it_is_settled() -> None:
    chain = chain_of()
    events = heard(chain)
    first, second = executed(chain, 1 * SOL, 2 * SOL)
    assert balance(chain) == 3 * SOL
    assert (events, chain.transaction_count, chain.transaction(first.signatures[0])) == ([], 0, None)
    chain.settle_next()
    assert [event.record.signature for event in events if isinstance(event, TransactionExecuted)] == [
        first.signatures[0]
    ]
    chain.settle()
    records = [event.record for event in events if isinstance(event, TransactionExecuted)]
    assert [record.signature for record in records] == [first.signatures[0], second.signatures[0]]
    # Each shows the accounts as they were around itself, though both were executed before either was settled.
    assert [record.post_balances[1] for record in records] == [1 * SOL, 3 * SOL]
    assert records[1].pre_balances[1] == 1 * SOL
    assert [record.index for record in records] == [0, 1]
    chain.settle()
    assert len(events) == 2


def test_executing_first_leaves_what_submitting_leaves() -> None:
    one, other = chain_of(slot_ms=0), chain_of(slot_ms=0)
    payments = [signed(one.block.blockhash, pay(lamports)) for lamports in (SOL, 2 * SOL, 200 * SOL, 3 * SOL)]
    for transaction in payments:
        one.submit_transaction(transaction)
        other.execute(bytes(transaction))
    signatures = [transaction.signatures[0] for transaction in payments]
    assert [shown(one.transaction(signature)) for signature in signatures] == [
        shown(other.transaction(signature)) for signature in signatures
    ]
    assert (one.slot, one.stats().failed, balance(one)) == (other.slot, 1, balance(other))


def shown(record: TransactionRecord | None) -> object:
    assert record is not None
    return (record.number, record.slot, record.err, record.fee, record.pre_balances, record.post_balances)


def test_every_other_call_settles_what_was_executed_before() -> None:
    for call in (
        Chain.catch_up,
        Chain.advance,
        lambda chain: landed(chain, signed(chain.block.blockhash, pay(7 * SOL))),
    ):
        chain = chain_of()
        (transaction,) = executed(chain, SOL)
        call(chain)
        record = chain.transaction(transaction.signatures[0])
        assert record is not None
        assert (record.slot, record.number) == (1, 0)


async def test_a_slot_that_is_due_begins_after_what_was_executed_in_the_one_before() -> None:
    clock = TestClock()
    chain = chain_of(clock=clock)
    (first,) = executed(chain, SOL)
    await clock.advance(SLOT_NS)
    (second,) = executed(chain, 2 * SOL)
    chain.settle()
    records = [chain.transaction(transaction.signatures[0]) for transaction in (first, second)]
    assert [record and (record.slot, record.index) for record in records] == [(1, 0), (2, 0)]


def test_a_duplicate_and_a_refused_one_are_told_at_once() -> None:
    chain = chain_of()
    (transaction,) = executed(chain, SOL)
    signature = transaction.signatures[0]
    assert chain.execute(bytes(transaction)) == Dropped(signature=signature, err="AlreadyProcessed")
    too_much = signed(chain.block.blockhash, pay(1_000 * SOL))
    assert isinstance(chain.execute(bytes(too_much), preflight=True), Refused)
    chain.settle()
    assert (chain.transaction_count, balance(chain)) == (1, SOL)


def test_a_bundle_follows_what_was_executed_before_it() -> None:
    chain = chain_of()
    (transaction,) = executed(chain, SOL)
    assert isinstance(chain.submit_bundle([bytes(signed(chain.block.blockhash, pay(2 * SOL)))]), BundleLanded)
    record = chain.transaction(transaction.signatures[0])
    assert record is not None
    assert record.index == 0
