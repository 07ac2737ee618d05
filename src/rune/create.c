/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "rune/commands.h"

static const struct option options[] = {
    {"bundle", "b", OPTION_TEXT, &g_create.bundle, "dir",
     "path to the root of the bundle directory, defaults to the current directory"},
    {"console-socket", NULL, OPTION_TEXT, &g_create.console_socket, "path",
     "path to an AF_UNIX socket which will receive a file descriptor referencing the master end of "
     "the "
     "console's pseudoterminal"},
    {"pid-file", NULL, OPTION_TEXT, &g_create.pid_file, "file",
     "specify the file to write the process id to"},
    {"no-pivot", NULL, OPTION_FLAG, &g_create.no_pivot, NULL,
     "do not use pivot root to jail process inside rootfs. This should be used whenever the rootfs "
     "is on top of a "
     "ramdisk"},
    {"no-new-keyring", NULL, OPTION_FLAG, &g_create.no_new_keyring, NULL,
     "do not create a new session keyring for the container"},
    {"preserve-fds", NULL, OPTION_NUMBER, &g_create.preserve_fds, "N",
     "pass N additional file descriptors to the container (stdio + $LISTEN_FDS + N in total)"},
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
        "Makes the container of a bundle and stops before its entrypoint; `rune start` runs that.",
    .options = options,
    .option_count = array_count(options),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
    .protect = true,
};
