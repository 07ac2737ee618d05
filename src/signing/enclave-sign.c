/* SPDX-License-Identifier: Apache-2.0 */
/*
 * enclave-sign: one request to a signing service over HTTPS. The request comes on standard input
 * (src/enclave/bundle/service.c); the answer goes to standard output, or with exit status 1 the
 * line that says what is wrong. The service is believed nothing: who started this checks the
 * answer.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "attest/http.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/number.h"
#include "cli/cli.h"
#include "enclave/bundle/service.h"
#include "sgx_arch.h"

enum { TIMEOUT_DEFAULT = 60, TIMEOUT_MOST = 3600, REASON_MAX = 400 };

static struct {
    const char *url, *certificate, *key, *ca, *timeout;
} o;

static const char *remedy(long status)
{
    switch (status) {
    case 404:
    case 405:
        return "is this the URL of a signing service?";
    case 401:
    case 403:
        return "the service does not sign this for this client";
    case 429:
    case 503:
        return "the service is busy: try again later";
    default:
        return status >= 500 ? "the service has a problem of its own: see its log"
                             : "is this the URL of a signing service, and of this version?";
    }
}

/* The service's own words: one line of them, of printable characters. */
static void add_reason(const struct buffer *body, struct buffer *out)
{
    size_t size = body->size < REASON_MAX ? body->size : REASON_MAX;
    for (size_t i = 0; i < size && body->data[i] != '\n'; i++)
        buffer_append_char(out, isprint((unsigned char)body->data[i]) ? body->data[i] : '?');
}

static int refused(const char *url, long status, const struct buffer *body, struct error *err)
{
    cleanup_buffer struct buffer reason = BUFFER_INIT;
    /* A page of HTML is somebody else's. */
    if (body->size && body->data[0] != '<')
        add_reason(body, &reason);
    if (!reason.size)
        return error_set(err, "%s: HTTP status %ld: %s", url, status, remedy(status));
    return error_set(err, "%s: %s (HTTP status %ld)", url, buffer_text(&reason), status);
}

static int ask(const struct buffer *request, struct buffer *answer, struct error *err)
{
    uint64_t seconds = TIMEOUT_DEFAULT;
    if (o.timeout &&
        (number_parse(o.timeout, strlen(o.timeout), TIMEOUT_MOST, &seconds) < 0 || seconds == 0))
        return error_set(err, "timeout \"%s\": give 1 to %d seconds", o.timeout, TIMEOUT_MOST);
    size_t size = strlen(o.url);
    while (size && o.url[size - 1] == '/')
        size--;
    cleanup_free char *url = xasprintf("%.*s/v1/sign", (int)size, o.url);
    const struct http_options options = {.ca_file = o.ca,
                                         .certificate = o.certificate,
                                         .key = o.key,
                                         .ca_remedy = "signing.ca of config.toml",
                                         .user_agent = "rune",
                                         .timeout_ms = (unsigned)seconds * 1000,
                                         .https = true};
    long status = 0;
    struct http *http = http_open(&options, err);
    int ret = http ? http_post(http, url, request->data, request->size, answer, &status, err) : -1;
    http_close(http);
    if (ret < 0)
        return -1;
    if (status != 200)
        return refused(url, status, answer, err);
    if (answer->size != sizeof(struct sgx_sigstruct))
        return error_set(err, "%s: the answer has %zu bytes; a SIGSTRUCT has %zu: %s", url,
                         answer->size, sizeof(struct sgx_sigstruct),
                         "is this the URL of a signing service?");
    return 0;
}

static int run(int argc, char **argv, struct error *err)
{
    (void)argc;
    (void)argv;
    cleanup_error struct error problem = ERROR_INIT;
    cleanup_buffer struct buffer request = BUFFER_INIT, answer = BUFFER_INIT;
    if (!o.url)
        return error_set(err, "this program is started by rune and rune-image, not by hand");
    int ret = read_all(STDIN_FILENO, &request, SIGNING_REQUEST_MAX);
    if (ret < 0)
        return error_errno(err, -ret, "read the request");
    ret = ask(&request, &answer, &problem);
    if (ret < 0)
        printf("signing service %s", error_text(&problem));
    else
        fwrite(answer.data, 1, answer.size, stdout);
    return ret < 0 ? 1 : 0;
}

static const struct option g_options[] = {
    {"url", NULL, OPTION_TEXT, &o.url, "URL", "the service", NULL},
    {"certificate", NULL, OPTION_TEXT, &o.certificate, "FILE", "the client's certificate", NULL},
    {"key", NULL, OPTION_TEXT, &o.key, "FILE", "its key", NULL},
    {"ca", NULL, OPTION_TEXT, &o.ca, "FILE", "who vouches for the service", NULL},
    {"timeout", NULL, OPTION_TEXT, &o.timeout, "SECONDS", "for all of it", NULL},
};

int main(int argc, char **argv)
{
    static const struct command command = {
        .name = "enclave-sign",
        .summary = "ask a signing service",
        .options = g_options,
        .option_count = array_count(g_options),
        .run = run,
    };
    static const struct program program = {.name = "enclave-sign"};
    return program_main_only(&program, &command, argc, argv);
}
