/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/*
 * The LibOS's EROFS reader over a file on the host. A door of its own, because libos/include and
 * the C library's headers cannot be included together.
 */
struct sealed_reader;
enum sealed_type { SEALED_OTHER, SEALED_REGULAR, SEALED_DIRECTORY };

int sealed_open(struct sealed_reader **out, int fd, uint64_t size, struct error *err);
void sealed_close(struct sealed_reader *reader);
uint64_t sealed_root(const struct sealed_reader *reader);
/* Where in the file an inode is. */
uint64_t sealed_inode_offset(const struct sealed_reader *reader, uint64_t nid);
/* Negative errno from here on. */
/* An absolute path; symbolic links are not followed. */
int sealed_find(struct sealed_reader *reader, const char *path, uint64_t *nid);
int sealed_list(struct sealed_reader *reader, uint64_t nid,
                bool (*fn)(void *ctx, uint64_t nid, enum sealed_type type), void *ctx);
enum sealed_type sealed_type_of(struct sealed_reader *reader, uint64_t nid);
int64_t sealed_size(struct sealed_reader *reader, uint64_t nid);
/* Exactly n bytes. */
int sealed_read(struct sealed_reader *reader, uint64_t nid, uint64_t offset, void *data, size_t n);
