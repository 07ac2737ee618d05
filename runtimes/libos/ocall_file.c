/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ocalls on descriptors and files. Nothing here blocks: a descriptor whose description is shared
 * with others (a terminal, a pipe that came as stdio) cannot be made non-blocking without changing
 * it for them, so it is asked with poll first, and written to in pieces that fit when it says that
 * it is writable.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#include "runtime.h"

#define UNUSED     __attribute__((unused))
#define FD_KINDS   65536
#define SHARED_MAX 4096 /* PIPE_BUF: what a writable pipe takes without blocking */

enum { KIND_UNKNOWN, KIND_DIRECT, KIND_SHARED /* RWF_NOWAIT, as far as we know */, KIND_POLLED };
static uint8_t g_kinds[FD_KINDS];

static int kind_of(int fd)
{
    if (fd < 0 || fd >= FD_KINDS)
        return KIND_SHARED;
    int kind = __atomic_load_n(&g_kinds[fd], __ATOMIC_RELAXED);
    if (kind != KIND_UNKNOWN)
        return kind;
    struct stat st;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fstat(fd, &st) < 0)
        return KIND_SHARED;
    bool direct = (flags & O_NONBLOCK) || S_ISREG(st.st_mode) || S_ISBLK(st.st_mode) ||
                  S_ISDIR(st.st_mode);
    kind = direct ? KIND_DIRECT : KIND_SHARED;
    __atomic_store_n(&g_kinds[fd], kind, __ATOMIC_RELAXED);
    return kind;
}

static void kind_forget(int fd)
{
    if (fd >= 0 && fd < FD_KINDS)
        __atomic_store_n(&g_kinds[fd], KIND_UNKNOWN, __ATOMIC_RELAXED);
}

static int no_nowait(int fd)
{
    if (fd >= 0 && fd < FD_KINDS)
        __atomic_store_n(&g_kinds[fd], KIND_POLLED, __ATOMIC_RELAXED);
    return KIND_POLLED;
}

static bool ready(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};
    return poll(&p, 1, 0) > 0;
}

int64_t ocall_READ(struct boundary_area *area, const uint64_t *args)
{
    int fd = (int)args[0];
    size_t size = args[1] < BOUNDARY_DATA_SIZE ? args[1] : BOUNDARY_DATA_SIZE;
    if ((int64_t)args[2] >= 0)
        return result_of(pread(fd, area->data, size, (off_t)args[2]));
    int kind = kind_of(fd);
    if (kind == KIND_SHARED) {
        struct iovec io = {area->data, size};
        ssize_t n = preadv2(fd, &io, 1, -1, RWF_NOWAIT);
        if (n >= 0 || errno != EOPNOTSUPP)
            return result_of(n);
        kind = no_nowait(fd);
    }
    if (kind == KIND_POLLED && !ready(fd, POLLIN))
        return -EAGAIN;
    return result_of(read(fd, area->data, size));
}

int64_t ocall_WRITE(struct boundary_area *area, const uint64_t *args)
{
    int fd = (int)args[0];
    size_t size = args[1] < BOUNDARY_DATA_SIZE ? args[1] : BOUNDARY_DATA_SIZE;
    if ((int64_t)args[2] >= 0)
        return result_of(pwrite(fd, area->data, size, (off_t)args[2]));
    int kind = kind_of(fd);
    if (kind == KIND_SHARED) {
        struct iovec io = {area->data, size};
        ssize_t n = pwritev2(fd, &io, 1, -1, RWF_NOWAIT);
        if (n >= 0 || errno != EOPNOTSUPP)
            return result_of(n);
        kind = no_nowait(fd);
    }
    if (kind == KIND_POLLED) {
        if (!ready(fd, POLLOUT))
            return -EAGAIN;
        if (size > SHARED_MAX)
            size = SHARED_MAX;
    }
    return result_of(
        write(fd, area->data, size)); /* SIGPIPE is blocked in every thread that comes here */
}

int64_t ocall_CLOSE(UNUSED struct boundary_area *area, const uint64_t *args)
{
    kind_forget((int)args[0]);
    return result_of(close((int)args[0]));
}

int64_t ocall_DUP(UNUSED struct boundary_area *area, const uint64_t *args)
{
    return result_of(fcntl((int)args[0], F_DUPFD_CLOEXEC, 3));
}

int64_t ocall_LSEEK(UNUSED struct boundary_area *area, const uint64_t *args)
{
    return result_of(lseek((int)args[0], (off_t)args[1], (int)args[2]));
}

int64_t ocall_IOCTL(struct boundary_area *area, const uint64_t *args)
{
    if (args[2] > BOUNDARY_DATA_SIZE)
        return -EINVAL;
    return result_of(ioctl((int)args[0], args[1], area->data));
}

int64_t ocall_POLL(struct boundary_area *area, const uint64_t *args)
{
    struct boundary_pollfd *fds = (struct boundary_pollfd *)area->data;
    struct pollfd polled[64];
    int64_t total = 0;
    if (args[0] > BOUNDARY_DATA_SIZE / sizeof(*fds))
        return -EINVAL;
    for (uint64_t done = 0; done < args[0];) {
        uint64_t n = args[0] - done < 64 ? args[0] - done : 64;
        for (uint64_t i = 0; i < n; i++)
            polled[i] = (struct pollfd){.fd = fds[done + i].fd,
                                        .events = (short)fds[done + i].events};
        int r = poll(polled, n, 0);
        if (r < 0)
            return -errno;
        for (uint64_t i = 0; i < n; i++)
            fds[done + i].revents = (uint16_t)polled[i].revents;
        total += r;
        done += n;
    }
    return total;
}

int64_t ocall_EPOLL_CREATE(UNUSED struct boundary_area *area, UNUSED const uint64_t *args)
{
    return result_of(epoll_create1(EPOLL_CLOEXEC));
}

int64_t ocall_EPOLL_CTL(UNUSED struct boundary_area *area, const uint64_t *args)
{
    struct epoll_event event = {.events = (uint32_t)args[3], .data.u64 = args[4]};
    return result_of(epoll_ctl((int)args[0], (int)args[1], (int)args[2], &event));
}

int64_t ocall_EPOLL_WAIT(struct boundary_area *area, const uint64_t *args)
{
    struct boundary_epoll_event *out = (struct boundary_epoll_event *)area->data;
    struct epoll_event events[64];
    int want = args[1] < 64 ? (int)args[1] : 64;
    int n = epoll_wait((int)args[0], events, want, 0);
    if (n < 0)
        return -errno;
    for (int i = 0; i < n; i++)
        out[i] = (struct boundary_epoll_event){events[i].events, events[i].data.u32};
    return n;
}

int64_t ocall_FSYNC(UNUSED struct boundary_area *area, const uint64_t *args)
{
    return result_of(args[1] ? fdatasync((int)args[0]) : fsync((int)args[0]));
}

int64_t ocall_FTRUNCATE(UNUSED struct boundary_area *area, const uint64_t *args)
{
    return result_of(ftruncate((int)args[0], (off_t)args[1]));
}

int64_t ocall_FALLOCATE(UNUSED struct boundary_area *area, const uint64_t *args)
{
    return result_of(fallocate((int)args[0], (int)args[1], (off_t)args[2], (off_t)args[3]));
}

int64_t ocall_LOCK(struct boundary_area *area, const uint64_t *args)
{
    struct flock lock = {.l_type = (short)args[2],
                         .l_whence = SEEK_SET,
                         .l_start = (off_t)args[3],
                         .l_len = (off_t)args[4]};
    if (args[1] == BOUNDARY_LOCK_FILE) {
        int how = args[2] == F_RDLCK ? LOCK_SH : LOCK_UN;
        if (args[2] == F_WRLCK)
            how = LOCK_EX;
        return result_of(flock((int)args[0], how | LOCK_NB));
    }
    int command = args[1] == BOUNDARY_LOCK_TEST ? F_OFD_GETLK : F_OFD_SETLK;
    int64_t r = result_of(fcntl((int)args[0], command, &lock));
    if (r == 0) {
        area->out[0] = (uint64_t)lock.l_type;
        area->out[1] = (uint64_t)lock.l_start;
        area->out[2] = (uint64_t)lock.l_len;
    }
    return r;
}

/* ---- names: relative to a mount's descriptor, and resolved beneath it ---- */

/* A descriptor on an O_PATH descriptor's own file. */
static int64_t reopen(int fd, int flags, mode_t mode)
{
    char name[16];
    snprintf(name, sizeof(name), "%d", fd);
    return result_of(openat(g_runtime.proc_fd, name, flags, mode));
}

static int64_t open_beneath(int dir, const char *path, uint64_t flags, uint64_t mode)
{
    struct open_how how = {.flags = flags | O_CLOEXEC,
                           .mode = flags & (O_CREAT | __O_TMPFILE) ? mode & 07777 : 0,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    return result_of(syscall(SYS_openat2, dir, path, &how, sizeof(how)));
}

int64_t ocall_OPEN(struct boundary_area *area, const uint64_t *args)
{
    const char *path = ocall_string(area, 0);
    if (path == NULL)
        return -EINVAL;
    const uint64_t of_path = O_PATH | O_DIRECTORY | O_NOFOLLOW;
    uint64_t flags = args[1] & O_PATH ? args[1] & of_path : args[1] | O_NONBLOCK | O_NOCTTY;
    int64_t fd = path[0] == '\0'
                     ? reopen((int)args[0], (int)(flags | O_CLOEXEC) & ~(O_CREAT | O_EXCL), 0)
                     : open_beneath((int)args[0], path, flags, args[2]);
    if (fd >= 0)
        kind_forget((int)fd);
    return fd;
}

int64_t place_of(struct name_at *p, int base, const char *path)
{
    *p = (struct name_at){.dir = base, .name = path};
    if (path == NULL)
        return -EINVAL;
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return 0;
    char parent[PATH_MAX];
    if (slash == path || (size_t)(slash - path) >= sizeof(parent))
        return -EINVAL;
    memcpy(parent, path, (size_t)(slash - path));
    parent[slash - path] = '\0';
    int64_t fd = open_beneath(base, parent, O_PATH | O_DIRECTORY, 0);
    if (fd < 0)
        return fd;
    *p = (struct name_at){.dir = (int)fd, .own = true, .name = slash + 1};
    return 0;
}

static int64_t place_done(struct name_at *p, int64_t r)
{
    int64_t result = result_of(r);
    if (p->own)
        close(p->dir);
    return result;
}

#define WITH_PLACE(p, base, offset)                                              \
    struct name_at p;                                                            \
    do {                                                                         \
        int64_t placed_ = place_of(&p, (int)(base), ocall_string(area, offset)); \
        if (placed_ < 0)                                                         \
            return placed_;                                                      \
    } while (0)

static void stat_out(struct boundary_stat *out, const struct stat *st)
{
    *out = (struct boundary_stat){.dev = st->st_dev,
                                  .ino = st->st_ino,
                                  .nlink = st->st_nlink,
                                  .rdev = st->st_rdev,
                                  .size = (uint64_t)st->st_size,
                                  .blocks = (uint64_t)st->st_blocks,
                                  .blksize = (uint64_t)st->st_blksize,
                                  .mode = st->st_mode,
                                  .uid = st->st_uid,
                                  .gid = st->st_gid,
                                  .atime_sec = st->st_atim.tv_sec,
                                  .mtime_sec = st->st_mtim.tv_sec,
                                  .ctime_sec = st->st_ctim.tv_sec,
                                  .atime_nsec = (uint32_t)st->st_atim.tv_nsec,
                                  .mtime_nsec = (uint32_t)st->st_mtim.tv_nsec,
                                  .ctime_nsec = (uint32_t)st->st_ctim.tv_nsec};
}

int64_t ocall_STAT(struct boundary_area *area, const uint64_t *args)
{
    struct stat st;
    const char *path = ocall_string(area, 0);
    int64_t r;
    if (path == NULL)
        return -EINVAL;
    if (path[0] != '\0' && args[1]) {
        int64_t fd = open_beneath((int)args[0], path, O_PATH, 0);
        if (fd < 0)
            return fd;
        r = result_of(fstat((int)fd, &st));
        close((int)fd);
    } else {
        WITH_PLACE(p, args[0], 0);
        r = place_done(&p, fstatat(p.dir, p.name, &st, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH));
    }
    if (r >= 0)
        stat_out((struct boundary_stat *)area->data, &st);
    return r;
}

int64_t ocall_STATFS(struct boundary_area *area, const uint64_t *args)
{
    struct statfs fs;
    if (fstatfs((int)args[0], &fs) < 0)
        return -errno;
    *(struct boundary_statfs *)area->data = (struct boundary_statfs){
        (uint64_t)fs.f_type, (uint64_t)fs.f_bsize, fs.f_blocks, fs.f_bfree,
        fs.f_bavail,         fs.f_files,           fs.f_ffree,  (uint64_t)fs.f_namelen,
        (uint64_t)fs.f_flags};
    return 0;
}

int64_t ocall_GETDENTS(struct boundary_area *area, const uint64_t *args)
{
    size_t size = args[1] < BOUNDARY_DATA_SIZE ? args[1] : BOUNDARY_DATA_SIZE;
    return result_of(syscall(SYS_getdents64, (int)args[0], area->data, size));
}

int64_t ocall_MKDIR(struct boundary_area *area, const uint64_t *args)
{
    WITH_PLACE(p, args[0], 0);
    return place_done(&p, mkdirat(p.dir, p.name, (mode_t)args[1] & 07777));
}

int64_t ocall_UNLINK(struct boundary_area *area, const uint64_t *args)
{
    WITH_PLACE(p, args[0], 0);
    return place_done(&p, unlinkat(p.dir, p.name, args[1] ? AT_REMOVEDIR : 0));
}

/* Two places, both opened and closed here. */
static int64_t two_places(struct boundary_area *area, int old_base, int new_base,
                          uint64_t new_offset,
                          int64_t (*act)(const struct name_at *, const struct name_at *, uint64_t),
                          uint64_t argument)
{
    struct name_at from, to;
    int64_t r = place_of(&from, old_base, ocall_string(area, 0));
    if (r < 0)
        return r;
    r = place_of(&to, new_base, ocall_string(area, new_offset));
    if (r == 0)
        r = place_done(&to, act(&from, &to, argument));
    if (from.own)
        close(from.dir);
    return r;
}

static int64_t do_rename(const struct name_at *from, const struct name_at *to, uint64_t flags)
{
    return renameat2(from->dir, from->name, to->dir, to->name, (unsigned)flags);
}

static int64_t do_link(const struct name_at *from, const struct name_at *to, UNUSED uint64_t flags)
{
    return linkat(from->dir, from->name, to->dir, to->name, 0);
}

int64_t ocall_RENAME(struct boundary_area *area, const uint64_t *args)
{
    return two_places(area, (int)args[0], (int)args[1], args[3], do_rename, args[2]);
}

int64_t ocall_LINK(struct boundary_area *area, const uint64_t *args)
{
    return two_places(area, (int)args[0], (int)args[1], args[2], do_link, 0);
}

int64_t ocall_SYMLINK(struct boundary_area *area, const uint64_t *args)
{
    const char *target = ocall_string(area, 0);
    WITH_PLACE(p, args[0], args[1]);
    return target ? place_done(&p, symlinkat(target, p.dir, p.name)) : -EINVAL;
}

int64_t ocall_READLINK(struct boundary_area *area, const uint64_t *args)
{
    char target[PATH_MAX];
    size_t room = args[1] < sizeof(target) ? args[1] : sizeof(target);
    WITH_PLACE(p, args[0], 0);
    int64_t n = place_done(&p, readlinkat(p.dir, p.name, target, room));
    if (n > 0)
        memcpy(area->data, target, (size_t)n);
    return n;
}

int64_t ocall_CHMOD(struct boundary_area *area, const uint64_t *args)
{
    const char *path = ocall_string(area, 0);
    if (path == NULL)
        return -EINVAL;
    int64_t fd = path[0] ? open_beneath((int)args[0], path, O_PATH | O_NOFOLLOW, 0)
                         : (int64_t)args[0];
    if (fd < 0)
        return fd;
    char name[16];
    snprintf(name, sizeof(name), "%d", (int)fd);
    int64_t r = result_of(fchmodat(g_runtime.proc_fd, name, (mode_t)args[1] & 07777, 0));
    if (path[0])
        close((int)fd);
    return r;
}

int64_t ocall_CHOWN(struct boundary_area *area, const uint64_t *args)
{
    WITH_PLACE(p, args[0], 0);
    int flags = AT_EMPTY_PATH | (args[3] ? 0 : AT_SYMLINK_NOFOLLOW);
    return place_done(&p, fchownat(p.dir, p.name, (uid_t)args[1], (gid_t)args[2], flags));
}

int64_t ocall_UTIMENS(struct boundary_area *area, const uint64_t *args)
{
    const struct timespec times[2] = {{(time_t)args[2], (long)args[3]},
                                      {(time_t)args[4], (long)args[5]}};
    WITH_PLACE(p, args[0], 0);
    return place_done(
        &p, utimensat(p.dir, p.name, times, AT_EMPTY_PATH | (args[1] ? 0 : AT_SYMLINK_NOFOLLOW)));
}

int64_t ocall_MKNOD(struct boundary_area *area, const uint64_t *args)
{
    WITH_PLACE(p, args[0], 0);
    return place_done(&p, mknodat(p.dir, p.name, (mode_t)args[1], (dev_t)args[2]));
}

struct watching {
    int fd;
    uint32_t mask;
};

static int64_t add_watch(const char *name, void *context)
{
    const struct watching *w = context;
    return inotify_add_watch(w->fd, name, w->mask);
}

int64_t ocall_INOTIFY(UNUSED struct boundary_area *area, const uint64_t *args)
{
    struct watching w = {(int)args[1], (uint32_t)args[3]};
    switch (args[0]) {
    case BOUNDARY_INOTIFY_CREATE:
        return result_of(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
    case BOUNDARY_INOTIFY_ADD:
        return with_file((int)args[2], add_watch, &w);
    case BOUNDARY_INOTIFY_REMOVE:
        return result_of(inotify_rm_watch((int)args[1], (int)args[2]));
    default:
        return -EINVAL;
    }
}
