/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "rune/commands.h"

static const char *format = "table";
static bool quiet;
static const struct option options[] = {
    {"format", "f", OPTION_TEXT, &format, "format",
     "select one of: table or json (default: table)"},
    {"quiet", "q", OPTION_FLAG, &quiet, NULL, "display only container IDs"},
};

static int by_id(const void *a, const void *b)
{
    const struct container *const *x = a, *const *y = b;
    return strcmp((*x)->id, (*y)->id);
}

static int collect(struct container ***out, size_t *count, struct error *err)
{
    cleanup_dir DIR *dir = opendir(g_globals.root);
    if (!dir)
        return errno == ENOENT ? 0 : error_errno(err, errno, "open %s", g_globals.root);
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (!container_id_valid(entry->d_name))
            continue;
        struct container *container = NULL;
        cleanup_error struct error failure = ERROR_INIT;
        if (container_open(g_globals.root, entry->d_name, &container, &failure) < 0) {
            /* Gone meanwhile is nothing to tell; anything else is. */
            if (failure.code != ENOENT)
                fprintf(stderr, "load container %s: %s\n", entry->d_name, error_text(&failure));
            container_close(container);
            continue;
        }
        *out = xreallocarray(*out, *count + 1, sizeof(**out));
        (*out)[(*count)++] = container;
    }
    if (*count)
        qsort(*out, *count, sizeof(**out), by_id);
    return 0;
}

static void print_table(struct container **items, size_t count)
{
    enum { COLUMNS = 6 };
    static const char *const titles[COLUMNS] = {"ID",     "PID",     "STATUS",
                                                "BUNDLE", "CREATED", "OWNER"};
    int widths[COLUMNS - 1];
    for (size_t i = 0; i < COLUMNS - 1; i++)
        widths[i] = 12;
    const char *(*rows)[COLUMNS] = xcalloc(count + 1, sizeof(*rows));
    memcpy(rows[0], titles, sizeof(titles));
    for (size_t i = 0; i < count; i++) {
        const struct oci_state *state = items[i]->state;
        enum container_status status = container_status(items[i]);
        const char *cells[COLUMNS] = {
            items[i]->id,
            xasprintf("%d", status == CONTAINER_STOPPED ? 0 : (int)state->pid),
            container_status_name(status),
            state->bundle,
            state->created,
            state->owner ? state->owner : ""};
        memcpy(rows[i + 1], cells, sizeof(cells));
    }
    for (size_t i = 0; i <= count; i++)
        for (size_t j = 0; j < COLUMNS - 1; j++)
            if ((int)strlen(rows[i][j]) + 3 > widths[j])
                widths[j] = (int)strlen(rows[i][j]) + 3;
    for (size_t i = 0; i <= count; i++) {
        for (size_t j = 0; j < COLUMNS - 1; j++)
            printf("%-*s", widths[j], rows[i][j]);
        printf("%s\n", rows[i][COLUMNS - 1]);
    }
}

static void print_json(struct container **items, size_t count)
{
    cleanup_json json_t *out = json_array();
    for (size_t i = 0; i < count; i++) {
        const struct oci_state *state = items[i]->state;
        enum container_status status = container_status(items[i]);
        json_t *item = json_object();
        json_object_set_new(item, "ociVersion", json_string(state->version ? state->version : ""));
        json_object_set_new(item, "id", json_string(items[i]->id));
        json_object_set_new(item, "pid",
                            json_integer(status == CONTAINER_STOPPED ? 0 : state->pid));
        json_object_set_new(item, "status", json_string(container_status_name(status)));
        json_object_set_new(item, "bundle", json_string(state->bundle));
        json_object_set_new(item, "rootfs", json_string(state->rootfs ? state->rootfs : ""));
        json_object_set_new(item, "created", json_string(state->created));
        if (state->annotations)
            json_object_set(item, "annotations", state->annotations);
        json_object_set_new(item, "owner", json_string(state->owner ? state->owner : ""));
        json_array_append_new(out, item);
    }
    cleanup_free char *text = json_text(out, JSON_COMPACT);
    puts(count ? text : "null");
}

static int run(int argc, char **argv, struct error *err)
{
    struct container **items = NULL;
    size_t count = 0;
    if (strcmp(format, "table") != 0 && strcmp(format, "json") != 0)
        return error_set(err, "invalid format option: %s", format);
    if (collect(&items, &count, err) < 0)
        return -1;
    if (quiet)
        for (size_t i = 0; i < count; i++)
            puts(items[i]->id);
    else if (strcmp(format, "json") == 0)
        print_json(items, count);
    else
        print_table(items, count);
    for (size_t i = 0; i < count; i++)
        container_close(items[i]);
    free(items);
    return 0;
}

const struct command command_list = {
    .name = "list",
    .arguments = "",
    .summary = "list the containers of this state root",
    .description =
        "Prints a table of the containers that are below --root, or their state documents as "
        "JSON, or their names alone.",
    .examples = "rune list\n"
                "rune list --format json\n"
                "rune list --quiet\n",
    .options = options,
    .option_count = array_count(options),
    .max_arguments = 0,
    .run = run,
};
