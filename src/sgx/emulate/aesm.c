/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that connects to Intel's aesmd reaches a stand-in: what its enclaves report is not of a
 * processor, so only the simulated quoting part can quote it. For each connection a process of the
 * core's own answers until the program closes it; the program does not see it as its child.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "quoting/quoting.h"
#include "sgx/emulate/emulate.h"

#define OLD_NAME "sgx_aesm_socket_base" /* abstract */

static bool is_name(const struct sockaddr_un *address, size_t size)
{
    static const char *const paths[] = {QUOTING_AESM_DIRECTORY "/" QUOTING_AESM_SOCKET,
                                        "/run/aesmd/" QUOTING_AESM_SOCKET};
    const char *path = address->sun_path;

    if (address->sun_family != AF_UNIX || size <= offsetof(struct sockaddr_un, sun_path))
        return false;
    if (!*path)
        return strcmp(path + 1, OLD_NAME) == 0;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        if (strcmp(path, paths[i]) == 0)
            return true;
    return false;
}

bool host_aesm_address(const struct host_thread *t, uint64_t address, uint64_t size)
{
    struct sockaddr_un text;

    memset(&text, 0, sizeof(text));
    return size <= sizeof(text) && host_read(t, &text, address, size) == 0 && is_name(&text, size);
}

static void serve(int socket)
{
    const struct quoting_options options = {.simulation = quoting_simulation, .directory = -1};
    struct quoting *q = quoting_new(&options);

    quoting_stand_in(q, socket);
}

/* Connected to `to`: the program's own socket, with the flags and duplicates that it has. */
static long connect_to(int to, int listener)
{
    struct sockaddr_un address;
    socklen_t size = sizeof(address.sun_family);
    struct ucred peer;

    memset(&address, 0, sizeof(address));
    address.sun_family = AF_UNIX;
    /* A name that the kernel chooses: the rest is one call after the other. */
    long rc = host_syscall(SYS_bind, (long)listener, &address, (long)size);
    if (rc == 0)
        rc = host_syscall(SYS_listen, (long)listener, 1L);
    size = sizeof(address);
    if (rc == 0)
        rc = host_syscall(SYS_getsockname, (long)listener, &address, &size);
    if (rc == 0)
        rc = host_syscall(SYS_connect, (long)to, &address, (long)size);
    if (rc < 0)
        return rc;
    for (;;) { /* somebody else may have found the name, too */
        const long fd = host_syscall(SYS_accept4, (long)listener, 0L, 0L, (long)SOCK_CLOEXEC);
        size = sizeof(peer);
        if (fd < 0)
            return fd;
        if (host_syscall(SYS_getsockopt, fd, (long)SOL_SOCKET, (long)SO_PEERCRED, &peer, &size) ==
                0 &&
            peer.pid == host_syscall(SYS_getpid))
            return fd;
        host_syscall(SYS_close, fd);
    }
}

long host_aesm_connect(struct host_thread *t, int socket)
{
    int type = 0;
    socklen_t size = sizeof(type);
    long rc = host_syscall(SYS_getsockopt, (long)socket, (long)SOL_SOCKET, (long)SO_TYPE, &type,
                           &size);

    if (rc < 0)
        return rc;
    if (type != SOCK_STREAM)
        return -EPROTOTYPE;
    const long listener = host_syscall(SYS_socket, (long)AF_UNIX,
                                       (long)(SOCK_STREAM | SOCK_CLOEXEC), 0L);
    if (listener < 0)
        return listener;
    rc = connect_to(socket, (int)listener);
    host_syscall(SYS_close, listener);
    if (rc < 0)
        return rc;
    const long made = host_process_serve(t, serve, (int)rc);
    host_syscall(SYS_close, rc);
    return made;
}
