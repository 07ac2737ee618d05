/* SPDX-License-Identifier: Apache-2.0 */
/* What several commands share: the state root, opening containers, creating. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "enclave/enclave.h"
#include "rune/commands.h"
#include "rune/notify.h"
#include "rune/rune.h"

struct create_flags g_create;

enum { MAX_PRESERVED = 1 << 16 };

const char *seccomp_version_text(void)
{
    static char text[32];
    const struct scmp_version *v = seccomp_version();
    snprintf(text, sizeof(text), "%u.%u.%u", v->major, v->minor, v->micro);
    return text;
}

const char *default_root(void)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    if (geteuid() != 0 && runtime && *runtime)
        return xasprintf("%s/rune", runtime);
    return "/run/rune";
}

enum container_rootless rootless_mode(void)
{
    if (strcmp(g_globals.rootless, "true") == 0)
        return CONTAINER_ROOTLESS_ON;
    if (strcmp(g_globals.rootless, "false") == 0)
        return CONTAINER_ROOTLESS_OFF;
    return CONTAINER_ROOTLESS_AUTO;
}

int open_container(const char *id, struct container **out, struct error *err)
{
    int ret = container_open(g_globals.root, id, out, err);
    if (ret < 0 && *out) {
        container_close(*out);
        *out = NULL;
    }
    return ret;
}

/* Descriptors given by socket activation go to the container (sd_listen_fds(3)). */
static void pass_listen_fds(struct oci_config *config, long long *preserve_fds)
{
    const char *fds = getenv("LISTEN_FDS"), *pid = getenv("LISTEN_PID");
    /* Without our pid they are for somebody else, and inherited by mistake. */
    if (!fds || !pid || strtol(pid, NULL, 10) != getpid())
        return;
    char *end;
    long count = strtol(fds, &end, 10);
    if (*end || count <= 0 || count > 1024)
        return;
    *preserve_fds += count;
    struct oci_strings *env = &config->process.env;
    const char **items = oci_config_alloc(config, env->count + 3, sizeof(*items));
    memcpy(items, env->items, env->count * sizeof(*items));
    items[env->count] = oci_config_format(config, "LISTEN_FDS=%ld", count);
    items[env->count + 1] = "LISTEN_PID=1";
    env->items = items;
    env->count += 2;
}

int make_absolute(const char **path, struct error *err)
{
    if (!*path || !**path || **path == '/')
        return 0;
    cleanup_free char *here = getcwd(NULL, 0);
    if (!here)
        return error_errno(err, errno, "find the current directory");
    *path = xasprintf("%s/%s", here, *path);
    return 0;
}

int check_preserved(long long count, struct error *err)
{
    for (int fd = 3; fd < 3 + count; fd++) {
        int flags = fcntl(fd, F_GETFD);
        if (flags < 0 || (flags & FD_CLOEXEC))
            return error_set(err, "unable to stat preserved-fd %d (of %lld): no such descriptor",
                             fd - 3, count);
    }
    return 0;
}

/* In the foreground: READY= makes rune itself the process that the service manager looks at. */
static bool foreground_notify(void *ctx)
{
    return notify_forward(ctx, getpid());
}

/* READY= of a container that goes on without us. */
static int detached_notify(const char *id, struct notify *notify, struct error *err)
{
    if (notify->socket < 0)
        return 0;
    cleanup_container struct container *container = NULL;
    if (open_container(id, &container, err) < 0)
        return -1;
    notify_wait(notify, container->state->pid);
    return 0;
}

int open_bundle(char **bundle, struct oci_config **config, struct error *err)
{
    if (make_absolute(&g_create.pid_file, err) < 0 ||
        make_absolute(&g_create.console_socket, err) < 0 || make_absolute(&g_globals.root, err) < 0)
        return -1;
    if (g_create.bundle && chdir(g_create.bundle) < 0)
        return error_errno(err, errno, "open bundle %s", g_create.bundle);
    *bundle = getcwd(NULL, 0);
    if (!*bundle)
        return error_errno(err, errno, "find the path of the bundle");
    return oci_config_load(*bundle, config, err);
}

int create_container(const char *id, bool run, struct error *err)
{
    cleanup_config struct oci_config *config = NULL;
    cleanup_free char *bundle = NULL;
    if (open_bundle(&bundle, &config, err) < 0)
        return -1;
    if (g_create.preserve_fds < 0 || g_create.preserve_fds > MAX_PRESERVED)
        return error_set(err, "--preserve-fds: %lld is out of range", g_create.preserve_fds);
    if (!container_id_valid(id))
        return error_set(err, "invalid container ID format: \"%s\"", id);
    cleanup_enclave_request struct enclave_request request = {0};
    cleanup_enclave_launch struct enclave_launch launch = {0};
    int enclave = enclave_request_read(config, g_globals.enclave, &request, err);
    if (enclave < 0 || (enclave && enclave_launch_prepare(&request, bundle,
                                                          strcmp(g_globals.log_format, "json") == 0,
                                                          &config, &launch, err) < 0))
        return -1;
    pass_listen_fds(config, &g_create.preserve_fds);
    if (check_preserved(g_create.preserve_fds, err) < 0)
        return -1;
    /* Sockets of an enclave's processes are the enclave's own: there it would lead nowhere. */
    cleanup_notify struct notify notify = NOTIFY_INIT;
    notify.bind = run;
    if (!enclave)
        notify_prepare(&notify, g_globals.root, id, config);
    struct container_create_options options = {
        .root = g_globals.root,
        .id = id,
        .bundle = bundle,
        .console_socket = g_create.console_socket,
        .pid_file = g_create.pid_file,
        .preserve_fds = (int)g_create.preserve_fds,
        .no_pivot = g_create.no_pivot,
        .no_new_keyring = g_create.no_new_keyring,
        .systemd_cgroup = g_globals.systemd_cgroup,
        .rootless = rootless_mode(),
        .run = run,
        .detach = g_create.detach,
        .keep = g_create.keep,
        .no_subreaper = g_create.no_subreaper,
        .init_program = launch.init_program,
        .init_preload = launch.init_preload,
        .init_fds = launch.fds,
        .init_fd_count = launch.fd_count,
        .enclave = enclave ? launch.type : NULL,
        .state_dir_made = enclave ? enclave_launch_state_dir : notify_state_dir,
        .state_dir_ctx = enclave ? (void *)&launch : (void *)&notify,
        .foreground_watch = notify.host ? &notify.socket : NULL,
        .foreground_ready = foreground_notify,
        .foreground_ctx = &notify,
        .config_edited = enclave > 0,
    };
    int status = 0;
    if (container_create(&options, config, &status, err) < 0)
        return -1;
    if (run && g_create.detach && detached_notify(id, &notify, err) < 0)
        return -1;
    return status;
}
