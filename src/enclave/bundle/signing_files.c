/* SPDX-License-Identifier: Apache-2.0 */
/* SIGSTRUCTs of the cache, as files: nothing here needs OpenSSL, which signing.c does. */
#include <fcntl.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "enclave/bundle/signing.h"

int signing_read(int dir, const char *name, struct sgx_sigstruct *out, struct error *err)
{
    cleanup_close int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, errno, "open %s", name);
    return sgx_sigstruct_read(fd, out, err);
}

int signing_store(int dir, const char *name, const struct sgx_sigstruct *s, struct error *err)
{
    return replace_file_at(dir, name, s, sizeof(*s), 0600, true, err);
}

int signing_material_write(int dir, int enclave_fd, bool debug, struct error *err)
{
    struct sgx_sign_params params;
    struct sgx_sigstruct s;
    int ret = sgx_sign_params_from_file(enclave_fd, debug, &params, err);
    if (ret < 0)
        return ret;
    sgx_sigstruct_fill(&params, &s);
    return signing_store(dir, SIGNING_UNSIGNED, &s, err);
}
