/* SPDX-License-Identifier: Apache-2.0 */
#include "quoting/quoting.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "attest/quote.h"
#include "base/alloc.h"
#include "quoting/aesm.h"

struct quoting {
    struct quoting_options options;
    pthread_mutex_t lock;
    /* Made for the first who asks */
    const struct quoting_simulation *calls;
    struct simulation *simulation;
};

struct quoting *quoting_new(const struct quoting_options *options)
{
    struct quoting *q = xcalloc(1, sizeof(*q));

    q->options = *options;
    pthread_mutex_init(&q->lock, NULL);
    return q;
}

void quoting_free(struct quoting *q)
{
    if (!q)
        return;
    if (q->simulation)
        q->calls->close(q->simulation);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

static int open_simulation(struct quoting *q, struct error *err)
{
    pthread_mutex_lock(&q->lock);
    if (!q->calls)
        q->calls = q->options.simulation(err);
    int rc = q->calls ? 0 : -ENODEV;
    if (rc == 0 && !q->simulation)
        rc = q->calls->open(&q->simulation, err);
    pthread_mutex_unlock(&q->lock);
    return rc;
}

int quoting_target_info(struct quoting *q, struct sgx_targetinfo *out, struct error *err)
{
    if (!q->options.simulation)
        return aesm_target_info(&q->options, out, err);
    int rc = open_simulation(q, err);
    if (rc == 0)
        q->calls->target_info(q->simulation, out);
    return rc;
}

/* A service that mixes up its clients, or a report that was cut: found here, with a reason. */
static int check_quote(const struct sgx_report *report, struct buffer *out, struct error *err)
{
    struct error why = ERROR_INIT;
    struct quote quote;
    int rc = 0;

    if (quote_parse((struct span){(const uint8_t *)out->data, out->size}, &quote, &why) < 0)
        rc = error_code(err, EPROTO, "the quoting service's answer is not a quote: %s",
                        error_text(&why));
    else if (quote_is_td(&quote) || memcmp(&quote.report, &report->body, sizeof(report->body)) != 0)
        rc = error_code(err, EPROTO, "the quoting service's answer is a quote of another report");
    else
        out->size = quote.size;
    error_release(&why);
    return rc;
}

int quoting_quote(struct quoting *q, const struct sgx_report *report, struct buffer *out,
                  struct error *err)
{
    int rc = q->options.simulation ? open_simulation(q, err) : 0;

    if (rc < 0)
        return rc;
    rc = q->options.simulation ? q->calls->quote(q->simulation, report, out, err)
                               : aesm_quote(&q->options, report, out, err);
    return rc < 0 ? rc : check_quote(report, out, err);
}

int quoting_quote_size(struct quoting *q, size_t *out, struct error *err)
{
    static const struct sgx_report_body body;
    cleanup_buffer struct buffer quote = BUFFER_INIT;
    int rc = q->options.simulation ? open_simulation(q, err) : -ENOTSUP;

    if (rc == 0)
        rc = q->calls->sign(q->simulation, 3, QUOTE_BODY_SGX, &body, &quote, err);
    *out = quote.size;
    return rc;
}
