/* SPDX-License-Identifier: Apache-2.0 */
/* The connection to CRIU: starting `criu swrk`, one request and its notifications, the end. */
#include "container/criu.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/child.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"

/* ---- start ---- */

static int place_descriptors(const struct criu_start *how, int socket, struct error *err)
{
    int end = CRIU_FIRST_FD + (int)how->fd_count, high[1 + CRIU_FDS_MAX];
    /* Out of the way first: a descriptor may have the number that another one is to get. */
    for (size_t i = 0; i <= how->fd_count; i++) {
        high[i] = fcntl(i == 0 ? socket : how->fds[i - 1], F_DUPFD, end);
        if (high[i] < 0)
            return error_errno(err, errno, "duplicate a descriptor for criu");
    }
    for (size_t i = 0; i <= how->fd_count; i++)
        if (dup2(high[i], CRIU_SOCKET_FD + (int)i) < 0)
            return error_errno(err, errno, "place a descriptor for criu");
    if (!how->own_stdio) {
        cleanup_close int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        for (int fd = 0; fd < 3; fd++)
            if (null < 0 || dup2(null, fd) < 0)
                return error_errno(err, errno, "open /dev/null");
    }
    int ret = fd_close_from(end, true);
    return ret < 0 ? error_errno(err, -ret, "close descriptors") : 0;
}

struct execution {
    const struct criu_start *how;
    int socket;
};

static int execute(void *ctx, struct error *err)
{
    const struct execution *execution = ctx;
    const struct criu_start *how = execution->how;
    if (how->fg)
        foreground_child(how->fg);
    if (place_descriptors(how, execution->socket, err) < 0)
        return -1;
    char *argv[] = {(char *)(uintptr_t)how->program, (char[]){"swrk"}, (char[]){"3"}, NULL};
    execvp(how->program, argv);
    if (errno == ENOENT)
        return error_code(err, ENOENT,
                          "criu is needed for checkpoint and restore, and \"%s\" is not there: "
                          "install it, or give its path by --criu",
                          how->program);
    return error_errno(err, errno, "run %s", how->program);
}

int criu_start(const struct criu_start *how, struct criu_worker *out, struct error *err)
{
    *out = (struct criu_worker){.socket = -1};
    if (how->fd_count > CRIU_FDS_MAX)
        return error_set(err, "too many descriptors for criu");
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return error_errno(err, errno, "create a socket pair");
    cleanup_close int ours = pair[0], theirs = pair[1];
    pid_t pid = child_start(execute, &(struct execution){how, theirs}, err);
    if (pid < 0)
        return -1;
    *out = (struct criu_worker){.pid = pid, .socket = take_fd(ours)};
    return 0;
}

bool criu_finish(struct criu_worker *worker)
{
    if (worker->pid == 0)
        return true;
    close_and_reset(&worker->socket);
    int status = child_wait(worker->pid);
    worker->pid = 0;
    return status == 0;
}

/* ---- messages ---- */

static int send_request(int socket, const Criu__Request *request, struct error *err)
{
    size_t size = criu__request__get_packed_size(request);
    cleanup_free uint8_t *data = xmalloc(size);
    criu__request__pack(request, data);
    if (send(socket, data, size, MSG_NOSIGNAL) != (ssize_t)size)
        return error_errno(err, errno, "send a request to criu");
    return 0;
}

/* The first error in CRIU's log: what went wrong, the others follow from it. malloc'd or NULL. */
static char *logged_reason(const char *path)
{
    enum { LOG_MAX = 64 << 20 };
    cleanup_buffer struct buffer text = BUFFER_INIT;
    if (!path || read_file_at(AT_FDCWD, path, &text, LOG_MAX, NULL) < 0)
        return NULL;
    char *mark = strstr(buffer_text(&text), "Error (");
    char *reason = mark ? strstr(mark, "): ") : NULL;
    return reason ? xstrndup(reason + 3, strcspn(reason + 3, "\n")) : NULL;
}

static const char *type_name(Criu__RequestType type)
{
    const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(
        &criu__request_type__descriptor, (int)type);
    return value ? value->name : "unknown";
}

static int report_failure(const Criu__Request *request, const Criu__Response *response,
                          const char *log_path, struct error *err)
{
    cleanup_free char *logged = logged_reason(log_path);
    const char *reason = logged ? logged : response ? response->cr_errmsg : NULL;
    error_set(err, "criu failed: type %s errno %d%s%s%s%s", type_name(request->type),
              response && response->has_cr_errno ? response->cr_errno : 0, reason ? ": " : "",
              reason ? reason : "", log_path ? "; log file: " : "", log_path ? log_path : "");
    return -1;
}

static Criu__Response *receive(int socket, int *fd, struct error *err)
{
    enum { RESPONSE_MAX = 64 << 10 };
    cleanup_free uint8_t *data = xmalloc(RESPONSE_MAX);
    int fds[FD_PASS_MAX];
    size_t fd_count = array_count(fds);
    ssize_t size;
    do {
        size = fd_recv(socket, data, RESPONSE_MAX, fds, &fd_count);
    } while (size == -EINTR);
    if (size < 0) {
        error_errno(err, (int)-size, "read criu's answer");
        return NULL;
    }
    *fd = fd_count > 0 ? fds[0] : -1;
    for (size_t i = 1; i < fd_count; i++)
        close(fds[i]);
    if (size == 0) {
        error_code(err, ENODATA, "criu ended without an answer");
        return NULL;
    }
    Criu__Response *response = criu__response__unpack(NULL, (size_t)size, data);
    if (!response) {
        close_fds(fd, 1);
        error_set(err, "criu's answer cannot be read");
    }
    return response;
}

static int serve_notification(const struct criu_worker *worker, const Criu__Response *response,
                              const struct criu_handler *handler, int *fd, struct error *err)
{
    const Criu__Notification *notify = response->notify;
    if (!notify || !notify->script)
        return error_set(err, "criu sent a notification without a name");
    log_debug("notify: %s", notify->script);
    if (handler && handler->notify &&
        handler->notify(handler->ctx, notify->script, notify->pid, fd, err) < 0)
        return error_wrap(err, "criu's %s", notify->script);
    Criu__Request done = CRIU__REQUEST__INIT;
    done.type = CRIU__REQUEST_TYPE__NOTIFY;
    done.has_notify_success = done.notify_success = true;
    return send_request(worker->socket, &done, err);
}

Criu__Response *criu_call(struct criu_worker *worker, const Criu__Request *request,
                          const struct criu_handler *handler, struct error *err)
{
    const char *log_path = handler ? handler->log_path : NULL;
    log_debug("using criu in %s mode", type_name(request->type));
    if (send_request(worker->socket, request, err) < 0)
        return NULL;
    for (;;) {
        cleanup_close int fd = -1;
        Criu__Response *response = receive(worker->socket, &fd, err);
        if (handler && handler->answered)
            handler->answered(handler->ctx);
        if (!response) {
            if (err && err->code == ENODATA)
                (void)report_failure(request, NULL, log_path, err);
            return NULL;
        }
        bool notification = response->type == CRIU__REQUEST_TYPE__NOTIFY;
        if (response->success && !notification && response->type == request->type)
            return response;
        int ret;
        if (!response->success)
            ret = report_failure(request, response, log_path, err);
        else if (notification)
            ret = serve_notification(worker, response, handler, &fd, err);
        else
            ret = error_set(err, "criu answered %s to %s", type_name(response->type),
                            type_name(request->type));
        criu__response__free_unpacked(response, NULL);
        if (ret < 0)
            return NULL;
    }
}

/* ---- questions about criu itself ---- */

static Criu__Response *ask(const char *program, const Criu__Request *request, struct error *err)
{
    struct criu_start how = {.program = program};
    struct criu_worker worker;
    if (criu_start(&how, &worker, err) < 0)
        return NULL;
    Criu__Response *response = criu_call(&worker, request, NULL, err);
    (void)criu_finish(&worker);
    return response;
}

int criu_version(const char *program, struct error *err)
{
    Criu__Request request = CRIU__REQUEST__INIT;
    request.type = CRIU__REQUEST_TYPE__VERSION;
    Criu__Response *response = ask(program, &request, err);
    if (!response)
        return error_wrap(err, "CRIU version check failed");
    const Criu__Version *v = response->version;
    int version = v ? v->major_number * 10000 + v->minor_number * 100 + v->sublevel : 0;
    criu__response__free_unpacked(response, NULL);
    if (version < CRIU_VERSION_MIN)
        return error_set(err, "CRIU version %d must be %d or higher", version, CRIU_VERSION_MIN);
    log_debug("using criu %d at %s", version, program);
    return version;
}

int criu_check_features(const struct container_criu_options *options, Criu__Options *rpc,
                        struct error *err)
{
    if (!options->pre_dump && !options->lazy_pages)
        return 0;
    Criu__Features wanted = CRIU__FEATURES__INIT;
    wanted.has_mem_track = wanted.mem_track = options->pre_dump;
    wanted.has_lazy_pages = wanted.lazy_pages = options->lazy_pages;
    Criu__Request request = CRIU__REQUEST__INIT;
    request.type = CRIU__REQUEST_TYPE__FEATURE_CHECK;
    request.opts = rpc;
    request.features = &wanted;
    Criu__Response *response = ask(options->program, &request, err);
    if (!response)
        return error_wrap(err, "CRIU feature check failed");
    const Criu__Features *has = response->features;
    int ret = 0;
    if (options->pre_dump && !(has && has->mem_track))
        ret = error_set(err, "--pre-dump needs memory tracking (soft-dirty pages), which this "
                             "kernel or criu does not have");
    else if (options->lazy_pages && !(has && has->lazy_pages))
        ret = error_set(err, "--lazy-pages needs userfaultfd with non-cooperative events, which "
                             "this kernel or criu does not have");
    criu__response__free_unpacked(response, NULL);
    return ret;
}
