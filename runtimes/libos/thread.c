/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Host threads. Each has one struct boundary_area and, while it is in the enclave, one TCS. Threads
 * that LibOS threads ended on wait for the next one, because a new host thread costs system calls.
 *
 * Leaving the enclave, in order of what the enclave's last EEXIT or exception means:
 *   ocall     serve it, EENTER
 *   return    the ecall is done
 *   resume    the exception handler (CSSA 1) is done: ERESUME
 *   exception EENTER at CSSA 1
 * A kick interrupts a thread that computes in the enclave: the signal handler finds ERESUME pending
 * at the AEP and makes it EENTER, so the LibOS sees what it asked for. A thread that is just
 * outside to resume cannot be turned round; it is kicked again a little later.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "runtime.h"

#define KICK_SIGNAL   (SIGRTMIN + 5)
#define RFLAGS_AC     0x40000ull
#define STACK_SIZE    (256u << 10)
#define AREA_MAX      65536
#define KICK_AGAIN_NS 50000
#define POLL_SLICE_NS 10000000
#define DEAD_US       200000

enum { WAIT_NONE, WAIT_FUTEX, WAIT_POLL };

/* In boundary_area.host_private: state that only this side uses. */
enum {
    PRIVATE_TCS,
    PRIVATE_STATE,
    PRIVATE_KICK,   /* one came that could not turn the thread round */
    PRIVATE_COMING, /* KICK_*: real-time signals queue, but one is as good as many */
};
#define KICK_SENT       1u /* the signal is on its way */
#define KICK_AGAIN      2u /* in the pipe of again_thread() */
#define STATE_EXCEPTION 1u /* between EENTER at CSSA 1 and its EEXIT */
#define STATE_RESUMING  2u /* from that EEXIT to the next one */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t work, tcs;
    uint64_t *tcs_free;
    size_t tcs_count, tcs_room;
    unsigned idle, wanted;
    struct boundary_area **areas; /* all; never freed while the enclave lives */
    size_t area_count;
    struct boundary_area **area_free;
    size_t area_free_count;
    int again_fd; /* threads to kick again */
} g_threads = {.lock = PTHREAD_MUTEX_INITIALIZER,
               .work = PTHREAD_COND_INITIALIZER,
               .tcs = PTHREAD_COND_INITIALIZER,
               .again_fd = -1};
/*
 * What init-runelet does with a signal that was sent to the container and hit one of our threads.
 */
static struct sigaction g_previous_trap, g_previous_kick;

static __thread struct boundary_area *t_area;

/* ---- areas ---- */

static struct boundary_area *area_take(void)
{
    struct boundary_area *area = NULL;
    pthread_mutex_lock(&g_threads.lock);
    if (g_threads.area_free_count > 0)
        area = g_threads.area_free[--g_threads.area_free_count];
    pthread_mutex_unlock(&g_threads.lock);
    if (area == NULL) {
        area = mmap(NULL, sizeof(*area), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                    0);
        if (area == MAP_FAILED)
            return NULL;
        area->event_fd = -1;
        pthread_mutex_lock(&g_threads.lock);
        bool full = g_threads.area_count == AREA_MAX;
        if (!full)
            g_threads.areas[g_threads.area_count++] = area;
        pthread_mutex_unlock(&g_threads.lock);
        if (full) {
            munmap(area, sizeof(*area));
            return NULL;
        }
    }
    return area;
}

/* The calling thread is the area's from now on. */
static void area_use(struct boundary_area *area)
{
    area->tid = gettid();
    area->wait_kind = WAIT_NONE;
    for (int i = PRIVATE_STATE; i <= PRIVATE_COMING; i++)
        __atomic_store_n(&area->host_private[i], 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&area->park, 0, __ATOMIC_SEQ_CST);
}

static void area_give(struct boundary_area *area)
{
    pthread_mutex_lock(&g_threads.lock);
    area->tid = 0;
    g_threads.area_free[g_threads.area_free_count++] = area;
    pthread_mutex_unlock(&g_threads.lock);
}

/* ---- TCS ---- */

static uint64_t tcs_take(void)
{
    pthread_mutex_lock(&g_threads.lock);
    while (g_threads.tcs_count == 0)
        pthread_cond_wait(&g_threads.tcs, &g_threads.lock);
    uint64_t tcs = g_threads.tcs_free[--g_threads.tcs_count];
    pthread_mutex_unlock(&g_threads.lock);
    return tcs;
}

void tcs_add(uint64_t address)
{
    pthread_mutex_lock(&g_threads.lock);
    if (g_threads.tcs_count == g_threads.tcs_room) {
        size_t room = g_threads.tcs_room ? g_threads.tcs_room * 2 : 64;
        uint64_t *grown = reallocarray(g_threads.tcs_free, room, sizeof(*grown));
        if (grown == NULL)
            runtime_fatal("out of host memory for the list of enclave threads");
        g_threads.tcs_free = grown;
        g_threads.tcs_room = room;
    }
    g_threads.tcs_free[g_threads.tcs_count++] = address;
    pthread_cond_signal(&g_threads.tcs);
    pthread_mutex_unlock(&g_threads.lock);
}

/* Set a bit of PRIVATE_COMING; false when it was set. */
static bool coming_set(struct boundary_area *area, uint64_t bit)
{
    return !(__atomic_fetch_or(&area->host_private[PRIVATE_COMING], bit, __ATOMIC_SEQ_CST) & bit);
}

static void coming_clear(struct boundary_area *area, uint64_t bit)
{
    __atomic_fetch_and(&area->host_private[PRIVATE_COMING], ~bit, __ATOMIC_SEQ_CST);
}

/* ---- the enter loop ---- */

struct call {
    struct boundary_area *area;
    int64_t result;
};

/* An exception leaves the enclave with the flags of its program, and Linux hands them to a signal
 * handler: alignment checks are not for this code. */
static void no_alignment_checks(void)
{
    __builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() & ~RFLAGS_AC);
}

/* sgx_enclave_user_handler_t: decides what is done after the enclave was left. */
static int left_enclave(long rdi, long rsi, long rdx, long rsp, long r8, long r9,
                        struct sgx_enclave_run *run)
{
    struct call *call = (struct call *)run->user_data;
    struct boundary_area *area = call->area;
    if (run->function != SGX_EEXIT) {
        no_alignment_checks();
        if (run->function == SGX_EENTER) { /* the exception handler itself cannot be entered */
            char text[160];
            snprintf(text, sizeof(text),
                     "the enclave cannot be entered: exception %u, error code 0x%x, address 0x%llx",
                     run->exception_vector, run->exception_error_code,
                     (unsigned long long)run->exception_addr);
            runtime_fatal(text);
        }
        __atomic_store_n(&area->host_private[PRIVATE_STATE], STATE_EXCEPTION, __ATOMIC_SEQ_CST);
        return SGX_EENTER;
    }
    switch (rdi) {
    case BOUNDARY_EXIT_OCALL:
        /*
         * A kick that comes now is for the LibOS to see by itself, before it returns to user code.
         */
        __atomic_store_n(&area->host_private[PRIVATE_STATE], 0, __ATOMIC_SEQ_CST);
        ocall_serve(area, (uint64_t)rsi);
        return SGX_EENTER;
    case BOUNDARY_EXIT_RETURN:
        call->result = rsi;
        return 0;
    case BOUNDARY_EXIT_RESUME:
        __atomic_store_n(&area->host_private[PRIVATE_STATE], STATE_RESUMING, __ATOMIC_SEQ_CST);
        if (__atomic_exchange_n(&area->host_private[PRIVATE_KICK], 0, __ATOMIC_SEQ_CST)) {
            __atomic_store_n(&area->host_private[PRIVATE_STATE], STATE_EXCEPTION, __ATOMIC_SEQ_CST);
            return SGX_EENTER;
        }
        return SGX_ERESUME;
    case BOUNDARY_EXIT_DEAD:
        usleep(DEAD_US); /* the thread that ended it may be about to say why */
        runtime_fatal("the enclave refuses to be entered: it has ended, or it does not lie at the "
                      "address that it was built for");
    default:
        runtime_fatal("the enclave left with an unknown reason");
    }
}

static int64_t enter(struct boundary_area *area, uint64_t number, uint64_t argument)
{
    struct call call = {.area = area};
    uint64_t tcs = tcs_take();
    struct sgx_enclave_run run = {
        .tcs = tcs, .user_handler = (uint64_t)left_enclave, .user_data = (uint64_t)&call};
    area->host_private[PRIVATE_TCS] = tcs;
    /* A kick that hit this thread since it was in the enclave last was nobody's. */
    __atomic_store_n(&area->host_private[PRIVATE_STATE], 0, __ATOMIC_SEQ_CST);
    t_area = area;
    coming_clear(area, KICK_SENT);
    int r = g_runtime.enclave->driver->enter(number, (unsigned long)area, argument, SGX_EENTER, 0,
                                             0, &run);
    t_area = NULL;
    tcs_add(tcs);
    return r < 0 ? r : call.result;
}

int64_t ecall(uint64_t number, uint64_t argument, void (*fill)(struct boundary_area *, void *),
              void (*done)(struct boundary_area *, void *), void *context)
{
    struct boundary_area *area = area_take();
    if (area == NULL)
        return -ENOMEM;
    area_use(area);
    if (fill != NULL)
        fill(area, context);
    int64_t result = enter(area, number, argument);
    if (done != NULL)
        done(area, context);
    area_give(area);
    return result;
}

/* ---- the pool ---- */

static void *pool_thread(void *own_area)
{
    struct boundary_area *area = own_area;
    area_use(area);
    for (;;) {
        pthread_mutex_lock(&g_threads.lock);
        g_threads.idle++;
        while (g_threads.wanted == 0)
            pthread_cond_wait(&g_threads.work, &g_threads.lock);
        g_threads.wanted--;
        g_threads.idle--;
        pthread_mutex_unlock(&g_threads.lock);
        __atomic_store_n(&area->park, 0, __ATOMIC_SEQ_CST);
        enter(area, ECALL_THREAD, 0);
    }
    return NULL;
}

static int start_thread(struct boundary_area *area)
{
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all, old;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_SIZE);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    /* Signals of the container are init-runelet's; a kick is ours, and exceptions must get
     * through. */
    sigfillset(&all);
    sigdelset(&all, KICK_SIGNAL);
    static const int exceptions[] = {SIGSEGV, SIGILL, SIGBUS, SIGFPE, SIGTRAP, SIGSYS};
    for (size_t i = 0; i < sizeof(exceptions) / sizeof(exceptions[0]); i++)
        sigdelset(&all, exceptions[i]);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int r = pthread_create(&thread, &attr, pool_thread, area);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    return r;
}

int thread_pool_add(void)
{
    pthread_mutex_lock(&g_threads.lock);
    g_threads.wanted++;
    bool grow = g_threads.wanted > g_threads.idle;
    if (!grow)
        pthread_cond_signal(&g_threads.work);
    pthread_mutex_unlock(&g_threads.lock);
    if (!grow)
        return 0;

    struct boundary_area *area = area_take();
    int r = area ? start_thread(area) : EAGAIN;
    if (r == 0)
        return 0;
    pthread_mutex_lock(&g_threads.lock);
    g_threads.wanted--;
    pthread_mutex_unlock(&g_threads.lock);
    if (area)
        area_give(area);
    runtime_log(1, "cannot create a host thread: %s%s", area ? strerror(r) : "out of host memory",
                area ? " (see the container's pids limit)" : "");
    return -r;
}

/* ---- waiting ---- */

static void futex(uint32_t *word, int op, uint32_t value, const struct timespec *timeout)
{
    syscall(SYS_futex, word, op | FUTEX_PRIVATE_FLAG, value, timeout, NULL, 0);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static bool take_token(struct boundary_area *area)
{
    return __atomic_exchange_n(&area->park, 0, __ATOMIC_SEQ_CST) == 1;
}

static int64_t park_futex(struct boundary_area *area, uint64_t timeout)
{
    if (take_token(area))
        return 0;
    uint64_t deadline = timeout == UINT64_MAX ? UINT64_MAX : now_ns() + timeout;
    if (deadline < timeout)
        deadline = UINT64_MAX;
    __atomic_store_n(&area->wait_kind, WAIT_FUTEX, __ATOMIC_SEQ_CST);
    int64_t result = 0;
    while (!take_token(area)) {
        struct timespec left, *wait = NULL;
        if (deadline != UINT64_MAX) {
            uint64_t now = now_ns();
            if (now >= deadline) {
                result = -ETIMEDOUT;
                break;
            }
            left = (struct timespec){(time_t)((deadline - now) / 1000000000u),
                                     (long)((deadline - now) % 1000000000u)};
            wait = &left;
        }
        futex(&area->park, FUTEX_WAIT, 0, wait);
    }
    __atomic_store_n(&area->wait_kind, WAIT_NONE, __ATOMIC_SEQ_CST);
    return result;
}

/*
 * With host descriptors: the thread's own eventfd is one more, made when it first needs one.
 * Without (RLIMIT_NOFILE of this process) a wake-up is seen a little later, as one without reason.
 * The answer is the number of ready descriptors.
 */
static int64_t park_poll(struct boundary_area *area, uint64_t timeout, uint64_t count)
{
    struct boundary_pollfd *fds = (struct boundary_pollfd *)area->data;
    if (count > BOUNDARY_DATA_SIZE / sizeof(*fds))
        return -EINVAL;
    struct pollfd few[17], *polled = count < 17 ? few : malloc((count + 1) * sizeof(*polled));
    if (polled == NULL)
        return -ENOMEM;
    for (uint64_t i = 0; i < count; i++)
        polled[i] = (struct pollfd){.fd = fds[i].fd, .events = (short)fds[i].events};
    if (area->event_fd < 0)
        area->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    bool sliced = area->event_fd < 0 && timeout > POLL_SLICE_NS;
    if (sliced)
        timeout = POLL_SLICE_NS;
    polled[count] = (struct pollfd){.fd = area->event_fd, .events = POLLIN};
    struct timespec left = {(time_t)(timeout / 1000000000u), (long)(timeout % 1000000000u)};

    __atomic_store_n(&area->wait_kind, WAIT_POLL, __ATOMIC_SEQ_CST);
    int64_t result = sliced ? 0 : -ETIMEDOUT;
    if (take_token(area)) {
        result = 0;
    } else {
        int n = ppoll(polled, count + 1, timeout == UINT64_MAX ? NULL : &left, NULL);
        if (n > 0)
            result = 0;
        else if (n < 0)
            result = errno == EINTR ? 0 : -errno;
        if (n <= 0)
            for (uint64_t i = 0; i < count; i++)
                polled[i].revents = 0;
        take_token(area);
    }
    __atomic_store_n(&area->wait_kind, WAIT_NONE, __ATOMIC_SEQ_CST);
    uint64_t drained;
    ssize_t ignored = area->event_fd < 0 ? 0 : read(area->event_fd, &drained, sizeof(drained));
    (void)ignored;
    for (uint64_t i = 0; i < count; i++) {
        fds[i].revents = (uint16_t)polled[i].revents;
        if (result >= 0 && polled[i].revents)
            result++;
    }
    if (polled != few)
        free(polled);
    return result;
}

int64_t thread_park(struct boundary_area *area, uint64_t timeout, uint64_t count)
{
    return count ? park_poll(area, timeout, count) : park_futex(area, timeout);
}

void thread_unpark(struct boundary_area *area)
{
    if (__atomic_exchange_n(&area->park, 1, __ATOMIC_SEQ_CST) == 1)
        return;
    uint32_t kind = __atomic_load_n(&area->wait_kind, __ATOMIC_SEQ_CST);
    if (kind == WAIT_FUTEX) {
        futex(&area->park, FUTEX_WAKE, 1, NULL);
    } else if (kind == WAIT_POLL && area->event_fd >= 0) {
        uint64_t one = 1;
        ssize_t ignored = write(area->event_fd, &one, sizeof(one));
        (void)ignored;
    }
}

/* ---- kicks ---- */

static void kick_again(struct boundary_area *area)
{
    int saved = errno;
    if (coming_set(area, KICK_AGAIN) &&
        write(g_threads.again_fd, &area, sizeof(area)) != sizeof(area))
        coming_clear(area, KICK_AGAIN);
    errno = saved;
}

void thread_kick(struct boundary_area *area)
{
    int tid = __atomic_load_n(&area->tid, __ATOMIC_SEQ_CST);
    if (tid <= 0 || !coming_set(area, KICK_SENT))
        return;
    if (syscall(SYS_tgkill, getpid(), tid, KICK_SIGNAL) == 0)
        return;
    coming_clear(area, KICK_SENT);
    if (errno == EAGAIN) /* the user's pending signals are at their limit */
        kick_again(area);
}

/* The signal interrupted enclave code, and ERESUME would be next. */
static bool at_aep(const struct boundary_area *area, const greg_t *regs)
{
    return area != NULL && regs[REG_RAX] == SGX_ERESUME && regs[REG_RIP] == regs[REG_RCX] &&
           (uint64_t)regs[REG_RBX] == area->host_private[PRIVATE_TCS];
}

/* Make the pending ERESUME an EENTER at CSSA 1; false when the enclave's handler runs already. */
static bool turn_round(struct boundary_area *area, greg_t *regs)
{
    uint64_t *state = &area->host_private[PRIVATE_STATE];
    if (__atomic_load_n(state, __ATOMIC_SEQ_CST) == STATE_EXCEPTION)
        return false;
    __atomic_store_n(state, STATE_EXCEPTION, __ATOMIC_SEQ_CST);
    regs[REG_RAX] = SGX_EENTER;
    return true;
}

static void pass_on(const struct sigaction *previous, int signo, siginfo_t *info, void *context)
{
    if (previous->sa_flags & SA_SIGINFO) {
        previous->sa_sigaction(signo, info, context);
    } else {
        struct sigaction act = {.sa_handler = SIG_DFL};
        sigaction(signo, &act, NULL);
        syscall(SYS_tgkill, getpid(), gettid(), signo);
    }
}

static void kick_handler(int signo, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    greg_t *regs = uc->uc_mcontext.gregs;
    struct boundary_area *area = t_area;
    no_alignment_checks();
    if (info->si_code != SI_TKILL) {
        pass_on(&g_previous_kick, signo, info, context);
        return;
    }
    if (area == NULL)
        return;
    coming_clear(area, KICK_SENT);
    bool inside = at_aep(area, regs);
    if (inside && turn_round(area, regs))
        return;
    __atomic_store_n(&area->host_private[PRIVATE_KICK], 1, __ATOMIC_SEQ_CST);
    if (!inside &&
        __atomic_load_n(&area->host_private[PRIVATE_STATE], __ATOMIC_SEQ_CST) == STATE_RESUMING)
        kick_again(area);
}

/*
 * Linux reports #BP and #DB of enclave code by SIGTRAP and never through the vDSO: the enclave is
 * entered to see for itself (EXITINFO). What was sent, and a trap of our own, is init-runelet's.
 */
static void trap_handler(int signo, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    struct boundary_area *area = t_area;
    no_alignment_checks();
    if (info->si_code > 0 && at_aep(area, uc->uc_mcontext.gregs))
        turn_round(area, uc->uc_mcontext.gregs);
    else
        pass_on(&g_previous_trap, signo, info, context);
}

static void *again_thread(void *arg)
{
    int fd = (int)(intptr_t)arg;
    struct boundary_area *area;
    while (read(fd, &area, sizeof(area)) == sizeof(area)) {
        struct timespec pause = {0, KICK_AGAIN_NS};
        nanosleep(&pause, NULL);
        coming_clear(area, KICK_AGAIN);
        thread_kick(area);
    }
    return NULL;
}

int threads_init(struct error *err)
{
    g_threads.areas = calloc(AREA_MAX, sizeof(*g_threads.areas));
    g_threads.area_free = calloc(AREA_MAX, sizeof(*g_threads.area_free));
    if (g_threads.areas == NULL || g_threads.area_free == NULL)
        return error_errno(err, ENOMEM, "thread table");
    for (unsigned i = 0; i < g_runtime.enclave->tcs_count; i++)
        tcs_add(g_runtime.enclave->tcs[i]);

    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return error_errno(err, errno, "pipe");
    fcntl(fds[1], F_SETFL, O_NONBLOCK); /* a signal handler writes */
    g_threads.again_fd = fds[1];
    struct sigaction act = {.sa_sigaction = kick_handler,
                            .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
    sigfillset(&act.sa_mask);
    int r = g_runtime.enclave->driver->sigaction(KICK_SIGNAL, &act, &g_previous_kick);
    if (r == 0) {
        act.sa_sigaction = trap_handler;
        r = g_runtime.enclave->driver->sigaction(SIGTRAP, &act, &g_previous_trap);
    }
    if (r < 0)
        return error_errno(err, -r, "sigaction");
    pthread_t thread;
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    r = pthread_create(&thread, NULL, again_thread, (void *)(intptr_t)fds[0]);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (r != 0)
        return error_errno(err, r, "pthread_create");
    pthread_detach(thread);
    return 0;
}
