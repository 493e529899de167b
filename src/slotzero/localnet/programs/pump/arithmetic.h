/* Exact 64-bit arithmetic with the rounding of the public formulas. */
#pragma once
#include "../sbpf.h"

#define BPS_DENOMINATOR 10000ULL
#define NO_RESULT 0xffffffffffffffffULL

/* Amounts a fee is taken of stay below this (a million SOL), so that amount * bps cannot overflow. */
#define FEE_BASE_LIMIT (1ULL << 50)

/* floor(a * b / divisor) over the 128-bit product; NO_RESULT when the quotient does not fit or the divisor is 0. */
CALLED u64 mul_div(u64 a, u64 b, u64 divisor) {
    u64 a_low = (u32)a, a_high = a >> 32, b_low = (u32)b, b_high = b >> 32;
    u64 low_low = a_low * b_low, low_high = a_low * b_high, high_low = a_high * b_low;
    u64 middle = (low_low >> 32) + (u32)low_high + (u32)high_low;
    u64 high = a_high * b_high + (low_high >> 32) + (high_low >> 32) + (middle >> 32);
    u64 low = (middle << 32) | (u32)low_low;
    if (high >= divisor) return NO_RESULT; /* also the divisor 0 */
    if (high == 0) return low / divisor;
    /* Long division, one bit at a time; `high` is the remainder and stays below the divisor. */
    for (int bit = 0; bit < 64; bit++) {
        u64 carry = high >> 63;
        high = (high << 1) | (low >> 63);
        low <<= 1;
        if (carry || high >= divisor) {
            high -= divisor;
            low |= 1;
        }
    }
    return low;
}

/* ceil(amount * bps / 10,000): every fee is rounded up on its own. */
INLINED u64 fee_of(u64 amount, u64 bps) { return (amount * bps + BPS_DENOMINATOR - 1) / BPS_DENOMINATOR; }
