/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gramine as an enclave runtime: a PAL of version 4 (include/pal.h) whose one process is Gramine's
 * loader, with the manifest that the image brings. The loader opens the SGX device itself; where
 * the enclave is to be emulated it is started by sgx-emulate. docs/runtimes.md.
 */
#define PAL_VERSION 4
#include "pal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "enclave/gramine.h"
#include "gramine.h"
#include "sgx/emulated.h"
#include "sgx/sigstruct.h"

#define PID             1
#define DESTROY_PAUSES  150
#define DESTROY_PAUSE   10000000 /* ns */
#define EMULATE_LIBRARY "LD_PRELOAD=" GRAMINE_EMULATOR "/libsgx-emulate.so"

enum state { STATE_NONE, STATE_CREATED, STATE_STARTED, STATE_ENDED };

static struct {
    struct pal_init_args_v4 init; /* event, log and context are kept */
    struct gramine_image image;
    bool emulated;
    int root_key; /* descriptor of the emulator's root key, or -1 */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    enum state state;
    struct gramine_process process;
} g_pal = {.root_key = -1, .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

/* dlopen: the last moment at which the host's files are in sight. */
__attribute__((constructor)) static void take_host_files(void)
{
    cleanup_error struct error err = ERROR_INIT;
    g_pal.root_key = sgx_emulated_root_open(&err); /* pal_init says it where it matters */
}

int pal_get_version(void)
{
    return 4;
}

static void say(int level, const char *text)
{
    g_pal.init.log(g_pal.init.context, level, text);
}

/* Gramine takes DEBUG from the signature; a debug enclave can be read by the host. */
static int check_debug(uint32_t flags, struct error *err)
{
    const bool debug = (g_pal.image.sigstruct.attributes.flags & SGX_ATTR_DEBUG) != 0;
    if (debug && !(flags & PAL_FLAG_DEBUG_ENCLAVE))
        return error_code(err, EACCES,
                          "%s.sig is of a debug enclave, which this host can read: sign with "
                          "sgx.debug = false, or set enclave.mode to debug",
                          g_pal.image.application);
    if (!debug && (flags & PAL_FLAG_DEBUG_ENCLAVE))
        return error_code(err, EACCES,
                          "enclave.mode is debug, and the signature %s.sig forbids that",
                          g_pal.image.application);
    return 0;
}

int pal_init(const struct pal_init_args_v4 *args)
{
    cleanup_error struct error err = ERROR_INIT;
    g_pal.init = *args;
    g_pal.emulated = strcmp(args->enclave_type, "simulatedSgx") == 0;
    int result = gramine_image_find(args->args ? args->args : "", &g_pal.image, &err);
    if (result == 0)
        result = check_debug(args->flags, &err);
    if (result == 0 && g_pal.emulated && g_pal.root_key < 0)
        result = error_code(&err, EACCES, "the emulated SGX root key cannot be opened");
    if (result == 0)
        return 0;
    say(1, error_text(&err));
    return err.code > 0 ? -err.code : -EIO;
}

/* ---- the process ---- */

static const char **loader_arguments(const struct pal_process_args_v4 *args)
{
    static const char made[] = GRAMINE_APPLICATION "/";
    size_t count = 0;
    /* A manifest that was made for this container has its arguments. */
    const bool fixed = strncmp(g_pal.image.application, made, strlen(made)) == 0;
    while (args->argv[count] && !(fixed && count == 1))
        count++;
    const char **argv = xcalloc(count + 5, sizeof(*argv));
    size_t n = 0;
    argv[n++] = g_pal.image.loader;
    argv[n++] = g_pal.image.library;
    argv[n++] = "init";
    argv[n++] = g_pal.image.application;
    for (size_t i = 1; i < count; i++)
        argv[n++] = args->argv[i];
    return argv;
}

/* The loader of this machine finds its libraries where rune has put them. */
static char *library_path(const struct pal_process_args_v4 *args)
{
    static const char name[] = "LD_LIBRARY_PATH=";
    for (size_t i = 0; args->env && args->env[i]; i++)
        if (strncmp(args->env[i], name, strlen(name)) == 0)
            return xasprintf("%s" GRAMINE_LIBRARIES ":%s", name, args->env[i] + strlen(name));
    return xasprintf("%s" GRAMINE_LIBRARIES, name);
}

/*
 * What of it the program sees is the manifest's to say. LD_PRELOAD would put a library of the image
 * into the loader.
 */
static const char **loader_environment(const struct pal_process_args_v4 *args, char *root_key,
                                       char *libraries)
{
    static const char *const machine[] = {"RUNE_SGX_EMULATOR_FEATURES", "RUNE_SGX_EMULATOR_EPC"};
    size_t count = 0, n = 0;
    while (args->env && args->env[count])
        count++;
    const char **env = xcalloc(count + 4 + array_count(machine), sizeof(*env));
    if (!g_pal.image.own_loader)
        env[n++] = libraries;
    for (size_t i = 0; i < count; i++)
        if (strncmp(args->env[i], "LD_PRELOAD=", 11) != 0 &&
            (g_pal.image.own_loader || strncmp(args->env[i], "LD_LIBRARY_PATH=", 16) != 0))
            env[n++] = args->env[i];
    if (!g_pal.emulated)
        return env;
    env[n++] = EMULATE_LIBRARY;
    env[n++] = root_key;
    for (size_t i = 0; i < array_count(machine); i++) {
        const char *value = getenv(machine[i]);
        if (value)
            env[n++] = xasprintf("%s=%s", machine[i], value); /* as long as this process */
    }
    return env;
}

static void set_state(enum state state)
{
    pthread_mutex_lock(&g_pal.lock);
    g_pal.state = state;
    pthread_cond_broadcast(&g_pal.changed);
    pthread_mutex_unlock(&g_pal.lock);
}

/* What the thread of the process is given; it is valid until `done`. */
struct birth {
    const struct pal_process_args_v4 *args;
    bool done;
    int result;
};

static int fork_loader(const struct pal_process_args_v4 *args)
{
    cleanup_free char *root_key = xasprintf(SGX_EMULATED_ROOT_FD "=%d", g_pal.root_key);
    cleanup_free const char **argv = loader_arguments(args);
    cleanup_free char *libraries = library_path(args);
    cleanup_free const char **env = loader_environment(args, root_key, libraries);
    return gramine_process_fork(args, (char *const *)argv, (char *const *)env,
                                g_pal.emulated ? g_pal.root_key : -1, &g_pal.process);
}

/* The number is free for others from the moment it is reaped: pal_kill must not meet that. */
static int wait_for_end(void)
{
    siginfo_t info;
    int status = 0;
    const pid_t pid = g_pal.process.pid;
    while (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) < 0 && errno == EINTR)
        ;
    pthread_mutex_lock(&g_pal.lock);
    kill(-pid, SIGKILL); /* children of its fork() do not outlive the container's first process */
    waitpid(pid, &status, 0);
    g_pal.process.pid = 0;
    pthread_mutex_unlock(&g_pal.lock);
    return status;
}

/* Forks and waits: the process dies with this thread, and its end is heard here only. */
static void *process_thread(void *argument)
{
    struct birth *birth = argument;
    const int result = fork_loader(birth->args);
    pthread_mutex_lock(&g_pal.lock);
    birth->result = result;
    birth->done = true; /* `birth` may be gone from here on */
    pthread_cond_broadcast(&g_pal.changed);
    pthread_mutex_unlock(&g_pal.lock);
    if (g_pal.process.pid == 0)
        return NULL;
    struct pal_event event = {.size = sizeof(event), .type = PAL_EVENT_EXITED, .pid = PID};
    event.status = wait_for_end();
    set_state(STATE_ENDED);
    if (result == 0)
        g_pal.init.event(g_pal.init.context, &event);
    return NULL;
}

int pal_create_process(const struct pal_process_args_v4 *args, int *pid)
{
    struct birth birth = {.args = args};
    pthread_t thread;
    if (!(args->flags & PAL_PROCESS_FIRST)) {
        say(1, "Gramine runs the program of its manifest only, and what that starts: rune exec is "
               "not possible");
        return -EPERM;
    }
    if (g_pal.state != STATE_NONE)
        return -EBUSY;
    int result = pthread_create(&thread, NULL, process_thread, &birth);
    if (result != 0)
        return -result;
    pthread_detach(thread);
    pthread_mutex_lock(&g_pal.lock);
    while (!birth.done)
        pthread_cond_wait(&g_pal.changed, &g_pal.lock);
    if (birth.result == 0)
        g_pal.state = STATE_CREATED;
    pthread_mutex_unlock(&g_pal.lock);
    *pid = PID;
    return birth.result;
}

int pal_start_process(int pid)
{
    pthread_mutex_lock(&g_pal.lock);
    int result = pid != PID || g_pal.state != STATE_CREATED ? -ESRCH : 0;
    if (result == 0) {
        result = write_all(g_pal.process.gate, "", 1);
        close_and_reset(&g_pal.process.gate);
        g_pal.state = STATE_STARTED;
    }
    pthread_mutex_unlock(&g_pal.lock);
    return result;
}

static int send_signal(bool group, int sig)
{
    pthread_mutex_lock(&g_pal.lock);
    const pid_t pid = g_pal.process.pid;
    int result = -ESRCH;
    if (pid > 0)
        result = kill(group ? -pid : pid, sig) < 0 ? -errno : 0;
    pthread_mutex_unlock(&g_pal.lock);
    return result;
}

int pal_kill(int pid, int sig)
{
    if (pid != -1 && pid != PID)
        return -ESRCH;
    return send_signal(pid == -1, sig);
}

/* The kernel itself sends what the terminal raises: the program has its foreground. */
int pal_kill_foreground(int pid, int sig)
{
    return pid == PID ? send_signal(true, sig) : -ESRCH;
}

int pal_resize(int pid, uint16_t rows, uint16_t columns)
{
    (void)rows;
    (void)columns;
    return pid == PID ? 0 : -ESRCH; /* the terminal knows, and the kernel has sent SIGWINCH */
}

/* ---- questions ---- */

int pal_get_info(struct pal_info_v4 *info)
{
    const struct sgx_sigstruct *sigstruct = &g_pal.image.sigstruct;
    const size_t size = info->size < sizeof(*info) ? info->size : sizeof(*info);
    struct pal_info_v4 full = {.size = size,
                               .attributes = sigstruct->attributes.flags,
                               .xfrm = sigstruct->attributes.xfrm,
                               .isv_prod_id = sigstruct->isv_prod_id,
                               .isv_svn = sigstruct->isv_svn};
    if (g_pal.emulated)
        full.flags |= PAL_FLAG_SIMULATION;
    if (sigstruct->attributes.flags & SGX_ATTR_DEBUG)
        full.flags |= PAL_FLAG_DEBUG_ENCLAVE;
    memcpy(full.mrenclave, sigstruct->mrenclave, sizeof(full.mrenclave));
    sgx_sigstruct_mrsigner(sigstruct, full.mrsigner);
    strncpy(full.tee, g_pal.emulated ? "Intel SGX (emulated)" : "Intel SGX", sizeof(full.tee) - 1);
    memcpy(info, &full, size);
    return 0;
}

int pal_get_stats(struct pal_stats_v4 *stats)
{
    const size_t size = stats->size < sizeof(*stats) ? stats->size : sizeof(*stats);
    struct pal_stats_v4 full = {.size = size};
    pthread_mutex_lock(&g_pal.lock);
    full.processes = g_pal.process.pid > 0;
    pthread_mutex_unlock(&g_pal.lock);
    memcpy(stats, &full, size);
    return 0;
}

/* Its reports and quotes are the program's own, by /dev/attestation. */
int pal_get_local_report(void *target_info, int target_info_len, void *report, int *report_len)
{
    (void)target_info;
    (void)target_info_len;
    (void)report;
    (void)report_len;
    return -ENOTSUP;
}

int pal_get_quote(const uint8_t report_data[64], uint8_t *quote, size_t *quote_size)
{
    (void)report_data;
    (void)quote;
    (void)quote_size;
    return -ENOTSUP;
}

int pal_destroy(void)
{
    pal_kill(-1, SIGKILL);
    for (int i = 0; i < DESTROY_PAUSES && pal_kill(PID, 0) == 0; i++)
        nanosleep(&(struct timespec){.tv_nsec = DESTROY_PAUSE}, NULL);
    return pal_kill(PID, 0) == 0 ? -EBUSY : 0;
}
