/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/PID and /proc/PID/task/TID. */
#include "procfs.h"
#include "mm.h"

#include <linux/magic.h>

static const struct pseudo_entry g_pid_dir, g_task_dir;

struct process *proc_process(struct pseudo_inode *p)
{
    struct process *proc = process_find(p->pid);

    if (proc && proc->start_time != p->start) {
        process_put(proc);
        proc = NULL;
    }
    return proc;
}

int proc_dir_process(struct file *f, struct process **out)
{
    struct inode *i = f->inode;

    if (!i || !i->super || i->super->magic != PROC_SUPER_MAGIC || pseudo_of(i)->entry != &g_pid_dir)
        return -EBADF;
    *out = proc_process(pseudo_of(i));
    return *out ? 0 : -ESRCH;
}

struct mm *proc_mm(struct pseudo_inode *p)
{
    struct process *proc = proc_process(p);
    struct mm *mm = NULL;

    if (!proc)
        return NULL;
    mutex_lock(&g_process_lock);
    if (proc->mm)
        mm = mm_get(proc->mm);
    mutex_unlock(&g_process_lock);
    process_put(proc);
    return mm;
}

struct files *proc_files(struct pseudo_inode *p)
{
    struct process *proc = proc_process(p);
    struct files *files = NULL;

    if (!proc)
        return NULL;
    mutex_lock(&g_process_lock);
    files = proc->files;
    if (files)
        ref_get(&files->refs);
    mutex_unlock(&g_process_lock);
    process_put(proc);
    return files;
}

/* As ptrace_may_access: another user's environment, descriptors, memory map, program and places in
 * the file system are not shown. */
int proc_may_look(struct pseudo_inode *p)
{
    struct process *proc = proc_process(p), *me = fs_process();
    int r = 0;

    if (!proc)
        return -ESRCH;
    if (me && !process_may_access(proc))
        r = -EACCES;
    process_put(proc);
    return r;
}

/* ---- memory of the process ---- */

static int show_range(struct pseudo_inode *p, struct text *t, bool environment)
{
    struct mm *mm = proc_mm(p);
    u64 start, end;
    char buf[512];

    if (!mm)
        return 0;
    start = environment ? mm->env_start : mm->arg_start;
    end = environment ? mm->env_end : mm->arg_end;
    while (start < end && t->used < (1u << 21)) {
        size_t n = mm_peek(mm, start, buf, MIN((size_t)(end - start), sizeof(buf)));

        if (n == 0)
            break;
        text_add(t, buf, n);
        start += n;
    }
    mm_put(mm);
    return 0;
}

static int show_cmdline(struct pseudo_inode *p, struct text *t)
{
    return show_range(p, t, false);
}

static int show_environ(struct pseudo_inode *p, struct text *t)
{
    int r = proc_may_look(p);

    return r < 0 ? r : show_range(p, t, true);
}

static int show_auxv(struct pseudo_inode *p, struct text *t)
{
    int r = proc_may_look(p);
    struct mm *mm = r < 0 ? NULL : proc_mm(p);

    if (mm) {
        text_add(t, mm->auxv, mm->auxv_count * sizeof(u64));
        mm_put(mm);
    }
    return r;
}

/* ---- numbers ---- */

static void get_comm(struct pseudo_inode *p, struct process *proc, char comm[16])
{
    struct thread *th;

    strlcpy(comm, proc->comm, 16);
    if (!p->tid)
        return;
    mutex_lock(&g_process_lock);
    th = thread_find(p->tid);
    if (th && th->comm[0])
        strlcpy(comm, th->comm, 16);
    mutex_unlock(&g_process_lock);
}

static struct mm_usage usage_of(struct pseudo_inode *p)
{
    struct mm *mm = proc_mm(p);
    struct mm_usage u = {0};

    if (mm) {
        mm_usage(mm, &u);
        mm_put(mm);
    }
    return u;
}

static int show_stat(struct pseudo_inode *p, struct text *t)
{
    struct process *proc = proc_process(p);
    struct mm_usage m = usage_of(p);
    char comm[16];
    i32 ppid, tty = 0, foreground = -1, sid = 0;
    struct cpu_times cpu, children;
    char state;

    if (!proc)
        return -ESRCH;
    get_comm(p, proc, comm);
    mutex_lock(&g_process_lock);
    cpu = process_cpu_times(proc);
    children = proc->children_cpu;
    ppid = proc->parent ? proc->parent->pid : 0;
    state = process_state_char(proc, p->tid);
    if (proc->session) {
        sid = proc->session->sid;
        if (proc->session->tty) {
            tty = 136 << 8;
            foreground = proc->session->foreground;
        }
    }
    mutex_unlock(&g_process_lock);
    text_printf(
        t,
        "%d (%s) %c %d %d %d %d %d 4194304 %llu 0 0 0 %llu %llu %llu %llu 20 %d %u 0 %llu "
        "%llu %llu ",
        p->tid ? p->tid : p->pid, comm, state, ppid, proc->pgid, sid, tty, foreground,
        (unsigned long long)proc->min_flt, (unsigned long long)(cpu.user / 10000000),
        (unsigned long long)(cpu.system / 10000000), (unsigned long long)(children.user / 10000000),
        (unsigned long long)(children.system / 10000000), proc->nice, proc->thread_count,
        (unsigned long long)(proc->start_time / 10000000),
        (unsigned long long)(m.total << PAGE_SHIFT), (unsigned long long)mm_usage_resident(&m));
    text_printf(t,
                "18446744073709551615 0 0 0 0 0 %llu 0 0 0 0 0 0 %d 0 0 0 0 0 0 0 0 0 0 0 0 0 %u\n",
                (unsigned long long)proc->sig_pending, proc->exit_signal, proc->exit_status);
    process_put(proc);
    return 0;
}

static int show_statm(struct pseudo_inode *p, struct text *t)
{
    struct mm_usage m = usage_of(p);

    text_printf(t, "%llu %llu %llu %llu 0 %llu 0\n", (unsigned long long)m.total,
                (unsigned long long)mm_usage_resident(&m), (unsigned long long)(m.file + m.shared),
                (unsigned long long)m.code, (unsigned long long)(m.data + m.stack));
    return 0;
}

static const char *state_name(char c)
{
    switch (c) {
    case 'R':
        return "R (running)";
    case 'T':
        return "T (stopped)";
    case 't':
        return "t (tracing stop)";
    case 'Z':
        return "Z (zombie)";
    default:
        return "S (sleeping)";
    }
}

static void status_signals(struct text *t, struct process *proc, const struct thread *th)
{
    u64 ignored = 0, caught = 0;

    for (int k = 0; proc->sighand && k < NSIG; k++) {
        if (proc->sighand->action[k].handler == 1)
            ignored |= 1ull << k;
        else if (proc->sighand->action[k].handler)
            caught |= 1ull << k;
    }
    text_printf(t,
                "SigQ:\t%u/%llu\nSigPnd:\t%016llx\nShdPnd:\t%016llx\nSigBlk:\t%016llx\nSigIgn:\t%"
                "016llx\nSigCgt:\t%016llx\n",
                signal_queued_locked(proc),
                (unsigned long long)proc->rlimits[LIMIT_SIGPENDING].soft,
                (unsigned long long)(th ? th->sig_pending : 0),
                (unsigned long long)proc->sig_pending, (unsigned long long)(th ? th->sig_mask : 0),
                (unsigned long long)ignored, (unsigned long long)caught);
}

static void status_memory(struct text *t, const struct mm_usage *m)
{
    const struct {
        const char *name;
        u64 pages;
    } lines[] = {
        {"VmPeak", m->total},
        {"VmSize", m->total},
        {"VmLck", m->locked},
        {"VmPin", 0},
        {"VmHWM", mm_usage_resident(m)},
        {"VmRSS", mm_usage_resident(m)},
        {"RssAnon", m->anon},
        {"RssFile", m->file},
        {"RssShmem", m->shared},
        {"VmData", m->data},
        {"VmStk", m->stack},
        {"VmExe", m->code},
        {"VmLib", 0},
        {"VmPTE", 0},
        {"VmSwap", 0},
    };

    for (size_t k = 0; k < ARRAY_SIZE(lines); k++)
        text_printf(t, "%s:\t%8llu kB\n", lines[k].name,
                    (unsigned long long)(lines[k].pages << (PAGE_SHIFT - 10)));
}

/* As Linux: newline and backslash as in C. */
static void add_comm(struct text *t, const char *comm)
{
    for (; *comm; comm++) {
        if (*comm == '\n' || *comm == '\\')
            text_printf(t, "\\%c", *comm == '\n' ? 'n' : '\\');
        else
            text_add(t, comm, 1);
    }
}

static int show_status(struct pseudo_inode *p, struct text *t)
{
    struct process *proc = proc_process(p);
    struct mm_usage m = usage_of(p);
    const struct cred *c;
    struct files *files;
    char comm[16];
    u64 cpus[16];
    i32 ppid;

    if (!proc)
        return -ESRCH;
    get_comm(p, proc, comm);
    c = &proc->cred;
    files = proc_files(p);
    mutex_lock(&g_process_lock);
    ppid = proc->parent ? proc->parent->pid : 0;
    text_printf(t, "Name:\t");
    add_comm(t, comm);
    text_printf(t,
                "\nUmask:\t%04o\nState:\t%s\nTgid:\t%d\nNgid:\t0\nPid:\t%d\nPPid:\t%"
                "d\nTracerPid:\t%d\n",
                proc->fs ? proc->fs->umask : 0, state_name(process_state_char(proc, p->tid)),
                p->pid, p->tid ? p->tid : p->pid, ppid,
                process_tracer_locked(p->tid ? p->tid : p->pid));
    text_printf(t, "Uid:\t%u\t%u\t%u\t%u\nGid:\t%u\t%u\t%u\t%u\nFDSize:\t%u\nGroups:\t", c->uid,
                c->euid, c->suid, c->fsuid, c->gid, c->egid, c->sgid, c->fsgid,
                files ? files->size : 0);
    for (u32 k = 0; k < c->group_count; k++)
        text_printf(t, "%u ", c->groups[k]);
    text_printf(t, "%s\nNStgid:\t%d\nNSpid:\t%d\nNSpgid:\t%d\nNSsid:\t%d\n",
                c->group_count ? "" : " ", p->pid, p->tid ? p->tid : p->pid, proc->pgid,
                proc->session ? proc->session->sid : 0);
    if (m.total)
        status_memory(t, &m);
    text_printf(t, "Threads:\t%u\n", proc->thread_count);
    struct thread *th = thread_find(p->tid ? p->tid : p->pid);
    status_signals(t, proc, th);
    text_printf(t,
                "CapInh:\t%016llx\nCapPrm:\t%016llx\nCapEff:\t%016llx\nCapBnd:\t%016llx\nCapAmb:\t%"
                "016llx\nNoNewPrivs:\t%u\n",
                (unsigned long long)c->cap_inheritable, (unsigned long long)c->cap_permitted,
                (unsigned long long)c->cap_effective, (unsigned long long)c->cap_bounding,
                (unsigned long long)c->cap_ambient, c->no_new_privs);
    text_printf(t, "Seccomp:\t%u\nSeccomp_filters:\t%u\n", th ? th->seccomp_mode : 0,
                th ? seccomp_filter_count(th) : 0);
    mutex_unlock(&g_process_lock);
    container_cpus(cpus);
    text_printf(t, "Cpus_allowed:\t");
    text_cpu_mask(t, cpus);
    text_printf(t, "\nCpus_allowed_list:\t");
    text_cpu_list(t, cpus);
    text_printf(t, "\nMems_allowed:\t1\nMems_allowed_list:\t0\nvoluntary_ctxt_switches:\t0\n"
                   "nonvoluntary_ctxt_switches:\t0\n");
    if (files)
        files_put(files);
    process_put(proc);
    return 0;
}

static int show_comm(struct pseudo_inode *p, struct text *t)
{
    struct process *proc = proc_process(p);
    char comm[16];

    if (!proc)
        return -ESRCH;
    get_comm(p, proc, comm);
    process_put(proc);
    text_printf(t, "%s\n", comm);
    return 0;
}

static ssize_t store_comm(struct pseudo_inode *p, const char *buf, size_t n)
{
    struct thread *th;

    if (!fs_process() || p->pid != fs_process()->pid)
        return -EINVAL;
    mutex_lock(&g_process_lock);
    th = p->tid && p->tid != p->pid ? thread_find(p->tid) : NULL;
    strlcpy(th ? th->comm : fs_process()->comm, buf, 16);
    mutex_unlock(&g_process_lock);
    return (ssize_t)n;
}

static int show_limits(struct pseudo_inode *p, struct text *t)
{
    static const struct {
        const char *name, *unit;
        u8 index;
    } limits[] = {
        {"Max cpu time", "seconds", 0},     {"Max file size", "bytes", 1},
        {"Max data size", "bytes", 2},      {"Max stack size", "bytes", 3},
        {"Max core file size", "bytes", 4}, {"Max resident set", "bytes", 5},
        {"Max processes", "processes", 6},  {"Max open files", "files", 7},
        {"Max locked memory", "bytes", 8},  {"Max address space", "bytes", 9},
        {"Max file locks", "locks", 10},    {"Max pending signals", "signals", 11},
        {"Max msgqueue size", "bytes", 12}, {"Max nice priority", "", 13},
        {"Max realtime priority", "", 14},  {"Max realtime timeout", "us", 15},
    };
    struct process *proc = proc_process(p);
    char soft[24], hard[24];

    if (!proc)
        return -ESRCH;
    text_printf(t, "%-25s %-20s %-20s %-10s\n", "Limit", "Soft Limit", "Hard Limit", "Units");
    for (size_t k = 0; k < ARRAY_SIZE(limits); k++) {
        const struct rlimit64 *l = &proc->rlimits[limits[k].index];

        snprintf(soft, sizeof(soft), "%llu", (unsigned long long)l->soft);
        snprintf(hard, sizeof(hard), "%llu", (unsigned long long)l->hard);
        text_printf(t, limits[k].unit[0] ? "%-25s %-20s %-20s %-10s\n" : "%-25s %-20s %-20s %s\n",
                    limits[k].name, l->soft == UINT64_MAX ? "unlimited" : soft,
                    l->hard == UINT64_MAX ? "unlimited" : hard, limits[k].unit);
    }
    process_put(proc);
    return 0;
}

static int show_oom_adj(struct pseudo_inode *p, struct text *t)
{
    struct process *proc = proc_process(p);

    if (!proc)
        return -ESRCH;
    text_printf(t, "%d\n", proc->oom_score_adj);
    process_put(proc);
    return 0;
}

static ssize_t store_oom_adj(struct pseudo_inode *p, const char *buf, size_t n)
{
    struct process *proc;
    bool negative = *buf == '-';
    i32 v = 0;

    for (const char *s = buf + negative; *s >= '0' && *s <= '9' && v < 10000; s++)
        v = v * 10 + (*s - '0');
    v = negative ? -v : v;
    if (v < -1000 || v > 1000)
        return -EINVAL;
    proc = proc_process(p);
    if (!proc)
        return -ESRCH;
    if (v < proc->oom_score_adj && !fs_capable(CAP_SYS_RESOURCE)) {
        process_put(proc);
        return -EACCES;
    }
    proc->oom_score_adj = v;
    process_put(proc);
    return (ssize_t)n;
}

/* ---- magic links ---- */

static int follow_exe(struct pseudo_inode *p, struct dentry **out)
{
    int r = proc_may_look(p) == -EACCES ? -EACCES : -ENOENT;
    struct mm *mm = r == -EACCES ? NULL : proc_mm(p);

    if (mm && mm->exe && mm->exe->dentry) {
        *out = dentry_get(mm->exe->dentry);
        r = 0;
    }
    if (mm)
        mm_put(mm);
    return r;
}

static int follow_place(struct pseudo_inode *p, struct dentry **out, bool root)
{
    struct process *proc = proc_process(p);
    struct fs_context *fs;
    int r = proc_may_look(p);

    if (!proc)
        return -ENOENT;
    mutex_lock(&g_process_lock);
    fs = proc->fs;
    if (fs)
        ref_get(&fs->refs);
    mutex_unlock(&g_process_lock);
    if (r == 0 && fs) {
        mutex_lock(&fs->lock);
        *out = dentry_get(root ? fs->root : fs->cwd);
        mutex_unlock(&fs->lock);
    } else if (r == 0) {
        r = -ENOENT;
    }
    fs_context_put(fs);
    process_put(proc);
    return r;
}

static int follow_cwd(struct pseudo_inode *p, struct dentry **out)
{
    return follow_place(p, out, false);
}

static int follow_root(struct pseudo_inode *p, struct dentry **out)
{
    return follow_place(p, out, true);
}

/* ---- task ---- */

struct tids {
    i32 *list;
    u32 count;
};

/* The list is the caller's to free. */
static int collect_tids(struct pseudo_inode *p, struct tids *out)
{
    struct process *proc = proc_process(p);
    struct thread *th;
    u32 room;

    *out = (struct tids){0};
    if (!proc)
        return 0;
    do { /* more threads may come while there is no lock */
        kfree(out->list);
        room = __atomic_load_n(&proc->thread_count, __ATOMIC_RELAXED) + 16;
        out->list = kmalloc(room * sizeof(*out->list));
        if (!out->list) {
            process_put(proc);
            return -ENOMEM;
        }
        out->count = 0;
        mutex_lock(&g_process_lock);
        list_for_each_entry (th, &proc->threads, siblings) {
            if (out->count < room)
                out->list[out->count] = th->tid;
            out->count++;
        }
        mutex_unlock(&g_process_lock);
    } while (out->count > room);
    if (!out->count) /* a zombie still shows its main thread */
        out->list[out->count++] = p->pid;
    process_put(proc);
    return 0;
}

static int task_lookup(struct pseudo_inode *dir, const char *name, size_t len, struct inode **out)
{
    int tid = proc_parse_number(name, len);
    struct tids tids;
    bool found = false;
    int r = collect_tids(dir, &tids);

    for (u32 k = 0; k < tids.count && tid > 0 && !found; k++)
        found = tids.list[k] == tid;
    kfree(tids.list);
    if (r < 0 || !found)
        return r < 0 ? r : -ENOENT;
    *out = pseudo_inode_new(dir->i.super, &g_task_dir, dir);
    if (!*out)
        return -ENOMEM;
    pseudo_of(*out)->tid = tid;
    (*out)->ino = (u64)tid | 0x20000000;
    return 0;
}

static int task_iterate(struct pseudo_inode *dir, u64 pos, dirent_fn *fn, void *ctx)
{
    struct tids tids;
    char name[16];
    int r = collect_tids(dir, &tids);

    for (u64 k = pos; r == 0 && k < tids.count; k++) {
        snprintf(name, sizeof(name), "%d", tids.list[k]);
        if (!fn(ctx, name, strlen(name), (u64)tids.list[k] | 0x20000000, DT_DIR, k + 1))
            r = 1;
    }
    kfree(tids.list);
    return r;
}

/* ---- tables ---- */

static int show_wchan(struct pseudo_inode *p, struct text *t)
{
    text_add(t, "0", 1);
    return 0;
}

static const struct pseudo_entry g_ns_entries[] = {
    {.name = "mnt", .mode = S_IFLNK | 0777, .text = "mnt:[4026531841]"},
    {.name = "pid", .mode = S_IFLNK | 0777, .text = "pid:[4026531836]"},
    {.name = "net", .mode = S_IFLNK | 0777, .text = "net:[4026531840]"},
    {.name = "uts", .mode = S_IFLNK | 0777, .text = "uts:[4026531838]"},
    {.name = "ipc", .mode = S_IFLNK | 0777, .text = "ipc:[4026531839]"},
    {.name = "user", .mode = S_IFLNK | 0777, .text = "user:[4026531837]"},
    {.name = "cgroup", .mode = S_IFLNK | 0777, .text = "cgroup:[4026531835]"},
    {0},
};

static int show_uid_map(struct pseudo_inode *p, struct text *t)
{
    text_printf(t, "%s", container_id_map(false));
    return 0;
}

static int show_gid_map(struct pseudo_inode *p, struct text *t)
{
    text_printf(t, "%s", container_id_map(true));
    return 0;
}

static int show_slack(struct pseudo_inode *p, struct text *t)
{
    struct thread *th;
    u64 ns = 0;

    mutex_lock(&g_process_lock);
    th = thread_find(p->tid ? p->tid : p->pid);
    if (th)
        ns = th->timer_slack ? th->timer_slack : 50000;
    mutex_unlock(&g_process_lock);
    text_printf(t, "%llu\n", (unsigned long long)ns);
    return 0;
}

static ssize_t store_slack(struct pseudo_inode *p, const char *buf, size_t n)
{
    struct thread *th;
    u64 ns = 0;
    size_t digits = 0;

    for (; digits < n && digits < 18 && buf[digits] >= '0' && buf[digits] <= '9'; digits++)
        ns = ns * 10 + (u64)(buf[digits] - '0');
    if (!digits)
        return -EINVAL;
    mutex_lock(&g_process_lock);
    th = thread_find(p->tid ? p->tid : p->pid);
    if (th && (th->process == fs_process() || fs_capable(CAP_SYS_NICE)))
        th->timer_slack = ns ? ns : th->timer_slack_default;
    else
        n = 0;
    mutex_unlock(&g_process_lock);
    return n ? (ssize_t)n : th ? -EPERM : -ESRCH;
}

/* clang-format off */
#define COMMON_ENTRIES \
    {.name = "auxv", .mode = S_IFREG | 0400, .show = show_auxv}, \
    PSEUDO_TEXT("cgroup", "0::/"), \
    PSEUDO_SHOW("cmdline", show_cmdline), \
    {.name = "comm", .mode = S_IFREG | 0644, .show = show_comm, .store = store_comm}, \
    PSEUDO_TEXT("coredump_filter", "00000033"), \
    {.name = "cwd", .mode = S_IFLNK | 0777, .follow = follow_cwd}, \
    {.name = "environ", .mode = S_IFREG | 0400, .show = show_environ}, \
    {.name = "exe", .mode = S_IFLNK | 0777, .follow = follow_exe}, \
    {.name = "fd", .mode = S_IFDIR | 0500, .lookup = proc_fd_lookup, .iterate = proc_fd_iterate}, \
    {.name = "fdinfo", .mode = S_IFDIR | 0555, .lookup = proc_fdinfo_lookup, \
     .iterate = proc_fd_iterate}, \
    {.name = "gid_map", .mode = S_IFREG | 0644, .show = show_gid_map}, \
    {.name = "io", .mode = S_IFREG | 0400, \
     .text = "rchar: 0\nwchar: 0\nsyscr: 0\nsyscw: 0\nread_bytes: 0\nwrite_bytes: 0\n" \
             "cancelled_write_bytes: 0\n"}, \
    PSEUDO_SHOW("limits", show_limits), \
    {.name = "loginuid", .mode = S_IFREG | 0644, .text = "4294967295"}, \
    {.name = "maps", .mode = S_IFREG | 0444, .show = proc_show_maps, .ioctl = proc_maps_ioctl}, \
    {.name = "mem", .mode = S_IFREG | 0600, .fops = &g_proc_mem_ops}, \
    {.name = "mountinfo", .mode = S_IFREG | 0444, .show = proc_show_mountinfo, \
     .news = mount_changes, .news_wait = &g_mounts_wait}, \
    {.name = "mounts", .mode = S_IFREG | 0444, .show = proc_show_mounts, \
     .news = mount_changes, .news_wait = &g_mounts_wait}, \
    PSEUDO_DIR("net", g_proc_net_entries), \
    {.name = "ns", .mode = S_IFDIR | 0511, .children = g_ns_entries}, \
    {.name = "oom_adj", .mode = S_IFREG | 0644, .text = "0\n"}, \
    PSEUDO_TEXT("oom_score", "0"), \
    {.name = "oom_score_adj", .mode = S_IFREG | 0644, .show = show_oom_adj, \
     .store = store_oom_adj}, \
    {.name = "personality", .mode = S_IFREG | 0400, .text = "00000000\n"}, \
    {.name = "root", .mode = S_IFLNK | 0777, .follow = follow_root}, \
    {.name = "sessionid", .mode = S_IFREG | 0444, .text = "4294967295"}, \
    {.name = "setgroups", .mode = S_IFREG | 0644, .text = "allow\n"}, \
    PSEUDO_SHOW("smaps", proc_show_smaps), \
    PSEUDO_SHOW("smaps_rollup", proc_show_smaps_rollup), \
    PSEUDO_SHOW("stat", show_stat), \
    PSEUDO_SHOW("statm", show_statm), \
    PSEUDO_SHOW("status", show_status), \
    {.name = "timerslack_ns", .mode = S_IFREG | 0644, .show = show_slack, .store = store_slack}, \
    {.name = "uid_map", .mode = S_IFREG | 0644, .show = show_uid_map}, \
    PSEUDO_SHOW("wchan", show_wchan)
/* clang-format on */

static const struct pseudo_entry g_task_entries[] = {COMMON_ENTRIES, {0}};
static const struct pseudo_entry g_pid_entries[] = {
    COMMON_ENTRIES,
    {.name = "mountstats", .mode = S_IFREG | 0400, .show = proc_show_mountstats},
    {.name = "task", .mode = S_IFDIR | 0555, .lookup = task_lookup, .iterate = task_iterate},
    {0},
};
static const struct pseudo_entry g_task_dir = PSEUDO_DIR("task", g_task_entries);
static const struct pseudo_entry g_pid_dir = PSEUDO_DIR("pid", g_pid_entries);

/* Another process that gets the number later is another directory, also for programs that keep 32
 * bits of it. */
u64 proc_pid_ino(const struct process *p)
{
    u64 start = p->start_time / 1000 & 0x7fffffff;

    return start << 32 | 0x10000000 | (((u32)p->pid + (u32)start * 0x9e3779b1u) & 0x0fffffff);
}

struct inode *proc_pid_inode(struct super *s, struct process *p)
{
    struct inode *i = pseudo_inode_new(s, &g_pid_dir, NULL);

    if (i) {
        pseudo_of(i)->pid = p->pid;
        pseudo_of(i)->start = p->start_time;
        i->uid = p->cred.euid;
        i->gid = p->cred.egid;
        i->ino = proc_pid_ino(p);
    }
    return i;
}
