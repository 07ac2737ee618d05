/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PAL versions 1 to 3 in the shape of version 4, as the libraries that were built for them expect:
 *
 *   create   keeps what the process needs. The library hears nothing of it before the start: for
 *            these versions rune create does not make a process (Inclavare Containers' rune calls
 *            pal_create_process and pal_exec at start).
 *   start    pal_create_process, on the thread on which pal_init ran; then pal_exec, which blocks,
 *            on a thread of its own. Its return is PAL_EVENT_EXITED.
 *
 * A process has a number of rune's; the library's own stands beside it. Children that the library
 * forks are the library's: it waits for them in pal_exec (init.c reaps orphans alone).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "enclave/pal_private.h"
#include "enclave/signals.h"

/* ---- the library's descriptors ---- */

/*
 * Whether two descriptors share one open file. A mark is put on the one and looked for at the
 * other: the signal of O_ASYNC, which nothing else uses and which every file has.
 */
static bool same_file(int a, int b)
{
    int old = fcntl(a, F_GETSIG);
    bool same = old >= 0;
    for (int i = 0; i < 2 && same; i++) {
        int mark = SIGRTMAX - i;
        same = fcntl(a, F_SETSIG, mark) == 0 && fcntl(b, F_GETSIG) == mark;
    }
    if (old >= 0)
        fcntl(a, F_SETSIG, old);
    return same;
}

/*
 * A library may use its descriptors until pal_exec returns, or close them as its own before (as
 * Inclavare's skeletons do): then the number may be anyone's by now.
 */
static void take_back(struct pal_blocking_process *process)
{
    for (int i = 0; i < 3; i++) {
        if (process->lent[i] >= 0 && same_file(process->stdio[i], process->lent[i]))
            close(process->lent[i]);
        process->lent[i] = -1;
    }
}

static int duplicate(const int *from, int *to)
{
    for (int i = 0; i < 3; i++) {
        to[i] = fcntl(from[i], F_DUPFD_CLOEXEC, 3);
        if (to[i] < 0)
            return -errno;
    }
    return 0;
}

/* ---- processes ---- */

static char **copy_list(const char *const *list)
{
    size_t count = 0;
    while (list != NULL && list[count] != NULL)
        count++;
    char **copy = xcalloc(count + 1, sizeof(*copy));
    for (size_t i = 0; i < count; i++)
        copy[i] = xstrdup(list[i]);
    return copy;
}

static void free_list(char **list)
{
    for (size_t i = 0; list[i] != NULL; i++)
        free(list[i]);
    free(list);
}

static void process_free(struct pal_blocking_process *process)
{
    take_back(process);
    free(process->path);
    free_list(process->argv);
    free_list(process->env);
    for (int i = 0; i < 3; i++)
        close_and_reset(&process->stdio[i]);
    free(process);
}

/* Both list operations with runtime->lock held. */
static struct pal_blocking_process *find(const struct pal_runtime *runtime, int pid)
{
    struct pal_blocking_process *process = runtime->processes;
    while (process != NULL && process->pid != pid)
        process = process->next;
    return process;
}

static void remove_from_list(struct pal_runtime *runtime, struct pal_blocking_process *process)
{
    for (struct pal_blocking_process **slot = &runtime->processes; *slot != NULL;
         slot = &(*slot)->next) {
        if (*slot == process) {
            *slot = process->next;
            return;
        }
    }
}

static int blocking_create(struct pal_runtime *runtime, const struct pal_process_args_v4 *args,
                           int *pid)
{
    struct pal_blocking_process *process = xcalloc(1, sizeof(*process));
    process->runtime = runtime;
    process->first = (args->flags & PAL_PROCESS_FIRST) != 0;
    process->path = xstrdup(args->path != NULL ? args->path : args->argv[0]);
    process->argv = copy_list(args->argv);
    process->env = copy_list(args->env);
    for (int i = 0; i < 3; i++)
        process->stdio[i] = process->lent[i] = -1;
    int result = duplicate(args->stdio, process->stdio);
    if (result < 0) {
        process_free(process);
        return result;
    }
    pthread_mutex_lock(&runtime->lock);
    *pid = process->pid = ++runtime->last_pid;
    process->next = runtime->processes;
    runtime->processes = process;
    pthread_mutex_unlock(&runtime->lock);
    return 0;
}

/* ---- the library's thread ---- */

/*
 * A child belongs to the thread that forked it, and when that ends to the first one of the process,
 * which reaps orphans. So pal_init and pal_create_process run on a thread that stays.
 */
struct pal_call_thread {
    pthread_mutex_t callers, lock;
    pthread_cond_t changed;
    int (*function)(void *argument);
    void *argument;
    int result, code;
    bool done;
};

/*
 * Real-time signals are open on the library's threads: runtimes interrupt their own by them
 * (Occlum by 64). One that is meant for the container comes to the handler of signals.c.
 */
static void open_real_time_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    for (int sig = SIGRTMIN; sig <= SIGRTMAX; sig++)
        sigaddset(&set, sig);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void *call_thread(void *argument)
{
    struct pal_call_thread *thread = argument;
    open_real_time_signals();
    pthread_mutex_lock(&thread->lock);
    for (;;) {
        while (thread->function == NULL)
            pthread_cond_wait(&thread->changed, &thread->lock);
        errno = 0;
        thread->result = thread->function(thread->argument);
        thread->code = errno;
        thread->function = NULL;
        thread->done = true;
        pthread_cond_broadcast(&thread->changed);
    }
    return NULL;
}

static int detached(void *(*function)(void *), void *argument)
{
    pthread_t thread;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    int code = pthread_create(&thread, &attr, function, argument);
    pthread_attr_destroy(&attr);
    return -code;
}

static int call(struct pal_runtime *runtime, int (*function)(void *), void *argument)
{
    struct pal_call_thread *thread = runtime->call_thread;
    pthread_mutex_lock(&thread->callers); /* one at a time */
    pthread_mutex_lock(&thread->lock);
    thread->done = false;
    thread->argument = argument;
    thread->function = function;
    pthread_cond_broadcast(&thread->changed);
    while (!thread->done)
        pthread_cond_wait(&thread->changed, &thread->lock);
    int result = thread->result;
    errno = thread->code;
    pthread_mutex_unlock(&thread->lock);
    pthread_mutex_unlock(&thread->callers);
    return pal_result(runtime, result);
}

/* ---- start ---- */

/* What a shell would exit with when it cannot run a program. */
static int exit_code_of_errno(int code)
{
    if (code == ENOENT)
        return 127;
    return code == EACCES || code == ENOEXEC ? 126 : 255;
}

/*
 * The published text says "the exit value of the process". Inclavare's skeletons give an exit code;
 * Occlum gives a status of wait(2), of which only its own symbol is a sure sign. A code has 8 bits,
 * so a greater number is such a status in any case.
 */
static int wait_status(const struct pal_runtime *runtime, int value)
{
    if (runtime->occlum != NULL || value > 0xff)
        return value & 0xffff;
    return W_EXITCODE(value & 0xff, 0);
}

static void tell_end(struct pal_blocking_process *process, int status)
{
    struct pal_runtime *runtime = process->runtime;
    struct pal_event event = {
        .size = sizeof(event), .type = PAL_EVENT_EXITED, .pid = process->pid, .status = status};
    pthread_mutex_lock(&runtime->lock);
    remove_from_list(runtime, process);
    runtime->event(runtime->context, &event);
    pthread_mutex_unlock(&runtime->lock);
    process_free(process);
}

/* It was not possible: the line of an ordinary container, and the end that a shell would make. */
static void tell_failure(struct pal_blocking_process *process, int code)
{
    struct pal_runtime *runtime = process->runtime;
    cleanup_error struct error err = ERROR_INIT;
    pal_exec_error(process->path, code, &err);
    pthread_mutex_lock(&runtime->lock);
    runtime->log(runtime->context, 1, error_text(&err));
    pthread_mutex_unlock(&runtime->lock);
    tell_end(process, W_EXITCODE(exit_code_of_errno(code), 0));
}

static void *wait_thread(void *argument)
{
    struct pal_blocking_process *process = argument;
    struct pal_runtime *runtime = process->runtime;
    pal_stdio_fds stdio = {process->lent[0], process->lent[1], process->lent[2]};
    int exit_value = 0, result;

    open_real_time_signals();
    errno = 0;
    if (runtime->version->number == 1) {
        result = ((pal_exec_v1_fn *)runtime->exec)(process->path, process->argv, &stdio,
                                                   &exit_value);
    } else {
        pal_exec_args args = {process->library_pid, &exit_value};
        result = ((pal_exec_v2_fn *)runtime->exec)(&args);
    }
    result = pal_result(runtime, result);
    if (result < 0)
        tell_failure(process, -result);
    else
        tell_end(process, wait_status(runtime, exit_value));
    return NULL;
}

static int create_in_library(void *argument)
{
    struct pal_blocking_process *process = argument;
    struct pal_runtime *runtime = process->runtime;
    pal_stdio_fds stdio = {process->lent[0], process->lent[1], process->lent[2]};
    pal_create_process_args args = {process->path, process->argv, process->env, &stdio,
                                    &process->library_pid};
    return ((pal_create_process_v2_fn *)runtime->create_process)(&args);
}

static int start_process(struct pal_runtime *runtime, struct pal_blocking_process *process)
{
    int result = duplicate(process->stdio, process->lent);
    if (result == 0 && runtime->version->number > 1)
        result = call(runtime, create_in_library, process);
    pthread_mutex_lock(&runtime->lock);
    process->started = result == 0;
    pthread_mutex_unlock(&runtime->lock);
    return result == 0 ? detached(wait_thread, process) : result;
}

static int blocking_start(struct pal_runtime *runtime, int pid, struct error *err)
{
    pthread_mutex_lock(&runtime->lock);
    struct pal_blocking_process *process = find(runtime, pid);
    bool ready = process != NULL && !process->starting;
    if (ready)
        process->starting = true;
    pthread_mutex_unlock(&runtime->lock);
    if (!ready)
        return error_errno(err, ESRCH, "start process %d in the enclave", pid);

    int result = start_process(runtime, process);
    if (result < 0 && process->first) {
        /* The container is there already: this is how it ends. */
        tell_failure(process, -result);
        return 0;
    }
    if (result < 0) {
        pal_exec_error(process->path, -result, err);
        pthread_mutex_lock(&runtime->lock);
        remove_from_list(runtime, process);
        pthread_mutex_unlock(&runtime->lock);
        process_free(process);
    }
    return result;
}

/* ---- signals ---- */

/* Occlum takes SIGKILL and SIGTERM only: what would end a program by default becomes the latter. */
static int occlum_signal(int sig)
{
    if (sig == SIGKILL || sig == SIGTERM)
        return sig;
    return signal_ends_process(sig) ? SIGTERM : 0;
}

static int blocking_kill(struct pal_runtime *runtime, int pid, int sig)
{
    if (runtime->kill == NULL)
        return -ENOTSUP;
    if (runtime->occlum != NULL && sig != 0 && (sig = occlum_signal(sig)) == 0)
        return -EINVAL;
    int library_pid = -1;
    if (pid != -1) {
        pthread_mutex_lock(&runtime->lock);
        const struct pal_blocking_process *process = find(runtime, pid);
        library_pid = process != NULL && process->started ? process->library_pid : 0;
        pthread_mutex_unlock(&runtime->lock);
    }
    if (library_pid == 0)
        return -ESRCH;
    errno = 0;
    return pal_result(runtime, runtime->kill(library_pid, sig));
}

/* ---- init ---- */

struct init_call {
    struct pal_runtime *runtime;
    const struct pal_init_args_v4 *args;
};

/* These versions never got NULL for a string: their rune passes what is not set as "". */
static pal_attr_v1_t strings_of(const struct pal_init_args_v4 *args)
{
    return (pal_attr_v1_t){args->args != NULL ? args->args : "",
                           args->log_level != NULL ? args->log_level : ""};
}

static int init_library(void *argument)
{
    const struct init_call *c = argument;
    if (c->runtime->version->number < 3) {
        pal_attr_v1_t attr = strings_of(c->args);
        return ((pal_init_v1_fn *)c->runtime->init)(&attr);
    }
    pal_attr_v3_t attr = {.attr_v1 = strings_of(c->args), .fd = -1};
    return ((pal_init_v3_fn *)c->runtime->init)(&attr);
}

static int blocking_init(struct pal_runtime *runtime, const struct pal_init_args_v4 *args)
{
    struct pal_call_thread *thread = xcalloc(1, sizeof(*thread));
    pthread_mutex_init(&thread->callers, NULL);
    pthread_mutex_init(&thread->lock, NULL);
    pthread_cond_init(&thread->changed, NULL);
    runtime->call_thread = thread;
    int result = detached(call_thread, thread);
    if (result < 0)
        return result;
    struct init_call c = {runtime, args};
    result = call(runtime, init_library, &c);
    /* What the library has printed is still in the buffer of the libc that it shares with us. */
    fflush(stdout);
    return result;
}

#define BLOCKING(n)                                                                             \
    {                                                                                           \
        .number = n, .init = blocking_init, .create = blocking_create, .start = blocking_start, \
        .kill = blocking_kill                                                                   \
    }

const struct pal_version pal_version_1 = BLOCKING(1);
const struct pal_version pal_version_2 = BLOCKING(2);
const struct pal_version pal_version_3 = BLOCKING(3);
