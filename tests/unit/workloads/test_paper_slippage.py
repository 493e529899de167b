"""How much worse a paper run's fills were than their quotes, though the journal forgets trades that are over."""

from slotzero.trading.journal import Event, IntentExpired, IntentLanded, IntentSigned, JournalState
from slotzero.trading.paper.report import PaperFill
from slotzero.units import Lamports, LamportsDelta, Slot, TokenAmount, WallNs
from slotzero.workloads.paper_run import Slippage
from trading_lab import buy_event, pump_pool, signed_transaction


def filled(signature: str, traded: int) -> PaperFill:
    """A fill that moved so many lamports."""
    return PaperFill(
        signature=signature,
        sent_slot=Slot(1),
        slot=Slot(2),
        err=None,
        failed_by=None,
        fee=Lamports(0),
        tip=Lamports(0),
        before=Lamports(10_000),
        after=Lamports(10_000 + traded),
        deposit=LamportsDelta(0),
        units=1,
        token_balances=(),
    )


def buy_landed(number: int) -> tuple[IntentSigned, IntentLanded]:
    event = buy_event(f"b{number}", pool=pump_pool(number), signed=signed_transaction(number))
    landed = IntentLanded(
        intent=event.intent, slot=Slot(2), lamports_delta=LamportsDelta(-103), tokens_held=TokenAmount(0)
    )
    return event, landed


def test_every_fill_counts_though_most_are_forgotten() -> None:
    fills: dict[str, PaperFill] = {}
    slippage, state = Slippage(fills.get), JournalState(kept=1)
    for number in range(5):
        signed, landed = buy_landed(number)
        fills[signed.signature] = filled(signed.signature, -103)
        both: list[Event] = [signed, landed]
        for event in both:
            state.apply(event, WallNs(0))
            slippage.on_event(event, WallNs(0))
    assert len(state.intents) == 1
    assert slippage.total() == 5 * 3  # quoted at 100


def test_what_landed_untold_counts_and_what_expired_does_not() -> None:
    untold, expired = (buy_landed(number)[0] for number in (1, 2))
    slippage = Slippage(lambda signature: filled(signature, -110))
    events: list[Event] = [untold, expired, IntentExpired(intent="b2")]
    for event in events:
        slippage.on_event(event, WallNs(0))
    assert slippage.total() == 10
