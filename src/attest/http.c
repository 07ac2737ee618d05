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

static bool set_options(struct http *http, const char *ca_file)
{
    CURL *curl = http->curl;

    return curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, http->problem) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_USERAGENT, "rune-attest") == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header) == CURLE_OK &&
           (!ca_file || curl_easy_setopt(curl, CURLOPT_CAINFO, ca_file) == CURLE_OK);
}

struct http *http_open(const char *ca_file, unsigned timeout_ms, struct error *err)
{
    struct http *http = xcalloc(1, sizeof(*http));

    http->curl = curl_easy_init();
    http->deadline = now_ms() + timeout_ms;
    if (http->curl && set_options(http, ca_file))
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

static int failed(struct http *http, CURLcode code, const struct response *r, const char *url,
                  struct error *err)
{
    const char *remedy = "";

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
        remedy = " (give the certificate that vouches for the service, --pccs-ca)";
        break;
    default:
        break;
    }
    return error_set(err, "%s: %s%s", url,
                     *http->problem ? http->problem : curl_easy_strerror(code), remedy);
}

static int check_status(CURL *curl, const char *url, struct error *err)
{
    char *redirect = NULL;
    long status = 0;

    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(curl, CURLINFO_REDIRECT_URL, &redirect);
    if (status == 200)
        return 0;
    if (status >= 300 && status < 400)
        return error_set(err,
                         "%s: it redirects to %s, which is not followed; give that URL if you "
                         "mean it",
                         url, redirect ? redirect : "nowhere");
    return error_set(err, "%s: HTTP status %ld: %s", url, status, status_remedy(status));
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

int http_get(struct http *http, const char *url, const char *about, const char *header,
             struct buffer *body, struct buffer *value, struct error *err)
{
    struct response r = {.body = body, .value = value, .header = header};
    int64_t left = http->deadline - now_ms();
    int rc;

    http->problem[0] = 0;
    if (left <= 0)
        return error_set(err, "%s: no time is left for it; the service is too slow", url);
    if (curl_easy_setopt(http->curl, CURLOPT_URL, url) != CURLE_OK ||
        curl_easy_setopt(http->curl, CURLOPT_TIMEOUT_MS, (long)left) != CURLE_OK ||
        curl_easy_setopt(http->curl, CURLOPT_WRITEDATA, &r) != CURLE_OK ||
        curl_easy_setopt(http->curl, CURLOPT_HEADERDATA, &r) != CURLE_OK)
        return error_set(err, "%s: libcurl does not take it", url);
    CURLcode code = curl_easy_perform(http->curl);
    rc = code == CURLE_OK ? check_status(http->curl, url, err) : failed(http, code, &r, url, err);
    if (rc == 0 && header && !value->size)
        rc = error_set(err, "%s: the answer has no header %s", url, header);
    if (rc == 0 && header)
        rc = unescape(http->curl, value, err);
    if (rc == 0 && !body->size)
        rc = error_set(err, "%s: the answer is empty", url);
    return rc < 0 ? error_wrap(err, "fetch %s", about) : 0;
}
