"""The treasury's shell: reads balances, has plans signed, sends them and says what became of each.

It is thin: `moves` decides, `sign_with` signs, a desk sends and settles. Transactions go one after the other, and the
first that does not land ends the series. A series that was cut short (a crash, an expired transaction) is not taken up
where it ended: plan anew from the balances, which then say what is left to do.
"""

from collections.abc import Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, Protocol

from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.solana.addresses import SYSTEM_PROGRAM, TOKEN_2022_PROGRAM, TOKEN_PROGRAM, associated_token_address
from slotzero.solana.rpc import AccountInfo, Commitment
from slotzero.solana.transaction import RecentBlockhash, SignedTransaction
from slotzero.trading.filters import Refusal
from slotzero.trading.order import Confirmed, Outcome
from slotzero.trading.wallets.moves import (
    Funding,
    KeptAccount,
    MoveTerms,
    Planned,
    plan_funding,
    plan_reclaim,
    plan_sweep,
)
from slotzero.trading.wallets.signers import MessageSigner, sign_with
from slotzero.units import Lamports, MicroLamportsPerCu

__all__ = ["Desk", "Move", "Moves", "Treasury", "associated_candidates"]

_READ: Final[Commitment] = "confirmed"
_MAX_READ: Final = 100
_NONE_IN_USE: Final[frozenset[Pubkey]] = frozenset()
_NOTHING: Final = Lamports(0)
_NO_PRICE: Final = MicroLamportsPerCu(0)


class _Chain(Protocol):
    """What is asked of the chain; `RpcClient` answers it."""

    async def get_minimum_balance(self, size: int) -> Lamports: ...

    async def get_multiple_accounts(
        self, keys: Sequence[Pubkey], commitment: Commitment
    ) -> list[AccountInfo | None]: ...


class _Blockhashes(Protocol):
    async def wait_current(self) -> RecentBlockhash: ...


class Desk(Protocol):
    """Sends signed transactions and says what became of them; `OrderDesk` is one."""

    async def execute(self, signed: SignedTransaction) -> Outcome:
        """Send and settle."""
        ...


class Move(Struct, frozen=True, kw_only=True):
    """A transaction that was sent, and its end."""

    planned: Planned
    signature: str
    outcome: Outcome

    @property
    def has_landed(self) -> bool:
        """Whether it did what was planned."""
        return isinstance(self.outcome, Confirmed)


class Moves(Struct, frozen=True, kw_only=True):
    """What a series of transactions did.

    Attributes:
        moves: Those sent, in order; only the last can be one that has not landed.
        unsent: Those planned behind one that did not land.
        kept: Of a reclaim: the accounts left as they are.
    """

    moves: tuple[Move, ...]
    unsent: tuple[Planned, ...] = ()
    kept: tuple[KeptAccount, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether everything planned has landed."""
        return not self.unsent and all(move.has_landed for move in self.moves)

    @property
    def moved_lamports(self) -> Lamports:
        """What was transferred, or the rent that came back."""
        return Lamports(sum(move.planned.moved_lamports for move in self.moves if move.has_landed))

    @property
    def fee_lamports(self) -> Lamports:
        """What the network took for what landed as planned."""
        return Lamports(sum(move.planned.fee_lamports for move in self.moves if move.has_landed))


OnSigned = Callable[[Planned, SignedTransaction], Awaitable[None]]
"""Awaited before a transaction is sent: the place to write it down."""


class Treasury:
    """Funds, sweeps and reclaims.

    Args:
        chain: Where balances are read: an `RpcClient`.
        desk: Who sends.
        blockhashes: What transactions are signed with.
        price: The compute unit price of these transactions.
        on_signed: Awaited with each signed transaction before it is sent; None = it is not written down.
    """

    def __init__(
        self,
        chain: _Chain,
        desk: Desk,
        blockhashes: _Blockhashes,
        *,
        price: MicroLamportsPerCu = _NO_PRICE,
        on_signed: OnSigned | None = None,
    ) -> None:
        self._chain = chain
        self._desk = desk
        self._blockhashes = blockhashes
        self._price = price
        self._on_signed = on_signed

    async def fund(
        self, treasury: MessageSigner, wallets: Sequence[Pubkey], *, level_lamports: Lamports
    ) -> Moves | Refusal:
        """Bring each wallet up to `level_lamports`. *Does I/O.* *Cancellation: leaves an unknown send.*

        Returns:
            What was done; or why nothing was signed.
        """
        source, *found = await self._accounts([treasury.pubkey, *wallets])
        plan = plan_funding(
            _spendable(treasury.pubkey, source),
            [
                Funding(wallet=wallet, lamports=account.lamports if account is not None else _NOTHING)
                for wallet, account in zip(wallets, found, strict=True)
            ],
            level_lamports=level_lamports,
            terms=await self._terms(),
        )
        return plan if isinstance(plan, Refusal) else await self._carry_out(treasury, plan)

    async def sweep(
        self,
        wallet: MessageSigner,
        to: Pubkey,
        *,
        allowed: AbstractSet[Pubkey],
        keep_lamports: Lamports = _NOTHING,
    ) -> Moves | Refusal:
        """Move what `wallet` holds to an allowed address. *Does I/O.* *Cancellation: leaves an unknown send.*

        Args:
            wallet: Whose. Not one with open positions: its sells need SOL for their fees.
            to: Where to.
            allowed: The addresses that may be swept to; another one is refused before anything is read or signed.
            keep_lamports: What stays: nothing, or at least the rent of an empty account.

        Returns:
            What was done; or why nothing was signed.
        """
        if to not in allowed:
            return Refusal(reason="not_allowed", detail=f"{to} is not on the list of addresses that may be swept to")
        source, there = await self._accounts([wallet.pubkey, to])
        plan = plan_sweep(
            _spendable(wallet.pubkey, source),
            to,
            there,
            allowed=allowed,
            keep_lamports=keep_lamports,
            terms=await self._terms(),
        )
        return plan if isinstance(plan, Refusal) else await self._carry_out(wallet, (plan,))

    async def reclaim(
        self, wallet: MessageSigner, candidates: Sequence[Pubkey], *, in_use: AbstractSet[Pubkey] = _NONE_IN_USE
    ) -> Moves | Refusal:
        """Close those of `candidates` that are empty token accounts of `wallet`. *Does I/O.*

        *Cancellation: leaves an unknown send.*

        Args:
            wallet: Whose; the rent goes back to it.
            candidates: Token accounts that may be there, see `associated_candidates`.
            in_use: Mints and accounts that are traded just now.

        Returns:
            What was done and which accounts were left, with the reason; or why nothing was signed.
        """
        keys = list(dict.fromkeys(candidates))
        source, *accounts = await self._accounts([wallet.pubkey, *keys])
        plan = plan_reclaim(
            _spendable(wallet.pubkey, source),
            zip(keys, accounts, strict=True),
            in_use=in_use,
            terms=await self._terms(),
        )
        if isinstance(plan, Refusal):
            return plan
        done = await self._carry_out(wallet, plan.transactions)
        return Moves(moves=done.moves, unsent=done.unsent, kept=plan.kept)

    async def _carry_out(self, signer: MessageSigner, plan: Sequence[Planned]) -> Moves:
        moves: list[Move] = []
        for number, planned in enumerate(plan):
            assert planned.payer == signer.pubkey
            signed = await sign_with(signer, planned.instructions, await self._blockhashes.wait_current())
            if self._on_signed is not None:
                await self._on_signed(planned, signed)
            outcome = await self._desk.execute(signed)
            moves.append(Move(planned=planned, signature=signed.signature, outcome=outcome))
            if not moves[-1].has_landed:
                return Moves(moves=tuple(moves), unsent=tuple(plan[number + 1 :]))
        return Moves(moves=tuple(moves))

    async def _terms(self) -> MoveTerms:
        return MoveTerms(empty_account_lamports=await self._chain.get_minimum_balance(0), price=self._price)

    async def _accounts(self, keys: Sequence[Pubkey]) -> list[AccountInfo | None]:
        found: list[AccountInfo | None] = []
        for first in range(0, len(keys), _MAX_READ):
            found += await self._chain.get_multiple_accounts(keys[first : first + _MAX_READ], _READ)
        return found


def associated_candidates(owner: Pubkey, mints: Sequence[Pubkey]) -> list[Pubkey]:
    """Return where `owner` may hold each of `mints`: under SPL Token and under Token-2022. *Pure.*"""
    programs = (TOKEN_PROGRAM, TOKEN_2022_PROGRAM)
    return [associated_token_address(owner, mint, program) for mint in mints for program in programs]


def _spendable(key: Pubkey, account: AccountInfo | None) -> Funding:
    # What is no wallet although it is at a wallet's address (a nonce account) is not moved by a transfer: nothing.
    is_wallet = account is not None and account.owner == SYSTEM_PROGRAM and not account.data
    return Funding(wallet=key, lamports=account.lamports if account is not None and is_wallet else _NOTHING)
