/* SPDX-License-Identifier: Apache-2.0 */
/* The line that tells at start what weakens an enclave. Private to the room. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * What a deployment half (abi/manifest.h) gives the host more than to run the enclave and to end
 * it: "exec any (insecure), 2 host mounts". `debug`: the enclave has the DEBUG attribute. malloc'd;
 * empty when there is nothing to say. *insecure: something in it weakens the enclave's protection.
 * The blob is the one that was measured, and is read as such: of a malformed one nothing is said,
 * for the LibOS refuses it.
 */
char *deployment_describe(const void *blob, size_t size, bool debug, const char *trace,
                          bool *insecure);
