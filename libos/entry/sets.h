/* SPDX-License-Identifier: Apache-2.0 */
/* Names of flags and of other constants, for the trace. */
#pragma once

#include "types.h"

struct named_value {
    u64 value;
    const char *name;
};
/* What of a value is in `field` is one of the values; what is outside of it is flags. */
struct value_set {
    const struct named_value *values;
    size_t count;
    u64 field;
};

#define KIND(name, type, show) KIND_##name,
enum call_kind {
#include "kinds.h"
    KINDS
};
#undef KIND

extern const struct value_set g_value_sets[KINDS];
