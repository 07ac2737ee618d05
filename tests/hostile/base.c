/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The enclave at another base than it was made for. BASEADDR is not measured, so EINIT takes it; an
 * enclave that believes its absolute addresses then works in memory of the host, which is copied
 * there in time.
 */
#include <string.h>
#include <sys/mman.h>

#include "sgx_arch.h"
#include "tests/hostile/hostile.h"

#define DECOY_MAX (64ull << 20)

static struct {
    uint8_t *start, *copy;
    uint64_t size;
} g_decoy;

static void *room(uint64_t address)
{
    void *p = mmap(
        (void *)address, DECOY_MAX, PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (address ? MAP_FIXED_NOREPLACE : 0), -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

void base_add(const void *src, uint64_t offset, uint64_t length)
{
    const uint64_t first = g_host.libos_base - g_host.base;
    if (offset < first || offset - first + length > DECOY_MAX)
        return;
    if (g_decoy.start == NULL) {
        g_decoy.start = room(first);
        g_decoy.copy = room(0);
    }
    if (g_decoy.start == NULL || g_decoy.copy == NULL)
        return;
    memcpy(g_decoy.start + (offset - first), src, length);
    memcpy(g_decoy.copy + (offset - first), src, length);
    if (offset - first + length > g_decoy.size)
        g_decoy.size = offset - first + length;
}

void base_check(void)
{
    if (g_host.wanted_base == 0)
        return;
    if (g_decoy.size == 0)
        fault("there was no room for the decoy: nothing was tested");
    else if (memcmp(g_decoy.start, g_decoy.copy, g_decoy.size) != 0)
        fault("the enclave works in host memory, at the addresses of another base");
}
