/* SPDX-License-Identifier: Apache-2.0 */
/* The only copies between the enclave and the host: hostmem.h says why so. */
#include "hostmem.h"
#include "extable.h"
#include "log.h"

#define WORD sizeof(u64)

/* One side is the host's, and aligned. Returns how many words were not copied. */
static size_t copy_words(void *dst, const void *src, size_t words)
{
    __asm__ volatile("1: rep movsq\n"
                     "2:\n\t" EX_TABLE_KIND("1b", "2b", EX_HOST)
                     : "+D"(dst), "+S"(src), "+c"(words)
                     :
                     : "memory");
    return words;
}

size_t hostmem_read(void *dst, const struct host_memory *src, size_t n)
{
    const u64 skew = (u64)src % WORD;
    const u8 *from = (const u8 *)((u64)src - skew);
    u8 *to = dst, word[WORD];
    size_t left;

    if (skew != 0 && n > 0) {
        const size_t m = MIN(WORD - skew, n);

        if (copy_words(word, from, 1) != 0)
            return n;
        memcpy(to, word + skew, m);
        to += m;
        from += WORD;
        n -= m;
    }
    left = copy_words(to, from, n / WORD);
    if (left != 0)
        return left * WORD + n % WORD;
    if (n % WORD == 0)
        return 0;
    /* The rest of an aligned word is on the page of its start. */
    if (copy_words(word, from + n / WORD * WORD, 1) != 0)
        return n % WORD;
    memcpy(to + n / WORD * WORD, word, n % WORD);
    return 0;
}

size_t hostmem_write(struct host_memory *dst, const void *src, size_t n)
{
    u8 *to = (u8 *)dst, word[WORD] = {0};
    size_t left;

    BUG_ON((u64)to % WORD != 0);
    left = copy_words(to, src, n / WORD);
    if (left != 0)
        return left * WORD + n % WORD;
    if (n % WORD == 0)
        return 0;
    memcpy(word, (const u8 *)src + n / WORD * WORD, n % WORD);
    return copy_words(to + n / WORD * WORD, word, 1) != 0 ? n % WORD : 0;
}
