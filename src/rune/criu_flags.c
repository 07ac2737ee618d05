/* SPDX-License-Identifier: Apache-2.0 */
#include "rune/criu_flags.h"

#include <string.h>

#include "base/cleanup.h"

struct criu_flags g_criu = {.options = {.status_fd = -1}};

static int cgroup_mode(const char *text, enum container_cgroup_mode *out, struct error *err)
{
    static const char *const names[] = {
        [CONTAINER_CGROUP_DEFAULT] = "",      [CONTAINER_CGROUP_IGNORE] = "ignore",
        [CONTAINER_CGROUP_SOFT] = "soft",     [CONTAINER_CGROUP_FULL] = "full",
        [CONTAINER_CGROUP_STRICT] = "strict",
    };
    for (size_t i = 0; i < array_count(names); i++) {
        if (strcmp(text, names[i]) == 0) {
            *out = (enum container_cgroup_mode)i;
            return 0;
        }
    }
    return error_set(err, "Invalid manage cgroups mode: %s", text);
}

int criu_flags_finish(struct error *err)
{
    struct container_criu_options *options = &g_criu.options;
    options->program = g_globals.criu && *g_globals.criu ? g_globals.criu : "criu";
    if (g_criu.cgroup_mode && cgroup_mode(g_criu.cgroup_mode, &options->cgroup_mode, err) < 0)
        return -1;
    for (size_t i = 0; i < g_criu.empty_namespaces.count; i++)
        if (strcmp(g_criu.empty_namespaces.items[i], "network") != 0)
            return error_set(err, "namespace \"%s\" is not supported",
                             g_criu.empty_namespaces.items[i]);
    if (!options->image_path || !*options->image_path)
        options->image_path = "checkpoint";
    if (options->work_path && !*options->work_path)
        options->work_path = NULL;
    if (options->parent_path && !*options->parent_path)
        options->parent_path = NULL;
    if (make_absolute(&options->image_path, err) < 0)
        return -1;
    return make_absolute(&options->work_path, err);
}
