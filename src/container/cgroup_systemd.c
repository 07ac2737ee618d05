/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The systemd cgroup driver: a transient scope for each container, made around its init while that
 * waits, and the same files written as with the cgroupfs driver. Names and properties are runc's.
 * Runs in rune.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "container/feature_names.h"
#include "container/private.h"
#include "container/systemd_unit.h"

bool features_systemd(void)
{
    return true;
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), n = strlen(end);
    return length >= n && strcmp(text + length - n, end) == 0;
}

static int connect_bus(struct cgroup *cgroup, struct error *err)
{
    if (!cgroup->bus)
        cgroup->bus = systemd_connect(cgroup->optional, err);
    return cgroup->bus ? 0 : -1;
}

/* "slice:prefix:name" to the names of slice and unit. */
static int plan_names(struct cgroup *cgroup, const char *cgroups_path, const char *id,
                      struct error *err)
{
    const char *default_slice = cgroup->optional ? "user.slice" : "system.slice";
    if (!cgroups_path || !*cgroups_path) {
        cgroup->slice = xstrdup(default_slice);
        cgroup->unit = xasprintf("runc-%s.scope", id);
        cgroup->name = xstrdup(id);
        return 0;
    }
    const char *prefix = strchr(cgroups_path, ':');
    const char *name = prefix ? strchr(prefix + 1, ':') : NULL;
    if (!name || strchr(name + 1, ':'))
        return error_set(err,
                         "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd "
                         "cgroups, got \"%s\" instead",
                         cgroups_path);
    if (prefix == cgroups_path)
        cgroup->slice = xstrdup(default_slice);
    else
        cgroup->slice = xstrndup(cgroups_path, (size_t)(prefix - cgroups_path));
    cgroup->unit = xasprintf("%.*s-%s.scope", (int)(name - prefix - 1), prefix + 1, name + 1);
    cgroup->name = xstrdup(name + 1);
    if (strchr(cgroup->unit, '/') || !name[1])
        return error_set(err, "cgroupsPath \"%s\": \"%s\" is no name for a scope", cgroups_path,
                         cgroup->unit);
    if (ends_with(name, ".slice"))
        return error_set(err, "cgroupsPath \"%s\": a container needs a scope, not a slice",
                         cgroups_path);
    return 0;
}

int cgroup_systemd_plan(struct cgroup *cgroup, const char *cgroups_path, const char *id, char **out,
                        struct error *err)
{
    if (!cgroup->v2 && cgroup->optional)
        return error_set(err, "cannot use the systemd cgroup driver rootless on cgroup v1");
    if (plan_names(cgroup, cgroups_path, id, err) < 0 || connect_bus(cgroup, err) < 0)
        return -1;
    cleanup_free char *slice = systemd_expand_slice(cgroup->slice, err);
    if (!slice)
        return -1;
    cleanup_free char *top = NULL;
    if (cgroup->optional) {
        /* The user's manager lives in a cgroup of its own, and its units below that. */
        top = systemd_manager_string(cgroup->bus, "ControlGroup", err);
        if (!top)
            return error_wrap(err, "find the cgroup of the user's systemd");
    }
    *out = xasprintf("%s%s/%s", top ? top : "", slice, cgroup->unit);
    return 0;
}

/* What runc sets for every container. */
static void add_basics(struct systemd_call *call, const struct cgroup *cgroup, pid_t pid)
{
    cleanup_free char *description = xasprintf("libcontainer container %s", cgroup->name);
    systemd_property(call, "Description", "s", description);
    systemd_property(call, "Slice", "s", cgroup->slice);
    systemd_property(call, "Delegate", "b", 1);
    systemd_property(call, "PIDs", "au", 1, (uint32_t)pid);
    systemd_property(call, "MemoryAccounting", "b", 1);
    systemd_property(call, "CPUAccounting", "b", 1);
    systemd_property(call, cgroup->v2 ? "IOAccounting" : "BlockIOAccounting", "b", 1);
    systemd_property(call, "TasksAccounting", "b", 1);
    systemd_property(call, "DefaultDependencies", "b", 0);
}

static int add_resources(const struct cgroup *cgroup, struct systemd_call *call,
                         const struct oci_resources *resources, struct error *err)
{
    /* A user's manager may not filter devices. */
    if (!cgroup->optional)
        systemd_devices(call, resources);
    return cgroup->v2 ? systemd_resources_v2(cgroup->bus, call, resources, err)
                      : systemd_resources_v1(cgroup->bus, call, resources, err);
}

static int start_unit(struct cgroup *cgroup, const struct oci_config *config, pid_t pid,
                      struct error *err)
{
    struct systemd_call *call = systemd_start_transient(cgroup->bus, cgroup->unit);
    add_basics(call, cgroup, pid);
    if (systemd_annotations(call, config, err) < 0 ||
        add_resources(cgroup, call, &config->resources, err) < 0) {
        systemd_abandon(call);
        return -1;
    }
    return systemd_send(call, err);
}

int cgroup_systemd_create(struct cgroup *cgroup, const struct oci_config *config, pid_t pid,
                          struct error *err)
{
    cleanup_error struct error failure = ERROR_INIT;
    if (connect_bus(cgroup, err) < 0)
        return -1;
    /* systemd would put our child into it, which then answers nobody. Whose it is, we do not
     * know. */
    cgroup->foreign = cgroup_frozen(cgroup);
    if (cgroup->foreign)
        return error_set(err, "container's cgroup unexpectedly frozen");
    int ret = start_unit(cgroup, config, pid, &failure);
    if (ret < 0 && failure.code == EEXIST) {
        /* A unit that has failed keeps its name until somebody resets it. */
        systemd_reset_failed(cgroup->bus, cgroup->unit);
        error_release(&failure);
        ret = start_unit(cgroup, config, pid, &failure);
        cgroup->foreign = ret < 0 && failure.code == EEXIST;
    }
    if (ret < 0)
        return error_move(err, &failure);
    ret = cgroup->v2 ? cgroup_v2_create(cgroup, err) : cgroup_v1_create(cgroup, err);
    /* systemd made the directory, for us. */
    cgroup->existed = false;
    /* On v1 systemd makes only those of the controllers that it uses itself. */
    if (ret == 0 && !cgroup->v2)
        ret = cgroup_attach(cgroup, pid, err);
    return ret;
}

int cgroup_systemd_set(struct cgroup *cgroup, const struct oci_resources *resources,
                       struct error *err)
{
    if (connect_bus(cgroup, err) < 0)
        return -1;
    struct systemd_call *call = systemd_set_properties(cgroup->bus, cgroup->unit);
    if (add_resources(cgroup, call, resources, err) < 0) {
        systemd_abandon(call);
        return -1;
    }
    /* On v1 systemd clears the list of devices before it fills it: nobody may look meanwhile. */
    bool froze = !cgroup->v2 && !cgroup_frozen(cgroup) && cgroup_freeze(cgroup, true, NULL) == 0;
    int ret = systemd_send(call, err);
    if (froze)
        (void)cgroup_freeze(cgroup, false, NULL);
    return ret;
}

int cgroup_systemd_remove(struct cgroup *cgroup, struct error *err)
{
    if (connect_bus(cgroup, err) < 0)
        return -1;
    return systemd_stop(cgroup->bus, cgroup->unit, err);
}
