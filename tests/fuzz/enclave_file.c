/* SPDX-License-Identifier: Apache-2.0 */
/* The reader of enclave files: whatever it accepts must be safe to walk as the loader does. */
#include <stdint.h>
#include <stdlib.h>

#include "base/error.h"
#include "sgx/enclave_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint8_t g_sum;

static void walk(const struct enclave_file *file)
{
    for (uint32_t i = 0; i < file->header->range_count; i++) {
        const struct enclave_file_range *r = &file->ranges[i];
        if (r->offset + r->size > file->header->size)
            abort();
        if (r->file_offset != ENCLAVE_FILE_ZERO) {
            g_sum += file->data[r->file_offset];
            g_sum += file->data[r->file_offset + r->size - 1];
        }
    }
    for (uint32_t i = 0; i < file->header->site_count; i++)
        if (file->sites[i] + ENCLAVE_FILE_SITE_SIZE > file->header->size)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = ERROR_INIT;
    struct enclave_file *file = NULL;

    if (enclave_file_parse(data, size, &file, &err) == 0) {
        walk(file);
        enclave_file_close(file);
    }
    error_release(&err);
    return 0;
}
