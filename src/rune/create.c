/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "rune/commands.h"
#include "rune/shared_options.h"

static const struct option options[] = {
    OPTION_BUNDLE(&g_create.bundle),
    OPTION_CONSOLE_SOCKET(&g_create.console_socket),
    OPTION_PID_FILE(&g_create.pid_file),
    OPTION_NO_PIVOT(&g_create.no_pivot),
    OPTION_NO_NEW_KEYRING(&g_create.no_new_keyring),
    OPTION_PRESERVE_FDS(&g_create.preserve_fds),
};

static int run(int argc, char **argv, struct error *err)
{
    return create_container(argv[0], false, err);
}

const struct command command_create = {
    .name = "create",
    .arguments = "<container-id>",
    .summary = "create a container",
    .description =
        "Makes the container of a bundle and stops before its program; \"rune start\" runs that. "
        "The working directory is the bundle if --bundle names no other. With the global option "
        "--enclave, or if the bundle asks for it, the container runs in an enclave.",
    .examples = "rune create --bundle /srv/web --console-socket /run/web.sock web\n"
                "rune --enclave create --bundle /srv/web web\n",
    .options = options,
    .option_count = array_count(options),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
    .protect = true,
};
