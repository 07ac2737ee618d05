/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mapped files: twice, grown and cut while mapped, from several processes; and what /proc and
 * getrusage() say of memory.
 */
#include "check.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>

#define PAGE ((size_t)4096)

static int file_of(const char *name, size_t size)
{
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0);
    CHECK(ftruncate(fd, (off_t)size) == 0);
    return fd;
}

static char *map(int fd, size_t size, int prot, off_t off)
{
    char *p = mmap(NULL, size, prot, MAP_SHARED, fd, off);
    CHECK(p != MAP_FAILED);
    return p;
}

/* Two mappings of the same pages: the first munmap() leaves the other one. */
static void mapped_twice(void)
{
    int fd = file_of("/tmp/mappings-twice", 4 * PAGE);
    char *all = map(fd, 4 * PAGE, PROT_READ, 0);
    char *part = map(fd, 2 * PAGE, PROT_READ | PROT_WRITE, PAGE);
    part[0] = 'a';
    CHECK(all[PAGE] == 'a');
    CHECK(munmap(all, 4 * PAGE) == 0);
    part[PAGE] = 'b';
    CHECK(part[0] == 'a');
    char *again = map(fd, 4 * PAGE, PROT_READ, 0);
    CHECK(again[PAGE] == 'a' && again[2 * PAGE] == 'b' && again[3 * PAGE] == 0);
    CHECK(munmap(part, 2 * PAGE) == 0);
    CHECK(again[2 * PAGE] == 'b');
    CHECK(munmap(again, 4 * PAGE) == 0);
    char byte;
    CHECK(pread(fd, &byte, 1, 2 * PAGE) == 1 && byte == 'b');
    close(fd);
    unlink("/tmp/mappings-twice");
}

static void write_from_child(const char *name, off_t off, char c)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open(name, O_RDWR);
        char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, off);
        if (p == MAP_FAILED)
            _exit(1);
        p[0] = c;
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

/*
 * As a write-ahead index grows: each new part is mapped for itself, by processes that know the old
 * ones or not.
 */
static void grown_while_mapped(void)
{
    const char *name = "/tmp/mappings-grown";
    int fd = file_of(name, PAGE);
    char *first = map(fd, PAGE, PROT_READ | PROT_WRITE, 0);
    first[0] = '1';
    CHECK(ftruncate(fd, 64 * (off_t)PAGE) == 0);
    char *second = map(fd, PAGE, PROT_READ | PROT_WRITE, 32 * (off_t)PAGE);
    second[0] = '2';
    write_from_child(name, 0, 'x');
    CHECK(first[0] == 'x');
    write_from_child(name, 32 * (off_t)PAGE, 'y');
    CHECK(second[0] == 'y');
    char *all = map(fd, 64 * PAGE, PROT_READ, 0);
    CHECK(all[0] == 'x' && all[32 * PAGE] == 'y');
    munmap(all, 64 * PAGE);
    munmap(first, PAGE);
    munmap(second, PAGE);
    close(fd);
    unlink(name);
}

static void remapped(void)
{
    int fd = file_of("/tmp/mappings-remap", 8 * PAGE);
    char *p = map(fd, 2 * PAGE, PROT_READ | PROT_WRITE, 0);
    p[0] = 'a';
    p = mremap(p, 2 * PAGE, 8 * PAGE, MREMAP_MAYMOVE);
    CHECK(p != MAP_FAILED);
    p[7 * PAGE] = 'z';
    CHECK(p[0] == 'a');
    CHECK(mremap(p, 8 * PAGE, PAGE, 0) == p);
    char byte;
    CHECK(pread(fd, &byte, 1, 7 * PAGE) == 1 && byte == 'z');
    munmap(p, PAGE);
    close(fd);
    unlink("/tmp/mappings-remap");
}

/* What is cut off is zeros when the file grows again, mapped or not. */
static void cut_while_mapped(void)
{
    int fd = file_of("/tmp/mappings-cut", 4 * PAGE);
    char *p = map(fd, 4 * PAGE, PROT_READ | PROT_WRITE, 0);
    memset(p, 7, 4 * PAGE);
    CHECK(ftruncate(fd, (off_t)PAGE + 5) == 0 && ftruncate(fd, 4 * (off_t)PAGE) == 0);
    CHECK(p[PAGE + 4] == 7 && p[PAGE + 5] == 0 && p[2 * PAGE] == 0 && p[4 * PAGE - 1] == 0);
    memset(p, 7, 4 * PAGE);
    CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)PAGE, (off_t)PAGE) == 0);
    CHECK(p[PAGE - 1] == 7 && p[PAGE] == 0 && p[2 * PAGE - 1] == 0 && p[2 * PAGE] == 7);
    munmap(p, 4 * PAGE);
    close(fd);
    unlink("/tmp/mappings-cut");
}

#define CUT 300 /* pages: more than fork copies */

/* Of a mapping that holds `value` the first `keep` pages are left, the rest is zeros. */
static int cut_wrong(const char *p, size_t keep, char value)
{
    int n = 0;
    for (size_t i = 0; i < CUT; i++)
        n += p[i * PAGE] != (i < keep ? value : 0) || p[i * PAGE + 4000] != p[i * PAGE];
    return n;
}

/* What a file loses, its private mappings lose, also pages that were written, in every process. */
static void write_again(int signo)
{
}

static void cut_while_mapped_private(void)
{
    int fd = file_of("/tmp/mappings-private", CUT * PAGE), status;
    off_t size = (off_t)(CUT * PAGE), cut = 100 * (off_t)PAGE + 5;
    char *p = mmap(NULL, CUT * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    char *clean = mmap(NULL, CUT * PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
    CHECK(p != MAP_FAILED && clean != MAP_FAILED && clean[CUT * PAGE - 1] == 0);
    memset(p, 7, CUT * PAGE);
    CHECK(mprotect(p + 200 * PAGE, PAGE, PROT_NONE) == 0);
    CHECK(ftruncate(fd, cut) == 0 && ftruncate(fd, size) == 0);
    CHECK(mprotect(p + 200 * PAGE, PAGE, PROT_READ | PROT_WRITE) == 0);
    CHECK(cut_wrong(p, 101, 7) == 0 && p[100 * PAGE + 5] == 7);
    CHECK(cut_wrong(clean, 0, 0) == 0);

    memset(p, 8, CUT * PAGE);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        for (size_t i = 0; i < CUT; i += 3) /* some its own, some the parent's as well */
            memset(p + i * PAGE, 8, PAGE);
        int bad = ftruncate(fd, cut) < 0 || ftruncate(fd, size) < 0;
        _exit(bad || cut_wrong(p, 101, 8) ? 1 : 0);
    }
    signal(SIGBUS, write_again); /* between the child's two cuts, as on Linux */
    for (size_t i = 1; i < CUT; i += 5)
        memset(p + i * PAGE, 8, PAGE);
    signal(SIGBUS, SIG_DFL);
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    /* A page that the parent wrote behind the cut after it is not lost. */
    CHECK(p[0] == 8 && p[100 * PAGE] == 8 && p[299 * PAGE] == 0 && p[200 * PAGE] == 0);
    CHECK(ftruncate(fd, 0) == 0);
    pid = fork();
    if (pid == 0)
        _exit(p[50 * PAGE]);
    CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
    munmap(p, CUT * PAGE);
    munmap(clean, CUT * PAGE);
    close(fd);
    unlink("/tmp/mappings-private");
}

/* A read-only mapping shows what write() does. */
static void written_while_mapped(void)
{
    int fd = file_of("/tmp/mappings-written", 2 * PAGE);
    char *p = map(fd, 2 * PAGE, PROT_READ, 0);
    CHECK(p[0] == 0 && p[PAGE] == 0);
    CHECK(pwrite(fd, "x", 1, 0) == 1 && p[0] == 'x');
    CHECK(pwrite(fd, "yz", 2, PAGE - 1) == 2 && p[PAGE - 1] == 'y' && p[PAGE] == 'z');
    CHECK(ftruncate(fd, 10) == 0 && ftruncate(fd, 2 * (off_t)PAGE) == 0);
    CHECK(p[0] == 'x' && p[PAGE - 1] == 0 && p[PAGE] == 0);
    munmap(p, 2 * PAGE);
    close(fd);
    unlink("/tmp/mappings-written");
}

#define TOGETHER 4

/* Several processes touch the same fresh pages at once. */
static void touched_together(void)
{
    int fd = file_of("/tmp/mappings-together", 256 * PAGE), status, go[2];
    char byte;
    CHECK(pipe(go) == 0);
    for (int i = 0; i < TOGETHER; i++)
        if (fork() == 0) {
            close(go[1]);
            char number[8];
            snprintf(number, sizeof(number), "%d", i);
            dup2(go[0], 0);
            dup2(fd, 3);
            execl("/proc/self/exe", "mappings", "together", number, NULL);
            _exit(9);
        }
    close(go[0]);
    sleep_ms(200);
    close(go[1]);
    for (int i = 0; i < TOGETHER; i++)
        CHECK(wait(&status) > 0 && status == 0);
    for (off_t i = 0; i < 256; i++)
        for (int k = 0; k < TOGETHER; k++)
            CHECK(pread(fd, &byte, 1, i * (off_t)PAGE + k) == 1 && byte == 'a' + k);
    close(fd);
    unlink("/tmp/mappings-together");
}

static int together(int number)
{
    char byte, *p = mmap(NULL, 256 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, 3, 0);
    if (p == MAP_FAILED || read(0, &byte, 1) != 0)
        return 1;
    for (size_t i = 0; i < 256; i++) {
        p[i * PAGE + (size_t)number] = (char)('a' + number);
        if (i % 16 == (size_t)number &&
            mprotect(p, i * PAGE + PAGE, i % 3 ? PROT_READ : PROT_READ | PROT_WRITE) < 0)
            return 2;
    }
    return 0;
}

static long status_kb(const char *what)
{
    char line[256];
    long kb = -1;
    FILE *f = fopen("/proc/self/status", "r");
    if (!f)
        return -1;
    while (fgets(line, sizeof(line), f))
        if (strncmp(line, what, strlen(what)) == 0)
            kb = strtol(line + strlen(what), NULL, 10);
    fclose(f);
    return kb;
}

static void use_memory(void)
{
    char *p = mmap(NULL, 16 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(p, 1, 16 << 20);
    CHECK(p[12345678] == 1);
}

static void usage(void)
{
    long before = status_kb("VmRSS:");
    CHECK(before > 0);
    char *p = mmap(NULL, 8 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(status_kb("VmSize:") - before >= 8 << 10);
    CHECK(status_kb("VmRSS:") - before < 4 << 10);
    memset(p, 1, 8 << 20);
    CHECK(status_kb("VmRSS:") - before >= 8 << 10);
    struct rusage self, children;
    CHECK(getrusage(RUSAGE_SELF, &self) == 0 && self.ru_maxrss >= 8 << 10);
    in_child(use_memory);
    CHECK(getrusage(RUSAGE_CHILDREN, &children) == 0 && children.ru_maxrss >= 16 << 10);
    munmap(p, 8 << 20);
}

/*
 * Pages with other permissions than their neighbours; two mappings each, so three programs have
 * more than one process may.
 */
#define PATCHES  12000
#define PROGRAMS 3

/* Every other page read-only, and the right ones hold what was written. */
static int patchwork(void)
{
    char *p = mmap(NULL, 2 * PATCHES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                   -1, 0);
    if (p == MAP_FAILED)
        return 1;
    for (size_t i = 0; i < 2 * PATCHES; i++)
        p[i * PAGE] = (char)i;
    for (size_t i = 0; i < 2 * PATCHES; i += 2)
        if (mprotect(p + i * PAGE, PAGE, PROT_READ) < 0)
            return 2;
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < 2 * PATCHES; i++)
            if (p[i * PAGE] != (char)i)
                return 3;
            else if (i % 2)
                p[i * PAGE] = (char)i;
    pid_t pid = fork();
    if (pid == 0)
        p[0] = 1;
    int status;
    return waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) ? 0 : 4;
}

/* Programs next to each other, each of which holds its mappings until all have them. */
static void many_mappings(void)
{
    int status, go[2], ready[2];
    char byte;
    CHECK(pipe(go) == 0 && pipe(ready) == 0);
    for (int i = 0; i < PROGRAMS; i++)
        if (fork() == 0) {
            dup2(go[0], 0);
            dup2(ready[1], 1);
            close(go[1]);
            execl("/proc/self/exe", "mappings", "patchwork", NULL);
            _exit(9);
        }
    close(go[0]);
    close(ready[1]);
    for (int i = 0; i < PROGRAMS; i++)
        CHECK(read(ready[0], &byte, 1) == 1);
    close(go[1]);
    for (int i = 0; i < PROGRAMS; i++)
        CHECK(wait(&status) > 0 && status == 0);
}

/* One after the other, each as large as a big malloc: addresses come back. */
static void addresses_come_back(void)
{
    const size_t sizes[] = {1ul << 20, 100ul << 20, (128ul << 20) + 4096, 200ul << 20, 4ul << 30};
    for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
        for (int i = 0; i < 700; i++) {
            char *p = mmap(NULL, sizes[k], PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
            CHECK(p != MAP_FAILED);
            if (p == MAP_FAILED)
                return;
            p[0] = p[sizes[k] - 1] = 1;
            CHECK(munmap(p, sizes[k]) == 0);
        }
    }
    /* Moved by mremap(), which leaves its old place. */
    size_t size = 100ul << 20;
    char *p = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < 700; i++) {
        size_t bigger = (i & 1 ? 100ul : 300ul) << 20;
        char *q = mmap(NULL, bigger, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(q != MAP_FAILED);
        p = mremap(p, size, bigger, MREMAP_MAYMOVE | MREMAP_FIXED, q);
        CHECK(p == q);
        size = bigger;
    }
    munmap(p, size);
}

static void below_2_gib(void)
{
    enum { COUNT = 1000, SIZE = 128 << 10 };
    static char *p[COUNT];
    for (int i = 0; i < COUNT; i++) {
        p[i] = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1,
                    0);
        CHECK(p[i] != MAP_FAILED && (unsigned long)p[i] + SIZE <= 2ul << 30);
    }
    CHECK(mmap(NULL, 2ul << 30, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0) ==
          MAP_FAILED);
    for (int i = 0; i < COUNT; i++)
        CHECK(munmap(p[i], SIZE) == 0);
}

/* The cost of a mapping does not grow with how many there are, and there is a limit. */
static void thousands(void)
{
    enum { COUNT = 70000 };
    static char *p[COUNT];
    int n = 0;
    alarm(60); /* natively a quarter of a second */
    for (; n < COUNT; n++) {
        p[n] = mmap(NULL, n % 3 ? 4096 : 65536, n & 1 ? PROT_READ : PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p[n] == MAP_FAILED)
            break;
    }
    CHECK(n > 60000 && n < COUNT && errno == ENOMEM); /* neighbours that are alike are one */
    for (int i = 0; i < n; i += 2)
        CHECK(munmap(p[i], i % 3 ? 4096 : 65536) == 0);
    for (int i = 0; i < n / 2; i += 2)
        CHECK((p[i] = mmap(NULL, i % 3 ? 4096 : 65536, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) != MAP_FAILED);
    for (int i = 0; i < n; i++)
        if (i & 1 || i < n / 2)
            CHECK(munmap(p[i], i % 3 ? 4096 : 65536) == 0);
    alarm(0);
}

/* Size of a line of /proc/meminfo in bytes, 0 when it is not there. */
static unsigned long long meminfo(const char *name)
{
    FILE *f = fopen("/proc/meminfo", "r");
    unsigned long long kib = 0;
    char line[128];
    while (f && !kib && fgets(line, sizeof(line), f))
        if (strncmp(line, name, strlen(name)) == 0)
            sscanf(line + strlen(name), ": %llu kB", &kib);
    if (f)
        fclose(f);
    return kib << 10;
}

/* sysinfo() and /proc/meminfo tell the same. */
static void totals(void)
{
    struct sysinfo info;
    CHECK(sysinfo(&info) == 0);
    CHECK(meminfo("MemTotal") == (unsigned long long)info.totalram * info.mem_unit);
    CHECK(meminfo("MemFree") > 0 && meminfo("MemFree") < meminfo("MemTotal"));
    CHECK(meminfo("Committed_AS") > 0);
}

static int has_line_with(const char *file, const char *part)
{
    char line[4096];
    FILE *f = fopen(file, "r");
    int found = 0;
    while (f && fgets(line, sizeof(line), f))
        found |= strstr(line, part) != NULL;
    if (f)
        fclose(f);
    return found;
}

/* Names are whoever made the file's, or the program's: none of them makes a line of its own. */
static void names_on_one_line(void)
{
    char dir[] = "/tmp/namesXXXXXX", path[64];
    CHECK(mkdtemp(dir) != NULL);
    snprintf(path, sizeof(path), "%s/a\nUid:\t0", dir);
    int fd = open(path, O_CREAT | O_RDWR, 0600);
    CHECK(fd >= 0 && ftruncate(fd, 4096) == 0);
    void *p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
    CHECK(p != MAP_FAILED);
    CHECK(has_line_with("/proc/self/maps", "/a\\012Uid:"));
    CHECK(prctl(PR_SET_NAME, "a\nUid:\\") == 0);
    CHECK(has_line_with("/proc/self/status", "Name:\ta\\nUid:\\\\\n"));
    munmap(p, 4096);
    close(fd);
    unlink(path);
    rmdir(dir);
}

/* A file of holes is larger than all addresses: a page of it can be mapped all the same, and
 * nothing else is where that goes. */
static void larger_than_addresses(void)
{
    static const off_t sizes[] = {(off_t)1 << 46, (off_t)1 << 62, INT64_MAX - 4095, INT64_MAX};
    int fd = memfd_create("holes", 0);
    CHECK(fd >= 0);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char byte = 0;
        CHECK(ftruncate(fd, sizes[i]) == 0);
        char *p = map(fd, PAGE, PROT_READ | PROT_WRITE, 0);
        CHECK(p[0] == 0);
        p[0] = 'h';
        CHECK(pread(fd, &byte, 1, 0) == 1 && byte == 'h');
        CHECK(munmap(p, PAGE) == 0);
        CHECK(pwrite(fd, "", 1, 0) == 1);
        CHECK(mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, fd, (off_t)(INT64_MAX & -PAGE)) ==
                  MAP_FAILED &&
              errno == EOVERFLOW);
    }
    close(fd);
}

/* A size that leads round the end of all addresses is no part of a mapping. */
static void remapped_round_the_end(void)
{
    char *p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    const size_t round = 0 - (size_t)p + PAGE;
    char *at = mmap(NULL, 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(at != MAP_FAILED);
    p[0] = 'r';
    CHECK(mremap(p, round, PAGE, 0) == MAP_FAILED);
    CHECK(mremap(p, round, 2 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED);
    CHECK(mremap(p, round, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at) == MAP_FAILED);
    CHECK(p[0] == 'r');
    munmap(p, 4 * PAGE);
    munmap(at, 2 * PAGE);
}

/* MAP_GROWSDOWN: touched below, it grows, but not near to another mapping, nor above its limit. */
static void grow_too_near(void)
{
    char *at = mmap(NULL, 600 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(at + 4096, 599 * 4096);
    char *top = mmap(at + 300 * 4096, 4096, PROT_READ | PROT_WRITE,
                     MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN, -1, 0);
    for (int i = 1; i < 20; i++)
        top[-i * 4096] = 1;  /* far enough */
    _exit(top[-100 * 4096]); /* too near */
}

static void grow_above_limit(void)
{
    struct rlimit few = {16 * 4096, 16 * 4096};
    char *at = mmap(NULL, 600 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(at, 600 * 4096);
    char *top = mmap(at + 599 * 4096, 4096, PROT_READ | PROT_WRITE,
                     MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN, -1, 0);
    setrlimit(RLIMIT_STACK, &few);
    top[-14 * 4096] = 1;
    _exit(top[-16 * 4096]);
}

static void grows_down(void)
{
    char *at = mmap(NULL, 600 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(at, 600 * 4096);
    char *top = mmap(at + 599 * 4096, 4096, PROT_READ | PROT_WRITE,
                     MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN, -1, 0);
    CHECK(top == at + 599 * 4096);
    for (int i = 0; i < 200; i++)
        top[-i * 4096 + 5] = (char)i;
    for (int i = 0; i < 200; i++)
        CHECK(top[-i * 4096 + 5] == (char)i);
    CHECK(mprotect(top, 4096, PROT_READ | PROT_GROWSDOWN) == 0);
    CHECK(read(open("/dev/zero", O_RDONLY), top - 50 * 4096, 1) == -1 && errno == EFAULT);
    CHECK(mprotect(at, 4096, PROT_READ | PROT_GROWSDOWN) == -1 && errno == ENOMEM);
    munmap(top - 200 * 4096, 201 * 4096);
    int near = in_child(grow_too_near), limit = in_child(grow_above_limit);
    CHECK(WIFSIGNALED(near) && WTERMSIG(near) == SIGSEGV);
    CHECK(WIFSIGNALED(limit) && WTERMSIG(limit) == SIGSEGV);
}

/* A shared mapping of /dev/zero has the rights of its descriptor. */
static void rights_of_zero(void)
{
    int fd = open("/dev/zero", O_RDONLY);
    char *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    CHECK(p != MAP_FAILED && mprotect(p, 4096, PROT_READ | PROT_WRITE) == -1 && errno == EACCES);
    CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED &&
          errno == EACCES);
    char *q = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
    CHECK(q != MAP_FAILED && mprotect(q, 4096, PROT_READ | PROT_WRITE) == 0);
    munmap(p, 4096);
    munmap(q, 4096);
    close(fd);
}

/* A file that is mapped shared is locked like other memory, and mincore() knows what is there. */
static void locked_and_there(void)
{
    unsigned char there[8];
    FILE *f = tmpfile();
    CHECK(ftruncate(fileno(f), 4096) == 0);
    char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_LOCKED, fileno(f), 0);
    CHECK(p != MAP_FAILED && msync(p, 4096, MS_INVALIDATE) == -1 && errno == EBUSY);
    CHECK(munlock(p, 4096) == 0 && msync(p, 4096, MS_INVALIDATE) == 0);
    munmap(p, 4096);
    fclose(f);
    p = mmap(NULL, 8 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    p[2 * 4096] = 1;
    CHECK(mincore(p, 8 * 4096, there) == 0 && (there[2] & 1) && !(there[0] & 1) && !(there[7] & 1));
    munmap(p, 8 * 4096);
}

/* Not by sbrk(), which musl has for sbrk(0) only. */
static bool grow_brk(unsigned long n)
{
    unsigned long now = (unsigned long)syscall(SYS_brk, 0);
    return (unsigned long)syscall(SYS_brk, now + n) == now + n;
}

/* Whoever may lock little: brk() and mremap() count, too. */
static void grow_locked(void)
{
    struct rlimit few = {128 * 4096, 128 * 4096};
    if (geteuid() == 0 && setresuid(65534, 65534, 65534) < 0)
        _exit(77);
    char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(setrlimit(RLIMIT_MEMLOCK, &few) == 0 && mlock(p, 4096) == 0);
    CHECK(mremap(p, 4096, 200 * 4096, MREMAP_MAYMOVE) == MAP_FAILED && errno == EAGAIN);
    CHECK(mlockall(MCL_FUTURE) == 0);
    CHECK(!grow_brk(256 * 4096));
    munlockall();
    CHECK(grow_brk(4096));
    struct rlimit none = {0, 0};
    CHECK(setrlimit(RLIMIT_DATA, &none) == 0 && !grow_brk(64 * 4096));
    _exit(g_failed);
}

static void limits_of_growth(void)
{
    int status = in_child(grow_locked);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(int argc, char **argv)
{
    char byte;
    if (argc > 2)
        return together(argv[2][0] - '0');
    if (argc > 1) {
        int r = patchwork();
        return write(1, "r", 1) == 1 && read(0, &byte, 1) == 0 ? r : 5;
    }
    RUN(mapped_twice);
    RUN(grown_while_mapped);
    RUN(remapped);
    RUN(cut_while_mapped);
    RUN(cut_while_mapped_private);
    RUN(written_while_mapped);
    RUN(touched_together);
    RUN(usage);
    RUN(many_mappings);
    RUN(addresses_come_back);
    RUN(below_2_gib);
    RUN(thousands);
    RUN(totals);
    RUN(names_on_one_line);
    RUN(larger_than_addresses);
    RUN(remapped_round_the_end);
    RUN(grows_down);
    RUN(rights_of_zero);
    RUN(locked_and_there);
    RUN(limits_of_growth);
    return finish();
}
