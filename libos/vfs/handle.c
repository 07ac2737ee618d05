/* SPDX-License-Identifier: Apache-2.0 */
/*
 * name_to_handle_at(2), open_by_handle_at(2). A handle is a number that an inode gets when it is
 * first asked for one, and has as long as it lives; only files in memory have such. The table holds
 * no reference: an inode that goes takes itself out.
 */
#include "vfs.h"

#define HANDLE_MOST 128u /* MAX_HANDLE_SZ */
#define TYPE_OPEN   1    /* open_by_handle_at() takes it */
#define TYPE_NAME   0x80 /* AT_HANDLE_FID: it only tells files apart */
#ifndef AT_HANDLE_FID
#define AT_HANDLE_FID 0x200
#endif
#define AT_HANDLE_MNT_ID_UNIQUE_FLAG 1
#define AT_HANDLE_CONNECTABLE_FLAG   2

struct handle { /* what stands behind the number */
    struct rb_node node;
    struct inode *inode;
};

struct user_handle {
    u32 bytes;
    i32 type;
    u64 ino, number;
};
#define HANDLE_HEAD offsetof(struct user_handle, ino)
#define HANDLE_SIZE (sizeof(struct user_handle) - HANDLE_HEAD)

static struct mutex g_handle_lock;
static struct rb_root g_handles;
static u64 g_next_handle = 1;

void handle_forget(struct inode *i)
{
    struct handle *h = i->handle;

    mutex_lock(&g_handle_lock);
    rb_erase(&g_handles, &h->node);
    mutex_unlock(&g_handle_lock);
    i->handle = NULL;
    kfree(h);
}

static int handle_number(struct inode *i, u64 *number)
{
    struct handle *h, *fresh = kmalloc(sizeof(*fresh));

    if (!fresh)
        return -ENOMEM;
    mutex_lock(&g_handle_lock);
    h = i->handle;
    if (!h) {
        h = fresh;
        fresh = NULL;
        h->inode = i;
        h->node.key = g_next_handle++;
        rb_insert(&g_handles, &h->node);
        i->handle = h;
    }
    *number = h->node.key;
    mutex_unlock(&g_handle_lock);
    kfree(fresh);
    return 0;
}

static struct inode *handle_inode(u64 number)
{
    struct inode *i = NULL;
    struct rb_node *n;

    mutex_lock(&g_handle_lock);
    n = rb_find(&g_handles, number);
    if (n && ref_get_live(&container_of(n, struct handle, node)->inode->refs))
        i = container_of(n, struct handle, node)->inode;
    mutex_unlock(&g_handle_lock);
    return i;
}

static int handle_of(struct inode *i, u32 flags, struct user_handle *h)
{
    struct kstat st;
    int r;

    if (i->super && i->super->memory) {
        h->type = TYPE_OPEN;
        h->ino = i->ino;
        return handle_number(i, &h->number);
    }
    if (!(flags & AT_HANDLE_FID))
        return -EOPNOTSUPP;
    r = inode_stat(i, &st);
    h->type = TYPE_NAME;
    h->ino = st.ino;
    h->number = st.dev;
    return r;
}

long sys_name_to_handle_at(int dir, uaddr user_path, uaddr handle, uaddr mount_id, int at_flags)
{
    struct user_handle h = {0};
    char path[PATH_MAX];
    struct dentry *target;
    u32 flags = (u32)at_flags, room;
    u64 mount;
    ssize_t n;
    int r;

    if ((flags & ~(u32)(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH | AT_HANDLE_FID |
                        AT_HANDLE_MNT_ID_UNIQUE_FLAG | AT_HANDLE_CONNECTABLE_FLAG)) ||
        (flags & (AT_HANDLE_FID | AT_HANDLE_CONNECTABLE_FLAG)) ==
            (AT_HANDLE_FID | AT_HANDLE_CONNECTABLE_FLAG))
        return -EINVAL;
    n = strncpy_from_user(path, user_path, PATH_MAX);
    if (n < 0)
        return n;
    r = path_lookup(dir, path,
                    (flags & AT_SYMLINK_FOLLOW ? 0 : LOOKUP_NOFOLLOW) |
                        (flags & AT_EMPTY_PATH ? LOOKUP_EMPTY : 0),
                    &target);
    if (r < 0)
        return r;
    mount = target->mount ? target->mount->id : 0;
    r = get_user(room, handle) < 0 ? -EFAULT
        : room > HANDLE_MOST       ? -EINVAL
                                   : handle_of(target->inode, flags, &h);
    dentry_put(target);
    if (r < 0)
        return r;
    h.bytes = HANDLE_SIZE;
    r = flags & AT_HANDLE_MNT_ID_UNIQUE_FLAG ? put_user(mount, mount_id)
                                             : put_user((i32)mount, mount_id);
    if (r < 0 || copy_to_user(handle, &h, room < HANDLE_SIZE ? sizeof(h.bytes) : sizeof(h)) < 0)
        return -EFAULT;
    return room < HANDLE_SIZE ? -EOVERFLOW : 0;
}

/* The mount that a descriptor is in, by one of its dentries; +1. */
static int mount_of(int fd, struct dentry **out)
{
    struct file *f;

    if (fd == AT_FDCWD)
        return path_lookup(AT_FDCWD, ".", 0, out);
    f = fd_get(fd);
    if (!f)
        return -EBADF;
    *out = f->dentry ? dentry_get(f->dentry) : NULL;
    file_put(f);
    return *out ? 0 : -ESTALE;
}

/* Under a name of it that the cache knows, else without one. */
static struct dentry *dentry_of(struct mount *m, struct inode *i)
{
    struct dentry *d = dcache_find_inode(m, i);

    if (d)
        return d;
    if (i == m->root->inode)
        return dentry_get(m->root);
    if (S_ISDIR(i->mode)) /* its entries have two names in the cache then */
        i->super->revalidate = true;
    return dentry_alloc(NULL, m, "/", 1, i);
}

static int open_inode(struct mount *m, struct inode *i, u32 flags, struct file **out)
{
    struct dentry *d;
    int r;

    if (i->super != m->super)
        return -ESTALE;
    d = dentry_of(m, i);
    if (!d)
        return -ENOMEM;
    r = dentry_open_checked(d, flags, out);
    dentry_put(d);
    return r;
}

long sys_open_by_handle_at(int mount, uaddr handle, int flags)
{
    struct user_handle h = {0};
    struct dentry *at;
    struct inode *i;
    struct file *file;
    int r;

    if (!fs_capable(CAP_DAC_READ_SEARCH))
        return -EPERM;
    if (copy_from_user(&h, handle, HANDLE_HEAD) < 0)
        return -EFAULT;
    if (h.bytes == 0 || h.bytes > HANDLE_MOST)
        return -EINVAL;
    r = mount_of(mount, &at);
    if (r < 0)
        return r;
    if (copy_from_user(&h, handle, HANDLE_HEAD + MIN((size_t)h.bytes, HANDLE_SIZE)) < 0)
        r = -EFAULT;
    i = r == 0 && h.bytes == HANDLE_SIZE && h.type == TYPE_OPEN ? handle_inode(h.number) : NULL;
    if (r == 0)
        r = i && at->mount ? open_inode(at->mount, i, (u32)flags, &file) : -ESTALE;
    inode_put(i);
    dentry_put(at);
    return r < 0 ? r : fd_install(file, (flags & O_CLOEXEC) != 0);
}
