/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the pages of a member are that are not its own in place.
 *
 *   saved    a copy of the page in the LibOS's heap. Members that forked from one another hold one
 *            frame together until one of them takes it: nobody writes to a frame.
 *   shared   the page in place, which several members have in common since a fork. It is PG_COW and
 *            has no W in the EPCM; the first who writes gives the others a frame (share_break).
 *
 * Everything here is under space->lock.
 */
#include "internal.h"

struct frame {
    u32 refs;
    void *page;
};

struct saved_page {
    struct rb_node node; /* key: address */
    struct frame *frame;
};

static struct frame *frame_new(const void *content)
{
    struct frame *f = kmalloc(sizeof(*f));
    if (!f)
        return NULL;
    *f = (struct frame){.refs = 1, .page = page_alloc(1)};
    if (!f->page) {
        kfree(f);
        return NULL;
    }
    memcpy(f->page, content, PAGE_SIZE);
    return f;
}

static void frame_put(struct frame *f)
{
    if (--f->refs)
        return;
    page_free(f->page, 1);
    kfree(f);
}

static int insert(struct mm *mm, u64 addr, struct frame *f)
{
    struct saved_page *s = kmalloc(sizeof(*s));
    if (!s)
        return -ENOMEM;
    f->refs++;
    s->frame = f;
    s->node.key = addr;
    rb_insert(&mm->saved, &s->node);
    return 0;
}

static struct saved_page *find(struct mm *mm, u64 addr)
{
    struct rb_node *n = rb_find(&mm->saved, addr);
    return n ? container_of(n, struct saved_page, node) : NULL;
}

static void drop(struct mm *mm, struct saved_page *s)
{
    rb_erase(&mm->saved, &s->node);
    frame_put(s->frame);
    kfree(s);
}

int saved_add(struct mm *mm, u64 addr, const void *content)
{
    struct frame *f = frame_new(content);
    if (!f)
        return -ENOMEM;
    int r = insert(mm, addr, f);
    frame_put(f);
    return r;
}

const void *saved_content(struct mm *mm, u64 addr)
{
    struct saved_page *s = find(mm, addr);
    return s ? s->frame->page : NULL;
}

int saved_replace(struct mm *mm, u64 addr, const void *content)
{
    struct saved_page *s = find(mm, addr);
    struct frame *f = frame_new(content);
    int r = f ? 0 : -ENOMEM;
    if (r == 0 && s) {
        frame_put(s->frame);
        s->frame = f;
        return 0;
    }
    if (r == 0)
        r = insert(mm, addr, f);
    if (f)
        frame_put(f);
    if (r == 0 && share_test(mm, addr)) {
        share_clear(mm, addr);
        if (!share_any(mm->space, addr)) { /* the resident was none of them: nobody's */
            page_set_flag(addr, PG_COW, false);
            page_set_flag(addr, PG_STALE, true);
        }
    }
    return r;
}

static void *g_spare; /* a page for swap_with_frame(); NULL: in use, or none yet */

/* What is in place and in the frame change places; a third page makes that two copies. */
static void swap_with_frame(u64 addr, struct frame *f)
{
    u64 *x = (u64 *)addr, *y = f->page;
    void *spare = __atomic_exchange_n(&g_spare, NULL, __ATOMIC_ACQ_REL);
    if (!spare)
        spare = page_alloc(1);
    for (u32 i = 0; !spare && i < PAGE_SIZE / 8; i++) { /* slower, but wants no memory */
        u64 t = x[i];
        x[i] = y[i];
        y[i] = t;
    }
    if (!spare)
        return;
    memcpy(spare, x, PAGE_SIZE);
    memcpy(x, y, PAGE_SIZE);
    f->page = spare;
    spare = __atomic_exchange_n(&g_spare, y, __ATOMIC_ACQ_REL);
    if (spare)
        page_free(spare, 1);
}

bool saved_exchange(struct mm *out, struct mm *in, u64 addr)
{
    struct saved_page *s = find(in, addr);
    if (!s || s->frame->refs > 1)
        return false;
    page_write_begin(addr);
    swap_with_frame(addr, s->frame);
    rb_erase(&in->saved, &s->node);
    rb_insert(&out->saved, &s->node);
    return true;
}

static bool maps_shared(struct mm *mm, u64 addr)
{
    struct vma *v = mm->doomed ? NULL : vma_find(mm, addr);
    return v && (v->flags & MAP_SHARED) && !(v->flags & VMA_CANONICAL);
}

int saved_take(struct mm *mm, u64 addr, u32 prot)
{
    struct saved_page *s = find(mm, addr);
    if (!s)
        return -ENOENT;
    int r = 0;
    if (page_state(addr) & PG_ACCEPTED) {
        page_write_begin(addr);
        memcpy((void *)addr, s->frame->page, PAGE_SIZE);
        page_set_flag(addr, PG_STALE, false);
    } else {
        r = page_commit_copy(addr, s->frame->page, prot);
    }
    if (r == 0 && s->frame->refs > 1 && maps_shared(mm, addr))
        saved_drop_shared(mm->space, addr, s->frame->page); /* the truth is in place now */
    else if (r == 0)
        drop(mm, s);
    return r;
}

u64 saved_next(struct mm *mm, u64 addr)
{
    struct rb_node *n = rb_find_ge(&mm->saved, addr);
    return n ? n->key : UINT64_MAX;
}

int saved_copy_all(struct mm *from, struct mm *to)
{
    for (struct rb_node *n = rb_first(&from->saved); n; n = rb_next(n))
        if (insert(to, n->key, container_of(n, struct saved_page, node)->frame) < 0)
            return -ENOMEM;
    return 0;
}

void saved_move(struct mm *mm, u64 from, u64 to, u64 size)
{
    struct rb_node *n;
    for (u64 a = from; (n = rb_find_ge(&mm->saved, a)) && n->key < from + size; a += PAGE_SIZE) {
        a = n->key;
        rb_erase(&mm->saved, n);
        n->key = to + (a - from);
        rb_insert(&mm->saved, n);
    }
}

void saved_free_range(struct mm *mm, u64 addr, u64 size)
{
    struct rb_node *n;
    while ((n = rb_find_ge(&mm->saved, addr)) && n->key < addr + size)
        drop(mm, container_of(n, struct saved_page, node));
}

void saved_drop_in_place(struct mm *mm)
{
    struct rb_node *next;
    for (struct rb_node *n = rb_first(&mm->saved); n; n = next) {
        next = rb_next(n);
        if (page_state(n->key) & PG_ACCEPTED)
            drop(mm, container_of(n, struct saved_page, node));
    }
}

int saved_put(struct mm *mm, u64 addr)
{
    int r = group_own(mm, addr, PAGE_SIZE);
    return r < 0 ? r : saved_add(mm, addr, (void *)addr);
}

/* ---- shared memory where another member has something else ---- */

int saved_add_shared(struct space *s, u64 addr, struct mm *except)
{
    struct frame *f = frame_new((void *)addr);
    struct mm *m;
    int r = f ? 0 : -ENOMEM;
    list_for_each_entry (m, &s->members, member)
        if (r == 0 && m != except && maps_shared(m, addr))
            r = insert(m, addr, f);
    if (r < 0 && f)
        saved_drop_shared(s, addr, f->page);
    if (f)
        frame_put(f);
    return r;
}

void saved_drop_shared(struct space *s, u64 addr, const void *page)
{
    struct mm *m;
    list_for_each_entry (m, &s->members, member) {
        struct saved_page *p = find(m, addr);
        if (p && p->frame->page == page)
            drop(m, p);
    }
}

/* ---- shared in place: a bit for each page, in chunks ---- */
#define CHUNK_SHIFT 21
#define CHUNK_PAGES (1u << (CHUNK_SHIFT - PAGE_SHIFT))

struct share_chunk {
    struct rb_node node; /* key: address >> CHUNK_SHIFT */
    u64 bits[CHUNK_PAGES / 64];
};

static struct share_chunk *chunk_of(struct mm *mm, u64 addr)
{
    struct rb_node *n = rb_find(&mm->shares, addr >> CHUNK_SHIFT);
    return n ? container_of(n, struct share_chunk, node) : NULL;
}

static u64 *word_of(struct share_chunk *c, u64 addr)
{
    return &c->bits[((addr >> PAGE_SHIFT) & (CHUNK_PAGES - 1)) / 64];
}

bool share_test(struct mm *mm, u64 addr)
{
    struct share_chunk *c = chunk_of(mm, addr);
    return c && (*word_of(c, addr) >> (addr >> PAGE_SHIFT) % 64 & 1);
}

int share_set(struct mm *mm, u64 addr)
{
    struct share_chunk *c = chunk_of(mm, addr);
    if (!c) {
        c = kzalloc(sizeof(*c));
        if (!c)
            return -ENOMEM;
        c->node.key = addr >> CHUNK_SHIFT;
        rb_insert(&mm->shares, &c->node);
    }
    *word_of(c, addr) |= 1ul << (addr >> PAGE_SHIFT) % 64;
    return 0;
}

void share_clear(struct mm *mm, u64 addr)
{
    struct share_chunk *c = chunk_of(mm, addr);
    if (c)
        *word_of(c, addr) &= ~(1ul << (addr >> PAGE_SHIFT) % 64);
}

void share_free_all(struct mm *mm)
{
    struct rb_node *n;
    while ((n = rb_first(&mm->shares))) {
        rb_erase(&mm->shares, n);
        kfree(container_of(n, struct share_chunk, node));
    }
}

bool share_any(struct space *s, u64 addr)
{
    struct mm *m;
    list_for_each_entry (m, &s->members, member)
        if (share_test(m, addr))
            return true;
    return false;
}

/* Who got f shares the page again: the bit's chunk is there still. */
static void share_again(struct space *s, u64 addr, struct frame *f)
{
    struct mm *m;
    list_for_each_entry (m, &s->members, member) {
        struct saved_page *p = find(m, addr);
        if (!p || p->frame != f)
            continue;
        drop(m, p);
        share_set(m, addr);
    }
}

int share_break(struct space *s, u64 addr, struct mm *keep)
{
    struct frame *f = NULL;
    struct mm *m;
    int r = 0;
    list_for_each_entry (m, &s->members, member) {
        if (m == keep || !share_test(m, addr))
            continue;
        if (!f && !m->doomed)
            f = frame_new((void *)addr);
        if (!m->doomed)
            r = f ? insert(m, addr, f) : -ENOMEM;
        if (r < 0)
            break;
        share_clear(m, addr);
    }
    if (r < 0 && f)
        share_again(s, addr, f);
    if (f)
        frame_put(f);
    if (r < 0)
        return r;
    if (keep)
        share_clear(keep, addr);
    page_set_flag(addr, PG_COW, false);
    return 0;
}
