/* SPDX-License-Identifier: Apache-2.0 */
/* System calls of memory management. */
#include "internal.h"
#include "fs.h"
#include "task.h"
#include "syscall.h"
#include <linux/fcntl.h>
#include <linux/mman.h>

#define RLIMIT_AS_INDEX 9
#define MAP_KNOWN                                                                            \
    (MAP_TYPE | MAP_FIXED | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_DENYWRITE | MAP_EXECUTABLE | \
     MAP_LOCKED | MAP_NORESERVE | MAP_POPULATE | MAP_NONBLOCK | MAP_STACK | MAP_HUGETLB |    \
     MAP_FIXED_NOREPLACE | MAP_32BIT)

long sys_mmap(SYSCALL_ARGS)
{
    u64 addr = (u64)a, size = (u64)b;
    u32 prot = (u32)c, flags = (u32)d, type = flags & MAP_TYPE;
    if (type != MAP_PRIVATE && type != MAP_SHARED && type != MAP_SHARED_VALIDATE)
        return -EINVAL;
    if (flags & MAP_HUGETLB)
        return -ENOMEM; /* as when no huge page is free */
    if (type == MAP_SHARED_VALIDATE && (flags & ~(u32)(MAP_KNOWN | MAP_SYNC)))
        return -EOPNOTSUPP;
    if (!(flags & MAP_ANONYMOUS)) {
        struct file *file = fd_get((int)e);
        if (!file)
            return -EBADF;
        file_put(file);
    }
    if (!size)
        return -EINVAL;
    if (PAGE_UP(size) < size)
        return -ENOMEM;
    if (f & ~(long)PAGE_MASK)
        return -EINVAL;
    struct process *p = current_process();
    u64 limit = p->rlimits[RLIMIT_AS_INDEX].soft;
    if (limit != UINT64_MAX && (p->mm->total << PAGE_SHIFT) + size > limit)
        return -ENOMEM;
    long may = mm_may_map_locked(p->mm, PAGE_UP(size), flags);
    if (may < 0)
        return may;
    if (flags & MAP_ANONYMOUS)
        return mm_map(p->mm, addr, size, prot & 7, flags, NULL, 0);
    struct file *file = fd_get((int)e);
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
        r = mm_map(p->mm, addr, size, prot & 7, flags, file, (u64)f);
    else if (file->ops->mmap)
        r = mm_map(p->mm, addr, size, prot & 7, flags | MAP_ANONYMOUS, NULL, 0); /* /dev/zero */
    file_put(file);
    return r;
}

long sys_munmap(SYSCALL_ARGS)
{
    return mm_unmap(current_process()->mm, (u64)a, (u64)b);
}

long sys_mprotect(SYSCALL_ARGS)
{
    if (c & (PROT_GROWSDOWN | PROT_GROWSUP))
        return -EINVAL; /* no mapping grows */
    return mm_protect(current_process()->mm, (u64)a, (u64)b, (u32)c);
}

long sys_mremap(SYSCALL_ARGS)
{
    return mm_remap(current_process()->mm, (u64)a, (u64)b, (u64)c, (u32)d, (u64)e);
}

long sys_brk(SYSCALL_ARGS)
{
    return mm_brk(current_process()->mm, (u64)a);
}

long sys_msync(SYSCALL_ARGS)
{
    if (((u64)a & ~PAGE_MASK) || (c & ~7l) || ((c & MS_ASYNC) && (c & MS_SYNC)))
        return -EINVAL;
    if ((u64)a + PAGE_UP((u64)b) < (u64)a)
        return -ENOMEM;
    if ((c & MS_INVALIDATE) &&
        vma_any(current_process()->mm, (u64)a, PAGE_UP((u64)b), VMA_LOCKED, false))
        return -EBUSY;
    return mm_sync(current_process()->mm, (u64)a, PAGE_UP((u64)b));
}

long sys_memory_policy(SYSCALL_ARGS)
{
    return 0;
}
