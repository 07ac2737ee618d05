/* SPDX-License-Identifier: Apache-2.0 */
/* A host that answers anything, for pass-through mounts. */
#include "world.h"

static u32 g_host_random = 1;
static u32 host_rnd(u32 n)
{
    g_host_random = g_host_random * 1664525u + 1013904223u;
    return (g_host_random >> 8) % n;
}
static int some_error(void)
{
    static const int errors[] = {ENOENT, EACCES, EIO,    ENOTDIR, EEXIST,
                                 ESTALE, ELOOP,  ENOSPC, EAGAIN};

    return host_rnd(5) ? 0 : -errors[host_rnd(ARRAY_SIZE(errors))];
}
int host_stat(hostfd dir, const char *path, bool follow, struct host_stat *st)
{
    static const u32 types[] = {S_IFDIR, S_IFDIR, S_IFREG, S_IFREG, S_IFLNK,
                                S_IFIFO, S_IFCHR, 0,       0170000};
    int r = some_error();

    if (r == 0)
        *st = (struct host_stat){
            .dev = host_rnd(2),
            .ino = host_rnd(12),
            .nlink = (u64)host_rnd(100) << 40,
            .rdev = host_rnd(1 << 20),
            .size = host_rnd(3) ? host_rnd(100000) : (u64)host_rnd(1 << 24) << 40,
            .mode = types[*path ? host_rnd(ARRAY_SIZE(types)) : 0] | host_rnd(010000),
            .uid = host_rnd(3),
            .atime_sec = (i64)((u64)host_rnd(1 << 24) << 40),
            .atime_nsec = host_rnd(1 << 24) << 8,
        };
    return r;
}
int host_statfs(hostfd hfd, struct host_statfs *st)
{
    memset(st, (int)host_rnd(256), sizeof(*st));
    return some_error();
}
hostfd host_open(hostfd dir, const char *path, int flags, u32 mode)
{
    int r = some_error();

    return (hostfd){r < 0 ? r : (int)host_rnd(1000)};
}
ssize_t host_read(hostfd hfd, void *buf, size_t n, off_t off)
{
    int r = some_error();
    size_t k = host_rnd((u32)MIN(n, 1u << 20) + 1);

    memset(buf, 'h', k);
    return r < 0 ? r : (ssize_t)k;
}
ssize_t host_write(hostfd hfd, const void *buf, size_t n, off_t off)
{
    int r = some_error();

    return r < 0 ? r : (ssize_t)host_rnd((u32)MIN(n, 1u << 20) + 1);
}
ssize_t host_getdents(hostfd hfd, void *buf, size_t n)
{
    size_t used = 0;

    /* host_getdents() itself has proved the records' bounds and names. */
    while (host_rnd(8) && n - used > 300) {
        u16 len = (u16)(1 + host_rnd(255)), reclen = (u16)((19 + len + 1 + 7) & ~7);
        u8 *p = (u8 *)buf + used;

        memset(p, 'd', reclen);
        memcpy(p + 16, &reclen, 2);
        p[18] = (u8)host_rnd(256);
        p[19 + len] = 0;
        used += reclen;
    }
    return (ssize_t)used;
}
ssize_t host_readlink(hostfd dir, const char *path, char *buf, size_t n)
{
    size_t k = host_rnd((u32)n + 1);

    memset(buf, host_rnd(2) ? 'a' : '/', k);
    return host_rnd(4) ? (ssize_t)MIN(k, 3u) : (ssize_t)k;
}
off_t host_lseek(hostfd hfd, off_t off, int whence)
{
    return host_rnd(2) ? some_error() : (off_t)((u64)host_rnd(1 << 24) << 39);
}
#define ANY(name, ...)       \
    int name(__VA_ARGS__)    \
    {                        \
        return some_error(); \
    }
ANY(host_close, hostfd hfd)
ANY(host_fsync, hostfd hfd, bool data_only)
ANY(host_ftruncate, hostfd hfd, u64 size)
ANY(host_fallocate, hostfd hfd, int mode, u64 off, u64 n)
ANY(host_mkdir, hostfd dir, const char *path, u32 mode)
ANY(host_unlink, hostfd dir, const char *path, bool is_dir)
ANY(host_rename, hostfd old_dir, const char *old_path, hostfd new_dir, const char *new_path,
    u32 flags)
ANY(host_link, hostfd old_dir, const char *old_path, hostfd new_dir, const char *new_path)
ANY(host_symlink, const char *target, hostfd dir, const char *path)
ANY(host_chmod, hostfd dir, const char *path, u32 mode)
ANY(host_chown, hostfd dir, const char *path, u32 uid, u32 gid, bool follow)
ANY(host_utimens, hostfd dir, const char *path, const i64 times[4], bool follow)
ANY(host_bind_path, hostfd hfd, hostfd dir, const char *path, const char *text)
ANY(host_mknod, hostfd dir, const char *path, u32 mode, u64 dev)
ANY(host_lock, hostfd hfd, bool whole, int type, u64 start, u64 end)
int host_lock_test(hostfd hfd, bool *write, u64 *start, u64 *end)
{
    *start = host_rnd(100);
    *end = *start + host_rnd(100);
    return (int)host_rnd(2);
}
