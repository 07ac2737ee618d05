/* SPDX-License-Identifier: Apache-2.0 */
/* stat, statx, access, statfs and their families. */
#include "vfs.h"

#include <asm/stat.h>
#include <asm/statfs.h>

#define NS 1000000000ll

static u64 floor_div(i64 t)
{
    return (u64)(t >= 0 ? t / NS : -((-t + NS - 1) / NS));
}
static u32 ns_part(i64 t)
{
    return (u32)(t - (i64)floor_div(t) * NS);
}

static int file_stat(struct file *f, struct kstat *st)
{
    if (f->inode) {
        int r = inode_stat(f->inode, st);

        if (r == 0 && f->dentry)
            link_stat(f->dentry, st);
        return r;
    }
    *st = (struct kstat){
        .dev = 0xe,
        .ino = f->id,
        .mode = f->kind && strcmp(f->kind, "socket") == 0 ? S_IFSOCK | 0777 : 0600,
        .nlink = 1,
        .uid = fs_uid(),
        .gid = fs_gid(),
        .blksize = PAGE_SIZE,
    };
    return 0;
}

/* The object that (dirfd, path, AT_* flags) names. */
static int stat_at(int dirfd, uaddr upath, u32 flags, struct kstat *st, struct mount **mount)
{
    char path[PATH_MAX];
    struct dentry *d;
    ssize_t n = strncpy_from_user(path, upath, PATH_MAX);
    int r;

    if (n < 0)
        return (int)n;
    if (n == 0 && !(flags & AT_EMPTY_PATH))
        return -ENOENT;
    if (n == 0 && dirfd != AT_FDCWD) {
        struct file *f = fd_get(dirfd);

        if (!f)
            return -EBADF;
        r = file_stat(f, st);
        *mount = f->dentry ? f->dentry->mount : NULL;
        file_put(f);
        return r;
    }
    r = path_lookup(dirfd, path, (flags & AT_SYMLINK_NOFOLLOW ? LOOKUP_NOFOLLOW : 0) | LOOKUP_EMPTY,
                    &d);
    if (r < 0)
        return r;
    r = inode_stat(d->inode, st);
    if (r == 0)
        link_stat(d, st);
    *mount = d->mount;
    dentry_put(d);
    return r;
}

static long put_stat(const struct kstat *k, uaddr out)
{
    struct stat st = {
        .st_dev = k->dev,
        .st_ino = k->ino,
        .st_nlink = k->nlink,
        .st_mode = k->mode,
        .st_uid = k->uid,
        .st_gid = k->gid,
        .st_rdev = k->rdev,
        .st_size = (i64)k->size,
        .st_blksize = k->blksize,
        .st_blocks = (i64)k->blocks,
        .st_atime = floor_div(k->atime),
        .st_atime_nsec = ns_part(k->atime),
        .st_mtime = floor_div(k->mtime),
        .st_mtime_nsec = ns_part(k->mtime),
        .st_ctime = floor_div(k->ctime),
        .st_ctime_nsec = ns_part(k->ctime),
    };

    return copy_to_user(out, &st, sizeof(st));
}

/* ---- system calls ---- */

long sys_newfstatat(int dir, uaddr path, uaddr user_st, int flags)
{
    struct kstat st;
    struct mount *m;
    int r;

    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH))
        return -EINVAL;
    r = stat_at(dir, path, (u32)flags, &st, &m);
    return r < 0 ? r : put_stat(&st, user_st);
}

long sys_stat(uaddr path, uaddr st)
{
    return sys_newfstatat(AT_FDCWD, path, st, 0);
}

long sys_lstat(uaddr path, uaddr st)
{
    return sys_newfstatat(AT_FDCWD, path, st, AT_SYMLINK_NOFOLLOW);
}

long sys_fstat(int fd, uaddr user_st)
{
    struct file *file = fd_get(fd);
    struct kstat st;
    int r;

    if (!file)
        return -EBADF;
    r = file_stat(file, &st);
    file_put(file);
    return r < 0 ? r : put_stat(&st, user_st);
}

static struct statx_timestamp statx_time(i64 t)
{
    return (struct statx_timestamp){.tv_sec = (i64)floor_div(t), .tv_nsec = ns_part(t)};
}

static u32 dev_major(u64 dev)
{
    return (u32)((dev >> 8 & 0xfff) | (dev >> 32 & ~0xfffu));
}
static u32 dev_minor(u64 dev)
{
    return (u32)((dev & 0xff) | (dev >> 12 & ~0xffu));
}

#ifndef STATX_MNT_ID_UNIQUE /* Linux 6.8 */
#define STATX_MNT_ID_UNIQUE 0x4000u
#endif

long sys_statx(int dir, uaddr path, int flags, u32 mask, uaddr st)
{
    struct statx x = {0};
    struct kstat k;
    struct mount *m = NULL;
    int r;

    if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE)) ||
        (flags & AT_STATX_SYNC_TYPE) == AT_STATX_SYNC_TYPE || (mask & STATX__RESERVED))
        return -EINVAL;
    r = stat_at(dir, path, (u32)flags, &k, &m);
    if (r < 0)
        return r;
    x.stx_mask = STATX_BASIC_STATS | STATX_BTIME | (m ? STATX_MNT_ID : 0);
    x.stx_blksize = k.blksize;
    x.stx_attributes_mask = STATX_ATTR_MOUNT_ROOT;
    x.stx_nlink = k.nlink;
    x.stx_uid = k.uid;
    x.stx_gid = k.gid;
    x.stx_mode = (u16)k.mode;
    x.stx_ino = k.ino;
    x.stx_size = k.size;
    x.stx_blocks = k.blocks;
    x.stx_atime = statx_time(k.atime);
    x.stx_btime = statx_time(k.btime);
    x.stx_ctime = statx_time(k.ctime);
    x.stx_mtime = statx_time(k.mtime);
    x.stx_rdev_major = dev_major(k.rdev);
    x.stx_rdev_minor = dev_minor(k.rdev);
    x.stx_dev_major = dev_major(k.dev);
    x.stx_dev_minor = dev_minor(k.dev);
    x.stx_mnt_id = m ? m->id : 0;
    if (m && (mask & STATX_MNT_ID_UNIQUE)) {
        x.stx_mask ^= STATX_MNT_ID | STATX_MNT_ID_UNIQUE;
        x.stx_mnt_id = mount_unique_id(m);
    }
    return copy_to_user(st, &x, sizeof(x));
}

/* access(2) asks for the real ids. */
static int permission_real(struct dentry *d, int mask)
{
    struct cred cred = current_process()->cred;

    cred.fsuid = cred.uid;
    cred.fsgid = cred.gid;
    cred.cap_effective = cred.uid == 0 ? cred.cap_permitted : 0;
    return inode_permission_as(&cred, d->inode, mask);
}

long sys_faccessat2(int dir, uaddr user_path, int mode, int flags)
{
    char path[PATH_MAX];
    struct cred *cred = &current_process()->cred;
    struct dentry *target;
    ssize_t n = strncpy_from_user(path, user_path, PATH_MAX);
    int r;

    if (n < 0)
        return n;
    if ((mode & ~7) || (flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)))
        return -EINVAL;
    r = path_lookup(dir, path,
                    (flags & AT_SYMLINK_NOFOLLOW ? LOOKUP_NOFOLLOW : 0) |
                        (flags & AT_EMPTY_PATH ? LOOKUP_EMPTY : 0),
                    &target);
    if (r < 0)
        return r;
    if ((mode & MAY_WRITE) && dentry_readonly(target) &&
        (S_ISREG(target->inode->mode) || S_ISDIR(target->inode->mode) ||
         S_ISLNK(target->inode->mode)))
        r = -EROFS;
    else if ((mode & MAY_EXEC) && S_ISREG(target->inode->mode) && dentry_noexec(target))
        r = -EACCES;
    else if ((flags & AT_EACCESS) || (cred->uid == cred->fsuid && cred->gid == cred->fsgid))
        r = inode_permission(target->inode, mode);
    else
        r = permission_real(target, mode);
    dentry_put(target);
    return r;
}

long sys_faccessat(int dir, uaddr path, int mode)
{
    return sys_faccessat2(dir, path, mode, 0);
}

long sys_access(uaddr path, int mode)
{
    return sys_faccessat2(AT_FDCWD, path, mode, 0);
}

static long put_statfs(struct super *s, u32 mount_flags, uaddr out)
{
    struct host_statfs k = {.type = s->magic, .bsize = PAGE_SIZE, .namelen = NAME_LIMIT};
    struct statfs st = {0};
    int r = s->statfs ? s->statfs(s, &k) : 0;

    if (r < 0)
        return r;
    st.f_type = (long)k.type;
    st.f_bsize = (long)k.bsize;
    st.f_frsize = (long)k.bsize;
    st.f_blocks = (long)k.blocks;
    st.f_bfree = (long)k.bfree;
    st.f_bavail = (long)k.bavail;
    st.f_files = (long)k.files;
    st.f_ffree = (long)k.ffree;
    st.f_namelen = (long)k.namelen;
    st.f_fsid.val[0] = (int)s->dev;
    st.f_flags = 0x20 /* ST_VALID */ |
                 (mount_flags & MS_NOSYMFOLLOW ? 0x2000 /* ST_NOSYMFOLLOW */ : 0) |
                 (long)((mount_flags | s->flags) & (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC));
    return copy_to_user(out, &st, sizeof(st));
}

long sys_statfs(uaddr path, uaddr st)
{
    struct dentry *target;
    int r = path_lookup_user(path, 0, &target);

    if (r < 0)
        return r;
    r = put_statfs(target->inode->super, target->mount ? target->mount->flags : 0, st);
    dentry_put(target);
    return r;
}

struct ustat {
    i32 blocks_free;
    u64 inodes_free;
    char name[6], pack[6];
};

/* The root of a mounted file system by the number of its device, +1; NULL. */
static struct dentry *root_of_dev(u32 dev)
{
    struct dentry *found = NULL;
    struct mount *m;

    mutex_lock(&g_tree_lock);
    list_for_each_entry (m, &g_mounts, link)
        if (!found && m->super->dev == dev)
            found = dentry_get(m->root);
    mutex_unlock(&g_tree_lock);
    return found;
}

long sys_ustat(u32 dev, uaddr st)
{
    struct dentry *root = root_of_dev(dev);
    struct host_statfs k = {0};
    struct ustat u;
    int r = 0;

    if (!root)
        return -EINVAL;
    if (root->inode->super->statfs)
        r = root->inode->super->statfs(root->inode->super, &k);
    dentry_put(root);
    memset(&u, 0, sizeof(u));
    u.blocks_free = (i32)k.bfree;
    u.inodes_free = k.ffree;
    return r < 0 ? r : copy_to_user(st, &u, sizeof(u));
}

long sys_fstatfs(int fd, uaddr st)
{
    static struct super anon = {.type = "anon_inodefs", .magic = 0x09041934};
    struct file *file = fd_get(fd);
    long r;

    if (!file)
        return -EBADF;
    r = put_statfs(file->inode && file->inode->super ? file->inode->super : &anon,
                   file->dentry && file->dentry->mount ? file->dentry->mount->flags : 0, st);
    file_put(file);
    return r;
}
