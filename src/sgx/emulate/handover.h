/* SPDX-License-Identifier: Apache-2.0 */
/* What the preload library and the core tell each other. */
#pragma once

#include <stdint.h>

#define HOST_GATES_SIZE 0x200000
#define AT_HANDOVER     0x52534758ul /* in the core's auxv: a struct host_handover */

struct host_handover {
    uint64_t region, region_size; /* core and gates: here system calls are the kernel's */
    uint64_t gates;
    uint64_t *auxv;      /* the program's */
    const char *preload; /* path of the library, for LD_PRELOAD of what the program execs */
    int (*attach)(void); /* 0 or -errno; on the program's first thread */
    uint64_t mask;       /* the thread's signal mask, for attach() to set */
    char error[256];     /* when the set-up failed */
    unsigned done;       /* futex: the core has set itself up */
};
