/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel promises when threads and processes do the same thing at the same time: nothing
 * is lost, nothing happens twice, and nobody sees half of it. (fsstress.c asks the same of
 * names.) */
#include "check.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#define THREADS 4

/* The threads' numbers are their arguments. */
static void run_threads(void *(*work)(void *))
{
    pthread_t t[THREADS];
    for (long i = 0; i < THREADS; i++)
        CHECK(pthread_create(&t[i], NULL, work, (void *)i) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(t[i], NULL) == 0);
}

static void run_processes(void *(*work)(void *))
{
    int status;
    fflush(stdout);
    for (long i = 0; i < THREADS; i++)
        if (fork() == 0) {
            work((void *)i);
            _exit(g_failed);
        }
    for (int i = 0; i < THREADS; i++)
        CHECK(wait(&status) > 0 && status == 0);
}

static int g_fd, g_fds[2];

/* ---- files ---- */

#define LINES 400
#define LINE  24

static void *appends(void *number)
{
    char line[LINE + 1];
    int fd = open("log", O_WRONLY | O_APPEND);
    for (int i = 0; i < LINES; i++) {
        snprintf(line, sizeof(line), "%-*ld%*d\n", 10, (long)number, LINE - 11, i);
        CHECK(write(fd, line, LINE) == LINE);
    }
    close(fd);
    return NULL;
}

/* Every line once and whole, a writer's own in order. */
static void check_log(int writers)
{
    char line[LINE + 1] = "";
    int next[2 * THREADS] = {0}, fd = open("log", O_RDONLY);
    for (int i = 0; i < writers * LINES; i++) {
        long number = -1;
        int k = -1;
        CHECK(read(fd, line, LINE) == LINE && line[LINE - 1] == '\n');
        CHECK(sscanf(line, "%ld %d", &number, &k) == 2 && number >= 0 && number < 2 * THREADS);
        if (number >= 0 && number < 2 * THREADS)
            CHECK(k == next[number]++ % LINES);
    }
    CHECK(read(fd, line, LINE) == 0);
    close(fd);
    CHECK(unlink("log") == 0);
}

static void appended_lines_are_whole(void)
{
    close(open("log", O_CREAT | O_WRONLY, 0600));
    run_threads(appends);
    check_log(THREADS);
    close(open("log", O_CREAT | O_WRONLY, 0600));
    run_processes(appends);
    check_log(THREADS);
}

static uint8_t g_seen[4096];

static void *reads_on(void *arg)
{
    uint16_t v;
    while (read(g_fd, &v, sizeof(v)) == sizeof(v))
        __atomic_add_fetch(&g_seen[v % 4096], 1, __ATOMIC_RELAXED);
    return arg;
}

/* read(2) moves the offset and takes the bytes in one step. */
static void an_offset_is_used_once(void)
{
    g_fd = open("numbers", O_CREAT | O_RDWR, 0600);
    for (uint16_t i = 0; i < 4096; i++)
        CHECK(write(g_fd, &i, sizeof(i)) == sizeof(i));
    lseek(g_fd, 0, SEEK_SET);
    run_threads(reads_on);
    long wrong = 0;
    for (int i = 0; i < 4096; i++)
        wrong += g_seen[i] != 1;
    CHECK(wrong == 0);
    close(g_fd);
    unlink("numbers");
}

static volatile int g_over;

static void *reads_replaced(void *arg)
{
    char text[8192];
    while (!g_over) {
        int fd = open("config", O_RDONLY);
        ssize_t n = read(fd, text, sizeof(text));
        CHECK(n == 5000);
        for (ssize_t i = 1; i < n; i++)
            if (text[i] != text[0]) {
                CHECK(0);
                break;
            }
        close(fd);
    }
    return arg;
}

/* A file that is replaced is the old or the new one, whole. */
static void replaced_files_are_whole(void)
{
    pthread_t t[2];
    char text[5000];
    g_over = 0;
    for (int i = 0; i < 500; i++) {
        memset(text, 'a' + i % 26, sizeof(text));
        int fd = open("config.new", O_CREAT | O_EXCL | O_WRONLY, 0600);
        CHECK(write(fd, text, sizeof(text)) == sizeof(text));
        close(fd);
        CHECK(rename("config.new", "config") == 0);
        for (int k = 0; i == 0 && k < 2; k++)
            CHECK(pthread_create(&t[k], NULL, reads_replaced, NULL) == 0);
    }
    g_over = 1;
    for (int i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
    unlink("config");
}

static long *g_shared;

static void count_under(int locked)
{
    CHECK(locked == 0);
    long v = g_shared[0];
    sched_yield();
    g_shared[0] = v + 1;
}

static void *counts_under_flock(void *arg)
{
    int fd = open("lockfile", O_RDWR);
    for (int i = 0; i < 100; i++) {
        count_under(flock(fd, LOCK_EX));
        flock(fd, LOCK_UN);
    }
    close(fd);
    return arg;
}

static void *counts_under_posix_lock(void *arg)
{
    int fd = open("lockfile", O_RDWR);
    for (int i = 0; i < 100; i++) {
        struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 3, .l_len = 5};
        count_under(fcntl(fd, F_SETLKW, &l));
        l.l_type = F_UNLCK;
        fcntl(fd, F_SETLK, &l);
    }
    close(fd);
    return arg;
}

static void *counts_under_open_lock(void *arg)
{
    int fd = open("lockfile", O_RDWR);
    for (int i = 0; i < 100; i++) {
        struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        count_under(fcntl(fd, F_OFD_SETLKW, &l));
        l.l_type = F_UNLCK;
        fcntl(fd, F_OFD_SETLK, &l);
    }
    close(fd);
    return arg;
}

static void file_locks_exclude(void)
{
    close(open("lockfile", O_CREAT | O_RDWR, 0600));
    g_shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    run_threads(counts_under_flock);
    run_processes(counts_under_flock);
    run_processes(counts_under_posix_lock);
    run_threads(counts_under_open_lock);
    CHECK(g_shared[0] == 4l * THREADS * 100);
    munmap(g_shared, 4096);
    unlink("lockfile");
}

/* ---- descriptors ---- */

static void *opens_own(void *number)
{
    struct stat st, own;
    char name[16];
    snprintf(name, sizeof(name), "own%ld", (long)number);
    int first = open(name, O_CREAT | O_RDWR, 0600);
    CHECK(fstat(first, &own) == 0);
    for (int i = 0; i < 1000; i++) {
        int fd = i % 3 ? open(name, O_RDONLY) : i % 2 ? dup(first) : fcntl(first, F_DUPFD, 5);
        CHECK(fd >= 0 && fstat(fd, &st) == 0 && st.st_ino == own.st_ino);
        CHECK(close(fd) == 0);
    }
    close(first);
    unlink(name);
    return NULL;
}

static void descriptors_are_ones_own(void)
{
    run_threads(opens_own);
}

static void *swaps(void *arg)
{
    struct stat st;
    for (int i = 0; i < 1000; i++) {
        CHECK(dup2(g_fds[i % 2], g_fd) == g_fd);
        CHECK(fstat(g_fd, &st) == 0); /* never a moment without */
    }
    return arg;
}

static void dup2_leaves_no_gap(void)
{
    CHECK(pipe(g_fds) == 0);
    g_fd = dup(g_fds[0]);
    run_threads(swaps);
    close(g_fd);
    close(g_fds[0]);
    close(g_fds[1]);
}

/* ---- pipes and sockets ---- */

#define MESSAGES 300
#define MESSAGE  512

static void *writes_messages(void *number)
{
    char m[MESSAGE];
    memset(m, 'A' + (int)(long)number, sizeof(m));
    for (int i = 0; i < MESSAGES; i++) {
        memcpy(m, &i, sizeof(i));
        CHECK(write(g_fds[1], m, sizeof(m)) == sizeof(m));
    }
    return NULL;
}

static void *reads_messages(void *arg)
{
    char m[MESSAGE];
    int next[THREADS] = {0}, i;
    for (int k = 0; k < THREADS * MESSAGES; k++) {
        CHECK(read(g_fds[0], m, sizeof(m)) == sizeof(m));
        int who = m[sizeof(i)] - 'A';
        memcpy(&i, m, sizeof(i));
        CHECK(who >= 0 && who < THREADS && i == next[who]++);
        for (size_t p = sizeof(i); p < sizeof(m); p++)
            if (m[p] != 'A' + who) {
                CHECK(0);
                break;
            }
    }
    return arg;
}

static void pass_messages(void (*run)(void *(*work)(void *)))
{
    pthread_t t;
    CHECK(pthread_create(&t, NULL, reads_messages, NULL) == 0);
    run(writes_messages);
    pthread_join(t, NULL);
    close(g_fds[0]);
    close(g_fds[1]);
}

static void messages_stay_whole(void)
{
    CHECK(pipe(g_fds) == 0);
    pass_messages(run_threads);
    CHECK(pipe(g_fds) == 0);
    pass_messages(run_processes);
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, g_fds) == 0);
    pass_messages(run_threads);
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, g_fds) == 0);
    pass_messages(run_processes);
}

static long g_taken; /* atomic */

static void *takes(void *arg)
{
    uint64_t v;
    while (read(g_fd, &v, sizeof(v)) == sizeof(v) && v == 1) {
        if (__atomic_add_fetch(&g_taken, 1, __ATOMIC_RELAXED) > 2000)
            break;
    }
    return arg;
}

static void *gives(void *arg)
{
    uint64_t one = 1;
    for (int i = 0; i < 500; i++)
        CHECK(write(g_fd, &one, sizeof(one)) == sizeof(one));
    return arg;
}

static void events_are_counted(void)
{
    pthread_t t[THREADS];
    uint64_t v = 0;
    g_fd = eventfd(0, EFD_SEMAPHORE);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&t[i], NULL, takes, NULL) == 0);
    run_threads(gives);
    for (int i = 0; i < 5000 && __atomic_load_n(&g_taken, __ATOMIC_RELAXED) < 500l * THREADS; i++)
        sleep_ms(1);
    CHECK(g_taken == 500l * THREADS);
    v = THREADS; /* one more each: they end */
    CHECK(write(g_fd, &v, sizeof(v)) == sizeof(v));
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    close(g_fd);
}

static int g_epoll;

static void *serves(void *arg)
{
    struct epoll_event e;
    char c;
    while (epoll_wait(g_epoll, &e, 1, -1) == 1) {
        if (e.data.fd == g_fd)
            break;
        CHECK(read(e.data.fd, &c, 1) == 1); /* would block if two had the event */
        __atomic_add_fetch(&g_taken, 1, __ATOMIC_RELAXED);
        e.events = EPOLLIN | EPOLLONESHOT;
        CHECK(epoll_ctl(g_epoll, EPOLL_CTL_MOD, e.data.fd, &e) == 0);
    }
    return arg;
}

/* One of the threads has an EPOLLONESHOT event, and none is lost when it is armed again. */
static void events_go_to_one(void)
{
    pthread_t t[THREADS];
    int p[8][2];
    uint64_t v = 1;
    g_taken = 0;
    g_epoll = epoll_create1(0);
    g_fd = eventfd(0, 0);
    for (int i = 0; i < 8; i++) {
        CHECK(pipe(p[i]) == 0);
        struct epoll_event e = {.events = EPOLLIN | EPOLLONESHOT, .data.fd = p[i][0]};
        CHECK(epoll_ctl(g_epoll, EPOLL_CTL_ADD, p[i][0], &e) == 0);
    }
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&t[i], NULL, serves, NULL) == 0);
    for (int i = 0; i < 2000; i++)
        CHECK(write(p[i % 8][1], "x", 1) == 1);
    for (int i = 0; i < 5000 && __atomic_load_n(&g_taken, __ATOMIC_RELAXED) < 2000; i++)
        sleep_ms(1);
    CHECK(g_taken == 2000);
    struct epoll_event e = {.events = EPOLLIN, .data.fd = g_fd};
    CHECK(epoll_ctl(g_epoll, EPOLL_CTL_ADD, g_fd, &e) == 0 && write(g_fd, &v, sizeof(v)) == 8);
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    for (int i = 0; i < 8; i++) {
        close(p[i][0]);
        close(p[i][1]);
    }
    close(g_epoll);
    close(g_fd);
}

/* ---- memory ---- */

static void *maps(void *number)
{
    unsigned s = (unsigned)(long)number + 1;
    for (int i = 0; i < 300; i++) {
        s = s * 1103515245u + 12345u;
        size_t pages = 1 + (s >> 16) % 20, wrong = 0;
        char *m = mmap(NULL, pages * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                       0);
        CHECK(m != MAP_FAILED);
        for (size_t k = 0; k < pages * 4096; k += 512) {
            wrong += m[k] != 0;
            m[k] = (char)(1 + (long)number);
        }
        if (pages > 3) {
            CHECK(mprotect(m + 4096, 4096, PROT_READ) == 0);
            CHECK(madvise(m + 8192, 4096, MADV_DONTNEED) == 0);
            wrong += m[8192] != 0;
            m[8192] = (char)(1 + (long)number);
        }
        for (size_t k = 0; k < pages * 4096; k += 4096)
            wrong += m[k] != (char)(1 + (long)number);
        CHECK(wrong == 0);
        CHECK(munmap(m, pages * 4096) == 0);
    }
    return NULL;
}

static void mappings_are_ones_own(void)
{
    run_threads(maps);
    run_processes(maps);
}

/* ---- processes and signals ---- */

static void *forks(void *number)
{
    for (int i = 0; i < 30; i++) {
        int status = -1, code = (int)(long)number * 30 + i;
        pid_t pid = fork();
        if (pid == 0)
            _exit(code);
        CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == code);
    }
    return NULL;
}

static void every_thread_has_its_children(void)
{
    run_threads(forks);
}

static int g_signals; /* atomic */

static void *queues(void *arg)
{
    for (int i = 0; i < 250; i++) {
        while (sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = i}) < 0)
            sched_yield();
    }
    return arg;
}

static void on_signal(int sig)
{
    __atomic_add_fetch(&g_signals, 1, __ATOMIC_RELAXED);
}

static void queued_signals_all_come(void)
{
    signal(SIGRTMIN + 1, on_signal);
    run_threads(queues);
    for (int i = 0; i < 5000 && __atomic_load_n(&g_signals, __ATOMIC_RELAXED) < 250 * THREADS; i++)
        sleep_ms(1);
    CHECK(g_signals == 250 * THREADS);
    signal(SIGRTMIN + 1, SIG_DFL);
}

static void *returns_number(void *number)
{
    return number;
}

static void *creates_threads(void *arg)
{
    for (long i = 0; i < 100; i++) {
        pthread_t t;
        void *r = NULL;
        CHECK(pthread_create(&t, NULL, returns_number, (void *)(i + 7)) == 0);
        CHECK(pthread_join(t, &r) == 0 && r == (void *)(i + 7));
    }
    return arg;
}

static void threads_come_and_go(void)
{
    run_threads(creates_threads);
}

/* ---- servers that several processes accept for ---- */

#define CONNECTIONS 200

static void *answers(void *number)
{
    char who = 'A' + (char)(long)number, c;
    for (;;) {
        int fd = accept(g_fd, NULL, NULL);
        CHECK(fd >= 0);
        if (fd < 0 || read(fd, &c, 1) != 1)
            c = 'q';
        CHECK(write(fd, &who, 1) == 1);
        close(fd);
        if (c == 'q')
            return NULL;
    }
}

static char ask(const struct sockaddr *addr, socklen_t len, char what)
{
    char c = 0;
    int fd = socket(addr->sa_family, SOCK_STREAM, 0);
    CHECK(connect(fd, addr, len) == 0 && write(fd, &what, 1) == 1);
    CHECK(read(fd, &c, 1) == 1);
    CHECK(read(fd, &what, 1) == 0);
    close(fd);
    return c;
}

static struct sockaddr_storage g_address;
static socklen_t g_address_size;

static void *asks(void *arg)
{
    for (int i = 0; i < CONNECTIONS / THREADS; i++) {
        char c = ask((struct sockaddr *)&g_address, g_address_size, 'x');
        CHECK(c >= 'A' && c < 'A' + THREADS);
    }
    return arg;
}

static void serve_at(const void *address, socklen_t size)
{
    int status;
    g_fd = socket(((const struct sockaddr *)address)->sa_family, SOCK_STREAM, 0);
    CHECK(bind(g_fd, address, size) == 0 && listen(g_fd, 100) == 0);
    g_address_size = sizeof(g_address);
    CHECK(getsockname(g_fd, (struct sockaddr *)&g_address, &g_address_size) == 0);
    fflush(stdout);
    for (long i = 0; i < THREADS; i++)
        if (fork() == 0) {
            answers((void *)i);
            _exit(g_failed);
        }
    run_threads(asks);
    int ended[THREADS] = {0};
    for (int i = 0; i < THREADS; i++)
        ended[(ask((struct sockaddr *)&g_address, g_address_size, 'q') - 'A') % THREADS]++;
    for (int i = 0; i < THREADS; i++)
        CHECK(ended[i] == 1 && wait(&status) > 0 && status == 0);
    close(g_fd);
}

static void connections_go_to_one(void)
{
    serve_at(
        &(struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)},
        sizeof(struct sockaddr_in));
    serve_at(&(struct sockaddr_un){AF_UNIX, "server"}, sizeof(struct sockaddr_un));
    CHECK(unlink("server") == 0);
}

/* ---- what the kernel writes for who asks ---- */

static void *reads_proc(void *number)
{
    char text[16384];
    for (int i = 0; i < 400; i++) {
        ssize_t n = pread(g_fd, text, sizeof(text) - 1, 0);
        CHECK(n > 100 && memcmp(text, "Name:\t", 6) == 0);
        text[n > 0 ? n : 0] = 0;
        CHECK(strstr(text, "\nPid:\t") && strstr(text, "\nSeccomp:\t"));
    }
    return number;
}

/* Threads that read one file of /proc at its begin get each a whole one. */
static void one_proc_file_has_many_readers(void)
{
    g_fd = open("/proc/self/status", O_RDONLY);
    run_threads(reads_proc);
    close(g_fd);
}

/* ---- descriptors of processes ---- */

#define LIVES 60

static int g_pidfd;
static bool g_sent;

static void *sends(void *number)
{
    siginfo_t info = {.si_signo = SIGUSR1, .si_code = SI_QUEUE};
    while (!__atomic_load_n(&g_sent, __ATOMIC_ACQUIRE)) {
        long r = syscall(SYS_pidfd_send_signal, g_pidfd, SIGUSR1, (long)number % 2 ? &info : NULL,
                         0);
        CHECK(r == 0 || errno == ESRCH || errno == EAGAIN);
    }
    return NULL;
}

/* A child with this number, or 0: somebody else took it. */
static pid_t fork_as(pid_t wanted)
{
    char text[16];
    int fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY);
    int n = snprintf(text, sizeof(text), "%d", (int)wanted - 1);
    CHECK(fd >= 0 && write(fd, text, (size_t)n) == n);
    close(fd);
    pid_t pid = fork();
    if (pid == 0) {
        usleep(20000);
        _exit(0);
    }
    if (pid == wanted)
        return pid;
    CHECK(waitpid(pid, NULL, 0) == pid);
    return 0;
}

/* Whoever sends by a descriptor reaches the process that it was opened for, or nobody: not the next
 * one with the same number. */
static void numbers_of_processes_come_again(void)
{
    pthread_t t[THREADS];
    siginfo_t info;
    int status, met = 0;
    for (int life = 0; life < LIVES; life++) {
        pid_t pid = fork();
        if (pid == 0)
            for (;;)
                pause();
        g_pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
        CHECK(g_pidfd >= 0);
        g_sent = false;
        for (long i = 0; i < THREADS; i++)
            CHECK(pthread_create(&t[i], NULL, sends, (void *)i) == 0);
        CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
        pid = fork_as(pid);
        if (pid > 0) {
            met++;
            CHECK(waitid(3 /* P_PIDFD */, (id_t)g_pidfd, &info, WEXITED) == -1 && errno == ECHILD);
            CHECK(waitpid(pid, &status, 0) == pid && status == 0);
        }
        __atomic_store_n(&g_sent, true, __ATOMIC_RELEASE);
        for (int i = 0; i < THREADS; i++)
            CHECK(pthread_join(t[i], NULL) == 0);
        close(g_pidfd);
    }
    CHECK(met > 0);
}

int main(void)
{
    char dir[] = "/tmp/racesXXXXXX";
    CHECK(mkdtemp(dir) && chdir(dir) == 0);
    RUN(appended_lines_are_whole);
    RUN(an_offset_is_used_once);
    RUN(replaced_files_are_whole);
    RUN(file_locks_exclude);
    RUN(descriptors_are_ones_own);
    RUN(dup2_leaves_no_gap);
    RUN(messages_stay_whole);
    RUN(events_are_counted);
    RUN(events_go_to_one);
    RUN(mappings_are_ones_own);
    RUN(every_thread_has_its_children);
    RUN(queued_signals_all_come);
    RUN(threads_come_and_go);
    RUN(connections_go_to_one);
    RUN(one_proc_file_has_many_readers);
    RUN(numbers_of_processes_come_again);
    CHECK(chdir("/") == 0 && rmdir(dir) == 0);
    return finish();
}
