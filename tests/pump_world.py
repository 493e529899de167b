"""A VM with the genesis accounts, for tests of the pump program: accounts placed from outside, trades, what they left.

Signature checks are off: the program is tested, and transactions of strangers are among what it is tested with.
"""

import base64
import struct
from collections.abc import Sequence

from msgspec import Struct
from solders.account import Account
from solders.instruction import AccountMeta, Instruction
from solders.message import MessageV0, MessageV1
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import TransactionMetadata

from slotzero.localnet import genesis
from slotzero.solana.addresses import SYSTEM_PROGRAM, TOKEN_2022_PROGRAM, associated_token_address
from slotzero.solana.svm import Execution, Svm
from slotzero.units import Slot
from slotzero.venues.pumpfun import (
    PUMP_PROGRAM,
    CompleteEvent,
    CreateEvent,
    Curve,
    TradeEvent,
    curve_address,
    decode_curve,
    decode_event,
)
from slotzero.venues.pumpfun.accounts import CURVE_DISCRIMINATOR
from slotzero.venues.records import Reserves

EVENT_TAG = bytes.fromhex("e445a52e51cb9a1d")
UNIX_TIMESTAMP = 1_791_251_707
SUPPLY = 10**15
LAUNCH = Reserves(
    virtual_token=1_073_000_000_000_000, virtual_quote=30_000_000_000, real_token=793_100_000_000_000, real_quote=0
)

Event = CreateEvent | TradeEvent | CompleteEvent


def key(number: int) -> Pubkey:
    """A key of nobody's, told apart by its number."""
    return Pubkey.from_bytes(number.to_bytes(32, "big"))


class Coin(Struct, frozen=True, kw_only=True):
    """A coin to place from outside, in any state, of any kind mainnet has had."""

    mint: Pubkey
    creator: Pubkey
    reserves: Reserves = LAUNCH
    token_program: Pubkey = TOKEN_2022_PROGRAM
    is_complete: bool = False
    is_mayhem: bool = False
    is_cashback: bool = False
    quote_mint: Pubkey | None = None
    creator_fee_bps: int = 0
    size: int = 141

    @property
    def curve(self) -> Pubkey:
        return curve_address(self.mint)

    @property
    def curve_tokens(self) -> Pubkey:
        return associated_token_address(self.curve, self.mint, self.token_program)

    def tokens_of(self, owner: Pubkey) -> Pubkey:
        return associated_token_address(owner, self.mint, self.token_program)


def curve_data(coin: Coin) -> bytes:
    """The curve account of `coin`."""
    reserves = coin.reserves
    return struct.pack(
        "<8s5Q?32s??32sQ??",
        CURVE_DISCRIMINATOR,
        reserves.virtual_token,
        reserves.virtual_quote,
        reserves.real_token,
        reserves.real_quote,
        SUPPLY,
        coin.is_complete,
        bytes(coin.creator),
        coin.is_mayhem,
        coin.is_cashback,
        bytes(coin.quote_mint) if coin.quote_mint else bytes(32),
        coin.creator_fee_bps,
        False,  # noqa: FBT003 - a layout's field
        False,  # noqa: FBT003 - a layout's field
    ).ljust(coin.size, b"\0")


def token_account_data(mint: Pubkey, owner: Pubkey, amount: int) -> bytes:
    """A token account in use."""
    return (bytes(mint) + bytes(owner) + amount.to_bytes(8, "little") + bytes(36) + b"\1").ljust(165, b"\0")


def mint_data(supply: int) -> bytes:
    """A mint of six decimals without any authority."""
    return struct.pack("<I32sQBBI32s", 0, b"", supply, 6, 1, 0, b"")


class World:
    """A VM to trade in."""

    def __init__(self, seed: int = 1) -> None:
        self.svm = Svm()
        self.svm._svm.with_sigverify(sigverify=False)
        self.svm.set_clock(Slot(1), UNIX_TIMESTAMP, UNIX_TIMESTAMP)
        self.genesis = genesis.install(self.svm, seed)

    def put(self, address: Pubkey, data: bytes, owner: Pubkey, *, more_lamports: int = 0) -> None:
        self.svm.set_account(address, Account(self.svm.rent_exempt_minimum(len(data)) + more_lamports, data, owner))

    def fund(self, wallet: Pubkey, lamports: int) -> None:
        self.svm.set_account(wallet, Account(lamports, b"", SYSTEM_PROGRAM))

    def place(self, coin: Coin, holdings: dict[Pubkey, int] | None = None) -> None:
        """Write the accounts of `coin` and of those who hold it; the curve has what its real reserves say."""
        held = holdings or {}
        self.put(coin.mint, mint_data(SUPPLY), coin.token_program)
        self.put(coin.curve, curve_data(coin), PUMP_PROGRAM, more_lamports=coin.reserves.real_quote)
        amounts = {coin.curve: SUPPLY - sum(held.values()), **held}
        for owner, amount in amounts.items():
            self.put(coin.tokens_of(owner), token_account_data(coin.mint, owner, amount), coin.token_program)

    def lamports(self, address: Pubkey) -> int:
        account = self.svm.get_account(address)
        return account.lamports if account else 0

    def data(self, address: Pubkey) -> bytes:
        account = self.svm.get_account(address)
        assert account is not None, f"there is no account {address}"
        return account.data

    def tokens(self, token_account: Pubkey) -> int:
        return int.from_bytes(self.data(token_account)[64:72], "little")

    def curve(self, mint: Pubkey) -> Curve:
        return decode_curve(self.data(curve_address(mint)))

    def _transaction(self, payer: Pubkey, instructions: Sequence[Instruction], version: int) -> VersionedTransaction:
        blockhash = self.svm._svm.latest_blockhash()
        message = (
            MessageV1.try_compile(payer, list(instructions), blockhash)
            if version == 1
            else MessageV0.try_compile(payer, list(instructions), [], blockhash)
        )
        return VersionedTransaction.populate(message, [Signature.default()] * message.header.num_required_signatures)

    def run(self, payer: Pubkey, *instructions: Instruction, version: int = 0) -> Execution:
        """Run a transaction; it must succeed."""
        execution = self.svm.execute(self._transaction(payer, instructions, version))
        assert execution.err is None, f"{execution.err}\n" + "\n".join(execution.logs())
        return execution

    def attempt(self, payer: Pubkey, *instructions: Instruction) -> object:
        """Simulate a transaction: None when it succeeds, the custom error's number, or the error itself."""
        err = self.svm.simulate(self._transaction(payer, instructions, 0)).err
        match err:
            case {"InstructionError": [_, {"Custom": int(code)}]}:
                return code
            case _:
                return err


def events_in_calls(metadata: TransactionMetadata) -> list[bytes]:
    """The events told by self-CPI, without the tag."""
    calls = (bytes(inner.instruction().data) for group in metadata.inner_instructions() for inner in group)
    return [data[8:] for data in calls if data.startswith(EVENT_TAG)]


def events_in_logs(logs: Sequence[str]) -> list[bytes]:
    """The events told by `Program data:` lines."""
    return [base64.b64decode(line.removeprefix("Program data: ")) for line in logs if line.startswith("Program data: ")]


def events(execution: Execution) -> list[Event]:
    """The events of a transaction, which must be told twice with the same bytes."""
    told = events_in_calls(execution.metadata)
    assert events_in_logs(execution.logs()) == told
    decoded = [decode_event(payload) for payload in told]
    assert None not in decoded
    return [event for event in decoded if event is not None]


def swapped(instruction: Instruction, index: int, other: Pubkey) -> Instruction:
    """The instruction with one account exchanged, its flags kept."""
    metas = list(instruction.accounts)
    metas[index] = AccountMeta(other, is_signer=metas[index].is_signer, is_writable=metas[index].is_writable)
    return Instruction(instruction.program_id, instruction.data, metas)


def shortened(instruction: Instruction, count: int) -> Instruction:
    """The instruction with its first `count` accounts only."""
    return Instruction(instruction.program_id, instruction.data, instruction.accounts[:count])
