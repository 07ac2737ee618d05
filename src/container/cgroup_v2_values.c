/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration's values, which are cgroup v1's, in terms of v2. */
#include "container/private.h"

/* v1 counts memory and swap together, v2 swap alone. */
int cgroup_v2_swap(const struct oci_resources *r, struct oci_int64 *out, struct error *err)
{
    struct oci_int64 limit = r->memory.limit, swap = r->memory.swap;
    limit.set &= limit.value != 0;
    swap.set &= swap.value != 0;
    *out = (struct oci_int64){0};
    if (limit.set && limit.value == -1 && !swap.set)
        swap = (struct oci_int64){true, -1};
    if (!swap.set)
        return 0;
    *out = swap;
    if (swap.value < 0)
        return 0;
    if (!limit.set || limit.value == -1)
        return error_set(err, "unable to set swap limit without memory limit");
    if (swap.value < limit.value)
        return error_set(err, "memory+swap limit should be >= memory limit");
    out->value -= limit.value;
    return 0;
}

uint64_t cgroup_v2_cpu_weight(uint64_t shares)
{
    if (shares < 2)
        shares = 2;
    if (shares > 262144)
        shares = 262144;
    return 1 + (shares - 2) * 9999 / 262142;
}

uint64_t cgroup_v2_io_weight(int64_t weight)
{
    /* v1's 10..1000 onto v2's 1..10000. */
    return 1 + (uint64_t)(weight < 10 ? 0 : weight - 10) * 9999 / 990;
}
