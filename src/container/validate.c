/* SPDX-License-Identifier: Apache-2.0 */
/* What a configuration must satisfy before anything is made of it. The messages are those that
 * users of runc know. */
#include <errno.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "container/private.h"

bool container_id_valid(const char *id)
{
    enum { ID_MAX = 1024 };
    size_t length = strlen(id);
    if (length == 0 || length > ID_MAX || strcmp(id, ".") == 0 || strcmp(id, "..") == 0 ||
        strcmp(id, ".cache") == 0)
        return false;
    return strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.") ==
           length;
}

int process_check_environment(const struct oci_process *process, struct error *err)
{
    for (size_t i = 0; i < process->env.count; i++) {
        size_t name = strcspn(process->env.items[i], "=");
        if (name == 0 || process->env.items[i][name] != '=')
            return error_set(err, "invalid environment variable: \"%s\"", process->env.items[i]);
    }
    return 0;
}

static int check_process(const struct oci_config *config, struct error *err)
{
    const struct oci_process *process = &config->process;
    if (!config->process_present)
        return error_set(err, "process property must not be empty");
    if (!process->cwd || !*process->cwd)
        return error_set(err, "Cwd property must not be empty");
    if (process->cwd[0] != '/')
        return error_set(err, "Cwd must be an absolute path");
    if (process->args.count == 0)
        return error_set(err, "args must not be empty");
    return process_check_environment(process, err);
}

static bool has_new(const struct oci_config *config, enum oci_namespace_type type)
{
    return config->namespaces[type].present;
}

/* True when a namespace that is joined by path is the one we are in. */
static bool is_own(const char *path, const char *own)
{
    struct stat a, b;
    return path && stat(path, &a) == 0 && stat(own, &b) == 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

static bool sysctl_of_ipc(const char *name)
{
    static const char *const names[] = {"kernel.msgmax", "kernel.msgmnb",         "kernel.msgmni",
                                        "kernel.sem",    "kernel.shmall",         "kernel.shmmax",
                                        "kernel.shmmni", "kernel.shm_rmid_forced"};
    for (size_t i = 0; i < array_count(names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return strncmp(name, "fs.mqueue.", 10) == 0;
}

void sysctl_swap_separators(char *name)
{
    for (; *name; name++) {
        if (*name == '/')
            *name = '.';
        else if (*name == '.')
            *name = '/';
    }
}

static int check_sysctl(const struct oci_config *config, const char *key, struct error *err)
{
    char name[256];
    if (strlen(key) >= sizeof(name) || strstr(key, ".."))
        return error_set(err, "sysctl \"%s\" is not a valid name", key);
    memcpy(name, key, strlen(key) + 1);
    size_t first = strcspn(name, "./");
    if (name[first] == '/')
        sysctl_swap_separators(name);
    if (sysctl_of_ipc(name)) {
        if (!has_new(config, OCI_NS_IPC))
            return error_set(err, "sysctl \"%s\" is not allowed in the hosts ipc namespace", key);
        return 0;
    }
    if (strncmp(name, "net.", 4) == 0) {
        if (!has_new(config, OCI_NS_NETWORK) ||
            is_own(config->namespaces[OCI_NS_NETWORK].path, "/proc/self/ns/net"))
            return error_set(err, "sysctl \"%s\" not allowed in host network namespace", key);
        return 0;
    }
    if (strcmp(name, "kernel.domainname") == 0) {
        if (!has_new(config, OCI_NS_UTS))
            return error_set(err, "sysctl \"%s\" is not allowed in the hosts UTS namespace", key);
        return 0;
    }
    if (strcmp(name, "kernel.hostname") == 0)
        return error_set(
            err, "sysctl \"%s\" is not allowed as it conflicts with the OCI \"hostname\" field",
            key);
    return error_set(err, "sysctl \"%s\" is not in a separate kernel namespace", key);
}

static int check_namespaces(const struct oci_config *config, struct error *err)
{
    if (!has_new(config, OCI_NS_MOUNT) &&
        (config->masked_paths.count || config->readonly_paths.count))
        return error_set(err, "unable to restrict sys entries without a private MNT namespace");
    if (config->hostname && !has_new(config, OCI_NS_UTS))
        return error_set(err, "unable to set hostname without a private UTS namespace");
    if (config->domainname && !has_new(config, OCI_NS_UTS))
        return error_set(err, "unable to set domainname without a private UTS namespace");
    if (is_own(config->namespaces[OCI_NS_MOUNT].path, "/proc/self/ns/mnt"))
        return error_set(err,
                         "the container would change the root of the host's own mount namespace");
    const struct oci_namespace *user = &config->namespaces[OCI_NS_USER];
    if (user->present && access("/proc/self/ns/user", F_OK) < 0)
        return error_set(err, "user namespaces aren't enabled in the kernel");
    if (user->present && !user->path && config->uid_mappings.count == 0)
        return error_set(err, "user namespaces enabled, but no uid mappings found");
    if (user->present && !user->path && config->gid_mappings.count == 0)
        return error_set(err, "user namespaces enabled, but no gid mappings found");
    if (!user->present && (config->uid_mappings.count || config->gid_mappings.count))
        return error_set(
            err,
            "user namespace mappings specified, but user namespace isn't enabled in the config");
    if (has_new(config, OCI_NS_TIME) && access("/proc/self/timens_offsets", F_OK) < 0)
        return error_set(err, "time namespaces aren't enabled in the kernel");
    if ((config->monotonic.set || config->boottime.set) &&
        (!has_new(config, OCI_NS_TIME) || config->namespaces[OCI_NS_TIME].path))
        return error_set(err,
                         "time namespace offsets specified, but no new time namespace is made");
    return 0;
}

/* As in runc: a label that nobody would enforce is no label. */
static int check_labels(const struct oci_config *config, struct error *err)
{
    if ((config->process.selinux_label || config->mount_label) &&
        access("/sys/fs/selinux/enforce", F_OK) < 0)
        return error_set(
            err, "selinux label is specified in config, but selinux is disabled or not supported");
    const char *profile = config->process.apparmor_profile;
    if (profile && strcmp(profile, "unconfined") != 0 &&
        access("/sys/kernel/security/apparmor", F_OK) < 0 &&
        access("/sys/module/apparmor/parameters/enabled", F_OK) < 0)
        return error_set(
            err, "apparmor profile %s is specified in config, but apparmor is not supported",
            profile);
    return 0;
}

static int check_ids(const struct oci_config *config, struct error *err)
{
    const struct oci_namespace *user = &config->namespaces[OCI_NS_USER];
    if (!user->present || user->path)
        return 0;
    if (userns_host_id(&config->uid_mappings, config->process.uid) < 0)
        return error_set(err, "user %u is not mapped in the user namespace", config->process.uid);
    if (userns_host_id(&config->gid_mappings, config->process.gid) < 0)
        return error_set(err, "group %u is not mapped in the user namespace", config->process.gid);
    return 0;
}

static int check_terminal(const struct container_create_options *options,
                          const struct oci_config *config, struct error *err)
{
    bool detach = options->detach || !options->run;
    bool socket = options->console_socket && *options->console_socket;
    if (detach && config->process.terminal && !socket)
        return error_set(err,
                         "cannot allocate tty if rune will detach without setting console socket");
    if ((!detach || !config->process.terminal) && socket)
        return error_set(err, "cannot use console socket if rune will not detach or allocate tty");
    return 0;
}

static int check_mounts(const struct oci_config *config, struct error *err)
{
    for (size_t i = 0; i < config->mount_count; i++) {
        const struct oci_mount *mount = &config->mounts[i];
        struct mount_plan plan;
        mount_plan_parse(mount, &plan);
        bool bind = plan.bind, idmap = plan.idmap || mount->uid_mappings.count;
        mount_plan_release(&plan);
        if ((mount->uid_mappings.count > 0) != (mount->gid_mappings.count > 0))
            return error_set(err, "mount %s: uidMappings and gidMappings go together",
                             mount->destination);
        if (idmap && !bind)
            return error_set(
                err,
                "mount %s: gidMappings/uidMappings is supported only for mounts with the "
                "option 'bind'",
                mount->destination);
        if (idmap && !mount->uid_mappings.count && !config->namespaces[OCI_NS_USER].present)
            return error_set(err, "mount %s: idmap needs mappings of its own or a user namespace",
                             mount->destination);
    }
    return 0;
}

int config_validate(const struct container_create_options *options, const struct oci_config *config,
                    struct error *err)
{
    if (check_process(config, err) < 0 || check_namespaces(config, err) < 0 ||
        check_ids(config, err) < 0 || check_terminal(options, config, err) < 0 ||
        check_mounts(config, err) < 0 || check_labels(config, err) < 0)
        return -1;
    for (size_t i = 0; i < config->sysctl.count; i++)
        if (check_sysctl(config, config->sysctl.items[i].key, err) < 0)
            return -1;
    if (config->intel_rdt.present && access("/sys/fs/resctrl/schemata", F_OK) < 0)
        return error_set(
            err, "intelRdt is specified in config, but Intel RDT is not supported or enabled");
    return 0;
}
