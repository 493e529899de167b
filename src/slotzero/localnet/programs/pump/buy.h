/* Buying: price, then settle. */
#pragma once
#include "trade.h"

/* A given number of tokens for at most `limit` lamports, fees included. */
CALLED u64 price_exact_tokens(trade *t, const u8 *curve) {
    u64 quote = get64(curve, CURVE_VIRTUAL_QUOTE), tokens = get64(curve, CURVE_VIRTUAL_TOKEN);
    REQUIRE(t->amount, ERR_BUY_ZERO);
    REQUIRE(t->amount <= get64(curve, CURVE_REAL_TOKEN), ERR_NOT_ENOUGH_TOKENS_TO_BUY);
    REQUIRE(t->amount < tokens, ERR_OVERFLOW);
    t->tokens = t->amount;
    t->cost = mul_div(quote, t->amount, tokens - t->amount);
    REQUIRE(t->cost != NO_RESULT, ERR_OVERFLOW);
    t->cost += 1;
    TRY(set_fees(t));
    if (t->cost + t->protocol_fee + t->creator_fee > t->limit) {
        REFUSE("TooMuchSolRequired", 6002, "slippage: Too much SOL required to buy the given amount of tokens.");
    }
    return 0;
}

/* As many tokens as a budget buys, fees included, but at least `limit`. A budget beyond the end of the curve buys what
 * is left, at its price. */
CALLED u64 price_exact_budget(trade *t, const u8 *curve) {
    u64 quote = get64(curve, CURVE_VIRTUAL_QUOTE), tokens = get64(curve, CURVE_VIRTUAL_TOKEN);
    u64 left = get64(curve, CURVE_REAL_TOKEN), budget = t->amount;
    REQUIRE(budget < FEE_BASE_LIMIT, ERR_OVERFLOW);
    u64 net = budget * BPS_DENOMINATOR / (BPS_DENOMINATOR + t->protocol_bps + t->creator_bps);
    u64 fees = fee_of(net, t->protocol_bps) + fee_of(net, t->creator_bps);
    if (net + fees > budget) net -= net + fees - budget;
    REQUIRE(net > 1, ERR_BUY_ZERO);
    t->tokens = mul_div(net - 1, tokens, quote + net - 1);
    if (t->tokens > left) {
        /* The budget would buy more than is left, so `left` is below `tokens` and costs less than `net`: both fit. */
        t->tokens = left;
        net = mul_div(quote, left, tokens - left) + 1;
    }
    if (t->tokens < t->limit) {
        REFUSE("BuySlippageBelowMinTokensOut", 6042, "Slippage: Would buy less tokens than expected min_tokens_out");
    }
    REQUIRE(t->tokens, ERR_BUY_ZERO);
    t->cost = net;
    return set_fees(t);
}

/* The first buy of a user creates the user's volume accumulator, outside the price limit. */
CALLED u64 ensure_volume(const trade *t) {
    const account *volume = t->acc.volume;
    if (!is_absent(volume)) return 0;
    SEEDS("user_volume_accumulator", t->acc.user->key);
    seeds_find(volume->key, PUMP_PROGRAM); /* for the bump */
    add_seed(MEM->bump, 1);
    TRY(create_account(t->acc.user, volume, VOLUME_LEN, PUMP_PROGRAM, 1));
    put64(volume->data, 0, VOLUME_DISCRIMINATOR);
    key_copy(volume->data + VOLUME_USER, t->acc.user->key);
    return 0;
}

/* A vault below its rent is topped up by the buyer, on top of the price limit; without that a small fee into a new
 * vault would fail the transaction. */
CALLED u64 pay_creator(const trade *t) {
    const account *to = t->acc.creator_vault;
    if (t->is_cashback) {
        to = t->acc.volume;
        REQUIRE(key_equal(to->owner, PUMP_PROGRAM) && to->data_len >= VOLUME_LEN, ERR_CASHBACK_ACCUMULATOR);
        count_cashback(t);
    } else if (*to->lamports < rent_of(0)) {
        TRY(transfer(t->acc.user, to, rent_of(0) - *to->lamports));
    }
    return t->creator_fee ? transfer(t->acc.user, to, t->creator_fee) : 0;
}

/* The two recipients are paid in one order by the legacy instructions and in the other by v2. */
CALLED u64 pay_protocol(const trade *t) {
    const account *user = t->acc.user;
    if (t->buyback_fee && !t->is_v2) TRY(transfer(user, t->acc.buyback, t->buyback_fee));
    TRY(transfer(user, t->acc.fee_recipient, t->protocol_fee - t->buyback_fee));
    if (t->buyback_fee && t->is_v2) TRY(transfer(user, t->acc.buyback, t->buyback_fee));
    return 0;
}

CALLED u64 buy(trade *t) {
    u8 *curve = t->acc.curve->data;
    TRY(ensure_volume(t));
    TRY(t->is_exact_in ? price_exact_budget(t, curve) : price_exact_tokens(t, curve));
    SEEDS("bonding-curve", t->acc.mint->key);
    add_seed(t->curve_bump, 1);
    TRY(transfer_tokens(t, t->acc.curve_tokens, t->acc.user_tokens, t->acc.curve, 1));
    TRY(pay_creator(t));
    TRY(transfer(t->acc.user, t->acc.curve, t->cost));
    TRY(pay_protocol(t));
    put64(curve, CURVE_VIRTUAL_QUOTE, get64(curve, CURVE_VIRTUAL_QUOTE) + t->cost);
    put64(curve, CURVE_REAL_QUOTE, get64(curve, CURVE_REAL_QUOTE) + t->cost);
    put64(curve, CURVE_VIRTUAL_TOKEN, get64(curve, CURVE_VIRTUAL_TOKEN) - t->tokens);
    put64(curve, CURVE_REAL_TOKEN, get64(curve, CURVE_REAL_TOKEN) - t->tokens);
    curve[CURVE_COMPLETE] = get64(curve, CURVE_REAL_TOKEN) == 0;
    return 0;
}
