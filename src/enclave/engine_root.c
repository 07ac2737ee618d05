/* SPDX-License-Identifier: Apache-2.0 */
/* What engines put on top of every image (engine.h): empty, and the same for all containers. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "enclave/engine.h"

/* In this order; what the image has stays as it is. Modes of Docker's init layer. */
static const struct object {
    enum engine engine;
    const char *directory, *name, *link; /* no link: a file, or a directory */
    bool is_directory;
} g_objects[] = {
    {ENGINE_DOCKER, "dev", "pts", NULL, true},
    {ENGINE_DOCKER, "dev", "shm", NULL, true},
    {ENGINE_DOCKER, ".", "proc", NULL, true},
    {ENGINE_DOCKER, ".", "sys", NULL, true},
    {ENGINE_DOCKER, ".", ".dockerenv", NULL, false},
    {ENGINE_DOCKER, "etc", "resolv.conf", NULL, false},
    {ENGINE_DOCKER, "etc", "hosts", NULL, false},
    {ENGINE_DOCKER, "etc", "hostname", NULL, false},
    {ENGINE_DOCKER, "dev", "console", NULL, false},
    {ENGINE_DOCKER, "etc", "mtab", "/proc/mounts", false},
    {ENGINE_PODMAN, "etc", "mtab", "/proc/mounts", false},
};
enum { MODE = 0755, PODMAN_ROOT_MODE = 0555 };

/* What comes from a container's layer has time 0 in an image (bundle.md). */
static int set_time(int dir, const char *name, struct error *err)
{
    const struct timespec zero[2] = {{0, 0}, {0, 0}};
    return utimensat(dir, name, zero, AT_SYMLINK_NOFOLLOW) < 0
               ? error_errno(err, errno, "set the time of %s", name)
               : 0;
}

static int make(int dir, const struct object *o, struct error *err)
{
    cleanup_close int fd = -1;
    if (o->link)
        return symlinkat(o->link, dir, o->name) < 0 ? error_errno(err, errno, "%s", o->name) : 0;
    if (o->is_directory && mkdirat(dir, o->name, MODE) < 0)
        return error_errno(err, errno, "%s", o->name);
    fd = openat(dir, o->name,
                O_NOFOLLOW | O_CLOEXEC | (o->is_directory ? O_RDONLY : O_WRONLY | O_CREAT | O_EXCL),
                MODE);
    return fd < 0 || fchmod(fd, MODE) < 0 ? error_errno(err, errno, "%s", o->name) : 0;
}

static int add(int root, const struct object *o, struct error *err)
{
    struct stat st;
    if (strcmp(o->directory, ".") != 0 &&
        fstatat(root, o->directory, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        const struct object parent = {o->engine, ".", o->directory, NULL, true};
        if (make(root, &parent, err) < 0)
            return -1;
    }
    cleanup_close int dir = openat(root, o->directory,
                                   O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0) /* a link of the image: left alone */
        return errno == ELOOP || errno == ENOTDIR ? 0 : error_errno(err, errno, "%s", o->directory);
    if (fstatat(dir, o->name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return 0;
    if (make(dir, o, err) < 0 || set_time(dir, o->name, err) < 0)
        return -1;
    return set_time(root, o->directory, err);
}

int engine_root(enum engine engine, int root, struct error *err)
{
    for (size_t i = 0; i < array_count(g_objects); i++)
        if (g_objects[i].engine == engine && add(root, &g_objects[i], err) < 0)
            return -1;
    if (engine == ENGINE_PODMAN && fchmod(root, PODMAN_ROOT_MODE) < 0)
        return error_errno(err, errno, "mode of the root");
    return set_time(root, ".", err);
}
