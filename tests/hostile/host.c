/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions of the untrusted half that the linker wraps: ocalls, the driver. An honest driver
 * stands behind the lying one; all entries and exits of the runtime's threads come through
 * hostile_enter() and left().
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "layout.h"
#include "sgx/emulator/emulator.h"
#include "tests/hostile/hostile.h"

#define AREAS 1024

struct host g_host = {.limit = 10, .bad = "BAD: "};

static pthread_mutex_t g_lock = PTHREAD_MUTEX_INITIALIZER;
static struct boundary_area *g_areas[AREAS];
static _Atomic unsigned g_area_count; /* they stay: no lock to look */
static struct tcs {
    uint64_t address;
    _Atomic uint64_t user[LAYOUT_NSSA];   /* who entered it last, for each CSSA */
    _Atomic(struct boundary_area *) area; /* of the runtime's thread that is on it */
} g_tcs[AREAS];
static unsigned g_tcs_count;
static __thread struct boundary_area *t_noted;

bool host_lying(void)
{
    return g_host.started || g_host.from_boot;
}

/* ---- what the host knows of its threads ---- */

static void note_area(struct boundary_area *area)
{
    if (t_noted == area)
        return;
    t_noted = area;
    pthread_mutex_lock(&g_lock);
    unsigned i = 0;
    while (i < g_area_count && g_areas[i] != area)
        i++;
    if (i == g_area_count && i < AREAS) {
        g_areas[i] = area;
        g_area_count++;
    }
    pthread_mutex_unlock(&g_lock);
}

struct boundary_area *host_some_area(void)
{
    pthread_mutex_lock(&g_lock);
    struct boundary_area *area = g_area_count ? g_areas[chance_below(g_area_count)] : NULL;
    pthread_mutex_unlock(&g_lock);
    return area;
}

struct boundary_area *host_area_at(uint64_t address)
{
    for (unsigned i = 0; i < g_area_count; i++)
        if (address - (uint64_t)g_areas[i] < sizeof(*g_areas[i]))
            return g_areas[i];
    return NULL;
}

static bool is_area(uint64_t area)
{
    return area != 0 && (uint64_t)host_area_at(area) == area;
}

/* ---- TCS ---- */

void host_note_tcs(uint64_t tcs)
{
    pthread_mutex_lock(&g_lock);
    if (g_tcs_count < AREAS)
        g_tcs[g_tcs_count++].address = tcs;
    pthread_mutex_unlock(&g_lock);
}

uint64_t host_some_tcs(void)
{
    pthread_mutex_lock(&g_lock);
    uint64_t tcs = g_tcs_count ? g_tcs[chance_below(g_tcs_count)].address : 0;
    pthread_mutex_unlock(&g_lock);
    return tcs;
}

static struct tcs *find_tcs(uint64_t address)
{
    static struct tcs none;
    for (unsigned i = 0; i < g_tcs_count; i++)
        if (g_tcs[i].address == address)
            return &g_tcs[i];
    return &none;
}

_Atomic uint64_t *host_tcs_user(uint64_t tcs, uint32_t cssa)
{
    return &find_tcs(tcs)->user[cssa % LAYOUT_NSSA];
}

struct boundary_area *host_area_on(uint64_t tcs)
{
    return find_tcs(tcs)->area;
}

/* ---- ocalls ---- */

void __wrap_ocall_serve(struct boundary_area *area, uint64_t number);
void __wrap_ocall_serve(struct boundary_area *area, uint64_t number)
{
    note_area(area);
    watch_ocall(area, number);
    if (number >= OCALL_COUNT) {
        __real_ocall_serve(area, number);
        return;
    }
    if (number == OCALL_TCS_ADD)
        host_note_tcs(area->args[0]);
    if (number == OCALL_ABORT && g_host.ignore_abort) {
        usleep(1000);
        area->ret = 0;
        return;
    }
    /* A race may have changed it: not worth the host's life. */
    const unsigned named = number == OCALL_CLOCK;
    if ((number == OCALL_WAKE || number == OCALL_KICK || (named && area->args[1] != 0)) &&
        !is_area(area->args[named])) {
        area->ret = -EINVAL;
        return;
    }
    const struct lie *lie = lie_at((enum place)number);
    if (lie != NULL)
        answer_lie(lie, area, number);
    else {
        __real_ocall_serve(area, number);
        answer_given(area, number);
    }
    answer_served();
}

_Noreturn void __real_runtime_fatal(const char *message);
_Noreturn void __wrap_runtime_fatal(const char *message);
_Noreturn void __wrap_runtime_fatal(const char *message)
{
    watch_host(message);
    __real_runtime_fatal(message);
}

/* ---- entries and exits ---- */

struct visit {
    sgx_enclave_user_handler_t handler; /* the runtime's */
    uint64_t data;
    uint64_t tcs; /* the right one, while the thread is on another */
    bool busy;    /* somebody else is on this TCS */
    bool entered; /* the first EENTER went well */
};

static int pass(struct visit *v, long rdi, long rsi, long rdx, long rsp, long r8, long r9,
                struct sgx_enclave_run *run)
{
    run->user_data = v->data;
    int r = v->handler(rdi, rsi, rdx, rsp, r8, r9, run);
    run->user_data = (uint64_t)v;
    return r;
}

static int exception(struct visit *v, struct sgx_enclave_run *run)
{
    const uint64_t address = run->exception_addr;
    const bool in_handler = run->function == SGX_EENTER;

    if (in_handler && !v->entered) {
        v->busy = run->exception_vector == X86_GP; /* a stray entry is on it */
        return v->busy ? 0 : pass(v, 0, 0, 0, 0, 0, 0, run);
    }
    if (run->exception_vector == X86_PF &&
        page_fault(address, run->exception_error_code, run->tcs, in_handler) == PAGE_RESUME)
        return SGX_ERESUME;
    if (in_handler && run->exception_vector == X86_GP && v->tcs == 0)
        return SGX_EENTER; /* a stray entry was quicker; it will be gone */
    const struct lie *lie = lie_at(PLACE_AEX);
    if (lie != NULL && lie->what == W_SKIP)
        return SGX_ERESUME;
    return pass(v, 0, 0, 0, 0, 0, 0, run);
}

/* An ocall's answer is to go in: on another TCS first, or its pages are gone. */
static int before_return(struct visit *v, struct sgx_enclave_run *run, int r)
{
    const struct lie *lie = r == SGX_EENTER ? lie_at(PLACE_RETURN) : NULL;
    if (lie == NULL)
        return r;
    if (lie->what != W_WRONG_TCS) {
        area_hide(t_noted, lie);
        return r;
    }
    v->tcs = run->tcs;
    run->tcs = host_some_tcs();
    if (run->tcs == v->tcs || run->tcs == 0) {
        run->tcs = v->tcs;
        v->tcs = 0;
    }
    return r;
}

/*
 * Off another TCS: whatever its ocall or ecall says, the right one is next. What was interrupted
 * there must be gone through: the enclave would leave to this thread's stack when another one
 * resumed it.
 */
int host_on_other_tcs(long rdi, struct sgx_enclave_run *run)
{
    if (run->function == SGX_EEXIT)
        return rdi == BOUNDARY_EXIT_RESUME ? SGX_ERESUME : 0;
    if (run->exception_vector == X86_GP || run->exception_addr == run->tcs)
        return 0; /* busy, none, or another thread's to resume */
    const bool entering = run->function == SGX_EENTER;
    if (page_fault(run->exception_addr, run->exception_error_code, run->tcs, entering) ==
            PAGE_RESUME ||
        entering)
        return SGX_ERESUME;
    return SGX_EENTER;
}

static int detour(struct visit *v, long rdi, struct sgx_enclave_run *run)
{
    int r = host_on_other_tcs(rdi, run);
    if (r != 0)
        return r;
    run->tcs = v->tcs;
    v->tcs = 0;
    return SGX_EENTER;
}

static int left(long rdi, long rsi, long rdx, long rsp, long r8, long r9,
                struct sgx_enclave_run *run)
{
    struct visit *v = (struct visit *)run->user_data;

    if (run->function == SGX_EEXIT)
        area_back();
    else if (area_fault(run))
        return SGX_ERESUME;
    if (v->tcs != 0)
        return detour(v, rdi, run);
    if (run->function != SGX_EEXIT)
        return exception(v, run);
    v->entered = true;
    watch_exit(rdx, r8, r9);
    if (g_host.wanted_base != 0 && rdi != BOUNDARY_EXIT_DEAD)
        fault("the enclave runs at a base that it was not made for");
    if (rdi == BOUNDARY_EXIT_RESUME) {
        const struct lie *lie = lie_at(PLACE_RESUME);
        if (lie != NULL && lie->what == W_AGAIN) {
            pass(v, rdi, rsi, rdx, rsp, r8, r9, run);
            return SGX_EENTER;
        }
    }
    int r = pass(v, rdi, rsi, rdx, rsp, r8, r9, run);
    return rdi == BOUNDARY_EXIT_OCALL ? before_return(v, run, r) : r;
}

static void close_stdio(unsigned long argument)
{
    struct boundary_process *p = (struct boundary_process *)argument;
    for (int i = 0; i < 3; i++) {
        close(p->stdio[i]);
        p->stdio[i] = -1;
    }
}

/* An ecall with another argument, twice, or not at all. */
static bool ecall_lie(unsigned long number, unsigned long *argument, bool *again)
{
    const struct lie *lie = number == ECALL_THREAD ? NULL : lie_at(PLACE_ECALL);
    if (lie == NULL)
        return true;
    *again = lie->what == W_AGAIN;
    if (lie->what == W_WILD)
        *argument = wild_argument(number, *argument);
    if (lie->what == W_CLOSED && number == ECALL_CREATE_PROCESS)
        close_stdio(*argument);
    return lie->what != W_SKIP;
}

static int hostile_enter(unsigned long rdi, unsigned long rsi, unsigned long rdx,
                         unsigned int function, unsigned long r8, unsigned long r9,
                         struct sgx_enclave_run *run)
{
    const uint64_t handler = run->user_handler, data = run->user_data;
    bool again = false, first = true;
    struct visit v;
    int r;

    if (rdi == ECALL_START_PROCESS)
        g_host.started = true;
    if (host_lying())
        ongoing_start();
    if (!ecall_lie(rdi, &rdx, &again))
        return 0;
    do {
        v = (struct visit){.handler = (sgx_enclave_user_handler_t)handler, .data = data};
        run->user_handler = (uint64_t)left;
        run->user_data = (uint64_t)&v;
        find_tcs(run->tcs)->area = (struct boundary_area *)rsi;
        r = g_host.real->enter(rdi, rsi, rdx, function, r8, r9, run);
        find_tcs(run->tcs)->area = NULL;
        area_back();
        if (v.busy)
            usleep(200);
        again = again && !v.busy && first;
        first = false;
    } while (v.busy || again);
    run->user_handler = handler;
    run->user_data = data;
    return r;
}

/* ---- the driver ---- */

static struct sgx_driver g_driver;

static int hostile_reserve(struct sgx_handle *h, uint64_t base, uint64_t size, bool any_base,
                           uint64_t *out, struct error *err)
{
    if (g_host.wanted_base != 0)
        base = g_host.wanted_base;
    int r = g_host.real->reserve(h, base, size, any_base && !g_host.wanted_base, out, err);
    if (r == 0) {
        g_host.handle = h;
        g_host.base = *out;
        g_host.size = size;
        g_host.libos_base = *out + LAYOUT_LIBOS_BASE(size);
    }
    return r;
}

static int hostile_add_pages(struct sgx_handle *h, const void *src, uint64_t offset,
                             uint64_t length, const struct sgx_secinfo *secinfo, bool measure,
                             uint64_t *count, struct error *err)
{
    if ((secinfo->flags & SGX_SECINFO_TYPE_MASK) == SGX_SECINFO_TYPE(SGX_PT_TCS))
        for (uint64_t at = 0; at < length; at += SGX_PAGE_SIZE)
            host_note_tcs(g_host.base + offset + at);
    if (g_host.wanted_base != 0)
        base_add(src, offset, length);
    return g_host.real->add_pages(h, src, offset, length, secinfo, measure, count, err);
}

static int hostile_map(struct sgx_handle *h, uint64_t addr, uint64_t length, int prot,
                       struct error *err)
{
    int r = g_host.real->map(h, addr, length, prot, err);
    if (r == 0)
        page_mapped(addr, length, prot);
    return r;
}

static void nobody(int signo, siginfo_t *info, void *context)
{
}

/* What the emulator does not settle, in host code. */
static void crash(int signo, siginfo_t *info, void *context)
{
    const ucontext_t *uc = context;
    if (signo == SIGSEGV && area_of_host_code((uint64_t)info->si_addr))
        return;
    watch_crash(signo, (uint64_t)uc->uc_mcontext.gregs[REG_RIP], (uint64_t)info->si_addr);
}

static const int g_crashes[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};
#define CRASHES (sizeof(g_crashes) / sizeof(g_crashes[0]))

static void take_crashes(void)
{
    static const struct sigaction act = {.sa_sigaction = crash,
                                         .sa_flags = SA_SIGINFO | SA_ONSTACK};
    for (size_t i = 0; i < CRASHES; i++)
        g_host.real->sigaction(g_crashes[i], &act, NULL);
}

/* Handlers of the runtime block everything: what they break would end the process unseen. */
static int hostile_sigaction(int signo, const struct sigaction *act, struct sigaction *old)
{
    struct sigaction open = act ? *act : (struct sigaction){0};
    for (size_t i = 0; i < CRASHES; i++)
        sigdelset(&open.sa_mask, g_crashes[i]);
    return g_host.real->sigaction(signo, act ? &open : NULL, old);
}

static int hostile_create(struct sgx_handle *h, const struct sgx_secs *secs, struct error *err)
{
    struct sgx_secs other = *secs;
    outside_load(&other);
    return g_host.real->create(h, &other, err);
}

const struct sgx_driver *__real_sgx_driver_open(const char *type, struct error *err);
const struct sgx_driver *__wrap_sgx_driver_open(const char *type, struct error *err);
const struct sgx_driver *__wrap_sgx_driver_open(const char *type, struct error *err)
{
    g_host.real = __real_sgx_driver_open(type, err);
    if (g_host.real == NULL)
        return NULL;
    static const struct sigaction nothing = {.sa_sigaction = nobody,
                                             .sa_flags = SA_SIGINFO | SA_ONSTACK};
    g_host.real->sigaction(STEP_SIGNAL, &nothing, NULL);
    take_crashes();
    g_driver = *g_host.real;
    g_driver.enter = hostile_enter;
    g_driver.reserve = hostile_reserve;
    g_driver.add_pages = hostile_add_pages;
    g_driver.map = hostile_map;
    g_driver.create = hostile_create;
    g_driver.sigaction = hostile_sigaction;
    return &g_driver;
}
