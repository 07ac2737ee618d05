/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "rune/commands.h"

static bool force;
static const struct option options[] = {
    {"force", "f", OPTION_FLAG, &force, NULL,
     "forcibly deletes the container if it is still running (uses SIGKILL)"},
};

static int run(int argc, char **argv, struct error *err)
{
    cleanup_container struct container *container = NULL;
    cleanup_error struct error failure = ERROR_INIT;
    if (container_open(g_globals.root, argv[0], &container, &failure) < 0) {
        if (force && failure.code == ENOENT && !container)
            return 0;
        /* Its state cannot be read: only --force may throw away what it cannot understand. But what
         * a later rune wrote is no ruin: it may run. */
        if (!container || !force || failure.code == ENOTSUP)
            return error_move(err, &failure);
        log_warning("%s", error_text(&failure));
    }
    return container_delete(container, force, err);
}

const struct command command_delete = {
    .name = "delete",
    .arguments = "<container-id>",
    .summary = "delete a container",
    .description =
        "Deletes what is left of a stopped container: its cgroups, its state, and what its hooks "
        "ask for. With --force a running container is killed first, and a container that does "
        "not exist is no error.",
    .examples = "rune delete web\n"
                "rune delete --force web\n",
    .options = options,
    .option_count = array_count(options),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
