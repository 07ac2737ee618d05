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
#define ENCLAVE_FD_FILE       "enclave"
#define ENCLAVE_FD_SIGSTRUCT  "sigstruct"
#define ENCLAVE_FD_IMAGE      "image"
#define ENCLAVE_FD_SITES      "sites"
#define ENCLAVE_FD_DEPLOYMENT "deployment"

struct enclave_settings {
    json_t *json; /* owns the strings */
    const char *type, *runtime, *args, *log_level;
    bool log_json, log_debug;
    uint64_t memory_limit;
    uint32_t thread_limit;
    const char **mounts; /* targets of the pass-through mounts, in manifest order */
    size_t mount_count;
};

/* A sealed memfd with the settings; returns the descriptor. */
int enclave_settings_write(const struct enclave_settings *settings, struct error *err);
int enclave_settings_read(int fd, struct enclave_settings *out, struct error *err);
