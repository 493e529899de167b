/* The fees of a trade: which rates hold, and what they come to. */
#pragma once
#include "arithmetic.h"
#include "checks.h"

/* With amounts below FEE_BASE_LIMIT, amount * bps stays far from 2^64. */
#define MAX_FEE_BPS 5000

/* The rates of the last tier whose threshold the market capitalisation reaches (tiers ascend). */
CALLED void load_tier(trade *t, const account *config) {
    const u8 *curve = t->acc.curve->data;
    u64 quote = get64(curve, CURVE_VIRTUAL_QUOTE), tokens = get64(curve, CURVE_VIRTUAL_TOKEN);
    u64 capitalisation = mul_div(quote, get64(curve, CURVE_TOKEN_SUPPLY), tokens);
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
    REQUIRE(t->protocol_bps <= MAX_FEE_BPS && t->creator_bps <= MAX_FEE_BPS, ERR_OVERFLOW);
    REQUIRE(t->buyback_bps <= BPS_DENOMINATOR, ERR_OVERFLOW);
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
