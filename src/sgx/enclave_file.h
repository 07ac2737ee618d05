/* SPDX-License-Identifier: Apache-2.0 */
/* Enclave files (abi/enclave_file.h): write them, and read them with every field checked. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "../../abi/enclave_file.h"

struct error;

/* ---- writing ---- */

struct enclave_file_builder;

/*
 * `header` gives base, size, attributes, xfrm, miscselect, ssa_frame_size, flags, ids, info and
 * trampoline_offset; the rest is filled by the builder. Owned by the caller; free with
 * enclave_file_builder_free.
 */
int enclave_file_builder_new(const struct enclave_file_header *header,
                             struct enclave_file_builder **out, struct error *err);
void enclave_file_builder_free(struct enclave_file_builder *b);

/*
 * Add a range of `size` bytes (rounded up to pages) at `offset` of ELRANGE. `data` is copied:
 * data_size bytes, then zeros. NULL data means zeros, which take no room in the file. Ranges are
 * added to the enclave in this order.
 */
int enclave_file_builder_add(struct enclave_file_builder *b, uint64_t offset, uint64_t size,
                             const void *data, size_t data_size, uint64_t secinfo_flags,
                             uint32_t flags, struct error *err);

/* Note an ENCLU site, an offset in ELRANGE. */
int enclave_file_builder_add_site(struct enclave_file_builder *b, uint64_t offset,
                                  struct error *err);

/* Write the file at the start of fd, which is empty. Same input, same bytes. The result is checked
 * as a reader would. */
int enclave_file_builder_write(struct enclave_file_builder *b, int fd, struct error *err);

/* ---- reading ---- */

/* A mapped and checked file. */
struct enclave_file {
    const struct enclave_file_header *header;
    const struct enclave_file_range
        *ranges;           /* header->range_count; no two overlap, all are inside ELRANGE */
    const uint64_t *sites; /* header->site_count */
    const uint8_t *data;
    size_t size;
};

/*
 * Map fd and check it. The file must not change while it is open: the header and the tables are
 * copied, page contents are not (what they are is settled by MRENCLAVE).
 */
int enclave_file_open(int fd, struct enclave_file **out, struct error *err);
/* The same for bytes in memory, which must be page aligned and outlive the result. */
int enclave_file_parse(const void *data, size_t size, struct enclave_file **out, struct error *err);
void enclave_file_close(struct enclave_file *f);
