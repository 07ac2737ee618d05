/* SPDX-License-Identifier: Apache-2.0 */
#include "enclave/deployment.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../../abi/manifest.h"
#include "base/alloc.h"
#include "base/cleanup.h"

/* File systems that the LibOS has of its own; everything else the host mounts and the LibOS passes
 * through. */
static const struct {
    const char *type;
    enum manifest_mount_kind kind;
} g_kinds[] = {
    {"proc", MANIFEST_MOUNT_PROC},      {"tmpfs", MANIFEST_MOUNT_TMPFS},
    {"devpts", MANIFEST_MOUNT_DEVPTS},  {"sysfs", MANIFEST_MOUNT_SYSFS},
    {"mqueue", MANIFEST_MOUNT_MQUEUE},  {"cgroup", MANIFEST_MOUNT_CGROUP},
    {"cgroup2", MANIFEST_MOUNT_CGROUP},
};

static bool is_bind(const struct oci_mount *mount)
{
    if (mount->type != NULL && strcmp(mount->type, "bind") == 0)
        return true;
    for (size_t i = 0; i < mount->options.count; i++)
        if (strcmp(mount->options.items[i], "bind") == 0 ||
            strcmp(mount->options.items[i], "rbind") == 0)
            return true;
    return false;
}

static uint32_t mount_kind(const struct oci_mount *mount)
{
    if (!is_bind(mount) && mount->type != NULL) {
        if (strcmp(mount->type, "tmpfs") == 0 && strcmp(mount->destination, "/dev") == 0)
            return MANIFEST_MOUNT_DEV;
        for (size_t i = 0; i < array_count(g_kinds); i++)
            if (strcmp(mount->type, g_kinds[i].type) == 0)
                return g_kinds[i].kind;
    }
    return MANIFEST_MOUNT_PASSTHROUGH;
}

/* Size of a tmpfs: bytes with k, m or g; a percentage is of a memory that the enclave does not see:
 * no limit. */
static uint64_t parse_size(const char *text)
{
    char *end;
    unsigned long long value = strtoull(text, &end, 10);
    int shift = *end == 'k' || *end == 'K'   ? 10
                : *end == 'm' || *end == 'M' ? 20
                : *end == 'g' || *end == 'G' ? 30
                                             : 0;
    if (*end == '%' || (shift != 0 && value > UINT64_MAX >> shift))
        return 0;
    return (uint64_t)value << shift;
}

static void read_option(const char *option, struct bundle_mount *out, struct buffer *rest)
{
    static const struct {
        const char *name;
        uint32_t flag;
    } flags[] = {{"ro", MANIFEST_MOUNT_READONLY},
                 {"rro", MANIFEST_MOUNT_READONLY},
                 {"noexec", MANIFEST_MOUNT_NOEXEC},
                 {"nosuid", MANIFEST_MOUNT_NOSUID},
                 {"nodev", MANIFEST_MOUNT_NODEV}};
    for (size_t i = 0; i < array_count(flags); i++) {
        if (strcmp(option, flags[i].name) == 0) {
            out->flags |= flags[i].flag;
            return;
        }
    }
    if (strncmp(option, "size=", 5) == 0)
        out->size = parse_size(option + 5);
    else if (strncmp(option, "mode=", 5) == 0)
        out->mode = (uint32_t)strtoul(option + 5, NULL, 8) & 07777;
    if (rest->size > 0)
        buffer_append_char(rest, ',');
    buffer_append_text(rest, option);
}

static void fill_mount(const struct oci_mount *mount, struct bundle_mount *out,
                       struct buffer *options)
{
    struct stat st;
    out->kind = mount_kind(mount);
    out->target = mount->destination;
    out->source = mount->source;
    out->mode = 01777; /* tmpfs's own default */
    for (size_t i = 0; i < mount->options.count; i++)
        read_option(mount->options.items[i], out, options);
    out->options = buffer_text(options);
    if (out->kind == MANIFEST_MOUNT_PASSTHROUGH && mount->source != NULL &&
        stat(mount->source, &st) == 0 && !S_ISDIR(st.st_mode))
        out->flags |= MANIFEST_MOUNT_IS_FILE;
}

static void fill_mounts(const struct oci_config *config, struct deployment *out)
{
    out->mount_count = config->mount_count;
    out->mounts = xcalloc(config->mount_count + 1, sizeof(*out->mounts));
    out->options = xcalloc(config->mount_count + 1, sizeof(*out->options));
    out->passed = xcalloc(config->mount_count + 1, sizeof(*out->passed));
    for (size_t i = 0; i < config->mount_count; i++) {
        struct bundle_mount *mount = &out->mounts[i];
        fill_mount(&config->mounts[i], mount, &out->options[i]);
        if (mount->kind == MANIFEST_MOUNT_PASSTHROUGH) {
            mount->index = (uint32_t)out->passed_count;
            out->passed[out->passed_count++] = config->mounts[i].destination;
        }
    }
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
    manifest->capabilities = process->capabilities.present ? process->capabilities.effective
                                                           : (UINT64_C(1) << 41) - 1;
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

void deployment_from_config(const struct oci_config *config, struct deployment *out)
{
    memset(out, 0, sizeof(*out));
    fill_process(&config->process, out);
    fill_mounts(config, out);
    out->sysctl_count = config->sysctl.count;
    out->sysctls = xcalloc(config->sysctl.count + 1, sizeof(*out->sysctls));
    for (size_t i = 0; i < config->sysctl.count; i++)
        out->sysctls[i] = xasprintf("%s=%s", config->sysctl.items[i].key,
                                    config->sysctl.items[i].value);
    out->manifest.policy = (struct bundle_policy){
        .exec = MANIFEST_EXEC_ANY,
        .flags = MANIFEST_POLICY_STDIN | MANIFEST_POLICY_STDOUT |
                 MANIFEST_POLICY_SIGNAL_ANY_PROCESS |
                 (config->process.no_new_privileges ? MANIFEST_POLICY_NO_NEW_PRIVS : 0),
        .signals = ~0ull,
        .log_level = 5,
    };
    out->manifest.hostname = config->hostname;
    out->manifest.domainname = config->domainname;
    out->manifest.readonly_root = config->root_readonly;
    out->manifest.mounts = out->mounts;
    out->manifest.mount_count = out->mount_count;
    out->manifest.sysctls = (const char *const *)out->sysctls;
    out->manifest.masked_paths = config->masked_paths.items;
    out->manifest.readonly_paths = config->readonly_paths.items;
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
