/* Events: written as the data of a call to ourselves, and logged with the same bytes. */
#pragma once
#include "calls.h"

INLINED void event_begin(u64 discriminator) {
    call_begin();
    call_u64(EVENT_INSTRUCTION);
    call_u64(discriminator);
}
CALLED void event_string(const slice *text) {
    call_u32(text->len);
    call_bytes(text->start, text->len);
}

/* Log the event, then call ourselves with it: mainnet's order since 2026. Only the event authority can sign that call,
 * so an inner instruction of this kind proves the event, where a log line of another program does not. */
CALLED u64 event_emit(const account *event_authority) {
    MEM->logged.start = MEM->data + 8; /* without the instruction's own tag */
    MEM->logged.len = (u64)(MEM->out - MEM->data) - 8;
    sol_log_data(&MEM->logged, 1);
    call_account(event_authority->key, SIGNER);
    SIGN_AS("__event_authority");
    return invoke(PUMP_PROGRAM, 1);
}
