/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The command line of rune. Each command is one file with one struct command (cli/cli.h); the
 * table in main.c is the source for the parser, --help, the man page and the shell completion.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "cli/cli.h"
#include "container/container.h"
#include "enclave/agent.h"
#include "oci/config.h"

/* The global options, parsed before the command's own. */
struct globals {
    const char *root;
    const char *log;
    const char *log_format;
    const char *rootless;
    const char *criu;
    bool debug, systemd_cgroup, enclave;
};
extern struct globals g_globals;

/* selfexe.c: continue in a copy of this program that a container cannot write to. Returns on
 * failure only. */
int self_protect(char **argv, struct error *err);

/* common.c: what create, run and restore share. */
struct create_flags {
    const char *bundle, *console_socket, *pid_file;
    bool no_pivot, no_new_keyring, detach, keep, no_subreaper;
    long long preserve_fds;
};
extern struct create_flags g_create;
/* Create (run: and start) container `id`; the exit status or negative. */
int create_container(const char *id, bool run, struct error *err);
/*
 * Every descriptor that a container is to get must be there, or one of ours would take its number.
 */
int check_preserved(long long count, struct error *err);
/* Make the paths of g_create and the state root absolute, enter the bundle and load it. */
int open_bundle(char **bundle, struct oci_config **config, struct error *err);
/* A path that the user means relative to where rune was started; not malloc'd if it is absolute. */
int make_absolute(const char **path, struct error *err);
/* The state root of this user. */
const char *default_root(void);
int open_container(const char *id, struct container **out, struct error *err);
enum container_rootless rootless_mode(void);

/* enclave.c */
enum { ENCLAVE_TARGETINFO_SIZE = 512, ENCLAVE_REPORT_DATA_SIZE = 64 };
int open_enclave_container(const char *id, struct container **out, struct error *err);
/* Ask the agent of the container; the answer is to be released with cleanup_frame. */
int ask_enclave(const struct container *container, enum agent_type type, const void *data,
                size_t size, struct agent_frame *answer, struct error *err);
