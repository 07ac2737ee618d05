/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ENCLU without a signal: the other half of host_enclu_start and host_eexit in entry.S, and what a
 * signal between their instructions means.
 */
#include <string.h>
#include <sys/syscall.h>

#include "sgx/emulate/emulate.h"

_Static_assert(ENCLU_ROOM >= sizeof(struct emu_image) + 8 + 128, "image, flags, red zone");
_Static_assert(offsetof(struct emu_image, r15) == 0, "a gate stores R15 at RSP");

#define ENCLU_SIZE 3

/* Offsets in the beginning, which gates and host_vdso_enclu have in common: see entry.S */
#define AT_LOWERED 8
#define AT_KNOWN   19

/* Threads of this process by the low bits of their TID */
struct place {
    _Atomic uint64_t tid;
    struct host_thread *_Atomic thread;
};
_Static_assert(sizeof(struct place) == 16, "entry.S");
extern struct place g_host_enclu_threads[ENCLU_COUNT];
struct place g_host_enclu_threads[ENCLU_COUNT];
extern const uint64_t g_host_all_signals;
const uint64_t g_host_all_signals = ~0ull;
extern uint64_t g_host_xfrm;
uint64_t g_host_xfrm; /* components that are saved around the core */
atomic_uint g_host_enclu_off;

void host_enclu_setup(void)
{
    g_host_xfrm = sgx_host_xfrm();
}

void host_enclu_thread(struct host_thread *t)
{
    const uint64_t tid = (uint64_t)host_syscall(SYS_gettid);
    struct place *p = &g_host_enclu_threads[tid & (ENCLU_COUNT - 1)];

    if (emu_isolated()) /* the key of the enclave's memory is for handlers */
        return;
    t->tid = tid;
    atomic_store(&p->tid, 0);
    atomic_store(&p->thread, t);
    atomic_store(&p->tid, tid);
}

void host_enclu_thread_gone(struct host_thread *t)
{
    struct place *p = &g_host_enclu_threads[t->tid & (ENCLU_COUNT - 1)];

    if (t->tid && atomic_load(&p->thread) == t)
        atomic_store(&p->tid, 0);
    t->tid = 0;
}

int host_enclu_fast(const struct emu_image *given, struct host_thread *t, uint8_t *xsave,
                    struct emu_image *image)
{
    *image = *given;
    if (!emu_enclu(image, xsave))
        return 0;
    t->host_fs = t->now_fs;
    t->host_gs = t->now_gs;
    if (image->rcx == (uint64_t)emu_exit)
        image->rcx = given->rip;
    return image->xfrm ? ENCLU_SAVED : ENCLU_HOST;
}

static bool within(uint64_t rip, const char *start, const char *end)
{
    return rip >= (uint64_t)start && rip < (uint64_t)end;
}

static uint64_t site_of(uint64_t after)
{
    return after == (uint64_t)host_vdso_exit ? (uint64_t)host_vdso_aep : after - ENCLU_SIZE;
}

/* In a gate, or its like for the vDSO: how far it has come. */
static void rewind_start(const struct host_thread *t, greg_t *regs, uint64_t offset)
{
    if (offset >= AT_KNOWN &&
        host_read(t, &regs[REG_R15], (uint64_t)regs[REG_RSP], sizeof(uint64_t)) < 0)
        emu_die("sgx-emulate: the stack at an ENCLU is not there any more");
    if (offset >= AT_LOWERED)
        regs[REG_RSP] += ENCLU_ROOM;
}

uint64_t host_enclu_rewind(const struct host_thread *t, ucontext_t *uc)
{
    greg_t *regs = uc->uc_mcontext.gregs;
    const uint64_t rip = (uint64_t)regs[REG_RIP];
    struct emu_image image;
    uint64_t offset, after = host_gate_enclu(rip, &offset);

    if (!after && within(rip, host_vdso_enclu, host_enclu_start)) {
        offset = rip - (uint64_t)host_vdso_enclu;
        after = (uint64_t)host_vdso_exit;
    }
    if (after) {
        rewind_start(t, regs, offset);
    } else if (within(rip, host_enclu_start, host_enclu_based)) {
        after = (uint64_t)regs[REG_R15];
        rewind_start(t, regs, AT_KNOWN);
    } else if (within(rip, host_enclu_based, host_enclu_end)) {
        const uint64_t base = (uint64_t)regs[REG_R15];
        if (host_read(t, &image, base, sizeof(image)) < 0)
            emu_die("sgx-emulate: the stack at an ENCLU is not there any more");
        after = image.rip;
        image.rsp = base + ENCLU_ROOM;
        if (rip >= (uint64_t)host_enclu_saved)
            host_load(regs, &image);
        regs[REG_R15] = (greg_t)image.r15;
        regs[REG_RSP] = (greg_t)image.rsp;
    } else {
        return 0;
    }
    regs[REG_RIP] = (greg_t)site_of(after);
    return after;
}

bool host_enclu_committed(uint64_t rip)
{
    return within(rip, host_enclu_crit, host_enclu_crit_end);
}

bool host_eexit_finish(struct host_thread *t, ucontext_t *uc)
{
    greg_t *regs = uc->uc_mcontext.gregs;
    const uint64_t rip = (uint64_t)regs[REG_RIP];

    if (!within(rip, host_eexit, host_eexit_end))
        return false;
    if (t->core.tcs) {
        emu_eexit(&t->core, uc);
        t->now_fs = t->host_fs;
        t->now_gs = t->host_gs;
    } else if (rip < (uint64_t)host_eexit_free) {
        struct emu_tcs *tcs = (struct emu_tcs *)regs[REG_RAX];
        regs[REG_RCX] = (greg_t)tcs->aep;
        tcs->thread = NULL;
        atomic_store(&tcs->busy, 0);
    }
    regs[REG_RAX] = SGX_EEXIT;
    regs[REG_RIP] = regs[REG_RBX];
    return true;
}

/* ---- rewriting ---- */

/* Enclave code that the enclave cannot write: what is behind the ENCLU stays as it is. */
static bool is_fixed(const struct sgx_handle *e, uint64_t page)
{
    const uint32_t entry = atomic_load(&e->epcm[page]);
    uint64_t first, last;

    return (entry & (EPCM_VALID | EPCM_TYPE_MASK | EPCM_PENDING | EPCM_MODIFIED)) ==
               (EPCM_VALID | EPCM_TYPE(SGX_PT_REG)) &&
           !(entry & EPCM_PERM & emu_mapping_prot(e, page, &first, &last) & EPCM_W);
}

bool host_eexit_patch(struct sgx_handle *e, uint64_t at, uint64_t gate)
{
    static const uint8_t enclu[ENCLU_SIZE] = {0x0f, 0x01, 0xd7};
    const uint64_t size = ENCLU_SIZE + HOST_SITE_FOLLOWING;
    bool done = false;

    if (emu_isolated() || e->memory_fd < 0 || !emu_inside(e, at, size))
        return false;
    const uint64_t first = emu_page(e, at), last = emu_page(e, at + size - 1);
    emu_lock(e);
    if (first == last && is_fixed(e, first) && emu_epc_load(e, first) == 0)
        done = host_site_patch(at, enclu, sizeof(enclu), gate, e->memory_fd);
    emu_unlock(e);
    return done;
}
