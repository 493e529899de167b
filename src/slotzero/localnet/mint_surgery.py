"""Rewrite the bytes of mints and token accounts, so that the embedded chain can hold traps of real authority.

A coin made by an honest launchpad cannot become a trap by instructions: its authorities are gone and Token-2022 adds
most extensions before a mint is initialized only. The launcher therefore rewrites the account itself, and from then
on the real token program enforces what stands there. *Pure*: bytes in, bytes out. Whoever writes them into the chain
must give the account the rent of its new length.
"""

import struct
from typing import Final

from solders.pubkey import Pubkey

from slotzero.solana.addresses import TOKEN_2022_PROGRAM
from slotzero.solana.token import (
    ACCOUNT_LENGTH,
    MINT_LENGTH,
    MULTISIG_LENGTH,
    AccountKind,
    TransferFeeAmount,
    TransferFeeConfig,
    extensions_end,
    parse_mint,
    parse_token_account,
)
from slotzero.units import BPS, U64_MAX

__all__ = ["account_with_transfer_fee_amount", "mint_with_freeze_authority", "mint_with_transfer_fee"]

_FREEZE_AT: Final = 46
_SOME: Final = struct.Struct("<I32s")
_HEADER: Final = struct.Struct("<HH")
_CONFIG: Final = struct.Struct("<32s32sQQQHQQH")
_WITHHELD: Final = struct.Struct("<Q")


def mint_with_freeze_authority(data: bytes, owner: Pubkey, authority: Pubkey) -> bytes:
    """Return a mint whose `authority` may freeze any holder. *Pure.*

    Args:
        data: The mint's bytes, of either token program.
        owner: The token program.
        authority: Who may freeze from now on; replaces any other.

    Raises:
        MalformedError: `data` is not a mint.
    """
    parse_mint(data, owner)
    return data[:_FREEZE_AT] + _SOME.pack(1, bytes(authority)) + data[_FREEZE_AT + _SOME.size :]


def mint_with_transfer_fee(
    data: bytes, authority: Pubkey, *, transfer_fee_bps: int, maximum_fee: int = U64_MAX
) -> bytes:
    """Return a Token-2022 mint that withholds a fee on every transfer, now and in every later epoch. *Pure.*

    Token accounts made before the rewrite cannot receive such a token until
    `account_with_transfer_fee_amount` has been applied to them; those made later have it from birth.

    Args:
        data: The mint's bytes; it must not have a transfer fee yet.
        authority: Who may change the fee and collect what was withheld.
        transfer_fee_bps: 0 to 10,000.
        maximum_fee: The most one transfer withholds, in the token's smallest unit.

    Raises:
        MalformedError: `data` is not a mint of Token-2022.
        ValueError: The fee is out of range, or the mint has one.
    """
    if not 0 <= transfer_fee_bps <= BPS:
        raise ValueError(f"a transfer fee must be 0 to {BPS} basis points, it was {transfer_fee_bps}")
    if parse_mint(data, TOKEN_2022_PROGRAM).extension(TransferFeeConfig) is not None:
        raise ValueError("the mint must not have a transfer fee yet, it had one")
    fee = (0, maximum_fee, transfer_fee_bps)
    value = _CONFIG.pack(bytes(authority), bytes(authority), 0, *fee, *fee)
    return _with_extension(data, MINT_LENGTH, AccountKind.MINT, TransferFeeConfig.kind, value)


def account_with_transfer_fee_amount(data: bytes) -> bytes:
    """Return a Token-2022 token account that can receive a token with a transfer fee. *Pure.*

    An account that can do so already is returned as it is.

    Raises:
        MalformedError: `data` is not a token account of Token-2022.
    """
    if parse_token_account(data, TOKEN_2022_PROGRAM).extension(TransferFeeAmount) is not None:
        return data
    return _with_extension(data, ACCOUNT_LENGTH, AccountKind.ACCOUNT, TransferFeeAmount.kind, _WITHHELD.pack(0))


def _with_extension(data: bytes, base: int, kind: AccountKind, number: int, value: bytes) -> bytes:
    """Append an extension behind the last one, in the lengths the token program itself would have chosen."""
    if len(data) == base:
        data = data.ljust(ACCOUNT_LENGTH, b"\0") + bytes([kind])
    written = data[: extensions_end(data)] + _HEADER.pack(number, len(value)) + value
    # The program never makes an account as long as a multisig: it adds room for one type more, left at 0.
    return written + bytes(2) if len(written) == MULTISIG_LENGTH else written
