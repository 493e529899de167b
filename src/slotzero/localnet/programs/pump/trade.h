/* What buying and selling have in common once the accounts are known to be right: moving tokens and telling of it. */
#pragma once
#include "events.h"
#include "trade_accounts.h"
#include "trade_fees.h"

/* A cashback coin pays the creator's fee to the trader: it collects in the trader's accumulator. */
INLINED void count_cashback(const trade *t) {
    u8 *volume = t->acc.volume->data;
    put64(volume, VOLUME_CASHBACK_EARNED, get64(volume, VOLUME_CASHBACK_EARNED) + t->creator_fee);
}

enum { TOKEN_TRANSFER_CHECKED = 12 };

/* Move `t->tokens`; with `is_derived` the authority signs by the current seeds. */
CALLED u64 transfer_tokens(const trade *t, const account *from, const account *to, const account *authority,
                           u64 is_derived) {
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
