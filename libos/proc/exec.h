/* SPDX-License-Identifier: Apache-2.0 */
/* Loading a program (load.c), for execve() (exec.c) and for processes from outside (spawn.c). */
#pragma once

#include "proc.h"

/* A program in a fresh mm, ready to run, of which the process knows nothing yet. */
struct exec_image {
    struct mm *mm;
    u64 entry, sp;
    struct cred cred; /* after set-user-ID bits and capability rules; groups are the process's own
                         pointer */
    bool secure;
    char comm[16];
};

/*
 * program: +0, path: as given, for AT_EXECFN and scripts; argv, env: NULL-terminated LibOS strings.
 * The caller's process gives credentials, working directory and limits. On success the calling
 * thread may hold residency of image->mm; on failure nothing is left and it holds that of its
 * process's mm again, if there is one.
 */
int exec_load(struct dentry *program, const char *path, char **argv, char **env,
              struct exec_image *image);
