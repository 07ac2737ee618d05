/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that Linux got after 6.1, and those of memory policies, which a kernel may be built
 * without. Natively a call that the machine's kernel lacks is left out; in the LibOS all are there.
 */
#define _GNU_SOURCE
#include "check.h"
#include <fcntl.h>
#include <linux/acct.h>
#include <linux/futex.h>
#include <linux/mempolicy.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#define NR_CACHESTAT        451
#define NR_FCHMODAT2        452
#define NR_STATMOUNT        457
#define NR_LISTMOUNT        458
#define NR_LSM_LIST_MODULES 461
#define NR_MSEAL            462
#define GUARD_INSTALL       102 /* MADV_GUARD_INSTALL */
#define GUARD_REMOVE        103
#define QUERY_DUPFD         1027 /* F_DUPFD_QUERY */
#define QUERY_CREATED       1028 /* F_CREATED_QUERY */

static bool in_libos(void)
{
    struct utsname u;
    return uname(&u) == 0 && strstr(u.release, "libos") != NULL;
}

/* The machine's kernel says that it has no such thing: nothing to check. */
static bool lacks(long result, int error)
{
    return result < 0 && errno == error && !in_libos();
}

/* ---- mseal ---- */

static void sealed(void)
{
    char *p = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *q = mmap(NULL, 4 * 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (lacks(syscall(NR_MSEAL, p, 0ul, 0ul), ENOSYS))
        return;
    CHECK(syscall(NR_MSEAL, p, 4096ul, 1ul) < 0 && errno == EINVAL);
    CHECK(syscall(NR_MSEAL, p + 1, 4096ul, 0ul) < 0 && errno == EINVAL);
    CHECK(munmap(p + 3 * 4096, 4096) == 0);
    CHECK(syscall(NR_MSEAL, p, 4 * 4096ul, 0ul) < 0 && errno == ENOMEM);
    CHECK(syscall(NR_MSEAL, p + 4096, 4096ul, 0ul) == 0);
    CHECK(mprotect(p, 2 * 4096, PROT_NONE) < 0 && errno == EPERM);
    CHECK(munmap(p, 3 * 4096) < 0 && errno == EPERM);
    CHECK(mremap(p + 4096, 4096, 8192, MREMAP_MAYMOVE) == MAP_FAILED && errno == EPERM);
    CHECK(mmap(p + 4096, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
              MAP_FAILED &&
          errno == EPERM);
    p[4096] = 7;
    CHECK(madvise(p + 4096, 4096, MADV_DONTNEED) == 0 && p[4096] == 0); /* it could be written */
    /* Sealed pages in the middle of what moves. */
    CHECK(mremap(p, 3 * 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, q + 2 * 4096) == MAP_FAILED &&
          errno == EPERM);
    CHECK(syscall(NR_MSEAL, q, 4096ul, 0ul) == 0);
    CHECK(madvise(q, 4096, MADV_DONTNEED) < 0 && errno == EPERM);
    CHECK(munmap(p, 4096) == 0 && munmap(p + 2 * 4096, 4096) == 0); /* its neighbours may go */
}

/* Of a child, which does not come back with the sealed pages. */
static void sealed_memory_stays(void)
{
    CHECK(in_child(sealed) == 0);
}

/* ---- guard pages ---- */

static char *g_guarded;

static void touch(void)
{
    signal(SIGSEGV, SIG_DFL);
    *(volatile char *)g_guarded = 1;
}

static void read_guarded(void)
{
    int fds[2];
    CHECK(pipe(fds) == 0 && write(fds[1], "x", 1) == 1);
    CHECK(read(fds[0], g_guarded, 1) < 0 && errno == EFAULT);
}

static void guard_pages(void)
{
    g_guarded = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(g_guarded, 'a', 8192);
    if (lacks(madvise(g_guarded, 4096, GUARD_INSTALL), EINVAL))
        return;
    int status = in_child(touch);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    read_guarded();
    CHECK(mprotect(g_guarded, 8192, PROT_READ) == 0 &&
          mprotect(g_guarded, 8192, PROT_READ | PROT_WRITE) == 0);
    status = in_child(touch);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    CHECK(madvise(g_guarded, 4096, MADV_DONTNEED) == 0);
    status = in_child(touch);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    CHECK(g_guarded[4096] == 'a');
    CHECK(madvise(g_guarded, 4096, GUARD_REMOVE) == 0);
    CHECK(g_guarded[0] == 0);
    CHECK(in_child(touch) == 0);
    munmap(g_guarded, 8192);
}

/* A child's guard where its parent reads zeros, each after the other has run. */
static void guard_of_child(void)
{
    int there[2], back[2], status;
    char c;
    g_guarded = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (lacks(madvise(g_guarded, 0, GUARD_INSTALL), EINVAL))
        return;
    CHECK(pipe(there) == 0 && pipe(back) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        if (madvise(g_guarded, 4096, GUARD_INSTALL) < 0 || write(there[1], "x", 1) != 1 ||
            read(back[0], &c, 1) != 1)
            _exit(1);
        signal(SIGSEGV, SIG_DFL);
        _exit(2 + *(volatile char *)g_guarded);
    }
    CHECK(read(there[0], &c, 1) == 1 && g_guarded[0] == 0 && write(back[1], "x", 1) == 1);
    CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    CHECK(g_guarded[0] == 0);
    munmap(g_guarded, 4096);
}

/* ---- memory policies ---- */

static long get_policy(int *mode, unsigned long *nodes, void *at, unsigned long flags)
{
    return syscall(SYS_get_mempolicy, mode, nodes, 8 * sizeof(*nodes), at, flags);
}

static void memory_policies(void)
{
    unsigned long none[2] = {0, 0}, first[2] = {1, 0}, got[2] = {9, 9};
    unsigned long far[64] = {0};
    char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int mode = -1;
    far[63] = 1ul << 62; /* no machine has node 4094 */
    if (lacks(get_policy(&mode, got, NULL, 0), ENOSYS))
        return;
    CHECK(mode == MPOL_DEFAULT);
    CHECK(syscall(SYS_set_mempolicy, MPOL_BIND, none, 64ul) < 0 && errno == EINVAL);
    CHECK(syscall(SYS_set_mempolicy, MPOL_DEFAULT, first, 64ul) < 0 && errno == EINVAL);
    CHECK(syscall(SYS_set_mempolicy, 77, none, 64ul) < 0 && errno == EINVAL);
    CHECK(syscall(SYS_set_mempolicy, MPOL_BIND, far, 4097ul) < 0 && errno == EINVAL);
    CHECK(syscall(SYS_set_mempolicy, MPOL_BIND, 8ul, 64ul) < 0 && errno == EFAULT);
    CHECK(syscall(SYS_set_mempolicy, MPOL_PREFERRED, first, 64ul) == 0);
    CHECK(syscall(SYS_mbind, p, 4096ul, MPOL_BIND, first, 64ul, 0u) == 0);
    CHECK(syscall(SYS_mbind, p, 4096ul, MPOL_BIND, first, 64ul, ~0u) < 0 && errno == EINVAL);
    CHECK(syscall(SYS_mbind, p + 1, 4096ul, MPOL_BIND, first, 64ul, 0u) < 0 && errno == EINVAL);
    unsigned long mask[128] = {0};
    CHECK(syscall(SYS_get_mempolicy, &mode, mask, 8192ul, NULL, 0ul) == 0);
    CHECK(mode == MPOL_PREFERRED && mask[0] == 1);
    CHECK(syscall(SYS_get_mempolicy, &mode, mask, 8192ul, p, (unsigned long)MPOL_F_ADDR) == 0);
    CHECK(mode == MPOL_BIND && mask[0] == 1);
    CHECK(syscall(SYS_get_mempolicy, &mode, mask, 8192ul, p + 4096, (unsigned long)MPOL_F_ADDR) ==
          0);
    CHECK(mode == MPOL_DEFAULT && mask[0] == 0);
    CHECK(get_policy(&mode, NULL, NULL, MPOL_F_ADDR) < 0 && errno == EFAULT);
    CHECK(get_policy(&mode, NULL, p, 0) < 0 && errno == EINVAL);
    CHECK(syscall(SYS_migrate_pages, -1, 64ul, first, first) < 0 && errno == ESRCH);
    CHECK(syscall(SYS_migrate_pages, 0, 64ul, first, first) == 0);
    CHECK(syscall(SYS_set_mempolicy, MPOL_DEFAULT, NULL, 0ul) == 0);
    munmap(p, 8192);
}

/* ---- futex_waitv ---- */

static uint32_t g_words[3];

static void *wake_last(void *arg)
{
    while (syscall(SYS_futex, &g_words[2], FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0) == 0)
        sleep_ms(1);
    return arg;
}

static void one_of_several_words(void)
{
    struct futex_waitv v[3] = {0};
    struct timespec soon;
    pthread_t t;
    for (int i = 0; i < 3; i++) {
        v[i].uaddr = (uintptr_t)&g_words[i];
        v[i].flags = FUTEX_32 | FUTEX_PRIVATE_FLAG;
    }
    CHECK(syscall(SYS_futex_waitv, v, 0, 0, NULL, 0) < 0 && errno == EINVAL);
    CHECK(syscall(SYS_futex_waitv, v, 129, 0, NULL, 0) < 0 && errno == EINVAL);
    clock_gettime(CLOCK_MONOTONIC, &soon);
    CHECK(syscall(SYS_futex_waitv, v, 3, 0, &soon, CLOCK_TAI) < 0 && errno == EINVAL);
    CHECK(syscall(SYS_futex_waitv, v, 3, 0, &soon, CLOCK_MONOTONIC) < 0 && errno == ETIMEDOUT);
    v[1].val = 5;
    CHECK(syscall(SYS_futex_waitv, v, 3, 0, NULL, 0) < 0 && errno == EAGAIN);
    v[1].val = 0;
    v[1].flags = FUTEX_PRIVATE_FLAG; /* without a size */
    CHECK(syscall(SYS_futex_waitv, v, 3, 0, NULL, 0) < 0 && errno == EINVAL);
    v[1].flags = FUTEX_32 | FUTEX_PRIVATE_FLAG;
    CHECK(pthread_create(&t, NULL, wake_last, NULL) == 0);
    CHECK(syscall(SYS_futex_waitv, v, 3, 0, NULL, 0) == 2);
    pthread_join(t, NULL);
    /* Nobody waits any more, on none of them. */
    for (int i = 0; i < 3; i++)
        CHECK(syscall(SYS_futex, &g_words[i], FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0) == 0);
}

/* ---- files ---- */

static void modes_by_name(void)
{
    struct stat st;
    char name[] = "/tmp/newer-XXXXXX";
    int fd = mkstemp(name);
    if (lacks(syscall(NR_FCHMODAT2, AT_FDCWD, name, 0640, 0), ENOSYS)) {
        unlink(name);
        close(fd);
        return;
    }
    CHECK(stat(name, &st) == 0 && (st.st_mode & 0777) == 0640);
    CHECK(syscall(NR_FCHMODAT2, fd, "", 0604, AT_EMPTY_PATH) == 0);
    CHECK(stat(name, &st) == 0 && (st.st_mode & 0777) == 0604);
    CHECK(syscall(NR_FCHMODAT2, AT_FDCWD, name, 0600, -1) < 0 && errno == EINVAL);
    unlink(name);
    close(fd);
}

static void questions_of_descriptors(void)
{
    int old = open("/dev/null", O_RDONLY), same = dup(old);
    if (!lacks(fcntl(old, QUERY_DUPFD, same), EINVAL)) {
        CHECK(fcntl(old, QUERY_DUPFD, same) == 1);
        CHECK(fcntl(old, QUERY_DUPFD, 1) == 0);
        CHECK(fcntl(old, QUERY_DUPFD, 999) < 0 && errno == EBADF);
    }
    if (!lacks(fcntl(old, QUERY_CREATED), EINVAL)) {
        CHECK(fcntl(old, QUERY_CREATED) == 0);
        unlink("/tmp/newer-created");
        int made = open("/tmp/newer-created", O_CREAT | O_RDONLY, 0600);
        int again = open("/tmp/newer-created", O_CREAT | O_RDONLY, 0600);
        CHECK(fcntl(made, QUERY_CREATED) == 1);
        CHECK(fcntl(again, QUERY_CREATED) == 0);
        unlink("/tmp/newer-created");
        close(made);
        close(again);
    }
    close(old);
    close(same);
}

static void cached_pages(void)
{
    uint64_t range[2] = {0, 0}, told[5];
    int fd = memfd_create("newer", 0);
    memset(told, 0xff, sizeof(told));
    CHECK(ftruncate(fd, 16 * 4096) == 0 && pwrite(fd, "x", 1, 4096) == 1);
    CHECK(pwrite(fd, "x", 1, 8 * 4096) == 1 && lseek(fd, 3, SEEK_SET) == 3);
    if (lacks(syscall(NR_CACHESTAT, fd, range, told, 0), ENOSYS))
        return;
    CHECK(told[0] == 2 && told[3] == 0);
    range[0] = 2 * 4096;
    range[1] = 5 * 4096;
    CHECK(syscall(NR_CACHESTAT, fd, range, told, 0) == 0 && told[0] == 0);
    CHECK(lseek(fd, 0, SEEK_CUR) == 3);
    CHECK(syscall(NR_CACHESTAT, fd, range, told, 1) < 0 && errno == EINVAL);
    CHECK(syscall(NR_CACHESTAT, fd, NULL, told, 0) < 0 && errno == EFAULT);
    CHECK(syscall(NR_CACHESTAT, -1, range, told, 0) < 0 && errno == EBADF);
    close(fd);
}

struct request { /* struct mnt_id_req */
    uint32_t size, space;
    uint64_t id, param;
};

static void mounts_by_number(void)
{
    struct request q = {.size = sizeof(q), .id = UINT64_MAX};
    uint64_t ids[64], buf[1024];
    struct statx x;
    memset(ids, 0, sizeof(ids));
    long n = syscall(NR_LISTMOUNT, &q, ids, 64ul, 0);
    if (lacks(n, ENOSYS))
        return;
    CHECK(n >= 1); /* /proc at least */
    CHECK(syscall(NR_LISTMOUNT, &q, ids, 64ul, -1) < 0 && errno == EINVAL);
    CHECK(syscall(NR_LISTMOUNT, &q, NULL, 64ul, 0) < 0 && errno == EFAULT);
    q.id = UINT64_MAX - 1;
    CHECK(syscall(NR_LISTMOUNT, &q, ids, 64ul, 0) < 0 && errno == ENOENT);
    q.id = 0;
    CHECK(syscall(NR_LISTMOUNT, &q, ids, 64ul, 0) < 0 && errno == EINVAL);
    CHECK(statx(AT_FDCWD, "/proc", 0, 0x4000 /* STATX_MNT_ID_UNIQUE */, &x) == 0);
    CHECK(x.stx_mask & 0x4000);
    q.id = *(uint64_t *)((char *)&x + 144); /* stx_mnt_id */
    q.param = 0x02 | 0x20;                  /* STATMOUNT_MNT_BASIC, STATMOUNT_FS_TYPE */
    CHECK(syscall(NR_STATMOUNT, &q, buf, sizeof(buf), 0) == 0);
    CHECK(((uint32_t *)buf)[9] + 512u < sizeof(buf)); /* fs_type, an offset of text */
    CHECK(strcmp((char *)buf + 512 + ((uint32_t *)buf)[9], "proc") == 0);
    CHECK(buf[5] == q.id); /* mnt_id */
    CHECK(syscall(NR_STATMOUNT, &q, buf, 512ul, 0) < 0 && errno == EOVERFLOW);
}

static void security_modules(void)
{
    uint64_t ids[32];
    uint32_t size = sizeof(ids), small = 0;
    if (lacks(syscall(NR_LSM_LIST_MODULES, ids, &size, 0), ENOSYS))
        return;
    CHECK(size >= sizeof(ids[0]) && size % sizeof(ids[0]) == 0);
    CHECK(syscall(NR_LSM_LIST_MODULES, ids, &small, 0) < 0 && errno == E2BIG);
    CHECK(small == size);
    CHECK(syscall(NR_LSM_LIST_MODULES, ids, &size, 1) < 0 && errno == EINVAL);
    CHECK(syscall(NR_LSM_LIST_MODULES, NULL, &size, 0) < 0 && errno == EFAULT);
}

/* ---- processes ---- */

#define GET_INFO  _IOC(_IOC_READ | _IOC_WRITE, 0xff, 11, 64) /* PIDFD_GET_INFO, first version */
#define INFO_EXIT 8u

struct info { /* struct pidfd_info */
    uint64_t mask, cgroup;
    uint32_t pid, tgid, ppid, ids[8];
    int32_t exit_code;
};

static void what_a_pidfd_tells(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        pause();
        _exit(0);
    }
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct info i = {.mask = 0};
    CHECK(fd >= 0);
    if (!lacks(ioctl(fd, GET_INFO, &i), ENOTTY)) {
        CHECK((i.mask & 3) == 3 && i.pid == (uint32_t)pid && i.ppid == (uint32_t)getpid());
        CHECK(i.ids[0] == getuid());
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    i.mask = INFO_EXIT;
    if (!lacks(ioctl(fd, GET_INFO, &i), ENOTTY) && (in_libos() || (i.mask & INFO_EXIT)))
        CHECK((i.mask & INFO_EXIT) && i.exit_code == SIGKILL);
    i.mask = 0;
    if (in_libos())
        CHECK(ioctl(fd, GET_INFO, &i) < 0 && errno == ESRCH);
    close(fd);
}

/* ---- a question of one's own mappings ---- */

struct map_query {
    uint64_t size, flags, addr, start, end, vma_flags, page_size, offset, inode;
    uint32_t major, minor, name_size, build_id_size;
    uint64_t name, build_id;
};
#define MAP_QUERY _IOWR('f', 17, struct map_query)

static pid_t g_asked;

/* Linux refuses open(2) already. */
static void mappings_of_another_user(void)
{
    char name[32];
    struct map_query q = {.size = sizeof(q), .flags = 0x10};
    snprintf(name, sizeof(name), "/proc/%d/maps", g_asked);
    CHECK(setuid(1000) == 0);
    int fd = open(name, O_RDONLY);
    CHECK((fd < 0 || ioctl(fd, MAP_QUERY, &q) < 0) && errno == EACCES && q.start == 0);
}

static void mappings_by_address(void)
{
    char name[256] = "", self[256] = "";
    int fd = open("/proc/self/maps", O_RDONLY);
    char *p = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct map_query q = {.size = sizeof(q), .addr = (uint64_t)p + 4097};
    munmap(p, 4096);
    munmap(p + 2 * 4096, 4096);
    if (lacks(ioctl(fd, MAP_QUERY, &q), ENOTTY)) {
        close(fd);
        return;
    }
    CHECK(q.start == (uint64_t)p + 4096 && q.end == (uint64_t)p + 2 * 4096 && q.vma_flags == 3 &&
          q.page_size == 4096 && q.inode == 0 && q.offset == 0);
    q.addr = (uint64_t)p;
    CHECK(ioctl(fd, MAP_QUERY, &q) < 0 && errno == ENOENT);
    q.flags = 0x10; /* or the next one */
    CHECK(ioctl(fd, MAP_QUERY, &q) == 0 && q.start == (uint64_t)p + 4096);
    q.flags = 4; /* an executable one */
    q.addr = (uint64_t)p + 4096;
    CHECK(ioctl(fd, MAP_QUERY, &q) < 0 && errno == ENOENT);
    q.flags = 4 | 0x20;
    q.addr = (uint64_t)(void *)mappings_by_address;
    q.name = (uint64_t)name;
    q.name_size = sizeof(name);
    CHECK(ioctl(fd, MAP_QUERY, &q) == 0 && q.inode != 0);
    CHECK(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0 && strcmp(name, self) == 0 &&
          q.name_size == strlen(self) + 1);
    q.name_size = 2;
    CHECK(ioctl(fd, MAP_QUERY, &q) < 0 && errno == ENAMETOOLONG);
    q.flags = 0x40;
    CHECK(ioctl(fd, MAP_QUERY, &q) < 0 && errno == EINVAL);
    q.flags = 0;
    q.size = 16;
    CHECK(ioctl(fd, MAP_QUERY, &q) < 0 && errno == EINVAL);
    q.size = 8192;
    CHECK(ioctl(fd, MAP_QUERY, &q) < 0 && errno == E2BIG);
    CHECK(ioctl(fd, MAP_QUERY, NULL) < 0 && errno == EFAULT);
    close(fd);
    g_asked = getpid();
    if (getuid() == 0)
        CHECK(in_child(mappings_of_another_user) == 0);
}

/* ---- accounting: of the whole system, so natively it is left alone ---- */

static void one_that_ends(void)
{
    prctl(PR_SET_NAME, "newer-acct");
    _exit(7);
}

static void records_of_processes(void)
{
    const char *name = "/tmp/newer-acct";
    struct acct_v3 a;
    bool found = false;
    if (!in_libos())
        return;
    int fd = open(name, O_CREAT | O_TRUNC | O_RDWR, 0600);
    CHECK(acct("/tmp") < 0 && errno == EISDIR);
    CHECK(acct("/dev/null") < 0 && errno == EACCES);
    CHECK(acct("/tmp/newer-none") < 0 && errno == ENOENT);
    CHECK(acct(name) == 0);
    in_child(one_that_ends);
    CHECK(acct(NULL) == 0);
    in_child(one_that_ends); /* of which nothing is written any more */
    while (read(fd, &a, sizeof(a)) == sizeof(a)) {
        CHECK(!found);
        found = strcmp(a.ac_comm, "newer-acct") == 0 && a.ac_version == 3 &&
                a.ac_exitcode == 7 << 8 && a.ac_ppid == (uint32_t)getpid() &&
                a.ac_uid == getuid() && (a.ac_flag & AFORK);
    }
    CHECK(found);
    unlink(name);
    close(fd);
}

static ino_t directory_of(pid_t pid)
{
    struct stat st = {0};
    char name[32];
    snprintf(name, sizeof(name), "/proc/%d", pid);
    CHECK(stat(name, &st) == 0);
    return st.st_ino;
}

/* ---- numbers of processes, as checkpoint tools choose them: natively another may take one ---- */

static void the_next_number(void)
{
    const char *name = "/proc/sys/kernel/ns_last_pid";
    int fd = open(name, O_RDWR);
    if (!in_libos())
        return;
    ino_t before = 0;
    pid_t pid;
    CHECK(fd >= 0 && write(fd, "4194304", 7) < 0 && errno == EINVAL);
    for (int i = 0; i < 2; i++) {
        CHECK(pwrite(fd, "70000", 5, 0) == 5);
        pid = fork();
        if (pid == 0)
            _exit(0);
        CHECK(pid == 70001 && (uint32_t)directory_of(pid) != (uint32_t)before);
        before = directory_of(pid);
        CHECK(waitpid(pid, NULL, 0) == pid);
    }
    char own[16];
    snprintf(own, sizeof(own), "%d", getpid() - 1); /* one that is in use is left out */
    CHECK(pwrite(fd, own, strlen(own), 0) == (ssize_t)strlen(own));
    pid = fork();
    if (pid == 0)
        _exit(0);
    CHECK(pid > getpid() && pid < 70001 && waitpid(pid, NULL, 0) == pid);
    close(fd);
}

int main(void)
{
    RUN(sealed_memory_stays);
    RUN(guard_pages);
    RUN(guard_of_child);
    RUN(memory_policies);
    RUN(one_of_several_words);
    RUN(modes_by_name);
    RUN(questions_of_descriptors);
    RUN(cached_pages);
    RUN(mounts_by_number);
    RUN(security_modules);
    RUN(what_a_pidfd_tells);
    RUN(mappings_by_address);
    RUN(records_of_processes);
    RUN(the_next_number);
    return finish();
}
