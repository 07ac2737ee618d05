/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Process accounting: acct(2), and a record of each process that ends, as Linux writes it (version
 * 3). It goes on when the file system is full; records that do not fit are lost.
 */
#include "proc.h"
#include "host.h"
#include <linux/acct.h>
#include <linux/capability.h>
#include <linux/fcntl.h>
#include <linux/limits.h>
#include <linux/stat.h>

#define VERSION    3
#define NS_A_TICK  (1000000000ull / AHZ)
#define FSIZE      1 /* RLIMIT_FSIZE */
#define DUMPED_BIT 0x80u

static struct {
    struct mutex lock;
    struct file *file; /* NULL: off; looked at without the lock */
} g_acct;

/* A floating-point number of base 8: 3 bits of exponent, 13 of fraction. */
static comp_t short_number(u64 v)
{
    u32 exponent = 0;
    bool round = false;
    while (v > 0x1fff) {
        round = v & 4;
        v >>= 3;
        exponent++;
    }
    if (round && ++v > 0x1fff) {
        v >>= 3;
        exponent++;
    }
    return exponent > 7 ? 0xffff : (comp_t)(exponent << 13 | v);
}

/* The bits of (float)v. */
static u32 float_bits(u64 v)
{
    u32 exponent = 190;
    if (!v)
        return 0;
    for (; !(v >> 63); v <<= 1)
        exponent--;
    return ((u32)(v >> 40) & 0x7fffff) | exponent << 23;
}

static void record_of(struct acct_v3 *a, struct process *p)
{
    u64 lived = clock_monotonic() - p->start_time;
    u32 elapsed = float_bits(lived / NS_A_TICK);
    memset(a, 0, sizeof(*a));
    mutex_lock(&g_process_lock);
    struct cpu_times cpu = process_cpu_times(p);
    a->ac_version = VERSION;
    a->ac_flag = (char)((p->exec_done ? 0 : AFORK) | (p->exit_status & 0x7f ? AXSIG : 0) |
                        (p->exit_status & DUMPED_BIT ? ACORE : 0));
    a->ac_exitcode = p->exit_status;
    a->ac_uid = p->cred.uid;
    a->ac_gid = p->cred.gid;
    a->ac_pid = (u32)p->pid;
    a->ac_ppid = p->parent ? (u32)p->parent->pid : 0;
    a->ac_btime = (u32)((clock_realtime() - lived) / 1000000000);
    memcpy(&a->ac_etime, &elapsed, sizeof(elapsed));
    a->ac_utime = short_number(cpu.user / NS_A_TICK);
    a->ac_stime = short_number(cpu.system / NS_A_TICK);
    a->ac_mem = p->mm ? short_number(p->mm->total << (PAGE_SHIFT - 10)) : 0;
    a->ac_minflt = short_number(p->min_flt);
    memcpy(a->ac_comm, p->comm, MIN(sizeof(a->ac_comm), sizeof(p->comm)));
    mutex_unlock(&g_process_lock);
}

void acct_process(struct process *p)
{
    if (likely(!__atomic_load_n(&g_acct.file, __ATOMIC_ACQUIRE)))
        return;
    mutex_lock(&g_acct.lock);
    struct file *file = g_acct.file ? file_get(g_acct.file) : NULL;
    mutex_unlock(&g_acct.lock);
    if (!file)
        return;
    struct acct_v3 record;
    u64 end = 0; /* O_APPEND */
    record_of(&record, p);
    p->rlimits[FSIZE].soft = UINT64_MAX; /* as on Linux: it is no write of the process's own */
    (void)file_write_kernel(file, &record, sizeof(record), &end);
    file_put(file);
}

static void acct_set(struct file *file)
{
    mutex_lock(&g_acct.lock);
    struct file *old = g_acct.file;
    __atomic_store_n(&g_acct.file, file, __ATOMIC_RELEASE);
    mutex_unlock(&g_acct.lock);
    if (old)
        file_put(old);
}

long sys_acct(uaddr user_path)
{
    struct file *file = NULL;
    if (!capable(CAP_SYS_PACCT))
        return -EPERM;
    if (!user_path.at) {
        acct_set(NULL);
        return 0;
    }
    char *path = kmalloc(PATH_MAX);
    if (!path)
        return -ENOMEM;
    ssize_t n = strncpy_from_user(path, user_path, PATH_MAX);
    int r = n < 0 ? (int)n : path_open(AT_FDCWD, path, O_WRONLY | O_APPEND, 0, &file);
    kfree(path);
    if (r < 0)
        return r;
    if (!file->inode || !S_ISREG(file->inode->mode)) {
        file_put(file);
        return -EACCES;
    }
    acct_set(file);
    return 0;
}
