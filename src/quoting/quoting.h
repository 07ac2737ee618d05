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
struct simulation;

/* attest/simulation.h, which needs OpenSSL: so that who starts an enclave can load it when the
 * first quote is asked for. */
struct quoting_simulation {
    /* The machine's secret, where this is a library that was loaded: sgx/emulated.h. */
    void (*import_root)(const uint8_t *root);
    int (*open)(struct simulation **out, struct error *err);
    void (*close)(struct simulation *simulation);
    void (*target_info)(const struct simulation *simulation, struct sgx_targetinfo *out);
    int (*quote)(const struct simulation *simulation, const struct sgx_report *report,
                 struct buffer *out, struct error *err);
    int (*sign)(const struct simulation *simulation, unsigned version, unsigned body_type,
                const void *body, struct buffer *out, struct error *err);
};
/* It, by linking (simulated.c); never NULL, and does not fail. */
const struct quoting_simulation *quoting_simulation(struct error *err);

struct quoting_options {
    /* Of the software SGX: how to come by its quoting part, NULL for a failure. The rest is for
     * aesmd. */
    const struct quoting_simulation *(*simulation)(struct error *err);
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
