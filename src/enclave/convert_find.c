/* SPDX-License-Identifier: Apache-2.0 */
/* enclave-convert's own part: see convert.h. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "enclave/bundle/signing.h"
#include "enclave/convert.h"
#include "enclave/locate.h"
#include "enclave/signature.h"

/* Descriptors are the same. Those of this program's own close by themselves. */
void converter_make(void)
{
    cleanup_free char *program = locate_program("enclave-make");
    if (lseek(STDIN_FILENO, 0, SEEK_SET) == 0)
        execl(program, program, (char *)NULL);
    error_fatal_set("%s: %s (is the installation complete?)", program, strerror(errno));
}

/* What converter_make() has come before. The linker takes these in place of signing.c. */

int signing_key_prepare(const char *key, uint8_t signer[BUNDLE_HASH_SIZE], struct error *err)
{
    (void)signer;
    return error_set(err, "signing key %s: this program signs nothing", key);
}

int signing_sign(int dir, const char *key, struct error *err)
{
    (void)dir;
    return error_set(err, "signing key %s: this program signs nothing", key);
}

int signature_given(const char *base64, const char *dir, const uint8_t mrenclave[32], int *fd,
                    struct error *err)
{
    (void)base64, (void)dir, (void)mrenclave, (void)fd;
    return error_set(err, "a signature that is given: this program reads none");
}
