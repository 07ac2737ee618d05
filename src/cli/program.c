/* SPDX-License-Identifier: Apache-2.0 */
/* From argv to the command that it names. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "cli/cli.h"

const struct command *program_command(const struct program *program, const char *name)
{
    for (size_t i = 0; name && program->commands[i]; i++)
        if (strcmp(program->commands[i]->name, name) == 0)
            return program->commands[i];
    return NULL;
}

/* What only prints ends the program here; output that was not written is a failure. */
static _Noreturn void finish(int status)
{
    if (fflush(stdout) != 0)
        error_fatal_set("write: %s", strerror(errno));
    exit(status);
}

int program_options(const struct program *program, int argc, char **argv, struct error *err)
{
    bool help = false, version = false;
    size_t count = program->option_count;
    cleanup_free struct option *options = xcalloc(count + 1, sizeof(*options));
    memcpy(options, program->options, count * sizeof(*options));
    if (program->version)
        options[count++] = (struct option){"version",           "v", OPTION_FLAG, &version, NULL,
                                           "print the version", NULL};
    int used = options_parse(options, count, argc - 1, argv + 1, &help, err);
    if (used < 0)
        return used;
    if (version) {
        puts(program->version);
        finish(0);
    }
    const char *name = argv[1 + used];
    if (!help && name && strcmp(name, "help") != 0 && strcmp(name, "completion") != 0)
        return 1 + used;
    if (!help && name && strcmp(name, "completion") == 0) { /* for the build: not in the help */
        if (program_generate(program, argv[2 + used], err) < 0)
            return -1;
        finish(0);
    }
    const char *topic = name && strcmp(name, "help") == 0 ? argv[2 + used] : NULL;
    const struct command *about = program_command(program, topic);
    about ? help_command(program, about) : help_program(program);
    finish(0);
}

static int check_arguments(const struct program *program, const struct command *command, int count,
                           struct error *err)
{
    int min = command->min_arguments, max = command->max_arguments;
    if (count >= min && (max < 0 || count <= max))
        return 0;
    const char *bound = count < min ? "a minimum of" : "a maximum of";
    if (min == max)
        bound = "exactly";
    int wanted = count < min ? min : max;
    bool only = strcmp(program->name, command->name) == 0;
    return error_set(err, "\"%s%s%s\" requires %s %d argument%s", program->name, only ? "" : " ",
                     only ? "" : command->name, bound, wanted, wanted == 1 ? "" : "s");
}

int program_run(const struct program *program, const struct command *command, int argc, char **argv,
                int (*before)(const struct command *command, struct error *err), struct error *err)
{
    bool help = false;
    cleanup_free char **copy = NULL;
    argc--;
    argv++;
    /* cppcheck-suppress nullPointerRedundantCheck ; error_fatal_set() does not return */
    if (!command->keep_order) {
        /* A copy: the original is what a protected copy of the program is started with. */
        argv = copy = xmemdup(argv, ((size_t)argc + 1) * sizeof(*argv));
        options_reorder(command->options, command->option_count, argc, argv);
    }
    int used = options_parse(command->options, command->option_count, argc, argv, &help, err);
    if (used < 0)
        return used;
    if (help) {
        help_command(program, command);
        return 0;
    }
    if (check_arguments(program, command, argc - used, err) < 0) {
        help_command(program, command);
        return -1;
    }
    if (before && before(command, err) < 0)
        return -1;
    return command->run(argc - used, argv + used, err);
}

int program_main_only(const struct program *program, const struct command *command, int argc,
                      char **argv)
{
    cleanup_error struct error err = ERROR_INIT;
    const struct log_options log = {.program = program->name};

    if (log_open(&log, &err) < 0)
        error_fatal(&err);
    int status = program_run(program, command, argc, argv, NULL, &err);
    if (status < 0)
        error_fatal(&err);
    if (fflush(stdout) != 0)
        error_fatal_set("write: %s", strerror(errno));
    return status;
}

int program_main(const struct program *program, const bool *debug, int argc, char **argv)
{
    cleanup_error struct error err = ERROR_INIT;
    int used = program_options(program, argc, argv, &err);
    if (used < 0)
        error_fatal(&err);
    struct log_options log = {.program = program->name, .debug = debug && *debug};
    if (log_open(&log, &err) < 0)
        error_fatal(&err);
    const struct command *command = program_command(program, argv[used]);
    if (!command)
        error_fatal_set("unknown command \"%s\"; see %s --help", argv[used], program->name);
    int status = program_run(program, command, argc - used, argv + used, NULL, &err);
    if (status < 0)
        error_fatal(&err);
    if (fflush(stdout) != 0)
        error_fatal_set("write: %s", strerror(errno));
    return status;
}
