"""Bundles: all or nothing on the chain, and the auction before it."""

import pytest
from solders.account import Account
from solders.compute_budget import set_compute_unit_limit
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from chain_world import MINT, SOL, WALLETS, World, home, move, open_home, pay, token_account
from slotzero.clock import ms
from slotzero.errors import MalformedError
from slotzero.localnet.chain import BundleFailed, BundleLanded, Chain, ChainConfig
from slotzero.localnet.events import ChainEvent, SlotOpened, TransactionExecuted
from slotzero.localnet.faults import FaultPlan, Portion
from slotzero.localnet.jito import LOOK_BACK_MS, MAX_PENDING, MAX_PER_AUCTION, BlockEngine
from slotzero.localnet.node import Node
from slotzero.localnet.params import RpcFault
from slotzero.solana.tips import MIN_TIP, TIP_ACCOUNTS, bundle_id, tip_instruction
from slotzero.units import Lamports

ALICE, BOB, CAROL, _ = WALLETS
STRANGER = Keypair.from_seed(bytes([7]) * 32).pubkey()


def tip(by: Keypair = ALICE, lamports: int = 10_000, choice: int = 0) -> Instruction:
    return tip_instruction(by.pubkey(), Lamports(lamports), choice)


class Hall:
    """A world with a block engine."""

    def __init__(self) -> None:
        self.world = World()
        self.chain = self.world.chain
        self.clock = self.chain._clock
        self.engine = BlockEngine(self.chain, self.clock)
        self.node = Node(chain=self.chain, faults=self.world.faults)
        self.events: list[ChainEvent] = []
        self.chain.add_listener(self.events.append)

    def take(self, *raws: bytes) -> str:
        return self.engine.take(list(raws), self.node)

    def lamports(self, key: Pubkey) -> int:
        account = self.chain.account(key)
        return account.lamports if account is not None else 0

    def state(self) -> dict[Pubkey, Account | None]:
        """Everything the tests' transactions may touch."""
        wallets = [wallet.pubkey() for wallet in WALLETS]
        homes = [home(wallet, MINT) for wallet in wallets]
        return {key: self.chain.account(key) for key in (*wallets, *homes, *TIP_ACCOUNTS, STRANGER)}


# On the chain -------------------------------------------------------------------------------------------------------


def test_bundle_lands_in_order_and_in_one_slot() -> None:
    hall = Hall()
    # Carol has nothing but what the first transaction brings.
    raws = [
        hall.world.signed(pay(STRANGER, SOL), by=ALICE),
        hall.world.signed(pay(BOB.pubkey(), 2 * SOL, BOB), by=BOB),
    ]
    slot = hall.chain.slot
    outcome = hall.chain.submit_bundle(raws)
    assert isinstance(outcome, BundleLanded)
    assert [(record.slot, record.index, record.err) for record in outcome.records] == [(slot, 0, None), (slot, 1, None)]
    assert [event.record for event in hall.events if isinstance(event, TransactionExecuted)] == list(outcome.records)
    assert hall.chain.transaction(outcome.records[1].signature) == outcome.records[1]


def test_later_transaction_sees_what_earlier_ones_did() -> None:
    hall = Hall()
    poor = Keypair.from_seed(bytes([9]) * 32)
    raws = [hall.world.signed(pay(poor.pubkey(), SOL)), hall.world.signed(pay(STRANGER, SOL // 2, poor), by=poor)]
    assert isinstance(hall.chain.submit_bundle(raws), BundleLanded)
    assert hall.lamports(STRANGER) == SOL // 2


def test_bundle_whose_second_transaction_fails_leaves_nothing() -> None:
    hall = Hall()
    hall.chain.set_account(home(ALICE.pubkey(), MINT), token_account(MINT, ALICE.pubkey(), 500))
    before, stats = hall.state(), hall.chain.stats()
    hall.events.clear()
    raws = [
        hall.world.signed(open_home(BOB, MINT), by=BOB),
        hall.world.signed(move(ALICE, MINT, home(BOB.pubkey(), MINT), 501), tip(), pay(STRANGER)),
    ]
    outcome = hall.chain.submit_bundle(raws)
    assert outcome == BundleFailed(index=1, err={"InstructionError": [0, {"Custom": 1}]})
    assert hall.state() == before, "not even a fee was paid"
    assert hall.events == []
    after = hall.chain.stats()
    assert (after.landed, after.history, after.token_accounts) == (stats.landed, stats.history, stats.token_accounts)
    # And the first one is still free to land alone.
    assert hall.chain.submit(raws[0]).record.err is None  # type: ignore[union-attr]


def test_taken_back_when_the_caller_says_so() -> None:
    hall = Hall()
    before = hall.state()
    seen: list[int] = []

    def may_land() -> bool:
        seen.append(hall.lamports(STRANGER))
        return False

    outcome = hall.chain.submit_bundle([hall.world.signed(pay(STRANGER, SOL))], may_land=may_land)
    assert outcome == BundleFailed(index=None, err=None)
    assert seen == [SOL]
    assert hall.state() == before


def test_not_admitted_transactions_fail_the_bundle() -> None:
    hall = Hall()
    landed = hall.world.signed(pay(STRANGER, SOL))
    hall.chain.submit(landed)
    fresh = hall.world.signed(pay(STRANGER, SOL + 1))
    before = hall.state()
    assert hall.chain.submit_bundle([fresh, landed]) == BundleFailed(index=1, err="AlreadyProcessed")
    assert hall.chain.submit_bundle([fresh, fresh]) == BundleFailed(index=1, err="AlreadyProcessed")
    hall.chain.advance(151)
    assert hall.chain.submit_bundle([fresh]) == BundleFailed(index=0, err="BlockhashNotFound")
    assert hall.state() == before


def test_malformed_transaction_takes_the_others_back() -> None:
    hall = Hall()
    before = hall.state()
    with pytest.raises(MalformedError):
        hall.chain.submit_bundle([hall.world.signed(pay(STRANGER, SOL)), b"\1nonsense"])
    assert hall.state() == before


# In the auction -----------------------------------------------------------------------------------------------------


def test_bundle_waits_for_the_auction_and_pays_its_tip() -> None:
    hall = Hall()
    name = hall.take(hall.world.signed(pay(STRANGER, SOL)), hall.world.signed(tip(BOB), by=BOB))
    assert hall.engine.inflight_row(name) == {"bundle_id": name, "status": "Pending", "landed_slot": None}
    assert hall.engine.landed_row(name) is None
    hall.engine.hold_auction()
    assert hall.engine.inflight_row(name)["status"] == "Landed"
    row = hall.engine.landed_row(name)
    assert row is not None
    assert (row["slot"], row["confirmation_status"]) == (hall.chain.slot, "processed")
    hall.chain.advance()
    assert hall.engine.landed_row(name) == row | {"confirmation_status": "confirmed"}
    stats = hall.engine.stats()
    assert (stats.landed, stats.tips_lamports, stats.pending, stats.failed) == (1, 10_000, 0, {})


def test_failing_bundle_is_failed_and_leaves_nothing() -> None:
    hall = Hall()
    before = hall.state()
    name = hall.take(hall.world.signed(tip()), hall.world.signed(pay(STRANGER, 10**18, BOB), by=BOB))
    hall.engine.hold_auction()
    assert hall.engine.inflight_row(name)["status"] == "Failed"
    assert hall.state() == before
    assert hall.engine.stats().failed == {"InstructionError": 1}


def test_order_follows_tip_for_each_requested_unit() -> None:
    hall = Hall()
    units = {"thrifty": (30_000, 20_000), "generous": (30_000, 5_000), "greedy": (60_000, 100_000)}
    names = {
        label: hall.take(hall.world.signed(set_compute_unit_limit(limit), tip(wallet, lamports), by=wallet))
        for wallet, (label, (lamports, limit)) in zip(WALLETS, units.items(), strict=False)
    }
    hall.events.clear()
    hall.engine.hold_auction()
    landed = [str(event.record.signature) for event in hall.events if isinstance(event, TransactionExecuted)]
    assert [bundle_id([signature]) for signature in landed] == [
        names["generous"],  # 6 lamports a unit
        names["thrifty"],  # 1.5
        names["greedy"],  # 0.6
    ]


def test_tip_below_the_minimum_takes_the_bundle_back() -> None:
    hall = Hall()
    before = hall.state()
    name = hall.take(hall.world.signed(pay(STRANGER, SOL), tip(lamports=MIN_TIP - 1)))
    hall.engine.hold_auction()
    assert hall.engine.inflight_row(name)["status"] == "Failed"
    assert hall.engine.stats().failed == {"TipTooLow": 1}
    assert hall.state() == before
    hall.take(hall.world.signed(pay(STRANGER, SOL), tip(lamports=MIN_TIP)))
    hall.engine.hold_auction()
    assert hall.engine.stats().landed == 1


def test_tip_account_must_be_write_locked_by_the_message() -> None:
    hall = Hall()
    mention = Instruction(STRANGER, b"", [AccountMeta(TIP_ACCOUNTS[3], is_signer=False, is_writable=False)])
    for raw in (hall.world.signed(pay(STRANGER)), hall.world.signed(pay(STRANGER), mention)):
        with pytest.raises(RpcFault, match="write lock at least one tip account"):
            hall.take(raw)


def test_bundle_holds_one_to_five_readable_transactions() -> None:
    hall = Hall()
    fine = [hall.world.signed(pay(STRANGER, SOL + number), tip()) for number in range(6)]
    for raws in ([], fine):
        with pytest.raises(RpcFault, match="1 to 5 transactions"):
            hall.take(*raws)
    with pytest.raises(RpcFault, match="deserialize"):
        hall.take(fine[0], b"\1nonsense")
    assert hall.engine.stats().accepted == 0


def test_same_bundle_again_is_one_bundle_and_a_landed_one_is_refused() -> None:
    hall = Hall()
    raw = hall.world.signed(tip())
    assert hall.take(raw) == hall.take(raw)
    assert hall.engine.stats().accepted == 1
    hall.engine.hold_auction()
    with pytest.raises(RpcFault, match="already processed"):
        hall.take(raw)


def test_auction_is_bounded_and_a_full_engine_refuses() -> None:
    hall = Hall()
    for number in range(MAX_PENDING):
        hall.take(hall.world.signed(pay(STRANGER, SOL + number), tip()))
    with pytest.raises(RpcFault, match="congested") as caught:
        hall.take(hall.world.signed(pay(STRANGER, 1), tip()))
    assert caught.value.code == -32097
    hall.engine.hold_auction()
    stats = hall.engine.stats()
    assert (stats.landed, stats.pending) == (MAX_PER_AUCTION, MAX_PENDING - MAX_PER_AUCTION)


async def test_lost_bundle_is_pending_until_it_has_expired() -> None:
    hall = Hall()
    hall.world.faults.set(FaultPlan(drop_sends=Portion(next=1)))
    name = hall.take(hall.world.signed(tip()))
    hall.engine.hold_auction()
    assert hall.engine.inflight_row(name)["status"] == "Pending"
    assert (hall.engine.stats().lost, hall.world.faults.counts().dropped_sends) == (1, 1)
    hall.chain.advance(151)
    assert hall.engine.inflight_row(name)["status"] == "Failed"
    await hall.clock.advance(ms(LOOK_BACK_MS))  # type: ignore[attr-defined]  # the world's is a test clock
    assert hall.engine.inflight_row(name)["status"] == "Invalid"
    assert hall.engine.inflight_row("no such bundle")["status"] == "Invalid"


def test_two_bundles_for_one_thing_one_lands() -> None:
    hall = Hall()
    rich = hall.world.signed(pay(STRANGER, 600 * SOL), tip(lamports=50_000))
    late = hall.world.signed(pay(STRANGER, 700 * SOL), tip(lamports=20_000))
    first, second = hall.take(late), hall.take(rich)
    hall.engine.hold_auction()
    assert [hall.engine.inflight_row(name)["status"] for name in (first, second)] == ["Failed", "Landed"]
    assert hall.lamports(STRANGER) == 600 * SOL


def test_version_0_and_slots_that_follow_transactions() -> None:
    chain = Chain(ChainConfig(slot_ms=0))
    chain.airdrop(ALICE.pubkey(), Lamports(10 * SOL))
    engine = BlockEngine(chain, chain._clock)
    opened: list[int] = []
    chain.add_listener(lambda event: opened.append(event.slot) if isinstance(event, SlotOpened) else None)
    messages = [
        MessageV0.try_compile(ALICE.pubkey(), [pay(STRANGER, SOL + n), tip()], [], chain.block.blockhash)
        for n in range(2)
    ]
    name = engine.take([bytes(VersionedTransaction(message, [ALICE])) for message in messages], Node(chain=chain))
    assert engine.inflight_row(name)["status"] == "Landed", "without a timer the auction is at once"
    assert len(opened) == 1, "one slot for the whole bundle"
