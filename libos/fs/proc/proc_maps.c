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

/* ---- PROCMAP_QUERY, of Linux 6.11 ---- */

struct procmap_query {
    u64 size, query_flags, query_addr;
    u64 vma_start, vma_end, vma_flags, vma_page_size, vma_offset, inode;
    u32 dev_major, dev_minor, vma_name_size, build_id_size;
    uaddr vma_name_addr, build_id_addr;
};
#define PROCMAP_QUERY 0xc0686611u /* _IOWR('f', 17, struct procmap_query) */
_Static_assert(sizeof(struct procmap_query) == 0x68, "as the number says");
#define QUERY_PERMISSIONS 0x0fu /* readable, writable, executable, shared */
#define QUERY_OR_NEXT     0x10u
#define QUERY_FILE        0x20u

struct query_maps {
    struct procmap_query q;
    struct show_maps show;
    char *name; /* NULL: it has none */
    size_t name_size;
};

static u64 query_flags_of(const struct vma *v)
{
    return (v->prot & (PROT_READ_BIT | PROT_WRITE_BIT | PROT_EXEC_BIT)) |
           (v->flags & MAP_SHARED_BIT ? 8 : 0);
}

/* 0: go on with the next one; 1: this is it. */
static int query_vma(const struct vma *v, void *ctx)
{
    struct query_maps *s = ctx;
    struct procmap_query *q = &s->q;
    struct kstat st = {0};
    u64 wanted = q->query_flags & QUERY_PERMISSIONS;

    if (v->end <= q->query_addr)
        return 0;
    if (v->node.key > q->query_addr && (q->query_flags & QUERY_OR_NEXT) == 0)
        return -ENOENT;
    if ((query_flags_of(v) & wanted) != wanted ||
        ((q->query_flags & QUERY_FILE) != 0 && v->file == NULL))
        return (q->query_flags & QUERY_OR_NEXT) != 0 ? 0 : -ENOENT;
    if (v->file && v->file->inode)
        inode_stat(v->file->inode, &st);
    q->vma_start = v->node.key;
    q->vma_end = v->end;
    q->vma_flags = query_flags_of(v);
    q->vma_page_size = PAGE_SIZE;
    q->vma_offset = v->file ? v->file_offset : 0;
    q->inode = st.ino;
    q->dev_major = (u32)(st.dev >> 8 & 0xfff);
    q->dev_minor = (u32)(st.dev & 0xff);
    if (q->vma_name_size) {
        const char *name = vma_name(v, &s->show);

        s->name_size = *name ? strlen(name) + 1 : 0;
        if (s->name_size > q->vma_name_size)
            return -ENAMETOOLONG;
        memcpy(s->name, name, s->name_size);
    }
    return 1;
}

static long query(struct query_maps *s, u64 arg, u64 size)
{
    struct procmap_query *q = &s->q;
    int r;

    s->show.path = kmalloc(PATH_MAX);
    s->name = kmalloc(PATH_MAX);
    r = s->show.path && s->name ? mm_for_each(s->show.mm, query_vma, s) : -ENOMEM;
    if (r == 0)
        r = -ENOENT;
    if (r == 1) {
        r = q->vma_name_size ? copy_to_user(q->vma_name_addr, s->name, s->name_size) : 0;
        q->vma_name_size = (u32)s->name_size;
        q->build_id_size = 0; /* nobody looked for one */
        if (r == 0)
            r = copy_to_user(user_at(arg), q, MIN(size, sizeof(*q)));
    }
    kfree(s->show.path);
    kfree(s->name);
    return r;
}

long proc_maps_ioctl(struct pseudo_inode *p, u32 cmd, u64 arg)
{
    struct query_maps s = {0};
    u64 size;
    long r;

    if (cmd != PROCMAP_QUERY)
        return -ENOTTY;
    if (get_user(size, user_at(arg)) < 0)
        return -EFAULT;
    if (size > PAGE_SIZE)
        return -E2BIG;
    if (size < offsetof(struct procmap_query, vma_start))
        return -EINVAL;
    if (copy_from_user(&s.q, user_at(arg), MIN(size, sizeof(s.q))) < 0)
        return -EFAULT;
    for (u64 at = sizeof(s.q); at < size; at++) {
        u8 beyond;

        if (get_user(beyond, user_plus(user_at(arg), at)) < 0)
            return -EFAULT;
        if (beyond)
            return -E2BIG;
    }
    if ((s.q.query_flags & ~(u64)(QUERY_PERMISSIONS | QUERY_OR_NEXT | QUERY_FILE)) != 0 ||
        !s.q.vma_name_size != !s.q.vma_name_addr.at || !s.q.build_id_size != !s.q.build_id_addr.at)
        return -EINVAL;
    s.q.vma_name_size = MIN(s.q.vma_name_size, (u32)PATH_MAX);
    r = proc_may_look(p);
    if (r < 0)
        return r;
    s.show.mm = proc_mm(p);
    if (!s.show.mm)
        return -ESRCH;
    r = query(&s, arg, size);
    mm_put(s.show.mm);
    return r;
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
