"""HONEYPOT: a new pool, judged by a snipe's layers. The chain is in this process; its VM's work is part of the time."""

from collections.abc import Awaitable, Callable, Sequence
from itertools import cycle

from solders.account import Account
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from slotzero.config import Settings
from slotzero.localnet.chain import Chain
from slotzero.safety import SNIPE_LAYERS, HoneypotChecker, build_layers
from slotzero.trading.plan import BuyPlan, plan_buy
from slotzero.trading.probe import RentFacts, round_trip_probe
from slotzero.units import Lamports

from .scene import chain, market, signer

__all__ = ["build"]

_COINS = 8


class _Simulated:
    """What a simulation did, as the check asks for it."""

    def __init__(self, chain: Chain, raw: bytes, watch: Sequence[Pubkey]) -> None:
        found = chain.simulate(VersionedTransaction.from_bytes(raw), check_blockhash=False)
        self.err: object = found.err
        self.logs: Sequence[str] = [] if found.execution is None else found.execution.logs()
        self.units = 0 if found.execution is None else found.execution.units_consumed
        self.accounts: Sequence[Account | None] = [
            found.accounts[at] if at in found.accounts else chain.account(at) for at in watch
        ]


class _Reader:
    """The chain as a check reads it, without a wire."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    async def accounts(self, keys: Sequence[Pubkey]) -> Sequence[Account | None]:
        return [self._chain.account(at) for at in keys]

    async def simulate(self, raw: bytes, watch: Sequence[Pubkey]) -> _Simulated:
        return _Simulated(self._chain, raw, watch)


def build() -> Callable[[], Awaitable[object]]:
    """Judge one coin after the other; nothing is cached."""
    world, settings = chain(), Settings()
    markets = [market(number) for number in range(_COINS)]
    world.airdrop(signer().pubkey, Lamports(10**12))
    rent = RentFacts(
        empty_account_lamports=world.svm.rent_exempt_minimum(0), first_trade_lamports=world.svm.rent_exempt_minimum(400)
    )
    checker = HoneypotChecker(
        _Reader(world),
        build_layers(SNIPE_LAYERS, max_round_trip_loss_bps=settings.safety.max_round_trip_loss_bps),
        budget_ms=60_000,
    )
    asked = []
    for there in markets:
        plan = plan_buy(there, there.pool.reserves, settings.trade)
        assert isinstance(plan, BuyPlan)
        asked.append((there.pool, round_trip_probe(there, signer().pubkey, plan, rent=rent)))
    following = cycle(asked).__next__

    async def judge() -> None:
        verdict = await checker.check(*following())
        assert verdict.decision == "ALLOW", verdict

    return judge
