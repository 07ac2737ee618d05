/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/fd.h"

enum { STATE_SIZE_MAX = 32 << 20 };

static int get_pid(const json_t *json, const char *key, pid_t *out, struct error *err)
{
    int64_t value = 0;
    int ret = json_get_int64(json, "", key, &value, err);
    if (ret < 0)
        return ret;
    if (value < 0 || value > INT32_MAX)
        return error_set(err, "%s: not a process id", key);
    *out = (pid_t)value;
    return ret;
}

static int check_version(const json_t *json, struct error *err)
{
    uint64_t version = 0;
    if (json_get_uint64(json, "", "stateVersion", &version, err) < 0)
        return -1;
    if (version > OCI_STATE_VERSION)
        return error_code(err, ENOTSUP,
                          "version %llu, and this rune reads up to %d: a newer rune made the "
                          "container; use that one to handle and delete it",
                          (unsigned long long)version, OCI_STATE_VERSION);
    return 0;
}

static int fill(struct oci_state *state, struct error *err)
{
    json_t *json = state->json;
    if (!json_is_object(json))
        return error_set(err, "not a JSON object");
    if (check_version(json, err) < 0)
        return -1;
    if (json_get_string(json, "", "id", &state->id, err) < 0 ||
        json_get_string(json, "", "ociVersion", &state->version, err) < 0 ||
        json_get_string(json, "", "bundle", &state->bundle, err) < 0 ||
        json_get_string(json, "", "rootfs", &state->rootfs, err) < 0 ||
        json_get_string(json, "", "created", &state->created, err) < 0 ||
        json_get_string(json, "", "owner", &state->owner, err) < 0 ||
        json_get_string(json, "", "enclave", &state->enclave, err) < 0 ||
        json_get_uint64(json, "", "startTime", &state->start_time, err) < 0 ||
        json_get_uint64(json, "", "creatorStartTime", &state->creator_start_time, err) < 0 ||
        json_get_bool(json, "", "systemdCgroup", &state->systemd_cgroup, err) < 0 ||
        json_get_bool(json, "", "rootless", &state->rootless, err) < 0 ||
        json_get_object(json, "", "cgroupPaths", &state->cgroup_paths, err) < 0 ||
        json_get_object(json, "", "annotations", &state->annotations, err) < 0 ||
        get_pid(json, "pid", &state->pid, err) < 0 ||
        get_pid(json, "creator", &state->creator, err) < 0)
        return -1;
    if (!state->id || !state->bundle || !state->created)
        return error_set(err, "id, bundle or created is missing");
    const char *key;
    json_t *value;
    json_object_foreach (state->cgroup_paths, key, value) {
        const char *path = json_string_value(value);
        /* These directories will be removed: nothing but an absolute path without ".." is
         * believed. */
        if (!path || path[0] != '/' || strstr(path, "/../"))
            return error_set(err, "cgroupPaths.%s: not an absolute path", key);
    }
    return 0;
}

int oci_state_from_json(json_t *json, struct oci_state **out, struct error *err)
{
    struct oci_state *state = xcalloc(1, sizeof(*state));
    state->json = json_incref(json);
    if (fill(state, err) < 0) {
        oci_state_free(state);
        return error_wrap(err, "state.json");
    }
    *out = state;
    return 0;
}

int oci_state_parse(const char *text, size_t size, struct oci_state **out, struct error *err)
{
    cleanup_json json_t *json = json_parse(text, size, "state.json", err);
    return json ? oci_state_from_json(json, out, err) : -1;
}

int oci_state_load(int dir, struct oci_state **out, struct error *err)
{
    cleanup_buffer struct buffer text = BUFFER_INIT;
    int ret = read_file_at(dir, "state.json", &text, STATE_SIZE_MAX, err);
    if (ret < 0)
        return ret;
    return oci_state_parse(buffer_text(&text), text.size, out, err);
}

static int append(const char *data, size_t size, void *out)
{
    buffer_append(out, data, size);
    return 0;
}

int oci_state_save(int dir, const struct oci_state *state, struct error *err)
{
    cleanup_buffer struct buffer text = BUFFER_INIT;
    if (json_dump_callback(state->json, append, &text, JSON_COMPACT | JSON_PRESERVE_ORDER) < 0)
        return error_set(err, "state.json cannot be encoded");
    return replace_file_at(dir, "state.json", text.data, text.size, 0600, false, err);
}

void oci_state_set_pid(struct oci_state *state, pid_t pid, uint64_t start_time)
{
    json_object_set_new(state->json, "pid", json_integer(pid));
    json_object_set_new(state->json, "startTime", json_integer((json_int_t)start_time));
    state->pid = pid;
    state->start_time = start_time;
}

void oci_state_free(struct oci_state *state)
{
    if (!state)
        return;
    json_decref(state->json);
    free(state);
}
