/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ratls-proxy: RA-TLS in front of a program in the same enclave that knows nothing of it. The LibOS
 * starts it beside process 1, from a file whose hash is measured (docs/design/ratls.md).
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "cli/cli.h"
#include "attest/quote.h"
#include "base/fd.h"
#include "ratls-options.h"
#include "ratls/relay.h"
#include "sgx_emulated.h"

static const char *g_clients;

struct forward {
    struct relay_options options;
    struct address to;
};

static void *forward(void *context)
{
    struct forward *f = context;
    struct error err = ERROR_INIT;

    relay_run(&f->options, &err);
    error_fatal(&err);
}

/* "8443:8080" */
static int open_forward(const char *text, SSL_CTX *ctx, struct forward *out, struct error *err)
{
    const char *colon = strchr(text, ':');
    struct address at;

    if (!colon)
        return error_set(err, "%s: expected PORT:PORT, outside and inside", text);
    cleanup_free char *outside = xstrndup(text, (size_t)(colon - text));
    if (address_parse(outside, "0.0.0.0", &at, err) < 0 ||
        address_parse(colon + 1, "127.0.0.1", &out->to, err) < 0)
        return error_wrap(err, "%s", text);
    out->options = (struct relay_options){.ctx = ctx, .to = &out->to};
    out->options.listener = address_listen(&at, err);
    return out->options.listener < 0 ? error_wrap(err, "%s", text) : 0;
}

/* The LibOS gives it no input, and perhaps no output. */
static void open_null(void)
{
    int fd;

    do {
        fd = open("/dev/null", O_RDWR); /* NOLINT: 0 to 2 stay open */
    } while (fd >= 0 && fd <= 2);
    if (fd > 2)
        close(fd);
}

/* ---- clients that prove themselves ---- */

/*
 * In a software SGX, and there alone, the root of its own quote is one for clients: those of the
 * same machine. It counts only for a policy with allow_simulation.
 */
static int add_own_root(struct attest_verifier *v, struct error *err)
{
    static const char begin[] = "-----BEGIN CERTIFICATE-----";
    cleanup_buffer struct buffer evidence = BUFFER_INIT;
    const char *root = NULL;
    char *problem = NULL;
    struct quote quote;

    if (read_file_at(AT_FDCWD, "/dev/attestation/quote", &evidence, QUOTE_SIZE_MAX, err) < 0 ||
        quote_parse(span_of(evidence.data, evidence.size), &quote, err) < 0)
        return error_wrap(err, "this enclave's own quote");
    if (!sgx_cpusvn_is_emulated(quote.report.cpu_svn))
        return 0;
    const char *at = (const char *)quote.certification.data;
    const char *end = at + quote.certification.size;
    while ((at = memmem(at, (size_t)(end - at), begin, strlen(begin))))
        root = at++;
    if (!root)
        return error_set(err, "this enclave's own quote: it has no certificates");
    return attest_verifier_add_root(v, ATTEST_ROOT_SIMULATION, root, (size_t)(end - root),
                                    &problem) < 0
               ? ratls_take_text(problem, err)
               : 0;
}

/* They bring their collateral along: there is no PCCS here that would be measured. */
static int open_clients(struct ratls_demand *out, struct error *err)
{
    char *problem = NULL;

    *out = (struct ratls_demand){
        .verifier = attest_verifier_new(),
        .policy = attest_policy_parse(g_clients, strlen(g_clients), &problem)};
    if (!out->policy) {
        ratls_take_text(problem, err);
        return error_wrap(err, "enclave.ratls.clients");
    }
    if (!out->verifier)
        return error_set(err, "OpenSSL cannot do P-256 and SHA-256");
    return add_own_root(out->verifier, err);
}

static int run(int argc, char **argv, struct error *err)
{
    struct ratls_prover *prover;
    struct ratls_demand clients;
    char *problem = NULL, *rest = NULL;
    pthread_t thread;
    bool started = false;

    (void)argc;
    open_null();
    if (ratls_open_prover(&prover, err) < 0 || (g_clients && open_clients(&clients, err) < 0))
        return -1;
    SSL_CTX *ctx = ratls_server_context(prover, g_clients ? &clients : NULL, &problem);
    if (!ctx)
        return ratls_take_text(problem, err);
    for (char *pair = strtok_r(argv[0], ",", &rest); pair; pair = strtok_r(NULL, ",", &rest)) {
        struct forward *f = xcalloc(1, sizeof(*f));
        if (open_forward(pair, ctx, f, err) < 0)
            return -1;
        if (pthread_create(&thread, NULL, forward, f) != 0)
            return error_set(err, "start a thread");
        started = true;
    }
    if (!started)
        return error_set(err, "%s: expected PORT:PORT, outside and inside", argv[0]);
    pthread_join(thread, NULL);
    return 0;
}

static const struct option g_options[] = {
    {"clients", NULL, OPTION_TEXT, &g_clients, "POLICY",
     "demand evidence of clients, with collateral in it, that meets this policy (its JSON text)",
     NULL},
    {"embed", NULL, OPTION_TEXT, &g_ratls.embed, "DIR",
     "put the collateral of this directory into the certificate", NULL},
    {"gramine", NULL, OPTION_FLAG, &g_ratls.gramine, NULL,
     "put evidence in Gramine's older form into the certificate as well", NULL},
};

static const struct command g_command = {
    .name = "ratls-proxy",
    .arguments = "PORT:PORT[,PORT:PORT...]",
    .summary = "terminate RA-TLS in front of a local port of this enclave",
    .description = "Listens on the first port of each pair, for TLS 1.3 with a certificate that "
                   "carries a quote of this enclave, and passes what comes on to the second port "
                   "of 127.0.0.1. The annotations enclave.ratls and enclave.ratls.clients start "
                   "it.",
    .examples = "ratls-proxy 8443:8080\n"
                "ratls-proxy --clients '{\"mrenclave\": \"6f17...\"}' 8443:8080\n",
    .options = g_options,
    .option_count = array_count(g_options),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};

int main(int argc, char **argv)
{
    static const struct program program = {.name = "ratls-proxy"};
    return program_main_only(&program, &g_command, argc, argv);
}
