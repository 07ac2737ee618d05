/* SPDX-License-Identifier: Apache-2.0 */
/* --help: the tables of a program as text of the terminal's width. */
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/cli.h"

enum { INDENT = 3, WIDTH_UNKNOWN = 80, WIDTH_MIN = 40, WIDTH_MAX = 120 };

static int terminal_width(void)
{
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
        return WIDTH_UNKNOWN;
    if (size.ws_col < WIDTH_MIN)
        return WIDTH_MIN;
    return size.ws_col > WIDTH_MAX ? WIDTH_MAX : size.ws_col;
}

/* Print the words of `text` from column `at` on, further lines from column `indent`; "\n" begins a
 * paragraph. Ends with a newline. */
static void print_wrapped(const char *text, int at, int indent)
{
    int width = terminal_width();
    bool first = true;
    while (*text) {
        size_t length = strcspn(text, " \n");
        if (!first && at + 1 + (int)length > width) {
            printf("\n%*s", indent, "");
            at = indent;
            first = true;
        }
        if (length > 0) {
            at += printf("%s%.*s", first ? "" : " ", (int)length, text);
            first = false;
        }
        text += length;
        if (*text == '\n') {
            printf("\n%*s", indent, "");
            at = indent;
            first = true;
        }
        text += *text != '\0';
    }
    putchar('\n');
}

static void print_section(const char *title, const char *text)
{
    printf("\n%s:\n%*s", title, INDENT, "");
    print_wrapped(text, INDENT, INDENT);
}

/* A name with its explanation beside it, or below it where the name is long. */
static void print_entry(const char *name, const char *text, int column)
{
    int at = printf("%*s%s", INDENT, "", name);
    if (at + 2 > column) {
        putchar('\n');
        at = 0;
    }
    printf("%*s", column - at, "");
    print_wrapped(text, column, column);
}

static void print_options(const struct option *options, size_t count)
{
    enum { COLUMN = 32 };
    for (size_t i = 0; i < count; i++) {
        char names[96];
        snprintf(names, sizeof(names), "--%s%s%s%s%s", options[i].name, options[i].value ? " " : "",
                 options[i].value ? options[i].value : "", options[i].alias ? ", -" : "",
                 options[i].alias ? options[i].alias : "");
        print_entry(names, options[i].help, COLUMN);
    }
    print_entry("--help, -h", "show this help", COLUMN);
}

void help_program(const struct program *program)
{
    enum { COLUMN = 20 };
    printf("NAME:\n   %s - ", program->name);
    print_wrapped(program->summary, INDENT + (int)strlen(program->name) + 3, 2 * INDENT);
    print_section("DESCRIPTION", program->description);
    printf("\nUSAGE:\n   %s [global options] command [command options] [arguments...]\n"
           "   %s help command\n\nCOMMANDS:\n",
           program->name, program->name);
    for (size_t i = 0; program->commands[i]; i++)
        if (!program->commands[i]->hidden)
            print_entry(program->commands[i]->name, program->commands[i]->summary, COLUMN);
    print_entry("help", "show this help, or that of one command", COLUMN);
    printf("\nGLOBAL OPTIONS:\n");
    print_options(program->options, program->option_count);
    if (program->version)
        print_entry("--version, -v", "print the version", 32);
}

void help_command(const struct program *program, const struct command *command)
{
    bool only = strcmp(program->name, command->name) == 0;
    int used = printf("NAME:\n   %s%s%s - ", program->name, only ? "" : " ",
                      only ? "" : command->name);
    print_wrapped(command->summary, used - (int)strlen("NAME:\n"), 2 * INDENT);
    printf("\nUSAGE:\n   %s%s%s [%soptions] %s\n", program->name, only ? "" : " ",
           only ? "" : command->name, only ? "" : "command ", command->arguments);
    if (command->description)
        print_section("DESCRIPTION", command->description);
    printf("\nOPTIONS:\n");
    print_options(command->options, command->option_count);
    if (!command->examples)
        return;
    printf("\nEXAMPLES:\n");
    for (const char *line = command->examples; *line;) {
        size_t length = strcspn(line, "\n");
        printf("%*s%.*s\n", INDENT, "", (int)length, line);
        line += length + (line[length] != '\0');
    }
}
