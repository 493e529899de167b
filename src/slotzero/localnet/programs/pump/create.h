/* create_v2: a Token-2022 mint with its metadata, the whole supply, and the curve that sells it. */
#pragma once
#include "checks.h"
#include "events.h"

/* The accounts of create_v2. The five in the gap serve mayhem coins, which cannot be created here: they are not looked
 * at. Behind the sixteen may come the quote mint, the curve's account for it and its token program. */
enum {
    CREATE_MINT = 0,
    CREATE_MINT_AUTHORITY = 1,
    CREATE_CURVE = 2,
    CREATE_CURVE_TOKENS = 3,
    CREATE_GLOBAL = 4,
    CREATE_USER = 5,
    CREATE_SYSTEM_PROGRAM = 6,
    CREATE_TOKEN_PROGRAM = 7,
    CREATE_ATA_PROGRAM = 8,
    CREATE_EVENT_AUTHORITY = 14,
    CREATE_PROGRAM = 15,
    CREATE_ACCOUNTS = 16,
    CREATE_QUOTE_MINT = 16,
};

/* Instructions of the token programs. */
enum { TOKEN_SET_AUTHORITY = 6, TOKEN_MINT_TO = 7, TOKEN_INITIALIZE_MINT_2 = 20, TOKEN_METADATA_POINTER = 39 };
enum { POINTER_INITIALIZE = 0, AUTHORITY_MINT_TOKENS = 0, NO_AUTHORITY = 0, ATA_CREATE = 0 };
static const u8 NO_KEY[32] = {0};

/* Read one Borsh string of at most `max` bytes. The length is tested before it is added to anything. */
CALLED u64 read_string(slice *text, u64 max, u64 code_when_longer) {
    REQUIRE(MEM->args + 4 <= MEM->args_end, ERR_ARGUMENTS);
    text->len = get32(MEM->args, 0);
    text->start = MEM->args + 4;
    REQUIRE(text->len <= max, code_when_longer);
    MEM->args += 4 + text->len;
    REQUIRE(MEM->args <= MEM->args_end, ERR_ARGUMENTS);
    return 0;
}
/* Read an argument that callers may leave off the end; it is then 0. */
INLINED u64 read_optional_u8(void) { return MEM->args < MEM->args_end ? *MEM->args++ : 0; }
INLINED void skip_optional_u64(void) { MEM->args = MEM->args + 8 <= MEM->args_end ? MEM->args + 8 : MEM->args_end; }

CALLED u64 read_creation(creation *c) {
    c->strings = MEM->args;
    TRY(read_string(&c->name, MAX_NAME_LEN, ERR_NAME_TOO_LONG));
    TRY(read_string(&c->symbol, MAX_SYMBOL_LEN, ERR_SYMBOL_TOO_LONG));
    TRY(read_string(&c->uri, MAX_URI_LEN, ERR_URI_TOO_LONG));
    c->strings_len = (u64)(MEM->args - c->strings);
    REQUIRE(MEM->args + 33 <= MEM->args_end, ERR_ARGUMENTS);
    c->creator = MEM->args;
    c->is_mayhem = MEM->args[32];
    MEM->args += 33;
    c->is_cashback = read_optional_u8();
    skip_optional_u64(); /* creator_fee_bps: ignored on a SOL curve, the fee schedule applies */
    c->is_holder_reward = read_optional_u8();
    return 0;
}

CALLED u64 check_creation(creation *c) {
    const account *a = MEM->accounts;
    TRY(check_global(&a[CREATE_GLOBAL]));
    const u8 *global = a[CREATE_GLOBAL].data, *mint = a[CREATE_MINT].key;
    REQUIRE(a[CREATE_MINT].is_signer && a[CREATE_USER].is_signer, ERR_NOT_SIGNER);
    REQUIRE(a[CREATE_MINT].is_writable && a[CREATE_USER].is_writable, ERR_NOT_WRITABLE);
    REQUIRE(a[CREATE_CURVE].is_writable && a[CREATE_CURVE_TOKENS].is_writable, ERR_NOT_WRITABLE);
    REQUIRE(key_equal(a[CREATE_MINT_AUTHORITY].key, MINT_AUTHORITY), ERR_SEEDS);
    REQUIRE(key_equal(a[CREATE_EVENT_AUTHORITY].key, EVENT_AUTHORITY), ERR_SEEDS);
    REQUIRE(key_equal(a[CREATE_SYSTEM_PROGRAM].key, SYSTEM_PROGRAM), ERR_PROGRAM_ID);
    REQUIRE(key_equal(a[CREATE_TOKEN_PROGRAM].key, TOKEN_2022_PROGRAM), ERR_PROGRAM_ID);
    REQUIRE(key_equal(a[CREATE_ATA_PROGRAM].key, ATA_PROGRAM), ERR_PROGRAM_ID);
    REQUIRE(key_equal(a[CREATE_PROGRAM].key, PUMP_PROGRAM), ERR_PROGRAM_ID);
    REQUIRE(global[GLOBAL_CREATE_V2_ENABLED], ERR_CREATE_V2_DISABLED);
    REQUIRE(!c->is_mayhem, ERR_MAYHEM_DISABLED);
    REQUIRE(!c->is_cashback, ERR_CASHBACK_DEPRECATED);
    REQUIRE(MEM->accounts_len == CREATE_ACCOUNTS || key_equal(a[CREATE_QUOTE_MINT].key, WSOL_MINT), ERR_QUOTE_MINT);
    if (c->is_holder_reward) { /* the creator fee is the holders': it accrues to an address of the mint */
        REQUIRE(global[GLOBAL_HOLDER_REWARD_ENABLED], ERR_HOLDER_REWARD_DISABLED);
        SEEDS("holder-rewards", mint);
        seeds_find(mint, PUMP_PROGRAM); /* asked for the address it leaves in MEM->found */
        key_copy(c->holder_rewards, MEM->found);
        c->creator = c->holder_rewards;
    }
    SEEDS("bonding-curve", mint);
    REQUIRE(seeds_find(a[CREATE_CURVE].key, PUMP_PROGRAM), ERR_SEEDS);
    c->curve_bump[0] = MEM->bump[0];
    return 0;
}

/* A mint whose metadata pointer names itself; nobody may change the pointer, nobody can freeze. */
CALLED u64 create_mint(void) {
    const account *mint = &MEM->accounts[CREATE_MINT];
    TRY(create_account(&MEM->accounts[CREATE_USER], mint, MINT_WITH_POINTER_LEN, TOKEN_2022_PROGRAM, 0));
    call_begin();
    call_account(mint->key, WRITABLE);
    call_u8(TOKEN_METADATA_POINTER);
    call_u8(POINTER_INITIALIZE);
    call_key(NO_KEY);
    call_key(mint->key);
    TRY(invoke(TOKEN_2022_PROGRAM, 0));
    call_begin();
    call_account(mint->key, WRITABLE);
    call_u8(TOKEN_INITIALIZE_MINT_2);
    call_u8(TOKEN_DECIMALS);
    call_key(MINT_AUTHORITY);
    call_u8(NO_AUTHORITY);
    return invoke(TOKEN_2022_PROGRAM, 0);
}

CALLED u64 create_curve(const creation *c) {
    const account *a = MEM->accounts;
    SEEDS("bonding-curve", a[CREATE_MINT].key);
    add_seed(c->curve_bump, 1);
    TRY(create_account(&a[CREATE_USER], &a[CREATE_CURVE], CURVE_LEN, PUMP_PROGRAM, 1));
    call_begin();
    call_account(a[CREATE_USER].key, WRITABLE | SIGNER);
    call_account(a[CREATE_CURVE_TOKENS].key, WRITABLE);
    call_account(a[CREATE_CURVE].key, READ_ONLY);
    call_account(a[CREATE_MINT].key, READ_ONLY);
    call_account(SYSTEM_PROGRAM, READ_ONLY);
    call_account(TOKEN_2022_PROGRAM, READ_ONLY);
    call_u8(ATA_CREATE);
    return invoke(ATA_PROGRAM, 0);
}

/* Write the metadata into the mint and give up the authority over it. The token program grows the account by itself,
 * but the rent for it must be there before. */
CALLED u64 write_metadata(const creation *c) {
    const account *mint = &MEM->accounts[CREATE_MINT];
    u64 grown = MINT_WITH_POINTER_LEN + METADATA_HEADER_LEN + c->strings_len + METADATA_ADDITIONAL_LEN;
    if (grown == MULTISIG_LEN) /* the token program tells a multisig by its length, and avoids it */
        grown += EXTENSION_TYPE_LEN;
    TRY(transfer(&MEM->accounts[CREATE_USER], mint, rent_of(grown) - rent_of(MINT_WITH_POINTER_LEN)));
    SIGN_AS("mint-authority");
    call_begin();
    call_account(mint->key, WRITABLE);
    call_account(MINT_AUTHORITY, READ_ONLY);
    call_account(mint->key, READ_ONLY);
    call_account(MINT_AUTHORITY, SIGNER);
    call_u64(METADATA_INITIALIZE);
    call_bytes(c->strings, c->strings_len);
    TRY(invoke(TOKEN_2022_PROGRAM, 1));
    call_begin();
    call_account(mint->key, WRITABLE);
    call_account(MINT_AUTHORITY, SIGNER);
    call_u64(METADATA_UPDATE_AUTHORITY);
    call_key(NO_KEY);
    return invoke(TOKEN_2022_PROGRAM, 1);
}

/* Mint the whole supply to the curve and give up the right to mint. */
CALLED u64 mint_supply(u64 supply) {
    const account *mint = &MEM->accounts[CREATE_MINT];
    SIGN_AS("mint-authority");
    call_begin();
    call_account(mint->key, WRITABLE);
    call_account(MEM->accounts[CREATE_CURVE_TOKENS].key, WRITABLE);
    call_account(MINT_AUTHORITY, SIGNER);
    call_u8(TOKEN_MINT_TO);
    call_u64(supply);
    TRY(invoke(TOKEN_2022_PROGRAM, 1));
    call_begin();
    call_account(mint->key, WRITABLE);
    call_account(MINT_AUTHORITY, SIGNER);
    call_u8(TOKEN_SET_AUTHORITY);
    call_u8(AUTHORITY_MINT_TOKENS);
    call_u8(NO_AUTHORITY);
    return invoke(TOKEN_2022_PROGRAM, 1);
}

CALLED void write_curve(const creation *c, u8 *curve, const u8 *global) {
    put64(curve, 0, CURVE_DISCRIMINATOR);
    put64(curve, CURVE_VIRTUAL_TOKEN, get64(global, GLOBAL_VIRTUAL_TOKEN));
    put64(curve, CURVE_VIRTUAL_QUOTE, get64(global, GLOBAL_VIRTUAL_QUOTE));
    put64(curve, CURVE_REAL_TOKEN, get64(global, GLOBAL_REAL_TOKEN));
    put64(curve, CURVE_TOKEN_SUPPLY, get64(global, GLOBAL_TOKEN_SUPPLY));
    key_copy(curve + CURVE_CREATOR, c->creator);
    curve[CURVE_IS_HOLDER_REWARD] = c->is_holder_reward != 0;
}

CALLED u64 emit_create_event(const creation *c) {
    const account *a = MEM->accounts;
    const u8 *curve = a[CREATE_CURVE].data;
    sol_get_clock_sysvar(&MEM->clock);
    event_begin(CREATE_EVENT);
    event_string(&c->name);
    event_string(&c->symbol);
    event_string(&c->uri);
    call_key(a[CREATE_MINT].key);
    call_key(a[CREATE_CURVE].key);
    call_key(a[CREATE_USER].key);
    call_key(curve + CURVE_CREATOR);
    call_u64((u64)MEM->clock.unix_timestamp);
    call_u64(get64(curve, CURVE_VIRTUAL_TOKEN));
    call_u64(get64(curve, CURVE_VIRTUAL_QUOTE));
    call_u64(get64(curve, CURVE_REAL_TOKEN));
    call_u64(get64(curve, CURVE_TOKEN_SUPPLY));
    call_key(TOKEN_2022_PROGRAM);
    call_u8(0); /* is_mayhem_mode */
    call_u8(0); /* is_cashback_enabled */
    call_key(curve + CURVE_QUOTE_MINT);
    call_u64(get64(curve, CURVE_VIRTUAL_QUOTE));
    call_u64(get64(curve, CURVE_CREATOR_FEE_BPS));
    call_u8(curve[CURVE_IS_HOLDER_REWARD]);
    return event_emit(&a[CREATE_EVENT_AUTHORITY]);
}

CALLED u64 create_v2(void) {
    creation *c = &MEM->creation;
    const account *a = MEM->accounts;
    LOG("Instruction: CreateV2");
    REQUIRE(MEM->accounts_len >= CREATE_ACCOUNTS, ERR_TOO_FEW_ACCOUNTS);
    TRY(read_creation(c));
    TRY(check_creation(c));
    TRY(create_mint());
    TRY(create_curve(c));
    TRY(write_metadata(c));
    TRY(mint_supply(get64(a[CREATE_GLOBAL].data, GLOBAL_TOKEN_SUPPLY)));
    write_curve(c, a[CREATE_CURVE].data, a[CREATE_GLOBAL].data);
    return emit_create_event(c);
}
