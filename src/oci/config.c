/* SPDX-License-Identifier: Apache-2.0 */
/* The top of config.json: everything but process.* (process.c) and linux.* (linux.c). */
#include "oci/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"
#include "oci/private.h"

enum { CONFIG_SIZE_MAX = 16 << 20 };

const char *const oci_hook_names[OCI_HOOK_KINDS] = {
    [OCI_HOOK_PRESTART] = "prestart",
    [OCI_HOOK_CREATE_RUNTIME] = "createRuntime",
    [OCI_HOOK_CREATE_CONTAINER] = "createContainer",
    [OCI_HOOK_START_CONTAINER] = "startContainer",
    [OCI_HOOK_POSTSTART] = "poststart",
    [OCI_HOOK_POSTSTOP] = "poststop",
};

/* A chain of blocks; a configuration allocates a few kilobytes in many small pieces. */
struct oci_arena {
    struct oci_arena *next;
    size_t used, size;
    _Alignas(16) char data[];
};

void *oci_config_alloc(struct oci_config *config, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX / 2)
        abort();
    bytes = (bytes + 15) & ~(size_t)15;
    struct oci_arena *arena = config->arena;
    if (!arena || arena->size - arena->used < bytes) {
        size_t room = bytes > 8000 ? bytes : 8000;
        arena = xmalloc(sizeof(*arena) + room);
        arena->used = 0;
        arena->size = room;
        arena->next = config->arena;
        config->arena = arena;
    }
    void *out = arena->data + arena->used;
    arena->used += bytes;
    memset(out, 0, bytes);
    return out;
}

char *oci_config_format(struct oci_config *config, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    cleanup_free char *text = xvasprintf(fmt, args);
    va_end(args);
    size_t size = strlen(text) + 1;
    return memcpy(oci_config_alloc(config, size, 1), text, size);
}

int oci_get_strings(struct oci_config *config, const json_t *object, const char *where,
                    const char *key, struct oci_strings *out, struct error *err)
{
    json_t *array = NULL;
    int ret = json_get_array(object, where, key, &array, err);
    if (ret <= 0)
        return ret;
    size_t count = json_array_size(array);
    const char **items = oci_config_alloc(config, count + 1, sizeof(*items));
    for (size_t i = 0; i < count; i++) {
        json_t *item = json_array_get(array, i);
        items[i] = json_string_value(item);
        if (!items[i] || strlen(items[i]) != json_string_length(item))
            return error_set(err, "%s.%s[%zu]: expected a string", where, key, i);
    }
    out->items = items;
    out->count = count;
    return 1;
}

int oci_get_pairs(struct oci_config *config, const json_t *object, const char *where,
                  const char *key, struct oci_pairs *out, struct error *err)
{
    json_t *map = NULL;
    int ret = json_get_object(object, where, key, &map, err);
    if (ret <= 0)
        return ret;
    struct oci_pair *items = oci_config_alloc(config, json_object_size(map), sizeof(*items));
    size_t count = 0;
    const char *name;
    json_t *value;
    json_object_foreach (map, name, value) {
        if (!json_is_string(value))
            return error_set(err, "%s%s%s.%s: expected a string", where, *where ? "." : "", key,
                             name);
        items[count++] = (struct oci_pair){name, json_string_value(value)};
    }
    out->items = items;
    out->count = count;
    return 1;
}

int oci_get_objects(const json_t *object, const char *where, const char *key, json_t **out,
                    size_t *count, struct error *err)
{
    *count = 0;
    int ret = json_get_array(object, where, key, out, err);
    if (ret <= 0)
        return ret;
    *count = json_array_size(*out);
    for (size_t i = 0; i < *count; i++)
        if (!json_is_object(json_array_get(*out, i)))
            return error_set(err, "%s%s%s[%zu]: expected an object", where, *where ? "." : "", key,
                             i);
    return 1;
}

int oci_get_mappings(struct oci_config *config, const json_t *object, const char *where,
                     const char *key, struct oci_id_mappings *out, struct error *err)
{
    json_t *array = NULL;
    size_t count;
    int ret = oci_get_objects(object, where, key, &array, &count, err);
    if (ret <= 0)
        return ret;
    out->items = oci_config_alloc(config, count, sizeof(*out->items));
    out->count = count;
    for (size_t i = 0; i < count; i++) {
        json_t *item = json_array_get(array, i);
        struct oci_id_mapping *mapping = &out->items[i];
        if (json_get_uint32(item, key, "containerID", &mapping->container_id, err) < 0 ||
            json_get_uint32(item, key, "hostID", &mapping->host_id, err) < 0 ||
            json_get_uint32(item, key, "size", &mapping->size, err) < 0)
            return error_wrap(err, "%s", where);
        if (mapping->size == 0)
            return error_set(err, "%s.%s[%zu]: size must not be 0", where, key, i);
    }
    return 1;
}

static int parse_mounts(struct oci_config *config, struct error *err)
{
    json_t *array = NULL;
    size_t count;
    int ret = oci_get_objects(config->json, "", "mounts", &array, &count, err);
    if (ret <= 0)
        return ret;
    config->mounts = oci_config_alloc(config, count, sizeof(*config->mounts));
    config->mount_count = count;
    for (size_t i = 0; i < count; i++) {
        struct oci_mount *mount = &config->mounts[i];
        json_t *item = json_array_get(array, i);
        static const char *empty[] = {NULL};
        mount->options.items = empty;
        if (json_get_string(item, "", "destination", &mount->destination, err) < 0 ||
            json_get_string(item, "", "type", &mount->type, err) < 0 ||
            json_get_string(item, "", "source", &mount->source, err) < 0 ||
            oci_get_strings(config, item, "", "options", &mount->options, err) < 0 ||
            oci_get_mappings(config, item, "", "uidMappings", &mount->uid_mappings, err) < 0 ||
            oci_get_mappings(config, item, "", "gidMappings", &mount->gid_mappings, err) < 0)
            return error_wrap(err, "mounts[%zu]", i);
        if (!mount->destination || !*mount->destination)
            return error_set(err, "mounts[%zu]: destination is missing", i);
    }
    return 0;
}

static int parse_hooks(struct oci_config *config, struct error *err)
{
    json_t *hooks = NULL;
    int ret = json_get_object(config->json, "", "hooks", &hooks, err);
    if (ret <= 0)
        return ret;
    for (size_t kind = 0; kind < OCI_HOOK_KINDS; kind++) {
        json_t *array = NULL;
        size_t count;
        ret = oci_get_objects(hooks, "hooks", oci_hook_names[kind], &array, &count, err);
        if (ret < 0)
            return ret;
        struct oci_hook *items = oci_config_alloc(config, count, sizeof(*items));
        config->hooks[kind] = (struct oci_hooks){items, count};
        for (size_t i = 0; i < count; i++) {
            json_t *item = json_array_get(array, i);
            int64_t timeout = 0;
            int have = json_get_int64(item, "", "timeout", &timeout, err);
            if (have < 0 || json_get_string(item, "", "path", &items[i].path, err) < 0 ||
                oci_get_strings(config, item, "", "args", &items[i].args, err) < 0 ||
                oci_get_strings(config, item, "", "env", &items[i].env, err) < 0)
                return error_wrap(err, "hooks.%s[%zu]", oci_hook_names[kind], i);
            if (!items[i].path || items[i].path[0] != '/')
                return error_set(err, "hooks.%s[%zu].path: an absolute path is needed",
                                 oci_hook_names[kind], i);
            if (have && (timeout <= 0 || timeout > INT32_MAX))
                return error_set(err, "hooks.%s[%zu].timeout: must be above 0",
                                 oci_hook_names[kind], i);
            items[i].timeout = (int)timeout;
        }
    }
    return 0;
}

static int check_version(const char *version, struct error *err)
{
    if (!version || !*version)
        return error_set(err, "ociVersion is missing");
    char *end;
    unsigned long major = strtoul(version, &end, 10);
    if (end == version || *end != '.')
        return error_set(err, "ociVersion %s is not a version", version);
    if (major != 1)
        return error_set(err, "ociVersion %s is not supported, only 1.x", version);
    return 0;
}

static int parse_top(struct oci_config *config, struct error *err)
{
    json_t *json = config->json;
    if (!json_is_object(json))
        return error_set(err, "not a JSON object");
    if (json_get_string(json, "", "ociVersion", &config->version, err) < 0 ||
        check_version(config->version, err) < 0 ||
        json_get_string(json, "", "hostname", &config->hostname, err) < 0 ||
        json_get_string(json, "", "domainname", &config->domainname, err) < 0 ||
        oci_get_pairs(config, json, "", "annotations", &config->annotations, err) < 0)
        return -1;
    for (size_t i = 0; i < config->annotations.count; i++)
        if (!*config->annotations.items[i].key)
            return error_set(err, "annotations: a key must not be empty");
    if (config->hostname && !*config->hostname)
        config->hostname = NULL;
    if (config->domainname && !*config->domainname)
        config->domainname = NULL;

    json_t *root = NULL;
    int ret = json_get_object(json, "", "root", &root, err);
    if (ret < 0)
        return ret;
    if (ret == 0)
        return error_set(err, "root is missing");
    if (json_get_string(root, "root", "path", &config->root_path, err) < 0 ||
        json_get_bool(root, "root", "readonly", &config->root_readonly, err) < 0)
        return -1;
    if (!config->root_path || !*config->root_path)
        return error_set(err, "root.path is missing");

    json_t *process = NULL;
    ret = json_get_object(json, "", "process", &process, err);
    if (ret < 0)
        return ret;
    if (ret > 0) {
        config->process_present = true;
        if (oci_process_fill(process, config, &config->process, err) < 0)
            return error_wrap(err, "process");
    }
    if (parse_mounts(config, err) < 0 || parse_hooks(config, err) < 0)
        return -1;
    return oci_linux_fill(config, err);
}

struct oci_config *oci_config_new(void)
{
    struct oci_config *config = xcalloc(1, sizeof(*config));
    config->json = json_object();
    return config;
}

int oci_config_from_json(json_t *json, const char *origin, struct oci_config **out,
                         struct error *err)
{
    cleanup_config struct oci_config *config = xcalloc(1, sizeof(*config));
    config->json = json_incref(json);
    if (parse_top(config, err) < 0)
        return error_wrap(err, "%s", origin);
    *out = take_ptr(config);
    return 0;
}

int oci_config_parse(const char *text, size_t size, const char *origin, struct oci_config **out,
                     struct error *err)
{
    cleanup_json json_t *json = json_parse(text, size, origin, err);
    if (!json || oci_config_from_json(json, origin, out, err) < 0)
        return -1;
    buffer_append(&(*out)->text, text, size);
    return 0;
}

int oci_config_load(const char *bundle, struct oci_config **out, struct error *err)
{
    cleanup_free char *path = path_join(bundle, "config.json");
    cleanup_buffer struct buffer text = BUFFER_INIT;
    int ret = read_file_at(AT_FDCWD, path, &text, CONFIG_SIZE_MAX, err);
    if (ret == -ENOENT)
        return error_code(err, ENOENT, "JSON specification file %s not found", path);
    if (ret < 0)
        return ret;
    return oci_config_parse(buffer_text(&text), text.size, path, out, err);
}

void oci_config_free(struct oci_config *config)
{
    if (!config)
        return;
    while (config->arena) {
        struct oci_arena *next = config->arena->next;
        free(config->arena);
        config->arena = next;
    }
    json_decref(config->json);
    buffer_release(&config->text);
    free(config);
}

void oci_config_free_slot(struct oci_config **slot)
{
    oci_config_free(*slot);
}

const char *oci_annotation(const struct oci_config *config, const char *key)
{
    for (size_t i = 0; i < config->annotations.count; i++)
        if (strcmp(config->annotations.items[i].key, key) == 0)
            return config->annotations.items[i].value;
    return NULL;
}
