/* SPDX-License-Identifier: Apache-2.0 */
#include "rune/commands.h"

static int run_pause(int argc, char **argv, struct error *err)
{
    cleanup_container struct container *container = NULL;
    if (open_container(argv[0], &container, err) < 0)
        return -1;
    return container_pause(container, err);
}

static int run_resume(int argc, char **argv, struct error *err)
{
    cleanup_container struct container *container = NULL;
    if (open_container(argv[0], &container, err) < 0)
        return -1;
    return container_resume(container, err);
}

const struct command command_pause = {
    .name = "pause",
    .arguments = "<container-id>",
    .summary = "suspend all processes of a container",
    .description = "Freezes the processes of the container. \"rune resume\" lets them go on.",
    .examples = "rune pause web\n",
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run_pause,
};

const struct command command_resume = {
    .name = "resume",
    .arguments = "<container-id>",
    .summary = "let a paused container go on",
    .description = "Lets the processes of a container go on that \"rune pause\" has frozen.",
    .examples = "rune resume web\n",
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run_resume,
};
