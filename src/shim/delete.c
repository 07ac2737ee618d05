/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `delete`: the shim of a container has gone; what there may be left of the container goes as well.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/child.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "shim/shim.h"
#include "shim/times.h"

static int run_argv(void *ctx, struct error *err)
{
    char *const *argv = ctx;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
        return error_errno(err, errno, "open /dev/null");
    execvp(argv[0], argv);
    return error_errno(err, errno, "start %s", argv[0]);
}

/* Wait for rune; what it says goes to standard error, which containerd logs. */
static int delete_container(const struct runtime_config *config, const char *bundle, const char *id,
                            struct error *err)
{
    cleanup_free char *log = path_join(bundle, "log.json");
    cleanup_free char *state = path_join(config->root, id);
    struct arguments argv = {.count = 0};
    if (access(state, F_OK) < 0 && errno == ENOENT)
        return 0; /* as after every orderly end: containerd calls whenever a shim goes */
    runtime_arguments(config, log, &argv);
    arguments_add(&argv, "delete");
    arguments_add(&argv, "--force");
    arguments_add(&argv, id);
    pid_t pid = child_start(run_argv, argv.items, err);
    if (pid < 0)
        return -1;
    int status = child_wait(pid);
    return status == 0 ? 0 : error_set(err, "the runtime ended with status %d", status);
}

static pid_t read_pid(const char *bundle)
{
    cleanup_free char *path = path_join(bundle, "init.pid");
    cleanup_buffer struct buffer text = BUFFER_INIT;
    if (read_file_at(AT_FDCWD, path, &text, 64, NULL) < 0)
        return 0;
    return (pid_t)strtol(buffer_text(&text), NULL, 10);
}

/* The bundle by its flag, or beside the working directory: that is any bundle's of the pod. */
static char *bundle_of(const struct shim_arguments *arguments, struct error *err)
{
    if (arguments->bundle && *arguments->bundle)
        return xstrdup(arguments->bundle);
    cleanup_free char *here = getcwd(NULL, 0);
    if (!here) {
        error_errno(err, errno, "find the working directory");
        return NULL;
    }
    cleanup_free char *path = xasprintf("%s/../%s", here, arguments->id);
    return path_clean(path);
}

static void print_message(const ProtobufCMessage *message)
{
    size_t size;
    cleanup_free uint8_t *bytes = ttrpc_pack(message, &size);
    (void)!write_all(STDOUT_FILENO, bytes, size);
}

int shim_delete(const struct shim_arguments *arguments, struct error *err)
{
    cleanup_free char *bundle = bundle_of(arguments, err);
    struct runtime_config config;
    signal(SIGCHLD, SIG_DFL);
    if (!bundle || runtime_config_load(arguments->namespace, bundle, &config, err) < 0)
        return -1;
    cleanup_error struct error failure = ERROR_INIT;
    if (delete_container(&config, bundle, arguments->id, &failure) < 0)
        log_warning("failed to remove container %s: %s", arguments->id, error_text(&failure));
    error_release(&failure);
    cleanup_free char *rootfs = path_join(bundle, "rootfs");
    if (rootfs_unmount(rootfs, &failure) < 0)
        log_warning("failed to cleanup rootfs mount: %s", error_text(&failure));

    Task__DeleteResponse response = TASK__DELETE_RESPONSE__INIT;
    Ttrpc__Timestamp at;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    response.pid = (uint32_t)read_pid(bundle);
    response.exit_status = 128 + SIGKILL;
    response.exited_at = timestamp(&at, &now);
    print_message(&response.base);
    runtime_config_release(&config);
    return 0;
}
