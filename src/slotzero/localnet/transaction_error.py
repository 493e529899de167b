"""A transaction's error in bincode, as Geyser streams carry it: the place of its name in the runtime's enumerations.

Source: `TransactionError` and `InstructionError` of the Solana SDK. Their order is their wire format; new names are
added at the end. A test compares it with what the VM's own library writes.
"""

import struct
from typing import Final

from slotzero.solana.svm import TransactionErr

__all__ = ["error_bincode"]


def _places(names: str) -> dict[str, int]:
    return {name: place for place, name in enumerate(names.split())}


_TRANSACTION_ERRORS: Final = _places(
    "AccountInUse AccountLoadedTwice AccountNotFound ProgramAccountNotFound InsufficientFundsForFee "
    "InvalidAccountForFee AlreadyProcessed BlockhashNotFound InstructionError CallChainTooDeep "
    "MissingSignatureForFee InvalidAccountIndex SignatureFailure InvalidProgramForExecution SanitizeFailure "
    "ClusterMaintenance AccountBorrowOutstanding WouldExceedMaxBlockCostLimit UnsupportedVersion "
    "InvalidWritableAccount WouldExceedMaxAccountCostLimit WouldExceedAccountDataBlockLimit TooManyAccountLocks "
    "AddressLookupTableNotFound InvalidAddressLookupTableOwner InvalidAddressLookupTableData "
    "InvalidAddressLookupTableIndex InvalidRentPayingAccount WouldExceedMaxVoteCostLimit "
    "WouldExceedAccountDataTotalLimit DuplicateInstruction InsufficientFundsForRent "
    "MaxLoadedAccountsDataSizeExceeded InvalidLoadedAccountsDataSizeLimit ResanitizationNeeded "
    "ProgramExecutionTemporarilyRestricted UnbalancedTransaction ProgramCacheHitMaxLimit CommitCancelled"
)
_INSTRUCTION_ERRORS: Final = _places(
    "GenericError InvalidArgument InvalidInstructionData InvalidAccountData AccountDataTooSmall InsufficientFunds "
    "IncorrectProgramId MissingRequiredSignature AccountAlreadyInitialized UninitializedAccount UnbalancedInstruction "
    "ModifiedProgramId ExternalAccountLamportSpend ExternalAccountDataModified ReadonlyLamportChange "
    "ReadonlyDataModified DuplicateAccountIndex ExecutableModified RentEpochModified NotEnoughAccountKeys "
    "AccountDataSizeChanged AccountNotExecutable AccountBorrowFailed AccountBorrowOutstanding "
    "DuplicateAccountOutOfSync Custom InvalidError ExecutableDataModified ExecutableLamportChange "
    "ExecutableAccountNotRentExempt UnsupportedProgramId CallDepth MissingAccount ReentrancyNotAllowed "
    "MaxSeedLengthExceeded InvalidSeeds InvalidRealloc ComputationalBudgetExceeded PrivilegeEscalation "
    "ProgramEnvironmentSetupFailure ProgramFailedToComplete ProgramFailedToCompile Immutable IncorrectAuthority "
    "BorshIoError AccountNotRentExempt InvalidAccountOwner ArithmeticOverflow UnsupportedSysvar IllegalOwner "
    "MaxAccountsDataAllocationsExceeded MaxAccountsExceeded MaxInstructionTraceLengthExceeded "
    "BuiltinProgramsMustConsumeComputeUnits"
)
_U32: Final = struct.Struct("<I")


def error_bincode(err: TransactionErr) -> bytes:
    """Return an error's bincode; an error this table does not know reads as `CommitCancelled`, its last name. *Pure.*

    Args:
        err: In the RPC's JSON form.
    """
    match err:
        case {"InstructionError": [int(index), inner]}:
            return _named("InstructionError") + bytes([index]) + _instruction_error(inner)
        case {"DuplicateInstruction": int(index)}:
            return _named("DuplicateInstruction") + bytes([index])
        case {"InsufficientFundsForRent": {"account_index": int(index)}}:
            return _named("InsufficientFundsForRent") + bytes([index])
        case {"ProgramExecutionTemporarilyRestricted": {"account_index": int(index)}}:
            return _named("ProgramExecutionTemporarilyRestricted") + bytes([index])
        case str(name):
            return _named(name)
        case _:
            return _named("")


def _named(name: str) -> bytes:
    return _U32.pack(_TRANSACTION_ERRORS.get(name, len(_TRANSACTION_ERRORS) - 1))


def _instruction_error(inner: object) -> bytes:
    match inner:
        case {"Custom": int(code)}:
            return _U32.pack(_INSTRUCTION_ERRORS["Custom"]) + _U32.pack(code)
        case str(name) if name in _INSTRUCTION_ERRORS:
            return _U32.pack(_INSTRUCTION_ERRORS[name])
        case _:
            return _U32.pack(_INSTRUCTION_ERRORS["GenericError"])
