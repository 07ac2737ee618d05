/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * Scope-bound ownership: `cleanup_free char *name = ...;` is released when the scope ends, and
 * take_ptr()/take_fd() hands the object on. Releasing keeps errno, so that `return -errno;` after a
 * failed call stays right.
 */
static inline void cleanup_free_fn(void *slot)
{
    int saved = errno;
    free(*(void **)slot);
    errno = saved;
}

static inline void cleanup_close_fn(const int *fd)
{
    if (*fd >= 0) {
        int saved = errno;
        close(*fd);
        errno = saved;
    }
}

static inline void cleanup_dir_fn(DIR **dir)
{
    if (*dir) {
        int saved = errno;
        closedir(*dir);
        errno = saved;
    }
}

static inline void cleanup_file_fn(FILE **file)
{
    if (*file) {
        int saved = errno;
        fclose(*file);
        errno = saved;
    }
}

#define cleanup_free  __attribute__((cleanup(cleanup_free_fn)))
#define cleanup_close __attribute__((cleanup(cleanup_close_fn)))
#define cleanup_dir   __attribute__((cleanup(cleanup_dir_fn)))
#define cleanup_file  __attribute__((cleanup(cleanup_file_fn)))

static inline int take_fd_fn(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

/* Move ownership out of a variable: the variable becomes -1 or NULL. */
#define take_fd(fd) take_fd_fn(&(fd))
#define take_ptr(ptr)               \
    ({                              \
        __auto_type taken_ = (ptr); \
        (ptr) = NULL;               \
        taken_;                     \
    })

/* Close a descriptor now and forget it. */
static inline void close_and_reset(int *fd)
{
    cleanup_close_fn(fd);
    *fd = -1;
}

#define array_count(array) (sizeof(array) / sizeof((array)[0]))
