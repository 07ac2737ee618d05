/* SPDX-License-Identifier: Apache-2.0 */
/* Reading and writing procfs through a descriptor that has been checked to be procfs. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/procfs.h"
#include "container/private.h"

int proc_open(struct error *err)
{
    cleanup_close int fd = open("/proc", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, errno, "open /proc");
    struct statfs fs;
    struct stat st;
    enum { PROC_ROOT_INO = 1 };
    if (fstatfs(fd, &fs) < 0 || fs.f_type != PROC_SUPER_MAGIC || fstat(fd, &st) < 0 ||
        st.st_ino != PROC_ROOT_INO)
        return error_set(err, "/proc is not the proc file system");
    return take_fd(fd);
}

int proc_open_at(int proc_fd, const char *path, int flags, struct error *err)
{
    struct open_how how = {.flags = (unsigned)flags | O_CLOEXEC,
                           .resolve = RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | RESOLVE_BENEATH};
    int fd = (int)syscall(SYS_openat2, proc_fd, path, &how, sizeof(how));
    return fd < 0 ? error_errno(err, errno, "open /proc/%s", path) : fd;
}

int proc_reopen(int proc_fd, int fd, int flags, struct error *err)
{
    cleanup_close int dir = proc_open_at(proc_fd, "self/fd", O_PATH | O_DIRECTORY, err);
    if (dir < 0)
        return dir;
    char name[16];
    snprintf(name, sizeof(name), "%d", fd);
    int again = openat(dir, name, flags | O_CLOEXEC);
    return again < 0 ? error_errno(err, errno, "open descriptor %d again", fd) : again;
}

int proc_write(int proc_fd, const char *path, const char *text, struct error *err)
{
    cleanup_close int fd = proc_open_at(proc_fd, path, O_WRONLY | O_NOCTTY, err);
    if (fd < 0)
        return fd;
    size_t size = strlen(text);
    if (write(fd, text, size) != (ssize_t)size)
        return error_errno(err, errno, "write %s to /proc/%s", text, path);
    return 0;
}

int proc_stat(pid_t pid, uint64_t *start_time, char *state)
{
    char path[32], text[1024];
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n = read(fd, text, sizeof(text) - 1);
    if (n <= 0)
        return n < 0 ? -errno : -ESRCH;
    text[n] = '\0';
    return procfs_parse_stat(text, start_time, state);
}

bool proc_alive(pid_t pid, uint64_t start_time)
{
    uint64_t now = 0;
    char state = 0;
    if (pid <= 0 || proc_stat(pid, &now, &state) < 0)
        return false;
    return now == start_time && state != 'Z' && state != 'X';
}

json_t *proc_descriptors(void)
{
    json_t *names = json_array();
    for (int fd = 0; fd < 3; fd++) {
        struct fd_path link;
        char name[PATH_MAX];
        ssize_t size = readlink(fd_path_of(&link, fd), name, sizeof(name) - 1);
        json_t *text = size > 0 ? json_stringn(name, (size_t)size) : NULL;
        json_array_append_new(names, text ? text : json_string("/dev/null"));
    }
    return names;
}
