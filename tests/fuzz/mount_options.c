/* SPDX-License-Identifier: Apache-2.0 */
/* The option strings of a mount, one a line: what mount(2) and mount_setattr(2) are asked must
 * agree. */
#include <linux/mount.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "container/private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OPTIONS_MAX = 128 };

static void check(const struct mount_plan *plan)
{
    static const struct {
        unsigned long flag;
        uint64_t attr;
    } pairs[] = {
        {MS_RDONLY, MOUNT_ATTR_RDONLY},         {MS_NOSUID, MOUNT_ATTR_NOSUID},
        {MS_NODEV, MOUNT_ATTR_NODEV},           {MS_NOEXEC, MOUNT_ATTR_NOEXEC},
        {MS_NODIRATIME, MOUNT_ATTR_NODIRATIME},
    };
    for (size_t i = 0; i < array_count(pairs); i++)
        if (!!(plan->flags & pairs[i].flag) != !!(plan->attr_set & pairs[i].attr))
            abort();
    const uint64_t sets[] = {plan->attr_set, plan->rec_set};
    const uint64_t clears[] = {plan->attr_clear, plan->rec_clear};
    for (size_t i = 0; i < array_count(sets); i++) {
        uint64_t atime = sets[i] & MOUNT_ATTR__ATIME;
        /* The kernel refuses a bit that is set and cleared, and an access time mode without its
         * mask. */
        if (sets[i] & clears[i] & ~(uint64_t)MOUNT_ATTR__ATIME)
            abort();
        if (atime && (clears[i] & MOUNT_ATTR__ATIME) != MOUNT_ATTR__ATIME)
            abort();
        if (atime != MOUNT_ATTR_RELATIME && atime != MOUNT_ATTR_NOATIME &&
            atime != MOUNT_ATTR_STRICTATIME)
            abort();
    }
    if (plan->propagation_count > array_count(plan->propagation))
        abort();
    for (size_t i = 0; i < plan->propagation_count; i++) {
        unsigned kind = plan->propagation[i] & ~(unsigned)MS_REC;
        if (!kind || (kind & (kind - 1)))
            abort();
    }
    if ((plan->recursive && !plan->bind) || (plan->idmap_recursive && !plan->idmap))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_free char *text = xstrndup((const char *)data, size);
    const char *items[OPTIONS_MAX + 1] = {NULL};
    struct oci_mount mount = {.destination = "/x", .type = "tmpfs", .options = {.items = items}};
    char *rest = text;
    for (char *line; mount.options.count < OPTIONS_MAX && (line = strsep(&rest, "\n"));)
        items[mount.options.count++] = line;
    struct mount_plan plan;
    mount_plan_parse(&mount, &plan);
    check(&plan);
    mount_plan_release(&plan);
    for (size_t i = 0; i < mount.options.count; i++)
        (void)mount_propagation(items[i]);
    return 0;
}
