/* The accounts of a trade: where they stand in each instruction, and what they must be. */
#pragma once
#include "checks.h"

enum { ABSENT = 0xff };
#define AT(name) [__builtin_offsetof(trade_accounts, name) / sizeof(account *)]

/* The legacy instructions: the accounts of the public description, then the undeclared tail (the curve's second
 * address and a buyback recipient). */
enum { LEGACY_BUY_ACCOUNTS = 16, LEGACY_SELL_ACCOUNTS = 14, LEGACY_GLOBAL_VOLUME = 12 };
static const u8 LEGACY_BUY[TRADE_ACCOUNTS] = {
    AT(global) = 0, AT(fee_recipient) = 1, AT(mint) = 2, AT(curve) = 3, AT(curve_tokens) = 4, AT(user_tokens) = 5,
    AT(user) = 6, AT(system_program) = 7, AT(token_program) = 8, AT(creator_vault) = 9, AT(event_authority) = 10,
    AT(program) = 11, AT(volume) = 13, AT(fee_config) = 14, AT(fee_program) = 15, AT(curve_v2) = 16, AT(buyback) = 17,
};
static const u8 LEGACY_SELL[TRADE_ACCOUNTS] = {
    AT(global) = 0, AT(fee_recipient) = 1, AT(mint) = 2, AT(curve) = 3, AT(curve_tokens) = 4, AT(user_tokens) = 5,
    AT(user) = 6, AT(system_program) = 7, AT(creator_vault) = 8, AT(token_program) = 9, AT(event_authority) = 10,
    AT(program) = 11, AT(fee_config) = 12, AT(fee_program) = 13, AT(volume) = ABSENT, AT(curve_v2) = 14,
    AT(buyback) = 15,
};
/* A cashback coin's sell carries the user's accumulator before the tail. */
static const u8 LEGACY_SELL_CASHBACK[TRADE_ACCOUNTS] = {
    AT(global) = 0, AT(fee_recipient) = 1, AT(mint) = 2, AT(curve) = 3, AT(curve_tokens) = 4, AT(user_tokens) = 5,
    AT(user) = 6, AT(system_program) = 7, AT(creator_vault) = 8, AT(token_program) = 9, AT(event_authority) = 10,
    AT(program) = 11, AT(fee_config) = 12, AT(fee_program) = 13, AT(volume) = 14, AT(curve_v2) = 15, AT(buyback) = 16,
};

/* The v2 instructions declare everything. What they have besides: */
enum {
    V2_BUY_ACCOUNTS = 27,
    V2_SELL_ACCOUNTS = 26,
    V2_QUOTE_MINT = 2,
    V2_QUOTE_TOKEN_PROGRAM = 4,
    V2_ATA_PROGRAM = 5,
    V2_FEE_RECIPIENT_QUOTE = 7,
    V2_BUYBACK_QUOTE = 9,
    V2_CURVE_QUOTE = 12,
    V2_CREATOR_VAULT_QUOTE = 17,
    V2_SHARING_CONFIG = 18,
    V2_GLOBAL_VOLUME = 19, /* buys only */
    V2_BUY_VOLUME_QUOTE = 21,
    V2_SELL_VOLUME_QUOTE = 20,
};
static const u8 V2_BUY[TRADE_ACCOUNTS] = {
    AT(global) = 0, AT(mint) = 1, AT(token_program) = 3, AT(fee_recipient) = 6, AT(buyback) = 8, AT(curve) = 10,
    AT(curve_tokens) = 11, AT(user) = 13, AT(user_tokens) = 14, AT(creator_vault) = 16, AT(volume) = 20,
    AT(fee_config) = 22, AT(fee_program) = 23, AT(system_program) = 24, AT(event_authority) = 25, AT(program) = 26,
    AT(curve_v2) = ABSENT,
};
static const u8 V2_SELL[TRADE_ACCOUNTS] = {
    AT(global) = 0, AT(mint) = 1, AT(token_program) = 3, AT(fee_recipient) = 6, AT(buyback) = 8, AT(curve) = 10,
    AT(curve_tokens) = 11, AT(user) = 13, AT(user_tokens) = 14, AT(creator_vault) = 16, AT(volume) = 19,
    AT(fee_config) = 21, AT(fee_program) = 22, AT(system_program) = 23, AT(event_authority) = 24, AT(program) = 25,
    AT(curve_v2) = ABSENT,
};

/* Fill `t->acc`; what the instruction does not carry is a null pointer. */
CALLED void bind_accounts(trade *t, const u8 *positions) {
    account **bound = (account **)&t->acc;
    for (u64 i = 0; i < TRADE_ACCOUNTS; i++) {
        bound[i] = positions[i] < MEM->accounts_len ? &MEM->accounts[positions[i]] : 0;
    }
}

/* ---- checks ---- */

CALLED u64 check_fixed_accounts(const trade *t) {
    TRY(check_global(t->acc.global));
    REQUIRE(t->acc.user->is_signer, ERR_NOT_SIGNER);
    REQUIRE(t->acc.user->is_writable && t->acc.curve->is_writable, ERR_NOT_WRITABLE);
    REQUIRE(t->acc.fee_recipient->is_writable && t->acc.creator_vault->is_writable, ERR_NOT_WRITABLE);
    REQUIRE(key_equal(t->acc.system_program->key, SYSTEM_PROGRAM), ERR_PROGRAM_ID);
    REQUIRE(key_equal(t->acc.program->key, PUMP_PROGRAM), ERR_PROGRAM_ID);
    REQUIRE(key_equal(t->acc.fee_program->key, FEE_PROGRAM), ERR_PROGRAM_ID);
    REQUIRE(key_equal(t->acc.event_authority->key, EVENT_AUTHORITY), ERR_SEEDS);
    REQUIRE(key_equal(t->acc.fee_config->key, FEE_CONFIG_ACCOUNT), ERR_SEEDS);
    const u8 *token_program = t->acc.token_program->key; /* coins of the older `create` are classic SPL tokens */
    REQUIRE(key_equal(token_program, TOKEN_2022_PROGRAM) || key_equal(token_program, TOKEN_PROGRAM), ERR_PROGRAM_ID);
    return 0;
}

/* The curve and what belongs to it; afterwards the coin's kind and the curve's bump are known. */
CALLED u64 check_curve(trade *t) {
    const account *curve = t->acc.curve, *mint = t->acc.mint;
    const u8 *token_program = t->acc.token_program->key;
    SEEDS("bonding-curve", mint->key);
    REQUIRE(seeds_lead_to(curve->key, PUMP_PROGRAM), ERR_SEEDS);
    t->curve_bump[0] = MEM->bump[0];
    REQUIRE(!is_absent(curve), ERR_NOT_INITIALIZED);
    REQUIRE(key_equal(curve->owner, PUMP_PROGRAM), ERR_OWNER);
    REQUIRE(curve->data_len >= CURVE_FIELDS_END, ERR_NOT_INITIALIZED);
    REQUIRE(get64(curve->data, 0) == CURVE_DISCRIMINATOR, ERR_DISCRIMINATOR);
    REQUIRE(key_equal(mint->owner, token_program), ERR_OWNER);
    TRY(check_token_account(t->acc.curve_tokens, token_program, mint->key, curve->key));
    /* Anyone can open a second account of the curve's. */
    seeds_of_tokens(curve->key, token_program, mint->key);
    REQUIRE(seeds_lead_to(t->acc.curve_tokens->key, ATA_PROGRAM), ERR_SEEDS);
    /* The user's need not be the associated one: mainnet accepts any account of the user's. */
    TRY(check_token_account(t->acc.user_tokens, token_program, mint->key, t->acc.user->key));
    SEEDS("creator-vault", curve->data + CURVE_CREATOR);
    REQUIRE(seeds_find(t->acc.creator_vault->key, PUMP_PROGRAM), ERR_SEEDS);
    t->is_mayhem = curve->data[CURVE_IS_MAYHEM];
    t->is_cashback = curve->data[CURVE_IS_CASHBACK];
    REQUIRE(key_is_zero(curve->data + CURVE_QUOTE_MINT), ERR_QUOTE_MINT);
    return 0;
}

/* Mayhem coins pay to recipients of their own. */
CALLED u64 check_fee_recipient(const trade *t) {
    const u8 *global = t->acc.global->data, *key = t->acc.fee_recipient->key;
    u64 is_known;
    if (t->is_mayhem) {
        is_known = key_equal(key, global + GLOBAL_RESERVED_RECIPIENT) ||
                   is_listed(global + GLOBAL_RESERVED_RECIPIENTS, GLOBAL_RESERVED_RECIPIENTS_COUNT, key);
    } else {
        is_known = key_equal(key, global + GLOBAL_FEE_RECIPIENT) ||
                   is_listed(global + GLOBAL_FEE_RECIPIENTS, GLOBAL_FEE_RECIPIENTS_COUNT, key);
    }
    REQUIRE(is_known, ERR_NOT_AUTHORIZED);
    return 0;
}

CALLED u64 check_volume(trade *t) {
    if (t->is_cashback && !t->is_buy && !t->is_v2) {
        bind_accounts(t, LEGACY_SELL_CASHBACK);
        /* With the accounts of an ordinary sell, the accumulator is what is missing. */
        REQUIRE(t->acc.buyback, t->acc.curve_v2 ? ERR_CASHBACK_ACCOUNTS_MISSING : ERR_BUYBACK_RECIPIENT_MISSING);
    }
    if (!t->acc.volume) return 0;
    SEEDS("user_volume_accumulator", t->acc.user->key);
    const account *volume = t->acc.volume;
    REQUIRE(key_equal(volume->owner, PUMP_PROGRAM) ? seeds_lead_to(volume->key, PUMP_PROGRAM)
                                                   : seeds_find(volume->key, PUMP_PROGRAM),
            ERR_SEEDS);
    if (!t->is_buy) return 0;
    REQUIRE(t->acc.volume->is_writable, ERR_NOT_WRITABLE);
    const account *global_volume = &MEM->accounts[t->is_v2 ? V2_GLOBAL_VOLUME : LEGACY_GLOBAL_VOLUME];
    REQUIRE(key_equal(global_volume->key, GLOBAL_VOLUME_ACCOUNT), ERR_SEEDS);
    return 0;
}

/* Whether `a` is the quote account of `owner`. */
INLINED u64 is_quote_account(const account *a, const account *owner) {
    return is_associated_account(a, owner->key, TOKEN_PROGRAM, WSOL_MINT);
}

/* v2: a SOL curve does not touch the quote side, yet its derived accounts are checked. The user's own is not: it can
 * be any account of the user's. */
CALLED u64 check_v2_accounts(const trade *t) {
    const account *a = MEM->accounts;
    const account *volume_quote = &a[t->is_buy ? V2_BUY_VOLUME_QUOTE : V2_SELL_VOLUME_QUOTE];
    REQUIRE(key_equal(a[V2_QUOTE_MINT].key, WSOL_MINT), ERR_QUOTE_MINT);
    REQUIRE(key_equal(a[V2_QUOTE_TOKEN_PROGRAM].key, TOKEN_PROGRAM), ERR_QUOTE_TOKEN_PROGRAM);
    REQUIRE(key_equal(a[V2_ATA_PROGRAM].key, ATA_PROGRAM), ERR_PROGRAM_ID);
    REQUIRE(is_quote_account(&a[V2_FEE_RECIPIENT_QUOTE], t->acc.fee_recipient), ERR_SEEDS);
    REQUIRE(is_quote_account(&a[V2_BUYBACK_QUOTE], t->acc.buyback), ERR_SEEDS);
    REQUIRE(is_quote_account(&a[V2_CURVE_QUOTE], t->acc.curve), ERR_SEEDS);
    REQUIRE(is_quote_account(&a[V2_CREATOR_VAULT_QUOTE], t->acc.creator_vault), ERR_SEEDS);
    REQUIRE(is_quote_account(volume_quote, t->acc.volume), ERR_SEEDS);
    SEEDS("sharing-config", t->acc.mint->key);
    REQUIRE(seeds_find(a[V2_SHARING_CONFIG].key, FEE_PROGRAM), ERR_SEEDS);
    return 0;
}

/* The undeclared tail of the legacy instructions. Mainnet's mayhem coins carry the second address of the curve under
 * either program. */
CALLED u64 check_tail(const trade *t) {
    REQUIRE(t->acc.curve_v2 && t->acc.buyback, ERR_BUYBACK_RECIPIENT_MISSING);
    SEEDS("bonding-curve-v2", t->acc.mint->key);
    if (seeds_find(t->acc.curve_v2->key, PUMP_PROGRAM)) return 0;
    REQUIRE(t->is_mayhem && seeds_find(t->acc.curve_v2->key, MAYHEM_PROGRAM), ERR_CURVE_V2);
    return 0;
}

CALLED u64 check_buyback_recipient(const trade *t) {
    const u8 *recipients = t->acc.global->data + GLOBAL_BUYBACK_RECIPIENTS;
    REQUIRE(is_listed(recipients, GLOBAL_BUYBACK_RECIPIENTS_COUNT, t->acc.buyback->key), ERR_BUYBACK_RECIPIENT);
    REQUIRE(t->acc.buyback->is_writable, ERR_NOT_WRITABLE);
    return 0;
}

CALLED u64 check_trade(trade *t) {
    TRY(check_fixed_accounts(t));
    TRY(check_curve(t));
    TRY(check_fee_recipient(t));
    TRY(check_volume(t));
    if (!t->is_v2) TRY(check_tail(t)); /* it holds the buyback recipient */
    TRY(check_buyback_recipient(t));
    return t->is_v2 ? check_v2_accounts(t) : 0;
}
