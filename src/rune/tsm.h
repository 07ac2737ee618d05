/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Evidence of the virtual machine that this is, from the kernel's configfs-tsm: a TDX quote or an
 * SEV-SNP report over data of the caller's (Linux 6.7, Documentation/ABI/testing/configfs-tsm).
 */
#pragma once

#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"

#define TSM_DIRECTORY  "/sys/kernel/config/tsm/report"
#define TSM_DATA_SIZE  64
#define TSM_LEVEL_NONE (-1)

enum tsm_kind { TSM_TDX, TSM_SNP };

struct tsm_evidence {
    enum tsm_kind kind;
    struct buffer evidence;     /* the quote or report */
    struct buffer certificates; /* what the host gave along: a table of SEV-SNP; empty for none */
};

static inline void tsm_release(struct tsm_evidence *evidence)
{
    buffer_release(&evidence->evidence);
    buffer_release(&evidence->certificates);
}
#define cleanup_tsm __attribute__((cleanup(tsm_release)))

/*
 * Evidence whose report data is `data`, which is looked at; level is a VMPL of SEV-SNP, or
 * TSM_LEVEL_NONE for the kernel's own. Makes an entry in the directory and removes it. The caller
 * releases *out whatever happens.
 */
int tsm_get(const char *directory, const uint8_t data[TSM_DATA_SIZE], int level,
            struct tsm_evidence *out, struct error *err);

/*
 * Of an SEV-SNP report: the certificates of the table, DER or PEM, as PEM in the order of a chain
 * (the VCEK or VLEK that signed, ASK, ARK); and the CRL, if there is one, as it is. `chain` stays
 * empty where the table does not have the key's certificate.
 */
int tsm_certificates(const struct tsm_evidence *evidence, struct buffer *chain, struct buffer *crl,
                     struct error *err);
