/* Selling: price, then settle. The curve is our own account, so its lamports are moved without a call. */
#pragma once
#include "trade.h"

CALLED u64 price_sell(trade *t, const u8 *curve) {
    REQUIRE(t->amount, ERR_SELL_ZERO);
    REQUIRE(t->amount <= get64(t->acc.user_tokens->data, TOKEN_AMOUNT), ERR_NOT_ENOUGH_TOKENS_TO_SELL);
    t->tokens = t->amount;
    t->cost = mul_div(t->amount, get64(curve, CURVE_VIRTUAL_QUOTE), get64(curve, CURVE_VIRTUAL_TOKEN) + t->amount);
    REQUIRE(t->cost <= get64(curve, CURVE_REAL_QUOTE), ERR_OVERFLOW);
    TRY(set_fees(t));
    u64 fees = t->protocol_fee + t->creator_fee; /* rounded up, they can exceed a sale of a few lamports */
    if (t->cost < fees || t->cost - fees < t->limit) {
        REFUSE("TooLittleSolReceived", 6003, "slippage: Too little SOL received to sell the given amount of tokens.");
    }
    return 0;
}

CALLED u64 sell(trade *t) {
    u8 *curve = t->acc.curve->data;
    TRY(price_sell(t, curve));
    const account *creator_fee_to = t->acc.creator_vault;
    if (t->is_cashback) {
        creator_fee_to = t->acc.volume;
        REQUIRE(key_equal(creator_fee_to->owner, PUMP_PROGRAM), ERR_CASHBACK_ACCUMULATOR);
        REQUIRE(creator_fee_to->data_len >= VOLUME_LEN && creator_fee_to->is_writable, ERR_CASHBACK_ACCUMULATOR);
        count_cashback(t);
    }
    TRY(transfer_tokens(t, t->acc.user_tokens, t->acc.curve_tokens, t->acc.user, 0));
    *t->acc.curve->lamports -= t->cost;
    *t->acc.user->lamports += t->cost - t->protocol_fee - t->creator_fee;
    *creator_fee_to->lamports += t->creator_fee;
    *t->acc.fee_recipient->lamports += t->protocol_fee - t->buyback_fee;
    *t->acc.buyback->lamports += t->buyback_fee;
    put64(curve, CURVE_VIRTUAL_QUOTE, get64(curve, CURVE_VIRTUAL_QUOTE) - t->cost);
    put64(curve, CURVE_REAL_QUOTE, get64(curve, CURVE_REAL_QUOTE) - t->cost);
    put64(curve, CURVE_VIRTUAL_TOKEN, get64(curve, CURVE_VIRTUAL_TOKEN) + t->tokens);
    put64(curve, CURVE_REAL_TOKEN, get64(curve, CURVE_REAL_TOKEN) + t->tokens);
    return 0;
}
