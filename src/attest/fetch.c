/* SPDX-License-Identifier: Apache-2.0 */
/* Collateral from a PCCS or from Intel's PCS (API version 4), and its cache. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/hex.h"
#include "attest/http.h"
#include "attest/quote.h"
#include "attest/snp.h"
#include "attest/verifier.h"
#include "base/alloc.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"

enum { TIMEOUT_MS = 30000 };

#define INTEL_HOST     "trustedservices.intel.com"
#define INTEL_ROOT_CRL "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der"

/* Which collateral a quote needs, as it says itself; nothing of this is verified yet. */
struct wanted {
    bool tdx;
    char fmspc[13];
    const char *ca; /* "platform" or "processor" */
};

static int read_wanted(struct span evidence, struct wanted *out, struct error *err)
{
    struct quote quote;
    struct chain chain;
    struct pck pck;

    if (snp_is_report(evidence))
        return error_set(err, "collateral of SEV-SNP is not fetched: AMD's key distribution "
                              "service has the VCEK, the provider the VLEK");
    int rc = quote_parse(evidence, &quote, err);
    if (rc < 0)
        return rc;
    if (quote.certification_type != CERTIFICATION_PCK_CHAIN)
        return error_set(err, "the quote does not carry its PCK certificate, which names the "
                              "platform; fetch its collateral by hand");
    rc = chain_read(quote.certification, &chain, err);
    if (rc == 0 && chain.count < 2)
        rc = error_set(err, "no intermediate");
    if (rc == 0)
        rc = pck_parse(chain.certs[0].sgx, &pck, err);
    if (rc == 0) {
        out->tdx = quote_is_td(&quote);
        out->ca = memmem(chain.certs[1].common_name.data, chain.certs[1].common_name.size,
                         "Platform", 8)
                      ? "platform"
                      : "processor";
        hex_format(out->fmspc, pck.fmspc, sizeof(pck.fmspc));
    }
    chain_release(&chain);
    return rc < 0 ? error_wrap(err, "PCK certificate chain of the quote") : 0;
}

/* ---- the service ---- */

static const char *status_remedy(long status)
{
    switch (status) {
    case 404:
        return "the service does not know this platform: is the URL right, and is the platform "
               "registered with it?";
    case 410:
        return "it is no longer served: ask for a newer TCB evaluation";
    case 401:
    case 403:
        return "the service wants a key or token for this";
    case 429:
        return "too many requests: use a cache, or a PCCS of your own";
    default:
        return status >= 500 ? "the service has a problem of its own: try again later, see its log"
                             : "is this the URL of a PCCS or of Intel's PCS, version 4?";
    }
}

/* What is before /sgx/certification/v4, without a slash at its end. */
static char *base_url(const char *url)
{
    const char *cut = strstr(url, "/sgx/certification/");
    size_t size;

    if (!cut)
        cut = strstr(url, "/tdx/certification/");
    size = cut ? (size_t)(cut - url) : strlen(url);
    while (size && url[size - 1] == '/')
        size--;
    return xstrndup(url, size);
}

static int get(struct http *http, char *url, const char *about, const char *header,
               struct buffer *body, struct buffer *chain, struct error *err)
{
    int rc = http_get(http, url, about, header, body, chain, err);

    free(url);
    return rc;
}

static int fetch_parts(struct http *http, const struct attest_service *service,
                       const struct wanted *w, struct buffer files[ATTEST_FILE_COUNT],
                       struct error *err)
{
    cleanup_free char *base = base_url(service->url);
    cleanup_free char *about = xasprintf("TCB info of FMSPC %s", w->fmspc);
    const char *tee = w->tdx ? "tdx" : "sgx", *early = service->early ? "update=early" : "";
    struct buffer none = BUFFER_INIT;

    int rc = get(http,
                 xasprintf("%s/%s/certification/v4/tcb?fmspc=%s%s%s", base, tee, w->fmspc,
                           *early ? "&" : "", early),
                 about, "TCB-Info-Issuer-Chain", &files[ATTEST_TCB_INFO],
                 &files[ATTEST_TCB_INFO_CHAIN], err);
    if (rc == 0)
        rc = get(http,
                 xasprintf("%s/%s/certification/v4/qe/identity%s%s", base, tee, *early ? "?" : "",
                           early),
                 "the QE identity", "SGX-Enclave-Identity-Issuer-Chain", &files[ATTEST_QE_IDENTITY],
                 &files[ATTEST_QE_IDENTITY_CHAIN], err);
    if (rc == 0)
        rc = get(http, xasprintf("%s/sgx/certification/v4/pckcrl?ca=%s&encoding=der", base, w->ca),
                 "the PCK CRL", NULL, &files[ATTEST_PCK_CRL], &none, err);
    if (rc == 0)
        rc = get(http,
                 strstr(base, INTEL_HOST) ? xstrdup(INTEL_ROOT_CRL)
                                          : xasprintf("%s/sgx/certification/v4/rootcacrl", base),
                 "the root CA CRL", NULL, &files[ATTEST_ROOT_CRL], &none, err);
    return rc;
}

/* The first part that is not what it should be. */
static int check_parts(const struct attest_collateral *c, struct error *err)
{
    const struct {
        const struct error *problem;
        enum attest_file file;
    } parts[] = {
        {&c->tcb_chain.error, ATTEST_TCB_INFO_CHAIN},
        {&c->qe_chain.error, ATTEST_QE_IDENTITY_CHAIN},
        {&c->tcb_info_error, ATTEST_TCB_INFO},
        {&c->qe_identity_error, ATTEST_QE_IDENTITY},
        {&c->pck_crl.error, ATTEST_PCK_CRL},
        {&c->root_crl.error, ATTEST_ROOT_CRL},
    };

    for (size_t i = 0; i < array_count(parts); i++)
        if (parts[i].problem->message)
            return error_set(err, "%s: %s", attest_file_name(parts[i].file),
                             error_text(parts[i].problem));
    return 0;
}

/* ---- the cache: a directory for each kind of platform, like those that are given by hand ---- */

static int open_cache(const struct attest_service *service, const struct wanted *w, char **path,
                      struct error *err)
{
    *path = xasprintf("%s/%s-%s-%s%s", service->cache, w->tdx ? "tdx" : "sgx", w->fmspc, w->ca,
                      service->early ? "-early" : "");
    int rc = path_mkdir_p(*path, 0755, err);
    if (rc < 0)
        return error_wrap(err, "cache of collateral");
    int dir = open(*path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dir < 0 ? error_errno(err, errno, "cache of collateral %s", *path) : dir;
}

/* What is there, when all of it is valid now. */
static struct attest_collateral *cached(const struct attest_verifier *v, const char *path,
                                        int64_t now)
{
    struct attest_collateral *c = attest_collateral_open(v, path, NULL);

    if (c && attest_collateral_until(c) >= now && c->tcb_info.json.issue_date <= now &&
        c->qe_identity.json.issue_date <= now)
        return c;
    attest_collateral_free(c);
    return NULL;
}

static int save(int dir, const struct buffer files[ATTEST_FILE_COUNT], struct error *err)
{
    for (unsigned i = 0; i < ATTEST_FILE_COUNT; i++) {
        if (!files[i].size)
            continue;
        int rc = replace_file_at(dir, attest_file_name((enum attest_file)i), files[i].data,
                                 files[i].size, 0644, false, err);
        if (rc < 0)
            return error_wrap(err, "cache of collateral");
    }
    return 0;
}

static struct attest_collateral *fetch_and_save(const struct attest_verifier *v,
                                                const struct attest_service *service,
                                                const struct wanted *w, int dir, struct error *err)
{
    struct buffer files[ATTEST_FILE_COUNT] = {0};
    struct attest_bytes bytes[ATTEST_FILE_COUNT];
    struct attest_collateral *c = NULL;
    const struct http_options options = {
        .ca_file = service->ca_file,
        .timeout_ms = service->timeout_ms ? service->timeout_ms : TIMEOUT_MS,
        .remedy = status_remedy,
        .ca_remedy = "--pccs-ca",
        .user_agent = "rune-attest",
    };
    struct http *http = http_open(&options, err);
    int rc = http ? fetch_parts(http, service, w, files, err) : -1;

    http_close(http);
    if (rc == 0) {
        for (unsigned i = 0; i < ATTEST_FILE_COUNT; i++)
            bytes[i] = (struct attest_bytes){files[i].data, files[i].size};
        c = attest_collateral_new(v, bytes);
        rc = check_parts(c, err);
        if (rc < 0)
            error_wrap(err, "what %s served is not good", service->url);
    }
    if (rc == 0 && dir >= 0)
        rc = save(dir, files, err);
    for (unsigned i = 0; i < ATTEST_FILE_COUNT; i++)
        buffer_release(&files[i]);
    if (rc == 0)
        return c;
    attest_collateral_free(c);
    return NULL;
}

static struct attest_collateral *fetch(const struct attest_verifier *v, struct span evidence,
                                       const struct attest_service *service, int64_t now,
                                       struct error *err)
{
    cleanup_free char *path = NULL;
    cleanup_close int dir = -1;
    struct attest_collateral *c = NULL;
    struct wanted w = {.tdx = false};

    if (read_wanted(evidence, &w, err) < 0)
        return NULL;
    if (!service->cache)
        return fetch_and_save(v, service, &w, -1, err);
    dir = open_cache(service, &w, &path, err);
    if (dir < 0)
        return NULL;
    /* Who finds it old fetches; others wait for that. */
    if (flock(dir, LOCK_EX) < 0) {
        error_errno(err, errno, "lock the cache of collateral %s", path);
        return NULL;
    }
    c = cached(v, path, now);
    return c ? c : fetch_and_save(v, service, &w, dir, err);
}

struct attest_collateral *attest_fetch(const struct attest_verifier *verifier, const void *quote,
                                       size_t size, const struct attest_service *service,
                                       int64_t now, char **error)
{
    struct error err = ERROR_INIT;
    struct attest_collateral *c = fetch(verifier, span_of(quote, size), service, now, &err);

    if (!c)
        export_error(&err, error);
    return c;
}
