/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

/*
 * Paths. The *_in_root functions take a descriptor of a directory that somebody else may control (a
 * container's root) and never leave it, whatever symbolic links and renames happen meanwhile:
 * openat2(RESOLVE_IN_ROOT), or on kernels without it a walk with O_PATH that checks the result
 * against /proc/self/fd.
 */

/* Lexically cleaned copy: no "//", "/./", and ".." resolved without looking ("/.." is "/").
 * malloc'd. */
char *path_clean(const char *path);
/* Order of cleaned paths in which a directory is right before what is below it. */
int path_compare(const char *a, const char *b);
/* a + "/" + b, cleaned of double slashes only. malloc'd. */
char *path_join(const char *a, const char *b);
/* <prefix> of a program that runs as <prefix>/bin/PROGRAM (or sbin); malloc'd, NULL when it runs
 * from somewhere else. */
char *path_own_prefix(void);
/* mkdir -p on the host; existing directories are fine. */
int path_mkdir_p(const char *path, mode_t mode, struct error *err);
/* Remove a tree that we own on the host (never across a mount point). 0 when it is not there. */
int path_remove_tree(int dirfd, const char *name, struct error *err);

/*
 * Open `path` inside root. O_CLOEXEC is added. Magic links (/proc/PID/fd/N and such) are not
 * followed. Returns a descriptor or -errno without touching err when err is NULL.
 */
int path_open_in_root(int root, const char *path, int flags, mode_t mode, struct error *err);
/* mkdir -p inside root; returns an O_PATH descriptor of the directory. */
int path_mkdir_p_in_root(int root, const char *path, mode_t mode, struct error *err);
/*
 * Open (O_PATH) the object at path inside root for use as a mount target; what is missing is made:
 * a directory, or an empty file in directories made as needed.
 */
int path_make_target_in_root(int root, const char *path, bool directory, mode_t mode,
                             struct error *err);
/*
 * Descriptor of the parent directory (made as needed) of path inside root; *name is the last
 * component (malloc'd, free of slashes).
 */
int path_parent_in_root(int root, const char *path, char **name, struct error *err);
/* "/proc/self/fd/N" in a caller's buffer, to hand a descriptor to calls that only take paths. */
struct fd_path {
    char text[32];
};
const char *fd_path_of(struct fd_path *out, int fd);
