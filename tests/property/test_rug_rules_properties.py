"""The drain rules against a list of every reserve there ever was."""

from hypothesis import given, settings
from hypothesis import strategies as st

from slotzero.solana.addresses import TOKEN_PROGRAM
from slotzero.solana.token import AccountState, TokenAccount
from slotzero.trading.rug_rules import PoolObserved, RugRules, RugWatch, TokenAccountObserved
from slotzero.units import BPS, Lamports, Slot, TokenAmount
from slotzero.venues.market import PoolState
from slotzero.venues.records import Reserves
from trading_lab import key


def pool(slot: int, real_quote: int) -> PoolObserved:
    reserves = Reserves(virtual_token=1, virtual_quote=1, real_token=1, real_quote=real_quote)
    return PoolObserved(slot=Slot(slot), state=PoolState(reserves=reserves, is_complete=False))


def seen(slot: int, amount: int) -> TokenAccountObserved:
    account = TokenAccount(
        token_program=TOKEN_PROGRAM,
        mint=key(9),
        owner=key(1),
        amount=TokenAmount(amount),
        delegate=None,
        state=AccountState.INITIALIZED,
        native_reserve=None,
        delegated_amount=TokenAmount(0),
        close_authority=None,
        extensions=(),
    )
    return TokenAccountObserved(slot=Slot(slot), account=account)


def highest(history: list[tuple[int, int]], since: int) -> int:
    """The highest reserve in force at `since` or after it, without the newest."""
    before, newest = history[:-1], history[-1][0]
    ends = [slot for slot, _ in before[1:]] + [newest]
    return max((value for (_, value), end in zip(before, ends, strict=True) if end >= since), default=0)


@settings(max_examples=300, deadline=None)
@given(
    span=st.integers(0, 12),
    slot_bps=st.integers(1, BPS),
    window_bps=st.integers(1, BPS),
    outflow_bps=st.integers(1, BPS),
    least=st.integers(1, 60),
    steps=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 300)), max_size=60),
)
def test_drains_are_those_of_the_full_history(
    span: int, slot_bps: int, window_bps: int, outflow_bps: int, least: int, steps: list[tuple[int, int]]
) -> None:
    rules = RugRules(
        window_slots=span,
        drain_slot_bps=slot_bps,
        drain_window_bps=window_bps,
        outflow_bps=outflow_bps,
        min_outflow_lamports=Lamports(least),
    )
    watch = RugWatch(rules, wallet=key(1), creator=key(2), mint=None, tokens=TokenAmount(1), opened_slot=Slot(0))
    history: list[tuple[int, int]] = []
    raised: set[str] = set()
    slot = 0
    for later, reserve in steps:
        slot += later
        history.append((slot, reserve))
        found = {alert.signal for alert in watch.on_pool(pool(slot, reserve))}
        if len(history) == 1:
            assert not found
            continue
        now: set[str] = set()
        for signal, since, most_bps in (
            ("drain_slot", slot, slot_bps),
            ("drain_window", slot - span, window_bps),
            ("outflow", slot - span, outflow_bps),
        ):
            high = highest(history, since)
            if high - reserve >= least and (high - reserve) * BPS >= most_bps * high:
                now.add(signal)
        assert found == now - raised
        raised = now
        assert len(watch._in_window._replaced) <= span + 1
        assert len(watch._in_slot._replaced) <= 1


@settings(max_examples=200, deadline=None)
@given(
    bought=st.integers(1, 1_000),
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("send"), st.integers(1, 1_000)),
            st.tuples(st.just("land"), st.integers(0, 9)),
            st.tuples(st.just("fail"), st.integers(0, 9)),
            st.tuples(st.just("steal"), st.integers(1, 100)),
        ),
        max_size=40,
    ),
)
def test_thefts_are_told_and_own_sells_are_not(bought: int, steps: list[tuple[str, int]]) -> None:
    watch = RugWatch(
        RugRules(), wallet=key(1), creator=key(2), mint=None, tokens=TokenAmount(bought), opened_slot=Slot(0)
    )
    on_chain, slot, number = bought, 0, 0
    under_way: dict[int, int] = {}
    for what, value in steps:
        slot += 1
        free = on_chain - sum(under_way.values())
        match what:
            case "send" if free > 0:
                number += 1
                under_way[number] = min(value, free)
                watch.on_sell_sent(number, tokens=under_way[number], quote_out=1)
            case "land" if under_way:
                sell = sorted(under_way)[value % len(under_way)]
                tokens = under_way.pop(sell)
                on_chain -= tokens
                assert watch.on_token_account(seen(slot, on_chain)) == []  # the frame may come before the outcome
                watch.on_sell_settled(sell, tokens=tokens, quote_out=1)
            case "fail" if under_way:
                sell = sorted(under_way)[value % len(under_way)]
                del under_way[sell]
                watch.on_sell_settled(sell, tokens=0, quote_out=0)
            case "steal" if not under_way and on_chain:
                on_chain -= min(value, on_chain)
                (alert,) = watch.on_token_account(seen(slot, on_chain))
                assert (alert.signal, alert.held_tokens) == ("balance_fell", on_chain)
                continue
        assert watch.on_token_account(seen(slot, on_chain)) == []
        assert watch.held_tokens == on_chain
