/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates and CRLs as they come: PEM, DER, or DER as hexadecimal digits. */
#pragma once

#include "attest/span.h"
#include "base/error.h"

#define PEM_OBJECTS_MAX 8

struct pem_objects {
    struct span objects[PEM_OBJECTS_MAX]; /* DER; in `memory`, or in what was read */
    size_t count;
    uint8_t *memory;
};

/*
 * Objects of kind `label` ("CERTIFICATE", "X509 CRL"), first to last. PEM is read strictly: lines
 * of at most 76 characters, nothing between objects but empty lines, at most one NUL at the end.
 */
int pem_read(struct span text, const char *label, struct pem_objects *out, struct error *err);
void pem_release(struct pem_objects *objects);
