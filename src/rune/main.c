/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "rune/commands.h"
#include "rune/rune.h"
#include "rune_version.h"

/* runc's, by which a caller tells a command that an older runtime lacks from one that failed. */
enum { EXIT_UNKNOWN_COMMAND = 3 };

struct globals g_globals = {.log_format = "text", .rootless = "auto"};

const struct option g_global_options[] = {
    {"debug", NULL, OPTION_FLAG, &g_globals.debug, NULL, "enable debug logging"},
    {"log", NULL, OPTION_TEXT, &g_globals.log, "file",
     "set the log file to write rune logs to (default is stderr)"},
    {"log-format", NULL, OPTION_TEXT, &g_globals.log_format, "format",
     "set the log format (\"text\" (default), or \"json\")"},
    {"root", NULL, OPTION_TEXT, &g_globals.root, "dir",
     "root directory for storage of container state (this should be located in tmpfs; default is "
     "/run/rune, or $XDG_RUNTIME_DIR/rune for rootless containers)"},
    {"criu", NULL, OPTION_TEXT, &g_globals.criu, "path",
     "path to the criu binary used for checkpoint and restore (default is criu in $PATH)"},
    {"systemd-cgroup", NULL, OPTION_FLAG, &g_globals.systemd_cgroup, NULL,
     "enable systemd cgroup support, expects cgroupsPath to be of form \"slice:prefix:name\" for "
     "e.g. \"system.slice:rune:434234\""},
    {"rootless", NULL, OPTION_TEXT, &g_globals.rootless, "value",
     "ignore cgroup permission errors (\"true\", \"false\", or \"auto\")"},
    {"enclave", NULL, OPTION_FLAG, &g_globals.enclave, NULL,
     "run every container in an enclave, also those whose configuration does not ask for one"},
};
const size_t g_global_option_count = array_count(g_global_options);

static void print_version(void)
{
    printf("%s version %s\ncommit: %s\nspec: 1.2.0\nlibseccomp: %s\n", program_name(), RUNE_VERSION,
           RUNE_COMMIT, seccomp_version_text());
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; g_commands[i]; i++)
        if (strcmp(g_commands[i]->name, name) == 0)
            return g_commands[i];
    return NULL;
}

static int check_arguments(const struct command *command, int count, struct error *err)
{
    if (count >= command->min_arguments &&
        (command->max_arguments < 0 || count <= command->max_arguments))
        return 0;
    if (command->min_arguments == command->max_arguments)
        return error_set(err, "\"rune %s\" requires exactly %d argument%s", command->name,
                         command->min_arguments, command->min_arguments == 1 ? "" : "s");
    if (count < command->min_arguments)
        return error_set(err, "\"rune %s\" requires a minimum of %d argument%s", command->name,
                         command->min_arguments, command->min_arguments == 1 ? "" : "s");
    return error_set(err, "\"rune %s\" requires a maximum of %d argument%s", command->name,
                     command->max_arguments, command->max_arguments == 1 ? "" : "s");
}

static int set_up_log(struct error *err)
{
    struct log_options options = {
        .program = "rune", .path = g_globals.log, .debug = g_globals.debug};
    if (strcmp(g_globals.log_format, "json") == 0)
        options.format = LOG_FORMAT_JSON;
    else if (strcmp(g_globals.log_format, "text") != 0)
        return error_set(err, "invalid log-format: %s", g_globals.log_format);
    return log_open(&options, err);
}

static int run_command(const struct command *command, int argc, char **argv, char **all,
                       struct error *err)
{
    bool help = false;
    cleanup_free char **copy = NULL;
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
        help_command(command);
        return 0;
    }
    if (check_arguments(command, argc - used, err) < 0) {
        help_command(command);
        return -1;
    }
    if (command->protect && self_protect(all, err) < 0)
        return error_wrap(err, "protect the running binary");
    return command->run(argc - used, argv + used, err);
}

/*
 * Descriptors 0 to 2 must be open, or the first files opened take their place and a container gets
 * them as its stdio.
 */
static void open_standard_descriptors(void)
{
    for (;;) {
        int fd = open("/dev/null", O_RDWR);
        if (fd < 0 || fd > STDERR_FILENO) {
            if (fd >= 0)
                close(fd);
            return;
        }
    }
}

int main(int argc, char **argv)
{
    cleanup_error struct error err = ERROR_INIT;
    if (fcntl(0, F_GETFD) < 0 || fcntl(1, F_GETFD) < 0 || fcntl(2, F_GETFD) < 0)
        open_standard_descriptors();
    signal(SIGCHLD, SIG_DFL); /* ignored, it would make children's ends unknown */
    bool help = false, version = false;
    struct option options[array_count(g_global_options) + 1];
    memcpy(options, g_global_options, sizeof(g_global_options));
    options[array_count(g_global_options)] = (struct option){"version", "v",  OPTION_FLAG,
                                                             &version,  NULL, "print the version"};
    int used = options_parse(options, array_count(options), argc - 1, argv + 1, &help, &err);
    if (used < 0)
        error_fatal(&err);
    if (version) {
        print_version();
        return 0;
    }
    argc -= 1 + used;
    char **rest = argv + 1 + used;
    if (help || argc == 0 || strcmp(rest[0], "help") == 0) {
        const struct command *about = argc > 1 ? find_command(rest[1]) : NULL;
        about ? help_command(about) : help_main();
        return 0;
    }
    if (!g_globals.root)
        g_globals.root = default_root();
    if (set_up_log(&err) < 0)
        error_fatal(&err);
    const struct command *command = find_command(rest[0]);
    if (!command) {
        log_fatal("No help topic for '%s': unknown command (see rune --help)", rest[0]);
        return EXIT_UNKNOWN_COMMAND;
    }
    int status = run_command(command, argc - 1, rest + 1, argv, &err);
    if (status < 0) {
        log_fatal("%s", error_text(&err));
        return status == -255 ? 255 : 1;
    }
    return status;
}
