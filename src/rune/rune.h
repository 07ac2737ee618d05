/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The command line of rune. Each command is one file with one struct command; the table in main.c
 * is the source for the parser, --help, the man page and the shell completion alike.
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "container/container.h"
#include "oci/config.h"

enum option_kind {
    OPTION_FLAG,   /* bool * */
    OPTION_TEXT,   /* const char ** */
    OPTION_NUMBER, /* long long * */
    OPTION_LIST,   /* struct option_list *; may be given many times */
};

struct option_list {
    const char **items;
    size_t count;
};

struct option {
    const char *name;  /* without dashes */
    const char *alias; /* a second name ("b" of "bundle"), or NULL */
    enum option_kind kind;
    void *target;
    const char *value; /* what stands for the value in help texts, NULL for flags */
    const char *help;
    bool *given; /* becomes true when the option is there; may be NULL */
};

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

struct command {
    const char *name;
    const char *arguments; /* after the options, for help */
    const char *summary;
    const char *description; /* paragraphs for help and man page; NULL: the summary only */
    const struct option *options;
    size_t option_count;
    int min_arguments, max_arguments; /* max -1: any */
    /* Returns the exit status, or negative with err. */
    int (*run)(int argc, char **argv, struct error *err);
    bool protect;    /* makes processes in containers: run from a binary that nobody can write to */
    bool keep_order; /* what follows the first argument belongs to another program */
    bool hidden;
};

extern const struct command *const g_commands[]; /* NULL-terminated */
extern const struct option g_global_options[];
extern const size_t g_global_option_count;

/* Parse options up to the first other argument; the number of arguments used, or negative. */
int options_parse(const struct option *options, size_t count, int argc, char **argv, bool *help,
                  struct error *err);

/* Move options behind arguments to the front: "update NAME --memory 1" is as good as the
 * reverse. */
void options_reorder(const struct option *options, size_t count, int argc, char **argv);

/* help.c */
/* "rune", or "runc" when installed under that name. */
const char *program_name(void);
void help_main(void);
void help_command(const struct command *command);

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
int table_width(const char *text);
