/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The quoting part of the software SGX, and a certification authority like Intel's for this one
 * machine: PCK chain, TCB info, QE identity and CRLs in Intel's formats, so that quotes of emulated
 * enclaves go the whole way through a verifier. All keys derive from the emulated root key; who has
 * that can make any such quote, and the names say "Simulated".
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "attest.h"
#include "base/buffer.h"
#include "base/error.h"
#include "sgx_arch.h"

struct simulation;

/* Derive the keys and issue the certificates. */
int simulation_open(struct simulation **out, struct error *err);
void simulation_free(struct simulation *simulation);

/* Whom an enclave makes its report for, when it wants a quote. */
void simulation_target_info(const struct simulation *simulation, struct sgx_targetinfo *out);

/*
 * A quote (version 3) of a report that an emulated enclave of this machine made for the quoting
 * part; -EPERM for any other report.
 */
int simulation_quote(const struct simulation *simulation, const struct sgx_report *report,
                     struct buffer *out, struct error *err);

/* What collateral says of the simulated platform; zeroed, with `now`, it is in order. */
struct simulation_options {
    int64_t now;              /* issued then, for 30 days */
    bool tdx;                 /* TCB info and QE identity of TDX */
    bool revoke_pck;          /* in the PCK CRL */
    bool revoke_ca;           /* in the root CRL */
    const char *tcb_status;   /* NULL: "UpToDate" */
    const char *qe_status;    /* of the quoting enclave, in the same way */
    unsigned raise_component; /* 1 to 16: the level that is up to date asks for one more */
};

/* The files of collateral, and the root certificate in PEM; buffers are to be released. */
int simulation_collateral(const struct simulation *simulation,
                          const struct simulation_options *options,
                          struct buffer files[ATTEST_FILE_COUNT], struct buffer *root,
                          struct error *err);

/* For tests: a quote of any version and kind of body, which need not be of an enclave's report. */
int simulation_sign(const struct simulation *simulation, unsigned version, unsigned body_type,
                    const void *body, struct buffer *out, struct error *err);
