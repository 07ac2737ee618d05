/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/child.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "rune/commands.h"

static const char *format = "table";
static const struct option options[] = {
    {"format", "f", OPTION_TEXT, &format, "format",
     "select one of: table or json (default: table)"},
};

static int run_ps(char **argv, struct buffer *out, struct error *err)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return error_errno(err, errno, "create a pipe");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
    pid_t pid;
    int code = posix_spawnp(&pid, "ps", &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(fds[1]);
    cleanup_close int in = fds[0];
    if (code != 0)
        return error_errno(err, code, "run ps (package procps)");
    int ret = read_all(in, out, 64 << 20);
    int status = child_wait(pid);
    if (ret < 0)
        return error_errno(err, -ret, "read the output of ps");
    if (status != 0)
        return error_set(err, "ps failed: %s", buffer_text(out));
    return 0;
}

/* Column of "PID" in ps' heading, -1 when it is not shown. */
static int pid_column(const char *heading)
{
    cleanup_free char *copy = xstrdup(heading);
    char *save = NULL;
    int column = 0;
    for (char *word = strtok_r(copy, " \t", &save); word;
         word = strtok_r(NULL, " \t", &save), column++)
        if (strcmp(word, "PID") == 0)
            return column;
    return -1;
}

static long field(const char *line, int column)
{
    const char *p = line + strspn(line, " \t");
    for (int i = 0; i < column; i++) {
        p += strcspn(p, " \t");
        p += strspn(p, " \t");
    }
    return strtol(p, NULL, 10);
}

static int print_table(const pid_t *pids, size_t count, int argc, char **argv, struct error *err)
{
    static char ps[] = "ps", ef[] = "-ef";
    char **args = xcalloc((size_t)argc + 3, sizeof(*args));
    args[0] = ps;
    if (argc == 0)
        args[1] = ef;
    for (int i = 0; i < argc; i++)
        args[i + 1] = argv[i];
    cleanup_buffer struct buffer out = BUFFER_INIT;
    int ret = run_ps(args, &out, err);
    free(args);
    if (ret < 0)
        return ret;
    char *rest = out.data, *line = strsep(&rest, "\n");
    int column = line ? pid_column(line) : -1;
    if (column < 0)
        return error_set(err, "couldn't find PID field in ps output");
    puts(line);
    while ((line = strsep(&rest, "\n")) && *line) {
        long pid = field(line, column);
        for (size_t i = 0; i < count; i++)
            if (pids[i] == pid)
                puts(line);
    }
    return 0;
}

static int run(int argc, char **argv, struct error *err)
{
    cleanup_container struct container *container = NULL;
    cleanup_free pid_t *pids = NULL;
    size_t count = 0;
    if (strcmp(format, "table") != 0 && strcmp(format, "json") != 0)
        return error_set(err, "invalid format option: %s", format);
    if (open_container(argv[0], &container, err) < 0 ||
        container_pids(container, &pids, &count, err) < 0)
        return -1;
    if (strcmp(format, "json") == 0) {
        printf("[");
        for (size_t i = 0; i < count; i++)
            printf("%s%d", i ? "," : "", (int)pids[i]);
        printf("]\n");
        return 0;
    }
    int skip = argc > 1 && strcmp(argv[1], "--") == 0 ? 2 : 1;
    return print_table(pids, count, argc - skip, argv + skip, err);
}

const struct command command_ps = {
    .name = "ps",
    .arguments = "<container-id> [ps options]",
    .summary = "show the processes of a container",
    .description =
        "Runs ps of the host and shows the lines of the container's processes; what follows the "
        "container is given to ps. Of an enclave container the host sees the one process that "
        "carries the enclave.",
    .examples = "rune ps web\n"
                "rune ps web -o pid,args\n"
                "rune ps --format json web\n",
    .options = options,
    .option_count = array_count(options),
    .min_arguments = 1,
    .max_arguments = -1,
    .run = run,
    .keep_order = true,
};
