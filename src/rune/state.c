/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "rune/commands.h"

static int run(int argc, char **argv, struct error *err)
{
    cleanup_container struct container *container = NULL;
    if (open_container(argv[0], &container, err) < 0)
        return -1;
    const struct oci_state *state = container->state;
    enum container_status status = container_status(container);
    cleanup_json json_t *out = json_object();
    json_object_set_new(out, "ociVersion", json_string(state->version ? state->version : "1.0.2"));
    json_object_set_new(out, "id", json_string(container->id));
    json_object_set_new(out, "pid", json_integer(status == CONTAINER_STOPPED ? 0 : state->pid));
    json_object_set_new(out, "status", json_string(container_status_name(status)));
    json_object_set_new(out, "bundle", json_string(state->bundle));
    json_object_set_new(out, "rootfs", json_string(state->rootfs ? state->rootfs : ""));
    json_object_set_new(out, "created", json_string(state->created));
    if (state->annotations)
        json_object_set(out, "annotations", state->annotations);
    json_object_set_new(out, "owner", json_string(state->owner ? state->owner : ""));
    if (state->enclave)
        json_object_set_new(out, "enclave", json_string(state->enclave));
    cleanup_free char *text = json_text(out, JSON_INDENT(2));
    puts(text);
    return 0;
}

const struct command command_state = {
    .name = "state",
    .arguments = "<container-id>",
    .summary = "show the state of a container",
    .description =
        "Prints the state document of the runtime specification, as JSON: the status, the "
        "process, the bundle, the annotations.",
    .examples = "rune state web | jq -r .status\n",
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
