/* SPDX-License-Identifier: Apache-2.0 */
/* TLS contexts: certificates by prover.c, judgement by verify.c. */
#include <errno.h>
#include <stdlib.h>

#include <openssl/err.h>

#include "base/alloc.h"
#include "ratls/evidence.h"
#include "ratls/prover.h"

/* OpenSSL asks for it at each handshake; 0 ends that. */
static int choose_certificate(SSL *ssl, void *prover)
{
    struct error err = ERROR_INIT;
    X509 *x;
    EVP_PKEY *key;

    if (prover_current(prover, &x, &key, &err) < 0) {
        error_release(&err);
        return 0;
    }
    int good = SSL_use_certificate(ssl, x) == 1 && SSL_use_PrivateKey(ssl, key) == 1;
    X509_free(x);
    EVP_PKEY_free(key);
    return good;
}

/* In place of OpenSSL's chain building: the leaf is all there is. */
static int verify_peer(X509_STORE_CTX *store, void *context)
{
    const struct ratls_demand *demand = context;
    X509 *leaf = X509_STORE_CTX_get0_cert(store);
    unsigned char *der = NULL;
    int size = leaf ? i2d_X509(leaf, &der) : 0;
    struct ratls_judgement *j = ratls_judge(der, size > 0 ? (size_t)size : 0, demand);
    bool good = !ratls_judgement_refused(j);

    if (demand->judged)
        demand->judged(demand->context, j);
    if (!good)
        ERR_raise_data(ERR_LIB_USER, RATLS_REFUSED, "%s", ratls_judgement_refused(j));
    ratls_judgement_free(j);
    OPENSSL_free(der);
    /* The peer gets the alert bad_certificate. */
    X509_STORE_CTX_set_error(store, good ? X509_V_OK : X509_V_ERR_CERT_REJECTED);
    return good;
}

static SSL_CTX *make_context(const SSL_METHOD *method, struct ratls_prover *prover,
                             const struct ratls_demand *demand, char **error)
{
    SSL_CTX *ctx = SSL_CTX_new(method);

    if (!ctx || SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1) {
        if (error)
            *error = xstrdup("OpenSSL cannot do TLS 1.3");
        SSL_CTX_free(ctx);
        return NULL;
    }
    /* A resumed session would not be judged again. */
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_num_tickets(ctx, 0);
    SSL_CTX_set_max_cert_list(ctx, RATLS_CERTIFICATE_MAX + 1024);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (prover)
        SSL_CTX_set_cert_cb(ctx, choose_certificate, prover);
    if (demand) {
        SSL_CTX_set_cert_verify_callback(ctx, verify_peer, (void *)demand);
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    }
    return ctx;
}

SSL_CTX *ratls_server_context(struct ratls_prover *prover, const struct ratls_demand *demand,
                              char **error)
{
    return make_context(TLS_server_method(), prover, demand, error);
}

SSL_CTX *ratls_client_context(struct ratls_prover *prover, const struct ratls_demand *demand,
                              char **error)
{
    return make_context(TLS_client_method(), prover, demand, error);
}
