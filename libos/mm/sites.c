/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rewritten call sites. The site table (abi/manifest.h) says where the sealed image has `syscall`
 * instructions that a 5-byte jmp may replace. When a file of the image is mapped executable, its
 * trampolines get a range near by, 64 bytes a site, made from the file's own bytes when a page of
 * them is first jumped into:
 *
 *     before; lea rcx, [rip + back]; jmp *%gs:TCB_SYSCALL_ENTRY; syscall;
 *     back: after; jmp end of the window
 *
 * The `syscall` is there for restarted calls, whose RIP is put two bytes back. When the window's
 * own `syscall` survives the jmp and nothing comes after it, `back` is the byte after it in the
 * program itself.
 */
#include "internal.h"
#include "crypto.h"
#include "fs.h"
#include "host.h"
#include "deployment.h"
#include "manifest.h"
#include "measured.h"

#define STRIDE     64u
#define JMP_SIZE   5u
#define WINDOW_MAX 32u

static struct {
    const struct sites_header *header;
    const struct sites_file *files;
    const struct sites_entry *sites;
} g_sites;

int sites_init(void)
{
    u64 size = g_manifest->sites_size;
    if (!size)
        return 0;
    struct sites_header *h = page_alloc(PAGE_UP(size) >> PAGE_SHIFT);
    if (!h)
        return -ENOMEM;
    u8 hash[MANIFEST_HASH_SIZE];
    int r = size < sizeof(*h) ? -EIO : host_sites_read(0, h, size);
    if (r == 0) {
        sha256_once(NULL, 0, h, size, hash);
        if (memcmp(hash, g_manifest->sites_hash, sizeof(hash)) != 0 || h->magic != SITES_MAGIC ||
            h->size != size || h->file_count > size / sizeof(struct sites_file) ||
            h->site_count > size / sizeof(struct sites_entry) ||
            sizeof(*h) + h->file_count * sizeof(struct sites_file) +
                    h->site_count * sizeof(struct sites_entry) >
                size)
            r = -EIO;
    }
    if (r < 0) {
        log_error(
            "the system-call site table is not the measured one: the image directory was changed");
        page_free(h, PAGE_UP(size) >> PAGE_SHIFT);
        return r;
    }
    g_sites.header = h;
    g_sites.files = (const struct sites_file *)(h + 1);
    g_sites.sites = (const struct sites_entry *)(g_sites.files + h->file_count);
    return 0;
}

static const struct sites_file *file_sites(u64 nid)
{
    if (!g_sites.header || !nid)
        return NULL;
    u32 lo = 0, hi = g_sites.header->file_count;
    while (lo < hi) {
        u32 mid = (lo + hi) / 2;
        if (g_sites.files[mid].nid < nid)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == g_sites.header->file_count || g_sites.files[lo].nid != nid)
        return NULL;
    const struct sites_file *f = &g_sites.files[lo];
    return (u64)f->first_site + f->site_count <= g_sites.header->site_count ? f : NULL;
}

/* Index of the first site of f at or after offset. */
static u64 first_at(const struct sites_file *f, u64 offset)
{
    u64 lo = f->first_site, hi = lo + f->site_count;
    while (lo < hi) {
        u64 mid = (lo + hi) / 2;
        if (g_sites.sites[mid].offset < offset)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static int insert_trampolines(struct mm *mm, struct vma *v, u64 at, u64 size, u64 first)
{
    /* The VMA's file keeps the inode alive; file_offset of a trampoline range is its first site. */
    int r = vma_insert(mm, at, size, PROT_READ | PROT_EXEC, MAP_PRIVATE | VMA_TRAMPOLINE, v->file,
                       first, false);
    if (r < 0)
        return r;
    v->trampolines = at;
    v->first_site = first;
    struct vma *t = vma_find(mm, at);
    t->trampolines = 0;
    t->first_site = vma_start(v) -
                    v->file_offset; /* what to add to a file offset for the address */
    return 0;
}

void sites_attach(struct mm *mm, struct vma *v)
{
    const struct sites_file *f = v && v->file->inode ? file_sites(v->file->inode->nid) : NULL;
    if (!f || mm->plain || v->was_writable || (v->flags & MAP_SHARED))
        return;
    u64 first = first_at(f, v->file_offset);
    u64 last = first_at(f, v->file_offset + (v->end - vma_start(v)));
    if (first == last)
        return;
    u64 size = PAGE_UP((last - first) * STRIDE);
    u64 at = space_find(mm, size, PAGE_SIZE, vma_start(v));
    if (at && group_evict(mm, at, size) == 0)
        insert_trampolines(mm, v, at, size, first);
}

bool sites_share(struct mm *mm, struct vma *v, const struct vma *twin)
{
    u64 at = twin->trampolines;
    if (!at)
        return true; /* neither has any */
    if (mm->plain)
        return false;
    u64 last = first_at(file_sites(v->file->inode->nid), v->file_offset + (v->end - vma_start(v)));
    u64 size = PAGE_UP((last - twin->first_site) * STRIDE);
    struct vma *mine = vma_next_from(mm, at);
    if ((mine && vma_start(mine) < at + size) ||
        (mm->brk_max && mm->brk_start < at + size && mm->brk_max > at) ||
        !group_alike(mm, at, size))
        return false;
    group_keep(mm, at, size);
    return insert_trampolines(mm, v, at, size, twin->first_site) == 0;
}

static u64 trampoline_of(const struct vma *v, u64 site)
{
    return v->trampolines + (site - v->first_site) * STRIDE;
}

static bool site_ok(const struct sites_entry *s)
{
    return s->length >= JMP_SIZE && s->length <= WINDOW_MAX &&
           s->before_size + 2u + s->after_size == s->length;
}

void sites_patch_page(struct mm *mm, struct vma *v, u64 addr, void *page)
{
    const struct sites_file *f = file_sites(v->file->inode->nid);
    if (!f)
        return;
    u64 off = v->file_offset + (addr - vma_start(v));
    u64 from = off > JMP_SIZE ? off - JMP_SIZE + 1 : 0;
    struct vma *t = vma_find(mm, v->trampolines);
    if (!t || !(t->flags & VMA_TRAMPOLINE))
        return;
    u64 delta = t->first_site;
    for (u64 i = first_at(f, from); i < (u64)f->first_site + f->site_count; i++) {
        const struct sites_entry *s = &g_sites.sites[i];
        if (s->offset >= off + PAGE_SIZE)
            break;
        u64 target = trampoline_of(v, i);
        if (!site_ok(s) || i < v->first_site || target + STRIDE > t->end)
            continue;
        u8 jmp[JMP_SIZE] = {0xe9};
        i32 rel = (i32)(target - (s->offset + delta + JMP_SIZE));
        memcpy(jmp + 1, &rel, 4);
        for (u32 b = 0; b < JMP_SIZE; b++)
            if (s->offset + b >= off && s->offset + b < off + PAGE_SIZE)
                ((u8 *)page)[s->offset + b - off] = jmp[b];
    }
}

/* Unpatched bytes of the file. */
static int file_bytes(struct inode *inode, u64 off, u8 *buf, size_t n, u8 *scratch,
                      u64 *scratch_off)
{
    for (size_t done = 0; done < n;) {
        u64 page = PAGE_DOWN(off + done);
        if (*scratch_off != page) {
            int r = inode->ops->read_page(inode, page, scratch);
            if (r < 0)
                return r;
            *scratch_off = page;
        }
        size_t k = MIN(n - done, PAGE_SIZE - (off + done - page));
        memcpy(buf + done, scratch + (off + done - page), k);
        done += k;
    }
    return 0;
}

static void put_rel32(u8 **p, u64 at, u64 target)
{
    i32 rel = (i32)(target - (at + 4));
    memcpy(*p, &rel, 4);
    *p += 4;
}

static void write_trampoline(u8 *out, u64 at, u64 site_addr, const struct sites_entry *s,
                             const u8 *window)
{
    u8 *p = out;
    memcpy(p, window, s->before_size);
    p += s->before_size;
    u32 call = s->before_size; /* where the window's own syscall is */
    bool in_program = s->after_size == 0 && call >= JMP_SIZE;
    u64 back = in_program ? site_addr + s->length : at + (u64)(p - out) + 7 + 8 + 2;
    static const u8 lea_rcx[] = {0x48, 0x8d, 0x0d}, jmp_gs[] = {0x65, 0xff, 0x24, 0x25},
                    syscall_[] = {0x0f, 0x05};
    memcpy(p, lea_rcx, sizeof(lea_rcx));
    p += sizeof(lea_rcx);
    put_rel32(&p, at + (u64)(p - out), back);
    memcpy(p, jmp_gs, sizeof(jmp_gs));
    p += sizeof(jmp_gs);
    u32 slot = TCB_SYSCALL_ENTRY;
    memcpy(p, &slot, 4);
    p += 4;
    memcpy(p, syscall_, sizeof(syscall_));
    p += sizeof(syscall_);
    memcpy(p, window + call + 2, s->after_size);
    p += s->after_size;
    *p++ = 0xe9;
    put_rel32(&p, at + (u64)(p - out), site_addr + s->length);
}

int sites_fill_trampoline(struct mm *mm, struct vma *t, u64 addr, void *page)
{
    struct inode *inode = t->file->inode;
    const struct sites_file *f = file_sites(inode->nid);
    u8 *scratch = page_alloc(1);
    u64 scratch_off = UINT64_MAX;
    if (!f || !scratch) {
        page_free(scratch, 1);
        return -ENOMEM;
    }
    memset(page, 0xcc, PAGE_SIZE);
    u64 i = t->file_offset + (addr - vma_start(t)) / STRIDE;
    int r = 0;
    for (u64 slot = 0;
         r == 0 && slot < PAGE_SIZE / STRIDE && i < (u64)f->first_site + f->site_count;
         slot++, i++) {
        const struct sites_entry *s = &g_sites.sites[i];
        u8 window[WINDOW_MAX];
        if (!site_ok(s))
            continue;
        r = file_bytes(inode, s->offset, window, s->length, scratch, &scratch_off);
        if (r == 0)
            write_trampoline((u8 *)page + slot * STRIDE, addr + slot * STRIDE,
                             s->offset + t->first_site, s, window);
    }
    page_free(scratch, 1);
    return r;
}
