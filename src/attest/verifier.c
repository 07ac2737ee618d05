/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/verifier.h"

#include <errno.h>
#include <stdlib.h>

#include "attest/roots.h"
#include "attest/snp.h"
#include "base/alloc.h"

static void add_key(struct attest_verifier *v, const struct trust_root *root)
{
    struct trust_root *copy = xmemdup(root, sizeof(*root));

    copy->next = v->roots;
    v->roots = copy;
}

static void add_amd_key(struct attest_verifier *v, const uint8_t digest[32])
{
    struct amd_root *root = xcalloc(1, sizeof(*root));

    memcpy(root->key_digest, digest, sizeof(root->key_digest));
    root->next = v->amd_roots;
    v->amd_roots = root;
}

struct attest_verifier *attest_verifier_new(void)
{
    struct p256 *p256 = p256_new();

    if (!p256)
        return NULL;
    struct attest_verifier *v = xcalloc(1, sizeof(*v));
    v->p256 = p256;
    pthread_mutex_init(&v->lock, NULL);
    add_key(v, &g_intel_root);
    for (size_t i = 0; i < AMD_ROOT_COUNT; i++)
        add_amd_key(v, g_amd_roots[i]);
    return v;
}

void attest_verifier_forget_roots(struct attest_verifier *v)
{
    while (v->roots) {
        struct trust_root *next = v->roots->next;
        free(v->roots);
        v->roots = next;
    }
    while (v->amd_roots) {
        struct amd_root *next = v->amd_roots->next;
        free(v->amd_roots);
        v->amd_roots = next;
    }
    attest_verifier_forget_chains(v);
}

void attest_verifier_forget_chains(struct attest_verifier *v)
{
    pthread_mutex_lock(&v->lock);
    for (unsigned i = 0; i < CHAIN_CACHE_SIZE; i++) {
        pck_chain_put(v->cache[i]);
        v->cache[i] = NULL;
    }
    pthread_mutex_unlock(&v->lock);
}

void attest_verifier_free(struct attest_verifier *v)
{
    if (!v)
        return;
    attest_verifier_forget_roots(v);
    pthread_mutex_destroy(&v->lock);
    p256_free(v->p256);
    free(v);
}

static int add_root(struct attest_verifier *v, enum attest_root kind, struct span text,
                    struct error *err)
{
    struct trust_root root = {.simulation = kind == ATTEST_ROOT_SIMULATION};
    struct chain chain;
    uint8_t digest[32];
    int rc;

    if (kind == ATTEST_ROOT_AMD) {
        rc = snp_root_digest(text, digest, err);
        if (rc == 0)
            add_amd_key(v, digest);
        return rc;
    }
    rc = chain_read(text, &chain, err);
    if (rc == 0 && (chain.count != 1 || !chain.certs[0].ca))
        rc = error_code(err, EINVAL, "not the certificate of one certification authority");
    if (rc == 0) {
        memcpy(root.key, chain.certs[0].key, sizeof(root.key));
        add_key(v, &root);
    }
    chain_release(&chain);
    return rc;
}

int attest_verifier_add_root(struct attest_verifier *verifier, enum attest_root kind,
                             const void *certificate, size_t size, char **error)
{
    struct error err = ERROR_INIT;
    int rc = add_root(verifier, kind, span_of(certificate, size), &err);

    if (rc < 0) {
        error_wrap(&err, "root of trust");
        return export_error(&err, error);
    }
    return 0;
}

/* ---- PCK chains ---- */

void pck_chain_put(struct pck_chain *chain)
{
    if (!chain || atomic_fetch_sub(&chain->references, 1) != 1)
        return;
    chain_release(&chain->chain);
    pthread_mutex_destroy(&chain->lock);
    free(chain->text);
    free(chain);
}

bool pck_chain_signed(struct pck_chain *chain, const struct p256 *p256, struct span qe_report,
                      const uint8_t signature[64])
{
    uint8_t digest[32];

    p256_hash2(p256, qe_report, span_of(signature, 64), digest);
    pthread_mutex_lock(&chain->lock);
    bool known = chain->has_qe_report && memcmp(chain->qe_report, digest, sizeof(digest)) == 0;
    pthread_mutex_unlock(&chain->lock);
    if (known)
        return true;
    if (!p256_verify(p256, chain->chain.certs[0].key, qe_report, signature))
        return false;
    pthread_mutex_lock(&chain->lock);
    memcpy(chain->qe_report, digest, sizeof(digest));
    chain->has_qe_report = true;
    pthread_mutex_unlock(&chain->lock);
    return true;
}

static struct pck_chain *cached(struct attest_verifier *v, const uint8_t digest[32])
{
    struct pck_chain *found = NULL;

    pthread_mutex_lock(&v->lock);
    for (unsigned i = 0; i < CHAIN_CACHE_SIZE && !found; i++)
        if (v->cache[i] && memcmp(v->cache[i]->digest, digest, 32) == 0)
            found = v->cache[i];
    if (found)
        atomic_fetch_add(&found->references, 1);
    pthread_mutex_unlock(&v->lock);
    return found;
}

static void remember(struct attest_verifier *v, struct pck_chain *chain)
{
    atomic_fetch_add(&chain->references, 1);
    pthread_mutex_lock(&v->lock);
    struct pck_chain *old = v->cache[v->cache_next];
    v->cache[v->cache_next] = chain;
    v->cache_next = (v->cache_next + 1) % CHAIN_CACHE_SIZE;
    pthread_mutex_unlock(&v->lock);
    pck_chain_put(old);
}

bool is_named(const struct cert *cert, const struct trust_root *root, const char *name)
{
    const char *vendor = root->simulation ? "Simulated " : "Intel ";
    size_t size = strlen(vendor);

    return cert->common_name.size > size && memcmp(cert->common_name.data, vendor, size) == 0 &&
           span_is(span_of(cert->common_name.data + size, cert->common_name.size - size), name);
}

/* The names that Intel gives; a TCB signing certificate, say, is no PCK certificate. */
static int check_names(const struct chain *chain, const struct trust_root *root, struct error *err)
{
    const struct cert *certs = chain->certs;

    if (chain->count != 3)
        return error_code(err, EPERM, "%zu certificates, where PCK, intermediate and root are due",
                          chain->count);
    if (!is_named(&certs[0], root, "SGX PCK Certificate") || certs[0].ca)
        return error_code(err, EPERM, "the leaf is not a PCK certificate");
    if (!is_named(&certs[1], root, "SGX PCK Platform CA") &&
        !is_named(&certs[1], root, "SGX PCK Processor CA"))
        return error_code(err, EPERM, "the intermediate is neither Platform nor Processor CA");
    return 0;
}

static int verify_pck_chain(const struct attest_verifier *v, struct pck_chain *chain,
                            struct span text, struct error *err)
{
    /* Its certificates may point into the text, so it has a copy. */
    chain->text = xmemdup(text.data, text.size);
    int rc = chain_read(span_of(chain->text, text.size), &chain->chain, err);

    if (rc == 0)
        rc = chain_verify(&chain->chain, v->p256, v->roots, &chain->root, err);
    if (rc == 0)
        rc = check_names(&chain->chain, chain->root, err);
    if (rc == 0)
        rc = pck_parse(chain->chain.certs[0].sgx, &chain->pck, err);
    chain_validity(&chain->chain, &chain->from, &chain->until);
    return rc;
}

struct pck_chain *pck_chain_get(struct attest_verifier *v, struct span text, struct error *err)
{
    uint8_t digest[32];

    if (text.size == 0) {
        error_code(err, EPERM, "it is empty");
        return NULL;
    }
    p256_hash(v->p256, text, digest);
    struct pck_chain *chain = cached(v, digest);
    if (chain)
        return chain;
    chain = xcalloc(1, sizeof(*chain));
    atomic_init(&chain->references, 1);
    pthread_mutex_init(&chain->lock, NULL);
    memcpy(chain->digest, digest, sizeof(digest));
    if (verify_pck_chain(v, chain, text, err) < 0) {
        pck_chain_put(chain);
        return NULL;
    }
    remember(v, chain);
    return chain;
}
