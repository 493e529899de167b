"""The layer that asks whether the creator has done this before: one call beyond the check's shared read.

On pump.fun all coins of a creator pay their fees into one account, the creator's vault, so every trade of any of them
mentions it. Transactions that mention it from before this coin's creation are trades of earlier coins: the creator is a
serial one. One call tells, without looking into a single transaction.

**What it means.** Most creators of coins that end badly are serial ones, and so are some honest ones; so by default
this is a note, and a refusal only where the policy sets a limit. It is a lower bound: who takes a fresh wallet for each
coin has no history, and a coin without a trade leaves none. The count ends at what one call gives.

A node tells of confirmed transactions alone, so at the creation itself the coin's own trades are not among them yet;
later they are left out by their slot. Where the pool's slot is not known they cannot be told apart: UNSURE.
"""

from typing import ClassVar, Final

from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.safety.layers import CheckContext
from slotzero.safety.records import Decision, Evidence
from slotzero.venues.pumpfun.addresses import creator_vault_address
from slotzero.venues.records import NewPool
from slotzero.venues.registry import PUMPFUN

__all__ = ["LAYER", "CreatorHistoryLayer", "CreatorHistoryPolicy"]

LAYER: Final = "creator_history"


class CreatorHistoryPolicy(Struct, frozen=True, kw_only=True):
    """How much of a past a creator may have.

    Attributes:
        max_earlier_trades: Of its earlier coins, as many as one call shows; None = any number is a note only.
        most_looked_at: How many transactions are asked for, 1 to 1,000.
    """

    max_earlier_trades: int | None = None
    most_looked_at: int = 100


class CreatorHistoryLayer:
    """The creator's earlier coins. One call beyond the shared read.

    Args:
        policy: How much of a past is accepted.
    """

    name: ClassVar[str] = LAYER
    is_facts: ClassVar[bool] = True

    def __init__(self, policy: CreatorHistoryPolicy = CreatorHistoryPolicy()) -> None:  # noqa: B008 a frozen record
        self._policy = policy

    def keys(self, pool: NewPool) -> tuple[Pubkey, ...]:
        """Return nothing: the past does not change with an account."""
        del pool
        return ()

    async def run(self, context: CheckContext) -> tuple[Evidence, ...]:
        """Ask for the past and judge it; UNSURE, "not_available", where the node does not tell."""
        pool, policy = context.pool, self._policy
        if pool.venue != PUMPFUN.name:
            told = f"a creator's earlier coins on {pool.venue} cannot be told by one call"
            return (_evidence("UNSURE", "not_available", told),)
        if not pool.slot:
            return (_evidence("UNSURE", "creation_unknown", "the slot of the creation is not known"),)
        found = await context.signatures(creator_vault_address(pool.creator), policy.most_looked_at)
        earlier = sum(1 for transaction in found if transaction.err is None and transaction.slot < pool.slot)
        return (_judge(earlier, is_cut=len(found) >= policy.most_looked_at, policy=policy),)


def _judge(earlier: int, *, is_cut: bool, policy: CreatorHistoryPolicy) -> Evidence:
    told = f"{'at least ' if is_cut else ''}{earlier} earlier trades of other coins of this creator are on record"
    if policy.max_earlier_trades is not None and earlier > policy.max_earlier_trades:
        return _evidence("DENY", "serial_creator", f"{told} (accepted: {policy.max_earlier_trades})")
    return _evidence("ALLOW", "serial_creator" if earlier else "passed", told)


def _evidence(decision: Decision, reason: str, detail: str) -> Evidence:
    return Evidence(layer=LAYER, decision=decision, reason=reason, detail=detail)
