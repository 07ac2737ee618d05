/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For developers and tests: run one program from a root directory in the LibOS, without a container
 * around it.
 *   libos-run [--libos ELF] [--cache DIR] [--log LEVEL] [--trace CALLS] [--env NAME=VALUE]...
 *             [--memory BYTES] [--threads N] [--bind SOURCE:TARGET]... [--production]
 *             --rootfs DIR -- program [args]
 * The exit code is the program's, 128 + n when signal n killed it, 125 when it could not be
 * started.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/number.h"
#include "enclave/bundle/bundle.h"
#include "manifest.h"
#include "runtime.h"
#include "sgx/machine.h"

#define LIST_MAX 64

static int g_pipe[2];

static void on_event(void *context, const struct pal_event *event)
{
    if (event->type == PAL_EVENT_FATAL) {
        dprintf(STDERR_FILENO, "libos-run: %s\n", event->message);
        _exit(125);
    }
    if (event->type == PAL_EVENT_EXITED && event->pid == 1) {
        int32_t status = event->status;
        if (write(g_pipe[1], &status, sizeof(status)) != sizeof(status))
            _exit(125);
    }
}

static void on_log(void *context, int level, const char *message)
{
    dprintf(STDERR_FILENO, "libos[%d]: %s\n", level, message);
}

static void forward(int signo)
{
    int saved = errno;
    unsigned char byte = (unsigned char)signo;
    int32_t coded = -(int32_t)byte;
    ssize_t ignored = write(g_pipe[1], &coded, sizeof(coded));
    (void)ignored;
    errno = saved;
}

static void step(void *context, const char *what)
{
    fprintf(stderr, "libos-run: %s\n", what);
}

static int memory_file(const struct buffer *blob)
{
    int fd = memfd_create("deployment", MFD_CLOEXEC);
    if (fd >= 0 && write(fd, blob->data, blob->size) != (ssize_t)blob->size) {
        close(fd);
        return -1;
    }
    return fd;
}

static const struct bundle_mount g_mounts[] = {
    {.kind = MANIFEST_MOUNT_PROC, .target = "/proc", .source = "proc"},
    {.kind = MANIFEST_MOUNT_DEV, .target = "/dev", .source = "tmpfs"},
    {.kind = MANIFEST_MOUNT_DEVPTS, .target = "/dev/pts", .source = "devpts"},
    {.kind = MANIFEST_MOUNT_TMPFS,
     .target = "/dev/shm",
     .source = "shm",
     .mode = 01777,
     .size = 64u << 20},
    {.kind = MANIFEST_MOUNT_SYSFS,
     .target = "/sys",
     .source = "sysfs",
     .flags = MANIFEST_MOUNT_READONLY},
};
#define MOUNTS (sizeof(g_mounts) / sizeof(g_mounts[0]))

struct options {
    struct bundle_options bundle;
    const char *log, *trace;
    const char *env[LIST_MAX + 1];
    size_t env_count;
    struct bundle_mount mounts[LIST_MAX];
    size_t mount_count;
    int mount_fds[LIST_MAX];
    uint32_t bind_count;
};

static int add_bind(struct options *o, char *spec)
{
    char *colon = strchr(spec, ':');
    if (colon == NULL || o->mount_count == LIST_MAX)
        return -1;
    *colon = '\0';
    int fd = open(spec, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return -1;
    o->mount_fds[o->bind_count] = fd;
    o->mounts[o->mount_count++] = (struct bundle_mount){.kind = MANIFEST_MOUNT_PASSTHROUGH,
                                                        .index = o->bind_count++,
                                                        .target = colon + 1,
                                                        .source = spec};
    return 0;
}

static int run(struct options *o, char **argv, struct error *err)
{
    cleanup_bundle_result struct bundle_result result = BUNDLE_RESULT_INIT;
    cleanup_buffer struct buffer blob = BUFFER_INIT;
    uint8_t hash[BUNDLE_HASH_SIZE];
    struct bundle_deployment d = {.args = (const char *const *)argv,
                                  .env = o->env,
                                  .policy = {.exec = MANIFEST_EXEC_ANY,
                                             .flags = MANIFEST_POLICY_STDIN |
                                                      MANIFEST_POLICY_STDOUT |
                                                      MANIFEST_POLICY_SIGNAL_ANY_PROCESS,
                                             .signals = ~0ull,
                                             .log_level = 5},
                                  .cwd = "/",
                                  .hostname = "libos",
                                  .umask = 022,
                                  .capabilities = 0x1ffffffffffull,
                                  .bounding = 0x1ffffffffffull,
                                  .mounts = o->mounts,
                                  .mount_count = o->mount_count,
                                  .terminal = isatty(STDIN_FILENO)};
    if (bundle_deployment_build(&d, &blob, hash, err) < 0)
        return -1;
    /* For developers of the LibOS: no node's configuration is asked. */
    const char *type = access("/dev/sgx_enclave", F_OK) == 0 ? "intelSgx" : "simulatedSgx";
    struct sgx_machine machine;
    if (sgx_machine_get(type, &machine, err) < 0)
        return -1;
    o->bundle.settings.no_sgx2 = !machine.sgx2;
    o->bundle.settings.no_kss = !machine.kss;
    if (!machine.kss)
        memcpy(o->bundle.settings.deployment_hash, hash, sizeof(hash));
    if (bundle_convert(&o->bundle, &result, err) < 0)
        return -1;
    struct pal_init_args_v4 init = {.size = sizeof(init),
                                    .log_level = o->log,
                                    .trace = o->trace,
                                    .enclave_type = type,
                                    .flags = o->bundle.settings.debug ? PAL_FLAG_DEBUG_ENCLAVE : 0,
                                    .enclave_fd = open(result.enclave, O_RDONLY | O_CLOEXEC),
                                    .sigstruct_fd = open(result.sigstruct, O_RDONLY | O_CLOEXEC),
                                    .image_fd = open(result.image, O_RDONLY | O_CLOEXEC),
                                    .patches_fd = open(result.sites, O_RDONLY | O_CLOEXEC),
                                    .deployment_fd = memory_file(&blob),
                                    .root_fd = -1,
                                    .mount_fds = o->mount_fds,
                                    .mount_count = o->bind_count,
                                    .event = on_event,
                                    .log = on_log};
    int r = pal_init(&init);
    if (r < 0)
        return error_errno(err, -r, "pal_init");
    struct pal_process_args_v4 p = {.size = sizeof(p),
                                    .argv = (const char *const *)argv,
                                    .env = o->env,
                                    .cwd = "/",
                                    .stdio = {0, 1, 2},
                                    .flags = PAL_PROCESS_FIRST |
                                             (d.terminal ? PAL_PROCESS_TERMINAL : 0),
                                    .umask = 022,
                                    .capabilities = d.capabilities};
    int pid;
    r = pal_create_process(&p, &pid);
    if (r < 0)
        return error_errno(err, -r, "%s", argv[0]);
    r = pal_start_process(pid);
    if (r < 0)
        return error_errno(err, -r, "start %s", argv[0]);
    for (;;) {
        int32_t status;
        if (read(g_pipe[0], &status, sizeof(status)) != sizeof(status))
            continue;
        if (status >= 0)
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        /* What the terminal's line discipline raises is for the foreground job inside. */
        if (d.terminal && (-status == SIGINT || -status == SIGQUIT || -status == SIGTSTP))
            pal_kill_foreground(pid, -status);
        else if (-status == SIGWINCH)
            pal_resize(pid, 0, 0);
        else
            pal_kill(pid, -status);
    }
}

int main(int argc, char **argv)
{
    static const struct option long_options[] = {
        {"rootfs", required_argument, NULL, 'r'}, {"libos", required_argument, NULL, 'l'},
        {"cache", required_argument, NULL, 'c'},  {"key", required_argument, NULL, 'k'},
        {"log", required_argument, NULL, 'L'},    {"trace", required_argument, NULL, 'T'},
        {"env", required_argument, NULL, 'e'},    {"bind", required_argument, NULL, 'b'},
        {"memory", required_argument, NULL, 'm'}, {"threads", required_argument, NULL, 't'},
        {"stats", no_argument, NULL, 's'},        {"production", no_argument, NULL, 'p'},
        {"aexnotify", no_argument, NULL, 'a'},    {NULL, 0, NULL, 0}};
    static struct options o = {.log = "warn"};
    bool stats = false, bad = false;
    uint64_t threads = 0;
    o.bundle.progress = step;
#ifdef BUILD_LIBOS /* this program is not installed */
    if (!getenv("RUNE_RUNTIMES_DIR"))
        o.bundle.libos = BUILD_LIBOS;
#endif
    o.bundle.settings.debug = true;
    o.env[o.env_count++] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    memcpy(o.mounts, g_mounts, sizeof(g_mounts));
    o.mount_count = MOUNTS;
    for (int c; (c = getopt_long(argc, argv, "+", long_options, NULL)) != -1;) {
        switch (c) {
        case 'r':
            o.bundle.rootfs = optarg;
            break;
        case 'l':
            o.bundle.libos = optarg;
            break;
        case 'c':
            o.bundle.cache_dir = optarg;
            break;
        case 'k':
            o.bundle.key = optarg;
            break;
        case 'L':
            o.log = optarg;
            break;
        case 'T':
            o.trace = optarg;
            break;
        case 's':
            stats = true;
            break;
        case 'p':
            o.bundle.settings.debug = false;
            break;
        case 'a':
            o.bundle.settings.aexnotify = true;
            break;
        case 'm':
            bad |= number_parse(optarg, strlen(optarg), UINT64_MAX,
                                &o.bundle.settings.memory_limit) < 0;
            break;
        case 't':
            bad |= number_parse(optarg, strlen(optarg), 4000, &threads) < 0;
            o.bundle.settings.thread_limit = (uint32_t)threads;
            break;
        case 'e':
            bad |= o.env_count == LIST_MAX;
            if (!bad)
                o.env[o.env_count++] = optarg;
            break;
        case 'b':
            bad |= add_bind(&o, optarg) < 0;
            break;
        default:
            bad = true;
        }
    }
    if (bad || o.bundle.rootfs == NULL || optind == argc) {
        fprintf(stderr, "usage: libos-run [--libos ELF] [--cache DIR] [--key PEM] [--log LEVEL] "
                        "[--trace CALLS] "
                        "[--memory BYTES] [--threads N] [--env NAME=VALUE] "
                        "[--bind SOURCE:TARGET] [--stats] [--production] [--aexnotify] --rootfs "
                        "DIR -- program [args]\n");
        return 125;
    }
    if (pipe2(g_pipe, O_CLOEXEC) < 0)
        return 125;
    for (int s = 1; s < 32; s++)
        if (s == SIGINT || s == SIGTERM || s == SIGHUP || s == SIGUSR1 || s == SIGUSR2 ||
            s == SIGQUIT || (isatty(STDIN_FILENO) && (s == SIGTSTP || s == SIGWINCH)))
            signal(s, forward);
    struct error err = {0};
    int code = run(&o, argv + optind, &err);
    if (code < 0) {
        fprintf(stderr, "libos-run: %s\n", err.message);
        return 125;
    }
    struct pal_stats_v4 s = {.size = sizeof(s)};
    if (stats && pal_get_stats(&s) == 0)
        fprintf(stderr,
                "ocalls %lu aex %lu direct %lu trapped %lu committed %lu KiB peak %lu KiB tcs %u\n",
                s.ocalls, s.aex, s.syscalls_direct, s.syscalls_trapped, s.memory_committed >> 10,
                s.memory_peak >> 10, s.tcs_total);
    fflush(NULL);
    _exit(code);
}
