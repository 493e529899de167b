"""The error codes a pump.fun trade can end in, by name, for reports.

Source: the program's published IDL (pump-sdk 2.0.0); the codes below 6000 are the Anchor framework's, those a wrong
account list leads to.
"""

from typing import Final

__all__ = [
    "BONDING_CURVE_COMPLETE",
    "BUY_SLIPPAGE_BELOW_MIN_TOKENS_OUT",
    "TOO_LITTLE_SOL_RECEIVED",
    "TOO_MUCH_SOL_REQUIRED",
    "error_name",
    "is_slippage_error",
]

TOO_MUCH_SOL_REQUIRED: Final = 6002
TOO_LITTLE_SOL_RECEIVED: Final = 6003
BONDING_CURVE_COMPLETE: Final = 6005
BUY_SLIPPAGE_BELOW_MIN_TOKENS_OUT: Final = 6042

_SLIPPAGE: Final = frozenset({TOO_MUCH_SOL_REQUIRED, TOO_LITTLE_SOL_RECEIVED, BUY_SLIPPAGE_BELOW_MIN_TOKENS_OUT})

_NAMES: Final = {
    100: "InstructionMissing",
    101: "InstructionFallbackNotFound",
    102: "InstructionDidNotDeserialize",
    2000: "ConstraintMut",
    2001: "ConstraintHasOne",
    2002: "ConstraintSigner",
    2003: "ConstraintRaw",
    2006: "ConstraintSeeds",
    2012: "ConstraintAddress",
    2014: "ConstraintTokenMint",
    2015: "ConstraintTokenOwner",
    3002: "AccountDiscriminatorMismatch",
    3005: "AccountNotEnoughKeys",
    3007: "AccountOwnedByWrongProgram",
    3008: "InvalidProgramId",
    3010: "AccountNotSigner",
    3012: "AccountNotInitialized",
    6000: "NotAuthorized",
    6001: "AlreadyInitialized",
    6002: "TooMuchSolRequired",
    6003: "TooLittleSolReceived",
    6004: "MintDoesNotMatchBondingCurve",
    6005: "BondingCurveComplete",
    6006: "BondingCurveNotComplete",
    6007: "NotInitialized",
    6008: "WithdrawTooFrequent",
    6009: "NewSizeShouldBeGreaterThanCurrentSize",
    6010: "AccountTypeNotSupported",
    6011: "InitialRealTokenReservesShouldBeLessThanTokenTotalSupply",
    6012: "InitialVirtualTokenReservesShouldBeGreaterThanInitialRealTokenReserves",
    6013: "FeeBasisPointsGreaterThanMaximum",
    6014: "AllZerosWithdrawAuthority",
    6015: "PoolMigrationFeeShouldBeLessThanFinalRealSolReserves",
    6016: "PoolMigrationFeeShouldBeGreaterThanCreatorFeePlusMaxMigrateFees",
    6017: "DisabledWithdraw",
    6018: "DisabledMigrate",
    6019: "InvalidCreator",
    6020: "BuyZeroAmount",
    6021: "NotEnoughTokensToBuy",
    6022: "SellZeroAmount",
    6023: "NotEnoughTokensToSell",
    6024: "Overflow",
    6025: "Truncation",
    6026: "DivisionByZero",
    6027: "NotEnoughRemainingAccounts",
    6028: "AllFeeRecipientsShouldBeNonZero",
    6029: "UnsortedNotUniqueFeeRecipients",
    6030: "CreatorShouldNotBeZero",
    6031: "StartTimeInThePast",
    6032: "EndTimeInThePast",
    6033: "EndTimeBeforeStartTime",
    6034: "TimeRangeTooLarge",
    6035: "EndTimeBeforeCurrentDay",
    6036: "SupplyUpdateForFinishedRange",
    6037: "DayIndexAfterEndIndex",
    6038: "DayInActiveRange",
    6039: "InvalidIncentiveMint",
    6040: "BuyNotEnoughSolToCoverRent",
    6041: "BuyNotEnoughSolToCoverFees",
    6042: "BuySlippageBelowMinTokensOut",
    6043: "NameTooLong",
    6044: "SymbolTooLong",
    6045: "UriTooLong",
    6046: "CreateV2Disabled",
    6047: "CpitializeMayhemFailed",
    6048: "MayhemModeDisabled",
    6049: "CreatorMigratedToSharingConfig",
    6050: "UnableToDistributeCreatorVaultMigratedToSharingConfig",
    6051: "SharingConfigNotActive",
    6052: "UnableToDistributeCreatorFeesToExecutableRecipient",
    6053: "BondingCurveAndSharingConfigCreatorMismatch",
    6054: "ShareholdersAndRemainingAccountsMismatch",
    6055: "InvalidShareBps",
    6056: "CashbackNotEnabled",
    6057: "BuybackFeeRecipientNotAuthorized",
    6058: "AllBuybackFeeRecipientsShouldBeNonZero",
    6059: "NotUniqueBuybackFeeRecipients",
    6060: "BuybackBasisPointsOutOfRange",
    6061: "WrongBuybackFeeRecipientsCount",
    6062: "BuybackFeeRecipientMissing",
    6063: "UnsupportedQuoteMint",
    6064: "InvalidQuoteTokenProgram",
    6065: "InvalidAssociatedQuoteBondingCurve",
    6066: "QuoteMintWhitelistFull",
    6067: "QuoteMintAlreadyWhitelisted",
    6068: "QuoteMintNotWhitelisted",
    6069: "QuoteMintNotEligibleForWhitelist",
    6070: "UnableToDistributeCreatorFeesToUninitializedAccount",
    6071: "MayhemModeQuoteMintNotAllowed",
    6072: "MissingCashbackAccounts",
    6073: "InvalidCashbackAccumulator",
    6074: "InvalidBondingCurveV2",
    6075: "InvalidQuoteControl",
    6076: "InvalidCashbackRecipient",
    6077: "CreatorFeeNotConfigurable",
    6078: "CreatorFeeBpsOutOfRange",
    6079: "CreatorFeeNotEditable",
    6080: "CreatorFeeNotAllowedForCashbackCoin",
    6081: "BondingCurveAlreadyMigrated",
    6082: "CashbackDeprecated",
    6083: "HolderRewardCreatorImmutable",
    6084: "HolderRewardDisabled",
    6085: "HolderRewardRecipientsMismatch",
    6086: "HolderRewardsRentFloor",
    6087: "HolderRewardTokenAccountMissing",
    6088: "CtoNotAllowedForMayhemCoin",
    6089: "CtoNewCreatorRequired",
    6090: "CtoNewCreatorNotAllowed",
    6091: "CreatorFeeNotConfigurableForQuote",
    6092: "CtoCreatorAccountNotWritable",
    6093: "CtoSharedVaultFrozen",
}


def error_name(code: int) -> str:
    """Return the name of a custom error code of the program, or "Custom(<code>)" for one we do not know. *Pure.*"""
    return _NAMES.get(code, f"Custom({code})")


def is_slippage_error(code: int) -> bool:
    """Tell whether a trade failed only because the price had moved past its limit. *Pure.*"""
    return code in _SLIPPAGE
