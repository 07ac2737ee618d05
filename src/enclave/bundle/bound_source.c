/* SPDX-License-Identifier: Apache-2.0 */
/* Where a bound comes from: a file in the image, or one that conversion is told. */
#include "enclave/bundle/bound_build.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "enclave/bundle/bundle.h"
#include "enclave/bundle/sealed_reader.h"

#define JSON_MAX ((size_t)1 << 20)

static int read_named(const char *path, struct buffer *json, struct error *err)
{
    struct stat st;
    cleanup_close int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return error_errno(err, errno, "bound %s", path);
    if (!S_ISREG(st.st_mode))
        return error_set(err, "bound %s: not a regular file", path);
    int ret = read_all(fd, json, JSON_MAX);
    if (ret < 0)
        return error_errno(err, -ret, "bound %s", path);
    return json->size ? 0 : error_set(err, "bound %s: the file is empty", path);
}

/*
 * The image's own file is read from what was sealed, not from the directory, which may have changed
 * since. Its place is in the root itself, so that no link can be on the way.
 */
static int read_sealed(int image, uint64_t data_size, struct buffer *json, struct error *err)
{
    struct sealed_reader *reader;
    uint64_t nid;
    int ret = sealed_open(&reader, image, data_size, err);
    if (ret < 0)
        return error_wrap(err, "sealed image");
    ret = sealed_find(reader, BUNDLE_BOUND_PATH, &nid);
    if (ret == -ENOENT) {
        sealed_close(reader);
        return 0;
    }
    int64_t size = ret < 0 ? ret : sealed_size(reader, nid);
    if (size < 0)
        ret = error_errno(err, (int)-size, "the image's %s", BUNDLE_BOUND_PATH);
    else if (sealed_type_of(reader, nid) != SEALED_REGULAR || size == 0 ||
             (uint64_t)size > JSON_MAX)
        ret = error_set(err, "the image's %s is not a regular file of 1 byte to 1 MiB",
                        BUNDLE_BOUND_PATH);
    else {
        buffer_reserve(json, (size_t)size);
        ret = sealed_read(reader, nid, 0, json->data, (size_t)size);
        if (ret < 0)
            ret = error_errno(err, -ret, "the image's %s", BUNDLE_BOUND_PATH);
        else {
            json->size = (size_t)size;
            json->data[json->size] = 0;
        }
    }
    sealed_close(reader);
    return ret;
}

int bound_find(const char *path, int image, uint64_t data_size, struct buffer *json, char **origin,
               struct error *err)
{
    cleanup_buffer struct buffer own = BUFFER_INIT;
    int ret = read_sealed(image, data_size, &own, err);
    *origin = NULL;
    if (ret < 0)
        return ret;
    if (!path) {
        if (own.size)
            *origin = xstrdup(BUNDLE_BOUND_PATH);
        *json = own;
        own = (struct buffer)BUFFER_INIT;
        return 0;
    }
    ret = read_named(path, json, err);
    if (ret < 0)
        return ret;
    /* Who built the image may count on its bound; who converts may not take another silently. */
    if (own.size && (own.size != json->size || memcmp(own.data, json->data, own.size) != 0))
        return error_set(err,
                         "bound %s: the image has another one, %s; use that, or build the image "
                         "without it",
                         path, BUNDLE_BOUND_PATH);
    *origin = xstrdup(path);
    return 0;
}
