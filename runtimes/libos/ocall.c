/* SPDX-License-Identifier: Apache-2.0 */
/* The table of ocalls, from abi/boundary.h. */
#include <errno.h>
#include <string.h>

#include "runtime.h"

static ocall_fn *const g_table[OCALL_COUNT] = {
#define O(name, count, what) [OCALL_##name] = ocall_##name,
    BOUNDARY_OCALLS(O)
#undef O
};

void ocall_serve(struct boundary_area *area, uint64_t number)
{
    if (number >= OCALL_COUNT)
        runtime_fatal("the enclave asked for an ocall that does not exist");
    uint64_t args[BOUNDARY_ARGS]; /* what is checked is what is used, whoever else has the area */
    memcpy(args, area->args, sizeof(args));
    area->ret = g_table[number](area, args);
}

const char *ocall_string(struct boundary_area *area, uint64_t offset)
{
    if (offset >= BOUNDARY_DATA_SIZE ||
        memchr(area->data + offset, '\0', BOUNDARY_DATA_SIZE - offset) == NULL)
        return NULL;
    return (const char *)area->data + offset;
}
