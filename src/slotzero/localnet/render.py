"""JSON shapes of the RPC: accounts, balances, transactions, errors. *Pure*, but for reading mints' decimals."""

import binascii
from collections.abc import Callable, Iterable
from typing import Final

from msgspec import Struct
from solders.account import Account
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import TransactionMetadata

from slotzero.localnet.execution import AccountKeys
from slotzero.localnet.history import TokenBalance, TransactionRecord
from slotzero.localnet.params import INVALID_PARAMS, AccountConfig, DataSlice, RpcFault, invalid
from slotzero.solana.base58 import base58_encode
from slotzero.solana.svm import TransactionErr

__all__ = [
    "account_json",
    "base64_text",
    "err_sentence",
    "inner_instructions_json",
    "loaded_addresses_json",
    "return_data_json",
    "status_json",
    "token_balances_json",
    "transaction_json",
    "ui_amount_json",
]

MAX_BASE58_ACCOUNT_BYTES: Final = 128
_DECIMALS_OFFSET: Final = 44

_EMPTY_ACCOUNT: Final = Account(0, b"", Pubkey.default())

ReadAccount = Callable[[Pubkey], Account | None]

# The sentences of Agave's TransactionError and InstructionError that a sender meets; others are spelled from their
# names.
_TRANSACTION_ERRORS: Final = {
    "AccountNotFound": "Attempt to debit an account but found no record of a prior credit.",
    "AlreadyProcessed": "This transaction has already been processed",
    "BlockhashNotFound": "Blockhash not found",
    "InsufficientFundsForFee": "Insufficient funds for fee",
    "InvalidAccountForFee": "This account may not be used to pay transaction fees",
    "InvalidProgramForExecution": "This program may not be used for executing instructions",
    "ProgramAccountNotFound": "Attempt to load a program that does not exist",
    "SignatureFailure": "Transaction did not pass signature verification",
}
_INSTRUCTION_ERRORS: Final = {
    "InsufficientFunds": "insufficient funds for instruction",
    "InvalidAccountData": "invalid account data for instruction",
    "InvalidInstructionData": "invalid instruction data",
    "IncorrectProgramId": "incorrect program id for instruction",
    "MissingRequiredSignature": "missing required signature for instruction",
    "ProgramFailedToComplete": "Program failed to complete",
    "ComputationalBudgetExceeded": "Computational budget exceeded",
}


def base64_text(data: bytes) -> str:
    """Return `data` in base64."""
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def account_json(account: Account | None, config: AccountConfig) -> dict[str, object] | None:
    """Return an account as the RPC shows it, None for none.

    Raises:
        RpcFault: The encoding is not one we have, or base58 was asked for more than 128 bytes.
    """
    if account is None:
        return None
    data = account.data
    wanted = _sliced(data, config.data_slice)
    encoded: object
    match config.encoding:
        case None | "binary" | "base58":
            if len(wanted) > MAX_BASE58_ACCOUNT_BYTES:
                raise RpcFault(
                    INVALID_PARAMS,
                    "Encoded binary (base 58) data should be less than 128 bytes, please use Base64 encoding.",
                )
            text = base58_encode(wanted)
            encoded = [text, "base58"] if config.encoding == "base58" else text
        case "base64":
            encoded = [base64_text(wanted), "base64"]
        case other:
            raise invalid(f"the encoding {other!r} is not available here; use base64")
    return {
        "lamports": account.lamports,
        "owner": str(account.owner),
        "data": encoded,
        "executable": account.executable,
        "rentEpoch": account.rent_epoch,
        "space": len(data),
    }


def ended_account_json(config: AccountConfig) -> dict[str, object]:
    """Return what a subscriber is shown of an account that is no more."""
    shown = account_json(_EMPTY_ACCOUNT, config)
    assert shown is not None
    return shown


def ui_amount_json(amount: int, decimals: int) -> dict[str, object]:
    """Return a token amount in the RPC's four forms."""
    whole, rest = divmod(amount, 10**decimals)
    text = f"{whole}.{rest:0{decimals}d}".rstrip("0").rstrip(".") if decimals else str(whole)
    return {"amount": str(amount), "decimals": decimals, "uiAmount": float(text), "uiAmountString": text}


def decimals_of(mint: Account | None) -> int:
    """Return a mint's decimals, 0 when it is none."""
    data = b"" if mint is None else mint.data
    return data[_DECIMALS_OFFSET] if len(data) > _DECIMALS_OFFSET else 0


def token_balances_json(rows: Iterable[TokenBalance], read: ReadAccount) -> list[dict[str, object]]:
    """Return the token balances beside a transaction; `read` finds the mints, whose decimals never change."""
    return [
        {
            "accountIndex": row.account_index,
            "mint": str(row.mint),
            "owner": str(row.owner),
            "programId": str(row.token_program),
            "uiTokenAmount": ui_amount_json(row.amount, decimals_of(read(row.mint))),
        }
        for row in rows
    ]


def inner_instructions_json(metadata: TransactionMetadata) -> list[dict[str, object]]:
    """Return what the instructions called, by the index of the caller."""
    return [
        {
            "index": index,
            "instructions": [
                {
                    "programIdIndex": (instruction := inner.instruction()).program_id_index,  # each call copies
                    "accounts": list(instruction.accounts),
                    "data": base58_encode(bytes(instruction.data)),
                    "stackHeight": inner.stack_height(),
                }
                for inner in calls
            ],
        }
        for index, calls in enumerate(metadata.inner_instructions())
        if calls
    ]


def return_data_json(metadata: TransactionMetadata) -> dict[str, object] | None:
    """Return the return data, None when no program set any."""
    returned = metadata.return_data()
    if not returned.data:
        return None
    return {"programId": str(returned.program_id), "data": [base64_text(bytes(returned.data)), "base64"]}


def loaded_addresses_json(writable: Iterable[Pubkey], readonly: Iterable[Pubkey]) -> dict[str, object]:
    """Return the addresses that came from lookup tables."""
    return {"writable": [str(key) for key in writable], "readonly": [str(key) for key in readonly]}


def status_json(err: TransactionErr | None) -> dict[str, object]:
    """Return the old form of an outcome, which clients still read beside `err`."""
    return {"Ok": None} if err is None else {"Err": err}


def transaction_json(
    record: TransactionRecord, *, as_base64: bool, read: ReadAccount, shows_version: bool
) -> dict[str, object]:
    """Return an executed transaction as getTransaction shows it."""
    shown: dict[str, object] = {
        "slot": record.slot,
        "blockTime": record.unix_timestamp,
        "transaction": [base64_text(record.raw), "base64"] if as_base64 else _message_json(record.transaction()),
        "meta": {
            "err": record.err,
            "status": status_json(record.err),
            "fee": record.fee,
            "preBalances": list(record.pre_balances),
            "postBalances": list(record.post_balances),
            "innerInstructions": inner_instructions_json(record.metadata),
            "logMessages": record.metadata.logs(),
            "preTokenBalances": token_balances_json(record.pre_token_balances, read),
            "postTokenBalances": token_balances_json(record.post_token_balances, read),
            "rewards": [],
            "loadedAddresses": loaded_addresses_json(record.loaded_writable, record.loaded_readonly),
            "computeUnitsConsumed": record.units_consumed,
        },
    }
    if (returned := return_data_json(record.metadata)) is not None:
        shown["meta"]["returnData"] = returned  # type: ignore[index]  # the dict built just above
    if shows_version:
        shown["version"] = "legacy" if record.version is None else record.version
    return shown


def err_sentence(err: TransactionErr) -> str:
    """Return what Agave says about an error, as far as senders meet it."""
    if isinstance(err, str):
        return _TRANSACTION_ERRORS.get(err) or _spelled(err)
    match err:
        case {"InstructionError": [int(index), {"Custom": int(code)}]}:
            return f"Error processing Instruction {index}: custom program error: {code:#x}"
        case {"InstructionError": [int(index), str(name)]}:
            return f"Error processing Instruction {index}: {_INSTRUCTION_ERRORS.get(name) or _spelled(name)}"
        case {"InsufficientFundsForRent": {"account_index": int(index)}}:
            return f"Transaction results in an account ({index}) with insufficient funds for rent"
        case {"DuplicateInstruction": int(index)}:
            return f"Transaction contains a duplicate instruction ({index}) that is not allowed"
        case _:
            return f"{err}"


def simulated_accounts_json(
    wanted: list[Pubkey], keys: AccountKeys, accounts: dict[Pubkey, Account], read: ReadAccount, config: AccountConfig
) -> list[object]:
    """Return the accounts a simulation was asked to show, as it left them."""
    writable = {keys.keys[index] for index in keys.writable}
    return [account_json(accounts.get(key) if key in writable else read(key), config) for key in wanted]


class _Header(Struct, frozen=True, rename="camel"):
    num_required_signatures: int
    num_readonly_signed_accounts: int
    num_readonly_unsigned_accounts: int


def _message_json(transaction: VersionedTransaction) -> dict[str, object]:
    message = transaction.message
    header = message.header
    shown: dict[str, object] = {
        "header": _Header(
            header.num_required_signatures,
            header.num_readonly_signed_accounts,
            header.num_readonly_unsigned_accounts,
        ),
        "accountKeys": [str(key) for key in message.account_keys],
        "recentBlockhash": str(message.recent_blockhash),
        "instructions": [
            {
                "programIdIndex": instruction.program_id_index,
                "accounts": list(instruction.accounts),
                "data": base58_encode(bytes(instruction.data)),
                "stackHeight": 1,
            }
            for instruction in message.instructions
        ],
    }
    if isinstance(message, MessageV0):
        shown["addressTableLookups"] = [
            {
                "accountKey": str(lookup.account_key),
                "writableIndexes": list(lookup.writable_indexes),
                "readonlyIndexes": list(lookup.readonly_indexes),
            }
            for lookup in message.address_table_lookups
        ]
    return {"signatures": [str(signature) for signature in transaction.signatures], "message": shown}


def _sliced(data: bytes, part: DataSlice | None) -> bytes:
    if part is None:
        return data
    if part.offset < 0 or part.length < 0:
        raise invalid(f"a data slice cannot be negative, got offset {part.offset} and length {part.length}")
    return data[part.offset : part.offset + part.length]


def _spelled(name: str) -> str:
    """Return `InvalidArgument` as `Invalid argument`."""
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip()
    return words[:1].upper() + words[1:]
