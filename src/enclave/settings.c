/* SPDX-License-Identifier: Apache-2.0 */
#include "enclave/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"

#define SETTINGS_MAX (16u << 20)

int enclave_sealed_memory(const char *name, const void *data, size_t size, struct error *err)
{
    cleanup_close int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return error_errno(err, errno, "%s: memfd_create", name);
    int result = write_all(fd, data, size);
    if (result == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW) < 0)
        result = -errno;
    if (result == 0 && lseek(fd, 0, SEEK_SET) < 0)
        result = -errno;
    if (result < 0)
        return error_errno(err, -result, "%s: write", name);
    return take_fd(fd);
}

static void set_string(json_t *json, const char *key, const char *value)
{
    if (value != NULL)
        json_object_set_new(json, key, json_string(value));
}

int enclave_settings_write(const struct enclave_settings *settings, struct error *err)
{
    cleanup_json json_t *json = json_object();
    json_t *mounts = json_array();
    set_string(json, "type", settings->type);
    set_string(json, "runtime", settings->runtime);
    set_string(json, "args", settings->args);
    set_string(json, "logLevel", settings->log_level);
    set_string(json, "trace", settings->trace);
    json_object_set_new(json, "logJson", json_boolean(settings->log_json));
    json_object_set_new(json, "logDebug", json_boolean(settings->log_debug));
    json_object_set_new(json, "debugEnclave", json_boolean(settings->debug_enclave));
    json_object_set_new(json, "noKss", json_boolean(settings->no_kss));
    json_object_set_new(json, "memoryLimit", json_integer((json_int_t)settings->memory_limit));
    json_object_set_new(json, "oomKillerOff", json_boolean(settings->oom_killer_off));
    json_object_set_new(json, "threadLimit", json_integer(settings->thread_limit));
    json_object_set_new(json, "cpuQuota", json_integer((json_int_t)settings->cpu_quota));
    json_object_set_new(json, "cpuPeriod", json_integer((json_int_t)settings->cpu_period));
    for (size_t i = 0; i < settings->mount_count; i++)
        json_array_append_new(mounts, json_string(settings->mounts[i]));
    json_object_set_new(json, "mounts", mounts);

    cleanup_free char *text = json_text(json, JSON_COMPACT);
    return enclave_sealed_memory("enclave-settings", text, strlen(text), err);
}

int enclave_settings_read(int fd, struct enclave_settings *out, struct error *err)
{
    cleanup_buffer struct buffer text = BUFFER_INIT;
    memset(out, 0, sizeof(*out));
    if (fd < 0 || lseek(fd, 0, SEEK_SET) < 0)
        return error_set(err, "enclave settings: rune passed none");
    int result = read_all(fd, &text, SETTINGS_MAX);
    if (result < 0)
        return error_errno(err, -result, "enclave settings");
    json_t *json = out->json = json_parse(text.data, text.size, "enclave settings", err);
    if (json == NULL)
        return -1;
    json_t *mounts = NULL;
    if (json_get_string(json, "", "type", &out->type, err) < 0 ||
        json_get_string(json, "", "runtime", &out->runtime, err) < 0 ||
        json_get_string(json, "", "args", &out->args, err) < 0 ||
        json_get_string(json, "", "logLevel", &out->log_level, err) < 0 ||
        json_get_string(json, "", "trace", &out->trace, err) < 0 ||
        json_get_bool(json, "", "logJson", &out->log_json, err) < 0 ||
        json_get_bool(json, "", "logDebug", &out->log_debug, err) < 0 ||
        json_get_bool(json, "", "debugEnclave", &out->debug_enclave, err) < 0 ||
        json_get_bool(json, "", "noKss", &out->no_kss, err) < 0 ||
        json_get_uint64(json, "", "memoryLimit", &out->memory_limit, err) < 0 ||
        json_get_bool(json, "", "oomKillerOff", &out->oom_killer_off, err) < 0 ||
        json_get_uint32(json, "", "threadLimit", &out->thread_limit, err) < 0 ||
        json_get_uint64(json, "", "cpuQuota", &out->cpu_quota, err) < 0 ||
        json_get_uint64(json, "", "cpuPeriod", &out->cpu_period, err) < 0 ||
        json_get_array(json, "", "mounts", &mounts, err) < 0)
        return -1;
    if (out->type == NULL || out->runtime == NULL)
        return error_set(err, "enclave settings: type or runtime is missing");
    out->mount_count = json_array_size(mounts);
    out->mounts = xcalloc(out->mount_count + 1, sizeof(*out->mounts));
    for (size_t i = 0; i < out->mount_count; i++) {
        out->mounts[i] = json_string_value(json_array_get(mounts, i));
        if (out->mounts[i] == NULL)
            return error_set(err, "enclave settings: mount %zu is not a string", i);
    }
    return 0;
}
