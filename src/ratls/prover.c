/* SPDX-License-Identifier: Apache-2.0 */
/* The proving side: a key, quotes that are bound to it, and a certificate that carries them. */
#include "ratls/prover.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/rand.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "ratls/evidence.h"

#define DAY       86400
#define QUOTE_MAX 65536u
#define RETRY_S   10
/* Clocks of prover and verifier differ, and neither is to be trusted. */
#define CLOCK_SLACK_S DAY

struct ratls_prover {
    struct ratls_prover_options options;
    pthread_mutex_t lock;
    EVP_PKEY *key;
    X509 *certificate;
    int64_t renew_at, until;
    unsigned renewed;
};

/* ---- /dev/attestation ---- */

static int write_report_data(const uint8_t report_data[64])
{
    cleanup_close int fd = open("/dev/attestation/user_report_data", O_WRONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : write(fd, report_data, 64);

    if (n < 0)
        return -errno;
    return n == 64 ? 0 : -EIO;
}

/* The data are the process's: one of its threads at a time. */
static int enclave_quote(void *context, const uint8_t report_data[64], uint8_t *out, size_t *size,
                         char **error)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    cleanup_buffer struct buffer quote = BUFFER_INIT;

    (void)context;
    pthread_mutex_lock(&lock);
    int rc = write_report_data(report_data);
    cleanup_close int fd = rc < 0 ? -1 : open("/dev/attestation/quote", O_RDONLY | O_CLOEXEC);
    if (rc == 0)
        rc = fd < 0 ? -errno : read_all(fd, &quote, *size);
    if (rc == 0 && quote.size == 0)
        rc = -EIO;
    pthread_mutex_unlock(&lock);
    if (rc == -ENOENT)
        *error = xasprintf("there is no /dev/attestation: this is not an enclave");
    else if (rc != 0)
        *error = xasprintf("no quote can be had of /dev/attestation: %s", strerror(-rc));
    if (rc != 0)
        return rc;
    memcpy(out, quote.data, quote.size);
    *size = quote.size;
    return 0;
}

/* ---- the certificate ---- */

static int get_quote(struct ratls_prover *p, const uint8_t bound[32], struct buffer *out,
                     struct error *err)
{
    uint8_t report_data[64] = {0};
    size_t size = QUOTE_MAX;
    char *problem = NULL;

    memcpy(report_data, bound, 32);
    uint8_t *room = (uint8_t *)buffer_reserve(out, size);
    int rc = (p->options.quote ? p->options.quote : enclave_quote)(p->options.context, report_data,
                                                                   room, &size, &problem);
    if (rc < 0)
        error_code(err, -rc, "%s", problem ? problem : "no quote can be had");
    else
        out->size = size;
    free(problem);
    return rc;
}

static int add_evidence(struct ratls_prover *p, X509 *x, EVP_PKEY *key, enum ratls_form form,
                        struct buffer *quote, struct error *err)
{
    cleanup_buffer struct buffer claims = BUFFER_INIT;
    uint8_t bound[32];
    int rc = evidence_bind(key, form, &claims, bound, err);

    buffer_clear(quote);
    if (rc == 0)
        rc = get_quote(p, bound, quote, err);
    return rc < 0 ? rc
                  : evidence_add(x, form, span_of(quote->data, quote->size),
                                 span_of(claims.data, claims.size), err);
}

static int add_collateral(struct ratls_prover *p, X509 *x, const struct buffer *quote,
                          int64_t *until, struct error *err)
{
    struct attest_bytes files[ATTEST_FILE_COUNT] = {0};
    int64_t collateral_until = INT64_MAX;
    char *problem = NULL;

    if (!p->options.collateral)
        return 0;
    int rc = p->options.collateral(p->options.context, (const uint8_t *)quote->data, quote->size,
                                   files, &collateral_until, &problem);
    if (rc < 0)
        error_code(err, -rc, "%s", problem ? problem : "no collateral can be had");
    else
        rc = evidence_add_collateral(x, span_of(quote->data, quote->size), files, err);
    for (unsigned i = 0; i < ATTEST_FILE_COUNT; i++)
        free((void *)files[i].data);
    free(problem);
    if (collateral_until < *until)
        *until = collateral_until;
    return rc;
}

static bool fill(X509 *x, EVP_PKEY *key)
{
    uint8_t serial[16];
    X509_NAME *name = X509_get_subject_name(x);

    if (RAND_bytes(serial, sizeof(serial)) != 1)
        return false;
    serial[0] = (serial[0] & 0x3f) | 0x40;
    BIGNUM *number = BN_bin2bn(serial, sizeof(serial), NULL);
    bool good = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x)) &&
                X509_set_version(x, X509_VERSION_3) == 1 &&
                X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const uint8_t *)"RA-TLS", -1,
                                           -1, 0) == 1 &&
                X509_set_issuer_name(x, name) == 1 && X509_set_pubkey(x, key) == 1;
    BN_free(number);
    return good;
}

static int make_certificate(struct ratls_prover *p, X509 *x, EVP_PKEY *key, int64_t now,
                            int64_t *until, struct error *err)
{
    static const enum ratls_form forms[] = {RATLS_INTEROPERABLE, RATLS_GRAMINE};
    cleanup_buffer struct buffer quote = BUFFER_INIT;
    int rc = 0;

    for (int i = 0; i < 2 && rc == 0; i++)
        if (p->options.forms & forms[i])
            rc = add_evidence(p, x, key, forms[i], &quote, err);
    if (rc == 0)
        rc = add_collateral(p, x, &quote, until, err);
    if (rc < 0)
        return rc;
    if (*until <= now)
        return error_code(err, EIO, "the collateral for the certificate has expired");
    if (!ASN1_TIME_set(X509_getm_notBefore(x), (time_t)(now - CLOCK_SLACK_S)) ||
        !ASN1_TIME_set(X509_getm_notAfter(x), (time_t)*until) ||
        X509_sign(x, key, EVP_sha256()) <= 0)
        return error_code(err, EIO, "the certificate cannot be signed");
    return 0;
}

static int renew(struct ratls_prover *p, int64_t now, struct error *err)
{
    int64_t until = now + (p->options.lifetime_s ? p->options.lifetime_s : DAY);
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    int rc = key && x && fill(x, key) ? 0 : error_code(err, EIO, "OpenSSL cannot make a key");

    if (rc == 0)
        rc = make_certificate(p, x, key, now, &until, err);
    if (rc < 0) {
        EVP_PKEY_free(key);
        X509_free(x);
        return rc;
    }
    EVP_PKEY_free(p->key);
    X509_free(p->certificate);
    p->key = key;
    p->certificate = x;
    p->until = until;
    p->renew_at = now + (until - now) / 2;
    return 0;
}

/* Others judge by their own clocks: one that is set back here makes nothing longer valid. */
static int keep_current(struct ratls_prover *p, struct error *err)
{
    struct error why = ERROR_INIT;
    int64_t now = (int64_t)time(NULL);

    if (p->certificate && now < p->renew_at)
        return 0;
    int rc = renew(p, now, &why);
    if (rc == 0) {
        p->renewed++;
    } else if (p->certificate && now < p->until) {
        /* Not with each connection. */
        p->renew_at = now + RETRY_S < p->until ? now + RETRY_S : p->until;
        rc = 0;
        error_release(&why);
    }
    return rc < 0 ? error_move(err, &why) : 0;
}

int prover_current(struct ratls_prover *p, X509 **certificate, EVP_PKEY **key, struct error *err)
{
    pthread_mutex_lock(&p->lock);
    int rc = keep_current(p, err);
    if (rc == 0) {
        X509_up_ref(p->certificate);
        *certificate = p->certificate;
        if (key) {
            EVP_PKEY_up_ref(p->key);
            *key = p->key;
        }
    }
    pthread_mutex_unlock(&p->lock);
    return rc;
}

static int report(struct error *from, char **to)
{
    int rc = from->code > 0 ? -from->code : -EIO;

    if (to)
        *to = xstrdup(error_text(from));
    error_release(from);
    return rc;
}

struct ratls_prover *ratls_prover_new(const struct ratls_prover_options *options, char **error)
{
    struct ratls_prover *p = xcalloc(1, sizeof(*p));
    struct error err = ERROR_INIT;
    int rc = 0;

    p->options = *options;
    if (!p->options.forms)
        p->options.forms = RATLS_INTEROPERABLE;
    pthread_mutex_init(&p->lock, NULL);
    if (p->options.forms & ~(unsigned)(RATLS_INTEROPERABLE | RATLS_GRAMINE))
        rc = error_code(&err, EINVAL, "certificates of this form are not made");
    if (rc == 0)
        rc = renew(p, (int64_t)time(NULL), &err);
    if (rc == 0)
        return p;
    report(&err, error);
    ratls_prover_free(p);
    return NULL;
}

void ratls_prover_free(struct ratls_prover *p)
{
    if (!p)
        return;
    EVP_PKEY_free(p->key);
    X509_free(p->certificate);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

int ratls_prover_certificate(struct ratls_prover *p, uint8_t **der, size_t *size, unsigned *renewed)
{
    struct error err = ERROR_INIT;
    X509 *x = NULL;
    unsigned char *text = NULL;
    int rc = prover_current(p, &x, NULL, &err);

    error_release(&err);
    if (rc < 0)
        return rc;
    int n = i2d_X509(x, &text);
    X509_free(x);
    if (n <= 0)
        return -EIO;
    *der = xmemdup(text, (size_t)n);
    *size = (size_t)n;
    OPENSSL_free(text);
    pthread_mutex_lock(&p->lock);
    *renewed = p->renewed;
    pthread_mutex_unlock(&p->lock);
    return 0;
}
