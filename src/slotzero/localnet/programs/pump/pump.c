/* A bonding-curve program for the embedded chain, standing at pump.fun's address: its public instruction layouts,
 * formulas, fees and events, for curves priced in SOL. Written from public descriptions and from transactions that
 * landed; it contains no code of the original and is meant for no other chain than the embedded one.
 *
 * There are: create_v2, buy, buy_exact_sol_in, sell, buy_v2, buy_exact_quote_in_v2, sell_v2 and the event instruction.
 * Not there: create (the older coins), migration, account extension, fee collection, v3, other quotes than SOL, and the
 * call to the fee program (its configuration account is read instead).
 *
 * Assumed, because nothing public proves it: a rate configured in the curve replaces the schedule's creator rate; the
 * event names of sell_v2 and buy_exact_quote_in_v2; a completed curve is refused before the price limit is looked at;
 * a budget that exceeds the curve buys what is left. Codes for wrong accounts match the kind of error, not always the
 * original's exact choice among several.
 *
 * One translation unit: the headers hold code, in the order in which it is read. */
#include "buy.h"
#include "create.h"
#include "sell.h"

CALLED u64 run_trade(trade *t, const u8 *positions, u64 accounts_declared) {
    REQUIRE(MEM->args + 16 <= MEM->args_end, ERR_ARGUMENTS);
    REQUIRE(MEM->accounts_len >= accounts_declared, ERR_TOO_FEW_ACCOUNTS);
    t->amount = get64(MEM->args, 0);
    t->limit = get64(MEM->args, 8);
    /* The argument exists in legacy buys only and may be left off. */
    t->tracks_volume = t->is_buy && !t->is_v2 && MEM->args + 16 < MEM->args_end && MEM->args[16];
    bind_accounts(t, positions);
    TRY(check_trade(t));
    TRY(load_rates(t));
    if (t->acc.curve->data[CURVE_COMPLETE]) {
        REFUSE("BondingCurveComplete", 6005, "The bonding curve has completed and liquidity migrated to raydium.");
    }
    TRY(t->is_buy ? buy(t) : sell(t));
    sol_get_clock_sysvar(&MEM->clock);
    TRY(emit_trade_event(t));
    return t->acc.curve->data[CURVE_COMPLETE] ? emit_complete_event(t) : 0;
}

enum { IS_BUY = 1, IS_EXACT_IN = 2, IS_V2 = 4 };

CALLED trade *new_trade(u64 flags, const char *ix_name, u64 ix_name_len) {
    trade *t = &MEM->trade;
    t->is_buy = (flags & IS_BUY) != 0;
    t->is_exact_in = (flags & IS_EXACT_IN) != 0;
    t->is_v2 = (flags & IS_V2) != 0;
    t->ix_name.start = ix_name;
    t->ix_name.len = ix_name_len;
    return t;
}
#define NEW_TRADE(flags, name) new_trade(flags, name, sizeof(name) - 1)

/* Only the event authority, which signs nothing but our own calls, may tell of an event. */
CALLED u64 accept_event(void) {
    const account *authority = &MEM->accounts[0];
    REQUIRE(authority->is_signer && key_equal(authority->key, EVENT_AUTHORITY), ERR_NOT_SIGNER);
    return 0;
}

CALLED u64 dispatch(u64 discriminator) {
    switch (discriminator) {
    case EVENT_INSTRUCTION:
        return accept_event();
    case CREATE_V2_INSTRUCTION:
        return create_v2();
    case BUY_INSTRUCTION:
        LOG("Instruction: Buy");
        return run_trade(NEW_TRADE(IS_BUY, "buy"), LEGACY_BUY, LEGACY_BUY_ACCOUNTS);
    case BUY_EXACT_SOL_IN_INSTRUCTION:
        LOG("Instruction: BuyExactSolIn");
        return run_trade(NEW_TRADE(IS_BUY | IS_EXACT_IN, "buy_exact_sol_in"), LEGACY_BUY, LEGACY_BUY_ACCOUNTS);
    case SELL_INSTRUCTION:
        LOG("Instruction: Sell");
        return run_trade(NEW_TRADE(0, "sell"), LEGACY_SELL, LEGACY_SELL_ACCOUNTS);
    case BUY_V2_INSTRUCTION:
        LOG("Instruction: BuyV2");
        return run_trade(NEW_TRADE(IS_BUY | IS_V2, "buy"), V2_BUY, V2_BUY_ACCOUNTS);
    case BUY_EXACT_QUOTE_IN_V2_INSTRUCTION:
        LOG("Instruction: BuyExactQuoteInV2");
        return run_trade(NEW_TRADE(IS_BUY | IS_EXACT_IN | IS_V2, "buy_exact_quote_in"), V2_BUY, V2_BUY_ACCOUNTS);
    case SELL_V2_INSTRUCTION:
        LOG("Instruction: SellV2");
        return run_trade(NEW_TRADE(IS_V2, "sell"), V2_SELL, V2_SELL_ACCOUNTS);
    default:
        return ERR_UNKNOWN_INSTRUCTION;
    }
}

u64 entrypoint(u8 *input) {
    slice data;
    MEM->accounts_len = read_input(input, MEM->accounts, MAX_ACCOUNTS, &data);
    REQUIRE(MEM->accounts_len, ERR_TOO_FEW_ACCOUNTS);
    REQUIRE(data.len >= 8, ERR_UNKNOWN_INSTRUCTION);
    MEM->args = (const u8 *)data.start + 8;
    MEM->args_end = (const u8 *)data.start + data.len;
    return dispatch(get64(data.start, 0));
}
