/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The command line of every program: options, commands, help, man page and completion from one
 * table. A program is a struct program; what it prints about itself comes from that alone.
 *
 *     options.c    one or two dashes, "--name value" or "--name=value", as runc parses them
 *     program.c    finds the command, checks its arguments, runs it
 *     help.c       --help, wrapped at the terminal's width
 *     generate.c   roff for man, bash completion; run by the build
 */
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

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

struct command {
    const char *name;
    const char *arguments;   /* after the options, for help */
    const char *summary;     /* one line, an imperative without a full stop */
    const char *description; /* paragraphs, separated by "\n" */
    const char *examples;    /* command lines, each ended by "\n" */
    const struct option *options;
    size_t option_count;
    int min_arguments, max_arguments; /* max -1: any */
    /* Returns the exit status, or negative with err. */
    int (*run)(int argc, char **argv, struct error *err);
    bool protect;    /* makes processes in containers: run from a binary that nobody can write to */
    bool keep_order; /* what follows the first argument belongs to another program */
    bool hidden;
};

struct program {
    const char *name; /* as it was called */
    const char *summary;
    const char *description;               /* paragraphs, separated by "\n" */
    const struct command *const *commands; /* NULL-terminated */
    const struct option *options; /* before the command; --help and --version need no row */
    size_t option_count;
    const char *version; /* text of --version, without a newline at the end; NULL: no such option */
    const char *completion; /* bash words for arguments of commands, or NULL: files */
    const char *manual;     /* sections of the man page after COMMANDS, in roff, or NULL */
    int manual_section;
};

/*
 * Parse options up to the first other argument. Returns the number of arguments used, or negative
 * with err; *help becomes true on --help or -h.
 */
int options_parse(const struct option *options, size_t count, int argc, char **argv, bool *help,
                  struct error *err);

/* Move options behind arguments to the front: "update NAME --memory 1" is as good as the
 * reverse. */
void options_reorder(const struct option *options, size_t count, int argc, char **argv);

/* NULL if there is none of that name. */
const struct command *program_command(const struct program *program, const char *name);

/*
 * Parse the global options, and deal with --help, --version and "help [COMMAND]", which print and
 * exit. Returns the number of arguments used, program name and options; the next is the name of the
 * command. Negative with err.
 */
int program_options(const struct program *program, int argc, char **argv, struct error *err);

/*
 * Parse the options of the command, argv[0] being its name, check the number of its arguments and
 * run it. `before` (may be NULL) is called between. Returns the exit status, or negative with err.
 */
int program_run(const struct program *program, const struct command *command, int argc, char **argv,
                int (*before)(const struct command *command, struct error *err), struct error *err);

/* A whole main() for a program that needs nothing of its own: log, options, command, flush. */
int program_main(const struct program *program, const bool *debug, int argc, char **argv);

/* The same for a program without commands: `command` has its options, and its name. */
int program_main_only(const struct program *program, const struct command *command, int argc,
                      char **argv);

/* Print to stdout, wrapped at the terminal's width (80 columns where that is unknown). */
void help_program(const struct program *program);
void help_command(const struct program *program, const struct command *command);

/* "bash", "man": written to stdout, for the build. */
int program_generate(const struct program *program, const char *what, struct error *err);
