/* SPDX-License-Identifier: Apache-2.0 */
/* From the LibOS and the manifest to an enclave file, in the order of abi/layout.h. */
#include "layout.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "enclave/bundle/layout_build.h"
#include "sgx_arch.h"
#include "sgx/enclave_file.h"

#define RW        (ENCLAVE_FILE_R | ENCLAVE_FILE_W)
#define SIZE_MIN  (1ull << 30)
#define SIZE_MAX_ (1ull << 46)
#define TCS_MAX   4096u

/* Without SGX2 */
#define STATIC_MEMORY_DEFAULT (512ull << 20)
#define STATIC_MEMORY_MIN     (64ull << 20)
#define STATIC_IMAGE_ROOM     (64ull << 20) /* for the LibOS's image and its pages */
#define STATIC_TCS_DEFAULT    64u
#define STATIC_TCS_SPARE      4u /* threads of the LibOS itself, ecalls */

struct plan {
    struct enclave_file_builder *builder;
    const struct libos_elf *elf;
    const struct bundle_settings *settings;
    const struct buffer *bound;
    uint64_t next; /* first address not yet used */
    uint64_t trampoline;
    struct enclave_layout layout;
    struct error *err;
};

/* Pages at the next free address. */
static int add_range(struct plan *plan, uint64_t size, const void *data, size_t data_size,
                     uint64_t secinfo, uint32_t flags)
{
    int ret = enclave_file_builder_add(plan->builder, plan->next, size, data, data_size, secinfo,
                                       flags, plan->err);
    plan->next += size;
    return ret;
}

static int add_pages(struct plan *plan, uint64_t size, const void *data, size_t data_size,
                     uint64_t secinfo)
{
    return add_range(plan, size, data, data_size, secinfo, ENCLAVE_FILE_MEASURED);
}

/*
 * Room whose first contents nobody looks at: the LibOS clears it before the first use (heap.c,
 * clear_stack()). Hashing what is there would only make a start slower.
 */
static int add_room(struct plan *plan, uint64_t size)
{
    return add_range(plan, size, NULL, 0, ENCLAVE_FILE_REG | RW, 0);
}

static int add_libos(struct plan *plan)
{
    for (unsigned i = 0; i < plan->elf->segment_count; i++) {
        const struct libos_segment *s = &plan->elf->segments[i];
        int ret = enclave_file_builder_add(
            plan->builder, plan->layout.libos_base + s->address, s->size, s->data, s->data_size,
            ENCLAVE_FILE_REG | s->permissions, ENCLAVE_FILE_MEASURED, plan->err);
        if (ret < 0)
            return ret;
    }
    for (size_t i = 0; i < plan->elf->site_count; i++) {
        int ret = enclave_file_builder_add_site(
            plan->builder, plan->layout.libos_base + plan->elf->sites[i], plan->err);
        if (ret < 0)
            return ret;
    }
    return 0;
}

/* Guard page (a hole), stack, TCS, SSA frames, tcb page. */
static int add_thread(struct plan *plan, uint32_t index)
{
    uint64_t stack = plan->next + LAYOUT_PAGE;
    uint64_t tcs_at = stack + LAYOUT_STACK_SIZE;
    uint64_t ssa_size = LAYOUT_PAGE * LAYOUT_NSSA * LAYOUT_SSA_PAGES;
    uint64_t ssa = tcs_at + LAYOUT_PAGE;
    uint64_t tcb_at = ssa + ssa_size;

    struct sgx_tcs tcs = {
        .flags = plan->settings->aexnotify ? SGX_TCS_AEXNOTIFY : 0,
        .ossa = ssa,
        .nssa = LAYOUT_NSSA,
        .oentry = plan->layout.libos_base + plan->elf->entry,
        .ofsbasgx = tcb_at,
        .ogsbasgx = tcb_at,
        .fslimit = UINT32_MAX,
        .gslimit = UINT32_MAX,
    };
    struct layout_tcb tcb = {
        .self = tcb_at,
        .magic = TCB_MAGIC,
        .tcs = tcs_at,
        .ssa = ssa,
        .stack_top = tcs_at,
        .layout = plan->layout.manifest + LAYOUT_PAGE,
        .index = index,
        .ssa_frame_size = LAYOUT_SSA_PAGES * LAYOUT_PAGE,
    };
    plan->next = stack;
    int ret = add_room(plan, LAYOUT_STACK_SIZE);
    if (ret == 0)
        ret = add_pages(plan, LAYOUT_PAGE, &tcs, sizeof(tcs), ENCLAVE_FILE_TCS);
    if (ret == 0)
        ret = add_pages(plan, ssa_size, NULL, 0, ENCLAVE_FILE_REG | RW);
    if (ret == 0)
        ret = add_pages(plan, LAYOUT_PAGE, &tcb, sizeof(tcb), ENCLAVE_FILE_REG | RW);
    return ret;
}

static uint64_t bound_pages(const struct plan *plan)
{
    return (plan->bound->size + LAYOUT_PAGE - 1) & ~(LAYOUT_PAGE - 1);
}

/* All addresses, before anything is added: the layout page says where the heap is. */
static void place(struct plan *plan)
{
    const struct bundle_settings *s = plan->settings;
    struct enclave_layout *l = &plan->layout;
    uint64_t thread_size = (1 + LAYOUT_NSSA * LAYOUT_SSA_PAGES + 2) * LAYOUT_PAGE +
                           LAYOUT_STACK_SIZE;
    l->magic = ENCLAVE_LAYOUT_MAGIC;
    l->size = s->enclave_size;
    l->libos_base = LAYOUT_LIBOS_BASE(s->enclave_size);
    l->libos_image_end = l->libos_base + plan->elf->end;
    l->manifest = l->libos_image_end;
    l->bound = plan->bound->size ? l->manifest + 2 * LAYOUT_PAGE : 0;
    l->bound_size = plan->bound->size;
    plan->trampoline = l->manifest + 2 * LAYOUT_PAGE + bound_pages(plan);
    l->heap = plan->trampoline + LAYOUT_PAGE + thread_size * s->static_tcs;
    l->heap_initial = s->no_sgx2 ? s->preadded_heap : LAYOUT_HEAP_INITIAL;
    l->heap_end = s->enclave_size;
    l->user_start = LAYOUT_USER_START;
    l->preadded_user = s->no_sgx2 ? s->preadded_user : 0;
    l->user_end = s->no_sgx2 ? l->user_start + l->preadded_user : l->libos_base;
    l->static_tcs = s->static_tcs;
    l->flags = (s->no_sgx2 ? 0 : LAYOUT_FLAG_SGX2) | (s->aexnotify ? LAYOUT_FLAG_AEXNOTIFY : 0);
}

static int add_all(struct plan *plan, const struct manifest_image *manifest)
{
    struct enclave_layout *l = &plan->layout;
    int ret = add_libos(plan);
    plan->next = l->manifest;
    if (ret == 0)
        ret = add_pages(plan, LAYOUT_PAGE, manifest, sizeof(*manifest),
                        ENCLAVE_FILE_REG | ENCLAVE_FILE_R);
    if (ret == 0)
        ret = add_pages(plan, LAYOUT_PAGE, l, sizeof(*l), ENCLAVE_FILE_REG | ENCLAVE_FILE_R);
    if (ret == 0 && l->bound)
        ret = add_pages(plan, bound_pages(plan), plan->bound->data, plan->bound->size,
                        ENCLAVE_FILE_REG | ENCLAVE_FILE_R);
    plan->next = plan->trampoline + LAYOUT_PAGE;
    for (uint32_t i = 0; ret == 0 && i < l->static_tcs; i++)
        ret = add_thread(plan, i);
    if (ret == 0)
        ret = add_room(plan, l->heap_initial);
    if (ret == 0 && l->preadded_user)
        ret = enclave_file_builder_add(plan->builder, l->user_start, l->preadded_user, NULL, 0,
                                       ENCLAVE_FILE_REG | RW | ENCLAVE_FILE_X, 0, plan->err);
    return ret;
}

int layout_write(const struct libos_elf *elf, const struct manifest_image *manifest,
                 const struct buffer *bound, const struct bundle_settings *settings, int fd,
                 struct error *err)
{
    static const struct buffer none = BUFFER_INIT;
    struct plan plan = {
        .elf = elf, .settings = settings, .bound = bound ? bound : &none, .err = err};
    place(&plan);
    struct enclave_file_header header = {
        .base = 0,
        .flags = settings->no_sgx2 ? 0 : ENCLAVE_FILE_NEEDS_SGX2,
        .size = settings->enclave_size,
        .attributes = SGX_ATTR_MODE64 | (settings->aexnotify ? SGX_ATTR_AEX_NOTIFY : 0),
        .xfrm = SGX_XFRM_LEGACY | SGX_XFRM_AVX | SGX_XFRM_AVX512,
        .miscselect = SGX_MISC_EXINFO,
        .ssa_frame_size = LAYOUT_SSA_PAGES,
        .trampoline_offset = plan.trampoline,
        .isv_prod_id = settings->isv_prod_id,
        .isv_svn = settings->isv_svn,
    };
    int ret = enclave_file_builder_new(&header, &plan.builder, err);
    if (ret < 0)
        return ret;
    ret = add_all(&plan, manifest);
    if (ret == 0)
        ret = enclave_file_builder_write(plan.builder, fd, err);
    enclave_file_builder_free(plan.builder);
    return ret;
}

void manifest_fill(const struct bundle_settings *s, const struct image_info *info,
                   struct manifest_image *out)
{
    memset(out, 0, sizeof(*out));
    out->magic = MANIFEST_IMAGE_MAGIC;
    out->version = MANIFEST_VERSION;
    out->flags = (s->debug ? MANIFEST_DEBUG : 0) | (s->no_kss ? 0 : MANIFEST_KSS) |
                 (s->aexnotify ? MANIFEST_AEXNOTIFY : 0) |
                 (s->signed_elsewhere ? MANIFEST_SIGNED_ELSEWHERE : 0);
    memcpy(out->root_hash, info->seal.root_hash, sizeof(out->root_hash));
    memcpy(out->salt, info->seal.salt, sizeof(out->salt));
    out->salt_size = info->seal.salt_size;
    out->hash_levels = info->seal.levels;
    out->data_blocks = info->seal.data_blocks;
    out->hash_offset = info->seal.hash_offset;
    out->image_size = info->seal.image_size;
    memcpy(out->sites_hash, info->sites_hash, sizeof(out->sites_hash));
    out->sites_size = info->sites_size;
    if (s->no_kss)
        memcpy(out->deployment_hash, s->deployment_hash, sizeof(out->deployment_hash));
    out->memory_limit = s->memory_limit;
    out->thread_limit = s->thread_limit;
    out->static_tcs = s->static_tcs;
    out->cache_size = s->cache_size;
    out->log_level = s->log_level;
}

/* Do user range and the LibOS's quarter hold what is added at load time? */
static bool static_fits(const struct bundle_settings *s, uint64_t size)
{
    const uint64_t thread = LAYOUT_STACK_SIZE + (3 + LAYOUT_NSSA * LAYOUT_SSA_PAGES) * LAYOUT_PAGE;

    return LAYOUT_USER_START + s->preadded_user <= LAYOUT_LIBOS_BASE(size) &&
           STATIC_IMAGE_ROOM + s->static_tcs * thread + s->preadded_heap <= size / 4;
}

/* Without SGX2: everything from the memory and the number of threads. */
static int complete_static(struct bundle_settings *s, struct error *err)
{
    if (!s->memory_limit)
        s->memory_limit = STATIC_MEMORY_DEFAULT;
    if (!s->preadded_user)
        s->preadded_user = s->memory_limit / 4 * 3 & ~(LAYOUT_PAGE - 1);
    if (!s->preadded_heap)
        s->preadded_heap = s->memory_limit / 4 & ~(LAYOUT_PAGE - 1);
    if (!s->static_tcs)
        s->static_tcs = s->thread_limit ? s->thread_limit + STATIC_TCS_SPARE : STATIC_TCS_DEFAULT;
    if (s->preadded_user < STATIC_MEMORY_MIN / 2 || s->preadded_heap < STATIC_MEMORY_MIN / 4 ||
        s->preadded_user > SIZE_MAX_ / 2 || s->preadded_heap > SIZE_MAX_ / 8)
        return error_set(
            err,
            "enclave memory of %llu MiB: without SGX2 all of it is in the enclave from "
            "the start; give %llu MiB or more (enclave.memory)",
            (unsigned long long)s->memory_limit >> 20, STATIC_MEMORY_MIN >> 20);
    const bool chosen = s->enclave_size != 0;
    for (s->enclave_size += chosen ? 0 : SIZE_MIN; !chosen && !static_fits(s, s->enclave_size);)
        s->enclave_size *= 2;
    if (!static_fits(s, s->enclave_size))
        return error_set(err,
                         "enclave size %llu MiB: too small for %llu MiB of memory and %u threads "
                         "that are all there from the start (no SGX2)",
                         (unsigned long long)s->enclave_size >> 20,
                         (unsigned long long)s->memory_limit >> 20, s->static_tcs);
    return 0;
}

int settings_complete(struct bundle_settings *s, struct error *err)
{
    int ret = s->no_sgx2 ? complete_static(s, err) : 0;
    if (ret < 0)
        return ret;
    if (!s->enclave_size)
        s->enclave_size = LAYOUT_SIZE_DEFAULT;
    if (!s->static_tcs)
        s->static_tcs = LAYOUT_STATIC_TCS;
    if (!s->log_level)
        s->log_level = s->debug ? 5 : 2;
    if (s->enclave_size & (s->enclave_size - 1) || s->enclave_size < SIZE_MIN ||
        s->enclave_size > SIZE_MAX_)
        return error_set(err, "enclave size %llu: give a power of two from 1 GiB to 64 TiB",
                         (unsigned long long)s->enclave_size);
    if (s->static_tcs > TCS_MAX)
        return error_set(err, "%u static threads: at most %u", s->static_tcs, TCS_MAX);
    if ((s->preadded_user | s->preadded_heap) % LAYOUT_PAGE)
        return error_set(err, "pre-added memory: give whole pages");
    return 0;
}
