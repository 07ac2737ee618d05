/* SPDX-License-Identifier: Apache-2.0 */
/* User and group ids, supplementary groups, capabilities. They belong to the process; its threads
 * share them. */
#include "proc.h"
#include <linux/capability.h>
#include <linux/securebits.h>

#define UNCHANGED  0xffffffffu
#define GROUPS_MAX 65536
#define CAP_ALL    ((1ull << (CAP_LAST_CAP + 1)) - 1)

static struct cred *cred(void)
{
    return &current_process()->cred;
}

/* capabilities(7), "Effect of user ID changes on capabilities". */
static void uid_changed(struct cred *c, const struct cred *old)
{
    if (c->securebits & SECBIT_NO_SETUID_FIXUP)
        return;
    bool had_root = old->uid == 0 || old->euid == 0 || old->suid == 0;
    bool has_root = c->uid == 0 || c->euid == 0 || c->suid == 0;
    if (had_root && !has_root) {
        if (!current_process()->keepcaps) {
            c->cap_permitted = c->cap_effective = 0;
            c->cap_ambient = 0;
        }
    }
    if (old->euid == 0 && c->euid != 0)
        c->cap_effective = 0;
    if (old->euid != 0 && c->euid == 0)
        c->cap_effective = c->cap_permitted;
}

/* capabilities(7): the capabilities of file access follow the file system's user id. */
#define CAP_BIT(c) (1ull << (c))
#define CAP_FILE_ACCESS                                                              \
    (CAP_BIT(CAP_CHOWN) | CAP_BIT(CAP_DAC_OVERRIDE) | CAP_BIT(CAP_DAC_READ_SEARCH) | \
     CAP_BIT(CAP_FOWNER) | CAP_BIT(CAP_FSETID) | CAP_BIT(CAP_LINUX_IMMUTABLE) |      \
     CAP_BIT(CAP_MKNOD) | CAP_BIT(CAP_MAC_OVERRIDE))

static void fsuid_changed(struct cred *c, u32 old)
{
    if (c->securebits & SECBIT_NO_SETUID_FIXUP)
        return;
    if (old == 0 && c->fsuid != 0)
        c->cap_effective &= ~CAP_FILE_ACCESS;
    if (old != 0 && c->fsuid == 0)
        c->cap_effective |= c->cap_permitted & CAP_FILE_ACCESS;
}

static void commit(const struct cred *new)
{
    struct process *p = current_process();
    mutex_lock(&g_process_lock);
    if (new->euid != p->cred.euid || new->egid != p->cred.egid)
        p->dumpable = 0;
    /* The groups are setgroups()'s, of another thread perhaps since *new was made. */
    u32 *groups = p->cred.groups, count = p->cred.group_count;
    p->cred = *new;
    p->cred.groups = groups;
    p->cred.group_count = count;
    mutex_unlock(&g_process_lock);
}

long sys_getuid(void)
{
    return cred()->uid;
}

long sys_geteuid(void)
{
    return cred()->euid;
}

long sys_getgid(void)
{
    return cred()->gid;
}

long sys_getegid(void)
{
    return cred()->egid;
}

long sys_getresuid(uaddr real, uaddr effective, uaddr saved)
{
    struct cred *k = cred();
    if (put_user(k->uid, real) < 0 || put_user(k->euid, effective) < 0 ||
        put_user(k->suid, saved) < 0)
        return -EFAULT;
    return 0;
}

long sys_getresgid(uaddr real, uaddr effective, uaddr saved)
{
    struct cred *k = cred();
    if (put_user(k->gid, real) < 0 || put_user(k->egid, effective) < 0 ||
        put_user(k->sgid, saved) < 0)
        return -EFAULT;
    return 0;
}

long sys_setuid(u32 uid)
{
    struct cred n = *cred(), old = n;
    if (uid == UNCHANGED)
        return -EINVAL;
    if (capable(CAP_SETUID))
        n.uid = n.suid = uid;
    else if (uid != n.uid && uid != n.suid)
        return -EPERM;
    n.euid = n.fsuid = uid;
    uid_changed(&n, &old);
    commit(&n);
    return 0;
}

long sys_setgid(u32 gid)
{
    struct cred n = *cred();
    if (gid == UNCHANGED)
        return -EINVAL;
    if (capable(CAP_SETGID))
        n.gid = n.sgid = gid;
    else if (gid != n.gid && gid != n.sgid)
        return -EPERM;
    n.egid = n.fsgid = gid;
    commit(&n);
    return 0;
}

static bool one_of(u32 id, u32 a, u32 b, u32 c)
{
    return id == UNCHANGED || id == a || id == b || id == c;
}

long sys_setreuid(u32 ruid, u32 euid)
{
    struct cred n = *cred(), old = n;
    if (!capable(CAP_SETUID) &&
        (!one_of(ruid, n.uid, n.euid, n.uid) || !one_of(euid, n.uid, n.euid, n.suid)))
        return -EPERM;
    if (ruid != UNCHANGED)
        n.uid = ruid;
    if (euid != UNCHANGED)
        n.euid = euid;
    if (ruid != UNCHANGED || (euid != UNCHANGED && euid != old.uid))
        n.suid = n.euid;
    n.fsuid = n.euid;
    uid_changed(&n, &old);
    commit(&n);
    return 0;
}

long sys_setregid(u32 rgid, u32 egid)
{
    struct cred n = *cred(), old = n;
    if (!capable(CAP_SETGID) &&
        (!one_of(rgid, n.gid, n.egid, n.gid) || !one_of(egid, n.gid, n.egid, n.sgid)))
        return -EPERM;
    if (rgid != UNCHANGED)
        n.gid = rgid;
    if (egid != UNCHANGED)
        n.egid = egid;
    if (rgid != UNCHANGED || (egid != UNCHANGED && egid != old.gid))
        n.sgid = n.egid;
    n.fsgid = n.egid;
    commit(&n);
    return 0;
}

long sys_setresuid(u32 r, u32 e, u32 s)
{
    struct cred n = *cred(), old = n;
    if (!capable(CAP_SETUID) &&
        !(one_of(r, n.uid, n.euid, n.suid) && one_of(e, n.uid, n.euid, n.suid) &&
          one_of(s, n.uid, n.euid, n.suid)))
        return -EPERM;
    n.uid = r != UNCHANGED ? r : n.uid;
    n.euid = e != UNCHANGED ? e : n.euid;
    n.suid = s != UNCHANGED ? s : n.suid;
    n.fsuid = n.euid;
    uid_changed(&n, &old);
    commit(&n);
    return 0;
}

long sys_setresgid(u32 r, u32 e, u32 s)
{
    struct cred n = *cred();
    if (!capable(CAP_SETGID) &&
        !(one_of(r, n.gid, n.egid, n.sgid) && one_of(e, n.gid, n.egid, n.sgid) &&
          one_of(s, n.gid, n.egid, n.sgid)))
        return -EPERM;
    n.gid = r != UNCHANGED ? r : n.gid;
    n.egid = e != UNCHANGED ? e : n.egid;
    n.sgid = s != UNCHANGED ? s : n.sgid;
    n.fsgid = n.egid;
    commit(&n);
    return 0;
}

/* Both return the old value whether it worked or not. */
long sys_setfsuid(u32 id)
{
    struct cred n = *cred();
    u32 old = n.fsuid;
    if (id == n.uid || id == n.euid || id == n.suid || id == n.fsuid || capable(CAP_SETUID)) {
        n.fsuid = id == UNCHANGED ? old : id;
        fsuid_changed(&n, old);
        commit(&n);
    }
    return old;
}

long sys_setfsgid(u32 id)
{
    struct cred n = *cred();
    u32 old = n.fsgid;
    if (id == n.gid || id == n.egid || id == n.sgid || id == n.fsgid || capable(CAP_SETGID)) {
        n.fsgid = id == UNCHANGED ? old : id;
        commit(&n);
    }
    return old;
}

long sys_getgroups(int size, uaddr user_groups)
{
    u32 count = cred_groups(cred(), NULL, 0), room = count;
    if (size < 0)
        return -EINVAL;
    if (size == 0 || count == 0)
        return count;
    if ((u32)size < count)
        return -EINVAL;
    u32 *groups = kmalloc(room * sizeof(u32));
    if (!groups)
        return -ENOMEM;
    count = cred_groups(cred(), groups, room);
    long r = count > room ? -EINVAL : count;
    if (r > 0 && copy_to_user(user_groups, groups, count * sizeof(u32)) < 0)
        r = -EFAULT;
    kfree(groups);
    return r;
}

long sys_setgroups(int count, uaddr user_groups)
{
    u32 *groups = NULL;
    if (!capable(CAP_SETGID))
        return -EPERM;
    if ((u64)count > GROUPS_MAX)
        return -EINVAL;
    if (count) {
        groups = kmalloc((size_t)count * sizeof(u32));
        if (!groups)
            return -ENOMEM;
        if (copy_from_user(groups, user_groups, (size_t)count * sizeof(u32)) < 0) {
            kfree(groups);
            return -EFAULT;
        }
    }
    process_groups_set(current_process(), groups, (u32)count);
    return 0;
}

/* ---- capabilities: version 3, two 32-bit words each ---- */

static int cap_header(uaddr where, struct __user_cap_header_struct *h, int *words)
{
    if (get_user(*h, where) < 0)
        return -EFAULT;
    switch (h->version) {
    case _LINUX_CAPABILITY_VERSION_1:
        *words = 1;
        return 0;
    case _LINUX_CAPABILITY_VERSION_2:
    case _LINUX_CAPABILITY_VERSION_3:
        *words = 2;
        return 0;
    default: {
        u32 known = _LINUX_CAPABILITY_VERSION_3;
        return put_user(known, where) < 0 ? -EFAULT : -EINVAL;
    }
    }
}

long sys_capget(uaddr header, uaddr user_data)
{
    struct __user_cap_header_struct h;
    struct __user_cap_data_struct data[2] = {{0}};
    struct cred c2 = {0};
    int words, r = cap_header(header, &h, &words);
    if (r < 0)
        return r == -EINVAL && !user_data.at ? 0 : r;
    if (h.pid < 0)
        return -EINVAL;
    mutex_lock(&g_process_lock);
    struct thread *t = h.pid == 0 ? current() : thread_find(h.pid);
    if (t)
        c2 = t->process->cred;
    mutex_unlock(&g_process_lock);
    if (!t)
        return -ESRCH;
    for (int i = 0; i < 2; i++) {
        data[i].effective = (u32)(c2.cap_effective >> (32 * i));
        data[i].permitted = (u32)(c2.cap_permitted >> (32 * i));
        data[i].inheritable = (u32)(c2.cap_inheritable >> (32 * i));
    }
    return user_data.at ? copy_to_user(user_data, data, (size_t)words * sizeof(data[0])) : 0;
}

long sys_capset(uaddr header, uaddr user_data)
{
    struct __user_cap_header_struct h;
    struct __user_cap_data_struct data[2] = {{0}};
    int words, r = cap_header(header, &h, &words);
    if (r < 0)
        return r;
    if (h.pid != 0 && h.pid != current_process()->pid && h.pid != current()->tid)
        return -EPERM;
    if (copy_from_user(data, user_data, (size_t)words * sizeof(data[0])) < 0)
        return -EFAULT;
    struct cred n = *cred();
    u64 e = data[0].effective | (u64)data[1].effective << 32;
    u64 p = data[0].permitted | (u64)data[1].permitted << 32;
    u64 i = data[0].inheritable | (u64)data[1].inheritable << 32;
    e &= CAP_ALL;
    p &= CAP_ALL;
    i &= CAP_ALL;
    u64 inherit_limit = n.cap_inheritable |
                        (capable(CAP_SETPCAP) ? n.cap_bounding : n.cap_permitted);
    if ((i & ~inherit_limit) || (i & ~(n.cap_inheritable | n.cap_bounding)) ||
        (p & ~n.cap_permitted) || (e & ~p))
        return -EPERM;
    n.cap_effective = e;
    n.cap_permitted = p;
    n.cap_inheritable = i;
    n.cap_ambient &= p & i;
    commit(&n);
    return 0;
}
