/* SPDX-License-Identifier: Apache-2.0 */
/* Child processes of rune's own, and how their failures become ours. */
#include "base/child.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/fd.h"

enum { REPORT_MAX = 8192 };

int child_wait(pid_t pid)
{
    int status = -1;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return status;
}

pid_t child_start(int (*work)(void *ctx, struct error *err), void *ctx, struct error *err)
{
    int report[2];
    if (pipe2(report, O_CLOEXEC) < 0)
        return error_errno(err, errno, "create a pipe");
    cleanup_close int read_end = report[0], low = report[1];
    cleanup_close int write_end = fcntl(low, F_DUPFD_CLOEXEC, CHILD_FDS_MAX);
    if (write_end < 0)
        return error_errno(err, errno, "duplicate a pipe's end");
    close_and_reset(&low);
    pid_t pid = fork();
    if (pid < 0)
        return error_errno(err, errno, "fork");
    if (pid == 0) {
        cleanup_error struct error failure = ERROR_INIT;
        if (work(ctx, &failure) == 0)
            _exit(0);
        const char *text = error_text(&failure);
        _exit(write_all(write_end, text, strlen(text)) < 0 ? 126 : 127);
    }
    /* The write end closes at the execve(), at the latest with the child. */
    close_and_reset(&write_end);
    cleanup_buffer struct buffer text = BUFFER_INIT;
    int ret = read_all(read_end, &text, REPORT_MAX);
    if (ret == 0 && text.size == 0)
        return pid;
    close_and_reset(&read_end);
    (void)child_wait(pid);
    return ret < 0 ? error_errno(err, -ret, "read a child's report")
                   : error_set(err, "%s", buffer_text(&text));
}
