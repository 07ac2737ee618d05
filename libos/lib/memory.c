/* SPDX-License-Identifier: Apache-2.0 */
/* Memory functions that the C library has not. */
#include "lib.h"

typedef u64 __attribute__((may_alias, aligned(1))) u64_any;

bool memory_is_zero(const void *p, size_t n)
{
    const u8 *x = p;

    for (; n >= 64; n -= 64, x += 64) {
        const u64_any *w = (const u64_any *)x;

        if (w[0] | w[1] | w[2] | w[3] | w[4] | w[5] | w[6] | w[7])
            return false;
    }
    for (; n > 0; n--, x++) {
        if (*x != 0)
            return false;
    }
    return true;
}
