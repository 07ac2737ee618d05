/* SPDX-License-Identifier: Apache-2.0 */
/* A bound's JSON: any text is refused in one line, or becomes what the LibOS reads. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "enclave/bundle/bound_build.h"
#include "libos_bound.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buffer text = BUFFER_INIT, blob = BUFFER_INIT;
    struct error err = ERROR_INIT;

    buffer_append(&text, data, size);
    if (bound_compile(buffer_text(&text), size, "bound.json", &blob, &err) < 0) {
        if (strchr(error_text(&err), '\n') || strncmp(error_text(&err), "bound.json:", 11) != 0)
            abort();
    } else if (!bound_readable(blob.data, blob.size)) {
        abort();
    }
    error_release(&err);
    buffer_release(&text);
    buffer_release(&blob);
    return 0;
}
