/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vDSO that the program finds by AT_SYSINFO_EHDR: the kernel's functions where they are, and
 * __vdso_sgx_enter_enclave. Symbols are found by the dynamic section, as usual, or by section
 * headers, as Intel's SDK does.
 */
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "sgx/emulate/emulate.h"

#define SYMBOLS 64
#define NAME    "__vdso_sgx_enter_enclave"

struct image {
    Elf64_Ehdr ehdr;
    Elf64_Phdr phdr[2];
    Elf64_Shdr sections[5]; /* none, .dynsym, .dynstr, .dynamic, .shstrtab */
    Elf64_Dyn dyn[6];
    Elf64_Sym symbols[SYMBOLS];
    Elf64_Word hash[3 + SYMBOLS]; /* one bucket; all symbols in a chain */
    char section_names[48];
    char strings[4096];
};

struct kernel_symbols {
    const Elf64_Sym *symbols;
    const char *strings;
    uint64_t bias, count;
};

static void kernel_vdso(uint64_t base, struct kernel_symbols *out)
{
    const Elf64_Ehdr *ehdr = (const Elf64_Ehdr *)base;
    const Elf64_Phdr *phdr = (const Elf64_Phdr *)(base + (base ? ehdr->e_phoff : 0));
    const Elf64_Dyn *dyn = NULL;

    *out = (struct kernel_symbols){.bias = base};
    for (unsigned i = 0; base && i < ehdr->e_phnum; i++) {
        if (phdr[i].p_type == PT_LOAD)
            out->bias = base + phdr[i].p_offset - phdr[i].p_vaddr;
        else if (phdr[i].p_type == PT_DYNAMIC)
            dyn = (const Elf64_Dyn *)(base + phdr[i].p_offset);
    }
    for (; dyn && dyn->d_tag != DT_NULL; dyn++) {
        const uint64_t at = out->bias + dyn->d_un.d_ptr;
        if (dyn->d_tag == DT_SYMTAB)
            out->symbols = (const Elf64_Sym *)at;
        else if (dyn->d_tag == DT_STRTAB)
            out->strings = (const char *)at;
        else if (dyn->d_tag == DT_HASH)
            out->count = ((const uint32_t *)at)[1];
    }
    if (!out->count && out->strings > (const char *)out->symbols)
        out->count = (uint64_t)(out->strings - (const char *)out->symbols) / sizeof(Elf64_Sym);
    if (!out->symbols || !out->strings)
        out->count = 0;
}

struct builder {
    struct image *image;
    unsigned count;
    size_t used; /* of strings */
};

static void add(struct builder *b, const char *name, uint64_t address, uint64_t size)
{
    const size_t length = strlen(name) + 1;

    if (b->count >= SYMBOLS || length > sizeof(b->image->strings) - b->used)
        return;
    memcpy(b->image->strings + b->used, name, length);
    b->image->symbols[b->count] = (Elf64_Sym){
        .st_name = (Elf64_Word)b->used,
        .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC),
        .st_shndx = 3,
        .st_value = address - (uint64_t)b->image,
        .st_size = size,
    };
    b->used += length;
    b->count++;
}

static uint64_t offset_of(const struct image *image, const void *field)
{
    return (uint64_t)((const char *)field - (const char *)image);
}

static void describe(struct image *m, unsigned count)
{
    static const char names[] = "\0.dynsym\0.dynstr\0.dynamic\0.shstrtab";

    memcpy(m->section_names, names, sizeof(names));
    m->sections[1] = (Elf64_Shdr){.sh_name = 1,
                                  .sh_type = SHT_DYNSYM,
                                  .sh_flags = SHF_ALLOC,
                                  .sh_addr = offset_of(m, m->symbols),
                                  .sh_offset = offset_of(m, m->symbols),
                                  .sh_size = count * sizeof(Elf64_Sym),
                                  .sh_link = 2,
                                  .sh_info = 1,
                                  .sh_entsize = sizeof(Elf64_Sym)};
    m->sections[2] = (Elf64_Shdr){.sh_name = 9,
                                  .sh_type = SHT_STRTAB,
                                  .sh_flags = SHF_ALLOC,
                                  .sh_addr = offset_of(m, m->strings),
                                  .sh_offset = offset_of(m, m->strings),
                                  .sh_size = sizeof(m->strings)};
    m->sections[3] = (Elf64_Shdr){.sh_name = 17,
                                  .sh_type = SHT_DYNAMIC,
                                  .sh_flags = SHF_ALLOC,
                                  .sh_addr = offset_of(m, m->dyn),
                                  .sh_offset = offset_of(m, m->dyn),
                                  .sh_size = sizeof(m->dyn),
                                  .sh_link = 2,
                                  .sh_entsize = sizeof(Elf64_Dyn)};
    m->sections[4] = (Elf64_Shdr){.sh_name = 26,
                                  .sh_type = SHT_STRTAB,
                                  .sh_offset = offset_of(m, m->section_names),
                                  .sh_size = sizeof(m->section_names)};
    m->hash[0] = 1;
    m->hash[1] = count;
    m->hash[2] = count > 1 ? 1 : STN_UNDEF;
    for (unsigned i = 1; i < count; i++)
        m->hash[3 + i] = i + 1 < count ? i + 1 : STN_UNDEF;
    m->dyn[0] = (Elf64_Dyn){DT_SYMTAB, {offset_of(m, m->symbols)}};
    m->dyn[1] = (Elf64_Dyn){DT_STRTAB, {offset_of(m, m->strings)}};
    m->dyn[2] = (Elf64_Dyn){DT_HASH, {offset_of(m, m->hash)}};
    m->dyn[3] = (Elf64_Dyn){DT_STRSZ, {sizeof(m->strings)}};
    m->dyn[4] = (Elf64_Dyn){DT_SYMENT, {sizeof(Elf64_Sym)}};
}

static void head(struct image *m)
{
    memcpy(m->ehdr.e_ident, ELFMAG, SELFMAG);
    m->ehdr.e_ident[EI_CLASS] = ELFCLASS64;
    m->ehdr.e_ident[EI_DATA] = ELFDATA2LSB;
    m->ehdr.e_ident[EI_VERSION] = EV_CURRENT;
    m->ehdr.e_type = ET_DYN;
    m->ehdr.e_machine = EM_X86_64;
    m->ehdr.e_version = EV_CURRENT;
    m->ehdr.e_ehsize = sizeof(m->ehdr);
    m->ehdr.e_phoff = offset_of(m, m->phdr);
    m->ehdr.e_phentsize = sizeof(m->phdr[0]);
    m->ehdr.e_phnum = 2;
    m->ehdr.e_shoff = offset_of(m, m->sections);
    m->ehdr.e_shentsize = sizeof(m->sections[0]);
    m->ehdr.e_shnum = 5;
    m->ehdr.e_shstrndx = 4;
    m->phdr[0] = (Elf64_Phdr){.p_type = PT_LOAD,
                              .p_flags = PF_R | PF_X,
                              .p_filesz = sizeof(*m),
                              .p_memsz = sizeof(*m),
                              .p_align = SGX_PAGE_SIZE};
    m->phdr[1] = (Elf64_Phdr){.p_type = PT_DYNAMIC,
                              .p_flags = PF_R,
                              .p_offset = offset_of(m, m->dyn),
                              .p_vaddr = offset_of(m, m->dyn),
                              .p_filesz = sizeof(m->dyn),
                              .p_memsz = sizeof(m->dyn)};
}

int host_vdso_setup(uint64_t *auxv)
{
    struct kernel_symbols kernel;
    uint64_t *entry = auxv;

    void *p = mmap(NULL, sizeof(struct image), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                   -1, 0);
    if (p == MAP_FAILED)
        return -errno;
    struct builder b = {.image = p, .count = 1, .used = 1};
    kernel_vdso(getauxval(AT_SYSINFO_EHDR), &kernel);
    add(&b, NAME, (uint64_t)host_vdso_enter, 256);
    for (uint64_t i = 0; i < kernel.count; i++) {
        const Elf64_Sym *s = &kernel.symbols[i];
        const char *name = kernel.strings + s->st_name;
        if (s->st_shndx != SHN_UNDEF && ELF64_ST_TYPE(s->st_info) == STT_FUNC &&
            strcmp(name, NAME) != 0)
            add(&b, name, kernel.bias + s->st_value, s->st_size);
    }
    head(p);
    describe(p, b.count);
    mprotect(p, sizeof(struct image), PROT_READ);
    while (entry[0] != AT_NULL && entry[0] != AT_SYSINFO_EHDR)
        entry += 2;
    if (entry[0] == AT_SYSINFO_EHDR)
        entry[1] = (uint64_t)p;
    return 0; /* a kernel without a vDSO gives none to patch: then ENCLU is the way in */
}
