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
    .summary = "create and start a container",
    .description =
        "Makes the container of a bundle and runs its program. It stays until the program ends, "
        "deletes the container and exits with the program's status, which is 128 and the "
        "signal's number if a signal ended it; with --detach it returns at once.\n"
        "With the global option --enclave, or if the bundle asks for it, the container runs in "
        "an enclave.",
    .examples = "rune run --bundle /srv/web web\n"
                "rune run --detach --pid-file /run/web.pid web\n"
                "rune --enclave run web\n",
    .options = options,
    .option_count = array_count(options),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
    .protect = true,
};
