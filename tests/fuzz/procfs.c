/* SPDX-License-Identifier: Apache-2.0 */
/* The texts of /proc: stat (whose name a process chooses), mountinfo (whose paths users choose),
 * cgroup. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/procfs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void mounts(char *text, size_t size)
{
    struct procfs_mount mount;
    for (char *rest = text; procfs_next_mount(&rest, &mount);) {
        const char *fields[] = {mount.root, mount.point, mount.type, mount.source, mount.options};
        for (size_t i = 0; i < array_count(fields); i++)
            if (fields[i] < text || fields[i] + strlen(fields[i]) > text + size)
                abort();
    }
}

static void cgroups(char *text, size_t size)
{
    char *controllers, *path;
    for (char *rest = text; procfs_next_cgroup(&rest, &controllers, &path);)
        if (*path != '/' || strchr(controllers, ':') || path + strlen(path) > text + size)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char state = 0;
    uint64_t start = 0;
    cleanup_free char *text = xstrndup((const char *)data, size);
    if (procfs_parse_stat(text, &start, &state) == 0 && (!state || state == ' '))
        abort();
    cleanup_free char *copy = xstrdup(text);
    mounts(copy, size);
    cgroups(text, size);
    return 0;
}
