/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LD_PRELOAD library that stands in for /dev/sgx_enclave and for the vDSO, and hands both to the
 * emulated driver. One enclave at a time and one thread, which is all that the kernel's selftests
 * need.
 */
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "sgx/driver.h"
#include "sgx/emulator/emulator.h"

#define EXPORT __attribute__((visibility("default")))
#define DEVICE "/dev/sgx_enclave"

static struct {
    const struct sgx_driver *driver;
    struct sgx_handle *handle;
    int fd;
    uint64_t base, size;
} g = {.fd = -1};

static int fail(int rc, struct error *err)
{
    if (rc >= 0)
        return 0;
    if (getenv("SGX_INTERPOSE_VERBOSE"))
        fprintf(stderr, "# %s\n", error_text(err));
    error_release(err);
    errno = -rc;
    return -1;
}

static bool in_elrange(const void *addr, size_t length)
{
    uint64_t at = (uint64_t)addr;

    return g.size && at >= g.base && at - g.base < g.size && length <= g.size - (at - g.base);
}

static void *raw_mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
    return (void *)syscall(SYS_mmap, addr, length, prot, flags, fd, offset);
}

/* What the emulator in this library calls (linker option --wrap): the real thing. */
int __wrap_mprotect(void *addr, size_t length, int prot);
int __wrap_mprotect(void *addr, size_t length, int prot)
{
    return (int)syscall(SYS_mprotect, addr, length, prot);
}

int __wrap_munmap(void *addr, size_t length);
int __wrap_munmap(void *addr, size_t length)
{
    return (int)syscall(SYS_munmap, addr, length);
}

int __wrap_sigaction(int signo, const struct sigaction *act, struct sigaction *old);
int __wrap_sigaction(int signo, const struct sigaction *act, struct sigaction *old)
{
    static int (*real)(int, const struct sigaction *, struct sigaction *);

    if (!real)
        real = (int (*)(int, const struct sigaction *, struct sigaction *))dlsym(RTLD_NEXT,
                                                                                 "sigaction");
    return real(signo, act, old);
}

EXPORT int open(const char *path, int flags, ...)
{
    struct error err = ERROR_INIT;
    va_list args;

    va_start(args, flags);
    mode_t mode = va_arg(args, mode_t);
    va_end(args);
    if (strcmp(path, DEVICE) != 0)
        return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    g.driver = sgx_driver_emulated(&err);
    if (!g.driver || fail(g.driver->open(&g.handle, &err), &err) < 0)
        return -1;
    g.fd = (int)syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC, 0);
    return g.fd;
}

EXPORT int open64(const char *path, int flags, ...) __attribute__((alias("open")));

EXPORT int access(const char *path, int mode)
{
    if (strcmp(path, DEVICE) == 0)
        return 0;
    return (int)syscall(SYS_faccessat, AT_FDCWD, path, mode);
}

/* A handler that is installed plainly must not run on the enclave's stack: on hardware none
 * does. */
EXPORT int sigaction(int signo, const struct sigaction *act, struct sigaction *old)
{
    struct error err = ERROR_INIT;

    if (!g.driver || fail(emu_sigaction(signo, act, old), &err) < 0)
        return __wrap_sigaction(signo, act, old);
    return 0;
}

EXPORT int stat(const char *path, struct stat *st)
{
    return fstatat(AT_FDCWD, strcmp(path, DEVICE) == 0 ? "/dev/null" : path, st, 0);
}

/* One line an enclave, for the test to see that pages really were written back. */
static void note_epc(void)
{
    const char *path = getenv("SGX_INTERPOSE_EPC");
    struct emu_epc_stats s;

    if (!path)
        return;
    emu_epc_stats(&s);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    dprintf(fd, "%llu written %llu loaded %llu size\n", (unsigned long long)s.written,
            (unsigned long long)s.loaded, (unsigned long long)s.size);
    syscall(SYS_close, fd);
}

EXPORT int close(int fd)
{
    if (fd >= 0 && fd == g.fd) {
        note_epc();
        g.driver->close(g.handle);
        g.handle = NULL;
        g.fd = -1;
        g.size = 0;
    }
    return (int)syscall(SYS_close, fd);
}

EXPORT void *mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
{
    struct error err = ERROR_INIT;

    if (fd < 0 || fd != g.fd)
        return raw_mmap(addr, length, prot, flags, fd, offset);
    if (!in_elrange(addr, length)) /* before ECREATE: whether the device can be mapped at all */
        return raw_mmap(addr, length, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return fail(g.driver->map(g.handle, (uint64_t)addr, length, prot, &err), &err) < 0 ? MAP_FAILED
                                                                                       : addr;
}

EXPORT void *mmap64(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
    __attribute__((alias("mmap")));

EXPORT int mprotect(void *addr, size_t length, int prot)
{
    struct error err = ERROR_INIT;

    if (!in_elrange(addr, length))
        return (int)syscall(SYS_mprotect, addr, length, prot);
    return fail(g.driver->map(g.handle, (uint64_t)addr, length, prot, &err), &err);
}

EXPORT int munmap(void *addr, size_t length)
{
    struct error err = ERROR_INIT;

    if (!in_elrange(addr, length))
        return (int)syscall(SYS_munmap, addr, length);
    return fail(g.driver->map(g.handle, (uint64_t)addr, length, PROT_NONE, &err), &err);
}

static int create(const struct sgx_enclave_create *arg)
{
    const struct sgx_secs *secs = (const struct sgx_secs *)arg->src;
    struct error err = ERROR_INIT;

    /* The test holds ELRANGE with a mapping of its own, which the driver's takes the place of. */
    syscall(SYS_munmap, secs->base, secs->size);
    int rc = g.driver->reserve(g.handle, secs->base, secs->size, false, &g.base, &err);
    if (rc == 0)
        rc = g.driver->create(g.handle, secs, &err);
    g.size = rc == 0 ? secs->size : 0;
    return fail(rc, &err);
}

static int add(struct sgx_enclave_add_pages *arg)
{
    struct error err = ERROR_INIT;
    uint64_t count = 0;
    int rc = g.driver->add_pages(g.handle, (const void *)arg->src, arg->offset, arg->length,
                                 (const struct sgx_secinfo *)arg->secinfo,
                                 arg->flags & SGX_PAGE_MEASURE, &count, &err);

    arg->count = count;
    return fail(rc, &err);
}

EXPORT int ioctl(int fd, unsigned long request, ...)
{
    struct error err = ERROR_INIT;
    va_list args;

    va_start(args, request);
    void *arg = va_arg(args, void *);
    va_end(args);
    if (fd < 0 || fd != g.fd)
        return (int)syscall(SYS_ioctl, fd, request, arg);
    switch (request) {
    case SGX_IOC_ENCLAVE_CREATE:
        return create(arg);
    case SGX_IOC_ENCLAVE_ADD_PAGES:
        return add(arg);
    case SGX_IOC_ENCLAVE_INIT: {
        const struct sgx_enclave_init *init = arg;
        return fail(g.driver->init(g.handle, (const struct sgx_sigstruct *)init->sigstruct, &err),
                    &err);
    }
    case SGX_IOC_ENCLAVE_RESTRICT_PERMISSIONS:
        return fail(g.driver->restrict_permissions(g.handle, arg, &err), &err);
    case SGX_IOC_ENCLAVE_MODIFY_TYPES:
        return fail(g.driver->modify_types(g.handle, arg, &err), &err);
    case SGX_IOC_ENCLAVE_REMOVE_PAGES:
        return fail(g.driver->remove_pages(g.handle, arg, &err), &err);
    default:
        errno = ENOTTY;
        return -1;
    }
}

/* ---- a vDSO with one symbol ---- */

static struct {
    Elf64_Ehdr ehdr;
    Elf64_Phdr phdr[2];
    Elf64_Dyn dyn[4];
    Elf64_Sym symbols[2];
    Elf64_Word hash[2 + 1 + 2]; /* one bucket, two symbols */
    char strings[32];
} g_vdso;

static uint64_t offset_of(const void *field)
{
    return (uint64_t)((const char *)field - (const char *)&g_vdso);
}

static unsigned long make_vdso(void)
{
    memcpy(g_vdso.ehdr.e_ident, ELFMAG, SELFMAG);
    g_vdso.ehdr.e_phoff = offset_of(g_vdso.phdr);
    g_vdso.ehdr.e_phnum = 2;
    g_vdso.phdr[0] = (Elf64_Phdr){.p_type = PT_LOAD};
    g_vdso.phdr[1] = (Elf64_Phdr){.p_type = PT_DYNAMIC, .p_offset = offset_of(g_vdso.dyn)};
    g_vdso.dyn[0] = (Elf64_Dyn){DT_SYMTAB, {offset_of(g_vdso.symbols)}};
    g_vdso.dyn[1] = (Elf64_Dyn){DT_STRTAB, {offset_of(g_vdso.strings)}};
    g_vdso.dyn[2] = (Elf64_Dyn){DT_HASH, {offset_of(g_vdso.hash)}};
    g_vdso.dyn[3] = (Elf64_Dyn){DT_NULL, {0}};
    memcpy(g_vdso.strings + 1, "__vdso_sgx_enter_enclave", 25);
    g_vdso.symbols[1] = (Elf64_Sym){
        .st_name = 1, .st_shndx = 1, .st_value = (uint64_t)emu_enter_enclave - (uint64_t)&g_vdso};
    memcpy(g_vdso.hash, (Elf64_Word[]){1, 2, 1, STN_UNDEF, STN_UNDEF}, sizeof(g_vdso.hash));
    return (unsigned long)&g_vdso;
}

EXPORT unsigned long getauxval(unsigned long type)
{
    static unsigned long (*real)(unsigned long);

    if (type == AT_SYSINFO_EHDR)
        return make_vdso();
    if (!real)
        real = (unsigned long (*)(unsigned long))dlsym(RTLD_NEXT, "getauxval");
    return real(type);
}
