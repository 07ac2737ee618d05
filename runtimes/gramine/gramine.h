/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of the Gramine runtime: what is started (image.c), and the process that it becomes
 * (process.c). pal.c has the exported functions.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "pal.h"
#include "sgx_arch.h"

/* What the container's root holds for Gramine. */
struct gramine_image {
    char *loader, *library; /* sgx/loader and sgx/libpal.so of the Gramine that is used */
    char *application;      /* path whose .manifest.sgx and .sig are there */
    bool own_loader;        /* the image's, not this machine's */
    struct sgx_sigstruct sigstruct;
};

/*
 * Find it. named: the application as the user named it, or "". Then the image of Gramine's own
 * tool for images is tried, and the one manifest of the working directory.
 */
int gramine_image_find(const char *named, struct gramine_image *out, struct error *err);
void gramine_image_release(struct gramine_image *image);

/* Gramine's first process, with whatever it forks in its process group. */
struct gramine_process {
    pid_t pid; /* 0: there is none, or it has been reaped */
    int gate;  /* a byte lets it run, the end of the pipe ends it */
};

/*
 * Fork it, with its terminal, directory and limits; it waits at the gate. argv and env are those of
 * the loader; kept_fd stays open in it, -1: none. The process dies with the thread that calls this.
 */
int gramine_process_fork(const struct pal_process_args_v4 *args, char *const *argv,
                         char *const *env, int kept_fd, struct gramine_process *out);
