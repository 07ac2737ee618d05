/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/number.h"
#include "ratls/relay.h"

int address_split(const char *text, char host[ADDRESS_HOST_MAX], const char **port,
                  struct error *err)
{
    const char *colon = strrchr(text, ':');
    size_t size = colon ? (size_t)(colon - text) : 0;

    *port = colon ? colon + 1 : text;
    host[0] = 0;
    if (!**port)
        return error_set(err, "%s: there is no port", text);
    if (size >= 2 && text[0] == '[' && text[size - 1] == ']') {
        text++;
        size -= 2;
    } else if (memchr(text, ':', size)) {
        return error_set(err, "%s: an IPv6 address goes in brackets: [::1]:8443", text);
    }
    if (size >= ADDRESS_HOST_MAX)
        return error_set(err, "%s: the name is too long", text);
    memcpy(host, text, size);
    host[size] = 0;
    return 0;
}

int address_parse(const char *text, const char *default_host, struct address *out,
                  struct error *err)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)&out->storage;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&out->storage;
    char host[ADDRESS_HOST_MAX];
    const char *digits;
    uint64_t port;
    int rc = address_split(text, host, &digits, err);

    if (rc < 0)
        return rc;
    const char *name = host[0] ? host : default_host;
    memset(&out->storage, 0, sizeof(out->storage));
    if (number_parse(digits, strlen(digits), 65535, &port) < 0 || port == 0)
        return error_set(err, "%s: a port is a number from 1 to 65535", text);
    if (inet_pton(AF_INET, name, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
        out->size = sizeof(*v4);
    } else if (inet_pton(AF_INET6, name, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
        out->size = sizeof(*v6);
    } else {
        return error_set(err, "%s: not an address: 8443, 127.0.0.1:8443 and [::1]:8443 are", text);
    }
    return 0;
}

void address_text(const struct address *address, char out[ADDRESS_TEXT_MAX])
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&address->storage;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address->storage;
    char host[INET6_ADDRSTRLEN];

    if (address->storage.ss_family == AF_INET &&
        inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host)))
        snprintf(out, ADDRESS_TEXT_MAX, "%s:%u", host, ntohs(v4->sin_port));
    else if (address->storage.ss_family == AF_INET6 &&
             inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host)))
        snprintf(out, ADDRESS_TEXT_MAX, "[%s]:%u", host, ntohs(v6->sin6_port));
    else
        snprintf(out, ADDRESS_TEXT_MAX, "unknown");
}

int address_listen(const struct address *address, struct error *err)
{
    const int on = 1;
    cleanup_close int fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return error_errno(err, errno, "socket");
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        bind(fd, (const struct sockaddr *)&address->storage, address->size) < 0 ||
        listen(fd, 128) < 0)
        return error_errno(err, errno, "listen");
    return take_fd(fd);
}
