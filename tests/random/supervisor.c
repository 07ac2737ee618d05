/* SPDX-License-Identifier: Apache-2.0 */
/*
 * calls supervise SEED SECONDS [trace] [fail=N] [user] [root]
 *                         process 1: rounds of random calls, and after each what must still be so
 * calls pure SEED COUNT   sequences of pure calls with their results, to be compared with Linux's
 * calls run SEED DEPTH    what a process becomes by exec
 * calls round SEED USER FAIL TRACE   a round's first process, outside of our fork group
 */
#include "random.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define PATIENCE 40  /* seconds in which killed processes are gone, and a canary answers */
#define ROUND_MS 600 /* how long a round may go on */
#define FIRST    400 /* calls of its first process */
#define PAGES    64  /* of a canary's memory */
#define SECRET   "/tmp/canary"
#define CANARIES 2

static unsigned g_round, g_fail;
static uint64_t g_seed;
static int g_say = STDERR_FILENO;
static struct {
    pid_t pid;
    int ask, answer;
} g_canaries[CANARIES];

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
    char text[2000];
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    for (int tries = 0; tries < 50 && write(g_say, text, (size_t)n) != n; tries++)
        usleep(1000); /* the host may deny it */
}

static void show_processes(void);

#define BAD(format, ...)                                                            \
    do {                                                                            \
        /* one line: the test shows no more of it */                                \
        say("BAD: seed %lx round %u: " format "\n", (unsigned long)g_seed, g_round, \
            ##__VA_ARGS__);                                                         \
        show_processes();                                                           \
        exit(1);                                                                    \
    } while (0)

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void show_processes(void)
{
    char path[300], text[1500];
    DIR *proc = opendir("/proc");
    struct dirent *e;
    while (proc && (e = readdir(proc))) {
        if (strtol(e->d_name, NULL, 10) <= 0)
            continue;
        for (int i = 0; i < 2; i++) {
            snprintf(path, sizeof(path), "/proc/%s/%s", e->d_name, i == 0 ? "stat" : "syscall");
            int fd = open(path, O_RDONLY);
            ssize_t n = fd < 0 ? -1 : read(fd, text, 300);
            close(fd);
            if (n > 0)
                say("  %.*s", (int)n, text);
        }
    }
    if (proc)
        closedir(proc);
}

/* ---- canaries: what nobody else may change ---- */

static uint64_t expected(unsigned i)
{
    return (i + 1) * 0x9e3779b97f4a7c15ull ^ (uint64_t)getpid() << 32;
}

/* Looks at its memory all the time; answers each byte with 1 while it is right. */
int canary(void)
{
    const size_t words = PAGES * 4096 / 8;
    uint64_t *memory = mmap(NULL, words * 8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                            -1, 0);
    char right = 1, byte;
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL); /* who is named as the owner of a file, say, gets some */
    for (unsigned i = 0; i < words; i++)
        memory[i] = expected(i);
    for (;;) {
        for (unsigned i = 0; i < words; i++) {
            if (memory[i] == expected(i))
                continue;
            say("canary %d: word %u is %lx\n", getpid(), i, (unsigned long)memory[i]);
            right = 0;
            break;
        }
        memory[chance(&(struct run){(uint64_t)now()}) % words] += 0; /* a page is written */
        struct pollfd ask = {0, POLLIN, 0};
        if (poll(&ask, 1, 10) <= 0)
            continue;
        if (read(0, &byte, 1) != 1)
            return 0;
        if (write(1, &right, 1) != 1)
            return 1;
    }
}

static void start_canary(unsigned n)
{
    int ask[2], answer[2];
    if (pipe2(ask, O_CLOEXEC) < 0 || pipe2(answer, O_CLOEXEC) < 0)
        BAD("pipe: errno %d", errno);
    pid_t pid = fork();
    for (int tries = 0; pid < 0 && tries < 100; tries++, pid = fork())
        usleep(10000);
    if (pid == 0) {
        dup2(ask[0], 0);
        dup2(answer[1], 1);
        close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
        setsid();
        if (n == 0)
            _exit(canary());
        execl("/bin/calls", "calls", "canary", NULL);
        _exit(9);
    }
    if (pid < 0)
        BAD("fork of a canary: errno %d", errno);
    close(ask[0]);
    close(answer[1]);
    g_canaries[n].pid = pid;
    g_canaries[n].ask = ask[1];
    g_canaries[n].answer = answer[0];
    g_spared[n + 1] = (uint64_t)pid;
}

static void ask_canary(unsigned n)
{
    char byte = 0;
    struct pollfd ready = {g_canaries[n].answer, POLLIN, 0};
    int status = 0;
    if (write(g_canaries[n].ask, "?", 1) != 1 || poll(&ready, 1, PATIENCE * 1000) != 1 ||
        read(g_canaries[n].answer, &byte, 1) != 1) {
        pid_t ended = waitpid(g_canaries[n].pid, &status, WNOHANG);
        BAD("canary %u does not answer (%s, status %x)", n, ended > 0 ? "ended" : "alive", status);
    }
    if (byte != 1)
        BAD("the memory of canary %u was changed", n);
}

static void secret_file(bool make)
{
    char text[64], there[64] = "";
    struct stat st;
    snprintf(text, sizeof(text), "secret %lx\n", (unsigned long)g_seed);
    int fd = open(SECRET, make ? O_WRONLY | O_CREAT | O_TRUNC : O_RDONLY, 0600);
    if (fd < 0 || (make ? write(fd, text, strlen(text)) : read(fd, there, sizeof(there) - 1)) !=
                      (ssize_t)strlen(text))
        BAD("%s: errno %d", SECRET, errno);
    if (!make && (strcmp(there, text) != 0 || fstat(fd, &st) < 0 || st.st_uid != 0 ||
                  (st.st_mode & 0777) != 0600))
        BAD("%s was changed: %s", SECRET, there);
    close(fd);
}

/* Nothing may happen to the supervisor, which is alone in its memory. */
static void on_fault(int signo, siginfo_t *info, void *context)
{
    const ucontext_t *uc = context;
    if (info->si_code <= 0)
        return; /* a random call sent it */
    say("BAD: seed %lx round %u: process %d: signal %d code %d at %p, rip %llx, error %lx\n",
        (unsigned long)g_seed, g_round, getpid(), signo, info->si_code, info->si_addr,
        uc->uc_mcontext.gregs[REG_RIP], (unsigned long)uc->uc_mcontext.gregs[REG_ERR]);
    _exit(3);
}

static void watch_faults(bool on)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};
    struct sigaction a = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    if (!on)
        a = (struct sigaction){.sa_handler = SIG_DFL};
    for (unsigned i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        sigaction(signals[i], &a, NULL);
}

/* ---- everyday work that must go well ---- */

static void everyday_work(void)
{
    int ends[2], status = -1;
    char text[100] = "";
    ssize_t n;
    if (pipe2(ends, O_CLOEXEC) < 0)
        BAD("pipe: errno %d", errno);
    for (int how = 0; how < 2; how++) {
        pid_t pid = fork();
        for (int tries = 0; pid < 0 && tries < 200; tries++, pid = fork())
            usleep(10000);
        if (pid == 0) {
            dup2(ends[1], 1);
            if (how == 1)
                execl("/bin/calls", "calls", "sum", NULL);
            volatile unsigned long sum = 0;
            for (unsigned i = 1; i <= 1000; i++)
                sum += i;
            _exit(dprintf(1, "sum %lu\n", sum) == 11 ? 0 : 8);
        }
        if (pid < 0)
            BAD("fork: errno %d", errno);
        struct pollfd ready = {ends[0], POLLIN, 0};
        if (poll(&ready, 1, PATIENCE * 1000) != 1 ||
            (n = read(ends[0], text, sizeof(text) - 1)) != 11 ||
            memcmp(text, "sum 500500\n", 11) != 0) {
            waitpid(pid, &status, WNOHANG);
            BAD("a child by %s: \"%s\", status %x", how ? "exec" : "fork", text, status);
        }
        if (waitpid(pid, &status, 0) != pid || status != 0)
            BAD("a child's status is %x", status);
    }
    close(ends[0]);
    close(ends[1]);
}

/* ---- a round ---- */

static bool is_ours(pid_t pid)
{
    bool ours = pid <= 1;
    for (unsigned i = 0; i < CANARIES; i++)
        ours |= pid == g_canaries[i].pid;
    return ours;
}

/* The processes that are not ours: how many; they are killed. */
static unsigned kill_all(int signo)
{
    unsigned count = 0;
    DIR *proc = opendir("/proc");
    struct dirent *e;
    if (proc == NULL)
        BAD("/proc: errno %d", errno);
    for (errno = 0; (e = readdir(proc)); errno = 0) {
        pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);
        if (pid <= 0 || is_ours(pid))
            continue;
        count++;
        kill(pid, signo);
    }
    if (errno) /* who is killed may have all memory until it is gone */
        count++;
    closedir(proc);
    return count;
}

static void reap(void)
{
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0;)
        for (unsigned i = 0; i < CANARIES; i++) {
            if (pid != g_canaries[i].pid)
                continue;
            if (g_fail == 0 || status != SIGKILL)
                BAD("canary %u ended with status %x", i, status);
            /* Doomed, for a switch between members of its fork group got no memory. */
            close(g_canaries[i].ask);
            close(g_canaries[i].answer);
            start_canary(i);
        }
}

static void clear_mounts(void)
{
    char line[2000], *at, *where;
    for (int again = 1, times = 0; again && times < 200; times++) {
        FILE *mounts = fopen("/proc/self/mounts", "re");
        again = 0;
        while (mounts && (at = fgets(line, sizeof(line), mounts)))
            if (strsep(&at, " ") && (where = strsep(&at, " ")) &&
                strncmp(where, PLACE, sizeof(PLACE) - 1) == 0)
                again |= umount2(where, MNT_DETACH) == 0;
        if (mounts)
            fclose(mounts);
    }
}

static void clear(int at, const char *name, unsigned depth)
{
    if (unlinkat(at, name, 0) == 0 || errno == ENOENT || depth > 200)
        return;
    fchmodat(at, name, 0700, 0);
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *e;
    while (dir && (e = readdir(dir)))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            clear(fd, e->d_name, depth + 1);
    if (dir)
        closedir(dir);
    unlinkat(at, name, AT_REMOVEDIR);
}

static void clean_up(void)
{
    clear_mounts();
    clear(AT_FDCWD, PLACE, 0);
    static const char *const left[] = {"/dev/shm/a", "/host/a", "/host/b", "/host/d", "/link"};
    for (unsigned i = 0; i < sizeof(left) / sizeof(left[0]); i++)
        clear(AT_FDCWD, left[i], 0);
    syscall(SYS_mq_unlink, "qa");
    syscall(SYS_mq_unlink, "qb");
    for (key_t key = 0x5241; key < 0x5245; key++) {
        semctl(semget(key, 0, 0), 0, IPC_RMID);
        msgctl(msgget(key, 0), IPC_RMID, NULL);
        shmctl(shmget(key, 0, 0), IPC_RMID, NULL);
    }
    static const struct {
        const char *name;
        mode_t mode;
    } modes[] = {{"/", 0755},         {"/tmp", 01777},     {"/bin/calls", 0755},
                 {"/dev/null", 0666}, {"/dev/zero", 0666}, {"/dev/ptmx", 0666}};
    for (unsigned i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        chown(modes[i].name, 0, 0);
        chmod(modes[i].name, modes[i].mode);
    }
}

static void make_world(void)
{
    if (mkdir(PLACE, 0777) < 0)
        BAD("%s: errno %d", PLACE, errno);
    chmod(PLACE, 0777);
    mkdir(PLACE "/d", 0777);
    mkdir(PLACE "/d/e", 0777);
    chmod(PLACE "/d", 0777);
    close(open(PLACE "/a", O_CREAT | O_RDWR, 0666));
    symlink("d", PLACE "/link");
    mkfifo(PLACE "/fifo", 0666);
    chdir(PLACE);
}

static void open_descriptors(bool pure)
{
    int fds[2];
    const int null = memfd_create("null", 0); /* a round may have removed /dev/null */
    for (int fd = 0; fd < 3; fd++)
        dup2(null, fd);
    close_range(3, TRACE_FD - 1, 0);
    if (!g_trace && !pure)
        close_range(TRACE_FD, ~0u, 0);
    open("a", O_RDWR);
    open("d", O_RDONLY | O_DIRECTORY);
    pipe2(fds, pure ? O_NONBLOCK : 0);
    if (pure)
        return;
    socketpair(AF_UNIX, SOCK_STREAM, 0, fds);
    socketpair(AF_UNIX, SOCK_DGRAM, 0, fds);
    eventfd(0, 0);
    epoll_create1(0);
    timerfd_create(CLOCK_MONOTONIC, 0);
    memfd_create("m", 2);
    inotify_init1(0);
    open("/dev/ptmx", O_RDWR | O_NOCTTY);
    socket(AF_INET, SOCK_STREAM, 0);
    socket(AF_INET, SOCK_DGRAM, 0);
    open("/host/a", O_RDWR | O_CREAT, 0666);
}

static void limit(int resource, rlim_t value)
{
    setrlimit(resource, &(struct rlimit){value, value});
}

/* The first process of a round. In the LibOS of tests one in RLIMIT_RSS allocations fails. */
static void round_process(uint64_t seed, bool user, unsigned fail)
{
    struct run r;
    setsid();
    watch_faults(false);
    g_spared[0] = (uint64_t)getpid() - 5;
    open_descriptors(false);
    limit(RLIMIT_FSIZE, 1 << 20);
    limit(RLIMIT_NOFILE, 64 + TRACE_FD);
    limit(RLIMIT_CORE, 0);
    if (fail > 0)
        setrlimit(RLIMIT_RSS, &(struct rlimit){fail, RLIM_INFINITY});
    g_privileged = !user;
    if (user && (setgroups(0, NULL) < 0 || setresgid(1000, 1000, 1000) < 0 ||
                 setresuid(1000, 1000, 1000) < 0))
        _exit(1);
    run_begin(&r, seed, 0, FIRST);
    run_process(&r);
    _exit(0);
}

static void exec_round(uint64_t seed, bool user, unsigned fail)
{
    char text[2][24];
    snprintf(text[0], sizeof(text[0]), "%lx", (unsigned long)seed);
    snprintf(text[1], sizeof(text[1]), "%u", fail);
    execl("/bin/calls", "calls", "round", text[0], user ? "user" : "root", text[1],
          g_trace ? "trace" : "quiet", NULL);
    _exit(9);
}

static void one_round(uint64_t seed, bool user)
{
    make_world();
    pid_t pid = fork();
    for (int tries = 0; pid < 0 && tries < 100; tries++, pid = fork())
        usleep(10000);
    if (pid == 0) {
        if ((seed & 1) || g_fail > 0) /* with a stack and memory of its own */
            exec_round(seed, user, g_fail);
        round_process(seed, user, g_fail);
    }
    for (double end = now() + ROUND_MS / 1000.0; now() < end && kill_all(0) > 0; usleep(20000))
        reap();
    double end = now() + PATIENCE;
    for (useconds_t pause = 500; kill_all(SIGKILL) > 0; pause = pause < 50000 ? pause * 2 : pause) {
        if (now() > end)
            BAD("killed processes do not go");
        usleep(pause);
        reap();
    }
    reap();
    chdir("/");
    for (unsigned i = 0; i < CANARIES; i++)
        ask_canary(i);
    secret_file(false);
    clean_up();
    everyday_work();
}

int supervise(int argc, char **argv)
{
    double seconds = atof(argv[3]), end = now() + seconds;
    bool users = true, roots = true;
    g_seed = strtoull(argv[2], NULL, 16);
    for (int i = 4; i < argc; i++) {
        g_trace |= strcmp(argv[i], "trace") == 0;
        users &= strcmp(argv[i], "root") != 0;
        roots &= strcmp(argv[i], "user") != 0;
        if (strncmp(argv[i], "fail=", 5) == 0)
            g_fail = (unsigned)strtoul(argv[i] + 5, NULL, 10);
    }
    limit(RLIMIT_CORE, 0);
    g_say = fcntl(STDERR_FILENO, F_DUPFD, TRACE_FD + 1);
    dup2(STDERR_FILENO, TRACE_FD);
    fcntl(g_say, F_SETFD, FD_CLOEXEC);
    signal(SIGPIPE, SIG_IGN);
    watch_faults(true);
    clean_up();
    secret_file(true);
    for (unsigned i = 0; i < CANARIES; i++)
        start_canary(i);
    struct run r = {g_seed};
    for (; now() < end; g_round++) {
        bool user = users && (!roots || one_in(&r, 2));
        if (g_trace)
            say("round %u %s\n", g_round, user ? "user" : "root");
        one_round(chance(&r), user);
    }
    say("fine: seed %lx, %u rounds\n", (unsigned long)g_seed, g_round);
    return 0;
}

/* ---- the same on Linux? ---- */

#define SEQUENCE 60

static int compare(char **argv)
{
    uint64_t seed = strtoull(argv[2], NULL, 16);
    dup2(STDOUT_FILENO, TRACE_FD);
    if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setresgid(1000, 1000, 1000) < 0 ||
                           setresuid(1000, 1000, 1000) < 0))
        return 1;
    const long count = strtol(argv[3], NULL, 10);
    for (long i = 0; i < count; i++, seed++) {
        struct run r;
        dprintf(TRACE_FD, "sequence %lx\n", (unsigned long)seed);
        umask(0);
        clear(AT_FDCWD, PLACE, 0);
        make_world();
        pid_t pid = fork();
        if (pid == 0) {
            open_descriptors(true);
            limit(RLIMIT_FSIZE, 1 << 20);
            limit(RLIMIT_NOFILE, 64);
            run_begin(&r, seed, 0, SEQUENCE);
            r.pure = true;
            run_process(&r); /* its timer ends what waits */
            _exit(0);
        }
        int status = 0;
        waitpid(pid, &status, 0);
        dprintf(TRACE_FD, "end %x\n", status);
        chdir("/");
    }
    clear(AT_FDCWD, PLACE, 0);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc >= 4 && getpid() == 1 && strcmp(argv[1], "supervise") == 0)
        return supervise(argc, argv);
    if (argc >= 4 && strcmp(argv[1], "pure") == 0)
        return compare(argv);
    if (argc == 2 && strcmp(argv[1], "canary") == 0)
        return canary();
    if (argc == 2 && strcmp(argv[1], "sum") == 0)
        return dprintf(1, "sum 500500\n") == 11 ? 0 : 8;
    for (unsigned i = 1; i <= CANARIES; i++)
        g_spared[i] = 1 + i;
    if (argc == 6 && strcmp(argv[1], "round") == 0) {
        g_trace = strcmp(argv[5], "trace") == 0;
        round_process(strtoull(argv[2], NULL, 16), strcmp(argv[3], "user") == 0,
                      (unsigned)strtoul(argv[4], NULL, 10));
    }
    struct run r;
    const bool known = argc >= 4 && strcmp(argv[1], "run") == 0;
    g_spared[0] = (uint64_t)getpid() - 5;
    g_privileged = geteuid() == 0;
    run_begin(&r, known ? strtoull(argv[2], NULL, 16) : 1,
              known ? (unsigned)(argv[3][0] - '0') : DEPTH_MAX, FIRST);
    run_process(&r);
    return 0;
}
