/* SPDX-License-Identifier: Apache-2.0 */
/* Loading an ELF file into a fresh mm. What the file says is checked before it is used: the image
 * is sealed, a volume is not. */
#include "proc.h"
#include <linux/elf.h>
#include <linux/mman.h>

#define PHDRS_MAX 128

static const char *machine_name(u16 machine)
{
    switch (machine) {
    case EM_386:
        return "32-bit x86";
    case EM_AARCH64:
        return "arm64";
    case EM_ARM:
        return "32-bit ARM";
    case EM_PPC64:
        return "ppc64";
    case EM_S390:
        return "s390x";
    case EM_RISCV:
        return "riscv";
    default:
        return "unknown";
    }
}

static int header_check(const Elf64_Ehdr *h, const char *name)
{
    if (memcmp(h->e_ident, ELFMAG, SELFMAG) != 0)
        return -ENOEXEC;
    if (h->e_machine != EM_X86_64 || h->e_ident[EI_CLASS] != ELFCLASS64 ||
        h->e_ident[EI_DATA] != ELFDATA2LSB) {
        log_error("%s: executable for another architecture (%s, machine %u): this container runs "
                  "x86-64 programs only",
                  g_log_level >= LOG_INFO ? name : "a program", machine_name(h->e_machine),
                  h->e_machine);
        return -ENOEXEC;
    }
    if ((h->e_type != ET_EXEC && h->e_type != ET_DYN) || h->e_phentsize != sizeof(Elf64_Phdr) ||
        h->e_phnum == 0 || h->e_phnum > PHDRS_MAX)
        return -ENOEXEC;
    return 0;
}

static int read_exactly(struct file *f, void *buf, size_t n, u64 off)
{
    ssize_t r = file_read_kernel(f, buf, n, &off);
    if (r < 0)
        return (int)r;
    return (size_t)r == n ? 0 : -ENOEXEC;
}

/* The span of all PT_LOAD; -ENOEXEC when they overlap backwards or wrap. */
static int measure(const Elf64_Phdr *ph, u32 n, u64 *start, u64 *end, u64 *align)
{
    *start = UINT64_MAX;
    *end = 0;
    *align = PAGE_SIZE;
    for (u32 i = 0; i < n; i++) {
        if (ph[i].p_type != PT_LOAD || ph[i].p_memsz == 0)
            continue;
        u64 e = ph[i].p_vaddr + ph[i].p_memsz;
        if (e < ph[i].p_vaddr || e > (1ull << 47) || ph[i].p_filesz > ph[i].p_memsz ||
            ((ph[i].p_vaddr ^ ph[i].p_offset) & ~PAGE_MASK) || ph[i].p_vaddr < PAGE_DOWN(*end))
            return -ENOEXEC;
        if (*start == UINT64_MAX)
            *start = PAGE_DOWN(ph[i].p_vaddr);
        *end = MAX(*end, e);
        if (ph[i].p_align > *align && !(ph[i].p_align & (ph[i].p_align - 1)) &&
            ph[i].p_align <= (1ull << 30))
            *align = ph[i].p_align;
    }
    return *end ? 0 : -ENOEXEC;
}

static u32 protection(u32 flags)
{
    return ((flags & PF_R) ? PROT_READ : 0) | ((flags & PF_W) ? PROT_WRITE : 0) |
           ((flags & PF_X) ? PROT_EXEC : 0);
}

/* A range for a position-independent file, aligned as it asks. */
static int reserve(struct mm *mm, u64 size, u64 align, u64 *base)
{
    u64 slack = align > PAGE_SIZE ? align : 0;
    size = PAGE_UP(size);
    i64 at = mm_map(mm, 0, size + slack, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                    NULL, 0);
    if (at < 0)
        return (int)at;
    *base = ((u64)at + align - 1) & ~(align - 1);
    u64 before = *base - (u64)at, after = slack - before;
    int r = before ? mm_unmap(mm, (u64)at, before) : 0;
    if (r == 0 && after)
        r = mm_unmap(mm, *base + size, after);
    return r;
}

static int map_segment(struct mm *mm, struct file *f, const Elf64_Phdr *ph, u64 base)
{
    u64 vaddr = base + ph->p_vaddr, start = PAGE_DOWN(vaddr);
    u64 file_end = vaddr + ph->p_filesz, end = PAGE_UP(vaddr + ph->p_memsz);
    u64 anon = start;
    u32 prot = protection(ph->p_flags);
    if (ph->p_filesz) {
        anon = PAGE_UP(file_end);
        i64 r = mm_map(mm, start, anon - start, prot, MAP_PRIVATE | MAP_FIXED, f,
                       PAGE_DOWN(ph->p_offset));
        if (r < 0)
            return (int)r;
        if (ph->p_memsz > ph->p_filesz && (prot & PROT_WRITE) && (file_end & ~PAGE_MASK)) {
            int e = mm_populate(mm, PAGE_DOWN(file_end), PAGE_SIZE);
            if (e < 0)
                return e;
            memset((void *)file_end, 0, anon - file_end);
        }
    }
    if (end > anon) {
        i64 r = mm_map(mm, anon, end - anon, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, NULL,
                       0);
        if (r < 0)
            return (int)r;
    }
    return 0;
}

static int read_interpreter(struct file *f, const Elf64_Phdr *ph, struct elf_image *out)
{
    if (ph->p_filesz < 2 || ph->p_filesz > sizeof(out->interpreter))
        return -ENOEXEC;
    int r = read_exactly(f, out->interpreter, ph->p_filesz, ph->p_offset);
    if (r < 0)
        return r;
    return out->interpreter[ph->p_filesz - 1] == '\0' ? 0 : -ENOEXEC;
}

static int load_segments(struct mm *mm, struct file *f, const Elf64_Ehdr *h, const Elf64_Phdr *ph,
                         struct elf_image *out)
{
    u64 start, end, align;
    int r = measure(ph, h->e_phnum, &start, &end, &align);
    if (r < 0)
        return r;
    out->fixed = h->e_type == ET_EXEC;
    if (!out->fixed) {
        u64 at = 0;
        r = reserve(mm, end - start, align, &at);
        if (r < 0)
            return r;
        out->base = at - start;
    }
    for (u32 i = 0; i < h->e_phnum && r == 0; i++)
        if (ph[i].p_type == PT_LOAD && ph[i].p_memsz)
            r = map_segment(mm, f, &ph[i], out->base);
    out->start = out->base + start;
    out->end = out->base + end;
    out->brk = out->end;
    out->entry = out->base + h->e_entry;
    return r;
}

/* Where the program headers are in memory, for AT_PHDR. */
static u64 find_phdr(const Elf64_Ehdr *h, const Elf64_Phdr *ph, u64 base)
{
    for (u32 i = 0; i < h->e_phnum; i++)
        if (ph[i].p_type == PT_PHDR)
            return base + ph[i].p_vaddr;
    for (u32 i = 0; i < h->e_phnum; i++)
        if (ph[i].p_type == PT_LOAD && h->e_phoff >= ph[i].p_offset &&
            h->e_phoff < ph[i].p_offset + ph[i].p_filesz)
            return base + ph[i].p_vaddr + (h->e_phoff - ph[i].p_offset);
    return 0;
}

int elf_load(struct mm *mm, struct file *f, const char *name, bool is_interpreter,
             struct elf_image *out)
{
    Elf64_Ehdr h;
    memset(out, 0, sizeof(*out));
    int r = read_exactly(f, &h, sizeof(h), 0);
    if (r == 0)
        r = header_check(&h, name);
    if (r < 0)
        return is_interpreter && r == -ENOEXEC ? -ELIBBAD : r;
    size_t size = h.e_phnum * sizeof(Elf64_Phdr);
    Elf64_Phdr *ph = kmalloc(size);
    if (!ph)
        return -ENOMEM;
    r = read_exactly(f, ph, size, h.e_phoff);
    for (u32 i = 0; i < h.e_phnum && r == 0; i++) {
        if (ph[i].p_type == PT_INTERP && !is_interpreter)
            r = read_interpreter(f, &ph[i], out);
        if (ph[i].p_type == PT_GNU_STACK)
            out->exec_stack = ph[i].p_flags & PF_X;
    }
    if (r == 0)
        r = load_segments(mm, f, &h, ph, out);
    out->phdr = find_phdr(&h, ph, out->base);
    out->phnum = h.e_phnum;
    kfree(ph);
    return is_interpreter && r == -ENOEXEC ? -ELIBBAD : r;
}
