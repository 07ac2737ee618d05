/* SPDX-License-Identifier: Apache-2.0 */
/* mseal(2): mappings that stay as they are until the process ends or runs another program. */
#include "internal.h"
#include "task.h"
#include "syscall.h"

bool vma_sealed(struct mm *mm, u64 addr, u64 size)
{
    bool found = false;
    for (struct vma *v = vma_next_from(mm, addr); v && vma_start(v) < addr + size && !found;
         v = vma_after(v))
        found = v->flags & VMA_SEALED;
    return found;
}

long sys_mseal(u64 at, u64 bytes, u64 flags)
{
    struct mm *mm = current_process()->mm;
    u64 size = PAGE_UP(bytes);
    if (flags || (at & ~PAGE_MASK) || (bytes && !size) || at + size < at)
        return -EINVAL;
    if (!size)
        return 0;
    int r = mm_all_mapped(mm, at, size);
    return r < 0 ? r : vma_change_flags(mm, at, size, VMA_SEALED, 0);
}
