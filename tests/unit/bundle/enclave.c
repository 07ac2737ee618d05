/* SPDX-License-Identifier: Apache-2.0 */
/* Enclave files, deployment blobs, and what the LibOS's ELF file must not be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "enclave/bundle/layout_build.h"
#include "layout.h"
#include "sgx_arch.h"
#include "sgx/enclave_file.h"
#include "sgx/loader.h"

/* ---- a small LibOS: a text page, then a data page with a relocation and a site table ---- */

#define TEXT 0x1000u
#define DATA 0x2000u

struct libos {
    uint8_t file[0x3000];
};

static Elf64_Ehdr *header_of(struct libos *l)
{
    return (Elf64_Ehdr *)l->file;
}

static Elf64_Phdr *segments_of(struct libos *l)
{
    return (Elf64_Phdr *)(l->file + sizeof(Elf64_Ehdr));
}

static void make_libos(struct libos *l)
{
    static const uint8_t site[] = ENCLAVE_FILE_SITE_BYTES;
    memset(l, 0, sizeof(*l));
    Elf64_Ehdr *h = header_of(l);
    memcpy(h->e_ident, ELFMAG, SELFMAG);
    h->e_ident[EI_CLASS] = ELFCLASS64;
    h->e_ident[EI_DATA] = ELFDATA2LSB;
    h->e_type = ET_DYN;
    h->e_machine = EM_X86_64;
    h->e_entry = TEXT + 0x10;
    h->e_phoff = sizeof(*h);
    h->e_phentsize = sizeof(Elf64_Phdr);
    h->e_phnum = 3;
    h->e_shoff = 0x800;
    h->e_shentsize = sizeof(Elf64_Shdr);
    h->e_shnum = 2;
    h->e_shstrndx = 1;
    Elf64_Phdr *p = segments_of(l);
    p[0] = (Elf64_Phdr){.p_type = PT_LOAD,
                        .p_flags = PF_R | PF_X,
                        .p_offset = TEXT,
                        .p_vaddr = TEXT,
                        .p_filesz = 0x100,
                        .p_memsz = 0x100};
    p[1] = (Elf64_Phdr){.p_type = PT_LOAD,
                        .p_flags = PF_R | PF_W,
                        .p_offset = DATA,
                        .p_vaddr = DATA,
                        .p_filesz = 0x200,
                        .p_memsz = 0x3000};
    p[2] = (Elf64_Phdr){
        .p_type = PT_DYNAMIC, .p_offset = DATA + 0x80, .p_vaddr = DATA + 0x80, .p_filesz = 0x40};
    memcpy(l->file + TEXT + 0x20, site, sizeof(site));
    memcpy(l->file + TEXT + 0x40, site, sizeof(site));
    /* .enclu_sites at DATA: two entries, the later site first */
    int32_t *table = (int32_t *)(l->file + DATA);
    table[0] = (int32_t)(TEXT + 0x40) - (int32_t)DATA;
    table[1] = (int32_t)(TEXT + 0x20) - (int32_t)(DATA + 4);
    /* A pointer at DATA + 0x40, relocated to the entry. */
    Elf64_Dyn dynamic[] = {
        {DT_RELA, {DATA + 0x100}}, {DT_RELASZ, {sizeof(Elf64_Rela)}}, {DT_NULL, {0}}};
    memcpy(l->file + DATA + 0x80, dynamic, sizeof(dynamic));
    Elf64_Rela rela = {.r_offset = DATA + 0x40,
                       .r_info = ELF64_R_INFO(0, R_X86_64_RELATIVE),
                       .r_addend = TEXT + 0x10};
    memcpy(l->file + DATA + 0x100, &rela, sizeof(rela));
    Elf64_Shdr *s = (Elf64_Shdr *)(l->file + h->e_shoff);
    s[0] = (Elf64_Shdr){
        .sh_name = 1, .sh_type = SHT_PROGBITS, .sh_addr = DATA, .sh_offset = DATA, .sh_size = 8};
    s[1] = (Elf64_Shdr){.sh_type = SHT_STRTAB, .sh_offset = 0xa00, .sh_size = 0x40};
    memcpy(l->file + 0xa01, ".enclu_sites", 13);
}

static int read_libos(struct libos *l, struct libos_elf *elf)
{
    struct error err = ERROR_INIT;
    int ret = libos_elf_read("libos", l->file, sizeof(l->file), 0x1000000, elf, &err);
    error_release(&err);
    return ret;
}

static void test_libos(void **state)
{
    struct libos l;
    struct libos_elf elf;
    make_libos(&l);
    assert_int_equal(read_libos(&l, &elf), 0);
    assert_int_equal(elf.segment_count, 2);
    assert_int_equal(elf.entry, TEXT + 0x10);
    assert_int_equal(elf.end, 0x5000);
    assert_int_equal(elf.site_count, 2);
    assert_int_equal(elf.sites[0], TEXT + 0x20);
    assert_int_equal(elf.sites[1], TEXT + 0x40);
    uint64_t value;
    memcpy(&value, elf.segments[1].data + 0x40, 8);
    assert_int_equal(value, 0x1000000 + TEXT + 0x10);
    libos_elf_release(&elf);
}

static void refuse(void (*change)(struct libos *l))
{
    struct libos l;
    struct libos_elf elf;
    make_libos(&l);
    change(&l);
    assert_true(read_libos(&l, &elf) < 0);
}

static void make_writable_code(struct libos *l)
{
    segments_of(l)[0].p_flags |= PF_W;
}
static void make_shared_page(struct libos *l)
{
    segments_of(l)[1].p_vaddr = TEXT + 0x800;
}
static void make_symbol_relocation(struct libos *l)
{
    ((Elf64_Rela *)(l->file + DATA + 0x100))->r_info = ELF64_R_INFO(1, R_X86_64_GLOB_DAT);
}
static void make_stray_relocation(struct libos *l)
{
    ((Elf64_Rela *)(l->file + DATA + 0x100))->r_offset = DATA + 0x1fc;
}
static void make_needed(struct libos *l)
{
    ((Elf64_Dyn *)(l->file + DATA + 0x80))->d_tag = DT_NEEDED;
}
static void make_fixed(struct libos *l)
{
    header_of(l)->e_type = ET_EXEC;
}
static void make_long(struct libos *l)
{
    segments_of(l)[1].p_filesz = 0x2000;
}
static void make_empty(struct libos *l)
{
    header_of(l)->e_phnum = 0;
}

static void test_refused_libos(void **state)
{
    refuse(make_writable_code);
    refuse(make_shared_page);
    refuse(make_symbol_relocation);
    refuse(make_stray_relocation);
    refuse(make_needed);
    refuse(make_fixed);
    refuse(make_long);
    refuse(make_empty);
}

static void test_any_libos(void **state)
{
    struct libos l;
    struct libos_elf elf;
    srand(3);
    for (int round = 0; round < 5000; round++) {
        make_libos(&l);
        for (int i = 0; i < 6; i++)
            l.file[round % 2 ? rand() % 0x140 : 0x800 + rand() % 0x280] = (uint8_t)rand();
        if (read_libos(&l, &elf) == 0)
            libos_elf_release(&elf);
    }
}

/* ---- the enclave file ---- */

static struct buffer g_bound; /* of the next enclave; usually none */

static int write_enclave(const struct bundle_settings *wanted, int *fd)
{
    struct libos l;
    struct libos_elf elf;
    struct bundle_settings settings = *wanted;
    struct image_info info = {.seal = {.data_blocks = 10,
                                       .hash_offset = 40960,
                                       .image_size = 49152,
                                       .levels = 1,
                                       .salt_size = 32}};
    struct manifest_image manifest;
    struct error err = ERROR_INIT;
    int ret = settings_complete(&settings, &err);
    make_libos(&l);
    if (ret == 0)
        ret = libos_elf_read("libos", l.file, sizeof(l.file),
                             LAYOUT_LIBOS_BASE(settings.enclave_size), &elf, &err);
    if (ret == 0) {
        manifest_fill(&settings, &info, &manifest);
        *fd = memfd_create("enclave", MFD_CLOEXEC);
        ret = layout_write(&elf, &manifest, &g_bound, &settings, *fd, &err);
        libos_elf_release(&elf);
    }
    if (ret < 0)
        print_message("%s\n", error_text(&err));
    error_release(&err);
    return ret;
}

/* Bytes of the enclave at an address; NULL in a hole. */
static const uint8_t *at(const struct enclave_file *f, uint64_t address, uint64_t *flags)
{
    static const uint8_t zeros[4096];
    for (uint32_t i = 0; i < f->header->range_count; i++) {
        const struct enclave_file_range *r = &f->ranges[i];
        if (address < r->offset || address - r->offset >= r->size)
            continue;
        *flags = r->secinfo_flags;
        return r->file_offset == ENCLAVE_FILE_ZERO
                   ? zeros
                   : f->data + r->file_offset + (address - r->offset);
    }
    return NULL;
}

static void check_threads(const struct enclave_file *f, const struct enclave_layout *layout)
{
    uint64_t flags;
    for (uint32_t i = 0; i < f->header->range_count; i++) {
        const struct enclave_file_range *r = &f->ranges[i];
        if (r->secinfo_flags != ENCLAVE_FILE_TCS)
            continue;
        struct sgx_tcs tcs;
        memcpy(&tcs, f->data + r->file_offset, sizeof(tcs));
        assert_int_equal(tcs.oentry, layout->libos_base + TEXT + 0x10);
        assert_int_equal(tcs.nssa, LAYOUT_NSSA);
        assert_int_equal(tcs.ogsbasgx, tcs.ofsbasgx);
        const uint8_t *page = at(f, tcs.ogsbasgx, &flags);
        struct layout_tcb tcb;
        memcpy(&tcb, page, sizeof(tcb));
        assert_int_equal(flags, ENCLAVE_FILE_REG | ENCLAVE_FILE_R | ENCLAVE_FILE_W);
        assert_true(tcb.magic == TCB_MAGIC && tcb.self == tcs.ogsbasgx && tcb.tcs == r->offset);
        assert_true(tcb.ssa == tcs.ossa && tcb.layout == layout->manifest + LAYOUT_PAGE);
        assert_non_null(at(f, tcb.stack_top - 1, &flags));
        assert_non_null(at(f, tcb.stack_top - LAYOUT_STACK_SIZE, &flags));
        assert_null(at(f, tcb.stack_top - LAYOUT_STACK_SIZE - 1, &flags)); /* the guard */
    }
}

static void test_enclave_file(void **state)
{
    struct bundle_settings settings = {.static_tcs = 3, .memory_limit = 1 << 28};
    int fd = -1;
    struct enclave_file *f = NULL;
    struct error err = ERROR_INIT;
    assert_int_equal(write_enclave(&settings, &fd), 0);
    assert_int_equal(enclave_file_open(fd, &f, &err), 0);
    assert_int_equal(f->header->size, LAYOUT_SIZE_DEFAULT);
    assert_int_equal(f->header->site_count, 2);
    uint64_t flags, base = LAYOUT_LIBOS_BASE(LAYOUT_SIZE_DEFAULT);
    assert_true(f->sites[0] == base + TEXT + 0x20 && f->sites[1] == base + TEXT + 0x40);
    assert_null(at(f, f->header->trampoline_offset, &flags));

    struct manifest_image manifest;
    memcpy(&manifest, at(f, base + 0x5000, &flags), sizeof(manifest));
    assert_int_equal(flags, ENCLAVE_FILE_REG | ENCLAVE_FILE_R);
    assert_true(manifest.magic == MANIFEST_IMAGE_MAGIC && manifest.static_tcs == 3);
    assert_true(manifest.memory_limit == 1 << 28 && manifest.data_blocks == 10);
    assert_int_equal(manifest.flags, MANIFEST_KSS);
    assert_int_equal(manifest.log_level, 2);
    struct enclave_layout layout;
    memcpy(&layout, at(f, base + 0x6000, &flags), sizeof(layout));
    assert_true(layout.magic == ENCLAVE_LAYOUT_MAGIC && layout.libos_base == base);
    assert_true(layout.manifest == base + 0x5000 && layout.static_tcs == 3);
    assert_non_null(at(f, layout.heap, &flags));
    assert_non_null(at(f, layout.heap + layout.heap_initial - 1, &flags));
    assert_null(at(f, layout.heap + layout.heap_initial, &flags));
    check_threads(f, &layout);
    /* Not measured is only room: stacks and the first heap, which the LibOS writes before it
     * reads. */
    unsigned rooms = 0;
    for (uint32_t i = 0; i < f->header->range_count; i++) {
        const struct enclave_file_range *r = &f->ranges[i];
        if (r->flags & ENCLAVE_FILE_MEASURED)
            continue;
        assert_true(r->file_offset == ENCLAVE_FILE_ZERO);
        assert_true(r->size == LAYOUT_STACK_SIZE || r->offset == layout.heap);
        assert_int_equal(r->secinfo_flags, ENCLAVE_FILE_REG | ENCLAVE_FILE_R | ENCLAVE_FILE_W);
        rooms++;
    }
    assert_int_equal(rooms, layout.static_tcs + 1);
    enclave_file_close(f);
    close(fd);
}

static void measure(const struct bundle_settings *settings, uint8_t out[32])
{
    int fd = -1;
    assert_int_equal(write_enclave(settings, &fd), 0);
    assert_int_equal(sgx_enclave_measure(fd, out, NULL), 0);
    close(fd);
}

static void test_same_settings_same_measurement(void **state)
{
    uint8_t first[32], again[32], other[32];
    struct bundle_settings settings = {.static_tcs = 2};
    measure(&settings, first);
    measure(&settings, again);
    assert_memory_equal(first, again, 32);
    settings.debug = true;
    measure(&settings, other);
    assert_memory_not_equal(first, other, 32);
    settings.debug = false;
    settings.no_kss = true;
    settings.deployment_hash[5] = 1;
    measure(&settings, other);
    assert_memory_not_equal(first, other, 32);
    memcpy(first, other, 32);
    settings.deployment_hash[5] = 2;
    measure(&settings, other);
    assert_memory_not_equal(first, other, 32);
}

static void test_sgx1(void **state)
{
    struct bundle_settings settings = {.no_sgx2 = true, .memory_limit = 1 << 20};
    struct error err = ERROR_INIT;
    assert_true(settings_complete(&settings, &err) < 0);
    error_release(&err);
    settings = (struct bundle_settings){.no_sgx2 = true, .memory_limit = 3ull << 30};
    assert_int_equal(settings_complete(&settings, &err), 0);
    assert_int_equal(settings.enclave_size, 4ull << 30); /* 768 MiB of heap do not fit 1/4 of 2 */
    settings = (struct bundle_settings){
        .no_sgx2 = true, .memory_limit = 4ull << 30, .enclave_size = 2ull << 30};
    assert_true(settings_complete(&settings, &err) < 0);
    error_release(&err);

    settings = (struct bundle_settings){
        .no_sgx2 = true, .memory_limit = 128 << 20, .thread_limit = 10};
    assert_int_equal(settings_complete(&settings, &err), 0);
    assert_int_equal(settings.static_tcs, 14);
    int fd = -1;
    struct enclave_file *f = NULL;
    assert_int_equal(write_enclave(&settings, &fd), 0);
    assert_int_equal(enclave_file_open(fd, &f, &err), 0);
    assert_int_equal(f->header->flags & ENCLAVE_FILE_NEEDS_SGX2, 0);
    uint64_t flags, end = LAYOUT_USER_START + (96 << 20);
    assert_non_null(at(f, LAYOUT_USER_START, &flags));
    assert_int_equal(flags, ENCLAVE_FILE_REG | 7);
    assert_non_null(at(f, end - 1, &flags));
    assert_null(at(f, end, &flags));
    enclave_file_close(f);
    close(fd);
}

/* ---- the deployment blob ---- */

static const char *const g_args[] = {"/bin/sh", "-c", "echo \"hi\"", NULL};
static const char *const g_env[] = {"A=1", "B=", NULL};

/* The n-th record of a type: its value, or NULL. */
static const uint8_t *record(const struct buffer *blob, uint32_t type, unsigned n, uint32_t *size)
{
    struct manifest_deployment_header h;
    memcpy(&h, blob->data, sizeof(h));
    size_t offset = sizeof(h);
    for (uint32_t i = 0; i < h.record_count; i++) {
        struct manifest_record r;
        memcpy(&r, blob->data + offset, sizeof(r));
        if (r.type == type && n-- == 0) {
            *size = r.size;
            return (const uint8_t *)blob->data + offset + sizeof(r);
        }
        offset += sizeof(r) + (r.size + 7) / 8 * 8;
    }
    assert_int_equal(offset, blob->size);
    return NULL;
}

static void test_deployment(void **state)
{
    const uint32_t groups[] = {5, 6, 7};
    const struct bundle_mount mounts[] = {
        {.kind = MANIFEST_MOUNT_TMPFS, .mode = 01777, .size = 4096, .target = "/tmp"},
        {.kind = MANIFEST_MOUNT_PASSTHROUGH,
         .index = 2,
         .target = "/data",
         .source = "/srv",
         .options = "rw"}};
    const struct bundle_rlimit limits[] = {{7, 1024, 4096}};
    struct bundle_deployment d = {.policy = {.exec = MANIFEST_EXEC_ANY,
                                             .flags = MANIFEST_POLICY_STDIN,
                                             .signals = ~0ull,
                                             .log_level = 3},
                                  .args = g_args,
                                  .env = g_env,
                                  .cwd = "/root",
                                  .uid = 1000,
                                  .gid = 100,
                                  .umask = 022,
                                  .groups = groups,
                                  .group_count = 3,
                                  .capabilities = 1,
                                  .bounding = 2,
                                  .inheritable = 4,
                                  .ambient = 8,
                                  .mounts = mounts,
                                  .mount_count = 2,
                                  .rlimits = limits,
                                  .rlimit_count = 1,
                                  .terminal = true};
    struct buffer blob = BUFFER_INIT, again = BUFFER_INIT;
    uint8_t hash[32], second[32];
    uint32_t size;
    assert_int_equal(bundle_deployment_build(&d, &blob, hash, NULL), 0);
    assert_int_equal(bundle_deployment_build(&d, &again, second, NULL), 0);
    assert_memory_equal(hash, second, 32);
    assert_int_equal(blob.size % 8, 0);

    struct manifest_deployment_header h;
    memcpy(&h, blob.data, sizeof(h));
    assert_true(h.magic == MANIFEST_DEPLOYMENT_MAGIC && h.version == MANIFEST_VERSION &&
                h.size == blob.size);
    struct manifest_policy policy;
    const uint8_t *p = record(&blob, MANIFEST_POLICY, 0, &size);
    assert_int_equal(size, sizeof(policy));
    memcpy(&policy, p, sizeof(policy));
    assert_true(policy.exec == MANIFEST_EXEC_ANY && policy.flags == MANIFEST_POLICY_STDIN);
    assert_true(policy.signals == ~MANIFEST_SIGNALS_NEVER && policy.log_level == 3);
    p = record(&blob, MANIFEST_ARG, 2, &size);
    assert_int_equal(size, 9);
    assert_memory_equal(p, "echo \"hi\"", 9);
    assert_null(record(&blob, MANIFEST_ARG, 3, &size));
    assert_non_null(record(&blob, MANIFEST_ENV, 1, &size));
    assert_int_equal(size, 2);
    p = record(&blob, MANIFEST_USER, 0, &size);
    assert_int_equal(size, sizeof(struct manifest_user) + 12);
    assert_memory_equal(p + sizeof(struct manifest_user), groups, 12);
    const struct manifest_user *user = (const struct manifest_user *)p;
    assert_true(user->capabilities == 1 && user->bounding == 2 && user->inheritable == 4 &&
                user->ambient == 8);
    p = record(&blob, MANIFEST_MOUNT, 1, &size);
    struct manifest_mount m;
    memcpy(&m, p, sizeof(m));
    assert_true(m.index == 2 && m.target_size == 5 && m.source_size == 4 && m.options_size == 2);
    assert_memory_equal(p + sizeof(m), "/data/srvrw", 11);
    assert_non_null(record(&blob, MANIFEST_TERMINAL, 0, &size));
    assert_null(record(&blob, MANIFEST_READONLY_ROOT, 0, &size));
    assert_null(record(&blob, MANIFEST_HOSTNAME, 0, &size));

    d.umask = 077;
    assert_int_equal(bundle_deployment_build(&d, &again, second, NULL), 0);
    assert_memory_not_equal(hash, second, 32);
    d.args = g_args + 3;
    struct error err = ERROR_INIT;
    assert_true(bundle_deployment_build(&d, &again, second, &err) < 0);
    assert_non_null(strstr(error_text(&err), "process.args"));
    error_release(&err);
    buffer_release(&blob);
    buffer_release(&again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_libos),
        cmocka_unit_test(test_refused_libos),
        cmocka_unit_test(test_any_libos),
        cmocka_unit_test(test_enclave_file),
        cmocka_unit_test(test_same_settings_same_measurement),
        cmocka_unit_test(test_sgx1),
        cmocka_unit_test(test_deployment),
    };
    return cmocka_run_group_tests_name("bundle-enclave", tests, NULL, NULL);
}
