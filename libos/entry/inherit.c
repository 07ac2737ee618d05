/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the deployment does not say, and a container has from where it is started: the names of its
 * UTS namespace (a pod's name, when the namespace is joined) where the deployment leaves them to
 * the host, limits of its processes. All of it is the host's word, bounded here. An image with a
 * bound gets none that its bound does not allow.
 */
#include "bound.h"
#include "deployment.h"
#include "host_value.h"
#include "lib.h"
#include "start.h"

#define NR_OPEN    1048576u /* fs.nr_open */
#define ALL_LIMITS 0xffffu
/* The carrier's own: it dumps no core, and a stack is the LibOS's. */
#define OWN_LIMITS (1u << LIMIT_CORE | 1u << LIMIT_STACK)

static bool has_bound(void)
{
    return g_layout->bound != 0;
}

static bool take_name(char **name, const char from[BOUNDARY_NAME_SIZE], u32 member)
{
    char text[BOUNDARY_NAME_SIZE];

    memcpy(text, from, sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    if (*name != NULL || !host_value_is_name(text, strlen(text)))
        return false;
    if (has_bound() &&
        !bound_allows_text((const void *)g_layout->bound, g_layout->bound_size, member, text))
        return false;
    *name = kstrndup(text, strlen(text));
    return *name != NULL;
}

void inherit_names(const struct boundary_boot *boot)
{
    struct deployment *d = &g_deployment;

    if (!d->host_names)
        return;
    d->hostname_given = take_name(&d->hostname, boot->hostname, BOUND_HOSTNAME);
    d->domainname_given = take_name(&d->domainname, boot->domainname, BOUND_DOMAINNAME);
}

void inherit_limits(const struct rlimit64 limits[16])
{
    u32 wanted = ALL_LIMITS & ~OWN_LIMITS & ~g_deployment.rlimits_set;

    if (has_bound())
        return;
    for (u32 i = 0; i < 16; i++) {
        struct rlimit64 l = limits[i];

        if ((wanted & 1u << i) == 0 || l.soft > l.hard)
            continue;
        if (i == LIMIT_NOFILE)
            l = (struct rlimit64){MIN(l.soft, (u64)NR_OPEN), MIN(l.hard, (u64)NR_OPEN)};
        g_deployment.rlimits[i] = l;
        g_deployment.rlimits_set |= 1u << i;
    }
}
