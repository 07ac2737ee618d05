/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "decode.h"
#include "../../../libos/fs/tmpfs/memfs.h"

extern struct process g_test_process;
/* Blocks that were freed, and not wiped, with sixteen such bytes in them; 0: not looked for. */
extern u8 g_test_secret;
extern unsigned g_test_unwiped;
void world_start(struct super *root);
void world_stop(void);
extern void (*g_test_cut)(void); /* of mm_cut_file() */

/* CALL(open, "/x", O_RDONLY): the arguments that are left out are 0. */
#define CALL(name, ...) CALL_(name, __VA_ARGS__, 0, 0, 0, 0, 0)
#define CALL_(name, a, b, c, d, e, f, ...)               \
    decode_##name(&(struct uregs){.rdi = (u64)(long)(a), \
                                  .rsi = (u64)(long)(b), \
                                  .rdx = (u64)(long)(c), \
                                  .r10 = (u64)(long)(d), \
                                  .r8 = (u64)(long)(e),  \
                                  .r9 = (u64)(long)(f)})
