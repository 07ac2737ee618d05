/* SPDX-License-Identifier: Apache-2.0 */
/* The engine is old API; Debian 12 has no provider for PKCS #11. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "sgx/signing_key.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <openssl/core_names.h>
#include <openssl/engine.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/store.h>
#include <openssl/ui.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "sgx_arch.h"
#include "sgx/sigstruct.h"

#define RSA_BITS (SGX_RSA_SIZE * 8)
#define PKCS11   "pkcs11:"

bool sgx_key_is_uri(const char *key)
{
    size_t size = 0;

    while (isalnum((unsigned char)key[size]) || (size && key[size] && strchr("+.-", key[size])))
        size++;
    return size > 1 && key[size] == ':';
}

char *sgx_key_name(const char *key)
{
    return xstrndup(key, sgx_key_is_uri(key) ? strcspn(key, "?") : strlen(key));
}

static int no_password(char *buf, int size, int writing, void *ctx)
{
    (void)buf;
    (void)size;
    (void)writing;
    (void)ctx;
    return -1;
}

static int open_file(const char *path, bool ask, EVP_PKEY **out, struct error *err)
{
    cleanup_file FILE *file = fopen(path, "re");

    if (!file)
        return error_errno(err, errno, "signing key %s", path);
    *out = PEM_read_PrivateKey(file, NULL, ask ? NULL : no_password, NULL);
    if (!*out)
        return error_code(err, EINVAL, "signing key %s: not a PEM private key%s", path,
                          ask ? "" : " without a password");
    return 0;
}

/* What OpenSSL said last and meant for people; "" when nothing. */
static const char *last_reason(void)
{
    const char *data = NULL;
    int flags = 0;
    unsigned long code = ERR_peek_last_error_all(NULL, NULL, NULL, &data, &flags);
    const char *reason = code ? ERR_reason_error_string(code) : NULL;

    if (data && *data && (flags & ERR_TXT_STRING))
        return data;
    return reason ? reason : "no reason given";
}

/* *out stays NULL: no provider knows such URIs, or there is no such key. */
static void open_by_provider(const char *uri, const UI_METHOD *ui, EVP_PKEY **out)
{
    OSSL_STORE_CTX *store = OSSL_STORE_open(uri, ui, NULL, NULL, NULL);

    while (store && !*out && !OSSL_STORE_eof(store)) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);
        if (info && OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PKEY)
            *out = OSSL_STORE_INFO_get1_PKEY(info);
        if (!info && OSSL_STORE_error(store))
            break;
        OSSL_STORE_INFO_free(info);
    }
    OSSL_STORE_close(store);
}

#ifndef OPENSSL_NO_ENGINE
static void percent_decode(char *text)
{
    char *out = text;

    for (; *text; text++) {
        unsigned byte = 0;
        if (*text == '%' && sscanf(text + 1, "%2x", &byte) == 1 && byte) {
            *out++ = (char)byte;
            text += 2;
        } else {
            *out++ = *text;
        }
    }
    *out = 0;
}

/* Take a query attribute out of the URI, decoded; malloc'd, NULL where it has none. */
static char *take_query(char *uri, const char *name)
{
    size_t size = strlen(name);
    char *at = strchr(uri, '?');

    while (at && *at) {
        char *start = at + 1, *end = start + strcspn(start, "&");
        if (strncmp(start, name, size) == 0 && start[size] == '=') {
            char *value = xstrndup(start + size + 1, (size_t)(end - start) - size - 1);
            percent_decode(value);
            if (*end)
                memmove(start, end + 1, strlen(end + 1) + 1);
            else
                *at = 0;
            return value;
        }
        at = end;
    }
    return NULL;
}

/* The PIN of the URI, by value or from a file; NULL where it names none. The engine would write a
 * PIN that stays in the URI into its messages. */
static int take_pin(char *uri, const char *name, char **pin, struct error *err)
{
    cleanup_free char *source = take_query(uri, "pin-source");
    *pin = take_query(uri, "pin-value");
    if (*pin || !source)
        return 0;
    const char *path = strncmp(source, "file:", 5) == 0 ? source + 5 : source;
    cleanup_buffer struct buffer text = BUFFER_INIT;
    int rc = read_file_at(AT_FDCWD, path, &text, 4096, err);
    if (rc < 0)
        return error_wrap(err, "signing key %s: pin-source", name);
    *pin = xstrndup(buffer_text(&text), strcspn(buffer_text(&text), "\r\n"));
    OPENSSL_cleanse(text.data, text.size);
    return 0;
}

/* The engine writes to stderr what is wrong, in lines of its own. It is heard, and told in ours. */
static int hush(void)
{
    cleanup_close int heard = memfd_create("engine", MFD_CLOEXEC);
    int kept = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);

    if (heard >= 0 && kept >= 0)
        dup2(heard, STDERR_FILENO);
    return kept;
}

static char *unhush(int kept)
{
    char text[256] = "";
    ssize_t size = kept >= 0 ? pread(STDERR_FILENO, text, sizeof(text) - 1, 0) : -1;

    if (kept >= 0) {
        dup2(kept, STDERR_FILENO);
        close(kept);
    }
    if (size > 0)
        text[strcspn(text, "\n")] = 0;
    return xstrdup(size > 0 ? text : last_reason());
}

static EVP_PKEY *load_from(ENGINE *engine, const char *uri, const char *module, const char *pin,
                           UI_METHOD *ui)
{
    EVP_PKEY *key = NULL;

    if ((module && ENGINE_ctrl_cmd_string(engine, "MODULE_PATH", module, 0) != 1) ||
        (pin && ENGINE_ctrl_cmd_string(engine, "PIN", pin, 0) != 1) || ENGINE_init(engine) != 1)
        return NULL;
    key = ENGINE_load_private_key(engine, uri, ui, NULL);
    ENGINE_finish(engine); /* the key holds it */
    return key;
}

static int open_by_engine(const char *uri, const char *name, UI_METHOD *ui, EVP_PKEY **out,
                          struct error *err)
{
    cleanup_free char *rest = xstrdup(uri);
    cleanup_free char *module = take_query(rest, "module-path");
    cleanup_free char *pin = NULL;
    int rc = take_pin(rest, name, &pin, err);

    if (rc < 0)
        return rc;
    ENGINE_load_dynamic();
    ENGINE *engine = ENGINE_by_id("pkcs11");
    if (!engine)
        return error_code(err, ENOENT,
                          "signing key %s: OpenSSL has no provider and no engine for PKCS #11 "
                          "(apt-get install libengine-pkcs11-openssl, or configure one in "
                          "openssl.cnf)",
                          name);
    ERR_clear_error();
    int kept = hush();
    *out = load_from(engine, rest, module, pin, ui);
    cleanup_free char *reason = unhush(kept);
    ENGINE_free(engine);
    if (pin)
        OPENSSL_cleanse(pin, strlen(pin));
    if (*out)
        return 0;
    return error_code(
        err, ENOENT,
        "signing key %s: it is not there, or its module or PIN is wrong (module-path, "
        "pin-source of the URI): %s",
        name, reason);
}
#else
static int open_by_engine(const char *uri, const char *name, UI_METHOD *ui, EVP_PKEY **out,
                          struct error *err)
{
    (void)uri;
    (void)ui;
    (void)out;
    return error_code(err, ENOENT, "signing key %s: no provider of OpenSSL knows it: %s", name,
                      last_reason());
}
#endif

int sgx_key_open(const char *key, bool ask, EVP_PKEY **out, struct error *err)
{
    ask = ask && isatty(STDIN_FILENO);
    *out = NULL;
    if (!sgx_key_is_uri(key))
        return open_file(key, ask, out, err);

    cleanup_free char *name = sgx_key_name(key);
    UI_METHOD *ui = ask ? UI_OpenSSL() : (UI_METHOD *)UI_null();
    ERR_clear_error();
    open_by_provider(key, ui, out);
    if (*out)
        return 0;
    if (strncmp(key, PKCS11, sizeof(PKCS11) - 1) == 0)
        return open_by_engine(key, name, ui, out, err);
    return error_code(err, ENOENT, "signing key %s: OpenSSL's providers have no such key: %s", name,
                      last_reason());
}

static EVP_PKEY *generate(void)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    EVP_PKEY *key = NULL;
    unsigned bits = RSA_BITS, exponent = 3;
    OSSL_PARAM params[] = {OSSL_PARAM_uint(OSSL_PKEY_PARAM_RSA_BITS, &bits),
                           OSSL_PARAM_uint(OSSL_PKEY_PARAM_RSA_E, &exponent), OSSL_PARAM_END};

    if (!ctx || EVP_PKEY_keygen_init(ctx) != 1 || EVP_PKEY_CTX_set_params(ctx, params) != 1 ||
        EVP_PKEY_generate(ctx, &key) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    return key;
}

int sgx_key_generate(const char *path, struct error *err)
{
    cleanup_pkey EVP_PKEY *key = NULL;
    cleanup_file FILE *file = NULL;
    char temporary[4096];

    if (access(path, F_OK) == 0)
        return error_errno(err, EEXIST, "signing key %s", path);
    if (snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path) >= (int)sizeof(temporary))
        return error_errno(err, ENAMETOOLONG, "signing key %s", path);
    key = generate();
    if (!key)
        return error_code(err, EIO, "make the signing key %s: OpenSSL failed", path);
    int fd = mkostemp(temporary, O_CLOEXEC); /* mode 0600 */
    if (fd < 0)
        return error_errno(err, errno, "make the signing key %s", path);
    file = fdopen(fd, "w");
    if (!file) {
        close(fd);
        unlink(temporary);
        return error_errno(err, ENOMEM, "make the signing key %s", path);
    }
    int rc = 0;
    if (PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) != 1 || fflush(file) != 0)
        rc = error_errno(err, EIO, "write the signing key %s", path);
    /* link() does not replace: of two that start together, one makes the key and the other uses
     * it */
    else if (link(temporary, path) < 0)
        rc = error_errno(err, errno, "signing key %s", path);
    unlink(temporary);
    return rc;
}
