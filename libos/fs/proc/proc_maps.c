/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/PID/maps and its relatives. */
#include "procfs.h"
#include "mm.h"

#define PROT_READ_BIT  1
#define PROT_WRITE_BIT 2
#define PROT_EXEC_BIT  4
#define MAP_SHARED_BIT 1

struct show_maps {
    struct text *t;
    struct mm *mm;
    char *path;
    bool smaps;
};

/* A name with a newline is no second line. */
static void add_name(struct text *t, const char *name)
{
    for (; *name; name++) {
        if (*name == '\n')
            text_printf(t, "\\012");
        else
            text_add(t, name, 1);
    }
}

static const char *vma_name(const struct vma *v, struct show_maps *s)
{
    if (v->file && v->file->dentry) {
        char *path = dentry_path(v->file->dentry, s->path, PATH_MAX);

        return is_err(path) ? "" : path;
    }
    if (v->node.key < s->mm->stack_top && s->mm->stack_top <= v->end)
        return "[stack]";
    if (s->mm->brk > s->mm->brk_start && v->node.key >= s->mm->brk_start &&
        v->end <= PAGE_UP(s->mm->brk))
        return "[heap]";
    return "";
}

static int show_vma(const struct vma *v, void *ctx)
{
    struct show_maps *s = ctx;
    struct kstat st = {0};
    const char *name = vma_name(v, s);
    size_t at = s->t->used;
    u64 kb = (v->end - v->node.key) >> 10, there = 0;

    if (v->file && v->file->inode)
        inode_stat(v->file->inode, &st);
    text_printf(s->t, "%08llx-%08llx %c%c%c%c %08llx %02x:%02x %llu",
                (unsigned long long)v->node.key, (unsigned long long)v->end,
                v->prot & PROT_READ_BIT ? 'r' : '-', v->prot & PROT_WRITE_BIT ? 'w' : '-',
                v->prot & PROT_EXEC_BIT ? 'x' : '-', v->flags & MAP_SHARED_BIT ? 's' : 'p',
                (unsigned long long)(v->file ? v->file_offset : 0), (u32)(st.dev >> 8 & 0xfff),
                (u32)(st.dev & 0xff), (unsigned long long)st.ino);
    if (*name) {
        while (s->t->used - at < 73 && !s->t->failed)
            text_add(s->t, " ", 1);
        add_name(s->t, name);
    }
    text_add(s->t, "\n", 1);
    if (s->smaps) {
        there = mm_resident(v) << (PAGE_SHIFT - 10);
        text_printf(s->t,
                    "Size:           %8llu kB\nKernelPageSize: %8u kB\nMMUPageSize:    %8u "
                    "kB\nRss:            %8llu kB\n"
                    "Pss:            %8llu kB\nShared_Clean:   %8u kB\nShared_Dirty:   %8u "
                    "kB\nPrivate_Clean:  %8u kB\n"
                    "Private_Dirty:  %8llu kB\nReferenced:     %8llu kB\nAnonymous:      %8llu "
                    "kB\nSwap:           %8u kB\nLocked:         %8llu kB\n",
                    (unsigned long long)kb, 4, 4, (unsigned long long)there,
                    (unsigned long long)there, 0, 0, 0, (unsigned long long)there,
                    (unsigned long long)there, (unsigned long long)(v->file ? 0 : there), 0,
                    (unsigned long long)(v->flags & VMA_LOCKED ? kb : 0));
    }
    return s->t->failed ? -ENOMEM : 0;
}

static int show(struct pseudo_inode *p, struct text *t, bool smaps)
{
    int r = proc_may_look(p);
    struct show_maps s = {.t = t, .smaps = smaps};

    if (r == 0) {
        s.mm = proc_mm(p);
        s.path = kmalloc(PATH_MAX);
    }
    if (s.mm && s.path)
        r = mm_for_each(s.mm, show_vma, &s);
    if (s.mm)
        mm_put(s.mm);
    kfree(s.path);
    return r;
}

int proc_show_maps(struct pseudo_inode *p, struct text *t)
{
    return show(p, t, false);
}

int proc_show_smaps(struct pseudo_inode *p, struct text *t)
{
    return show(p, t, true);
}

int proc_show_smaps_rollup(struct pseudo_inode *p, struct text *t)
{
    int r = proc_may_look(p);
    struct mm *mm = r < 0 ? NULL : proc_mm(p);
    struct mm_usage u = {0};
    u64 kb;

    if (r < 0)
        return r;
    if (mm) {
        mm_usage(mm, &u);
        mm_put(mm);
    }
    kb = mm_usage_resident(&u) << (PAGE_SHIFT - 10);
    text_printf(t,
                "00000000-ffffffff ---p 00000000 00:00 0                                  "
                "[rollup]\nRss:            %8llu kB\n"
                "Pss:            %8llu kB\nPrivate_Dirty:  %8llu kB\nAnonymous:      %8llu "
                "kB\nSwap:           %8u kB\n",
                (unsigned long long)kb, (unsigned long long)kb, (unsigned long long)kb,
                (unsigned long long)(u.anon << (PAGE_SHIFT - 10)), 0);
    return 0;
}
