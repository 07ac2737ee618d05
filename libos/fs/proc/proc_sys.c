/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/sys: what programs read; a few values can be changed and are then remembered. */
#include "procfs.h"
#include "mm.h"

static u8 g_boot_id[16];

static int show_hostname(struct pseudo_inode *p, struct text *t)
{
    char host[65], domain[65];

    uts_names(host, domain);
    text_printf(t, "%s\n", host);
    return 0;
}

static int show_domainname(struct pseudo_inode *p, struct text *t)
{
    char host[65], domain[65];

    uts_names(host, domain);
    text_printf(t, "%s\n", domain);
    return 0;
}

static ssize_t store_name(const char *buf, bool domain)
{
    const char *end = strchr(buf, '\n');
    size_t n = end ? (size_t)(end - buf) : strlen(buf);
    int r = uts_set_name(buf, MIN(n, (size_t)64), domain);

    return r < 0 ? r : (ssize_t)strlen(buf);
}

static ssize_t store_hostname(struct pseudo_inode *p, const char *buf, size_t n)
{
    return store_name(buf, false);
}

static ssize_t store_domainname(struct pseudo_inode *p, const char *buf, size_t n)
{
    return store_name(buf, true);
}

static int show_pipe_size(struct pseudo_inode *p, struct text *t)
{
    text_printf(t, "%u\n", pipe_size_max());
    return 0;
}

static ssize_t store_pipe_size(struct pseudo_inode *p, const char *buf, size_t n)
{
    u64 size = 0;
    const char *c;
    int r;

    for (c = buf; *c >= '0' && *c <= '9' && size < 1ull << 32; c++)
        size = size * 10 + (u64)(*c - '0');
    r = c == buf || (*c && *c != '\n') ? -EINVAL : pipe_set_size_max(size);
    return r < 0 ? r : (ssize_t)n;
}

static void text_uuid(struct text *t, const u8 u[16])
{
    text_printf(t, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x\n", u[0],
                u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13],
                u[14], u[15]);
}

static void make_uuid(u8 u[16])
{
    random_bytes(u, 16);
    u[6] = (u8)((u[6] & 0x0f) | 0x40);
    u[8] = (u8)((u[8] & 0x3f) | 0x80);
}

static int show_uuid(struct pseudo_inode *p, struct text *t)
{
    u8 u[16];

    make_uuid(u);
    text_uuid(t, u);
    return 0;
}

static int show_boot_id(struct pseudo_inode *p, struct text *t)
{
    static struct mutex lock;

    mutex_lock(&lock);
    if (!g_boot_id[6])
        make_uuid(g_boot_id);
    mutex_unlock(&lock);
    text_uuid(t, g_boot_id);
    return 0;
}

/* Values that keep what is written to them; sysctl_numbers() tells the LibOS of a few. */
static struct setting {
    const char *name;
    char value[128];
} g_settings[] = {
    {"overcommit_memory", "1"},
    {"overcommit_ratio", "50"},
    {"max_map_count", "1048576"},
    {"swappiness", "60"},
    {"somaxconn", "4096"},
    {"ip_local_port_range", "32768\t60999"},
    {"ip_unprivileged_port_start", "1024"},
    {"shmmax", "1099511627776"}, /* as IPC_INFO */
    {"shmall", "268435456"},
    {"shmmni", "4096"},
    {"file-max", "1048576"},
    {"msgmax", "8192"},
    {"msgmnb", "16384"},
    {"msgmni", "32000"},
    {"msg_next_id", "-1"}, /* libos/ipc */
    {"sem_next_id", "-1"},
    {"shm_next_id", "-1"},
    {"printk", "4\t4\t1\t7"},
    {"tcp_syncookies", "1"},
    {"rmem_max", "212992"},
    {"wmem_max", "212992"},
    {"ip_forward", "0"},
    {"sem", "32000\t1024000000\t500\t32000"},
    {"max_user_watches", "524288"},
    {"max_user_instances", "128"},
    {"max_queued_events", "16384"},
};

static struct mutex g_settings_lock; /* values */

static void copy_of(const char *name, char value[sizeof(g_settings[0].value)])
{
    value[0] = 0;
    mutex_lock(&g_settings_lock);
    for (size_t k = 0; k < ARRAY_SIZE(g_settings); k++)
        if (strcmp(g_settings[k].name, name) == 0)
            memcpy(value, g_settings[k].value, sizeof(g_settings[k].value));
    mutex_unlock(&g_settings_lock);
}

static const char *skip_blanks(const char *p)
{
    while (*p == ' ' || *p == '\t')
        p++;
    return p;
}

void sysctl_numbers(const char *name, u32 *values, size_t count)
{
    char text[sizeof(g_settings[0].value)];
    const char *p = text;

    copy_of(name, text);
    for (size_t i = 0; i < count; i++) {
        u32 x = 0;

        p = skip_blanks(p);
        if (*p < '0' || *p > '9')
            return;
        for (; *p >= '0' && *p <= '9'; p++)
            x = MIN(x, 400000000u) * 10 + (u32)(*p - '0');
        values[i] = x;
    }
}

u64 sysctl_number(const char *name, u64 otherwise)
{
    char text[sizeof(g_settings[0].value)];
    const char *p = text;
    u64 x = 0;

    copy_of(name, text);
    p = skip_blanks(p);
    if (*p < '0' || *p > '9')
        return otherwise;
    for (; *p >= '0' && *p <= '9'; p++)
        x = MIN(x, UINT64_MAX / 10 - 1) * 10 + (u64)(*p - '0');
    return x;
}

void sysctl_set(const char *name, const char *value)
{
    mutex_lock(&g_settings_lock);
    for (size_t k = 0; k < ARRAY_SIZE(g_settings); k++)
        if (strcmp(g_settings[k].name, name) == 0)
            strlcpy(g_settings[k].value, value, sizeof(g_settings[k].value));
    mutex_unlock(&g_settings_lock);
}

static int show_setting(struct pseudo_inode *p, struct text *t)
{
    char value[sizeof(g_settings[0].value)];

    copy_of(p->entry->name, value);
    text_printf(t, "%s\n", value[0] ? value : "0");
    return 0;
}

static ssize_t store_setting(struct pseudo_inode *p, const char *buf, size_t n)
{
    char value[sizeof(g_settings[0].value)];

    if (n >= sizeof(value))
        return -EINVAL;
    strlcpy(value, buf, sizeof(value));
    n = strlen(value);
    while (n && value[n - 1] == '\n')
        value[--n] = 0;
    sysctl_set(p->entry->name, value);
    return (ssize_t)strlen(buf);
}

static int show_core_pattern(struct pseudo_inode *p, struct text *t)
{
    char value[CORE_PATTERN_SIZE];

    core_pattern(value);
    text_printf(t, "%s\n", value);
    return 0;
}

static ssize_t store_core_pattern(struct pseudo_inode *p, const char *buf, size_t n)
{
    char value[CORE_PATTERN_SIZE];
    size_t used = strlen(buf);
    int r;

    if (used > sizeof(value) - 1)
        return -EINVAL;
    strlcpy(value, buf, sizeof(value));
    while (used && value[used - 1] == '\n')
        value[--used] = 0;
    r = core_set_pattern(value);
    return r < 0 ? r : (ssize_t)n;
}

static int show_last_pid(struct pseudo_inode *p, struct text *t)
{
    text_printf(t, "%d\n", pid_last());
    return 0;
}

static ssize_t store_last_pid(struct pseudo_inode *p, const char *buf, size_t n)
{
    i32 x = 0;
    int r;

    if (*buf < '0' || *buf > '9')
        return -EINVAL;
    for (; *buf >= '0' && *buf <= '9'; buf++)
        x = MIN(x, 200000000) * 10 + (*buf - '0');
    r = pid_set_last(x);
    return r < 0 ? r : (ssize_t)n;
}

/* Huge pages: as when the kernel finds no memory for them. */
static ssize_t store_without_effect(struct pseudo_inode *p, const char *buf, size_t n)
{
    return (ssize_t)n;
}

#define SETTING(entry_name)                                                                      \
    {                                                                                            \
        .name = entry_name, .mode = S_IFREG | 0644, .show = show_setting, .store = store_setting \
    }

static const struct pseudo_entry g_random[] = {
    PSEUDO_SHOW("boot_id", show_boot_id),
    PSEUDO_TEXT("entropy_avail", "256"),
    PSEUDO_TEXT("poolsize", "256"),
    PSEUDO_SHOW("uuid", show_uuid),
    {0},
};

static int show_aio_nr(struct pseudo_inode *p, struct text *t)
{
    text_printf(t, "%u\n", g_proc_sources->aio_events());
    return 0;
}

static const struct pseudo_entry g_seccomp[] = {
    PSEUDO_TEXT("actions_avail", "kill_process kill_thread trap errno trace log allow"),
    PSEUDO_TEXT("actions_logged", "kill_process kill_thread trap errno trace log"),
    {0},
};

static const struct pseudo_entry g_yama[] = {PSEUDO_TEXT("ptrace_scope", "1"), {0}};

/* The limits of libos/proc/keys.c, a number each. */
static u32 *key_limit(const struct pseudo_inode *p)
{
    static const char *const names[] = {"maxkeys", "maxbytes", "root_maxkeys", "root_maxbytes",
                                        "gc_delay"};
    struct key_limits *l = key_limits();
    u32 *const values[] = {&l->maxkeys, &l->maxbytes, &l->root_maxkeys, &l->root_maxbytes,
                           &l->gc_delay};

    for (size_t k = 0; k < ARRAY_SIZE(names) - 1; k++)
        if (strcmp(names[k], p->entry->name) == 0)
            return values[k];
    return values[ARRAY_SIZE(names) - 1];
}

static int show_key_limit(struct pseudo_inode *p, struct text *t)
{
    text_printf(t, "%u\n", *key_limit(p));
    return 0;
}

static ssize_t store_key_limit(struct pseudo_inode *p, const char *buf, size_t n)
{
    u32 x = 0;

    if (*buf < '0' || *buf > '9')
        return -EINVAL;
    for (; *buf >= '0' && *buf <= '9'; buf++)
        x = MIN(x, 200000000u) * 10 + (u32)(*buf - '0');
    __atomic_store_n(key_limit(p), x, __ATOMIC_RELAXED);
    return (ssize_t)n;
}

#define KEY_LIMIT(entry_name)                                               \
    {                                                                       \
        .name = entry_name, .mode = S_IFREG | 0644, .show = show_key_limit, \
        .store = store_key_limit                                            \
    }
static const struct pseudo_entry g_keys[] = {
    KEY_LIMIT("gc_delay"),      KEY_LIMIT("maxbytes"),     KEY_LIMIT("maxkeys"),
    KEY_LIMIT("root_maxbytes"), KEY_LIMIT("root_maxkeys"), {0},
};

static const struct pseudo_entry g_kernel[] = {
    PSEUDO_TEXT("cap_last_cap", "40"),
    {.name = "core_pattern",
     .mode = S_IFREG | 0644,
     .show = show_core_pattern,
     .store = store_core_pattern},
    {.name = "domainname",
     .mode = S_IFREG | 0644,
     .show = show_domainname,
     .store = store_domainname},
    {.name = "hostname", .mode = S_IFREG | 0644, .show = show_hostname, .store = store_hostname},
    PSEUDO_DIR("keys", g_keys),
    SETTING("msgmax"),
    SETTING("msgmnb"),
    SETTING("msgmni"),
    SETTING("msg_next_id"),
    PSEUDO_TEXT("ngroups_max", "65536"),
    PSEUDO_TEXT("osrelease", LIBOS_RELEASE),
    PSEUDO_TEXT("ostype", "Linux"),
    PSEUDO_TEXT("overflowgid", "65534"),
    PSEUDO_TEXT("overflowuid", "65534"),
    PSEUDO_TEXT("perf_event_paranoid", "3"),
    {.name = "ns_last_pid", .mode = S_IFREG | 0666, .show = show_last_pid, .store = store_last_pid},
    PSEUDO_TEXT("pid_max", "4194304"),
    SETTING("printk"),
    PSEUDO_DIR("random", g_random),
    PSEUDO_TEXT("randomize_va_space", "2"),
    PSEUDO_TEXT("sched_rr_timeslice_ms", "100"),
    PSEUDO_DIR("seccomp", g_seccomp),
    SETTING("sem"),
    SETTING("sem_next_id"),
    SETTING("shmall"),
    SETTING("shmmax"),
    SETTING("shmmni"),
    SETTING("shm_next_id"),
    PSEUDO_TEXT("tainted", "0"),
    PSEUDO_TEXT("threads-max", "65536"),
    PSEUDO_TEXT("version", LIBOS_VERSION),
    PSEUDO_DIR("yama", g_yama),
    {0},
};

static const struct pseudo_entry g_vm[] = {
    SETTING("max_map_count"),
    PSEUDO_TEXT("mmap_min_addr", "65536"),
    SETTING("overcommit_memory"),
    SETTING("overcommit_ratio"),
    {.name = "nr_hugepages",
     .mode = S_IFREG | 0644,
     .show = show_setting,
     .store = store_without_effect},
    SETTING("swappiness"),
    {0},
};

static const struct pseudo_entry g_inotify[] = {
    SETTING("max_queued_events"), SETTING("max_user_instances"), SETTING("max_user_watches"), {0}};
static const struct pseudo_entry g_fs[] = {
    PSEUDO_TEXT("aio-max-nr", "65536"),
    PSEUDO_SHOW("aio-nr", show_aio_nr),
    SETTING("file-max"),
    PSEUDO_TEXT("file-nr", "256\t0\t1048576"),
    PSEUDO_DIR("inotify", g_inotify),
    PSEUDO_TEXT("lease-break-time", "45"),
    PSEUDO_TEXT("nr_open", "1048576"),
    {.name = "pipe-max-size",
     .mode = S_IFREG | 0644,
     .show = show_pipe_size,
     .store = store_pipe_size},
    PSEUDO_TEXT("pipe-user-pages-soft", "16384"), /* PIPE_PAGES_SOFT */
    PSEUDO_TEXT("protected_hardlinks", "0"),
    PSEUDO_TEXT("protected_symlinks", "0"),
    {0},
};

static const struct pseudo_entry g_net_core[] = {
    SETTING("rmem_max"), SETTING("somaxconn"), SETTING("wmem_max"), {0}};
static const struct pseudo_entry g_net_ipv4[] = {
    SETTING("ip_forward"),
    SETTING("ip_local_port_range"),
    SETTING("ip_unprivileged_port_start"),
    PSEUDO_TEXT("tcp_fin_timeout", "60"),
    PSEUDO_TEXT("tcp_keepalive_time", "7200"),
    PSEUDO_TEXT("tcp_rmem", "4096\t131072\t6291456"),
    SETTING("tcp_syncookies"),
    PSEUDO_TEXT("tcp_wmem", "4096\t16384\t4194304"),
    {0},
};
static const struct pseudo_entry g_net_ipv6_all[] = {PSEUDO_TEXT("disable_ipv6", "0"), {0}};
static const struct pseudo_entry g_net_ipv6_conf[] = {PSEUDO_DIR("all", g_net_ipv6_all), {0}};
static const struct pseudo_entry g_net_ipv6[] = {PSEUDO_DIR("conf", g_net_ipv6_conf), {0}};
static const struct pseudo_entry g_net[] = {
    PSEUDO_DIR("core", g_net_core),
    PSEUDO_DIR("ipv4", g_net_ipv4),
    PSEUDO_DIR("ipv6", g_net_ipv6),
    {0},
};

const struct pseudo_entry g_proc_sys_entries[] = {
    PSEUDO_DIR("fs", g_fs),
    PSEUDO_DIR("kernel", g_kernel),
    PSEUDO_DIR("net", g_net),
    PSEUDO_DIR("vm", g_vm),
    {0},
};
