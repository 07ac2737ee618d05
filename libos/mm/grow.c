/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lets a mapping grow: limits of the process; and MAP_GROWSDOWN, a mapping that grows towards
 * lower addresses when they are touched, as a stack.
 */
#include "internal.h"
#include "rlimit.h"
#include "task.h"

#define GUARD_GAP (256 * PAGE_SIZE) /* as Linux keeps below a stack that grows */

long mm_may_grow_locked(struct mm *mm, u64 size, bool locked)
{
    u64 limit = current_process()->rlimits[LIMIT_AS].soft;
    if (limit != UINT64_MAX && (mm->total << PAGE_SHIFT) + size > limit)
        return -ENOMEM;
    return locked && mm_may_lock_locked(mm, 0 - size, size) < 0 ? -EAGAIN : 0;
}

/* What is mapped below `start` keeps its distance, unless nobody can touch it or it is a stack. */
static bool clear_below(struct mm *mm, u64 start)
{
    struct vma *below = vma_next_from(mm, start > GUARD_GAP ? start - GUARD_GAP : 0);
    for (; below && vma_start(below) < start; below = vma_after(below))
        if (below->prot && !(below->flags & MAP_GROWSDOWN))
            return false;
    return true;
}

struct vma *vma_grow_down(struct mm *mm, u64 addr)
{
    struct vma *v = vma_next_from(mm, addr);
    u64 start = PAGE_DOWN(addr), limit = current_process()->rlimits[LIMIT_STACK].soft;
    if (!v || !(v->flags & MAP_GROWSDOWN) || v->file || start < LAYOUT_USER_START)
        return NULL;
    u64 old = vma_start(v), grow = old - start;
    if (v->end - start > limit || !clear_below(mm, start) ||
        (start < mm->brk_max && old > mm->brk_start))
        return NULL;
    if (mm_may_grow_locked(mm, grow, v->flags & VMA_LOCKED) < 0 ||
        !space_try_claim(mm, start, grow))
        return NULL;
    if (vma_map_at(mm, start, grow, v->prot, v->flags, NULL, 0) < 0)
        return NULL;
    vma_try_merge(mm, old);
    return vma_find(mm, addr);
}
