/* SPDX-License-Identifier: Apache-2.0 */
/* libos/net on the host, under the sanitizers: the system calls of polling and sockets against real
 * threads and real TCP. Here: what its tests share. */
#pragma once

#include "world.h"
#include <cmocka.h>

#define MS 1000000ull

/* Each runs the tests of its file; how many failed. */
int unix_tests(void);
int epoll_tests(void);
int host_tests(void);
int events_tests(void);
int loop_tests(void);
int hostile_tests(void); /* the last: what panics leaves its files open */

void sleep_ms(u64 ms);
short poll_one(int fd, short events, int timeout);
void pair(int type, int fds[2]);
/* Close them; nothing else may be open. */
void close_all(const int *fds, int n);
int ep_ctl(int ep, int op, int fd, u32 events, u64 data);
/* Events of one wait: how many; the first one's in *events and *data. */
long ep_wait(int ep, int timeout, u32 *events, u64 *data);
void tcp_listen(struct sockaddr_in *a, int *listener);
void tcp_pair(int s[2]);

/* struct msghdr */
struct message {
    u8 *name;
    i32 name_len;
    struct uio_segment *iov;
    u64 iov_len;
    void *control;
    u64 control_len;
    u32 flags;
};
struct packet_info {
    u64 len;
    i32 level, type;
    struct in_pktinfo info;
    u32 pad;
};

/* A datagram with its PKTINFO: what recvmsg() says of it. */
ssize_t receive_with_info(int fd, struct message *m, struct packet_info *p);
/* Two UDP sockets; the first is bound to *a and asks for PKTINFO. */
void udp_with_info(int fd[2], struct sockaddr_in *a);
