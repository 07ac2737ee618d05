/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The untrusted half: a PAL of version 4 (include/pal.h) around the enclave of enclave.c. A process
 * here is a thread that enters the enclave to have something computed and does the input and output
 * itself. docs/pal.md explains the calls in the order in which rune makes them.
 */
#define PAL_VERSION 4
#include "pal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "call.h"
#include "sgx/emulated.h"
#include "sgx/loader.h"

#define PROCESS_MAX 64

struct process {
    bool used, started;
    int stdio[3];
    int wake[2]; /* a byte here is the number of the signal that ends the process */
    struct skeleton_call call;
};

static struct {
    struct pal_init_args_v4 init; /* event, log and context are kept */
    struct sgx_enclave *enclave;
    pthread_mutex_t lock;                      /* the table */
    pthread_mutex_t inside;                    /* the enclave has one TCS */
    struct process processes[PROCESS_MAX + 1]; /* index is the pid */
} g_pal = {.lock = PTHREAD_MUTEX_INITIALIZER, .inside = PTHREAD_MUTEX_INITIALIZER};

extern const uint8_t skeleton_enclave[], skeleton_enclave_end[], skeleton_sigstruct[];

/* dlopen: the last moment at which the host's files are in sight. The emulator keeps its root key
 * in one. */
__attribute__((constructor)) static void take_host_files(void)
{
    cleanup_error struct error err = ERROR_INIT;
    if (access("/dev/sgx_enclave", F_OK) < 0 && sgx_emulated_preload(&err) < 0)
        error_release(&err); /* pal_init meets it again, and says it */
}

int pal_get_version(void)
{
    return 4;
}

/* ---- the enclave ---- */

static void log_to_rune(void *ctx, enum log_level level, const char *text)
{
    g_pal.init.log(g_pal.init.context, (int)level + 1, text);
}

/* The loader wants a descriptor. */
static int enclave_fd(void)
{
    size_t size = (size_t)((uintptr_t)skeleton_enclave_end - (uintptr_t)skeleton_enclave);
    cleanup_close int fd = memfd_create("skeleton-enclave", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    int result = write_all(fd, skeleton_enclave, size);
    return result < 0 ? result : take_fd(fd);
}

static int fail(struct error *err)
{
    log_error("%s", error_text(err));
    return err->code > 0 ? -err->code : -EIO;
}

int pal_init(const struct pal_init_args_v4 *args)
{
    cleanup_error struct error err = ERROR_INIT;
    g_pal.init = *args;
    log_divert(log_to_rune, NULL);
    const struct sgx_driver *driver = sgx_driver_open(args->enclave_type, &err);
    if (driver == NULL)
        return fail(&err);
    cleanup_close int fd = enclave_fd();
    if (fd < 0)
        return fd;
    struct sgx_sigstruct sigstruct;
    memcpy(&sigstruct, skeleton_sigstruct, sizeof(sigstruct));
    struct sgx_load_options options = {.debug = (args->flags & PAL_FLAG_DEBUG_ENCLAVE) != 0};
    if (sgx_enclave_load(driver, fd, &sigstruct, &options, &g_pal.enclave, &err) < 0)
        return fail(&err);
    return 0;
}

/* One entry and exit. An exception inside is the end of this enclave: it handles none. */
static int enter(struct skeleton_call *call)
{
    struct sgx_enclave_run run = {.tcs = g_pal.enclave->tcs[0]};
    pthread_mutex_lock(&g_pal.inside);
    int result = g_pal.enclave->driver->enter((unsigned long)call, 0, 0, SGX_EENTER, 0, 0, &run);
    pthread_mutex_unlock(&g_pal.inside);
    if (result != 0 || run.function != SGX_EEXIT)
        return -EFAULT;
    return call->out_size <= sizeof(call->out) ? 0 : -EPROTO;
}

int pal_get_local_report(void *target_info, int target_info_len, void *report, int *report_len)
{
    cleanup_free struct skeleton_call *call = calloc(1, sizeof(*call));
    if (call == NULL)
        return -ENOMEM;
    if (target_info_len != sizeof(struct sgx_targetinfo) ||
        *report_len < (int)sizeof(struct sgx_report))
        return -EINVAL;
    call->command = SKELETON_REPORT;
    call->in_size = (uint32_t)target_info_len;
    memcpy(call->in, target_info, (size_t)target_info_len);
    int result = enter(call);
    if (result < 0)
        return result;
    memcpy(report, call->out, call->out_size);
    *report_len = (int)call->out_size;
    return 0;
}

/* ---- processes ---- */

static int pack_arguments(const char *const *argv, struct skeleton_call *call)
{
    for (call->count = 0; argv[call->count] != NULL; call->count++) {
        size_t size = strlen(argv[call->count]) + 1;
        if (size > sizeof(call->in) - call->in_size)
            return -E2BIG;
        memcpy(call->in + call->in_size, argv[call->count], size);
        call->in_size += (uint32_t)size;
    }
    return call->count > 0 ? 0 : -EINVAL;
}

static void release(struct process *process)
{
    for (int i = 0; i < 3; i++)
        close_and_reset(&process->stdio[i]);
    close_and_reset(&process->wake[0]);
    close_and_reset(&process->wake[1]);
    process->used = false;
}

static int fill(struct process *process, const struct pal_process_args_v4 *args)
{
    memset(process, 0, sizeof(*process));
    process->used = true;
    process->wake[0] = process->wake[1] = -1;
    int result = pack_arguments(args->argv, &process->call);
    process->call.command = SKELETON_START;
    for (int i = 0; i < 3; i++) { /* the caller closes its own after the call */
        process->stdio[i] = fcntl(args->stdio[i], F_DUPFD_CLOEXEC, 3);
        if (process->stdio[i] < 0)
            result = -errno;
    }
    if (pipe2(process->wake, O_CLOEXEC | O_NONBLOCK) < 0)
        result = -errno;
    if (result < 0)
        release(process);
    return result;
}

int pal_create_process(const struct pal_process_args_v4 *args, int *pid)
{
    pthread_mutex_lock(&g_pal.lock);
    int free_pid = 1;
    while (free_pid <= PROCESS_MAX && g_pal.processes[free_pid].used)
        free_pid++;
    int result = free_pid > PROCESS_MAX ? -EAGAIN : fill(&g_pal.processes[free_pid], args);
    pthread_mutex_unlock(&g_pal.lock);
    *pid = free_pid;
    return result;
}

/* Wait for input or for the end: the signal's number, 0 with *size bytes (0 at the end of the
 * input). */
static int wait_input(struct process *process, void *data, size_t room, ssize_t *size)
{
    struct pollfd fds[] = {{process->wake[0], POLLIN, 0}, {process->stdio[0], POLLIN, 0}};
    uint8_t sig;
    while (poll(fds, 2, -1) < 0 && errno == EINTR)
        ;
    if (read(process->wake[0], &sig, 1) == 1)
        return sig;
    *size = read(process->stdio[0], data, room);
    if (*size < 0)
        *size = 0;
    return 0;
}

/* The life of a process; returns its wait status. */
static int live(struct process *process)
{
    struct skeleton_call *call = &process->call;
    for (;;) {
        uint8_t sig;
        if (read(process->wake[0], &sig, 1) == 1)
            return sig;
        if (enter(call) < 0)
            return SIGABRT;
        if (write_all(process->stdio[1], call->out, call->out_size) < 0)
            return SIGPIPE;
        if (call->state != SKELETON_READS)
            return (call->exit_code & 0xff) << 8;
        ssize_t size = 0;
        int ended_by = wait_input(process, call->in, sizeof(call->in), &size);
        if (ended_by != 0)
            return ended_by;
        call->command = SKELETON_INPUT;
        call->in_size = (uint32_t)size;
    }
}

static void *process_thread(void *argument)
{
    struct process *process = argument;
    struct pal_event event = {.size = sizeof(event), .type = PAL_EVENT_EXITED};
    event.pid = (int)(process - g_pal.processes);
    event.status = live(process);

    /* One event at a time, and the pid is free only when its end has been told. */
    pthread_mutex_lock(&g_pal.lock);
    g_pal.init.event(g_pal.init.context, &event);
    release(process);
    pthread_mutex_unlock(&g_pal.lock);
    return NULL;
}

static struct process *find(int pid)
{
    return pid >= 1 && pid <= PROCESS_MAX && g_pal.processes[pid].used ? &g_pal.processes[pid]
                                                                       : NULL;
}

int pal_start_process(int pid)
{
    pthread_mutex_lock(&g_pal.lock);
    struct process *process = find(pid);
    int result = process == NULL || process->started ? -ESRCH : 0;
    if (result == 0) {
        pthread_t thread;
        process->started = true;
        result = -pthread_create(&thread, NULL, process_thread, process);
        if (result == 0)
            pthread_detach(thread);
    }
    pthread_mutex_unlock(&g_pal.lock);
    return result;
}

/* These programs catch nothing: what ends a process by default ends it, the rest is ignored. */
static bool ends_process(int sig)
{
    return sig != SIGCHLD && sig != SIGCONT && sig != SIGURG && sig != SIGWINCH && sig != SIGTSTP &&
           sig != SIGTTIN && sig != SIGTTOU && sig != SIGSTOP;
}

int pal_kill(int pid, int sig)
{
    int result = -ESRCH;
    uint8_t byte = (uint8_t)sig;
    pthread_mutex_lock(&g_pal.lock);
    for (int i = 1; i <= PROCESS_MAX; i++) {
        if ((pid != -1 && pid != i) || !g_pal.processes[i].used)
            continue;
        result = 0;
        if (ends_process(sig) && write(g_pal.processes[i].wake[1], &byte, 1) < 0 && errno != EAGAIN)
            result = -errno;
    }
    pthread_mutex_unlock(&g_pal.lock);
    return result;
}

int pal_kill_foreground(int pid, int sig)
{
    return pal_kill(pid, sig);
}

int pal_resize(int pid, uint16_t rows, uint16_t columns)
{
    return 0; /* nobody in there asks for the size of a terminal */
}

/* ---- questions ---- */

int pal_get_info(struct pal_info_v4 *info)
{
    size_t size = info->size < sizeof(*info) ? info->size : sizeof(*info);
    const struct sgx_enclave *enclave = g_pal.enclave;
    struct pal_info_v4 full = {.size = size,
                               .flags = enclave->driver->emulated ? PAL_FLAG_SIMULATION : 0,
                               .attributes = enclave->attributes.flags,
                               .xfrm = enclave->attributes.xfrm};
    memcpy(full.mrenclave, enclave->mrenclave, sizeof(full.mrenclave));
    memcpy(full.mrsigner, enclave->mrsigner, sizeof(full.mrsigner));
    memcpy(full.tee, enclave->driver->emulated ? "Intel SGX (emulated)" : "Intel SGX",
           enclave->driver->emulated ? 20 : 9);
    memcpy(info, &full, size);
    return 0;
}

int pal_get_stats(struct pal_stats_v4 *stats)
{
    struct pal_stats_v4 full = {
        .size = stats->size, .memory_reserved = SKELETON_SIZE, .tcs_total = 1};
    pthread_mutex_lock(&g_pal.lock);
    for (int i = 1; i <= PROCESS_MAX; i++)
        full.processes += g_pal.processes[i].used;
    pthread_mutex_unlock(&g_pal.lock);
    full.threads = full.processes;
    memcpy(stats, &full, stats->size < sizeof(full) ? stats->size : sizeof(full));
    return 0;
}

int pal_get_quote(const uint8_t report_data[64], uint8_t *quote, size_t *quote_size)
{
    return -ENOTSUP;
}

static unsigned running_processes(void)
{
    unsigned count = 0;
    pthread_mutex_lock(&g_pal.lock);
    for (int i = 1; i <= PROCESS_MAX; i++)
        count += g_pal.processes[i].used && g_pal.processes[i].started;
    pthread_mutex_unlock(&g_pal.lock);
    return count;
}

/* No thread may be inside when the enclave goes: each ends at its next look at the pipe. */
int pal_destroy(void)
{
    pal_kill(-1, SIGKILL);
    for (int i = 0; i < 100 && running_processes() > 0; i++)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    if (running_processes() > 0)
        return -EBUSY; /* the end of rune's process takes everything with it */
    sgx_enclave_free(g_pal.enclave);
    g_pal.enclave = NULL;
    return 0;
}
