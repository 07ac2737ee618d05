/* SPDX-License-Identifier: Apache-2.0 */
/* What quotes and collateral come from. Each is asked something, and has ten seconds for it. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "attest/http.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "doctor/doctor.h"
#include "quoting/quoting.h"

enum { PATIENCE_MS = 10000, URL_MAX = 1024 };

/* ---- aesmd ---- */

static const char *aesmd_remedy(int code)
{
    switch (code) {
    case ENODEV:
        return "install Intel's sgx-aesm-service with its ECDSA plugin, and start aesmd";
    case ETIMEDOUT:
        return "restart aesmd, and see whether it reaches its PCCS (journalctl -u aesmd)";
    case EPROTO:
        return "what listens there is not aesmd, or not of version 2.17 or later: update it";
    default:
        return "register the platform, or mend what aesmd says (journalctl -u aesmd)";
    }
}

/* It names its quoting enclave only when it has an attestation key that the platform certified. */
void check_aesmd(const struct node *node, struct finding *out)
{
    cleanup_free char *path = node_file(node, QUOTING_AESM_DIRECTORY);
    cleanup_error struct error err = ERROR_INIT;
    struct sgx_targetinfo target;

    if (!node->hardware) {
        find(out, DOCTOR_SKIPPED, xstrdup("this processor has no SGX"), NULL);
        return;
    }
    cleanup_close int directory = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct quoting *quoting = quoting_new(&(struct quoting_options){
        .directory = directory, .name = QUOTING_AESM_SOCKET, .timeout_ms = PATIENCE_MS});
    int ret = quoting_target_info(quoting, &target, &err);
    quoting_free(quoting);
    if (ret == 0)
        find(out, DOCTOR_OK,
             xstrdup("aesmd has an attestation key, and the platform is registered"), NULL);
    else
        find(out, DOCTOR_WARNING, xasprintf("no quotes: %s", error_text(&err)),
             xstrdup(aesmd_remedy(-ret)));
}

/* ---- PCCS ---- */

static const char g_settings[] = "/etc/sgx_default_qcnl.conf";

/* The value behind one of two names, as old and new versions of the file have it. */
static const char *value_of(const char *text, const char *name, const char *old_name)
{
    const char *at = strstr(text, name);

    if (!at)
        at = strstr(text, old_name);
    return at ? at + strcspn(at, ":=\n") : NULL;
}

/*
 * JSON with comments, since DCAP 1.12. A comma that is missing makes the quoting library ignore all
 * of the file, without a word.
 */
static int read_as_json(const char *text, struct error *err)
{
    cleanup_free char *plain = xstrdup(text);
    bool quoted = false;

    for (char *at = plain; *at; at++) {
        if (*at == '"' && (at == plain || at[-1] != '\\'))
            quoted = !quoted;
        if (*at == '\n')
            quoted = false;
        if (quoted || at[0] != '/' || (at[1] != '/' && at[1] != '*'))
            continue;
        const char *end = at[1] == '/' ? at + strcspn(at, "\n") : strstr(at + 2, "*/");
        for (end = end && *end == '*' ? end + 2 : end; *at && at != end; at++)
            *at = *at == '\n' ? '\n' : ' ';
        at--;
    }
    cleanup_json json_t *json = json_parse(plain, strlen(plain), g_settings, err);
    return json ? 0 : -1;
}

/* NULL where the file names none. */
static char *pccs_url(const char *text)
{
    const char *value = value_of(text, "\"pccs_url\"", "PCCS_URL");

    if (!value || (*value != ':' && *value != '='))
        return NULL;
    value += 1 + strspn(value + 1, " \t\"");
    size_t size = strcspn(value, "\" \t\r\n,");
    if (size > URL_MAX || (strncmp(value, "https://", 8) != 0 && strncmp(value, "http://", 7) != 0))
        return NULL;
    return xasprintf("%.*s", (int)size, value);
}

static bool any_certificate(const char *text)
{
    const char *value = value_of(text, "\"use_secure_cert\"", "USE_SECURE_CERT");

    if (!value || !*value)
        return false;
    value += 1 + strspn(value + 1, " \t\"");
    return strncasecmp(value, "false", 5) == 0;
}

static const char *pccs_remedy(long status)
{
    return status == 404 ? "what listens there is no PCCS" : "see the service's log";
}

/* A CRL in DER, PEM, or hexadecimal digits. */
static bool is_crl(const struct buffer *body)
{
    static const char pem[] = "-----BEGIN X509 CRL-----";
    const char *text = body->data;

    return body->size > 64 &&
           ((text[0] == 0x30 && (unsigned char)text[1] >= 0x80) || strncmp(text, "308", 3) == 0 ||
            strncmp(text, pem, sizeof(pem) - 1) == 0);
}

/* Something that any PCCS, and Intel's PCS, gives everybody. */
static int ask_pccs(const char *url, bool any, struct error *err)
{
    const struct http_options options = {.remedy = pccs_remedy,
                                         .ca_remedy = "or \"use_secure_cert\": false for one of "
                                                      "your own network",
                                         .user_agent = "rune-doctor",
                                         .timeout_ms = PATIENCE_MS,
                                         .insecure_any_certificate = any};
    size_t size = strlen(url);
    cleanup_free char *whole = xasprintf("%s%spckcrl?ca=processor", url,
                                         url[size - 1] == '/' ? "" : "/");
    cleanup_buffer struct buffer body = BUFFER_INIT;

    struct http *http = http_open(&options, err);
    if (!http)
        return -1;
    int ret = http_get(http, whole, "a CRL", NULL, &body, NULL, err);
    http_close(http);
    if (ret == 0 && !is_crl(&body))
        ret = error_set(err, "%s: the answer is no CRL: what listens there is no PCCS", whole);
    return ret;
}

void check_pccs(const struct node *node, struct finding *out)
{
    cleanup_buffer struct buffer text = BUFFER_INIT;
    cleanup_error struct error err = ERROR_INIT;
    cleanup_free char *url = NULL;

    if (node_read(node, g_settings, &text))
        url = pccs_url(buffer_text(&text));
    if (url && strstr(buffer_text(&text), "\"pccs_url\"") &&
        read_as_json(buffer_text(&text), &err) < 0) {
        find(out, DOCTOR_WARNING, xasprintf("the quoting library cannot read %s", error_text(&err)),
             xstrdup("correct it: look for a missing comma or quote"));
        return;
    }
    if (!url) {
        find(out, node->hardware ? DOCTOR_WARNING : DOCTOR_SKIPPED,
             xstrdup("no PCCS is configured (/etc/sgx_default_qcnl.conf)"),
             node->hardware
                 ? xstrdup("set pccs_url there, or the quoting library asks Intel itself")
                 : NULL);
        return;
    }
    if (ask_pccs(url, any_certificate(buffer_text(&text)), &err) == 0)
        find(out, DOCTOR_OK, xasprintf("the PCCS at %s answers", url), NULL);
    else
        find(out, DOCTOR_WARNING, xasprintf("the PCCS does not serve: %s", error_text(&err)),
             xstrdup("start or mend it, open the firewall, or correct pccs_url in "
                     "/etc/sgx_default_qcnl.conf"));
}
