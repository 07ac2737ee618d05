/* SPDX-License-Identifier: Apache-2.0 */
#include "image.h"

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/fd.h"
#include "sgx/enclave_file.h"

static void must(bool good, const char *what, const struct error *err)
{
    if (good)
        return;
    fprintf(stderr, "%s: %s\n", what, err && err->message ? err->message : "failed");
    abort();
}

static const Elf64_Shdr *section(const struct image *image, uint32_t type)
{
    const Elf64_Ehdr *h = (const Elf64_Ehdr *)image->elf;
    const Elf64_Shdr *s = (const Elf64_Shdr *)(image->elf + h->e_shoff);

    for (unsigned i = 0; i < h->e_shnum; i++)
        if (s[i].sh_type == type)
            return &s[i];
    must(false, "libos.elf: no section of a type", NULL);
    return NULL;
}

/* size 0: any; else the compiler's number follows the name. */
static uint64_t find_symbol(const struct image *image, const char *name, uint64_t size)
{
    const Elf64_Ehdr *h = (const Elf64_Ehdr *)image->elf;
    const Elf64_Shdr *all = (const Elf64_Shdr *)(image->elf + h->e_shoff);
    const Elf64_Shdr *table = section(image, SHT_SYMTAB);
    const char *names = (const char *)image->elf + all[table->sh_link].sh_offset;
    const Elf64_Sym *symbols = (const Elf64_Sym *)(image->elf + table->sh_offset);

    for (size_t i = 0; i < table->sh_size / sizeof(*symbols); i++)
        if (size == 0 ? strcmp(names + symbols[i].st_name, name) == 0
                      : strncmp(names + symbols[i].st_name, name, strlen(name)) == 0 &&
                            symbols[i].st_size == size)
            return symbols[i].st_value;
    must(false, name, NULL);
    return 0;
}

uint64_t image_symbol(const struct image *image, const char *name)
{
    return find_symbol(image, name, 0);
}

uint64_t image_variable(const struct image *image, const char *name, uint64_t size)
{
    return find_symbol(image, name, size);
}

/* cmp %gs:16,%rbx; jne; lfence; cmpl $0,g_dead; jne: at the entry point. */
static void drop_proof(struct image *image)
{
    static const uint8_t compare[] = {0x65, 0x48, 0x3b, 0x1c, 0x25, 0x10, 0, 0, 0, 0x0f, 0x85};
    static const uint8_t fence[] = {0x0f, 0xae, 0xe8, 0x83, 0x3d};
    const size_t fence_at = sizeof(compare) + 4, size = fence_at + 3 + 7 + 6;
    const Elf64_Ehdr *h = (const Elf64_Ehdr *)image->elf;
    const Elf64_Phdr *p = (const Elf64_Phdr *)(image->elf + h->e_phoff);

    for (unsigned i = 0; i < h->e_phnum; i++) {
        if (p[i].p_type != PT_LOAD || h->e_entry - p[i].p_vaddr >= p[i].p_filesz)
            continue;
        uint8_t *at = image->elf + p[i].p_offset + (h->e_entry - p[i].p_vaddr);
        must(memcmp(at, compare, sizeof(compare)) == 0 &&
                 memcmp(at + fence_at, fence, sizeof(fence)) == 0 && at[size - 6] == 0x0f,
             "the entry does not begin with its proof", NULL);
        memset(at, 0x90, size);
        return;
    }
    must(false, "libos.elf: no entry", NULL);
}

void image_read(struct image *image, const char *path, bool without_proof)
{
    struct error err = ERROR_INIT;
    struct buffer content = BUFFER_INIT;

    *image = (struct image){.file = -1};
    must(read_file_at(AT_FDCWD, path, &content, 64u << 20, &err) == 0, path, &err);
    image->elf = (uint8_t *)content.data; /* taken over */
    image->elf_size = content.size;
    if (without_proof)
        drop_proof(image);
}

/* Two keys serve all: making one takes a second. */
static const char *key_of(enum image_signer signer)
{
    static char paths[2][64];
    struct error err = ERROR_INIT;

    if (!paths[signer][0]) {
        snprintf(paths[signer], sizeof(paths[signer]), "%s/key-%d",
                 getenv("RUNE_SGX_EMULATOR_ROOT"), signer);
        must(sgx_key_generate(paths[signer], &err) == 0, "key", &err);
    }
    return paths[signer];
}

void image_sign(struct image *image, enum image_signer signer)
{
    struct error err = ERROR_INIT;

    sgx_sigstruct_fill(&image->params, &image->sigstruct);
    must(sgx_sigstruct_sign(&image->sigstruct, key_of(signer), &err) == 0, "sign", &err);
}

static void find_layout(struct image *image)
{
    struct error err = ERROR_INIT;
    struct enclave_file *file = NULL;

    must(enclave_file_open(image->file, &file, &err) == 0, "enclave file", &err);
    for (uint32_t i = 0; i < file->header->range_count; i++) {
        const struct enclave_file_range *r = &file->ranges[i];
        if (r->file_offset != ENCLAVE_FILE_ZERO &&
            memcmp(file->data + r->file_offset, &(uint64_t){ENCLAVE_LAYOUT_MAGIC}, 8) == 0)
            memcpy(&image->layout, file->data + r->file_offset, sizeof(image->layout));
    }
    must(image->layout.magic == ENCLAVE_LAYOUT_MAGIC, "no layout page", NULL);
    enclave_file_close(file);
}

void image_build(struct image *image, bool production)
{
    const struct image_info none = {0};
    struct manifest_image manifest;
    struct error err = ERROR_INIT;
    struct libos_elf elf = {0};

    image->settings.debug = !production;
    image->settings.enclave_size = IMAGE_SIZE;
    must(settings_complete(&image->settings, &err) == 0, "settings", &err);
    manifest_fill(&image->settings, &none, &manifest);
    must(libos_elf_read("libos.elf", image->elf, image->elf_size,
                        LAYOUT_LIBOS_BASE(image->settings.enclave_size), &elf, &err) == 0,
         "libos.elf", &err);
    image->file = memfd_create("enclave", MFD_CLOEXEC);
    must(layout_write(&elf, &manifest, NULL, &image->settings, image->file, &err) == 0,
         "enclave file", &err);
    libos_elf_release(&elf);
    find_layout(image);
    must(sgx_sign_params_from_file(image->file, !production, &image->params, &err) == 0, "measure",
         &err);
    image_sign(image, IMAGE_OF_TENANT);
}

void image_put_header(struct image *image, size_t offset, const void *value, size_t size)
{
    must(pwrite(image->file, value, size, (off_t)offset) == (ssize_t)size, "pwrite", NULL);
}

void image_fill_unmeasured(struct image *image, uint8_t byte)
{
    static uint8_t piece[1 << 16];
    struct enclave_file_header h;

    memset(piece, byte, sizeof(piece));
    must(pread(image->file, &h, sizeof(h), 0) == sizeof(h), "pread", NULL);
    for (uint32_t i = 0; i < h.range_count; i++) {
        const off_t at = (off_t)(h.ranges_offset + i * sizeof(struct enclave_file_range));
        struct enclave_file_range r;
        must(pread(image->file, &r, sizeof(r), at) == sizeof(r), "pread", NULL);
        if (r.flags & ENCLAVE_FILE_MEASURED)
            continue;
        r.file_offset = (h.file_size + LAYOUT_PAGE - 1) & ~(LAYOUT_PAGE - 1);
        h.file_size = r.file_offset + r.size;
        for (uint64_t done = 0; done < r.size;) {
            const uint64_t n = r.size - done < sizeof(piece) ? r.size - done : sizeof(piece);
            must(pwrite(image->file, piece, n, (off_t)(r.file_offset + done)) == (ssize_t)n,
                 "pwrite", NULL);
            done += n;
        }
        image_put_header(image, (size_t)at, &r, sizeof(r));
    }
    image_put_header(image, 0, &h, sizeof(h));
}

void image_release(struct image *image)
{
    free(image->elf);
    if (image->file >= 0)
        close(image->file);
}
