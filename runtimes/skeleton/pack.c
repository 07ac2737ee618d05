/* SPDX-License-Identifier: Apache-2.0 */
/*
 * At build time: enclave.elf -> enclave file and SIGSTRUCT.   skeleton-pack ELF KEY OUT.enclave
 * OUT.sigstruct
 *
 * ELRANGE, all of it measured:  the segments of the ELF file, stack, SSA frames, TCS.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "call.h"
#include "sgx_arch.h"
#include "sgx/enclave_file.h"
#include "sgx/sigstruct.h"

static int add_segments(struct enclave_file_builder *builder, const struct buffer *elf,
                        uint64_t *end, struct error *err)
{
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)elf->data;
    const Elf64_Phdr *segments = (const Elf64_Phdr *)(elf->data + header->e_phoff);
    for (int i = 0; i < header->e_phnum; i++) {
        const Elf64_Phdr *segment = &segments[i];
        if (segment->p_type != PT_LOAD || segment->p_memsz == 0)
            continue;
        uint64_t flags = ENCLAVE_FILE_REG | (segment->p_flags & PF_R ? ENCLAVE_FILE_R : 0) |
                         (segment->p_flags & PF_W ? ENCLAVE_FILE_W : 0) |
                         (segment->p_flags & PF_X ? ENCLAVE_FILE_X : 0);
        if (enclave_file_builder_add(builder, segment->p_vaddr, segment->p_memsz,
                                     elf->data + segment->p_offset, segment->p_filesz, flags,
                                     ENCLAVE_FILE_MEASURED, err) < 0)
            return -1;
        *end = (segment->p_vaddr + segment->p_memsz + 4095) & ~4095ull;
    }
    return 0;
}

/* Stack, SSA frames, TCS, in this order: entry.S finds the first two from the address of the
 * last. */
static int add_thread(struct enclave_file_builder *builder, uint64_t start, uint64_t entry,
                      struct error *err)
{
    uint64_t stack = start + 4096; /* a page that is not there: an overflow faults */
    uint64_t ssa = stack + SKELETON_STACK, tcs = ssa + SKELETON_SSA_COUNT * 4096;
    struct sgx_tcs content = {.ossa = ssa,
                              .nssa = SKELETON_SSA_COUNT,
                              .oentry = entry,
                              .ofsbasgx = stack,
                              .ogsbasgx = stack,
                              .fslimit = 0xfff,
                              .gslimit = 0xfff};
    const uint64_t rw = ENCLAVE_FILE_REG | ENCLAVE_FILE_R | ENCLAVE_FILE_W;
    if (enclave_file_builder_add(builder, stack, tcs - stack, NULL, 0, rw, ENCLAVE_FILE_MEASURED,
                                 err) < 0)
        return -1;
    return enclave_file_builder_add(builder, tcs, 4096, &content, sizeof(content), ENCLAVE_FILE_TCS,
                                    ENCLAVE_FILE_MEASURED, err);
}

static int build(const struct buffer *elf, int out, struct error *err)
{
    struct enclave_file_header header = {.size = SKELETON_SIZE,
                                         .attributes = SGX_ATTR_MODE64,
                                         .xfrm = SGX_XFRM_LEGACY,
                                         .ssa_frame_size = 1,
                                         .flags = ENCLAVE_FILE_ANY_BASE};
    struct enclave_file_builder *builder = NULL;
    uint64_t end = 0;
    int result = enclave_file_builder_new(&header, &builder, err);
    if (result == 0)
        result = add_segments(builder, elf, &end, err);
    if (result == 0)
        result = add_thread(builder, end, ((const Elf64_Ehdr *)elf->data)->e_entry, err);
    if (result == 0)
        result = enclave_file_builder_write(builder, out, err);
    enclave_file_builder_free(builder);
    return result;
}

int main(int argc, char **argv)
{
    cleanup_error struct error err = ERROR_INIT;
    cleanup_buffer struct buffer elf = BUFFER_INIT;
    if (argc != 5)
        error_fatal_set("usage: skeleton-pack ELF KEY OUT.enclave OUT.sigstruct");
    if (read_file_at(AT_FDCWD, argv[1], &elf, 1 << 20, &err) < 0)
        error_fatal(&err);
    if (elf.size < sizeof(Elf64_Ehdr) || memcmp(elf.data, ELFMAG, SELFMAG) != 0)
        error_fatal_set("%s: not an ELF file", argv[1]);
    /* A key of this build. A real project signs its releases with a key that it keeps. */
    int result = sgx_key_generate(argv[2], &err);
    if (result < 0 && result != -EEXIST)
        error_fatal(&err);
    error_release(&err);

    cleanup_close int enclave = open(argv[3], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    cleanup_close int signature = open(argv[4], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (enclave < 0 || signature < 0)
        error_fatal_set("open %s and %s: %s", argv[3], argv[4], strerror(errno));
    struct sgx_sign_params params;
    struct sgx_sigstruct sigstruct;
    if (build(&elf, enclave, &err) < 0 ||
        sgx_sign_params_from_file(enclave, true, &params, &err) < 0)
        error_fatal(&err);
    sgx_sigstruct_fill(&params, &sigstruct);
    if (sgx_sigstruct_sign(&sigstruct, argv[2], &err) < 0 ||
        sgx_sigstruct_write(signature, &sigstruct, &err) < 0)
        error_fatal(&err);
    return 0;
}
