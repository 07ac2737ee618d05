/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The LibOS's ELF file. Its place in ELRANGE is known when the enclave file is made, so relocations
 * are applied here: what is measured is what runs, and relocated constants can be read-only.
 */
#include "enclave/bundle/layout_build.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "enclave_file.h"
#include "layout.h"

#define SEGMENTS_MAX  32
#define SITES_SECTION ".enclu_sites"

static bool inside(size_t size, uint64_t offset, uint64_t count)
{
    return offset <= size && count <= size - offset;
}

static uint64_t page_down(uint64_t v)
{
    return v & ~(LAYOUT_PAGE - 1);
}

static uint64_t page_up(uint64_t v)
{
    return page_down(v + LAYOUT_PAGE - 1);
}

static int load_segment(struct libos_elf *out, const Elf64_Phdr *s, const uint8_t *file,
                        size_t size, const char *path, struct error *err)
{
    uint64_t start = page_down(s->p_vaddr), end = page_up(s->p_vaddr + s->p_memsz);
    if (!inside(size, s->p_offset, s->p_filesz) || s->p_filesz > s->p_memsz ||
        s->p_vaddr + s->p_memsz < s->p_vaddr || end > (1ull << 32) || start < out->end)
        return error_set(err, "%s: segment at 0x%llx is malformed or shares a page with another",
                         path, (unsigned long long)s->p_vaddr);
    if ((s->p_flags & PF_W) && (s->p_flags & PF_X))
        return error_set(err, "%s: segment at 0x%llx is writable and executable", path,
                         (unsigned long long)s->p_vaddr);
    uint64_t lead = s->p_vaddr - start;
    struct libos_segment *segment = &out->segments[out->segment_count++];
    segment->address = start;
    segment->size = end - start;
    segment->data_size = lead + s->p_filesz;
    segment->data = xcalloc(segment->data_size + 1, 1);
    memcpy(segment->data + lead, file + s->p_offset, s->p_filesz);
    segment->permissions = (s->p_flags & PF_R ? ENCLAVE_FILE_R : 0) |
                           (s->p_flags & PF_W ? ENCLAVE_FILE_W : 0) |
                           (s->p_flags & PF_X ? ENCLAVE_FILE_X : 0);
    out->end = end;
    return 0;
}

/* n bytes of a loaded segment. */
static uint8_t *loaded(const struct libos_elf *elf, uint64_t address, uint64_t n)
{
    for (unsigned i = 0; i < elf->segment_count; i++) {
        const struct libos_segment *s = &elf->segments[i];
        if (address >= s->address && inside(s->data_size, address - s->address, n))
            return s->data + (address - s->address);
    }
    return NULL;
}

static int relocate(struct libos_elf *elf, uint64_t table, uint64_t table_size, uint64_t base,
                    const char *path, struct error *err)
{
    for (uint64_t at = 0; at + sizeof(Elf64_Rela) <= table_size; at += sizeof(Elf64_Rela)) {
        const uint8_t *entry = loaded(elf, table + at, sizeof(Elf64_Rela));
        Elf64_Rela rela;
        if (!entry)
            return error_set(err, "%s: relocations lie outside the file", path);
        memcpy(&rela, entry, sizeof(rela));
        if (ELF64_R_TYPE(rela.r_info) == R_X86_64_NONE)
            continue;
        uint8_t *place = loaded(elf, rela.r_offset, 8);
        if (ELF64_R_TYPE(rela.r_info) != R_X86_64_RELATIVE || !place)
            return error_set(err, "%s: relocation of type %u at 0x%llx is not supported", path,
                             (unsigned)ELF64_R_TYPE(rela.r_info),
                             (unsigned long long)rela.r_offset);
        uint64_t value = base + (uint64_t)rela.r_addend;
        memcpy(place, &value, sizeof(value));
    }
    return 0;
}

static int read_dynamic(struct libos_elf *elf, const Elf64_Phdr *dynamic, uint64_t base,
                        const char *path, struct error *err)
{
    uint64_t table = 0, table_size = 0;
    for (uint64_t at = 0; at + sizeof(Elf64_Dyn) <= dynamic->p_filesz; at += sizeof(Elf64_Dyn)) {
        const uint8_t *entry = loaded(elf, dynamic->p_vaddr + at, sizeof(Elf64_Dyn));
        Elf64_Dyn dyn;
        if (!entry)
            break;
        memcpy(&dyn, entry, sizeof(dyn));
        if (dyn.d_tag == DT_NULL)
            break;
        if (dyn.d_tag == DT_RELA)
            table = dyn.d_un.d_ptr;
        else if (dyn.d_tag == DT_RELASZ)
            table_size = dyn.d_un.d_val;
        else if (dyn.d_tag == DT_NEEDED || dyn.d_tag == DT_JMPREL || dyn.d_tag == DT_REL)
            return error_set(err, "%s: needs a dynamic linker; link it as a static PIE", path);
    }
    return relocate(elf, table, table_size, base, path, err);
}

/* .enclu_sites: an array of int32_t, each the distance from itself to a site. */
static void read_sites(struct libos_elf *elf, const Elf64_Shdr *section)
{
    for (uint64_t at = 0; at + 4 <= section->sh_size; at += 4) {
        const uint8_t *entry = loaded(elf, section->sh_addr + at, 4);
        int32_t distance;
        if (!entry)
            return;
        memcpy(&distance, entry, sizeof(distance));
        elf->sites = xreallocarray(elf->sites, elf->site_count + 1, sizeof(uint64_t));
        elf->sites[elf->site_count++] = section->sh_addr + at + (uint64_t)(int64_t)distance;
    }
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* The table is ascending; a site that an inlined function had twice would be named twice. */
static void sort_sites(struct libos_elf *elf)
{
    if (!elf->site_count)
        return;
    qsort(elf->sites, elf->site_count, sizeof(uint64_t), compare);
    size_t kept = 1;
    for (size_t i = 1; i < elf->site_count; i++)
        if (elf->sites[i] != elf->sites[kept - 1])
            elf->sites[kept++] = elf->sites[i];
    elf->site_count = kept;
}

static void find_sites(struct libos_elf *elf, const Elf64_Ehdr *header, const uint8_t *file,
                       size_t size)
{
    if (header->e_shentsize != sizeof(Elf64_Shdr) || header->e_shstrndx >= header->e_shnum ||
        !inside(size, header->e_shoff, (uint64_t)header->e_shnum * sizeof(Elf64_Shdr)))
        return;
    Elf64_Shdr names;
    memcpy(&names, file + header->e_shoff + header->e_shstrndx * sizeof(names), sizeof(names));
    for (unsigned i = 0; i < header->e_shnum; i++) {
        Elf64_Shdr section;
        memcpy(&section, file + header->e_shoff + i * sizeof(section), sizeof(section));
        uint64_t name = names.sh_offset + section.sh_name;
        if (section.sh_name < names.sh_size && inside(size, name, sizeof(SITES_SECTION)) &&
            memcmp(file + name, SITES_SECTION, sizeof(SITES_SECTION)) == 0)
            read_sites(elf, &section);
    }
    sort_sites(elf);
}

int libos_elf_read(const char *path, const void *data, size_t size, uint64_t base,
                   struct libos_elf *out, struct error *err)
{
    Elf64_Ehdr header;
    const uint8_t *file = data;
    memset(out, 0, sizeof(*out));
    if (size < sizeof(header))
        return error_set(err, "%s is not an ELF file", path);
    memcpy(&header, file, sizeof(header));
    if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64 ||
        header.e_machine != EM_X86_64 || header.e_type != ET_DYN ||
        header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phnum > SEGMENTS_MAX ||
        !inside(size, header.e_phoff, header.e_phnum * sizeof(Elf64_Phdr)))
        return error_set(err, "%s is not a position-independent x86-64 ELF file", path);

    Elf64_Phdr segments[SEGMENTS_MAX];
    memcpy(segments, file + header.e_phoff, header.e_phnum * sizeof(Elf64_Phdr));
    out->segments = xcalloc(SEGMENTS_MAX, sizeof(*out->segments));
    out->entry = header.e_entry;
    int ret = 0;
    for (unsigned i = 0; ret == 0 && i < header.e_phnum; i++)
        if (segments[i].p_type == PT_LOAD && segments[i].p_memsz)
            ret = load_segment(out, &segments[i], file, size, path, err);
    for (unsigned i = 0; ret == 0 && i < header.e_phnum; i++)
        if (segments[i].p_type == PT_DYNAMIC)
            ret = read_dynamic(out, &segments[i], base, path, err);
    if (ret == 0 && !out->segment_count)
        ret = error_set(err, "%s has nothing to load", path);
    if (ret == 0)
        find_sites(out, &header, file, size);
    else
        libos_elf_release(out);
    return ret;
}

void libos_elf_release(struct libos_elf *elf)
{
    for (unsigned i = 0; i < elf->segment_count; i++)
        free(elf->segments[i].data);
    free(elf->segments);
    free(elf->sites);
    memset(elf, 0, sizeof(*elf));
}
