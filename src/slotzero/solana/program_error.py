"""A transaction's error as JSON, in words."""

from typing import Final

import msgspec

__all__ = ["custom_code", "describe"]

_TOKEN_ERRORS: Final = {
    0: "NotRentExempt",
    1: "InsufficientFunds",
    2: "InvalidMint",
    3: "MintMismatch",
    4: "OwnerMismatch",
    5: "FixedSupply",
    11: "NonNativeHasBalance",
    14: "Overflow",
    15: "AuthorityTypeNotSupported",
    17: "AccountFrozen",
    18: "MintDecimalsMismatch",
    37: "NonTransferable",
    67: "MintPaused",
}
"""Custom codes of the token programs that a trade can end in (spl-token-2022 error.rs)."""


def custom_code(err: object) -> int | None:
    """Return the program's own error code out of `{"InstructionError": [i, {"Custom": code}]}`, or None. *Pure.*"""
    match err:
        case {"InstructionError": [_, {"Custom": int(code)}]}:
            return code
        case _:
            return None


def describe(err: object) -> str:
    """Return an error in words: a token program's name for a code, else the error itself. *Pure.*"""
    code = custom_code(err)
    if code in _TOKEN_ERRORS:
        return _TOKEN_ERRORS[code]
    return err if isinstance(err, str) else msgspec.json.encode(err).decode()
