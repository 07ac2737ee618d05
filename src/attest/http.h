/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to a service that may be slow, wrong or hostile: bounded in time and memory. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"

struct http;

struct http_options {
    const char *ca_file;                /* who vouches for the service; NULL: the system's */
    const char *certificate, *key;      /* the client's own, PEM files; NULL: none */
    const char *(*remedy)(long status); /* what to do about a status of GET that is not 200 */
    const char *ca_remedy, *user_agent; /* where the user says who vouches */
    unsigned timeout_ms;
    bool https;                    /* plain HTTP is refused */
    bool insecure_any_certificate; /* for who believes and tells nothing */
};

/* Requests of one client share a connection and a deadline. NULL with err. */
struct http *http_open(const struct http_options *options, struct error *err);
void http_close(struct http *http);

/*
 * Append the body to *body and the value of the header named (NULL: none), with %XX resolved, to
 * *value. A status other than 200 and a redirect are errors that say what to do; `about` is what
 * was asked for ("TCB info of FMSPC ...").
 */
int http_get(struct http *http, const char *url, const char *about, const char *header,
             struct buffer *body, struct buffer *value, struct error *err);

/*
 * Send `size` bytes of JSON, and append what comes back to *body, whatever the status: that is
 * *status. A redirect is an error.
 */
int http_post(struct http *http, const char *url, const char *data, size_t size,
              struct buffer *body, long *status, struct error *err);
