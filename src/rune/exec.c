/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "enclave/enclave.h"
#include "enclave/proxy.h"
#include "rune/commands.h"
#include "rune/shared_options.h"

static struct {
    const char *console_socket, *pid_file, *process, *cwd, *user, *process_label, *apparmor;
    bool tty, detach, no_new_privs, no_new_privs_given, ignore_paused;
    struct option_list env, groups, caps, cgroups;
    long long preserve_fds;
} o;

static const struct option options[] = {
    OPTION_CONSOLE_SOCKET(&o.console_socket),
    {"cwd", NULL, OPTION_TEXT, &o.cwd, "dir", "current working directory in the container"},
    {"env", "e", OPTION_LIST, &o.env, "NAME=value", "set environment variables"},
    {"tty", "t", OPTION_FLAG, &o.tty, NULL, "allocate a pseudo-TTY"},
    {"user", "u", OPTION_TEXT, &o.user, "uid[:gid]", "UID (format: <uid>[:<gid>])"},
    {"additional-gids", "g", OPTION_LIST, &o.groups, "gid", "additional gids"},
    {"process", "p", OPTION_TEXT, &o.process, "file", "path to the process.json"},
    OPTION_DETACH(&o.detach),
    OPTION_PID_FILE(&o.pid_file),
    {"process-label", NULL, OPTION_TEXT, &o.process_label, "label",
     "set the asm process label for the process commonly used with selinux"},
    {"apparmor", NULL, OPTION_TEXT, &o.apparmor, "profile",
     "set the apparmor profile for the process"},
    {"no-new-privs", NULL, OPTION_FLAG, &o.no_new_privs, NULL,
     "set the no new privileges value for the process", &o.no_new_privs_given},
    {"cap", "c", OPTION_LIST, &o.caps, "cap",
     "add a capability to the bounding set for the process"},
    OPTION_PRESERVE_FDS(&o.preserve_fds),
    {"cgroup", NULL, OPTION_LIST, &o.cgroups, "path",
     "run the process in an (existing) sub-cgroup(s). Format is [<controller>:]<cgroup>"},
    {"ignore-paused", NULL, OPTION_FLAG, &o.ignore_paused, NULL,
     "allow exec in a paused container"},
};

static int parse_id(const char *text, const char *what, uint32_t *out, struct error *err)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (end == text || *end || value > UINT32_MAX || *text == '-')
        return error_set(err, "parsing %s as int for %s failed", text, what);
    *out = (uint32_t)value;
    return 0;
}

static int set_user(struct oci_process *process, struct error *err)
{
    if (!o.user)
        return 0;
    cleanup_free char *copy = xstrdup(o.user);
    char *colon = strchr(copy, ':');
    if (colon)
        *colon = '\0';
    if (parse_id(copy, "uid", &process->uid, err) < 0)
        return -1;
    return colon ? parse_id(colon + 1, "gid", &process->gid, err) : 0;
}

static int set_groups(struct oci_config *config, struct oci_process *process, struct error *err)
{
    if (o.groups.count == 0)
        return 0;
    gid_t *gids = oci_config_alloc(config, process->additional_gid_count + o.groups.count,
                                   sizeof(*gids));
    memcpy(gids, process->additional_gids, process->additional_gid_count * sizeof(*gids));
    for (size_t i = 0; i < o.groups.count; i++)
        if (parse_id(o.groups.items[i], "gid", &gids[process->additional_gid_count + i], err) < 0)
            return -1;
    process->additional_gids = gids;
    process->additional_gid_count += o.groups.count;
    return 0;
}

static void add_caps(struct oci_process *process)
{
    struct oci_capabilities *caps = &process->capabilities;
    for (size_t i = 0; i < o.caps.count; i++) {
        int number = oci_capability_number(o.caps.items[i]);
        if (number < 0) {
            log_warning("ignoring unknown capability %s", o.caps.items[i]);
            continue;
        }
        uint64_t bit = 1ull << number;
        caps->present = true;
        caps->bounding |= bit;
        caps->effective |= bit;
        caps->permitted |= bit;
        /* As in runc 1.1: ambient only when the container has inheritable ones already. */
        if (caps->inheritable) {
            caps->inheritable |= bit;
            caps->ambient |= bit;
        }
    }
}

static void add_env(struct oci_config *config, struct oci_process *process)
{
    struct oci_strings *env = &process->env;
    const char **items = oci_config_alloc(config, env->count + o.env.count + 1, sizeof(*items));
    memcpy(items, env->items, env->count * sizeof(*items));
    for (size_t i = 0; i < o.env.count; i++)
        items[env->count + i] = o.env.items[i];
    env->items = items;
    env->count += o.env.count;
}

/* The container's own process with the command line's changes. */
static int build_process(struct oci_config *config, int argc, char **argv, struct oci_process *out,
                         struct error *err)
{
    *out = config->process;
    out->args.count = (size_t)argc;
    out->args.items = (const char **)argv;
    if (o.cwd)
        out->cwd = o.cwd;
    if (o.apparmor)
        out->apparmor_profile = o.apparmor;
    if (o.process_label)
        out->selinux_label = o.process_label;
    out->terminal = o.tty;
    if (o.no_new_privs_given)
        out->no_new_privileges = o.no_new_privs;
    out->scheduler.present = config->process.scheduler.present;
    add_env(config, out);
    add_caps(out);
    if (set_user(out, err) < 0)
        return -1;
    return set_groups(config, out, err);
}

static int load_process(struct oci_config *config, struct oci_process *out, struct error *err)
{
    enum { PROCESS_MAX = 16 << 20 };
    json_t *json = json_parse_file(AT_FDCWD, o.process, PROCESS_MAX, err);
    if (!json)
        return -1;
    if (oci_process_parse(json, config, out, err) < 0)
        return -1;
    if (!out->cwd || !*out->cwd)
        return error_set(err, "Cwd property must not be empty");
    /* What the file does not say about limits and labels is as for the container. */
    if (o.tty)
        out->terminal = true;
    return 0;
}

/* *asked: the enclave was to start the process, and an error is its answer. */
static int execute(int argc, char **argv, bool *asked, struct error *err)
{
    cleanup_container struct container *container = NULL;
    cleanup_config struct oci_config *config = NULL;
    if (check_preserved(o.preserve_fds, err) < 0 || open_container(argv[0], &container, err) < 0 ||
        container_config(container, &config, err) < 0)
        return -1;
    argc--;
    argv++;
    if (argc > 0 && strcmp(argv[0], "--") == 0) {
        argc--;
        argv++;
    }
    struct oci_process process = {0};
    if (o.process ? load_process(config, &process, err) < 0
                  : build_process(config, argc, argv, &process, err) < 0)
        return -1;
    struct container_exec_options exec_options = {
        .console_socket = o.console_socket,
        .pid_file = o.pid_file,
        .preserve_fds = (int)o.preserve_fds,
        .detach = o.detach,
        .ignore_paused = o.ignore_paused,
        .sub_cgroups = o.cgroups.items,
        .sub_cgroup_count = o.cgroups.count,
    };
    struct enclave_proxy proxy = {.socket = -1};
    int status = 0, ret = 0;
    if (container->state->enclave && container_status(container) != CONTAINER_STOPPED) {
        enclave_exec_environment(config, container->state->rootfs, &process);
        ret = enclave_proxy_open(container->dir, &proxy, err);
        exec_options.payload = &proxy.payload;
    }
    *asked = ret == 0 && exec_options.payload != NULL;
    if (ret == 0)
        ret = container_exec(container, config, &process, &exec_options, &status, err);
    if (ret < 0)
        return -1;
    return status;
}

int exec_run(int argc, char **argv, struct error *err)
{
    bool asked = false;
    int status = execute(argc, argv, &asked, err);
    if (status >= 0)
        return status;
    error_wrap(err, "exec failed");
    /* What the enclave answers is as a shell tells it. */
    if (asked && (err->code == EACCES || err->code == EPERM))
        return -EXEC_REFUSED;
    if (asked && err->code == ENOENT)
        return -EXEC_NOT_FOUND;
    return -EXEC_FAILED;
}

const struct command command_exec = {
    .name = "exec",
    .arguments = "<container-id> <command> [command options]  || -p process.json <container-id>",
    .summary = "run another program in a container",
    .description =
        "Runs a program in a running container, with the container's environment, user and "
        "limits where no option says otherwise. In the foreground it exits with the program's "
        "status; a failure of rune is 255.\n"
        "In an enclave container the tenant decides what may run (annotation enclave.exec; by "
        "default nothing): a refused program is 126, one that is not there 127.",
    .examples = "rune exec --tty web sh\n"
                "rune exec --env DEBUG=1 --user 1000:1000 web ls -l /\n"
                "rune exec --process process.json web\n",
    .options = options,
    .option_count = array_count(options),
    .min_arguments = 1,
    .max_arguments = -1,
    .run = exec_run,
    .protect = true,
    .keep_order = true,
};
