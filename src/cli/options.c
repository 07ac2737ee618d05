/* SPDX-License-Identifier: Apache-2.0 */
/* Option parsing in the manner of runc's: one or two dashes, "--name value" or "--name=value",
 * options first. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/cli.h"

static const struct option *find(const struct option *options, size_t count, const char *name,
                                 size_t length)
{
    for (size_t i = 0; i < count; i++) {
        const char *names[] = {options[i].name, options[i].alias};
        for (size_t j = 0; j < 2; j++)
            if (names[j] && strlen(names[j]) == length && strncmp(names[j], name, length) == 0)
                return &options[i];
    }
    return NULL;
}

static int set_flag(const struct option *option, const char *value, struct error *err)
{
    bool on = true;
    if (value) {
        static const char *const yes[] = {"1", "t", "true", "T", "TRUE", "True"};
        static const char *const no[] = {"0", "f", "false", "F", "FALSE", "False"};
        bool known = false;
        for (size_t i = 0; i < 6; i++) {
            if (strcmp(value, yes[i]) == 0 || strcmp(value, no[i]) == 0) {
                known = true;
                on = strcmp(value, yes[i]) == 0;
            }
        }
        if (!known)
            return error_set(err, "invalid boolean value \"%s\" for --%s", value, option->name);
    }
    *(bool *)option->target = on;
    return 0;
}

static int set_value(const struct option *option, const char *value, struct error *err)
{
    if (option->kind == OPTION_TEXT) {
        *(const char **)option->target = value;
    } else if (option->kind == OPTION_NUMBER) {
        char *end;
        long long number = strtoll(value, &end, 10);
        if (end == value || *end)
            return error_set(err, "invalid value \"%s\" for --%s: a number is needed", value,
                             option->name);
        *(long long *)option->target = number;
    } else {
        struct option_list *list = option->target;
        list->items = xreallocarray(list->items, list->count + 1, sizeof(*list->items));
        list->items[list->count++] = value;
    }
    return 0;
}

int options_parse(const struct option *options, size_t count, int argc, char **argv, bool *help,
                  struct error *err)
{
    int i = 0;
    for (; i < argc; i++) {
        const char *text = argv[i];
        if (text[0] != '-' || !text[1])
            return i;
        if (strcmp(text, "--") == 0)
            return i + 1;
        const char *name = text + (text[1] == '-' ? 2 : 1);
        size_t length = strcspn(name, "=");
        const char *value = name[length] ? name + length + 1 : NULL;
        if ((length == 4 && strncmp(name, "help", 4) == 0) || (length == 1 && *name == 'h')) {
            *help = true;
            continue;
        }
        const struct option *option = find(options, count, name, length);
        if (!option)
            return error_set(err, "flag provided but not defined: -%.*s", (int)length, name);
        if (option->given)
            *option->given = true;
        if (option->kind == OPTION_FLAG) {
            if (set_flag(option, value, err) < 0)
                return -1;
            continue;
        }
        if (!value) {
            if (++i == argc)
                return error_set(err, "flag needs an argument: -%s", option->name);
            value = argv[i];
        }
        if (set_value(option, value, err) < 0)
            return -1;
    }
    return i;
}

void options_reorder(const struct option *options, size_t count, int argc, char **argv)
{
    char **front = xcalloc((size_t)argc + 1, sizeof(*front));
    char **rest = xcalloc((size_t)argc + 1, sizeof(*rest));
    int front_count = 0, rest_count = 0;
    for (int i = 0; i < argc; i++) {
        const char *text = argv[i];
        if (strcmp(text, "--") == 0) {
            while (i < argc)
                rest[rest_count++] = argv[i++];
            break;
        }
        if (text[0] != '-' || !text[1]) {
            rest[rest_count++] = argv[i];
            continue;
        }
        const char *name = text + (text[1] == '-' ? 2 : 1);
        size_t length = strcspn(name, "=");
        const struct option *option = find(options, count, name, length);
        front[front_count++] = argv[i];
        if (option && option->kind != OPTION_FLAG && !name[length] && i + 1 < argc)
            front[front_count++] = argv[++i];
    }
    memcpy(argv, front, (size_t)front_count * sizeof(*argv));
    memcpy(argv + front_count, rest, (size_t)rest_count * sizeof(*argv));
    free(front);
    free(rest);
}
