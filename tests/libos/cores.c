/* SPDX-License-Identifier: Apache-2.0 */
/* Core files: who leaves one, and what is in it. A machine that does not write "core" into the
 * working directory says nothing against them. */
#include "check.h"
#include <elf.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/procfs.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#define MARK 0x636f726566696c65ull

static int g_there;
static char *g_known, *g_secret;

static void limit(rlim_t soft)
{
    struct rlimit l = {soft, RLIM_INFINITY};
    CHECK(setrlimit(RLIMIT_CORE, &l) == 0);
}

static void *other(void *arg)
{
    (void)arg;
    for (;;)
        pause();
    return NULL;
}

static void die(void)
{
    pthread_t t;
    limit(RLIM_INFINITY);
    CHECK(pthread_create(&t, NULL, other, NULL) == 0);
    sleep_ms(50);
    /* A register that is found again. */
    __asm__ volatile("mov %0, %%r12\n\tmovl $1, (0)" : : "r"(MARK) : "r12", "memory");
}

static void die_small(void)
{
    limit(64 << 10);
    abort();
}

static void die_unlimited(void)
{
    limit(RLIM_INFINITY);
    abort();
}

static void die_limited(void)
{
    limit(0);
    abort();
}

static void die_undumpable(void)
{
    limit(RLIM_INFINITY);
    CHECK(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0);
    abort();
}

static void die_otherwise(void)
{
    limit(RLIM_INFINITY);
    raise(SIGTERM);
}

static const char *load_core(size_t *size)
{
    struct stat st;
    int fd = open("core", O_RDONLY);
    CHECK(fd >= 0 && fstat(fd, &st) == 0);
    if (fd < 0)
        return NULL;
    *size = (size_t)st.st_size;
    CHECK((st.st_mode & 07777) == 0600);
    const char *p = mmap(NULL, *size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    return p == MAP_FAILED ? NULL : p;
}

struct found {
    unsigned threads, sets;
    const struct elf_prstatus *first;
    const struct elf_prpsinfo *info;
    const siginfo_t *signal;
    const Elf64_auxv_t *auxv;
    const char *files;
    size_t files_size;
};

static void read_notes(const char *p, size_t size, struct found *f)
{
    size_t at = 0;
    while (at + sizeof(Elf64_Nhdr) <= size) {
        const Elf64_Nhdr *n = (const void *)(p + at);
        const void *data = p + at + sizeof(*n) + ((n->n_namesz + 3) & ~3u);
        switch (n->n_type) {
        case NT_PRSTATUS:
            if (f->threads++ == 0)
                f->first = data;
            break;
        case NT_PRPSINFO:
            f->info = data;
            break;
        case NT_SIGINFO:
            f->signal = data;
            break;
        case NT_AUXV:
            f->auxv = data;
            break;
        case NT_FPREGSET:
        case NT_X86_XSTATE:
            f->sets++;
            break;
        case NT_FILE:
            f->files = data;
            f->files_size = n->n_descsz;
            break;
        default:
            break;
        }
        at += sizeof(*n) + ((n->n_namesz + 3) & ~3u) + ((n->n_descsz + 3) & ~3u);
    }
    CHECK(at == size);
}

/* The file's bytes at this address; NULL: it has none. */
static const char *memory_at(const char *p, size_t size, const void *address)
{
    const Elf64_Ehdr *e = (const void *)p;
    const Elf64_Phdr *h = (const void *)(p + e->e_phoff);
    for (int i = 0; i < e->e_phnum; i++) {
        size_t off = (size_t)address - h[i].p_vaddr;
        if (h[i].p_type == PT_LOAD && (size_t)address >= h[i].p_vaddr && off < h[i].p_filesz) {
            CHECK(h[i].p_offset + off < size);
            return p + h[i].p_offset + off;
        }
    }
    return NULL;
}

static void holds_memory_and_registers(void)
{
    size_t size = 0;
    struct found f = {0};
    char self[256] = "";
    if (!g_there)
        return;
    CHECK(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
    memset(g_known, 'k', 8192);
    memset(g_secret, 's', 4096);
    int status = in_child(die);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV && WCOREDUMP(status));
    const char *p = load_core(&size);
    if (!p)
        return;
    const Elf64_Ehdr *e = (const void *)p;
    const Elf64_Phdr *h = (const void *)(p + e->e_phoff);
    CHECK(memcmp(p, ELFMAG, SELFMAG) == 0 && e->e_type == ET_CORE && e->e_machine == EM_X86_64);
    CHECK(h[0].p_type == PT_NOTE && h[0].p_offset + h[0].p_filesz <= size);
    read_notes(p + h[0].p_offset, h[0].p_filesz, &f);
    CHECK(f.threads == 2 && f.sets == 4);
    CHECK(f.first && f.first->pr_cursig == SIGSEGV && f.first->pr_ppid == getpid());
    CHECK(f.first && ((const unsigned long long *)f.first->pr_reg)[3] == MARK);
    CHECK(f.signal && f.signal->si_signo == SIGSEGV && f.signal->si_addr == NULL);
    CHECK(f.info && strncmp(f.info->pr_psargs, "", 1) != 0 && f.info->pr_pid == f.first->pr_pid);
    CHECK(f.auxv && f.auxv[0].a_type != AT_NULL);
    CHECK(f.files && memmem(f.files, f.files_size, self, strlen(self) + 1));
    const char *known = memory_at(p, size, g_known + 4096);
    CHECK(known && memcmp(known, g_known, 4096) == 0);
    CHECK(memory_at(p, size, g_secret) == NULL);
    CHECK(munmap((void *)(size_t)p, size) == 0 && unlink("core") == 0);
}

static void no_core(void (*death)(void), int sig)
{
    int status = in_child(death);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == sig && !WCOREDUMP(status));
}

static void leaves_core(void)
{
    struct stat st;
    int status = in_child(die_unlimited);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && WCOREDUMP(status));
    CHECK(lstat("core", &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1 && st.st_size > 4096);
    CHECK(unlink("core") == 0);
}

static void only_who_may(void)
{
    struct stat st;
    char text[8] = "";
    if (!g_there)
        return;
    no_core(die_limited, SIGABRT);
    no_core(die_undumpable, SIGABRT);
    no_core(die_otherwise, SIGTERM);
    CHECK(access("core", F_OK) < 0);
    /* What has its name goes, and nothing is written through it. */
    int fd = open("other", O_RDWR | O_CREAT, 0600);
    CHECK(fd >= 0 && write(fd, "kept", 4) == 4);
    CHECK(symlink("other", "core") == 0);
    leaves_core();
    CHECK(link("other", "core") == 0);
    leaves_core();
    CHECK(mkfifo("core", 0600) == 0);
    leaves_core();
    CHECK(pread(fd, text, sizeof(text), 0) == 4 && strcmp(text, "kept") == 0);
    CHECK(unlink("other") == 0 && close(fd) == 0);
    CHECK(mkdir("core", 0700) == 0);
    no_core(die_unlimited, SIGABRT);
    CHECK(rmdir("core") == 0);
    /* A limit cuts it. */
    int status = in_child(die_small);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    CHECK(stat("core", &st) == 0 && st.st_blocks * 512 <= 64 << 10 && st.st_size > 0);
    CHECK(unlink("core") == 0);
}

/* Of the whole machine, so natively it is left alone. */
static void named_by_the_pattern(void)
{
    struct utsname u;
    char name[64];
    const char *const bad = "|/bin/cat", *const good = "/tmp/cores-%p-%s%%\n";
    if (uname(&u) < 0 || !strstr(u.release, "libos"))
        return;
    int fd = open("/proc/sys/kernel/core_pattern", O_WRONLY);
    CHECK(write(fd, bad, strlen(bad)) < 0 && errno == EINVAL);
    CHECK(pwrite(fd, good, strlen(good), 0) == (ssize_t)strlen(good));
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        die_small();
    int status = 0;
    CHECK(waitpid(pid, &status, 0) == pid && WCOREDUMP(status));
    snprintf(name, sizeof(name), "/tmp/cores-%d-%d%%", pid, SIGABRT);
    CHECK(unlink(name) == 0);
    CHECK(pwrite(fd, "core", 4, 0) == 4);
    close(fd);
}

int main(void)
{
    char dir[] = "/tmp/cores-XXXXXX", pattern[64] = "";
    FILE *f = fopen("/proc/sys/kernel/core_pattern", "r");
    g_there = f && fgets(pattern, sizeof(pattern), f) && strcmp(pattern, "core\n") == 0;
    if (f)
        fclose(f);
    CHECK(mkdtemp(dir) && chdir(dir) == 0);
    g_known = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    g_secret = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(g_known != MAP_FAILED && g_secret != MAP_FAILED);
    CHECK(madvise(g_secret, 4096, MADV_DONTDUMP) == 0);
    RUN(holds_memory_and_registers);
    RUN(only_who_may);
    RUN(named_by_the_pattern);
    CHECK(chdir("/") == 0 && rmdir(dir) == 0);
    return finish();
}
