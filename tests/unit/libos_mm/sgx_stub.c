/* SPDX-License-Identifier: Apache-2.0 */
/* Host side of tests/unit/libos_mm: may use libc, so it does not include LibOS headers with
 * clashing names. */
#include <asm/prctl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

int sgx_eaccept(uint64_t addr, uint64_t flags);
int sgx_eacceptcopy(uint64_t addr, const void *from, uint64_t flags);
void sgx_emodpe(uint64_t addr, uint64_t flags);
int host_sgx_restrict(uint64_t addr, uint64_t size, uint32_t prot);
int host_sgx_protect(uint64_t addr, uint64_t size, uint32_t prot);
int host_sgx_modify_type(uint64_t addr, uint64_t size, uint32_t type);
int host_sgx_remove(uint64_t addr, uint64_t size);
void stub_reserve(uint64_t addr, uint64_t size);
void stub_set_gs(void *gs);
void stub_open_all(void);

int model_refuses_page(void);

static void change(uint64_t addr, uint64_t size, int prot)
{
    if (mprotect((void *)addr, size, prot)) {
        perror("mprotect");
        abort();
    }
}

int sgx_eaccept(uint64_t addr, uint64_t flags)
{
    if ((flags & (1u << 3)) && model_refuses_page())
        return -12;          /* the host adds no page */
    if (flags & (1u << 3)) { /* pending: fresh and zero */
        change(addr, 4096, PROT_READ | PROT_WRITE);
        memset((void *)addr, 0, 4096);
    }
    return 0;
}

int sgx_eacceptcopy(uint64_t addr, const void *from, uint64_t flags)
{
    if (model_refuses_page())
        return -12;
    change(addr, 4096, PROT_READ | PROT_WRITE);
    memcpy((void *)addr, from, 4096);
    change(addr, 4096, (int)(flags & 3));
    return 0;
}

void sgx_emodpe(uint64_t addr, uint64_t flags)
{
    change(addr, 4096, (int)(flags & 3));
}

int host_sgx_restrict(uint64_t addr, uint64_t size, uint32_t prot)
{
    if (!(prot & 1))
        return -22; /* as Linux's driver */
    change(addr, size, (int)(prot & 3));
    return 0;
}

static int g_opens_all;

/* From here on the host closes no page with SGX1, and protects none. */
void stub_open_all(void)
{
    g_opens_all = 1;
}

int host_sgx_protect(uint64_t addr, uint64_t size, uint32_t prot)
{
    change(addr, size, g_opens_all ? PROT_READ | PROT_WRITE : (int)(prot & 3));
    return 0;
}

int host_sgx_modify_type(uint64_t addr, uint64_t size, uint32_t type)
{
    change(addr, size, PROT_NONE);
    return 0;
}

int host_sgx_remove(uint64_t addr, uint64_t size)
{
    return 0;
}

void stub_reserve(uint64_t addr, uint64_t size)
{
    if (mmap((void *)addr, size, PROT_NONE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1,
             0) != (void *)addr) {
        perror("mmap");
        abort();
    }
}

void stub_set_gs(void *gs)
{
    syscall(SYS_arch_prctl, ARCH_SET_GS, gs);
}
