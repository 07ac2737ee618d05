/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "rune/commands.h"
#include "rune/rune.h"
#include "rune_version.h"

/* runc's, by which a caller tells a command that an older runtime lacks from one that failed. */
enum { EXIT_UNKNOWN_COMMAND = 3 };

struct globals g_globals = {.log_format = "text", .rootless = "auto"};

static const struct option g_global_options[] = {
    {"debug", NULL, OPTION_FLAG, &g_globals.debug, NULL, "enable debug logging"},
    {"log", NULL, OPTION_TEXT, &g_globals.log, "file",
     "set the log file to write rune logs to (default is stderr)"},
    {"log-format", NULL, OPTION_TEXT, &g_globals.log_format, "format",
     "set the log format (\"text\" (default), or \"json\")"},
    {"root", NULL, OPTION_TEXT, &g_globals.root, "dir",
     "root directory for storage of container state (this should be located in tmpfs; default is "
     "/run/rune, or $XDG_RUNTIME_DIR/rune for rootless containers)"},
    {"criu", NULL, OPTION_TEXT, &g_globals.criu, "path",
     "path to the criu binary used for checkpoint and restore (default is criu in $PATH)"},
    {"systemd-cgroup", NULL, OPTION_FLAG, &g_globals.systemd_cgroup, NULL,
     "enable systemd cgroup support, expects cgroupsPath to be of form \"slice:prefix:name\" for "
     "e.g. \"system.slice:rune:434234\""},
    {"rootless", NULL, OPTION_TEXT, &g_globals.rootless, "value",
     "ignore cgroup permission errors (\"true\", \"false\", or \"auto\")"},
    {"enclave", NULL, OPTION_FLAG, &g_globals.enclave, NULL,
     "run every container in an enclave, also those whose configuration does not ask for one"},
};

static const struct command *const g_commands[] = {
    &command_attest,          &command_attest_host, &command_checkpoint, &command_cp,
    &command_create,          &command_delete,      &command_doctor,     &command_enclave,
    &command_events,          &command_exec,        &command_features,   &command_kill,
    &command_install_runtime, &command_list,        &command_pause,      &command_ps,
    &command_restore,         &command_resume,      &command_run,        &command_spec,
    &command_start,           &command_state,       &command_update,     NULL,
};

/* Commands that make a container, or act on none, complete files; the others containers. */
static const char g_completion[] =
    "    local root=\n"
    "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
    "        [[ ${COMP_WORDS[i]} != --root ]] || root=${COMP_WORDS[i + 1]}\n"
    "    done\n"
    "    if [[ $command && $current != -* ]]; then\n"
    "        case $command in\n"
    "        create | run | spec | features | list) ;;\n"
    "        install-runtime) words='docker containerd podman cri-o' ;;\n"
    "        *) words=$(rune ${root:+--root \"$root\"} list -q 2>/dev/null) ;;\n"
    "        esac\n"
    "    fi\n";

static const char g_manual[] =
    ".SH EXIT STATUS\n.B rune run\nand\n.B rune exec\nin the foreground exit with the status of "
    "the process (128 and the number of the signal if a signal ended it). A failure of rune itself "
    "is 1, in\n.B exec\n255, and 3 for an unknown command. A program that an enclave refuses to "
    "run is 126, one that it does not find 127.\n"
    ".SH FILES\n.TP\n.I /run/rune\nstate of containers (\\-\\-root), and in .cache/seccomp "
    "compiled "
    "filters, which may be removed at any time\n"
    ".TP\n.I /etc/rune/node.json\nwhether the owner of this machine allows emulated enclaves\n"
    ".SH SEE ALSO\n.BR runc (8),\n.BR rune\\-image (1),\n.BR sgx\\-tools (1),\n"
    ".BR rune\\-node.json (5)\n";

static struct program g_program = {
    .summary = "run containers, ordinary ones and enclave containers",
    .description =
        "rune is an OCI runtime. It makes containers from bundles: directories with a config.json "
        "and a root filesystem. It takes the place of runc, for Docker, containerd, Podman and by "
        "hand.\n"
        "A bundle that asks for an enclave (annotation enclave.type), and with --enclave every "
        "bundle, runs inside an SGX enclave, unmodified. What such a container may be told from "
        "outside is part of what is attested; docs/enclave.md has the settings.",
    .commands = g_commands,
    .options = g_global_options,
    .option_count = array_count(g_global_options),
    .completion = g_completion,
    .manual = g_manual,
    .manual_section = 8,
};

static int set_up_log(struct error *err)
{
    struct log_options options = {
        .program = "rune", .path = g_globals.log, .debug = g_globals.debug};
    if (strcmp(g_globals.log_format, "json") == 0)
        options.format = LOG_FORMAT_JSON;
    else if (strcmp(g_globals.log_format, "text") != 0)
        return error_set(err, "invalid log-format: %s", g_globals.log_format);
    return log_open(&options, err);
}

static char **g_argv; /* what a protected copy of the program is started with */

static int protect(const struct command *command, struct error *err)
{
    if (command->protect && self_protect(g_argv, err) < 0)
        return error_wrap(err, "protect the running binary");
    return 0;
}

/*
 * Descriptors 0 to 2 must be open, or the first files opened take their place and a container gets
 * them as its stdio.
 */
static void open_standard_descriptors(void)
{
    for (;;) {
        int fd = open("/dev/null", O_RDWR); /* NOLINT: 0 to 2 stay open */
        if (fd < 0 || fd > STDERR_FILENO) {
            if (fd >= 0)
                close(fd);
            return;
        }
    }
}

/* What rune exec says by its status alone: the others fail with 1. */
static bool is_exec_status(int status)
{
    return status == EXEC_REFUSED || status == EXEC_NOT_FOUND || status == EXEC_FAILED;
}

int main(int argc, char **argv)
{
    cleanup_error struct error err = ERROR_INIT;
    if (fcntl(0, F_GETFD) < 0 || fcntl(1, F_GETFD) < 0 || fcntl(2, F_GETFD) < 0)
        open_standard_descriptors();
    signal(SIGCHLD, SIG_DFL); /* ignored, it would make children's ends unknown */
    g_argv = argv;
    /* Installed under the name of what it replaces, the program goes by that name. */
    g_program.name = strcmp(program_invocation_short_name, "runc") == 0 ? "runc" : "rune";
    cleanup_free char *version = xasprintf("%s version %s\ncommit: %s\nspec: 1.2.0\nlibseccomp: %s",
                                           g_program.name, RUNE_VERSION, RUNE_COMMIT,
                                           seccomp_version_text());
    g_program.version = version;
    int used = program_options(&g_program, argc, argv, &err);
    if (used < 0)
        error_fatal(&err);
    if (!g_globals.root)
        g_globals.root = default_root();
    if (set_up_log(&err) < 0)
        error_fatal(&err);
    const struct command *command = program_command(&g_program, argv[used]);
    if (!command) {
        log_fatal("No help topic for '%s': unknown command (see rune --help)", argv[used]);
        return EXIT_UNKNOWN_COMMAND;
    }
    int status = program_run(&g_program, command, argc - used, argv + used, protect, &err);
    if (status < 0) {
        log_fatal("%s", error_text(&err));
        return is_exec_status(-status) ? -status : 1;
    }
    return status;
}
