/* SPDX-License-Identifier: Apache-2.0 */
/* Levels of a runtime's log, by the names of enclave.runtime.loglevel: what libenclave checks, what
 * init-runelet writes, and what the LibOS is asked for. */
#pragma once

#include <strings.h>

enum enclave_level {
    ENCLAVE_LEVEL_UNKNOWN = -2,
    ENCLAVE_LEVEL_OFF = -1,
    ENCLAVE_LEVEL_FATAL,
    ENCLAVE_LEVEL_ERROR,
    ENCLAVE_LEVEL_WARN,
    ENCLAVE_LEVEL_INFO,
    ENCLAVE_LEVEL_DEBUG,
    ENCLAVE_LEVEL_TRACE,
};

/* Capital letters are as good. */
static inline enum enclave_level enclave_level_of(const char *name)
{
    static const char *const names[] = {"off", "fatal", "error", "warn", "info", "debug", "trace"};
    for (int i = 0; i < (int)(sizeof(names) / sizeof(names[0])); i++)
        if (strcasecmp(name, names[i]) == 0)
            return (enum enclave_level)(i + ENCLAVE_LEVEL_OFF);
    return ENCLAVE_LEVEL_UNKNOWN;
}
