/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "enclave/enclave.h"
#include "rune/commands.h"
#include "rune/criu_flags.h"
#include "rune/shared_options.h"

static const struct option options[] = {
    OPTION_BUNDLE(&g_create.bundle),
    OPTION_CONSOLE_SOCKET(&g_create.console_socket),
    OPTION_DETACH(&g_create.detach),
    OPTION_PID_FILE(&g_create.pid_file),
    OPTION_NO_SUBREAPER(&g_create.no_subreaper),
    {"no-pivot", NULL, OPTION_FLAG, &g_create.no_pivot, NULL,
     "accepted as for run; criu decides how the root is entered"},
    CRIU_COMMON_OPTIONS,
    {"tcp-close", NULL, OPTION_FLAG, &g_criu.options.tcp_close, NULL,
     "restore connected tcp sockets in closed state"},
    OPTION_LAZY_PAGES(&g_criu.options.lazy_pages),
    {"lsm-profile", NULL, OPTION_TEXT, &g_criu.options.lsm_profile, "type:name",
     "LSM profile of the restored processes (\"apparmor:docker-default\")"},
    {"lsm-mount-context", NULL, OPTION_TEXT, &g_criu.options.lsm_mount_context, "context",
     "LSM mount context of the restored mounts"},
};

static int run(int argc, char **argv, struct error *err)
{
    cleanup_config struct oci_config *config = NULL;
    cleanup_free char *bundle = NULL;
    cleanup_enclave_request struct enclave_request request = {0};
    if (criu_flags_finish(err) < 0 || open_bundle(&bundle, &config, err) < 0)
        return -1;
    int enclave = enclave_request_read(config, g_globals.enclave, &request, err);
    if (enclave < 0)
        return -1;
    if (enclave)
        return error_set(err,
                         "%s is the bundle of an enclave container (%s): enclave memory "
                         "cannot be restored",
                         bundle, request.type);
    struct container_create_options create = {
        .root = g_globals.root,
        .id = argv[0],
        .bundle = bundle,
        .console_socket = g_create.console_socket,
        .pid_file = g_create.pid_file,
        .no_pivot = g_create.no_pivot,
        .systemd_cgroup = g_globals.systemd_cgroup,
        .rootless = rootless_mode(),
        .run = true,
        .detach = g_create.detach,
        .no_subreaper = g_create.no_subreaper,
    };
    int status = 0;
    if (container_restore(&create, &g_criu.options, config, &status, err) < 0)
        return -1;
    return status;
}

const struct command command_restore = {
    .name = "restore",
    .arguments = "<container-id>",
    .summary = "make a container from a checkpoint",
    .description =
        "Makes a container from the image files of \"rune checkpoint\" and a bundle like that of "
        "the saved container. It stays until the container ends, deletes the container and exits "
        "with its status; with --detach it returns at once.",
    .examples = "rune restore --image-path /var/tmp/web --bundle /srv/web --detach web\n",
    .options = options,
    .option_count = array_count(options),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
