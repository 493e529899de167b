"""What became of a transaction that was handed to the chain: one record for each outcome."""

from typing import TypeAlias

from msgspec import Struct
from solders.account import Account
from solders.pubkey import Pubkey
from solders.signature import Signature

from slotzero.localnet.execution import AccountKeys
from slotzero.localnet.history import TokenBalance, TransactionRecord
from slotzero.solana.svm import Execution, TransactionErr

__all__ = ["BundleFailed", "BundleLanded", "Dropped", "Executed", "Landed", "Refused", "Simulation", "Submission"]


class Landed(Struct, frozen=True, kw_only=True):
    """The transaction was executed and is in the open slot; `record.err` tells whether it failed there."""

    record: TransactionRecord


class Executed(Struct, frozen=True, kw_only=True):
    """The transaction was executed and will be in the open slot, whether it failed there or not."""

    signature: Signature


class Refused(Struct, frozen=True, kw_only=True):
    """The preflight failed; the chain is what it was.

    Attributes:
        execution: None when it was refused before it ran (blockhash, duplicate).
    """

    signature: Signature
    err: TransactionErr
    execution: Execution | None


class Dropped(Struct, frozen=True, kw_only=True):
    """The transaction cannot land, and a sender that skipped the preflight is not told."""

    signature: Signature
    err: TransactionErr


Submission: TypeAlias = Landed | Refused | Dropped


class BundleLanded(Struct, frozen=True, kw_only=True):
    """Every transaction of the bundle succeeded; they follow one another in the open slot."""

    records: tuple[TransactionRecord, ...]


class BundleFailed(Struct, frozen=True, kw_only=True):
    """The chain is what it was before the bundle.

    Attributes:
        index: The transaction that failed or was not admitted; None when all succeeded and were taken back.
        err: Why it did.
    """

    index: int | None
    err: TransactionErr | None


class Simulation(Struct, frozen=True, kw_only=True):
    """What a simulated transaction would do.

    Attributes:
        execution: None when it was refused before it ran.
        pre_balances: By account, in the order of `keys.keys`; `post_balances` likewise.
        accounts: The writable accounts as it left them; empty when it failed.
    """

    err: TransactionErr | None
    execution: Execution | None
    keys: AccountKeys
    pre_balances: tuple[int, ...]
    post_balances: tuple[int, ...]
    pre_token_balances: tuple[TokenBalance, ...]
    post_token_balances: tuple[TokenBalance, ...]
    accounts: dict[Pubkey, Account]
