/* SPDX-License-Identifier: Apache-2.0 */
/* sgx-tools inspect: whatever the file, a description or an error. */
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "tools/inspect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_error struct error err = ERROR_INIT;
    cleanup_close int fd = memfd_create("inspect", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    cleanup_json json_t *description = inspect_file(fd, &err);
    if (description ? !json_is_string(json_object_get(description, "kind")) : !err.message)
        abort();
    if (description)
        free(json_text(description, 0)); /* texts that are no UTF-8 end the process there */
    return 0;
}
