"""The rug watch as dialogues: an observed fact in, alerts out. 1 SOL = 10**9 lamports."""

import struct

import msgspec
import pytest
from solders.pubkey import Pubkey

from slotzero.detection.records import PoolTrade
from slotzero.errors import MalformedError
from slotzero.solana.account_watch import AccountUpdate
from slotzero.solana.addresses import TOKEN_2022_PROGRAM
from slotzero.solana.token import (
    AccountState,
    DefaultAccountState,
    Extension,
    Mint,
    Pausable,
    PermanentDelegate,
    TokenAccount,
    TransferFee,
    TransferFeeConfig,
    TransferHook,
)
from slotzero.trading.rug_rules import (
    MintObserved,
    PoolObserved,
    RugAlert,
    RugRules,
    RugWatch,
    TokenAccountObserved,
    observed_mint,
    observed_token_account,
)
from slotzero.units import Lamports, MonoNs, Slot, TokenAmount
from slotzero.venues.market import PoolState
from slotzero.venues.records import Reserves
from trading_lab import key

SOL = 10**9
WALLET, CREATOR, FRIEND, STRANGER, ROBBER = (key(number) for number in range(1, 6))
HELD = TokenAmount(1_000_000)
MINT = Mint(
    token_program=TOKEN_2022_PROGRAM,
    mint_authority=None,
    supply=TokenAmount(10**15),
    decimals=6,
    freeze_authority=None,
    extensions=(),
)
FEE = TransferFee(epoch=5, maximum=TokenAmount(1_000), bps=100)


def watch(rules: RugRules = RugRules(), mint: Mint | None = MINT) -> RugWatch:  # noqa: B008 frozen
    return RugWatch(
        rules, wallet=WALLET, creator=CREATOR, insiders={FRIEND}, mint=mint, tokens=HELD, opened_slot=Slot(100)
    )


def pool(slot: int, lamports: float, *, is_complete: bool = False) -> PoolObserved:
    reserves = Reserves(virtual_token=1, virtual_quote=1, real_token=1, real_quote=int(lamports))
    return PoolObserved(slot=Slot(slot), state=PoolState(reserves=reserves, is_complete=is_complete))


def trade(slot: int, user: Pubkey, out: float, left: float, *, is_buy: bool = False) -> PoolTrade:
    return PoolTrade(
        venue="pumpfun",
        mint=key(9),
        user=user,
        is_buy=is_buy,
        tokens=TokenAmount(5),
        quote_amount=Lamports(int(out)),
        reserves=Reserves(virtual_token=1, virtual_quote=1, real_token=1, real_quote=int(left)),
        signature="",
        slot=Slot(slot),
        mono_cause=None,
        mono_frame=MonoNs(0),
    )


def account(slot: int, amount: int, **changes: object) -> TokenAccountObserved:
    plain = TokenAccount(
        token_program=TOKEN_2022_PROGRAM,
        mint=key(9),
        owner=WALLET,
        amount=TokenAmount(amount),
        delegate=None,
        state=AccountState.INITIALIZED,
        native_reserve=None,
        delegated_amount=TokenAmount(0),
        close_authority=None,
        extensions=(),
    )
    return TokenAccountObserved(slot=Slot(slot), account=msgspec.structs.replace(plain, **changes))


def mint(slot: int, *extensions: Extension, **changes: object) -> MintObserved:
    return MintObserved(slot=Slot(slot), mint=msgspec.structs.replace(MINT, extensions=extensions, **changes))


def signals(alerts: list[RugAlert]) -> list[tuple[str, str]]:
    return [(alert.signal, alert.act) for alert in alerts]


# ---- the pool ------------------------------------------------------------------------------------------------------


def test_drain_in_one_step_is_every_kind_of_drain_and_told_once() -> None:
    w = watch()
    assert w.on_pool(pool(101, 20 * SOL)) == []
    found = w.on_pool(pool(102, 2 * SOL))
    assert signals(found) == [("drain_slot", "exit_now"), ("drain_window", "exit_now"), ("outflow", "tighten")]
    assert found[0] == RugAlert(
        signal="drain_slot",
        act="exit_now",
        slot=Slot(102),
        detail="18000000000 of 20000000000 lamports (9000 bps) left the pool within 1 slots",
    )
    assert w.on_pool(pool(102, SOL)) == []


@pytest.mark.parametrize(("left", "found"), [(12.01, []), (12, [("drain_slot", "exit_now")])])
def test_drain_of_a_slot_counts_from_its_threshold_on(left: float, found: list[tuple[str, str]]) -> None:
    w = watch(RugRules(outflow_bps=10_000))
    w.on_pool(pool(101, 20 * SOL))
    assert signals(w.on_pool(pool(150, left * SOL))) == found


def test_reserve_in_force_before_a_long_silence_is_what_left() -> None:
    w = watch()
    w.on_pool(pool(101, 20 * SOL))
    assert ("drain_slot", "exit_now") in signals(w.on_pool(pool(5_000, SOL)))


def test_drain_in_small_steps_is_found_over_the_window() -> None:
    w = watch()
    w.on_pool(pool(101, 20 * SOL))
    found = [signals(w.on_pool(pool(102 + step, (18 - 2 * step) * SOL))) for step in range(7)]
    assert found == [
        [],
        [],
        [("outflow", "tighten")],  # 6 of 20 have left
        [],
        [],
        [("drain_window", "exit_now")],  # 12 of 20
        [],
    ]


def test_slow_outflow_never_fills_the_window() -> None:
    w = watch()
    for step in range(40):
        assert w.on_pool(pool(101 + 11 * step, 20 * SOL * 0.8**step)) == []


def test_signal_is_told_again_once_its_cause_had_gone() -> None:
    w = watch(RugRules(drain_slot_bps=10_000, drain_window_bps=10_000))
    w.on_pool(pool(101, 20 * SOL))
    assert signals(w.on_pool(pool(102, 13 * SOL))) == [("outflow", "tighten")]
    assert w.on_pool(pool(103, 19 * SOL)) == []
    assert signals(w.on_pool(pool(104, 13 * SOL))) == [("outflow", "tighten")]


def test_tiny_pool_is_not_judged() -> None:
    w = watch()
    w.on_pool(pool(101, 49_999_999))
    assert w.on_pool(pool(102, 0)) == []


def test_own_sell_is_no_drain_before_and_after_it_is_settled() -> None:
    w = watch()
    w.on_pool(pool(101, 20 * SOL))
    w.on_sell_sent(1, tokens=1_000_000, quote_out=15 * SOL)
    assert w.on_pool(pool(102, 5 * SOL)) == []
    w.on_sell_settled(1, tokens=1_000_000, quote_out=15 * SOL)
    assert w.on_pool(pool(103, 5 * SOL)) == []
    assert ("drain_slot", "exit_now") in signals(w.on_pool(pool(104, SOL // 2)))


def test_own_sell_that_did_not_land_excuses_nothing_any_more() -> None:
    w = watch()
    w.on_pool(pool(101, 20 * SOL))
    w.on_sell_sent(1, tokens=1, quote_out=15 * SOL)
    w.on_sell_settled(1, tokens=0, quote_out=0)
    assert ("drain_slot", "exit_now") in signals(w.on_pool(pool(102, 5 * SOL)))


def test_reserves_that_move_on_completion_are_no_drain() -> None:
    w = watch()
    w.on_pool(pool(101, 85 * SOL))
    assert w.on_pool(pool(102, 85 * SOL, is_complete=True)) == []
    assert w.on_pool(pool(103, 0, is_complete=True)) == []


def test_facts_from_before_the_buy_and_late_ones_are_passed_over() -> None:
    w = watch()
    assert w.on_pool(pool(99, 20 * SOL)) == []
    assert w.on_pool(pool(105, 2 * SOL)) == []
    assert w.on_pool(pool(104, 20 * SOL)) == []
    assert w.on_pool(pool(106, 2 * SOL)) == []
    assert w.on_token_account(account(99, 0)) == []


# ---- trades --------------------------------------------------------------------------------------------------------


def test_creator_dump_counts_in_one_or_in_many_sells() -> None:
    w = watch()
    assert signals(w.on_trade(trade(101, CREATOR, 1.9 * SOL, 8.1 * SOL))) == []
    assert signals(w.on_trade(trade(111, CREATOR, 0.2 * SOL, 7.9 * SOL))) == [("creator_dump", "exit_now")]
    assert signals(watch().on_trade(trade(101, CREATOR, 2 * SOL, 8 * SOL))) == [("creator_dump", "exit_now")]
    slow = watch()
    for step in range(5):
        assert slow.on_trade(trade(101 + 11 * step, CREATOR, 1.9 * SOL, 8.1 * SOL)) == []


def test_insiders_count_together_and_strangers_only_by_the_reserve() -> None:
    w = watch()
    assert w.on_trade(trade(101, FRIEND, 2.9 * SOL, 7.1 * SOL)) == []
    assert signals(w.on_trade(trade(101, FRIEND, 0.2 * SOL, 6.9 * SOL))) == [("insider_dump", "exit_now")]
    other = watch()
    other.on_pool(pool(101, 10 * SOL))
    assert signals(other.on_trade(trade(101, STRANGER, 3.5 * SOL, 6.5 * SOL))) == [("outflow", "tighten")]


def test_buys_and_own_trades_are_no_dump() -> None:
    w = watch()
    assert w.on_trade(trade(101, CREATOR, 9 * SOL, 10 * SOL, is_buy=True)) == []
    assert w.on_trade(trade(101, WALLET, 9 * SOL, 10 * SOL)) == []
    own = RugWatch(RugRules(), wallet=WALLET, creator=WALLET, mint=None, tokens=HELD, opened_slot=Slot(100))
    assert own.on_trade(trade(101, WALLET, 9 * SOL, 10 * SOL)) == []


# ---- our token account ---------------------------------------------------------------------------------------------


def test_frozen_account_is_noted_once_and_again_after_a_thaw() -> None:
    w = watch()
    frozen = {"state": AccountState.FROZEN}
    assert signals(w.on_token_account(account(101, 1_000_000, **frozen))) == [("frozen", "note")]
    assert w.on_token_account(account(102, 1_000_000, **frozen)) == []
    assert w.on_token_account(account(103, 1_000_000)) == []
    assert signals(w.on_token_account(account(104, 1_000_000, **frozen))) == [("frozen", "note")]


def test_balance_that_falls_without_us_is_told_with_what_is_left_each_time() -> None:
    w = watch()
    assert w.on_token_account(account(101, 1_000_000)) == []
    (alert,) = w.on_token_account(account(102, 400_000))
    assert (alert.signal, alert.act, alert.held_tokens) == ("balance_fell", "exit_now", 400_000)
    assert w.on_token_account(account(103, 400_000)) == []
    (again,) = w.on_token_account(account(104, 399_999))
    assert again.held_tokens == 399_999
    assert w.held_tokens == 399_999


def test_balance_falls_by_our_own_sells_and_no_further() -> None:
    w = watch()
    w.on_sell_sent(1, tokens=250_000, quote_out=1)
    assert w.on_token_account(account(101, 750_000)) == []
    w.on_sell_settled(1, tokens=250_000, quote_out=1)
    assert w.on_token_account(account(102, 750_000)) == []
    assert signals(w.on_token_account(account(103, 749_999))) == [("balance_fell", "exit_now")]


def test_account_closed_by_our_own_sell_of_everything_is_fine_and_otherwise_a_loss() -> None:
    gone = TokenAccountObserved(slot=Slot(101), account=None)
    w = watch()
    (alert,) = w.on_token_account(gone)
    assert (alert.signal, alert.act, alert.held_tokens) == ("account_closed", "note", 0)
    ours = watch()
    ours.on_sell_sent(1, tokens=1_000_000, quote_out=1)
    assert ours.on_token_account(gone) == []


def test_account_that_belongs_to_another_is_told() -> None:
    (alert,) = watch().on_token_account(account(101, 1_000_000, owner=ROBBER))
    assert (alert.signal, alert.held_tokens) == ("account_taken", 0)


# ---- the mint ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        (mint(101), mint(102), []),
        (mint(101), mint(102, supply=TokenAmount(10**15 + 1)), [("supply_up", "exit_now")]),
        (mint(101), mint(102, supply=TokenAmount(1)), []),
        (mint(101), mint(102, mint_authority=ROBBER), [("authority_set", "exit_now")]),
        (mint(101), mint(102, freeze_authority=ROBBER), [("authority_set", "exit_now")]),
        (mint(101, mint_authority=ROBBER), mint(102), []),
        (
            mint(101, PermanentDelegate(delegate=None)),
            mint(102, PermanentDelegate(delegate=ROBBER)),
            [("permanent_delegate", "exit_now")],
        ),
        (
            mint(101, TransferHook(authority=ROBBER, program=None)),
            mint(102, TransferHook(authority=ROBBER, program=ROBBER)),
            [("transfer_hook", "exit_now")],
        ),
        (
            mint(101, Pausable(authority=ROBBER, is_paused=False)),
            mint(102, Pausable(authority=ROBBER, is_paused=True)),
            [("paused", "exit_now")],
        ),
        (
            mint(101, DefaultAccountState(state=AccountState.INITIALIZED)),
            mint(102, DefaultAccountState(state=AccountState.FROZEN)),
            [("default_frozen", "tighten")],
        ),
        (
            mint(101),
            mint(102, PermanentDelegate(delegate=ROBBER)),
            [("extension_added", "exit_now"), ("permanent_delegate", "exit_now")],
        ),
    ],
)
def test_mint_that_got_worse_is_told(before: MintObserved, after: MintObserved, found: list[tuple[str, str]]) -> None:
    w = watch(mint=before.mint)
    assert signals(w.on_mint(after)) == found
    assert w.on_mint(after) == []  # once


def fee_config(*, bps: int = 100, maximum: int = 1_000, withheld: int = 0) -> TransferFeeConfig:
    newer = TransferFee(epoch=7, maximum=TokenAmount(maximum), bps=bps)
    return TransferFeeConfig(
        config_authority=ROBBER, withdraw_authority=ROBBER, withheld=TokenAmount(withheld), older=FEE, newer=newer
    )


@pytest.mark.parametrize(
    ("after", "is_raised"),
    [
        (fee_config(withheld=5), False),
        (fee_config(bps=101), True),
        (fee_config(maximum=1_001), True),
        (fee_config(bps=0, maximum=10**9), False),
        (fee_config(bps=50), False),
    ],
)
def test_fee_is_raised_by_its_rate_or_its_maximum(after: TransferFeeConfig, *, is_raised: bool) -> None:
    w = watch(mint=mint(101, fee_config()).mint)
    assert signals(w.on_mint(mint(102, after))) == ([("fee_raised", "exit_now")] if is_raised else [])


def test_first_observation_is_the_base_where_no_mint_was_given() -> None:
    w = watch(mint=None)
    assert w.on_mint(mint(101, mint_authority=ROBBER)) == []
    assert signals(w.on_mint(mint(102, mint_authority=STRANGER))) == [("authority_set", "exit_now")]
    assert w.on_mint(mint(101, mint_authority=ROBBER)) == []  # late


def test_closed_mint_is_told_and_what_is_made_in_its_place_compared_with_the_first() -> None:
    w = watch()
    gone = MintObserved(slot=Slot(101), mint=None)
    assert signals(w.on_mint(gone)) == [("mint_closed", "exit_now")]
    assert w.on_mint(gone) == []
    assert signals(w.on_mint(mint(102, supply=TokenAmount(2 * 10**15)))) == [("supply_up", "exit_now")]


def test_table_says_what_a_signal_leads_to() -> None:
    w = watch(RugRules(supply_up="note", frozen="exit_now"))
    assert signals(w.on_mint(mint(101, supply=TokenAmount(2 * 10**15)))) == [("supply_up", "note")]
    assert signals(w.on_token_account(account(101, 1_000_000, state=AccountState.FROZEN))) == [("frozen", "exit_now")]


# ---- frames --------------------------------------------------------------------------------------------------------


def test_account_updates_become_observations() -> None:
    mint_data = struct.pack("<I32sQBBI32s", 0, bytes(32), 7, 6, 1, 0, bytes(32))
    token_data = struct.pack(
        "<32s32sQI32sBIQQI32s", bytes(key(9)), bytes(WALLET), 5, 0, bytes(32), 2, 0, 0, 0, 0, bytes(32)
    )

    def update(data: bytes) -> AccountUpdate:
        return AccountUpdate(slot=Slot(7), lamports=Lamports(1), data=data)

    seen = observed_mint(update(mint_data), TOKEN_2022_PROGRAM)
    assert seen.mint is not None
    assert (seen.slot, seen.mint.supply) == (7, 7)
    held = observed_token_account(update(token_data), TOKEN_2022_PROGRAM)
    assert held.account is not None
    assert (held.account.amount, held.account.state) == (5, AccountState.FROZEN)
    assert observed_mint(update(b""), TOKEN_2022_PROGRAM).mint is None
    assert observed_token_account(update(b""), TOKEN_2022_PROGRAM).account is None
    with pytest.raises(MalformedError):
        observed_mint(update(b"x"), TOKEN_2022_PROGRAM)
