/* SPDX-License-Identifier: Apache-2.0 */
#include "ratls/relay.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/err.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/loop.h"
#include "ratls.h"

enum { PIECE = 16384, HANDSHAKE_MS = 10000, CONNECTIONS = 1000, PAUSE_MS = 100 };

/* One direction. */
struct stream {
    uint8_t *data; /* PIECE bytes */
    size_t at, size;
    bool ended; /* nothing more comes in, */
    bool told;  /* and the other side knows */
};

struct side {
    struct loop_watch watch;
    int fd;
    bool hung_up; /* not in the loop any more: all that will come is there */
};

/*
 * A command, which leads a process group. It may outlive its connection, and counts in its place
 * until it has ended.
 */
struct program {
    struct relay *relay;
    struct loop_watch watch; /* of its pidfd, once the connection is over */
    int pidfd;
    pid_t pid;
};

struct connection {
    struct relay *relay;
    struct side tls, plain;
    struct program *program; /* at the plain side, or NULL */
    SSL *ssl;
    struct stream in, out; /* from TLS, to TLS */
    struct loop_timer timer;
    struct address peer; /* who came in; empty in relay_one() */
    bool shaken, connecting;
    bool wants_write; /* TLS does */
};

struct relay {
    struct relay_options options;
    struct loop loop;
    struct loop_watch listener;
    struct loop_timer pause; /* of the listener */
    struct log_limit limit;
    unsigned count;
    bool once; /* relay_one() */
    struct error failure;
};

static struct connection *of_tls(struct loop_watch *watch)
{
    return (struct connection *)((char *)watch - offsetof(struct connection, tls.watch));
}

static struct connection *of_plain(struct loop_watch *watch)
{
    return (struct connection *)((char *)watch - offsetof(struct connection, plain.watch));
}

/* ---- life of a connection ---- */

static void side_close(struct relay *r, struct side *s)
{
    if (s->fd < 0)
        return;
    loop_remove(&r->loop, &s->watch);
    close(s->fd);
    s->fd = -1;
}

static void listen_on(struct relay *r)
{
    loop_change(&r->loop, &r->listener, EPOLLIN);
}

/* Neither the connection nor its command is there any more. */
static void count_down(struct relay *r)
{
    r->count--;
    if (r->once)
        r->loop.stop = true;
    else
        listen_on(r);
}

static void program_over(struct loop_watch *watch, uint32_t events)
{
    struct program *p = (struct program *)((char *)watch - offsetof(struct program, watch));
    struct relay *r = p->relay;

    (void)events;
    loop_remove(&r->loop, watch);
    close(p->pidfd);
    waitpid(p->pid, NULL, 0);
    free(p);
    count_down(r);
}

/* Until it has ended. One that cannot be waited for in the loop ends now. */
static void program_leave(struct program *p)
{
    struct error err = ERROR_INIT;

    p->watch.ready = program_over;
    if (loop_add(&p->relay->loop, &p->watch, p->pidfd, EPOLLIN, &err) < 0) {
        log_limited(&p->relay->limit, LOG_LEVEL_WARNING, "command %d is killed: %s", (int)p->pid,
                    error_text(&err));
        kill(-p->pid, SIGKILL);
        kill(p->pid, SIGKILL); /* it may have left its group */
        program_over(&p->watch, 0);
    }
    error_release(&err);
}

static void connection_end(struct connection *c)
{
    struct relay *r = c->relay;
    struct program *left = c->program;

    loop_timer_cancel(&r->loop, &c->timer);
    side_close(r, &c->tls);
    side_close(r, &c->plain);
    SSL_free(c->ssl);
    free(c->in.data);
    free(c->out.data);
    free(c);
    if (left)
        program_leave(left);
    else
        count_down(r);
}

/* What OpenSSL says, or the system; one line. */
static void describe_failure(const struct connection *c, const char *what, struct error *err)
{
    const char *refused = NULL;
    unsigned long first = ERR_peek_error_data(&refused, NULL), code = ERR_peek_last_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;

    if (ERR_GET_LIB(first) == ERR_LIB_USER && ERR_GET_REASON(first) == RATLS_REFUSED)
        error_code(err, EACCES, "%s: the peer is refused: %s", what, refused);
    else if (code && ERR_GET_REASON(code) == SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED)
        error_code(err, EACCES, "%s: the peer demands evidence of this side (--prove)", what);
    else if (code && ERR_GET_REASON(code) == SSL_R_SSLV3_ALERT_BAD_CERTIFICATE)
        error_code(err, EACCES, "%s: the peer refuses this side's evidence; its log says why",
                   what);
    else if (c->shaken && (!code || ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING))
        error_code(err, EPIPE,
                   "%s: the peer ended it without close_notify: the network cut it, or what the "
                   "peer passes it on to does not run",
                   what);
    else if (reason)
        error_code(err, EPROTO, "%s: %s", what, reason);
    else
        error_code(err, EPIPE, "%s: the peer is gone", what);
    ERR_clear_error();
}

/*
 * The other end sees a reset, not an orderly end. TLS that ends without close_notify was cut by
 * the network, and so by its operator: what is behind must not take the part for the whole. Nor
 * is a target that cannot be reached an answer of no bytes.
 */
static void side_abort(struct side *s)
{
    if (s->fd >= 0)
        setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1},
                   sizeof(struct linger));
}

/* UNIX sockets have no reset: a command that was not told of an end is killed before it sees it. */
static void plain_abort(struct connection *c)
{
    side_abort(&c->plain);
    if (c->program && !c->in.told)
        kill(-c->program->pid, SIGKILL);
}

static void connection_fail(struct connection *c, const char *what, int code)
{
    struct error err = ERROR_INIT;
    struct relay *r = c->relay;
    char peer[ADDRESS_TEXT_MAX];

    plain_abort(c);
    if (code)
        error_errno(&err, code, "%s", what);
    else
        describe_failure(c, what, &err);
    address_text(&c->peer, peer);
    if (r->once)
        error_move(&r->failure, &err);
    else
        log_limited(&r->limit, LOG_LEVEL_WARNING, "connection of %s: %s", peer, error_text(&err));
    error_release(&err);
    connection_end(c);
}

static void target_fail(struct connection *c, int code)
{
    char target[ADDRESS_TEXT_MAX] = "the command";
    cleanup_free char *what = NULL;

    if (c->relay->options.to)
        address_text(c->relay->options.to, target);
    what = xasprintf("reach %s, which is behind", target);
    if (c->shaken)
        side_abort(&c->tls);
    connection_fail(c, what, code);
}

/* ---- the plain side ---- */

static void plain_ready(struct loop_watch *watch, uint32_t events);

static int plain_open(struct connection *c, int fd)
{
    struct error err = ERROR_INIT;

    c->plain.fd = fd;
    c->plain.watch.ready = plain_ready;
    int rc = loop_add(&c->relay->loop, &c->plain.watch, fd, 0, &err);
    error_release(&err);
    return rc < 0 ? -EIO : 0;
}

/* In a group of its own, so that all of it can be killed. */
static int spawn_at(const char *const *command, int fd, pid_t *pid)
{
    extern char **environ;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fd, 0);
    posix_spawn_file_actions_adddup2(&actions, fd, 1);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    int rc = posix_spawnp(pid, command[0], &actions, &attributes, (char *const *)command, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return -rc;
}

static int start_command(struct connection *c, int *fd)
{
    struct program p = {.relay = c->relay, .watch.fd = -1};
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    int rc = spawn_at(c->relay->options.command, pair[1], &p.pid);
    close(pair[1]);
    if (rc == 0 && (p.pidfd = pidfd_open(p.pid, 0)) < 0) {
        rc = -errno;
        kill(-p.pid, SIGKILL);
        waitpid(p.pid, NULL, 0);
    }
    if (rc < 0) {
        close(pair[0]);
        return rc;
    }
    c->program = xmemdup(&p, sizeof(p));
    fd_set_nonblock(pair[0], true);
    *fd = pair[0];
    return 0;
}

static int connect_to(const struct address *to, int *fd, bool *connecting)
{
    *fd = socket(to->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (*fd < 0)
        return -errno;
    *connecting = connect(*fd, (const struct sockaddr *)&to->storage, to->size) < 0;
    if (*connecting && errno != EINPROGRESS) {
        int code = errno;
        close(*fd);
        *fd = -1;
        return -code;
    }
    return 0;
}

/* After the handshake: before it nobody of outside reaches what is behind. */
static int reach_target(struct connection *c)
{
    const struct relay_options *o = &c->relay->options;
    int fd = -1, rc = 0;

    if (o->to)
        rc = connect_to(o->to, &fd, &c->connecting);
    else if (o->command)
        rc = start_command(c, &fd);
    return rc < 0 || fd < 0 ? rc : plain_open(c, fd);
}

/* ---- moving bytes ---- */

/* What an operation of TLS came to: 1 done, 0 not now, negative: failed. */
static int tls_result(struct connection *c, int result)
{
    if (result > 0)
        return 1;
    switch (SSL_get_error(c->ssl, result)) {
    case SSL_ERROR_WANT_WRITE:
        c->wants_write = true;
        return 0;
    case SSL_ERROR_WANT_READ:
        return 0;
    default:
        return -1;
    }
}

static int read_tls(struct connection *c, struct stream *s)
{
    int n = SSL_read(c->ssl, s->data, PIECE);

    if (n > 0) {
        s->at = 0;
        s->size = (size_t)n;
        return 1;
    }
    if (SSL_get_error(c->ssl, n) == SSL_ERROR_ZERO_RETURN) {
        s->ended = true;
        return 1;
    }
    return tls_result(c, n);
}

static int write_tls(struct connection *c, struct stream *s)
{
    int n = SSL_write(c->ssl, s->data + s->at, (int)s->size);
    int rc = tls_result(c, n);

    if (rc > 0) {
        s->at += (size_t)n;
        s->size -= (size_t)n;
    }
    return rc;
}

static int system_result(ssize_t n)
{
    if (n >= 0)
        return 1;
    return errno == EAGAIN || errno == EINTR ? 0 : -1;
}

static int read_plain(struct connection *c, struct stream *s)
{
    ssize_t n = recv(c->plain.fd, s->data, PIECE, 0);

    if (n == 0)
        s->ended = true;
    s->at = 0;
    s->size = n > 0 ? (size_t)n : 0;
    return system_result(n);
}

static int write_plain(struct connection *c, struct stream *s)
{
    ssize_t n = send(c->plain.fd, s->data + s->at, s->size, MSG_NOSIGNAL);

    if (n > 0) {
        s->at += (size_t)n;
        s->size -= (size_t)n;
    }
    return system_result(n);
}

/* The echo: what came in goes out. */
static int turn_round(struct connection *c)
{
    uint8_t *data = c->out.data;

    if (c->in.size == 0 && !c->in.ended)
        return 0;
    if (c->out.size > 0 || c->out.ended)
        return 0;
    c->out.data = c->in.data;
    c->out.at = c->in.at;
    c->out.size = c->in.size;
    c->out.ended = c->in.ended;
    c->in.data = data;
    c->in.size = 0;
    c->in.told = c->in.ended;
    return 1;
}

static int move_in(struct connection *c)
{
    struct stream *s = &c->in;

    if (s->size == 0 && !s->ended)
        return read_tls(c, s);
    if (c->plain.fd < 0 || c->connecting)
        return 0;
    if (s->size > 0)
        return write_plain(c, s);
    if (s->told)
        return 0;
    s->told = true;
    return shutdown(c->plain.fd, SHUT_WR) < 0 && errno != ENOTCONN ? -1 : 1;
}

static int move_out(struct connection *c)
{
    struct stream *s = &c->out;

    if (s->size > 0)
        return write_tls(c, s);
    if (!s->ended)
        return c->plain.fd < 0 || c->connecting ? 0 : read_plain(c, s);
    if (s->told)
        return 0;
    /* 0: sent, and the other side's is not here yet. */
    int n = SSL_shutdown(c->ssl);
    if (n < 0 && tls_result(c, n) == 0)
        return 0;
    s->told = true;
    return n < 0 ? -1 : 1;
}

static bool is_echo(const struct connection *c)
{
    const struct relay *r = c->relay;

    return !r->once && !r->options.to && !r->options.command;
}

static void watch_sides(struct connection *c)
{
    uint32_t tls = c->wants_write ? EPOLLOUT : 0, plain = 0;
    bool plain_is_open = c->plain.fd >= 0 && !c->connecting;

    if (!c->shaken || (c->in.size == 0 && !c->in.ended))
        tls |= EPOLLIN;
    if (c->connecting || (plain_is_open && c->in.size > 0))
        plain |= EPOLLOUT;
    if (c->shaken && plain_is_open && c->out.size == 0 && !c->out.ended)
        plain |= EPOLLIN;
    if (!c->tls.hung_up)
        loop_change(&c->relay->loop, &c->tls.watch, tls);
    if (c->plain.fd >= 0 && !c->plain.hung_up)
        loop_change(&c->relay->loop, &c->plain.watch, plain);
}

/* Everything that can be done now. The connection may be gone afterwards. */
static void connection_pump(struct connection *c)
{
    int in = 0, out = 0, echo = 0;

    c->wants_write = false;
    ERR_clear_error();
    if (!c->shaken) {
        int rc = tls_result(c, SSL_do_handshake(c->ssl));
        if (rc < 0)
            return connection_fail(c, "handshake", 0);
        if (rc == 0)
            return watch_sides(c);
        c->shaken = true;
        loop_timer_cancel(&c->relay->loop, &c->timer);
        if (c->plain.fd < 0 && (rc = reach_target(c)) < 0)
            return target_fail(c, -rc);
    }
    do {
        in = move_in(c);
        out = in < 0 ? 0 : move_out(c);
        echo = is_echo(c) ? turn_round(c) : 0;
    } while (in >= 0 && out >= 0 && in + out + echo > 0);
    if (in < 0 || out < 0)
        return connection_fail(c, "connection", 0);
    if (c->in.told && c->out.told)
        return connection_end(c);
    watch_sides(c);
}

/* ---- events ---- */

/* A side that is gone in both directions would be reported for ever. */
static void note_hang_up(struct connection *c, struct side *s, uint32_t events)
{
    if (events & (EPOLLHUP | EPOLLERR)) {
        loop_remove(&c->relay->loop, &s->watch);
        s->hung_up = true;
    }
}

static void tls_ready(struct loop_watch *watch, uint32_t events)
{
    struct connection *c = of_tls(watch);

    note_hang_up(c, &c->tls, events);
    connection_pump(c);
}

static void plain_ready(struct loop_watch *watch, uint32_t events)
{
    struct connection *c = of_plain(watch);
    int code = 0;
    socklen_t size = sizeof(code);

    if (c->connecting) {
        if (getsockopt(c->plain.fd, SOL_SOCKET, SO_ERROR, &code, &size) < 0)
            code = errno;
        if (code)
            return target_fail(c, code);
        if (!(events & EPOLLOUT))
            return;
        c->connecting = false;
    }
    note_hang_up(c, &c->plain, events);
    connection_pump(c);
}

static void too_slow(struct loop_timer *timer)
{
    struct connection *c = (struct connection *)((char *)timer -
                                                 offsetof(struct connection, timer));

    connection_fail(c, "handshake", ETIMEDOUT);
}

/* Takes the descriptors, also when it fails. */
static void connection_start(struct relay *r, int tls, int plain, bool connecting,
                             const struct address *peer)
{
    struct connection *c = xcalloc(1, sizeof(*c));
    struct error err = ERROR_INIT;
    bool client = r->once || r->options.client;

    c->relay = r;
    c->peer = *peer;
    c->tls.fd = tls;
    c->plain.fd = -1;
    c->in.data = xmalloc(PIECE);
    c->out.data = xmalloc(PIECE);
    c->ssl = SSL_new(r->options.ctx);
    c->timer.fire = too_slow;
    c->tls.watch.ready = tls_ready;
    r->count++;
    if (!c->ssl || SSL_set_fd(c->ssl, tls) != 1 ||
        loop_add(&r->loop, &c->tls.watch, tls, client && connecting ? EPOLLOUT : EPOLLIN, &err) <
            0) {
        error_release(&err);
        if (plain >= 0)
            close(plain);
        return connection_fail(c, "connection", ENOMEM);
    }
    if (client)
        SSL_set_connect_state(c->ssl);
    else
        SSL_set_accept_state(c->ssl);
    unsigned limit = r->options.handshake_ms;
    loop_timer_set(&r->loop, &c->timer, limit ? limit : HANDSHAKE_MS);
    if (plain >= 0 && plain_open(c, plain) < 0) {
        close(plain);
        c->plain.fd = -1;
        return connection_fail(c, "connection", EIO);
    }
    if (!connecting)
        connection_pump(c);
}

static void resume(struct loop_timer *timer)
{
    listen_on((struct relay *)((char *)timer - offsetof(struct relay, pause)));
}

static void accept_one(struct loop_watch *watch, uint32_t events)
{
    struct relay *r = (struct relay *)((char *)watch - offsetof(struct relay, listener));
    unsigned most = r->options.connections ? r->options.connections : CONNECTIONS;
    struct address peer = {.size = sizeof(peer.storage)};
    bool connecting = false;
    int to = -1;

    (void)events;
    if (r->count >= most)
        return loop_change(&r->loop, watch, 0);
    int fd = accept4(watch->fd, (struct sockaddr *)&peer.storage, &peer.size,
                     SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            log_warning("accept: %s", strerror(errno));
            loop_change(&r->loop, watch, 0);
            loop_timer_set(&r->loop, &r->pause, PAUSE_MS);
        }
        return;
    }
    if (!r->options.client)
        return connection_start(r, fd, -1, false, &peer);
    int rc = connect_to(r->options.to, &to, &connecting);
    if (rc < 0) {
        log_limited(&r->limit, LOG_LEVEL_WARNING, "connect: %s", strerror(-rc));
        close(fd);
        return;
    }
    connection_start(r, to, fd, connecting, &peer);
}

/* ---- from outside ---- */

static int relay_open(struct relay *r, struct error *err)
{
    signal(SIGPIPE, SIG_IGN);
    /* Else a command's number could be another process's when it is killed. */
    if (r->options.command)
        signal(SIGCHLD, SIG_DFL);
    r->listener.fd = -1;
    r->pause.fire = resume;
    return loop_init(&r->loop, err);
}

int relay_run(const struct relay_options *options, struct error *err)
{
    struct relay r = {.options = *options};
    int rc = relay_open(&r, err);

    r.listener.ready = accept_one;
    fd_set_nonblock(options->listener, true);
    if (rc == 0)
        rc = loop_add(&r.loop, &r.listener, options->listener, EPOLLIN, err);
    if (rc == 0)
        rc = loop_run(&r.loop, err);
    loop_release(&r.loop);
    return rc < 0 ? rc : error_set(err, "the loop ended");
}

/* ---- one connection, with any descriptors at the plain side ---- */

struct copy {
    int from, to;
    bool in; /* to the relay: its end is passed on */
};

static void *copy_all(void *context)
{
    const struct copy *c = context;
    uint8_t data[PIECE];
    ssize_t n;

    while ((n = read(c->from, data, sizeof(data))) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 || write_all(c->to, data, (size_t)n) < 0)
            break;
    }
    if (c->in)
        shutdown(c->to, SHUT_WR);
    return NULL;
}

int relay_one(SSL_CTX *ctx, int tls, int in, int out, struct error *err)
{
    struct relay r = {.options = {.ctx = ctx}, .once = true};
    int pair[2], rc = relay_open(&r, err);
    pthread_t reader, writer;

    if (rc != 0)
        return rc;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        loop_release(&r.loop);
        return error_errno(err, errno, "socketpair");
    }
    fd_set_nonblock(tls, true);
    fd_set_nonblock(pair[0], true);
    /* The reader may wait for a terminal when all is over: it ends with the program. */
    static struct copy inwards, outwards;
    inwards = (struct copy){in, pair[1], true};
    outwards = (struct copy){pair[1], out, false};
    bool reads = pthread_create(&reader, NULL, copy_all, &inwards) == 0;
    bool writes = pthread_create(&writer, NULL, copy_all, &outwards) == 0;
    if (!reads || !writes)
        rc = error_set(err, "start a thread");
    if (rc == 0) {
        connection_start(&r, tls, pair[0], false, &(struct address){0});
        rc = r.loop.stop ? 0 : loop_run(&r.loop, err);
    }
    if (rc < 0)
        shutdown(pair[1], SHUT_RDWR);
    if (reads)
        pthread_detach(reader);
    if (writes)
        pthread_join(writer, NULL);
    if (rc == 0 && r.failure.message)
        rc = error_move(err, &r.failure);
    loop_release(&r.loop);
    return rc;
}
