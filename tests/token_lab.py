"""Mints of every kind, made by the real Token-2022 program in a VM, and a market to trade them in. For tests."""

import json
import struct
from collections.abc import Sequence

from msgspec import Struct
from solders.account import Account
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.litesvm import LiteSVM
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import CreateAccountParams, TransferParams, create_account, transfer
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import FailedTransactionMetadata

from slotzero.safety import AccountView, RoundTripProbe
from slotzero.solana.addresses import (
    ATA_PROGRAM,
    SYSTEM_PROGRAM,
    TOKEN_2022_PROGRAM,
    TOKEN_PROGRAM,
    associated_token_address,
)
from slotzero.units import LAMPORTS_PER_SOL, Lamports, MonoNs, Slot, TokenAmount
from slotzero.venues.records import NewPool, Reserves

SUPPLY = 10**15
TOKENS = 10**12
PRICE = 50_000_000

ZERO = bytes(32)


class Recipe(Struct, frozen=True):
    """One extension: its length in the mint, and the data of the instruction that initializes it."""

    length: int
    data: bytes


def key(number: int) -> Pubkey:
    """Return the same address for the same number, none that means anything on chain."""
    return Pubkey.from_bytes(bytes([200]) + number.to_bytes(30, "big") + bytes([7]))


ROBBER = key(666)


def transfer_fee(bps: int, authority: Pubkey | None = ROBBER) -> Recipe:
    option = b"\0" if authority is None else b"\1" + bytes(authority)
    return Recipe(108, bytes([26, 0]) + option * 2 + struct.pack("<HQ", bps, 2**64 - 1))


def metadata_pointer(address: Pubkey, authority: Pubkey | None = None) -> Recipe:
    return Recipe(64, bytes([39, 0]) + (bytes(authority) if authority else ZERO) + bytes(address))


def transfer_hook(authority: Pubkey | None, program: Pubkey | None) -> Recipe:
    return Recipe(64, bytes([36, 0]) + bytes(authority or ZERO) + bytes(program or ZERO))


CLOSE_AUTHORITY = Recipe(32, bytes([25, 1]) + bytes(ROBBER))
CONFIDENTIAL = Recipe(65, bytes([27, 0]) + bytes(ROBBER) + b"\1" + ZERO)
DEFAULT_FROZEN = Recipe(1, bytes([28, 0, 2]))
DEFAULT_OPEN = Recipe(1, bytes([28, 0, 1]))
NON_TRANSFERABLE = Recipe(0, bytes([32]))
INTEREST = Recipe(52, bytes([33, 0]) + bytes(ROBBER) + struct.pack("<h", 500))
PERMANENT_DELEGATE = Recipe(32, bytes([35]) + bytes(ROBBER))
GROUP_POINTER = Recipe(64, bytes([40, 0]) + bytes(ROBBER) + bytes(ROBBER))
SCALED_UI = Recipe(56, bytes([43, 0]) + bytes(ROBBER) + struct.pack("<d", 3.0))
PAUSABLE = Recipe(33, bytes([44, 0]) + bytes(ROBBER))
PERMISSIONED_BURN = Recipe(32, bytes([46, 0]) + bytes(ROBBER))


def _ix(data: bytes, *accounts: tuple[Pubkey, str], program: Pubkey = TOKEN_2022_PROGRAM) -> Instruction:
    """Build an instruction; `w` = writable, `s` = signer."""
    return Instruction(program, data, [AccountMeta(at, "s" in flags, "w" in flags) for at, flags in accounts])


def _text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<I", len(raw)) + raw


def unsigned(payer: Pubkey, instructions: Sequence[Instruction]) -> VersionedTransaction:
    message = MessageV0.try_compile(payer, list(instructions), [], Hash.default())
    count = message.header.num_required_signatures
    return VersionedTransaction.populate(message, [Signature.default()] * count)


class Simulated(Struct, frozen=True, kw_only=True):
    """A `SimulationView`."""

    err: object
    logs: tuple[str, ...]
    units: int
    accounts: tuple[AccountView | None, ...]


class LabReader:
    """A `ChainReader` over the lab's VM, which counts its calls."""

    def __init__(self, svm: LiteSVM) -> None:
        self._svm = svm
        self.reads = 0
        self.simulations = 0

    async def accounts(self, keys: Sequence[Pubkey]) -> Sequence[AccountView | None]:
        self.reads += 1
        return [self._svm.get_account(at) for at in keys]

    async def simulate(self, raw: bytes, watch: Sequence[Pubkey]) -> Simulated:
        self.simulations += 1
        result = self._svm.simulate_transaction(VersionedTransaction.from_bytes(raw))
        if isinstance(result, FailedTransactionMetadata):
            err, meta = json.loads(result.to_json())["err"], result.meta()
            return Simulated(
                err=err, logs=tuple(meta.logs()), units=0, accounts=tuple(self._svm.get_account(at) for at in watch)
            )
        after: dict[Pubkey, Account] = dict(result.post_accounts())
        return Simulated(
            err=None,
            logs=tuple(result.meta().logs()),
            units=result.meta().compute_units_consumed(),
            accounts=tuple(after.get(at) or self._svm.get_account(at) for at in watch),
        )


class TokenLab:
    """One VM; everybody's signature is taken for granted."""

    def __init__(self) -> None:
        self.svm = LiteSVM().with_sigverify(False).with_blockhash_check(False).with_transaction_history(0)  # noqa: FBT003
        self.payer = key(1)
        self.market = key(2)
        for who in (self.payer, self.market, ROBBER):
            self.svm.set_account(who, Account(100 * LAMPORTS_PER_SOL, b"", SYSTEM_PROGRAM))
        self._made = 1000

    def try_run(self, *instructions: Instruction) -> str | None:
        """Run a transaction; return the error as text, None for success."""
        result = self.svm.send_transaction(unsigned(self.payer, instructions))
        if isinstance(result, FailedTransactionMetadata):
            return f"{result.to_json()} {result.meta().logs()}"
        return None

    def run(self, *instructions: Instruction) -> None:
        error = self.try_run(*instructions)
        assert error is None, error

    def data(self, at: Pubkey) -> bytes:
        account = self.svm.get_account(at)
        assert account is not None
        return account.data

    def rewrite(self, at: Pubkey, data: bytes) -> None:
        """Exchange an account's bytes and give it the rent of the new length."""
        account = self.svm.get_account(at)
        assert account is not None
        lamports = max(account.lamports, self.svm.minimum_balance_for_rent_exemption(len(data)))
        self.svm.set_account(at, Account(lamports, data, account.owner))

    def new_key(self) -> Pubkey:
        self._made += 1
        return key(self._made)

    # ---- mints -----------------------------------------------------------------------------------------------------

    def mint(
        self,
        *recipes: Recipe,
        freeze_authority: Pubkey | None = None,
        program: Pubkey = TOKEN_2022_PROGRAM,
        at: Pubkey | None = None,
        names: tuple[str, str, str] | None = None,
        metadata_authority: Pubkey | None = None,
        keep_mint_authority: bool = False,
    ) -> Pubkey:
        """Make a mint by instructions, give the market its whole supply, and give up the mint authority."""
        at = at or self.new_key()
        if names is not None:
            recipes = (metadata_pointer(at), *recipes)
        space = 166 + sum(4 + recipe.length for recipe in recipes) if recipes else 82
        space += 2 if space == 355 else 0
        rent = self.svm.minimum_balance_for_rent_exemption(space + 600)
        freeze = b"\0" if freeze_authority is None else b"\1" + bytes(freeze_authority)
        self.run(
            create_account(
                CreateAccountParams(from_pubkey=self.payer, to_pubkey=at, lamports=rent, space=space, owner=program)
            ),
            *(_ix(recipe.data, (at, "w"), program=program) for recipe in recipes),
            _ix(bytes([20, 6]) + bytes(self.payer) + freeze, (at, "w"), program=program),
        )
        if names is not None:
            self._name(at, names, metadata_authority)
        vault = self.open_account(self.market, at, program=program)
        if DEFAULT_FROZEN in recipes and freeze_authority is not None:
            self.run(_ix(bytes([11]), (vault, "w"), (at, ""), (freeze_authority, "s"), program=program))
        self.run(
            _ix(bytes([7]) + struct.pack("<Q", SUPPLY), (at, "w"), (vault, "w"), (self.payer, "s"), program=program)
        )
        if not keep_mint_authority:
            self.run(_ix(bytes([6, 0, 0]), (at, "w"), (self.payer, "s"), program=program))
        return at

    def _name(self, mint: Pubkey, names: tuple[str, str, str], authority: Pubkey | None) -> None:
        fields = b"".join(_text(name) for name in names)
        self.run(
            _ix(
                bytes.fromhex("d2e11ea258b84d8d") + fields,
                (mint, "w"),
                (self.payer, ""),
                (mint, ""),
                (self.payer, "s"),
            ),
            _ix(bytes.fromhex("d7e4a6e45464567b") + bytes(authority or ZERO), (mint, "w"), (self.payer, "s")),
        )

    # ---- token accounts --------------------------------------------------------------------------------------------

    def opening(self, owner: Pubkey, mint: Pubkey, *, program: Pubkey = TOKEN_2022_PROGRAM) -> Instruction:
        """Return the instruction that opens the associated token account if there is none; the owner pays."""
        at = associated_token_address(owner, mint, program)
        accounts = ((owner, "ws"), (at, "w"), (owner, ""), (mint, ""), (SYSTEM_PROGRAM, ""), (program, ""))
        return _ix(b"\1", *accounts, program=ATA_PROGRAM)

    def open_account(self, owner: Pubkey, mint: Pubkey, *, program: Pubkey = TOKEN_2022_PROGRAM) -> Pubkey:
        if self.svm.get_account(owner) is None:
            self.svm.set_account(owner, Account(LAMPORTS_PER_SOL, b"", SYSTEM_PROGRAM))
        self.run(self.opening(owner, mint, program=program))
        return associated_token_address(owner, mint, program)

    def moving(
        self, mint: Pubkey, giver: Pubkey, taker: Pubkey, amount: int, *, program: Pubkey = TOKEN_2022_PROGRAM
    ) -> Instruction:
        """Return a TransferChecked between two owners' associated token accounts."""
        source, target = (associated_token_address(owner, mint, program) for owner in (giver, taker))
        data = bytes([12]) + struct.pack("<QB", amount, 6)
        return _ix(data, (source, "w"), (mint, ""), (target, "w"), (giver, "s"), program=program)

    def freezing(self, mint: Pubkey, owner: Pubkey, authority: Pubkey) -> Instruction:
        account = associated_token_address(owner, mint, TOKEN_2022_PROGRAM)
        return _ix(bytes([10]), (account, "w"), (mint, ""), (authority, "s"))

    # ---- a market that gives tokens for lamports -------------------------------------------------------------------

    def pool(self, mint: Pubkey, *, venue: str = "pumpfun", program: Pubkey = TOKEN_2022_PROGRAM) -> NewPool:
        return new_pool(mint, venue=venue, program=program, pool=self.market)

    def probe(
        self, mint: Pubkey, *, back: int = PRICE * 98 // 100, program: Pubkey = TOKEN_2022_PROGRAM, sold: int = TOKENS
    ) -> RoundTripProbe:
        """Return a probe by a fresh trader: a buy of TOKENS for PRICE, a sell of `sold` for `back` lamports.

        A leg of a real venue is one instruction; here the lamports move in the one after the tokens.
        """
        trader, funding = self.new_key(), LAMPORTS_PER_SOL

        def pay(giver: Pubkey, taker: Pubkey, lamports: int) -> Instruction:
            return transfer(TransferParams(from_pubkey=giver, to_pubkey=taker, lamports=lamports))

        instructions = [
            pay(self.payer, trader, funding),
            self.opening(trader, mint, program=program),
            self.moving(mint, self.market, trader, TOKENS, program=program),
            self.moving(mint, trader, self.market, sold, program=program),
            pay(trader, self.market, PRICE),
            pay(self.market, trader, back),
        ]
        return RoundTripProbe(
            raw=bytes(unsigned(self.payer, instructions)),
            trader=trader,
            trader_lamports=Lamports(funding),
            token_account=associated_token_address(trader, mint, program),
            tokens=TokenAmount(TOKENS),
            quoted_total=Lamports(PRICE),
            buy_index=2,
            sell_index=3,
        )


def new_pool(
    mint: Pubkey, *, venue: str = "pumpfun", program: Pubkey = TOKEN_2022_PROGRAM, pool: Pubkey | None = None
) -> NewPool:
    assert program in (TOKEN_PROGRAM, TOKEN_2022_PROGRAM)
    return NewPool(
        venue=venue,
        mint=mint,
        pool=pool or key(2),
        creator=key(3),
        user=key(3),
        name="Lab",
        symbol="LAB",
        uri="",
        token_program=program,
        quote_mint=None,
        reserves=Reserves(virtual_token=SUPPLY, virtual_quote=30 * LAMPORTS_PER_SOL, real_token=SUPPLY, real_quote=0),
        token_supply=TokenAmount(SUPPLY),
        creator_bought=TokenAmount(0),
        creator_fee_bps=0,
        is_mayhem=False,
        is_cashback=False,
        is_holder_reward=False,
        signature="",
        slot=Slot(1),
        mono_cause=None,
        mono_frame=MonoNs(0),
        starts_at="frame",
    )
