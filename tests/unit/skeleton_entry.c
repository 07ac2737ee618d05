/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The skeleton's enclave as a hostile host loads and enters it: at any base, with calls that lie in
 * it, at CSSA 1.
 *   skeleton-entry ENCLAVE SIGSTRUCT
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../abi/enclave_file.h"
#include "../../runtimes/skeleton/call.h"
#include "base/error.h"
#include "sgx/loader.h"
#include "sgx/sigstruct.h"

static unsigned g_count, g_bad;
static const struct sgx_driver *g_driver;
static struct sgx_sigstruct g_sigstruct;
static int g_file;

__attribute__((format(printf, 2, 3))) static bool expect(bool good, const char *format, ...)
{
    va_list ap;

    printf("%s %u - ", good ? "ok" : "not ok", ++g_count);
    va_start(ap, format);
    vprintf(format, ap);
    va_end(ap);
    printf("\n");
    g_bad += !good;
    return good;
}

/* The header is not measured: the host writes the base that it wants. */
static struct sgx_enclave *load_at(uint64_t base)
{
    const struct sgx_load_options options = {0};
    struct error err = ERROR_INIT;
    struct sgx_enclave *e = NULL;
    const uint32_t flags = 0;

    if (pwrite(g_file, &base, 8, offsetof(struct enclave_file_header, base)) != 8 ||
        pwrite(g_file, &flags, 4, offsetof(struct enclave_file_header, flags)) != 4)
        abort();
    if (!expect(sgx_enclave_load(g_driver, g_file, &g_sigstruct, &options, &e, &err) == 0 &&
                    e->base == base,
                "EINIT takes it at %#lx", (unsigned long)base)) {
        fprintf(stderr, "%s\n", error_text(&err));
        exit(1);
    }
    return e;
}

static int enter(struct sgx_enclave *e, const void *call, unsigned function)
{
    struct sgx_enclave_run run = {.tcs = e->tcs[0]};

    if (e->driver->enter((unsigned long)call, 0, 0, function, 0, 0, &run) != 0)
        return -1;
    return (int)run.function;
}

static void start(struct skeleton_call *call, const char *argument)
{
    memset(call, 0, sizeof(*call));
    call->command = SKELETON_START;
    call->count = 1;
    call->in_size = (uint32_t)strlen(argument) + 1;
    memcpy(call->in, argument, call->in_size);
}

/* A piece of the host's memory where an enclave at that base would be. */
static uint8_t *decoy(uint64_t base)
{
    uint8_t *p = mmap((void *)base, SKELETON_SIZE, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

    if (p == MAP_FAILED)
        abort();
    return memset(p, 0x5a, SKELETON_SIZE);
}

static bool untouched(const uint8_t *p)
{
    for (size_t i = 0; i < SKELETON_SIZE; i++)
        if (p[i] != 0x5a)
            return false;
    return true;
}

static void at_bases(struct skeleton_call *call)
{
    static const uint64_t bases[] = {0x100000000ull, 0x3000000000ull, 0x7f00000ull};

    for (size_t i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
        const uint64_t elsewhere = bases[(i + 1) % (sizeof(bases) / sizeof(bases[0]))];
        uint8_t *other = decoy(elsewhere);
        struct sgx_enclave *e = load_at(bases[i]);
        start(call, "hello");
        expect(enter(e, call, SGX_EENTER) == SGX_EEXIT &&
                   memcmp(call->out, "hello, world", strlen("hello, world")) == 0,
               "it works there");
        expect(untouched(other), "and touches nothing at %#lx", (unsigned long)elsewhere);
        sgx_enclave_free(e);
        munmap(other, SKELETON_SIZE);
    }
}

static void calls_that_lie(struct skeleton_call *call)
{
    struct sgx_enclave *e = load_at(0x100000000ull);
    const uint64_t inside[] = {e->base,
                               e->base + 0x2000,
                               e->tcs[0],
                               e->base - 8,
                               e->base - sizeof(*call) + 1,
                               e->base + SKELETON_SIZE - 1,
                               UINT64_MAX - 16};

    for (size_t i = 0; i < sizeof(inside) / sizeof(inside[0]); i++)
        expect(enter(e, (void *)inside[i], SGX_EENTER) == SGX_EEXIT,
               "a call at %#lx, in the enclave or half in it, is left alone",
               (unsigned long)inside[i]);
    start(call, "hello");
    call->in_size = SKELETON_DATA_MAX + 1;
    enter(e, call, SGX_EENTER);
    expect(call->out_size == 0, "more bytes than there is room for are refused");
    start(call, "exit");
    call->count = UINT32_MAX;
    enter(e, call, SGX_EENTER);
    expect(call->state == SKELETON_DONE && call->exit_code == 0, "a count that is no count");

    /* An exception inside, and an entry at CSSA 1: out at once. The interrupted call goes on. */
    void *away = mmap(NULL, sizeof(*call) + 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    expect(enter(e, away, SGX_EENTER) == SGX_ERESUME, "host memory that is away is an exception");
    start(call, "hello");
    expect(enter(e, call, SGX_EENTER) == SGX_EEXIT && call->out_size == 0,
           "an entry on top of it leaves at once");
    mprotect(away, sizeof(*call) + 4096, PROT_READ | PROT_WRITE);
    expect(enter(e, NULL, SGX_ERESUME) == SGX_EEXIT, "and the interrupted call ends");
    expect(enter(e, call, SGX_EENTER) == SGX_EEXIT && call->out_size > 0,
           "after which it is entered as ever");
    munmap(away, sizeof(*call) + 4096);
    sgx_enclave_free(e);
}

static void copy_file(const char *path)
{
    char page[4096];
    int from = open(path, O_RDONLY | O_CLOEXEC);

    g_file = memfd_create("enclave", MFD_CLOEXEC);
    for (ssize_t n; (n = read(from, page, sizeof(page))) > 0;)
        if (write(g_file, page, (size_t)n) != n)
            abort();
    close(from);
}

int main(int argc, char **argv)
{
    char root[] = "/tmp/skeleton-entry.XXXXXX", key[64];
    struct error err = ERROR_INIT;
    static struct skeleton_call call;

    if (argc != 3 || !mkdtemp(root))
        return 2;
    setenv("RUNE_SGX_EMULATOR_ROOT", root, 1);
    copy_file(argv[1]);
    int fd = open(argv[2], O_RDONLY | O_CLOEXEC);
    g_driver = sgx_driver_open("simulatedSgx", &err);
    if (fd < 0 || sgx_sigstruct_read(fd, &g_sigstruct, &err) < 0 || !g_driver) {
        fprintf(stderr, "%s\n", error_text(&err));
        return 2;
    }
    at_bases(&call);
    calls_that_lie(&call);
    printf("1..%u\n", g_count);
    snprintf(key, sizeof(key), "%s/root-key", root);
    unlink(key);
    rmdir(root);
    return g_bad != 0;
}
