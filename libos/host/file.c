/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host functions of host.h: arguments into the area, exit, answer copied in once and checked.
 * All of it goes through g_host_ops, so tests/fuzz puts a lying host behind the same code. Files
 * and sockets; host_io.c has descriptors' data, system.c the rest.
 */
#include "host_call.h"
#include <linux/inotify.h>
#include <linux/stat.h>

#define PATH_SIZE 4096u

/* Put a path (with its NUL) at data[off]; where the next may be put, or negative errno. */
static int put_path(const char *path, u32 off)
{
    size_t n = strlen(path) + 1;

    if (n > PATH_SIZE)
        return -ENAMETOOLONG;
    host_put(off, path, n);
    return (int)((off + n + 7) & ~7ul);
}

hostfd host_open(hostfd dir, const char *path, int flags, u32 mode)
{
    int r = put_path(path, 0);

    return r < 0 ? no_hostfd(r) : host_fd(HOST_CALL(OPEN, dir.n, (u32)flags, mode));
}

static bool stat_is_sane(const struct boundary_stat *s)
{
    const u32 type = s->mode & S_IFMT;
    const u32 limit = 1000000000u;

    return (type == S_IFREG || type == S_IFDIR || type == S_IFLNK || type == S_IFIFO ||
            type == S_IFSOCK || type == S_IFCHR || type == S_IFBLK) &&
           s->size <= INT64_MAX && s->atime_nsec < limit && s->mtime_nsec < limit &&
           s->ctime_nsec < limit;
}

int host_stat(hostfd dir, const char *path, bool follow, struct host_stat *st)
{
    struct boundary_stat s;
    int r = put_path(path, 0);

    if (r < 0)
        return r;
    r = host_zero(HOST_CALL(STAT, dir.n, follow));
    if (r < 0)
        return r;
    host_get(0, &s, sizeof(s));
    if (!stat_is_sane(&s))
        host_lied("stat");
    *st = (struct host_stat){
        .dev = s.dev,
        .ino = s.ino,
        .nlink = s.nlink,
        .rdev = s.rdev,
        .size = s.size,
        .blocks = s.blocks,
        .blksize = s.blksize,
        .mode = s.mode,
        .uid = s.uid,
        .gid = s.gid,
        .atime_sec = s.atime_sec,
        .mtime_sec = s.mtime_sec,
        .ctime_sec = s.ctime_sec,
        .atime_nsec = s.atime_nsec,
        .mtime_nsec = s.mtime_nsec,
        .ctime_nsec = s.ctime_nsec,
    };
    return 0;
}

int host_statfs(hostfd hfd, struct host_statfs *st)
{
    struct boundary_statfs s;
    int r = host_zero(HOST_CALL(STATFS, hfd.n));

    if (r < 0)
        return r;
    host_get(0, &s, sizeof(s));
    *st = (struct host_statfs){s.type,  s.bsize, s.blocks,  s.bfree, s.bavail,
                               s.files, s.ffree, s.namelen, s.flags};
    return 0;
}

/* Every record inside n, 8-aligned, its name terminated inside the record, not empty and without
 * '/'. */
static bool dirents_are_sane(const u8 *buf, size_t n)
{
    const size_t name_at = 19; /* struct linux_dirent64 */
    size_t off = 0;

    while (off < n) {
        u16 size;
        size_t len;

        if (n - off < 24)
            return false;
        memcpy(&size, buf + off + 16, 2);
        if (size < 24 || size % 8 != 0 || size > n - off)
            return false;
        len = strnlen((const char *)buf + off + name_at, size - name_at);
        if (len == 0 || len == size - name_at || len > 255 ||
            memchr(buf + off + name_at, '/', len) != NULL)
            return false;
        off += size;
    }
    speculation_barrier(); /* callers walk by these sizes */
    return true;
}

ssize_t host_getdents(hostfd hfd, void *buf, size_t n)
{
    i64 r;

    n = MIN(n, (size_t)BOUNDARY_DATA_SIZE);
    r = host_count(HOST_CALL(GETDENTS, hfd.n, n), n);
    if (r <= 0)
        return r;
    host_get(0, buf, (size_t)r);
    if (!dirents_are_sane(buf, (size_t)r))
        host_lied("getdents");
    return r;
}

hostfd host_inotify_create(void)
{
    return host_fd(HOST_CALL(INOTIFY, BOUNDARY_INOTIFY_CREATE, 0, 0, 0));
}

int host_inotify_add(hostfd hfd, hostfd file, u32 mask)
{
    return (int)host_count(HOST_CALL(INOTIFY, BOUNDARY_INOTIFY_ADD, hfd.n, file.n, mask),
                           INT32_MAX);
}

int host_inotify_remove(hostfd hfd, int wd)
{
    return host_zero(HOST_CALL(INOTIFY, BOUNDARY_INOTIFY_REMOVE, hfd.n, wd, 0));
}

size_t host_inotify_next(const void *record, struct host_inotify_event *e)
{
    struct inotify_event r;

    memcpy(&r, record, sizeof(r));
    *e = (struct host_inotify_event){
        .wd = r.wd, .mask = r.mask, .cookie = r.cookie, .name = (const char *)record + sizeof(r)};
    e->name_len = r.len ? (u32)strlen(e->name) : 0;
    return sizeof(r) + r.len;
}

static bool events_are_sane(const u8 *buf, size_t n)
{
    for (size_t at = 0; at < n;) {
        const char *name = (const char *)buf + at + sizeof(struct inotify_event);
        struct inotify_event e;
        size_t len;

        if (n - at < sizeof(e))
            return false;
        memcpy(&e, buf + at, sizeof(e));
        if (e.wd < -1 || e.len % 4 != 0 || e.len > n - at - sizeof(e))
            return false;
        speculation_barrier();
        len = strnlen(name, e.len);
        if (e.len > 0 && (len == 0 || len == e.len || len > 255 || memchr(name, '/', len)))
            return false;
        at += sizeof(e) + e.len;
    }
    return true;
}

ssize_t host_inotify_read(hostfd hfd, void *buf, size_t n)
{
    ssize_t r = host_read(hfd, buf, MIN(n, (size_t)BOUNDARY_DATA_SIZE), -1);

    if (r > 0 && !events_are_sane(buf, (size_t)r))
        host_lied("inotify");
    return r;
}

int host_mkdir(hostfd dir, const char *path, u32 mode)
{
    int r = put_path(path, 0);

    return r < 0 ? r : host_zero(HOST_CALL(MKDIR, dir.n, mode));
}

int host_unlink(hostfd dir, const char *path, bool is_dir)
{
    int r = put_path(path, 0);

    return r < 0 ? r : host_zero(HOST_CALL(UNLINK, dir.n, is_dir));
}

int host_rename(hostfd old_dir, const char *old_path, hostfd new_dir, const char *new_path,
                u32 flags)
{
    int off = put_path(old_path, 0), r;

    if (off < 0)
        return off;
    r = put_path(new_path, (u32)off);
    return r < 0 ? r : host_zero(HOST_CALL(RENAME, old_dir.n, new_dir.n, flags, off));
}

int host_link(hostfd old_dir, const char *old_path, hostfd new_dir, const char *new_path)
{
    int off = put_path(old_path, 0), r;

    if (off < 0)
        return off;
    r = put_path(new_path, (u32)off);
    return r < 0 ? r : host_zero(HOST_CALL(LINK, old_dir.n, new_dir.n, off));
}

int host_symlink(const char *target, hostfd dir, const char *path)
{
    int off = put_path(target, 0), r;

    if (off < 0)
        return off;
    r = put_path(path, (u32)off);
    return r < 0 ? r : host_zero(HOST_CALL(SYMLINK, dir.n, off));
}

ssize_t host_readlink(hostfd dir, const char *path, char *buf, size_t n)
{
    i64 r = put_path(path, 0);

    if (r < 0)
        return r;
    n = MIN(n, (size_t)PATH_SIZE);
    r = host_count(HOST_CALL(READLINK, dir.n, n), n);
    if (r > 0)
        host_get(0, buf, (size_t)r);
    if (r > 0 && memchr(buf, '\0', (size_t)r) != NULL)
        host_lied("readlink");
    return r;
}

int host_chmod(hostfd dir, const char *path, u32 mode)
{
    int r = put_path(path, 0);

    return r < 0 ? r : host_zero(HOST_CALL(CHMOD, dir.n, mode));
}

int host_chown(hostfd dir, const char *path, u32 uid, u32 gid, bool follow)
{
    int r = put_path(path, 0);

    return r < 0 ? r : host_zero(HOST_CALL(CHOWN, dir.n, uid, gid, follow));
}

int host_utimens(hostfd dir, const char *path, const i64 times[4], bool follow)
{
    int r = put_path(path, 0);

    return r < 0 ? r
                 : host_zero(
                       HOST_CALL(UTIMENS, dir.n, follow, times[0], times[1], times[2], times[3]));
}

int host_mknod(hostfd dir, const char *path, u32 mode, u64 dev)
{
    int r = put_path(path, 0);

    return r < 0 ? r : host_zero(HOST_CALL(MKNOD, dir.n, mode, dev));
}

/* ---- sockets ---- */

hostfd host_socket(int domain, int type, int protocol)
{
    return host_fd(HOST_CALL(SOCKET, domain, type, protocol));
}

static int put_address(const void *addr, u32 addr_len)
{
    if (addr_len > BOUNDARY_ADDRESS_MAX)
        return -EINVAL;
    host_put(0, addr, addr_len);
    return 0;
}

/* An address that came back: at most what there is room for, though its length may be larger (cut,
 * as in recvfrom(2)). */
static void get_address(void *addr, u32 *addr_len, u32 room)
{
    u64 size = host_out_max(0, BOUNDARY_ADDRESS_MAX, "address size");

    host_get(0, addr, MIN(room, size));
    *addr_len = (u32)size;
}

int host_bind(hostfd hfd, const void *addr, u32 addr_len)
{
    int r = put_address(addr, addr_len);

    return r < 0 ? r : host_zero(HOST_CALL(BIND, hfd.n, addr_len));
}

int host_connect(hostfd hfd, const void *addr, u32 addr_len)
{
    int r = put_address(addr, addr_len);

    return r < 0 ? r : host_zero(HOST_CALL(CONNECT, hfd.n, addr_len));
}

int host_bind_path(hostfd hfd, hostfd dir, const char *path, const char *text)
{
    int at = put_path(path, 0), r = at < 0 ? at : put_path(text, (u32)at);

    return r < 0 ? r : host_zero(HOST_CALL(BIND_PATH, hfd.n, dir.n, at));
}

int host_connect_file(hostfd hfd, hostfd file, u32 uid, u32 gid)
{
    return host_zero(HOST_CALL(CONNECT_FILE, hfd.n, file.n, uid, gid));
}

int host_listen(hostfd hfd, int backlog, u32 uid, u32 gid)
{
    return host_zero(HOST_CALL(LISTEN, hfd.n, backlog, uid, gid));
}

hostfd host_accept(hostfd hfd, void *addr, u32 *addr_len)
{
    u32 room = addr_len != NULL ? MIN(*addr_len, BOUNDARY_ADDRESS_MAX) : 0;
    hostfd fd = host_fd(HOST_CALL(ACCEPT, hfd.n, BOUNDARY_ADDRESS_MAX));

    if (hostfd_ok(fd) && addr_len != NULL)
        get_address(addr, addr_len, room);
    return fd;
}

ssize_t host_send(hostfd hfd, const void *buf, size_t n, int flags, const struct host_message *m)
{
    int r = put_address(m->addr, m->addr_len);

    if (r < 0)
        return r;
    if (m->control_len > BOUNDARY_CONTROL_MAX)
        return -ENOBUFS;
    host_put(BOUNDARY_ADDRESS_MAX, m->control, m->control_len);
    n = MIN(n, (size_t)BOUNDARY_DATA_SIZE - BOUNDARY_BYTES);
    host_put(BOUNDARY_BYTES, buf, n);
    return host_count(HOST_CALL(SEND, hfd.n, n, (u32)flags, m->addr_len, m->control_len,
                                m->to_file ? (u64)m->file.n : (u64)-1),
                      n);
}

static void get_control(struct host_message *m, u32 room)
{
    u64 size = host_out_max(2, room, "control data size");

    host_get(BOUNDARY_ADDRESS_MAX, m->control, size);
    m->control_len = (u32)size;
}

ssize_t host_recv(hostfd hfd, void *buf, size_t n, int flags, struct host_message *m)
{
    const int truncated = 0x20; /* MSG_TRUNC: the answer may be longer than what was read */
    u32 room = MIN(m->addr_len, BOUNDARY_ADDRESS_MAX);
    u32 control_room = MIN(m->control_len, BOUNDARY_CONTROL_MAX);
    i64 r;

    n = MIN(n, (size_t)BOUNDARY_DATA_SIZE - BOUNDARY_BYTES);
    r = host_count(HOST_CALL(RECV, hfd.n, n, (u32)flags, BOUNDARY_ADDRESS_MAX, control_room),
                   (flags & truncated) != 0 ? INT32_MAX : n);
    if (r < 0)
        return r;
    if (m->addr != NULL)
        get_address(m->addr, &m->addr_len, room);
    get_control(m, control_room);
    m->flags = (int)host_out(1);
    host_get(BOUNDARY_BYTES, buf, MIN((size_t)r, n));
    return r;
}

int host_shutdown(hostfd hfd, int how)
{
    return host_zero(HOST_CALL(SHUTDOWN, hfd.n, how));
}

int host_getsockopt(hostfd hfd, int level, int name, void *val, u32 *len)
{
    u32 room = MIN(*len, 4096u);
    u64 size;
    int r = host_zero(HOST_CALL(GETSOCKOPT, hfd.n, level, name, room));

    if (r < 0)
        return r;
    size = host_out_max(0, room, "option size");
    host_get(0, val, size);
    *len = (u32)size;
    return 0;
}

int host_setsockopt(hostfd hfd, int level, int name, const void *val, u32 len)
{
    if (len > 4096)
        return -EINVAL;
    host_put(0, val, len);
    return host_zero(HOST_CALL(SETSOCKOPT, hfd.n, level, name, len));
}

int host_getsockname(hostfd hfd, void *addr, u32 *addr_len, bool peer)
{
    u32 room = MIN(*addr_len, BOUNDARY_ADDRESS_MAX);
    int r = host_zero(HOST_CALL(GETSOCKNAME, hfd.n, BOUNDARY_ADDRESS_MAX, peer));

    if (r == 0)
        get_address(addr, addr_len, room);
    return r;
}
