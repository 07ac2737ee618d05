/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Servers in a container, for whoever tries to reach them from outside: port 7001 of 127.0.0.1 has
 * a secret, port 7002 of every address something public, TCP and UDP both. Each prints who came.
 * "inside ok" when they reach each other within.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORTS 2

static const struct {
    unsigned host;
    unsigned short port;
    const char *answer;
} g_servers[PORTS] = {{INADDR_LOOPBACK, 7001, "secret"}, {INADDR_ANY, 7002, "public"}};

static struct sockaddr_in name_of(int i)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons(g_servers[i].port),
                                .sin_addr.s_addr = htonl(g_servers[i].host)};
}

static int bound(int i, int type)
{
    struct sockaddr_in a = name_of(i);
    int s = socket(AF_INET, type, 0), one = 1;
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(s, (struct sockaddr *)&a, sizeof(a)) || (type == SOCK_STREAM && listen(s, 16)))
        perror("bind");
    return s;
}

static void tell(const char *how, int i, const struct sockaddr_in *from)
{
    char text[32];
    printf("%s %d from %s\n", how, g_servers[i].port,
           inet_ntop(AF_INET, &from->sin_addr, text, sizeof(text)));
    fflush(stdout);
}

static void serve(int i, int type, int s)
{
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    char buf[64];
    if (type == SOCK_DGRAM) {
        if (recvfrom(s, buf, sizeof(buf), 0, (struct sockaddr *)&from, &len) < 0)
            return;
        tell("udp", i, &from);
        sendto(s, g_servers[i].answer, 6, 0, (struct sockaddr *)&from, len);
    } else {
        int c = accept(s, (struct sockaddr *)&from, &len);
        if (c < 0)
            return;
        tell("tcp", i, &from);
        if (write(c, g_servers[i].answer, 6) != 6)
            perror("write");
        close(c);
    }
}

static int ask(int i)
{
    struct sockaddr_in a = name_of(i);
    char buf[8] = {0};
    int s = socket(AF_INET, SOCK_STREAM, 0);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return connect(s, (struct sockaddr *)&a, sizeof(a)) == 0 && read(s, buf, 8) == 6 &&
           memcmp(buf, g_servers[i].answer, 6) == 0;
}

int main(void)
{
    struct pollfd p[2 * PORTS];
    for (int i = 0; i < 2 * PORTS; i++)
        p[i] = (struct pollfd){.fd = bound(i / 2, i % 2 ? SOCK_DGRAM : SOCK_STREAM),
                               .events = POLLIN};
    if (fork() == 0) {
        int ok = ask(0) && ask(1);
        printf("inside %s\n", ok ? "ok" : "failed");
        return 0;
    }
    while (poll(p, 2 * PORTS, -1) >= 0)
        for (int i = 0; i < 2 * PORTS; i++)
            if (p[i].revents)
                serve(i / 2, i % 2 ? SOCK_DGRAM : SOCK_STREAM, p[i].fd);
    return 1;
}
