/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intel RDT: the container's group in resctrl (runtime-spec config-linux, intelRdt). Runs in rune.
 *
 *   closID  schemas  directory closID
 *   no      any                        ours, named after the container, removed with it
 *   yes     yes      missing           made, and stays: others may share it
 *   yes     yes      there             must have these schemas already
 *   yes     no       missing           an error
 *   yes     no       there             joined
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"
#include "container/private.h"

const char rdt_root[] = "/sys/fs/resctrl";

enum { SCHEMATA_MAX = 65536 };

static char *group_path(const char *root, const struct oci_config *config, const char *id)
{
    return path_join(root, config->intel_rdt.clos_id ? config->intel_rdt.clos_id : id);
}

static bool monitored(const struct oci_intel_rdt *rdt)
{
    return rdt->enable_cmt || rdt->enable_mbm;
}

/* ---- schemata: lines "NAME:ID=VALUE;ID=VALUE" ---- */

static const char *skip_blanks(const char *text)
{
    return text + strspn(text, " \t");
}

/* The domains of one resource in a schemata text, or NULL. */
static const char *find_resource(const char *text, const char *name, size_t length)
{
    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        const char *start = skip_blanks(line);
        if (strncmp(start, name, length) == 0 && start[length] == ':')
            return start + length + 1;
    }
    return NULL;
}

/* Whether two values are the same but for blanks and leading zeros; each ends at ';' or a line. */
static bool same_value(const char *a, const char *b)
{
    a += strspn(a, " \t0");
    b += strspn(b, " \t0");
    size_t length = strcspn(a, "; \t\r\n");
    return length == strcspn(b, "; \t\r\n") && strncmp(a, b, length) == 0;
}

/* "ID=VALUE" must be among `domains`. */
static bool has_domain(const char *domains, const char *wanted)
{
    size_t length = strcspn(wanted, "=;\n");
    if (wanted[length] != '=')
        return false;
    for (const char *p = skip_blanks(domains); *p && *p != '\n';) {
        if (strncmp(p, wanted, length) == 0 && p[length] == '=')
            return same_value(p + length + 1, wanted + length + 1);
        p += strcspn(p, ";\n");
        p = skip_blanks(p + (*p == ';'));
    }
    return false;
}

/* Whether everything that `wanted` (any number of lines) says holds in `actual`. */
static bool schemata_match(const char *wanted, const char *actual)
{
    for (const char *line = wanted; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        const char *start = skip_blanks(line);
        size_t length = strcspn(start, ":\n");
        if (*start == '\n' || !*start)
            continue;
        const char *domains = start[length] == ':' ? find_resource(actual, start, length) : NULL;
        if (!domains)
            return false;
        const char *p = skip_blanks(start + length + 1);
        while (*p && *p != '\n') {
            if (!has_domain(domains, p))
                return false;
            p += strcspn(p, ";\n");
            p = skip_blanks(p + (*p == ';'));
        }
    }
    return true;
}

static int check_schema(int dir, const char *key, const char *wanted, struct error *err)
{
    cleanup_buffer struct buffer actual = BUFFER_INIT;
    if (!wanted)
        return 0;
    if (read_file_at(dir, "schemata", &actual, SCHEMATA_MAX, err) < 0)
        return -1;
    if (!schemata_match(wanted, buffer_text(&actual)))
        return error_set(err, "intelRdt.%s: the existing class has another schema", key);
    return 0;
}

static int write_schemas(int dir, const struct oci_intel_rdt *rdt, struct error *err)
{
    cleanup_buffer struct buffer text = BUFFER_INIT;
    if (rdt->l3_cache_schema)
        buffer_append_format(&text, "%s\n", rdt->l3_cache_schema);
    if (rdt->mem_bw_schema)
        buffer_append_format(&text, "%s\n", rdt->mem_bw_schema);
    return text.size ? write_file_at(dir, "schemata", text.data, text.size, err) : 0;
}

/* ---- the group ---- */

static int set_up_group(const char *path, const struct oci_intel_rdt *rdt, struct error *err)
{
    bool schemas = rdt->l3_cache_schema || rdt->mem_bw_schema;
    bool existed = false;
    if (!rdt->clos_id || schemas) {
        existed = mkdir(path, 0755) < 0;
        if (existed && errno != EEXIST)
            return error_errno(err, errno, "create resctrl group %s", path);
    }
    cleanup_close int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return error_errno(err, errno, "open resctrl group %s", path);
    if (rdt->clos_id && existed) {
        if (check_schema(dir, "l3CacheSchema", rdt->l3_cache_schema, err) < 0 ||
            check_schema(dir, "memBwSchema", rdt->mem_bw_schema, err) < 0)
            return error_wrap(err, "resctrl group %s", path);
        return take_fd(dir);
    }
    if (write_schemas(dir, rdt, err) < 0)
        return error_wrap(err, "resctrl group %s", path);
    return take_fd(dir);
}

static int join_group(int dir, pid_t pid, struct error *err)
{
    char text[16];
    int length = snprintf(text, sizeof(text), "%d", (int)pid);
    return write_file_at(dir, "tasks", text, (size_t)length, err);
}

/* A class may be shared, so what is to be measured is a monitoring group of the container's own. */
static int join_monitor(int dir, const char *id, pid_t pid, struct error *err)
{
    cleanup_free char *name = path_join("mon_groups", id);
    if (mkdirat(dir, name, 0755) < 0 && errno != EEXIST)
        return error_errno(err, errno, "create resctrl monitoring group %s", name);
    cleanup_close int group = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (group < 0)
        return error_errno(err, errno, "open resctrl monitoring group %s", name);
    return join_group(group, pid, err);
}

int rdt_apply(const char *root, const struct oci_config *config, const char *id, pid_t pid,
              struct error *err)
{
    const struct oci_intel_rdt *rdt = &config->intel_rdt;
    if (!rdt->present)
        return 0;
    cleanup_free char *path = group_path(root, config, id);
    cleanup_close int dir = set_up_group(path, rdt, err);
    if (dir < 0)
        return dir;
    if (join_group(dir, pid, err) < 0)
        return error_wrap(err, "resctrl group %s", path);
    return monitored(rdt) ? join_monitor(dir, id, pid, err) : 0;
}

void rdt_remove(const char *root, const struct oci_config *config, const char *id)
{
    const struct oci_intel_rdt *rdt = &config->intel_rdt;
    if (!rdt->present)
        return;
    cleanup_free char *path = group_path(root, config, id);
    if (monitored(rdt)) {
        cleanup_free char *monitor = xasprintf("%s/mon_groups/%s", path, id);
        rmdir(monitor);
    }
    /* A class that was named in the configuration may be shared, and stays. */
    if (!rdt->clos_id)
        rmdir(path);
}
