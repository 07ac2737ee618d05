/* SPDX-License-Identifier: Apache-2.0 */
/* Points in time as protobuf has them. */
#pragma once

#include <time.h>

#include "ttrpc/ttrpc.pb-c.h"

/* Fill `out`; NULL when there is no such time, so that the field is left out. */
static inline Ttrpc__Timestamp *timestamp(Ttrpc__Timestamp *out, const struct timespec *at)
{
    if (at->tv_sec == 0)
        return NULL;
    ttrpc__timestamp__init(out);
    out->seconds = at->tv_sec;
    out->nanos = (int32_t)at->tv_nsec;
    return out;
}
