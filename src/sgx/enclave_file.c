/* SPDX-License-Identifier: Apache-2.0 */
/* Reading enclave files: every field is hostile until it has been checked here. */
#include "sgx/enclave_file.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/error.h"
#include "sgx_arch.h"

/* What the public struct points into. */
struct owned {
    struct enclave_file file;
    struct enclave_file_header header;
    struct enclave_file_range *ranges;
    uint64_t *sites;
    void *mapping; /* NULL when the bytes are the caller's */
};

#define refuse(err, ...) error_code(err, ENOEXEC, "enclave file: " __VA_ARGS__)

static bool aligned(uint64_t value)
{
    return value % ENCLAVE_FILE_PAGE == 0;
}

/* [offset, offset + count * item) lies in a file of `size` bytes */
static bool table_fits(uint64_t offset, uint64_t count, uint64_t item, uint64_t size)
{
    return offset <= size && count <= (size - offset) / item;
}

static int check_header(const struct enclave_file_header *h, uint64_t size, struct error *err)
{
    const uint64_t known = SGX_ATTR_MODE64 | SGX_ATTR_PROVISION_KEY | SGX_ATTR_EINIT_KEY |
                           SGX_ATTR_CET | SGX_ATTR_AEX_NOTIFY;

    if (memcmp(h->magic, ENCLAVE_FILE_MAGIC, sizeof(h->magic)) != 0)
        return refuse(err, "this is not one (wrong magic)");
    if (h->version != ENCLAVE_FILE_VERSION || h->header_size != sizeof(*h) ||
        h->range_size != sizeof(struct enclave_file_range))
        return refuse(err, "version %u is not known", h->version);
    if (h->file_size != size)
        return refuse(err, "%llu bytes long, should be %llu: truncated?", (unsigned long long)size,
                      (unsigned long long)h->file_size);
    if (h->size < 2 * ENCLAVE_FILE_PAGE || (h->size & (h->size - 1)) || h->size > 1ull << 46)
        return refuse(err, "ELRANGE size %#llx is not a power of two", (unsigned long long)h->size);
    if (!(h->flags & ENCLAVE_FILE_ANY_BASE) &&
        ((h->base & (h->size - 1)) || h->base > (1ull << 47) - h->size))
        return refuse(err, "ELRANGE base %#llx is not aligned to its size",
                      (unsigned long long)h->base);
    if (h->flags & ~(ENCLAVE_FILE_ANY_BASE | ENCLAVE_FILE_NEEDS_SGX2))
        return refuse(err, "unknown flags %#x", h->flags);
    if (h->attributes & ~known)
        return refuse(err, "attributes %#llx cannot be asked for",
                      (unsigned long long)h->attributes);
    if (h->ssa_frame_size < 1 || h->ssa_frame_size > 16 || (h->miscselect & ~SGX_MISC_EXINFO))
        return refuse(err, "bad SSA frame size or MISCSELECT");
    if (h->range_count < 1 || h->range_count > ENCLAVE_FILE_RANGE_MAX ||
        !table_fits(h->ranges_offset, h->range_count, sizeof(struct enclave_file_range), size))
        return refuse(err, "the table of ranges does not fit the file");
    if (h->site_count > ENCLAVE_FILE_SITE_MAX ||
        !table_fits(h->sites_offset, h->site_count, sizeof(uint64_t), size))
        return refuse(err, "the table of ENCLU sites does not fit the file");
    if (!aligned(h->trampoline_offset) || h->trampoline_offset >= h->size)
        return refuse(err, "the trampoline page is outside of ELRANGE");
    for (size_t i = 0; i < sizeof(h->reserved); i++)
        if (h->reserved[i])
            return refuse(err, "a reserved byte of the header is not zero");
    return h->reserved0 ? refuse(err, "a reserved byte of the header is not zero") : 0;
}

static int check_range(const struct enclave_file_header *h, const struct enclave_file_range *r,
                       unsigned index, struct error *err)
{
    const uint64_t perm = r->secinfo_flags & SGX_SECINFO_PERM_MASK;
    const uint64_t type = r->secinfo_flags & ~SGX_SECINFO_PERM_MASK;

    if (!aligned(r->offset) || !aligned(r->size) || r->size == 0 || r->offset >= h->size ||
        r->size > h->size - r->offset)
        return refuse(err, "range %u is outside of ELRANGE or not page aligned", index);
    if (r->file_offset != ENCLAVE_FILE_ZERO &&
        (!aligned(r->file_offset) || !table_fits(r->file_offset, r->size, 1, h->file_size)))
        return refuse(err, "the contents of range %u are outside of the file", index);
    if (!(type == ENCLAVE_FILE_TCS && perm == 0) && !(type == ENCLAVE_FILE_REG && (perm & 1)))
        return refuse(err, "range %u has page type or permissions %#llx", index,
                      (unsigned long long)r->secinfo_flags);
    if (type == ENCLAVE_FILE_TCS && r->file_offset == ENCLAVE_FILE_ZERO)
        return refuse(err, "range %u is a TCS without contents", index);
    if ((r->flags & ~ENCLAVE_FILE_MEASURED) || r->reserved)
        return refuse(err, "range %u has unknown flags", index);
    if (h->trampoline_offset && h->trampoline_offset >= r->offset &&
        h->trampoline_offset - r->offset < r->size)
        return refuse(err, "range %u uses the trampoline page", index);
    if (!(h->flags & ENCLAVE_FILE_ANY_BASE) && h->base == 0 && r->offset < 0x10000)
        return refuse(err, "range %u is below 64 KiB, which cannot be mapped", index);
    return 0;
}

static int compare_ranges(const void *a, const void *b)
{
    const struct enclave_file_range *x = *(const struct enclave_file_range *const *)a;
    const struct enclave_file_range *y = *(const struct enclave_file_range *const *)b;

    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static int check_overlap(const struct owned *o, struct error *err)
{
    const uint32_t count = o->header.range_count;
    const struct enclave_file_range **sorted = calloc(count, sizeof(*sorted));
    int rc = 0;

    if (!sorted)
        return error_errno(err, ENOMEM, "enclave file");
    for (uint32_t i = 0; i < count; i++)
        sorted[i] = &o->ranges[i];
    qsort(sorted, count, sizeof(*sorted), compare_ranges);
    for (uint32_t i = 1; rc == 0 && i < count; i++)
        if (sorted[i]->offset - sorted[i - 1]->offset < sorted[i - 1]->size)
            rc = refuse(err, "two ranges overlap at %#llx", (unsigned long long)sorted[i]->offset);
    free(sorted);
    return rc;
}

/* Sites lie in executable ranges that are never writable, and hold the bytes that the contract
 * says. */
static int check_site(const struct owned *o, uint32_t index, struct error *err)
{
    static const uint8_t bytes[ENCLAVE_FILE_SITE_SIZE] = ENCLAVE_FILE_SITE_BYTES;
    const uint64_t site = o->sites[index];
    const uint64_t trampoline = o->header.trampoline_offset;

    if (!trampoline || (index && site < o->sites[index - 1] + ENCLAVE_FILE_SITE_SIZE))
        return refuse(err, "ENCLU sites without a trampoline page, or not in order");
    if ((site > trampoline ? site - trampoline : trampoline - site) > 0x7fff0000)
        return refuse(err, "the ENCLU site %#llx is too far from the trampoline page",
                      (unsigned long long)site);
    for (uint32_t i = 0; i < o->header.range_count; i++) {
        const struct enclave_file_range *r = &o->ranges[i];
        if (site < r->offset || site - r->offset >= r->size)
            continue;
        if (r->size - (site - r->offset) < ENCLAVE_FILE_SITE_SIZE ||
            r->file_offset == ENCLAVE_FILE_ZERO ||
            r->secinfo_flags != (ENCLAVE_FILE_REG | ENCLAVE_FILE_R | ENCLAVE_FILE_X) ||
            memcmp(o->file.data + r->file_offset + (site - r->offset), bytes, sizeof(bytes)) != 0)
            break;
        return 0;
    }
    return refuse(err, "there is no ENCLU site at %#llx", (unsigned long long)site);
}

static void free_owned(struct owned *o)
{
    if (o->mapping)
        munmap(o->mapping, o->file.size);
    free(o->ranges);
    free(o->sites);
    free(o);
}

static int parse(struct owned *o, struct error *err)
{
    struct enclave_file_header *h = &o->header;

    if (o->file.size < sizeof(*h))
        return refuse(err, "too short for its header");
    memcpy(h, o->file.data, sizeof(*h));
    int rc = check_header(h, o->file.size, err);
    if (rc < 0)
        return rc;

    o->ranges = calloc(h->range_count, sizeof(*o->ranges));
    o->sites = calloc(h->site_count ? h->site_count : 1, sizeof(*o->sites));
    if (!o->ranges || !o->sites)
        return error_errno(err, ENOMEM, "enclave file");
    memcpy(o->ranges, o->file.data + h->ranges_offset, h->range_count * sizeof(*o->ranges));
    memcpy(o->sites, o->file.data + h->sites_offset, h->site_count * sizeof(*o->sites));
    for (uint32_t i = 0; rc == 0 && i < h->range_count; i++)
        rc = check_range(h, &o->ranges[i], i, err);
    if (rc == 0)
        rc = check_overlap(o, err);
    for (uint32_t i = 0; rc == 0 && i < h->site_count; i++)
        rc = check_site(o, i, err);
    return rc;
}

static int make(const void *data, size_t size, void *mapping, struct enclave_file **out,
                struct error *err)
{
    struct owned *o = calloc(1, sizeof(*o));

    if (!o) {
        if (mapping)
            munmap(mapping, size);
        return error_errno(err, ENOMEM, "enclave file");
    }
    o->mapping = mapping;
    o->file.data = data;
    o->file.size = size;
    int rc = parse(o, err);
    if (rc < 0) {
        free_owned(o);
        return rc;
    }
    o->file.header = &o->header;
    o->file.ranges = o->ranges;
    o->file.sites = o->sites;
    *out = &o->file;
    return 0;
}

int enclave_file_parse(const void *data, size_t size, struct enclave_file **out, struct error *err)
{
    return make(data, size, NULL, out, err);
}

int enclave_file_open(int fd, struct enclave_file **out, struct error *err)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return error_errno(err, errno, "enclave file");
    if (st.st_size < (off_t)sizeof(struct enclave_file_header))
        return refuse(err, "too short for its header");
    void *mapping = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (mapping == MAP_FAILED)
        return error_errno(err, errno, "map the enclave file");
    return make(mapping, st.st_size, mapping, out, err);
}

void enclave_file_close(struct enclave_file *f)
{
    if (f)
        free_owned((struct owned *)f); /* the public part comes first */
}
