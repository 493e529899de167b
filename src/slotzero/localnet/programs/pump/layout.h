/* Field offsets of the public account layouts: Borsh (packed, little-endian) behind the eight bytes that tell which. */
#pragma once

/* BondingCurve. The fields end at 125; since October 2026 the account is created with 141 bytes. */
enum {
    CURVE_VIRTUAL_TOKEN = 8,
    CURVE_VIRTUAL_QUOTE = 16,
    CURVE_REAL_TOKEN = 24,
    CURVE_REAL_QUOTE = 32,
    CURVE_TOKEN_SUPPLY = 40,
    CURVE_COMPLETE = 48,
    CURVE_CREATOR = 49,
    CURVE_IS_MAYHEM = 81,
    CURVE_IS_CASHBACK = 82,
    CURVE_QUOTE_MINT = 83, /* zero: priced in SOL */
    CURVE_CREATOR_FEE_BPS = 115,
    CURVE_IS_HOLDER_REWARD = 124,
    CURVE_FIELDS_END = 125,
    CURVE_LEN = 141,
};

/* Global: the venue's one configuration account. */
enum {
    GLOBAL_FEE_RECIPIENT = 41,
    GLOBAL_VIRTUAL_TOKEN = 73,
    GLOBAL_VIRTUAL_QUOTE = 81,
    GLOBAL_REAL_TOKEN = 89,
    GLOBAL_TOKEN_SUPPLY = 97,
    GLOBAL_FEE_BPS = 105,
    GLOBAL_CREATOR_FEE_BPS = 154,
    GLOBAL_FEE_RECIPIENTS = 162,
    GLOBAL_FEE_RECIPIENTS_COUNT = 7,
    GLOBAL_CREATE_V2_ENABLED = 450,
    GLOBAL_RESERVED_RECIPIENT = 483,
    GLOBAL_RESERVED_RECIPIENTS = 516,
    GLOBAL_RESERVED_RECIPIENTS_COUNT = 7,
    GLOBAL_BUYBACK_RECIPIENTS = 741,
    GLOBAL_BUYBACK_RECIPIENTS_COUNT = 8,
    GLOBAL_BUYBACK_BPS = 997,
    GLOBAL_HOLDER_REWARD_ENABLED = 1086,
    GLOBAL_FIELDS_END = 1087,
};

/* FeeConfig of the pump-fees program: flat fees, then a vector of tiers by market capitalisation. */
enum {
    FEE_CONFIG_TIERS_LEN = 65,
    FEE_CONFIG_TIERS = 69,
    FEE_TIER_SIZE = 40,
    FEE_TIER_THRESHOLD_HIGH = 8, /* the threshold is a u128 in lamports */
    FEE_TIER_PROTOCOL_BPS = 24,  /* behind the threshold and the liquidity providers' rate, 0 on a curve */
    FEE_TIER_CREATOR_BPS = 32,
    FEE_CONFIG_FLAT_PROTOCOL_BPS = 49,
    FEE_CONFIG_FLAT_CREATOR_BPS = 57,
};

/* UserVolumeAccumulator: one for each trader. */
enum { VOLUME_USER = 8, VOLUME_CASHBACK_EARNED = 74, VOLUME_LEN = 137 };

/* An SPL token account and mint; Token-2022 begins with the same fields. */
enum { TOKEN_MINT = 0, TOKEN_OWNER = 32, TOKEN_AMOUNT = 64, TOKEN_ACCOUNT_LEN = 165, MINT_DECIMALS = 44 };

/* What create_v2 makes of a mint. */
enum {
    MINT_WITH_POINTER_LEN = 234,    /* the mint, padded, with a metadata pointer */
    METADATA_HEADER_LEN = 4 + 64,   /* extension type and length; update authority and mint */
    METADATA_STRING_PREFIXES = 12,  /* the three string lengths */
    METADATA_ADDITIONAL_LEN = 4,    /* an empty vector of further fields */
    MULTISIG_LEN = 355,             /* no mint of Token-2022 has this length: it is padded by an extension type */
    EXTENSION_TYPE_LEN = 2,
    TOKEN_DECIMALS = 6,
};
enum { MAX_NAME_LEN = 32, MAX_SYMBOL_LEN = 13, MAX_URI_LEN = 200 };
