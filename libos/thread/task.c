/* SPDX-License-Identifier: Apache-2.0 */
/* The processes that there are, what credentials allow, and what a thread asks of rooms above. */
#include "task.h"

struct mutex g_process_lock;
struct list_head g_processes = LIST_HEAD_INIT(g_processes);
struct process g_kernel_process;
const struct residency_ops *g_residency;

int process_for_each(int (*fn)(struct process *p, void *ctx), void *ctx)
{
    struct process *p, *n;
    int r = 0;
    mutex_lock(&g_process_lock);
    list_for_each_entry_safe (p, n, &g_processes, all) {
        r = fn(p, ctx);
        if (r)
            break;
    }
    mutex_unlock(&g_process_lock);
    return r;
}

bool cred_capable(const struct cred *c, int cap)
{
    return c->cap_effective >> cap & 1;
}

bool capable(int cap)
{
    return cred_capable(&current_process()->cred, cap);
}

/* Of every process's groups, which setgroups() replaces under g_process_lock and this: readers need
 * one of them. Nothing is called while it is held. */
static struct mutex g_groups_lock;

u32 cred_groups(const struct cred *c, u32 *ids, u32 room)
{
    mutex_lock(&g_groups_lock);
    u32 count = c->group_count;
    if (count && count <= room)
        memcpy(ids, c->groups, count * sizeof(u32));
    mutex_unlock(&g_groups_lock);
    return count;
}

void process_groups_set(struct process *p, u32 *groups, u32 count)
{
    mutex_lock(&g_process_lock);
    mutex_lock(&g_groups_lock);
    u32 *old = p->cred.groups;
    p->cred.groups = groups;
    p->cred.group_count = count;
    mutex_unlock(&g_groups_lock);
    mutex_unlock(&g_process_lock);
    kfree(old);
}

bool cred_in_group(const struct cred *c, u32 gid)
{
    bool found = c->fsgid == gid;
    if (found || c->group_count == 0)
        return found;
    mutex_lock(&g_groups_lock);
    for (u32 i = 0; i < c->group_count && !found; i++)
        found = c->groups[i] == gid;
    mutex_unlock(&g_groups_lock);
    return found;
}

void thread_raise(u32 signals)
{
    current()->raised |= signals;
    __atomic_or_fetch(&current()->attention, ATTENTION_RAISED, __ATOMIC_RELEASE);
}
