/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/http.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <curl/curl.h>

#include "base/alloc.h"
#include "base/cleanup.h"

enum { BODY_MAX = 1 << 20, HEADERS_MAX = 64 << 10, CONNECT_MS = 10000 };

struct http {
    CURL *curl;
    const char *(*remedy)(long status);
    const char *ca_remedy;
    bool https;
    int64_t deadline; /* of CLOCK_MONOTONIC, in milliseconds */
    char problem[CURL_ERROR_SIZE];
};

/* What one request collects. */
struct response {
    struct buffer *body, *value;
    const char *header;
    size_t header_bytes;
    bool too_much;
};

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static size_t take_body(char *data, size_t size, size_t count, void *ctx)
{
    struct response *r = ctx;

    if (r->body->size + size * count > BODY_MAX) {
        r->too_much = true;
        return 0;
    }
    buffer_append(r->body, data, size * count);
    return size * count;
}

/* "Name: value\r\n"; headers of other names are counted only. */
static size_t take_header(char *data, size_t size, size_t count, void *ctx)
{
    struct response *r = ctx;
    size_t length = size * count, name = r->header ? strlen(r->header) : 0;

    r->header_bytes += length;
    if (r->header_bytes > HEADERS_MAX) {
        r->too_much = true;
        return 0;
    }
    if (!name || length <= name + 1 || data[name] != ':' || strncasecmp(data, r->header, name) != 0)
        return length;
    const char *value = data + name + 1, *end = data + length;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' '))
        end--;
    buffer_clear(r->value);
    buffer_append(r->value, value, (size_t)(end - value));
    return length;
}

static bool set_options(struct http *http, const struct http_options *o)
{
    CURL *curl = http->curl;
    const char *protocols = o->https ? "https" : "http,https";

    return curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, protocols) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, http->problem) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_USERAGENT, o->user_agent) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header) == CURLE_OK &&
           (!o->certificate ||
            curl_easy_setopt(curl, CURLOPT_SSLCERT, o->certificate) == CURLE_OK) &&
           (!o->key || curl_easy_setopt(curl, CURLOPT_SSLKEY, o->key) == CURLE_OK) &&
           (!o->ca_file || curl_easy_setopt(curl, CURLOPT_CAINFO, o->ca_file) == CURLE_OK) &&
           (!o->insecure_any_certificate ||
            (curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L) == CURLE_OK &&
             curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L) == CURLE_OK));
}

struct http *http_open(const struct http_options *options, struct error *err)
{
    struct http *http = xcalloc(1, sizeof(*http));

    http->curl = curl_easy_init();
    http->deadline = now_ms() + options->timeout_ms;
    http->remedy = options->remedy;
    http->ca_remedy = options->ca_remedy;
    http->https = options->https;
    if (http->curl && set_options(http, options))
        return http;
    error_set(err, "libcurl cannot be used");
    http_close(http);
    return NULL;
}

void http_close(struct http *http)
{
    if (!http)
        return;
    curl_easy_cleanup(http->curl);
    free(http);
}

static int failed(struct http *http, CURLcode code, const struct response *r, const char *url,
                  struct error *err)
{
    const char *remedy = "";
    cleanup_free char *vouch = NULL;

    if (r->too_much)
        return error_set(err, "%s: the answer is too long (body %d bytes, headers %d at most)", url,
                         BODY_MAX, HEADERS_MAX);
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
        remedy = " (is the URL right, and does the service run?)";
        break;
    case CURLE_OPERATION_TIMEDOUT:
        remedy = " (the service is too slow, or not there)";
        break;
    case CURLE_PEER_FAILED_VERIFICATION:
        remedy = vouch = xasprintf(" (give the certificate that vouches for the service, %s)",
                                   http->ca_remedy);
        break;
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_SSL_CONNECT_ERROR:
        /* With TLS 1.3 a client that is refused hears of it when it sends. */
        if (http->https)
            remedy = " (does the service take this client's certificate?)";
        break;
    default:
        break;
    }
    return error_set(err, "%s: %s%s", url,
                     *http->problem ? http->problem : curl_easy_strerror(code), remedy);
}

static int check_redirect(CURL *curl, const char *url, long *status, struct error *err)
{
    char *redirect = NULL;

    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, status);
    curl_easy_getinfo(curl, CURLINFO_REDIRECT_URL, &redirect);
    if (*status < 300 || *status >= 400)
        return 0;
    return error_set(err,
                     "%s: it redirects to %s, which is not followed; give that URL if you "
                     "mean it",
                     url, redirect ? redirect : "nowhere");
}

/* %XX of a header, in place of the text. */
static int unescape(CURL *curl, struct buffer *value, struct error *err)
{
    int size;
    char *plain = curl_easy_unescape(curl, buffer_text(value), (int)value->size, &size);

    if (!plain)
        return error_set(err, "an issuer chain in a header cannot be decoded");
    buffer_clear(value);
    buffer_append(value, plain, (size_t)size);
    curl_free(plain);
    return 0;
}

static int perform(struct http *http, const char *url, struct response *r, long *status,
                   struct error *err)
{
    int64_t left = http->deadline - now_ms();

    http->problem[0] = 0;
    if (left <= 0)
        return error_set(err, "%s: no time is left for it; the service is too slow", url);
    if (curl_easy_setopt(http->curl, CURLOPT_URL, url) != CURLE_OK ||
        curl_easy_setopt(http->curl, CURLOPT_TIMEOUT_MS, (long)left) != CURLE_OK ||
        curl_easy_setopt(http->curl, CURLOPT_WRITEDATA, r) != CURLE_OK ||
        curl_easy_setopt(http->curl, CURLOPT_HEADERDATA, r) != CURLE_OK)
        return error_set(err, "%s: libcurl does not take it", url);
    CURLcode code = curl_easy_perform(http->curl);
    return code == CURLE_OK ? check_redirect(http->curl, url, status, err)
                            : failed(http, code, r, url, err);
}

int http_get(struct http *http, const char *url, const char *about, const char *header,
             struct buffer *body, struct buffer *value, struct error *err)
{
    struct response r = {.body = body, .value = value, .header = header};
    long status = 0;
    int rc = perform(http, url, &r, &status, err);

    if (rc == 0 && status != 200)
        rc = error_set(err, "%s: HTTP status %ld: %s", url, status, http->remedy(status));
    if (rc == 0 && header && !value->size)
        rc = error_set(err, "%s: the answer has no header %s", url, header);
    if (rc == 0 && header)
        rc = unescape(http->curl, value, err);
    if (rc == 0 && !body->size)
        rc = error_set(err, "%s: the answer is empty", url);
    return rc < 0 ? error_wrap(err, "fetch %s", about) : 0;
}

int http_post(struct http *http, const char *url, const char *data, size_t size,
              struct buffer *body, long *status, struct error *err)
{
    struct response r = {.body = body};
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    /* Without this, bodies over 1 MiB wait for an answer that few services give. */
    struct curl_slist *all = headers ? curl_slist_append(headers, "Expect:") : NULL;
    int rc = -1;

    if (!all || curl_easy_setopt(http->curl, CURLOPT_POSTFIELDS, data) != CURLE_OK ||
        curl_easy_setopt(http->curl, CURLOPT_POSTFIELDSIZE, (long)size) != CURLE_OK ||
        curl_easy_setopt(http->curl, CURLOPT_HTTPHEADER, all) != CURLE_OK)
        error_set(err, "%s: libcurl does not take it", url);
    else
        rc = perform(http, url, &r, status, err);
    curl_easy_setopt(http->curl, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(headers);
    return rc;
}
