/* SPDX-License-Identifier: Apache-2.0 */
/* The PAL functions of the built-in LibOS. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "enclave/levels.h"
#include "sgx/emulated.h"
#include "sgx/measure.h"
#include "runtime.h"

struct runtime g_runtime = {
    .callback_lock = PTHREAD_MUTEX_INITIALIZER, .proxy_fd = -1, .proc_fd = -1};

int open_beside(const char *name)
{
    Dl_info self;
    char path[4096];
    const char *slash = dladdr(&g_runtime, &self) && self.dli_fname ? strrchr(self.dli_fname, '/')
                                                                    : NULL;
    if (slash == NULL || snprintf(path, sizeof(path), "%.*s/%s", (int)(slash - self.dli_fname),
                                  self.dli_fname, name) >= (int)sizeof(path))
        return -1;
    return open(path, O_RDONLY | O_CLOEXEC);
}

/* The library is loaded from the host, before pivot_root: what is needed of the host's files is
 * taken now. */
__attribute__((constructor)) static void take_host_files(void)
{
    struct error err = {0};
    g_runtime.proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
    quote_take_host_files();
    /* The project's program for the enclave, which its manifest has the hash of. */
    g_runtime.proxy_fd = open_beside("ratls-proxy");
    if ((access("/dev/sgx_enclave", F_OK) < 0 || secure_getenv(SGX_EMULATED_ROOT_FD)) &&
        sgx_emulated_preload(&err) < 0)
        error_release(&err); /* said again, by who opens the enclave */
}

int pal_get_version(void)
{
    return PAL_VERSION;
}

static int map_file(int fd, const char *what, void **out, uint64_t *size, struct error *err)
{
    struct stat st;
    if (fd < 0)
        return 0;
    if (fstat(fd, &st) < 0)
        return error_errno(err, errno, "%s", what);
    if (st.st_size == 0)
        return 0;
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        return error_errno(err, errno, "map %s", what);
    *out = p;
    *size = (uint64_t)st.st_size;
    return 0;
}

/* The image, and ratls-proxy behind it where there is one. */
static int map_image(int fd, struct error *err)
{
    struct stat image, proxy;
    if (fstat(fd, &image) < 0)
        return error_errno(err, errno, "the sealed image");
    if (g_runtime.proxy_fd < 0 || fstat(g_runtime.proxy_fd, &proxy) < 0 || proxy.st_size == 0 ||
        image.st_size == 0 || image.st_size % 4096 != 0)
        return map_file(fd, "the sealed image", &g_runtime.image, &g_runtime.image_size, err);
    size_t size = (size_t)image.st_size, more = (size_t)proxy.st_size;
    char *p = mmap(NULL, size + more, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
                   0);
    if (p == MAP_FAILED || mmap(p, size, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED ||
        mmap(p + size, more, PROT_READ, MAP_SHARED | MAP_FIXED, g_runtime.proxy_fd, 0) ==
            MAP_FAILED)
        return error_errno(err, errno, "map the sealed image");
    g_runtime.image = p;
    g_runtime.image_size = size + more;
    return 0;
}

static int read_sigstruct(int fd, struct sgx_sigstruct *sig, struct error *err)
{
    ssize_t n = pread(fd, sig, sizeof(*sig), 0);
    if (n < 0)
        return error_errno(err, errno, "read the SIGSTRUCT");
    if (n != sizeof(*sig))
        return error_set(err,
                         "the SIGSTRUCT is cut short: %zd of %zu bytes; convert the image again", n,
                         sizeof(*sig));
    return 0;
}

static int load_enclave(const struct pal_init_args_v4 *args, struct error *err)
{
    struct sgx_sigstruct sig;
    if (args->enclave_fd < 0 || args->sigstruct_fd < 0 || args->image_fd < 0 ||
        args->deployment_fd < 0)
        return error_code(
            err, EINVAL,
            "the enclave file, its SIGSTRUCT, the image and the deployment are needed");
    int r = read_sigstruct(args->sigstruct_fd, &sig, err);
    if (r == 0)
        r = map_image(args->image_fd, err);
    if (r == 0)
        r = map_file(args->patches_fd, "the site table", &g_runtime.sites, &g_runtime.sites_size,
                     err);
    if (r == 0)
        r = map_file(args->deployment_fd, "the deployment", &g_runtime.deployment,
                     &g_runtime.deployment_size, err);
    if (r < 0)
        return r;
    g_runtime.given = (void *)(uintptr_t)args->given;
    g_runtime.given_size = args->given != NULL ? args->given_size : 0;
    const struct sgx_driver *driver = sgx_driver_open(
        args->enclave_type ? args->enclave_type : "intelSgx", err);
    if (driver == NULL)
        return -ENODEV;
    struct sgx_load_options options = {
        .debug = args->flags & PAL_FLAG_DEBUG_ENCLAVE,
        .fixed_base = true, /* the LibOS is linked for it, and sees to it (entry.S) */
        .kss = driver->kss && !(args->flags & PAL_FLAG_NO_KSS)}; /* CONFIGID names the deployment */
    if (options.kss)
        sgx_sha256(g_runtime.deployment, g_runtime.deployment_size, options.config_id);
    return sgx_enclave_load(driver, args->enclave_fd, &sig, &options, &g_runtime.enclave, err);
}

static int log_level(const char *name)
{
    const enum enclave_level level = name ? enclave_level_of(name) : ENCLAVE_LEVEL_WARN;
    if (level == ENCLAVE_LEVEL_UNKNOWN)
        return ENCLAVE_LEVEL_WARN;
    return level == ENCLAVE_LEVEL_OFF ? ENCLAVE_LEVEL_FATAL : level;
}

/* Duplicates of the mounts' descriptors, the LibOS's from the call on. */
static int duplicate_mounts(const struct pal_init_args_v4 *args, int32_t **out, struct error *err)
{
    if (args->mount_count > BOUNDARY_MOUNT_MAX)
        return error_code(err, EINVAL, "more than %u pass-through mounts", BOUNDARY_MOUNT_MAX);
    *out = calloc((size_t)args->mount_count + 1, sizeof(**out));
    if (*out == NULL)
        return error_errno(err, ENOMEM, "pass-through mounts");
    for (uint32_t i = 0; i < args->mount_count; i++) {
        (*out)[i] = fcntl(args->mount_fds[i], F_DUPFD_CLOEXEC, 3);
        if ((*out)[i] < 0)
            return error_errno(err, errno, "pass-through mount %u", i);
    }
    return 0;
}

static int boot(const struct pal_init_args_v4 *args, struct error *err)
{
    cleanup_free int32_t *mounts = NULL;
    struct container_facts facts;
    const struct pal_limits_v4 limits = {.size = sizeof(limits),
                                         .memory_limit = args->memory_limit,
                                         .thread_limit = args->thread_limit,
                                         .cpu_quota = args->cpu_quota,
                                         .cpu_period = args->cpu_period};
    if (duplicate_mounts(args, &mounts, err) < 0)
        return -1;
    container_facts(&facts);
    struct boundary_boot boot = {.image = (uint64_t)g_runtime.image,
                                 .image_size = g_runtime.image_size,
                                 .sites = (uint64_t)g_runtime.sites,
                                 .sites_size = g_runtime.sites_size,
                                 .deployment = (uint64_t)g_runtime.deployment,
                                 .deployment_size = g_runtime.deployment_size,
                                 .given = (uint64_t)g_runtime.given,
                                 .given_size = g_runtime.given_size,
                                 .mount_count = args->mount_count,
                                 .mount_fds = (uint64_t)mounts,
                                 .log_level = (uint32_t)log_level(args->log_level),
                                 .trace = (uint64_t)args->trace,
                                 .trace_size = args->trace != NULL ? strlen(args->trace) : 0,
                                 .uid_map = (uint64_t)facts.uid_map.data,
                                 .uid_map_size = facts.uid_map.size,
                                 .gid_map = (uint64_t)facts.gid_map.data,
                                 .gid_map_size = facts.gid_map.size,
                                 .oom_score_adj = facts.oom_score_adj};
    container_limits(&limits, &boot.limits);
    struct utsname names;
    if (uname(&names) == 0) {
        snprintf(boot.hostname, sizeof(boot.hostname), "%s", names.nodename);
        snprintf(boot.domainname, sizeof(boot.domainname), "%s", names.domainname);
    }
    int64_t r = ecall(ECALL_BOOT, (uint64_t)&boot, NULL, NULL, NULL);
    container_facts_release(&facts);
    if (r < 0)
        return error_code(err, (int)-r, "the LibOS refuses to start: %s",
                          g_runtime.refusal[0] ? g_runtime.refusal : strerror((int)-r));
    return 0;
}

int pal_set_limits(const struct pal_limits_v4 *given)
{
    struct pal_limits_v4 limits = {0};
    struct boundary_limits out;
    memcpy(&limits, given, given->size < sizeof(limits) ? given->size : sizeof(limits));
    if (!g_runtime.ready)
        return -EAGAIN;
    container_limits(&limits, &out);
    return (int)ecall(ECALL_LIMITS, (uint64_t)&out, NULL, NULL, NULL);
}

int pal_init(const struct pal_init_args_v4 *args)
{
    struct error err = {0};
    size_t known = args->size < sizeof(g_runtime.args) ? args->size : sizeof(g_runtime.args);
    memset(&g_runtime.args, 0, sizeof(g_runtime.args));
    memcpy(&g_runtime.args, args, known);
    if (g_runtime.ready)
        return -EALREADY;
    /* A write to a broken pipe is an error of the call, and the LibOS's signal to its process. */
    signal(SIGPIPE, SIG_IGN);
    int r = load_enclave(&g_runtime.args, &err);
    if (r == 0)
        r = threads_init(&err);
    if (r == 0)
        r = boot(&g_runtime.args, &err);
    if (r < 0) {
        runtime_log(1, "%s", err.message ? err.message : "cannot start the enclave");
        int code = err.code > 0 ? -err.code : -EIO;
        error_release(&err);
        return code;
    }
    g_runtime.ready = true;
    return 0;
}

/* ---- processes ---- */

static size_t strings_size(const char *const *list, uint32_t *count)
{
    size_t size = 0;
    for (*count = 0; list != NULL && list[*count] != NULL; (*count)++)
        size += strlen(list[*count]) + 1;
    return size;
}

static char *put_string(char *p, const char *s)
{
    size_t n = strlen(s) + 1;
    memcpy(p, s, n);
    return p + n;
}

static struct boundary_process *marshal(const struct pal_process_args_v4 *args)
{
    uint32_t argc, envc;
    const char *path = args->path ? args->path : "", *cwd = args->cwd ? args->cwd : "/";
    size_t size = sizeof(struct boundary_process) + args->group_count * sizeof(uint32_t) +
                  strlen(path) + 1 + strlen(cwd) + 1;
    size += strings_size(args->argv, &argc) + strings_size(args->env, &envc);
    struct boundary_process *p = size <= BOUNDARY_PROCESS_MAX ? calloc(1, size) : NULL;
    if (p == NULL)
        return NULL;
    p->size = size;
    p->argc = argc;
    p->envc = envc;
    p->flags = args->flags;
    p->uid = args->uid;
    p->gid = args->gid;
    p->umask = args->umask;
    p->group_count = args->group_count;
    p->capabilities = args->capabilities;
    for (int i = 0; i < PAL_RLIMIT_COUNT; i++) {
        p->rlimits[2 * i] = args->rlimits[i].soft;
        p->rlimits[2 * i + 1] = args->rlimits[i].hard;
    }
    uint32_t *groups = (uint32_t *)(p + 1);
    if (args->group_count > 0)
        memcpy(groups, args->groups, args->group_count * sizeof(uint32_t));
    char *s = put_string(put_string((char *)(groups + args->group_count), path), cwd);
    for (uint32_t i = 0; i < argc; i++)
        s = put_string(s, args->argv[i]);
    for (uint32_t i = 0; i < envc; i++)
        s = put_string(s, args->env[i]);
    return p;
}

int pal_create_process(const struct pal_process_args_v4 *given, int *pid)
{
    struct pal_process_args_v4 args = {0};
    memcpy(&args, given, given->size < sizeof(args) ? given->size : sizeof(args));
    if (!g_runtime.ready || args.argv == NULL || args.argv[0] == NULL)
        return -EINVAL;
    struct boundary_process *p = marshal(&args);
    if (p == NULL)
        return -E2BIG;
    int64_t r = 0;
    for (int i = 0; i < 3; i++) {
        p->stdio[i] = fcntl(args.stdio[i], F_DUPFD_CLOEXEC, 3);
        if (p->stdio[i] < 0)
            r = -errno;
    }
    if (r == 0)
        r = ecall(ECALL_CREATE_PROCESS, (uint64_t)p, NULL, NULL, NULL);
    if (r < 0) {
        for (int i = 0; i < 3; i++)
            if (p->stdio[i] >= 0)
                close(p->stdio[i]);
    } else {
        *pid = (int)r;
    }
    free(p);
    if (r <= -BOUNDARY_REFUSED) {
        refusal_log(r, args.argv);
        r = -EACCES;
    }
    return r < 0 ? (int)r : 0;
}

int pal_start_process(int pid)
{
    return (int)ecall(ECALL_START_PROCESS, (uint64_t)pid, NULL, NULL, NULL);
}

int pal_kill(int pid, int sig)
{
    if (!g_runtime.ready)
        return -ESRCH;
    return (int)ecall(ECALL_KILL, (uint32_t)pid | (uint64_t)sig << 32, NULL, NULL, NULL);
}

int pal_kill_foreground(int pid, int sig)
{
    if (!g_runtime.ready)
        return -ESRCH;
    return (int)ecall(ECALL_KILL_FOREGROUND, (uint32_t)pid | (uint64_t)sig << 32, NULL, NULL, NULL);
}

int pal_resize(int pid, uint16_t rows, uint16_t columns)
{
    uint64_t argument = (uint32_t)pid | (uint64_t)rows << 32 | (uint64_t)columns << 48;
    return (int)ecall(ECALL_RESIZE, argument, NULL, NULL, NULL);
}

/* ---- information ---- */

struct report_call {
    const void *target_info;
    uint8_t report[SGX_REPORT_SIZE];
};

static void report_fill(struct boundary_area *area, void *context)
{
    struct report_call *c = context;
    memcpy(area->data, c->target_info, 512);
}

static void report_done(struct boundary_area *area, void *context)
{
    memcpy(((struct report_call *)context)->report, area->data, 432);
}

int pal_get_local_report(void *target_info, int target_info_len, void *report, int *report_len)
{
    if (target_info_len != 512 || report_len == NULL || *report_len < 432)
        return -EINVAL;
    struct report_call call = {.target_info = target_info};
    int64_t r = ecall(ECALL_REPORT, 0, report_fill, report_done, &call);
    if (r < 0)
        return (int)r;
    memcpy(report, call.report, sizeof(call.report));
    *report_len = sizeof(call.report);
    return 0;
}

int pal_get_info(struct pal_info_v4 *info)
{
    const struct sgx_enclave *e = g_runtime.enclave;
    if (e == NULL)
        return -ENODEV;
    struct pal_info_v4 full = {
        .size = info->size, .attributes = e->attributes.flags, .xfrm = e->attributes.xfrm};
    memcpy(full.mrenclave, e->mrenclave, 32);
    memcpy(full.mrsigner, e->mrsigner, 32);
    if (e->driver->emulated)
        full.flags |= PAL_FLAG_SIMULATION;
    if (e->attributes.flags & SGX_ATTR_DEBUG)
        full.flags |= PAL_FLAG_DEBUG_ENCLAVE;
    const char *tee = e->driver->emulated ? "Intel SGX (emulated)" : "Intel SGX";
    memcpy(full.tee, tee, strlen(tee) + 1);
    if (e->attributes.flags & SGX_ATTR_KSS)
        sgx_sha256(g_runtime.deployment, g_runtime.deployment_size, full.config_id);
    size_t n = info->size < sizeof(full) ? info->size : sizeof(full);
    memcpy(info, &full, n);
    return 0;
}

static void stats_done(struct boundary_area *area, void *context)
{
    memcpy(context, area->data, sizeof(struct boundary_stats));
}

int pal_get_stats(struct pal_stats_v4 *stats)
{
    struct boundary_stats s;
    int64_t r = ecall(ECALL_STATS, 0, NULL, stats_done, &s);
    if (r < 0)
        return (int)r;
    struct pal_stats_v4 full = {.size = stats->size,
                                .memory_committed = s.memory_committed,
                                .memory_peak = s.memory_peak,
                                .memory_reserved = s.memory_reserved,
                                .processes = (uint32_t)s.processes,
                                .threads = (uint32_t)s.threads,
                                .tcs_total = (uint32_t)s.tcs_total,
                                .ocalls = s.ocalls,
                                .aex = s.aex,
                                .syscalls_direct = s.syscalls_direct,
                                .syscalls_trapped = s.syscalls_trapped};
    memcpy(stats, &full, stats->size < sizeof(full) ? stats->size : sizeof(full));
    return 0;
}

/* Threads may still be in the enclave: it goes with the process. */
int pal_destroy(void)
{
    if (g_runtime.ready)
        ecall(ECALL_KILL, (uint32_t)-1 | (uint64_t)SIGKILL << 32, NULL, NULL, NULL);
    g_runtime.ready = false;
    return 0;
}
