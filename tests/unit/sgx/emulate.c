/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What loaders of enclave runtimes do, by sgx-emulate: raw.h. TAP, for cmocka takes the signals.
 * The first argument "child" makes it a child that has an enclave of its own and exits with 42;
 * another one is the name of the only test to run.
 */
#include "raw.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <ucontext.h>
#include <asm/prctl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sgx/vdso.h"

#define ALT_SIZE 0x10000
#define REGULAR  SGX_SECINFO_TYPE(SGX_PT_REG)
#define PENDING  (SGX_SECINFO_R | SGX_SECINFO_W | SGX_SECINFO_PENDING | REGULAR)

static int g_test, g_failures;
static bool g_ok;
static struct sgx_enclave *g_e;
static uint8_t g_alt[ALT_SIZE];

static void expect(bool truth, const char *what, int line)
{
    if (!truth)
        printf("# line %d: %s\n", line, what);
    g_ok = g_ok && truth;
}
#define EXPECT(truth) expect((truth), #truth, __LINE__)

/* One file for each set of attributes: its key takes a while. */
static struct sgx_enclave *load_with(uint64_t attributes)
{
    static struct {
        uint64_t attributes;
        int fd;
        struct sgx_sigstruct sigstruct;
    } made;
    struct error err = ERROR_INIT;
    struct sgx_enclave *e = NULL;

    if (!made.fd || made.attributes != attributes) {
        made.fd = memfd_create("enclave", MFD_CLOEXEC);
        made.attributes = g_test_attributes = attributes;
        test_enclave_make(made.fd, UINT64_MAX, 0, &made.sigstruct);
    }
    if (sgx_enclave_load(&g_raw_driver, made.fd, &made.sigstruct,
                         &(struct sgx_load_options){.debug = true}, &e, &err) < 0) {
        printf("# load: %s\n", error_text(&err));
        error_release(&err);
    }
    return e;
}

static struct sgx_enclave *load(void)
{
    return load_with(0);
}

/* ---- what a handler saw ---- */

static volatile struct {
    int signo, count;
    uint64_t rip, rax, rbx, rcx, sp, address, code;
    bool skip; /* go on behind the instruction that faulted in the enclave */
    uint64_t result, mask;
    bool to_flag;
} g_seen;
static volatile uint64_t g_flag;

/*
 * The size of the instruction at an address of the enclave, of those that fault here: UD2 and
 * SYSCALL, or REX, an opcode and an operand in memory that a register points to. The enclave's code
 * is a copy of ours.
 */
static uint64_t size_at(uint64_t rip)
{
    static const uint8_t displacement[] = {0, 1, 4, 0};
    const uint8_t *code = __start_enclave_text + (rip & (TEST_SIZE - 1)) - TEST_CODE;

    return code[0] == 0x0f ? 2 : 3 + displacement[code[2] >> 6];
}

static void handler(int signo, siginfo_t *info, void *context)
{
    const ucontext_t *uc = context;
    const greg_t *regs = uc->uc_mcontext.gregs;
    char here;

    g_seen.signo = signo;
    g_seen.count++;
    g_seen.rip = (uint64_t)regs[REG_RIP];
    g_seen.rax = (uint64_t)regs[REG_RAX];
    g_seen.rbx = (uint64_t)regs[REG_RBX];
    g_seen.rcx = (uint64_t)regs[REG_RCX];
    g_seen.sp = (uint64_t)&here;
    g_seen.address = (uint64_t)info->si_addr;
    g_seen.code = (uint64_t)info->si_code;
    memcpy((void *)&g_seen.mask, &uc->uc_sigmask, sizeof(g_seen.mask));
    if (g_seen.skip) {
        struct test_call call = {TEST_SKIP, 0, 0, 0, 0, 0};
        raw_enter(g_seen.rbx, &call);
        g_seen.result = call.result;
        call.a = size_at(call.b);
        raw_enter(g_seen.rbx, &call);
    }
    if (g_seen.to_flag)
        g_flag = 1;
}

static void watch(int signo, unsigned long flags, bool skip)
{
    const stack_t stack = {.ss_sp = g_alt, .ss_size = sizeof(g_alt)};

    memset((void *)&g_seen, 0, sizeof(g_seen));
    g_seen.skip = skip;
    g_flag = 0;
    raw(SYS_sigaltstack, &stack, 0L);
    EXPECT(raw_sigaction(signo, handler, flags) == 0);
}

static bool on_alt(void)
{
    return g_seen.sp - (uint64_t)g_alt < ALT_SIZE;
}

static bool at_aep(void)
{
    return g_seen.rip == (uint64_t)raw_aep && g_seen.rax == SGX_ERESUME &&
           g_seen.rbx == g_e->tcs[0] && g_seen.rcx == (uint64_t)raw_aep;
}

/* ---- tests ---- */

static void enters_by_its_own_enclu(void)
{
    EXPECT(raw_call(g_e, 0, TEST_ADD, 20, 22) == 42);
    for (uint64_t i = 0; i < 200; i++)
        EXPECT(raw_call(g_e, 0, TEST_ADD, i, 1) == i + 1);
}

static void mapped_before_ecreate_pages_come_on_demand(void)
{
    const uint64_t hole = g_e->base + TEST_HOLE;

    EXPECT(raw_call(g_e, 0, TEST_ACCEPT, hole, PENDING) == 0);
    raw_call(g_e, 0, TEST_WRITE, hole + 8, 77);
    EXPECT(raw_call(g_e, 0, TEST_READ, hole + 8, 0) == 77);
}

static void edmm_takes_pages_away(void)
{
    const uint64_t hole = g_e->base + TEST_HOLE + 0x10000;
    struct sgx_enclave_restrict_permissions none = {.offset = TEST_HOLE + 0x10000, .length = 4096};
    struct sgx_enclave_modify_types trim = {
        .offset = TEST_HOLE + 0x10000, .length = 4096, .page_type = SGX_PT_TRIM};
    struct sgx_enclave_remove_pages gone = {.offset = TEST_HOLE + 0x10000, .length = 4096};
    struct sgx_enclave_remove_pages probe = {0};
    const long fd = raw_device(g_e->handle);

    EXPECT(raw_call(g_e, 0, TEST_ACCEPT, hole, PENDING) == 0);
    EXPECT(raw(SYS_ioctl, fd, SGX_IOC_ENCLAVE_REMOVE_PAGES, &probe) == -EINVAL);
    EXPECT(raw(SYS_ioctl, fd, SGX_IOC_ENCLAVE_RESTRICT_PERMISSIONS, &none) == 0);
    EXPECT(raw_call(g_e, 0, TEST_ACCEPT, hole, SGX_SECINFO_PR | SGX_SECINFO_TYPE(SGX_PT_REG)) == 0);
    EXPECT(raw(SYS_ioctl, fd, SGX_IOC_ENCLAVE_MODIFY_TYPES, &trim) == 0);
    EXPECT(raw_call(g_e, 0, TEST_ACCEPT, hole,
                    SGX_SECINFO_MODIFIED | SGX_SECINFO_TYPE(SGX_PT_TRIM)) == 0);
    EXPECT(raw(SYS_ioctl, fd, SGX_IOC_ENCLAVE_REMOVE_PAGES, &gone) == 0 && gone.count == 4096);
    EXPECT(raw(SYS_ioctl, fd, SGX_IOC_ENCLAVE_REMOVE_PAGES, 8L) == -EFAULT);
}

static void exceptions_are_signals_at_the_aep(void)
{
    watch(SIGILL, SA_ONSTACK, true);
    raw_call(g_e, 0, TEST_UD2, 0, 0);
    EXPECT(g_seen.count == 1 && at_aep() && on_alt());
    EXPECT(g_seen.result == (SGX_EXITINFO_VALID | SGX_EXITINFO_TYPE_HARDWARE << 8 | X86_UD));
    watch(SIGILL, SA_ONSTACK, true); /* a system call in the enclave is no system call */
    raw_call(g_e, 0, TEST_SYSCALL, 0, 0);
    EXPECT(g_seen.count == 1 && at_aep());
    watch(SIGFPE, 0, true);
    raw_call(g_e, 0, TEST_DIVIDE, 1, 0);
    EXPECT(g_seen.count == 1 && at_aep() && g_seen.code == FPE_INTDIV && !on_alt());
    watch(SIGSEGV, SA_ONSTACK, true);
    raw_call(g_e, 0, TEST_READ, g_e->base + TEST_CODE + 8, 0);
    EXPECT(g_seen.count == 0); /* code can be read */
    raw_call(g_e, 0, TEST_WRITE, g_e->base + TEST_CODE + 8, 0);
    EXPECT(g_seen.count == 1 && at_aep() && g_seen.address == g_e->base + TEST_CODE);
}

static void bad_entries_are_faults_at_enclu(void)
{
    struct test_call call = {TEST_ADD, 1, 1, 0, 0, 0};
    const uint64_t far = 0x7e0000000000ull;

    /* The handler cannot go on at ENCLU, so the child is to die of it. */
    const pid_t child = (pid_t)raw(SYS_fork);
    if (child == 0) {
        raw_enter(far, &call);
        raw(SYS_exit_group, 1L);
    }
    int status = 0;
    raw(SYS_wait4, (long)child, &status, 0L, 0L);
    EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

static void timer(long microseconds)
{
    const struct itimerval once = {.it_value = {.tv_usec = microseconds}};

    raw(SYS_setitimer, (long)ITIMER_REAL, &once, 0L);
}

static void by_timer(int signo, long microseconds)
{
    (void)signo;
    timer(microseconds);
}

static void by_child(int signo, long microseconds)
{
    const struct timespec later = {.tv_nsec = microseconds * 1000};
    const pid_t parent = getpid();

    if (raw(SYS_fork) != 0)
        return;
    raw(SYS_nanosleep, &later, 0L);
    raw(SYS_kill, (long)parent, (long)signo);
    raw(SYS_exit_group, 0L);
}

/* On a busy machine the signal may come before the thread is inside: then once more, later. */
static bool shows_the_aep(int signo, void (*send)(int signo, long microseconds))
{
    bool shown = false;

    for (long later = 20000; !shown && later < 1000000; later *= 2) {
        watch(signo, 0, false);
        g_seen.to_flag = true;
        send(signo, later);
        EXPECT(raw_call(g_e, 0, TEST_SPIN, (uint64_t)&g_flag, 0) == 1);
        shown = g_seen.count == 1 && g_seen.signo == signo && at_aep();
        while (raw(SYS_wait4, -1L, 0L, 0L, 0L) > 0)
            ;
    }
    return shown;
}

static void interrupts_show_the_aep(void)
{
    EXPECT(shows_the_aep(SIGALRM, by_timer));
}

static void signals_32_and_33_spare_the_enclave(void)
{
    EXPECT(shows_the_aep(32, by_child));
    EXPECT(shows_the_aep(33, by_child));
}

static void ignored_signals_are_not_called(void)
{
    EXPECT(raw_sigaction(SIGPIPE, (raw_handler *)(uintptr_t)SIG_IGN, 0) == 0);
    EXPECT(raw_sigaction(SIGCHLD, (raw_handler *)(uintptr_t)SIG_DFL, 0) == 0);
    raw(SYS_kill, (long)getpid(), (long)SIGPIPE);
    raw(SYS_kill, (long)getpid(), (long)SIGCHLD);
    EXPECT(raw_call(g_e, 0, TEST_ADD, 1, 1) == 2);
}

static void masks_are_the_programs(void)
{
    const uint64_t all = ~0ull, none = 0;
    uint64_t now = 0;

    watch(SIGUSR1, SA_NODEFER, false);
    EXPECT(raw(SYS_rt_sigprocmask, (long)SIG_SETMASK, &all, 0L, 8L) == 0);
    raw(SYS_kill, (long)getpid(), (long)SIGUSR1);
    EXPECT(raw_call(g_e, 0, TEST_ADD, 1, 1) == 2); /* with SIGILL and SIGSEGV blocked */
    EXPECT(g_seen.count == 0);
    raw(SYS_rt_sigprocmask, (long)SIG_SETMASK, &none, &now, 8L);
    EXPECT(now == (all & ~(1ull << (SIGKILL - 1) | 1ull << (SIGSTOP - 1))));
    EXPECT(g_seen.count == 1 && g_seen.mask == 0);
}

static void calls_are_interrupted_and_restarted(void)
{
    const struct timespec second = {.tv_sec = 5};
    int ends[2];
    char c = 'x';

    watch(SIGALRM, 0, false);
    timer(20000);
    EXPECT(raw(SYS_nanosleep, &second, 0L) == -EINTR && g_seen.count == 1);
    EXPECT(g_seen.rip - (uint64_t)raw < 64); /* behind the program's own instruction */
    watch(SIGALRM, SA_RESTART, false);
    EXPECT(pipe(ends) == 0);
    const pid_t child = (pid_t)raw(SYS_fork);
    if (child == 0) {
        while (raw(SYS_getppid) > 1 && raw(SYS_kill, raw(SYS_getppid), 0L) == 0 && c == 'x') {
            const struct timespec little = {.tv_nsec = 100000000};
            raw(SYS_nanosleep, &little, 0L);
            c = 'y';
        }
        raw(SYS_write, (long)ends[1], &c, 1L);
        raw(SYS_exit_group, 0L);
    }
    timer(20000);
    EXPECT(raw(SYS_read, (long)ends[0], &c, 1L) == 1 && c == 'y' && g_seen.count == 1);
    raw(SYS_wait4, (long)child, 0L, 0L, 0L);
    close(ends[0]);
    close(ends[1]);
}

/* ---- threads ---- */

#define THREADS 4
static _Atomic uint64_t g_sum;

static void reports(void *argument)
{
    const unsigned slot = (unsigned)(uint64_t)argument;
    struct sgx_targetinfo target;
    uint8_t data[64] = {0};
    struct sgx_report report;

    memset(&target, 0, sizeof(target));
    for (int i = 0; i < 20; i++) {
        struct test_call call = {
            TEST_REPORT, (uint64_t)&target, (uint64_t)data, (uint64_t)&report, 0, 0};
        if (slot == 1) /* one buffer in the enclave: one thread */
            raw_enter(g_e->tcs[slot], &call);
        if (raw_call(g_e, slot, TEST_ADD, slot, (uint64_t)i) == slot + (uint64_t)i)
            g_sum++;
    }
}

static void threads_share_a_tls(void)
{
    volatile int *threads[THREADS];

    g_sum = 0;
    for (uint64_t i = 0; i < THREADS; i++)
        threads[i] = raw_thread(reports, (void *)(i + 1));
    for (unsigned i = 0; i < THREADS; i++) {
        EXPECT(threads[i] != NULL);
        if (threads[i])
            raw_wait(threads[i]);
    }
    EXPECT(g_sum == THREADS * 20);
}

static void gs_base_is_the_programs(void)
{
    uint64_t now = 0, fs = 0, again = 0;

    EXPECT(raw(SYS_arch_prctl, (long)ARCH_GET_FS, &fs) == 0);
    EXPECT(raw(SYS_arch_prctl, (long)ARCH_SET_GS, 0x12340000L) == 0);
    EXPECT(raw_call(g_e, 0, TEST_BASES, 0, 0) == g_e->base + TEST_TLS(0));
    __asm__ volatile("rdgsbase %0" : "=r"(now));
    __asm__ volatile("rdfsbase %0" : "=r"(again));
    EXPECT(now == 0x12340000 && again == fs);
    raw(SYS_arch_prctl, (long)ARCH_SET_GS, 0L);
}

/* ---- quotes, as programs ask aesmd for them ---- */

/* A request of Intel's protocol, by a connection of its own; the answer's size, or 0. */
static uint32_t ask_aesm(const void *request, uint32_t size, uint8_t *answer, uint32_t room)
{
    const struct sockaddr_un address = {AF_UNIX, "/var/run/aesmd/aesm.socket"};
    const int fd = (int)raw(SYS_socket, (long)AF_UNIX, (long)(SOCK_STREAM | SOCK_CLOEXEC), 0L);
    uint32_t got = 0, done = 0;

    EXPECT(raw(SYS_connect, (long)fd, &address, (long)sizeof(address)) == 0);
    raw(SYS_write, (long)fd, &size, 4L);
    raw(SYS_write, (long)fd, request, (long)size);
    if (raw(SYS_read, (long)fd, &got, 4L) != 4 || got > room)
        got = 0;
    for (long n; done < got; done += (uint32_t)n)
        if ((n = raw(SYS_read, (long)fd, answer + done, (long)(got - done))) <= 0)
            break;
    raw(SYS_close, (long)fd);
    return done == got ? got : 0;
}

/* GetQuoteEx in its bytes: field 17 with the report (1) and the room for the quote (4). */
static uint32_t quote_request(uint8_t *out, const struct sgx_report *report, unsigned room)
{
    const unsigned inner = 3 + sizeof(*report) + 3;
    const uint8_t head[] = {0x8a,
                            1,
                            (uint8_t)(inner | 0x80),
                            (uint8_t)(inner >> 7),
                            0x0a,
                            (uint8_t)(sizeof(*report) | 0x80),
                            (uint8_t)(sizeof(*report) >> 7)};
    const uint8_t tail[] = {0x20, (uint8_t)(room | 0x80), (uint8_t)(room >> 7)};

    memcpy(out, head, sizeof(head));
    memcpy(out + sizeof(head), report, sizeof(*report));
    memcpy(out + sizeof(head) + sizeof(*report), tail, sizeof(tail));
    return sizeof(head) + sizeof(*report) + sizeof(tail);
}

static void quotes_come_by_intels_protocol(void)
{
    static uint8_t answer[16384], request[512];
    const uint8_t init[] = {0x7a, 2, 0x18, 0}; /* InitQuoteEx, without a public key's ID */
    const uint8_t choose[] = {0x9a, 1, 0};     /* SelectAttKeyID */
    const uint8_t old[] = {0x0a, 0};           /* InitQuote: EPID */
    const char *path = getenv("SGX_TEST_QUOTE");
    struct sgx_targetinfo target;
    struct sgx_report report;
    uint8_t data[64] = "quote me";

    /* Answers: field 15 with error (1) and target (2) */
    EXPECT(ask_aesm(init, sizeof(init), answer, sizeof(answer)) > sizeof(target) &&
           answer[0] == 0x7a && answer[3] == 8 && answer[4] == 0);
    memcpy(&target, answer + 8, sizeof(target));
    struct test_call call = {
        TEST_REPORT, (uint64_t)&target, (uint64_t)data, (uint64_t)&report, 0, 0};
    raw_enter(g_e->tcs[0], &call);
    uint32_t size = quote_request(request, &report, 8192);
    /* field 17 with error (1) and quote (2), which starts with its version and header */
    EXPECT(ask_aesm(request, size, answer, sizeof(answer)) > 8192 && answer[4] == 8 &&
           answer[5] == 0);
    EXPECT(answer[9] == 3 && answer[10] == 0);
    EXPECT(memcmp(answer + 9 + 48, &report.body, sizeof(report.body)) == 0);
    const int fd = path ? open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (fd >= 0 && write(fd, answer + 9, 8192) == 8192)
        close(fd);
    report.body.isv_svn++;
    size = quote_request(request, &report, 8192);
    EXPECT(ask_aesm(request, size, answer, sizeof(answer)) && answer[3] == 8 && answer[4] == 47);
    EXPECT(ask_aesm(choose, sizeof(choose), answer, sizeof(answer)) > 256 && answer[0] == 0x9a);
    EXPECT(ask_aesm(old, sizeof(old), answer, sizeof(answer)) && answer[0] == 0xa2);
    EXPECT(raw(SYS_wait4, -1L, 0L, (long)(WNOHANG | __WALL), 0L) == -ECHILD);
}

/* ---- processes ---- */

static int wait_for(pid_t child)
{
    int status = -1;

    raw(SYS_wait4, (long)child, &status, 0L, 0L);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -status;
}

static void children_have_enclaves_of_their_own(void)
{
    char *const argv[] = {(char *)"child", (char *)"child", NULL};
    extern char **environ;

    pid_t child = (pid_t)raw(SYS_fork);
    if (child == 0) {
        struct sgx_enclave *e = load();
        raw(SYS_exit_group, e ? (long)raw_call(e, 0, TEST_ADD, 40, 1) : 1L);
    }
    EXPECT(wait_for(child) == 41);
    child = vfork();
    if (child == 0) {
        execve("/proc/self/exe", argv, environ);
        _exit(1);
    }
    EXPECT(wait_for(child) == 42);
    child = vfork();
    if (child == 0) {
        execve("/nonexistent", argv, environ);
        _exit(errno == ENOENT ? 7 : 1);
    }
    EXPECT(wait_for(child) == 7);
    EXPECT(raw_call(g_e, 0, TEST_ADD, 1, 1) == 2);
}

/* A place of `syscall` that the emulator meets for the first time is made a gate, under a lock. */
#define PLACES     4096
#define PLACE_SIZE 8
static const uint8_t g_getpid[PLACE_SIZE] = {0xb8, SYS_getpid, 0, 0, 0, 0x0f, 0x05, 0xc3};
static uint8_t *g_places;
static volatile int g_enough;

static void call_from_new_places(void *argument)
{
    for (size_t i = 0; !g_enough; i = (i + 1) % PLACES)
        ((long (*)(void))(g_places + i * PLACE_SIZE))();
}

static void children_of_busy_threads_do_not_wait_for_them(void)
{
    g_places = mmap(NULL, PLACES * PLACE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT(g_places != MAP_FAILED);
    for (size_t i = 0; i < PLACES; i++)
        memcpy(g_places + i * PLACE_SIZE, g_getpid, PLACE_SIZE);
    g_enough = 0;
    volatile int *thread = raw_thread(call_from_new_places, NULL);
    EXPECT(thread != NULL);
    for (int i = 0; i < 300; i++) {
        const pid_t child = (pid_t)raw(SYS_fork);
        if (child == 0)
            raw(SYS_exit_group, 5L);
        EXPECT(wait_for(child) == 5);
    }
    g_enough = 1;
    raw_wait(thread);
    munmap(g_places, PLACES * PLACE_SIZE);
}

/* ---- instructions that are made jumps ---- */

#define CELL_SIZE  192
#define CELL_COUNT 128
#define CALLERS    3
#define ROUNDS     300

/* (number, argument) -> result, as compilers have it; and result + 1 if the carry flag is kept */
static const uint8_t g_compares[] = {
    0x89, 0xf8, 0x89, 0xf7, 0xf9, 0x0f, 0x05,       /* eax = edi, edi = esi, stc, syscall */
    0x48, 0x3d, 0x01, 0xf0, 0xff, 0xff, 0x90, 0xc3, /* cmp $-4095, %rax; nop; ret */
};
static const uint8_t g_carries[] = {
    0x89, 0xf8, 0x89, 0xf7, 0xf9, 0x0f, 0x05,             /* the same */
    0x0f, 0x92, 0xc1, 0x0f, 0xb6, 0xc9, 0x48, 0x01, 0xc8, /* setc %cl; movzbl; add %rcx, %rax */
    0xc3,
};
#define CALL_AT 5 /* of the `syscall` in each */

typedef long cell(long number, long argument);
static uint8_t *g_cells;
static _Atomic long g_wrong;
static volatile int g_waiting;

/* One at each offset in a cache line, of either kind. */
static uint8_t *cell_at(unsigned i)
{
    return g_cells + (size_t)i * CELL_SIZE + i % 64;
}

static void call_cells(void *argument)
{
    const long tid = raw(SYS_gettid), parent = raw(SYS_getppid);

    (void)argument;
    g_waiting--;
    while (g_waiting > 0)
        ;
    for (int round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < CELL_COUNT; i++) {
            cell *call = (cell *)(uintptr_t)cell_at(i);
            g_wrong += call(SYS_gettid, 0) != tid + (i & 1);
            g_wrong += call(SYS_getppid, 0) != parent + (i & 1);
            if (round % 16 == 0) /* a call that is seen, by the same instruction */
                g_wrong += call(SYS_close, 12345) != -EBADF + (int)(i & 1);
        }
    }
}

static bool is_start(uint64_t rip)
{
    static const uint8_t starts[] = {0, 2, 4, CALL_AT, CALL_AT + 2, 10, 13, 14, 16};
    const uint64_t offset = (rip - (uint64_t)g_cells) % CELL_SIZE;
    const uint64_t i = (rip - (uint64_t)g_cells) / CELL_SIZE;

    for (size_t k = 0; k < sizeof(starts); k++)
        if (offset == i % 64 + starts[k])
            return true;
    return false;
}

/* The program's code only, at its instructions. */
static void looks_where(int signo, siginfo_t *info, void *context)
{
    const uint64_t rip = (uint64_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    const uint64_t cells = rip - (uint64_t)g_cells;

    (void)signo;
    (void)info;
    if (cells < (uint64_t)CELL_SIZE * CELL_COUNT)
        g_wrong += !is_start(rip);
    g_seen.count++;
}

static uint64_t slot_of(const uint8_t *jump)
{
    const unsigned prefix = jump[0] == 0x48;
    int32_t distance;

    memcpy(&distance, jump + prefix + 1, sizeof(distance));
    return (uint64_t)jump + prefix + 5 + (uint64_t)(int64_t)distance;
}

static bool is_jump(const uint8_t *code)
{
    return code[0] == 0xe9 || (code[0] == 0x48 && code[1] == 0xe9);
}

static void calls_become_jumps_under_threads(void)
{
    const size_t size = (CELL_COUNT + 1) * CELL_SIZE;
    const struct itimerval often = {.it_interval = {.tv_usec = 300}, .it_value = {.tv_usec = 300}};
    const struct itimerval never = {.it_value = {.tv_usec = 0}};
    volatile int *threads[CALLERS];
    unsigned jumps = 0;

    g_cells = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT(g_cells != MAP_FAILED);
    for (unsigned i = 0; i < CELL_COUNT; i++)
        memcpy(cell_at(i), i & 1 ? g_carries : g_compares,
               i & 1 ? sizeof(g_carries) : sizeof(g_compares));
    EXPECT(mprotect(g_cells, size, PROT_READ | PROT_EXEC) == 0);
    watch(SIGALRM, SA_RESTART, false);
    EXPECT(raw_sigaction(SIGALRM, looks_where, SA_RESTART) == 0);
    g_wrong = 0;
    g_waiting = CALLERS + 1;
    for (unsigned i = 0; i < CALLERS; i++)
        threads[i] = raw_thread(call_cells, NULL);
    raw(SYS_setitimer, (long)ITIMER_REAL, &often, 0L);
    g_waiting--;
    for (unsigned i = 0; i < CALLERS; i++)
        raw_wait(threads[i]);
    raw(SYS_setitimer, (long)ITIMER_REAL, &never, 0L);
    EXPECT(g_wrong == 0 && g_seen.count > 0);
    for (unsigned i = 0; i < CELL_COUNT; i++)
        jumps += is_jump(cell_at(i) + CALL_AT);
    printf("# %u of %d are jumps\n", jumps, CELL_COUNT);
    EXPECT(jumps > CELL_COUNT / 2);
}

static void jumps_keep_their_pages(void)
{
    unsigned i = 0;

    while (i < CELL_COUNT && !is_jump(cell_at(i) + CALL_AT))
        i++;
    EXPECT(i < CELL_COUNT);
    if (i == CELL_COUNT)
        return;
    uint8_t *code = cell_at(i);
    const long code_adds = i & 1;
    const uint64_t page = slot_of(code + CALL_AT) & ~4095ull;
    EXPECT(raw(SYS_munmap, page - 4096, 3L * 4096) == 0);
    EXPECT(raw(SYS_mprotect, page, 4096L, (long)PROT_NONE) == -ENOMEM);
    EXPECT(raw(SYS_mmap, page, 4096L, (long)PROT_NONE,
               (long)(MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED), -1L, 0L) == -ENOMEM);
    EXPECT(((cell *)(uintptr_t)code)(SYS_getppid, 0) - getppid() == code_adds);
    const pid_t child = (pid_t)raw(SYS_fork);
    if (child == 0)
        raw(SYS_exit_group,
            ((cell *)(uintptr_t)code)(SYS_getpid, 0) - getpid() == code_adds ? 6L : 1L);
    EXPECT(wait_for(child) == 6);
}

/* Where sgx-emulate's own code is: no address of a handler's context */
static uint64_t g_core_start, g_core_end;

static void find_core(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512];
    unsigned long start, end;

    g_core_start = UINT64_MAX;
    while (maps && fgets(line, sizeof(line), maps)) {
        if (strstr(line, "sgx-emulate-core") && sscanf(line, "%lx-%lx", &start, &end) == 2) {
            g_core_start = start < g_core_start ? start : g_core_start;
            g_core_end = end + 0x200000; /* gates */
        }
    }
    if (maps)
        fclose(maps);
    EXPECT(g_core_end > g_core_start);
}

static void looks_outside(int signo, siginfo_t *info, void *context)
{
    const uint64_t rip = (uint64_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    const uint64_t page = is_jump((const uint8_t *)raw_eenter)
                              ? slot_of((const uint8_t *)raw_eenter) & ~4095ull
                              : 0;

    (void)signo;
    (void)info;
    g_wrong += rip >= g_core_start && rip < g_core_end;
    g_wrong += rip - page < 4096;
    g_wrong += rip - g_e->base < g_e->size;
    g_seen.count++;
}

static void enter_often(void *argument)
{
    const unsigned slot = (unsigned)(uint64_t)argument;

    g_waiting--;
    while (g_waiting > 0)
        ;
    for (uint64_t i = 0; i < 3000; i++)
        g_wrong += raw_call(g_e, slot, TEST_ADD, i, slot) != i + slot;
}

static void entries_become_jumps_under_threads(void)
{
    const struct itimerval often = {.it_interval = {.tv_usec = 200}, .it_value = {.tv_usec = 200}};
    const struct itimerval never = {.it_value = {.tv_usec = 0}};
    struct sgx_enclave *kept = g_e;
    volatile int *threads[CALLERS];

    find_core();
    watch(SIGALRM, SA_RESTART, false);
    EXPECT(raw_sigaction(SIGALRM, looks_outside, SA_RESTART) == 0);
    for (int round = 0; round < 3; round++) { /* each with code that nobody has run */
        g_e = load();
        EXPECT(g_e != NULL);
        if (!g_e)
            break;
        g_wrong = 0;
        g_waiting = CALLERS + 1;
        for (uint64_t i = 0; i < CALLERS; i++)
            threads[i] = raw_thread(enter_often, (void *)i);
        raw(SYS_setitimer, (long)ITIMER_REAL, &often, 0L);
        g_waiting--;
        for (unsigned i = 0; i < CALLERS; i++)
            raw_wait(threads[i]);
        raw(SYS_setitimer, (long)ITIMER_REAL, &never, 0L);
        EXPECT(g_wrong == 0 && g_seen.count > 0);
        sgx_enclave_free(g_e);
    }
    g_e = kept;
    EXPECT(is_jump((const uint8_t *)raw_eenter));
    /* What the gate does not do is done as ever. */
    watch(SIGILL, SA_ONSTACK, true);
    raw_call(g_e, 0, TEST_UD2, 0, 0);
    EXPECT(g_seen.count == 1 && at_aep());
    bad_entries_are_faults_at_enclu();
}

/* ---- descriptors ---- */

static int pass(int fd)
{
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    char c = 0;
    struct iovec part = {&c, 1};
    struct msghdr m = {.msg_iov = &part,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof(control)};
    int pair[2], got = -1;

    memset(&control, 0, sizeof(control));
    control.head = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
    if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) < 0 || sendmsg(pair[0], &m, 0) < 0)
        return -1;
    close(fd);
    if (recvmsg(pair[1], &m, 0) == 1)
        memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(got));
    close(pair[0]);
    close(pair[1]);
    return got;
}

static void descriptors_are_passed_and_closed(void)
{
    struct sgx_enclave *e = load();

    EXPECT(e && raw_call(e, 0, TEST_ADD, 1, 1) == 2);
    if (!e)
        return;
    const int fd = pass(dup(raw_device(e->handle)));
    struct sgx_enclave_remove_pages probe = {0};
    EXPECT(fd >= 0);
    raw(SYS_close, (long)raw_device(e->handle));
    EXPECT(raw(SYS_ioctl, (long)fd, SGX_IOC_ENCLAVE_REMOVE_PAGES, &probe) == -EINVAL);
    EXPECT(raw_call(e, 0, TEST_ADD, 1, 1) == 2);
    close(fd);
    EXPECT(raw_call(e, 0, TEST_ADD, 1, 1) == 2); /* the mapping holds it */
    EXPECT(raw(SYS_ioctl, (long)fd, SGX_IOC_ENCLAVE_REMOVE_PAGES, &probe) == -EBADF);
    sgx_enclave_free(e);
}

static void enclaves_come_and_go(void)
{
    struct sgx_enclave *many[8];

    for (int round = 0; round < 3; round++) { /* more than there is room for at once */
        for (unsigned i = 0; i < 8; i++) {
            many[i] = load();
            EXPECT(many[i] != NULL);
        }
        for (uint64_t i = 0; i < 8; i++)
            EXPECT(many[i] && raw_call(many[i], 0, TEST_ADD, i, 1) == i + 1);
        for (unsigned i = 0; i < 8; i++)
            sgx_enclave_free(many[i]);
    }
    EXPECT(raw_call(g_e, 0, TEST_ADD, 1, 1) == 2);
}

static void device_is_probed(void)
{
    const long fd = raw(SYS_openat, (long)AT_FDCWD, "/dev/sgx_enclave", (long)O_RDWR);
    const long again = raw(SYS_open, "/dev/sgx_provision", (long)O_RDONLY);
    struct sgx_enclave_provision grant = {.fd = (uint64_t)again}, wrong = {.fd = 0};

    EXPECT(fd >= 0 && again >= 0 && raw(SYS_access, "/dev/sgx_enclave", (long)R_OK) == 0);
    EXPECT(raw(SYS_ioctl, fd, SGX_IOC_ENCLAVE_PROVISION, &grant) == 0);
    EXPECT(raw(SYS_ioctl, fd, SGX_IOC_ENCLAVE_PROVISION, &wrong) == -EINVAL);
    EXPECT(raw(SYS_ioctl, fd, (long)_IO(SGX_MAGIC, 0x7f), 0L) == -ENOTTY);
    EXPECT(raw(SYS_mprotect, g_e->base, 0L, (long)PROT_READ) == 0);
    raw(SYS_close, again);
    raw(SYS_close, fd);
}

/* Before EINIT the host can look, here. */
#define MIB (1ull << 20)

static bool holds(uint64_t at, uint64_t size, uint8_t value)
{
    for (uint64_t i = 0; i < size; i += 512)
        if (*(const volatile uint8_t *)(at + i) != value)
            return false;
    return true;
}

static uint64_t added(long fd, const void *from, uint64_t offset, uint64_t length, long *rc)
{
    const struct sgx_secinfo secinfo = {.flags = SGX_SECINFO_R | SGX_SECINFO_W | REGULAR};
    struct sgx_enclave_add_pages arg = {
        .src = (uint64_t)from, .offset = offset, .length = length, .secinfo = (uint64_t)&secinfo};

    *rc = raw(SYS_ioctl, fd, SGX_IOC_ENCLAVE_ADD_PAGES, &arg);
    return arg.count;
}

static void sources_that_nobody_touched_are_read_right(void)
{
    const int file = memfd_create("pages", MFD_CLOEXEC);
    struct error err = ERROR_INIT;
    struct sgx_secs secs = {.size = 16 * MIB, .ssa_frame_size = 1};
    struct sgx_handle *h = NULL;
    long rc = 0;

    uint8_t *plain = mmap(NULL, 4 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                          0);
    uint8_t *filled = malloc(MIB);
    memset(filled, 0x77, MIB);
    EXPECT(file >= 0 && write(file, filled, MIB) == (ssize_t)MIB);
    free(filled);
    uint8_t *mapped = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
    EXPECT(plain != MAP_FAILED && mapped != MAP_FAILED);
    plain[100 * 4096] = 0x5a;
    EXPECT(mprotect(plain + 3 * MIB, MIB, PROT_NONE) == 0);

    EXPECT(g_raw_driver.open(&h, &err) == 0);
    EXPECT(g_raw_driver.reserve(h, 0, secs.size, true, &secs.base, &err) == 0);
    secs.attributes.flags = SGX_ATTR_MODE64 | SGX_ATTR_DEBUG;
    secs.attributes.xfrm = SGX_XFRM_LEGACY;
    EXPECT(g_raw_driver.create(h, &secs, &err) == 0);
    const long fd = raw_device(h);
    EXPECT(added(fd, plain, 0, 3 * MIB, &rc) == 3 * MIB && rc == 0);
    EXPECT(added(fd, mapped, 4 * MIB, MIB, &rc) == MIB && rc == 0);
    EXPECT(added(fd, plain + 2 * MIB, 8 * MIB, 2 * MIB, &rc) == MIB && rc == -EFAULT);
    EXPECT(added(fd, plain + 3 * MIB, 12 * MIB, MIB, &rc) == 0 && rc == -EFAULT);
    EXPECT(holds(secs.base, 100 * 4096, 0));
    EXPECT(*(volatile uint8_t *)(secs.base + 100 * 4096) == 0x5a);
    EXPECT(holds(secs.base + 101 * 4096, 3 * MIB - 101 * 4096, 0));
    EXPECT(holds(secs.base + 4 * MIB, MIB, 0x77));
    g_raw_driver.close(h);
    munmap(plain, 4 * MIB);
    munmap(mapped, MIB);
    close(file);
}

/* At CSSA 1 the handler asks for it: then ERESUME enters, and the frame is dropped there. */
static void exits_are_notified(void)
{
    struct sgx_enclave_run run = {0};
    struct test_call call = {TEST_UD2, 0, 0, 0, 0, 0}, ask = {TEST_NOTIFY, 0, 0, 0, 0, 0};
    struct test_call heard = {TEST_SKIP, 2, 0, 0, 0, 0};
    struct test_call drop = {TEST_ENCLU, SGX_EDECCSSA, 0, 0, 0, 0};

    struct sgx_enclave *e = load_with(SGX_ATTR_AEX_NOTIFY);
    EXPECT(e != NULL);
    if (!e)
        return;
    vdso_sgx_enter_enclave_t enter = (vdso_sgx_enter_enclave_t)sgx_vdso_symbol(
        "__vdso_sgx_enter_enclave");
    EXPECT(enter != NULL);
    run.tcs = e->tcs[0];
    EXPECT(raw_vdso(enter, &call, SGX_EENTER, &run) == 0 && run.function == SGX_ERESUME &&
           run.exception_vector == X86_UD);
    EXPECT(raw_vdso(enter, &ask, SGX_EENTER, &run) == 0 && run.function == SGX_EEXIT);
    EXPECT(raw_vdso(enter, &heard, SGX_ERESUME, &run) == 0 && heard.cssa == 1);
    EXPECT(raw_vdso(enter, &drop, SGX_EENTER, &run) == 0);
    EXPECT(raw_call(e, 0, TEST_ADD, 1, 2) == 3);
    sgx_enclave_free(e);
}

static int child(void)
{
    struct sgx_enclave *e = load();

    return e ? (int)raw_call(e, 0, TEST_ADD, 40, 2) : 1;
}

#define T(name)     \
    {               \
#name, name \
    }

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } tests[] = {
        T(enters_by_its_own_enclu),
        T(mapped_before_ecreate_pages_come_on_demand),
        T(edmm_takes_pages_away),
        T(exceptions_are_signals_at_the_aep),
        T(bad_entries_are_faults_at_enclu),
        T(interrupts_show_the_aep),
        T(signals_32_and_33_spare_the_enclave),
        T(ignored_signals_are_not_called),
        T(masks_are_the_programs),
        T(calls_are_interrupted_and_restarted),
        T(threads_share_a_tls),
        T(gs_base_is_the_programs),
        T(quotes_come_by_intels_protocol),
        T(children_have_enclaves_of_their_own),
        T(children_of_busy_threads_do_not_wait_for_them),
        T(calls_become_jumps_under_threads),
        T(jumps_keep_their_pages),
        T(entries_become_jumps_under_threads),
        T(descriptors_are_passed_and_closed),
        T(enclaves_come_and_go),
        T(device_is_probed),
        T(sources_that_nobody_touched_are_read_right),
        T(exits_are_notified),
    };
    const int count = sizeof(tests) / sizeof(tests[0]);

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc > 1 && strcmp(argv[1], "child") == 0)
        return child();
    g_e = load();
    if (!g_e)
        return 1;
    printf("1..%d\n", argc > 1 ? 1 : count);
    for (int i = 0; i < count; i++) {
        if (argc > 1 && strcmp(argv[1], tests[i].name) != 0)
            continue;
        g_ok = true;
        tests[i].run();
        g_failures += !g_ok;
        printf("%s %d - %s\n", g_ok ? "ok" : "not ok", ++g_test, tests[i].name);
    }
    sgx_enclave_free(g_e);
    return g_failures != 0;
}
