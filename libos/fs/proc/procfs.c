/* SPDX-License-Identifier: Apache-2.0 */
/* /proc, what does not belong to one process. Processes: proc_pid.c; sysctls: proc_sys.c. */
#include "procfs.h"
#include "mm.h"

#include <linux/magic.h>

const struct proc_sources *g_proc_sources;

static int show_self(struct pseudo_inode *p, struct text *t)
{
    text_printf(t, "%d", fs_process() ? fs_process()->pid : 1);
    return 0;
}

static int show_thread_self(struct pseudo_inode *p, struct text *t)
{
    text_printf(t, "%d/task/%d", fs_process() ? fs_process()->pid : 1, current()->tid);
    return 0;
}

static int show_meminfo(struct pseudo_inode *p, struct text *t)
{
    struct mm_totals m;
    struct line {
        const char *name;
        u64 size;
    };

    mm_totals(&m);
    const struct line lines[] = {
        {"MemTotal:", m.total},
        {"MemFree:", m.free},
        {"MemAvailable:", m.free},
        {"Buffers:", 0},
        {"Cached:", 0},
        {"SwapCached:", 0},
        {"Active:", m.committed},
        {"Inactive:", 0},
        {"SwapTotal:", 0},
        {"SwapFree:", 0},
        {"Dirty:", 0},
        {"Writeback:", 0},
        {"AnonPages:", m.committed},
        {"Mapped:", 0},
        {"Shmem:", 0},
        {"Slab:", 0},
        {"CommitLimit:", m.total},
        {"Committed_AS:", m.committed},
        {"VmallocTotal:", m.elrange_user},
    };
    for (size_t k = 0; k < ARRAY_SIZE(lines); k++)
        text_printf(t, "%-15s %8llu kB\n", lines[k].name,
                    (unsigned long long)(lines[k].size >> 10));
    text_printf(t, "HugePages_Total:%8u\nHugePages_Free: %8u\nHugepagesize:   %8u kB\n", 0, 0,
                2048);
    return 0;
}

static int show_cpuinfo(struct pseudo_inode *p, struct text *t)
{
    u32 count = cpu_count();

    /* The model is not ours to tell: CPUID inside an enclave is the host's word. Programs read the
     * number of processors and flags. */
    for (u32 k = 0; k < count; k++)
        text_printf(t,
                    "processor\t: %u\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: "
                    "106\nmodel name\t: SGX enclave\n"
                    "stepping\t: 6\ncpu MHz\t\t: 2000.000\ncache size\t: 32768 KB\nphysical id\t: "
                    "0\nsiblings\t: %u\ncore id\t\t: %u\n"
                    "cpu cores\t: %u\napicid\t\t: %u\nfpu\t\t: yes\nwp\t\t: yes\n"
                    "flags\t\t: fpu tsc cx8 cmov mmx fxsr sse sse2 ht syscall nx lm constant_tsc "
                    "rep_good nopl pni pclmulqdq ssse3 cx16 "
                    "sse4_1 sse4_2 movbe popcnt aes xsave rdrand lahf_lm\nbogomips\t: "
                    "4000.00\nclflush size\t: 64\n"
                    "address sizes\t: 46 bits physical, 48 bits virtual\n\n",
                    k, count, k, count, k);
    return 0;
}

static int add_cpu_time(struct process *p, void *ctx)
{
    struct cpu_times *total = ctx, cpu = process_cpu_times(p);

    total->user += cpu.user;
    total->system += cpu.system;
    return 0;
}

static int show_stat(struct pseudo_inode *p, struct text *t)
{
    u32 count = cpu_count();
    u64 up = clock_monotonic() / 10000000 * count, idle;
    struct cpu_times busy = {0};

    process_for_each(add_cpu_time, &busy);
    busy.user /= 10000000;
    busy.system /= 10000000;
    idle = up - MIN(up, busy.user + busy.system);
    text_printf(t, "cpu  %llu 0 %llu %llu 0 0 0 0 0 0\n", (unsigned long long)busy.user,
                (unsigned long long)busy.system, (unsigned long long)idle);
    for (u32 k = 0; k < count; k++)
        text_printf(t, "cpu%u %llu 0 %llu %llu 0 0 0 0 0 0\n", k,
                    (unsigned long long)(busy.user / count),
                    (unsigned long long)(busy.system / count), (unsigned long long)(idle / count));
    text_printf(t,
                "intr 0\nctxt 0\nbtime %llu\nprocesses %d\nprocs_running 1\nprocs_blocked "
                "0\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n",
                (unsigned long long)((clock_realtime() - clock_monotonic()) / 1000000000),
                fs_process() ? fs_process()->pid : 1);
    return 0;
}

static int show_vmstat(struct pseudo_inode *p, struct text *t)
{
    struct mm_totals m;

    mm_totals(&m);
    text_printf(t,
                "nr_free_pages %llu\nnr_anon_pages %llu\nnr_mapped 0\nnr_file_pages 0\nnr_dirty 0\n"
                "nr_writeback 0\npgpgin 0\npgpgout 0\npswpin 0\npswpout 0\npgfault 0\n"
                "pgmajfault 0\noom_kill 0\n",
                (unsigned long long)(m.free >> PAGE_SHIFT),
                (unsigned long long)(m.committed >> PAGE_SHIFT));
    return 0;
}

static int show_uptime(struct pseudo_inode *p, struct text *t)
{
    u64 up = clock_monotonic() / 10000000;

    text_printf(t, "%llu.%02llu %llu.%02llu\n", (unsigned long long)(up / 100),
                (unsigned long long)(up % 100), (unsigned long long)(up / 100),
                (unsigned long long)(up % 100));
    return 0;
}

struct counts {
    u32 all, running;
    i32 last;
};

static int count_process(struct process *p, void *ctx)
{
    struct counts *c = ctx;

    c->all += p->thread_count;
    c->running += process_state_char(p, 0) == 'R';
    c->last = MAX(c->last, p->pid);
    return 0;
}

static int show_loadavg(struct pseudo_inode *p, struct text *t)
{
    struct counts c = {0};

    process_for_each(count_process, &c);
    text_printf(t, "0.00 0.00 0.00 %u/%u %d\n", c.running, c.all, c.last);
    return 0;
}

static int show_version(struct pseudo_inode *p, struct text *t)
{
    text_printf(t, "Linux version " LIBOS_RELEASE " (rune@libos) (gcc) " LIBOS_VERSION "\n");
    return 0;
}

static int show_cmdline(struct pseudo_inode *p, struct text *t)
{
    text_add(t, "\n", 1);
    return 0;
}

/* ---- PIDs in the root ---- */

static int root_lookup(struct pseudo_inode *dir, const char *name, size_t len, struct inode **out)
{
    struct process *p;
    i64 pid = 0;

    for (size_t k = 0; k < len; k++) {
        if (name[k] < '0' || name[k] > '9' || len > 10)
            return -ENOENT;
        pid = pid * 10 + (name[k] - '0');
    }
    p = len && name[0] != '0' && pid <= INT32_MAX ? process_find((i32)pid) : NULL;
    if (!p)
        return -ENOENT;
    *out = proc_pid_inode(dir->i.super, p);
    process_put(p);
    return *out ? 0 : -ENOMEM;
}

struct next_pid {
    i32 after, best;
    u64 ino;
};

static int find_next(struct process *p, void *ctx)
{
    struct next_pid *n = ctx;

    if (p->pid > n->after && (n->best == 0 || p->pid < n->best)) {
        n->best = p->pid;
        n->ino = proc_pid_ino(p);
    }
    return 0;
}

static int root_iterate(struct pseudo_inode *dir, u64 pos, dirent_fn *fn, void *ctx)
{
    struct next_pid n = {.after = (i32)pos};
    char name[16];

    for (;; n.after = n.best) {
        n.best = 0;
        process_for_each(find_next, &n);
        if (!n.best)
            return 0;
        snprintf(name, sizeof(name), "%d", n.best);
        if (!fn(ctx, name, strlen(name), n.ino, DT_DIR, (u64)n.best))
            return 1;
    }
}

static void add_line(void *ctx, const char *line)
{
    text_add(ctx, line, strlen(line));
}

#define SYSVIPC(kind)                                              \
    static int show_##kind(struct pseudo_inode *p, struct text *t) \
    {                                                              \
        g_proc_sources->sysv_##kind(add_line, t);                  \
        return 0;                                                  \
    }
static int show_keys(struct pseudo_inode *p, struct text *t)
{
    keys_show(add_line, t);
    return 0;
}

static int show_key_users(struct pseudo_inode *p, struct text *t)
{
    key_users_show(add_line, t);
    return 0;
}

SYSVIPC(shm)
SYSVIPC(sem)
SYSVIPC(msg)

/* None that the enclave sees: the line of processors only. */
static int show_interrupts(struct pseudo_inode *p, struct text *t)
{
    text_printf(t, "           ");
    for (u32 k = 0; k < cpu_count(); k++)
        text_printf(t, "CPU%-8u", k);
    text_printf(t, "\n");
    return 0;
}

#define PRESSURE "avg10=0.00 avg60=0.00 avg300=0.00 total=0"
static const struct pseudo_entry g_pressure[] = {
    PSEUDO_TEXT("cpu", "some " PRESSURE "\nfull " PRESSURE),
    PSEUDO_TEXT("io", "some " PRESSURE "\nfull " PRESSURE),
    PSEUDO_TEXT("memory", "some " PRESSURE "\nfull " PRESSURE),
    {0},
};

static const struct pseudo_entry g_sysvipc[] = {
    PSEUDO_SHOW("msg", show_msg),
    PSEUDO_SHOW("sem", show_sem),
    PSEUDO_SHOW("shm", show_shm),
    {0},
};

static const struct pseudo_entry g_root_entries[] = {
    {.name = "self", .mode = S_IFLNK | 0777, .show = show_self},
    {.name = "thread-self", .mode = S_IFLNK | 0777, .show = show_thread_self},
    PSEUDO_SHOW("cmdline", show_cmdline),
    PSEUDO_SHOW("cpuinfo", show_cpuinfo),
    PSEUDO_TEXT(
        "filesystems",
        "nodev\tsysfs\nnodev\ttmpfs\nnodev\tproc\nnodev\tcgroup2\nnodev\tdevpts\nnodev\tmqueue"
        "\nnodev\toverlay\n\terofs"),
    PSEUDO_TEXT("devices",
                "Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/console\n  5 /dev/ptmx\n136 "
                "pts\n\nBlock devices:"),
    {.name = "diskstats", .mode = S_IFREG | 0444, .text = ""},
    PSEUDO_SHOW("key-users", show_key_users),
    PSEUDO_SHOW("keys", show_keys),
    PSEUDO_SHOW("loadavg", show_loadavg),
    PSEUDO_SHOW("meminfo", show_meminfo),
    {.name = "mounts", .mode = S_IFLNK | 0777, .text = "self/mounts"},
    {.name = "net", .mode = S_IFLNK | 0777, .text = "self/net"},
    PSEUDO_TEXT("partitions", "major minor  #blocks  name\n"),
    PSEUDO_SHOW("stat", show_stat),
    PSEUDO_TEXT("swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority"),
    PSEUDO_DIR("sys", g_proc_sys_entries),
    PSEUDO_TEXT("cgroups",
                "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpuset\t0\t1\t1\ncpu\t0\t1\t1\n"
                "cpuacct\t0\t1\t1\nmemory\t0\t1\t1\npids\t0\t1\t1"),
    PSEUDO_SHOW("interrupts", show_interrupts),
    PSEUDO_SHOW("softirqs", show_interrupts),
    PSEUDO_DIR("pressure", g_pressure),
    PSEUDO_DIR("sysvipc", g_sysvipc),
    PSEUDO_SHOW("uptime", show_uptime),
    PSEUDO_SHOW("vmstat", show_vmstat),
    PSEUDO_SHOW("version", show_version),
    {0},
};

static const struct pseudo_entry g_root = {
    .name = "/",
    .mode = S_IFDIR | 0555,
    .children = g_root_entries,
    .lookup = root_lookup,
    .iterate = root_iterate,
};

struct super *procfs_create(void)
{
    return pseudo_super("proc", PROC_SUPER_MAGIC, &g_root);
}
