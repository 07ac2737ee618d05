/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * systemd over D-Bus: a connection to its manager, messages with unit properties, jobs. libsystemd
 * is loaded when the first connection is made, so that rune without --systemd-cgroup never pays for
 * it.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct systemd_bus;

/* Of the system, or (user) of the caller's own manager. NULL with err. */
struct systemd_bus *systemd_connect(bool user, struct error *err);
void systemd_disconnect(struct systemd_bus *bus);

/* A property of the manager that is a string, malloc'd; NULL with err. */
char *systemd_manager_string(struct systemd_bus *bus, const char *name, struct error *err);
/* 252, or 0 when it cannot be told. */
int systemd_version(struct systemd_bus *bus);

/*
 * A call that is being written. Failures stick and are reported by the function that sends it, so
 * that a list of properties reads as a list.
 */
struct systemd_call;

struct systemd_call *systemd_start_transient(struct systemd_bus *bus, const char *unit);
struct systemd_call *systemd_set_properties(struct systemd_bus *bus, const char *unit);
/* NAME = a value of this signature; arguments as sd_bus_message_append() takes them. */
void systemd_property(struct systemd_call *call, const char *name, const char *signature, ...);
/* An array of bytes. */
void systemd_property_bytes(struct systemd_call *call, const char *name, const void *data,
                            size_t size);
/* The same in pieces: open, values, close. */
void systemd_property_open(struct systemd_call *call, const char *name, const char *signature);
void systemd_property_close(struct systemd_call *call);
void systemd_open_array(struct systemd_call *call, const char *element);
void systemd_close_array(struct systemd_call *call);
void systemd_append(struct systemd_call *call, const char *signature, ...);

/*
 * Send and free the call. For a start the function returns when systemd has done the job, and fails
 * with EEXIST when there is such a unit.
 */
int systemd_send(struct systemd_call *call, struct error *err);

/* Free a call that will not be sent. */
void systemd_abandon(struct systemd_call *call);

/* Stop a unit, wait for that, forget its failure. A unit that is not there is no error. */
int systemd_stop(struct systemd_bus *bus, const char *unit, struct error *err);
void systemd_reset_failed(struct systemd_bus *bus, const char *unit);
