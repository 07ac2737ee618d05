/* SPDX-License-Identifier: Apache-2.0 */
/* System calls of memory management. */
#include "internal.h"
#include "fs.h"
#include "process.h"
#include "syscall.h"
#include <linux/fcntl.h>
#include <linux/mman.h>

#define RLIMIT_AS_INDEX 9

long sys_mmap(SYSCALL_ARGS)
{
    u64 addr = (u64)a, size = (u64)b;
    u32 prot = (u32)c, flags = (u32)d, type = flags & MAP_TYPE;
    if (type != MAP_PRIVATE && type != MAP_SHARED && type != MAP_SHARED_VALIDATE)
        return -EINVAL;
    if (flags & MAP_HUGETLB)
        return -ENOMEM; /* as when no huge page is free */
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
    return mm_sync(current_process()->mm, (u64)a, PAGE_UP((u64)b));
}

/* Drop the pages of private memory, so that they read as never touched. */
static int discard(struct mm *mm, u64 addr, u64 size)
{
    int r = 0;
    if (mm_lock_live(mm) < 0)
        return -ENOMEM;
    for (u64 at = addr; r == 0 && at < addr + size;) {
        struct vma *v = vma_next_from(mm, at);
        if (!v || vma_start(v) >= addr + size)
            break;
        u64 from = MAX(at, vma_start(v)), to = MIN(addr + size, v->end);
        if (!(v->flags & (MAP_SHARED | VMA_CANONICAL))) {
            r = group_own(mm, from, to - from);
            if (r < 0)
                break;
            group_drop_pages(mm, from, to - from);
        }
        /* Pages that another member covers stay in place as nobody's: they are filled before
         * use. */
        if (mm->space->shared && !(v->flags & MAP_SHARED)) {
            for (u64 p = page_next_accepted(from, to); p < to;
                 p = page_next_accepted(p + PAGE_SIZE, to))
                if (page_state(p) & PG_STALE)
                    vma_refill_page(mm, v, p);
            pages_protect(from, to - from, v->prot);
        }
        r = mm_fill(mm, from, to);
        at = to;
    }
    mm_unlock(mm);
    return r;
}

/* 0 when every page of the range is mapped, else -ENOMEM. */
static int all_mapped(struct mm *mm, u64 addr, u64 size)
{
    u64 at = addr;
    mm_lock(mm);
    for (struct vma *v; at < addr + size; at = v->end) {
        v = vma_find(mm, at);
        if (!v)
            break;
    }
    mm_unlock(mm);
    return at < addr + size ? -ENOMEM : 0;
}

long sys_madvise(SYSCALL_ARGS)
{
    struct mm *mm = current_process()->mm;
    u64 size = PAGE_UP((u64)b);
    int r = 0;
    if (((u64)a & ~PAGE_MASK) || (u64)a + size < (u64)a || (b && !size))
        return -EINVAL;
    switch (c) {
    case MADV_DONTNEED:
    case MADV_DONTNEED_LOCKED:
        r = size ? discard(mm, (u64)a, size) : 0;
        break;
    case MADV_POPULATE_READ:
    case MADV_POPULATE_WRITE:
        return size ? mm_populate(mm, (u64)a, size) : 0;
    case MADV_NORMAL: /* hints */
    case MADV_RANDOM:
    case MADV_SEQUENTIAL:
    case MADV_WILLNEED:
    case MADV_FREE:
    case MADV_DOFORK:
    case MADV_KEEPONFORK:
    case MADV_MERGEABLE:
    case MADV_UNMERGEABLE:
    case MADV_HUGEPAGE:
    case MADV_NOHUGEPAGE:
    case MADV_DONTDUMP:
    case MADV_DODUMP:
    case MADV_COLD:
    case MADV_PAGEOUT:
        break;
    default: /* no hints, and not there: MADV_WIPEONFORK, DONTFORK, REMOVE ... */
        return -EINVAL;
    }
    return r < 0 ? r : all_mapped(mm, (u64)a, size);
}

long sys_mincore(SYSCALL_ARGS)
{
    if ((u64)a & ~PAGE_MASK)
        return -EINVAL;
    u64 pages = PAGE_UP((u64)b) >> PAGE_SHIFT;
    for (u64 i = 0; i < pages; i++) {
        u64 at = (u64)a + (i << PAGE_SHIFT);
        struct mm *mm = current_process()->mm;
        mm_lock(mm);
        bool mapped = vma_find(mm, at);
        mm_unlock(mm);
        if (!mapped)
            return -ENOMEM;
        u8 in = !!(page_state(at) & PG_ACCEPTED);
        if (put_user(in, (u8 *)c + i))
            return -EFAULT;
    }
    return 0;
}

/* Enclave memory is never paged by the LibOS: locking has nothing to do. */
long sys_mlock(SYSCALL_ARGS)
{
    u64 start = (u64)a & PAGE_MASK, size = PAGE_UP((u64)b + ((u64)a - start));
    if (start + size < start)
        return -EINVAL;
    return all_mapped(current_process()->mm, start, size);
}

long sys_mlockall(SYSCALL_ARGS)
{
    return 0;
}

long sys_memory_policy(SYSCALL_ARGS)
{
    return 0;
}
