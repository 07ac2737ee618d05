/* SPDX-License-Identifier: Apache-2.0 */
#include "base/config_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"

#define UNMAPPED 65534 /* how root's file looks from a user namespace without root */

char *config_file_path(const char *variable, const char *file)
{
    const char *path = secure_getenv(variable);
    if (path && path[0] != '\0')
        return xstrdup(path);
    cleanup_free char *prefix = path_own_prefix();
    if (prefix) {
        cleanup_free char *directory = path_join(prefix, SYSCONF_RELATIVE);
        cleanup_free char *beside = path_join(directory, file);
        if (access(beside, F_OK) == 0)
            return path_clean(beside);
    }
    return path_join(SYSCONF_DIR, file);
}

int config_file_read(const char *path, size_t limit, struct buffer *out, struct error *err)
{
    struct stat st;
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return 0;
    if (fd < 0 || fstat(fd, &st) < 0)
        return error_errno(err, errno, "%s", path);
    if (!S_ISREG(st.st_mode) || (st.st_mode & (S_IWGRP | S_IWOTH)) ||
        (st.st_uid != 0 && st.st_uid != geteuid() && st.st_uid != UNMAPPED))
        return error_set(err, "%s: it must be a regular file of root that nobody else can write to",
                         path);
    int ret = read_all(fd, out, limit);
    return ret < 0 ? error_errno(err, -ret, "%s", path) : 1;
}
