/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "container/feature_names.h"
#include "rune/commands.h"

static json_t *strings(const char *const *items, size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; i < count && items[i]; i++)
        json_array_append_new(array, json_string(items[i]));
    return array;
}

static json_t *capabilities(void)
{
    json_t *array = json_array();
    for (int i = 0; oci_capability_name(i); i++) {
        cleanup_free char *name = xasprintf("CAP_%s", oci_capability_name(i));
        json_array_append_new(array, json_string(name));
    }
    return array;
}

/* Annotations whose owner decides about the host (a library to load, properties of a unit), for
 * engines that take them from untrusted users. An item that ends with a dot is a prefix. */
static const char *const unsafe_annotations[] = {"enclave.", "org.systemd.property."};

static json_t *enabled(bool on)
{
    return json_pack("{s:b}", "enabled", (int)on);
}

static json_t *supported_flags(void)
{
    json_t *array = json_array();
    for (const char *const *name = features_seccomp_flags(); *name; name++)
        if (features_seccomp_flag_supported(*name))
            json_array_append_new(array, json_string(*name));
    return array;
}

static int run(int argc, char **argv, struct error *err)
{
    const char *const *options = features_mount_options();
    size_t option_count = 0;
    while (options[option_count])
        option_count++;
    json_t *linux_ = json_object();
    json_object_set_new(linux_, "namespaces", strings(oci_namespace_names, OCI_NS_TYPES));
    json_object_set_new(linux_, "capabilities", capabilities());
    json_object_set_new(linux_, "cgroup",
                        json_pack("{s:b,s:b,s:b,s:b,s:b}", "v1", 1, "v2", 1, "systemd",
                                  features_systemd(), "systemdUser", features_systemd(), "rdma",
                                  1));
    json_object_set_new(linux_, "seccomp",
                        json_pack("{s:b,s:o,s:o,s:o,s:o,s:o}", "enabled", 1, "actions",
                                  strings(features_seccomp_actions(), SIZE_MAX), "operators",
                                  strings(features_seccomp_operators(), SIZE_MAX), "archs",
                                  strings(features_seccomp_architectures(), SIZE_MAX), "knownFlags",
                                  strings(features_seccomp_flags(), SIZE_MAX), "supportedFlags",
                                  supported_flags()));
    json_object_set_new(linux_, "apparmor", enabled(true));
    json_object_set_new(linux_, "selinux", enabled(true));
    json_object_set_new(linux_, "intelRdt", enabled(true));
    json_object_set_new(linux_, "mountExtensions", json_pack("{s:{s:b}}", "idmap", "enabled", 1));

    cleanup_json json_t *out = json_object();
    json_object_set_new(out, "ociVersionMin", json_string("1.0.0"));
    json_object_set_new(out, "ociVersionMax", json_string(OCI_VERSION));
    json_object_set_new(out, "hooks", strings(oci_hook_names, OCI_HOOK_KINDS));
    json_object_set_new(out, "mountOptions", strings(options, option_count));
    json_object_set_new(out, "linux", linux_);
    json_object_set_new(out, "potentiallyUnsafeConfigAnnotations",
                        strings(unsafe_annotations, array_count(unsafe_annotations)));
    /* The keys of runc's own annotations are what image tools look for. */
    json_object_set_new(out, "annotations",
                        json_pack("{s:s,s:s,s:s,s:s}", "io.github.seccomp.libseccomp.version",
                                  seccomp_version_text(),
                                  "org.opencontainers.runc.checkpoint.enabled", "true",
                                  "rune.version", RUNE_VERSION, "rune.enclave.types",
                                  "intelSgx,simulatedSgx,auto"));
    cleanup_free char *text = json_text(out, JSON_INDENT(2));
    puts(text);
    return 0;
}

const struct command command_features = {
    .name = "features",
    .arguments = "",
    .summary = "show what this runtime can do",
    .description =
        "Prints the features document of the runtime specification, as JSON. Engines read it; no "
        "container is needed.",
    .examples = "rune features | jq .annotations\n",
    .max_arguments = 0,
    .run = run,
};
