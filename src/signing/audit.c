/* SPDX-License-Identifier: Apache-2.0 */
/* A JSON object on a line for each request. The file is opened anew each time: it may be moved. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <time.h>

#include <openssl/evp.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/hex.h"
#include "base/json.h"
#include "signing/signd.h"

enum { NAME_MAX_SIZE = 1024 };

static void set(json_t *json, const char *name, const char *text)
{
    /* What a client sent may be no UTF-8; it is told by its place being null. */
    json_object_set_new(json, name, text ? json_string(text) : json_null());
    if (!json_object_get(json, name))
        json_object_set_new(json, name, json_null());
}

static void set_hash(json_t *json, const char *name, const uint8_t *hash, bool known)
{
    char text[2 * BUNDLE_HASH_SIZE + 1];
    set(json, name, known ? hex_format(text, hash, BUNDLE_HASH_SIZE) : NULL);
}

static void set_time(json_t *json)
{
    struct timespec now;
    struct tm tm;
    char seconds[32];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    strftime(seconds, sizeof(seconds), "%Y-%m-%dT%H:%M:%S", &tm);
    cleanup_free char *text = xasprintf("%s.%03ldZ", seconds, now.tv_nsec / 1000000);
    set(json, "time", text);
}

/* The subject as RFC 2253 writes it, and the SHA-256 of the certificate. */
static void set_client(json_t *json, X509 *client)
{
    char text[NAME_MAX_SIZE] = "";
    uint8_t fingerprint[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    BIO *bio = client ? BIO_new(BIO_s_mem()) : NULL;
    if (bio && X509_NAME_print_ex(bio, X509_get_subject_name(client), 0, XN_FLAG_RFC2253) >= 0) {
        int n = BIO_read(bio, text, sizeof(text) - 1);
        text[n > 0 ? n : 0] = 0;
    }
    BIO_free(bio);
    set(json, "client", text);
    bool known = client && X509_digest(client, EVP_sha256(), fingerprint, &size) == 1;
    set_hash(json, "certificate", fingerprint, known);
}

int signd_audit(const char *path, const struct signd_case *c, const char *reason, struct error *err)
{
    cleanup_json json_t *json = json_object();
    set_time(json);
    set_client(json, c->client);
    set(json, "address", c->address);
    set(json, "image", c->image);
    set_hash(json, "rootHash", c->root_hash, c->identified);
    set_hash(json, "mrenclave", c->mrenclave, c->built);
    set(json, "answer", reason ? "refused" : "signed");
    json_object_set_new(json, "status", json_integer(c->status));
    set(json, "reason", reason);
    cleanup_free char *text = json_text(json, JSON_COMPACT);
    cleanup_free char *line = xasprintf("%s\n", text);
    cleanup_close int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
    if (fd < 0)
        return error_errno(err, errno, "audit log %s", path);
    int ret = write_all(fd, line, strlen(line));
    if (ret == 0 && fdatasync(fd) < 0 && errno != EINVAL)
        ret = -errno;
    return ret < 0 ? error_errno(err, -ret, "audit log %s", path) : 0;
}
