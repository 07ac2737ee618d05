/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file becomes shorter: what is mapped behind its new end goes, also the private pages that were
 * written. An access there is a SIGBUS, and when the file grows again it is zeros, not what was
 * there before. (A page that the end lies in stays, as on Linux; pages mapped shared are zeroed by
 * the file, which knows them: mm_shared_write().)
 */
#include "internal.h"
#include "fs.h"

/* All mms, also those that exec builds: a process list would not have them. */
static struct mutex g_all_lock;
static struct list_head g_all = LIST_HEAD_INIT(g_all);

void mm_list_add(struct mm *mm)
{
    mutex_lock(&g_all_lock);
    list_add_tail(&mm->all, &g_all);
    mutex_unlock(&g_all_lock);
}

void mm_list_remove(struct mm *mm)
{
    mutex_lock(&g_all_lock);
    list_del(&mm->all);
    mutex_unlock(&g_all_lock);
}

/*
 * The first living one behind `after` (NULL: of all), with a reference; gives that of after back.
 */
static struct mm *next_mm(struct mm *after)
{
    mutex_lock(&g_all_lock);
    struct list_head *l = after ? after->all.next : g_all.next;
    while (l != &g_all && !ref_get_live(&container_of(l, struct mm, all)->refs))
        l = l->next;
    mutex_unlock(&g_all_lock);
    mm_put(after);
    return l == &g_all ? NULL : container_of(l, struct mm, all);
}

static void cut_mm(struct mm *mm, const struct inode *inode, u64 end)
{
    mm_lock(mm);
    for (struct vma *v = mm->doomed ? NULL : vma_next_from(mm, 0); v; v = vma_after(v)) {
        if (!v->file || v->file->inode != inode ||
            (v->flags & (MAP_SHARED | VMA_CANONICAL | VMA_TRAMPOLINE)))
            continue;
        u64 keep = end > v->file_offset ? end - v->file_offset : 0;
        if (keep < v->end - vma_start(v))
            group_cut(mm, v, vma_start(v) + keep);
    }
    mm_unlock(mm);
}

void mm_cut_file(struct inode *inode, u64 size)
{
    if (!__atomic_load_n(&inode->mapped_private, __ATOMIC_SEQ_CST))
        return;
    for (struct mm *mm = next_mm(NULL); mm; mm = next_mm(mm))
        cut_mm(mm, inode, PAGE_UP(size));
}

u64 mm_count_maps(const struct file *file)
{
    u64 n = 0;
    for (struct mm *mm = next_mm(NULL); mm; mm = next_mm(mm)) {
        mm_lock(mm);
        for (struct vma *v = mm->doomed ? NULL : vma_next_from(mm, 0); v; v = vma_after(v))
            if (v->file && v->file->inode == file->inode && (v->flags & MAP_SHARED) &&
                v->file_offset == 0)
                n += 1 + v->copies;
        mm_unlock(mm);
    }
    return n;
}
