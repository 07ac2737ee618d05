/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Single steps, as a host makes them with its timer (SGX-Step): on the way in TF is set, and the
 * trap behind the first instruction becomes an interrupt. Then the host may do what it likes before
 * the next instruction: enter at CSSA 1 (a kick), or take pages away. With AEX-Notify no such step
 * may be one of user code: what the enclave does before it goes back there is begun anew each time.
 *
 * A sweep interrupts that way back once: at its first instruction, next time at its second, and so
 * on, with nothing in between.
 */
#include <signal.h>
#include <string.h>
#include <ucontext.h>

#include "sgx/emulator/emulator.h"
#include "tests/hostile/hostile.h"

#define TF 0x100ull

/* A sweep ends in user code; what comes before is a few hundred instructions. */
#define SWEEP_MAX 1200u

static __thread uint64_t t_steps, t_until;
static __thread uint32_t t_silent; /* instructions until the one AEX of a sweep; 0: no sweep */
static _Atomic uint32_t g_sweep;

struct emu_thread *__real_emu_enclu(struct emu_image *image, void *xsave);
struct emu_thread *__wrap_emu_enclu(struct emu_image *image, void *xsave);
struct emu_tcs *__real_emu_tcs_take(struct sgx_handle *e, const struct emu_image *image,
                                    struct emu_fault *out);
struct emu_tcs *__wrap_emu_tcs_take(struct sgx_handle *e, const struct emu_image *image,
                                    struct emu_fault *out);
int __real_emu_signal_enclave(int signo, siginfo_t *info, ucontext_t *uc, struct emu_thread *t);
int __wrap_emu_signal_enclave(int signo, siginfo_t *info, ucontext_t *uc, struct emu_thread *t);
void __real_emu_signal_host(int signo, siginfo_t *info, ucontext_t *uc);
void __wrap_emu_signal_host(int signo, siginfo_t *info, ucontext_t *uc);

/* By the row: a stretch of single steps now and then, counted in entries; or, where the enclave is
 * told of an AEX, a sweep. */
static void by_row(bool told)
{
    const struct lie *lie = lie_ongoing(PLACE_STEP);
    if (lie == NULL || (lie->what == W_SWEEP && !told) || !g_host.started || t_until-- > 0)
        return;
    t_until = chance_below(2ull * lie->pause);
    if (lie->what == W_SWEEP)
        t_silent = told ? 1 + g_sweep++ % SWEEP_MAX : 0;
    else
        t_steps = chance_below(2000);
    g_host.lies++;
}

/*
 * The enclave leaves to the stack of the host thread that entered it. Another one that resumes what
 * was interrupted there breaks only the host: it gets #GP. With AEX-Notify an EENTER goes on there
 * too.
 */
static bool is_anothers(uint32_t leaf, const struct emu_tcs *tcs)
{
    return tcs->cssa > 0 && (leaf == SGX_ERESUME || tcs->notify) &&
           *host_tcs_user(tcs->address, tcs->cssa - 1) != (uint64_t)emu_thread_current();
}

/* Asked of a TCS that is taken: before that another thread may still be on it, and interrupted. */
struct emu_tcs *__wrap_emu_tcs_take(struct sgx_handle *e, const struct emu_image *image,
                                    struct emu_fault *out)
{
    struct emu_tcs *tcs = __real_emu_tcs_take(e, image, out);
    if (tcs == NULL || !is_anothers((uint32_t)image->rax, tcs))
        return tcs;
    atomic_store(&tcs->busy, 0);
    *out = (struct emu_fault){.vector = X86_GP};
    return NULL;
}

struct emu_thread *__wrap_emu_enclu(struct emu_image *image, void *xsave)
{
    const uint64_t tcs = image->rbx;
    watch_spare(xsave, EMU_XSAVE_SIZE);
    struct emu_thread *t = __real_emu_enclu(image, xsave);
    if (t == NULL)
        return NULL;
    const bool resumed = image->rip != t->tcs->entry;
    if (!resumed)
        *host_tcs_user(tcs, (uint32_t)image->rax) = (uint64_t)t; /* RAX: CSSA */
    t_silent = 0;
    if (t_steps == 0)
        by_row(!resumed && t->tcs->notify && (uint32_t)image->rax == 1);
    if (t_steps > 0 || t_silent > 0)
        image->rflags |= TF;
    return t;
}

static bool is_step(int signo, const siginfo_t *info, ucontext_t *uc)
{
    if (signo != SIGTRAP || info->si_code != TRAP_TRACE)
        return false;
    uc->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TF;
    return true;
}

/*
 * #UD at a CPUID of this page; anything else there runs on. Most machines cannot make CPUID fault.
 * What is elsewhere is not stepped, it takes too long: the page's next fault says that it is done.
 */
static int before_cpuid(uint64_t page, siginfo_t *info, ucontext_t *uc, struct emu_thread *t)
{
    greg_t *regs = uc->uc_mcontext.gregs;
    const uint64_t rip = (uint64_t)regs[REG_RIP];
    uint8_t code[2] = {0, 0};
    struct emu_fault unreadable;

    if ((rip ^ page) >> SGX_PAGE_SHIFT != 0) {
        page_hide(page);
        return 1;
    }
    emu_read(t->enclave, rip, code, sizeof(code), &unreadable);
    if (code[0] == 0x0f && code[1] == 0xa2) {
        info->si_signo = SIGILL;
        info->si_code = ILL_ILLOPN;
        regs[REG_TRAPNO] = X86_UD;
        g_host.lies++;
        return __real_emu_signal_enclave(SIGILL, info, uc, t);
    }
    if (t_steps > 0)
        regs[REG_EFL] |= TF;
    return 1;
}

/* POPF clears TF: it is done here. */
static void popf(greg_t *regs, struct sgx_handle *e)
{
    const uint64_t settable = 0x240dd5; /* CF PF AF ZF SF TF DF OF AC ID */
    struct emu_fault unreadable;
    uint64_t flags;
    uint8_t code;

    while (emu_inside(e, (uint64_t)regs[REG_RIP], 1) &&
           emu_read(e, (uint64_t)regs[REG_RIP], &code, 1, &unreadable) == 0 && code == 0x9d &&
           emu_inside(e, (uint64_t)regs[REG_RSP], sizeof(flags)) &&
           emu_read(e, (uint64_t)regs[REG_RSP], &flags, sizeof(flags), &unreadable) == 0) {
        regs[REG_EFL] = (regs[REG_EFL] & (greg_t)~settable) | (greg_t)(flags & settable);
        regs[REG_RSP] += (greg_t)sizeof(flags);
        regs[REG_RIP]++;
    }
}

/* One more instruction without an AEX? */
static bool goes_on(ucontext_t *uc, struct emu_thread *t)
{
    greg_t *regs = uc->uc_mcontext.gregs;

    if (t_silent <= 1 || (uint64_t)regs[REG_RIP] - g_host.base >= g_host.size)
        return false;
    t_silent--;
    popf(regs, t->enclave);
    regs[REG_EFL] |= TF;
    return true;
}

void step_for(uint64_t count)
{
    t_steps = count;
}

int __wrap_emu_signal_enclave(int signo, siginfo_t *info, ucontext_t *uc, struct emu_thread *t)
{
    siginfo_t interrupt;
    if (!is_step(signo, info, uc)) {
        const greg_t stepping = uc->uc_mcontext.gregs[REG_EFL] & (greg_t)TF;
        uc->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TF;
        int inside = __real_emu_signal_enclave(signo, info, uc, t);
        if (inside) /* a page that the emulator raised: the instruction comes again */
            uc->uc_mcontext.gregs[REG_EFL] |= stepping;
        return inside;
    }
    if (t_silent > 0 && goes_on(uc, t))
        return 1;
    if (t_steps > 0)
        t_steps--;
    const struct lie *lie = lie_ongoing(PLACE_PAGES);
    if (lie != NULL && lie->what == W_CPUID)
        return before_cpuid((uint64_t)lie->value, info, uc, t);
    if (t_silent == 0 && t->tcs->notify &&
        (uint64_t)uc->uc_mcontext.gregs[REG_RIP] < g_host.libos_base)
        fault("a single step of user code, in spite of AEX-Notify");
    t_silent = 0;
    memset(&interrupt, 0, sizeof(interrupt));
    interrupt.si_signo = chance_below(4) ? STEP_SIGNAL : STEP_SIGNAL - 1;
    interrupt.si_code = SI_TKILL;
    return __real_emu_signal_enclave(interrupt.si_signo, &interrupt, uc, t);
}

void __wrap_emu_signal_host(int signo, siginfo_t *info, ucontext_t *uc)
{
    if (is_step(signo, info, uc))
        return;
    __real_emu_signal_host(signo, info, uc);
}
