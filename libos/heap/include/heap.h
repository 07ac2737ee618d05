/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of the LibOS (libos/heap). User pages are in pages.h. */
#pragma once

#include "log.h"

/* Memory: 16-byte aligned, not zeroed by kmalloc, NULL when out of memory. Any size; above a page
 * it is page granular. */
void *kmalloc(size_t size);
void *kzalloc(size_t size);
void *krealloc(void *p, size_t size);
void kfree(void *p);
void kfree_sensitive(void *p); /* wiped first: keys, and copies of them */
/* count contiguous pages, page aligned, contents undefined. */
void *page_alloc(size_t count);
void page_free(void *p, size_t count);
char *kstrdup(const char *s); /* NULL when out of memory */
char *kstrndup(const char *s, size_t n);

struct enclave_layout;
void heap_init(const struct enclave_layout *layout); /* once, at start */
