/* SPDX-License-Identifier: Apache-2.0 */
#include "sgx/vdso.h"

#include <elf.h>
#include <stdint.h>
#include <string.h>
#include <sys/auxv.h>

/*
 * Look the function up in the vDSO's dynamic symbols. The kernel put the image there, so it is well
 * formed; the count of symbols comes from DT_HASH, or the symbol table ends where the string table
 * starts.
 */
void *sgx_vdso_symbol(const char *wanted)
{
    const uint8_t *image = (const uint8_t *)getauxval(AT_SYSINFO_EHDR);
    const Elf64_Ehdr *ehdr = (const Elf64_Ehdr *)image;
    const Elf64_Dyn *dyn = NULL;
    const Elf64_Sym *symbols = NULL;
    const char *strings = NULL;
    const uint32_t *hash = NULL;
    uint64_t bias = 0;

    if (!image)
        return NULL;
    const Elf64_Phdr *phdr = (const Elf64_Phdr *)(image + ehdr->e_phoff);
    for (unsigned i = 0; i < ehdr->e_phnum; i++) {
        if (phdr[i].p_type == PT_LOAD)
            bias = (uint64_t)image + phdr[i].p_offset - phdr[i].p_vaddr;
        else if (phdr[i].p_type == PT_DYNAMIC)
            dyn = (const Elf64_Dyn *)(image + phdr[i].p_offset);
    }
    for (; dyn && dyn->d_tag != DT_NULL; dyn++) {
        uint64_t at = bias + dyn->d_un.d_ptr;
        if (dyn->d_tag == DT_SYMTAB)
            symbols = (const Elf64_Sym *)at;
        else if (dyn->d_tag == DT_STRTAB)
            strings = (const char *)at;
        else if (dyn->d_tag == DT_HASH)
            hash = (const uint32_t *)at;
    }
    if (!symbols || !strings)
        return NULL;
    uint64_t count = hash ? hash[1] : ((uint64_t)strings - (uint64_t)symbols) / sizeof(Elf64_Sym);
    for (uint64_t i = 0; i < count; i++)
        if (symbols[i].st_shndx != SHN_UNDEF && strcmp(strings + symbols[i].st_name, wanted) == 0)
            return (void *)(bias + symbols[i].st_value);
    return NULL;
}
