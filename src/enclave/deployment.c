/* SPDX-License-Identifier: Apache-2.0 */
#include "enclave/deployment.h"

#include <stdlib.h>
#include <string.h>

#include "../../abi/manifest.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "enclave/canonical.h"
#include "enclave/mounts.h"

static int fill_mounts(const struct oci_config *config, const char *setting, struct deployment *out,
                       struct error *err)
{
    cleanup_free size_t *numbers = NULL;
    out->mount_count = canonical_mounts(config, &numbers);
    out->mounts = xcalloc(config->mount_count + 1, sizeof(*out->mounts));
    out->options = xcalloc(config->mount_count + 1, sizeof(*out->options));
    out->passed = xcalloc(config->mount_count + 1, sizeof(*out->passed));
    for (size_t i = 0; i < out->mount_count; i++) {
        struct bundle_mount *mount = &out->mounts[i];
        mounts_read(&config->mounts[numbers[i]], mount, &out->options[i]);
        if (mount->kind == MANIFEST_MOUNT_PASSTHROUGH) {
            mount->index = (uint32_t)out->passed_count;
            out->passed[out->passed_count++] = mount->target;
        }
    }
    if (mounts_apply(setting, config, numbers, out->mount_count, out->mounts, err) < 0)
        return -1;
    return mounts_check_program(config->process.args.count > 0 ? config->process.args.items[0]
                                                               : NULL,
                                out->mounts, out->mount_count, err);
}

static int compare_numbers(const void *a, const void *b)
{
    const uint32_t one = *(const uint32_t *)a, two = *(const uint32_t *)b;
    return (one > two) - (one < two);
}

static int compare_limits(const void *a, const void *b)
{
    return compare_numbers(&((const struct bundle_rlimit *)a)->resource,
                           &((const struct bundle_rlimit *)b)->resource);
}

static void fill_environment(const struct oci_strings *env, const struct host_rules *rules,
                             struct deployment *out)
{
    size_t measured = 0, given = 0;
    out->variables = canonical_variables(env);
    out->env = xcalloc(env->count + 1, sizeof(*out->env));
    out->given = xcalloc(env->count + 1, sizeof(*out->given));
    for (const char **entry = out->variables; *entry; entry++) {
        if (host_rules_allow(rules, *entry))
            out->given[given++] = *entry;
        else
            out->env[measured++] = *entry;
    }
    out->manifest.env = out->env;
    out->manifest.host_variables = rules->variables;
    out->manifest.host_variable_count = rules->variable_count;
    out->manifest.host_names = rules->names;
}

static void fill_process(const struct oci_process *process, struct deployment *out)
{
    struct bundle_deployment *manifest = &out->manifest;
    manifest->args = process->args.items;
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
    qsort(out->groups, process->additional_gid_count, sizeof(*out->groups), compare_numbers);
    manifest->groups = out->groups;
    for (size_t i = 0; i < process->additional_gid_count; i++)
        if (i == 0 || out->groups[i] != out->groups[i - 1])
            out->groups[manifest->group_count++] = out->groups[i];
    out->rlimits = xcalloc(process->rlimit_count + 1, sizeof(*out->rlimits));
    for (size_t i = 0; i < process->rlimit_count; i++)
        out->rlimits[i] = (struct bundle_rlimit){(uint32_t)process->rlimits[i].resource,
                                                 process->rlimits[i].soft,
                                                 process->rlimits[i].hard};
    qsort(out->rlimits, process->rlimit_count, sizeof(*out->rlimits), compare_limits);
    manifest->rlimits = out->rlimits;
    manifest->rlimit_count = process->rlimit_count;
}

int deployment_from_config(const struct oci_config *config, const struct policy *policy,
                           const char *mounts, struct deployment *out, struct error *err)
{
    memset(out, 0, sizeof(*out));
    fill_process(&config->process, out);
    fill_environment(&config->process.env, &policy->host, out);
    int result = fill_mounts(config, mounts, out, err);
    out->sysctl_count = config->sysctl.count;
    out->sysctls = xcalloc(config->sysctl.count + 1, sizeof(*out->sysctls));
    for (size_t i = 0; i < config->sysctl.count; i++)
        out->sysctls[i] = xasprintf("%s=%s", config->sysctl.items[i].key,
                                    config->sysctl.items[i].value);
    canonical_sort(out->sysctls, out->sysctl_count);
    out->masked_paths = canonical_texts(&config->masked_paths);
    out->readonly_paths = canonical_texts(&config->readonly_paths);
    out->manifest.policy = policy->manifest;
    out->manifest.commands = policy->commands;
    out->manifest.command_count = policy->command_count;
    out->manifest.ratls = policy->ratls;
    out->manifest.ratls_clients = policy->ratls_clients;
    if (!policy->host.names) {
        out->manifest.hostname = config->hostname;
        out->manifest.domainname = config->domainname;
    }
    out->manifest.readonly_root = config->root_readonly;
    out->manifest.mounts = out->mounts;
    out->manifest.mount_count = out->mount_count;
    out->manifest.sysctls = (const char *const *)out->sysctls;
    out->manifest.masked_paths = out->masked_paths;
    out->manifest.readonly_paths = out->readonly_paths;
    return result;
}

void deployment_release(struct deployment *deployment)
{
    for (size_t i = 0; i < deployment->mount_count; i++)
        buffer_release(&deployment->options[i]);
    for (size_t i = 0; i < deployment->sysctl_count; i++)
        free(deployment->sysctls[i]);
    free(deployment->variables);
    free(deployment->env);
    free(deployment->given);
    free(deployment->masked_paths);
    free(deployment->readonly_paths);
    free(deployment->mounts);
    free(deployment->options);
    free(deployment->passed);
    free(deployment->rlimits);
    free(deployment->groups);
    free(deployment->sysctls);
}
