/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What runs in the enclave while the host lies: it checks what never leaves the enclave, and prints
 * "BAD: ..." when that is wrong. What the host says of its own files, sockets and clocks is used,
 * and not believed. A call that the host may refuse ends a part with "application: ...".
 *
 *   workload PART...   each on a thread of its own; `all`: all of them but `cpuid` and `domain`,
 *                      which are alone
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <arpa/inet.h>
#include <cpuid.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "secret.h"
#include "workload.h"

#define RANDOM_PAGE ((uint8_t *)0x500000000ull) /* of the case getrandom-efault */

atomic_int g_refused; /* the host had its way */

static void say(const char *kind, const char *format, va_list ap)
{
    char line[256];
    int n = snprintf(line, sizeof(line), "%s: ", kind);
    n += vsnprintf(line + n, sizeof(line) - (size_t)n - 1, format, ap);
    if (n > (int)sizeof(line) - 2)
        n = sizeof(line) - 2;
    line[n++] = '\n';
    ssize_t ignored = write(1, line, (size_t)n);
    (void)ignored;
}

void bad(const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    say("BAD", format, ap);
    va_end(ap);
    _exit(99);
}

void refused(const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    say("application", format, ap);
    va_end(ap);
    g_refused = 1;
}

bool host_may(int error)
{
    return error == ENOMEM || error == EAGAIN || error == EINTR;
}

static uint8_t g_secret[SECRET_SIZE];

static void make_secret(void)
{
    volatile uint8_t key = SECRET_KEY;
    for (unsigned i = 0; i < SECRET_SIZE; i++)
        g_secret[i] = g_secret_hidden[i] ^ key;
}

uint64_t pattern(uint64_t a, uint64_t b)
{
    uint64_t x = a * 0x9e3779b97f4a7c15ull ^ b * 0xbf58476d1ce4e5b9ull;
    return x ^ x >> 29;
}

/* ---- memory ---- */

static void *memory_thread(void *number)
{
    const uint64_t me = (uintptr_t)number;
    for (unsigned round = 0; round < 30; round++) {
        const size_t pages = 1 + pattern(me, round) % 60, words = pages * 512;
        size_t size = pages * 4096;
        uint64_t *p = mmap(NULL, pages * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                           -1, 0);
        if (p == MAP_FAILED) {
            refused("mmap: %d", errno);
            return NULL;
        }
        for (size_t i = 0; i < words; i += 64)
            INSIDE(p[i] == 0);
        for (size_t i = 0; i < words; i++)
            p[i] = pattern(me, round * 1000003 + i);
        if (round % 3 == 0 && round % 5 != 0 && mprotect(p, 4096, PROT_READ) < 0)
            INSIDE(host_may(errno));
        if (round % 5 == 0) {
            uint64_t *q = mremap(p, pages * 4096, pages * 2 * 4096, MREMAP_MAYMOVE);
            INSIDE(q != MAP_FAILED || host_may(errno));
            size *= q == MAP_FAILED ? 1 : 2;
            p = q == MAP_FAILED ? p : q;
        }
        for (size_t i = 0; i < words; i++)
            INSIDE(p[i] == pattern(me, round * 1000003 + i));
        if (round % 4 == 0 && pages > 2 && madvise(p + 512, 4096, MADV_DONTNEED) == 0)
            INSIDE(p[512] == 0 && p[1024] == pattern(me, round * 1000003 + 1024));
        munmap(p, size);
    }
    return NULL;
}

/* ---- threads: their number, and locks ---- */

static pthread_mutex_t g_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t g_cond = PTHREAD_COND_INITIALIZER;
static uint64_t g_counted;

static void *count_thread(void *ran)
{
    for (int i = 0; i < 200; i++) {
        pthread_mutex_lock(&g_mutex);
        g_counted++;
        if (i % 50 == 0)
            pthread_cond_broadcast(&g_cond);
        pthread_mutex_unlock(&g_mutex);
    }
    *(atomic_int *)ran = 1;
    return NULL;
}

static void threads_part(void)
{
    for (int round = 0; round < 12; round++) {
        pthread_t t[3];
        atomic_int ran[3] = {0};
        int error[3], started = 0;
        pthread_mutex_lock(&g_mutex);
        g_counted = 0;
        pthread_mutex_unlock(&g_mutex);
        for (int i = 0; i < 3; i++) {
            error[i] = pthread_create(&t[i], NULL, count_thread, &ran[i]);
            INSIDE(error[i] == 0 || host_may(error[i]));
            started += error[i] == 0;
        }
        for (int i = 0; i < 3; i++)
            if (error[i] == 0)
                pthread_join(t[i], NULL);
        for (int i = 0; i < 3; i++)
            INSIDE(ran[i] == (error[i] == 0));
        INSIDE(g_counted == 200u * (unsigned)started);
    }
}

/* Counts of one process, whose other threads have ended. */
static int listed(void)
{
    int n = 0;
    DIR *dir = opendir("/proc/self/task");
    INSIDE(dir != NULL || host_may(errno));
    for (struct dirent *d; dir != NULL && (d = readdir(dir)) != NULL;)
        n += d->d_name[0] != '.';
    if (dir != NULL)
        closedir(dir);
    return n;
}

static int status_threads(void)
{
    char text[4096] = "";
    int fd = open("/proc/self/status", O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    INSIDE(n > 0 || host_may(errno));
    if (fd >= 0)
        close(fd);
    const char *at = strstr(text, "\nThreads:");
    return at ? (int)strtol(at + 9, NULL, 10) : -1;
}

static void *cloning_thread(void *arg)
{
    for (int i = 0; i < 20; i++) {
        pthread_t t;
        atomic_int ran = 0;
        int error = pthread_create(&t, NULL, count_thread, &ran);
        INSIDE(error == 0 || host_may(error));
        if (error == 0)
            pthread_join(t, NULL);
        INSIDE(ran == (error == 0));
    }
    return arg;
}

/*
 * Two threads that clone at once, in a process of its own: the program's threads, the LibOS's list
 * and the LibOS's count must agree.
 */
static void clones_process(void)
{
    pthread_t t[2];
    int started = 0;
    /* Another part's thread may have held it when this process was made, and is not here. */
    pthread_mutex_init(&g_mutex, NULL);
    for (int i = 0; i < 2; i++)
        started += pthread_create(&t[started], NULL, cloning_thread, NULL) == 0;
    for (int i = 0; i < started; i++)
        pthread_join(t[i], NULL);
    for (int i = 0; i < 200 && listed() != 1; i++) /* who was joined is just leaving */
        usleep(1000);
    INSIDE(listed() == 1);
    INSIDE(status_threads() == 1);
    _exit(7);
}

static void clones_part(void)
{
    for (int round = 0; round < 3; round++) {
        int status = 0;
        pid_t pid = fork();
        if (pid == 0)
            clones_process();
        if (pid < 0) {
            INSIDE(host_may(errno));
            refused("fork: %d", errno);
            return;
        }
        INSIDE(waitpid(pid, &status, 0) == pid);
        INSIDE(WIFSIGNALED(status) || WEXITSTATUS(status) == 7);
    }
}

/* ---- fork ---- */

static void forks_part(void)
{
    uint64_t *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint64_t *own = mmap(NULL, 16 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                         0);
    if (shared == MAP_FAILED || own == MAP_FAILED) {
        refused("mmap: %d", errno);
        return;
    }
    for (unsigned round = 0; round < 12; round++) {
        for (unsigned i = 0; i < 16 * 512; i++)
            own[i] = pattern(round, i);
        memcpy(own, g_secret, SECRET_SIZE);
        pid_t pid = fork();
        if (pid == 0) {
            for (unsigned i = 4; i < 16 * 512; i++)
                INSIDE(own[i] == pattern(round, i));
            INSIDE(memcmp(own, g_secret, SECRET_SIZE) == 0);
            for (unsigned i = 0; i < 16 * 512; i++)
                own[i] = ~0ull;
            shared[0] = round + 1;
            _exit((int)round + 10);
        }
        if (pid < 0) {
            INSIDE(host_may(errno));
            refused("fork: %d", errno);
            continue;
        }
        for (unsigned i = 4; i < 16 * 512; i++)
            INSIDE(own[i] == pattern(round, i));
        int status = 0;
        INSIDE(waitpid(pid, &status, 0) == pid);
        INSIDE(WIFEXITED(status) || WTERMSIG(status) == SIGKILL); /* out of memory */
        INSIDE(!WIFEXITED(status) ||
               (WEXITSTATUS(status) == (int)round + 10 && shared[0] == round + 1));
        for (unsigned i = 4; i < 16 * 512; i++)
            if (own[i] != pattern(round, i))
                bad("forks: word %u of round %u is %lx", i, round, own[i]);
    }
}

/* ---- files in memory ---- */

static void files_part(void)
{
    char name[64], other[64];
    uint64_t block[256], got[256];
    for (unsigned round = 0; round < 40; round++) {
        snprintf(name, sizeof(name), "/tmp/f%u", round % 5);
        snprintf(other, sizeof(other), "/tmp/g%u", round % 5);
        int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
        INSIDE(fd >= 0 || host_may(errno));
        if (fd < 0)
            continue;
        for (unsigned b = 0; b < 8; b++) {
            for (unsigned i = 0; i < 256; i++)
                block[i] = pattern(round * 8 + b, i);
            memcpy(block, g_secret, SECRET_SIZE);
            ssize_t n = pwrite(fd, block, sizeof(block), (off_t)(b * sizeof(block)));
            INSIDE(n == sizeof(block) || errno == ENOSPC || host_may(errno));
        }
        INSIDE(rename(name, other) == 0);
        INSIDE(open(name, O_RDONLY) < 0 && errno == ENOENT);
        for (unsigned b = 0; b < 8; b++) {
            INSIDE(pread(fd, got, sizeof(got), (off_t)(b * sizeof(got))) == sizeof(got));
            INSIDE(memcmp(got, g_secret, SECRET_SIZE) == 0);
            for (unsigned i = 4; i < 256; i++)
                INSIDE(got[i] == pattern(round * 8 + b, i));
        }
        struct stat st;
        INSIDE(fstat(fd, &st) == 0 && st.st_size == 8 * sizeof(block) && st.st_uid == getuid());
        INSIDE(ftruncate(fd, 100) == 0 && fstat(fd, &st) == 0 && st.st_size == 100);
        close(fd);
        INSIDE(unlink(other) == 0);
    }
}

/* ---- pipes and UNIX sockets ---- */

struct stream {
    int in, out;
};

static void *feed(void *arg)
{
    const struct stream *s = arg;
    uint64_t v[5];
    for (uint64_t i = 0; i < 3000; i++) {
        v[0] = i;
        memcpy(v + 1, g_secret, SECRET_SIZE);
        size_t done = 0;
        while (done < sizeof(v)) {
            ssize_t n = write(s->in, (char *)v + done, sizeof(v) - done);
            INSIDE(n > 0 || errno == EINTR || errno == EAGAIN);
            done += n > 0 ? (size_t)n : 0;
        }
    }
    shutdown(s->in, SHUT_WR);
    close(s->in);
    return NULL;
}

static void stream(int in, int out)
{
    struct stream s = {in, out};
    uint64_t v[5], expected = 0;
    size_t have = 0;
    pthread_t t;
    int error = pthread_create(&t, NULL, feed, &s);
    if (error != 0) {
        INSIDE(host_may(error));
        close(in);
        close(out);
        return;
    }
    for (;;) {
        ssize_t n = read(out, (char *)v + have, sizeof(v) - have);
        INSIDE(n >= 0 || errno == EINTR || errno == EAGAIN);
        if (n == 0)
            break;
        have += n > 0 ? (size_t)n : 0;
        if (have < sizeof(v))
            continue;
        INSIDE(v[0] == expected && memcmp(v + 1, g_secret, SECRET_SIZE) == 0);
        expected++;
        have = 0;
    }
    INSIDE(expected == 3000);
    pthread_join(t, NULL);
    close(out);
}

static void pipes_part(void)
{
    int fds[2];
    for (int round = 0; round < 3; round++) {
        INSIDE(pipe(fds) == 0 || host_may(errno));
        stream(fds[1], fds[0]);
        INSIDE(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0 || host_may(errno));
        stream(fds[0], fds[1]);
    }
}

/* ---- what is made inside ---- */

static void random_part(void)
{
    uint8_t last[32] = {0}, zero[32] = {0};
    uint8_t *buf = RANDOM_PAGE;
    for (int i = 0; i < 4000; i++) {
        memset(buf, 0, 32);
        ssize_t n = getrandom(buf, 32, 0);
        INSIDE(n == 32);
        INSIDE(memcmp(buf, zero, 32) != 0 && memcmp(buf, last, 32) != 0);
        memcpy(last, buf, 32);
        struct timespec t;
        INSIDE(i % 64 != 0 || sigprocmask(SIG_BLOCK, NULL, (sigset_t *)(buf + 1024)) == 0);
        INSIDE(i % 64 != 0 || clock_gettime(CLOCK_MONOTONIC, &t) == 0);
    }
}

static atomic_int g_usr1, g_queued, g_foreign;

static void on_signal(int signo, siginfo_t *info, void *context)
{
    if (signo == SIGUSR1 && info->si_pid == getpid())
        g_usr1++;
    else if (signo == SIGRTMIN && info->si_code == SI_QUEUE)
        g_queued += info->si_value.sival_int;
    else
        g_foreign++;
}

static void signals_part(void)
{
    struct sigaction act = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
    for (int signo = 1; signo <= SIGRTMAX; signo++) /* what the host sends comes to nobody */
        if (signo != SIGCHLD && signo != SIGPIPE)
            sigaction(signo, &act, NULL);
    for (int i = 1; i <= 300; i++) {
        INSIDE(syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1) == 0);
        INSIDE(g_usr1 == i);
        const union sigval v = {.sival_int = 3};
        sigset_t set, old;
        sigemptyset(&set);
        sigaddset(&set, SIGRTMIN);
        sigprocmask(SIG_BLOCK, &set, &old);
        INSIDE(pthread_sigqueue(pthread_self(), SIGRTMIN, v) == 0 || errno == EAGAIN);
        INSIDE(g_queued == 3 * (i - 1));
        sigprocmask(SIG_SETMASK, &old, NULL);
        INSIDE(g_queued == 3 * i);
        INSIDE(g_foreign == 0);
    }
}

/* The secret in all registers that a call may keep, round system calls and interrupts. */
static void registers_part(void)
{
    uint64_t s[4];
    memcpy(s, g_secret, sizeof(s));
    for (int i = 0; i < 400000; i++) {
        uint64_t wrong = 0, v[4];
        __asm__ volatile("mov %[a], %%rbx\n mov %[b], %%r12\n mov %[c], %%r13\n mov %[d], %%r14\n"
                         "movq %%rbx, %%xmm6\n movq %%r12, %%xmm7\n"
                         "mov $39, %%eax\n syscall\n" /* getpid */
                         "xor %[a], %%rbx\n xor %[b], %%r12\n xor %[c], %%r13\n xor %[d], %%r14\n"
                         "or %%r12, %%rbx\n or %%r13, %%rbx\n or %%r14, %%rbx\n"
                         "mov %%rbx, %[wrong]\n movq %%xmm6, %[x]\n movq %%xmm7, %[y]\n"
                         : [wrong] "=&r"(wrong), [x] "=&r"(v[0]), [y] "=&r"(v[1])
                         : [a] "m"(s[0]), [b] "m"(s[1]), [c] "m"(s[2]), [d] "m"(s[3])
                         : "rax", "rcx", "r11", "rbx", "r12", "r13", "r14", "xmm6", "xmm7", "cc",
                           "memory");
        INSIDE(wrong == 0 && v[0] == s[0] && v[1] == s[1]);
    }
}

/* ---- the processor ---- */

/*
 * What CPUID says of the vector state must be true: the dynamic linker saves that state in a buffer
 * of the size that it reads there.
 */
__attribute__((noinline, aligned(4096))) static void cpuid_part(void)
{
    static uint8_t area[16384] __attribute__((aligned(64)));
    unsigned a, b, c, d, size;
    __cpuid_count(0xd, 0, a, size, c, d);
    INSIDE(size >= 576 && size <= sizeof(area) && c >= size);
    for (unsigned i = 2; i < 63; i++) {
        __cpuid_count(0xd, i, a, b, c, d);
        INSIDE(a == 0 || b == 0 || (c & 1) || b + a <= sizeof(area));
        INSIDE(a != 0 || b == 0);
    }
    memset(area, 0xee, sizeof(area));
    memset(area + 512, 0, 64);
    /* As the dynamic linker: not protection keys, which the software SGX cannot take away. */
    __asm__ volatile("xsave64 (%0)" : : "r"(area), "a"(0xee), "d"(0) : "memory");
    for (unsigned i = size; i < sizeof(area); i++)
        INSIDE(area[i] == 0xee);
    __cpuid_count(1, 0, a, b, c, d);
    INSIDE((c >> 25 & 1) && (c >> 1 & 1) && (c >> 20 & 1)); /* AES, PCLMULQDQ, SSE4.2 */
}

/* ---- localhost ---- */

static void loopback_part(void)
{
    for (int round = 0; round < 3; round++) {
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t size = sizeof(at);
        int l = socket(AF_INET, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0);
        INSIDE((l >= 0 && c >= 0) || host_may(errno));
        INSIDE(bind(l, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(l, 4) == 0);
        INSIDE(getsockname(l, (struct sockaddr *)&at, &size) == 0 && at.sin_port != 0);
        INSIDE(connect(c, (struct sockaddr *)&at, sizeof(at)) == 0);
        int s = accept(l, NULL, NULL);
        INSIDE(s >= 0 || host_may(errno));
        close(l);
        stream(c, s);
    }
}

/* ---- what is not kept apart inside (docs/security.md) ---- */

#define SHOWN "what one process has, all have"

/* A program of another user reads this one's memory through a plain pointer. */
static void domain_part(void)
{
    char address[32],
        *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int status = 0;
    INSIDE(memory != MAP_FAILED);
    memcpy(memory, SHOWN, sizeof(SHOWN));
    snprintf(address, sizeof(address), "%#lx", (unsigned long)memory);
    pid_t pid = fork();
    INSIDE(pid >= 0);
    if (pid == 0) {
        if (setgid(65534) == 0 && setuid(65534) == 0)
            execl("/bin/workload", "workload", "look", address, NULL);
        _exit(2);
    }
    INSIDE(waitpid(pid, &status, 0) == pid && status == 0);
}

static int look(const char *address)
{
    return strcmp((const char *)strtoul(address, NULL, 0), SHOWN) != 0;
}

/* ---- main ---- */

static void memory_part(void)
{
    pthread_t t[2];
    int started = 0;
    for (uintptr_t i = 0; i < 2; i++)
        started += pthread_create(&t[started], NULL, memory_thread, (void *)(i + 1)) == 0;
    memory_thread((void *)9);
    for (int i = 0; i < started; i++)
        pthread_join(t[i], NULL);
}

static const struct part {
    const char *name;
    void (*run)(void);
} g_parts[] = {
    {"memory", memory_part},   {"threads", threads_part},     {"clones", clones_part},
    {"forks", forks_part},     {"files", files_part},         {"pipes", pipes_part},
    {"random", random_part},   {"registers", registers_part}, {"host", host_part},
    {"network", network_part}, {"signals", signals_part},     {"loopback", loopback_part},
    {"sealed", sealed_part},   {"clock", clock_part},         {"shared", shared_part},
    {"mapped", mapped_part},   {"tree", tree_part},           {"terminals", terminals_part},
    {"masked", masked_part},   {"turns", turns_part},
};
#define PARTS (sizeof(g_parts) / sizeof(g_parts[0]))

/* What a program opens is not where its output goes, or its input comes from. */
static int stdio_part(void)
{
    int fd = open("/tmp/first", O_CREAT | O_RDWR, 0600);
    for (int i = 0; i < 3; i++)
        if (fd <= 2 || fcntl(i, F_GETFD) < 0)
            return 99;
    return 0;
}

static void *part_thread(void *arg)
{
    ((const struct part *)arg)->run();
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t t[PARTS];
    int started = 0;

    if (argc > 2 && strcmp(argv[1], "look") == 0)
        return look(argv[2]);
    make_secret();
    if (argc > 1 && strcmp(argv[1], "domain") == 0) {
        domain_part();
        return 0;
    }
    if (argc > 1 && strcmp(argv[1], "stdio") == 0)
        return stdio_part();
    if (argc > 1 && strcmp(argv[1], "cpuid") == 0) { /* on this thread: it is stepped */
        for (int i = 0; i < 3; i++) {
            cpuid_part();
            usleep(5000); /* its page is there now, and can disappear */
        }
        return 0;
    }
    /* Before a thread has something there. */
    if (mmap(RANDOM_PAGE, 4096, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED) {
        refused("mmap: %d", errno);
        return 1;
    }
    for (size_t p = 0; p < PARTS; p++) {
        bool wanted = argc < 2;
        for (int i = 1; i < argc; i++)
            wanted |= strcmp(argv[i], g_parts[p].name) == 0 || strcmp(argv[i], "all") == 0;
        if (!wanted)
            continue;
        int error = pthread_create(&t[started], NULL, part_thread, (void *)&g_parts[p]);
        INSIDE(error == 0 || host_may(error));
        if (error == 0)
            started++;
        else
            refused("a thread: %d", error);
    }
    for (int i = 0; i < started; i++)
        pthread_join(t[i], NULL);
    return g_refused;
}
