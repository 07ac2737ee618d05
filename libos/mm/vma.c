/* SPDX-License-Identifier: Apache-2.0 */
/* VMAs and the calls that change them: mmap, munmap, mprotect, mremap, brk. */
#include "internal.h"
#include "fs.h"
#include "rlimit.h"
#include "task.h"
#include <linux/fcntl.h>

#define EXEC_BRK_RESERVE (32ul << 20)
#define TASK_SIZE        0x7ffffffff000ul /* where Linux's addresses of programs end */

/* The mm's own lock and that of its space, always both: a mm whose last reference goes is not
 * resident, so a join may move it to another space, or walk its VMAs, at any time. While the
 * space's lock is held it stays where it is. */
void mm_lock(struct mm *mm)
{
    mutex_lock(&mm->lock);
    for (;;) {
        struct space *s = __atomic_load_n(&mm->space, __ATOMIC_ACQUIRE);
        mutex_lock(&s->lock);
        if (s == mm->space)
            break;
        mutex_unlock(&s->lock);
    }
}

void mm_unlock(struct mm *mm)
{
    mutex_unlock(&mm->space->lock);
    mutex_unlock(&mm->lock);
}

int mm_lock_live(struct mm *mm)
{
    mm_lock(mm);
    if (!mm->doomed)
        return 0;
    mm_unlock(mm);
    return -ENOMEM;
}

struct mm *mm_create(void)
{
    struct mm *mm = kzalloc(sizeof(*mm));
    if (!mm)
        return NULL;
    ref_init(&mm->refs);
    list_init(&mm->member);
    struct space *s = space_create();
    if (!s) {
        kfree(mm);
        return NULL;
    }
    space_add(s, mm);
    mm_list_add(mm);
    return mm;
}

struct mm *mm_get(struct mm *mm)
{
    ref_get(&mm->refs);
    return mm;
}

void mm_put(struct mm *mm)
{
    if (!mm || !ref_put(&mm->refs))
        return;
    mm_leave(mm);
    mm_list_remove(mm);
    mm_lock(mm);
    group_forget(mm);
    mm_unlock(mm);
    space_remove(mm);
    if (mm->exe)
        file_put(mm->exe);
    kfree(mm);
}

struct vma *vma_next_from(struct mm *mm, u64 addr)
{
    struct rb_node *n = rb_find_le(&mm->vmas, addr);
    if (n && container_of(n, struct vma, node)->end > addr)
        return container_of(n, struct vma, node);
    n = rb_find_ge(&mm->vmas, addr);
    return n ? container_of(n, struct vma, node) : NULL;
}

struct vma *vma_find(struct mm *mm, u64 addr)
{
    struct vma *v = vma_next_from(mm, addr);
    return v && vma_start(v) <= addr ? v : NULL;
}

struct vma *vma_after(struct vma *v)
{
    struct rb_node *n = rb_next(&v->node);
    return n ? container_of(n, struct vma, node) : NULL;
}

static bool mergeable(const struct vma *v, u32 prot, u32 flags, const struct file *file,
                      bool was_writable)
{
    return !file && !v->file && v->prot == prot && v->flags == flags &&
           v->was_writable == was_writable;
}

int vma_insert(struct mm *mm, u64 addr, u64 size, u32 prot, u32 flags, struct file *file, u64 off,
               bool was_writable)
{
    mm->total += size >> PAGE_SHIFT;
    struct vma *before = addr ? vma_find(mm, addr - 1) : NULL;
    if (before && mergeable(before, prot, flags, file, was_writable)) {
        before->end = addr + size;
        struct vma *next = vma_after(before);
        if (next && vma_start(next) == before->end &&
            mergeable(next, prot, flags, file, was_writable)) {
            before->end = next->end;
            rb_erase(&mm->vmas, &next->node);
            mm->vma_count--;
            kfree(next);
        }
        return 0;
    }
    struct vma *v = mm->vma_count < MM_MAP_COUNT_MAX ? kzalloc(sizeof(*v)) : NULL;
    if (!v) {
        mm->total -= size >> PAGE_SHIFT;
        return -ENOMEM;
    }
    mm->vma_count++;
    v->node.key = addr;
    v->end = addr + size;
    v->prot = prot;
    v->flags = flags;
    v->was_writable = was_writable;
    v->file = file ? file_get(file) : NULL;
    if (file && file->inode && (flags & MAP_PRIVATE))
        __atomic_store_n(&file->inode->mapped_private, true, __ATOMIC_SEQ_CST);
    v->file_offset = off;
    rb_insert(&mm->vmas, &v->node);
    return 0;
}

void vma_destroy(struct mm *mm, struct vma *v)
{
    rb_erase(&mm->vmas, &v->node);
    mm->vma_count--;
    mm->total -= (v->end - vma_start(v)) >> PAGE_SHIFT;
    if (v->file)
        file_put(v->file);
    kfree(v);
}

int vma_split(struct mm *mm, u64 addr)
{
    struct vma *v = vma_find(mm, addr);
    if (!v || vma_start(v) == addr)
        return 0;
    struct vma *tail = mm->vma_count < MM_MAP_COUNT_MAX ? kmalloc(sizeof(*tail)) : NULL;
    if (!tail)
        return -ENOMEM;
    mm->vma_count++;
    *tail = *v;
    tail->node.key = addr;
    if (v->file && !(v->flags & VMA_TRAMPOLINE))
        tail->file_offset += addr - vma_start(v);
    else if (v->flags & VMA_TRAMPOLINE)
        tail->file_offset += (addr - vma_start(v)) / 64;
    if (tail->file)
        file_get(tail->file);
    if (tail->flags & VMA_CANONICAL)
        shared_get(addr);
    v->end = addr;
    rb_insert(&mm->vmas, &tail->node);
    return 0;
}

/* all: also what is mapped several times, as when something else comes there. */
static int unmap_range(struct mm *mm, u64 addr, u64 size, bool all)
{
    u64 end = addr + size;
    int r = vma_split(mm, addr);
    if (r == 0)
        r = vma_split(mm, end);
    if (r < 0)
        return r;
    for (struct vma *v = vma_next_from(mm, addr); v && vma_start(v) < end;) {
        struct vma *next = vma_after(v);
        u64 tramp = v->trampolines;
        if (v->copies && !all) {
            v->copies--;
            v = next;
            continue;
        }
        if (v->flags & VMA_CANONICAL)
            shared_unmap(v);
        else
            group_drop_pages(mm, vma_start(v), v->end - vma_start(v));
        struct vma *t = tramp ? vma_find(mm, tramp) : NULL;
        vma_destroy(mm, v);
        if (t && (t->flags & VMA_TRAMPOLINE)) {
            /* Another piece of the same mapping may still use them. */
            bool used = false;
            for (struct vma *o = vma_next_from(mm, 0); o && !used; o = vma_after(o))
                used = o->trampolines == tramp;
            if (!used) {
                if (t == next)
                    next = vma_after(t);
                group_drop_pages(mm, vma_start(t), t->end - vma_start(t));
                vma_destroy(mm, t);
            }
        }
        v = next;
    }
    space_search_freed(mm, end);
    return 0;
}

int unmap_locked(struct mm *mm, u64 addr, u64 size)
{
    return unmap_range(mm, addr, size, true);
}

static bool range_ok(u64 addr, u64 size)
{
    return !(addr & ~PAGE_MASK) && size && addr + size > addr;
}

static i64 place(struct mm *mm, u64 hint, u64 size, u32 flags)
{
    u64 align = size >= (64ul << 20) ? 1ul << 21 : PAGE_SIZE;
    u64 limit = flags & MAP_32BIT ? 2ul << 30 : UINT64_MAX;
    if (hint >= LAYOUT_USER_START && !(hint & ~PAGE_MASK) && hint + size > hint &&
        hint + size <= limit) {
        /* A hint is taken when it is free and in slots that nobody else has. */
        struct vma *v = vma_next_from(mm, hint);
        if ((!v || vma_start(v) >= hint + size) &&
            !(hint < mm->brk_max && hint + size > mm->brk_start) && space_try_claim(mm, hint, size))
            return (i64)hint;
    }
    u64 a = flags & MAP_32BIT ? space_find_below(mm, size, PAGE_SIZE, limit)
                              : space_find(mm, size, align, 0);
    return a ? (i64)a : -ENOMEM;
}

int vma_map_at(struct mm *mm, u64 at, u64 size, u32 prot, u32 flags, struct file *file, u64 off)
{
    if ((flags & MAP_SHARED) && group_shares_at(mm, at, size))
        return -ENOMEM;
    const struct vma *twin = group_twin(mm, at, size, prot, file, off);
    int e = twin ? 0 : group_evict(mm, at, size);
    if (twin)
        group_keep(mm, at, size);
    if (e == 0)
        e = vma_insert(mm, at, size, prot, flags, file, off, prot & PROT_WRITE);
    struct vma *v = e < 0 ? NULL : vma_find(mm, at);
    if (v && twin && !sites_share(mm, v, twin)) {
        twin = NULL; /* with trampolines elsewhere its text is another one */
        e = group_evict(mm, at, size);
        if (e < 0)
            vma_destroy(mm, v);
    }
    if (e == 0 && !twin && file && (prot & PROT_EXEC))
        sites_attach(mm, v);
    return e;
}

static i64 map_claimed(struct mm *mm, u64 addr, u64 size, u32 prot, u32 flags, struct file *file,
                       u64 off)
{
    size = PAGE_UP(size);
    if (!size || (off & ~PAGE_MASK) || size > (1ul << 46))
        return -EINVAL;
    if (file && off > INT64_MAX - size)
        return -EOVERFLOW;
    bool fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE);
    bool noreplace = flags & MAP_FIXED_NOREPLACE, shared = false;
    u32 keep = flags & (MAP_SHARED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_NORESERVE |
                        VMA_NO_WRITE);
    if ((flags & MAP_TYPE) == MAP_SHARED_VALIDATE)
        keep = (keep & ~MAP_TYPE) | MAP_SHARED;
    if ((flags & MAP_LOCKED) || mm->lock_future)
        keep |= VMA_LOCKED;
    if (fixed) {
        if (!range_ok(addr, size))
            return -EINVAL;
        int c = space_claim(mm, addr, size);
        if (c < 0)
            return c;
    }
    /* A shared mapping that nobody can write through is as good as a private one when the file
     * cannot change under it. */
    if (file && (keep & MAP_SHARED)) {
        if (file->inode && file->inode->nid && !(prot & PROT_WRITE) && (file->flags & 3) == 0)
            keep = (keep & ~MAP_SHARED) | MAP_PRIVATE | VMA_NO_WRITE;
        else
            shared = true;
    }
    if (shared) {
        i64 at = shared_map(mm, fixed ? addr : 0, size, prot, keep & VMA_LOCKED, file, off);
        if (at >= 0 && ((flags & MAP_POPULATE) || (keep & VMA_LOCKED)) && prot)
            mm_populate(mm, (u64)at, size);
        return at;
    }
    if (mm_lock_live(mm) < 0)
        return -ENOMEM;
    i64 r = (i64)addr;
    if (!fixed)
        r = place(mm, addr, size, flags);
    else if (noreplace && vma_next_from(mm, addr) &&
             vma_start(vma_next_from(mm, addr)) < addr + size)
        r = -EEXIST;
    else if (vma_sealed(mm, addr, size))
        r = -EPERM;
    else
        r = unmap_locked(mm, addr, size) < 0 ? -ENOMEM : (i64)addr;
    if (r >= 0) {
        int e = vma_map_at(mm, (u64)r, size, prot, keep, file, off);
        if (e == 0 && (e = mm_fill(mm, (u64)r, (u64)r + size)) < 0)
            unmap_locked(mm, (u64)r, size);
        if (e < 0)
            r = e;
    }
    mm_unlock(mm);
    if (r >= 0 && ((flags & MAP_POPULATE) || (keep & VMA_LOCKED)) && prot)
        mm_populate(mm, (u64)r, size);
    return r;
}

/* From here to claims_end() slots that mm took stay its own, though no VMA is there yet. */
static void claims_begin(struct mm *mm)
{
    __atomic_add_fetch(&mm->claims, 1, __ATOMIC_SEQ_CST);
}

/* freed: what the call itself left behind at `addr`, or nothing. */
static void claims_end(struct mm *mm, u64 addr, u64 freed)
{
    bool last = __atomic_sub_fetch(&mm->claims, 1, __ATOMIC_SEQ_CST) == 0;
    if (!freed && !(last && __atomic_load_n(&mm->space->unreleased, __ATOMIC_RELAXED)))
        return;
    mm_lock(mm);
    if (mm->space->unreleased) {
        mm->space->unreleased = false;
        space_release_unused(mm->space, 0, UINT64_MAX);
    } else if (freed) {
        space_release_unused(mm->space, addr, freed);
    }
    mm_unlock(mm);
}

i64 mm_map(struct mm *mm, u64 addr, u64 size, u32 prot, u32 flags, struct file *file, u64 off)
{
    claims_begin(mm);
    i64 r = map_claimed(mm, addr, size, prot, flags, file, off);
    claims_end(mm, 0, 0);
    return r;
}

int mm_unmap(struct mm *mm, u64 addr, u64 size)
{
    size = PAGE_UP(size);
    if (!range_ok(addr, size) || addr + size > TASK_SIZE)
        return -EINVAL;
    if (mm_lock_live(mm) < 0)
        return -ENOMEM;
    int r = vma_sealed(mm, addr, size) ? -EPERM : unmap_range(mm, addr, size, false);
    space_release_unused(mm->space, addr, size);
    mm_unlock(mm);
    return r;
}

/* PROT_NONE: private pages are kept elsewhere, a file's are read again. */
static int take_away(struct mm *mm, struct vma *v)
{
    u64 start = vma_start(v), a = page_next_accepted(start, v->end);
    int r = 0;
    if (vma_clean(v)) {
        if (!mm->space->shared) /* members of a group see one page */
            pages_trim(start, v->end - start);
        return 0;
    }
    for (; a < v->end; a = page_next_accepted(a + PAGE_SIZE, v->end)) {
        r = saved_put(mm, a);
        if (r < 0)
            break; /* this one and those behind it stay */
    }
    pages_trim(start, a - start);
    return r;
}

static int protect_vma(struct mm *mm, struct vma *v, u32 prot)
{
    if ((v->flags & MAP_SHARED) && v->file && (prot & PROT_WRITE) && (v->file->flags & 3) != 2)
        return -EACCES;
    if ((v->flags & VMA_NO_WRITE) && (prot & PROT_WRITE))
        return -EACCES;
    if ((v->flags & MAP_SHARED) && v->file && v->file->inode && (prot & PROT_WRITE) &&
        !(v->prot & PROT_WRITE) && (v->file->inode->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)))
        return -EACCES;
    if ((prot & PROT_EXEC) && v->file && v->file->dentry && dentry_noexec(v->file->dentry))
        return -EACCES;
    u64 size = v->end - vma_start(v);
    bool first_exec = v->file && (prot & PROT_EXEC) && !v->trampolines && !v->was_writable;
    v->prot = prot;
    if ((prot & PROT_WRITE) && !(v->flags & MAP_SHARED))
        v->was_writable = true;
    /* Nobody else's pages are in place here: the resident's VMA covers the range. */
    int r = 0;
    if (!prot && !(v->flags & (MAP_SHARED | VMA_CANONICAL)))
        r = take_away(mm, v);
    else
        r = v->flags & VMA_CANONICAL ? shared_protect(vma_start(v), size, prot)
                                     : pages_protect(vma_start(v), size, prot);
    if (r == 0 && first_exec)
        sites_attach(mm, v);
    return r;
}

void vma_try_merge(struct mm *mm, u64 addr)
{
    struct vma *b = vma_find(mm, addr);
    struct vma *a = addr ? vma_find(mm, addr - 1) : NULL;
    if (a && b && a != b && mergeable(a, b->prot, b->flags, b->file, b->was_writable)) {
        rb_erase(&mm->vmas, &b->node);
        a->end = b->end;
        mm->vma_count--;
        kfree(b);
    }
}

int mm_protect(struct mm *mm, u64 addr, u64 size, u32 prot)
{
    size = PAGE_UP(size);
    if (addr & ~PAGE_MASK)
        return -EINVAL;
    if (!size)
        return 0;
    u64 end = addr + size;
    if (end < addr)
        return -ENOMEM;
    bool down = prot & PROT_GROWSDOWN; /* from where the mapping begins */
    prot &= PROT_READ | PROT_WRITE | PROT_EXEC;
    if (mm_lock_live(mm) < 0)
        return -ENOMEM;
    struct vma *first = down ? vma_next_from(mm, addr) : NULL;
    int r = 0;
    if (down && (!first || vma_start(first) >= end))
        r = -ENOMEM;
    else if (down && !(first->flags & MAP_GROWSDOWN))
        r = -EINVAL;
    if (down && r == 0)
        addr = vma_start(first);
    if (r == 0 && vma_sealed(mm, addr, end - addr))
        r = -EPERM;
    if (r == 0)
        r = vma_split(mm, addr);
    if (r == 0)
        r = vma_split(mm, end);
    u64 at = addr;
    for (struct vma *v = vma_next_from(mm, addr); r == 0 && v && vma_start(v) < end;
         v = vma_after(v)) {
        if (vma_start(v) != at)
            break;
        r = protect_vma(mm, v, prot);
        at = v->end;
    }
    if (r == 0)
        r = mm_fill(mm, addr, at);
    if (r == 0 && at < end)
        r = -ENOMEM;
    vma_try_merge(mm, addr);
    vma_try_merge(mm, end);
    mm_unlock(mm);
    return r;
}

/* Copy what was ever touched of [from, from + size) to `to`, whose VMA is writable LibOS-side. */
static int copy_pages(struct mm *mm, u64 from, u64 to, u64 size, u32 prot)
{
    for (u64 a = page_next_accepted(from, from + size); a < from + size;
         a = page_next_accepted(a + PAGE_SIZE, from + size)) {
        u64 d = to + (a - from);
        int r = 0;
        if (page_state(d) & PG_ACCEPTED) {
            u32 p = page_write_begin(d);
            memcpy((void *)d, (void *)a, PAGE_SIZE);
            page_write_end(d, p);
        } else {
            r = page_commit_copy(d, (void *)a, prot);
        }
        if (r < 0)
            return r;
    }
    saved_move(mm, from, to, size);
    return 0;
}

static i64 remap_claimed(struct mm *mm, u64 old, u64 old_size, u64 new_size, u32 flags,
                         u64 new_addr)
{
    old_size = PAGE_UP(old_size);
    new_size = PAGE_UP(new_size);
    if ((old & ~PAGE_MASK) || !new_size || (flags & ~7u) ||
        ((flags & MREMAP_FIXED) && !(flags & MREMAP_MAYMOVE)))
        return -EINVAL;
    if (flags & MREMAP_FIXED) {
        if (!range_ok(new_addr, new_size) ||
            (new_addr < old + old_size && old < new_addr + new_size))
            return -EINVAL;
        int c = space_claim(mm, new_addr, new_size);
        if (c < 0)
            return c;
    }
    if (mm_lock_live(mm) < 0)
        return -ENOMEM;
    i64 r = -EFAULT;
    struct vma *v = vma_find(mm, old);
    if (v && (vma_sealed(mm, old, MAX(old_size, PAGE_SIZE)) ||
              ((flags & MREMAP_FIXED) && vma_sealed(mm, new_addr, new_size))))
        r = -EPERM;
    if (r == -EPERM || !v || old_size > v->end - old)
        goto out;
    r = new_size <= old_size ? 0
                             : mm_may_grow_locked(mm, new_size - old_size, v->flags & VMA_LOCKED);
    if (r < 0)
        goto out;
    if (v->flags & VMA_CANONICAL) {
        r = 0;
        if (new_size < old_size)
            r = unmap_range(mm, old + new_size, old_size - new_size, false);
        else if (new_size > old_size && !(flags & MREMAP_FIXED))
            r = v->end == old + old_size ? shared_grow_locked(mm, v, old + new_size) : -ENOMEM;
        if (r == 0)
            r = (i64)old;
        goto out;
    }
    if (!(flags & MREMAP_FIXED) && new_size <= old_size) {
        r = new_size < old_size ? unmap_locked(mm, old + new_size, old_size - new_size) : 0;
        if (r == 0)
            r = (i64)old;
        goto out;
    }
    struct vma attr = *v;
    u64 off = attr.file ? attr.file_offset + (old - vma_start(v)) : 0;
    struct vma *next = vma_after(v);
    u64 grow = new_size - old_size;
    if (!(flags & MREMAP_FIXED) && v->end == old + old_size &&
        (!next || vma_start(next) >= v->end + grow) &&
        !(v->end < mm->brk_max && v->end + grow > mm->brk_start) && !attr.file &&
        space_try_claim(mm, v->end, grow)) {
        r = group_evict(mm, v->end, grow);
        if (r == 0)
            r = vma_insert(mm, v->end, grow, attr.prot, attr.flags, NULL, 0, attr.was_writable);
        if (r == 0)
            r = mm_fill(mm, old + old_size, old + new_size);
        if (r == 0)
            r = (i64)old;
        goto out;
    }
    if (!(flags & MREMAP_MAYMOVE)) {
        r = -ENOMEM;
        goto out;
    }
    if (flags & MREMAP_FIXED)
        r = unmap_locked(mm, new_addr, new_size) < 0 ? -ENOMEM : (i64)new_addr;
    else
        r = place(mm, 0, new_size, 0);
    if (r < 0)
        goto out;
    int e = (attr.flags & MAP_SHARED) && group_shares_at(mm, (u64)r, new_size) ? -ENOMEM : 0;
    if (e == 0)
        e = group_evict(mm, (u64)r, new_size);
    if (e == 0)
        e = vma_insert(mm, (u64)r, new_size, attr.prot, attr.flags, attr.file, off,
                       attr.was_writable);
    const bool made = e == 0;
    if (e == 0)
        e = copy_pages(mm, old, (u64)r, MIN(old_size, new_size), attr.prot);
    if (e == 0)
        e = mm_fill(mm, (u64)r, (u64)r + new_size);
    if (e == 0 && old_size)
        e = unmap_locked(mm, old, old_size);
    if (e < 0 && made) /* a copy that is not whole is nobody's */
        (void)unmap_locked(mm, (u64)r, new_size);
    if (e < 0)
        r = e;
out:
    mm_unlock(mm);
    return r;
}

i64 mm_remap(struct mm *mm, u64 old, u64 old_size, u64 new_size, u32 flags, u64 new_addr)
{
    claims_begin(mm);
    i64 r = remap_claimed(mm, old, old_size, new_size, flags, new_addr);
    claims_end(mm, old, r >= 0 ? PAGE_UP(old_size) : 0);
    return r;
}

/* Where the heap goes: behind the program when there is room, else a range of its own. */
static void brk_reserve(struct mm *mm)
{
    u64 start = PAGE_UP(mm->brk_start);
    for (u64 size = EXEC_BRK_RESERVE; start && size >= (1ul << 20); size /= 2) {
        struct vma *v = vma_next_from(mm, start);
        if ((!v || vma_start(v) >= start + size) && space_try_claim(mm, start, size)) {
            mm->brk = mm->brk_start;
            mm->brk_max = start + size;
            return;
        }
    }
    start = space_find(mm, EXEC_BRK_RESERVE, PAGE_SIZE, 0);
    mm->brk_start = mm->brk = start;
    mm->brk_max = start ? start + EXEC_BRK_RESERVE : 0;
}

i64 mm_brk(struct mm *mm, u64 brk)
{
    if (mm_lock_live(mm) < 0)
        return -ENOMEM;
    if (!mm->brk_max)
        brk_reserve(mm);
    if (brk >= mm->brk_start && brk <= mm->brk_max && mm->brk_max) {
        u64 old = PAGE_UP(mm->brk), new = PAGE_UP(brk);
        u32 locked = mm->lock_future ? VMA_LOCKED : 0;
        long r = 0;
        if (new > old) {
            r = brk - mm->brk_start > current_process()->rlimits[LIMIT_DATA].soft
                    ? -ENOMEM
                    : mm_may_grow_locked(mm, new - old, locked);
            if (r == 0)
                r = group_evict(mm, old, new - old);
            if (r == 0)
                r = vma_insert(mm, old, new - old, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | locked, NULL, 0, true);
            if (r == 0 && (r = mm_fill(mm, old, new)) < 0)
                unmap_locked(mm, old, new - old);
        } else if (new < old) {
            r = vma_sealed(mm, new, old - new) ? -EPERM : unmap_locked(mm, new, old - new);
        }
        if (r == 0)
            mm->brk = brk;
    }
    i64 now = (i64)mm->brk;
    mm_unlock(mm);
    return now;
}

int mm_for_each(struct mm *mm, int (*fn)(const struct vma *vma, void *ctx), void *ctx)
{
    mutex_lock(&mm->lock);
    int r = 0;
    for (struct vma *v = vma_next_from(mm, 0); v && r == 0; v = vma_after(v))
        if (!(v->flags & VMA_TRAMPOLINE))
            r = fn(v, ctx);
    mutex_unlock(&mm->lock);
    return r;
}

int mm_init(const struct enclave_layout *layout, u64 measured, u64 wanted)
{
    static const struct residency_ops residency = {mm_enter, mm_leave};

    g_residency = &residency;
    slots_init(layout->user_end);
    pages_init(layout, measured, wanted);
    return sites_init();
}
