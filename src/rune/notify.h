/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * sd_notify(3) through rune: a container started with NOTIFY_SOCKET gets a socket of its own, and
 * rune passes the first READY= on to the service manager, with the process that it shall look at
 * (MAINPID=).
 */
#include "container/container.h"
#include "oci/config.h"

struct notify {
    const char *host; /* the service manager's socket; NULL: there is none */
    int socket;       /* the container's, -1: not made yet */
    bool bind;        /* made with the state directory; else by `start` */
};

#define NOTIFY_INIT     \
    {                   \
        NULL, -1, false \
    }
#define cleanup_notify __attribute__((cleanup(notify_close)))

/* Of create and run: the mount and the variable that the container needs. */
void notify_prepare(struct notify *notify, const char *root, const char *id,
                    struct oci_config *config);
/* container_create_options.state_dir_made; ctx is the struct notify. */
int notify_state_dir(void *ctx, int dir, struct error *err);
/* Of start: the socket, when the container was created with NOTIFY_SOCKET and there is one now. */
int notify_open(struct notify *notify, const struct container *container, struct error *err);
/* Pass on what has come; true once READY= has been among it. main_pid is whom to look at. */
bool notify_forward(struct notify *notify, pid_t main_pid);
/* Until READY= has come or the process is gone. */
void notify_wait(struct notify *notify, pid_t pid);
void notify_close(struct notify *notify);
