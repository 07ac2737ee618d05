/* SPDX-License-Identifier: Apache-2.0 */
/* Anonymous files in memory: memfd_create(2), and what System V IPC shares. */
#include "memfs.h"

#include <linux/memfd.h>

#define SEAL_SEAL 1

static struct mem_super *g_shm;

int memfs_make_file(const char *name, u32 seals, struct file **out)
{
    struct mem_super *s = __atomic_load_n(&g_shm, __ATOMIC_ACQUIRE);
    struct mem_inode *m;
    struct dentry *d;
    char label[300];
    int r;

    if (!s) {
        struct mem_super *none = NULL, *fresh = mem_super_new("tmpfs", 0x01021994);

        if (!fresh)
            return -ENOMEM;
        if (!__atomic_compare_exchange_n(&g_shm, &none, fresh, false, __ATOMIC_ACQ_REL,
                                         __ATOMIC_ACQUIRE)) {
            kfree(fresh);
            fresh = none;
        }
        s = fresh;
    }
    m = mem_inode_new(s, S_IFREG | 0777);
    if (!m)
        return -ENOMEM;
    inode_init_owner(&m->i, NULL);
    m->i.nlink = 0;
    m->i.seals = seals;
    snprintf(label, sizeof(label), "/memfd:%s (deleted)", name);
    d = dentry_alloc(NULL, NULL, label, strlen(label), &m->i);
    inode_put(&m->i);
    if (!d)
        return -ENOMEM;
    r = dentry_open_flags(d, O_RDWR | O_LARGEFILE, out);
    dentry_put(d);
    if (r == 0)
        file_uncount_writer(*out); /* as on Linux: a program in a memfd can be run meanwhile */
    return r;
}

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8u
#define MFD_EXEC        16u
#endif

long sys_memfd_create(uaddr user_name, u32 flags)
{
    char name[250];
    struct file *file;
    ssize_t n;
    int r;

    if (flags & ~(long)(MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL | MFD_EXEC))
        return -EINVAL;
    n = strncpy_from_user(name, user_name, sizeof(name));
    if (n < 0)
        return n == -ENAMETOOLONG ? -EINVAL : n;
    r = memfs_make_file(name, flags & (MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL) ? 0 : SEAL_SEAL, &file);
    if (r < 0)
        return r;
    if (flags & MFD_NOEXEC_SEAL)
        file->inode->mode &= ~0111u;
    return fd_install(file, (flags & MFD_CLOEXEC) != 0);
}
