/* SPDX-License-Identifier: Apache-2.0 */
/* Hooks: programs of the configuration, run with the container's state on stdin. In rune or in the
 * init. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/child.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "container/private.h"

char *state_document(const char *version, const char *id, const char *status, pid_t pid,
                     const char *bundle, const json_t *annotations)
{
    cleanup_json json_t *state = json_pack("{s:s,s:s,s:s}", "ociVersion",
                                           version ? version : "1.0.2", "id", id, "status", status);
    if (!state)
        state = json_object();
    if (pid > 0)
        json_object_set_new(state, "pid", json_integer(pid));
    json_object_set_new(state, "bundle", json_string(bundle));
    if (json_object_size(annotations) > 0)
        json_object_set(state, "annotations", (json_t *)(uintptr_t)annotations);
    return json_text(state, JSON_COMPACT);
}

static void exec_hook(const struct oci_hook *hook, int input, int output, const char *cwd)
{
    /* After the dup2s only these three stay open, and no signal is blocked. */
    dup2(input, 0);
    dup2(output, 1);
    dup2(output, 2);
    fd_close_from(3, false);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (cwd && chdir(cwd) < 0)
        _exit(126);
    char *plain[] = {(char *)(uintptr_t)hook->path, NULL};
    char **argv = hook->args.count ? (char **)(uintptr_t)hook->args.items : plain;
    /* A hook without "env" has that of who runs it, as with runc; "env": [] is an empty one. */
    char **env = hook->env.items ? (char **)(uintptr_t)hook->env.items : environ;
    execve(hook->path, argv, env);
    int code = errno;
    const char *why = strerror(code);
    (void)!dprintf(2, "%s: %c%s", hook->path, why[0] | 32, why + 1);
    _exit(127);
}

/* Milliseconds left of a deadline, -1 for none. */
static int time_left(const struct timespec *deadline)
{
    if (!deadline)
        return -1;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    long long left = (deadline->tv_sec - now.tv_sec) * 1000ll +
                     (deadline->tv_nsec - now.tv_nsec) / 1000000;
    return left > 0 ? (int)(left < INT32_MAX ? left : INT32_MAX) : 0;
}

/* Feed stdin and collect output until the hook ends or the time is up; 0, or -ETIMEDOUT. */
static int converse(int pidfd, int input, int output, const char *state, struct buffer *said,
                    const struct timespec *deadline)
{
    size_t sent = 0, size = strlen(state);
    bool gone = false;
    while (!gone || output >= 0) {
        struct pollfd fds[3] = {
            {.fd = gone ? -1 : pidfd, .events = POLLIN},
            {.fd = output, .events = POLLIN},
            {.fd = input, .events = POLLOUT},
        };
        int n = poll(fds, 3, gone ? 0 : time_left(deadline));
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0) {
            if (gone)
                return 0; /* a grandchild holds the pipe; the hook itself is over */
            return -ETIMEDOUT;
        }
        if (fds[2].revents) {
            ssize_t w = write_no_sigpipe(input, state + sent, size - sent);
            if (w > 0)
                sent += (size_t)w;
            if (sent == size || (w < 0 && w != -EAGAIN && w != -EINTR)) {
                close(input);
                input = -1;
            }
        }
        if (fds[1].revents) {
            char block[1024];
            ssize_t r = read(output, block, sizeof(block));
            if (r > 0 && said->size < 4096)
                buffer_append(said, block, (size_t)r);
            if (r <= 0)
                output = -1;
        }
        if (fds[0].revents)
            gone = true;
    }
    if (input >= 0)
        close(input);
    return 0;
}

static int run_one(const struct oci_hook *hook, const char *state, const char *cwd,
                   struct error *err)
{
    int in[2], out[2];
    if (pipe2(in, O_CLOEXEC) < 0)
        return error_errno(err, errno, "create a pipe");
    if (pipe2(out, O_CLOEXEC) < 0) {
        close(in[0]);
        close(in[1]);
        return error_errno(err, errno, "create a pipe");
    }
    struct timespec deadline;
    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += hook->timeout;

    pid_t pid = fork();
    if (pid == 0)
        exec_hook(hook, in[0], out[1], cwd);
    close(in[0]);
    close(out[1]);
    if (pid < 0) {
        close(in[1]);
        close(out[0]);
        return error_errno(err, errno, "fork");
    }
    cleanup_close int output = out[0];
    cleanup_close int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    cleanup_buffer struct buffer said = BUFFER_INIT;
    fd_set_nonblock(in[1], true);
    int ret = converse(pidfd, in[1], output, state, &said, hook->timeout ? &deadline : NULL);
    if (ret < 0)
        kill(pid, SIGKILL);
    int status = child_wait(pid);
    if (ret == -ETIMEDOUT)
        return error_set(err, "hook ran past specified timeout of %d.0s", hook->timeout);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    while (said.size > 0 && (said.data[said.size - 1] == '\n' || said.data[said.size - 1] == ' '))
        said.data[--said.size] = '\0';
    /* In lower case, as Go has it. */
    const char *name = WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "";
    if (WIFSIGNALED(status))
        return error_set(err, "signal: %c%s, stdout/stderr: %s", name[0] | 32, name + 1,
                         buffer_text(&said));
    return error_set(err, "exit status %d, stdout/stderr: %s", WEXITSTATUS(status),
                     buffer_text(&said));
}

static int run_numbered(const struct oci_config *config, enum oci_hook_kind kind, size_t number,
                        const char *state, const char *cwd, struct error *err)
{
    const struct oci_hook *hook = &config->hooks[kind].items[number];
    if (run_one(hook, state, cwd, err) < 0)
        return error_wrap(err, "error running hook #%zu (%s %s)", number, oci_hook_names[kind],
                          hook->path);
    return 0;
}

int hooks_run(const struct oci_config *config, enum oci_hook_kind kind, const char *state,
              const char *cwd, struct error *err)
{
    for (size_t i = 0; i < config->hooks[kind].count; i++)
        if (run_numbered(config, kind, i, state, cwd, err) < 0)
            return -1;
    return 0;
}

void hooks_run_all(const struct oci_config *config, enum oci_hook_kind kind, const char *state,
                   const char *cwd)
{
    for (size_t i = 0; i < config->hooks[kind].count; i++) {
        cleanup_error struct error err = ERROR_INIT;
        if (run_numbered(config, kind, i, state, cwd, &err) < 0)
            log_warning("%s", error_text(&err));
    }
}
