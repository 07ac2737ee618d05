/* SPDX-License-Identifier: Apache-2.0 */
/*
 * init-runelet: PID 1 of an enclave container. rune's child execs it inside the new namespaces; it
 * runs the same set-up as for any container (container_init_child) and, where an ordinary container
 * would exec its entrypoint, has the enclave runtime run it in the enclave.
 * docs/design/libenclave.md draws the whole.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "container/container.h"
#include "enclave/agent.h"
#include "enclave/describe.h"
#include "enclave/levels.h"
#include "enclave/oom.h"
#include "enclave/process.h"
#include "enclave/settings.h"
#include "enclave/signals.h"

#define DESTROY_SECONDS 2
#define DEPLOYMENT_MAX  (4u << 20)
#define EXIT_FATAL      125 /* the enclave died under the application */

struct runelet {
    const struct container_init *init;
    struct enclave_settings settings;
    struct pal_runtime *runtime;
    struct agent *agent;
    int signal_fd, fault_fd, null_fd;
    int events[2]; /* pipe of struct pal_event without its message */
    int log_threshold;
    /* Until the entrypoint is ready: the runtime's last error line, to be said with the failure. */
    pthread_mutex_t lock;
    bool collecting;
    char *reason;
    bool terminal;
    bool serving;             /* events are read; atomic */
    uint64_t refused_signals; /* bit n - 1: it was said that signal n is refused */
    int pid;                  /* of the entrypoint, in the runtime's numbering */
    struct oom oom;
    struct container_payload payload;
};

/* ---- what the runtime tells us, on its threads ---- */

static int level_wanted(const struct enclave_settings *settings, bool has_log)
{
    if (settings->log_level) {
        const enum enclave_level level = enclave_level_of(settings->log_level);
        if (level != ENCLAVE_LEVEL_UNKNOWN)
            return level;
    }
    if (settings->log_debug)
        return ENCLAVE_LEVEL_DEBUG;
    /* Without a log file the lines land among the application's own errors: only what matters. */
    return has_log ? ENCLAVE_LEVEL_WARN : ENCLAVE_LEVEL_ERROR;
}

/* A trace of system calls has level 3, info, and is always shown. */
static int log_threshold(const struct enclave_settings *settings, bool has_log)
{
    const int level = level_wanted(settings, has_log);
    return settings->trace != NULL && level < 3 ? 3 : level;
}

static bool keep_reason(struct runelet *runelet, const char *message)
{
    pthread_mutex_lock(&runelet->lock);
    bool kept = runelet->collecting;
    if (kept) {
        free(runelet->reason);
        runelet->reason = xstrdup(message);
    }
    pthread_mutex_unlock(&runelet->lock);
    return kept;
}

/* Everything is said in one line when the start fails, and as a log line when it does not. */
static void say_reason(struct runelet *runelet, int result, struct error *err)
{
    pthread_mutex_lock(&runelet->lock);
    runelet->collecting = false;
    cleanup_free char *reason = take_ptr(runelet->reason);
    pthread_mutex_unlock(&runelet->lock);
    if (reason == NULL)
        return;
    if (result == 0) {
        log_error("enclave: %s", reason);
    } else {
        cleanup_error struct error failure = ERROR_INIT;
        error_move(&failure, err);
        error_code(err, failure.code, "%s (%s)", error_text(&failure), reason);
    }
}

static void on_log(void *context, int level, const char *message)
{
    static const enum log_level levels[] = {LOG_LEVEL_ERROR, LOG_LEVEL_ERROR, LOG_LEVEL_WARNING,
                                            LOG_LEVEL_INFO, LOG_LEVEL_DEBUG};
    struct runelet *runelet = context;
    if (level <= 1 && (pal_runtime_keep_reason(message) || keep_reason(runelet, message)))
        return;
    if (level < 0 || level > runelet->log_threshold)
        return;
    /* Whoever asks for a trace sees it without --debug. */
    if (level == 3 && runelet->settings.trace != NULL)
        level = 2;
    log_message(levels[level < 4 ? level : 4], "enclave: %s", message);
}

/*
 * The enclave is gone, and with it whatever the runtime had to do. While it starts, nobody reads
 * the events yet: the thread that would is in a call of the runtime that may never return, or at
 * the gate.
 */
static void enclave_ended(struct runelet *runelet, const char *message)
{
    cleanup_error struct error err = ERROR_INIT;
    if (__atomic_load_n(&runelet->serving, __ATOMIC_SEQ_CST)) {
        log_error("the enclave ended: %s", message);
        return;
    }
    error_code(&err, EIO, "the enclave ended: %s", message);
    container_init_fail(runelet->init, &err);
    _exit(EXIT_FATAL);
}

static void on_event(void *context, const struct pal_event *event)
{
    struct runelet *runelet = context;
    struct pal_event copy = *event;
    if (event->type == PAL_EVENT_FATAL)
        enclave_ended(runelet, event->message != NULL ? event->message : "no reason given");
    copy.message = NULL;
    int result = write_all(runelet->events[1], &copy, sizeof(copy));
    if (result < 0)
        log_error("enclave event: %s", strerror(-result));
}

/* ---- before pivot_root ---- */

static int open_log(struct runelet *runelet, struct error *err)
{
    int fd = container_init_fd(runelet->init, ENCLAVE_FD_LOG);
    struct log_options options = {.program = "rune",
                                  .fd = fd >= 0 ? fd : 0,
                                  .format = runelet->settings.log_json ? LOG_FORMAT_JSON
                                                                       : LOG_FORMAT_TEXT,
                                  .debug = runelet->settings.log_debug};
    runelet->log_threshold = log_threshold(&runelet->settings, fd >= 0);
    return log_open(&options, err);
}

static int prepare(void *ctx, const struct container_init *init, struct error *err)
{
    struct runelet *runelet = ctx;
    runelet->init = init;
    cleanup_close int settings_fd = container_init_fd(init, ENCLAVE_FD_SETTINGS);
    int result = enclave_settings_read(settings_fd, &runelet->settings, err);
    runelet->oom.limit = runelet->settings.memory_limit;
    runelet->oom.silent = runelet->settings.oom_killer_off;
    if (result == 0)
        result = open_log(runelet, err);
    if (result < 0)
        return result;

    runelet->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (runelet->null_fd < 0)
        return error_errno(err, errno, "open /dev/null");
    if (pipe2(runelet->events, O_CLOEXEC) < 0)
        return error_errno(err, errno, "pipe for enclave events");
    int listener = container_init_fd(init, ENCLAVE_FD_AGENT);
    if (listener < 0)
        return error_set(err, "rune passed no socket for the agent");
    runelet->agent = agent_new(listener);
    /* For constructors of the library; src/sgx/emulated.h has the name. */
    cleanup_close int emulator = container_init_fd(init, ENCLAVE_FD_EMULATOR);
    cleanup_free char *number = emulator >= 0 ? xasprintf("%d", emulator) : NULL;
    if (number != NULL)
        setenv("RUNE_SGX_EMULATOR_ROOT_FD", number, 1);
    /* Threads of the library inherit the mask, and its handlers come on top of ours. */
    result = signals_open(&runelet->signal_fd, &runelet->fault_fd, err);
    if (result == 0)
        result = pal_runtime_load(runelet->settings.runtime, &runelet->runtime, err);
    unsetenv("RUNE_SGX_EMULATOR_ROOT_FD");
    /* The root was sealed as it is. */
    runelet->payload.root_untouched = container_init_fd(init, ENCLAVE_FD_IMAGE) >= 0;
    if (result == 0) /* older ones are not told of limits: those of their host process hold */
        runelet->payload.limits_inside = pal_runtime_version(runelet->runtime) >= 4;
    if (result == 0)
        log_debug("enclave runtime %s, PAL version %d", runelet->settings.runtime,
                  pal_runtime_version(runelet->runtime));
    return result;
}

/* ---- before the gate ---- */

/* Descriptors of the pass-through mounts, which the set-up has just made. */
static int open_mounts(struct runelet *runelet, int root, int *fds, struct error *err)
{
    for (size_t i = 0; i < runelet->settings.mount_count; i++) {
        fds[i] = path_open_in_root(root, runelet->settings.mounts[i], O_PATH, 0, err);
        if (fds[i] < 0)
            return error_wrap(err, "open the mount %s", runelet->settings.mounts[i]);
    }
    return 0;
}

static int check_kind(struct runelet *runelet, bool *emulated, struct error *err)
{
    struct pal_info_v4 info = {0};
    *emulated = false;
    int result = pal_runtime_info(runelet->runtime, &info);
    bool hardware_wanted = strcmp(runelet->settings.type, "intelSgx") == 0;
    if (result == -ENOTSUP) {
        /* Versions 1 to 3 cannot say; rune create has looked for the hardware. */
        *emulated = !hardware_wanted;
        return 0;
    }
    if (result < 0)
        return error_errno(err, -result, "ask the enclave what it is");
    if ((info.flags & PAL_FLAG_SIMULATION) == 0)
        return 0;
    if (hardware_wanted)
        return error_set(err,
                         "enclave.type is intelSgx, but the runtime %s gives an emulated enclave",
                         runelet->settings.runtime);
    *emulated = true;
    return 0;
}

/* One line about what weakens the enclave, from the deployment that it was started with. */
static void say_policy(struct runelet *runelet, int deployment_fd)
{
    cleanup_buffer struct buffer blob = BUFFER_INIT;
    struct pal_info_v4 info = {0};
    bool insecure = false;
    if (deployment_fd < 0 || lseek(deployment_fd, 0, SEEK_SET) < 0 ||
        read_all(deployment_fd, &blob, DEPLOYMENT_MAX) < 0 ||
        pal_runtime_info(runelet->runtime, &info) < 0)
        return;
    cleanup_free char *text = deployment_describe(blob.data, blob.size,
                                                  info.flags & PAL_FLAG_DEBUG_ENCLAVE,
                                                  runelet->settings.trace, &insecure);
    if (text[0] == '\0')
        return;
    if (insecure)
        log_warning("this enclave: %s", text);
    else
        log_info("this enclave: %s", text);
}

static int start_enclave(struct runelet *runelet, struct error *err)
{
    int result;
    const struct container_init *init = runelet->init;
    cleanup_close int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return error_errno(err, errno, "open the container's root");
    cleanup_close int enclave_fd = container_init_fd(init, ENCLAVE_FD_FILE);
    cleanup_close int sigstruct_fd = container_init_fd(init, ENCLAVE_FD_SIGSTRUCT);
    /* Stays open: it keeps the image in the cache for as long as we live (bundle_image_hold). */
    int image_fd = container_init_fd(init, ENCLAVE_FD_IMAGE);
    cleanup_close int sites_fd = container_init_fd(init, ENCLAVE_FD_SITES);
    cleanup_close int deployment_fd = container_init_fd(init, ENCLAVE_FD_DEPLOYMENT);
    cleanup_close int given_fd = container_init_fd(init, ENCLAVE_FD_GIVEN);
    cleanup_buffer struct buffer given = BUFFER_INIT;
    if (given_fd >= 0 && (result = read_all(given_fd, &given, DEPLOYMENT_MAX)) < 0)
        return error_errno(err, -result, "read what the host fills in");
    size_t mount_count = runelet->settings.mount_count;
    cleanup_free int *mounts = xcalloc(mount_count + 1, sizeof(*mounts));
    memset(mounts, 0xff, mount_count * sizeof(*mounts));

    struct pal_init_args_v4 args = {
        .size = sizeof(args),
        .args = runelet->settings.args,
        .log_level = runelet->settings.log_level,
        .trace = runelet->settings.trace,
        .enclave_type = runelet->settings.type,
        .flags = (runelet->settings.debug_enclave ? PAL_FLAG_DEBUG_ENCLAVE : 0) |
                 (runelet->settings.no_kss ? PAL_FLAG_NO_KSS : 0),
        .enclave_fd = enclave_fd,
        .sigstruct_fd = sigstruct_fd,
        .image_fd = image_fd,
        .patches_fd = sites_fd,
        .deployment_fd = deployment_fd,
        .root_fd = root,
        .mount_fds = mounts,
        .mount_count = (uint32_t)mount_count,
        .memory_limit = runelet->settings.memory_limit,
        .thread_limit = runelet->settings.thread_limit,
        .cpu_quota = runelet->settings.cpu_quota,
        .cpu_period = runelet->settings.cpu_period,
        .event = on_event,
        .log = on_log,
        .context = runelet,
        .given = given.data,
        .given_size = given.size};
    result = open_mounts(runelet, root, mounts, err);
    if (result == 0)
        result = pal_runtime_init(runelet->runtime, &args, err);
    if (result == 0)
        say_policy(runelet, deployment_fd);
    for (size_t i = 0; i < mount_count; i++)
        close_and_reset(&mounts[i]);
    return result;
}

/*
 * The runtime has its own copies of stdio by now. Ours would keep a pipe open that the application
 * has closed; stderr stays for messages, and a terminal's stdin to learn its size.
 */
static void release_stdio(struct runelet *runelet)
{
    if (!runelet->terminal)
        dup3(runelet->null_fd, STDIN_FILENO, 0);
    dup3(runelet->null_fd, STDOUT_FILENO, 0);
    close_and_reset(&runelet->null_fd);
}

static int ready(void *ctx, const struct container_init *init, struct error *err)
{
    struct runelet *runelet = ctx;
    cleanup_enclave_process struct enclave_process process;
    enclave_process_from_oci(container_init_process(init), &process);
    process.args.flags |= PAL_PROCESS_FIRST;
    runelet->terminal = (process.args.flags & PAL_PROCESS_TERMINAL) != 0;

    bool emulated = false;
    runelet->collecting = true;
    int result = start_enclave(runelet, err);
    if (result == 0)
        result = check_kind(runelet, &emulated, err);
    if (result == 0)
        result = pal_runtime_create_process(runelet->runtime, &process.args, &runelet->pid, err);
    if (result == 0)
        result = agent_serve(runelet->agent, runelet->runtime, &runelet->oom.limit, err);
    say_reason(runelet, result, err);
    if (result < 0)
        return result;
    if (emulated)
        container_init_warn(init, "the enclave is EMULATED: it protects nothing from this host");
    release_stdio(runelet);
    return 0;
}

/* ---- after the gate ---- */

static void pass_resize(struct runelet *runelet)
{
    struct winsize size;
    if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0)
        pal_runtime_resize(runelet->runtime, runelet->pid, size.ws_row, size.ws_col);
}

/* Each signal once: who sends it would wait for its effect. */
static void say_refused(struct runelet *runelet, int sig)
{
    const char *name = sigabbrev_np(sig);
    cleanup_free char *number = xasprintf("%d", sig);
    if (runelet->refused_signals >> (sig - 1) & 1)
        return;
    runelet->refused_signals |= 1ull << (sig - 1);
    log_warning("signal %s is not passed on: the enclave takes from its host the signals that "
                "enclave.signals lists, and none that a program's own faults raise",
                name != NULL ? name : number);
}

/* Returns the signal to end by when the runtime cannot signal its processes (version 1), else 0. */
static int pass_signal(struct runelet *runelet, int sig, bool from_terminal)
{
    int result = from_terminal ? pal_runtime_kill_foreground(runelet->runtime, runelet->pid, sig)
                               : pal_runtime_kill(runelet->runtime, runelet->pid, sig);
    if (result == -ENOTSUP)
        return signal_ends_process(sig) ? sig : 0;
    if (result == -EPERM)
        say_refused(runelet, sig);
    else if (result < 0)
        log_debug("pass signal %d on: %s", sig, strerror(-result));
    return 0;
}

/*
 * Processes whose parents have ended become children of this process's first thread, the one that
 * calls this. What another thread forked is a runtime's child, and the runtime waits for it.
 */
static void reap_orphans(void)
{
    while (waitpid(-1, NULL, WNOHANG | __WNOTHREAD) > 0)
        ;
}

/* Returns the wait status to end with, or -1 to go on. */
static int take_signals(struct runelet *runelet)
{
    struct signalfd_siginfo info;
    while (read(runelet->signal_fd, &info, sizeof(info)) == sizeof(info)) {
        int sig = (int)info.ssi_signo, fatal = 0;
        if (sig == SIGCHLD)
            reap_orphans();
        if (sig == SIGWINCH && signal_from_terminal(&info))
            pass_resize(runelet);
        else if (!signal_is_own(&info))
            fatal = pass_signal(runelet, sig, signal_from_terminal(&info));
        if (fatal != 0)
            return fatal;
    }
    int sig;
    while (read(runelet->fault_fd, &sig, sizeof(sig)) == sizeof(sig)) {
        int fatal = pass_signal(runelet, sig, false);
        if (fatal != 0)
            return fatal;
    }
    return -1;
}

static int take_event(struct runelet *runelet)
{
    struct pal_event event;
    if (read_exact(runelet->events[0], &event, sizeof(event)) < 0)
        return W_EXITCODE(EXIT_FATAL, 0);
    switch (event.type) {
    case PAL_EVENT_EXITED:
        if (event.pid == runelet->pid)
            return event.status;
        agent_process_exited(runelet->agent, event.pid, event.status);
        return -1;
    case PAL_EVENT_OUT_OF_MEMORY:
        oom_happened(&runelet->oom, event.pid, event.status);
        return -1;
    case PAL_EVENT_FATAL:
        return W_EXITCODE(EXIT_FATAL, 0);
    default:
        return -1; /* stops and continues show on the host only through /proc, as the proxy's own
                      would not */
    }
}

static int serve(struct runelet *runelet)
{
    struct pollfd fds[] = {{runelet->events[0], POLLIN, 0},
                           {runelet->signal_fd, POLLIN, 0},
                           {runelet->fault_fd, POLLIN, 0}};
    for (;;) {
        if (poll(fds, array_count(fds), -1) < 0 && errno != EINTR)
            return W_EXITCODE(EXIT_FATAL, 0);
        int status = -1;
        if (fds[0].revents != 0)
            status = take_event(runelet);
        if (status < 0)
            status = take_signals(runelet);
        if (status >= 0)
            return status;
    }
}

static void *destroy_thread(void *argument)
{
    struct runelet *runelet = argument;
    int result = pal_runtime_destroy(runelet->runtime);
    if (result < 0)
        log_debug("pal_destroy: %s", strerror(-result));
    return NULL;
}

/* A runtime that hangs in its last call must not keep the container alive. */
static void destroy_enclave(struct runelet *runelet)
{
    pal_runtime_kill(runelet->runtime, -1, SIGKILL);
    pthread_t thread;
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += DESTROY_SECONDS;
    if (pthread_create(&thread, NULL, destroy_thread, runelet) == 0 &&
        pthread_timedjoin_np(thread, NULL, &deadline) != 0)
        log_warning("the enclave runtime does not return from pal_destroy");
}

static int run(void *ctx, const struct container_init *init, struct error *err)
{
    struct runelet *runelet = ctx;
    int result = pal_runtime_start(runelet->runtime, runelet->pid, err);
    if (result < 0)
        return result;
    __atomic_store_n(&runelet->serving, true, __ATOMIC_SEQ_CST);
    int status = serve(runelet);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != EXIT_FATAL)
        destroy_enclave(runelet);
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    /* PID 1 of a namespace cannot end by a signal of its own; the number says it then. */
    signal_die(WTERMSIG(status));
    return 128 + WTERMSIG(status);
}

int main(int argc, char **argv)
{
    cleanup_error struct error err = ERROR_INIT;
    struct container_init *init = NULL;
    struct runelet runelet = {.null_fd = -1, .lock = PTHREAD_MUTEX_INITIALIZER};
    runelet.payload = (struct container_payload){
        .name = "init-runelet", .prepare = prepare, .ready = ready, .run = run, .ctx = &runelet};
    if (container_init_resume(argc, argv, &init, &err) < 0)
        error_fatal(&err);
    return container_init_child(init, &runelet.payload, &err);
}
