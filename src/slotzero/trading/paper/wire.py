"""What a paper node says, in the form a real one says it. *Pure.*"""

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from typing import Final

import msgspec
from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.solana.rpc import AccountInfo
from slotzero.trading.paper.report import PaperFill
from slotzero.units import Lamports, Slot

__all__ = ["account_frame", "account_json", "read_account_frame", "signature_frame", "transaction_json", "with_context"]


class _Account(Struct):
    lamports: int
    owner: str
    data: tuple[str, str]
    executable: bool = False


class _Context(Struct):
    slot: int


class _Result(Struct):
    context: _Context
    value: _Account


class _Params(Struct):
    result: _Result


class _Notification(Struct):
    params: _Params


_decode: Final = msgspec.json.Decoder(_Notification).decode
_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, Base64Error, ValueError)
_GONE: Final[dict[str, object]] = {
    "lamports": 0,
    "owner": "11111111111111111111111111111111",
    "data": ["", "base64"],
    "executable": False,
    "rentEpoch": 0,
    "space": 0,
}


def with_context(slot: Slot, value: object) -> dict[str, object]:
    """Return a result with the slot it is true for."""
    return {"context": {"slot": slot}, "value": value}


def account_json(account: AccountInfo | None) -> dict[str, object] | None:
    """Return an account as getMultipleAccounts gives it."""
    if account is None:
        return None
    return {
        "lamports": account.lamports,
        "owner": str(account.owner),
        "data": [b64encode(account.data).decode(), "base64"],
        "executable": account.executable,
        "rentEpoch": 0,
        "space": len(account.data),
    }


def transaction_json(fill: PaperFill) -> dict[str, object]:
    """Return a landed transaction as getTransaction gives it, as far as its payer is concerned."""
    meta = {
        "fee": fill.fee,
        "preBalances": [fill.before],
        "postBalances": [fill.after],
        "postTokenBalances": [
            {"mint": row.mint, "owner": row.owner, "uiTokenAmount": {"amount": str(row.amount)}}
            for row in fill.token_balances
        ],
        "err": fill.err,
        "computeUnitsConsumed": fill.units or None,  # a quote knows none, and nothing must be learned from it
    }
    return {"slot": fill.slot, "meta": meta}


def account_frame(account: AccountInfo | None, slot: Slot) -> bytes:
    """Return an account's notification."""
    return _frame("accountNotification", with_context(slot, account_json(account) or _GONE))


def signature_frame(slot: Slot, err: object) -> bytes:
    """Return a signature's notification."""
    return _frame("signatureNotification", with_context(slot, {"err": err}))


def _frame(method: str, result: object) -> bytes:
    return msgspec.json.encode({"jsonrpc": "2.0", "method": method, "params": {"result": result, "subscription": 0}})


def read_account_frame(frame: bytes) -> tuple[AccountInfo | None, Slot] | None:
    """Return what an account's notification says, or None when it cannot be read."""
    try:
        result = _decode(frame).params.result
        value = result.value
        if value.lamports == 0:
            return None, Slot(result.context.slot)
        account = AccountInfo(
            lamports=Lamports(value.lamports),
            owner=Pubkey.from_string(value.owner),
            data=b64decode(value.data[0], validate=True),
            executable=value.executable,
        )
    except _UNREADABLE:
        return None
    return account, Slot(result.context.slot)
