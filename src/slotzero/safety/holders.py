"""The layer that judges who holds the token: one owner with much of the supply can end every other holder's profit.

It costs two calls beyond the check's shared read, so it is no part of the first look at a pool: the largest token
accounts of the mint, then those accounts, for their owners.

**A lower bound.** A node names at most 20 accounts, and who wants to hide splits a holding over more wallets than
that, or keeps each below the threshold. "Passed" means *no concentration can be seen*, not *there is none*; a refusal
is sure. Shares are of the whole supply, the unsold part included: of a young curve its first buyer always holds nearly
everything that is out.

**Who does not count.** The pool's own account (its address is derived, no label is trusted), the venue's own vaults,
addresses nobody has a key of, and our own wallets. Other program-owned accounts do count: a program can be anybody's.

The creator is looked at apart: its associated token account is read with the check's shared call, so that a creator
too small for the list of 20 is seen as well; its other accounts only if they are in the list.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import ClassVar, Final

from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.errors import MalformedError
from slotzero.safety.layers import CheckContext
from slotzero.safety.reader import AccountView
from slotzero.safety.records import Decision, Evidence
from slotzero.solana.addresses import SYSTEM_PROGRAM, associated_token_address
from slotzero.solana.token import parse_mint, parse_token_account
from slotzero.units import BPS, BasisPoints
from slotzero.venues.pumpfun.addresses import MAYHEM_SOL_VAULT
from slotzero.venues.records import NewPool
from slotzero.venues.registry import VENUES

__all__ = ["LAYER", "HolderPolicy", "HoldersLayer", "judge_holders"]

LAYER: Final = "holders"

_TOP: Final = 10
_KEYLESS: Final = frozenset(
    {
        SYSTEM_PROGRAM,
        Pubkey.from_string("1nc1nerator11111111111111111111111111111111"),
        MAYHEM_SOL_VAULT,  # sells the second half of a mayhem coin's supply by the mayhem program's own rules
    }
)


class HolderPolicy(Struct, frozen=True, kw_only=True):
    """How much may be in few hands, of the whole supply.

    Attributes:
        max_owner_bps: Held by one owner.
        max_top_bps: Held by the ten largest owners together.
        max_creator_bps: Held by who created the pool or receives its fees.
    """

    max_owner_bps: BasisPoints = BasisPoints(2_000)
    max_top_bps: BasisPoints = BasisPoints(4_000)
    max_creator_bps: BasisPoints = BasisPoints(2_000)


class HoldersLayer:
    """Holders and creator. Two calls beyond the shared read.

    Args:
        policy: How much may be in few hands.
        is_ours: Tells our own wallets: what we hold ourselves is no danger to us.
    """

    name: ClassVar[str] = LAYER
    is_facts: ClassVar[bool] = True

    def __init__(
        self,
        policy: HolderPolicy = HolderPolicy(),  # noqa: B008 a frozen record
        *,
        is_ours: Callable[[Pubkey], bool] = lambda _: False,
    ) -> None:
        self._policy = policy
        self._is_ours = is_ours

    def keys(self, pool: NewPool) -> tuple[Pubkey, ...]:
        """Return the mint and the creators' associated token accounts."""
        return (pool.mint, *_creator_accounts(pool))

    async def run(self, context: CheckContext) -> tuple[Evidence, ...]:
        """Ask who holds the token and judge it; UNSURE, "not_available", where the node does not tell."""
        pool = context.pool
        mint = await context.account(pool.mint)
        if mint is None:
            return (_evidence("UNSURE", "mint_missing", f"the node does not know the mint account {pool.mint} yet"),)
        supply = parse_mint(mint.data, mint.owner).supply
        largest = await context.largest_accounts()
        accounts: dict[Pubkey, AccountView | None] = {}
        if largest:
            accounts.update(zip(largest, await context.further_accounts(largest), strict=True))
        for key in _creator_accounts(pool):  # read before the list was asked for: what the list has is newer
            accounts.setdefault(key, await context.account(key))
        return judge_holders(tuple(accounts.values()), pool, supply, self._policy, is_ours=self._is_ours)


def judge_holders(
    accounts: Sequence[AccountView | None],
    pool: NewPool,
    supply: int,
    policy: HolderPolicy,
    *,
    is_ours: Callable[[Pubkey], bool] = lambda _: False,
) -> tuple[Evidence, ...]:
    """Judge who holds a token. *Pure.* About 100 us for 20 accounts.

    Args:
        accounts: Token accounts of the mint, each once; None where one is gone by now.
        pool: The pool.
        supply: All there is.
        policy: How much may be in few hands.
        is_ours: Tells our own wallets.

    Returns:
        Every objection, or a single "passed" or "creator_sold" (a note) with the figures.

    Raises:
        MalformedError: One of them is no token account of the mint: then the answer is worth nothing.
    """
    if supply <= 0:
        return (_evidence("DENY", "no_supply", "the mint has no supply at all"),)
    held = _by_owner(accounts, pool)
    creators = {pool.creator, pool.user}
    creator = sum(held[owner] for owner in creators)
    venue = VENUES.get(pool.venue)
    uncounted = _KEYLESS | {pool.pool if venue is None else venue.pool_address(pool.mint)}
    others = [(amount, owner) for owner, amount in held.items() if owner not in uncounted and not is_ours(owner)]
    others.sort(key=lambda holding: (-holding[0], bytes(holding[1])))
    top = sum(amount for amount, _ in others[:_TOP])
    largest, who = others[0] if others else (0, None)

    found = []
    if _bps(creator, supply) > policy.max_creator_bps:
        told = f"the creator holds at least {_share(creator, supply)} (accepted: {policy.max_creator_bps} bps)"
        found.append(_evidence("DENY", "creator_holds", told))
    if _bps(largest, supply) > policy.max_owner_bps and who not in creators:
        told = f"{who} holds at least {_share(largest, supply)} (accepted: {policy.max_owner_bps} bps)"
        found.append(_evidence("DENY", "holder_concentration", told))
    if _bps(top, supply) > policy.max_top_bps:
        told = f"the {_TOP} largest owners hold at least {_share(top, supply)} (accepted: {policy.max_top_bps} bps)"
        found.append(_evidence("DENY", "top_concentration", told))
    if found:
        return tuple(found)
    told = (
        f"of {len(others)} owners seen, the largest holds {_bps(largest, supply)} bps, the top {_TOP}"
        f" {_bps(top, supply)} bps, the creator {_bps(creator, supply)} bps; more may be hidden in further wallets"
    )
    if pool.creator_bought and not creator:
        return (_evidence("ALLOW", "creator_sold", f"the creator has sold what it bought; {told}"),)
    return (_evidence("ALLOW", "passed", told),)


def _creator_accounts(pool: NewPool) -> tuple[Pubkey, ...]:
    owners = dict.fromkeys((pool.creator, pool.user))
    return tuple(associated_token_address(owner, pool.mint, pool.token_program) for owner in owners)


def _by_owner(accounts: Sequence[AccountView | None], pool: NewPool) -> Counter[Pubkey]:
    held: Counter[Pubkey] = Counter()
    for account in accounts:
        if account is None or account.lamports == 0:
            continue
        parsed = parse_token_account(account.data, account.owner)
        if parsed.mint != pool.mint:
            raise MalformedError(f"a holder of {pool.mint} must hold it, one account holds {parsed.mint}")
        held[parsed.owner] += parsed.amount
    return held


def _bps(amount: int, supply: int) -> int:
    """Round up: a share at the limit's edge is above it."""
    return -(-amount * BPS // supply)


def _share(amount: int, supply: int) -> str:
    return f"{amount} of {supply} tokens, {_bps(amount, supply)} bps"


def _evidence(decision: Decision, reason: str, detail: str) -> Evidence:
    return Evidence(layer=LAYER, decision=decision, reason=reason, detail=detail)
