/* SPDX-License-Identifier: Apache-2.0 */
#include "rune/commands.h"
#include "rune/notify.h"

static int run(int argc, char **argv, struct error *err)
{
    cleanup_container struct container *container = NULL;
    if (open_container(argv[0], &container, err) < 0)
        return -1;
    cleanup_notify struct notify notify = NOTIFY_INIT;
    if (notify_open(&notify, container, err) < 0 || container_start(container, err) < 0)
        return -1;
    notify_wait(&notify, container->state->pid);
    return 0;
}

const struct command command_start = {
    .name = "start",
    .arguments = "<container-id>",
    .summary = "start a created container",
    .description = "Runs the program of a container that \"rune create\" made.",
    .examples = "rune create web && rune start web\n",
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
