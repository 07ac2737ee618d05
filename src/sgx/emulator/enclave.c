/* SPDX-License-Identifier: Apache-2.0 */
/* The driver table of the emulator: building an enclave up to EINIT, mapping it, and taking it
 * down. */
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <asm/hwcap2.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "sgx/emulator/emulator.h"
#include "sgx/emulator/machine.h"
#include "sgx/sigstruct.h"

_Atomic(struct sgx_handle *) g_emu_enclaves[EMU_RANGE_COUNT];
struct emu_range g_emu_ranges[EMU_RANGE_COUNT];
static pthread_mutex_t g_table_lock = PTHREAD_MUTEX_INITIALIZER;

struct sgx_handle *emu_find(uint64_t address)
{
    for (unsigned i = 0; i < EMU_RANGE_COUNT; i++) {
        struct sgx_handle *e = atomic_load(&g_emu_enclaves[i]);
        if (e && emu_inside(e, address, 1))
            return e;
    }
    return NULL;
}

/* A handler may read it at any moment; an entry of size 0 matches nothing. */
static void set_range(int slot, uint64_t base, uint64_t size)
{
    volatile struct emu_range *range = &g_emu_ranges[slot];

    range->size = 0;
    atomic_thread_fence(memory_order_seq_cst);
    range->start = base;
    atomic_thread_fence(memory_order_seq_cst);
    range->size = size;
}

static int take_slot(struct sgx_handle *e, struct error *err)
{
    int rc = -1;

    pthread_mutex_lock(&g_table_lock);
    for (int i = 0; rc < 0 && i < EMU_RANGE_COUNT; i++) {
        if (atomic_load(&g_emu_enclaves[i]))
            continue;
        set_range(i, e->base, e->size);
        atomic_store(&g_emu_enclaves[i], e);
        e->slot = i;
        rc = 0;
    }
    pthread_mutex_unlock(&g_table_lock);
    return rc < 0 ? error_code(err, ENOSPC, "SGX emulator: more than %d enclaves in one process",
                               EMU_RANGE_COUNT)
                  : 0;
}

static uint64_t mapped_start(const struct sgx_handle *e)
{
    return e->base ? e->base : EMU_MIN_ADDRESS;
}

static void *sparse(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

static int emulated_open(struct sgx_handle **out, struct error *err)
{
    struct sgx_handle *e = calloc(1, sizeof(*e));

    if (!e)
        return error_errno(err, ENOMEM, "SGX emulator");
    e->slot = e->backing_fd = -1;
    e->keep = EMU_KEEP_NONE;
    pthread_mutex_init(&e->build, NULL);
    int rc = emu_machine_get(&e->machine, err);
    if (rc == 0)
        rc = emu_root_load(&e->root, err);
    if (rc == 0)
        rc = emu_signal_setup(err);
    if (rc < 0) {
        free(e);
        return rc;
    }
    e->sgx2 = e->machine->sgx2;
    e->memory_fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
    *out = e;
    return 0;
}

/* Reserve [base, base + size) without disturbing what is there. */
static int reserve_at(uint64_t base, uint64_t size)
{
    uint64_t start = base ? base : EMU_MIN_ADDRESS;
    void *p = mmap((void *)start, base + size - start, PROT_NONE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);

    if (p == MAP_FAILED)
        return -errno;
    madvise(p, base + size - start, MADV_DONTDUMP);
    madvise(p, base + size - start, MADV_DONTFORK);
    int rc = emu_isolate_range(p, base + size - start);
    if (rc < 0)
        munmap(p, base + size - start);
    return rc;
}

static int emulated_reserve(struct sgx_handle *e, uint64_t base, uint64_t size, bool any_base,
                            uint64_t *out, struct error *err)
{
    int rc = -EEXIST;

    if (e->reserved || size < 2 * SGX_PAGE_SIZE || (size & (size - 1)) ||
        (!any_base && (base & (size - 1))))
        return error_code(err, EINVAL, "SGX emulator: bad ELRANGE");
    /* Low addresses first: that is below everything else, see emu_thread_guard_syscalls. */
    for (uint64_t at = size > 1ull << 32 ? size : 1ull << 32;
         any_base && rc < 0 && at <= (1ull << 46) - size; at = at * 2) {
        for (unsigned i = 0; rc < 0 && i < EMU_RANGE_COUNT && i * size < at; i++) {
            base = at + i * size;
            rc = reserve_at(base, size);
        }
    }
    if (!any_base)
        rc = reserve_at(base, size);
    if (rc < 0)
        return error_errno(err, -rc, "SGX emulator: reserve ELRANGE, %llu MiB at %#llx%s",
                           (unsigned long long)size >> 20, (unsigned long long)base,
                           rc == -EEXIST ? " (something else of this process is there)" : "");
    e->base = base;
    e->size = size;
    e->pages = size >> SGX_PAGE_SHIFT;
    e->reserved = true;
    *out = base;
    return 0;
}

/* XFRM must be a value that XCR0 could have, of what this machine and the emulator can save. */
static bool legal_xfrm(uint64_t xfrm)
{
    const uint64_t avx512 = xfrm & SGX_XFRM_AVX512;

    return !(xfrm & ~sgx_host_xfrm()) &&
           (!avx512 || (avx512 == SGX_XFRM_AVX512 && (xfrm & SGX_XFRM_AVX)));
}

static int check_secs(const struct sgx_handle *e, const struct sgx_secs *s)
{
    const uint64_t allowed = SGX_ATTR_DEBUG | SGX_ATTR_MODE64 | SGX_ATTR_PROVISION_KEY |
                             SGX_ATTR_EINIT_KEY | (e->machine->kss ? SGX_ATTR_KSS : 0) |
                             (e->machine->aex_notify ? SGX_ATTR_AEX_NOTIFY : 0);

    if (s->base != e->base || s->size != e->size || !(s->attributes.flags & SGX_ATTR_MODE64) ||
        (s->attributes.flags & ~allowed) || (s->miscselect & ~SGX_MISC_EXINFO) ||
        (s->attributes.xfrm & SGX_XFRM_LEGACY) != SGX_XFRM_LEGACY ||
        !legal_xfrm(s->attributes.xfrm))
        return -EINVAL;
    if (s->ssa_frame_size < 1 || s->ssa_frame_size > 1024 ||
        sgx_ssa_size(s->attributes.xfrm, s->miscselect) > s->ssa_frame_size * SGX_PAGE_SIZE)
        return -EINVAL;
    return 0;
}

static int emulated_create(struct sgx_handle *e, const struct sgx_secs *secs, struct error *err)
{
    if (e->created || !e->reserved || check_secs(e, secs) < 0)
        return error_code(err, EINVAL, "ECREATE: the SECS is not valid here");
    e->epcm = sparse((e->pages + 1) * sizeof(*e->epcm));
    e->tcs = sparse((e->pages + 1) * sizeof(*e->tcs));
    e->chunks = sparse((e->pages >> EMU_CHUNK_SHIFT) + 2);
    e->groups = sparse((e->pages >> EMU_GROUP_SHIFT) + 2);
    if (!e->epcm || !e->tcs || !e->chunks || !e->groups)
        return error_errno(err, ENOMEM, "ECREATE");
    e->secs = *secs;
    e->ssa_frame_size = secs->ssa_frame_size * SGX_PAGE_SIZE;
    int rc = sgx_measure_create(&e->measurement, secs->size, secs->ssa_frame_size, err);
    if (rc == 0)
        rc = take_slot(e, err);
    e->created = rc == 0;
    return rc;
}

static int check_secinfo(const struct sgx_secinfo *s)
{
    const uint64_t perm = s->flags & SGX_SECINFO_PERM_MASK;
    const uint64_t type = s->flags & ~SGX_SECINFO_PERM_MASK;

    for (size_t i = 0; i < sizeof(s->reserved) / sizeof(s->reserved[0]); i++)
        if (s->reserved[i])
            return -EINVAL;
    if (type == SGX_SECINFO_TYPE(SGX_PT_TCS))
        return perm ? -EINVAL : 0;
    if (type != SGX_SECINFO_TYPE(SGX_PT_REG))
        return -EINVAL;
    return (perm & SGX_SECINFO_W) && !(perm & SGX_SECINFO_R) ? -EINVAL : 0;
}

/* EADD's own check of a TCS; CSSA and the state words must be new. */
static int check_tcs(const struct sgx_handle *e, const struct sgx_tcs *t)
{
    const bool notify = e->secs.attributes.flags & SGX_ATTR_AEX_NOTIFY;
    const uint64_t flags = SGX_TCS_DBGOPTIN | (notify ? SGX_TCS_AEXNOTIFY : 0);

    if (t->state || t->aep || t->cssa || (t->flags & ~flags) ||
        ((t->ossa | t->ofsbasgx | t->ogsbasgx) & (SGX_PAGE_SIZE - 1)))
        return -EINVAL;
    for (size_t i = 0; i < sizeof(t->reserved); i++)
        if (t->reserved[i])
            return -EINVAL;
    return 0;
}

static const uint8_t g_zeros[SGX_PAGE_SIZE] __attribute__((aligned(SGX_PAGE_SIZE)));

static bool all_zero(const void *page)
{
    const uint64_t *words = page;

    for (unsigned i = 0; i < SGX_PAGE_SIZE / sizeof(*words); i++)
        if (words[i])
            return false;
    return true;
}

static int add_one(struct sgx_handle *e, uint64_t page, const uint8_t *src,
                   const struct sgx_secinfo *secinfo, bool measure, struct error *err)
{
    const uint64_t offset = page << SGX_PAGE_SHIFT;
    const bool is_tcs = (secinfo->flags & SGX_SECINFO_TYPE_MASK) == SGX_SECINFO_TYPE(SGX_PT_TCS);

    if (atomic_load(&e->epcm[page]) & EPCM_VALID)
        return error_code(err, EBUSY, "EADD: the page at %#llx is there already",
                          (unsigned long long)offset);
    if (is_tcs && check_tcs(e, (const struct sgx_tcs *)src) < 0)
        return error_code(err, EIO, "EADD: the TCS at %#llx is not valid",
                          (unsigned long long)offset);
    if (emu_epc_take(e) < 0)
        return error_code(err, ENOMEM,
                          "EADD: no enclave memory left: the emulated EPC of %llu MiB is full, and "
                          "nothing more can be written back; RUNE_SGX_EMULATOR_EPC=SIZE[,BACKING] "
                          "sets both",
                          (unsigned long long)e->machine->epc >> 20);
    int rc = is_tcs ? emu_tcs_new(e, page, (const struct sgx_tcs *)src) : 0;
    if (rc < 0)
        return error_errno(err, -rc, "EADD of a TCS");
    if (src != g_zeros && !all_zero(src) &&
        emu_store(e, e->base + offset, src, SGX_PAGE_SIZE) < 0) {
        rc = emu_protect(e, page, page + 1, EPCM_R | EPCM_W);
        if (rc < 0)
            return error_errno(err, -rc, "EADD: mprotect");
        memcpy(emu_address(e, page), src, SGX_PAGE_SIZE);
    }
    sgx_measure_page(e->measurement, offset, secinfo->flags, src, measure);
    uint32_t perm = secinfo->flags & SGX_SECINFO_PERM_MASK;
    uint32_t max = is_tcs ? EPCM_R | EPCM_W : perm;
    emu_epcm_set(e, page,
                 EPCM_VALID | perm | EPCM_TYPE(is_tcs ? SGX_PT_TCS : SGX_PT_REG) |
                     max << EPCM_MAX_SHIFT);
    return 0;
}

/* src: g_zeros for all pages, or what they contain */
static int add_run(struct sgx_handle *e, const uint8_t *src, uint64_t offset, uint64_t length,
                   const struct sgx_secinfo *secinfo, bool measure, uint64_t *count,
                   struct error *err)
{
    const uint64_t start = offset >> SGX_PAGE_SHIFT, pages = length >> SGX_PAGE_SHIFT;
    struct emu_guard guard;
    uint64_t done = 0;

    if (count)
        *count = 0;
    if (!e->created || e->initialized || !length || ((offset | length) & (SGX_PAGE_SIZE - 1)) ||
        ((uintptr_t)src & (SGX_PAGE_SIZE - 1)) || offset >= e->size || length > e->size - offset ||
        e->base + offset < mapped_start(e) || check_secinfo(secinfo) < 0)
        return error_code(err, EINVAL, "EADD: bad range, SECINFO or state");
    pthread_mutex_lock(&e->build);
    emu_lock_host(e, &guard);
    int rc = 0;
    for (; rc == 0 && done < pages; done++) {
        rc = add_one(e, start + done, src == g_zeros ? src : src + (done << SGX_PAGE_SHIFT),
                     secinfo, measure, err);
        if (rc < 0)
            break;
    }
    int applied = emu_apply(e, start, start + pages);
    emu_unlock_host(e, &guard);
    pthread_mutex_unlock(&e->build);
    if (count)
        *count = done << SGX_PAGE_SHIFT;
    if (rc == 0 && applied < 0)
        return error_errno(err, -applied, "EADD: mprotect");
    return rc;
}

static int emulated_add_pages(struct sgx_handle *e, const void *src, uint64_t offset,
                              uint64_t length, const struct sgx_secinfo *secinfo, bool measure,
                              uint64_t *count, struct error *err)
{
    return add_run(e, src, offset, length, secinfo, measure, count, err);
}

int emu_add_zeros(struct sgx_handle *e, uint64_t offset, uint64_t length,
                  const struct sgx_secinfo *secinfo, bool measure, uint64_t *count,
                  struct error *err)
{
    return add_run(e, g_zeros, offset, length, secinfo, measure, count, err);
}

static int emulated_provision(struct sgx_handle *e, struct error *err)
{
    e->provision = true;
    return 0;
}

/* What Linux asks of a SIGSTRUCT before the processor sees it. */
static int check_before_init(const struct sgx_handle *e, const struct sgx_sigstruct *s,
                             struct error *err)
{
    const struct sgx_attributes *a = &s->attributes, *m = &s->attribute_mask;
    const uint64_t known = SGX_ATTR_INIT | SGX_ATTR_DEBUG | SGX_ATTR_MODE64 |
                           SGX_ATTR_PROVISION_KEY | SGX_ATTR_EINIT_KEY | SGX_ATTR_KSS |
                           SGX_ATTR_AEX_NOTIFY;

    if (s->vendor != 0 && s->vendor != 0x8086)
        return error_code(err, EINVAL, "EINIT: the SIGSTRUCT's vendor is %#x, not 0 or 0x8086",
                          s->vendor);
    if ((e->secs.attributes.flags & SGX_ATTR_PROVISION_KEY) && !e->provision)
        return error_code(err, EACCES, "EINIT: the provisioning key was not granted");
    if ((a->flags & m->flags & ~known) || (a->xfrm & m->xfrm & ~sgx_host_xfrm()) ||
        (s->miscselect & s->misc_mask & ~SGX_MISC_EXINFO))
        return error_code(err, EINVAL,
                          "EINIT: the SIGSTRUCT demands attributes (%#llx/%#llx) that this machine "
                          "does not have",
                          (unsigned long long)a->flags, (unsigned long long)a->xfrm);
    return 0;
}

/* What EINIT compares of SECS and SIGSTRUCT. The driver makes -EPERM of each of its error codes. */
static int check_init(const struct sgx_handle *e, const struct sgx_sigstruct *s, struct error *err)
{
    const struct sgx_attributes *a = &e->secs.attributes, *m = &s->attribute_mask;

    if (memcmp(e->secs.mrenclave, s->mrenclave, sizeof(s->mrenclave)) != 0)
        return error_code(err, EPERM,
                          "EINIT: SGX_INVALID_MEASUREMENT: the enclave is not the one that was "
                          "signed (MRENCLAVE differs: the file or the signature was changed)");
    if (((a->flags ^ s->attributes.flags) & m->flags) || ((a->xfrm ^ s->attributes.xfrm) & m->xfrm))
        return error_code(err, EPERM,
                          "EINIT: SGX_INVALID_ATTRIBUTE: attributes %#llx/%#llx are not those "
                          "that were signed (%#llx/%#llx): a debug start of a production enclave?",
                          (unsigned long long)a->flags, (unsigned long long)a->xfrm,
                          (unsigned long long)s->attributes.flags,
                          (unsigned long long)s->attributes.xfrm);
    if ((e->secs.miscselect ^ s->miscselect) & s->misc_mask)
        return error_code(err, EPERM,
                          "EINIT: SGX_INVALID_ATTRIBUTE: MISCSELECT is not what was signed");
    return 0;
}

static int emulated_init(struct sgx_handle *e, const struct sgx_sigstruct *s, struct error *err)
{
    if (!e->created || e->initialized)
        return error_code(err, EINVAL, "EINIT: there is no enclave, or it is initialised");
    int rc = check_before_init(e, s, err);
    if (rc < 0)
        return rc;
    rc = sgx_sigstruct_check(s, err);
    if (rc < 0) {
        error_wrap(err, "EINIT: %s",
                   rc == -EPERM ? "SGX_INVALID_SIGNATURE" : "SGX_INVALID_SIG_STRUCT");
        return -EPERM;
    }
    pthread_mutex_lock(&e->build);
    if (e->measurement)
        sgx_measure_final(e->measurement, e->secs.mrenclave);
    sgx_measure_free(e->measurement);
    e->measurement = NULL;
    if (rc == 0)
        rc = check_init(e, s, err);
    if (rc == 0) {
        sgx_sigstruct_mrsigner(s, e->secs.mrsigner);
        e->secs.isv_prod_id = s->isv_prod_id;
        e->secs.isv_svn = s->isv_svn;
        memcpy(e->isv_ext_prod_id, s->isv_ext_prod_id, sizeof(e->isv_ext_prod_id));
        memcpy(e->isv_family_id, s->isv_family_id, sizeof(e->isv_family_id));
        e->secs.attributes.flags |= SGX_ATTR_INIT;
        atomic_thread_fence(memory_order_seq_cst);
        e->initialized = true;
    }
    pthread_mutex_unlock(&e->build);
    return rc;
}

/* Pages that were added before limit what a mapping may ask for, as vm_max_prot_bits does in
 * Linux. */
static bool may_map(struct sgx_handle *e, uint64_t start, uint64_t end, uint8_t prot)
{
    for (uint64_t page = start; (page = emu_used_from(e, page, end)) < end; page++) {
        uint32_t entry = atomic_load(&e->epcm[page]);
        if ((entry & EPCM_VALID) && (prot & ~((entry & EPCM_MAX_MASK) >> EPCM_MAX_SHIFT)))
            return false;
    }
    return true;
}

static int emulated_map(struct sgx_handle *e, uint64_t addr, uint64_t length, int prot,
                        struct error *err)
{
    uint8_t want = (prot & PROT_READ ? EPCM_R : 0) | (prot & PROT_WRITE ? EPCM_W : 0) |
                   (prot & PROT_EXEC ? EPCM_X : 0);
    struct emu_guard guard;

    if (!e->created || ((addr | length) & (SGX_PAGE_SIZE - 1)) || !length ||
        !emu_inside(e, addr, length) || addr < mapped_start(e))
        return error_code(err, EINVAL, "map enclave pages: bad range");
    const uint64_t start = emu_page(e, addr), end = start + (length >> SGX_PAGE_SHIFT);
    emu_lock_host(e, &guard);
    int rc = may_map(e, start, end, want) ? emu_mapping_set(e, start, end, want) : -EACCES;
    if (rc == 0)
        rc = emu_apply(e, start, end);
    emu_unlock_host(e, &guard);
    return rc < 0 ? error_errno(err, -rc, "map enclave pages at %#llx", (unsigned long long)addr)
                  : 0;
}

void emu_forget(struct sgx_handle *e)
{
    if (e->slot < 0)
        return;
    for (uint64_t page = 0; (page = emu_used_from(e, page, e->pages)) < e->pages; page++) {
        const struct emu_tcs *tcs = atomic_load(&e->tcs[page]);
        if (tcs)
            emu_site_drop(tcs, true);
    }
    set_range(e->slot, 0, 0);
    emu_epc_unlink(e);
}

static void emulated_close(struct sgx_handle *e)
{
    if (!e)
        return;
    if (e->slot >= 0) {
        struct emu_guard guard;
        pthread_mutex_lock(&g_table_lock);
        emu_lock_host(e, &guard);
        emu_epc_unlink(e);
        emu_unlock_host(e, &guard);
        set_range(e->slot, 0, 0);
        pthread_mutex_unlock(&g_table_lock);
    }
    for (uint64_t page = 0; e->groups && (page = emu_used_from(e, page, e->pages)) < e->pages;
         page++)
        emu_tcs_drop(e, page);
    if (e->reserved)
        munmap((void *)mapped_start(e), e->base + e->size - mapped_start(e));
    if (e->epcm)
        munmap((void *)e->epcm, (e->pages + 1) * sizeof(*e->epcm));
    if (e->tcs)
        munmap((void *)e->tcs, (e->pages + 1) * sizeof(*e->tcs));
    if (e->chunks)
        munmap((void *)e->chunks, (e->pages >> EMU_CHUNK_SHIFT) + 2);
    if (e->groups)
        munmap((void *)e->groups, (e->pages >> EMU_GROUP_SHIFT) + 2);
    emu_epc_close(e);
    if (e->memory_fd >= 0)
        close(e->memory_fd);
    sgx_measure_free(e->measurement);
    free(e->mappings);
    explicit_bzero(&e->root, sizeof(e->root));
    pthread_mutex_destroy(&e->build);
    free(e);
}

static bool have_xsave(void)
{
    unsigned a, b, c, d;

    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_OSXSAVE);
}

const struct sgx_driver *sgx_driver_emulated(struct error *err)
{
    static struct sgx_driver driver = {
        .name = "simulatedSgx",
        .emulated = true,
        .open = emulated_open,
        .reserve = emulated_reserve,
        .create = emulated_create,
        .add_pages = emulated_add_pages,
        .provision = emulated_provision,
        .init = emulated_init,
        .map = emulated_map,
        .restrict_permissions = emu_restrict_permissions,
        .modify_types = emu_modify_types,
        .remove_pages = emu_remove_pages,
        .sigaction = emu_sigaction,
        .use_sites = emu_use_sites,
        .enter = sgx_enter_emulated,
        .close = emulated_close,
    };

    if (!(getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE) || !have_xsave()) {
        error_code(
            err, ENOTSUP,
            "SGX cannot be emulated here: processor and kernel must offer FSGSBASE and XSAVE "
            "(Linux 5.9 or newer)");
        return NULL;
    }
    const struct sgx_machine *machine;
    /* CPUID says where components lie, on AMD's processors elsewhere than on Intel's. */
    if (emu_xsave_size(sgx_host_xfrm()) > EMU_XSAVE_SIZE) {
        error_code(err, ENOTSUP,
                   "SGX cannot be emulated here: the processor's vector state takes %llu bytes, "
                   "and the emulator has room for %u",
                   (unsigned long long)emu_xsave_size(sgx_host_xfrm()), EMU_XSAVE_SIZE);
        return NULL;
    }
    if (emu_machine_get(&machine, err) < 0)
        return NULL;
    driver.sgx2 = machine->sgx2; /* the same each time */
    driver.kss = machine->kss;
    return &driver;
}
