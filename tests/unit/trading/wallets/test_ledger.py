"""The wallets' books: what each must hold by the journal's events, and what its orders have brought."""

from slotzero.trading.journal import (
    Event,
    ExternalTransfer,
    IntentAbandoned,
    IntentExpired,
    IntentFailed,
    IntentLanded,
    IntentSent,
    IntentUnknown,
    PositionStuck,
)
from slotzero.trading.wallets.ledger import WalletLedger
from slotzero.units import LamportsDelta, Slot, TokenAmount, WallNs
from trading_lab import SIGNER, buy_event, key, pump_pool, sell_event

A = SIGNER.pubkey


def folded(*events: Event) -> WalletLedger:
    ledger = WalletLedger()
    for event in events:
        ledger.on_event(event, WallNs(1))
    return ledger


def came(lamports: int, wallet: object = A) -> Event:
    return ExternalTransfer(wallet=wallet, lamports_delta=LamportsDelta(lamports), reason="")  # type: ignore[arg-type] # a key


def landed(intent: str, delta: int) -> Event:
    return IntentLanded(intent=intent, slot=Slot(9), lamports_delta=LamportsDelta(delta), tokens_held=TokenAmount(5))


def failed(intent: str, delta: int) -> Event:
    return IntentFailed(intent=intent, slot=Slot(9), reason="", lamports_delta=LamportsDelta(delta))


def buy(number: int) -> Event:
    return buy_event(f"b{number}", pool=pump_pool(number))


def test_wallet_must_hold_what_came_in_and_what_its_orders_changed() -> None:
    ledger = folded(came(1_000), buy(1), landed("b1", -110), sell_event("s1", position="b1"), landed("s1", 150))
    assert (ledger.expected_of(A), ledger.traded_lamports) == (1_040, 40)


def test_failed_order_has_cost_its_fee() -> None:
    ledger = folded(came(1_000), buy(1), failed("b1", -5))
    assert (ledger.expected_of(A), ledger.traded_lamports) == (995, -5)


def test_each_wallet_is_on_its_own_and_money_moved_is_not_traded() -> None:
    ledger = folded(came(1_000), came(500, key(40)), came(-300))
    assert [ledger.expected_of(wallet) for wallet in (A, key(40), key(41))] == [700, 500, 0]
    assert ledger.traded_lamports == 0


def test_order_is_open_until_it_has_an_end() -> None:
    begun = (buy(1), IntentSent(intent="b1"), IntentUnknown(intent="b1", reason="r"))
    assert all(folded(*begun[: count + 1]).has_open_orders for count in range(len(begun)))
    ends = (landed("b1", -1), failed("b1", -1), IntentExpired(intent="b1"), IntentAbandoned(intent="b1", reason="r"))
    assert not any(folded(*begun, end).has_open_orders for end in ends)
    assert not folded(buy(1), landed("b1", -1), PositionStuck(intent="b1", reason="r")).has_open_orders
