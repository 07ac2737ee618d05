/* SPDX-License-Identifier: Apache-2.0 */
/* Ocalls on sockets. All are non-blocking; addresses are at data[0], control data and bytes of SEND
 * and RECV behind them. */
#include <errno.h>
#include <sys/socket.h>

#include "runtime.h"

#define UNUSED __attribute__((unused))
#define ROOM   (BOUNDARY_DATA_SIZE - BOUNDARY_BYTES)

static socklen_t address_size(uint64_t size)
{
    return size < BOUNDARY_ADDRESS_MAX ? (socklen_t)size : BOUNDARY_ADDRESS_MAX;
}

int64_t ocall_SOCKET(UNUSED struct boundary_area *area, const uint64_t *args)
{
    return result_of(
        socket((int)args[0], (int)args[1] | SOCK_NONBLOCK | SOCK_CLOEXEC, (int)args[2]));
}

int64_t ocall_BIND(struct boundary_area *area, const uint64_t *args)
{
    return result_of(bind((int)args[0], (struct sockaddr *)area->data, address_size(args[1])));
}

int64_t ocall_CONNECT(struct boundary_area *area, const uint64_t *args)
{
    return result_of(connect((int)args[0], (struct sockaddr *)area->data, address_size(args[1])));
}

int64_t ocall_ACCEPT(struct boundary_area *area, const uint64_t *args)
{
    socklen_t size = address_size(args[1]);
    int64_t r = result_of(
        accept4((int)args[0], (struct sockaddr *)area->data, &size, SOCK_NONBLOCK | SOCK_CLOEXEC));
    area->out[0] = size;
    return r;
}

/* `io` is the caller's: the bytes. */
static struct msghdr message_of(struct boundary_area *area, const uint64_t *args, struct iovec *io)
{
    *io = (struct iovec){area->data + BOUNDARY_BYTES, args[1] < ROOM ? args[1] : ROOM};
    size_t control = args[4] < BOUNDARY_CONTROL_MAX ? args[4] : BOUNDARY_CONTROL_MAX;
    return (struct msghdr){.msg_name = args[3] ? area->data : NULL,
                           .msg_namelen = address_size(args[3]),
                           .msg_iov = io,
                           .msg_iovlen = 1,
                           .msg_control = control ? area->data + BOUNDARY_ADDRESS_MAX : NULL,
                           .msg_controllen = control};
}

int64_t ocall_SEND(struct boundary_area *area, const uint64_t *args)
{
    struct iovec io;
    struct msghdr message = message_of(area, args, &io);
    return unix_send((int)args[0], (int)args[5], &message,
                     (int)args[2] | MSG_DONTWAIT | MSG_NOSIGNAL);
}

int64_t ocall_RECV(struct boundary_area *area, const uint64_t *args)
{
    struct iovec io;
    struct msghdr message = message_of(area, args, &io);
    int64_t r = result_of(recvmsg((int)args[0], &message, (int)args[2] | MSG_DONTWAIT));
    area->out[0] = r >= 0 && args[3] ? message.msg_namelen : 0;
    area->out[1] = (uint64_t)message.msg_flags;
    area->out[2] = r >= 0 ? message.msg_controllen : 0;
    return r;
}

int64_t ocall_SHUTDOWN(UNUSED struct boundary_area *area, const uint64_t *args)
{
    return result_of(shutdown((int)args[0], (int)args[1]));
}

int64_t ocall_GETSOCKOPT(struct boundary_area *area, const uint64_t *args)
{
    socklen_t size = args[3] < BOUNDARY_DATA_SIZE ? (socklen_t)args[3] : BOUNDARY_DATA_SIZE;
    int64_t r = result_of(getsockopt((int)args[0], (int)args[1], (int)args[2], area->data, &size));
    area->out[0] = size;
    return r;
}

int64_t ocall_SETSOCKOPT(struct boundary_area *area, const uint64_t *args)
{
    socklen_t size = args[3] < BOUNDARY_DATA_SIZE ? (socklen_t)args[3] : BOUNDARY_DATA_SIZE;
    return result_of(setsockopt((int)args[0], (int)args[1], (int)args[2], area->data, size));
}

int64_t ocall_GETSOCKNAME(struct boundary_area *area, const uint64_t *args)
{
    socklen_t size = address_size(args[1]);
    struct sockaddr *address = (struct sockaddr *)area->data;
    int64_t r = result_of(args[2] ? getpeername((int)args[0], address, &size)
                                  : getsockname((int)args[0], address, &size));
    area->out[0] = size;
    return r;
}
