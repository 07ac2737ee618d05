/* SPDX-License-Identifier: Apache-2.0 */
/* The demanding side: a certificate is judged. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "ratls/evidence.h"

struct ratls_judgement {
    enum ratls_form form;
    struct attest_answer *answer;
    struct attest_collateral *collateral; /* that the answer refers to, where it is nobody else's */
    struct error refused;
};

/* Whose dates they are the evidence says; they are only not ignored. */
static int check_dates(const X509 *x, int64_t now, struct error *err)
{
    time_t t = (time_t)now;

    if (X509_cmp_time(X509_get0_notBefore(x), &t) >= 0)
        return error_code(err, EBADMSG, "the certificate is not yet valid: compare the clocks");
    if (X509_cmp_time(X509_get0_notAfter(x), &t) <= 0)
        return error_code(err, EBADMSG, "the certificate has expired");
    return 0;
}

/* Whose collateral; *own is what is to be freed. */
static int choose_collateral(const struct evidence *e, const struct ratls_demand *d, int64_t now,
                             const struct attest_collateral **out, struct attest_collateral **own,
                             struct error *err)
{
    struct attest_bytes files[ATTEST_FILE_COUNT] = {0};
    char *problem = NULL;

    *own = NULL;
    *out = d->collateral;
    if (d->collateral)
        return 0;
    if (e->has_collateral) {
        for (unsigned i = 0; i < ATTEST_FILE_COUNT; i++)
            files[i] = (struct attest_bytes){e->collateral[i].data, e->collateral[i].size};
        *own = attest_collateral_new(d->verifier, files);
    } else if (d->fetch) {
        *own = d->fetch(d->context, e->quote.data, e->quote.size, now, &problem);
        if (!*own) {
            int rc = error_code(err, EACCES, "%s", problem ? problem : "there is no collateral");
            free(problem);
            return rc;
        }
    }
    *out = *own;
    return 0;
}

static int judge(X509 *x, const struct ratls_demand *d, int64_t now, struct ratls_judgement *out)
{
    const struct attest_collateral *collateral;
    struct error *err = &out->refused;
    struct evidence evidence;
    int rc = check_dates(x, now, err);

    if (rc == 0)
        rc = evidence_read(x, &evidence, err);
    if (rc < 0)
        return rc;
    out->form = evidence.form;
    rc = choose_collateral(&evidence, d, now, &collateral, &out->collateral, err);
    if (rc < 0)
        return rc;
    const struct attest_request request = {.time = now,
                                           .user_data = evidence.bound,
                                           .user_data_size = sizeof(evidence.bound),
                                           .allow_simulation = d->allow_simulation};
    out->answer = attest_verify(d->verifier, evidence.quote.data, evidence.quote.size, collateral,
                                d->policy, &request);
    if (attest_answer_verdict(out->answer) == ATTEST_ACCEPTED)
        return 0;
    cleanup_free char *summary = attest_answer_summary(out->answer);
    return error_code(err, EACCES, "%s", summary);
}

struct ratls_judgement *ratls_judge(const void *certificate, size_t size,
                                    const struct ratls_demand *demand)
{
    struct ratls_judgement *j = xcalloc(1, sizeof(*j));
    X509 *x = certificate_read(certificate, size, &j->refused);

    if (x)
        judge(x, demand, demand->time ? demand->time : (int64_t)time(NULL), j);
    X509_free(x);
    return j;
}

void ratls_judgement_free(struct ratls_judgement *j)
{
    if (!j)
        return;
    attest_answer_free(j->answer);
    attest_collateral_free(j->collateral);
    error_release(&j->refused);
    free(j);
}

const char *ratls_judgement_refused(const struct ratls_judgement *j)
{
    return j->refused.message;
}

const struct attest_answer *ratls_judgement_answer(const struct ratls_judgement *j)
{
    return j->answer;
}

enum ratls_form ratls_judgement_form(const struct ratls_judgement *j)
{
    return j->form;
}
