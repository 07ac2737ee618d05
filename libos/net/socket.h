/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to libos/net: a socket and its families. struct socket is the first member of a family's
 * own structure and belongs to its file. The system calls (socket.c) copy arguments in and out; a
 * family sees LibOS memory, except for the data itself.
 */
#pragma once

#include "poll.h"
#include "process.h"
#include <asm/socket.h>
#include <asm/sockios.h>
#include <asm/ioctls.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/un.h>

#define AF_UNSPEC  0
#define AF_UNIX    1
#define AF_INET    2
#define AF_INET6   10
#define AF_NETLINK 16

#define SOCK_STREAM    1
#define SOCK_DGRAM     2
#define SOCK_RAW       3
#define SOCK_SEQPACKET 5
#define SOCK_TYPE_MASK 0xf
#define SOCK_NONBLOCK  O_NONBLOCK
#define SOCK_CLOEXEC   O_CLOEXEC

#define MSG_OOB          0x1
#define MSG_PEEK         0x2
#define MSG_DONTROUTE    0x4
#define MSG_CTRUNC       0x8
#define MSG_TRUNC        0x20
#define MSG_DONTWAIT     0x40
#define MSG_EOR          0x80
#define MSG_WAITALL      0x100
#define MSG_CONFIRM      0x800
#define MSG_ERRQUEUE     0x2000
#define MSG_NOSIGNAL     0x4000
#define MSG_MORE         0x8000
#define MSG_WAITFORONE   0x10000
#define MSG_CMSG_CLOEXEC 0x40000000

#define SHUT_RD   0
#define SHUT_WR   1
#define SHUT_RDWR 2

#define SCM_RIGHTS      1
#define SCM_CREDENTIALS 2
#define SCM_FILES_MAX   253

#define ADDRESS_MAX 128

struct ucred {
    i32 pid;
    u32 uid, gid;
};
/* Of who is not in the enclave: no process has that number, no user or group can have these ids. */
#define UCRED_OUTSIDE ((struct ucred){0, UINT32_MAX, UINT32_MAX})

/* What travels beside the data of a UNIX socket. */
struct scm {
    u32 count;
    struct file **files;         /* references; NULL without any */
    struct in_flight *in_flight; /* the sender's user, for whom they count; NULL: a peek's */
    bool has_cred;               /* the sender gave them */
    struct ucred cred;
};
void scm_release(struct scm *scm);

struct socket_msg {
    struct uio *io;
    int flags;       /* MSG_* as given; MSG_DONTWAIT set for a file with O_NONBLOCK */
    int out_flags;   /* recv: MSG_TRUNC, MSG_EOR, ... */
    u8 *name;        /* ADDRESS_MAX bytes, or NULL: not wanted */
    u32 name_len;    /* send: 0 for none; recv: out */
    struct scm scm;  /* send: taken by the family (count set to 0); recv: given by it */
    bool scm_wanted; /* recv: there is room for control data */
    bool to_file;    /* send, to the host: to the socket of `file` */
    hostfd file;
    u8 *control;     /* of IP, as the application's: see ip_control.c */
    u32 control_len; /* recv: room in, length out */
};

struct socket {
    const struct socket_ops *ops;
    struct file *file; /* not a reference: its own; NULL until accepted */
    int domain, type, protocol;
    u64 receive_timeout, send_timeout; /* ns; NO_DEADLINE: none */
    bool pass_cred;
    u32 uid;              /* who made it */
    struct list_head all; /* socket_list.c; while it is a file */
};

struct socket_ops {
    int (*bind)(struct socket *s, const u8 *name, u32 len);
    int (*connect)(struct socket *s, const u8 *name, u32 len, bool nonblock);
    int (*listen)(struct socket *s, int backlog);
    int (*accept)(struct socket *s, bool nonblock, struct socket **out, u8 *name,
                  u32 *len);                                         /* of the peer */
    int (*getname)(struct socket *s, bool peer, u8 *name, u32 *len); /* *len: out */
    ssize_t (*send)(struct socket *s, struct socket_msg *m);
    ssize_t (*recv)(struct socket *s, struct socket_msg *m);
    int (*shutdown)(struct socket *s, int how);
    /* SOL_SOCKET options that are the same everywhere are answered before these. *len in: room;
     * out: length. */
    int (*getsockopt)(struct socket *s, int level, int name, u8 *val, u32 *len);
    int (*setsockopt)(struct socket *s, int level, int name, const u8 *val, u32 len);
    long (*ioctl)(struct socket *s, u32 cmd, u64 arg);
    u32 (*poll)(struct socket *s, struct poll_table *pt);
    void (*release)(struct socket *s);
};

void socket_init(struct socket *s, const struct socket_ops *ops, int domain, int type,
                 int protocol);
/* The file takes the socket; NULL when out of memory (the socket stays the caller's). */
struct file *socket_file(struct socket *s, u32 flags);
void socket_list_add(struct socket *s);
void socket_list_remove(struct socket *s);
/* Bytes that a socket of loop.c has received and not given yet; 0 for others. */
u32 loop_received(struct socket *s, u64 *dropped);
/* Wait for the socket's file: `timeout` is the socket's. 0, or what the call returns: -EAGAIN,
 * -EINTR, -ERESTARTSYS. */
int socket_wait(struct socket *s, u16 events, u64 deadline, u64 timeout);
/* What a system call gives when wait_event() failed with r. */
int socket_wait_result(int r, u64 timeout);
static inline u64 socket_deadline(u64 timeout)
{
    return timeout == NO_DEADLINE ? NO_DEADLINE : deadline_after(timeout);
}

/* The file of a descriptor that is a socket, +1 reference: -EBADF, -ENOTSOCK. */
int socket_get(int fd, struct file **out);
int socket_name_from_user(u8 *name, uaddr user, int len);
/* As Linux does: cut to the room given, the true length told. */
int socket_name_to_user(const u8 *name, u32 len, uaddr user, uaddr user_len);
ssize_t socket_read(struct file *f, struct uio *io, u64 *pos);
ssize_t socket_write(struct file *f, struct uio *io, u64 *pos);

/*
 * Control data of IP datagrams (ip_control.c). To send: leaves what the host may get, -EINVAL for
 * what nobody knows. Received: leaves what is known; the enclave ends when it is not well formed.
 * The new length.
 */
#define IP_CONTROL_MAX 512u
int ip_control_to_send(u8 *control, u32 size);
int ip_control_leaving(u8 *control, u32 size); /* for the host: no address of the loopback */
u32 ip_control_received(u8 *control, u32 size, bool cut);

/* TCP and UDP of a container (loop.c), or host_socket_create() for what else there is. */
int loop_create(int domain, int type, int protocol, struct socket **out);
/* Whether an address (IPv4: ::ffff:a.b.c.d) is Docker's resolver, see host_name.c. */
bool host_name_is_resolver(const u8 addr[16], u16 port);
/* Whether a host's socket may be given an option. */
bool host_option_is_safe(const struct socket *s, int level, int name);
int host_socket_create(int domain, int type, int protocol, struct socket **out);
/* The host's descriptor of such a socket. */
hostfd host_socket_fd(const struct socket *s);
/* A datagram to a socket's file (host_open() with O_PATH). */
ssize_t host_socket_send_to(struct socket *s, hostfd file, struct socket_msg *m);
int unix_create(int type, int protocol, struct socket **out);
int unix_pair(int type, int protocol, struct socket *out[2]);

/* What the LibOS puts into a netlink socket (netlink_note.c). */
struct netlink_notes {
    struct mutex lock;
    struct list_head unread; /* struct netlink_note */
    struct waitq arrived;
    u32 count; /* atomic */
};
void netlink_notes_init(struct netlink_notes *n);
void netlink_notes_drop(struct netlink_notes *n);
bool netlink_notes_wait(struct netlink_notes *n, struct poll_table *pt); /* is one there? */
/* The first one's size; -EAGAIN: there is none. */
ssize_t netlink_notes_take(struct netlink_notes *n, u8 *buf, size_t room, bool peek);
/* Of a netlink socket; NULL: s is another one. */
struct netlink_notes *host_socket_notes(struct socket *s);

/* Checks of NETLINK_ROUTE traffic, see netlink.c. 0 or negative errno; replies are truncated to
 * what is well formed. */
int netlink_check_request(u8 *data, size_t n);
/* The caller may give lo these flags (IFF_*), for it has them. */
bool netlink_may_set_up(u32 flags);
size_t netlink_check_reply(u8 *data, size_t n);
/* SIOCGIF* work on a socket of any family. */
long socket_interface_ioctl(u32 cmd, u64 arg);
/* SIOCGIFCONF for an interface list of the host. */
long netlink_ifconf(u64 arg);
