/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lies that know what an answer means: sizes that no sum bears, files that are one another, names
 * that go up, senders and control data of every form, descriptors in use, clocks that go back.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "tests/hostile/hostile.h"

#define SEEN 64

/* Descriptors and files of other calls: by chance overwritten, so that some are old. */
static _Atomic int g_fds[SEEN];
static _Atomic uint64_t g_inodes[SEEN];

static void remember(const struct boundary_area *area, uint64_t number)
{
    if (area->ret >= 0 && (number == OCALL_OPEN || number == OCALL_SOCKET ||
                           number == OCALL_ACCEPT || number == OCALL_DUP))
        g_fds[chance_below(SEEN)] = (int)area->ret;
    if (area->ret >= 0 && number == OCALL_STAT)
        g_inodes[chance_below(SEEN)] = ((const struct boundary_stat *)area->data)->ino;
}

void crafted_given(const struct boundary_area *area, uint64_t number)
{
    remember(area, number);
}

/* ---- before it is done ---- */

/* The first argument of most ocalls is a descriptor: another call's. */
static void other_descriptor(struct boundary_area *area)
{
    const int fd = g_fds[chance_below(SEEN)];
    if (fd > 0)
        area->args[0] = (uint64_t)fd;
}

/* What a slow or full peer does: an odd part of what was asked. */
static void ask_less(struct boundary_area *area, uint64_t number)
{
    static const uint64_t odd[] = {1, 2, 3, 7, 8, 9, 511, 4095, 4097};
    const bool has_size = number == OCALL_READ || number == OCALL_WRITE || number == OCALL_SEND ||
                          number == OCALL_RECV || number == OCALL_GETDENTS;
    const uint64_t n = odd[chance_below(sizeof(odd) / sizeof(odd[0]))];
    if (has_size && area->args[1] > n)
        area->args[1] = number == OCALL_GETDENTS ? 24 + (n & 0x118) : n;
}

/* ---- after ---- */

/* A size at the edge of what a file can have; of another inode; of another type. */
static void file_facts(const struct lie *lie, struct boundary_area *area)
{
    static const uint64_t sizes[] = {
        INT64_MAX, INT64_MAX - 4095, INT64_MAX - 4096, 1ull << 62, 1ull << 46, 0, 1, 4097};
    static const uint32_t types[] = {S_IFREG, S_IFDIR, S_IFLNK, S_IFIFO, S_IFSOCK, S_IFCHR};
    struct boundary_stat *st = (struct boundary_stat *)area->data;

    if (area->ret != 0)
        return;
    switch (lie->what) {
    case W_SIZE:
        if (S_ISREG(st->mode))
            st->size = lie->has_value ? (uint64_t)lie->value : sizes[chance_below(8)];
        break;
    case W_INODE:
        st->ino = g_inodes[chance_below(SEEN)];
        break;
    default:
        st->mode = (st->mode & 07777) | types[chance_below(6)];
    }
}

static const char *some_name(void)
{
    static char long_name[256];
    static const char *const names[] = {".", "..", "f1", "f1", "a\\b", "-", "\377", " "};
    if (chance_below(8) == 0) {
        memset(long_name, 'n', sizeof(long_name) - 1);
        return long_name;
    }
    return names[chance_below(8)];
}

/* Another name in some entries, as far as there is room; the same file for all. */
static void directory_names(struct boundary_area *area)
{
    for (int64_t at = 0; at + 24 <= area->ret;) {
        uint8_t *entry = area->data + at;
        uint16_t size;
        memcpy(&size, entry + 16, sizeof(size));
        if (size < 24 || at + size > area->ret)
            return;
        const char *name = some_name();
        if (strlen(name) + 20 <= size && chance_below(2))
            memcpy(entry + 19, name, strlen(name) + 1);
        if (chance_below(4) == 0)
            memset(entry, 1, 8);
        entry[18] = (uint8_t)chance_below(16);
        at += size;
    }
}

static void link_target(struct boundary_area *area)
{
    static const char *const targets[] = {"/",
                                          "..",
                                          "../../../../tmp",
                                          "/proc/self/fd/0",
                                          "/proc/1/root/tmp/held",
                                          "link",
                                          "/host/.",
                                          "/dev/attestation/quote",
                                          "//",
                                          "f1/"};
    const char *target = targets[chance_below(sizeof(targets) / sizeof(targets[0]))];
    if (area->ret <= 0 || strlen(target) > area->args[1])
        return;
    memcpy(area->data, target, strlen(target));
    area->ret = (int64_t)strlen(target);
}

/* A UNIX socket's sender: of every length, with paths that lead through the enclave's own files. */
static void sender(struct boundary_area *area)
{
    static const char *const paths[] = {"/host/s1",       "/tmp/held/../../host/s1",
                                        "/proc/self/cwd", "/dev/attestation/keys/theirs",
                                        "../host/s1",     ""};
    struct sockaddr_un from = {.sun_family = AF_UNIX};

    if (area->ret < 0)
        return;
    memset(from.sun_path, 'x', sizeof(from.sun_path));
    const char *path = paths[chance_below(sizeof(paths) / sizeof(paths[0]))];
    memcpy(from.sun_path, path, strlen(path) + 1);
    if (chance_below(4) == 0)
        memset(from.sun_path, 'y', sizeof(from.sun_path)); /* no NUL */
    uint16_t family;
    memcpy(&family, area->data, sizeof(family));
    if (area->out[0] < sizeof(family) || family != AF_UNIX)
        return;
    memcpy(area->data, &from, sizeof(from));
    area->out[0] = chance_below(4) ? sizeof(from) + chance_below(2) : 2 + chance_below(110);
}

static const struct {
    int32_t level, type;
    uint32_t least, most;
} g_control[] = {
    {1, 29, 16, 16} /* SO_TIMESTAMP */,
    {1, 1, 4, 32} /* SCM_RIGHTS */,
    {1, 2, 12, 12},
    {0, 8, 12, 12} /* IP_PKTINFO */,
    {0, 1, 1, 4},
    {0, 11, 16, 32},
    {0, 20, 16, 16},
    {41, 50, 20, 20},
    {41, 25, 16, 44},
    {41, 54, 0, 64},
    {17, 104, 4, 4},
    {6, 99, 0, 40},
};

/* Control data of any level and type, several of one; seldom longer or shorter than such is. */
static void control(struct boundary_area *area)
{
    struct {
        uint64_t length;
        int32_t level, type;
    } head;
    uint64_t at = 0;

    if (area->ret < 0)
        return;
    while (area->args[4] >= at + sizeof(head) && chance_below(4)) {
        const uint64_t room = area->args[4] - at - sizeof(head);
        const unsigned i = (unsigned)chance_below(sizeof(g_control) / sizeof(g_control[0]));
        const uint64_t n = chance_below(64)
                               ? g_control[i].least +
                                     chance_below(g_control[i].most - g_control[i].least + 1)
                               : chance_below(600);
        if (n > room)
            break;
        head.length = sizeof(head) + n;
        head.level = g_control[i].level;
        head.type = g_control[i].type;
        memcpy(area->data + BOUNDARY_ADDRESS_MAX + at, &head, sizeof(head));
        memset(area->data + BOUNDARY_ADDRESS_MAX + at + sizeof(head), 0x7f, n);
        at += (head.length + 7) & ~7ull;
    }
    area->out[1] = chance() & UINT32_MAX;
    area->out[2] = at < area->args[4] ? at : area->args[4];
}

/* Everything is ready, in every way; and who is unknown is as well. */
static void all_ready(struct boundary_area *area, uint64_t number)
{
    const uint64_t count = number == OCALL_POLL ? area->args[0] : area->args[1];
    if (area->ret < 0 || count > 512)
        return;
    if (number == OCALL_EPOLL_WAIT) {
        struct boundary_epoll_event *e = (struct boundary_epoll_event *)area->data;
        for (uint64_t i = (uint64_t)area->ret; i < count; i++)
            e[i].data = (uint32_t)chance_below(chance_below(2) ? 16 : UINT32_MAX);
        for (uint64_t i = 0; i < count; i++)
            e[i].events = (uint32_t)chance();
    } else {
        struct boundary_pollfd *p = (struct boundary_pollfd *)area->data;
        for (uint64_t i = 0; i < count; i++)
            p[i].revents = (uint16_t)chance();
    }
    area->ret = (int64_t)count;
}

/* Each look at the clock is before the last, and the processor's counter as well. */
static void clock_back(struct boundary_area *area)
{
    static _Atomic int64_t back;
    if (area->ret < 0)
        return;
    const int64_t by = (back += 1000000 * (int64_t)(1 + chance_below(1000)));
    area->ret = area->ret > by ? area->ret - by : 0;
    area->out[0] -= (uint64_t)by * (1 + chance_below(4));
}

bool crafted_lie(const struct lie *lie, struct boundary_area *area, uint64_t number)
{
    if (lie->what < W_LESS || lie->what > W_BACK)
        return false;
    if (lie->what == W_LESS)
        ask_less(area, number);
    else if (lie->what == W_OTHER && number != OCALL_CLOSE)
        other_descriptor(area);
    __real_ocall_serve(area, number);
    remember(area, number);
    if (lie->what == W_IN_USE && area->ret >= 0)
        area->ret = g_fds[chance_below(SEEN)];
    else if (number == OCALL_STAT)
        file_facts(lie, area);
    else if (number == OCALL_GETDENTS)
        directory_names(area);
    else if (number == OCALL_READLINK)
        link_target(area);
    else if (lie->what == W_SENDER)
        sender(area);
    else if (lie->what == W_CONTROL)
        control(area);
    else if (lie->what == W_READY)
        all_ready(area, number);
    else if (lie->what == W_BACK)
        clock_back(area);
    return true;
}
