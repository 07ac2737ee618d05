/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ecalls: the start of the LibOS, and what libenclave asks of it afterwards. Arguments are
 * untrusted; what they point to is copied in once.
 */
#include "start.h"
#include "cpu.h"
#include "crypto.h"
#include "deployment.h"
#include "event.h"
#include "exception.h"
#include "filesystems.h"
#include "host_call.h"
#include "ipc.h"
#include "lib.h"
#include "manifest.h"
#include "measured.h"
#include "mm.h"
#include "net.h"
#include "pages.h"
#include "policy.h"
#include "process.h"
#include "self.h"
#include "sgx.h"
#include "sgx_emulated.h"
#include "tcb.h"
#include "pal.h"
#include "trace.h"

#define SIGWINCH 28

/* Copy n bytes of host memory in. */
static int copy_in(void *dst, u64 src, size_t n)
{
    const struct host_memory *from = (const struct host_memory *)src;

    if (!is_outside(from, n))
        return -EFAULT;
    speculation_barrier();
    return hostmem_read(dst, from, n) == 0 ? 0 : -EFAULT;
}

static int load_given(const void *blob, size_t size)
{
    return given_load(blob, size, &g_deployment);
}

/* A blob of the host, copied in once. */
static int load_blob(u64 from, u64 size, u64 most, int (*load)(const void *blob, size_t size))
{
    void *blob;
    int r;

    if (size == 0 || size > most)
        return -EINVAL;
    blob = kmalloc(size);
    if (blob == NULL)
        return -ENOMEM;
    r = copy_in(blob, from, size);
    if (r == 0)
        r = load(blob, size);
    kfree(blob);
    return r;
}

/* The bound is held against all that a program sees: what the host fills in as well. */
static int load_deployment(const struct boundary_boot *boot)
{
    int r = load_blob(boot->deployment, boot->deployment_size, MANIFEST_DEPLOYMENT_MAX,
                      deployment_load);

    if (r == 0 && boot->given_size != 0)
        r = load_blob(boot->given, boot->given_size, MANIFEST_GIVEN_MAX, load_given);
    if (r == 0) {
        inherit_names(boot);
        if (g_layout->bound != 0)
            r = bound_check((const void *)g_layout->bound, g_layout->bound_size, &g_deployment);
    }
    return r;
}

/* A text of the host; NULL when there is none. */
static int copy_text_in(char **out, u64 src, u64 n)
{
    *out = NULL;
    if (n == 0)
        return 0;
    if (n > BOUNDARY_ID_MAP_MAX)
        return -EINVAL;
    *out = kmalloc(n + 1);
    if (*out == NULL)
        return -ENOMEM;
    (*out)[n] = '\0';
    return copy_in(*out, src, n);
}

static int load_container(const struct boundary_boot *boot)
{
    char *uid_map = NULL, *gid_map = NULL;
    u32 count = boot->mount_count;
    int r;

    if (count > BOUNDARY_MOUNT_MAX)
        return -EINVAL;
    hostfd *fds = kmalloc(((size_t)count + 1) * sizeof(*fds));

    if (fds == NULL)
        return -ENOMEM;
    r = count == 0 ? 0 : copy_in(fds, boot->mount_fds, count * sizeof(*fds));
    if (r == 0)
        deployment_set_mounts(fds, count);
    if (r == 0)
        r = copy_text_in(&uid_map, boot->uid_map, boot->uid_map_size);
    if (r == 0)
        r = copy_text_in(&gid_map, boot->gid_map, boot->gid_map_size);
    if (r == 0)
        r = container_set_id_maps(uid_map, gid_map);
    kfree(uid_map);
    kfree(gid_map);
    container_set_limits(&boot->limits);
    container_set_oom_score_adj(boot->oom_score_adj);
    return r;
}

static i64 ecall_limits(u64 argument)
{
    struct boundary_limits limits;

    if (copy_in(&limits, argument, sizeof(limits)) < 0)
        return -EFAULT;
    container_set_limits(&limits);
    threads_limit_changed(limits.threads);
    return memory_limit_changed(limits.memory);
}

/* What the host wants, as far as the measured manifest goes. Only an enclave that is measured as
 * one for debugging says what its programs do (LOG_INFO and more). */
static void set_log_level(u32 wanted)
{
    u32 most = g_manifest->log_level;

    if ((g_manifest->flags & MANIFEST_DEBUG) == 0)
        most = MIN(most, LOG_WARN);
    g_log_level = (int)MIN(wanted, most);
}

/* The system calls that the host wants to see: what they say is for debugging only. */
static int set_trace(const struct boundary_boot *boot)
{
    char *names;
    int r;

    if ((g_manifest->flags & MANIFEST_DEBUG) == 0) {
        if (boot->trace_size == 0)
            return 0;
        log_error("enclave.trace: this enclave is not for debugging");
        return -EPERM;
    }
    if (g_log_level >= LOG_TRACE)
        trace_all();
    r = copy_text_in(&names, boot->trace, boot->trace_size);
    if (r == 0 && names && g_deployment.policy.log_level < LOG_TRACE)
        r = -EPERM;
    if (r == 0 && names && !trace_select(names)) {
        log_error("enclave.trace \"%s\": one of them is no system call", names);
        r = -EINVAL;
    }
    kfree(names);
    return r;
}

/* What lower rooms ask of higher ones. */
static void process_ends(struct process *p)
{
    aio_process_exit(p);
    sysv_process_exit(p);
}

static const struct process_hooks g_hooks = {
    .install_stdio = fs_install_stdio,
    .take_terminal = fs_take_terminal,
    .dir_process = proc_dir_process,
    .session_end = tty_session_end,
    .exec = aio_process_exit,
    .exit = process_ends,
};
static const struct proc_sources g_sources = {
    .sockets = socket_list_walk,
    .aio_events = aio_event_count,
    .sysv_shm = sysv_show_shm,
    .sysv_sem = sysv_show_sem,
    .sysv_msg = sysv_show_msg,
};

static int boot_steps(const struct boundary_boot *boot)
{
    u8 report[SGX_REPORT_SIZE];
    const char *step, *refusal;
    int r;

    sgx_report(NULL, NULL, report);
    memcpy(&g_self, report, sizeof(g_self));
    refusal = self_refusal(&g_self, g_manifest->flags);
    if (refusal != NULL)
        panic("the enclave refuses to run: %s", refusal);
    vector_init(g_self.attributes.xfrm);
    aex_init();
    aex_enter(tcb());
    host_set_image(boot);
    set_log_level(boot->log_level);
    heap_init(g_layout);
    clock_init();
    r = cpuid_init();
    if (r < 0)
        return r;
    crypto_init(cpuid_has_sha() ? CRYPTO_HAVE_SHA_NI : 0);
    threads_init(g_layout->static_tcs, g_manifest->thread_limit, boot->limits.threads);
    step = "memory";
    r = mm_init(g_layout, g_manifest->memory_limit, boot->limits.memory);
    if (r == 0) {
        step = "what the host says of the container";
        r = load_container(boot);
    }
    if (r == 0) {
        step = "deployment manifest";
        r = load_deployment(boot);
        g_log_level = MIN(g_log_level, (int)g_deployment.policy.log_level);
    }
    if (r == 0) {
        step = "the trace of system calls";
        r = set_trace(boot);
    }
    if (r == 0) {
        step = "processes";
        g_file_async = &g_event_async;
        r = process_init(&g_hooks);
    }
    if (r == 0) {
        step = "file systems";
        r = fs_init(g_manifest, &g_deployment, &g_sources);
    }
    if (r < 0)
        log_error("the LibOS cannot start: %s: error %d", step, -r);
    else
        log_info("LibOS started%s: ELRANGE %lu MiB, XFRM %lx",
                 sgx_cpusvn_is_emulated(g_self.cpu_svn) ? " in an emulated enclave" : "",
                 (unsigned long)(g_layout->size >> 20), (unsigned long)g_self.attributes.xfrm);
    return r;
}

static i64 ecall_boot(u64 argument)
{
    static u32 started;
    static struct boundary_boot boot;

    if (__atomic_exchange_n(&started, 1, __ATOMIC_SEQ_CST) != 0)
        return -EALREADY;
    if (copy_in(&boot, argument, sizeof(boot)) < 0)
        return -EFAULT;
    return boot_steps(&boot);
}

/* Split `count` strings off *p; the list is NULL-terminated and points into the blob. */
static char **take_strings(char **p, char *end, u32 count)
{
    char **list = kmalloc(((size_t)count + 1) * sizeof(char *));

    if (list == NULL)
        return NULL;
    for (u32 i = 0; i < count; i++) {
        size_t n = strnlen(*p, (size_t)(end - *p));

        if (n == (size_t)(end - *p)) {
            kfree(list);
            return NULL;
        }
        list[i] = *p;
        *p += n + 1;
    }
    list[count] = NULL;
    return list;
}

static i64 spawn_parsed(struct boundary_process *h)
{
    char *p = (char *)(h + 1), *end = (char *)h + h->size;
    struct process_spec spec = {
        .terminal = (h->flags & PAL_PROCESS_TERMINAL) != 0,
        .first = (h->flags & PAL_PROCESS_FIRST) != 0,
        .uid = h->uid,
        .gid = h->gid,
        .umask = h->umask & 0777,
        .capabilities = h->capabilities,
        .groups = (u32 *)(h + 1),
        .group_count = h->group_count,
    };
    struct rlimit64 limits[16];
    char **head = NULL, **argv = NULL, **env = NULL, **own_env = NULL;
    i32 pid = 0;
    i64 r = -EINVAL;

    if (h->group_count > 65536 || (size_t)(end - p) < (size_t)h->group_count * 4 ||
        h->argc > h->size || h->envc > h->size)
        return -EINVAL;
    speculation_barrier();
    p += (size_t)h->group_count * 4;
    for (int i = 0; i < 3; i++)
        spec.hfds[i] = (hostfd){h->stdio[i]};
    for (int i = 0; i < 16; i++)
        limits[i] = (struct rlimit64){h->rlimits[2 * i], h->rlimits[2 * i + 1]};
    if ((h->flags & PAL_PROCESS_HAS_LIMITS) != 0)
        spec.rlimits = limits;
    head = take_strings(&p, end, 2);
    argv = head != NULL ? take_strings(&p, end, h->argc) : NULL;
    env = argv != NULL ? take_strings(&p, end, h->envc) : NULL;
    if (env == NULL)
        goto out;
    spec.path = head[0][0] != '\0' ? head[0] : NULL;
    spec.cwd = head[1];
    spec.argv = argv;
    spec.env = env;
    if (spec.first) {
        /* The first process is what the verifier pinned, whatever the host asks for. */
        spec.argv = g_deployment.argv;
        spec.env = g_deployment.env != NULL ? g_deployment.env : env + h->envc;
        spec.path = NULL;
        spec.cwd = g_deployment.cwd != NULL ? g_deployment.cwd : "/";
        spec.terminal = g_deployment.terminal;
        spec.uid = g_deployment.uid;
        spec.gid = g_deployment.gid;
        spec.umask = g_deployment.umask;
        spec.groups = g_deployment.groups;
        spec.group_count = g_deployment.group_count;
        spec.capabilities = g_deployment.capabilities;
        spec.bounding = g_deployment.bounding;
        spec.inheritable = g_deployment.inheritable;
        spec.ambient = g_deployment.ambient;
        if (spec.rlimits != NULL)
            inherit_limits(spec.rlimits);
        spec.rlimits = NULL;
    } else if (spec.argv[0] != NULL) {
        int refused = policy_exec(&spec, &own_env);

        if (refused != 0) {
            r = refused < 0 ? refused : -BOUNDARY_REFUSED - refused;
            goto out;
        }
    }
    if (spec.argv != NULL && spec.argv[0] != NULL)
        r = process_spawn(&spec, &pid);
    if (r == 0)
        r = pid;
out:
    kfree(head);
    kfree(argv);
    kfree(env);
    kfree(own_env);
    return r;
}

/*
 * RA-TLS in front of process 1 (MANIFEST_RATLS): beside it, as its user, for a deployment that asks
 * for it. What it logs goes where process 1's errors go.
 */
static i32 g_first, g_proxy;

static int spawn_proxy(const struct boundary_process *h)
{
    char *name = (char *)(uintptr_t) "ratls-proxy", *option = (char *)(uintptr_t) "--clients";
    char *clients = g_deployment.ratls_clients, *env[] = {NULL};
    char *open[] = {name, g_deployment.ratls, NULL};
    char *closed[] = {name, option, clients, g_deployment.ratls, NULL};
    const struct process_spec spec = {
        .path = RATLS_PROXY,
        .argv = clients ? closed : open,
        .env = env,
        .cwd = "/",
        .hfds = {no_hostfd(-1), no_hostfd(-1),
                 g_deployment.terminal ? no_hostfd(-1) : host_dup((hostfd){h->stdio[2]})},
        .uid = g_deployment.uid,
        .gid = g_deployment.gid,
        .umask = 077,
        .capabilities = g_deployment.capabilities,
        .bounding = g_deployment.bounding,
        .helper = true,
    };
    int r = process_spawn(&spec, &g_proxy);

    if (r < 0)
        log_error("enclave.ratls: ratls-proxy cannot be started: error %d", -r);
    return r;
}

static int start_process(i32 pid)
{
    int r = process_start(pid);

    return r == 0 && g_proxy > 0 && pid == g_first ? process_start(g_proxy) : r;
}

static i64 ecall_create_process(u64 argument)
{
    static bool first_done, first_is_there;
    struct boundary_process head, *h;
    bool first;
    i64 r;

    if (copy_in(&head, argument, sizeof(head)) < 0)
        return -EFAULT;
    if (head.size < sizeof(head) || head.size > BOUNDARY_PROCESS_MAX)
        return -E2BIG;
    first = (head.flags & PAL_PROCESS_FIRST) != 0;
    if (first && __atomic_exchange_n(&first_done, true, __ATOMIC_SEQ_CST))
        return -EALREADY;
    /* Another process 1 than the deployment's would be the parent of orphans, and more. */
    if (!first && !__atomic_load_n(&first_is_there, __ATOMIC_SEQ_CST))
        return -EAGAIN;
    h = kmalloc(head.size);
    if (h == NULL)
        return -ENOMEM;
    r = copy_in(h, argument, head.size);
    /* The copy again, but with the head that was checked. */
    memcpy(h, &head, sizeof(head));
    if (r == 0)
        r = spawn_parsed(h);
    if (first && r > 0) {
        g_first = (i32)r;
        if (g_deployment.ratls && spawn_proxy(h) < 0)
            r = -ENOEXEC;
    }
    if (first && r > 0)
        __atomic_store_n(&first_is_there, true, __ATOMIC_SEQ_CST);
    kfree(h);
    return r;
}

/* The host chooses who may check the report, and nothing of what it says. */
static i64 ecall_report(void)
{
    static const u8 data[64] = BOUNDARY_HOST_REPORT;
    u8 target[SGX_TARGETINFO_SIZE], report[SGX_REPORT_SIZE];
    int r;

    host_get(0, target, sizeof(target));
    r = sgx_report(target, data, report);
    if (r == 0)
        host_put(0, report, sizeof(report));
    return r;
}

static int count_process(struct process *p, void *ctx)
{
    (*(u64 *)ctx)++;
    return 0;
}

static i64 ecall_stats(void)
{
    struct boundary_stats s = {0};
    struct mm_totals m;

    mm_totals(&m);
    s.memory_committed = m.committed;
    s.memory_peak = m.peak;
    s.memory_reserved = m.elrange_user;
    process_for_each(count_process, &s.processes); /* takes g_process_lock */
    threads_stats(&s);
    host_put(0, &s, sizeof(s));
    return 0;
}

static i64 control(u64 number, u64 argument)
{
    i32 pid = (i32)(u32)argument;

    switch (number) {
    case ECALL_BOOT:
        return ecall_boot(argument);
    case ECALL_CREATE_PROCESS:
        return ecall_create_process(argument);
    case ECALL_START_PROCESS:
        return start_process(pid);
    case ECALL_KILL:
        return process_kill_from_host(pid, (int)(argument >> 32));
    case ECALL_KILL_FOREGROUND:
        return process_kill_foreground(pid, (int)(argument >> 32));
    case ECALL_RESIZE:
        return process_kill_foreground(pid, SIGWINCH);
    case ECALL_REPORT:
        return ecall_report();
    case ECALL_STATS:
        return ecall_stats();
    case ECALL_LIMITS:
        return ecall_limits(argument);
    default:
        return -ENOSYS;
    }
}

/* What the builder measured, but a wrong builder should fail with a message. */
static void check_layout(const struct tcb *t)
{
    const struct enclave_layout *l = (const struct enclave_layout *)t->head.layout;

    g_layout = l;
    g_manifest = (const struct manifest_image *)l->manifest;
    if (t->head.magic != TCB_MAGIC || l->magic != ENCLAVE_LAYOUT_MAGIC ||
        l->libos_base != (u64)__libos_start || g_manifest->magic != MANIFEST_IMAGE_MAGIC ||
        g_manifest->version != MANIFEST_VERSION)
        panic("the enclave was not built for this LibOS");
    g_panic_details = (g_manifest->flags & MANIFEST_DEBUG) != 0;
}

u64 ecall_main(u64 number, struct host_memory *area, u64 argument)
{
    static u32 stage; /* 0: not booted, 1: under way, 2: booted */
    struct tcb *t = tcb();
    u32 fresh = 0;
    i64 r;

    if (t->current != NULL)
        return (u64)-EBUSY; /* the host enters a TCS whose thread did not leave */
    /* Before anything else: the layout alone says what is outside. */
    if ((u64)area % 4096 != 0 ||
        (u64)area < ((const struct enclave_layout *)t->head.layout)->size ||
        (u64)area > (1ull << 47) - sizeof(struct boundary_area))
        return (u64)-EFAULT;
    speculation_barrier(); /* neither area nor number is used before the checks, but by them */
    /* Locks that are waited for before a thread is bound ask the host to yield, and a panic tells
     * it. */
    t->area = area;
    t->vector_saved = VECTOR_SCRUBBED;
    aex_enter(t);
    if (number == ECALL_BOOT &&
        __atomic_compare_exchange_n(&stage, &fresh, 1, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
        thread_bind_control(t, area);
        check_layout(t);
        r = control(number, argument);
        thread_unbind_control(t);
        if (r == 0)
            __atomic_store_n(&stage, 2, __ATOMIC_SEQ_CST);
        return (u64)r;
    }
    /* The threads that the boot itself starts enter while it is under way. */
    if (__atomic_load_n(&stage, __ATOMIC_SEQ_CST) != 2 && number != ECALL_THREAD)
        return (u64)-EAGAIN;
    if (__atomic_load_n(&stage, __ATOMIC_SEQ_CST) == 0)
        return (u64)-EAGAIN;
    if (number == ECALL_THREAD) {
        thread_run_next(t, area);
        return 0;
    }
    if (thread_bind_control(t, area) == NULL)
        return (u64)-ENOMEM;
    r = control(number, argument);
    thread_unbind_control(t);
    return (u64)r;
}
