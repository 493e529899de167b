/* Calling other programs, derived addresses, and the few calls to the system program.
 *
 * A call is put together with call_*() and made with invoke(); the accounts' order and flags are part of what mainnet
 * shows in its inner instructions, so they are kept. */
#pragma once
#include "errors.h"
#include "keys.h"
#include "memory.h"

enum { READ_ONLY = 0, WRITABLE = 1, SIGNER = 2 };

INLINED void call_begin(void) {
    MEM->metas_len = 0;
    MEM->out = MEM->data;
}
INLINED void call_account(const u8 *key, u64 flags) {
    account_meta *meta = &MEM->metas[MEM->metas_len++];
    meta->key = key;
    meta->is_writable = flags & WRITABLE ? 1 : 0;
    meta->is_signer = flags & SIGNER ? 1 : 0;
}
INLINED void call_u8(u64 value) { *MEM->out++ = (u8)value; }
INLINED void call_u32(u64 value) {
    put32(MEM->out, 0, value);
    MEM->out += 4;
}
INLINED void call_u64(u64 value) {
    put64(MEM->out, 0, value);
    MEM->out += 8;
}
CALLED void call_key(const u8 *key) {
    key_copy(MEM->out, key);
    MEM->out += 32;
}
CALLED void call_bytes(const void *start, u64 len) {
    sol_memcpy_(MEM->out, start, len);
    MEM->out += len;
}

/* Make the call; with `is_signed` the address of the current seeds signs it. */
CALLED u64 invoke(const u8 *program, u64 is_signed) {
    MEM->call.program = program;
    MEM->call.accounts = MEM->metas;
    MEM->call.accounts_len = MEM->metas_len;
    MEM->call.data = MEM->data;
    MEM->call.data_len = (u64)(MEM->out - MEM->data);
    MEM->signer.start = MEM->seeds;
    MEM->signer.len = MEM->seeds_len;
    return sol_invoke_signed_c(&MEM->call, MEM->accounts, MEM->accounts_len, &MEM->signer, is_signed);
}

/* ---- derived addresses ---- */

INLINED void add_seed(const void *start, u64 len) {
    MEM->seeds[MEM->seeds_len].start = start;
    MEM->seeds[MEM->seeds_len].len = len;
    MEM->seeds_len++;
}
INLINED void seeds_of_tag(const void *tag, u64 len) {
    MEM->seeds_len = 0;
    add_seed(tag, len);
}
#define SEEDS(tag, key)                       \
    do {                                      \
        seeds_of_tag(tag, sizeof(tag) - 1);   \
        add_seed(key, 32);                    \
    } while (0)
/* Seeds of an address without a key of its own; all of the venue's have the bump 255. */
static const u8 BUMP_255[1] = {255};
#define SIGN_AS(tag)                          \
    do {                                      \
        seeds_of_tag(tag, sizeof(tag) - 1);   \
        add_seed(BUMP_255, 1);                \
    } while (0)

/* Whether the current seeds lead to `key`; its bump is then in MEM->bump. The public layouts carry no bumps, so each
 * answer costs 1,500 compute units for every bump tried. */
CALLED u64 seeds_find(const u8 *key, const u8 *program) {
    u64 failed = sol_try_find_program_address(MEM->seeds, MEM->seeds_len, program, MEM->found, MEM->bump);
    return !failed && key_equal(MEM->found, key);
}
/* Do as seeds_find for an account that exists and that no one but `program` can have created: it signed as that address,
 * and our programs sign with the first bump only. So the hash need not be looked for on the curve, which is all that
 * makes a bump expensive. One address in 65,536 has none of these bumps: it is found the long way, and so is refused
 * what leads nowhere. */
enum { LIKELY_BUMPS = 16 };
CALLED u64 seeds_lead_to(const u8 *key, const u8 *program) {
    u64 named = MEM->seeds_len, is_equal = 0;
    add_seed(MEM->bump, 1);
    add_seed(program, 32);
    add_seed("ProgramDerivedAddress", 21);
    for (u64 tries = 0; tries < LIKELY_BUMPS && !is_equal; tries++) {
        MEM->bump[0] = (u8)(255 - tries);
        sol_sha256(MEM->seeds, MEM->seeds_len, MEM->found);
        is_equal = key_equal(MEM->found, key);
    }
    MEM->seeds_len = named;
    return is_equal || seeds_find(key, program);
}
INLINED void seeds_of_tokens(const u8 *wallet, const u8 *token_program, const u8 *mint) {
    seeds_of_tag(wallet, 32);
    add_seed(token_program, 32);
    add_seed(mint, 32);
}
CALLED u64 is_associated_account(const account *a, const u8 *wallet, const u8 *token_program, const u8 *mint) {
    seeds_of_tokens(wallet, token_program, mint);
    return seeds_find(a->key, ATA_PROGRAM);
}

/* ---- the system program ---- */

enum { SYSTEM_CREATE_ACCOUNT = 0, SYSTEM_ASSIGN = 1, SYSTEM_TRANSFER = 2, SYSTEM_ALLOCATE = 8 };
#define THRESHOLD_OF_TWO_YEARS 0x4000000000000000ULL /* 2.0: the older form of the sysvar, per byte and year */

/* Read from the sysvar: transactions of August 2026 paid 6,960 lamports for a byte, those of October 5,080. */
CALLED u64 rent_of(u64 data_len) {
    sol_get_rent_sysvar(&MEM->rent);
    u64 rent = (128 + data_len) * MEM->rent.lamports_per_byte;
    return MEM->rent.exemption_threshold == THRESHOLD_OF_TWO_YEARS ? rent * 2 : rent;
}
CALLED u64 transfer(const account *from, const account *to, u64 lamports) {
    call_begin();
    call_account(from->key, WRITABLE | SIGNER);
    call_account(to->key, WRITABLE);
    call_u32(SYSTEM_TRANSFER);
    call_u64(lamports);
    return invoke(SYSTEM_PROGRAM, 0);
}

/* Create `created` with rent for `space`. It signs by itself, or, with `is_derived`, by the current seeds.
 *
 * Anyone can send a lamport to an address before it is created, and the system program then refuses create_account:
 * such an account is topped up, sized and assigned instead, as Anchor does. */
CALLED u64 create_account(const account *payer, const account *created, u64 space, const u8 *owner, u64 is_derived) {
    u64 rent = rent_of(space);
    if (*created->lamports == 0) {
        call_begin();
        call_account(payer->key, WRITABLE | SIGNER);
        call_account(created->key, WRITABLE | SIGNER);
        call_u32(SYSTEM_CREATE_ACCOUNT);
        call_u64(rent);
        call_u64(space);
        call_key(owner);
        return invoke(SYSTEM_PROGRAM, is_derived);
    }
    if (*created->lamports < rent) TRY(transfer(payer, created, rent - *created->lamports));
    call_begin();
    call_account(created->key, WRITABLE | SIGNER);
    call_u32(SYSTEM_ALLOCATE);
    call_u64(space);
    TRY(invoke(SYSTEM_PROGRAM, is_derived));
    call_begin();
    call_account(created->key, WRITABLE | SIGNER);
    call_u32(SYSTEM_ASSIGN);
    call_key(owner);
    return invoke(SYSTEM_PROGRAM, is_derived);
}
