/* SPDX-License-Identifier: Apache-2.0 */
/* System calls of memory management. */
#include "internal.h"
#include "fs.h"
#include "rlimit.h"
#include "task.h"
#include "syscall.h"
#include <linux/fcntl.h>
#include <linux/mman.h>

#define MAP_KNOWN                                                                            \
    (MAP_TYPE | MAP_FIXED | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_DENYWRITE | MAP_EXECUTABLE | \
     MAP_LOCKED | MAP_NORESERVE | MAP_POPULATE | MAP_NONBLOCK | MAP_STACK | MAP_HUGETLB |    \
     MAP_FIXED_NOREPLACE | MAP_32BIT)

/* RLIMIT_AS */
static bool may_grow(const struct process *p, u64 size)
{
    u64 limit = p->rlimits[LIMIT_AS].soft;
    return limit == UINT64_MAX || (p->mm->total << PAGE_SHIFT) + size <= limit;
}

/* /dev/zero is anonymous memory; a shared mapping has the rights of its descriptor. */
static long map_zero(struct mm *mm, u64 addr, u64 size, u32 prot, u32 flags, struct file *file)
{
    bool readonly = (flags & MAP_TYPE) != MAP_PRIVATE && (file->flags & O_ACCMODE) != O_RDWR;
    if (readonly && (prot & PROT_WRITE))
        return -EACCES;
    return mm_map(mm, addr, size, prot, flags | (readonly ? VMA_NO_WRITE : 0), NULL, 0);
}

long sys_mmap(u64 at, u64 size, u64 user_prot, u64 user_flags, int fd, u64 offset)
{
    u32 prot = (u32)user_prot, flags = (u32)user_flags, type = flags & MAP_TYPE;
    if (type != MAP_PRIVATE && type != MAP_SHARED && type != MAP_SHARED_VALIDATE)
        return -EINVAL;
    if (flags & MAP_HUGETLB)
        return -ENOMEM; /* as when no huge page is free */
    if (type == MAP_SHARED_VALIDATE && (flags & ~(u32)(MAP_KNOWN | MAP_SYNC)))
        return -EOPNOTSUPP;
    if (!(flags & MAP_ANONYMOUS)) {
        struct file *file = fd_get(fd);
        if (!file)
            return -EBADF;
        file_put(file);
    }
    if (!size)
        return -EINVAL;
    if (PAGE_UP(size) < size)
        return -ENOMEM;
    if (offset & ~PAGE_MASK)
        return -EINVAL;
    struct process *p = current_process();
    if (!may_grow(p, size))
        return -ENOMEM;
    long may = mm_may_map_locked(p->mm, PAGE_UP(size), flags);
    if (may < 0)
        return may;
    flags &= ~VMA_NO_WRITE;
    if (flags & MAP_ANONYMOUS)
        return mm_map(p->mm, at, size, prot & 7, flags, NULL, 0);
    struct file *file = fd_get(fd);
    if (!file)
        return -EBADF;
    long r = -ENODEV;
    if (file->flags & O_PATH)
        r = -EBADF;
    else if (type == MAP_SHARED_VALIDATE && (flags & MAP_SYNC))
        r = -EOPNOTSUPP; /* nothing here is persistent memory */
    else if ((file->flags & 3) == 1)
        r = -EACCES; /* not open for reading */
    else if ((prot & PROT_EXEC) && file->dentry && dentry_noexec(file->dentry))
        r = -EPERM;
    else if (type != MAP_PRIVATE && (prot & PROT_WRITE) && file->inode &&
             (file->inode->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)))
        r = -EPERM;
    else if (file->inode && file->inode->ops->read_page)
        r = mm_map(p->mm, at, size, prot & 7, flags, file, offset);
    else if (file->ops->mmap) /* /dev/zero */
        r = map_zero(p->mm, at, size, prot & 7, flags | MAP_ANONYMOUS, file);
    file_put(file);
    return r;
}

long sys_munmap(u64 at, u64 size)
{
    return mm_unmap(current_process()->mm, at, size);
}

long sys_mprotect(u64 at, u64 size, u64 prot)
{
    if (prot > UINT32_MAX || (prot & PROT_GROWSUP))
        return -EINVAL; /* no mapping grows up */
    return mm_protect(current_process()->mm, at, size, (u32)prot);
}

long sys_mremap(u64 at, u64 old_size, u64 new_size, u64 flags, u64 to)
{
    if (flags > UINT32_MAX)
        return -EINVAL;
    return mm_remap(current_process()->mm, at, old_size, new_size, (u32)flags, to);
}

long sys_brk(u64 end)
{
    return mm_brk(current_process()->mm, end);
}

long sys_msync(u64 at, u64 size, int flags)
{
    if ((at & ~PAGE_MASK) || (flags & ~7) || ((flags & MS_ASYNC) && (flags & MS_SYNC)))
        return -EINVAL;
    if (at + PAGE_UP(size) < at)
        return -ENOMEM;
    if ((flags & MS_INVALIDATE) &&
        vma_any(current_process()->mm, at, PAGE_UP(size), VMA_LOCKED, false))
        return -EBUSY;
    return mm_sync(current_process()->mm, at, PAGE_UP(size));
}
