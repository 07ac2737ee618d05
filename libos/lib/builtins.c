/* SPDX-License-Identifier: Apache-2.0 */
/* What the compiler calls for operations without an instruction of the base architecture. */
#include "types.h"

int __popcountdi2(u64 v);
unsigned __int128 __udivti3(unsigned __int128 a, unsigned __int128 b);

int __popcountdi2(u64 v)
{
    v = v - ((v >> 1) & 0x5555555555555555ull);
    v = (v & 0x3333333333333333ull) + ((v >> 2) & 0x3333333333333333ull);
    v = (v + (v >> 4)) & 0x0f0f0f0f0f0f0f0full;
    return (int)((v * 0x0101010101010101ull) >> 56);
}

/* Shift and subtract: it is for set-up code only. */
unsigned __int128 __udivti3(unsigned __int128 a, unsigned __int128 b)
{
    unsigned __int128 quotient = 0, rest = 0;

    for (int i = 127; i >= 0; i--) {
        rest = rest << 1 | ((a >> i) & 1);
        if (rest >= b) {
            rest -= b;
            quotient |= (unsigned __int128)1 << i;
        }
    }
    return quotient;
}
