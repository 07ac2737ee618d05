/* SPDX-License-Identifier: Apache-2.0 */
/* The libc side of the libos/fs tests: no LibOS header here, for names clash. */
#include "test_host.h"

#include <asm/prctl.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

void test_set_gs(void *p)
{
    syscall(SYS_arch_prctl, ARCH_SET_GS, p);
}

unsigned long test_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return (unsigned long)ts.tv_sec * 1000000000ul + (unsigned long)ts.tv_nsec;
}

void test_die(const char *what)
{
    fprintf(stderr, "%s\n", what);
    abort();
}

void *test_pages(unsigned long count)
{
    return aligned_alloc(4096, count * 4096);
}

static void (*g_stack_fn)(void *);
static void *g_stack_arg;

static void on_stack(void)
{
    g_stack_fn(g_stack_arg);
}

void test_on_stack(unsigned long size, void (*fn)(void *), void *arg)
{
    static ucontext_t here, there;
    char *stack = mmap(NULL, size + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                       0);

    if (stack == MAP_FAILED || mprotect(stack, 4096, PROT_NONE) < 0 || getcontext(&there) < 0)
        test_die("no stack");
    g_stack_fn = fn;
    g_stack_arg = arg;
    there.uc_stack.ss_sp = stack + 4096;
    there.uc_stack.ss_size = size;
    there.uc_link = &here;
    makecontext(&there, on_stack, 0);
    swapcontext(&here, &there);
    munmap(stack, size + 4096);
}

static int run(const char *const argv[])
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

        dup2(null, 1);
        dup2(null, 2);
        execvp(argv[0], (char *const *)argv);
        _exit(127);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status)
                                                                           : -1;
}

int test_make_image(const struct test_file *files, unsigned count, unsigned char **image,
                    unsigned long *size)
{
    char dir[] = "/tmp/libos-fsXXXXXX", path[200], tree[64], out[64];
    int r = -1;
    FILE *f;

    if (!mkdtemp(dir))
        return -1;
    snprintf(tree, sizeof(tree), "%s/tree", dir);
    snprintf(out, sizeof(out), "%s/image", dir);
    run((const char *[]){"mkdir", tree, NULL});
    for (unsigned k = 0; k < count; k++) {
        snprintf(path, sizeof(path), "%s/%s", tree, files[k].name);
        f = files[k].data ? fopen(path, "w") : NULL;
        if (f) {
            fwrite(files[k].data, 1, files[k].size, f);
            fclose(f);
        } else if (files[k].link) {
            if (symlink(files[k].link, path) < 0)
                test_die("symlink");
        } else {
            run((const char *[]){"mkdir", path, NULL});
        }
    }
    r = run((const char *[]){"mkfs.erofs", "-T0", out, tree, NULL});
    f = r == 0 ? fopen(out, "r") : NULL;
    if (f) {
        fseek(f, 0, SEEK_END);
        *size = (unsigned long)ftell(f);
        rewind(f);
        *image = malloc(*size);
        if (fread(*image, 1, *size, f) != *size)
            r = -1;
        fclose(f);
    }
    run((const char *[]){"rm", "-rf", dir, NULL});
    return r;
}
