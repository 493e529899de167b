"""Plans for moving SOL between wallets and for closing empty token accounts. *Pure:* accounts in, transactions out.

Every amount is exact: a plan says what a transaction takes, brings and costs, to the lamport. What cannot be done
whole is refused whole, before anything is signed.
"""

from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from msgspec import Struct
from solders.hash import Hash
from solders.instruction import Instruction
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer

from slotzero.errors import MalformedError
from slotzero.solana.addresses import SYSTEM_PROGRAM, TOKEN_2022_PROGRAM, TOKEN_PROGRAM
from slotzero.solana.instructions import close_token_account
from slotzero.solana.rpc import AccountInfo
from slotzero.solana.token import (
    CONFIDENTIAL_FAMILY,
    OpaqueExtension,
    TokenAccount,
    TransferFeeAmount,
    UnknownExtension,
    parse_token_account,
)
from slotzero.solana.transaction import MAX_TRANSACTION_BYTES, compute_budget, unsigned
from slotzero.trading.fees import network_fee
from slotzero.trading.filters import Refusal
from slotzero.units import ComputeUnits, Lamports, MicroLamportsPerCu

__all__ = [
    "Funding",
    "KeptAccount",
    "MoveTerms",
    "Planned",
    "ReclaimPlan",
    "plan_funding",
    "plan_reclaim",
    "plan_sweep",
]

_TRANSFER_UNITS: Final = 1_000
"""A transfer takes 150, the two compute-budget instructions 150 each."""
_CLOSE_UNITS: Final = 5_000
"""The programs bundled in solders 0.29 took 120 (SPL Token) and 1,200 to 2,350 (Token-2022); older SPL Token 3,000."""
_MAX_INSTRUCTIONS: Final = 60


class MoveTerms(Struct, frozen=True, kw_only=True):
    """What the cluster asks of a move.

    Attributes:
        empty_account_lamports: The least a wallet may hold unless it holds nothing; read from the cluster.
        price: The compute unit price of these transactions.
    """

    empty_account_lamports: Lamports
    price: MicroLamportsPerCu = MicroLamportsPerCu(0)


class Planned(Struct, frozen=True, kw_only=True):
    """One transaction to sign and send.

    Attributes:
        payer: Who signs and pays; the only signer.
        moved_lamports: What it transfers, or the rent it brings back.
        fee_lamports: What it pays the network, taken from the payer beside that.
        touches: The wallets paid, or the accounts closed.
    """

    payer: Pubkey
    instructions: tuple[Instruction, ...]
    moved_lamports: Lamports
    fee_lamports: Lamports
    touches: tuple[Pubkey, ...]


class Funding(Struct, frozen=True, kw_only=True):
    """A wallet to be topped up, and what it holds now."""

    wallet: Pubkey
    lamports: Lamports


class KeptAccount(Struct, frozen=True, kw_only=True):
    """A token account that is not closed, and why."""

    address: Pubkey
    reason: str


class ReclaimPlan(Struct, frozen=True, kw_only=True):
    """What is closed, and what is left as it is."""

    transactions: tuple[Planned, ...]
    kept: tuple[KeptAccount, ...]

    @property
    def rent_lamports(self) -> Lamports:
        """What closing brings back, before fees."""
        return Lamports(sum(planned.moved_lamports for planned in self.transactions))

    @property
    def fee_lamports(self) -> Lamports:
        """What closing costs."""
        return Lamports(sum(planned.fee_lamports for planned in self.transactions))


class _Step(Struct, frozen=True, kw_only=True):
    """One instruction of a batch and what it does."""

    instruction: Instruction
    lamports: Lamports
    touches: Pubkey
    units: int


# ---- funding -------------------------------------------------------------------------------------------------------


def plan_funding(
    treasury: Funding, wallets: Sequence[Funding], *, level_lamports: Lamports, terms: MoveTerms
) -> tuple[Planned, ...] | Refusal:
    """Bring each wallet up to `level_lamports` from the treasury. *Pure.*

    A wallet that has as much already is passed over, so the same plan made again after a crash moves only the rest.

    Args:
        treasury: Who pays; it keeps at least the rent of an empty account.
        wallets: Whom.
        level_lamports: What each is to hold.
        terms: What the cluster asks.
    """
    least = terms.empty_account_lamports
    if level_lamports < least:
        return Refusal(
            reason="below_rent", detail=f"a wallet must hold at least {least} lamports, got {level_lamports}"
        )
    if any(wallet.wallet == treasury.wallet for wallet in wallets):
        return Refusal(
            reason="funds_itself", detail=f"{treasury.wallet} is the treasury and cannot be funded by itself"
        )
    lacking = [wallet for wallet in wallets if wallet.lamports < level_lamports]
    if len({wallet.wallet for wallet in lacking}) != len(lacking):
        return Refusal(reason="named_twice", detail="a wallet is to be funded twice; name each once")
    plan = _batched(treasury.wallet, [_payment(treasury.wallet, w, level_lamports) for w in lacking], terms)
    need = sum(planned.moved_lamports + planned.fee_lamports for planned in plan)
    if plan and treasury.lamports < need + least:
        return Refusal(
            reason="insufficient_balance",
            detail=f"funding takes {need} lamports and {least} must stay, the treasury has {treasury.lamports}",
        )
    return plan


def _payment(payer: Pubkey, to: Funding, level: int) -> _Step:
    lamports = Lamports(level - to.lamports)
    return _Step(
        instruction=_transfer(payer, to.wallet, lamports), lamports=lamports, touches=to.wallet, units=_TRANSFER_UNITS
    )


# ---- sweeping ------------------------------------------------------------------------------------------------------


def plan_sweep(
    source: Funding,
    to: Pubkey,
    to_account: AccountInfo | None,
    *,
    allowed: AbstractSet[Pubkey],
    keep_lamports: Lamports,
    terms: MoveTerms,
) -> Planned | Refusal:
    """Move what a wallet holds to an allowed address, all but `keep_lamports` and the fee. *Pure.*

    Args:
        source: The wallet.
        to: Where to.
        to_account: What is at that address; None when nothing is.
        allowed: The addresses that may be swept to; another one is refused first of all.
        keep_lamports: What stays: nothing, or at least the rent of an empty account.
        terms: What the cluster asks.
    """
    least = terms.empty_account_lamports
    if to not in allowed:
        return Refusal(reason="not_allowed", detail=f"{to} is not on the list of addresses that may be swept to")
    if to == source.wallet:
        return Refusal(reason="sweeps_to_itself", detail=f"{to} is the wallet itself")
    if to_account is not None and (to_account.owner != SYSTEM_PROGRAM or to_account.data):
        return Refusal(reason="no_wallet_there", detail=f"{to} is an account of {to_account.owner}, no wallet")
    if 0 < keep_lamports < least:
        detail = f"a wallet keeps nothing or at least {least} lamports, got {keep_lamports}"
        return Refusal(reason="below_rent", detail=detail)
    fee = network_fee(_units(_TRANSFER_UNITS), terms.price)
    amount = source.lamports - keep_lamports - fee
    if amount <= 0:
        detail = f"the wallet has {source.lamports} lamports, {keep_lamports} stay and the fee is {fee}"
        return Refusal(reason="nothing_to_sweep", detail=detail)
    if amount + (to_account.lamports if to_account is not None else 0) < least:
        detail = f"a new account must hold at least {least} lamports, {amount} are left to move"
        return Refusal(reason="below_rent", detail=detail)
    lamports = Lamports(amount)
    step = _Step(
        instruction=_transfer(source.wallet, to, lamports), lamports=lamports, touches=to, units=_TRANSFER_UNITS
    )
    return _planned(source.wallet, [step], terms)


def _transfer(source: Pubkey, to: Pubkey, lamports: int) -> Instruction:
    return transfer(TransferParams(from_pubkey=source, to_pubkey=to, lamports=lamports))


# ---- closing empty token accounts ----------------------------------------------------------------------------------


def plan_reclaim(
    wallet: Funding,
    accounts: Iterable[tuple[Pubkey, AccountInfo | None]],
    *,
    in_use: AbstractSet[Pubkey],
    terms: MoveTerms,
) -> ReclaimPlan | Refusal:
    """Close the empty token accounts of a wallet; their rent goes back to it. *Pure.*

    Never closed, and reported: an account that holds a unit, is somebody else's, may be closed by somebody else only,
    holds withheld transfer fees, or has an extension that may hold something unseen.

    Args:
        wallet: Whose; it pays the fees from what it holds before.
        accounts: Token accounts and what is in them; None (not there) is passed over.
        in_use: Accounts and mints that are traded just now: left as they are, empty or not.
        terms: What the cluster asks.
    """
    kept: list[KeptAccount] = []
    steps: list[_Step] = []
    seen: set[Pubkey] = set()
    for address, account in accounts:
        if account is None or address in seen:
            continue
        seen.add(address)
        reason = _why_kept(wallet.wallet, address, account, in_use)
        if reason is not None:
            kept.append(KeptAccount(address=address, reason=reason))
            continue
        close = close_token_account(address, wallet.wallet, account.owner)
        steps.append(_Step(instruction=close, lamports=account.lamports, touches=address, units=_CLOSE_UNITS))
    plan = _batched(wallet.wallet, steps, terms)
    worthless = [planned for planned in plan if planned.moved_lamports <= planned.fee_lamports]
    kept += [KeptAccount(address=a, reason="its rent is less than the fee") for p in worthless for a in p.touches]
    plan = tuple(planned for planned in plan if planned not in worthless)
    # Each transaction's fee is paid before its rent comes in, and they may land in any order.
    fees = sum(planned.fee_lamports for planned in plan)
    if plan and wallet.lamports < fees + terms.empty_account_lamports:
        least = terms.empty_account_lamports
        detail = f"closing takes {fees} lamports in fees and {least} must stay, the wallet has {wallet.lamports}"
        return Refusal(reason="insufficient_balance", detail=detail)
    return ReclaimPlan(transactions=plan, kept=tuple(kept))


def _why_kept(wallet: Pubkey, address: Pubkey, account: AccountInfo, in_use: AbstractSet[Pubkey]) -> str | None:
    """Say why an account must not be closed, or None."""
    if account.owner not in (TOKEN_PROGRAM, TOKEN_2022_PROGRAM):
        return f"it belongs to {account.owner}, no token program"
    try:
        token = parse_token_account(account.data, account.owner)
    except MalformedError as error:
        return str(error)
    if token.owner != wallet:
        return f"its tokens are those of {token.owner}"
    if address in in_use or token.mint in in_use:
        return "it is traded just now"
    if token.amount:
        return f"it holds {token.amount} units"
    if token.close_authority not in (None, wallet):
        return f"only {token.close_authority} may close it"
    return _why_not_closable(token)


def _why_not_closable(token: TokenAccount) -> str | None:
    fees = token.extension(TransferFeeAmount)
    if fees is not None and fees.withheld:
        return f"it holds {fees.withheld} units of withheld transfer fees, which its mint's authority must take first"
    for extension in token.extensions:
        if isinstance(extension, UnknownExtension):
            return f"it has an extension of the unknown type {extension.kind}"
        if isinstance(extension, OpaqueExtension) and extension.kind in CONFIDENTIAL_FAMILY:
            return "it may hold a confidential balance"
    return None


# ---- transactions --------------------------------------------------------------------------------------------------


def _units(units: int) -> ComputeUnits:
    return ComputeUnits(units)


def _planned(payer: Pubkey, steps: Sequence[_Step], terms: MoveTerms) -> Planned:
    limit = _units(sum(step.units for step in steps))
    return Planned(
        payer=payer,
        instructions=(*compute_budget(limit, terms.price), *(step.instruction for step in steps)),
        moved_lamports=Lamports(sum(step.lamports for step in steps)),
        fee_lamports=network_fee(limit, terms.price),
        touches=tuple(step.touches for step in steps),
    )


def _batched(payer: Pubkey, steps: Sequence[_Step], terms: MoveTerms) -> tuple[Planned, ...]:
    """Put as many steps into each transaction as fit, in their order."""
    plan: list[Planned] = []
    rest = list(steps)
    while rest:
        count = _largest(min(len(rest), _MAX_INSTRUCTIONS), lambda size: _fits(payer, rest[:size], terms))
        plan.append(_planned(payer, rest[:count], terms))
        del rest[:count]
    return tuple(plan)


def _largest(most: int, fits: Callable[[int], bool]) -> int:
    """Return the largest count up to `most` that fits, at least 1, by halving."""
    low, high = 1, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _fits(payer: Pubkey, steps: Sequence[_Step], terms: MoveTerms) -> bool:
    try:
        raw = unsigned(payer, _planned(payer, steps, terms).instructions, Hash.default())
    except ValueError:
        return False
    return len(raw) <= MAX_TRANSACTION_BYTES
