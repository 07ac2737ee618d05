/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/number.h"
#include "enclave/enclave.h"
#include "rune/commands.h"

static bool all;
static const struct option options[] = {
    {"all", "a", OPTION_FLAG, &all, NULL,
     "send the specified signal to all processes inside the container"},
};

static int run(int argc, char **argv, struct error *err)
{
    const char *text = argc > 1 ? argv[1] : "SIGTERM";
    int sig = signal_number(text);
    if (sig < 0)
        return error_set(err, "unknown signal \"%s\"", text);
    cleanup_container struct container *container = NULL;
    if (open_container(argv[0], &container, err) < 0)
        return -1;
    if (container->state && container->state->enclave &&
        container_status(container) != CONTAINER_STOPPED) {
        cleanup_config struct oci_config *config = NULL;
        if (container_config(container, &config, err) < 0 ||
            enclave_takes_signal(config, sig, err) < 0)
            return -1;
    }
    return container_kill(container, sig, all, err);
}

const struct command command_kill = {
    .name = "kill",
    .arguments = "<container-id> [signal]",
    .summary = "send a signal to a container",
    .description =
        "Sends a signal to the container's first process: SIGTERM if none is named, by number or "
        "by name with or without SIG. An enclave container takes the signals that its tenant "
        "allows (annotation enclave.signals), and others are an error; SIGKILL ends any.",
    .examples = "rune kill web\n"
                "rune kill web HUP\n"
                "rune kill --all web KILL\n",
    .options = options,
    .option_count = array_count(options),
    .min_arguments = 1,
    .max_arguments = 2,
    .run = run,
};
