/* The runtime interface of an on-chain program, written from the documented ABI: no vendor SDK is needed.
 *
 * What the compiler target (clang's bpfel, -mcpu=v2) and the VM make of C, and what follows for the programs here:
 *
 * - LLVM gives a function 512 bytes of stack and knows no stack arguments. Everything of any size lives on the heap,
 *   at a fixed address, and a real call takes at most five arguments.
 * - A program cannot have writable globals: the loader maps its image read-only.
 * - A table of pointers in read-only data needs load-time relocations, which our linker refuses; tables hold small
 *   integers instead.
 * - -mcpu=v3 is wrong code: its 32-bit additions are zero-extended in LLVM's model and sign-extended by the VM.
 * - There is no 128-bit arithmetic (no compiler runtime to link) and no libc; -fno-builtin keeps LLVM from calling one.
 * - The VM allows unaligned loads and stores, C does not: they go through the accessors below and nowhere else.
 */
#pragma once

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

/* A helper that never costs a call. */
#define INLINED static inline __attribute__((always_inline))
/* A function that stays a real call, so that its stack frame is its own. */
#define CALLED static __attribute__((noinline))

/* 32 KiB, zeroed by the VM at every invocation: this is where a program keeps its state. */
#define HEAP_START 0x300000000ULL

/* ---- the structures a program shares with the VM; their layouts are the ABI ---- */

/* `data_len` must lie in writable memory: the VM updates it there when a call of ours resizes the account. It does so
 * only in the first structure with that key, so one that is passed twice has a stale length in the second. */
typedef struct {
    const u8 *key;
    u64 *lamports;
    u64 data_len;
    u8 *data;
    const u8 *owner;
    u64 rent_epoch;
    u8 is_signer, is_writable, is_executable;
} account;

typedef struct {
    const u8 *key;
    u8 is_writable, is_signer;
} account_meta;

typedef struct {
    const u8 *program;
    const account_meta *accounts;
    u64 accounts_len;
    const u8 *data;
    u64 data_len;
} instruction;

typedef struct {
    const void *start;
    u64 len;
} slice;

typedef struct {
    u64 slot;
    i64 epoch_start;
    u64 epoch, leader_schedule_epoch;
    i64 unix_timestamp;
} clock_sysvar;

typedef struct {
    u64 lamports_per_byte;
    u64 exemption_threshold; /* the bits of a double; the VM has no floating point */
    u8 burn_percent, padding[7];
} rent_sysvar;

_Static_assert(sizeof(account) == 56 && sizeof(account_meta) == 16 && sizeof(instruction) == 40, "the VM's layouts");
_Static_assert(sizeof(clock_sysvar) == 40 && sizeof(rent_sysvar) == 24, "the VM's layouts");

/* ---- syscalls: unresolved symbols that the linker turns into dynamic relocations by name ---- */

u64 sol_log_(const char *message, u64 len);
u64 sol_log_data(const slice *fields, u64 fields_len);
u64 sol_memcpy_(void *to, const void *from, u64 len);
u64 sol_get_clock_sysvar(clock_sysvar *out);
u64 sol_get_rent_sysvar(rent_sysvar *out);
u64 sol_invoke_signed_c(const instruction *call, const account *infos, u64 infos_len, const slice *signers,
                        u64 signers_len);
u64 sol_sha256(const slice *parts, u64 parts_len, u8 *digest);
u64 sol_try_find_program_address(const slice *seeds, u64 seeds_len, const u8 *program, u8 *address, u8 *bump);

#define LOG(text) sol_log_(text, sizeof(text) - 1)

/* ---- unaligned access ---- */

INLINED u64 get64(const u8 *data, u64 offset) { return *(const u64 *)(data + offset); }
INLINED u32 get32(const u8 *data, u64 offset) { return *(const u32 *)(data + offset); }
INLINED void put64(u8 *data, u64 offset, u64 value) { *(u64 *)(data + offset) = value; }
INLINED void put32(u8 *data, u64 offset, u64 value) { *(u32 *)(data + offset) = (u32)value; }

INLINED int key_equal(const u8 *a, const u8 *b) {
    return get64(a, 0) == get64(b, 0) && get64(a, 8) == get64(b, 8) && get64(a, 16) == get64(b, 16) &&
           get64(a, 24) == get64(b, 24);
}
INLINED int key_is_zero(const u8 *key) { return !(get64(key, 0) | get64(key, 8) | get64(key, 16) | get64(key, 24)); }
INLINED void key_copy(u8 *to, const u8 *from) {
    for (u64 at = 0; at < 32; at += 8) put64(to, at, get64(from, at));
}

/* ---- the input region ---- */

enum { MAX_GROWTH = 10240, NOT_A_DUPLICATE = 0xff };

/* Read the aligned input region into `accounts`; set `data` to the instruction's data behind them.
 *
 * Returns the number of accounts, or 0 when there are more than `max` (no instruction of ours takes none). A repeated
 * account is a one-byte index of its first occurrence; both structures then share lamports and data. */
INLINED u64 read_input(u8 *input, account *accounts, u64 max, slice *data) {
    u64 count = get64(input, 0);
    if (count > max) return 0;
    input += 8;
    for (u64 i = 0; i < count; i++) {
        if (*input != NOT_A_DUPLICATE) {
            accounts[i] = accounts[*input];
            input += 8;
            continue;
        }
        account *a = &accounts[i];
        a->is_signer = input[1];
        a->is_writable = input[2];
        a->is_executable = input[3];
        a->key = input + 8;
        a->owner = input + 40;
        a->lamports = (u64 *)(input + 72);
        a->data_len = get64(input, 80);
        a->data = input + 88;
        input += 88 + a->data_len + MAX_GROWTH;
        input += -(u64)input & 7; /* the next field is aligned */
        a->rent_epoch = get64(input, 0);
        input += 8;
    }
    data->len = get64(input, 0);
    data->start = input + 8;
    return count;
}
