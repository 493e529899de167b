"""POSITION_MONITOR: the frame of a pool's account, the position re-valued and every exit rule evaluated."""

from collections.abc import Callable
from itertools import cycle

from slotzero.solana.account_watch import AccountUpdate, watch_account
from slotzero.trading.exit_rules import ExitMachine, ExitRules, Rung
from slotzero.units import Lamports, MonoNs, TokenAmount

from .scene import account_data, account_frame, coins, market
from .tap import Tap

__all__ = ["build"]

_HELD = TokenAmount(3_000_000_000_000)
_BOUGHT = Lamports(10**10)


def build() -> Callable[[], object]:
    """Re-value a position under every rule there is; the price moves by too little for any to fire."""
    pricer, tap = market(), Tap()
    quote = pricer.quote_sell(pricer.decode_state(account_data(coins()[0], bought=_BOUGHT)).reserves, _HELD)
    assert quote is not None
    rules = ExitRules(
        ladder=(Rung(gain_bps=2_500, share_bps=5_000), Rung(gain_bps=10_000, share_bps=5_000)),
        trail_arm_bps=500,
        trail_bps=3_000,
        break_even_at_bps=2_000,
        max_hold_ms=3_600_000,
        decay_from_ms=0,
        decay_to_ms=3_600_000,
        decay_stop_bps=1_500,
    )
    machine = ExitMachine(pricer, tokens=_HELD, quoted_lamports=quote.net, opened_at=MonoNs(0), rules=rules)

    def on_update(update: AccountUpdate, now: MonoNs) -> None:
        assert not machine.on_state(pricer.decode_state(update.data), now)
        machine.next_deadline()

    watch_account(tap, pricer.state_account, "processed", on_update)
    handler, now = tap.handlers["accountSubscribe"], MonoNs(1_000_000)
    frames = cycle([account_frame(coins()[0], bought=Lamports(_BOUGHT + 10**6 * n), slot=10) for n in range(1, 33)])
    following = frames.__next__
    return lambda: handler(following(), now)
