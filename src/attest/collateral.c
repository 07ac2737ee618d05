/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "attest/verifier.h"
#include "base/alloc.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/fd.h"

#define FILE_SIZE_MAX (4u << 20)

static const char *const g_file_names[ATTEST_FILE_COUNT] = {
    [ATTEST_TCB_INFO] = "tcb_info.json",
    [ATTEST_TCB_INFO_CHAIN] = "tcb_issuer_chain.pem",
    [ATTEST_QE_IDENTITY] = "qe_identity.json",
    [ATTEST_QE_IDENTITY_CHAIN] = "qe_issuer_chain.pem",
    [ATTEST_PCK_CRL] = "pck.crl",
    [ATTEST_ROOT_CRL] = "root_ca.crl",
    [ATTEST_PCK_CHAIN] = "pck_chain.pem",
    [ATTEST_SNP_CHAIN] = "snp_chain.pem",
    [ATTEST_SNP_CRL] = "snp.crl",
};

const char *attest_file_name(enum attest_file file)
{
    return (unsigned)file < ATTEST_FILE_COUNT ? g_file_names[file] : NULL;
}

static void read_chain(const struct attest_verifier *v, struct span text,
                       struct collateral_chain *out)
{
    out->text = text;
    if (!text.size)
        return;
    int rc = chain_read(text, &out->chain, &out->error);
    if (rc == 0)
        rc = chain_verify(&out->chain, v->p256, v->roots, &out->root, &out->error);
    if (rc == 0 && (out->chain.count != 2 || out->chain.certs[0].ca ||
                    !is_named(&out->chain.certs[0], out->root, "SGX TCB Signing")))
        rc = error_code(&out->error, EPERM, "it is not a TCB signing certificate and a root");
    chain_validity(&out->chain, &out->from, &out->until);
    if (rc < 0)
        out->root = NULL;
    else
        p256_expect(v->p256, out->chain.certs[0].key);
}

static void release_chain(struct collateral_chain *chain)
{
    chain_release(&chain->chain);
    error_release(&chain->error);
}

/* Is the document signed by the chain's leaf? */
static int check_signature(const struct attest_verifier *v, const struct signed_json *json,
                           const struct collateral_chain *chain, struct error *err)
{
    if (!chain->text.size)
        return error_code(err, ENOENT, "its issuer chain is missing");
    if (!chain->root) {
        error_set(err, "its issuer chain: %s", error_text(&chain->error));
        err->code = EPERM;
        return -EPERM;
    }
    if (!p256_verify(v->p256, chain->chain.certs[0].key, json->signed_bytes, json->signature))
        return error_code(err, EPERM, "the signature is wrong");
    return 0;
}

static void read_crl(struct span text, struct collateral_crl *out)
{
    out->text = text;
    pthread_mutex_init(&out->lock, NULL);
    if (text.size)
        crl_read(text, &out->crl, &out->error);
}

static void release_crl(struct collateral_crl *crl)
{
    crl_release(&crl->crl);
    error_release(&crl->error);
    pthread_mutex_destroy(&crl->lock);
}

int collateral_crl_verify(struct collateral_crl *crl, const struct cert *issuer,
                          const struct p256 *p256, struct error *err)
{
    if (crl->error.message)
        return error_code(err, EPERM, "%s", error_text(&crl->error));
    pthread_mutex_lock(&crl->lock);
    bool known = crl->known && memcmp(crl->issuer_key, issuer->key, sizeof(issuer->key)) == 0;
    bool good = known && crl->good;
    pthread_mutex_unlock(&crl->lock);
    if (good)
        return 0;
    int rc = crl_verify(&crl->crl, issuer, p256, err);
    pthread_mutex_lock(&crl->lock);
    crl->known = true;
    crl->good = rc == 0;
    memcpy(crl->issuer_key, issuer->key, sizeof(issuer->key));
    pthread_mutex_unlock(&crl->lock);
    return rc;
}

static void copy_parts(struct attest_collateral *c,
                       const struct attest_bytes files[ATTEST_FILE_COUNT])
{
    size_t total = 0;

    for (unsigned i = 0; i < ATTEST_FILE_COUNT; i++)
        total += files[i].size;
    uint8_t *at = c->memory = xmalloc(total ? total : 1);
    for (unsigned i = 0; i < ATTEST_FILE_COUNT; i++) {
        if (files[i].size)
            memcpy(at, files[i].data, files[i].size);
        c->text[i] = span_of(at, files[i].size);
        at += files[i].size;
    }
}

struct attest_collateral *attest_collateral_new(const struct attest_verifier *v,
                                                const struct attest_bytes files[ATTEST_FILE_COUNT])
{
    struct attest_collateral *c = xcalloc(1, sizeof(*c));

    copy_parts(c, files);
    read_chain(v, c->text[ATTEST_TCB_INFO_CHAIN], &c->tcb_chain);
    /* Usually it is the same one, and is then read once. */
    if (!span_equal(c->text[ATTEST_QE_IDENTITY_CHAIN], c->text[ATTEST_TCB_INFO_CHAIN]))
        read_chain(v, c->text[ATTEST_QE_IDENTITY_CHAIN], &c->qe_chain);
    if (c->text[ATTEST_TCB_INFO].size &&
        tcb_info_parse(c->text[ATTEST_TCB_INFO], &c->tcb_info, &c->tcb_info_error) == 0)
        check_signature(v, &c->tcb_info.json, &c->tcb_chain, &c->tcb_info_error);
    if (c->text[ATTEST_QE_IDENTITY].size &&
        qe_identity_parse(c->text[ATTEST_QE_IDENTITY], &c->qe_identity, &c->qe_identity_error) == 0)
        check_signature(v, &c->qe_identity.json, collateral_qe_chain(c), &c->qe_identity_error);
    read_crl(c->text[ATTEST_PCK_CRL], &c->pck_crl);
    read_crl(c->text[ATTEST_ROOT_CRL], &c->root_crl);
    return c;
}

void attest_collateral_free(struct attest_collateral *c)
{
    if (!c)
        return;
    release_chain(&c->tcb_chain);
    release_chain(&c->qe_chain);
    tcb_info_release(&c->tcb_info);
    qe_identity_release(&c->qe_identity);
    error_release(&c->tcb_info_error);
    error_release(&c->qe_identity_error);
    release_crl(&c->pck_crl);
    release_crl(&c->root_crl);
    free(c->memory);
    free(c);
}

static int read_directory(const char *directory, struct buffer files[ATTEST_FILE_COUNT],
                          struct error *err)
{
    cleanup_close int dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (dir < 0)
        return error_errno(err, errno, "collateral directory %s", directory);
    for (unsigned i = 0; i < ATTEST_FILE_COUNT; i++) {
        if (faccessat(dir, g_file_names[i], F_OK, 0) < 0 && errno == ENOENT)
            continue;
        int rc = read_file_at(dir, g_file_names[i], &files[i], FILE_SIZE_MAX, err);
        if (rc < 0)
            return error_wrap(err, "collateral directory %s", directory);
    }
    return 0;
}

struct attest_collateral *attest_collateral_open(const struct attest_verifier *v,
                                                 const char *directory, char **error)
{
    struct buffer files[ATTEST_FILE_COUNT] = {0};
    struct attest_bytes bytes[ATTEST_FILE_COUNT];
    struct attest_collateral *c = NULL;
    struct error err = ERROR_INIT;

    if (read_directory(directory, files, &err) == 0) {
        for (unsigned i = 0; i < ATTEST_FILE_COUNT; i++)
            bytes[i] = (struct attest_bytes){files[i].data, files[i].size};
        c = attest_collateral_new(v, bytes);
    } else {
        export_error(&err, error);
    }
    for (unsigned i = 0; i < ATTEST_FILE_COUNT; i++)
        buffer_release(&files[i]);
    return c;
}

int64_t attest_collateral_until(const struct attest_collateral *c)
{
    const struct collateral_chain *qe_chain = collateral_qe_chain(c);
    const int64_t ends[] = {c->tcb_chain.until,           qe_chain->until,
                            c->tcb_info.json.next_update, c->qe_identity.json.next_update,
                            c->pck_crl.crl.next_update,   c->root_crl.crl.next_update};
    int64_t until = INT64_MAX;

    if (!c->tcb_chain.root || !qe_chain->root || c->tcb_info_error.message ||
        c->qe_identity_error.message || c->pck_crl.error.message || c->root_crl.error.message)
        return INT64_MIN;
    for (size_t i = 0; i < array_count(ends); i++)
        if (ends[i] < until)
            until = ends[i];
    return until;
}
