/* SPDX-License-Identifier: Apache-2.0 */
/* RA-TLS: certificates of others and our own, handshakes, and what must be refused. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/x509v3.h>

#include "attest/quote.h"
#include "attest/simulation.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "data.h"
#include "ratls.h"
#include "ratls/cbor.h"
#include "ratls/evidence.h"
#include "ratls/relay.h"

static struct simulation *g_simulation;
static struct attest_verifier *g_verifier, *g_plain; /* with the simulation root, and without */
static struct attest_collateral *g_collateral;
static struct buffer g_files[ATTEST_FILE_COUNT];
static bool g_no_quotes;

static int make_quote(void *context, const uint8_t report_data[64], uint8_t *out, size_t *size,
                      char **error)
{
    struct sgx_report_body body = {
        .cpu_svn = {0, 0, 0, 0, 0, 0, 0, 0, 'E', 'M', 'U', 'L', 'A', 'T', 'E', 'D'},
        .attributes = {.flags = SGX_ATTR_INIT | SGX_ATTR_MODE64, .xfrm = SGX_XFRM_LEGACY}};
    cleanup_buffer struct buffer quote = BUFFER_INIT;
    struct error err = ERROR_INIT;

    (void)context;
    if (g_no_quotes) {
        *error = xstrdup("no quotes today");
        return -EBUSY;
    }
    memset(body.mrenclave, 0xab, sizeof(body.mrenclave));
    memcpy(body.report_data, report_data, 64);
    assert_int_equal(simulation_sign(g_simulation, 3, QUOTE_BODY_SGX, &body, &quote, &err), 0);
    assert_true(quote.size <= *size);
    memcpy(out, quote.data, quote.size);
    *size = quote.size;
    return 0;
}

static int give_collateral(void *context, const uint8_t *quote, size_t size,
                           struct attest_bytes files[ATTEST_FILE_COUNT], int64_t *until,
                           char **error)
{
    (void)quote;
    (void)size;
    (void)error;
    for (unsigned i = 0; i < ATTEST_FILE_COUNT; i++)
        if (g_files[i].size)
            files[i] = (struct attest_bytes){xmemdup(g_files[i].data, g_files[i].size),
                                             g_files[i].size};
    *until = context ? (int64_t)time(NULL) + 2 : attest_collateral_until(g_collateral);
    return 0;
}

static struct ratls_prover *prover(const struct ratls_prover_options *options)
{
    struct ratls_prover_options o = *options;
    char *error = NULL;

    o.quote = make_quote;
    struct ratls_prover *p = ratls_prover_new(&o, &error);
    if (!p)
        fail_msg("%s", error);
    return p;
}

static void certificate_of(struct ratls_prover *p, uint8_t **der, size_t *size)
{
    unsigned renewed;
    assert_int_equal(ratls_prover_certificate(p, der, size, &renewed), 0);
}

static struct ratls_demand demand(void)
{
    return (struct ratls_demand){
        .verifier = g_verifier, .collateral = g_collateral, .allow_simulation = true};
}

/* Judge; `part` of the reason, or NULL when it is to be accepted. */
static void expect(const void *der, size_t size, const struct ratls_demand *d, const char *part)
{
    struct ratls_judgement *j = ratls_judge(der, size, d);
    const char *refused = ratls_judgement_refused(j);

    bool expected = part ? refused && strstr(refused, part) : !refused;
    if (!expected)
        fail_msg("%s, expected %s", refused ? refused : "accepted", part ? part : "nothing");
    assert_true(!refused || !strchr(refused, '\n'));
    ratls_judgement_free(j);
}

/* ---- ours ---- */

static void each_form_is_accepted_for_its_key(void **state)
{
    static const unsigned forms[] = {0, RATLS_INTEROPERABLE, RATLS_GRAMINE,
                                     RATLS_INTEROPERABLE | RATLS_GRAMINE};
    struct ratls_demand d = demand();

    (void)state;
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        struct ratls_prover *p = prover(&(struct ratls_prover_options){.forms = forms[i]});
        uint8_t *der;
        size_t size;

        certificate_of(p, &der, &size);
        struct ratls_judgement *j = ratls_judge(der, size, &d);
        if (ratls_judgement_refused(j))
            fail_msg("%s", ratls_judgement_refused(j));
        assert_int_equal(ratls_judgement_form(j),
                         forms[i] == RATLS_GRAMINE ? RATLS_GRAMINE : RATLS_INTEROPERABLE);
        assert_true(attest_answer_simulated(ratls_judgement_answer(j)));
        ratls_judgement_free(j);
        free(der);
        ratls_prover_free(p);
    }
}

static void simulation_and_policy_are_the_verifiers(void **state)
{
    static const char json[] =
        "{\"mrenclave\": \"00ababababababababababababababababababababababababababababababab\"}";
    struct ratls_prover *p = prover(&(struct ratls_prover_options){0});
    struct ratls_demand d = demand();
    char *error;
    uint8_t *der;
    size_t size;

    (void)state;
    certificate_of(p, &der, &size);
    d.allow_simulation = false;
    expect(der, size, &d, "software SGX");
    d = demand();
    d.verifier = g_plain;
    expect(der, size, &d, "root");
    d = demand();
    d.policy = attest_policy_parse(json, strlen(json), &error);
    assert_non_null(d.policy);
    expect(der, size, &d, "mrenclave");
    attest_policy_free((struct attest_policy *)d.policy);
    d = demand();
    d.collateral = NULL;
    expect(der, size, &d, "missing");
    d = demand();
    d.time = (int64_t)time(NULL) + 40 * 86400;
    expect(der, size, &d, "expired");
    d.time = (int64_t)time(NULL) - 40 * 86400;
    expect(der, size, &d, "not yet valid");
    free(der);
    ratls_prover_free(p);
}

static void collateral_comes_along(void **state)
{
    struct ratls_prover *p = prover(&(struct ratls_prover_options){.collateral = give_collateral});
    struct ratls_demand d = demand();
    uint8_t *der;
    size_t size;

    (void)state;
    certificate_of(p, &der, &size);
    d.collateral = NULL;
    expect(der, size, &d, NULL);
    free(der);
    ratls_prover_free(p);
}

static void any_changed_byte_is_refused(void **state)
{
    struct ratls_prover *p = prover(&(struct ratls_prover_options){0});
    struct ratls_demand d = demand();
    uint8_t *der;
    size_t size;

    (void)state;
    certificate_of(p, &der, &size);
    for (size_t i = 0; i < size; i++) {
        der[i] ^= 0x41;
        struct ratls_judgement *j = ratls_judge(der, size, &d);
        if (!ratls_judgement_refused(j))
            fail_msg("byte %zu of %zu may be changed", i, size);
        ratls_judgement_free(j);
        der[i] ^= 0x41;
    }
    for (size_t n = 0; n < size; n += n < 64 ? 1 : 61)
        expect(der, n, &d, "");
    uint8_t *longer = xcalloc(1, size + (512 << 10));
    memcpy(longer, der, size);
    expect(longer, size + 1, &d, "behind the certificate");
    expect(longer, size + (512 << 10), &d, "longer than 256 KiB");
    expect(der, size, &d, NULL);
    free(longer);
    free(der);
    ratls_prover_free(p);
}

/* ---- evidence that is malformed, in a certificate that is signed as it should be ---- */

/* A certificate with that evidence (and, if given, twice). */
static void expect_evidence(const char *oid, const struct buffer *evidence, int times,
                            EVP_PKEY *key, const char *part)
{
    X509 *x = X509_new();
    ASN1_OBJECT *object = OBJ_txt2obj(oid, 1);
    ASN1_OCTET_STRING *octets = ASN1_OCTET_STRING_new();
    struct ratls_demand d = demand();
    unsigned char *der = NULL;

    ASN1_OCTET_STRING_set(octets, (const uint8_t *)evidence->data, (int)evidence->size);
    X509_EXTENSION *extension = X509_EXTENSION_create_by_OBJ(NULL, object, 0, octets);
    X509_set_version(x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -60);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, key);
    for (int i = 0; i < times; i++)
        X509_add_ext(x, extension, -1);
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    int size = i2d_X509(x, &der);
    expect(der, (size_t)size, &d, part);
    OPENSSL_free(der);
    X509_EXTENSION_free(extension);
    ASN1_OCTET_STRING_free(octets);
    ASN1_OBJECT_free(object);
    X509_free(x);
}

#define DICE "2.23.133.5.4.9"

/* 60000([quote, claims]) with anything for the two. */
static void wrap(struct buffer *out, const struct buffer *quote, const struct buffer *claims)
{
    buffer_clear(out);
    cbor_put_head(out, CBOR_TAG, 60000);
    cbor_put_head(out, CBOR_ARRAY, 2);
    cbor_put_string(out, CBOR_BYTES, quote->data, quote->size);
    cbor_put_string(out, CBOR_BYTES, claims->data, claims->size);
}

static void key_is_bound_or_refused(void **state)
{
    EVP_PKEY *key = EVP_EC_gen("P-256"), *other = EVP_EC_gen("P-384");
    cleanup_buffer struct buffer claims = BUFFER_INIT;
    cleanup_buffer struct buffer quote = BUFFER_INIT;
    cleanup_buffer struct buffer evidence = BUFFER_INIT;
    struct error err = ERROR_INIT;
    uint8_t data[64] = {0}, room[8192];
    size_t size = sizeof(room);
    char *error;

    (void)state;
    assert_int_equal(evidence_bind(key, RATLS_INTEROPERABLE, &claims, data, &err), 0);
    assert_int_equal(make_quote(NULL, data, room, &size, &error), 0);
    buffer_append(&quote, room, size);
    wrap(&evidence, &quote, &claims);
    expect_evidence(DICE, &evidence, 1, key, NULL);
    /* Somebody else's evidence, as it is, and with the claims changed to fit. */
    expect_evidence(DICE, &evidence, 1, other, "another key");
    buffer_clear(&claims);
    assert_int_equal(evidence_bind(other, RATLS_INTEROPERABLE, &claims, data, &err), 0);
    wrap(&evidence, &quote, &claims);
    expect_evidence(DICE, &evidence, 1, other, "report data");
    /* A quote for the one form is none for the other: the bytes bound are not the same. */
    expect_evidence("0.6.9.42.840.113741.1337.6", &quote, 1, key, "report data");
    expect_evidence("1.2.840.113556.10.1.1", &quote, 1, key, "Open Enclave");
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
}

/* From hexadecimal digits. */
static void put_hex(struct buffer *out, const char *hex)
{
    for (unsigned byte; sscanf(hex, "%2x", &byte) == 1; hex += 2)
        buffer_append_char(out, (char)byte);
}

static void malformed_evidence_is_named(void **state)
{
    static const struct {
        const char *claims, *part;
    } rows[] = {
        {"a0", "no pubkey-hash"},
        {"a1656e6f6e63654100", "no pubkey-hash"},
        {"bf6b7075626b65792d6861736841a0ff", "malformed"},              /* indefinite */
        {"a16b7075626b65792d6861736841a0", "pubkey-hash is malformed"}, /* a map in it */
        {"a16b7075626b65792d6861736844820141ff", "another key"},        /* one byte of hash */
        {"a16b7075626b65792d6861736844820241ff", "algorithm 2"},        /* SHA-256-128 */
        {"a16b7075626b65792d686173684582014100ff", "malformed"},        /* more behind it */

        {"a2616141006161", "malformed"}, /* ends too early */
        {"a261614100616142", "malformed"},
        {"a26161410061614100", "twice"},
        {"a161614100ff", "something behind"},
        {"bb7fffffffffffffff", "malformed"},
        {"8100", "malformed"},
        {"", "malformed"},
    };
    EVP_PKEY *key = EVP_EC_gen("P-256");
    struct buffer none = BUFFER_INIT;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cleanup_buffer struct buffer claims = BUFFER_INIT;
        cleanup_buffer struct buffer evidence = BUFFER_INIT;

        put_hex(&claims, rows[i].claims);
        wrap(&evidence, &none, &claims);
        expect_evidence(DICE, &evidence, 1, key, rows[i].part);
        buffer_append_char(&evidence, 0);
        expect_evidence(DICE, &evidence, 1, key, "behind the evidence");
        expect_evidence(DICE, &evidence, 2, key, "two extensions");
    }
    static const struct {
        const char *evidence, *part;
    } heads[] = {
        {"00", "not tagged"},
        {"d9ea61824040", "tag 60001"},
        {"d9ea608140", "not a quote and its claims"},
        {"d9ea609f4040ff", "not a quote and its claims"},
        {"d9ea60825b7fffffffffffffff00", "not a quote and its claims"},
        {"d9ea6082625b5b40", "not a quote and its claims"},
        {"d9ea", "not tagged"},
    };
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        cleanup_buffer struct buffer evidence = BUFFER_INIT;

        put_hex(&evidence, heads[i].evidence);
        expect_evidence(DICE, &evidence, 1, key, heads[i].part);
    }
    expect_evidence(DICE, &none, 0, key, "no evidence");
    EVP_PKEY_free(key);
}

/* ---- collateral in a certificate ---- */

#define ENDORSEMENTS "2.23.133.5.4.2"

/* Evidence that is right, with these bytes for its endorsements. */
static void expect_endorsements(const void *data, size_t size, const char *part)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    cleanup_buffer struct buffer claims = BUFFER_INIT;
    uint8_t bound[64] = {0}, quote[8192];
    size_t quote_size = sizeof(quote);
    ASN1_OBJECT *object = OBJ_txt2obj(ENDORSEMENTS, 1);
    ASN1_OCTET_STRING *octets = ASN1_OCTET_STRING_new();
    struct ratls_demand d = demand();
    struct error err = ERROR_INIT;
    unsigned char *der = NULL;
    X509 *x = X509_new();

    d.collateral = NULL;
    X509_set_version(x, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -60);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, key);
    assert_int_equal(evidence_bind(key, RATLS_INTEROPERABLE, &claims, bound, &err), 0);
    assert_int_equal(make_quote(NULL, bound, quote, &quote_size, NULL), 0);
    assert_int_equal(evidence_add(x, RATLS_INTEROPERABLE, span_of(quote, quote_size),
                                  span_of(claims.data, claims.size), &err),
                     0);
    ASN1_OCTET_STRING_set(octets, data, (int)size);
    X509_EXTENSION *extension = X509_EXTENSION_create_by_OBJ(NULL, object, 0, octets);
    X509_add_ext(x, extension, -1);
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    int der_size = i2d_X509(x, &der);
    clock_t start = clock();
    expect(der, (size_t)der_size, &d, part);
    assert_true(clock() - start < 2 * CLOCKS_PER_SEC);
    OPENSSL_free(der);
    X509_EXTENSION_free(extension);
    ASN1_OCTET_STRING_free(octets);
    ASN1_OBJECT_free(object);
    X509_free(x);
    EVP_PKEY_free(key);
}

/* The parts in the order of Intel's structure; `at` is another text, others are as they should be. */
static void put_endorsements(struct buffer *out, unsigned at, const struct buffer *other)
{
    static const unsigned order[] = {
        ATTEST_TCB_INFO,   ATTEST_TCB_INFO_CHAIN, ATTEST_PCK_CRL,          ATTEST_ROOT_CRL,
        ATTEST_FILE_COUNT, ATTEST_QE_IDENTITY,    ATTEST_QE_IDENTITY_CHAIN};

    buffer_clear(out);
    cbor_put_head(out, CBOR_TAG, 60000);
    cbor_put_head(out, CBOR_ARRAY, 8);
    cbor_put_head(out, CBOR_UINT, 3);
    for (unsigned i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        const struct buffer none = BUFFER_INIT; /* the issuers are taken from the quote */
        const struct buffer *part = order[i] < ATTEST_FILE_COUNT ? &g_files[order[i]] : &none;
        if (i == at)
            part = other;
        cbor_put_string(out, CBOR_BYTES, part->data, part->size);
    }
}

static void put_many(struct buffer *out, const char *text, size_t size)
{
    buffer_clear(out);
    while (out->size < size)
        buffer_append_text(out, text);
}

static void bombs_in_its_collateral_are_refused(void **state)
{
    static const char *const texts[] = {
        "[",
        "{\"tcbInfo\":",
        "{\"enclaveIdentity\":[",
        "9",
        "\\",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "-----BEGIN X509 CRL-----\nMIIB",
        "\x30\x83\x02\xff\xff",
        "\x30\x80",
        "30820fff",
        "\n",
    };
    enum { SIZE = 200 << 10 }; /* nearly all that a certificate has room for */
    cleanup_buffer struct buffer all = BUFFER_INIT;
    cleanup_buffer struct buffer bomb = BUFFER_INIT;

    (void)state;
    put_endorsements(&all, UINT_MAX, &bomb);
    expect_endorsements(all.data, all.size, NULL);
    for (unsigned at = 0; at < 7; at++) {
        if (at == 4) /* the issuers, see above */
            continue;
        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
            put_many(&bomb, texts[i], SIZE);
            put_endorsements(&all, at, &bomb);
            expect_endorsements(all.data, all.size, "collateral");
        }
    }
    put_many(&bomb, "[", 300 << 10);
    put_endorsements(&all, 0, &bomb);
    expect_endorsements(all.data, all.size, "longer than 256 KiB");
}

static void malformed_endorsements_are_named(void **state)
{
    static const char *const heads[] = {
        "00",
        "d9ea60",
        "d9ea618803",
        "d9ea608703404040404040",
        "d9ea608a0340404040404040404040",
        "d9ea609f03404040404040ff",
        "d9ea60880340404040404080",
        "d9ea608803404040404040405b",
        "d9ea6088035b7fffffffffffffff",
        "d9ea6088035bffffffffffffffff00",
        "d9ea609bffffffffffffffff03",
    };
    cleanup_buffer struct buffer all = BUFFER_INIT;
    cleanup_buffer struct buffer none = BUFFER_INIT;

    (void)state;
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        buffer_clear(&all);
        put_hex(&all, heads[i]);
        expect_endorsements(all.data, all.size, "endorsements are malformed");
    }
    put_many(&all, "\x81", 200 << 10);
    expect_endorsements(all.data, all.size, "endorsements are malformed");
    put_endorsements(&all, UINT_MAX, &none);
    for (size_t n = 1; n < all.size; n += 509)
        expect_endorsements(all.data, n, "endorsements are malformed");
    buffer_append_char(&all, 0);
    expect_endorsements(all.data, all.size, "endorsements are malformed");
}

/* ---- handshakes ---- */

struct end {
    SSL_CTX *ctx;
    int fd;
    bool server;
    int result;
    char got[16];
};

static void *run_end(void *context)
{
    struct end *e = context;
    SSL *ssl = SSL_new(e->ctx);

    SSL_set_fd(ssl, e->fd);
    e->result = e->server ? SSL_accept(ssl) : SSL_connect(ssl);
    if (e->result == 1) {
        /* A client learns only now whether the server takes its certificate. */
        SSL_write(ssl, e->server ? "server" : "client", 7);
        if (SSL_read(ssl, e->got, sizeof(e->got)) <= 0)
            e->result = 0;
        SSL_shutdown(ssl);
    }
    shutdown(e->fd, SHUT_RDWR);
    SSL_free(ssl);
    return NULL;
}

/* Both ends; whether each is content. */
static void handshake(SSL_CTX *server, SSL_CTX *client, bool *server_good, bool *client_good)
{
    struct end ends[2] = {{.ctx = server, .server = true}, {.ctx = client}};
    int pair[2];
    pthread_t thread;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    ends[0].fd = pair[0];
    ends[1].fd = pair[1];
    assert_int_equal(pthread_create(&thread, NULL, run_end, &ends[0]), 0);
    run_end(&ends[1]);
    pthread_join(thread, NULL);
    close(pair[0]);
    close(pair[1]);
    *server_good = ends[0].result == 1 && strcmp(ends[0].got, "client") == 0;
    *client_good = ends[1].result == 1 && strcmp(ends[1].got, "server") == 0;
}

static void count_judgement(void *context, const struct ratls_judgement *j)
{
    ((int *)context)[ratls_judgement_refused(j) != NULL]++;
}

static void handshakes_prove_one_way_and_both(void **state)
{
    int judged[2] = {0, 0};
    struct ratls_prover *p = prover(&(struct ratls_prover_options){.collateral = give_collateral});
    struct ratls_demand d = demand(), strict = demand();
    bool server_good, client_good;

    (void)state;
    d.judged = strict.judged = count_judgement;
    d.context = strict.context = judged;
    strict.allow_simulation = false;
    SSL_CTX *server = ratls_server_context(p, NULL, NULL);
    SSL_CTX *mutual = ratls_server_context(p, &d, NULL);
    SSL_CTX *wary = ratls_server_context(p, &strict, NULL);
    SSL_CTX *client = ratls_client_context(NULL, &d, NULL);
    SSL_CTX *proving = ratls_client_context(p, &d, NULL);
    SSL_CTX *wary_client = ratls_client_context(NULL, &strict, NULL);
    SSL_CTX *anyone = SSL_CTX_new(TLS_server_method());

    handshake(server, client, &server_good, &client_good);
    assert_true(server_good && client_good && judged[0] == 1 && judged[1] == 0);
    handshake(mutual, proving, &server_good, &client_good);
    assert_true(server_good && client_good && judged[0] == 3);
    /* A client without evidence, or with evidence that does not do. */
    handshake(mutual, client, &server_good, &client_good);
    assert_true(!server_good && !client_good);
    handshake(wary, proving, &server_good, &client_good);
    assert_true(!server_good && !client_good && judged[1] == 1);
    handshake(server, wary_client, &server_good, &client_good);
    assert_true(!server_good && !client_good && judged[1] == 2);

    /* An ordinary certificate, and another's certificate with a key of one's own. */
    EVP_PKEY *key = EVP_EC_gen("P-256");
    uint8_t *der;
    size_t size;
    certificate_of(p, &der, &size);
    const unsigned char *at = der;
    X509 *stolen = d2i_X509(NULL, &at, (long)size);
    SSL_CTX_use_certificate(anyone, stolen);
    assert_int_not_equal(SSL_CTX_use_PrivateKey(anyone, key), 1);
    X509_set_pubkey(stolen, key);
    X509_sign(stolen, key, EVP_sha256());
    assert_int_equal(SSL_CTX_use_certificate(anyone, stolen), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(anyone, key), 1);
    handshake(anyone, client, &server_good, &client_good);
    assert_true(!server_good && !client_good && judged[1] == 3);
    X509_free(stolen);
    EVP_PKEY_free(key);
    free(der);

    SSL_CTX *all[] = {server, mutual, wary, client, proving, wary_client, anyone};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        SSL_CTX_free(all[i]);
    ratls_prover_free(p);
}

/* ---- the relay ---- */

static int listen_anywhere(struct address *at)
{
    const struct sockaddr_in any = {.sin_family = AF_INET,
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    at->size = sizeof(at->storage);
    assert_int_equal(bind(fd, (const struct sockaddr *)&any, sizeof(any)), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at->storage, &at->size), 0);
    return fd;
}

static void *run_relay(void *options)
{
    struct error err = ERROR_INIT;

    relay_run(options, &err);
    return NULL;
}

/* What a server behind the relay reads at the end of a client that says hello, and good-bye or
 * not. */
static ssize_t end_of_client(SSL_CTX *client, const struct address *relay, int behind, bool bye)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    SSL *ssl = SSL_new(client);
    char got[16];

    assert_int_equal(connect(fd, (const struct sockaddr *)&relay->storage, relay->size), 0);
    SSL_set_fd(ssl, fd);
    assert_int_equal(SSL_connect(ssl), 1);
    assert_int_equal(SSL_write(ssl, "hello", 5), 5);
    int server = accept4(behind, NULL, NULL, SOCK_CLOEXEC);
    assert_int_equal(recv(server, got, sizeof(got), 0), 5);
    if (bye)
        SSL_shutdown(ssl);
    close(fd);
    ssize_t n = recv(server, got, sizeof(got), 0);
    if (n < 0)
        n = -errno;
    SSL_free(ssl);
    close(server);
    return n;
}

static void what_is_cut_is_no_end_behind_the_relay(void **state)
{
    static struct address relay, behind;
    static struct relay_options options;
    struct ratls_prover *p = prover(&(struct ratls_prover_options){.collateral = give_collateral});
    struct ratls_demand d = demand();
    SSL_CTX *client = ratls_client_context(NULL, &d, NULL);
    pthread_t thread;
    int server = listen_anywhere(&behind);

    (void)state;
    options = (struct relay_options){.ctx = ratls_server_context(p, NULL, NULL),
                                     .listener = listen_anywhere(&relay),
                                     .to = &behind};
    assert_int_equal(pthread_create(&thread, NULL, run_relay, &options), 0);
    pthread_detach(thread); /* it serves until the program ends */
    assert_int_equal(end_of_client(client, &relay, server, true), 0);
    assert_int_equal(end_of_client(client, &relay, server, false), -ECONNRESET);
    SSL_CTX_free(client);
    close(server);
}

/* Whether a command behind the relay takes what a client says, and good-bye or not, for whole. */
static bool is_whole(SSL_CTX *client, const struct address *relay, int done, bool bye)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    SSL *ssl = SSL_new(client);
    char pid[16] = "", whole[8] = "";

    assert_int_equal(connect(fd, (const struct sockaddr *)&relay->storage, relay->size), 0);
    SSL_set_fd(ssl, fd);
    assert_int_equal(SSL_connect(ssl), 1);
    assert_true(SSL_read(ssl, pid, sizeof(pid) - 1) > 1);
    assert_int_equal(SSL_write(ssl, "hello", 5), 5);
    if (bye)
        SSL_shutdown(ssl);
    close(fd);
    while (kill((pid_t)strtol(pid, NULL, 10), 0) == 0) /* until the relay has waited for it */
        usleep(1000);
    SSL_free(ssl);
    return read(done, whole, sizeof(whole)) == 5 && memcmp(whole, "whole", 5) == 0;
}

static void what_is_cut_is_no_end_for_a_command(void **state)
{
    static struct address relay;
    static struct relay_options options;
    static char script[64];
    static const char *const command[] = {"/bin/sh", "-c", script, NULL};
    struct ratls_prover *p = prover(&(struct ratls_prover_options){.collateral = give_collateral});
    struct ratls_demand d = demand();
    SSL_CTX *client = ratls_client_context(NULL, &d, NULL);
    pthread_t thread;
    int done[2];

    (void)state;
    assert_int_equal(pipe2(done, O_NONBLOCK), 0);
    snprintf(script, sizeof(script), "echo $$; cat >/dev/null; printf whole >/proc/self/fd/%d",
             done[1]);
    options = (struct relay_options){.ctx = ratls_server_context(p, NULL, NULL),
                                     .listener = listen_anywhere(&relay),
                                     .command = command};
    assert_int_equal(pthread_create(&thread, NULL, run_relay, &options), 0);
    pthread_detach(thread); /* it serves until the program ends */
    assert_true(is_whole(client, &relay, done[0], true));
    assert_false(is_whole(client, &relay, done[0], false));
    SSL_CTX_free(client);
    close(done[0]);
    close(done[1]);
}

static bool g_no_pidfds;

/* The kernel may have no room for one more watch (fs.epoll.max_user_watches, memory). */
int __real_epoll_ctl(int epoll, int op, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll, int op, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll, int op, int fd, struct epoll_event *event)
{
    char path[32], target[64] = "";

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (g_no_pidfds && op == EPOLL_CTL_ADD && readlink(path, target, sizeof(target) - 1) > 0 &&
        strstr(target, "pidfd")) {
        errno = ENOSPC;
        return -1;
    }
    return __real_epoll_ctl(epoll, op, fd, event);
}

/* A connection that both sides end in order. Returns the command, or 0 when nobody answered. */
static pid_t pid_behind(SSL_CTX *client, const struct address *relay, unsigned patience_ms)
{
    const struct timeval patience = {patience_ms / 1000, patience_ms % 1000 * 1000};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    SSL *ssl = SSL_new(client);
    char pid[16] = "", rest;

    assert_int_equal(connect(fd, (const struct sockaddr *)&relay->storage, relay->size), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    SSL_set_fd(ssl, fd);
    if (SSL_connect(ssl) == 1) {
        assert_true(SSL_read(ssl, pid, sizeof(pid) - 1) > 1);
        SSL_shutdown(ssl);
        assert_true(SSL_read(ssl, &rest, 1) <= 0);
        assert_int_equal(SSL_get_shutdown(ssl), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    }
    close(fd);
    SSL_free(ssl);
    return (pid_t)strtol(pid, NULL, 10);
}

static bool is_gone(pid_t pid)
{
    for (int i = 0; i < 5000 && kill(pid, 0) == 0; i++)
        usleep(1000);
    return kill(pid, 0) < 0;
}

static void a_command_that_outlives_its_connection_counts_until_it_ends(void **state)
{
    static struct address relay;
    static struct relay_options options;
    static const char *const command[] = {"/bin/sh", "-c", "echo $$; exec sleep 60 <&- >&-", NULL};
    struct ratls_prover *p = prover(&(struct ratls_prover_options){.collateral = give_collateral});
    struct ratls_demand d = demand();
    SSL_CTX *client = ratls_client_context(NULL, &d, NULL);
    pthread_t thread;

    (void)state;
    options = (struct relay_options){.ctx = ratls_server_context(p, NULL, NULL),
                                     .listener = listen_anywhere(&relay),
                                     .command = command,
                                     .connections = 1};
    assert_int_equal(pthread_create(&thread, NULL, run_relay, &options), 0);
    pthread_detach(thread); /* it serves until the program ends */
    pid_t first = pid_behind(client, &relay, 60000);
    assert_true(first > 0);
    assert_int_equal(kill(first, 0), 0);
    assert_int_equal(pid_behind(client, &relay, 500), 0);
    kill(first, SIGKILL);
    assert_true(is_gone(first));
    /* What cannot be watched is not left behind. The one that waited above may be first. */
    g_no_pidfds = true;
    for (int i = 0; i < 2; i++) {
        pid_t unwatched = pid_behind(client, &relay, 60000);
        assert_true(unwatched > 0);
        assert_true(is_gone(unwatched)); /* before it could be watched again */
    }
    g_no_pidfds = false;
    SSL_CTX_free(client);
}

static void old_versions_are_refused(void **state)
{
    struct ratls_prover *p = prover(&(struct ratls_prover_options){0});
    SSL_CTX *server = ratls_server_context(p, NULL, NULL);
    SSL_CTX *old = SSL_CTX_new(TLS_client_method());
    bool server_good, client_good;

    (void)state;
    SSL_CTX_set_max_proto_version(old, TLS1_2_VERSION);
    handshake(server, old, &server_good, &client_good);
    assert_true(!server_good && !client_good);
    SSL_CTX_free(old);
    SSL_CTX_free(server);
    ratls_prover_free(p);
}

/* ---- renewal ---- */

static unsigned renewals(struct ratls_prover *p, int *rc)
{
    uint8_t *der = NULL;
    size_t size;
    unsigned renewed = 0;

    *rc = ratls_prover_certificate(p, &der, &size, &renewed);
    free(der);
    return renewed;
}

static void keys_are_renewed_before_they_or_the_collateral_age(void **state)
{
    static int short_lived;
    struct ratls_prover *provers[] = {prover(&(struct ratls_prover_options){.lifetime_s = 2}),
                                      prover(&(struct ratls_prover_options){
                                          .collateral = give_collateral, .context = &short_lived})};
    int rc = 0;

    (void)state;
    for (int i = 0; i < 2; i++) {
        for (int n = 0; n < 400 && renewals(provers[i], &rc) == 0; n++)
            usleep(50000);
        assert_int_equal(rc, 0);
        assert_true(renewals(provers[i], &rc) > 0);
        ratls_prover_free(provers[i]);
    }
}

static void certificate_serves_without_quotes_until_it_expires(void **state)
{
    struct ratls_prover *p = prover(&(struct ratls_prover_options){.lifetime_s = 3});
    int64_t start = (int64_t)time(NULL);
    int rc = 0;

    (void)state;
    g_no_quotes = true;
    for (int64_t before = start; rc == 0; usleep(50000)) {
        assert_true(before <= start + 3);
        before = (int64_t)time(NULL);
        renewals(p, &rc);
    }
    assert_int_equal(rc, -EBUSY);
    g_no_quotes = false;
    renewals(p, &rc);
    assert_int_equal(rc, 0);
    ratls_prover_free(p);
    char *error = NULL;
    g_no_quotes = true;
    assert_null(ratls_prover_new(&(struct ratls_prover_options){.quote = make_quote}, &error));
    assert_string_equal(error, "no quotes today");
    free(error);
    g_no_quotes = false;
}

/* ---- others' ---- */

static unsigned g_others;

static void judge_genuine(const struct data_set *set)
{
    static const char lenient[] =
        "{\"tcb_status\": [\"UpToDate\", \"OutOfDate\"], \"allow_debug\": true}";
    cleanup_buffer struct buffer certificate = BUFFER_INIT;
    char *error;
    struct attest_policy *policy = attest_policy_parse(lenient, strlen(lenient), &error);
    const json_t *cases = json_object_get(set->meta, "cases"), *one;
    size_t i;

    data_read(set, "cert.der", &certificate);
    struct ratls_demand d = {.verifier = g_plain, .policy = policy, .time = 1600000000};
    if (json_array_size(cases) == 0) {
        /* No collateral of its time is kept: all that needs none must hold. */
        struct ratls_judgement *j = ratls_judge(certificate.data, certificate.size, &d);
        const struct attest_answer *a = ratls_judgement_answer(j);
        assert_int_equal(ratls_judgement_form(j), RATLS_OPEN_ENCLAVE);
        assert_non_null(a);
        assert_int_equal(attest_answer_verdict(a), ATTEST_BAD_COLLATERAL);
        struct attest_check check;
        for (i = 0; attest_answer_check(a, i, &check); i++)
            if (strcmp(check.name, "quote_signature") == 0 ||
                strcmp(check.name, "report_data") == 0)
                assert_int_equal(check.outcome, ATTEST_PASSED);
        ratls_judgement_free(j);
    }
    json_array_foreach (cases, i, one) {
        struct data_files files;
        data_read_case(set, one, &files);
        struct attest_collateral *c = data_collateral(g_plain, &files);
        d.collateral = c;
        d.time = json_integer_value(json_object_get(one, "verification_time_unix"));
        expect(certificate.data, certificate.size, &d, NULL);
        /* A byte of the certificate's key, of the evidence, of the signature. */
        for (size_t at = 40; at < certificate.size; at += certificate.size / 97) {
            certificate.data[at] ^= 1;
            expect(certificate.data, certificate.size, &d, "");
            certificate.data[at] ^= 1;
        }
        attest_collateral_free(c);
        data_release_files(&files);
    }
    attest_policy_free(policy);
    g_others++;
}

static void genuine_certificates_verify(void **state)
{
    (void)state;
    if (!data_root()) {
        print_message("no genuine data: set ATTEST_DATA\n");
        skip();
    }
    data_each_set("ratls", judge_genuine);
    assert_true(g_others > 0);
}

static int set_up(void **state)
{
    const struct simulation_options options = {.now = time(NULL)};
    struct attest_bytes bytes[ATTEST_FILE_COUNT];
    cleanup_buffer struct buffer root = BUFFER_INIT;
    struct error err = ERROR_INIT;
    char *problem;

    (void)state;
    assert_int_equal(simulation_open(&g_simulation, &err), 0);
    assert_int_equal(simulation_collateral(g_simulation, &options, g_files, &root, &err), 0);
    g_verifier = attest_verifier_new();
    g_plain = attest_verifier_new();
    assert_int_equal(attest_verifier_add_root(g_verifier, ATTEST_ROOT_SIMULATION, root.data,
                                              root.size, &problem),
                     0);
    for (unsigned i = 0; i < ATTEST_FILE_COUNT; i++)
        bytes[i] = (struct attest_bytes){g_files[i].data, g_files[i].size};
    g_collateral = attest_collateral_new(g_verifier, bytes);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    attest_collateral_free(g_collateral);
    attest_verifier_free(g_verifier);
    attest_verifier_free(g_plain);
    for (unsigned i = 0; i < ATTEST_FILE_COUNT; i++)
        buffer_release(&g_files[i]);
    simulation_free(g_simulation);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_form_is_accepted_for_its_key),
        cmocka_unit_test(simulation_and_policy_are_the_verifiers),
        cmocka_unit_test(collateral_comes_along),
        cmocka_unit_test(any_changed_byte_is_refused),
        cmocka_unit_test(key_is_bound_or_refused),
        cmocka_unit_test(malformed_evidence_is_named),
        cmocka_unit_test(bombs_in_its_collateral_are_refused),
        cmocka_unit_test(malformed_endorsements_are_named),
        cmocka_unit_test(handshakes_prove_one_way_and_both),
        cmocka_unit_test(old_versions_are_refused),
        cmocka_unit_test(what_is_cut_is_no_end_behind_the_relay),
        cmocka_unit_test(what_is_cut_is_no_end_for_a_command),
        cmocka_unit_test(a_command_that_outlives_its_connection_counts_until_it_ends),
        cmocka_unit_test(keys_are_renewed_before_they_or_the_collateral_age),
        cmocka_unit_test(certificate_serves_without_quotes_until_it_expires),
        cmocka_unit_test(genuine_certificates_verify),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
