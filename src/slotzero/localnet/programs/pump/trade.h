/* What every trade does around its price: find its accounts, check them, know its fees, tell of it. */
#pragma once
#include "arithmetic.h"
#include "checks.h"
#include "events.h"

/* ---- where the accounts stand ---- */

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
    AT(program) = 11, AT(fee_config) = 12, AT(fee_program) = 13, AT(volume) = ABSENT, AT(curve_v2) = 14, AT(buyback) = 15,
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
    REQUIRE(seeds_find(curve->key, PUMP_PROGRAM), ERR_SEEDS);
    t->curve_bump[0] = MEM->bump[0];
    REQUIRE(!is_absent(curve), ERR_NOT_INITIALIZED);
    REQUIRE(key_equal(curve->owner, PUMP_PROGRAM), ERR_OWNER);
    REQUIRE(curve->data_len >= CURVE_FIELDS_END, ERR_NOT_INITIALIZED);
    REQUIRE(get64(curve->data, 0) == CURVE_DISCRIMINATOR, ERR_DISCRIMINATOR);
    REQUIRE(key_equal(mint->owner, token_program), ERR_OWNER);
    TRY(check_token_account(t->acc.curve_tokens, token_program, mint->key, curve->key));
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
    REQUIRE(seeds_find(t->acc.volume->key, PUMP_PROGRAM), ERR_SEEDS);
    if (!t->is_buy) return 0;
    REQUIRE(t->acc.volume->is_writable, ERR_NOT_WRITABLE);
    const account *global_volume = &MEM->accounts[t->is_v2 ? V2_GLOBAL_VOLUME : LEGACY_GLOBAL_VOLUME];
    REQUIRE(key_equal(global_volume->key, GLOBAL_VOLUME_ACCOUNT), ERR_SEEDS);
    return 0;
}

/* v2: a SOL curve does not touch the quote side, yet its derived accounts are checked. The user's own is not: it can
 * be any account of the user's. */
CALLED u64 check_v2_accounts(const trade *t) {
    const account *a = MEM->accounts;
    const u8 *quote = a[V2_QUOTE_MINT].key, *quote_program = a[V2_QUOTE_TOKEN_PROGRAM].key;
    const account *volume_quote = &a[t->is_buy ? V2_BUY_VOLUME_QUOTE : V2_SELL_VOLUME_QUOTE];
    REQUIRE(key_equal(quote, WSOL_MINT), ERR_QUOTE_MINT);
    REQUIRE(key_equal(quote_program, TOKEN_PROGRAM), ERR_QUOTE_TOKEN_PROGRAM);
    REQUIRE(key_equal(a[V2_ATA_PROGRAM].key, ATA_PROGRAM), ERR_PROGRAM_ID);
    REQUIRE(is_associated_account(&a[V2_FEE_RECIPIENT_QUOTE], t->acc.fee_recipient->key, quote_program, quote), ERR_SEEDS);
    REQUIRE(is_associated_account(&a[V2_BUYBACK_QUOTE], t->acc.buyback->key, quote_program, quote), ERR_SEEDS);
    REQUIRE(is_associated_account(&a[V2_CURVE_QUOTE], t->acc.curve->key, quote_program, quote), ERR_SEEDS);
    REQUIRE(is_associated_account(&a[V2_CREATOR_VAULT_QUOTE], t->acc.creator_vault->key, quote_program, quote), ERR_SEEDS);
    REQUIRE(is_associated_account(volume_quote, t->acc.volume->key, quote_program, quote), ERR_SEEDS);
    REQUIRE(is_associated_account(t->acc.curve_tokens, t->acc.curve->key, t->acc.token_program->key, t->acc.mint->key), ERR_SEEDS);
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

CALLED u64 check_trade(trade *t) {
    TRY(check_fixed_accounts(t));
    TRY(check_curve(t));
    TRY(check_fee_recipient(t));
    TRY(check_volume(t));
    if (t->is_v2) TRY(check_v2_accounts(t));
    else TRY(check_tail(t));
    REQUIRE(is_listed(t->acc.global->data + GLOBAL_BUYBACK_RECIPIENTS, GLOBAL_BUYBACK_RECIPIENTS_COUNT, t->acc.buyback->key),
            ERR_BUYBACK_RECIPIENT);
    REQUIRE(t->acc.buyback->is_writable, ERR_NOT_WRITABLE);
    return 0;
}

/* ---- fees ---- */

/* With amounts below FEE_BASE_LIMIT, amount * bps stays far from 2^64. */
#define MAX_FEE_BPS 5000

/* The rates of the last tier whose threshold the market capitalisation reaches (tiers ascend). */
CALLED void load_tier(trade *t, const account *config) {
    const u8 *curve = t->acc.curve->data;
    u64 capitalisation = mul_div(get64(curve, CURVE_VIRTUAL_QUOTE), get64(curve, CURVE_TOKEN_SUPPLY), get64(curve, CURVE_VIRTUAL_TOKEN));
    u64 tiers = get32(config->data, FEE_CONFIG_TIERS_LEN);
    t->protocol_bps = get64(config->data, FEE_CONFIG_FLAT_PROTOCOL_BPS);
    t->creator_bps = get64(config->data, FEE_CONFIG_FLAT_CREATOR_BPS);
    for (u64 i = 0; i < tiers; i++) {
        u64 end = FEE_CONFIG_TIERS + FEE_TIER_SIZE * (i + 1);
        if (end > config->data_len) return; /* the count is read from the account: do not trust it */
        const u8 *tier = config->data + end - FEE_TIER_SIZE;
        if (i > 0 && (get64(tier, FEE_TIER_THRESHOLD_HIGH) || get64(tier, 0) > capitalisation)) continue;
        t->protocol_bps = get64(tier, FEE_TIER_PROTOCOL_BPS);
        t->creator_bps = get64(tier, FEE_TIER_CREATOR_BPS);
    }
}

/* Mainnet asks the fee program; here its account is read. Without that account, Global's own rates hold. */
CALLED u64 load_rates(trade *t) {
    const u8 *global = t->acc.global->data, *curve = t->acc.curve->data;
    const account *config = t->acc.fee_config;
    if (is_absent(config)) {
        t->protocol_bps = get64(global, GLOBAL_FEE_BPS);
        t->creator_bps = get64(global, GLOBAL_CREATOR_FEE_BPS);
    } else {
        REQUIRE(key_equal(config->owner, FEE_PROGRAM), ERR_OWNER);
        REQUIRE(config->data_len >= FEE_CONFIG_TIERS, ERR_NOT_INITIALIZED);
        REQUIRE(get64(config->data, 0) == FEE_CONFIG_DISCRIMINATOR, ERR_DISCRIMINATOR);
        load_tier(t, config);
    }
    if (get64(curve, CURVE_CREATOR_FEE_BPS)) t->creator_bps = get64(curve, CURVE_CREATOR_FEE_BPS);
    if (key_is_zero(curve + CURVE_CREATOR)) t->creator_bps = 0;
    t->buyback_bps = t->is_mayhem ? 0 : get64(global, GLOBAL_BUYBACK_BPS);
    REQUIRE(t->protocol_bps <= MAX_FEE_BPS && t->creator_bps <= MAX_FEE_BPS && t->buyback_bps <= BPS_DENOMINATOR, ERR_OVERFLOW);
    return 0;
}

/* The fees of `t->cost`. The buyback's share is rounded down: the fee recipient has the rest. */
CALLED u64 set_fees(trade *t) {
    REQUIRE(t->cost < FEE_BASE_LIMIT, ERR_OVERFLOW);
    t->protocol_fee = fee_of(t->cost, t->protocol_bps);
    t->creator_fee = fee_of(t->cost, t->creator_bps);
    t->buyback_fee = t->protocol_fee * t->buyback_bps / BPS_DENOMINATOR;
    return 0;
}

/* A cashback coin pays the creator's fee to the trader: it collects in the trader's accumulator. */
INLINED void count_cashback(const trade *t) {
    u8 *volume = t->acc.volume->data;
    put64(volume, VOLUME_CASHBACK_EARNED, get64(volume, VOLUME_CASHBACK_EARNED) + t->creator_fee);
}

CALLED u64 transfer_tokens(const trade *t, const account *from, const account *to, const account *authority, u64 is_derived) {
    enum { TOKEN_TRANSFER_CHECKED = 12 };
    call_begin();
    call_account(from->key, WRITABLE);
    call_account(t->acc.mint->key, READ_ONLY);
    call_account(to->key, WRITABLE);
    call_account(authority->key, SIGNER);
    call_u8(TOKEN_TRANSFER_CHECKED);
    call_u64(t->tokens);
    call_u8(t->acc.mint->data[MINT_DECIMALS]);
    return invoke(t->acc.token_program->key, is_derived);
}

/* ---- events ---- */

CALLED u64 emit_trade_event(const trade *t) {
    const u8 *curve = t->acc.curve->data;
    event_begin(TRADE_EVENT);
    call_key(t->acc.mint->key);
    call_u64(t->cost);
    call_u64(t->tokens);
    call_u8(t->is_buy);
    call_key(t->acc.user->key);
    call_u64((u64)MEM->clock.unix_timestamp);
    call_u64(get64(curve, CURVE_VIRTUAL_QUOTE));
    call_u64(get64(curve, CURVE_VIRTUAL_TOKEN));
    call_u64(get64(curve, CURVE_REAL_QUOTE));
    call_u64(get64(curve, CURVE_REAL_TOKEN));
    call_key(t->acc.fee_recipient->key);
    call_u64(t->protocol_bps);
    call_u64(t->protocol_fee);
    call_key(curve + CURVE_CREATOR);
    call_u64(t->is_cashback ? 0 : t->creator_bps);
    call_u64(t->is_cashback ? 0 : t->creator_fee);
    call_u8(t->tracks_volume);
    call_u64(0); /* total_unclaimed_tokens: the incentive programme has ended; captured events carry zeros */
    call_u64(0); /* total_claimed_tokens */
    call_u64(0); /* current_sol_volume */
    call_u64(0); /* last_update_timestamp */
    event_string(&t->ix_name);
    call_u8(t->is_mayhem);
    call_u64(t->is_cashback ? t->creator_bps : 0);
    call_u64(t->is_cashback ? t->creator_fee : 0);
    call_u64(t->buyback_bps);
    call_u64(t->buyback_fee);
    call_u32(0); /* shareholders: an empty vector */
    call_key(curve + CURVE_QUOTE_MINT);
    call_u64(t->cost);
    call_u64(get64(curve, CURVE_VIRTUAL_QUOTE));
    call_u64(get64(curve, CURVE_REAL_QUOTE));
    call_u64(0); /* holder_rewards_bps */
    call_u64(0); /* holder_rewards */
    call_u64(0); /* creator_fee_unclaimed: the v3 instructions leave fees on the curve, these do not */
    return event_emit(t->acc.event_authority);
}

CALLED u64 emit_complete_event(const trade *t) {
    event_begin(COMPLETE_EVENT);
    call_key(t->acc.user->key);
    call_key(t->acc.mint->key);
    call_key(t->acc.curve->key);
    call_u64((u64)MEM->clock.unix_timestamp);
    call_key(t->acc.curve->data + CURVE_QUOTE_MINT);
    return event_emit(t->acc.event_authority);
}
