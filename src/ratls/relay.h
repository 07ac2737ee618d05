/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections of which one side is TLS and the other is plain: what ratls-proxy, ratls-server and
 * ratls-client are made of. One thread, any number of connections. The end of each direction is
 * passed on by itself (shutdown(2), close_notify). A connection that fails, or is cut without
 * close_notify, ends with a reset of a plain side that is TCP, and kills a command with its group;
 * one whose target cannot be reached, with a reset of the TLS side. Failures are logged, with the
 * peer's address, some a time.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

#include <openssl/ssl.h>

#include "base/error.h"

struct address {
    struct sockaddr_storage storage;
    socklen_t size;
};

#define ADDRESS_HOST_MAX 256
/* "8443", "127.0.0.1:8443", "[::1]:8443": numbers only; a port alone is at `host`. */
int address_parse(const char *text, const char *host, struct address *out, struct error *err);
/* The parts of that; host is "" when there is none. */
int address_split(const char *text, char host[ADDRESS_HOST_MAX], const char **port,
                  struct error *err);
/* "127.0.0.1:8443", "[::1]:8443"; "unknown" for another family. */
#define ADDRESS_TEXT_MAX 80
void address_text(const struct address *address, char out[ADDRESS_TEXT_MAX]);
/* A socket that listens there, which is the caller's. */
int address_listen(const struct address *address, struct error *err);

struct relay_options {
    SSL_CTX *ctx;
    bool client; /* TLS goes out to `to`, who comes in is plain; else the other way round */
    int listener;
    const struct address *to;   /* where each connection goes on; NULL: */
    const char *const *command; /* a program for each, on its standard input and output; NULL: */
                                /* what comes in goes back */
    unsigned handshake_ms;      /* 0: 10000 */
    unsigned connections;       /* at once, and commands of past ones; others wait. 0: 1000 */
};

/* Serves until it fails: never 0. */
int relay_run(const struct relay_options *options, struct error *err);

/*
 * One connection: TLS to a socket that is connected, as a client; `in` and `out` are the plain
 * side, and stay the caller's. Returns when both directions have ended.
 */
int relay_one(SSL_CTX *ctx, int socket, int in, int out, struct error *err);
