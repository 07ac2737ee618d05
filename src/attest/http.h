/* SPDX-License-Identifier: Apache-2.0 */
/* One GET of a service that may be slow, wrong or hostile: bounded in time and memory. */
#pragma once

#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"

struct http;

/* Requests of one client share a connection and a deadline. ca_file may be NULL. NULL with err. */
struct http *http_open(const char *ca_file, unsigned timeout_ms, struct error *err);
void http_close(struct http *http);

/*
 * Append the body to *body and the value of the header named (NULL: none), with %XX resolved, to
 * *value. A status other than 200 and a redirect are errors that say what to do; `about` is what
 * was asked for ("TCB info of FMSPC ...").
 */
int http_get(struct http *http, const char *url, const char *about, const char *header,
             struct buffer *body, struct buffer *value, struct error *err);
