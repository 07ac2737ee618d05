/* SPDX-License-Identifier: Apache-2.0 */
/* What other rooms call in libos/net; poll_wait() and friends are in fs.h. */
#pragma once

#include "fs.h"

/* file_put() calls this for the last reference, before ops->release, when f->epoll_watch is not
 * NULL. */
void epoll_file_closed(struct file *f);
/* f's poll does not ask the host any more: what watches f forgets its host descriptor, which is
 * still open. */
void epoll_file_host_gone(struct file *f);

/* A socket of TCP or UDP as /proc/net tells of it (libos/net/socket_list.c). Addresses of IPv4 are
 * the first four bytes. */
struct socket_line {
    u8 local[16], remote[16];
    u16 local_port, remote_port;
    u8 state;     /* of TCP, linux/tcp.h */
    u32 received; /* bytes not read yet; of a listener: connections */
    u32 uid;
    u64 inode, dropped;
};
void socket_list_walk(int domain, int type, void (*fn)(void *ctx, const struct socket_line *line),
                      void *ctx);
