/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quotes (DCAP, ECDSA) for reports that enclaves of this machine make for the quoting enclave. A
 * processor's reports go to Intel's aesmd, the software SGX's to the simulated authority
 * (attest/simulation.h). Nothing here is trusted: an enclave compares the quote with its report,
 * a verifier checks the signatures.
 *
 * All functions may be called by several threads at once.
 */
#pragma once

#include <stdbool.h>

#include "base/buffer.h"
#include "base/error.h"
#include "sgx_arch.h"

struct quoting;

struct quoting_options {
    bool emulated;       /* of the software SGX; the rest is for aesmd */
    int directory;       /* O_PATH descriptor of the directory of its socket, or negative */
    const char *name;    /* the socket's name there */
    unsigned timeout_ms; /* for each of the two calls below */
    /* connect(2) to the socket `name` of `directory`, not blocking; 0 or -errno. NULL: through
     * /proc/self/fd. */
    int (*connect)(int socket, int directory, const char *name);
};
#define QUOTING_AESM_DIRECTORY "/var/run/aesmd"
#define QUOTING_AESM_SOCKET    "aesm.socket"
#define QUOTING_TIMEOUT_MS     30000

/* The options are copied, but for the name; the descriptor stays the caller's. */
struct quoting *quoting_new(const struct quoting_options *options);
void quoting_free(struct quoting *quoting);

/* Whom an enclave makes its report for. Returns 0 or -errno: -ENODEV without aesmd, -ETIMEDOUT
 * when it is too slow, -EPROTO when its answer is not what it should be. */
int quoting_target_info(struct quoting *quoting, struct sgx_targetinfo *out, struct error *err);
/* A quote whose body is the report's, without what follows it. -errno as above; -EPERM for a
 * report that was not made for the quoting enclave here. */
int quoting_quote(struct quoting *quoting, const struct sgx_report *report, struct buffer *out,
                  struct error *err);
/* How large its quotes are; of the software SGX only. */
int quoting_quote_size(struct quoting *quoting, size_t *out, struct error *err);

/*
 * A stand-in for aesmd: answers each request that comes by the connected socket, until it is
 * closed. Target and quotes are those of `quoting`, which is of the software SGX; it answers all
 * of what aesmd is asked for ECDSA quotes, but for the report of the quoting enclave (nonce).
 * Other requests are "not available", as from an aesmd without the plugin.
 */
void quoting_stand_in(struct quoting *quoting, int socket);
