/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process that rune starts in a container has rune as its /proc/PID/exe until its execve(), and
 * again if the image's entrypoint is a link to /proc/self/exe: whoever can write through that owns
 * the host (CVE-2019-5736). So commands that start such processes continue in a copy that cannot be
 * written to: the binary seen through a private read-only mount (two system calls), or where that
 * is not allowed (rootless) a sealed memory file.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "rune/rune.h"

static const int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

static bool is_protected(int self)
{
    struct statvfs fs;
    if (fstatvfs(self, &fs) == 0 && (fs.f_flag & ST_RDONLY))
        return true;
    int have = fcntl(self, F_GET_SEALS);
    return have >= 0 && (have & seals) == seals;
}

static int readonly_mount(void)
{
    int fd = (int)syscall(SYS_open_tree, AT_FDCWD, "/proc/self/exe",
                          OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (fd < 0)
        return -1;
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
    if (syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static int sealed_copy(int self)
{
    cleanup_close int fd = memfd_create("rune", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    struct stat st;
    if (fd < 0 || fstat(self, &st) < 0 || lseek(self, 0, SEEK_SET) < 0)
        return -1;
    for (off_t left = st.st_size; left > 0;) {
        ssize_t n = sendfile(fd, self, NULL, (size_t)left);
        if (n <= 0)
            return -1;
        left -= n;
    }
    if (fcntl(fd, F_ADD_SEALS, seals) < 0)
        return -1;
    return take_fd(fd);
}

int self_protect(char **argv, struct error *err)
{
    cleanup_close int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (self < 0)
        return error_errno(err, errno, "open /proc/self/exe");
    if (is_protected(self))
        return 0;
    /* The copy cannot tell where the installation is that it came from. */
    char path[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", path, sizeof(path) - 1);
    if (size > 0) {
        path[size] = '\0';
        setenv("RUNE_EXECUTABLE", path, 1);
    }
    cleanup_close int copy = readonly_mount();
    if (copy < 0)
        copy = sealed_copy(self);
    if (copy < 0)
        return error_errno(err, errno, "make a protected copy of this program");
    syscall(SYS_execveat, copy, "", argv, environ, AT_EMPTY_PATH);
    return error_errno(err, errno, "run a protected copy of this program");
}
