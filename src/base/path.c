/* SPDX-License-Identifier: Apache-2.0 */
#include "base/path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/cleanup.h"

enum { SYMLINKS_MAX = 40 };

char *path_clean(const char *path)
{
    bool absolute = path[0] == '/';
    struct buffer out = BUFFER_INIT;
    size_t floor = absolute ? 1 : 0; /* ".." never removes what is below this size */
    if (absolute)
        buffer_append_char(&out, '/');
    for (const char *p = path; *p;) {
        size_t length = strcspn(p, "/");
        bool dots = length == 2 && p[0] == '.' && p[1] == '.';
        if (dots && out.size > floor) {
            while (out.size > floor && out.data[out.size - 1] != '/')
                out.size--;
            if (out.size > floor)
                out.size--;
            out.data[out.size] = '\0';
        } else if (dots ? !absolute : length > 0 && !(length == 1 && p[0] == '.')) {
            if (out.size > (absolute ? 1 : 0))
                buffer_append_char(&out, '/');
            buffer_append(&out, p, length);
            if (dots)
                floor = out.size;
        }
        p += length;
        p += strspn(p, "/");
    }
    if (out.size == 0)
        buffer_append_char(&out, '.');
    return buffer_take(&out);
}

int path_compare(const char *a, const char *b)
{
    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    /* '/' is the least of all bytes: "/a/b" before "/a-b". */
    const int one = *a == '/' ? 1 : (unsigned char)*a, two = *b == '/' ? 1 : (unsigned char)*b;
    return one - two;
}

char *path_join(const char *a, const char *b)
{
    size_t length = strlen(a);
    while (length > 0 && a[length - 1] == '/')
        length--;
    b += strspn(b, "/");
    return xasprintf("%.*s/%s", (int)length, a, b);
}

char *path_own_prefix(void)
{
    char path[PATH_MAX];
    const char *original = secure_getenv("RUNE_EXECUTABLE"); /* src/rune/selfexe.c */
    ssize_t size = original ? snprintf(path, sizeof(path), "%s", original)
                            : readlink("/proc/self/exe", path, sizeof(path) - 1);
    if (size <= 0 || (size_t)size >= sizeof(path))
        return NULL;
    path[size] = '\0';
    for (int level = 0; level < 2; level++) {
        char *slash = strrchr(path, '/');
        if (!slash)
            return NULL;
        if (level == 1 && strcmp(slash, "/bin") != 0 && strcmp(slash, "/sbin") != 0)
            return NULL;
        *slash = '\0';
    }
    return xstrdup(path);
}

const char *fd_path_of(struct fd_path *out, int fd)
{
    snprintf(out->text, sizeof(out->text), "/proc/self/fd/%d", fd);
    return out->text;
}

int path_mkdir_p(const char *path, mode_t mode, struct error *err)
{
    if (mkdir(path, mode) == 0)
        return 0;
    int code = errno;
    if (code == EEXIST) {
        struct stat st;
        if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
            return 0;
        return error_errno(err, ENOTDIR, "create directory %s", path);
    }
    const char *slash = strrchr(path, '/');
    if (code != ENOENT || !slash || slash == path)
        return error_errno(err, code, "create directory %s", path);
    cleanup_free char *parent = xstrndup(path, (size_t)(slash - path));
    int ret = path_mkdir_p(parent, mode, err);
    if (ret < 0)
        return ret;
    if (mkdir(path, mode) < 0 && errno != EEXIST)
        return error_errno(err, errno, "create directory %s", path);
    return 0;
}

static int remove_entries(int fd, struct error *err)
{
    cleanup_dir DIR *dir = fdopendir(fd);
    if (!dir) {
        int code = errno;
        close(fd);
        return error_errno(err, code, "read directory");
    }
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(dir);
        if (!entry)
            return errno ? error_errno(err, errno, "read directory") : 0;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        int ret = path_remove_tree(dirfd(dir), entry->d_name, err);
        if (ret < 0)
            return ret;
    }
}

int path_remove_tree(int dirfd, const char *name, struct error *err)
{
    const char *slash = strrchr(name, '/');
    if (slash && slash[1]) {
        /* The way to the tree may cross mounts, the tree itself may not. */
        cleanup_free char *above = xstrndup(name, slash == name ? 1 : (size_t)(slash - name));
        cleanup_close int parent = openat(dirfd, above, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (parent < 0)
            return errno == ENOENT ? 0 : error_errno(err, errno, "open %s", above);
        return path_remove_tree(parent, slash + 1, err);
    }
    if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return error_errno(err, errno, "remove %s", name);
    if (unlinkat(dirfd, name, AT_REMOVEDIR) == 0)
        return 0;
    if (errno != ENOTEMPTY && errno != EEXIST)
        return error_errno(err, errno, "remove %s", name);
    struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
                           .resolve = RESOLVE_NO_XDEV};
    int fd = (int)syscall(SYS_openat2, dirfd, name, &how, sizeof(how));
    if (fd < 0 && errno == ENOSYS)
        fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, errno, "remove %s", name);
    int ret = remove_entries(fd, err);
    if (ret < 0)
        return error_wrap(err, "remove %s", name);
    if (unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        return error_errno(err, errno, "remove %s", name);
    return 0;
}

/* The path a descriptor has now, or NULL. */
static char *descriptor_path(int fd)
{
    struct fd_path link;
    char text[PATH_MAX];
    ssize_t n = readlink(fd_path_of(&link, fd), text, sizeof(text) - 1);
    if (n < 0)
        return NULL;
    text[n] = '\0';
    return xstrdup(text);
}

static bool inside(int root, int fd)
{
    cleanup_free char *base = descriptor_path(root);
    cleanup_free char *path = descriptor_path(fd);
    if (!base || !path)
        return false;
    size_t length = strlen(base);
    if (strcmp(base, "/") == 0)
        return true;
    return strncmp(base, path, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

/*
 * The walk for kernels before 5.6: resolves every component by hand below `root`, so that no link
 * is ever followed by the kernel, and at the end checks that a concurrent rename has not moved us
 * out.
 */
static int walk_in_root(int root, const char *path, int flags, mode_t mode)
{
    cleanup_free char *rest = xstrdup(path);
    cleanup_free char *done = xstrdup(""); /* resolved so far, relative to root, no links */
    cleanup_close int current = openat(root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (current < 0)
        return -errno;
    for (int links = 0;;) {
        char *p = rest + strspn(rest, "/");
        size_t length = strcspn(p, "/");
        bool last = p[length + strspn(p + length, "/")] == '\0';
        if (length == 0)
            break;
        cleanup_free char *name = xstrndup(p, length);
        char *next_rest = xstrdup(p + length);

        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
            if (name[1] == '.') {
                char *slash = strrchr(done, '/');
                if (slash)
                    *slash = '\0';
                int up = openat(root, *done ? done + 1 : ".",
                                O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                if (up < 0) {
                    free(next_rest);
                    return -errno;
                }
                close(current);
                current = up;
            }
            free(rest);
            rest = next_rest;
            continue;
        }
        char target[PATH_MAX];
        ssize_t n = readlinkat(current, name, target, sizeof(target) - 1);
        if (n >= 0 && !(last && (flags & O_NOFOLLOW))) {
            target[n] = '\0';
            if (++links > SYMLINKS_MAX) {
                free(next_rest);
                return -ELOOP;
            }
            char *joined = xasprintf("%s/%s", target, next_rest);
            free(next_rest);
            free(rest);
            rest = joined;
            if (target[0] == '/') {
                done[0] = '\0';
                int top = openat(root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
                if (top < 0)
                    return -errno;
                close(current);
                current = top;
            }
            continue;
        }
        int next = last ? openat(current, name, flags | O_NOFOLLOW | O_CLOEXEC, mode)
                        : openat(current, name, O_PATH | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC);
        if (next < 0) {
            free(next_rest);
            return -errno;
        }
        close(current);
        current = next;
        char *longer = xasprintf("%s/%s", done, name);
        free(done);
        done = longer;
        free(rest);
        rest = next_rest;
        if (last) {
            if (!inside(root, current))
                return -EXDEV;
            return take_fd(current);
        }
    }
    int fd = openat(current, ".", flags & ~O_NOFOLLOW & ~O_CREAT, mode);
    if (fd < 0)
        return -errno;
    if (!inside(root, fd)) {
        close(fd);
        return -EXDEV;
    }
    return fd;
}

int path_open_in_root(int root, const char *path, int flags, mode_t mode, struct error *err)
{
    struct open_how how = {
        .flags = (unsigned)(flags | O_CLOEXEC),
        .mode = (flags & (O_CREAT | O_TMPFILE)) ? mode : 0,
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    };
    int fd;
    int tries = 0;
    do { /* EAGAIN: a rename somewhere in the system made the result uncertain */
        fd = (int)syscall(SYS_openat2, root, *path ? path : ".", &how, sizeof(how));
    } while (fd < 0 && (errno == EAGAIN || errno == EINTR) && ++tries < 128);
    if (fd < 0 && errno == ENOSYS)
        fd = walk_in_root(root, path, flags | O_CLOEXEC, mode);
    else if (fd < 0)
        fd = -errno;
    if (fd < 0)
        error_errno(err, -fd, "open %s in the root filesystem", path);
    return fd;
}

/*
 * Where the symbolic link `name` in the directory `place` (a path in the root) leads, as a path in
 * the root; NULL when it is no link. Used for links whose target is missing: the kernel cannot
 * resolve them, and the target is to be made.
 */
static char *link_target(int parent, const char *place, const char *name)
{
    char target[PATH_MAX];
    ssize_t n = readlinkat(parent, name, target, sizeof(target) - 1);
    if (n <= 0)
        return NULL;
    target[n] = '\0';
    if (target[0] == '/')
        return path_clean(target);
    cleanup_free char *joined = xasprintf("/%s/%s", place, target);
    return path_clean(joined);
}

static int mkdir_p_in_root(int root, const char *path, mode_t mode, int links, struct error *err)
{
    int fd = path_open_in_root(root, path, O_PATH | O_DIRECTORY, 0, NULL);
    if (fd >= 0)
        return fd;
    if (fd != -ENOENT)
        return error_errno(err, -fd, "open directory %s in the root filesystem", path);

    cleanup_free char *clean = path_clean(path);
    cleanup_close int parent = openat(root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0)
        return error_errno(err, errno, "open the root filesystem");
    for (char *p = clean + strspn(clean, "/"); *p;) {
        char *name = p;
        size_t length = strcspn(p, "/");
        char separator = p[length];
        p[length] = '\0';
        fd = path_open_in_root(root, clean, O_PATH | O_DIRECTORY, 0, NULL);
        if (fd == -ENOENT) {
            if (mkdirat(parent, name, mode) < 0 && errno != EEXIST)
                return error_errno(err, errno, "create %s in the root filesystem", clean);
            cleanup_free char *place = xstrndup(clean, (size_t)(name - clean));
            cleanup_free char *target = link_target(parent, place, name);
            if (target)
                fd = links < SYMLINKS_MAX ? mkdir_p_in_root(root, target, mode, links + 1, err)
                                          : -ELOOP;
            else
                fd = openat(parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            if (fd < 0 && !target)
                fd = -errno;
        }
        if (fd < 0)
            return error_errno(err, -fd, "create %s in the root filesystem", clean);
        close(parent);
        parent = fd;
        p[length] = separator;
        p += length;
        p += strspn(p, "/");
    }
    return take_fd(parent);
}

int path_mkdir_p_in_root(int root, const char *path, mode_t mode, struct error *err)
{
    return mkdir_p_in_root(root, path, mode, 0, err);
}

int path_parent_in_root(int root, const char *path, char **name, struct error *err)
{
    cleanup_free char *clean = path_clean(path);
    char *slash = strrchr(clean, '/');
    const char *base = slash ? slash + 1 : clean;
    if (!*base || strcmp(base, ".") == 0 || strcmp(base, "..") == 0)
        return error_set(err, "invalid path %s in the root filesystem", path);
    cleanup_free char *parent = slash ? xstrndup(clean, (size_t)(slash - clean)) : xstrdup("");
    int fd = path_mkdir_p_in_root(root, parent, 0755, err);
    if (fd >= 0)
        *name = xstrdup(base);
    return fd;
}

static int make_target(int root, const char *path, bool directory, mode_t mode, int links,
                       struct error *err)
{
    int fd = path_open_in_root(root, path, O_PATH, 0, NULL);
    if (fd >= 0)
        return fd;
    if (fd != -ENOENT)
        return error_errno(err, -fd, "open %s in the root filesystem", path);
    if (directory)
        return path_mkdir_p_in_root(root, path, mode, err);

    cleanup_free char *name = NULL;
    cleanup_close int parent = path_parent_in_root(root, path, &name, err);
    if (!name) /* it is set with the directory, and only then */
        return parent;
    /* An image whose /etc/resolv.conf is a link into an empty /run is quite usual. */
    const char *slash = strrchr(path, '/');
    cleanup_free char *place = xstrndup(path, slash ? (size_t)(slash - path) : 0);
    cleanup_free char *target = link_target(parent, place, name);
    if (target) {
        if (links >= SYMLINKS_MAX)
            return error_errno(err, ELOOP, "create %s in the root filesystem", path);
        return make_target(root, target, directory, mode, links + 1, err);
    }
    cleanup_close int made = openat(parent, name,
                                    O_CREAT | O_WRONLY | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, mode);
    if (made < 0)
        return error_errno(err, errno, "create %s in the root filesystem", path);
    fd = openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, errno, "open %s in the root filesystem", path);
    return fd;
}

int path_make_target_in_root(int root, const char *path, bool directory, mode_t mode,
                             struct error *err)
{
    return make_target(root, path, directory, mode, 0, err);
}
