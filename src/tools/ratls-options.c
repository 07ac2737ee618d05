/* SPDX-License-Identifier: Apache-2.0 */
#include "ratls-options.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/fd.h"

#define FILE_MAX (4u << 20)

struct ratls_settings g_ratls;

int ratls_take_text(char *text, struct error *err)
{
    int rc = error_set(err, "%s", text ? text : "unknown error");

    free(text);
    return rc;
}

/* ---- the demand ---- */

static void tell(void *context, const struct ratls_judgement *j)
{
    const struct attest_answer *answer = ratls_judgement_answer(j);

    (void)context;
    if (answer && !g_ratls.quiet) {
        cleanup_free char *text = attest_answer_text(answer);
        fputs(text, stderr);
    }
}

static int add_simulation_root(struct attest_verifier *v, const char *path, bool optional,
                               struct error *err)
{
    cleanup_buffer struct buffer text = BUFFER_INIT;
    char *problem = NULL;

    if (optional && access(path, F_OK) < 0)
        return 0;
    int rc = read_file_at(AT_FDCWD, path, &text, FILE_MAX, err);
    if (rc < 0)
        return rc;
    if (attest_verifier_add_root(v, ATTEST_ROOT_SIMULATION, text.data, text.size, &problem) < 0) {
        ratls_take_text(problem, err);
        return error_wrap(err, "%s", path);
    }
    return 0;
}

static int add_roots(struct attest_verifier *v, struct error *err)
{
    int rc = 0;

    if (g_ratls.simulation_root)
        rc = add_simulation_root(v, g_ratls.simulation_root, false, err);
    /* As for verify-quote: the root that came with the collateral. */
    if (rc == 0 && g_ratls.collateral && g_ratls.allow_simulation) {
        cleanup_free char *path = xasprintf("%s/simulation_root.pem", g_ratls.collateral);
        rc = add_simulation_root(v, path, true, err);
    }
    return rc;
}

static int read_policy(struct ratls_demand *out, struct error *err)
{
    cleanup_buffer struct buffer text = BUFFER_INIT;
    char *problem = NULL;

    if (!g_ratls.policy)
        return 0;
    int rc = read_file_at(AT_FDCWD, g_ratls.policy, &text, FILE_MAX, err);
    if (rc < 0)
        return rc;
    out->policy = attest_policy_parse(buffer_text(&text), text.size, &problem);
    if (out->policy)
        return 0;
    ratls_take_text(problem, err);
    return error_wrap(err, "%s", g_ratls.policy);
}

int ratls_open_demand(struct ratls_demand *out,
                      struct attest_collateral *(*fetch)(void *context, const void *quote,
                                                         size_t size, int64_t now, char **error),
                      struct error *err)
{
    char *problem = NULL;

    *out = (struct ratls_demand){.allow_simulation = g_ratls.allow_simulation,
                                 .judged = tell,
                                 .fetch = g_ratls.pccs ? fetch : NULL};
    out->verifier = attest_verifier_new();
    if (!out->verifier)
        return error_set(err, "OpenSSL cannot do P-256 and SHA-256");
    out->context = out->verifier;
    int rc = add_roots(out->verifier, err);
    if (rc == 0)
        rc = read_policy(out, err);
    if (rc < 0 || !g_ratls.collateral)
        return rc;
    out->collateral = attest_collateral_open(out->verifier, g_ratls.collateral, &problem);
    return out->collateral ? 0 : ratls_take_text(problem, err);
}

/* ---- the prover ---- */

/* The directory's files as they are now, so that newer ones are found at the next renewal. */
static int embed(void *context, const uint8_t *quote, size_t size,
                 struct attest_bytes files[ATTEST_FILE_COUNT], int64_t *until, char **error)
{
    struct attest_verifier *v = context;
    cleanup_error struct error err = ERROR_INIT;

    (void)quote;
    (void)size;
    for (unsigned i = 0; i < ATTEST_FILE_COUNT; i++) {
        cleanup_free char *path = xasprintf("%s/%s", g_ratls.embed,
                                            attest_file_name((enum attest_file)i));
        cleanup_buffer struct buffer text = BUFFER_INIT;
        if (access(path, F_OK) < 0)
            continue;
        if (read_file_at(AT_FDCWD, path, &text, FILE_MAX, &err) < 0) {
            *error = xstrdup(error_text(&err));
            return -EIO;
        }
        files[i].size = text.size;
        files[i].data = buffer_take(&text);
    }
    struct attest_collateral *c = attest_collateral_new(v, files);
    *until = attest_collateral_until(c);
    attest_collateral_free(c);
    if (*until == INT64_MIN) {
        *error = xasprintf("a part of the collateral in %s is damaged or of an unknown root",
                           g_ratls.embed);
        return -EIO;
    }
    return 0;
}

int ratls_open_prover(struct ratls_prover **out, struct error *err)
{
    char *problem = NULL;
    struct ratls_prover_options options = {
        .forms = RATLS_INTEROPERABLE | (g_ratls.gramine ? (unsigned)RATLS_GRAMINE : 0)};

    /* openssl.cnf may lie in a bind mount, so be the operator's: it chooses providers and the
     * source of random numbers. The first call of OpenSSL says that it is not read. */
    OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
    if (g_ratls.embed) {
        options.collateral = embed;
        struct attest_verifier *v = attest_verifier_new();
        cleanup_free char *root = xasprintf("%s/simulation_root.pem", g_ratls.embed);
        if (!v)
            return error_set(err, "OpenSSL cannot do P-256 and SHA-256");
        if (add_simulation_root(v, root, true, err) < 0)
            return -1;
        options.context = v;
    }
    *out = ratls_prover_new(&options, &problem);
    return *out ? 0 : ratls_take_text(problem, err);
}
