/* SPDX-License-Identifier: Apache-2.0 */
/* /sys: processors and memory as far as language runtimes read them; and a cgroup v2 hierarchy of
 * one group. */
#include "pseudo.h"
#include "mm.h"

#include <linux/magic.h>

static int show_cpu_list(struct pseudo_inode *p, struct text *t)
{
    u32 n = cpu_count();

    text_printf(t, "%s%u\n", n > 1 ? "0-" : "", n - 1);
    return 0;
}

/* ---- cpuN: p->fd is N + 1 ---- */

static int show_cpu_mask(struct pseudo_inode *p, struct text *t)
{
    u32 n = cpu_count();

    text_printf(t, "%llx\n", n >= 64 ? ~0ull : (1ull << n) - 1);
    return 0;
}

static int show_own_mask(struct pseudo_inode *p, struct text *t)
{
    text_printf(t, "%llx\n", 1ull << ((u32)(p->fd - 1) % 64));
    return 0;
}

static int show_own_number(struct pseudo_inode *p, struct text *t)
{
    text_printf(t, "%d\n", p->fd - 1);
    return 0;
}

static const struct pseudo_entry g_topology[] = {
    PSEUDO_SHOW("core_cpus", show_own_mask),
    PSEUDO_SHOW("core_cpus_list", show_own_number),
    PSEUDO_SHOW("core_id", show_own_number),
    PSEUDO_SHOW("core_siblings", show_cpu_mask),
    PSEUDO_SHOW("core_siblings_list", show_cpu_list),
    PSEUDO_SHOW("package_cpus_list", show_cpu_list),
    PSEUDO_TEXT("physical_package_id", "0"),
    PSEUDO_SHOW("thread_siblings", show_own_mask),
    PSEUDO_SHOW("thread_siblings_list", show_own_number),
    {0},
};

#define CACHE(number, level, type, size)                   \
    static const struct pseudo_entry g_cache##number[] = { \
        PSEUDO_TEXT("coherency_line_size", "64"),          \
        PSEUDO_TEXT("level", level),                       \
        PSEUDO_SHOW("shared_cpu_list", show_own_number),   \
        PSEUDO_TEXT("size", size),                         \
        PSEUDO_TEXT("type", type),                         \
        PSEUDO_TEXT("ways_of_associativity", "8"),         \
        {0}}
CACHE(0, "1", "Data", "48K");
CACHE(1, "1", "Instruction", "32K");
CACHE(2, "2", "Unified", "1280K");
CACHE(3, "3", "Unified", "32768K");
static const struct pseudo_entry g_cache[] = {PSEUDO_DIR("index0", g_cache0),
                                              PSEUDO_DIR("index1", g_cache1),
                                              PSEUDO_DIR("index2", g_cache2),
                                              PSEUDO_DIR("index3", g_cache3),
                                              {0}};
static const struct pseudo_entry g_cpu_entries[] = {PSEUDO_DIR("cache", g_cache),
                                                    PSEUDO_TEXT("online", "1"),
                                                    PSEUDO_DIR("topology", g_topology),
                                                    {0}};
static const struct pseudo_entry g_cpu_dir = PSEUDO_DIR("cpu", g_cpu_entries);

static int cpu_lookup(struct pseudo_inode *dir, const char *name, size_t len, struct inode **out)
{
    u32 n = 0;

    if (len < 4 || len > 7 || memcmp(name, "cpu", 3) != 0 || (name[3] == '0' && len > 4))
        return -ENOENT;
    for (size_t k = 3; k < len; k++) {
        if (name[k] < '0' || name[k] > '9')
            return -ENOENT;
        n = n * 10 + (u32)(name[k] - '0');
    }
    if (n >= cpu_count())
        return -ENOENT;
    *out = pseudo_inode_new(dir->i.super, &g_cpu_dir, dir);
    if (!*out)
        return -ENOMEM;
    pseudo_of(*out)->fd = (i32)n + 1;
    (*out)->ino += n + 1;
    return 0;
}

static int cpu_iterate(struct pseudo_inode *dir, u64 pos, dirent_fn *fn, void *ctx)
{
    char name[16];

    for (u64 n = pos; n < cpu_count(); n++) {
        snprintf(name, sizeof(name), "cpu%u", (u32)n);
        if (!fn(ctx, name, strlen(name), dir->i.ino + n + 1, DT_DIR, n + 1))
            return 1;
    }
    return 0;
}

static int show_node_meminfo(struct pseudo_inode *p, struct text *t)
{
    struct mm_totals m;

    mm_totals(&m);
    text_printf(t,
                "Node 0 MemTotal:       %llu kB\nNode 0 MemFree:        %llu kB\nNode 0 MemUsed:   "
                "     %llu kB\n",
                (unsigned long long)(m.total >> 10), (unsigned long long)(m.free >> 10),
                (unsigned long long)(m.committed >> 10));
    return 0;
}

static const struct pseudo_entry g_cpus[] = {
    PSEUDO_TEXT("kernel_max", "1023"), /* CONFIG_NR_CPUS - 1 */
    PSEUDO_TEXT("isolated", ""),           PSEUDO_TEXT("offline", ""),
    PSEUDO_SHOW("online", show_cpu_list),  PSEUDO_SHOW("possible", show_cpu_list),
    PSEUDO_SHOW("present", show_cpu_list), {0},
};
static const struct pseudo_entry g_node0[] = {
    PSEUDO_SHOW("cpulist", show_cpu_list),
    PSEUDO_SHOW("cpumap", show_cpu_mask),
    PSEUDO_TEXT("distance", "10"),
    PSEUDO_SHOW("meminfo", show_node_meminfo),
    {0},
};
static const struct pseudo_entry g_node[] = {
    PSEUDO_TEXT("has_cpu", "0"), PSEUDO_TEXT("has_memory", "0"), PSEUDO_DIR("node0", g_node0),
    PSEUDO_TEXT("online", "0"),  PSEUDO_TEXT("possible", "0"),   {0},
};
static const struct pseudo_entry g_system[] = {
    {.name = "cpu",
     .mode = S_IFDIR | 0555,
     .children = g_cpus,
     .lookup = cpu_lookup,
     .iterate = cpu_iterate},
    PSEUDO_DIR("node", g_node),
    {0},
};
static const struct pseudo_entry g_devices[] = {PSEUDO_DIR("system", g_system), {0}};
static const struct pseudo_entry g_thp[] = {
    PSEUDO_TEXT("defrag", "always defer defer+madvise madvise [never]"),
    PSEUDO_TEXT("enabled", "always madvise [never]"),
    PSEUDO_TEXT("hpage_pmd_size", "2097152"),
    PSEUDO_TEXT("shmem_enabled", "always within_size advise [never] deny force"),
    {0},
};
static const struct pseudo_entry g_hugepages[] = {{0}};
static const struct pseudo_entry g_mm[] = {
    PSEUDO_DIR("hugepages", g_hugepages), PSEUDO_DIR("transparent_hugepage", g_thp), {0}};
static const struct pseudo_entry g_empty[] = {{0}};
static const struct pseudo_entry g_fs[] = {PSEUDO_DIR("cgroup", g_empty), {0}};
static const struct pseudo_entry g_kernel[] = {
    PSEUDO_DIR("mm", g_mm), PSEUDO_TEXT("uevent_seqnum", "0"), {0}};
/* The loopback interface, which is the enclave's own; others are the host's and not told here. */
static const struct pseudo_entry g_lo_statistics[] = {
    PSEUDO_TEXT("rx_bytes", "0"),   PSEUDO_TEXT("rx_dropped", "0"), PSEUDO_TEXT("rx_errors", "0"),
    PSEUDO_TEXT("rx_packets", "0"), PSEUDO_TEXT("tx_bytes", "0"),   PSEUDO_TEXT("tx_dropped", "0"),
    PSEUDO_TEXT("tx_errors", "0"),  PSEUDO_TEXT("tx_packets", "0"), {0},
};
static const struct pseudo_entry g_lo[] = {
    PSEUDO_TEXT("addr_len", "6"),
    PSEUDO_TEXT("address", "00:00:00:00:00:00"),
    PSEUDO_TEXT("broadcast", "00:00:00:00:00:00"),
    PSEUDO_TEXT("carrier", "1"),
    PSEUDO_TEXT("flags", "0x9"),
    PSEUDO_TEXT("ifindex", "1"),
    PSEUDO_TEXT("iflink", "1"),
    PSEUDO_TEXT("mtu", "65536"),
    PSEUDO_TEXT("operstate", "unknown"),
    PSEUDO_DIR("statistics", g_lo_statistics),
    PSEUDO_TEXT("tx_queue_len", "1000"),
    PSEUDO_TEXT("type", "772"),
    {0},
};
static const struct pseudo_entry g_class_net[] = {PSEUDO_DIR("lo", g_lo), {0}};
static const struct pseudo_entry g_class[] = {PSEUDO_DIR("net", g_class_net), {0}};
static const struct pseudo_entry g_root_entries[] = {
    PSEUDO_DIR("block", g_empty),  PSEUDO_DIR("bus", g_empty),
    PSEUDO_DIR("class", g_class),  PSEUDO_DIR("devices", g_devices),
    PSEUDO_DIR("fs", g_fs),        PSEUDO_DIR("kernel", g_kernel),
    PSEUDO_DIR("module", g_empty), {0},
};
static const struct pseudo_entry g_root = PSEUDO_DIR("/", g_root_entries);

struct super *sysfs_create(void)
{
    return pseudo_super("sysfs", SYSFS_MAGIC, &g_root);
}

/* ---- cgroup v2 ---- */

static int show_memory_max(struct pseudo_inode *p, struct text *t)
{
    struct mm_totals m;

    mm_totals(&m);
    if (m.limit)
        text_printf(t, "%llu\n", (unsigned long long)m.limit);
    else
        text_printf(t, "max\n");
    return 0;
}

static int show_memory_current(struct pseudo_inode *p, struct text *t)
{
    struct mm_totals m;

    mm_totals(&m);
    text_printf(
        t, "%llu\n",
        (unsigned long long)(strcmp(p->entry->name, "memory.peak") == 0 ? m.peak : m.committed));
    return 0;
}

static int show_memory_stat(struct pseudo_inode *p, struct text *t)
{
    struct mm_totals m;

    mm_totals(&m);
    text_printf(t,
                "anon %llu\nfile 0\nkernel 0\nshmem 0\nfile_mapped 0\ninactive_anon 0\nactive_anon "
                "%llu\ninactive_file 0\nactive_file 0\n",
                (unsigned long long)m.committed, (unsigned long long)m.committed);
    return 0;
}

static int print_pid(struct process *p, void *ctx)
{
    text_printf(ctx, "%d\n", p->pid);
    return 0;
}

static int show_procs(struct pseudo_inode *p, struct text *t)
{
    return process_for_each(print_pid, t);
}

static int add_one(struct process *p, void *ctx)
{
    *(u32 *)ctx += p->thread_count;
    return 0;
}

static int show_pids_current(struct pseudo_inode *p, struct text *t)
{
    u32 n = 0;

    process_for_each(add_one, &n);
    text_printf(t, "%u\n", n);
    return 0;
}

static int show_pids_max(struct pseudo_inode *p, struct text *t)
{
    u64 limit = container_thread_limit();

    if (limit)
        text_printf(t, "%llu\n", (unsigned long long)limit);
    else
        text_printf(t, "max\n");
    return 0;
}

static int show_cpuset(struct pseudo_inode *p, struct text *t)
{
    u64 cpus[16];

    container_cpus(cpus);
    text_cpu_list(t, cpus);
    text_printf(t, "\n");
    return 0;
}

static int show_cpu_max(struct pseudo_inode *p, struct text *t)
{
    u64 quota, period;

    container_cpu_quota(&quota, &period);
    if (quota)
        text_printf(t, "%llu %llu\n", (unsigned long long)quota, (unsigned long long)period);
    else
        text_printf(t, "max %llu\n", (unsigned long long)period);
    return 0;
}

static const struct pseudo_entry g_cgroup_entries[] = {
    PSEUDO_TEXT("cgroup.controllers", "cpuset cpu memory pids"),
    PSEUDO_TEXT("cgroup.events", "populated 1\nfrozen 0"),
    PSEUDO_SHOW("cgroup.procs", show_procs),
    PSEUDO_TEXT("cgroup.subtree_control", ""),
    PSEUDO_TEXT("cgroup.type", "domain"),
    PSEUDO_SHOW("cpu.max", show_cpu_max),
    PSEUDO_TEXT(
        "cpu.stat",
        "usage_usec 0\nuser_usec 0\nsystem_usec 0\nnr_periods 0\nnr_throttled 0\nthrottled_usec 0"),
    PSEUDO_TEXT("cpu.weight", "100"),
    PSEUDO_SHOW("cpuset.cpus", show_cpuset),
    PSEUDO_SHOW("cpuset.cpus.effective", show_cpuset),
    PSEUDO_TEXT("cpuset.mems.effective", "0"),
    PSEUDO_SHOW("memory.current", show_memory_current),
    PSEUDO_TEXT("memory.events", "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0"),
    PSEUDO_TEXT("memory.high", "max"),
    PSEUDO_TEXT("memory.low", "0"),
    PSEUDO_SHOW("memory.max", show_memory_max),
    PSEUDO_TEXT("memory.min", "0"),
    PSEUDO_SHOW("memory.peak", show_memory_current),
    PSEUDO_SHOW("memory.stat", show_memory_stat),
    PSEUDO_TEXT("memory.swap.current", "0"),
    PSEUDO_TEXT("memory.swap.max", "0"),
    PSEUDO_SHOW("pids.current", show_pids_current),
    PSEUDO_SHOW("pids.max", show_pids_max),
    {0},
};
static const struct pseudo_entry g_cgroup_root = PSEUDO_DIR("/", g_cgroup_entries);

struct super *cgroupfs_create(void)
{
    return pseudo_super("cgroup2", CGROUP2_SUPER_MAGIC, &g_cgroup_root);
}
