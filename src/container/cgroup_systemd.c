/* SPDX-License-Identifier: Apache-2.0 */
/* The systemd driver: a transient scope per container, by way of sd-bus. Runs in rune. */
#include "container/feature_names.h"
#include "container/private.h"

int cgroup_systemd_plan(struct cgroup *cgroup, const char *cgroups_path, const char *id,
                        struct error *err)
{
    return error_set(err, "this build has no systemd cgroup driver");
}

int cgroup_systemd_create(struct cgroup *cgroup, const struct oci_config *config, pid_t pid,
                          struct error *err)
{
    return error_set(err, "this build has no systemd cgroup driver");
}

int cgroup_systemd_set(const struct cgroup *cgroup, const struct oci_resources *resources,
                       struct error *err)
{
    return error_set(err, "this build has no systemd cgroup driver");
}

int cgroup_systemd_remove(const struct cgroup *cgroup, struct error *err)
{
    return 0;
}

bool features_systemd(void)
{
    return false;
}
