/* The codes our program refuses with: Anchor's own below 6000, the venue's public ones from there. */
#pragma once

enum {
    ERR_UNKNOWN_INSTRUCTION = 101,
    ERR_ARGUMENTS = 102,
    ERR_NOT_WRITABLE = 2000,
    ERR_SEEDS = 2006,
    ERR_TOKEN_MINT = 2014,
    ERR_TOKEN_OWNER = 2015,
    ERR_DISCRIMINATOR = 3002,
    ERR_TOO_FEW_ACCOUNTS = 3005,
    ERR_OWNER = 3007,
    ERR_PROGRAM_ID = 3008,
    ERR_NOT_SIGNER = 3010,
    ERR_NOT_INITIALIZED = 3012,

    ERR_NOT_AUTHORIZED = 6000,
    ERR_TOO_MUCH_SOL_REQUIRED = 6002,
    ERR_TOO_LITTLE_SOL_RECEIVED = 6003,
    ERR_CURVE_COMPLETE = 6005,
    ERR_BUY_ZERO = 6020,
    ERR_NOT_ENOUGH_TOKENS_TO_BUY = 6021,
    ERR_SELL_ZERO = 6022,
    ERR_NOT_ENOUGH_TOKENS_TO_SELL = 6023,
    ERR_OVERFLOW = 6024,
    ERR_BELOW_MIN_TOKENS_OUT = 6042,
    ERR_NAME_TOO_LONG = 6043,
    ERR_SYMBOL_TOO_LONG = 6044,
    ERR_URI_TOO_LONG = 6045,
    ERR_CREATE_V2_DISABLED = 6046,
    ERR_MAYHEM_DISABLED = 6048,
    ERR_BUYBACK_RECIPIENT = 6057,
    ERR_BUYBACK_RECIPIENT_MISSING = 6062,
    ERR_QUOTE_MINT = 6063,
    ERR_QUOTE_TOKEN_PROGRAM = 6064,
    ERR_CASHBACK_ACCOUNTS_MISSING = 6072,
    ERR_CASHBACK_ACCUMULATOR = 6073,
    ERR_CURVE_V2 = 6074,
    ERR_CASHBACK_DEPRECATED = 6082,
    ERR_HOLDER_REWARD_DISABLED = 6084,
};

#define TRY(call)                \
    do {                         \
        u64 code_ = (call);      \
        if (code_) return code_; \
    } while (0)
#define REQUIRE(condition, code)       \
    do {                               \
        if (!(condition)) return code; \
    } while (0)

/* The outcomes a trader meets in ordinary life are named in the log, as Anchor names them. */
#define REFUSE(name, code, message)                                                                                    \
    do {                                                                                                               \
        LOG("AnchorError occurred. Error Code: " name ". Error Number: " #code ". Error Message: " message ".");       \
        return code;                                                                                                   \
    } while (0)
