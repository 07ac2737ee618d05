/* SPDX-License-Identifier: Apache-2.0 */
/* What other rooms call in libos/net. */
#pragma once

#include "filesystems.h"

/* A message of the LibOS in a program's netlink socket (netlink_note.c). */
struct netlink_note {
    struct list_head link;
    u8 data[32];
};
/* The socket of a descriptor, +1 reference: -EBADF, -ENOTSOCK, -EINVAL when it is not of netlink,
 * -EAGAIN when too many notes wait in it. */
int netlink_note_socket(int fd, struct file **out);
void netlink_note_post(struct file *socket, struct netlink_note *note); /* takes the note */

void socket_list_walk(int domain, int type, void (*fn)(void *ctx, const struct socket_line *line),
                      void *ctx);
