/* SPDX-License-Identifier: Apache-2.0 */
/* Intel RDT: the container's group in resctrl (runtime-spec config-linux, intelRdt). Runs in
 * rune. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "container/private.h"

static char *group_path(const struct oci_config *config, const char *id)
{
    const char *name = config->intel_rdt.clos_id ? config->intel_rdt.clos_id : id;
    return xasprintf("/sys/fs/resctrl/%s", name);
}

int rdt_apply(const struct oci_config *config, const char *id, pid_t pid, struct error *err)
{
    const struct oci_intel_rdt *rdt = &config->intel_rdt;
    if (!rdt->present)
        return 0;
    cleanup_free char *path = group_path(config, id);
    bool schema = rdt->l3_cache_schema || rdt->mem_bw_schema;
    if (mkdir(path, 0755) < 0 && errno != EEXIST)
        return error_errno(err, errno, "create resctrl group %s", path);
    cleanup_close int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return error_errno(err, errno, "open resctrl group %s", path);
    if (schema) {
        cleanup_buffer struct buffer text = BUFFER_INIT;
        if (rdt->l3_cache_schema)
            buffer_append_format(&text, "%s\n", rdt->l3_cache_schema);
        if (rdt->mem_bw_schema)
            buffer_append_format(&text, "%s\n", rdt->mem_bw_schema);
        if (write_file_at(dir, "schemata", text.data, text.size, err) < 0)
            return -1;
    }
    char text[16];
    int length = snprintf(text, sizeof(text), "%d", (int)pid);
    return write_file_at(dir, "tasks", text, (size_t)length, err);
}

void rdt_remove(const struct oci_config *config, const char *id)
{
    /* A group that was named in the configuration may be shared, and stays. */
    if (!config->intel_rdt.present || config->intel_rdt.clos_id)
        return;
    cleanup_free char *path = group_path(config, id);
    rmdir(path);
}
