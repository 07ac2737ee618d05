/* SPDX-License-Identifier: Apache-2.0 */
/* SGX hardware through Linux: /dev/sgx_enclave and __vdso_sgx_enter_enclave. */
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "sgx/driver.h"
#include "sgx/vdso.h"

#define MIN_ADDRESS 0x10000ull

/* The vDSO's function, and what makes it callable from C (enter.S). */
extern vdso_sgx_enter_enclave_t sgx_vdso_enter __attribute__((visibility("hidden")));
vdso_sgx_enter_enclave_t sgx_vdso_enter;
int sgx_enter_kernel(unsigned long rdi, unsigned long rsi, unsigned long rdx, unsigned int function,
                     unsigned long r8, unsigned long r9, struct sgx_enclave_run *run);

struct sgx_handle {
    int fd;
    uint64_t base, size, start; /* ELRANGE, and where its mapping starts */
};

static int kernel_open(struct sgx_handle **out, struct error *err)
{
    struct sgx_handle *h = calloc(1, sizeof(*h));

    if (!h)
        return error_errno(err, ENOMEM, "SGX");
    h->fd = open(SGX_DEVICE, O_RDWR | O_CLOEXEC);
    if (h->fd < 0) {
        int code = errno;
        free(h);
        return error_errno(err, code, "open %s", SGX_DEVICE);
    }
    *out = h;
    return 0;
}

/* A naturally aligned free range: reserve twice the size and give the ends back. */
static int reserve_any(uint64_t size, uint64_t *base)
{
    uint8_t *raw = mmap(NULL, 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
                        0);
    if (raw == MAP_FAILED)
        return -errno;
    uint64_t at = ((uint64_t)raw + size - 1) & ~(size - 1);
    if (at > (uint64_t)raw)
        munmap(raw, at - (uint64_t)raw);
    if (at + size < (uint64_t)raw + 2 * size)
        munmap((void *)(at + size), (uint64_t)raw + 2 * size - at - size);
    *base = at;
    return 0;
}

static int kernel_reserve(struct sgx_handle *h, uint64_t base, uint64_t size, bool any_base,
                          uint64_t *out, struct error *err)
{
    uint64_t start = base ? base : MIN_ADDRESS;
    int rc = 0;

    if (h->size || (size & (size - 1)) || size < 2 * SGX_PAGE_SIZE ||
        (!any_base && (base & (size - 1))))
        return error_code(err, EINVAL, "SGX: bad ELRANGE");
    if (any_base) {
        rc = reserve_any(size, &base);
        start = base;
    } else if (mmap((void *)start, base + size - start, PROT_NONE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1,
                    0) == MAP_FAILED) {
        rc = -errno;
    }
    if (rc < 0)
        return error_errno(err, -rc, "SGX: reserve ELRANGE, %llu MiB at %#llx",
                           (unsigned long long)size >> 20, (unsigned long long)base);
    h->base = base;
    h->size = size;
    h->start = start;
    *out = base;
    return 0;
}

static int kernel_create(struct sgx_handle *h, const struct sgx_secs *secs, struct error *err)
{
    struct sgx_enclave_create arg = {.src = (uintptr_t)secs};

    if (ioctl(h->fd, SGX_IOC_ENCLAVE_CREATE, &arg) < 0) {
        const bool old = errno == EINVAL && (secs->attributes.flags & SGX_ATTR_AEX_NOTIFY);
        return error_errno(err, errno, "ECREATE (%s)%s", SGX_DEVICE,
                           old ? ": for AEX-Notify Linux must be 6.2 or later" : "");
    }
    return 0;
}

static int kernel_add_pages(struct sgx_handle *h, const void *src, uint64_t offset, uint64_t length,
                            const struct sgx_secinfo *secinfo, bool measure, uint64_t *count,
                            struct error *err)
{
    uint64_t done = 0;
    int rc = 0;

    while (rc == 0 && done < length) {
        struct sgx_enclave_add_pages arg = {
            .src = (uintptr_t)src + done,
            .offset = offset + done,
            .length = length - done,
            .secinfo = (uintptr_t)secinfo,
            .flags = measure ? SGX_PAGE_MEASURE : 0,
        };
        if (ioctl(h->fd, SGX_IOC_ENCLAVE_ADD_PAGES, &arg) < 0 && errno != EINTR && errno != EAGAIN)
            rc = -errno;
        done += arg.count;
    }
    if (count)
        *count = done;
    if (rc == -ENOMEM)
        return error_errno(err, ENOMEM, "EADD: no enclave memory left (EPC), page %#llx",
                           (unsigned long long)(offset + done));
    return rc < 0 ? error_errno(err, -rc, "EADD, page %#llx", (unsigned long long)(offset + done))
                  : 0;
}

static int kernel_provision(struct sgx_handle *h, struct error *err)
{
    cleanup_close int fd = open(SGX_PROVISION_DEVICE, O_RDONLY | O_CLOEXEC);
    struct sgx_enclave_provision arg = {.fd = (uint64_t)fd};

    if (fd < 0)
        return error_errno(err, errno, "open %s", SGX_PROVISION_DEVICE);
    if (ioctl(h->fd, SGX_IOC_ENCLAVE_PROVISION, &arg) < 0)
        return error_errno(err, errno, "grant the provisioning key");
    return 0;
}

static int kernel_init(struct sgx_handle *h, const struct sgx_sigstruct *sigstruct,
                       struct error *err)
{
    struct sgx_enclave_init arg = {.sigstruct = (uintptr_t)sigstruct};
    int rc;

    do {
        rc = ioctl(h->fd, SGX_IOC_ENCLAVE_INIT, &arg);
    } while (rc < 0 && errno == EINTR);
    if (rc >= 0)
        return rc ? error_code(err, EPERM, "EINIT: SGX error %d", rc) : 0;
    if (errno == EPERM)
        return error_code(err, EPERM,
                          "EINIT: the processor refuses the enclave: it is not the one that was "
                          "signed, or its attributes are not");
    return error_errno(err, errno, "EINIT");
}

static int kernel_map(struct sgx_handle *h, uint64_t addr, uint64_t length, int prot,
                      struct error *err)
{
    if (addr < h->start || addr - h->base > h->size || length > h->size - (addr - h->base))
        return error_code(err, EINVAL, "map enclave pages: bad range");
    if (mmap((void *)addr, length, prot, MAP_SHARED | MAP_FIXED, h->fd, 0) == MAP_FAILED)
        return error_errno(err, errno, "map enclave pages at %#llx", (unsigned long long)addr);
    return 0;
}

/* The ioctl stops early for signals and when pages are being reclaimed; go on until all is done. */
static int kernel_restrict(struct sgx_handle *h, struct sgx_enclave_restrict_permissions *arg,
                           struct error *err)
{
    uint64_t done = 0, total = arg->length;

    while (done < total) {
        struct sgx_enclave_restrict_permissions part = {
            .offset = arg->offset + done, .length = total - done, .permissions = arg->permissions};
        int rc = ioctl(h->fd, SGX_IOC_ENCLAVE_RESTRICT_PERMISSIONS, &part) < 0 ? -errno : 0;
        done += part.count;
        arg->count = done;
        arg->result = part.result;
        if (rc < 0 && rc != -EAGAIN && rc != -EINTR)
            return error_errno(err, -rc, "restrict permissions (SGX error %llu)",
                               (unsigned long long)part.result);
    }
    return 0;
}

static int kernel_modify(struct sgx_handle *h, struct sgx_enclave_modify_types *arg,
                         struct error *err)
{
    uint64_t done = 0, total = arg->length;

    while (done < total) {
        struct sgx_enclave_modify_types part = {
            .offset = arg->offset + done, .length = total - done, .page_type = arg->page_type};
        int rc = ioctl(h->fd, SGX_IOC_ENCLAVE_MODIFY_TYPES, &part) < 0 ? -errno : 0;
        done += part.count;
        arg->count = done;
        arg->result = part.result;
        if (rc < 0 && rc != -EAGAIN && rc != -EINTR)
            return error_errno(err, -rc, "modify page types (SGX error %llu)",
                               (unsigned long long)part.result);
    }
    return 0;
}

static int kernel_remove(struct sgx_handle *h, struct sgx_enclave_remove_pages *arg,
                         struct error *err)
{
    uint64_t done = 0, total = arg->length;

    while (done < total) {
        struct sgx_enclave_remove_pages part = {.offset = arg->offset + done,
                                                .length = total - done};
        int rc = ioctl(h->fd, SGX_IOC_ENCLAVE_REMOVE_PAGES, &part) < 0 ? -errno : 0;
        done += part.count;
        arg->count = done;
        if (rc < 0 && rc != -EAGAIN && rc != -EINTR)
            return error_errno(err, -rc, "remove pages");
    }
    return 0;
}

static int kernel_sigaction(int signo, const struct sigaction *act, struct sigaction *old)
{
    return sigaction(signo, act, old) < 0 ? -errno : 0;
}

static void kernel_close(struct sgx_handle *h)
{
    if (h->size)
        munmap((void *)h->start, h->base + h->size - h->start);
    close(h->fd);
    free(h);
}

static bool cpu_sgx2(void)
{
    unsigned eax, ebx, ecx, edx;

    return __get_cpuid_count(0x12, 0, &eax, &ebx, &ecx, &edx) && (eax & 2);
}

static bool cpu_kss(void)
{
    unsigned eax, ebx, ecx, edx;

    return __get_cpuid_count(0x12, 1, &eax, &ebx, &ecx, &edx) && (eax & SGX_ATTR_KSS);
}

static bool cpu_sgx(void)
{
    unsigned eax, ebx, ecx, edx;

    return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && (ebx & 4);
}

const struct sgx_driver *sgx_driver_kernel(struct error *err)
{
    static struct sgx_driver driver = {
        .name = "intelSgx",
        .open = kernel_open,
        .reserve = kernel_reserve,
        .create = kernel_create,
        .add_pages = kernel_add_pages,
        .provision = kernel_provision,
        .init = kernel_init,
        .map = kernel_map,
        .restrict_permissions = kernel_restrict,
        .modify_types = kernel_modify,
        .remove_pages = kernel_remove,
        .sigaction = kernel_sigaction,
        .enter = sgx_enter_kernel,
        .close = kernel_close,
    };
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    int rc = 0;

    pthread_mutex_lock(&lock);
    if (!cpu_sgx())
        rc = error_code(err, ENODEV,
                        "this processor has no SGX (or the firmware switched it off); "
                        "enclave.type simulatedSgx runs the enclave emulated");
    else if (access(SGX_DEVICE, R_OK | W_OK) < 0)
        rc = error_errno(err, errno, "%s", SGX_DEVICE);
    if (rc == 0 && !sgx_vdso_enter) {
        driver.sgx2 = cpu_sgx2();
        driver.kss = cpu_kss();
        sgx_vdso_enter = (vdso_sgx_enter_enclave_t)sgx_vdso_symbol("__vdso_sgx_enter_enclave");
        if (!sgx_vdso_enter)
            rc = error_code(err, ENODEV, "the kernel's vDSO cannot enter SGX enclaves");
    }
    pthread_mutex_unlock(&lock);
    return rc < 0 ? NULL : &driver;
}
