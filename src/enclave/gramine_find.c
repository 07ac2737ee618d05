/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "enclave/gramine.h"

char *gramine_directory(const char *prefix)
{
    static const char *const libraries[] = {"lib/x86_64-linux-gnu", "lib64", "lib"};
    for (size_t i = 0; i < array_count(libraries); i++) {
        char *directory = xasprintf("%s/%s/gramine", prefix, libraries[i]);
        cleanup_free char *loader = xasprintf("%s/sgx/loader", directory);
        if (access(loader, F_OK) == 0)
            return directory;
        free(directory);
    }
    return NULL;
}

const char *gramine_prefix(void)
{
    const char *prefix = secure_getenv("RUNE_GRAMINE");
    return prefix && prefix[0] == '/' ? prefix : "/usr";
}
