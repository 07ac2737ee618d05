/* SPDX-License-Identifier: Apache-2.0 */
/* Who the container's process is: limits, priorities, ids, capabilities, labels, environment. Runs
 * in the init. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "container/private.h"

int process_rlimits(const struct oci_process *process, bool carrier, struct error *err)
{
    for (size_t i = 0; i < process->rlimit_count; i++) {
        const struct oci_rlimit *limit = &process->rlimits[i];
        /* The program's limits are its own in the enclave; what carries it has other needs: memory
         * for all programs, descriptors of its own, threads, the processor time of everybody. */
        if (carrier && limit->resource != RLIMIT_CORE)
            continue;
        struct rlimit value = {.rlim_cur = limit->soft, .rlim_max = limit->hard};
        if (setrlimit((__rlimit_resource_t)limit->resource, &value) < 0)
            return error_errno(err, errno, "set resource limit %s",
                               oci_rlimit_name(limit->resource));
    }
    return 0;
}

int process_oom_score(const struct container_init *init, struct error *err)
{
    if (!init->process->oom_score_adj.set)
        return 0;
    char text[24];
    snprintf(text, sizeof(text), "%lld", (long long)init->process->oom_score_adj.value);
    cleanup_error struct error failure = ERROR_INIT;
    if (proc_write(init->proc_fd, "self/oom_score_adj", text, &failure) < 0) {
        /* Lowering it needs a privilege that a rootless runtime does not have; runc ignores that as
         * well. */
        if (failure.code == EACCES && geteuid() != 0)
            return 0;
        return error_move(err, &failure);
    }
    return 0;
}

struct sched_attr_v1 {
    uint32_t size;
    uint32_t sched_policy;
    uint64_t sched_flags;
    int32_t sched_nice;
    uint32_t sched_priority;
    uint64_t sched_runtime, sched_deadline, sched_period;
    uint32_t sched_util_min, sched_util_max;
};

int process_scheduling(const struct oci_process *process, struct error *err)
{
    if (process->scheduler.present) {
        const struct oci_scheduler *s = &process->scheduler;
        struct sched_attr_v1 attr = {
            .size = sizeof(attr),
            .sched_policy = (uint32_t)s->policy,
            .sched_flags = s->flags,
            .sched_nice = s->nice,
            .sched_priority = (uint32_t)s->priority,
            .sched_runtime = s->runtime,
            .sched_deadline = s->deadline,
            .sched_period = s->period,
        };
        if (syscall(SYS_sched_setattr, 0, &attr, 0) < 0)
            return error_errno(err, errno, "set the scheduler");
    }
    if (process->io_priority_set) {
        enum { IOPRIO_PROCESS = 1, IOPRIO_SHIFT = 13 };
        int value = process->io_priority_class << IOPRIO_SHIFT | process->io_priority;
        if (syscall(SYS_ioprio_set, IOPRIO_PROCESS, 0, value) < 0)
            return error_errno(err, errno, "set the I/O priority");
    }
    return 0;
}

/* "0-3,8" to a mask. */
int cpu_list_parse(const char *text, cpu_set_t *out, struct error *err)
{
    CPU_ZERO(out);
    for (const char *p = text; *p;) {
        char *end;
        unsigned long first = strtoul(p, &end, 10), last = first;
        if (end == p)
            return error_set(err, "CPU affinity %s is not a list of CPUs", text);
        if (*end == '-') {
            p = end + 1;
            last = strtoul(p, &end, 10);
            if (end == p)
                return error_set(err, "CPU affinity %s is not a list of CPUs", text);
        }
        if (last < first || last >= CPU_SETSIZE || (*end && *end != ','))
            return error_set(err, "CPU affinity %s is not a list of CPUs", text);
        for (unsigned long cpu = first; cpu <= last; cpu++)
            CPU_SET(cpu, out);
        p = *end ? end + 1 : end;
    }
    return 0;
}

/* runtime-spec "execCPUAffinity". */
int process_affinity(const char *cpus, struct error *err)
{
    cpu_set_t set;
    if (!cpus || !*cpus)
        return 0;
    if (cpu_list_parse(cpus, &set, err) < 0)
        return -1;
    if (sched_setaffinity(0, sizeof(set), &set) < 0)
        return error_errno(err, errno, "set CPU affinity %s", cpus);
    return 0;
}

int process_bounding(const struct oci_process *process, struct error *err)
{
    if (!process->capabilities.present)
        return 0;
    for (int cap = 0; cap < 64; cap++) {
        if (process->capabilities.bounding & (1ull << cap))
            continue;
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0)
            continue;
        if (errno == EINVAL)
            break; /* past the last capability of this kernel */
        /* Not permitted and not there is as good as dropped. */
        if (errno == EPERM && prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 0)
            continue;
        return error_errno(err, errno, "drop capability %d from the bounding set", cap);
    }
    return 0;
}

static int set_caps(uint64_t effective, uint64_t permitted, uint64_t inheritable)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {
        {(uint32_t)effective, (uint32_t)permitted, (uint32_t)inheritable},
        {(uint32_t)(effective >> 32), (uint32_t)(permitted >> 32), (uint32_t)(inheritable >> 32)},
    };
    return (int)syscall(SYS_capset, &header, data);
}

static int get_caps(uint64_t *effective, uint64_t *permitted)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &header, data) < 0)
        return -1;
    *effective = data[0].effective | (uint64_t)data[1].effective << 32;
    *permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
    return 0;
}

/* One line for all of them, instead of one each. */
static void warn_of_caps(uint64_t caps, const char *what)
{
    cleanup_buffer struct buffer names = BUFFER_INIT;
    for (int cap = 0; cap < 64; cap++)
        if (caps & (1ull << cap))
            buffer_append_format(&names, "%sCAP_%s", names.size ? " " : "",
                                 oci_capability_name(cap));
    if (names.size)
        log_warning("%s: %s", what, buffer_text(&names));
}

static int raise_ambient(const struct oci_capabilities *caps, struct error *err)
{
    uint64_t refused = 0;
    for (int cap = 0; cap < 64; cap++) {
        if (!(caps->ambient & (1ull << cap)) ||
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) == 0)
            continue;
        if (errno != EPERM && errno != EINVAL)
            return error_errno(err, errno, "raise ambient capability %d", cap);
        refused |= 1ull << cap;
    }
    /* One that the configuration does not make permitted and inheritable cannot be ambient: engines
     * write such, and nobody could do anything about it. */
    warn_of_caps(refused & caps->permitted & caps->inheritable,
                 "these ambient capabilities cannot be raised");
    return 0;
}

int process_final_caps(const struct oci_process *process, struct error *err)
{
    const struct oci_capabilities *caps = &process->capabilities;
    if (!caps->present)
        return 0;
    /* What we do not have cannot be given; runtime-spec 1.1: a warning, and no failure. */
    uint64_t effective, have;
    if (get_caps(&effective, &have) < 0)
        return error_errno(err, errno, "get capabilities");
    uint64_t permitted = caps->permitted & have;
    if (set_caps(caps->effective & permitted, permitted, caps->inheritable & have) < 0)
        return error_errno(err, errno, "set capabilities");
    warn_of_caps((caps->permitted | caps->effective) & ~have,
                 "these capabilities cannot be granted, rune does not have them itself");
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
        return error_errno(err, errno, "clear ambient capabilities");
    return raise_ambient(caps, err);
}

static bool setgroups_allowed(int proc_fd)
{
    char text[8] = "";
    cleanup_close int fd = openat(proc_fd, "self/setgroups", O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && read(fd, text, sizeof(text) - 1) > 0)
        return strncmp(text, "deny", 4) != 0;
    return true;
}

int process_identity(const struct container_init *init, struct error *err)
{
    const struct oci_process *process = init->process;
    /* Keep what the new user is to have across the change of ids; process_final_caps() settles
     * it. */
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
        return error_errno(err, errno, "keep capabilities");
    bool may = setgroups_allowed(init->proc_fd);
    if (may) {
        /* Who may not change them, and has none, has what the configuration says. */
        if (setgroups(process->additional_gid_count, process->additional_gids) < 0 &&
            !(errno == EPERM && process->additional_gid_count == 0 && getgroups(0, NULL) == 0))
            return error_errno(err, errno, "set supplementary groups");
    } else if (process->additional_gid_count > 0) {
        return error_set(err, "supplementary groups cannot be set in this user namespace");
    }
    /* The calls that runc makes: profiles are written by what it needs. */
    if (setgid(process->gid) < 0)
        return error_errno(err, errno, "set group %u", process->gid);
    if (setuid(process->uid) < 0)
        return error_errno(err, errno, "set user %u", process->uid);
    uint64_t effective, permitted;
    /* KEEPCAPS keeps the permitted set only; the working directory may need the effective one. */
    if (process->uid != 0 && get_caps(&effective, &permitted) == 0)
        (void)set_caps(permitted, permitted, 0);
    if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0)
        return error_errno(err, errno, "reset keep capabilities");
    return 0;
}

int process_cwd(const struct oci_process *process, struct error *err)
{
    const char *cwd = process->cwd && *process->cwd ? process->cwd : "/";
    if (chdir(cwd) < 0)
        return error_errno(err, errno, "chdir to cwd (\"%s\") set in config.json failed", cwd);
    /* A directory outside the container has no path inside it (CVE-2024-21626). */
    char *path = getcwd(NULL, 0);
    if (!path || path[0] != '/') {
        free(path);
        return error_set(
            err, "current working directory %s is outside of container mount namespace root", cwd);
    }
    free(path);
    return 0;
}

static bool executable(const char *path, int *why)
{
    struct stat st;
    if (stat(path, &st) < 0) {
        *why = errno;
        return false;
    }
    if (S_ISDIR(st.st_mode)) {
        *why = EISDIR;
        return false;
    }
    /* eaccess: by the effective ids, which are those of the container's user by now. A filter
     * that is older than the call refuses it: then execve() decides, if the mode lets anybody. */
    if (faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0)
        return true;
    if (errno == EPERM && (st.st_mode & 0111) != 0)
        return true;
    *why = errno == EPERM ? EACCES : errno;
    return false;
}

int process_find(const struct oci_process *process, const char **cwd, char **path,
                 struct error *err)
{
    (void)cwd;
    const char *name = process->args.items[0];
    int why = ENOENT;
    if (!*name)
        return error_code(err, ENOENT, "exec: \"\": executable file not found in $PATH");
    if (strchr(name, '/')) {
        if (!executable(name, &why)) {
            /* Engines make exit code 126 of "permission denied", 127 of "no such file". */
            if (why == EACCES || why == EISDIR)
                return error_code(err, why, "exec: \"%s\": %spermission denied", name,
                                  why == EISDIR ? "is a directory: " : "");
            const char *text = why == ENOENT ? "no such file or directory" : strerror(why);
            return error_code(err, why, "exec: \"%s\": stat %s: %s", name, name, text);
        }
        *path = xstrdup(name);
        return 0;
    }
    const char *search = NULL;
    for (size_t i = 0; i < process->env.count; i++)
        if (strncmp(process->env.items[i], "PATH=", 5) == 0)
            search = process->env.items[i] + 5;
    if (!search)
        search = "/bin:/usr/bin";
    bool denied = false;
    for (const char *p = search;; p++) {
        size_t length = strcspn(p, ":");
        cleanup_free char *candidate = length ? xasprintf("%.*s/%s", (int)length, p, name)
                                              : xasprintf("./%s", name);
        if (executable(candidate, &why)) {
            *path = take_ptr(candidate);
            return 0;
        }
        denied |= why == EACCES;
        p += length;
        if (!*p)
            break;
    }
    if (denied)
        return error_code(err, EACCES, "exec: \"%s\": permission denied", name);
    return error_code(err, ENOENT, "exec: \"%s\": executable file not found in $PATH", name);
}

/* Home directory of a user in the container's /etc/passwd, "/" when it has none. */
static char *home_of(uid_t uid)
{
    cleanup_file FILE *file = fopen("/etc/passwd", "re");
    char *line = NULL;
    size_t room = 0;
    char *home = NULL;
    while (file && !home && getline(&line, &room, file) > 0) {
        char *save = NULL, *fields[7] = {0}, *p = line;
        (void)save;
        for (int i = 0; i < 7 && p; i++)
            fields[i] = strsep(&p, ":\n");
        char *end;
        if (!fields[5] || !fields[2] || !*fields[2])
            continue;
        unsigned long id = strtoul(fields[2], &end, 10);
        if (!*end && id == uid && *fields[5])
            home = xstrdup(fields[5]);
    }
    free(line);
    return home ? home : xstrdup("/");
}

/*
 * Where `name` of the first `length` bytes is in a list of "name=value"; `count` when it is not
 * there.
 */
static size_t find_variable(char *const *env, size_t count, const char *name, size_t length)
{
    size_t at = 0;
    while (at < count && (strncmp(env[at], name, length) != 0 || env[at][length] != '='))
        at++;
    return at;
}

char **process_variables(const struct oci_process *process, size_t *out_count)
{
    char **env = xcalloc(process->env.count + 2, sizeof(*env));
    size_t count = 0;
    for (size_t i = 0; i < process->env.count; i++) {
        char *item = (char *)(uintptr_t)process->env.items[i];
        size_t at = find_variable(env, count, item, strcspn(item, "="));
        env[at] = item;
        count += at == count;
    }
    if (out_count)
        *out_count = count;
    return env;
}

char **process_environment(const struct oci_process *process)
{
    size_t count;
    char **env = process_variables(process, &count);
    /* An empty HOME= counts as none. */
    size_t home = find_variable(env, count, "HOME", 4);
    if (home == count || !env[home][5]) {
        cleanup_free char *dir = home_of(process->uid);
        env[home] = xasprintf("HOME=%s", dir);
    }
    return env;
}

int process_label(const struct container_init *init, struct error *err)
{
    const struct oci_process *process = init->process;
    if (process->apparmor_profile) {
        cleanup_free char *text = xasprintf("exec %s", process->apparmor_profile);
        cleanup_error struct error failure = ERROR_INIT;
        if (proc_write(init->proc_fd, "self/attr/apparmor/exec", text, &failure) < 0 &&
            proc_write(init->proc_fd, "self/attr/exec", text, &failure) < 0) {
            if (strcmp(process->apparmor_profile, "unconfined") == 0)
                return 0;
            if (access("/sys/kernel/security/apparmor", F_OK) < 0 && failure.code == EINVAL)
                return error_set(err,
                                 "apparmor profile %s: AppArmor is not enabled on this machine",
                                 process->apparmor_profile);
            if (failure.code == ENOENT)
                return error_set(err, "apparmor profile %s is not loaded on this machine",
                                 process->apparmor_profile);
            error_move(err, &failure);
            return error_wrap(err, "apparmor profile %s", process->apparmor_profile);
        }
    }
    if (process->selinux_label &&
        proc_write(init->proc_fd, "self/attr/exec", process->selinux_label, err) < 0)
        return error_wrap(err, "set SELinux label");
    return 0;
}
