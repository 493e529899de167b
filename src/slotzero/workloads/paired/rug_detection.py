"""RUG_DETECTION: the frame in which a pool is drained, the emergency sell signed. The position is new each time."""

from collections.abc import Callable
from itertools import count

from slotzero.config import Settings
from slotzero.solana.account_watch import AccountUpdate, watch_account
from slotzero.solana.token import Mint
from slotzero.solana.transaction import compute_budget, sign
from slotzero.trading.exit_rules import ExitMachine, ExitRules, Sell, rug_signal
from slotzero.trading.plan import SellPlan, plan_sell
from slotzero.trading.rug_rules import PoolObserved, RugRules, RugWatch
from slotzero.units import BPS, Lamports, MonoNs, Slot, TokenAmount

from .keys import key
from .scene import account_frame, blockhash, coins, market, signer
from .tap import Tap

__all__ = ["build"]

_HELD = TokenAmount(3_000_000_000_000)
_FULL = Lamports(20 * 10**9)
_EMPTY = Lamports(10**7)


def build() -> Callable[[], object]:
    """Show the watch a full pool, then the frame of an empty one, and sell."""
    pricer, tap, pool, settings = market(), Tap(), coins()[0], Settings()
    mint = Mint(
        token_program=pool.token_program,
        mint_authority=None,
        supply=pool.token_supply,
        decimals=6,
        freeze_authority=None,
        extensions=(),
    )
    watch = RugWatch(
        RugRules(),
        wallet=signer().pubkey,
        creator=pool.creator,
        insiders={key(3), key(4)},
        mint=mint,
        tokens=_HELD,
        opened_slot=Slot(1),
    )
    slots, recent, limit = count(100, 100), blockhash(), settings.fees.buy_unit_limit
    price = settings.fees.unit_price_microlamports_per_cu
    signed: list[bytes] = []

    def on_update(update: AccountUpdate, now: MonoNs) -> None:
        state = pricer.decode_state(update.data)
        slot = next(slots)
        if state.reserves.real_quote > _EMPTY:
            watch.on_pool(PoolObserved(slot=Slot(slot), state=state))
            return
        alerts = watch.on_pool(PoolObserved(slot=Slot(slot - 99), state=state))
        machine = ExitMachine(
            pricer, tokens=_HELD, quoted_lamports=Lamports(10**8), opened_at=MonoNs(0), rules=ExitRules()
        )
        (sell,) = machine.on_signal(rug_signal(alerts[0]), now)
        assert isinstance(sell, Sell)
        plan = plan_sell(pricer, state.reserves, _HELD, BPS)
        # An empty pool pays for nothing: the instructions ask for whatever there is.
        least = plan.limit_lamports if isinstance(plan, SellPlan) else Lamports(0)
        budget = compute_budget(limit, price)
        steps = [*budget, *pricer.sell(_HELD, least, closes_account=True)]
        signed[:] = [sign(signer(), steps, recent).raw]

    watch_account(tap, pricer.state_account, "processed", on_update)
    handler, now = tap.handlers["accountSubscribe"], MonoNs(1_000_000)
    full = account_frame(pool, bought=_FULL, slot=10)
    empty = account_frame(pool, bought=Lamports(1), slot=10)

    def rug() -> None:
        handler(full, now)
        handler(empty, now)

    rug()
    assert signed
    return rug
