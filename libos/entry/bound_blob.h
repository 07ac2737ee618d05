/* SPDX-License-Identifier: Apache-2.0 */
/* The measured bound (abi/bound.h), read in place: members by number, their rules in order. */
#pragma once

#include "bound.h"
#include "lib.h"

/* A member. One that the bound does not have is empty and has line 0. */
struct bound_rules {
    const char *name; /* as the JSON has it */
    u32 line, count;
    const u8 *p, *end; /* rules not yet taken */
};
struct bound {
    struct bound_rules members[BOUND_MEMBER_END];
};
struct bound_text {
    const char *p;
    size_t size;
};
struct bound_entry {
    u32 line, flags;
    struct bound_text name, value;
};

/* All of it is checked here; -EINVAL. */
int bound_open(const void *blob, size_t size, struct bound *out);
/* The next rule of a copy of a member; false at the end. */
bool bound_next(struct bound_rules *rules, struct bound_entry *out);
/* The next word of a command, whose value is shortened by it; flags are BOUND_WORD_*. False at the
 * end. */
bool bound_next_word(struct bound_text *command, struct bound_text *word, u32 *flags);
