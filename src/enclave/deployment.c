/* SPDX-License-Identifier: Apache-2.0 */
#include "enclave/deployment.h"

#include <stdlib.h>
#include <string.h>

#include "../../abi/manifest.h"
#include "base/alloc.h"
#include "enclave/mounts.h"

static int fill_mounts(const struct oci_config *config, const char *setting, struct deployment *out,
                       struct error *err)
{
    out->mount_count = config->mount_count;
    out->mounts = xcalloc(config->mount_count + 1, sizeof(*out->mounts));
    out->options = xcalloc(config->mount_count + 1, sizeof(*out->options));
    out->passed = xcalloc(config->mount_count + 1, sizeof(*out->passed));
    for (size_t i = 0; i < config->mount_count; i++) {
        struct bundle_mount *mount = &out->mounts[i];
        mounts_read(&config->mounts[i], mount, &out->options[i]);
        if (mount->kind == MANIFEST_MOUNT_PASSTHROUGH) {
            mount->index = (uint32_t)out->passed_count;
            out->passed[out->passed_count++] = config->mounts[i].destination;
        }
    }
    if (mounts_apply(setting, config, out->mounts, err) < 0)
        return -1;
    return mounts_check_program(config->process.args.count > 0 ? config->process.args.items[0]
                                                               : NULL,
                                out->mounts, out->mount_count, err);
}

static void fill_process(const struct oci_process *process, struct deployment *out)
{
    struct bundle_deployment *manifest = &out->manifest;
    manifest->args = process->args.items;
    manifest->env = process->env.items;
    manifest->cwd = process->cwd;
    manifest->terminal = process->terminal;
    manifest->uid = process->uid;
    manifest->gid = process->gid;
    manifest->umask = process->umask_set ? process->umask : 022;
    const struct oci_capabilities *sets = &process->capabilities;
    const uint64_t all = (UINT64_C(1) << 41) - 1;
    manifest->capabilities = sets->present ? sets->permitted : all;
    manifest->bounding = sets->present ? sets->bounding : all;
    manifest->inheritable = sets->present ? sets->inheritable : 0;
    manifest->ambient = sets->present ? sets->ambient & sets->permitted & sets->inheritable : 0;
    out->groups = xcalloc(process->additional_gid_count + 1, sizeof(*out->groups));
    for (size_t i = 0; i < process->additional_gid_count; i++)
        out->groups[i] = process->additional_gids[i];
    manifest->groups = out->groups;
    manifest->group_count = process->additional_gid_count;
    out->rlimits = xcalloc(process->rlimit_count + 1, sizeof(*out->rlimits));
    for (size_t i = 0; i < process->rlimit_count; i++)
        out->rlimits[i] = (struct bundle_rlimit){(uint32_t)process->rlimits[i].resource,
                                                 process->rlimits[i].soft,
                                                 process->rlimits[i].hard};
    manifest->rlimits = out->rlimits;
    manifest->rlimit_count = process->rlimit_count;
}

int deployment_from_config(const struct oci_config *config, const struct policy *policy,
                           const char *mounts, struct deployment *out, struct error *err)
{
    memset(out, 0, sizeof(*out));
    fill_process(&config->process, out);
    int result = fill_mounts(config, mounts, out, err);
    out->sysctl_count = config->sysctl.count;
    out->sysctls = xcalloc(config->sysctl.count + 1, sizeof(*out->sysctls));
    for (size_t i = 0; i < config->sysctl.count; i++)
        out->sysctls[i] = xasprintf("%s=%s", config->sysctl.items[i].key,
                                    config->sysctl.items[i].value);
    out->manifest.policy = policy->manifest;
    out->manifest.commands = policy->commands;
    out->manifest.command_count = policy->command_count;
    out->manifest.hostname = config->hostname;
    out->manifest.domainname = config->domainname;
    out->manifest.readonly_root = config->root_readonly;
    out->manifest.mounts = out->mounts;
    out->manifest.mount_count = out->mount_count;
    out->manifest.sysctls = (const char *const *)out->sysctls;
    out->manifest.masked_paths = config->masked_paths.items;
    out->manifest.readonly_paths = config->readonly_paths.items;
    return result;
}

void deployment_release(struct deployment *deployment)
{
    for (size_t i = 0; i < deployment->mount_count; i++)
        buffer_release(&deployment->options[i]);
    for (size_t i = 0; i < deployment->sysctl_count; i++)
        free(deployment->sysctls[i]);
    free(deployment->mounts);
    free(deployment->options);
    free(deployment->passed);
    free(deployment->rlimits);
    free(deployment->groups);
    free(deployment->sysctls);
}
