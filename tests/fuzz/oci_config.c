/* SPDX-License-Identifier: Apache-2.0 */
/* config.json, the process of an exec, resources, and what the engine makes of mount options and a
 * seccomp profile. */
#include <stdint.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "container/private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(struct oci_config *config)
{
    cleanup_error struct error err = ERROR_INIT;
    for (size_t i = 0; i < config->mount_count; i++) {
        struct mount_plan plan;
        mount_plan_parse(&config->mounts[i], &plan);
        if (plan.propagation_count > array_count(plan.propagation))
            abort();
        mount_plan_release(&plan);
    }
    if (config->seccomp) {
        struct seccomp_program program = {0};
        (void)seccomp_filter_compile(config->seccomp, &program, &err);
        if (program.code.size % 8 != 0)
            abort();
        buffer_release(&program.code);
    }
    struct container_create_options options = {
        .root = "/nowhere", .id = "fuzz", .bundle = "/nowhere"};
    (void)config_validate(&options, config, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_error struct error err = ERROR_INIT;
    cleanup_config struct oci_config *config = NULL;
    if (oci_config_parse((const char *)data, size, "fuzz", &config, &err) == 0) {
        walk(config);
        return 0;
    }
    /* Not a whole configuration: the same bytes as the other two documents. */
    cleanup_config struct oci_config *owner = oci_config_new();
    struct oci_process process = {0};
    struct oci_resources resources = {0};
    json_t *json = json_parse((const char *)data, size, "fuzz", &err);
    if (json) {
        (void)oci_process_parse(json_incref(json), owner, &process, &err);
        (void)oci_resources_parse(json, owner, &resources, &err);
    }
    return 0;
}
