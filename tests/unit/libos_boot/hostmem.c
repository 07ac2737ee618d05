/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The copies between the enclave and the host: every access to the host's side is watched (its page
 * faults, the instruction is single-stepped, the page closes again) and must be of one aligned
 * 8-byte word, each word once; the bytes must be right for every size and skew, to the end of the
 * mapping.
 */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#define PAGE      4096u
#define SIZES     90u
#define TRAP_FLAG 0x100

struct host_memory;
size_t hostmem_read(void *dst, const struct host_memory *src, size_t n);
size_t hostmem_write(struct host_memory *dst, const void *src, size_t n);
void panic(const char *fmt, ...);

static unsigned char *g_watched, *g_open; /* two mappings of the same pages */
static unsigned char g_seen[2 * PAGE / 8];
static unsigned g_accesses, g_unaligned, g_bad;

void panic(const char *fmt, ...)
{
    printf("panic: %s\n", fmt);
    abort();
}

static void on_fault(int signo, siginfo_t *info, void *context)
{
    unsigned char *at = info->si_addr;

    if (at < g_watched || at >= g_watched + 2 * PAGE)
        abort();
    g_accesses++;
    g_unaligned += (uintptr_t)at % 8 != 0;
    g_seen[(size_t)(at - g_watched) / 8]++;
    mprotect(g_watched, 2 * PAGE, PROT_READ | PROT_WRITE);
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
}

static void on_step(int signo, siginfo_t *info, void *context)
{
    mprotect(g_watched, 2 * PAGE, PROT_NONE);
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
}

static void check(const char *what, size_t offset, size_t n, int right)
{
    const size_t first = offset / 8, last = n > 0 ? (offset + n - 1) / 8 : first;
    int once = 1;

    for (size_t i = 0; i < sizeof(g_seen); i++)
        once &= g_seen[i] == (n > 0 && i >= first && i <= last);
    if (!right || !once || g_unaligned > 0) {
        printf("%s %zu bytes at %zu: %s%s%s (%u accesses, %u unaligned)\n", what, n, offset,
               right ? "" : "wrong bytes ", once ? "" : "not each word once ",
               g_unaligned ? "unaligned" : "", g_accesses, g_unaligned);
        g_bad++;
    }
    g_accesses = g_unaligned = 0;
    memset(g_seen, 0, sizeof(g_seen));
}

static void reads(size_t offset, size_t n)
{
    unsigned char got[SIZES + 16];

    memset(got, 0xee, sizeof(got));
    const size_t left = hostmem_read(got + 8, (struct host_memory *)(g_watched + offset), n);
    int right = left == 0 && memcmp(got + 8, g_open + offset, n) == 0;
    for (size_t i = 0; i < sizeof(got); i++)
        right &= (i >= 8 && i < 8 + n) || got[i] == 0xee;
    check("read", offset, n, right);
}

static void writes(size_t offset, size_t n)
{
    unsigned char from[SIZES];

    for (size_t i = 0; i < n; i++)
        from[i] = (unsigned char)(i + 1);
    memset(g_open, 0xee, 2 * PAGE);
    const size_t left = hostmem_write((struct host_memory *)(g_watched + offset), from, n);
    int right = left == 0 && memcmp(g_open + offset, from, n) == 0;
    for (size_t i = offset + n; i % 8 != 0; i++)
        right &= g_open[i] == 0; /* what fills the last word says nothing */
    right &= (offset + n + 7) / 8 * 8 == 2 * PAGE || g_open[(offset + n + 7) / 8 * 8] == 0xee;
    check("write", offset, n, right);
}

int main(void)
{
    const int fd = memfd_create("host", 0);
    struct sigaction fault = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    struct sigaction step = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO};

    if (fd < 0 || ftruncate(fd, 2 * PAGE) < 0)
        return 2;
    g_open = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    g_watched = mmap(NULL, 2 * PAGE, PROT_NONE, MAP_SHARED, fd, 0);
    if (g_open == MAP_FAILED || g_watched == MAP_FAILED)
        return 2;
    sigaction(SIGSEGV, &fault, NULL);
    sigaction(SIGTRAP, &step, NULL);
    for (size_t i = 0; i < 2 * PAGE; i++)
        g_open[i] = (unsigned char)(i * 7 + i / 256);
    for (size_t n = 0; n < SIZES; n++) {
        for (size_t skew = 0; skew < 8; skew++) {
            reads(16 + skew, n);
            reads(PAGE - 8 + skew, n);
        }
        reads(2 * PAGE - n, n);
    }
    for (size_t n = 0; n < SIZES; n++) {
        writes(16, n);
        writes(PAGE - 8, n);
        writes(2 * PAGE - (n + 7) / 8 * 8, n);
    }
    return g_bad != 0;
}
