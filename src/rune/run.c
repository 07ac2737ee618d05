/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "rune/commands.h"
#include "rune/shared_options.h"

static const struct option options[] = {
    OPTION_BUNDLE(&g_create.bundle),
    OPTION_CONSOLE_SOCKET(&g_create.console_socket),
    OPTION_DETACH(&g_create.detach),
    {"keep", NULL, OPTION_FLAG, &g_create.keep, NULL, "do not delete the container after it exits"},
    OPTION_PID_FILE(&g_create.pid_file),
    OPTION_NO_SUBREAPER(&g_create.no_subreaper),
    OPTION_NO_PIVOT(&g_create.no_pivot),
    OPTION_NO_NEW_KEYRING(&g_create.no_new_keyring),
    OPTION_PRESERVE_FDS(&g_create.preserve_fds),
};

static int run(int argc, char **argv, struct error *err)
{
    return create_container(argv[0], true, err);
}

const struct command command_run = {
    .name = "run",
    .arguments = "<container-id>",
    .summary = "create and run a container",
    .description =
        "Creates and starts the container of a bundle, and unless --detach is given stays until "
        "its end, deletes it and exits with its status (128 and the signal's number if a signal "
        "ended it).",
    .options = options,
    .option_count = array_count(options),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
    .protect = true,
};
