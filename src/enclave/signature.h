/* SPDX-License-Identifier: Apache-2.0 */
/* Signatures that were made elsewhere and come with a container. Private to enclave-convert. */
#pragma once

#include <stdint.h>

#include "base/error.h"

/*
 * The SIGSTRUCT of an enclave: `base64` where that is not NULL, else the file MRENCLAVE.sigstruct
 * (64 hexadecimal digits) of the directory `dir`, if there are both. It must be good and this
 * enclave's. 1: *fd is a descriptor of it, the caller's; 0: there is none; negative with err.
 */
int signature_given(const char *base64, const char *dir, const uint8_t mrenclave[32], int *fd,
                    struct error *err);
