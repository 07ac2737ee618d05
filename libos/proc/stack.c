/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The initial stack of a program (System V ABI, AMD64 supplement, 3.4.1), from high to low
 * addresses: a zero word, the executable's name, environment strings, argument strings, platform,
 * 16 random bytes, padding, auxiliary vector, envp, argv, argc.
 */
#include "proc.h"
#include <linux/auxvec.h>

#define PLATFORM "x86_64"

static size_t count_strings(char *const *v, size_t *bytes)
{
    size_t n = 0;
    for (; v && v[n]; n++)
        *bytes += strlen(v[n]) + 1;
    return n;
}

size_t stack_size_needed(const struct stack_spec *s)
{
    size_t bytes = 8 + strlen(s->execfn) + 1 + sizeof(PLATFORM) + 16 + 64;
    size_t words = 1 + count_strings(s->argv, &bytes) + 1 + count_strings(s->env, &bytes) + 1;
    return bytes + (words + s->auxv_words + 8) * 8;
}

struct cursor {
    u8 *buf;
    u64 base; /* address of buf[0] */
    u64 at;   /* address of the lowest byte used */
};

static u64 push(struct cursor *c, const void *data, size_t n)
{
    c->at -= n;
    memcpy(c->buf + (c->at - c->base), data, n);
    return c->at;
}

static void put_word(struct cursor *c, u64 *where, u64 value)
{
    memcpy(c->buf + (*where - c->base), &value, 8);
    *where += 8;
}

/* Strings in ascending order, so that /proc/PID/cmdline is one range. Returns the first one's
 * address. */
static u64 push_strings(struct cursor *c, char *const *v)
{
    size_t bytes = 0, n = count_strings(v, &bytes);
    c->at -= bytes;
    u64 at = c->at;
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(v[i]) + 1;
        memcpy(c->buf + (at - c->base), v[i], len);
        at += len;
    }
    return c->at;
}

static void put_pointers(struct cursor *c, u64 *where, char *const *v, u64 string)
{
    for (size_t i = 0; v && v[i]; i++) {
        put_word(c, where, string);
        string += strlen(v[i]) + 1;
    }
    put_word(c, where, 0);
}

static void auxv_complete(struct stack_spec *s, u64 random, u64 platform, u64 execfn)
{
    u32 n = MIN(s->auxv_words, 56u);
    memcpy(s->auxv_final, s->auxv, n * 8);
    const u64 tail[] = {AT_RANDOM, random, AT_EXECFN, execfn, AT_PLATFORM, platform, AT_NULL, 0};
    memcpy(s->auxv_final + n, tail, sizeof(tail));
    s->auxv_final_words = n + (u32)ARRAY_SIZE(tail);
}

int stack_build(struct stack_spec *s, u64 top, u8 *buf, size_t size)
{
    size_t bytes = 0;
    size_t argc = count_strings(s->argv, &bytes), envc = count_strings(s->env, &bytes);
    if (stack_size_needed(s) > size)
        return -E2BIG;
    struct cursor c = {buf, top - size, top};
    u64 zero = 0;
    push(&c, &zero, 8);
    u64 execfn = push(&c, s->execfn, strlen(s->execfn) + 1);
    s->env_end = c.at;
    s->env_start = push_strings(&c, s->env);
    s->arg_end = c.at;
    s->arg_start = push_strings(&c, s->argv);
    u64 platform = push(&c, PLATFORM, sizeof(PLATFORM));
    c.at &= ~15ull;
    u64 random = push(&c, s->random, 16);
    auxv_complete(s, random, platform, execfn);
    size_t words = 1 + argc + 1 + envc + 1 + s->auxv_final_words;
    s->sp = (c.at - words * 8) & ~15ull;
    u64 where = s->sp;
    put_word(&c, &where, argc);
    put_pointers(&c, &where, s->argv, s->arg_start);
    put_pointers(&c, &where, s->env, s->env_start);
    for (u32 i = 0; i < s->auxv_final_words; i++)
        put_word(&c, &where, s->auxv_final[i]);
    return 0;
}
