/* SPDX-License-Identifier: Apache-2.0 */
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/path.h"
#include "enclave/bundle/internal.h"

static char *find(const char *variable, const char *relative, const char *fallback,
                  const char *name)
{
    static const char *const up[] = {"..", "../.."}; /* from bin, from libexec/rune */
    const char *dir = secure_getenv(variable);
    if (dir && *dir)
        return path_join(dir, name);
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n > 0) {
        self[n] = 0;
        char *slash = strrchr(self, '/');
        *slash = 0;
        for (size_t i = 0; i < array_count(up); i++) {
            char *candidate = xasprintf("%s/%s/%s/%s", self, up[i], relative, name);
            if (access(candidate, R_OK) == 0)
                return candidate;
            free(candidate);
        }
    }
    return path_join(fallback, name);
}

char *find_libos(const char *option)
{
    return option ? xstrdup(option)
                  : find("RUNE_RUNTIMES_DIR", RUNTIMES_RELATIVE, RUNTIMES_DIR, "libos.elf");
}

char *find_program(const char *name)
{
    return find("RUNE_LIBEXEC_DIR", LIBEXEC_RELATIVE, LIBEXEC_DIR, name);
}

char *find_proxy(const char *libos)
{
    const char *slash = strrchr(libos, '/');
    cleanup_free char *dir = slash ? xstrndup(libos, (size_t)(slash - libos)) : xstrdup(".");
    return path_join(dir, "ratls-proxy");
}
