/* SPDX-License-Identifier: Apache-2.0 */
/* state.json, as a crash or another program may leave it, and what delete makes of its cgroup
 * paths. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "container/private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_error struct error err = ERROR_INIT;
    struct oci_state *state = NULL;
    if (oci_state_parse((const char *)data, size, &state, &err) < 0)
        return 0;
    struct cgroup cgroup;
    cgroup_from_state(state, &cgroup);
    const char *key;
    json_t *value;
    json_object_foreach (cgroup.paths, key, value) {
        /* These directories get removed. */
        const char *path = json_string_value(value);
        if (!path || path[0] != '/' || strstr(path, "/../"))
            abort();
    }
    (void)cgroup_path(&cgroup, "memory");
    cgroup_release(&cgroup);
    oci_state_free(state);
    return 0;
}
