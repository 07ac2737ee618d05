/* SPDX-License-Identifier: Apache-2.0 */
/* Small calls that belong to no other room. */
#include "deployment.h"
#include "fs.h"
#include "lib.h"
#include "mm.h"
#include "pages.h"
#include "process.h"
#include "syscall.h"
#include "user.h"
#include <linux/capability.h>
#include <linux/random.h>
#include <linux/sysinfo.h>
#include <linux/utsname.h>

#define RELEASE   "6.13.0-libos" /* the API level that programs may expect */
#define NAME_SIZE 65

static struct mutex g_names_lock;
static char g_hostname[NAME_SIZE], g_domainname[NAME_SIZE];
static bool g_names_set;

static void names_init_locked(void)
{
    if (g_names_set)
        return;
    g_names_set = true;
    strlcpy(g_hostname, g_deployment.hostname ? g_deployment.hostname : "localhost", NAME_SIZE);
    strlcpy(g_domainname, g_deployment.domainname ? g_deployment.domainname : "(none)", NAME_SIZE);
}

void uts_names(char hostname[65], char domainname[65])
{
    mutex_lock(&g_names_lock);
    names_init_locked();
    memcpy(hostname, g_hostname, NAME_SIZE);
    memcpy(domainname, g_domainname, NAME_SIZE);
    mutex_unlock(&g_names_lock);
}

long sys_uname(uaddr names)
{
    struct new_utsname u = {.sysname = "Linux", .release = RELEASE, .machine = "x86_64"};
    strlcpy(u.version, "#1 SMP enclave LibOS", sizeof(u.version));
    uts_names(u.nodename, u.domainname);
    return copy_to_user(names, &u, sizeof(u));
}

int uts_set_name(const char *name, size_t size, bool domain)
{
    char *to = domain ? g_domainname : g_hostname;
    if (!capable(CAP_SYS_ADMIN))
        return -EPERM;
    if (size > NAME_SIZE - 1)
        return -EINVAL;
    mutex_lock(&g_names_lock);
    names_init_locked();
    memset(to, 0, NAME_SIZE);
    memcpy(to, name, size);
    mutex_unlock(&g_names_lock);
    return 0;
}

static long set_name(uaddr from, int size, bool domain)
{
    char buf[NAME_SIZE] = {0};
    if (!capable(CAP_SYS_ADMIN))
        return -EPERM;
    if (size < 0 || size > NAME_SIZE - 1)
        return -EINVAL;
    if (copy_from_user(buf, from, (size_t)size) < 0)
        return -EFAULT;
    return uts_set_name(buf, (size_t)size, domain);
}

long sys_sethostname(uaddr name, int size)
{
    return set_name(name, size, false);
}

long sys_setdomainname(uaddr name, int size)
{
    return set_name(name, size, true);
}

static int count_one(struct process *p, void *ctx)
{
    ++*(u32 *)ctx;
    return 0;
}

long sys_sysinfo(uaddr info)
{
    struct sysinfo s = {.mem_unit = 1};
    struct mm_totals m;
    u32 processes = 0;
    mm_totals(&m);
    process_for_each(count_one, &processes);
    s.uptime = (__kernel_long_t)(clock_monotonic() / 1000000000);
    s.totalram = m.total;
    s.freeram = m.free;
    s.procs = (u16)MIN(processes, 65535u);
    return copy_to_user(info, &s, sizeof(s));
}

long sys_getrandom(uaddr user_buf, u64 wanted, u32 flags)
{
    u8 buf[256];
    u64 done = 0, size = MIN(wanted, 0x7fffffful * 16);
    if (flags & ~(u32)(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE))
        return -EINVAL;
    if ((flags & (GRND_RANDOM | GRND_INSECURE)) == (GRND_RANDOM | GRND_INSECURE))
        return -EINVAL;
    while (done < size) {
        size_t n = MIN(size - done, sizeof(buf));
        random_bytes(buf, n);
        if (copy_to_user(user_plus(user_buf, done), buf, n) < 0)
            return done ? (long)done : -EFAULT;
        done += n;
        if (done % 65536 == 0 && signal_pending())
            break;
    }
    return (long)done;
}

long sys_personality(u32 persona)
{
    struct process *p = current_process();
    u32 old = p->personality;
    if (persona != 0xffffffffu)
        p->personality = persona;
    return old;
}

long sys_umask(u32 mask)
{
    struct fs_context *fs = current_process()->fs;
    mutex_lock(&fs->lock);
    u32 old = fs->umask;
    fs->umask = mask & 0777;
    mutex_unlock(&fs->lock);
    return old;
}

/* No namespaces of its own for anybody inside: as without CAP_SYS_ADMIN. Unsharing what is not
 * shared is fine. */
long sys_unshare(u64 flags)
{
    struct process *p = current_process();
    const u64 fs_flag = 0x200, files_flag = 0x400, sysvsem = 0x40000;
    if (flags & ~(fs_flag | files_flag | sysvsem | 0x7e020080))
        return -EINVAL;
    if (flags & 0x7e020080) /* CLONE_NEW* */
        return -EPERM;
    if ((flags & fs_flag) && p->fs->refs.n > 1) {
        struct fs_context *own = fs_context_copy(p->fs), *old = p->fs;
        if (!own)
            return -ENOMEM;
        mutex_lock(&g_process_lock);
        p->fs = own;
        mutex_unlock(&g_process_lock);
        fs_context_put(old);
    }
    return flags & files_flag ? files_unshare(p) : 0;
}

long sys_vhangup(void)
{
    return capable(CAP_SYS_TTY_CONFIG) ? 0 : -EPERM;
}

#define LSM_CAPABILITY 100 /* LSM_ID_CAPABILITY of <linux/lsm.h>: the only one here */

long sys_lsm_list_modules(uaddr ids, uaddr user_size, u32 flags)
{
    u32 size, need = sizeof(u64);
    u64 id = LSM_CAPABILITY;
    if (flags)
        return -EINVAL;
    if (get_user(size, user_size) < 0 || put_user(need, user_size) < 0)
        return -EFAULT;
    if (size < need)
        return -E2BIG;
    return put_user(id, ids) < 0 ? -EFAULT : 1;
}

/* As on a processor without protection keys. */
long sys_pkey_alloc(u64 flags, u64 rights)
{
    return -ENOSPC;
}

long sys_pkey_free(int key)
{
    return -EINVAL;
}
