/* SPDX-License-Identifier: Apache-2.0 */
#include "sgx/loader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/error.h"
#include "sgx/machine.h"
#include "sgx/measure.h"
#include "sgx/sigstruct.h"

/* Where the walk over an enclave file sends its pages: a driver, or a hash. */
struct sink {
    int (*add)(void *ctx, const struct enclave_file_range *range, uint64_t offset, const void *src,
               uint64_t length, struct error *err);
    void *ctx;
};

/* Zero ranges are added from one buffer, in pieces of this size; a large one would fault page by
 * page. */
#define ZERO_PIECE (1u << 16)

static int walk(const struct enclave_file *file, const struct sink *sink, struct error *err)
{
    void *zeros = mmap(NULL, ZERO_PIECE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1,
                       0);
    int rc = 0;

    if (zeros == MAP_FAILED)
        return error_errno(err, errno, "load the enclave");
    for (uint32_t i = 0; rc == 0 && i < file->header->range_count; i++) {
        const struct enclave_file_range *r = &file->ranges[i];
        if (r->file_offset != ENCLAVE_FILE_ZERO) {
            rc = sink->add(sink->ctx, r, r->offset, file->data + r->file_offset, r->size, err);
            continue;
        }
        for (uint64_t at = 0; rc == 0 && at < r->size; at += ZERO_PIECE) {
            uint64_t length = r->size - at < ZERO_PIECE ? r->size - at : ZERO_PIECE;
            rc = sink->add(sink->ctx, r, r->offset + at, zeros, length, err);
        }
    }
    munmap(zeros, ZERO_PIECE);
    return rc;
}

static int add_to_hash(void *ctx, const struct enclave_file_range *range, uint64_t offset,
                       const void *src, uint64_t length, struct error *err)
{
    for (uint64_t at = 0; at < length; at += SGX_PAGE_SIZE)
        sgx_measure_page(ctx, offset + at, range->secinfo_flags, (const uint8_t *)src + at,
                         range->flags & ENCLAVE_FILE_MEASURED);
    return 0;
}

int sgx_enclave_measure(int enclave_fd, uint8_t mrenclave[32], struct error *err)
{
    struct enclave_file *file = NULL;
    struct sgx_measurement *m = NULL;
    int rc = enclave_file_open(enclave_fd, &file, err);

    if (rc == 0)
        rc = sgx_measure_create(&m, file->header->size, file->header->ssa_frame_size, err);
    if (rc == 0)
        rc = walk(file, &(struct sink){add_to_hash, m}, err);
    if (rc == 0)
        sgx_measure_final(m, mrenclave);
    sgx_measure_free(m);
    enclave_file_close(file);
    return rc;
}

static int add_to_driver(void *ctx, const struct enclave_file_range *range, uint64_t offset,
                         const void *src, uint64_t length, struct error *err)
{
    struct sgx_enclave *e = ctx;
    struct sgx_secinfo secinfo = {.flags = range->secinfo_flags};

    return e->driver->add_pages(e->handle, src, offset, length, &secinfo,
                                range->flags & ENCLAVE_FILE_MEASURED, NULL, err);
}

/* What the enclave was built for, and its host cannot give. */
static int check_machine(const struct sgx_enclave *e, const struct enclave_file_header *h,
                         struct error *err)
{
    struct sgx_machine machine;

    if (!(h->attributes & SGX_ATTR_AEX_NOTIFY))
        return 0;
    int rc = sgx_machine_get(e->driver->name, &machine, err);
    if (rc == 0 && !machine.aex_notify)
        rc = error_code(err, ENODEV,
                        "load the enclave: it was built to be told of asynchronous exits "
                        "(enclave.aexnotify), and this machine has no AEX-Notify (sgx-tools info)");
    return rc;
}

static int create(struct sgx_enclave *e, const struct enclave_file_header *h,
                  const struct sgx_load_options *options, struct error *err)
{
    struct sgx_secs *secs = calloc(1, sizeof(*secs));

    if (!secs)
        return error_errno(err, ENOMEM, "load the enclave");
    secs->base = e->base;
    secs->size = e->size;
    secs->ssa_frame_size = h->ssa_frame_size;
    secs->miscselect = h->miscselect;
    secs->attributes.flags = h->attributes | SGX_ATTR_MODE64;
    secs->attributes.xfrm = (h->xfrm & sgx_host_xfrm()) | SGX_XFRM_LEGACY;
    if (options->debug)
        secs->attributes.flags |= SGX_ATTR_DEBUG;
    if (options->kss) {
        secs->attributes.flags |= SGX_ATTR_KSS;
        memcpy(secs->config_id, options->config_id, sizeof(secs->config_id));
        secs->config_svn = options->config_svn;
    }
    e->attributes = secs->attributes;
    e->attributes.flags |= SGX_ATTR_INIT;
    int rc = 0;
    if (sgx_ssa_size(secs->attributes.xfrm, h->miscselect) > h->ssa_frame_size * SGX_PAGE_SIZE)
        rc = error_code(err, EINVAL,
                        "load the enclave: an SSA frame of %u pages is too small for XFRM %#llx",
                        h->ssa_frame_size, (unsigned long long)secs->attributes.xfrm);
    if (rc == 0)
        rc = e->driver->create(e->handle, secs, err);
    free(secs);
    return rc;
}

static int prot_of(const struct enclave_file_range *r)
{
    if ((r->secinfo_flags & SGX_SECINFO_TYPE_MASK) == ENCLAVE_FILE_TCS)
        return PROT_READ | PROT_WRITE;
    return (r->secinfo_flags & SGX_SECINFO_R ? PROT_READ : 0) |
           (r->secinfo_flags & SGX_SECINFO_W ? PROT_WRITE : 0) |
           (r->secinfo_flags & SGX_SECINFO_X ? PROT_EXEC : 0);
}

static int compare_offsets(const void *a, const void *b)
{
    const struct enclave_file_range *x = a, *y = b;

    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Ranges get what they were added with; holes get everything, for the enclave decides there. */
static int map_all(struct sgx_enclave *e, const struct enclave_file *file, struct error *err)
{
    const uint32_t count = file->header->range_count;
    struct enclave_file_range *sorted = calloc(count, sizeof(*sorted));
    uint64_t at = e->base == 0 ? 0x10000 : 0;
    int rc = 0;

    if (!sorted)
        return error_errno(err, ENOMEM, "load the enclave");
    memcpy(sorted, file->ranges, count * sizeof(*sorted));
    qsort(sorted, count, sizeof(*sorted), compare_offsets);
    for (uint32_t i = 0; rc == 0 && i <= count; i++) {
        uint64_t start = i < count ? sorted[i].offset : e->size;
        if (start > at && e->driver->sgx2)
            rc = e->driver->map(e->handle, e->base + at, start - at,
                                PROT_READ | PROT_WRITE | PROT_EXEC, err);
        if (rc == 0 && i < count)
            rc = e->driver->map(e->handle, e->base + start, sorted[i].size, prot_of(&sorted[i]),
                                err);
        at = i < count ? start + sorted[i].size : at;
    }
    free(sorted);
    return rc;
}

static int note_tcs(struct sgx_enclave *e, const struct enclave_file *file, struct error *err)
{
    uint64_t pages = 0;

    for (uint32_t i = 0; i < file->header->range_count; i++)
        if ((file->ranges[i].secinfo_flags & SGX_SECINFO_TYPE_MASK) == ENCLAVE_FILE_TCS)
            pages += file->ranges[i].size / SGX_PAGE_SIZE;
    if (pages == 0 || pages > 1u << 20)
        return error_code(err, ENOEXEC, "enclave file: %llu TCS pages", (unsigned long long)pages);
    e->tcs = calloc(pages, sizeof(*e->tcs));
    if (!e->tcs)
        return error_errno(err, ENOMEM, "load the enclave");
    for (uint32_t i = 0; i < file->header->range_count; i++) {
        const struct enclave_file_range *r = &file->ranges[i];
        if ((r->secinfo_flags & SGX_SECINFO_TYPE_MASK) != ENCLAVE_FILE_TCS)
            continue;
        for (uint64_t o = 0; o < r->size; o += SGX_PAGE_SIZE)
            e->tcs[e->tcs_count++] = e->base + r->offset + o;
    }
    return 0;
}

static int load(struct sgx_enclave *e, const struct enclave_file *file,
                const struct sgx_sigstruct *sigstruct, const struct sgx_load_options *options,
                struct error *err)
{
    const struct enclave_file_header *h = file->header;
    if ((h->flags & ENCLAVE_FILE_NEEDS_SGX2) && !e->driver->sgx2)
        return error_code(
            err, ENOTSUP,
            "load the enclave: it adds memory while it runs, which needs SGX2, and "
            "this machine has SGX1; build it for SGX1 (enclave.sgx2=false, rune-image "
            "convert --no-sgx2)");
    if (options->fixed_base && (h->flags & ENCLAVE_FILE_ANY_BASE))
        return error_code(err, ENOEXEC,
                          "load the enclave: its file leaves the base of ELRANGE open, and this "
                          "enclave runs at one base only; convert the image again");
    int rc = e->driver->open(&e->handle, err);

    if (rc == 0)
        rc = e->driver->reserve(e->handle, h->base, h->size, h->flags & ENCLAVE_FILE_ANY_BASE,
                                &e->base, err);
    e->size = h->size;
    if (rc == 0)
        rc = check_machine(e, h, err);
    if (rc == 0)
        rc = create(e, h, options, err);
    if (rc == 0)
        rc = walk(file, &(struct sink){add_to_driver, e}, err);
    if (rc == 0 && (h->attributes & SGX_ATTR_PROVISION_KEY))
        rc = e->driver->provision(e->handle, err);
    if (rc == 0)
        rc = map_all(e, file, err);
    if (rc == 0)
        rc = e->driver->init(e->handle, sigstruct, err);
    if (rc == 0 && e->driver->use_sites && h->site_count)
        rc = e->driver->use_sites(e->handle, file->sites, h->site_count, h->trampoline_offset, err);
    if (rc == 0)
        rc = note_tcs(e, file, err);
    e->ssa_frame_size = h->ssa_frame_size;
    memcpy(e->info, h->info, sizeof(e->info));
    return rc;
}

int sgx_enclave_load(const struct sgx_driver *driver, int enclave_fd,
                     const struct sgx_sigstruct *sigstruct, const struct sgx_load_options *options,
                     struct sgx_enclave **out, struct error *err)
{
    struct enclave_file *file = NULL;
    struct sgx_enclave *e = calloc(1, sizeof(*e));

    if (!e)
        return error_errno(err, ENOMEM, "load the enclave");
    e->driver = driver;
    /* A processor says only that it refuses; the emulator's EINIT makes this check and says why. */
    int rc = driver->emulated ? 0 : sgx_sigstruct_check(sigstruct, err);
    if (rc == 0)
        rc = enclave_file_open(enclave_fd, &file, err);
    if (rc == 0)
        rc = load(e, file, sigstruct, options, err);
    enclave_file_close(file);
    if (rc < 0) {
        sgx_enclave_free(e);
        return rc;
    }
    memcpy(e->mrenclave, sigstruct->mrenclave, sizeof(e->mrenclave));
    sgx_sigstruct_mrsigner(sigstruct, e->mrsigner);
    *out = e;
    return 0;
}

void sgx_enclave_free(struct sgx_enclave *e)
{
    if (!e)
        return;
    if (e->handle)
        e->driver->close(e->handle);
    free(e->tcs);
    free(e);
}
