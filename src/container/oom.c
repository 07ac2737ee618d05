/* SPDX-License-Identifier: Apache-2.0 */
#include "container/oom.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"

static int open_v1(const char *dir, struct error *err)
{
    cleanup_free char *path = path_join(dir, "memory.oom_control");
    cleanup_free char *control = path_join(dir, "cgroup.event_control");
    cleanup_close int file = open(path, O_RDONLY | O_CLOEXEC);
    cleanup_close int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (file < 0 || event < 0)
        return error_errno(err, errno, "open %s", path);
    char line[32];
    int size = snprintf(line, sizeof(line), "%d %d", event, file);
    if (write_file_at(AT_FDCWD, control, line, (size_t)size, err) < 0)
        return -1;
    return take_fd(event);
}

static int open_v2(const char *dir, struct error *err)
{
    cleanup_free char *memory = path_join(dir, "memory.events");
    cleanup_free char *events = path_join(dir, "cgroup.events");
    cleanup_close int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (fd < 0 || inotify_add_watch(fd, memory, IN_MODIFY) < 0 ||
        inotify_add_watch(fd, events, IN_MODIFY) < 0)
        return error_errno(err, errno, "watch %s", memory);
    return take_fd(fd);
}

int memory_oom_open(const char *dir, bool unified, struct error *err)
{
    return unified ? open_v2(dir, err) : open_v1(dir, err);
}

/* The line "oom_kill N". */
static uint64_t kills_of(const char *dir)
{
    cleanup_free char *path = path_join(dir, "memory.events");
    cleanup_buffer struct buffer text = BUFFER_INIT;
    if (read_file_at(AT_FDCWD, path, &text, 1 << 16, NULL) < 0)
        return 0;
    char *rest = text.data;
    for (char *line; (line = strsep(&rest, "\n"));)
        if (strncmp(line, "oom_kill ", 9) == 0)
            return strtoull(line + 9, NULL, 10);
    return 0;
}

int memory_oom_read(const char *dir, bool unified, int fd, uint64_t *seen)
{
    char events[4096];
    ssize_t got = read(fd, events, sizeof(events));
    /* The eventfd also fires when the cgroup is removed. */
    if (access(dir, F_OK) < 0)
        return -1;
    if (!unified)
        return got > 0;
    uint64_t kills = kills_of(dir);
    int more = kills > *seen;
    *seen = kills;
    return more;
}
