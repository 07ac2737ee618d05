/* SPDX-License-Identifier: Apache-2.0 */
#include "enclave/signature.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "enclave/settings.h"
#include "sgx/sigstruct.h"

#define BASE64_SIZE ((sizeof(struct sgx_sigstruct) + 2) / 3 * 4)

static int check(const struct sgx_sigstruct *s, const uint8_t mrenclave[32], struct error *err)
{
    if (sgx_sigstruct_check(s, err) < 0)
        return -1;
    if (memcmp(s->mrenclave, mrenclave, sizeof(s->mrenclave)) == 0)
        return 0;
    cleanup_buffer struct buffer has = BUFFER_INIT;
    cleanup_buffer struct buffer needs = BUFFER_INIT;
    buffer_append_hex(&has, s->mrenclave, sizeof(s->mrenclave));
    buffer_append_hex(&needs, mrenclave, sizeof(s->mrenclave));
    return error_set(err, "it signs MRENCLAVE %s, and this enclave has %s", buffer_text(&has),
                     buffer_text(&needs));
}

static int keep(const struct sgx_sigstruct *s, const uint8_t mrenclave[32], int *fd,
                struct error *err)
{
    int ret = check(s, mrenclave, err);
    if (ret < 0)
        return ret;
    *fd = enclave_sealed_memory("enclave-sigstruct", s, sizeof(*s), err);
    return *fd < 0 ? *fd : 1;
}

static int from_base64(const char *text, const uint8_t mrenclave[32], int *fd, struct error *err)
{
    struct sgx_sigstruct s;
    unsigned char raw[BASE64_SIZE];
    size_t size = strlen(text);
    int n = size == BASE64_SIZE ? EVP_DecodeBlock(raw, (const unsigned char *)text, (int)size) : -1;

    if (n < (int)sizeof(s))
        return error_set(err, "enclave.signature is not a SIGSTRUCT of %zu bytes in base64",
                         sizeof(s));
    memcpy(&s, raw, sizeof(s));
    int ret = keep(&s, mrenclave, fd, err);
    return ret < 0 ? error_wrap(err, "enclave.signature") : ret;
}

static int from_directory(const char *dir, const uint8_t mrenclave[32], int *fd, struct error *err)
{
    cleanup_buffer struct buffer path = BUFFER_INIT;
    struct sgx_sigstruct s;

    buffer_append_format(&path, "%s/", dir);
    buffer_append_hex(&path, mrenclave, sizeof(s.mrenclave));
    buffer_append_text(&path, ".sigstruct");
    cleanup_close int file = open(buffer_text(&path), O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return errno == ENOENT ? 0 : error_errno(err, errno, "%s", buffer_text(&path));
    int ret = sgx_sigstruct_read(file, &s, err);
    if (ret == 0)
        ret = keep(&s, mrenclave, fd, err);
    return ret < 0 ? error_wrap(err, "%s", buffer_text(&path)) : ret;
}

int signature_given(const char *base64, const char *dir, const uint8_t mrenclave[32], int *fd,
                    struct error *err)
{
    if (base64)
        return from_base64(base64, mrenclave, fd, err);
    return dir && *dir ? from_directory(dir, mrenclave, fd, err) : 0;
}
