/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration file, as somebody may write it. What was read is found again by its key. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/toml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_error struct error err = ERROR_INIT;
    cleanup_toml struct toml toml = TOML_INIT;
    if (toml_read("file", (const char *)data, size, &toml, &err) < 0) {
        if (!strstr(error_text(&err), "file:") || toml.count != 0)
            abort();
        return 0;
    }
    for (size_t i = 0; i < toml.count; i++)
        if (!toml_find(&toml, toml.entries[i].key) || toml.entries[i].line == 0 ||
            (toml.entries[i].type == TOML_STRING) != (toml.entries[i].text != NULL))
            abort();
    return 0;
}
