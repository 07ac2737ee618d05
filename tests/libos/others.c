/* SPDX-License-Identifier: Apache-2.0 */
/* Looking into other processes, and what a process says of its own memory. */
#include "check.h"
#include <fcntl.h>
#include <linux/kcmp.h>
#include <sched.h>
#include <signal.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define PAGE 4096

static int fails(long r, int error)
{
    return r == -1 && errno == error;
}

static char *pages(size_t count)
{
    char *p = mmap(NULL, count * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    return p;
}

static long locked_kb(void)
{
    char line[256];
    long kb = -1;
    FILE *f = fopen("/proc/self/status", "r");
    while (fgets(line, sizeof(line), f))
        sscanf(line, "VmLck: %ld", &kb);
    fclose(f);
    return kb;
}

/* By the call itself: musl makes ENOMEM of EPERM. */
static int locked_map_fails(size_t count, int flags, int error)
{
    void *p = (void *)syscall(SYS_mmap, NULL, count * PAGE, PROT_READ,
                              MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0L);
    return p == MAP_FAILED ? errno == error : munmap(p, count * PAGE);
}

static void limited(void)
{
    struct rlimit two = {2 * PAGE, 2 * PAGE}, none = {0, 0};
    char *p = pages(4);
    CHECK(setrlimit(RLIMIT_MEMLOCK, &two) == 0 && setgid(1000) == 0 && setuid(1000) == 0);
    CHECK(mlock(p, 2 * PAGE) == 0 && mlock(p, PAGE) == 0);
    CHECK(fails(mlock(p + 2 * PAGE, PAGE), ENOMEM));
    CHECK(locked_map_fails(1, MAP_LOCKED, EAGAIN) && !locked_map_fails(1, 0, 0));
    CHECK(mlockall(MCL_FUTURE) == 0 && locked_map_fails(1, 0, EAGAIN) && munlockall() == 0);
    CHECK(!locked_map_fails(2, MAP_LOCKED, 0) && locked_map_fails(3, MAP_LOCKED, EAGAIN));
    CHECK(mlock(p, 2 * PAGE) == 0);
    CHECK(munlock(p, PAGE) == 0 && mlock(p + 3 * PAGE, PAGE) == 0);
    CHECK(fails(mlockall(MCL_CURRENT), ENOMEM));
    CHECK(setrlimit(RLIMIT_MEMLOCK, &none) == 0);
    CHECK(fails(mlock(p, PAGE), EPERM) && locked_map_fails(1, MAP_LOCKED, EPERM));
}

static void locks(void)
{
    unsigned char in[8];
    char *p = pages(8);
    long before = locked_kb();
    p[0] = 1;
    CHECK(mlock(p, 5 * PAGE) == 0 && locked_kb() == before + 20);
    CHECK(mincore(p, 5 * PAGE, in) == 0);
    for (int i = 0; i < 5; i++)
        CHECK(in[i] & 1);
    CHECK(munlock(p + PAGE, 2 * PAGE) == 0 && locked_kb() == before + 12);
    CHECK(munmap(p, PAGE) == 0 && locked_kb() == before + 8);
    CHECK(fails(madvise(p + 3 * PAGE, PAGE, MADV_DONTNEED), EINVAL));
    CHECK(fails(mlock(p, 2 * PAGE), ENOMEM));
    CHECK(fails(mlockall(0), EINVAL) && fails(mlockall(8), EINVAL));
    CHECK(mlockall(MCL_FUTURE) == 0);
    char *q = pages(2);
    CHECK(locked_kb() >= before + 16 && mincore(q, 2 * PAGE, in) == 0 && (in[0] & in[1] & 1));
    CHECK(munlockall() == 0 && locked_kb() == 0);
    CHECK(in_child(limited) == 0);
    munmap(p + PAGE, 7 * PAGE);
    munmap(q, 2 * PAGE);
}

static void advice_on_fork(void)
{
    char *p = pages(5);
    int file = open("/tmp/others-file", O_CREAT | O_RDWR, 0600), status;
    memset(p, 's', 5 * PAGE);
    CHECK(madvise(p, 2 * PAGE, MADV_WIPEONFORK) == 0);
    CHECK(madvise(p + 3 * PAGE, PAGE, MADV_DONTFORK) == 0);
    CHECK(ftruncate(file, PAGE) == 0);
    char *shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    CHECK(fails(madvise(shared, PAGE, MADV_WIPEONFORK), EINVAL));
    fflush(stdout);
    for (int round = 0; round < 3; round++) {
        pid_t pid = fork();
        if (pid == 0) {
            unsigned char in;
            int bad = p[0] != 0 || p[PAGE] != 0 || p[2 * PAGE] != 's' || p[4 * PAGE] != 's';
            bad |= mincore(p + 3 * PAGE, PAGE, &in) == 0;
            p[1] = 'c';
            if (fork() == 0) /* the child of a child gets a fresh one as well */
                _exit(p[1] != 0);
            wait(&status);
            _exit(bad | status | (p[1] != 'c'));
        }
        CHECK(waitpid(pid, &status, 0) == pid && status == 0);
        CHECK(p[0] == 's' && p[1] == 's' && p[PAGE] == 's' && p[3 * PAGE] == 's');
    }
    CHECK(madvise(p, 2 * PAGE, MADV_KEEPONFORK) == 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(p[0] != 's');
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    shared[0] = 'x';
    CHECK(madvise(shared, PAGE, MADV_REMOVE) == 0 && shared[0] == 0);
    munmap(shared, PAGE);
    close(file);
    unlink("/tmp/others-file");
    munmap(p, 5 * PAGE);
}

static char g_place[3 * PAGE], g_here[3 * PAGE];

static void other_memory(void)
{
    int go[2], done[2], status;
    char c;
    CHECK(pipe(go) == 0 && pipe(done) == 0);
    memset(g_place, 'p', sizeof(g_place));
    char *hole = pages(3);
    munmap(hole + PAGE, PAGE);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        memset(g_place, 'c', sizeof(g_place));
        write(done[1], "r", 1);
        read(go[0], &c, 1);
        _exit(g_place[5] == 'w' && g_place[PAGE + 1] == 'w' && g_place[2 * PAGE] == 'c' ? 0 : 1);
    }
    CHECK(read(done[0], &c, 1) == 1);
    struct iovec local = {g_here, sizeof(g_here)}, remote = {g_place, sizeof(g_place)};
    CHECK(process_vm_readv(pid, &local, 1, &remote, 1, 0) == sizeof(g_place));
    CHECK(g_here[0] == 'c' && g_here[sizeof(g_here) - 1] == 'c' && g_place[0] == 'p');
    memset(g_here, 'w', sizeof(g_here));
    struct iovec pieces[2] = {{g_here, 10}, {g_here, PAGE}}, range = {g_place + 5, PAGE};
    CHECK(process_vm_writev(pid, pieces, 2, &range, 1, 0) == PAGE);
    CHECK(g_place[5] == 'p');
    struct iovec over = {hole, 3 * PAGE};
    CHECK(process_vm_readv(pid, &local, 1, &over, 1, 0) == PAGE);
    over.iov_base = hole + PAGE;
    CHECK(fails(process_vm_readv(pid, &local, 1, &over, 1, 0), EFAULT));
    CHECK(fails(process_vm_readv(pid, &local, 1, &remote, 1, 1), EINVAL));
    CHECK(fails(process_vm_readv(pid, &local, 2000, &remote, 1, 0), EINVAL));
    CHECK(fails(process_vm_readv(4000000, &local, 1, &remote, 1, 0), ESRCH));
    CHECK(process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == sizeof(g_place) &&
          g_here[0] == 'p');
    CHECK(write(go[1], "g", 1) == 1);
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    CHECK(g_place[5] == 'p');
    munmap(hole, PAGE);
    munmap(hole + 2 * PAGE, PAGE);
    for (int i = 0; i < 2; i++)
        close(go[i]), close(done[i]);
}

static void not_as_stranger(void)
{
    struct iovec local = {g_here, 8}, remote = {g_place, 8};
    CHECK(setgid(1000) == 0 && setuid(1000) == 0);
    CHECK(fails(process_vm_readv(getppid(), &local, 1, &remote, 1, 0), EPERM));
}

static void strangers(void)
{
    CHECK(in_child(not_as_stranger) == 0);
}

/* A process of user 1000 that shows itself, or not. */
static pid_t shows_itself(int shows, int ready)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        CHECK(setgid(1000) == 0 && setuid(1000) == 0 && prctl(PR_SET_DUMPABLE, shows) == 0);
        CHECK(write(ready, "r", 1) == 1);
        pause();
        _exit(0);
    }
    return pid;
}

static int can_look(pid_t pid)
{
    char path[64], text[64];
    snprintf(path, sizeof(path), "/proc/%d/environ", pid);
    int fd = open(path, O_RDONLY), can = fd >= 0 && read(fd, text, sizeof(text)) >= 0;
    close(fd);
    snprintf(path, sizeof(path), "/proc/%d/cwd", pid);
    return can * 2 + (readlink(path, text, sizeof(text)) > 0);
}

/* PR_SET_DUMPABLE hides a process from others of its own user. */
static void hidden(void)
{
    int ready[2], status;
    char two[2];
    CHECK(pipe(ready) == 0);
    pid_t open_one = shows_itself(1, ready[1]), hidden_one = shows_itself(0, ready[1]);
    CHECK(read(ready[0], two, 1) == 1 && read(ready[0], two, 1) == 1);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        CHECK(setgid(1000) == 0 && setuid(1000) == 0);
        CHECK(can_look(open_one) == 3 && can_look(hidden_one) == 0);
        _exit(g_failed);
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    CHECK(can_look(hidden_one) == 3); /* root */
    kill(open_one, SIGKILL);
    kill(hidden_one, SIGKILL);
    while (wait(NULL) > 0)
        ;
    close(ready[0]);
    close(ready[1]);
}

/* What neither process has is the same in both; what each has for itself is not. */
static void no_contexts_are_alike(void)
{
    pid_t parent = getppid();
    CHECK(syscall(SYS_kcmp, parent, getpid(), KCMP_SYSVSEM, 0, 0) == 0);
    int id = semget(IPC_PRIVATE, 1, 0600);
    struct sembuf up = {0, 1, SEM_UNDO};
    CHECK(id >= 0 && semop(id, &up, 1) == 0);
    CHECK(syscall(SYS_kcmp, parent, getpid(), KCMP_SYSVSEM, 0, 0) > 0);
    semctl(id, 0, IPC_RMID);
}

static void comparing(void)
{
    int fd = dup(1), other = open("/", O_RDONLY), status;
    pid_t me = getpid(), pid = fork();
    if (pid == 0)
        _exit(syscall(SYS_kcmp, me, getpid(), KCMP_FILE, fd, fd) != 0 ||
              syscall(SYS_kcmp, me, getpid(), KCMP_VM, 0, 0) == 0);
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    CHECK(syscall(SYS_kcmp, me, me, KCMP_FILE, 1, fd) == 0);
    CHECK(in_child(no_contexts_are_alike) == 0);
    CHECK(syscall(SYS_kcmp, me, me, KCMP_FILE, 1, other) > 0);
    CHECK(syscall(SYS_kcmp, me, me, KCMP_VM, 0, 0) == 0);
    CHECK(fails(syscall(SYS_kcmp, me, me, KCMP_FILE, 1, 999), EBADF));
    CHECK(fails(syscall(SYS_kcmp, me, me, 77, 0, 0), EINVAL));
    close(fd);
    close(other);
}

static void processor(void)
{
    cpu_set_t all, one;
    CHECK(sched_getaffinity(0, sizeof(all), &all) == 0);
    int last = CPU_SETSIZE - 1;
    while (!CPU_ISSET(last, &all))
        last--;
    CPU_ZERO(&one);
    CPU_SET(last, &one);
    CHECK(sched_setaffinity(0, sizeof(one), &one) == 0 && sched_getcpu() == last);
    CHECK(sched_setaffinity(0, sizeof(all), &all) == 0);
}

static char g_word[32] = "before";

static void memory_file(void)
{
    char got[8] = "";
    int fd = open("/proc/self/mem", O_RDWR);
    CHECK(fd >= 0);
    CHECK(pread(fd, got, 7, (off_t)g_word) == 7 && strcmp(got, "before") == 0);
    CHECK(pwrite(fd, "after", 6, (off_t)g_word) == 6 && strcmp(g_word, "after") == 0);
    CHECK(fails(pread(fd, got, 1, 0x10), EIO));
    close(fd);
}

/* What monitoring programs open. */
static void tables(void)
{
    static const char *const files[] = {
        "/proc/net/tcp",  "/proc/net/tcp6",    "/proc/net/udp",         "/proc/net/udp6",
        "/proc/net/unix", "/proc/net/route",   "/proc/net/arp",         "/proc/net/dev",
        "/proc/net/snmp", "/proc/net/netstat", "/proc/net/sockstat",    "/proc/interrupts",
        "/proc/softirqs", "/proc/cgroups",     "/sys/class/net/lo/mtu", "/proc/sysvipc/msg",
    };
    char buf[64];
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        int fd = open(files[i], O_RDONLY);
        if (fd < 0 || read(fd, buf, sizeof(buf)) <= 0)
            printf("FAILED %s\n", files[i]), g_failed = 1;
        close(fd);
    }
}

/* One number, as sizes of CPU sets are computed from it; the others are lists. */
static void highest_processor(void)
{
    char buf[32] = "";
    char *end;
    int fd = open("/sys/devices/system/cpu/kernel_max", O_RDONLY);
    CHECK(fd >= 0 && read(fd, buf, sizeof(buf) - 1) > 0);
    CHECK(strtol(buf, &end, 10) + 1 >= sysconf(_SC_NPROCESSORS_ONLN) && strcmp(end, "\n") == 0);
    close(fd);
}

int main(void)
{
    RUN(locks);
    RUN(advice_on_fork);
    RUN(other_memory);
    RUN(strangers);
    RUN(hidden);
    RUN(comparing);
    RUN(processor);
    RUN(memory_file);
    RUN(tables);
    RUN(highest_processor);
    return finish();
}
