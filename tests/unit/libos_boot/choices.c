/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the host chooses and no measurement covers (docs/design/entry.md): the real LibOS image, in
 * the software SGX, loaded and entered by a host that chooses wrongly. Each row of the page's table
 * has its function here.
 *   choices LIBOS_ELF
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "boundary.h"
#include "enclave_file.h"
#include "image.h"
#include "sgx_arch.h"
#include "sgx/driver.h"
#include "sgx/emulator/emulator.h"
#include "sgx/enclave_file.h"
#include "sgx/loader.h"

#define PLUNDER 0x1337c0deul

static const char *g_libos;
static const struct sgx_driver *g_driver;
static unsigned g_count, g_bad;
static bool g_told; /* host_open() makes enclaves that are told of asynchronous exits */

__attribute__((format(printf, 2, 3))) static bool expect(bool good, const char *format, ...)
{
    va_list ap;

    printf("%s %u - ", good ? "ok" : "not ok", ++g_count);
    va_start(ap, format);
    vprintf(format, ap);
    va_end(ap);
    printf("\n");
    fflush(stdout);
    g_bad += !good;
    return good;
}

/* ---- the host ---- */

struct host {
    struct image image;
    struct sgx_enclave *enclave;
    struct boundary_area *area;
    /* What to do with an ocall: SGX_EENTER answers it, 0 leaves the TCS inside it. */
    int (*ocall)(struct host *h, uint64_t number);
    /* What to do after an exception: SGX_EENTER, SGX_ERESUME, 0. */
    int (*exception)(struct host *h, const struct sgx_enclave_run *run);
    unsigned ocalls, exceptions, resumes; /* of one run */
    bool dead, aborted, returned;
    int64_t result;
    uint8_t vector;
    char said[1024]; /* the last line */
};

static int answer(struct host *h, uint64_t number)
{
    struct boundary_area *a = h->area;

    a->ret = -ENOSYS;
    if (number == OCALL_LOG || number == OCALL_ABORT) {
        const uint64_t n = a->args[number == OCALL_LOG ? 1 : 0];
        snprintf(h->said, sizeof(h->said), "%.*s", (int)(n < 1000 ? n : 1000), (char *)a->data);
        a->ret = 0;
        h->aborted |= number == OCALL_ABORT;
        return number == OCALL_LOG ? SGX_EENTER : 0;
    }
    if (number == OCALL_CLOCK) {
        a->ret = 1000000000;
        a->out[0] = 1000;
        a->out[1] = 2000000000;
    }
    return SGX_EENTER;
}

static int left(long rdi, long rsi, long rdx, long rsp, long r8, long r9,
                struct sgx_enclave_run *run)
{
    struct host *h = (struct host *)run->user_data;

    if (run->function != SGX_EEXIT) {
        h->vector = (uint8_t)run->exception_vector;
        h->exceptions += h->vector != X86_UD; /* what the processor does not have, cpu.h */
        if (run->function != SGX_ERESUME || h->vector == X86_GP || h->exceptions > 1000)
            return 0; /* of EENTER or ERESUME itself */
        return h->exception ? h->exception(h, run) : SGX_EENTER;
    }
    switch (rdi) {
    case BOUNDARY_EXIT_OCALL:
        h->ocalls++;
        return h->ocall ? h->ocall(h, (uint64_t)rsi) : answer(h, (uint64_t)rsi);
    case BOUNDARY_EXIT_RESUME:
        h->resumes++;
        return SGX_ERESUME;
    case BOUNDARY_EXIT_RETURN:
        h->returned = true;
        h->result = rsi;
        return 0;
    default:
        h->dead = rdi == BOUNDARY_EXIT_DEAD;
        return 0;
    }
}

static int enter(struct host *h, unsigned tcs, unsigned function, uint64_t rdi, const void *rsi,
                 const void *rdx)
{
    struct sgx_enclave_run run = {
        .tcs = h->enclave->tcs[tcs], .user_handler = (uint64_t)left, .user_data = (uint64_t)h};

    h->ocalls = h->exceptions = h->resumes = 0;
    h->dead = h->aborted = h->returned = false;
    h->said[0] = '\0';
    return g_driver->enter(rdi, (unsigned long)rsi, (unsigned long)rdx, function, 0, 0, &run);
}

static void boot(struct host *h)
{
    static struct boundary_boot b; /* without an image: it gets as far as to ask for it */

    enter(h, 0, SGX_EENTER, ECALL_BOOT, h->area, &b);
}

static void host_open(struct host *h, bool production, bool without_proof)
{
    memset(h, 0, sizeof(*h));
    image_read(&h->image, g_libos, without_proof);
    h->image.settings.aexnotify = g_told;
    image_build(&h->image, production);
    h->area = mmap(NULL, sizeof(*h->area), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                   0);
    if (h->area == MAP_FAILED)
        abort();
}

static int host_load_as(struct host *h, const struct sgx_load_options *options, struct error *err)
{
    return sgx_enclave_load(g_driver, h->image.file, &h->image.sigstruct, options, &h->enclave,
                            err);
}

static int host_load(struct host *h, struct error *err)
{
    return host_load_as(h, &(struct sgx_load_options){.kss = true, .fixed_base = true}, err);
}

static void host_close(struct host *h)
{
    sgx_enclave_free(h->enclave);
    munmap(h->area, sizeof(*h->area));
    image_release(&h->image);
}

/* ---- BASEADDR ---- */

#define OTHER_BASE IMAGE_SIZE

/* Memory of the host where the enclave's own would be at the base that it was built for. */
struct decoy {
    uint8_t *start, *before;
    size_t size;
};

static void decoy_make(struct decoy *d, const struct image *image)
{
    const struct enclave_layout *l = &image->layout;
    struct enclave_file *file = NULL;
    struct libos_elf elf = {0};
    struct error err = ERROR_INIT;

    d->size = l->heap + l->heap_initial - l->libos_base;
    d->start = mmap((void *)l->libos_base, d->size, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    d->before = malloc(d->size);
    if (d->start == MAP_FAILED || !d->before || enclave_file_open(image->file, &file, &err) < 0 ||
        libos_elf_read("libos.elf", image->elf, image->elf_size, OTHER_BASE + l->libos_base, &elf,
                       &err) < 0)
        abort();
    for (uint32_t i = 0; i < file->header->range_count; i++) {
        const struct enclave_file_range *r = &file->ranges[i];
        if (r->file_offset != ENCLAVE_FILE_ZERO)
            memcpy((void *)r->offset, file->data + r->file_offset, r->size);
    }
    /* Pointers in the image's data lead back to the enclave's code. */
    for (unsigned i = 0; i < elf.segment_count; i++)
        memcpy((void *)(l->libos_base + elf.segments[i].address), elf.segments[i].data,
               elf.segments[i].data_size);
    memcpy(d->before, d->start, d->size);
    libos_elf_release(&elf);
    enclave_file_close(file);
}

static void decoy_release(struct decoy *d)
{
    munmap(d->start, d->size);
    free(d->before);
}

static int stay_in_clock(struct host *h, uint64_t number)
{
    return number == OCALL_CLOCK ? 0 : answer(h, number);
}

/* Every return address of the enclave's code that lies in the host's memory gets another value. */
static unsigned redirect_returns(const struct image *image, uint64_t stack_top, const char *where)
{
    const struct enclave_layout *l = &image->layout;
    const uint64_t start = OTHER_BASE + l->libos_base, end = OTHER_BASE + l->libos_image_end;
    unsigned count = 0;

    for (uint64_t *p = (uint64_t *)(stack_top - LAYOUT_STACK_SIZE); p < (uint64_t *)stack_top; p++)
        if (*p >= start && *p < end) {
            *p = start + image_symbol(image, where);
            count++;
        }
    return count;
}

static void another_base(bool without_proof)
{
    const char *which = without_proof ? "entry code without the proof" : "entry code";
    const uint64_t base = OTHER_BASE;
    struct error err = ERROR_INIT;
    struct decoy decoy;
    struct host h;

    host_open(&h, true, without_proof);
    image_put_header(&h.image, offsetof(struct enclave_file_header, base), &base, sizeof(base));
    if (!expect(host_load(&h, &err) == 0 && h.enclave->base == base,
                "%s: EINIT takes the signed enclave at %#lx", which, base))
        abort();
    decoy_make(&decoy, &h.image);
    boot(&h);
    if (without_proof) {
        /* It panics, for its layout does not fit; so it is inside an ocall, its stack in memory of
         * the host. */
        unsigned n = redirect_returns(&h.image, h.enclave->tcs[0] - base, "enclave_leave");
        enter(&h, 0, SGX_EENTER, PLUNDER, NULL, NULL);
        expect(n > 0 && h.returned && h.result == PLUNDER,
               "%s: the host runs code of its choice in it (%u return addresses in host memory)",
               which, n);
    } else {
        expect(h.dead && h.ocalls == 0 && h.exceptions == 0, "%s: it leaves at once", which);
        expect(memcmp(decoy.start, decoy.before, decoy.size) == 0,
               "%s: it wrote nothing where it would be at its own base", which);
        h.dead = false;
        enter(&h, 3, SGX_EENTER, ECALL_THREAD, h.area, NULL);
        expect(h.dead, "%s: so does an entry on another TCS, with another ecall", which);
    }
    decoy_release(&decoy);
    host_close(&h);
}

static void own_base(void)
{
    struct error err = ERROR_INIT;
    struct host h;

    host_open(&h, true, false);
    if (!expect(host_load(&h, &err) == 0 && h.enclave->base == 0, "the enclave loads at its base"))
        abort();
    h.ocall = stay_in_clock;
    boot(&h);
    expect(h.ocalls > 0 && !h.dead && !h.aborted, "and starts there");
    host_close(&h);

    const uint32_t flags = ENCLAVE_FILE_ANY_BASE | ENCLAVE_FILE_NEEDS_SGX2;
    host_open(&h, true, false);
    image_put_header(&h.image, offsetof(struct enclave_file_header, flags), &flags, sizeof(flags));
    const int rc = host_load(&h, &err);
    expect(rc == -ENOEXEC, "a file that leaves the base open is refused: %s", error_text(&err));
    error_release(&err);
    host_close(&h);
}

/* ---- ATTRIBUTES, XFRM, MISCSELECT, CONFIGID, CONFIGSVN ---- */

struct start {
    const char *what;
    const char *refusal; /* NULL: it runs */
    uint64_t attributes, xfrm;
    uint32_t miscselect;
    bool debuggable; /* the manifest allows it */
    bool told;       /* built for AEX-Notify */
    struct sgx_load_options options;
};

#define PROCESSOR "" /* refuses: the TCS are not made for it */
#define AS_BUILT  .xfrm = 0xe7, .miscselect = SGX_MISC_EXINFO

/* Signed again by the host: MRENCLAVE is the same, and EINIT takes it. */
static const struct start g_starts[] = {
    {"as it was built", NULL, AS_BUILT, .options = {.kss = true}},
    {"without AVX", NULL, .xfrm = 3, .miscselect = SGX_MISC_EXINFO, .options = {.kss = true}},
    {"a debug enclave, debugged", NULL, AS_BUILT, .debuggable = true,
     .options = {.kss = true, .debug = true}},
    {"a debug enclave, not debugged", NULL, AS_BUILT, .debuggable = true, .options = {.kss = true}},
    {"DEBUG", "to be debugged", AS_BUILT, .options = {.kss = true, .debug = true}},
    {"the provisioning key", "ATTRIBUTES", AS_BUILT, .attributes = SGX_ATTR_PROVISION_KEY,
     .options = {.kss = true}},
    {"the EINIT token key", "ATTRIBUTES", AS_BUILT, .attributes = SGX_ATTR_EINIT_KEY,
     .options = {.kss = true}},
    {"AEX-Notify", PROCESSOR, AS_BUILT, .attributes = SGX_ATTR_AEX_NOTIFY,
     .options = {.kss = true}},
    {"AEX-Notify, for which it was built", NULL, AS_BUILT, .attributes = SGX_ATTR_AEX_NOTIFY,
     .told = true, .options = {.kss = true}},
    {"no MISCSELECT.EXINFO", "MISCSELECT", .xfrm = 0xe7, .options = {.kss = true}},
    {"no CONFIGID", "no CONFIGID", AS_BUILT},
    {"a CONFIGID with a tail", "CONFIGID", AS_BUILT,
     .options = {.kss = true, .config_id = {[63] = 1}}},
    {"a CONFIGSVN", "CONFIGSVN", AS_BUILT, .options = {.kss = true, .config_svn = 1}},
};

static void other_start(const struct start *s)
{
    const uint64_t attributes = SGX_ATTR_MODE64 | s->attributes;
    struct error err = ERROR_INIT;
    uint8_t mrenclave[32];
    struct host h;

    g_told = s->told;
    host_open(&h, !s->debuggable, false);
    g_told = false;
    memcpy(mrenclave, h.image.params.mrenclave, sizeof(mrenclave));
    image_put_header(&h.image, offsetof(struct enclave_file_header, attributes), &attributes, 8);
    image_put_header(&h.image, offsetof(struct enclave_file_header, xfrm), &s->xfrm, 8);
    image_put_header(&h.image, offsetof(struct enclave_file_header, miscselect), &s->miscselect, 4);
    h.image.params.attribute_mask = (struct sgx_attributes){0};
    h.image.params.misc_mask = 0;
    image_sign(&h.image, IMAGE_OF_HOST);
    if (!expect(host_load_as(&h, &s->options, &err) == 0 &&
                    memcmp(h.enclave->mrenclave, mrenclave, sizeof(mrenclave)) == 0,
                "%s: EINIT takes it, with the same MRENCLAVE", s->what))
        abort();
    h.ocall = stay_in_clock;
    boot(&h);
    if (s->refusal && s->refusal[0] == '\0')
        expect(h.exceptions == 1 && h.vector == X86_GP && h.ocalls == 0, "%s: #GP of EENTER",
               s->what);
    else if (s->refusal)
        expect(h.aborted && h.ocalls == 1 && strstr(h.said, s->refusal), "%s: %s", s->what, h.said);
    else
        expect(!h.aborted && h.ocalls > 0, "%s: it runs", s->what);
    host_close(&h);
}

/* The tenant's own signature leaves less to choose. */
static void signed_as_built(void)
{
    const struct sgx_load_options debug = {.kss = true, .debug = true};
    const uint64_t key = SGX_ATTR_MODE64 | SGX_ATTR_PROVISION_KEY;
    const uint32_t no_exinfo = 0;
    struct error err = ERROR_INIT;
    struct host h;

    host_open(&h, true, false);
    expect(host_load_as(&h, &debug, &err) == -EPERM, "its own SIGSTRUCT refuses DEBUG");
    image_put_header(&h.image, offsetof(struct enclave_file_header, miscselect), &no_exinfo, 4);
    expect(host_load(&h, &err) == -EPERM, "and another MISCSELECT");
    image_put_header(&h.image, offsetof(struct enclave_file_header, attributes), &key, 8);
    expect(host_load(&h, &err) == -EPERM, "and the provisioning key");
    error_release(&err);
    host_close(&h);

    const uint64_t untold = SGX_ATTR_MODE64;
    g_told = true;
    host_open(&h, true, false);
    g_told = false;
    image_put_header(&h.image, offsetof(struct enclave_file_header, attributes), &untold, 8);
    const int rc = host_load(&h, &err);
    expect(rc < 0 && strstr(error_text(&err), "EADD: the TCS"),
           "without the AEX-Notify that it was built for EADD refuses its TCS, whoever signs: %s",
           error_text(&err));
    error_release(&err);
    host_close(&h);
}

/* Anybody can sign, with any product and version: what EREPORT says then is not the tenant's, but
 * for MRENCLAVE. */
static void signed_by_another(void)
{
    struct error err = ERROR_INIT;
    uint8_t tenant[32], host[32];
    struct host h;

    host_open(&h, true, false);
    sgx_sigstruct_mrsigner(&h.image.sigstruct, tenant);
    const uint8_t *const mrenclave = h.image.params.mrenclave;
    const uint16_t svn = h.image.params.isv_svn, product = h.image.params.isv_prod_id;
    h.image.params.isv_svn = (uint16_t)(svn + 7);
    h.image.params.isv_prod_id = (uint16_t)(product + 9);
    image_sign(&h.image, IMAGE_OF_HOST);
    sgx_sigstruct_mrsigner(&h.image.sigstruct, host);
    if (!expect(host_load(&h, &err) == 0, "EINIT takes another signer's SIGSTRUCT"))
        abort();
    h.ocall = stay_in_clock;
    boot(&h);
    expect(!h.aborted && h.ocalls > 0, "and it runs: a verifier tells it");
    const struct sgx_secs *secs = &h.enclave->handle->secs;
    expect(memcmp(secs->mrenclave, mrenclave, 32) == 0, "by the same MRENCLAVE");
    expect(memcmp(secs->mrsigner, tenant, 32) != 0 && memcmp(secs->mrsigner, host, 32) == 0,
           "with the MRSIGNER of who signed");
    expect(secs->isv_svn == svn + 7 && secs->isv_prod_id == product + 9,
           "and the product and version that he said");
    host_close(&h);
}

/* ---- pages that are not measured ---- */

#define FILL 0xa5

/* Bytes of the host's choice in [start, end), runs of them: a value may have one by chance. */
static unsigned runs_of_fill(uint64_t start, uint64_t end)
{
    unsigned runs = 0;
    uint64_t same = 0;

    for (const uint8_t *p = (const uint8_t *)start; p < (const uint8_t *)end; p++) {
        same = *p == FILL ? same + 1 : 0;
        runs += same == 8;
    }
    return runs;
}

static void unmeasured_pages(void)
{
    struct error err = ERROR_INIT;
    struct host h;

    host_open(&h, true, false);
    const struct enclave_layout *l = &h.image.layout;
    image_fill_unmeasured(&h.image, FILL);
    if (!expect(host_load(&h, &err) == 0, "EINIT takes other contents of unmeasured pages"))
        abort();
    const uint64_t stack_top = h.enclave->tcs[0];
    expect(runs_of_fill(stack_top - LAYOUT_STACK_SIZE, stack_top) > 0 &&
               runs_of_fill(l->heap, l->heap + l->heap_initial) > 0,
           "stacks and heap hold them");
    boot(&h);
    expect(h.returned && !h.aborted, "it starts, up to the deployment that is not there: %s",
           h.said);
    expect(runs_of_fill(stack_top - LAYOUT_STACK_SIZE, stack_top) == 0,
           "nothing of them is in the stack that was used");
    uint64_t used = l->heap + l->heap_initial;
    while (used > l->heap && runs_of_fill(used - SGX_PAGE_SIZE, used) > 0)
        used -= SGX_PAGE_SIZE;
    expect(used > l->heap + SGX_PAGE_SIZE && runs_of_fill(l->heap, used) == 0,
           "nor in the %lu KiB of the heap that were used", (used - l->heap) >> 10);
    host_close(&h);
}

/* ---- faults that only a host makes ---- */

static uint64_t g_taken; /* page of the enclave */

static void map_page(struct host *h, uint64_t page, int prot)
{
    struct error err = ERROR_INIT;

    if (g_driver->map(h->enclave->handle, page, SGX_PAGE_SIZE, prot, &err) < 0) {
        fprintf(stderr, "%s\n", error_text(&err));
        abort();
    }
}

static void *g_source; /* page of the host */

/*
 * The copy faults at the host's page; the host gives that back, takes the enclave's page that the
 * copy writes to away, goes on, and has the enclave judge the second fault.
 */
static int swap_pages(struct host *h, const struct sgx_enclave_run *run)
{
    switch (h->exceptions) {
    case 1:
        mprotect(g_source, SGX_PAGE_SIZE, PROT_READ | PROT_WRITE);
        map_page(h, g_taken, PROT_NONE);
        return SGX_ERESUME;
    case 2:
        return SGX_EENTER;
    default:
        map_page(h, g_taken, PROT_READ | PROT_WRITE);
        return h->exceptions < 100 ? SGX_EENTER : 0;
    }
}

static void page_of_the_libos(bool production)
{
    const char *which = production ? "production" : "debug";
    struct error err = ERROR_INIT;
    struct host h;

    host_open(&h, production, false);
    if (host_load(&h, &err) < 0)
        abort();
    g_taken = (h.image.layout.libos_base +
               image_variable(&h.image, "boot.", sizeof(struct boundary_boot))) &
              ~(SGX_PAGE_SIZE - 1);
    g_source = mmap(NULL, SGX_PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    h.exception = swap_pages;
    enter(&h, 0, SGX_EENTER, ECALL_BOOT, h.area, g_source);
    expect(h.exceptions >= 2 && h.aborted && !h.returned,
           "%s: a page of the LibOS is away while a copy writes to it: the copy does not fail, the "
           "enclave ends (%u exceptions, result %ld)",
           which, h.exceptions, h.result);
    expect(strstr(h.said, "memory of the LibOS is gone") && h.ocalls == 1, "%s: it says \"%.300s\"",
           which, h.said);
    expect(production ? !strpbrk(h.said, "0123456789") : strstr(h.said, " rax ") != NULL, "%s: %s",
           which, production ? "no detail of the fault" : "the registers too");
    map_page(&h, g_taken, PROT_READ | PROT_WRITE);
    h.exception = NULL;
    for (unsigned tcs = 0; tcs < 3; tcs++) {
        enter(&h, tcs, SGX_EENTER, ECALL_THREAD, h.area, NULL);
        expect(h.dead && h.ocalls == 0, "%s: afterwards nothing enters, TCS %u", which, tcs);
    }
    munmap(g_source, SGX_PAGE_SIZE);
    host_close(&h);
}

/* ---- pages that the host changes by itself (SGX2) ---- */

static const struct {
    const char *what;
    uint64_t permissions; /* EMODPR; 0: EMODT */
    uint64_t type;
} g_changes[] = {
    {"EMODPR takes W", SGX_SECINFO_R, 0},
    {"EMODT makes it TRIM", 0, SGX_PT_TRIM},
    {"EMODT makes it a TCS", 0, SGX_PT_TCS},
};

/* Linux takes only a TCS page that is one; the processor takes any. */
static int change_page(struct host *h, uint64_t page, size_t i)
{
    struct sgx_enclave_restrict_permissions restriction = {
        .offset = page, .length = SGX_PAGE_SIZE, .permissions = g_changes[i].permissions};
    struct sgx_enclave_modify_types types = {
        .offset = page, .length = SGX_PAGE_SIZE, .page_type = g_changes[i].type};
    struct sgx_handle *handle = h->enclave->handle;
    struct error err = ERROR_INIT;
    int rc = g_changes[i].permissions ? g_driver->restrict_permissions(handle, &restriction, &err)
                                      : g_driver->modify_types(handle, &types, &err);

    if (rc < 0)
        printf("# %s: %s\n", g_changes[i].what, error_text(&err));
    error_release(&err);
    return rc;
}

static void changed_pages(void)
{
    for (size_t i = 0; i < sizeof(g_changes) / sizeof(g_changes[0]); i++) {
        struct error err = ERROR_INIT;
        struct host h;

        host_open(&h, true, false);
        if (host_load(&h, &err) < 0)
            abort();
        const uint64_t page = (h.image.layout.libos_base +
                               image_variable(&h.image, "boot.", sizeof(struct boundary_boot))) &
                              ~(SGX_PAGE_SIZE - 1);
        if (expect(change_page(&h, page, i) == 0, "%s, of a page of the LibOS: the driver does it",
                   g_changes[i].what)) {
            boot(&h);
            expect(h.aborted && !h.returned && strstr(h.said, "memory of the LibOS is gone"),
                   "%s: the enclave ends: %s", g_changes[i].what, h.said);
        }
        host_close(&h);
    }
}

/* The same copy, of host memory that is gone for good: the copy ends, and the call with it. */
static int enter_again(struct host *h, const struct sgx_enclave_run *run)
{
    return h->exceptions < 100 ? SGX_EENTER : 0;
}

static void page_of_the_host(void)
{
    struct error err = ERROR_INIT;
    struct host h;

    host_open(&h, true, false);
    if (host_load(&h, &err) < 0)
        abort();
    g_source = mmap(NULL, SGX_PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    h.exception = enter_again;
    enter(&h, 0, SGX_EENTER, ECALL_BOOT, h.area, g_source);
    expect(h.exceptions == 1 && h.returned && h.result == -EFAULT && !h.aborted,
           "a page of the host that is away ends the copy");
    munmap(g_source, SGX_PAGE_SIZE);
    host_close(&h);
}

/*
 * With AEX-Notify the enclave hears of every fault, those that an honest host saw to as well: the
 * access is made again, and is a failure only where the page stays away. What is away: a page of
 * the LibOS's data, from its last ocall at boot on; or the host's page with an ocall's answer.
 */
static bool g_of_the_libos, g_for_good;

static void away(struct host *h, bool there)
{
    const int prot = there ? PROT_READ | PROT_WRITE : PROT_NONE;

    if (g_of_the_libos)
        map_page(h, g_taken, prot);
    else
        mprotect(h->area, SGX_PAGE_SIZE, prot);
}

static int away_late(struct host *h, uint64_t number)
{
    const int r = answer(h, number);

    if (number == (g_of_the_libos ? OCALL_CPUID : OCALL_CLOCK))
        away(h, false);
    return r;
}

static int fault_told(struct host *h, const struct sgx_enclave_run *run)
{
    if (!g_for_good)
        away(h, true);
    return h->exceptions % 2 ? SGX_ERESUME : SGX_EENTER; /* it makes no difference */
}

static void pages_told(bool of_the_libos, bool for_good)
{
    const char *what = of_the_libos ? "of the LibOS" : "of the host";
    struct error err = ERROR_INIT;
    struct host h;

    g_told = true;
    host_open(&h, true, false);
    g_told = false;
    if (host_load(&h, &err) < 0)
        abort();
    g_of_the_libos = of_the_libos;
    g_for_good = for_good;
    g_taken = (h.image.layout.libos_base +
               image_variable(&h.image, "boot.", sizeof(struct boundary_boot))) &
              ~(SGX_PAGE_SIZE - 1);
    h.ocall = away_late;
    h.exception = fault_told;
    boot(&h);
    away(&h, true);
    if (!for_good)
        expect(h.exceptions > 0 && h.exceptions <= 2 && h.returned && !h.aborted,
               "told: a page %s that was away once is only that (%u exceptions, %ld)", what,
               h.exceptions, h.result);
    else if (of_the_libos)
        expect(h.exceptions > 32 && h.aborted && strstr(h.said, "memory of the LibOS is gone"),
               "told: one %s that stays away ends the enclave (%u exceptions): %s", what,
               h.exceptions, h.said);
    else
        expect(h.exceptions > 32 && !h.returned,
               "told: one %s that stays away is a failure (%u exceptions)", what, h.exceptions);
    expect(h.resumes == 0, "told: it went on inside");
    host_close(&h);
}

static int no_clock(struct host *h, uint64_t number)
{
    int r = answer(h, number);

    if (number == OCALL_CLOCK)
        h->area->ret = -ENOSYS;
    return r;
}

static void after_a_panic(void)
{
    struct error err = ERROR_INIT;
    struct host h;

    host_open(&h, true, false);
    if (host_load(&h, &err) < 0)
        abort();
    h.ocall = no_clock;
    boot(&h);
    expect(h.aborted &&
               strcmp(h.said, "the host broke the contract of the boundary: no clock") == 0,
           "a breach ends the enclave: %s", h.said);
    for (int i = 0; i < 3; i++) {
        enter(&h, 0, SGX_EENTER, 0, NULL, NULL);
        expect(h.dead && h.ocalls == 0, "a host that ignores the end and answers it: nothing runs");
    }
    enter(&h, 0, SGX_ERESUME, 0, NULL, NULL);
    expect(h.exceptions == 1 && h.vector == X86_GP, "nor is there a thread to resume");
    host_close(&h);
}

/* ---- order and moment of entries ---- */

static int64_t result_of(struct host *h, unsigned tcs, uint64_t number, const void *area)
{
    enter(h, tcs, SGX_EENTER, number, area, NULL);
    return h->returned ? h->result : 1;
}

static int boot_again(struct host *h, uint64_t number)
{
    struct host other = {.enclave = h->enclave, .area = h->area};

    if (number == OCALL_CLOCK) {
        expect(result_of(&other, 1, ECALL_BOOT, h->area) == -EAGAIN, "BOOT during BOOT");
        expect(result_of(&other, 1, ECALL_STATS, h->area) == -EAGAIN, "an ecall during BOOT");
        enter(&other, 0, SGX_ERESUME, 0, NULL, NULL);
        expect(other.exceptions == 1 && other.vector == X86_GP, "ERESUME with nothing to resume");
        return 0;
    }
    return answer(h, number);
}

static void entries(void)
{
    struct error err = ERROR_INIT;
    struct host h;

    host_open(&h, true, false);
    if (host_load(&h, &err) < 0)
        abort();
    for (uint64_t number = 0; number < 12; number++)
        if (number != ECALL_BOOT)
            expect(result_of(&h, 1, number, h.area) == -EAGAIN && h.ocalls == 0,
                   "ecall %lu before BOOT", number);
    const struct enclave_layout *l = &h.image.layout;
    const uint64_t areas[] = {0,
                              l->user_start,
                              l->heap,
                              l->size - SGX_PAGE_SIZE,
                              (uint64_t)h.area + 8,
                              (1ull << 47) - SGX_PAGE_SIZE,
                              1ull << 47,
                              0xffff800000000000ull,
                              0xfffffffffffff000ull};
    for (size_t i = 0; i < sizeof(areas) / sizeof(areas[0]); i++)
        expect(result_of(&h, 1, ECALL_BOOT, (const void *)areas[i]) == -EFAULT && h.ocalls == 0,
               "an area at %#lx", areas[i]);
    h.ocall = boot_again;
    boot(&h);
    expect(!h.returned && !h.dead, "the first BOOT is inside its ocall");
    /* Whatever an entry on its TCS says, the ocall goes on. */
    h.ocall = stay_in_clock;
    h.area->ret = 5;
    h.area->out[1] = 2000000000;
    enter(&h, 0, SGX_EENTER, ECALL_STATS, (const void *)l->heap, (const void *)l->heap);
    expect(!h.returned && !h.aborted && h.ocalls == 1,
           "an entry inside an ocall continues it, whatever its registers say");
    host_close(&h);
}

/* ---- CSSA ---- */

static int stay_interrupted(struct host *h, const struct sgx_enclave_run *run)
{
    return 0;
}

static void frames(void)
{
    struct error err = ERROR_INIT;
    struct host h;

    host_open(&h, true, false);
    if (host_load(&h, &err) < 0)
        abort();
    /* The tcb page of TCS 0 is away: no entry can even begin; each exception takes a frame. */
    const uint64_t tcb = h.enclave->tcs[0] + (1 + LAYOUT_NSSA * LAYOUT_SSA_PAGES) * SGX_PAGE_SIZE;
    map_page(&h, tcb, PROT_NONE);
    h.exception = stay_interrupted;
    for (unsigned i = 0; i < LAYOUT_NSSA; i++) {
        enter(&h, 0, SGX_EENTER, ECALL_BOOT, h.area, NULL);
        expect(h.exceptions == 1 && h.vector == X86_PF, "without its tcb page, at CSSA %u", i);
    }
    enter(&h, 0, SGX_EENTER, ECALL_BOOT, h.area, NULL);
    expect(h.exceptions == 1 && h.vector == X86_GP, "with no frame left the processor refuses");
    map_page(&h, tcb, PROT_READ | PROT_WRITE);
    /* CSSA is 3: the three entries were interrupted at their first instruction. */
    enter(&h, 0, SGX_ERESUME, 0, NULL, NULL);
    expect(h.resumes >= 1 && h.ocalls == 0 && !h.returned,
           "resumed at CSSA 2, then 1: each leaves at once, or judges the fault");
    host_close(&h);
}

int main(int argc, char **argv)
{
    char root[] = "/tmp/libos-choices.XXXXXX", key[64];
    struct error err = ERROR_INIT;

    if (argc != 2 || !mkdtemp(root))
        return 2;
    g_libos = argv[1];
    setenv("RUNE_SGX_EMULATOR_ROOT", root, 1);
    g_driver = sgx_driver_open("simulatedSgx", &err);
    if (!g_driver) {
        fprintf(stderr, "%s\n", error_text(&err));
        return 2;
    }
    own_base();
    another_base(true);
    another_base(false);
    for (size_t i = 0; i < sizeof(g_starts) / sizeof(g_starts[0]); i++)
        other_start(&g_starts[i]);
    signed_as_built();
    signed_by_another();
    unmeasured_pages();
    page_of_the_libos(true);
    page_of_the_libos(false);
    page_of_the_host();
    for (int i = 0; i < 4; i++)
        pages_told(i & 1, i & 2);
    changed_pages();
    after_a_panic();
    entries();
    frames();
    printf("1..%u\n", g_count);
    static const char *const keys[] = {"root-key", "key-0", "key-1"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        snprintf(key, sizeof(key), "%s/%s", root, keys[i]);
        unlink(key);
    }
    rmdir(root);
    return g_bad != 0;
}
