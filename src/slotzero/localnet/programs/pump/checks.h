/* Checks of accounts that both creation and trades need. */
#pragma once
#include "calls.h"
#include "layout.h"

CALLED u64 check_global(const account *global) {
    REQUIRE(key_equal(global->key, GLOBAL_ACCOUNT), ERR_SEEDS);
    REQUIRE(key_equal(global->owner, PUMP_PROGRAM), ERR_OWNER);
    REQUIRE(global->data_len >= GLOBAL_FIELDS_END, ERR_NOT_INITIALIZED);
    REQUIRE(get64(global->data, 0) == GLOBAL_DISCRIMINATOR, ERR_DISCRIMINATOR);
    return 0;
}

CALLED u64 is_listed(const u8 *list, u64 count, const u8 *key) {
    for (u64 i = 0; i < count; i++) {
        if (key_equal(list + 32 * i, key)) return 1;
    }
    return 0;
}

/* An account nobody has created yet belongs to the system program. */
INLINED u64 is_absent(const account *a) { return key_equal(a->owner, SYSTEM_PROGRAM); }

CALLED u64 check_token_account(const account *tokens, const u8 *token_program, const u8 *mint, const u8 *owner) {
    REQUIRE(!is_absent(tokens), ERR_NOT_INITIALIZED);
    REQUIRE(key_equal(tokens->owner, token_program) && tokens->data_len >= TOKEN_ACCOUNT_LEN, ERR_OWNER);
    REQUIRE(key_equal(tokens->data + TOKEN_MINT, mint), ERR_TOKEN_MINT);
    REQUIRE(key_equal(tokens->data + TOKEN_OWNER, owner), ERR_TOKEN_OWNER);
    REQUIRE(tokens->is_writable, ERR_NOT_WRITABLE);
    return 0;
}
