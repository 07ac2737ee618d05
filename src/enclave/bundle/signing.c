/* SPDX-License-Identifier: Apache-2.0 */
#include "enclave/bundle/signing.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "enclave/bundle/internal.h"
#include "sgx/signing_key.h"

#define MATERIAL_SIZE SGX_SIGNING_MATERIAL_SIZE

static int make_key(const char *path, struct error *err)
{
    cleanup_free char *dir = xstrdup(path);
    char *slash = strrchr(dir, '/');
    if (slash && slash != dir) {
        *slash = 0;
        int ret = path_mkdir_p(dir, 0700, err);
        if (ret < 0)
            return error_wrap(err, "directory of the signing key");
    }
    log_info("making a signing key at %s", path);
    int ret = sgx_key_generate(path, err);
    return ret == -EEXIST ? 0 : ret; /* another start was faster: its key is as good */
}

/* A key in a file that others can read is told; one that is elsewhere guards itself. */
static void warn_of_readers(const char *path)
{
    struct stat st;
    if (stat(path, &st) == 0 && (st.st_mode & 077))
        log_warning("signing key %s can be read by others; chmod 600 it", path);
}

int signing_key_prepare(const char *key, uint8_t signer[BUNDLE_HASH_SIZE], struct error *err)
{
    cleanup_pkey EVP_PKEY *opened = NULL;
    const bool file = !sgx_key_is_uri(key);
    int ret = file && access(key, F_OK) < 0 ? make_key(key, err) : 0;
    if (ret == 0)
        ret = sgx_key_open(key, false, &opened, err);
    if (ret < 0)
        return ret;
    if (file)
        warn_of_readers(key);
    unsigned char *der = NULL;
    int size = i2d_PUBKEY(opened, &der);
    if (size <= 0)
        return error_set(err, "signing key %s has no public half", key);
    hash_of(der, (size_t)size, signer);
    OPENSSL_free(der);
    return 0;
}

int signing_sign(int dir, const char *key, struct error *err)
{
    struct sgx_sigstruct s;
    int ret = signing_read(dir, SIGNING_UNSIGNED, &s, err);
    if (ret == 0)
        ret = sgx_sigstruct_sign(&s, key, err);
    return ret < 0 ? ret : signing_store(dir, SIGNING_SIGNED, &s, err);
}

static int open_enclave_dir(const char *path, struct error *err)
{
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return error_errno(err, errno, "enclave %s", path);
    return dir;
}

int bundle_signature_export(const char *enclave_dir, const char *out_path, struct error *err)
{
    cleanup_close int dir = open_enclave_dir(enclave_dir, err);
    if (dir < 0)
        return dir;
    struct sgx_sigstruct s;
    int ret = signing_read(dir, SIGNING_UNSIGNED, &s, err);
    if (ret < 0)
        return ret;
    uint8_t material[MATERIAL_SIZE];
    sgx_sigstruct_signing_material(&s, material);
    return replace_file_at(AT_FDCWD, out_path, material, sizeof(material), 0644, false, err);
}

int bundle_signature_import(const char *enclave_dir, const char *signature, const char *public_key,
                            struct error *err)
{
    cleanup_close int dir = open_enclave_dir(enclave_dir, err);
    if (dir < 0)
        return dir;
    cleanup_buffer struct buffer raw = BUFFER_INIT;
    struct sgx_sigstruct s;
    int ret = read_file_at(AT_FDCWD, signature, &raw, 4096, err);
    if (ret < 0)
        return ret;
    if (raw.size != SGX_RSA_SIZE)
        return error_set(err, "%s has %zu bytes; an RSA-3072 signature has %u", signature, raw.size,
                         (unsigned)SGX_RSA_SIZE);
    ret = signing_read(dir, SIGNING_UNSIGNED, &s, err);
    if (ret == 0)
        ret = sgx_sigstruct_import(&s, public_key, (const uint8_t *)raw.data, err);
    return ret < 0 ? ret : signing_store(dir, SIGNING_SIGNED, &s, err);
}
