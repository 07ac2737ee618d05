/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTPS by libevent and OpenSSL: one thread, one request at a time is decided. Who has no
 * certificate of the client CA gets no further than the handshake. A connection has one request,
 * bounded sizes, and ends after the time limit, whatever it is doing then.
 */
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "ratls/relay.h"
#include "signing/signd.h"

enum { CONNECTIONS_MAX = 64, HEADERS_MAX = 8192 };

struct server {
    const struct signd *signd;
    struct event_base *base;
    struct evhttp *http;
    struct evconnlistener *listener;
    SSL_CTX *ctx;
    unsigned connections;
    struct log_limit log_limit;
};

/* Lives as long as its SSL. */
struct connection {
    struct server *server;
    struct bufferevent *bev;
    struct event *limit;
    struct address peer;
    const char *problem; /* of the handshake: static */
    bool shaken;
};

static int g_slot; /* of an SSL's struct connection */

/* ---- TLS ---- */

static const char *tls_reason(void)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    return reason ? reason : "no reason given";
}

/* The handshake's course. What is wrong is known here alone: libevent empties the error queue. */
static void note_handshake(const SSL *ssl, int where, int ret)
{
    struct connection *c = SSL_get_ex_data(ssl, g_slot);
    if (!c || c->shaken)
        return;
    if (where & SSL_CB_HANDSHAKE_START) {
        c->peer.size = sizeof(c->peer.storage);
        getpeername(bufferevent_getfd(c->bev), (struct sockaddr *)&c->peer.storage, &c->peer.size);
    }
    if (where & SSL_CB_HANDSHAKE_DONE)
        c->shaken = true;
    else if (ret <= 0 && ERR_peek_last_error() && !c->problem &&
             ERR_GET_REASON(ERR_peek_last_error()) != SSL_R_UNEXPECTED_EOF_WHILE_READING)
        c->problem = SSL_get_verify_result(ssl) != X509_V_OK
                         ? X509_verify_cert_error_string(SSL_get_verify_result(ssl))
                         : tls_reason();
}

static int add_crl(SSL_CTX *ctx, const char *path, struct error *err)
{
    if (!path)
        return 0;
    if (SSL_CTX_load_verify_file(ctx, path) != 1)
        return error_set(err, "client_crl %s: %s", path, tls_reason());
    X509_STORE_set_flags(SSL_CTX_get_cert_store(ctx), X509_V_FLAG_CRL_CHECK);
    return 0;
}

static int set_tls(SSL_CTX *ctx, const struct signd_settings *s, struct error *err)
{
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(s->client_ca);
    if (SSL_CTX_use_certificate_chain_file(ctx, s->certificate) != 1)
        return error_set(err, "certificate %s: %s", s->certificate, tls_reason());
    if (SSL_CTX_use_PrivateKey_file(ctx, s->certificate_key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(ctx) != 1)
        return error_set(err, "certificate_key %s: %s", s->certificate_key, tls_reason());
    if (!names || SSL_CTX_load_verify_file(ctx, s->client_ca) != 1)
        return error_set(err, "client_ca %s: %s", s->client_ca, tls_reason());
    SSL_CTX_set_client_CA_list(ctx, names);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    /* Each connection shows its certificate, which may have been revoked since. */
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ctx, 0);
    if (SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1)
        return error_set(err, "OpenSSL has no TLS 1.3");
    SSL_CTX_set_info_callback(ctx, note_handshake);
    return add_crl(ctx, s->client_crl, err);
}

/* ---- connections ---- */

static void connection_gone(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl,
                            void *argp)
{
    (void)parent;
    (void)ad;
    (void)idx;
    (void)argl;
    (void)argp;
    struct connection *c = ptr;
    if (!c)
        return;
    if (!c->shaken) {
        char peer[ADDRESS_TEXT_MAX];
        address_text(&c->peer, peer);
        log_limited(&c->server->log_limit, LOG_LEVEL_WARNING, "TLS handshake with %s failed: %s",
                    peer, c->problem ? c->problem : "the client went away");
    }
    if (c->server->connections-- == CONNECTIONS_MAX)
        evconnlistener_enable(c->server->listener);
    if (c->limit)
        event_free(c->limit);
    free(c);
}

/* What waits for this socket sees its end, and cleans up. */
static void time_is_over(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    struct connection *c = ctx;
    if (!c->problem)
        c->problem = "the client was too slow";
    shutdown(bufferevent_getfd(c->bev), SHUT_RDWR);
}

/* libevent would speak plain HTTP where this gives NULL; handle() refuses that. */
static struct bufferevent *make_bufferevent(struct event_base *base, void *ctx)
{
    struct server *server = ctx;
    struct timeval limit = {.tv_sec = server->signd->settings->timeout};
    SSL *ssl = SSL_new(server->ctx);
    struct bufferevent *bev = NULL;
    if (ssl)
        bev = bufferevent_openssl_socket_new(base, -1, ssl, BUFFEREVENT_SSL_ACCEPTING,
                                             BEV_OPT_CLOSE_ON_FREE);
    if (!bev) {
        SSL_free(ssl);
        return NULL;
    }
    struct connection *c = xcalloc(1, sizeof(*c));
    *c = (struct connection){.server = server, .bev = bev};
    c->limit = evtimer_new(base, time_is_over, c);
    SSL_set_ex_data(ssl, g_slot, c);
    if (c->limit)
        evtimer_add(c->limit, &limit);
    if (++server->connections == CONNECTIONS_MAX)
        evconnlistener_disable(server->listener);
    return bev;
}

/* ---- requests ---- */

static const char *status_name(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 409:
        return "Conflict";
    default:
        return status >= 500 ? "Internal Server Error" : "Bad Request";
    }
}

static void answer(struct evhttp_request *request, int status, const void *data, size_t size)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
    struct evbuffer *body = evbuffer_new();
    evhttp_add_header(headers, "Content-Type",
                      status == 200 ? "application/octet-stream" : "text/plain; charset=utf-8");
    evhttp_add_header(headers, "Connection", "close");
    if (body)
        evbuffer_add(body, data, size);
    evhttp_send_reply(request, status, status_name(status), body);
    if (body)
        evbuffer_free(body);
}

static int decide(struct server *server, struct evhttp_request *request, struct signd_case *c,
                  struct sgx_sigstruct *out, struct error *err)
{
    struct evbuffer *body = evhttp_request_get_input_buffer(request);
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request));
    size_t size = evbuffer_get_length(body);
    c->status = 404;
    if (!path || strcmp(path, "/v1/sign") != 0)
        return error_set(err, "this is a signing service: POST /v1/sign");
    c->status = 405;
    if (evhttp_request_get_command(request) != EVHTTP_REQ_POST)
        return error_set(err, "this is a signing service: POST /v1/sign");
    const unsigned char *text = size ? evbuffer_pullup(body, -1) : (const unsigned char *)"";
    c->status = 500;
    if (!text)
        return error_set(err, "out of memory");
    return signd_decide(server->signd, (const char *)text, size, c, out, err);
}

/* What is signed without having been written down is not given away. */
static void decide_and_audit(struct server *server, struct evhttp_request *request,
                             struct signd_case *c)
{
    cleanup_error struct error err = ERROR_INIT, problem = ERROR_INIT;
    struct sgx_sigstruct s;
    bool good = decide(server, request, c, &s, &err) == 0;
    if (signd_audit(server->signd->settings->audit, c, good ? NULL : error_text(&err), &problem) <
        0) {
        log_error("%s", error_text(&problem));
        c->status = 500;
        good = false;
        error_set(&err, "the signing service cannot write its audit log: see its log");
    }
    if (good)
        answer(request, 200, &s, sizeof(s));
    else
        answer(request, c->status, error_text(&err), strlen(error_text(&err)));
}

static void handle(struct evhttp_request *request, void *ctx)
{
    struct evhttp_connection *connection = evhttp_request_get_connection(request);
    SSL *ssl = bufferevent_openssl_get_ssl(evhttp_connection_get_bufferevent(connection));
    X509 *client = ssl && SSL_get_verify_result(ssl) == X509_V_OK ? SSL_get1_peer_certificate(ssl)
                                                                  : NULL;
    struct signd_case c = {.client = client};
    char *address = NULL;
    ev_uint16_t port = 0;
    evhttp_connection_get_peer(connection, &address, &port);
    c.address = address;
    if (client)
        decide_and_audit(ctx, request, &c);
    else
        answer(request, 403, "no certificate", strlen("no certificate"));
    signd_case_release(&c);
    X509_free(client);
}

/* ---- the service ---- */

static void stop(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    event_base_loopbreak(ctx);
}

static int start_http(struct server *server, struct error *err)
{
    struct address address;
    server->http = evhttp_new(server->base);
    if (!server->http)
        return error_set(err, "libevent cannot be used");
    evhttp_set_allowed_methods(server->http, EVHTTP_REQ_POST | EVHTTP_REQ_GET | EVHTTP_REQ_HEAD |
                                                 EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE);
    evhttp_set_max_headers_size(server->http, HEADERS_MAX);
    evhttp_set_max_body_size(server->http, (ev_ssize_t)SIGNING_REQUEST_MAX);
    /* Our own limit of a connection is first: it has a line of the log. */
    evhttp_set_timeout(server->http, (int)server->signd->settings->timeout + 1);
    evhttp_set_bevcb(server->http, make_bufferevent, server);
    evhttp_set_gencb(server->http, handle, server);
    if (address_parse(server->signd->settings->listen, "0.0.0.0", &address, err) < 0)
        return error_wrap(err, "listen");
    int fd = address_listen(&address, err);
    if (fd < 0)
        return fd;
    evutil_make_socket_nonblocking(fd);
    struct evhttp_bound_socket *bound = evhttp_accept_socket_with_handle(server->http, fd);
    if (!bound) {
        close(fd);
        return error_set(err, "listen at %s: libevent refuses", server->signd->settings->listen);
    }
    server->listener = evhttp_bound_socket_get_listener(bound);
    return 0;
}

static int serve(struct server *server, struct error *err)
{
    struct event *term = evsignal_new(server->base, SIGTERM, stop, server->base);
    struct event *interrupt = evsignal_new(server->base, SIGINT, stop, server->base);
    int ret = -1;
    if (!term || !interrupt || event_add(term, NULL) < 0 || event_add(interrupt, NULL) < 0)
        error_set(err, "libevent cannot be used");
    else if (start_http(server, err) == 0) {
        log_info("serving at %s", server->signd->settings->listen);
        ret = event_base_dispatch(server->base) < 0 ? error_set(err, "libevent failed") : 0;
    }
    if (term)
        event_free(term);
    if (interrupt)
        event_free(interrupt);
    if (server->http)
        evhttp_free(server->http);
    return ret;
}

int signd_serve(const struct signd *signd, struct error *err)
{
    struct server server = {.signd = signd, .ctx = SSL_CTX_new(TLS_server_method())};
    signal(SIGPIPE, SIG_IGN);
    g_slot = SSL_get_ex_new_index(0, NULL, NULL, NULL, connection_gone);
    server.base = event_base_new();
    int ret = -1;
    if (!server.ctx || !server.base || g_slot < 0)
        error_set(err, "OpenSSL or libevent cannot be used");
    else if (set_tls(server.ctx, signd->settings, err) == 0)
        ret = serve(&server, err);
    if (server.base)
        event_base_free(server.base);
    SSL_CTX_free(server.ctx);
    return ret;
}
