/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A toy process table behind the test PAL libraries: each "process" is a thread that runs one of a
 * few built-in programs (echo, cat, exit, die, sleep, env, pwd, id, trap, size, line). No enclave,
 * no protection, only the shape.
 */
#pragma once

#include <stdint.h>

struct toy_spec {
    const char *const *argv;
    const char *const *env;
    const char *cwd;
    uint32_t uid, gid;
    int stdio[3]; /* duplicated */
};

/* pid 0 in the callback never happens; status as from waitpid(2). */
typedef void toy_exited_fn(int pid, int status);

/* Returns the new pid, or a negative errno: -ENOENT for a program that is not built in. */
int toy_create(const struct toy_spec *spec);
/* Run pid; exited may be NULL. */
int toy_start(int pid, toy_exited_fn *exited);
/* Wait for a started process; *status as from waitpid(2). */
int toy_wait(int pid, int *status);
/* pid -1: all of them. */
int toy_kill(int pid, int sig);
int toy_resize(int pid, unsigned rows, unsigned columns);
int toy_count(void);
/* Appends a line to the file named by TOY_PAL_LOG, when that is set: tests read what rune
 * called. */
void toy_log(const char *format, ...) __attribute__((format(printf, 1, 2)));
