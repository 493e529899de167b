"""The journal held against the wallet: what differs is told, and nothing is guessed."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from slotzero.errors import RpcError, TransportError
from slotzero.safety.honeypot import HoneypotChecker
from slotzero.solana.addresses import TOKEN_2022_PROGRAM
from slotzero.solana.rpc import MIN_CONTEXT_SLOT_NOT_REACHED
from slotzero.solana.token import AccountState, TokenAccount
from slotzero.solana.transaction import SignedTransaction, compute_budget, sign
from slotzero.trading import recovery
from slotzero.trading.journal import (
    IntentLanded,
    IntentSent,
    IntentUnknown,
    PositionOpened,
    PositionRecord,
    PositionStuck,
)
from slotzero.trading.probe import RentFacts
from slotzero.trading.recovery import Recovery, compare
from slotzero.trading.sniper import Sniper
from slotzero.units import ComputeUnits, Lamports, LamportsDelta, MicroLamportsPerCu, Slot, TokenAmount, WallNs
from trading_lab import (
    BLOCKHASH,
    SIGNER,
    Lab,
    buy_event,
    curve_data,
    key,
    pump_pool,
    pump_traders,
    sell_event,
    signed_buy,
    token_account,
    trading_lab,
    until,
)

WALLET = SIGNER.pubkey
POOL = pump_pool()
MINT = POOL.mint
BUY = signed_buy(POOL)


def position(tokens: int, *, number: int = 1, state: str = "open") -> PositionRecord:
    return PositionRecord(
        id=f"b{number}",
        pool=pump_pool(number),
        wallet=WALLET,
        bought=TokenAmount(tokens),
        tokens=TokenAmount(tokens),
        quoted_lamports=Lamports(100),
        opened_wall_ns=WallNs(0),
        pnl_lamports=LamportsDelta(-110),
        state=state,  # type: ignore[arg-type] # a literal in each test
    )


def account(tokens: int, *, number: int = 1, is_frozen: bool = False) -> TokenAccount:
    return TokenAccount(
        token_program=TOKEN_2022_PROGRAM,
        mint=pump_pool(number).mint,
        owner=WALLET,
        amount=TokenAmount(tokens),
        delegate=None,
        state=AccountState.FROZEN if is_frozen else AccountState.INITIALIZED,
        native_reserve=None,
        delegated_amount=TokenAmount(0),
        close_authority=None,
        extensions=(),
    )


# ---- the comparison ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("positions", "accounts", "expected"),
    [
        ([], [], []),
        ([position(5)], [account(5)], []),
        ([position(5)], [account(2), account(3)], []),
        ([position(0, state="closed")], [], []),
        ([position(0, state="closed")], [account(0)], []),
        ([], [account(0, is_frozen=True)], []),
        ([position(5)], [], [("missing_tokens", 5, 0)]),
        ([position(5, state="stuck")], [account(4)], [("missing_tokens", 5, 4)]),
        ([position(5)], [account(4, is_frozen=True)], [("missing_tokens", 5, 4)]),
        ([position(5)], [account(5, is_frozen=True)], [("frozen", 5, 5)]),
        ([position(5)], [account(6)], [("extra_tokens", 5, 6)]),
        ([position(0, state="closed")], [account(1)], [("unknown_tokens", 0, 1)]),
        ([], [account(7)], [("unknown_tokens", 0, 7)]),
        ([position(5), position(6, number=2)], [account(6), account(5, number=2)], [
            ("extra_tokens", 5, 6),
            ("missing_tokens", 6, 5),
        ]),
    ],
)  # fmt: skip
def test_difference_is_named_by_what_the_journal_and_the_chain_hold(
    positions: list[PositionRecord], accounts: list[TokenAccount], expected: list[tuple[str, int, int]]
) -> None:
    found = compare(WALLET, positions, accounts, undecided=set())
    assert [(item.kind, item.journal_tokens, item.chain_tokens) for item in found] == expected
    assert all(item.wallet == WALLET and str(item.mint) in item.detail for item in found)


def test_mint_that_an_open_intent_may_change_is_not_compared() -> None:
    assert compare(WALLET, [position(5)], [account(1)], undecided={MINT}) == []


def test_position_of_another_wallet_is_not_looked_for_in_this_one() -> None:
    assert compare(key(77), [position(5)], [], undecided=set()) == []


# ---- at the start of a run -----------------------------------------------------------------------------------------


class Start:
    """A run that begins on a journal with one bought position."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.stop = asyncio.Event()
        rent = RentFacts(empty_account_lamports=Lamports(0), first_trade_lamports=Lamports(0))
        traders = pump_traders()
        checker = HoneypotChecker(None, [], budget_ms=1)  # type: ignore[arg-type] # no pool is checked here
        self.sniper = Sniper(
            lab.context, traders=traders, checker=checker, rent=rent, stop=self.stop, until_closed=None
        )
        self.recovery = Recovery(lab.context, self.sniper, traders)

    def told(self) -> list[tuple[str, int, int]]:
        return [(item.kind, item.journal_tokens, item.chain_tokens) for item in self.recovery.differences]

    @property
    def position(self) -> PositionRecord:
        return self.lab.journal.state.positions["buy"]


@asynccontextmanager
async def start(path: Path, *, on_chain: int | None, is_landed: bool = True) -> AsyncIterator[Start]:
    async with trading_lab(path / "journal") as lab:
        await lab.journal.append(buy_event("buy", pool=POOL, signed=BUY))
        await lab.journal.append(IntentSent(intent="buy"))
        if is_landed:
            landed = IntentLanded(
                intent="buy", slot=Slot(99), lamports_delta=LamportsDelta(-110), tokens_held=TokenAmount(1_000)
            )
            await lab.journal.append(landed)
        if on_chain is not None:
            lab.node.tokens[str(MINT)] = on_chain
        lab.node.accounts[str(POOL.pool)] = curve_data(POOL.reserves)
        yield Start(lab)


async def test_position_the_wallet_holds_is_kept_and_nothing_is_told(tmp_path: Path) -> None:
    async with start(tmp_path, on_chain=1_000) as it:
        await it.recovery.start()
        await until(lambda: it.sniper.keepers)
        assert it.told() == []
        assert (it.recovery.count, it.position.state) == (1, "open")
        (first, _) = it.lab.node.asked("getTokenAccountsByOwner")
        assert first[2] == {"commitment": "confirmed", "encoding": "base64", "minContextSlot": 99}


@pytest.mark.parametrize("on_chain", [None, 0, 999])
async def test_position_whose_tokens_are_gone_is_told_and_kept_as_stuck_and_no_fee_is_spent_on_it(
    tmp_path: Path, on_chain: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    async with start(tmp_path, on_chain=on_chain) as it:
        await it.recovery.start()
        await until(lambda: not it.sniper.tasks)
        assert it.told() == [("missing_tokens", 1_000, on_chain or 0)]
        assert (it.position.state, it.position.tokens) == ("stuck", 1_000)
        assert it.lab.node.sent == []
        assert "missing_tokens" in caplog.text
        events = len(it.lab.journal.state.intents)
        again = Recovery(it.lab.context, it.sniper, pump_traders())
        await again.start()  # as at the next start: the same is told, and nothing new is to be written
        await until(lambda: not it.sniper.tasks)
        assert (len(again.differences), len(it.lab.journal.state.intents)) == (1, events)


async def test_frozen_position_is_told_and_kept_as_stuck(tmp_path: Path) -> None:
    async with start(tmp_path, on_chain=1_000) as it:
        it.lab.node.frozen.add(str(MINT))
        await it.recovery.start()
        await until(lambda: not it.sniper.tasks)
        assert it.told() == [("frozen", 1_000, 1_000)]
        assert it.position.state == "stuck"
        assert it.lab.node.sent == []


async def test_tokens_nobody_knows_are_told_once_and_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with start(tmp_path, on_chain=1_001) as it:
        it.lab.node.tokens |= {str(key(500 + number)): 1 for number in range(50)}
        await it.recovery.start()
        await until(lambda: it.sniper.keepers)
        assert it.told() == [("extra_tokens", 1_000, 1_001)] + 50 * [("unknown_tokens", 0, 1)]
        assert it.position.tokens == 1_000
        warnings = [record.message for record in caplog.records if record.levelno == logging.WARNING]
        assert len(warnings) == 2
        assert "50 such mints" in warnings[1]


async def test_differences_are_bounded_and_those_of_positions_come_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "_MAX_KEPT", 3)
    async with start(tmp_path, on_chain=None) as it:
        it.lab.node.tokens |= {str(key(500 + number)): 1 for number in range(50)}
        await it.recovery.start()
        assert [kind for kind, _, _ in it.told()] == ["missing_tokens", "unknown_tokens", "unknown_tokens"]


@pytest.mark.parametrize(("on_chain", "told"), [(1_000, []), (400, [("missing_tokens", 1_000, 400)])])
async def test_buy_that_was_open_is_compared_once_it_is_settled(
    tmp_path: Path, on_chain: int, told: list[tuple[str, int, int]]
) -> None:
    async with start(tmp_path, on_chain=None, is_landed=False) as it:
        await it.recovery.start()
        assert it.told() == []
        assert (it.sniper.working, it.sniper.taking_up) == ({"buy"}, {"buy"})
        it.lab.node.confirm(it.lab.node.record(BUY.raw, delta=-110, tokens=1_000))
        it.lab.node.tokens[str(MINT)] = on_chain
        await until(lambda: not it.sniper.taking_up)
        await until(lambda: it.sniper.keepers or not it.sniper.tasks)
        assert it.told() == told
        assert it.position.state == ("stuck" if told else "open")


@pytest.mark.parametrize("is_opened", [False, True])
async def test_position_is_guarded_before_the_buy_of_an_earlier_run_can_be_read(
    tmp_path: Path,
    is_opened: bool,  # noqa: FBT001
) -> None:
    async with start(tmp_path, on_chain=1_000, is_landed=False) as it:
        if is_opened:
            opened = PositionOpened(intent="buy", slot=Slot(99), tokens_held=TokenAmount(1_000))
            await it.lab.journal.append(opened)
        market = pump_traders().market(POOL, WALLET)
        it.lab.node.accounts[str(market.user_tokens)] = token_account(MINT, 1_000)
        it.lab.node.confirm(BUY.signature)
        it.lab.node.on_send = it.lab.node.lands
        await it.recovery.start()
        positions = it.lab.journal.state.positions
        await it.lab.jump_until(lambda: "buy" in positions and positions["buy"].state == "closed")
        await it.lab.jump_until(lambda: not it.sniper.keepers)
        assert (it.told(), it.position.reason, it.sniper.taking_up) == ([], "stop_loss", set())
        assert (it.sniper.closed, len(it.sniper.tasks)) == (0, 1)
        book = it.lab.context.book
        before = book.standing(WALLET, 0)
        assert (before.open_positions, before.at_risk_lamports, before.uses) == (1, before.reserved_lamports, 1)
        it.lab.node.record(BUY.raw, delta=-110, tokens=1_000)
        await it.lab.jump_until(lambda: not it.sniper.tasks)
        assert (it.lab.kinds(), it.sniper.closed, it.sniper.working) == (["landed", "landed"], 1, set())
        assert it.position.pnl_lamports == it.lab.journal.state.expected_lamports
        after = book.standing(WALLET, 0)
        assert (after.open_positions, after.reserved_lamports, after.at_risk_lamports, after.uses) == (0, 0, 0, 1)


async def test_node_that_lags_is_asked_again(tmp_path: Path) -> None:
    async with start(tmp_path, on_chain=1_000) as it:
        behind = RpcError("paper", MIN_CONTEXT_SLOT_NOT_REACHED, "Minimum context slot has not been reached")
        it.lab.node.faults["getTokenAccountsByOwner"] = [behind, behind]
        it.lab.jump_when_asleep()
        await it.recovery.start()
        assert it.told() == []
        assert len(it.lab.node.asked("getTokenAccountsByOwner")) == 4


async def test_wallet_that_cannot_be_read_is_told_and_positions_are_guarded_all_the_same(tmp_path: Path) -> None:
    async with start(tmp_path, on_chain=1_000) as it:
        it.lab.node.faults["getTokenAccountsByOwner"] = [TransportError("paper", "no answer") for _ in range(5)]
        it.lab.jump_when_asleep()
        await it.recovery.start()
        await until(lambda: it.sniper.keepers)
        assert it.told() == [("unread", 0, 0)]
        assert "nothing was compared: paper: no answer" in it.recovery.differences[0].detail


async def test_wallet_that_is_not_read_in_time_does_not_hold_up_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "_READ_WITHIN_S", 0.05)
    async with start(tmp_path, on_chain=1_000) as it:
        it.lab.node.faults["getTokenAccountsByOwner"] = [TransportError("paper", "no answer")]
        await it.recovery.start()  # the paper clock stands still: the second attempt never comes
        await until(lambda: it.sniper.keepers)
        assert "no answer within 0.05 s" in it.recovery.differences[0].detail


def signed_sell() -> SignedTransaction:
    """A sell of all that is held, signed by an earlier run."""
    market = pump_traders().market(POOL, WALLET)
    instructions = [
        *compute_budget(ComputeUnits(100_000), MicroLamportsPerCu(0)),
        *market.sell(TokenAmount(1_000), Lamports(500), closes_account=False),
    ]
    return sign(SIGNER, instructions, BLOCKHASH)


async def test_position_closed_by_hand_while_its_sell_is_settled_is_sold_after_that_by_one_keeper(
    tmp_path: Path,
) -> None:
    async with start(tmp_path, on_chain=1_000) as it:
        lab, signed = it.lab, signed_sell()
        sell = msgspec.structs.replace(
            sell_event(position="buy", tokens=1_000), signature=signed.signature, raw=signed.raw, mint=MINT
        )
        await lab.journal.append(sell)
        await lab.journal.append(IntentSent(intent="sell"))
        await it.recovery.start()
        it.recovery.take_up_again(it.position)
        it.recovery.take_up_again(it.position)
        await asyncio.sleep(0.02)
        assert (lab.node.sent, it.sniper.keepers) == ([], {})
        lab.node.on_send = lab.node.lands
        lab.node.height = 400  # the first can land no more
        await lab.context.blockhashes.refresh()
        async with asyncio.timeout(10):
            while it.sniper.tasks:
                await lab.clock.advance(11_000_000)
                lab.context.desk._woken.set()
                await asyncio.sleep(0.002)
        assert lab.kinds() == ["landed", "expired", "landed"]
        assert (it.position.state, it.position.reason) == ("closed", "manual")


async def test_position_given_up_with_a_sell_of_unknown_fate_is_sold_again_when_that_is_settled(tmp_path: Path) -> None:
    async with start(tmp_path, on_chain=1_000) as it:
        lab, signed = it.lab, signed_sell()
        sell = msgspec.structs.replace(
            sell_event(position="buy", tokens=1_000), signature=signed.signature, raw=signed.raw, mint=MINT
        )
        for event in (sell, IntentUnknown(intent="sell", reason="r"), PositionStuck(intent="buy", reason="r")):
            await lab.journal.append(event)
        it.recovery.take_up_again(it.position)
        await asyncio.sleep(0.02)
        assert lab.node.sent == []
        lab.node.confirm(lab.node.record(signed.raw, delta=500))
        lab.jump_when_asleep()
        await until(lambda: not it.sniper.tasks)
        assert (lab.kinds(), it.position.state, lab.node.sent) == (["landed", "landed"], "closed", [])
