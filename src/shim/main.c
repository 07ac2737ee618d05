/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line: flags as Go's flag package takes them (-name value, --name=value), then an
 * action.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "shim/shim.h"
#include "shim_version.h"

static int parse(int argc, char **argv, struct shim_arguments *out, struct error *err)
{
    const struct {
        const char *name;
        const char **text;
        bool *flag;
    } options[] = {
        {"namespace", &out->namespace, NULL}, {"id", &out->id, NULL},
        {"address", &out->address, NULL},     {"publish-binary", &out->publish_binary, NULL},
        {"bundle", &out->bundle, NULL},       {"socket", &out->socket, NULL},
        {"debug", NULL, &out->debug},         {"v", NULL, &out->version},
        {"info", NULL, &out->info},
    };
    out->program = argv[0];
    int i = 1;
    for (; i < argc && argv[i][0] == '-' && strcmp(argv[i], "--") != 0; i++) {
        const char *name = argv[i] + (argv[i][1] == '-' ? 2 : 1), *value = strchr(name, '=');
        size_t length = value ? (size_t)(value - name) : strlen(name), n = 0;
        while (n < array_count(options) &&
               (strlen(options[n].name) != length || strncmp(options[n].name, name, length) != 0))
            n++;
        if (n == array_count(options))
            return error_set(err, "unknown flag %s (see man containerd-shim-rune-v2)", argv[i]);
        if (options[n].flag) {
            *options[n].flag = !value || strcmp(value + 1, "false") != 0;
        } else if (value) {
            *options[n].text = value + 1;
        } else {
            if (i + 1 == argc)
                return error_set(err, "flag %s needs a value", argv[i]);
            *options[n].text = argv[++i];
        }
    }
    out->action = argv[i];
    return 0;
}

static int run(struct shim_arguments *arguments, struct error *err)
{
    if (arguments->version) {
        printf("%s:\n  Version:  %s\n  Revision: %s\n\n", arguments->program, SHIM_VERSION,
               SHIM_COMMIT);
        return 0;
    }
    if (arguments->info)
        return shim_info(err);
    if (!arguments->namespace || !*arguments->namespace)
        return error_set(err, "shim namespace cannot be empty: containerd starts this program "
                              "(man containerd-shim-rune-v2)");
    if (!arguments->id || !*arguments->id || strchr(arguments->id, '/'))
        return error_set(err, "-id: a container's name is missing");
    if (arguments->action && strcmp(arguments->action, "start") == 0)
        return shim_start(arguments, err);
    if (arguments->action && strcmp(arguments->action, "delete") == 0)
        return shim_delete(arguments, err);
    return error_set(err, "unknown action \"%s\": start or delete",
                     arguments->action ? arguments->action : "");
}

int main(int argc, char **argv)
{
    cleanup_error struct error err = ERROR_INIT;
    struct shim_arguments arguments = {.address = ""};
    struct log_options log = {.program = "containerd-shim-rune-v2"};
    if (log_open(&log, &err) < 0 || parse(argc, argv, &arguments, &err) < 0 ||
        run(&arguments, &err) < 0)
        error_fatal(&err);
    return 0;
}
