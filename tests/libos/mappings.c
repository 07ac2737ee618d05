/* SPDX-License-Identifier: Apache-2.0 */
/* MAP_SHARED of files: mapped twice, grown while mapped, from several processes; and what /proc and getrusage() say of memory. */
#include "check.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

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

/* As a write-ahead index grows: each new part is mapped for itself, by processes that know the old ones or not. */
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

int main(void)
{
    RUN(mapped_twice);
    RUN(grown_while_mapped);
    RUN(remapped);
    RUN(usage);
    return finish();
}
