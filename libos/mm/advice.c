/* SPDX-License-Identifier: Apache-2.0 */
/* What a process says of its memory: madvise, mlock and their kin, mincore. */
#include "internal.h"
#include "fs.h"
#include "rlimit.h"
#include "task.h"
#include "syscall.h"
#include <linux/capability.h>
#include <linux/falloc.h>

int mm_all_mapped(struct mm *mm, u64 addr, u64 size)
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

int vma_change_flags(struct mm *mm, u64 addr, u64 size, u32 set, u32 clear)
{
    u64 end = addr + size;
    if (mm_lock_live(mm) < 0)
        return -ENOMEM;
    int r = vma_split(mm, addr);
    if (r == 0 && end > addr)
        r = vma_split(mm, end);
    for (struct vma *v = vma_next_from(mm, addr); r == 0 && v && vma_start(v) < end;
         v = vma_after(v))
        if (!(v->flags & VMA_TRAMPOLINE))
            v->flags = (v->flags | set) & ~clear;
    vma_try_merge(mm, addr);
    vma_try_merge(mm, end);
    mm_unlock(mm);
    return r;
}

/* ---- madvise ---- */

bool vma_any(struct mm *mm, u64 addr, u64 size, u32 flags, bool file)
{
    bool found = false;
    mm_lock(mm);
    for (struct vma *v = vma_next_from(mm, addr); v && vma_start(v) < addr + size && !found;
         v = vma_after(v))
        found = (v->flags & flags) || (file && v->file);
    mm_unlock(mm);
    return found;
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
        if (v->flags & VMA_GUARD) { /* nothing is there, and stays so */
            at = to;
            continue;
        }
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

/* MADV_REMOVE: a hole in the file under a shared mapping. */
static int punch(struct mm *mm, u64 addr, u64 size)
{
    int r = 0;
    for (u64 at = addr; r == 0 && at < addr + size;) {
        struct file *file = NULL;
        u64 off = 0, to = addr + size;
        mm_lock(mm);
        struct vma *v = vma_find(mm, at);
        if (!v)
            r = -ENOMEM;
        else if (v->flags & VMA_LOCKED)
            r = -EINVAL;
        else if (!(v->flags & MAP_SHARED) || !v->file || !v->file->ops->fallocate)
            r = -EINVAL;
        else if (!(v->prot & PROT_WRITE))
            r = -EACCES;
        if (r == 0) {
            file = file_get(v->file);
            off = v->file_offset + (at - vma_start(v));
            to = MIN(to, v->end);
        }
        mm_unlock(mm);
        if (!file)
            break;
        r = file->ops->fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, to - at);
        file_put(file);
        at = to;
    }
    return r;
}

/* As mseal(2): what would lose the content of sealed anonymous memory that is not writable. */
static bool sealed_content(struct mm *mm, u64 addr, u64 size)
{
    bool found = false;
    mm_lock(mm);
    for (struct vma *v = vma_next_from(mm, addr); v && vma_start(v) < addr + size && !found;
         v = vma_after(v))
        found = (v->flags & VMA_SEALED) && !(v->prot & PROT_WRITE) && !v->file &&
                !(v->flags & MAP_SHARED);
    mm_unlock(mm);
    return found;
}

#ifndef MADV_GUARD_INSTALL /* Linux 6.13 */
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE  103
#endif

/* The pages of the range go, and an access is SIGSEGV whatever the protection says. */
static long guard(struct mm *mm, u64 addr, u64 size)
{
    if (!pages_dynamic())
        return -EINVAL; /* with SGX1 no page can be taken away */
    if (vma_any(mm, addr, size, MAP_SHARED | VMA_LOCKED, true))
        return -EINVAL;
    int r = mm_all_mapped(mm, addr, size);
    if (r < 0 || !size)
        return r;
    r = vma_change_flags(mm, addr, size, VMA_GUARD, 0);
    if (r < 0 || mm_lock_live(mm) < 0)
        return -ENOMEM;
    r = group_own(mm, addr, size);
    if (r == 0) {
        group_drop_pages(mm, addr, size);
        pages_trim(addr, size); /* what other members left in place as nobody's */
    }
    mm_unlock(mm);
    return r;
}

static long advise(struct mm *mm, u64 addr, u64 size, int advice)
{
    switch (advice) {
    case MADV_DONTNEED:
        if (sealed_content(mm, addr, size))
            return -EPERM;
        if (vma_any(mm, addr, size, VMA_LOCKED, false))
            return -EINVAL;
        return size ? discard(mm, addr, size) : 0;
    case MADV_DONTNEED_LOCKED:
        if (sealed_content(mm, addr, size))
            return -EPERM;
        return size ? discard(mm, addr, size) : 0;
    case MADV_REMOVE:
        return punch(mm, addr, size);
    case MADV_WIPEONFORK:
        if (sealed_content(mm, addr, size))
            return -EPERM;
        if (vma_any(mm, addr, size, MAP_SHARED, true))
            return -EINVAL;
        return vma_change_flags(mm, addr, size, VMA_WIPE, 0);
    case MADV_KEEPONFORK:
        return vma_change_flags(mm, addr, size, 0, VMA_WIPE);
    case MADV_DONTFORK:
        if (sealed_content(mm, addr, size))
            return -EPERM;
        return vma_change_flags(mm, addr, size, VMA_DONTFORK, 0);
    case MADV_DOFORK:
        return vma_change_flags(mm, addr, size, 0, VMA_DONTFORK);
    case MADV_FREE:
        if (sealed_content(mm, addr, size))
            return -EPERM;
        return vma_any(mm, addr, size, MAP_SHARED, true) ? -EINVAL : 0;
    case MADV_DONTDUMP:
        return vma_change_flags(mm, addr, size, VMA_DONTDUMP, 0);
    case MADV_DODUMP:
        return vma_change_flags(mm, addr, size, 0, VMA_DONTDUMP);
    case MADV_GUARD_INSTALL:
        return sealed_content(mm, addr, size) ? -EPERM : guard(mm, addr, size);
    case MADV_GUARD_REMOVE:
        return vma_any(mm, addr, size, MAP_SHARED, true)
                   ? -EINVAL
                   : vma_change_flags(mm, addr, size, 0, VMA_GUARD);
    case MADV_PAGEOUT:
    case MADV_COLD:
        return vma_any(mm, addr, size, VMA_LOCKED, false) ? -EINVAL : 0;
    case MADV_NORMAL: /* hints */
    case MADV_RANDOM:
    case MADV_SEQUENTIAL:
    case MADV_WILLNEED:
    case MADV_HUGEPAGE:
    case MADV_NOHUGEPAGE:
        return 0;
    default: /* MADV_MERGEABLE, too: as without KSM */
        return -EINVAL;
    }
}

long sys_madvise(u64 at, u64 bytes, int advice)
{
    struct mm *mm = current_process()->mm;
    u64 size = PAGE_UP(bytes);
    if ((at & ~PAGE_MASK) || at + size < at || (bytes && !size))
        return -EINVAL;
    if (advice == MADV_POPULATE_READ || advice == MADV_POPULATE_WRITE)
        return size ? mm_populate(mm, at, size) : 0;
    long r = advise(mm, at, size, advice);
    return r < 0 ? r : mm_all_mapped(mm, at, size);
}

/* ---- mlock: nothing is paged out; what a process locked is there, counted and limited ---- */

struct locked {
    u64 start, end; /* a range, and how much of it is locked already */
    u64 all, inside;
};

static void count_locked(const struct vma *v, struct locked *l)
{
    if (!(v->flags & VMA_LOCKED))
        return;
    l->all += v->end - v->node.key;
    if (v->end > l->start && v->node.key < l->end)
        l->inside += MIN(v->end, l->end) - MAX(v->node.key, l->start);
}

long mm_may_lock_locked(struct mm *mm, u64 addr, u64 size)
{
    u64 limit = current_process()->rlimits[LIMIT_MEMLOCK].soft;
    struct locked l = {.start = addr, .end = addr + size};
    if (capable(CAP_IPC_LOCK) || limit == UINT64_MAX)
        return 0;
    if (limit == 0)
        return -EPERM;
    for (struct vma *v = vma_next_from(mm, 0); v; v = vma_after(v))
        count_locked(v, &l);
    return l.all - l.inside + size > limit ? -ENOMEM : 0;
}

static long may_lock(struct mm *mm, u64 addr, u64 size)
{
    mutex_lock(&mm->lock);
    long r = mm_may_lock_locked(mm, addr, size);
    mutex_unlock(&mm->lock);
    return r;
}

long mm_may_map_locked(struct mm *mm, u64 size, u32 flags)
{
    if (!(flags & MAP_LOCKED) && !mm->lock_future)
        return 0;
    long r = may_lock(mm, 0 - size, size); /* where nothing is */
    return r == -EPERM && (flags & MAP_LOCKED) ? r : r < 0 ? -EAGAIN : 0;
}

/* What has an access is there from now on; that the file ends earlier is no error. */
static int bring_in(struct mm *mm, u64 addr, u64 end)
{
    int r = 0;
    if (mm_lock_live(mm) < 0)
        return -ENOMEM;
    for (struct vma *v = vma_next_from(mm, addr); r == 0 && v && vma_start(v) < end;
         v = vma_after(v)) {
        u64 to = MIN(v->end, end);
        for (u64 a = MAX(addr, vma_start(v)); r == 0 && (vma_access(v) & PG_PERMS) && a < to;
             a += PAGE_SIZE)
            if (!(page_state(a) & PG_ACCEPTED) && vma_fill_page(mm, v, a) == -ENOMEM)
                r = -ENOMEM;
    }
    mm_unlock(mm);
    return r;
}

static long lock_range(u64 addr, u64 bytes, bool on_fault)
{
    struct mm *mm = current_process()->mm;
    u64 start = addr & PAGE_MASK, size = PAGE_UP(bytes + (addr - start));
    if (start + size < start)
        return -EINVAL;
    long r = may_lock(mm, start, size);
    if (r == 0)
        r = mm_all_mapped(mm, start, size);
    if (r == 0)
        r = vma_change_flags(mm, start, size, VMA_LOCKED, 0);
    return r < 0 || on_fault ? r : bring_in(mm, start, start + size);
}

long sys_mlock(u64 at, u64 size)
{
    return lock_range(at, size, false);
}

long sys_mlock2(u64 at, u64 size, int flags)
{
    return flags & ~(long)MLOCK_ONFAULT ? -EINVAL : lock_range(at, size, flags & MLOCK_ONFAULT);
}

long sys_munlock(u64 at, u64 bytes)
{
    struct mm *mm = current_process()->mm;
    u64 start = at & PAGE_MASK, size = PAGE_UP(bytes + (at - start));
    if (start + size < start)
        return -EINVAL;
    long r = mm_all_mapped(mm, start, size);
    return r < 0 ? r : vma_change_flags(mm, start, size, 0, VMA_LOCKED);
}

long sys_mlockall(int flags)
{
    struct mm *mm = current_process()->mm;
    u64 limit = current_process()->rlimits[LIMIT_MEMLOCK].soft;
    if (!flags || (flags & ~(long)(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)) || flags == MCL_ONFAULT)
        return -EINVAL;
    if (!capable(CAP_IPC_LOCK) && limit != UINT64_MAX) {
        if (limit == 0)
            return -EPERM;
        if ((flags & MCL_CURRENT) && mm->total << PAGE_SHIFT > limit)
            return -ENOMEM;
    }
    mm->lock_future = flags & MCL_FUTURE;
    if (!(flags & MCL_CURRENT))
        return 0;
    long r = vma_change_flags(mm, 0, UINT64_MAX & PAGE_MASK, VMA_LOCKED, 0);
    return r < 0 || (flags & MCL_ONFAULT) ? r : bring_in(mm, 0, UINT64_MAX);
}

long sys_munlockall(void)
{
    struct mm *mm = current_process()->mm;
    mm->lock_future = false;
    return vma_change_flags(mm, 0, UINT64_MAX & PAGE_MASK, 0, VMA_LOCKED);
}

/* ---- mincore ---- */

/* Which pages from addr on are there: how many are told, fewer where a hole is. */
static u64 look(struct mm *mm, u64 addr, u8 *there, u64 count)
{
    u64 n = 0;
    mm_lock(mm);
    while (n < count) {
        u64 at = addr + (n << PAGE_SHIFT);
        struct vma *v = vma_find(mm, at);
        if (!v)
            break;
        for (; n < count && at < v->end; at += PAGE_SIZE)
            there[n++] = !!(page_state(at) & PG_ACCEPTED);
    }
    mm_unlock(mm);
    return n;
}

long sys_mincore(u64 at, u64 size, uaddr user_pages)
{
    u8 there[256];
    if (at & ~PAGE_MASK)
        return -EINVAL;
    u64 pages = PAGE_UP(size) >> PAGE_SHIFT;
    if (at + size < at)
        return -ENOMEM;
    for (u64 done = 0; done < pages;) {
        u64 want = MIN(pages - done, sizeof(there));
        u64 n = look(current_process()->mm, at + (done << PAGE_SHIFT), there, want);
        if (copy_to_user(user_plus(user_pages, done), there, n) < 0)
            return -EFAULT;
        if (n < want)
            return -ENOMEM;
        done += n;
    }
    return 0;
}
