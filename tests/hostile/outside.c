/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lies outside of the enclave and is looked at once or in pieces: what it is loaded with, the
 * files that it was given, the areas of its threads.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "enclave/bundle/bundle.h"
#include "sgx/emulator/emulator.h"
#include "tests/hostile/hostile.h"

/* ---- given files ---- */

static struct {
    void **start;
    uint64_t *size;
    const char *name;
} g_files[] = {
    {&g_runtime.deployment, &g_runtime.deployment_size, "deployment"},
    {&g_runtime.image, &g_runtime.image_size, "image"},
    {&g_runtime.sites, &g_runtime.sites_size, "site table"},
    {&g_runtime.given, &g_runtime.given_size, "host's variables"},
};
#define FILES (sizeof(g_files) / sizeof(g_files[0]))

static void *memory(uint64_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

/* The file in memory that can be written, with a page behind it. */
static void make_writable(unsigned i)
{
    void *copy = *g_files[i].start ? memory(*g_files[i].size + SGX_PAGE_SIZE) : NULL;
    if (copy == NULL)
        return;
    memcpy(copy, *g_files[i].start, *g_files[i].size);
    *g_files[i].start = copy;
}

/* "load" with "proxy": a byte of ratls-proxy, which is mapped behind the image. */
static void load_proxy(void)
{
    const uint64_t size = (uint64_t)lseek(g_runtime.proxy_fd, 0, SEEK_END);
    ((uint8_t *)g_runtime.image)[g_runtime.image_size - 1 - chance_below(size)] ^= 1u
                                                                                   << chance_below(
                                                                                          8);
}

/* "load": the value says which file. */
static void load_file(const struct lie *lie)
{
    const unsigned i = (unsigned)lie->value % FILES;
    if (*g_files[i].size == 0)
        return;
    switch (lie->what) {
    case W_CUT:
        *g_files[i].size -= 1 + chance_below(*g_files[i].size);
        break;
    case W_GROW:
        *g_files[i].size += 1 + chance_below(SGX_PAGE_SIZE);
        break;
    case W_DATA:
        ((uint8_t *)*g_files[i].start)[chance_below(*g_files[i].size)] ^= 1u << chance_below(8);
        break;
    default:
        break;
    }
}

/* "load" with "fill": a variable that no rule allows, or that steers programs; the last is
 * allowed. */
static void load_variable(const struct lie *lie)
{
    static const char *const variables[] = {"LD_PRELOAD=/host/evil.so", "UNKNOWN=1", "PATH=/host",
                                            "HOSTNAME=name of two words", "HOSTNAME=good"};
    static struct buffer blob;
    const char *const list[] = {
        variables[(size_t)lie->value % (sizeof(variables) / sizeof(variables[0]))], NULL};

    bundle_given_build(list, &blob);
    g_runtime.given = blob.data;
    g_runtime.given_size = blob.size;
}

/* What MRENCLAVE does not cover of SECS. */
static void load_secs(const struct lie *lie, struct sgx_secs *secs)
{
    if (lie->what == W_TAIL)
        secs->config_id[32 + chance_below(32)] = (uint8_t)(1 + chance_below(255));
    else if (lie->what == W_SVN)
        secs->config_svn = (uint16_t)(1 + chance_below(UINT16_MAX));
}

void outside_load(struct sgx_secs *secs)
{
    const struct lie *lie = lie_at(PLACE_LOAD);
    const bool changing = lie_ongoing(PLACE_FILES) != NULL;
    for (unsigned i = 0; i < FILES && (changing || lie != NULL); i++)
        make_writable(i);
    if (lie == NULL)
        return;
    load_secs(lie, secs);
    if (lie->what == W_FILL)
        load_variable(lie);
    else if (lie->what == W_PROXY)
        load_proxy();
    else
        load_file(lie);
}

/* "given": a byte of some blocks changes while the enclave may be copying them, and back. */
void outside_files(const struct lie *lie)
{
    const unsigned i = chance_below(8) ? 1 : (unsigned)chance_below(FILES);
    uint8_t *start = *g_files[i].start;
    const uint64_t size = *g_files[i].size;
    const uint8_t bit = (uint8_t)(1u << chance_below(8));

    if (start == NULL || size == 0)
        return;
    const uint64_t first = chance_below(size), blocks = chance_below(size / SGX_PAGE_SIZE / 16 + 2);
    for (unsigned pass = 0; pass < 2; pass++) {
        for (uint64_t k = 0; k < blocks && first + k * SGX_PAGE_SIZE < size; k++)
            __atomic_fetch_xor(start + first + k * SGX_PAGE_SIZE, bit, __ATOMIC_RELAXED);
        for (volatile unsigned wait = (unsigned)chance_below(20000); wait > 0; wait--)
            ;
    }
}

/* ---- a thread's area: its pages go, and come with the first access ---- */

static __thread struct boundary_area *t_hidden;
static __thread bool t_tell;

void area_hide(struct boundary_area *area, const struct lie *lie)
{
    /* The first page is the host's own as well, in handlers too, so that it seldom goes. */
    uint8_t *start = lie->has_value ? (uint8_t *)area : area->data;
    t_tell = lie->what == W_TELL;
    if (mprotect(start, (size_t)((uint8_t *)(area + 1) - start), PROT_NONE) == 0)
        t_hidden = area;
}

static bool back(struct boundary_area *area)
{
    return mprotect(area, sizeof(*area), PROT_READ | PROT_WRITE) == 0;
}

void area_back(void)
{
    if (t_hidden != NULL)
        back(t_hidden);
    t_hidden = NULL;
}

bool area_of_host_code(uint64_t address)
{
    struct boundary_area *area = host_area_at(address);
    return area != NULL && back(area);
}

static const struct sgx_ssa_gpr *interrupted(uint64_t address)
{
    struct sgx_handle *e = g_host.handle;
    const struct emu_tcs *tcs = atomic_load(&e->tcs[emu_page(e, address)]);
    if (tcs == NULL || tcs->cssa == 0)
        return NULL;
    return (const struct sgx_ssa_gpr *)(tcs->ssa + tcs->cssa * e->ssa_frame_size) - 1;
}

/* REP MOVSQ, or MOV of 8 bytes. */
static bool is_of_words(const uint8_t code[3])
{
    const bool wide = (code[0] & 0xf8) == 0x48;
    return (code[0] == 0xf3 && code[1] == 0x48 && code[2] == 0xa5) ||
           (wide && (code[1] == 0x8b || code[1] == 0x89 || code[1] == 0xc7));
}

/*
 * The enclave faulted there. Whatever it does to host memory is of whole, aligned words, or stale
 * data of the processor's buffers goes in or out (libos/host/include/hostmem.h).
 */
bool area_fault(const struct sgx_enclave_run *run)
{
    if (t_hidden == NULL || run->exception_vector != X86_PF ||
        run->exception_addr - (uint64_t)t_hidden >= sizeof(*t_hidden))
        return false;
    const struct sgx_ssa_gpr *gpr = interrupted(run->tcs);
    struct emu_fault unreadable;
    uint8_t code[3] = {0};

    if (gpr == NULL || emu_read(g_host.handle, gpr->rip, code, sizeof(code), &unreadable) < 0)
        return false;
    const struct sgx_ssa_exinfo *info = (const struct sgx_ssa_exinfo *)gpr - 1;
    if (info->maddr % 8 != 0 || !is_of_words(code))
        fault("host memory at +%#lx is not touched in whole aligned words: %02x %02x %02x",
              (long)(info->maddr - (uint64_t)t_hidden), code[0], code[1], code[2]);
    area_back();
    return !t_tell;
}
