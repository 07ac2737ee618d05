/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libsgx-emulate.so, which ld.so loads into the program (LD_PRELOAD) and runs before all other
 * code of it. It maps the core, `sgx-emulate-core` beside this library, a static program with a
 * libc of its own, and lets it set itself up on a thread that ends before the program goes on.
 * Nothing here may use a libc, for the program's is not ready.
 */
#include <elf.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "sgx/emulate/handover.h"

#define PAGE       4096ull
#define STACK_SIZE 0x40000ull
#define AUXV_MAX   40
#define ENV_MAX    4096
#define PHDR_MAX   16
#define LIBRARY    "libsgx-emulate.so"
#define CORE       "sgx-emulate-core"
#define PATH_LIMIT 4096
#define PRELOAD    "LD_PRELOAD="

static struct host_handover g_handover;
static char g_library[PATH_LIMIT], g_core[PATH_LIMIT];

static long call6(long n, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long rc;

    __asm__ volatile("syscall"
                     : "=a"(rc)
                     : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return rc;
}

#define call(n, a, b, c) call6(n, (long)(a), (long)(b), (long)(c), 0, 0, 0)

static size_t length_of(const char *text)
{
    size_t n = 0;

    while (text[n])
        n++;
    return n;
}

static _Noreturn void die(const char *what)
{
    static const char head[] = "sgx-emulate: ";

    call(SYS_write, 2, head, sizeof(head) - 1);
    call(SYS_write, 2, what, length_of(what));
    call(SYS_write, 2, "\n", 1);
    for (;;)
        call(SYS_exit_group, 126, 0, 0);
}

static int starts_with(const char *text, const char *head)
{
    while (*head)
        if (*text++ != *head++)
            return 0;
    return 1;
}

/* Our own path is the entry of LD_PRELOAD that ends in our name; the core is beside it. */
static int find_paths(char **envp)
{
    const char *list = NULL;
    const size_t name = sizeof(LIBRARY) - 1;

    for (; *envp; envp++)
        if (starts_with(*envp, PRELOAD))
            list = *envp + sizeof(PRELOAD) - 1;
    while (list && *list) {
        size_t n = 0;
        while (list[n] && list[n] != ':' && list[n] != ' ')
            n++;
        if (n >= name && n + sizeof(CORE) < PATH_LIMIT && starts_with(list + n - name, LIBRARY)) {
            for (size_t i = 0; i < n; i++)
                g_library[i] = g_core[i] = list[i];
            for (size_t i = 0; i < sizeof(CORE); i++)
                g_core[n - name + i] = CORE[i];
            return 1;
        }
        list += list[n] ? n + 1 : n;
    }
    return 0;
}

struct image {
    Elf64_Ehdr ehdr;
    Elf64_Phdr phdr[PHDR_MAX];
    uint64_t bias;
};

static void zero(uint64_t from, uint64_t to)
{
    while (from < to)
        *(volatile uint8_t *)from++ = 0;
}

static void map_segment(const struct image *m, const Elf64_Phdr *p, int fd)
{
    const uint64_t start = (m->bias + p->p_vaddr) & ~(PAGE - 1);
    const uint64_t skew = p->p_vaddr & (PAGE - 1);
    const uint64_t file_end = m->bias + p->p_vaddr + p->p_filesz;
    const uint64_t file_pages = (file_end + PAGE - 1) & ~(PAGE - 1);
    const uint64_t end = (m->bias + p->p_vaddr + p->p_memsz + PAGE - 1) & ~(PAGE - 1);
    const int prot = (p->p_flags & PF_R ? PROT_READ : 0) | (p->p_flags & PF_W ? PROT_WRITE : 0) |
                     (p->p_flags & PF_X ? PROT_EXEC : 0);

    if (p->p_filesz && call6(SYS_mmap, (long)start, (long)(p->p_filesz + skew), prot,
                             MAP_PRIVATE | MAP_FIXED, fd, (long)(p->p_offset - skew)) < 0)
        die("the core cannot be mapped");
    if (p->p_memsz <= p->p_filesz)
        return;
    if (p->p_filesz)
        zero(file_end, file_pages);
    const uint64_t rest = p->p_filesz ? file_pages : start;
    if (end > rest && call6(SYS_mmap, (long)rest, (long)(end - rest), prot,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) < 0)
        die("no memory for the core");
}

/* The core, with room for the gates behind it: one range, where system calls are the kernel's. */
static void map_core(struct image *m)
{
    const long fd = call(SYS_open, g_core, O_RDONLY | O_CLOEXEC, 0);
    uint64_t size = 0;

    if (fd < 0)
        die("sgx-emulate-core is not beside libsgx-emulate.so");
    if (call6(SYS_pread64, fd, (long)&m->ehdr, sizeof(m->ehdr), 0, 0, 0) != sizeof(m->ehdr) ||
        m->ehdr.e_phnum > PHDR_MAX ||
        call6(SYS_pread64, fd, (long)m->phdr, (long)(m->ehdr.e_phnum * sizeof(m->phdr[0])),
              (long)m->ehdr.e_phoff, 0, 0) != (long)(m->ehdr.e_phnum * sizeof(m->phdr[0])))
        die("sgx-emulate-core is not what it should be");
    for (unsigned i = 0; i < m->ehdr.e_phnum; i++)
        if (m->phdr[i].p_type == PT_LOAD)
            size = (m->phdr[i].p_vaddr + m->phdr[i].p_memsz + PAGE - 1) & ~(PAGE - 1);
    const long at = call6(SYS_mmap, 0, (long)(size + HOST_GATES_SIZE), PROT_NONE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at < 0)
        die("no room for the core");
    m->bias = (uint64_t)at;
    for (unsigned i = 0; i < m->ehdr.e_phnum; i++)
        if (m->phdr[i].p_type == PT_LOAD)
            map_segment(m, &m->phdr[i], (int)fd);
    call(SYS_close, fd, 0, 0);
    g_handover.region = (uint64_t)at;
    g_handover.region_size = size + HOST_GATES_SIZE;
    g_handover.gates = (uint64_t)at + size;
}

/* What a kernel puts on the stack of a new program; of the auxv, what a static one looks at. */
static uint64_t *make_stack(const struct image *m, char **envp, uint64_t *top)
{
    static uint64_t words[8 + ENV_MAX + 2 * AUXV_MAX];
    size_t n = 0, envc = 0;

    words[n++] = 1;
    words[n++] = (uint64_t)g_core;
    words[n++] = 0;
    for (; envc < ENV_MAX && envp[envc]; envc++)
        words[n++] = (uint64_t)envp[envc];
    words[n++] = 0;
    const uint64_t *a = g_handover.auxv;
    for (size_t i = 0; a[0] != AT_NULL && i < AUXV_MAX - 2; a += 2, i++) {
        uint64_t value = a[1];
        if (a[0] == AT_PHDR)
            value = m->bias + m->ehdr.e_phoff;
        else if (a[0] == AT_PHNUM)
            value = m->ehdr.e_phnum;
        else if (a[0] == AT_ENTRY)
            value = m->bias + m->ehdr.e_entry;
        else if (a[0] == AT_BASE)
            value = 0;
        words[n++] = a[0];
        words[n++] = value;
    }
    words[n++] = AT_HANDOVER;
    words[n++] = (uint64_t)&g_handover;
    words[n++] = AT_NULL;
    words[n++] = 0;
    uint64_t *sp = (uint64_t *)(((uint64_t)top - n * sizeof(*words)) & ~15ull);
    for (size_t i = 0; i < n; i++)
        sp[i] = words[i];
    return sp;
}

/* A thread that begins at the core's entry; returns its TID. */
static long start_core(uint64_t entry, uint64_t *sp)
{
    const long flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
                       CLONE_SYSVSEM;
    register long r10 __asm__("r10") = 0;
    register long r8 __asm__("r8") = 0;
    register uint64_t target __asm__("r12") = entry;
    long rc;

    __asm__ volatile("syscall\n\t"
                     "test %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "xor %%edx, %%edx\n\t"
                     "xor %%ebp, %%ebp\n\t"
                     "jmp *%%r12\n"
                     "1:"
                     : "=a"(rc)
                     : "a"((long)SYS_clone), "D"(flags), "S"(sp), "d"(0L), "r"(r10), "r"(r8),
                       "r"(target)
                     : "rcx", "r11", "memory");
    return rc;
}

/* The stack stays, for the core's environment and auxv are on it. */
static void run_core(const struct image *m, char **envp)
{
    const long stack = call6(SYS_mmap, 0, STACK_SIZE, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stack < 0)
        die("no memory for a stack");
    uint64_t *sp = make_stack(m, envp, (uint64_t *)(stack + (long)STACK_SIZE));
    const long pid = call(SYS_getpid, 0, 0, 0);
    const long tid = start_core(m->bias + m->ehdr.e_entry, sp);

    if (tid < 0)
        die("a thread cannot be made, which the set-up needs for a moment (pids limit?)");
    while (__atomic_load_n(&g_handover.done, __ATOMIC_ACQUIRE) == 0)
        call6(SYS_futex, (long)&g_handover.done, FUTEX_WAIT, 0, 0, 0, 0);
    /* The program must be alone: unshare(2) and setns(2) count threads. */
    while (call(SYS_tgkill, pid, tid, 0) == 0)
        call(SYS_sched_yield, 0, 0, 0);
}

__attribute__((constructor)) static void start(int argc, char **argv, char **envp)
{
    static struct image m;
    const uint64_t all = ~0ull;
    char **end = envp;

    (void)argc;
    (void)argv;
    if (!find_paths(envp))
        return; /* loaded by another way than LD_PRELOAD: not for us */
    while (*end)
        end++;
    g_handover.auxv = (uint64_t *)(end + 1);
    g_handover.preload = g_library;
    call6(SYS_rt_sigprocmask, SIG_BLOCK, (long)&all, (long)&g_handover.mask, sizeof(all), 0, 0);
    map_core(&m);
    run_core(&m, envp);
    if (g_handover.error[0])
        die(g_handover.error);
    if (g_handover.attach() < 0)
        die("the kernel (older than 5.11?) or a seccomp filter refuses Syscall User Dispatch, "
            "prctl(PR_SET_SYSCALL_USER_DISPATCH)");
}
