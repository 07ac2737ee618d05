/* SPDX-License-Identifier: Apache-2.0 */
/* EENTER, ERESUME, EEXIT and the asynchronous exit (SDM volume 3D, "Enclave entry and exit" and
 * "AEX"). */
#include <cpuid.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sgx/emulator/emulator.h"

_Static_assert(offsetof(struct emu_thread, host_fs) == T_HOST_FS, "layout.h");
_Static_assert(offsetof(struct emu_thread, host_gs) == T_HOST_GS, "layout.h");
_Static_assert(offsetof(struct emu_thread, enc_fs) == T_ENC_FS, "layout.h");
_Static_assert(offsetof(struct emu_thread, enc_gs) == T_ENC_GS, "layout.h");
_Static_assert(offsetof(struct emu_thread, crit) == T_CRIT, "layout.h");
_Static_assert(offsetof(struct emu_image, rax) == I_RAX, "layout.h");
_Static_assert(offsetof(struct emu_image, rip) == I_RIP, "layout.h");
_Static_assert(offsetof(struct emu_image, fsbase) == I_FSBASE, "layout.h");
_Static_assert(sizeof(struct emu_image) == I_SIZE, "layout.h");

#define XSAVE_LEGACY_SIZE 512
#define XSAVE_HEADER_SIZE 64
#define FXSAVE_MXCSR_AT   24
#define FXSAVE_RESERVED_AT \
    464 /* software bytes: the kernel's struct _fpx_sw_bytes in a signal frame */
#define FP_XSTATE_MAGIC 0x46505853u
#define MXCSR_INIT      0x1f80u
#define MXCSR_KNOWN     0xffffu
#define RFLAGS_FIXED    0x202u
/* What ERESUME takes from the SSA: CF PF AF ZF SF DF OF RF AC ID */
#define RFLAGS_USER 0x250cd5u
#define RFLAGS_TF   0x100u
/* What AEX leaves as it is. NT and AC as well on hardware: here C code would run with them. */
#define RFLAGS_KEPT 0x200400u /* DF ID */

struct xsave_header {
    uint64_t xstate_bv, xcomp_bv;
    uint64_t reserved[6];
};

/* In front of struct _fpx_sw_bytes' tail in the frame; only what is used here */
struct sw_bytes {
    uint32_t magic, extended_size;
    uint64_t xfeatures;
    uint32_t xstate_size;
};

void emu_die(const char *why)
{
    static const char head[] = "sgx emulator: ";
    ssize_t ignored = write(STDERR_FILENO, head, sizeof(head) - 1);

    ignored = write(STDERR_FILENO, why, strlen(why));
    ignored = write(STDERR_FILENO, "\n", 1);
    (void)ignored;
    signal(SIGABRT, SIG_DFL);
    abort();
}

/* End of an XSAVE component in the standard format. CPUID costs an exit of a virtual machine, and
 * this is on the path of every AEX: so each is asked for once (two threads that do it at once store
 * the same). */
static uint64_t component_end(unsigned i)
{
    static _Atomic uint32_t ends[63];
    uint32_t end = atomic_load_explicit(&ends[i], memory_order_relaxed);
    unsigned eax, ebx, ecx, edx;

    if (end == 0) {
        end = __get_cpuid_count(0xd, i, &eax, &ebx, &ecx, &edx) && ebx + eax > 0 ? ebx + eax : 1;
        atomic_store_explicit(&ends[i], end, memory_order_relaxed);
    }
    return end;
}

uint64_t emu_xsave_size(uint64_t xfrm)
{
    uint64_t size = XSAVE_LEGACY_SIZE + XSAVE_HEADER_SIZE;

    for (unsigned i = 2; i < 63; i++) {
        if ((xfrm & (1ull << i)) && component_end(i) > size)
            size = component_end(i);
    }
    return size;
}

static uint64_t frame_address(const struct sgx_handle *e, const struct emu_tcs *tcs, uint32_t cssa)
{
    return tcs->ssa + cssa * e->ssa_frame_size;
}

static struct sgx_ssa_gpr *frame_gpr(const struct sgx_handle *e, uint64_t frame)
{
    return (struct sgx_ssa_gpr *)(frame + e->ssa_frame_size - sizeof(struct sgx_ssa_gpr));
}

static int gp(struct emu_fault *fault)
{
    *fault = (struct emu_fault){.vector = X86_GP};
    return -1;
}

/* Every page of a frame must be enclave memory that can be written, or the entry faults. */
static int check_frame(struct sgx_handle *e, uint64_t frame, struct emu_fault *fault)
{
    if (!emu_inside(e, frame, e->ssa_frame_size)) {
        *fault = (struct emu_fault){
            .vector = X86_PF, .error = X86_PF_USER | X86_PF_WRITE, .address = frame};
        return -1;
    }
    for (uint64_t at = 0; at < e->ssa_frame_size; at += SGX_PAGE_SIZE)
        if (emu_access(e, frame + at, EPCM_W, fault) < 0)
            return -1;
    return 0;
}

static int enter(struct sgx_handle *e, struct emu_tcs *tcs, struct emu_image *image,
                 struct emu_fault *fault)
{
    if (tcs->cssa >= tcs->nssa)
        return gp(fault);
    uint64_t frame = frame_address(e, tcs, tcs->cssa);
    if (check_frame(e, frame, fault) < 0)
        return -1;
    if (!emu_canonical(tcs->entry) || !emu_canonical(tcs->fsbase) || !emu_canonical(tcs->gsbase))
        return gp(fault);
    struct sgx_ssa_gpr *gpr = frame_gpr(e, frame);
    gpr->ursp = image->rsp;
    gpr->urbp = image->rbp;
    tcs->aep = image->rcx;
    image->rax = tcs->cssa;
    image->rcx = (uint64_t)emu_exit;
    image->rip = tcs->entry;
    image->fsbase = tcs->fsbase;
    image->gsbase = tcs->gsbase;
    image->xfrm = 0;
    return 0;
}

/* Copy the saved state out of the enclave, if XRSTOR takes it (SDM volume 1, 13.8.1). */
static int load_xsave(const struct sgx_handle *e, const void *ssa, uint8_t *out)
{
    const uint64_t xfrm = e->secs.attributes.xfrm;
    struct xsave_header *header = (struct xsave_header *)(out + XSAVE_LEGACY_SIZE);
    uint32_t mxcsr;

    memcpy(out, ssa, emu_xsave_size(xfrm));
    memcpy(&mxcsr, out + FXSAVE_MXCSR_AT, sizeof(mxcsr));
    if ((header->xstate_bv & ~xfrm) || header->xcomp_bv || header->reserved[0] ||
        (mxcsr & ~MXCSR_KNOWN))
        return -1;
    *header = (struct xsave_header){.xstate_bv = header->xstate_bv};
    return 0;
}

/* Does the enclave want to hear of the exit, and not be resumed? (SDM, "AEX notifications") */
static bool wants_notice(const struct sgx_handle *e, const struct emu_tcs *tcs)
{
    return (e->secs.attributes.flags & SGX_ATTR_AEX_NOTIFY) && tcs->notify &&
           (frame_gpr(e, frame_address(e, tcs, tcs->cssa - 1))->aexnotify & 1);
}

static int resume(struct sgx_handle *e, struct emu_tcs *tcs, struct emu_image *image, void *xsave,
                  struct emu_fault *fault)
{
    if (tcs->cssa == 0)
        return gp(fault);
    uint64_t frame = frame_address(e, tcs, tcs->cssa - 1);
    if (check_frame(e, frame, fault) < 0)
        return -1;
    if (wants_notice(e, tcs))
        return enter(e, tcs, image, fault);
    struct sgx_ssa_gpr *gpr = frame_gpr(e, frame);
    if (!emu_canonical(gpr->rip) || !emu_canonical(gpr->fsbase) || !emu_canonical(gpr->gsbase) ||
        load_xsave(e, (const void *)frame, xsave) < 0)
        return gp(fault);
    tcs->aep = image->rcx;
    tcs->cssa--;
    gpr->ursp = image->rsp;
    gpr->urbp = image->rbp;

    image->r15 = gpr->r15;
    image->r14 = gpr->r14;
    image->r13 = gpr->r13;
    image->r12 = gpr->r12;
    image->r11 = gpr->r11;
    image->r10 = gpr->r10;
    image->r9 = gpr->r9;
    image->r8 = gpr->r8;
    image->rdi = gpr->rdi;
    image->rsi = gpr->rsi;
    image->rbp = gpr->rbp;
    image->rbx = gpr->rbx;
    image->rdx = gpr->rdx;
    image->rcx = gpr->rcx;
    image->rax = gpr->rax;
    image->rsp = gpr->rsp;
    image->rip = gpr->rip;
    image->rflags = (gpr->rflags & RFLAGS_USER) | RFLAGS_FIXED;
    image->fsbase = gpr->fsbase;
    image->gsbase = gpr->gsbase;
    image->xfrm = e->secs.attributes.xfrm;
    return 0;
}

struct emu_thread *emu_enclu(struct emu_image *image, void *xsave)
{
    const uint32_t leaf = (uint32_t)image->rax;
    const uint64_t tf = image->rflags & RFLAGS_TF;
    struct emu_fault fault = {.vector = X86_GP};
    struct sgx_handle *e = emu_find(image->rbx);
    struct emu_thread *t = emu_thread_self();
    struct emu_tcs *tcs = NULL;

    if (!t)
        emu_die("no memory for a thread's signal stack");
    if (leaf == SGX_EENTER || leaf == SGX_ERESUME)
        tcs = emu_tcs_take(e, image, &fault);
    if (tcs) {
        emu_thread_guard_syscalls(t, e);
        emu_trap_thread(t);
        emu_isolate_enter(e);
        emu_processor_begin(); /* and until the enclave is left */
        int rc = leaf == SGX_EENTER ? enter(e, tcs, image, &fault)
                                    : resume(e, tcs, image, xsave, &fault);
        if (rc == 0) {
            image->rflags &= ~(uint64_t)RFLAGS_TF; /* every entry is an opt-out one */
            t->host_tf = tf;
            __asm__ volatile("rdfsbase %0" : "=r"(t->host_fs));
            __asm__ volatile("rdgsbase %0" : "=r"(t->host_gs));
            tcs->thread = t;
            t->enclave = e;
            t->tcs = tcs;
            return t;
        }
        emu_processor_end();
        atomic_store(&tcs->busy, 0);
        emu_isolate_leave(e);
    }
    image->rdi = fault.vector;
    image->rsi = fault.error;
    image->rdx = fault.address & ~(SGX_PAGE_SIZE - 1);
    return NULL;
}

static void leave(struct emu_thread *t)
{
    struct emu_tcs *tcs = t->tcs;

    t->tcs = NULL;
    tcs->thread = NULL;
    atomic_store(&tcs->busy, 0);
    emu_isolate_leave(t->enclave);
}

void emu_eexit(struct emu_thread *t, ucontext_t *uc)
{
    greg_t *regs = uc->uc_mcontext.gregs;

    regs[REG_RIP] = regs[REG_RBX];
    regs[REG_RCX] = (greg_t)t->tcs->aep;
    regs[REG_EFL] |= (greg_t)t->host_tf;
    leave(t);
}

/* One SSA frame fewer, without resuming what is in it: the next AEX writes there (SDM,
 * EDECCSSA). */
int emu_edeccssa(struct emu_thread *t, struct emu_fault *fault)
{
    struct emu_tcs *tcs = t->tcs;

    if (tcs->cssa == 0)
        return gp(fault);
    if (check_frame(t->enclave, frame_address(t->enclave, tcs, tcs->cssa - 1), fault) < 0)
        return -1;
    tcs->cssa--;
    return 0;
}

/* The XSAVE area of the signal frame goes to the SSA; what remains in the frame is the initial
 * state. */
static void save_xsave(const struct sgx_handle *e, uint8_t *frame, uint8_t *ssa)
{
    const uint64_t xfrm = e->secs.attributes.xfrm;
    struct xsave_header *from = (struct xsave_header *)(frame + XSAVE_LEGACY_SIZE);
    struct xsave_header *to = (struct xsave_header *)(ssa + XSAVE_LEGACY_SIZE);
    const uint32_t mxcsr = MXCSR_INIT;
    const uint16_t fcw = 0x37f;
    struct sw_bytes sw;

    memcpy(&sw, frame + FXSAVE_RESERVED_AT, sizeof(sw));
    if (sw.magic == FP_XSTATE_MAGIC) {
        uint64_t size = emu_xsave_size(xfrm);
        memcpy(ssa, frame, size < sw.xstate_size ? size : sw.xstate_size);
        *to = (struct xsave_header){.xstate_bv = from->xstate_bv & xfrm};
        from->xstate_bv &= ~xfrm; /* protection keys, say, stay the host's */
    } else {
        memcpy(ssa, frame, XSAVE_LEGACY_SIZE);
        *to = (struct xsave_header){.xstate_bv = SGX_XFRM_LEGACY};
    }
    memset(ssa + FXSAVE_RESERVED_AT, 0, XSAVE_LEGACY_SIZE - FXSAVE_RESERVED_AT);
    /* XRSTOR of initial components still loads MXCSR from memory */
    memcpy(frame + FXSAVE_MXCSR_AT, &mxcsr, sizeof(mxcsr));
    memcpy(frame, &fcw, sizeof(fcw));
}

static void save_gpr(const struct emu_thread *t, const greg_t *regs, struct sgx_ssa_gpr *gpr)
{
    gpr->rax = regs[REG_RAX];
    gpr->rcx = regs[REG_RCX];
    gpr->rdx = regs[REG_RDX];
    gpr->rbx = regs[REG_RBX];
    gpr->rsp = regs[REG_RSP];
    gpr->rbp = regs[REG_RBP];
    gpr->rsi = regs[REG_RSI];
    gpr->rdi = regs[REG_RDI];
    gpr->r8 = regs[REG_R8];
    gpr->r9 = regs[REG_R9];
    gpr->r10 = regs[REG_R10];
    gpr->r11 = regs[REG_R11];
    gpr->r12 = regs[REG_R12];
    gpr->r13 = regs[REG_R13];
    gpr->r14 = regs[REG_R14];
    gpr->r15 = regs[REG_R15];
    gpr->rflags = regs[REG_EFL] & ~(uint64_t)RFLAGS_TF;
    gpr->rip = regs[REG_RIP];
    gpr->fsbase = t->enc_fs;
    gpr->gsbase = t->enc_gs;
}

/* SDM table "Exception codes" of EXITINFO: #PF and #GP only with MISCSELECT.EXINFO. */
static void save_exitinfo(const struct sgx_handle *e, struct sgx_ssa_gpr *gpr,
                          const struct emu_fault *fault)
{
    const bool exinfo = e->secs.miscselect & SGX_MISC_EXINFO;
    struct sgx_ssa_exinfo *misc = (struct sgx_ssa_exinfo *)gpr - 1;

    gpr->exitinfo = 0;
    if (!fault || ((fault->vector == X86_PF || fault->vector == X86_GP) && !exinfo))
        return;
    uint32_t type = fault->vector == X86_BP ? SGX_EXITINFO_TYPE_SOFTWARE
                                            : SGX_EXITINFO_TYPE_HARDWARE;
    gpr->exitinfo = SGX_EXITINFO_VALID | type << 8 | fault->vector;
    if (exinfo && (fault->vector == X86_PF || fault->vector == X86_GP))
        *misc = (struct sgx_ssa_exinfo){fault->address, fault->error, 0};
}

void emu_aex(struct emu_thread *t, ucontext_t *uc, const struct emu_fault *fault, bool reported)
{
    greg_t *regs = uc->uc_mcontext.gregs;
    struct sgx_handle *e = t->enclave;
    struct emu_tcs *tcs = t->tcs;
    struct emu_fault unusable;

    if (!tcs)
        emu_die("a signal in the enclave on a thread that is not inside");
    uint64_t frame = frame_address(e, tcs, tcs->cssa);
    if (tcs->cssa >= tcs->nssa || check_frame(e, frame, &unusable) < 0)
        emu_die("the SSA frame of a running thread was taken away");
    struct sgx_ssa_gpr *gpr = frame_gpr(e, frame);
    save_gpr(t, regs, gpr);
    save_exitinfo(e, gpr, fault);
    save_xsave(e, (uint8_t *)uc->uc_mcontext.fpregs, (uint8_t *)frame);
    tcs->cssa++;

    /* The synthetic state of AEX: nothing of the enclave in any register. */
    for (unsigned i = REG_R8; i <= REG_R15; i++)
        regs[i] = 0;
    regs[REG_RDI] = regs[REG_RSI] = regs[REG_RDX] = 0;
    regs[REG_RSP] = (greg_t)gpr->ursp;
    regs[REG_RBP] = (greg_t)gpr->urbp;
    regs[REG_RAX] = SGX_ERESUME;
    regs[REG_RBX] = (greg_t)tcs->address;
    regs[REG_RCX] = (greg_t)tcs->aep;
    regs[REG_RIP] = (greg_t)tcs->aep;
    regs[REG_EFL] = (regs[REG_EFL] & (greg_t)RFLAGS_KEPT) | RFLAGS_FIXED | (greg_t)t->host_tf;
    if (reported) {
        regs[REG_RIP] = (greg_t)emu_exception;
        regs[REG_RDI] = fault->vector;
        regs[REG_RSI] = fault->error;
        regs[REG_RDX] = (greg_t)(fault->address & ~(SGX_PAGE_SIZE - 1));
    }
    leave(t);
}
