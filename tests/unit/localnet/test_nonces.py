"""Durable nonces: what is admitted in place of a recent blockhash, and that at most one variant ever lands."""

import pytest
from solders.account import Account
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import (
    AdvanceNonceAccountParams,
    InitializeNonceAccountParams,
    advance_nonce_account,
    initialize_nonce_account,
)

from chain_world import SOL, WALLETS, World, pay
from slotzero.localnet.events import ChainEvent, TransactionExecuted
from slotzero.localnet.execution import parse_transaction
from slotzero.localnet.outcomes import Dropped, Executed, Landed, Refused
from slotzero.localnet.render import base64_text
from slotzero.solana.addresses import SYSTEM_PROGRAM

NONCE = Keypair.from_seed(bytes([9] * 32)).pubkey()
PAYER, AUTHORITY = WALLETS[0], WALLETS[0].pubkey()
TO = Keypair.from_seed(bytes([10] * 32)).pubkey()


def advance(authority: Pubkey = AUTHORITY) -> Instruction:
    return advance_nonce_account(AdvanceNonceAccountParams(nonce_pubkey=NONCE, authorized_pubkey=authority))


class NonceWorld(World):
    """A world with a nonce account of the first wallet, made a slot ago."""

    def __init__(self) -> None:
        super().__init__()
        self.chain.set_account(NONCE, Account(SOL, bytes(80), SYSTEM_PROGRAM))
        self.land(initialize_nonce_account(InitializeNonceAccountParams(nonce_pubkey=NONCE, authority=AUTHORITY)))
        self.chain.advance()

    @property
    def nonce(self) -> Hash:
        account = self.chain.account(NONCE)
        assert account is not None
        return Hash(account.data[40:72])

    def lamports(self, key: Pubkey = TO) -> int:
        account = self.chain.account(key)
        return 0 if account is None else account.lamports


def err_of(outcome: object) -> object:
    assert isinstance(outcome, Dropped | Refused), outcome
    return outcome.err


def test_transaction_over_a_nonce_lands_long_after_it_was_signed() -> None:
    world = NonceWorld()
    signed_over = world.nonce
    raw = world.signed(advance(), pay(TO), blockhash=signed_over)
    world.chain.advance(1_000)
    outcome = world.chain.submit(raw, preflight=True)
    assert isinstance(outcome, Landed)
    assert outcome.record.err is None
    assert world.nonce != signed_over
    assert world.lamports() == SOL
    world.chain.advance(200)
    assert err_of(world.chain.submit(raw)) == "BlockhashNotFound"
    assert world.lamports() == SOL


def test_of_many_variants_over_one_nonce_exactly_one_lands() -> None:
    world = NonceWorld()
    variants = [world.signed(advance(), pay(TO, SOL + tip), blockhash=world.nonce) for tip in range(5)]
    outcomes = []
    for raw in variants:
        outcomes.append(world.chain.submit(raw))
        world.chain.advance(3)
    assert [isinstance(outcome, Landed) for outcome in outcomes] == [True] + [False] * 4
    assert world.lamports() == SOL


def test_variant_that_fails_uses_the_nonce_up_and_is_told_to_listeners() -> None:
    world = NonceWorld()
    signed_over = world.nonce
    too_much, enough = (
        world.signed(advance(), pay(TO, lamports), blockhash=signed_over) for lamports in (10**6 * SOL, SOL)
    )
    next_value = world.chain.simulate(parse_transaction(enough)).accounts[NONCE].data[40:72]
    events: list[ChainEvent] = []
    world.chain.add_listener(events.append)
    outcome = world.chain.submit(too_much)
    assert isinstance(outcome, Landed)
    assert outcome.record.err == {"InstructionError": [1, {"Custom": 1}]}
    (event,) = events
    assert isinstance(event, TransactionExecuted)
    assert [write.key for write in event.written] == [AUTHORITY, NONCE]
    assert bytes(world.nonce) == next_value != bytes(signed_over)
    world.chain.advance()
    assert err_of(world.chain.submit(enough)) == "BlockhashNotFound"
    confirmed, finalized = (world.chain.account(NONCE, at) for at in ("confirmed", "finalized"))
    assert confirmed == world.chain.account(NONCE)
    assert finalized != confirmed

    again = world.land(advance(), pay(TO), blockhash=world.nonce)
    assert again.err is None


def test_failing_preflight_leaves_the_nonce_alone() -> None:
    world = NonceWorld()
    signed_over = world.nonce
    raw = world.signed(advance(), pay(TO, 10**6 * SOL), blockhash=signed_over)
    assert isinstance(world.chain.submit(raw, preflight=True), Refused)
    assert world.nonce == signed_over


def test_nonce_account_that_pays_its_own_failure_advances_too() -> None:
    world = NonceWorld()
    account = world.chain.account(NONCE)
    assert account is not None
    # A nonce account whose key is a wallet's may pay.
    data = account.data[:8] + bytes(WALLETS[1].pubkey()) + account.data[40:]
    world.chain.set_account(WALLETS[1].pubkey(), Account(10 * SOL, data, SYSTEM_PROGRAM))
    world.chain.advance()
    key = WALLETS[1].pubkey()
    own = advance_nonce_account(AdvanceNonceAccountParams(nonce_pubkey=key, authorized_pubkey=key))
    record = world.land(own, pay(TO, SOL, WALLETS[1]), by=WALLETS[1], blockhash=Hash(data[40:72]))
    assert record.err is not None  # a transfer out of an account with data is refused
    after = world.chain.account(key)
    assert after is not None
    assert after.lamports == 10 * SOL - record.fee
    assert after.data[40:72] != data[40:72]


def test_value_stored_in_this_slot_is_not_good_yet_though_nothing_of_the_slot_is_settled() -> None:
    world = NonceWorld()
    assert isinstance(
        world.chain.execute(world.signed(advance(), pay(TO), blockhash=world.nonce), preflight=True), Executed
    )
    outcome = world.chain.execute(world.signed(advance(), pay(TO), blockhash=world.nonce), preflight=True)
    assert isinstance(outcome, Refused)
    assert outcome.err == "BlockhashNotFound"


def test_value_stored_in_this_slot_is_not_good_yet() -> None:
    world = NonceWorld()
    world.land(advance(), pay(TO), blockhash=world.nonce)
    raw = world.signed(advance(), pay(TO), blockhash=world.nonce)
    assert err_of(world.chain.submit(raw)) == "BlockhashNotFound"
    world.chain.advance()
    assert isinstance(world.chain.submit(raw), Landed)


@pytest.mark.parametrize(
    "spoil", ["second", "missing", "authority", "value", "legacy", "uninitialized", "owner", "absent", "readonly"]
)
def test_what_breaks_a_rule_is_a_blockhash_not_found(spoil: str) -> None:
    world = NonceWorld()
    blockhash = Hash(bytes([7] * 32)) if spoil == "value" else world.nonce
    account = world.chain.account(NONCE)
    assert account is not None
    data, owner = bytearray(account.data), SYSTEM_PROGRAM
    match spoil:
        case "legacy":
            data[0] = 0
        case "uninitialized":
            data[4] = 0
        case "owner":
            owner = WALLETS[1].pubkey()
        case "authority":
            data[8:40] = bytes(WALLETS[1].pubkey())
    world.chain.set_account(NONCE, None if spoil == "absent" else Account(SOL, bytes(data), owner))
    world.chain.advance(2)
    first = advance()
    readonly = Instruction(
        SYSTEM_PROGRAM, first.data, [AccountMeta(NONCE, is_signer=False, is_writable=False), *first.accounts[1:]]
    )
    steps = {"second": [pay(TO), first], "missing": [pay(TO)], "readonly": [readonly, pay(TO)]}
    assert err_of(world.send(*steps.get(spoil, [first, pay(TO)]), blockhash=blockhash)) == "BlockhashNotFound"
    assert world.lamports() == 0


def test_simulation_and_fee_accept_a_nonce_as_of_their_commitment() -> None:
    world = NonceWorld()
    raw = world.signed(advance(), pay(TO), blockhash=world.nonce)
    assert err_of_simulation(world, raw, "processed") is None
    assert err_of_simulation(world, raw, "confirmed") == "BlockhashNotFound"  # made in that very slot
    assert err_of_simulation(world, raw, "finalized") == "BlockhashNotFound"
    world.chain.advance(33)
    assert err_of_simulation(world, raw, "finalized") is None


def err_of_simulation(world: World, raw: bytes, commitment: str) -> object:
    options = {"encoding": "base64", "commitment": commitment}
    result = world.call("simulateTransaction", base64_text(raw), options)
    assert isinstance(result, dict)
    return result["value"]["err"]
