/* SPDX-License-Identifier: Apache-2.0 */
/* Intel's extension of PCK certificates, 1.2.840.113741.1.13.1: which platform, and its TCB. */
#pragma once

#include "attest/span.h"
#include "base/error.h"

enum pck_type { PCK_STANDARD, PCK_SCALABLE, PCK_SCALABLE_WITH_INTEGRITY };

struct pck {
    uint8_t ppid[16], fmspc[6], pceid[2], cpusvn[16];
    uint8_t components[16]; /* SVNs that TCB levels are compared with */
    uint16_t pcesvn;
    enum pck_type type;
    /* of the Platform CA's certificates; -1 where the certificate does not say */
    int dynamic_platform, cached_keys, smt;
};

int pck_parse(struct span extension, struct pck *out, struct error *err);
