/* SPDX-License-Identifier: Apache-2.0 */
/* What containerd's configuration says of the runtime: from a request, and kept in the bundle. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "base/path.h"
#include "shim/shim.h"

#define DEFAULT_ROOT "/run/containerd/rune"
/* In the bundle; the name and the keys are those of runc's shim. */
#define OPTIONS_FILE "options.json"

enum { OPTIONS_MAX = 1 << 20 };

void runtime_config_release(struct runtime_config *config)
{
    free(config->binary);
    free(config->root);
    free(config->criu);
    free(config->criu_work_path);
    *config = (struct runtime_config){0};
}

static char *text_or_null(const char *text)
{
    return text && *text ? xstrdup(text) : NULL;
}

Options__Runc *options_runc(const Ttrpc__Any *any, struct error *err)
{
    if (!any || !*any->type_url)
        return NULL;
    const char *slash = strrchr(any->type_url, '/');
    const char *type = slash ? slash + 1 : any->type_url;
    if (strcmp(type, "containerd.runc.v1.Options") != 0) {
        log_warning("runtime options of type %s are not known here, and not used", type);
        return NULL;
    }
    Options__Runc *options = options__runc__unpack(NULL, any->value.len, any->value.data);
    if (!options)
        error_set(err, "the runtime options cannot be decoded");
    return options;
}

int runtime_config_read(const struct shim *shim, const Ttrpc__Any *any, struct runtime_config *out,
                        struct error *err)
{
    cleanup_error struct error failure = ERROR_INIT;
    Options__Runc *options = options_runc(any, &failure);
    if (failure.message)
        return error_move(err, &failure);
    Options__Runc defaults = OPTIONS__RUNC__INIT;
    const Options__Runc *o = options ? options : &defaults;
    *out = (struct runtime_config){
        .binary = *o->binary_name ? xstrdup(o->binary_name) : runtime_default_binary(),
        .root = path_join(*o->root ? o->root : DEFAULT_ROOT, shim->namespace),
        .criu = text_or_null(o->criu_path),
        .criu_work_path = text_or_null(o->criu_work_path),
        .systemd_cgroup = o->systemd_cgroup,
        .enclave = shim->enclave,
        .no_pivot = o->no_pivot_root,
        .no_new_keyring = o->no_new_keyring,
        .io_uid = o->io_uid,
        .io_gid = o->io_gid,
    };
    if (options)
        options__runc__free_unpacked(options, NULL);
    return 0;
}

int runtime_config_save(const struct runtime_config *config, const char *bundle, struct error *err)
{
    /* The namespace is no part of the root in this file. */
    const char *end = strrchr(config->root, '/');
    cleanup_json json_t *json = json_pack("{s:s,s:s%,s:b}", "binary_name", config->binary, "root",
                                          config->root, (size_t)(end - config->root),
                                          "systemd_cgroup", config->systemd_cgroup);
    cleanup_free char *text = json_text(json, JSON_COMPACT);
    cleanup_close int dir = open(bundle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return error_errno(err, errno, "open bundle %s", bundle);
    return replace_file_at(dir, OPTIONS_FILE, text, strlen(text), 0600, false, err);
}

int runtime_config_load(const char *namespace, const char *bundle, struct runtime_config *out,
                        struct error *err)
{
    cleanup_free char *path = path_join(bundle, OPTIONS_FILE);
    *out = (struct runtime_config){0};
    cleanup_json json_t *json = NULL;
    if (access(path, F_OK) == 0) {
        json = json_parse_file(AT_FDCWD, path, OPTIONS_MAX, err);
        if (!json)
            return -1;
    }
    const char *binary = json_string_value(json_object_get(json, "binary_name"));
    const char *root = json_string_value(json_object_get(json, "root"));
    out->binary = binary && *binary ? xstrdup(binary) : runtime_default_binary();
    out->root = path_join(root && *root ? root : DEFAULT_ROOT, namespace);
    out->systemd_cgroup = json_is_true(json_object_get(json, "systemd_cgroup"));
    return 0;
}
