/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SGX2 as the driver offers it: EMODPR, EMODT, EREMOVE. Checks and error codes are those of Linux's
 * arch/x86/kernel/cpu/sgx/ioctl.c, which is what a runtime is written against.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "sgx/emulator/emulator.h"

static int check_range(const struct sgx_handle *e, const char *what, uint64_t offset,
                       uint64_t length, struct error *err)
{
    if (!e->sgx2)
        return error_code(err, ENODEV, "%s: this machine has SGX1 only", what);
    if (!e->initialized)
        return error_code(err, EINVAL, "%s: the enclave is not initialised", what);
    if ((offset & (SGX_PAGE_SIZE - 1)) || (length & (SGX_PAGE_SIZE - 1)) || !length ||
        offset >= e->size || length > e->size - offset)
        return error_code(err, EINVAL, "%s: bad range", what);
    return 0;
}

/* Only as many pages as there is EPCM state for: a hole ends the walk. */
static uint32_t entry_of(struct sgx_handle *e, uint64_t page)
{
    uint32_t entry = atomic_load(&e->epcm[page]);

    return entry & EPCM_VALID ? entry : 0;
}

/* Change EPCM bits of a page atomically. */
static void change(struct sgx_handle *e, uint64_t page, uint32_t clear, uint32_t set)
{
    uint32_t old = atomic_load(&e->epcm[page]);

    while (!atomic_compare_exchange_weak(&e->epcm[page], &old, (old & ~clear) | set))
        ;
}

int emu_restrict_permissions(struct sgx_handle *e, struct sgx_enclave_restrict_permissions *arg,
                             struct error *err)
{
    static const char what[] = "restrict permissions";
    struct emu_guard guard;
    int rc = check_range(e, what, arg->offset, arg->length, err);

    if (rc < 0)
        return rc;
    if ((arg->permissions & ~SGX_SECINFO_PERM_MASK) ||
        ((arg->permissions & SGX_SECINFO_W) && !(arg->permissions & SGX_SECINFO_R)) ||
        arg->result || arg->count)
        return error_code(err, EINVAL, "%s: bad permissions", what);

    const uint64_t start = arg->offset >> SGX_PAGE_SHIFT;
    const uint64_t count = arg->length >> SGX_PAGE_SHIFT;
    uint64_t done;
    emu_lock_host(e, &guard);
    for (done = 0; rc == 0 && done < count; done++) {
        uint32_t entry = entry_of(e, start + done);
        uint32_t type = (entry & EPCM_TYPE_MASK) >> EPCM_TYPE_SHIFT;
        if (!entry)
            rc = -EFAULT;
        else if (type != SGX_PT_REG)
            rc = -EINVAL; /* the leaf would fault */
        else if (entry & (EPCM_PENDING | EPCM_MODIFIED)) {
            arg->result = SGX_PAGE_NOT_MODIFIABLE;
            rc = -EFAULT;
        }
        if (rc < 0)
            break;
        change(e, start + done, EPCM_PERM & ~(uint32_t)arg->permissions, EPCM_PR);
    }
    int applied = emu_apply(e, start, start + done);
    emu_unlock_host(e, &guard);
    arg->count = done << SGX_PAGE_SHIFT;
    if (applied < 0)
        return error_errno(err, -applied, "%s: mprotect", what);
    return rc < 0 ? error_code(err, -rc, "%s: page %#llx cannot be changed (SGX error %llu)", what,
                               (unsigned long long)(start + done) << SGX_PAGE_SHIFT,
                               (unsigned long long)arg->result)
                  : 0;
}

void emu_tcs_drop(struct sgx_handle *e, uint64_t page)
{
    struct emu_tcs *tcs = atomic_exchange(&e->tcs[page], NULL);

    if (tcs)
        emu_site_drop(tcs, false);
    free(tcs);
}

/* The pages of SSA frames stay in the EPC (epc.c). */
static int pin_frames(struct sgx_handle *e, const struct sgx_tcs *tcs)
{
    const uint64_t first = tcs->ossa >> SGX_PAGE_SHIFT;
    const uint64_t count = tcs->nssa * (e->ssa_frame_size >> SGX_PAGE_SHIFT);

    for (uint64_t page = first; page < first + count && page < e->pages; page++) {
        int rc = emu_epc_load(e, page);
        if (rc < 0)
            return rc;
        emu_use_chunk(e, page);
        change(e, page, 0, EPCM_PINNED);
    }
    return 0;
}

/* SDM, EACCEPT: what a page that becomes a TCS must not have. EMODT does not look. */
static bool is_unacceptable(const struct sgx_tcs *t)
{
    uint8_t reserved = 0;

    for (size_t i = 0; i < sizeof(t->reserved); i++)
        reserved |= t->reserved[i];
    return reserved || (t->flags & SGX_TCS_DBGOPTIN) || t->cssa >= t->nssa || t->aep || t->state ||
           t->prevssp;
}

int emu_tcs_new(struct sgx_handle *e, uint64_t page, const struct sgx_tcs *content)
{
    struct emu_tcs *tcs = calloc(1, sizeof(*tcs));

    if (!tcs)
        return -ENOMEM;
    tcs->address = e->base + (page << SGX_PAGE_SHIFT);
    tcs->entry = e->base + content->oentry;
    tcs->fsbase = e->base + content->ofsbasgx;
    tcs->gsbase = e->base + content->ogsbasgx;
    tcs->ssa = e->base + content->ossa;
    tcs->nssa = content->nssa;
    tcs->cssa = content->cssa;
    tcs->notify = content->flags & SGX_TCS_AEXNOTIFY;
    tcs->malformed = (content->flags & ~(SGX_TCS_DBGOPTIN | SGX_TCS_AEXNOTIFY)) ||
                     ((content->ossa | content->ofsbasgx | content->ogsbasgx) &
                      (SGX_PAGE_SIZE - 1));
    tcs->unacceptable = is_unacceptable(content);
    int rc = pin_frames(e, content);
    if (rc < 0) {
        free(tcs);
        return rc;
    }
    emu_tcs_drop(e, page);
    atomic_store(&e->tcs[page], tcs);
    if (e->trampoline || emu_is_hosted())
        emu_site_add(tcs);
    return 0;
}

/* EMODT to TCS: the processor reads the page as a TCS from now on. */
static int make_tcs(struct sgx_handle *e, uint64_t page)
{
    struct sgx_tcs content;
    int rc = emu_epc_load(e, page);

    e->keep = page;
    if (rc == 0)
        rc = emu_protect(e, page, page + 1, EPCM_R);
    if (rc < 0)
        return rc;
    memcpy(&content, emu_address(e, page), sizeof(content));
    rc = emu_tcs_new(e, page, &content);
    e->keep = EMU_KEEP_NONE;
    return rc;
}

static int modify_one(struct sgx_handle *e, uint64_t page, uint32_t type, __u64 *result)
{
    uint32_t entry = entry_of(e, page);
    uint32_t now = (entry & EPCM_TYPE_MASK) >> EPCM_TYPE_SHIFT;
    struct emu_tcs *tcs = atomic_load(&e->tcs[page]);

    if (!entry)
        return -EFAULT;
    if (now != SGX_PT_REG && !(now == SGX_PT_TCS && type == SGX_PT_TRIM))
        return -EINVAL;
    if (entry & (EPCM_PENDING | EPCM_MODIFIED)) {
        *result = SGX_PAGE_NOT_MODIFIABLE;
        return -EFAULT;
    }
    if (now == SGX_PT_TCS && tcs && atomic_load(&tcs->busy)) {
        *result = SGX_EPC_PAGE_CONFLICT;
        return -EFAULT;
    }
    if (type == SGX_PT_TCS) {
        int rc = make_tcs(e, page);
        if (rc < 0)
            return rc;
    }
    change(e, page, EPCM_PERM | EPCM_TYPE_MASK | EPCM_PR, EPCM_MODIFIED | EPCM_TYPE(type));
    return 0;
}

int emu_modify_types(struct sgx_handle *e, struct sgx_enclave_modify_types *arg, struct error *err)
{
    static const char what[] = "modify page types";
    struct emu_guard guard;
    int rc = check_range(e, what, arg->offset, arg->length, err);

    if (rc < 0)
        return rc;
    if ((arg->page_type != SGX_PT_TCS && arg->page_type != SGX_PT_TRIM) || arg->result ||
        arg->count)
        return error_code(err, EINVAL, "%s: bad type", what);
    const uint64_t start = arg->offset >> SGX_PAGE_SHIFT;
    const uint64_t count = arg->length >> SGX_PAGE_SHIFT;
    uint64_t done;
    emu_lock_host(e, &guard);
    for (done = 0; done < count; done++) {
        rc = modify_one(e, start + done, (uint32_t)arg->page_type, &arg->result);
        if (rc < 0)
            break;
    }
    int applied = emu_apply(e, start, start + done);
    emu_unlock_host(e, &guard);
    arg->count = done << SGX_PAGE_SHIFT;
    if (applied < 0)
        return error_errno(err, -applied, "%s: mprotect", what);
    return rc < 0 ? error_code(err, -rc, "%s: page %#llx cannot be changed (SGX error %llu)", what,
                               (unsigned long long)(start + done) << SGX_PAGE_SHIFT,
                               (unsigned long long)arg->result)
                  : 0;
}

int emu_remove_pages(struct sgx_handle *e, struct sgx_enclave_remove_pages *arg, struct error *err)
{
    static const char what[] = "remove pages";
    struct emu_guard guard;
    int rc = check_range(e, what, arg->offset, arg->length, err);

    if (rc < 0)
        return rc;
    if (arg->count)
        return error_code(err, EINVAL, "%s: count is not 0", what);
    const uint64_t start = arg->offset >> SGX_PAGE_SHIFT;
    const uint64_t count = arg->length >> SGX_PAGE_SHIFT;
    uint64_t done;
    emu_lock_host(e, &guard);
    for (done = 0; done < count; done++) {
        uint32_t entry = entry_of(e, start + done);
        if (!entry)
            rc = -EFAULT;
        else if ((entry & EPCM_TYPE_MASK) != EPCM_TYPE(SGX_PT_TRIM) || (entry & EPCM_MODIFIED))
            rc = -EPERM; /* the enclave has not accepted that it goes */
        if (rc < 0)
            break;
        emu_tcs_drop(e, start + done);
        emu_epc_give(e, start + done);
        emu_epcm_set(e, start + done, 0);
    }
    if (done && madvise(emu_address(e, start), done << SGX_PAGE_SHIFT, MADV_DONTNEED) < 0)
        rc = -errno;
    int applied = emu_apply(e, start, start + done);
    emu_unlock_host(e, &guard);
    arg->count = done << SGX_PAGE_SHIFT;
    if (applied < 0)
        return error_errno(err, -applied, "%s: mprotect", what);
    return rc < 0 ? error_code(err, -rc, "%s: page %#llx cannot be removed", what,
                               (unsigned long long)(start + done) << SGX_PAGE_SHIFT)
                  : 0;
}
