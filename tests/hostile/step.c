/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Single steps, as a host makes them with its timer (SGX-Step): on the way in TF is set, and the
 * trap behind the first instruction becomes an interrupt. Then the host may do what it likes before
 * the next instruction: enter at CSSA 1 (a kick), or take pages away.
 */
#include <signal.h>
#include <string.h>
#include <ucontext.h>

#include "sgx/emulator/emulator.h"
#include "tests/hostile/hostile.h"

#define TF 0x100ull

static __thread uint64_t t_steps, t_until;

struct emu_thread *__real_emu_enclu(struct emu_image *image, void *xsave);
struct emu_thread *__wrap_emu_enclu(struct emu_image *image, void *xsave);
int __real_emu_signal_enclave(int signo, siginfo_t *info, ucontext_t *uc, struct emu_thread *t);
int __wrap_emu_signal_enclave(int signo, siginfo_t *info, ucontext_t *uc, struct emu_thread *t);
void __real_emu_signal_host(int signo, siginfo_t *info, ucontext_t *uc);
void __wrap_emu_signal_host(int signo, siginfo_t *info, ucontext_t *uc);

/* By the row: a stretch of single steps now and then, counted in entries. */
static void by_row(void)
{
    const struct lie *lie = lie_ongoing(PLACE_STEP);
    if (lie == NULL || !g_host.started || t_until-- > 0)
        return;
    t_until = chance_below(2ull * lie->pause);
    t_steps = chance_below(2000);
    g_host.lies++;
}

/*
 * The enclave leaves to the stack of the host thread that entered it. Another one that resumes what
 * was interrupted there breaks only the host: it gets #GP.
 */
static bool is_anothers(uint64_t address)
{
    const struct sgx_handle *e = emu_find(address);
    const struct emu_tcs *tcs = e ? atomic_load(&e->tcs[emu_page(e, address)]) : NULL;
    return tcs != NULL && tcs->cssa > 0 &&
           *host_tcs_user(address, tcs->cssa - 1) != (uint64_t)emu_thread_current();
}

struct emu_thread *__wrap_emu_enclu(struct emu_image *image, void *xsave)
{
    const uint64_t leaf = (uint32_t)image->rax, tcs = image->rbx;
    watch_spare(xsave, EMU_XSAVE_SIZE);
    if (leaf == SGX_ERESUME && is_anothers(tcs)) {
        image->rdi = X86_GP;
        image->rsi = image->rdx = 0;
        return NULL;
    }
    struct emu_thread *t = __real_emu_enclu(image, xsave);
    if (t == NULL)
        return NULL;
    if (leaf == SGX_EENTER)
        *host_tcs_user(tcs, (uint32_t)image->rax) = (uint64_t)t; /* RAX: CSSA */
    if (t_steps == 0)
        by_row();
    if (t_steps > 0)
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
    if (t_steps > 0)
        t_steps--;
    const struct lie *lie = lie_ongoing(PLACE_PAGES);
    if (lie != NULL && lie->what == W_CPUID)
        return before_cpuid((uint64_t)lie->value, info, uc, t);
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
