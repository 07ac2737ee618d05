/* SPDX-License-Identifier: Apache-2.0 */
#include "enclave/agent.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/hex.h"
#include "base/log.h"
#include "enclave/process.h"

#define CONNECTIONS_MAX 512
#define QUOTE_MAX       (64u << 10)
#define SEND_SECONDS    2

struct connection {
    struct connection *next;
    struct agent *agent;
    int socket;
    int pid; /* process started by this connection and still alive, else 0; under agent->lock */
};

struct agent {
    int listener;
    struct pal_runtime *runtime;
    uint64_t *memory_limit;
    pthread_mutex_t lock; /* the list, connection->pid, and frames that this side sends */
    struct connection *connections;
    unsigned count;
};

struct agent *agent_new(int listener)
{
    struct agent *agent = xcalloc(1, sizeof(*agent));
    agent->listener = listener;
    pthread_mutex_init(&agent->lock, NULL);
    return agent;
}

/* ---- answers ---- */

static void answer(struct connection *connection, enum agent_type type, json_t *json,
                   const void *blob, size_t blob_size)
{
    pthread_mutex_lock(&connection->agent->lock);
    int result = agent_send(connection->socket, type, json, blob, blob_size, NULL, 0);
    if (result < 0) /* part of a frame may have gone out: nothing after it would make sense */
        shutdown(connection->socket, SHUT_RDWR);
    pthread_mutex_unlock(&connection->agent->lock);
    if (result < 0)
        log_debug("agent: answer: %s", strerror(-result));
    json_decref(json);
}

static void answer_error(struct connection *connection, int code, const char *message)
{
    answer(connection, AGENT_ERROR, json_pack("{s:i, s:s}", "code", code, "message", message), NULL,
           0);
}

static void answer_errno(struct connection *connection, int result, const char *what)
{
    char message[256];
    snprintf(message, sizeof(message), "%s: %s", what,
             result == -ENOTSUP ? "the enclave runtime does not offer this" : strerror(-result));
    answer_error(connection, -result, message);
}

static void answer_info(struct connection *connection)
{
    struct pal_runtime *runtime = connection->agent->runtime;
    struct pal_info_v4 info = {0};
    json_t *json = json_pack("{s:s, s:i}", "runtime", pal_runtime_path(runtime), "palVersion",
                             pal_runtime_version(runtime));
    int result = pal_runtime_info(runtime, &info);
    if (result == 0) {
        char mrenclave[65], mrsigner[65], config_id[129];
        hex_format(mrenclave, info.mrenclave, sizeof(info.mrenclave));
        hex_format(mrsigner, info.mrsigner, sizeof(info.mrsigner));
        hex_format(config_id, info.config_id, sizeof(info.config_id));
        json_object_set_new(json, "tee",
                            json_stringn(info.tee, strnlen(info.tee, sizeof(info.tee))));
        json_object_set_new(json, "simulated", json_boolean(info.flags & PAL_FLAG_SIMULATION));
        json_object_set_new(json, "debug", json_boolean(info.attributes & 2));
        json_object_set_new(json, "mrenclave", json_string(mrenclave));
        json_object_set_new(json, "mrsigner", json_string(mrsigner));
        json_object_set_new(json, "configId", json_string(config_id));
        json_object_set_new(json, "isvProdId", json_integer(info.isv_prod_id));
        json_object_set_new(json, "isvSvn", json_integer(info.isv_svn));
    } else if (result != -ENOTSUP) {
        json_decref(json);
        answer_errno(connection, result, "enclave information");
        return;
    }
    answer(connection, AGENT_OK, json, NULL, 0);
}

static void answer_stats(struct connection *connection)
{
    struct pal_stats_v4 stats = {0};
    int result = pal_runtime_stats(connection->agent->runtime, &stats);
    if (result < 0) {
        answer_errno(connection, result, "enclave statistics");
        return;
    }
    const struct {
        const char *name;
        uint64_t value;
    } fields[] = {{"memoryCommitted", stats.memory_committed},
                  {"memoryPeak", stats.memory_peak},
                  {"memoryReserved", stats.memory_reserved},
                  {"processes", stats.processes},
                  {"threads", stats.threads},
                  {"tcs", stats.tcs_total},
                  {"ocalls", stats.ocalls},
                  {"aex", stats.aex},
                  {"syscallsDirect", stats.syscalls_direct},
                  {"syscallsTrapped", stats.syscalls_trapped}};
    json_t *json = json_object();
    for (size_t i = 0; i < array_count(fields); i++)
        json_object_set_new(json, fields[i].name, json_integer((json_int_t)fields[i].value));
    answer(connection, AGENT_OK, json, NULL, 0);
}

static void answer_limits(struct connection *connection, struct agent_frame *frame)
{
    struct agent *agent = connection->agent;
    struct pal_limits_v4 limits = {.size = sizeof(limits)};
    cleanup_error struct error err = ERROR_INIT;
    if (json_get_uint64(frame->json, "", "memory", &limits.memory_limit, &err) < 0 ||
        json_get_uint32(frame->json, "", "threads", &limits.thread_limit, &err) < 0 ||
        json_get_uint64(frame->json, "", "cpuQuota", &limits.cpu_quota, &err) < 0 ||
        json_get_uint64(frame->json, "", "cpuPeriod", &limits.cpu_period, &err) < 0) {
        answer_error(connection, EINVAL, error_text(&err));
        return;
    }
    __atomic_store_n(agent->memory_limit, limits.memory_limit, __ATOMIC_RELAXED);
    int result = pal_runtime_set_limits(agent->runtime, &limits);
    if (result == -ERANGE)
        answer_error(connection, ERANGE,
                     "the enclave was built with less memory than the new limit, by enclave.memory "
                     "or for SGX1, and cannot have more");
    else if (result < 0)
        answer_errno(connection, result, "tell the enclave its limits");
    else
        answer(connection, AGENT_OK, NULL, NULL, 0);
}

static void answer_report(struct connection *connection, struct agent_frame *frame)
{
    unsigned char report[4096];
    int size = sizeof(report);
    int result = pal_runtime_report(connection->agent->runtime, frame->blob, (int)frame->blob_size,
                                    report, &size);
    if (result < 0)
        answer_errno(connection, result, "local report");
    else
        answer(connection, AGENT_OK, NULL, report, (size_t)size);
}

static void answer_quote(struct connection *connection, struct agent_frame *frame)
{
    if (frame->blob_size != 64) {
        answer_error(connection, EINVAL, "quote: the report data must be 64 bytes");
        return;
    }
    cleanup_free uint8_t *quote = xmalloc(QUOTE_MAX);
    size_t size = QUOTE_MAX;
    int result = pal_runtime_quote(connection->agent->runtime, (uint8_t *)frame->blob, quote,
                                   &size);
    if (result == -EPERM)
        answer_error(connection, EPERM,
                     "quote: the enclave gives none over data from outside; leave out --data, or "
                     "have a program in it write /dev/attestation/user_report_data and read quote");
    else if (result < 0)
        answer_errno(connection, result, "quote");
    else
        answer(connection, AGENT_OK, NULL, quote, size);
}

/* ---- processes ---- */

static int connection_pid(struct connection *connection)
{
    pthread_mutex_lock(&connection->agent->lock);
    int pid = connection->pid;
    pthread_mutex_unlock(&connection->agent->lock);
    return pid;
}

static void handle_exec(struct connection *connection, struct agent_frame *frame)
{
    cleanup_error struct error err = ERROR_INIT;
    cleanup_enclave_process struct enclave_process process = {0};
    struct agent *agent = connection->agent;
    int pid = 0;

    if (connection_pid(connection) != 0) {
        answer_error(connection, EBUSY, "exec: this connection has a process already");
        return;
    }
    int result = enclave_process_decode(frame, &process, &err);
    if (result == 0)
        result = pal_runtime_create_process(agent->runtime, &process.args, &pid, &err);
    if (result == 0) {
        /* Known before it runs, so that its end finds the connection. */
        pthread_mutex_lock(&agent->lock);
        connection->pid = pid;
        agent_send(connection->socket, AGENT_STARTED, NULL, NULL, 0, NULL, 0);
        pthread_mutex_unlock(&agent->lock);
        result = pal_runtime_start(agent->runtime, pid, &err);
        if (result < 0) {
            pthread_mutex_lock(&agent->lock);
            connection->pid = 0;
            pthread_mutex_unlock(&agent->lock);
        }
    }
    if (result < 0)
        answer_error(connection, err.code, error_text(&err));
}

void agent_process_exited(struct agent *agent, int pid, int status)
{
    pthread_mutex_lock(&agent->lock);
    for (struct connection *c = agent->connections; c != NULL; c = c->next) {
        if (c->pid == pid) {
            /* First: who reads the answer may ask for the next process at once. */
            c->pid = 0;
            json_t *json = json_pack("{s:i}", "status", status);
            agent_send(c->socket, AGENT_EXITED, json, NULL, 0, NULL, 0);
            json_decref(json);
        }
    }
    pthread_mutex_unlock(&agent->lock);
}

/* No answers: a signal may cross the process's end, and then there is nothing to say. */
static void handle_signal(struct connection *connection, struct agent_frame *frame)
{
    int64_t sig = 0;
    bool foreground = false;
    int pid = connection_pid(connection);
    json_get_int64(frame->json, "", "signal", &sig, NULL);
    json_get_bool(frame->json, "", "foreground", &foreground, NULL);
    if (pid == 0 || sig < 1 || sig > 64)
        return;
    int result = foreground ? pal_runtime_kill_foreground(connection->agent->runtime, pid, (int)sig)
                            : pal_runtime_kill(connection->agent->runtime, pid, (int)sig);
    if (result < 0)
        log_debug("agent: signal %d for process %d: %s", (int)sig, pid, strerror(-result));
}

static void handle_resize(struct connection *connection, struct agent_frame *frame)
{
    uint32_t rows = 0, columns = 0;
    int pid = connection_pid(connection);
    json_get_uint32(frame->json, "", "rows", &rows, NULL);
    json_get_uint32(frame->json, "", "columns", &columns, NULL);
    if (pid != 0)
        pal_runtime_resize(connection->agent->runtime, pid, (uint16_t)rows, (uint16_t)columns);
}

static void handle(struct connection *connection, struct agent_frame *frame)
{
    switch ((int)frame->type) {
    case AGENT_EXEC:
        handle_exec(connection, frame);
        break;
    case AGENT_SIGNAL:
        handle_signal(connection, frame);
        break;
    case AGENT_RESIZE:
        handle_resize(connection, frame);
        break;
    case AGENT_INFO:
        answer_info(connection);
        break;
    case AGENT_STATS:
        answer_stats(connection);
        break;
    case AGENT_REPORT:
        answer_report(connection, frame);
        break;
    case AGENT_LIMITS:
        answer_limits(connection, frame);
        break;
    case AGENT_QUOTE:
        answer_quote(connection, frame);
        break;
    default:
        answer_error(connection, ENOSYS, "agent: unknown request");
    }
}

/* ---- connections ---- */

static void connection_close(struct connection *connection)
{
    struct agent *agent = connection->agent;
    pthread_mutex_lock(&agent->lock);
    for (struct connection **slot = &agent->connections; *slot != NULL; slot = &(*slot)->next) {
        if (*slot == connection) {
            *slot = connection->next;
            agent->count--;
            break;
        }
    }
    int orphan = connection->pid;
    pthread_mutex_unlock(&agent->lock);
    if (orphan != 0)
        pal_runtime_kill(agent->runtime, orphan, SIGKILL);
    close(connection->socket);
    free(connection);
}

static void *connection_thread(void *argument)
{
    struct connection *connection = argument;
    for (;;) {
        cleanup_error struct error err = ERROR_INIT;
        cleanup_frame struct agent_frame frame;
        int result = agent_recv(connection->socket, &frame, &err);
        if (result < 0) {
            log_warning("%s", error_text(&err));
            answer_error(connection, EPROTO, error_text(&err));
        }
        if (result <= 0)
            break;
        handle(connection, &frame);
    }
    connection_close(connection);
    return NULL;
}

static int start_thread(void *(*function)(void *), void *argument)
{
    pthread_attr_t attr;
    pthread_t thread;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, 256u << 10);
    int code = pthread_create(&thread, &attr, function, argument);
    pthread_attr_destroy(&attr);
    return -code;
}

static void accept_connection(struct agent *agent, int socket)
{
    /* Frames are sent with the lock held: a client that is stopped must not stop everybody. */
    const struct timeval patience = {.tv_sec = SEND_SECONDS};
    setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    struct connection *connection = xcalloc(1, sizeof(*connection));
    connection->agent = agent;
    connection->socket = socket;
    pthread_mutex_lock(&agent->lock);
    bool full = agent->count >= CONNECTIONS_MAX;
    connection->next = agent->connections;
    agent->connections = connection;
    agent->count++;
    pthread_mutex_unlock(&agent->lock);

    int result = full ? -EAGAIN : start_thread(connection_thread, connection);
    if (result < 0) {
        answer_errno(connection, result, "agent: no thread for this connection");
        connection_close(connection);
    }
}

static void *accept_thread(void *argument)
{
    struct agent *agent = argument;
    for (;;) {
        int socket = accept4(agent->listener, NULL, NULL, SOCK_CLOEXEC);
        if (socket >= 0) {
            accept_connection(agent, socket);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            log_warning("agent: accept: %s", strerror(errno));
            usleep(100000); /* the connection stays in the queue; do not spin */
        } else if (errno != EINTR && errno != ECONNABORTED) {
            log_error("agent: accept: %s", strerror(errno));
            return NULL;
        }
    }
}

int agent_serve(struct agent *agent, struct pal_runtime *runtime, uint64_t *memory_limit,
                struct error *err)
{
    agent->runtime = runtime;
    agent->memory_limit = memory_limit;
    int result = start_thread(accept_thread, agent);
    return result < 0 ? error_errno(err, -result, "agent: start its thread") : 0;
}
