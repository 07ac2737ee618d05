/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What rune create tells init-runelet, beside config.json: a JSON object in a sealed memfd
 * (init_fds "settings"), and descriptors by name. Private to the room.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/json.h"

/* Names in container_create_options.init_fds. Only settings is always there. */
#define ENCLAVE_FD_SETTINGS   "settings"
#define ENCLAVE_FD_LOG        "log"
#define ENCLAVE_FD_AGENT      "agent"
#define ENCLAVE_FD_FILE       "enclave"
#define ENCLAVE_FD_SIGSTRUCT  "sigstruct"
#define ENCLAVE_FD_IMAGE      "image"
#define ENCLAVE_FD_SITES      "sites"
#define ENCLAVE_FD_DEPLOYMENT "deployment"
#define ENCLAVE_FD_GIVEN      "given"
#define ENCLAVE_FD_EMULATOR   "emulator-root" /* on machines without SGX */

/*
 * The converter (convert.c): rune gives a request in a sealed memfd as stdin, a SOCK_SEQPACKET as
 * descriptor 3 and its log, if it has one, as 4; the answer is one message, a line of text with
 * these descriptors, or with none when the line is an error.
 */
#define ENCLAVE_CONVERTER_FDS                                                      \
    {                                                                              \
        ENCLAVE_FD_FILE, ENCLAVE_FD_SIGSTRUCT, ENCLAVE_FD_IMAGE, ENCLAVE_FD_SITES, \
            ENCLAVE_FD_DEPLOYMENT, ENCLAVE_FD_GIVEN, ENCLAVE_FD_EMULATOR           \
    }
#define ENCLAVE_CONVERTER_NEEDED 6 /* the last is optional */
#define ENCLAVE_CONVERTER_TEXT   8192

struct enclave_settings {
    json_t *json; /* owns the strings */
    const char *type, *runtime, *args, *log_level, *trace;
    bool log_json, log_debug;
    bool debug_enclave, no_kss; /* PAL_FLAG_DEBUG_ENCLAVE, PAL_FLAG_NO_KSS */
    uint64_t memory_limit;
    bool oom_killer_off; /* linux.resources.memory.disableOOMKiller */
    uint32_t thread_limit;
    uint64_t cpu_quota, cpu_period; /* microseconds; quota 0: none */
    const char **mounts;            /* targets of the pass-through mounts, in manifest order */
    size_t mount_count;
};

/* Bytes that nobody can change any more; returns the descriptor, at its start. */
int enclave_sealed_memory(const char *name, const void *data, size_t size, struct error *err);
/* A sealed memfd with the settings; returns the descriptor. */
int enclave_settings_write(const struct enclave_settings *settings, struct error *err);
int enclave_settings_read(int fd, struct enclave_settings *out, struct error *err);
