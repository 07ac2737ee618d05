/* SPDX-License-Identifier: Apache-2.0 */
/* The terminal of a container: a pty of its own devpts, its master handed out, its slave bound to
 * /dev/console. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <termios.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"
#include "container/private.h"

/* The multiplexer must be the real device of a devpts, not what an image put there (CVE-2025-52565
 * family). */
static int open_multiplexer(int proc_fd, int root_fd, struct error *err)
{
    cleanup_close int path = path_open_in_root(root_fd, "/dev/pts/ptmx", O_PATH | O_NOFOLLOW, 0,
                                               NULL);
    if (path < 0)
        path = path_open_in_root(root_fd, "/dev/ptmx", O_PATH, 0, NULL);
    if (path < 0)
        return error_errno(err, -path, "open /dev/ptmx of the container");
    struct stat st;
    struct statfs fs;
    if (fstat(path, &st) < 0 || fstatfs(path, &fs) < 0)
        return error_errno(err, errno, "stat /dev/ptmx of the container");
    if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(5, 2))
        return error_set(err, "/dev/ptmx of the container is not the pty multiplexer");
    /* By the host's /proc: that of a container may be anything. */
    int fd = proc_reopen(proc_fd, path, O_RDWR | O_NOCTTY, err);
    if (fd < 0)
        return error_wrap(err, "open /dev/ptmx of the container");
    return fd;
}

int console_open(const struct container_init *init, int root_fd, int *master, int *slave,
                 struct error *err)
{
    const struct oci_process *process = init->process;
    cleanup_close int fd = open_multiplexer(init->proc_fd, root_fd, err);
    if (fd < 0)
        return fd;
    int unlock = 0;
    if (ioctl(fd, TIOCSPTLCK, &unlock) < 0)
        return error_errno(err, errno, "unlock the terminal");
    /* By the master, not by path: nothing can be put in between. */
    int peer = ioctl(fd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (peer < 0)
        return error_errno(err, errno, "open the terminal");
    if (process->console_width && process->console_height) {
        struct winsize size = {.ws_col = (unsigned short)process->console_width,
                               .ws_row = (unsigned short)process->console_height};
        if (ioctl(fd, TIOCSWINSZ, &size) < 0) {
            close(peer);
            return error_errno(err, errno, "set the size of the terminal");
        }
    }
    /* The container's user must be able to open its own terminal. */
    if (process->uid != 0 && fchown(peer, process->uid, (gid_t)-1) < 0 && errno != EPERM &&
        errno != EINVAL) {
        close(peer);
        return error_errno(err, errno, "change the owner of the terminal");
    }
    *master = take_fd(fd);
    *slave = peer;
    return 0;
}

int console_bind(int root_fd, int slave, struct error *err)
{
    cleanup_free char *name = NULL;
    cleanup_close int dev = path_parent_in_root(root_fd, "/dev/console", &name, err);
    if (dev < 0)
        return dev;
    /* An object that is there already serves as well; the open below tells. */
    int made = openat(dev, name,
                      O_CREAT | O_WRONLY | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK | O_CLOEXEC, 0666);
    if (made >= 0)
        close(made);
    cleanup_close int target = openat(dev, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (target < 0)
        return error_errno(err, errno, "create /dev/console");
    struct stat st;
    if (fstat(target, &st) < 0 || S_ISLNK(st.st_mode))
        return error_set(err, "/dev/console of the container is a link");
    cleanup_close int tree = sys_open_tree(slave, "",
                                           OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
    if (tree < 0 || mount_detached(tree, target) < 0)
        return error_errno(err, errno, "bind the terminal to /dev/console");
    return 0;
}

int console_attach(int slave, struct error *err)
{
    if (ioctl(slave, TIOCSCTTY, 0) < 0)
        return error_errno(err, errno, "make the terminal the controlling one");
    for (int fd = 0; fd < 3; fd++)
        if (dup3(slave, fd, 0) < 0)
            return error_errno(err, errno, "attach the terminal");
    return 0;
}

int console_connect(const char *path, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path)) {
        /* Longer than a socket address: go through a descriptor of the file. */
        cleanup_close int file = open(path, O_PATH | O_CLOEXEC);
        if (file < 0)
            return error_errno(err, errno, "open console socket %s", path);
        struct fd_path link;
        memcpy(address.sun_path, fd_path_of(&link, file), sizeof(link.text));
        cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
            return error_errno(err, errno, "connect to console socket %s", path);
        return take_fd(fd);
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return error_errno(err, errno, "connect to console socket %s", path);
    return take_fd(fd);
}

int console_send(int socket, int master)
{
    /* The text is what runc sends: the name that the terminal has for it. */
    static const char name[] = "/dev/ptmx";
    return fd_send(socket, name, sizeof(name) - 1, &master, 1);
}

/* ---- without a terminal ---- */

/* Without a terminal the process has rune's stdio, which its user may not be allowed to reopen
 * (/dev/stdout). */
static int fix_stdio_owner(const struct oci_process *process, struct error *err)
{
    for (int fd = 0; fd < 3 && process->uid != 0; fd++) {
        struct stat st;
        if (fstat(fd, &st) < 0) {
            if (errno == EBADF)
                continue;
            return error_errno(err, errno, "stat descriptor %d", fd);
        }
        if (st.st_uid == process->uid || (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3)))
            continue;
        /* EPERM, EROFS, EINVAL: a file of somebody else, or an id that is not mapped: leave it. */
        if (fchown(fd, process->uid, (gid_t)-1) < 0 && errno != EPERM && errno != EROFS &&
            errno != EINVAL)
            return error_errno(err, errno, "change the owner of descriptor %d", fd);
    }
    return 0;
}

/*
 * A /dev/null of the host among our stdio is a file outside of the container: CRIU could not save
 * it, and through it the host's /dev would be held. The container's own takes its place.
 */
static int reopen_null(struct error *err)
{
    dev_t null = makedev(1, 3);
    cleanup_close int own = -1;
    for (int fd = 0; fd < 3; fd++) {
        struct stat st;
        if (fstat(fd, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != null)
            continue;
        if (own < 0) {
            own = open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
            if (own < 0 || fstat(own, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != null)
                return 0;
            fd_set_nonblock(own, false);
        }
        if (dup3(own, fd, 0) < 0)
            return error_errno(err, errno, "reopen /dev/null as descriptor %d", fd);
    }
    return 0;
}

int stdio_adopt(const struct oci_process *process, struct error *err)
{
    return reopen_null(err) < 0 ? -1 : fix_stdio_owner(process, err);
}
