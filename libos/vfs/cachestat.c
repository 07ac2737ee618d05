/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cachestat: which pages of a file are in memory. Files of memory file systems are; of the image
 * and of the host's files the LibOS keeps no pages that it would have to tell of.
 */
#include "vfs.h"

struct cachestat_range {
    u64 offset, length; /* length 0: to the end of the file */
};

struct cachestat {
    u64 cached, dirty, writeback, evicted, recently_evicted; /* pages */
};

/* Pages of data in [from, to), by SEEK_DATA and SEEK_HOLE. */
static u64 count_data(struct file *f, u64 from, u64 to)
{
    u64 pages = 0;

    mutex_lock(&f->pos_lock);
    u64 pos = f->pos; /* which looking moves */
    while (from < to) {
        i64 data = f->ops->seek(f, (i64)from, SEEK_DATA);
        i64 hole = data < 0 ? -1 : f->ops->seek(f, data, SEEK_HOLE);

        if (data < 0 || (u64)data >= to || hole <= data)
            break;
        u64 end = MIN((u64)hole, to);
        pages += (PAGE_UP(end) - PAGE_DOWN((u64)data)) >> PAGE_SHIFT;
        from = PAGE_UP(end);
    }
    f->pos = pos;
    mutex_unlock(&f->pos_lock);
    return pages;
}

static bool may_ask(const struct file *f)
{
    return (f->flags & O_ACCMODE) != O_RDONLY || inode_owner_or_capable(f->inode) ||
           inode_permission(f->inode, MAY_WRITE) == 0;
}

long sys_cachestat(int fd, uaddr user_range, uaddr user_result, u32 flags)
{
    struct cachestat_range range;
    struct cachestat result = {0};
    struct file *f = fd_get(fd);
    long r = 0;

    if (!f)
        return -EBADF;
    if (get_user(range, user_range) < 0)
        r = -EFAULT;
    else if (f->flags & O_PATH)
        r = -EBADF;
    else if (f->inode && !may_ask(f))
        r = -EPERM;
    else if (flags)
        r = -EINVAL;
    if (r == 0 && f->inode && S_ISREG(f->inode->mode) && inode_is_memory(f->inode) &&
        f->ops->seek) {
        u64 end = range.length ? range.offset + range.length : INT64_MAX;

        result.cached = count_data(f, MIN(PAGE_DOWN(range.offset), (u64)INT64_MAX),
                                   end < range.offset ? INT64_MAX : MIN(end, f->inode->size));
    }
    file_put(f);
    if (r == 0 && copy_to_user(user_result, &result, sizeof(result)) < 0)
        r = -EFAULT;
    return r;
}
