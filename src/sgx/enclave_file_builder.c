/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "sgx/enclave_file.h"

struct pending_range {
    struct enclave_file_range range;
    uint8_t *data; /* range.size bytes, or NULL */
};

struct enclave_file_builder {
    struct enclave_file_header header;
    struct pending_range *ranges;
    uint64_t *sites;
    size_t range_room, site_room;
};

static uint64_t round_up(uint64_t value)
{
    return (value + ENCLAVE_FILE_PAGE - 1) & ~(ENCLAVE_FILE_PAGE - 1);
}

int enclave_file_builder_new(const struct enclave_file_header *header,
                             struct enclave_file_builder **out, struct error *err)
{
    struct enclave_file_builder *b = calloc(1, sizeof(*b));

    if (!b)
        return error_errno(err, ENOMEM, "enclave file");
    b->header = *header;
    memcpy(b->header.magic, ENCLAVE_FILE_MAGIC, sizeof(b->header.magic));
    b->header.version = ENCLAVE_FILE_VERSION;
    b->header.header_size = sizeof(b->header);
    b->header.range_size = sizeof(struct enclave_file_range);
    b->header.range_count = b->header.site_count = 0;
    b->header.reserved0 = 0;
    memset(b->header.reserved, 0, sizeof(b->header.reserved));
    *out = b;
    return 0;
}

void enclave_file_builder_free(struct enclave_file_builder *b)
{
    if (!b)
        return;
    for (uint32_t i = 0; i < b->header.range_count; i++)
        free(b->ranges[i].data);
    free(b->ranges);
    free(b->sites);
    free(b);
}

/* Room for one more item in a table that grows by doubling. */
static int grow(void *table, size_t *room, size_t used, size_t item, struct error *err)
{
    if (used < *room)
        return 0;
    size_t more = *room ? *room * 2 : 16;
    void *grown = reallocarray(*(void **)table, more, item);
    if (!grown)
        return error_errno(err, ENOMEM, "enclave file");
    *(void **)table = grown;
    *room = more;
    return 0;
}

int enclave_file_builder_add(struct enclave_file_builder *b, uint64_t offset, uint64_t size,
                             const void *data, size_t data_size, uint64_t secinfo_flags,
                             uint32_t flags, struct error *err)
{
    struct pending_range p = {
        .range = {offset, round_up(size), ENCLAVE_FILE_ZERO, secinfo_flags, flags, 0}};

    if (size == 0 || p.range.size < size || data_size > size)
        return error_code(err, EINVAL, "enclave file: range at %#llx has a bad size",
                          (unsigned long long)offset);
    if (b->header.range_count == ENCLAVE_FILE_RANGE_MAX)
        return error_code(err, E2BIG, "enclave file: more than %u ranges", ENCLAVE_FILE_RANGE_MAX);
    int rc = grow(&b->ranges, &b->range_room, b->header.range_count, sizeof(*b->ranges), err);
    if (rc < 0)
        return rc;
    if (data) {
        p.data = calloc(1, p.range.size);
        if (!p.data)
            return error_errno(err, ENOMEM, "enclave file");
        memcpy(p.data, data, data_size);
    }
    b->ranges[b->header.range_count++] = p;
    return 0;
}

int enclave_file_builder_add_site(struct enclave_file_builder *b, uint64_t offset,
                                  struct error *err)
{
    if (b->header.site_count == ENCLAVE_FILE_SITE_MAX)
        return error_code(err, E2BIG, "enclave file: more than %u ENCLU sites",
                          ENCLAVE_FILE_SITE_MAX);
    int rc = grow(&b->sites, &b->site_room, b->header.site_count, sizeof(*b->sites), err);
    if (rc < 0)
        return rc;
    b->sites[b->header.site_count++] = offset;
    return 0;
}

static int compare_sites(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* Where everything goes: header, ranges, sites, then contents from the next page on. */
static void lay_out(struct enclave_file_builder *b)
{
    struct enclave_file_header *h = &b->header;

    h->ranges_offset = sizeof(*h);
    h->sites_offset = h->ranges_offset + (uint64_t)h->range_count * h->range_size;
    uint64_t at = round_up(h->sites_offset + (uint64_t)h->site_count * sizeof(uint64_t));
    for (uint32_t i = 0; i < h->range_count; i++) {
        if (!b->ranges[i].data)
            continue;
        b->ranges[i].range.file_offset = at;
        at += b->ranges[i].range.size;
    }
    h->file_size = at;
    if (h->site_count)
        qsort(b->sites, h->site_count, sizeof(*b->sites), compare_sites);
}

static int write_parts(const struct enclave_file_builder *b, int fd)
{
    const struct enclave_file_header *h = &b->header;
    int rc = write_all(fd, h, sizeof(*h));

    for (uint32_t i = 0; rc == 0 && i < h->range_count; i++)
        rc = write_all(fd, &b->ranges[i].range, sizeof(b->ranges[i].range));
    if (rc == 0 && h->site_count)
        rc = write_all(fd, b->sites, h->site_count * sizeof(*b->sites));
    uint64_t end = h->sites_offset + (uint64_t)h->site_count * sizeof(uint64_t);
    if (rc == 0) {
        static const uint8_t zeros[ENCLAVE_FILE_PAGE];
        rc = write_all(fd, zeros, round_up(end) - end);
    }
    for (uint32_t i = 0; rc == 0 && i < h->range_count; i++)
        if (b->ranges[i].data)
            rc = write_all(fd, b->ranges[i].data, b->ranges[i].range.size);
    return rc;
}

int enclave_file_builder_write(struct enclave_file_builder *b, int fd, struct error *err)
{
    struct enclave_file *check = NULL;

    lay_out(b);
    int rc = write_parts(b, fd);
    if (rc < 0)
        return error_errno(err, -rc, "write the enclave file");
    rc = enclave_file_open(fd, &check, err);
    enclave_file_close(check);
    return rc;
}
