/* SPDX-License-Identifier: Apache-2.0 */
#include "enclave/locate.h"

#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/path.h"

/* `variable`/name, else <prefix>/relative/name if it is there, else fallback/name. */
static char *locate(const char *variable, const char *relative, const char *fallback,
                    const char *name)
{
    const char *directory = secure_getenv(variable);
    if (directory != NULL && directory[0] == '/')
        return path_join(directory, name);
    cleanup_free char *prefix = path_own_prefix();
    if (prefix != NULL) {
        cleanup_free char *base = path_join(prefix, relative);
        char *path = path_join(base, name);
        if (access(path, F_OK) == 0)
            return path;
        free(path);
    }
    return path_join(fallback, name);
}

char *locate_program(const char *name)
{
    return locate("RUNE_LIBEXEC_DIR", LIBEXEC_RELATIVE, LIBEXEC_DIR, name);
}

char *locate_runtime(const char *path_or_name)
{
    if (strchr(path_or_name, '/') != NULL)
        return xstrdup(path_or_name);
    cleanup_free char *file = xasprintf("liberpal-%s.so", path_or_name);
    return locate_runtime_file(file);
}

char *locate_runtime_file(const char *name)
{
    return locate("RUNE_RUNTIMES_DIR", RUNTIMES_RELATIVE, RUNTIMES_DIR, name);
}
