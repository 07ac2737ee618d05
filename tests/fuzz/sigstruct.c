/* SPDX-License-Identifier: Apache-2.0 */
/* The check of a SIGSTRUCT: nothing that was changed passes, and odd numbers do no harm. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "sgx/sigstruct.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t header[16] = {6, 0, 0, 0, 0xe1, 0, 0, 0, 0, 0, 1};
    static const uint8_t header2[16] = {1, 1, 0, 0, 0x60, 0, 0, 0, 0x60, 0, 0, 0, 1};
    struct error err = ERROR_INIT;
    struct sgx_sigstruct s;

    memset(&s, 0, sizeof(s));
    memcpy(&s, data, size < sizeof(s) ? size : sizeof(s));
    /* past the cheap checks, to the arithmetic */
    memcpy(s.header, header, sizeof(header));
    memcpy(s.header2, header2, sizeof(header2));
    s.exponent = 3;
    memset(s.reserved4, 0, sizeof(s.reserved4));
    sgx_sigstruct_check(&s, &err);
    error_release(&err);
    return 0;
}
