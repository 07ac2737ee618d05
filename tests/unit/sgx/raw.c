/* SPDX-License-Identifier: Apache-2.0 */
#include "raw.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <linux/futex.h>

#include "base/error.h"

#define STACK_SIZE   0x40000
#define SA_RESTORER_ 0x04000000ul
#define THREAD_FLAGS                                                                    \
    (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | \
     CLONE_CHILD_CLEARTID)

void raw_restorer(void);
long raw_clone(unsigned long flags, void *stack, int *tid, void (*run)(void *), void *argument);

__asm__(".text\n"
        ".globl raw\n.hidden raw\n"
        "raw:\n"
        "    mov %rdi, %rax\n"
        "    mov %rsi, %rdi\n"
        "    mov %rdx, %rsi\n"
        "    mov %rcx, %rdx\n"
        "    mov %r8, %r10\n"
        "    mov %r9, %r8\n"
        "    mov 8(%rsp), %r9\n"
        "    syscall\n"
        "    ret\n"
        ".globl raw_restorer\n.hidden raw_restorer\n"
        "    nop\n"
        "raw_restorer:\n"
        "    mov $15, %rax\n"
        "    syscall\n"
        ".globl raw_enter\n.hidden raw_enter\n"
        "raw_enter:\n"
        "    push %rbx\n"
        "    push %rbp\n"
        "    push %r12\n"
        "    push %r13\n"
        "    push %r14\n"
        "    push %r15\n"
        "    mov %rdi, %rbx\n"
        "    mov %rsi, %rdi\n"
        "    lea raw_aep(%rip), %rcx\n"
        "    mov $2, %eax\n"
        ".globl raw_eenter\n.hidden raw_eenter\n"
        "raw_eenter:\n"
        "    .byte 0x0f, 0x01, 0xd7\n"
        "    pop %r15\n"
        "    pop %r14\n"
        "    pop %r13\n"
        "    pop %r12\n"
        "    pop %rbp\n"
        "    pop %rbx\n"
        "    cld\n"
        "    ret\n"
        ".globl raw_aep\n.hidden raw_aep\n"
        "raw_aep:\n"
        "    .byte 0x0f, 0x01, 0xd7\n"
        "    ud2\n"
        ".globl raw_vdso\n.hidden raw_vdso\n" /* (enter, call, function, run) */
        "raw_vdso:\n"
        "    push %rbx\n"
        "    push %rbp\n"
        "    push %r12\n"
        "    push %r13\n"
        "    push %r14\n"
        "    push %r15\n"
        "    mov %rdi, %rax\n"
        "    mov %rsi, %rdi\n"
        "    mov %rcx, %r10\n"
        "    mov %edx, %ecx\n"
        "    sub $8, %rsp\n"
        "    push %r10\n"
        "    push %r10\n"
        "    call *%rax\n"
        "    add $24, %rsp\n"
        "    pop %r15\n"
        "    pop %r14\n"
        "    pop %r13\n"
        "    pop %r12\n"
        "    pop %rbp\n"
        "    pop %rbx\n"
        "    ret\n"
        ".globl raw_clone\n.hidden raw_clone\n" /* (flags, stack, tid, run, argument) */
        "raw_clone:\n"
        "    push %rbx\n"
        "    push %r12\n"
        "    mov %rcx, %rbx\n"
        "    mov %r8, %r12\n"
        "    mov %rdx, %r10\n"
        "    xor %edx, %edx\n"
        "    xor %r8d, %r8d\n"
        "    mov $56, %eax\n"
        "    syscall\n"
        "    test %rax, %rax\n"
        "    jz 1f\n"
        "    pop %r12\n"
        "    pop %rbx\n"
        "    ret\n"
        "1:  xor %ebp, %ebp\n"
        "    mov %r12, %rdi\n"
        "    call *%rbx\n"
        "    xor %edi, %edi\n"
        "    mov $60, %eax\n"
        "    syscall\n"
        "    ud2\n");

struct sgx_handle {
    int fd;
    uint64_t base, size;
};

int raw_device(struct sgx_handle *h)
{
    return h->fd;
}

static int failed(long rc, struct error *err, const char *what)
{
    return rc < 0 ? error_errno(err, (int)-rc, "%s", what) : 0;
}

static int raw_open(struct sgx_handle **out, struct error *err)
{
    struct sgx_handle *h = calloc(1, sizeof(*h));

    h->fd = (int)raw(SYS_openat, (long)AT_FDCWD, "/dev/sgx_enclave", (long)(O_RDWR | O_CLOEXEC));
    *out = h;
    return failed(h->fd, err, "open");
}

/* All of it from the device, before there is an enclave. */
static int raw_reserve(struct sgx_handle *h, uint64_t base, uint64_t size, bool any_base,
                       uint64_t *out, struct error *err)
{
    const long all = PROT_READ | PROT_WRITE | PROT_EXEC;
    long at = raw(SYS_mmap, 0L, 2 * size, (long)PROT_NONE,
                  (long)(MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE), -1L, 0L);

    if (at < 0)
        return failed(at, err, "reserve");
    raw(SYS_munmap, at, 2 * size);
    h->base = ((uint64_t)at + size - 1) & ~(size - 1);
    h->size = size;
    at = raw(SYS_mmap, h->base, size, all, (long)(MAP_SHARED | MAP_FIXED), (long)h->fd, 0L);
    *out = h->base;
    (void)base;
    (void)any_base;
    return failed(at, err, "mmap of the device");
}

static int raw_create(struct sgx_handle *h, const struct sgx_secs *secs, struct error *err)
{
    struct sgx_enclave_create arg = {.src = (uint64_t)secs};

    return failed(raw(SYS_ioctl, (long)h->fd, SGX_IOC_ENCLAVE_CREATE, &arg), err, "ECREATE");
}

static int raw_add(struct sgx_handle *h, const void *src, uint64_t offset, uint64_t length,
                   const struct sgx_secinfo *secinfo, bool measure, uint64_t *count,
                   struct error *err)
{
    struct sgx_enclave_add_pages arg = {.src = (uint64_t)src,
                                        .offset = offset,
                                        .length = length,
                                        .secinfo = (uint64_t)secinfo,
                                        .flags = measure ? SGX_PAGE_MEASURE : 0};

    (void)count;
    return failed(raw(SYS_ioctl, (long)h->fd, SGX_IOC_ENCLAVE_ADD_PAGES, &arg), err, "EADD");
}

static int raw_init(struct sgx_handle *h, const struct sgx_sigstruct *sigstruct, struct error *err)
{
    struct sgx_enclave_init arg = {.sigstruct = (uint64_t)sigstruct};

    return failed(raw(SYS_ioctl, (long)h->fd, SGX_IOC_ENCLAVE_INIT, &arg), err, "EINIT");
}

static int raw_map(struct sgx_handle *h, uint64_t addr, uint64_t length, int prot,
                   struct error *err)
{
    (void)h;
    if (prot == (PROT_READ | PROT_WRITE | PROT_EXEC))
        return 0;
    return failed(raw(SYS_mprotect, addr, length, (long)prot), err, "mprotect");
}

static void raw_close(struct sgx_handle *h)
{
    if (h->size)
        raw(SYS_munmap, h->base, h->size);
    raw(SYS_close, (long)h->fd);
    free(h);
}

const struct sgx_driver g_raw_driver = {
    .name = "simulatedSgx", /* for the loader's question what the machine can do */
    .sgx2 = true,
    .kss = true,
    .open = raw_open,
    .reserve = raw_reserve,
    .create = raw_create,
    .add_pages = raw_add,
    .init = raw_init,
    .map = raw_map,
    .close = raw_close,
};

uint64_t raw_call(const struct sgx_enclave *e, unsigned slot, enum test_command command, uint64_t a,
                  uint64_t b)
{
    struct test_call call = {command, a, b, 0, 0, 0};

    raw_enter(e->tcs[slot], &call);
    return call.result;
}

volatile int *raw_thread(void (*run)(void *), void *argument)
{
    uint8_t *stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                          0);
    int *tid = (int *)stack;

    *tid = 1;
    return raw_clone(THREAD_FLAGS, stack + STACK_SIZE - 64, tid, run, argument) < 0 ? NULL : tid;
}

void raw_wait(volatile int *thread)
{
    for (int now; (now = *thread) != 0;)
        raw(SYS_futex, thread, (long)FUTEX_WAIT, (long)now, 0L, 0L, 0L);
    munmap((void *)thread, STACK_SIZE);
}

long raw_sigaction(int signo, raw_handler *handler, unsigned long flags)
{
    const struct {
        raw_handler *handler;
        unsigned long flags;
        void (*restorer)(void);
        uint64_t mask;
    } act = {handler, flags | SA_SIGINFO | SA_RESTORER_, raw_restorer, 0};

    return raw(SYS_rt_sigaction, (long)signo, &act, 0L, 8L);
}
