/* SPDX-License-Identifier: Apache-2.0 */
/* What goes on by itself while the enclave runs: one host thread for each such row. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "pal.h"
#include "sgx_arch.h"
#include "tests/hostile/hostile.h"

#define KICK_SIGNAL (STEP_SIGNAL - 1) /* runtimes/libos/thread.c */

/* ---- bytes of the shared areas, while the enclave may be reading them ---- */

static void race(const struct lie *lie)
{
    volatile struct boundary_area *area = host_some_area();
    if (area == NULL)
        return;
    switch (chance_below(5)) {
    case 0:
        area->ret = (int64_t)(chance_below(2) ? chance() : -(int64_t)chance_below(140));
        break;
    case 1:
        area->out[chance_below(BOUNDARY_OUT)] = chance();
        break;
    case 2:
        area->args[chance_below(BOUNDARY_ARGS)] = chance();
        break;
    default: {
        volatile uint8_t *p = area->data +
                              chance_below(chance_below(4) ? 1024 : BOUNDARY_DATA_SIZE);
        uint8_t old = *p;
        *p = (uint8_t)chance();
        if (chance_below(2))
            *p = old; /* too short for all but two looks */
    }
    }
}

/* ---- kicks and wake-ups that nobody asked for ---- */

static void kick(const struct lie *lie)
{
    struct boundary_area *area = host_some_area();
    int tid = area ? __atomic_load_n(&area->tid, __ATOMIC_SEQ_CST) : 0;
    if (tid > 0)
        syscall(SYS_tgkill, getpid(), tid, KICK_SIGNAL);
}

static void wake(const struct lie *lie)
{
    struct boundary_area *area = host_some_area();
    if (area != NULL)
        thread_unpark(area);
}

/* ---- entries ---- */

/* An ocall has its arguments in the area of the thread whose TCS this is, or in ours. */
static int stray_left(long rdi, long rsi, long rdx, long rsp, long r8, long r9,
                      struct sgx_enclave_run *run)
{
    if (run->function != SGX_EEXIT || rdi == BOUNDARY_EXIT_RESUME)
        return host_on_other_tcs(rdi, run);
    struct boundary_area *area = host_area_on(run->tcs);
    if (area == NULL)
        area = (struct boundary_area *)run->user_data;
    if (rdi != BOUNDARY_EXIT_OCALL || area == NULL || chance_below(10) == 0)
        return 0;
    if (rsi == OCALL_WAIT)
        area->ret = 0;
    else
        ocall_serve(area, (uint64_t)rsi);
    return SGX_EENTER;
}

/* Straight to the processor, on any TCS, with anything in the registers. */
static void enter_anywhere(void)
{
    static __thread struct boundary_area *own;
    if (own == NULL)
        own = aligned_alloc(4096, sizeof(*own));
    uint64_t areas[] = {(uint64_t)own,
                        g_host.libos_base + (chance() & 0xfff000),
                        0,
                        0x10000,
                        chance(),
                        (uint64_t)host_some_area(),
                        (uint64_t)host_some_area() + 4096, /* its data is the other's arguments */
                        (uint64_t)g_runtime.image & ~0xfffull,
                        (uint64_t)own + 8,
                        ~0xfffull};
    uint64_t area = areas[chance_below(sizeof(areas) / sizeof(areas[0]))];
    struct sgx_enclave_run run = {
        .tcs = host_some_tcs(), .user_handler = (uint64_t)stray_left, .user_data = (uint64_t)own};
    if (chance_below(16) == 0)
        run.tcs = chance_below(2) ? g_host.base + (chance() % g_host.size & ~0xfffull) : chance();
    /* A thread that it takes would need a host thread of its own. */
    uint64_t number = chance_below(8) ? chance_below(12) : chance();
    if (number == ECALL_THREAD || number == ECALL_KILL || number == ECALL_KILL_FOREGROUND)
        number = ECALL_STATS;
    g_host.real->enter(number, area, chance_below(2) ? chance_below(64) : chance(),
                       chance_below(4) ? SGX_EENTER : SGX_ERESUME, chance(), chance(), &run);
}

/* ---- ecalls, as the runtime makes them ---- */

static struct {
    struct boundary_process head;
    char strings[64];
} g_process;

/* A request that an operator could make. */
static void process_request(void)
{
    static const char strings[] = "\0/\0/bin/workload\0probe\0A=B";
    memset(&g_process, 0, sizeof(g_process));
    g_process.head = (struct boundary_process){.size = sizeof(g_process.head) + sizeof(strings),
                                               .argc = 2,
                                               .envc = 1,
                                               .stdio = {-1, -1, -1},
                                               .capabilities = 0xff};
    memcpy(g_process.strings, strings, sizeof(strings));
}

static void exec(void)
{
    process_request();
    int64_t pid = ecall(ECALL_CREATE_PROCESS, (uint64_t)&g_process, NULL, NULL, NULL);
    if (pid > 0)
        fault("the host has started process %ld in the enclave", (long)pid);
}

/* A terminal whose other side nobody reads; the descriptors are the enclave's to close. */
static void give_terminal(int32_t stdio[3])
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static int terminal = -1;

    pthread_mutex_lock(&lock);
    if (terminal < 0) {
        int other = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
        if (other >= 0 && unlockpt(other) == 0)
            terminal = open(ptsname(other), O_RDWR | O_NOCTTY | O_CLOEXEC);
    }
    pthread_mutex_unlock(&lock);
    for (int i = 0; i < 3; i++)
        stdio[i] = dup(terminal);
}

/* What `rune exec -t` does, of a program that is not there as often as of one that is. */
static void exec_on_terminal(void)
{
    static const char there[] = "\0/\0/bin/workload\0terminals\0A=B";
    static const char nowhere[] = "\0/\0/bin/worknone\0terminals\0A=B";
    _Static_assert(sizeof(there) == sizeof(nowhere), "one size");
    struct {
        struct boundary_process head;
        char strings[sizeof(there)];
    } p = {.head = {.size = sizeof(p.head) + sizeof(there),
                    .argc = 2,
                    .envc = 1,
                    .flags = PAL_PROCESS_TERMINAL}};

    memcpy(p.strings, chance_below(2) ? there : nowhere, sizeof(there));
    give_terminal(p.head.stdio);
    int64_t pid = ecall(ECALL_CREATE_PROCESS, (uint64_t)&p, NULL, NULL, NULL);
    if (pid > 0)
        ecall(ECALL_START_PROCESS, (uint64_t)pid, NULL, NULL, NULL);
}

static void kill_some(void)
{
    const uint64_t number = chance_below(4) ? ECALL_KILL : ECALL_KILL_FOREGROUND;
    const int32_t pid = (int32_t)chance_below(12) - 1;
    const uint64_t signo = 1 + chance_below(64);
    int64_t r = ecall(number, (uint32_t)pid | signo << 32, NULL, NULL, NULL);
    if (r == 0)
        fault("the host has sent signal %d to process %d", (int)signo, pid);
}

static void wild_exec(void)
{
    volatile uint8_t *p = (volatile uint8_t *)&g_process;
    process_request();
    for (uint64_t n = chance_below(12); n > 0; n--)
        p[chance_below(sizeof(g_process))] = (uint8_t)chance();
    uint64_t argument = chance_below(8)   ? (uint64_t)&g_process
                        : chance_below(2) ? chance()
                                          : g_host.libos_base + chance_below(1 << 24);
    ecall(ECALL_CREATE_PROCESS, argument, NULL, NULL, NULL);
}

#define REPORT_DATA_AT 320 /* in REPORT */

static void report_fill(struct boundary_area *area, void *context)
{
    memset(area->data, 0, 512);
    memset(area->data + 512, 0xa5, 64);
}

static void report_done(struct boundary_area *area, void *context)
{
    uint8_t asked[64];
    memset(asked, 0xa5, sizeof(asked));
    if (memcmp(area->data + REPORT_DATA_AT, asked, sizeof(asked)) == 0)
        *(bool *)context = true;
}

static void report(void)
{
    bool granted = false;
    int64_t r = ecall(ECALL_REPORT, 0, report_fill, report_done, &granted);
    if (r == 0 && granted)
        fault("the host has a REPORT over data of its choice");
}

static void stray(const struct lie *lie)
{
    uint64_t argument = chance_below(2) ? chance_below(64) : chance();
    switch (lie->what) {
    case W_REPORT:
        report();
        return;
    case W_EXEC:
        exec();
        return;
    case W_KILL:
        kill_some();
        return;
    case W_TERMINAL:
        exec_on_terminal();
        return;
    default:
        break;
    }
    switch (chance_below(10)) {
    case 0:
        wild_exec();
        break;
    case 1:
        ecall(ECALL_START_PROCESS, argument, NULL, NULL, NULL);
        break;
    case 2:
        ecall(ECALL_RESIZE, argument, NULL, NULL, NULL);
        break;
    case 3:
        report();
        break;
    case 4:
        ecall(ECALL_STATS, 0, NULL, NULL, NULL);
        break;
    case 5:
        ecall(chance_below(2) ? ECALL_BOOT : chance(), argument, NULL, NULL, NULL);
        break;
    case 6:
        ecall(ECALL_THREAD, 0, NULL, NULL, NULL);
        break;
    case 7:
        ecall(ECALL_LIMITS, argument, NULL, NULL, NULL);
        break;
    default:
        enter_anywhere();
    }
}

/* ---- threads ---- */

static const struct ongoing {
    enum place place;
    void (*once)(const struct lie *lie);
    unsigned threads;
} g_ongoing[] = {
    {PLACE_RACE, race, 1},   {PLACE_KICK, kick, 1},           {PLACE_WAKE, wake, 1},
    {PLACE_STRAY, stray, 3}, {PLACE_PAGES, pages_ongoing, 1}, {PLACE_FILES, outside_files, 1},
};

static void *ongoing_thread(void *arg)
{
    static _Atomic unsigned number;
    const struct ongoing *o = arg;
    const struct lie *lie = lie_ongoing(o->place);
    chance_begin((uint64_t)o->place << 56 | number++);
    for (;;) {
        uint64_t ns = chance_below(2000ull * lie->pause);
        struct timespec pause = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
        nanosleep(&pause, NULL);
        o->once(lie);
        g_host.lies++;
    }
    return NULL;
}

void ongoing_start(void)
{
    static atomic_flag done = ATOMIC_FLAG_INIT;
    sigset_t most, old;
    pthread_t thread;

    if (atomic_flag_test_and_set(&done))
        return;
    sigfillset(&most); /* but kicks: these threads may take LibOS threads */
    sigdelset(&most, KICK_SIGNAL);
    static const int exceptions[] = {SIGSEGV, SIGILL, SIGBUS, SIGFPE, SIGTRAP, SIGSYS};
    for (size_t i = 0; i < sizeof(exceptions) / sizeof(exceptions[0]); i++)
        sigdelset(&most, exceptions[i]);
    pthread_sigmask(SIG_SETMASK, &most, &old);
    for (size_t i = 0; i < sizeof(g_ongoing) / sizeof(g_ongoing[0]); i++) {
        if (lie_ongoing(g_ongoing[i].place) == NULL)
            continue;
        for (unsigned n = 0; n < g_ongoing[i].threads; n++)
            if (pthread_create(&thread, NULL, ongoing_thread, (void *)&g_ongoing[i]) == 0)
                pthread_detach(thread);
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}
