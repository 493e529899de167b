/* Everything the program holds while it runs, at the start of the heap (see sbpf.h for why it is not on the stack). */
#pragma once
#include "../sbpf.h"

/* The accounts of a trade by what they are. Legacy and v2 instructions name the same things in different orders. */
typedef struct {
    account *global, *fee_recipient, *mint, *curve, *curve_tokens, *user_tokens, *user;
    account *system_program, *token_program, *creator_vault, *event_authority, *program;
    account *volume; /* the user's volume accumulator */
    account *fee_config, *fee_program;
    account *curve_v2; /* of the undeclared tail; absent in v2 instructions */
    account *buyback;
} trade_accounts;
enum { TRADE_ACCOUNTS = sizeof(trade_accounts) / sizeof(account *) };

typedef struct {
    trade_accounts acc;
    u64 is_buy, is_exact_in, is_v2, tracks_volume;
    u64 is_mayhem, is_cashback;
    slice ix_name;                         /* how the event calls the instruction */
    u64 amount, limit;                     /* the two numbers of the instruction */
    u64 tokens, cost;                      /* what changes hands: tokens, and lamports without fees */
    u64 protocol_bps, creator_bps, buyback_bps;
    u64 protocol_fee, creator_fee, buyback_fee; /* the buyback's share is part of the protocol fee */
    u8 curve_bump[8];
} trade;

typedef struct {
    slice name, symbol, uri;
    const u8 *strings; /* the three, with their length prefixes, as they lie in the arguments */
    u64 strings_len;
    const u8 *creator;
    u64 is_mayhem, is_cashback, is_holder_reward;
    u8 curve_bump[8];
    u8 holder_rewards[32];
} creation;

enum { MAX_ACCOUNTS = 64, MAX_METAS = 6, MAX_SEEDS = 6, MAX_OUT = 1024 };

typedef struct {
    account accounts[MAX_ACCOUNTS];
    u64 accounts_len;
    const u8 *args, *args_end; /* what is left to read of the instruction's arguments */

    /* The seeds last named: for finding an address, and for signing as it. */
    slice seeds[MAX_SEEDS];
    u64 seeds_len;
    slice signer;
    u8 found[32]; /* the address last found, and its bump */
    u8 bump[8];

    /* The call being put together. An event is one, too. */
    instruction call;
    account_meta metas[MAX_METAS];
    u64 metas_len;
    u8 *out;
    u8 data[MAX_OUT];

    slice logged;
    clock_sysvar clock;
    rent_sysvar rent;

    trade trade;
    creation creation;
} memory;
_Static_assert(sizeof(memory) < 16384, "half of the heap is left");

#define MEM ((memory *)HEAP_START)
