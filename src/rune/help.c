/* SPDX-License-Identifier: Apache-2.0 */
/* Help texts, man page and shell completion, all from the command table. */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "rune/commands.h"
#include "rune/rune.h"

/* Installed under the name of what it replaces, the program goes by that name. */
const char *program_name(void)
{
    return strcmp(program_invocation_short_name, "runc") == 0 ? "runc" : "rune";
}

static void print_options(const struct option *options, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char names[96];
        snprintf(names, sizeof(names), "--%s%s%s%s%s", options[i].name, options[i].value ? " " : "",
                 options[i].value ? options[i].value : "", options[i].alias ? ", -" : "",
                 options[i].alias ? options[i].alias : "");
        printf("   %-28s %s\n", names, options[i].help);
    }
}

void help_main(void)
{
    printf("NAME:\n   %s - Open Container Initiative runtime, also for containers in enclaves\n\n"
           "It runs containers from OCI bundles: a directory with a config.json and a root "
           "filesystem.\n"
           "An ordinary container is handled as by runc; a bundle that asks for an enclave runs "
           "inside one.\n\n"
           "USAGE:\n   %s [global options] command [command options] [arguments...]\n\n"
           "VERSION:\n   %s\n\nCOMMANDS:\n",
           program_name(), program_name(), RUNE_VERSION);
    for (size_t i = 0; g_commands[i]; i++)
        if (!g_commands[i]->hidden)
            printf("   %-12s %s\n", g_commands[i]->name, g_commands[i]->summary);
    printf("   %-12s %s\n", "help", "show a list of commands or help for one command");
    printf("\nGLOBAL OPTIONS:\n");
    print_options(g_global_options, g_global_option_count);
    printf("   %-28s %s\n   %-28s %s\n", "--help, -h", "show help", "--version, -v",
           "print the version");
}

void help_command(const struct command *command)
{
    printf("NAME:\n   %s %s - %s\n\nUSAGE:\n   %s %s%s %s\n", program_name(), command->name,
           command->summary, program_name(), command->name,
           command->option_count ? " [command options]" : "", command->arguments);
    if (command->description)
        printf("\nDESCRIPTION:\n   %s\n", command->description);
    if (command->option_count) {
        printf("\nOPTIONS:\n");
        print_options(command->options, command->option_count);
    }
}
