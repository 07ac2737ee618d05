/* SPDX-License-Identifier: Apache-2.0 */
/* Where the code of an ELF file is and where its functions begin: .eh_frame_hdr and .eh_frame, and
 * symbol tables. */
#include "enclave/bundle/sites.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#define FUNCTIONS_MAX (8u << 20)

/* Pointer encodings of .eh_frame (LSB Core, "Exception Frames"). */
#define PE_OMIT    0xff
#define PE_ABSPTR  0x00
#define PE_UDATA4  0x03
#define PE_UDATA8  0x04
#define PE_SDATA4  0x0b
#define PE_SDATA8  0x0c
#define PE_PCREL   0x10
#define PE_DATAREL 0x30

struct reader {
    const uint8_t *file;
    size_t size;
    const uint8_t *segments; /* program headers, perhaps unaligned: copied out */
    unsigned segment_count;
    struct elf_code *out;
    size_t function_room, label_room;
    bool frame_header;
};

static bool inside(const struct reader *r, uint64_t offset, uint64_t size)
{
    return offset <= r->size && size <= r->size - offset;
}

static Elf64_Phdr segment_at(const struct reader *r, unsigned i)
{
    Elf64_Phdr segment;
    memcpy(&segment, r->segments + i * sizeof(segment), sizeof(segment));
    return segment;
}

/* Virtual address to file bytes: NULL unless `need` bytes are there. */
static const uint8_t *at_address(const struct reader *r, uint64_t address, uint64_t need)
{
    for (unsigned i = 0; i < r->segment_count; i++) {
        Elf64_Phdr s = segment_at(r, i);
        if (s.p_type == PT_LOAD && address >= s.p_vaddr && address - s.p_vaddr <= s.p_filesz &&
            need <= s.p_filesz - (address - s.p_vaddr)) {
            uint64_t offset = s.p_offset + (address - s.p_vaddr);
            return offset >= s.p_offset && inside(r, offset, need) ? r->file + offset : NULL;
        }
    }
    return NULL;
}

/* Wholly inside one executable segment. */
static bool executable(const struct reader *r, uint64_t address, uint64_t size)
{
    for (size_t i = 0; i < r->out->range_count; i++) {
        const struct code_range *range = &r->out->ranges[i];
        if (address >= range->address && address - range->address < range->size &&
            size <= range->size - (address - range->address))
            return true;
    }
    return false;
}

static void add_function(struct reader *r, uint64_t start, uint64_t size, bool landing_pads)
{
    if (!size || size > (1u << 26) || r->out->function_count >= FUNCTIONS_MAX ||
        !executable(r, start, size))
        return;
    if (r->out->function_count == r->function_room) {
        r->function_room = r->function_room ? r->function_room * 2 : 256;
        r->out->functions = xreallocarray(r->out->functions, r->function_room,
                                          sizeof(struct function));
    }
    r->out->functions[r->out->function_count++] = (struct function){start, start + size,
                                                                    landing_pads};
}

static void add_label(struct reader *r, uint64_t address)
{
    if (r->out->label_count >= FUNCTIONS_MAX || !executable(r, address, 1))
        return;
    if (r->out->label_count == r->label_room) {
        r->label_room = r->label_room ? r->label_room * 2 : 256;
        r->out->labels = xreallocarray(r->out->labels, r->label_room, sizeof(uint64_t));
    }
    r->out->labels[r->out->label_count++] = address;
}

static uint32_t get32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static uint64_t get64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static bool skip_leb128(const uint8_t **p, const uint8_t *end)
{
    while (*p < end)
        if (!(*(*p)++ & 0x80))
            return true;
    return false;
}

struct cie {
    uint8_t encoding; /* of pc_begin */
    bool landing_pads;
    bool signal_frame;
};

/* What a CIE's augmentation says: 'R' the encoding of addresses, 'L' that there may be landing
 * pads. */
static bool read_cie(const struct reader *r, uint64_t address, struct cie *out)
{
    const uint8_t *p = at_address(r, address, 4);
    uint32_t length = p ? get32(p) : 0;
    if (length < 9 || length == 0xffffffff || !(p = at_address(r, address + 4, length)))
        return false;
    const uint8_t *end = p + length;
    *out = (struct cie){.encoding = PE_ABSPTR};
    if (get32(p) != 0)
        return false;
    p += 5;
    const char *augmentation = (const char *)p;
    const uint8_t *nul = memchr(p, 0, (size_t)(end - p));
    if (!nul)
        return false;
    p = nul + 1;
    if (!skip_leb128(&p, end) || !skip_leb128(&p, end) || !skip_leb128(&p, end))
        return false;
    if (augmentation[0] != 'z')
        return augmentation[0] == 0;
    if (!skip_leb128(&p, end))
        return false;
    for (const char *c = augmentation + 1; *c && p < end; c++) {
        if (*c == 'R') {
            out->encoding = *p++;
        } else if (*c == 'L') {
            out->landing_pads = true;
            p++;
        } else if (*c == 'P') {
            uint8_t encoding = *p++ & 0x0f;
            size_t size = encoding == PE_UDATA4 || encoding == PE_SDATA4 ? 4 : 8;
            if ((size_t)(end - p) < size)
                return false;
            p += size;
        } else if (*c == 'S') {
            out->signal_frame = true;
        } else if (*c != 'B') {
            return false;
        }
    }
    return true;
}

static bool read_fde(struct reader *r, uint64_t address)
{
    const uint8_t *p = at_address(r, address, 24);
    if (!p || get32(p) < 12 || get32(p) == 0xffffffff)
        return false;
    uint64_t cie_pointer = address + 4;
    struct cie cie;
    if (!read_cie(r, cie_pointer - get32(p + 4), &cie))
        return false;
    uint64_t start, size;
    switch (cie.encoding & 0x0f) {
    case PE_SDATA4:
        start = (uint64_t)(int64_t)(int32_t)get32(p + 8);
        size = get32(p + 12);
        break;
    case PE_UDATA4:
        start = get32(p + 8);
        size = get32(p + 12);
        break;
    case PE_ABSPTR:
    case PE_UDATA8:
    case PE_SDATA8:
        start = get64(p + 8);
        size = get64(p + 16);
        break;
    default:
        return false;
    }
    if ((cie.encoding & 0x70) == PE_PCREL)
        start += address + 8;
    else if (cie.encoding & 0x70)
        return false;
    /* The record of a signal return begins a byte before its code, for unwinders that look up the
     * return address less one: decoding from there is out of step. */
    if (!cie.signal_frame)
        add_function(r, start, size, cie.landing_pads);
    return true;
}

/* The binary search table of .eh_frame_hdr in its one usual form: pairs of 4-byte offsets from the
 * header. */
static void read_frame_header(struct reader *r, uint64_t address)
{
    const uint8_t *p = at_address(r, address, 12);
    if (!p || p[0] != 1 || p[2] != PE_UDATA4 || p[3] != (PE_DATAREL | PE_SDATA4))
        return;
    uint8_t frame_encoding = p[1] & 0x0f;
    if (frame_encoding != PE_SDATA4 && frame_encoding != PE_UDATA4)
        return;
    uint32_t count = get32(p + 8);
    p = count <= FUNCTIONS_MAX ? at_address(r, address + 12, 8ull * count) : NULL;
    r->frame_header = p != NULL;
    for (uint32_t i = 0; p && i < count; i++)
        read_fde(r, address + (uint64_t)(int64_t)(int32_t)get32(p + 8ull * i + 4));
}

static void read_symbols(struct reader *r, const Elf64_Shdr *section)
{
    if (section->sh_entsize != sizeof(Elf64_Sym) ||
        !inside(r, section->sh_offset, section->sh_size))
        return;
    for (uint64_t at = 0; at + sizeof(Elf64_Sym) <= section->sh_size; at += sizeof(Elf64_Sym)) {
        Elf64_Sym symbol;
        memcpy(&symbol, r->file + section->sh_offset + at, sizeof(symbol));
        if (symbol.st_shndx == SHN_UNDEF || symbol.st_shndx >= SHN_LORESERVE)
            continue;
        unsigned type = ELF64_ST_TYPE(symbol.st_info);
        if (type == STT_SECTION || type == STT_FILE || type == STT_TLS)
            continue;
        add_label(r, symbol.st_value);
        if (type == STT_FUNC || type == STT_GNU_IFUNC)
            add_function(r, symbol.st_value, symbol.st_size, false);
    }
}

/* .eh_frame without a header: one record after the other. */
static void read_frames(struct reader *r, const Elf64_Shdr *section)
{
    if (!section->sh_addr || !inside(r, section->sh_offset, section->sh_size))
        return;
    for (uint64_t at = 0; at + 8 <= section->sh_size;) {
        const uint8_t *p = r->file + section->sh_offset + at;
        uint64_t length = get32(p);
        if (length < 4 || length == 0xffffffff || length > section->sh_size - at - 4)
            return;
        if (get32(p + 4) != 0)
            read_fde(r, section->sh_addr + at);
        at += 4 + length;
    }
}

/* Go's function table (runtime/symtab.go, Go 1.18 and later): entry points relative to the start of
 * the text. */
static void read_go_table(struct reader *r, const Elf64_Shdr *section)
{
    if (section->sh_size < 72 || !inside(r, section->sh_offset, section->sh_size))
        return;
    const uint8_t *p = r->file + section->sh_offset;
    uint32_t magic = get32(p);
    uint64_t count = get64(p + 8), text = get64(p + 24), table = get64(p + 64);
    if ((magic != 0xfffffff0 && magic != 0xfffffff1) || p[7] != 8 || count > FUNCTIONS_MAX ||
        table > section->sh_size || (count + 1) * 8 > section->sh_size - table)
        return;
    for (uint64_t i = 0; i < count; i++) {
        uint32_t start = get32(p + table + 8 * i), end = get32(p + table + 8 * (i + 1));
        if (end > start)
            add_function(r, text + start, end - start, false);
    }
}

static bool ends_with(const char *name, const char *suffix)
{
    size_t size = strlen(name), tail = strlen(suffix);
    return size >= tail && strcmp(name + size - tail, suffix) == 0;
}

static void read_section(struct reader *r, const Elf64_Shdr *section, const char *name)
{
    if (section->sh_type == SHT_SYMTAB || section->sh_type == SHT_DYNSYM)
        read_symbols(r, section);
    else if (strcmp(name, ".eh_frame") == 0 && !r->frame_header)
        read_frames(r, section);
    else if (ends_with(name, ".gopclntab"))
        read_go_table(r, section);
}

static void read_sections(struct reader *r, const Elf64_Ehdr *header)
{
    if (header->e_shentsize != sizeof(Elf64_Shdr) ||
        !inside(r, header->e_shoff, (uint64_t)header->e_shnum * sizeof(Elf64_Shdr)))
        return;
    Elf64_Shdr names = {0};
    if (header->e_shstrndx < header->e_shnum)
        memcpy(&names, r->file + header->e_shoff + header->e_shstrndx * sizeof(names),
               sizeof(names));
    if (!inside(r, names.sh_offset, names.sh_size))
        names.sh_size = 0;
    for (unsigned i = 0; i < header->e_shnum; i++) {
        Elf64_Shdr section;
        char name[32] = "";
        memcpy(&section, r->file + header->e_shoff + i * sizeof(section), sizeof(section));
        if (section.sh_name < names.sh_size) {
            size_t room = names.sh_size - section.sh_name;
            memcpy(name, r->file + names.sh_offset + section.sh_name,
                   room < sizeof(name) - 1 ? room : sizeof(name) - 1);
        }
        read_section(r, &section, name);
    }
}

static int compare_functions(const void *a, const void *b)
{
    const struct function *x = a, *y = b;
    if (x->start != y->start)
        return x->start < y->start ? -1 : 1;
    return (x->end < y->end) - (x->end > y->end); /* the longer one first */
}

static int compare_addresses(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Each start once; a function ends where the next begins. What was cut away stays as a label
 * through its start. */
static void tidy(struct reader *r)
{
    struct elf_code *out = r->out;
    for (size_t i = 0; i < out->function_count; i++)
        add_label(r, out->functions[i].start);
    if (out->label_count)
        qsort(out->labels, out->label_count, sizeof(*out->labels), compare_addresses);
    if (!out->function_count)
        return;
    qsort(out->functions, out->function_count, sizeof(*out->functions), compare_functions);
    size_t kept = 0;
    for (size_t i = 1; i < out->function_count; i++) {
        struct function *last = &out->functions[kept], *next = &out->functions[i];
        if (next->start < last->end) { /* an alias or a label inside: keep the outer one */
            last->many_entries |= next->many_entries;
            if (next->end > last->end && next->start == last->start)
                last->end = next->end;
            continue;
        }
        out->functions[++kept] = *next;
    }
    out->function_count = kept + 1;
}

/* False when two executable segments claim one address: no loader makes sense of that, so neither
 * do we. */
static bool read_segments(struct reader *r)
{
    struct elf_code *out = r->out;
    out->ranges = xcalloc(r->segment_count + 1u, sizeof(*out->ranges));
    for (unsigned i = 0; i < r->segment_count; i++) {
        Elf64_Phdr s = segment_at(r, i);
        if (s.p_type != PT_LOAD || !(s.p_flags & PF_X) || !s.p_filesz ||
            s.p_vaddr + s.p_filesz <= s.p_vaddr || !inside(r, s.p_offset, s.p_filesz))
            continue;
        for (size_t k = 0; k < out->range_count; k++)
            if (s.p_vaddr < out->ranges[k].address + out->ranges[k].size &&
                out->ranges[k].address < s.p_vaddr + s.p_filesz)
                return false;
        out->ranges[out->range_count++] = (struct code_range){s.p_vaddr, s.p_offset, s.p_filesz};
    }
    return out->range_count > 0;
}

bool elf_code_read(const uint8_t *file, size_t size, struct elf_code *out)
{
    memset(out, 0, sizeof(*out));
    Elf64_Ehdr header;
    if (size < sizeof(header))
        return false;
    memcpy(&header, file, sizeof(header));
    struct reader r = {.file = file, .size = size, .out = out};
    if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64 ||
        header.e_ident[EI_DATA] != ELFDATA2LSB || header.e_machine != EM_X86_64 ||
        (header.e_type != ET_EXEC && header.e_type != ET_DYN) ||
        header.e_phentsize != sizeof(Elf64_Phdr) ||
        !inside(&r, header.e_phoff, (uint64_t)header.e_phnum * sizeof(Elf64_Phdr)))
        return false;
    r.segments = file + header.e_phoff;
    r.segment_count = header.e_phnum;
    if (!read_segments(&r))
        return false;
    for (unsigned i = 0; i < r.segment_count; i++) {
        Elf64_Phdr s = segment_at(&r, i);
        if (s.p_type == PT_GNU_EH_FRAME)
            read_frame_header(&r, s.p_vaddr);
    }
    read_sections(&r, &header);
    tidy(&r);
    return true;
}

void elf_code_release(struct elf_code *code)
{
    free(code->ranges);
    free(code->functions);
    free(code->labels);
    memset(code, 0, sizeof(*code));
}
