/* SPDX-License-Identifier: Apache-2.0 */
/* Files into and out of a container, by its own tar: in an enclave nobody else sees them. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "rune/commands.h"

/* CONTAINER:PATH; *path is from the container's root. */
static int parse_place(const char *text, char **container, char **path, struct error *err)
{
    const char *colon = strchr(text, ':');

    if (!colon || colon == text || !colon[1])
        return error_set(err, "\"%s\": expected a container and a path, as in web:/etc/hosts",
                         text);
    *container = xstrndup(text, (size_t)(colon - text));
    *path = xasprintf("%s%s", colon[1] == '/' ? "" : "/", colon + 1);
    return 0;
}

/* The program reads nothing: its input is not the user's. */
static int close_input(struct error *err)
{
    cleanup_close int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

    if (null < 0 || dup2(null, STDIN_FILENO) < 0)
        return error_errno(err, errno, "open /dev/null");
    return 0;
}

/* Archive `entry` of a directory to standard output; without one: unpack standard input there. */
static int run_tar(char *container, char *dir, char *entry, struct error *err)
{
    char tar[] = "tar", create[] = "-cf", extract[] = "-xf", dash[] = "-", change[] = "-C";
    char *args[] = {container, tar, entry ? create : extract, dash, change, dir, entry, NULL};

    return exec_run(array_count(args) - (entry ? 1 : 2), args, err);
}

static int copy_out(const char *place, struct error *err)
{
    cleanup_free char *container = NULL, *path = NULL;

    if (parse_place(place, &container, &path, err) < 0)
        return -1;
    if (isatty(STDOUT_FILENO))
        return error_set(err, "standard output is a terminal: redirect the archive to a file, "
                              "or to tar -x");
    if (close_input(err) < 0)
        return -1;
    cleanup_free char *first = xstrdup(path), *second = xstrdup(path);
    char *dir = dirname(first), *name = basename(second);
    /* A name is no option. */
    cleanup_free char *entry = xasprintf("%s%s", *name == '-' ? "./" : "",
                                         strcmp(name, "/") == 0 ? "." : name);
    return run_tar(container, dir, entry, err);
}

static int copy_in(const char *place, struct error *err)
{
    cleanup_free char *container = NULL, *path = NULL;

    if (parse_place(place, &container, &path, err) < 0)
        return -1;
    if (isatty(STDIN_FILENO))
        return error_set(err, "standard input is a terminal: give it an archive, "
                              "as tar -c writes it");
    return run_tar(container, path, NULL, err);
}

static int run(int argc, char **argv, struct error *err)
{
    (void)argc;
    bool in = strcmp(argv[0], "-") == 0, out = strcmp(argv[1], "-") == 0;

    if (in == out)
        return error_set(err, "one side is \"-\", an archive of tar; the other one is "
                              "CONTAINER:PATH");
    return in ? copy_in(argv[1], err) : copy_out(argv[0], err);
}

const struct command command_cp = {
    .name = "cp",
    .arguments = "<container-id>:<path> -  || - <container-id>:<directory>",
    .summary = "copy files out of a container, or into it, as a tar archive",
    .description =
        "Writes a file or directory of a running container to standard output as a tar archive, "
        "or unpacks an archive from standard input into a directory of the container. It runs "
        "tar in the container, as \"rune exec\" would, so the image must have it, and it may do "
        "what the container's user may.\n"
        "Into and out of an enclave container it needs the tenant's leave: enclave.exec must "
        "allow \"tar -cf - -C DIRECTORY NAME\", or \"tar -xf - -C DIRECTORY\". The operator "
        "of the machine sees what is copied.",
    .examples = "rune cp web:/var/log/nginx - | tar -xv\n"
                "tar -c page.html | rune cp - web:/srv/www\n",
    .min_arguments = 2,
    .max_arguments = 2,
    .run = run,
    .protect = true,
};
