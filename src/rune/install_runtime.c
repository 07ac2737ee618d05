/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tell an engine of rune, and take that back. What was put in is kept in a record, so that exactly
 * that goes again, whatever else was changed since; the record is written first, and taken for
 * nothing where its text is not in the file.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "rune/commands.h"
#include "rune/engines.h"

#define RECORDS "/var/lib/rune/install-runtime"

enum { FILE_MAX = 4 << 20 };

static bool undo, dry_run;
static const char *sysroot = "";
static const struct option options[] = {
    {"undo", NULL, OPTION_FLAG, &undo, NULL, "take out again what this command put in"},
    {"dry-run", NULL, OPTION_FLAG, &dry_run, NULL, "show the change, and make none"},
    {"sysroot", NULL, OPTION_TEXT, &sysroot, "dir", "configure the system in that directory"},
};

/* One engine's files, and what is in them. */
struct job {
    const struct engine *engine;
    char *file, *record;
    bool exists;
    mode_t mode;
    struct buffer old;      /* the file's text */
    struct buffer recorded; /* what the record says was put in; empty: none */
    bool created;           /* by the record: the file is this command's own */
    json_int_t directories; /* and that many above it */
};

static void job_release(struct job *job)
{
    free(job->file);
    free(job->record);
    buffer_release(&job->old);
    buffer_release(&job->recorded);
}

static int read_old(struct job *job, struct error *err)
{
    struct stat st;
    cleanup_close int fd = open(job->file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    job->mode = 0644;
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return 0;
    if (fd < 0 || fstat(fd, &st) < 0)
        return error_errno(err, errno, "open %s", job->file);
    job->exists = true;
    job->mode = st.st_mode & 07777;
    int ret = read_all(fd, &job->old, FILE_MAX);
    if (ret < 0)
        return error_errno(err, -ret, "read %s", job->file);
    if (job->old.size > 0 && memchr(job->old.data, '\0', job->old.size))
        return error_set(err, "%s is no text", job->file);
    /* A link stays one. */
    char *real = realpath(job->file, NULL);
    if (real) {
        free(job->file);
        job->file = real;
    }
    return 0;
}

static int read_record(struct job *job, struct error *err)
{
    if (access(job->record, F_OK) < 0)
        return 0;
    cleanup_json json_t *json = json_parse_file(AT_FDCWD, job->record, FILE_MAX, err);
    const char *text = json_string_value(json_object_get(json, "text"));
    if (!json)
        return -1;
    if (!text)
        return error_set(err, "%s: it is no record of this command", job->record);
    buffer_append_text(&job->recorded, text);
    job->created = json_is_true(json_object_get(json, "created"));
    job->directories = json_integer_value(json_object_get(json, "directories"));
    return 0;
}

static int job_open(struct job *job, const char *name, struct error *err)
{
    job->engine = engine_find(name, err);
    if (!job->engine)
        return -1;
    job->file = xasprintf("%s%s", sysroot, job->engine->file);
    job->record = xasprintf("%s" RECORDS "/%s.json", sysroot, name);
    return read_old(job, err) < 0 || read_record(job, err) < 0 ? -1 : 0;
}

/* Where what was put in begins, if it is there as it was written; else NULL. */
static const char *recorded_at(const struct job *job)
{
    return job->recorded.size > 0 && job->old.size > 0 ? strstr(job->old.data, job->recorded.data)
                                                       : NULL;
}

static int write_file(const char *path, const char *data, size_t size, mode_t mode,
                      struct error *err)
{
    cleanup_free char *directory = xstrdup(path);
    char *slash = strrchr(directory, '/');
    *slash = '\0';
    if (path_mkdir_p(*directory ? directory : "/", 0755, err) < 0)
        return -1;
    cleanup_close int dir = open(*directory ? directory : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return error_errno(err, errno, "open %s", directory);
    return replace_file_at(dir, slash + 1, data, size, mode, true, err);
}

/* Remove a file of our own, and the directories above it that it leaves empty, up to `levels`. */
static int remove_file(const char *path, json_int_t levels, struct error *err)
{
    cleanup_free char *copy = xstrdup(path);
    if (unlink(path) < 0 && errno != ENOENT)
        return error_errno(err, errno, "remove %s", path);
    for (char *slash; levels-- > 0 && (slash = strrchr(copy, '/')) && slash != copy;) {
        *slash = '\0';
        if (rmdir(copy) < 0)
            break;
    }
    return 0;
}

/* How many directories above the file are not there yet. */
static json_int_t missing_directories(const char *file)
{
    cleanup_free char *copy = xstrdup(file);
    json_int_t count = 0;
    for (char *slash; (slash = strrchr(copy, '/')) && slash != copy; count++) {
        *slash = '\0';
        if (access(copy, F_OK) == 0)
            break;
    }
    return count;
}

static int write_record(const struct job *job, const struct buffer *text, struct error *err)
{
    cleanup_json json_t *json = json_pack("{s:s,s:s,s:b,s:I}", "file", job->engine->file, "text",
                                          buffer_text(text), "created", !job->exists, "directories",
                                          missing_directories(job->file));
    cleanup_free char *record = json_text(json, JSON_INDENT(2));
    return write_file(job->record, record, strlen(record), 0644, err);
}

static void show(const struct job *job, size_t offset, const char *text, char sign)
{
    size_t line = 1;
    for (size_t i = 0; i < offset; i++)
        line += job->old.data[i] == '\n';
    cleanup_free char *copy = xstrdup(text);
    size_t size = strlen(copy);
    if (size > 0 && copy[size - 1] == '\n')
        copy[size - 1] = '\0';
    printf("%s, line %zu%s:\n", job->file, line, job->exists ? "" : " (a new file)");
    char *rest = copy;
    for (char *entry; (entry = strsep(&rest, "\n"));)
        printf("%c %s\n", sign, entry);
    fflush(stdout);
}

static int install(const struct job *job, struct error *err)
{
    cleanup_buffer struct buffer text = BUFFER_INIT;
    if (recorded_at(job)) {
        printf("%s: rune is there already\n", job->file);
        return 0;
    }
    cleanup_free char *prefix = path_own_prefix();
    if (!prefix)
        return error_set(err, "this rune is in no directory called bin: install it first");
    cleanup_free char *rune = path_join(prefix, "bin/rune");
    size_t offset = 0;
    int planned = job->engine->plan(job->file, &job->old, rune, &text, &offset, err);
    if (planned < 0)
        return -1;
    if (planned == 0 && job->engine->own_file &&
        strcmp(buffer_text(&text), buffer_text(&job->old)) != 0)
        return error_set(err, "%s is there already, with other text: remove it first", job->file);
    if (planned == 0) {
        printf("%s: rune is there already, not by this command: nothing is changed\n", job->file);
        return 0;
    }
    show(job, offset, buffer_text(&text), '+');
    if (dry_run)
        return 0;
    cleanup_buffer struct buffer whole = BUFFER_INIT;
    buffer_append(&whole, buffer_text(&job->old), offset);
    buffer_append(&whole, text.data, text.size);
    buffer_append_text(&whole, buffer_text(&job->old) + offset);
    if (write_record(job, &text, err) < 0 ||
        write_file(job->file, whole.data, whole.size, job->mode, err) < 0)
        return -1;
    printf("done; nothing was restarted. Now: %s\n", job->engine->then);
    return 0;
}

static int take_out(const struct job *job, struct error *err)
{
    const char *found = recorded_at(job);
    if (job->recorded.size == 0) {
        printf("%s: this command has put nothing in: nothing is changed\n", job->file);
        return 0;
    }
    if (!found && job->exists) {
        show(job, 0, buffer_text(&job->recorded), '-');
        return error_set(err,
                         "%s was changed where this command had put these lines in: take them "
                         "out by hand, and remove %s",
                         job->file, job->record);
    }
    if (found)
        show(job, (size_t)(found - job->old.data), buffer_text(&job->recorded), '-');
    if (dry_run)
        return 0;
    if (found && job->created && job->old.size == job->recorded.size) {
        if (remove_file(job->file, job->directories, err) < 0)
            return -1;
    } else if (found) {
        cleanup_buffer struct buffer whole = BUFFER_INIT;
        buffer_append(&whole, job->old.data, (size_t)(found - job->old.data));
        buffer_append_text(&whole, found + job->recorded.size);
        if (write_file(job->file, buffer_text(&whole), whole.size, job->mode, err) < 0)
            return -1;
    }
    if (remove_file(job->record, 2, err) < 0)
        return -1;
    printf("done; nothing was restarted\n");
    return 0;
}

static int run(int argc, char **argv, struct error *err)
{
    struct job job = {0};
    int ret = job_open(&job, argv[0], err);
    if (ret == 0)
        ret = undo ? take_out(&job, err) : install(&job, err);
    job_release(&job);
    return ret;
}

const struct command command_install_runtime = {
    .name = "install-runtime",
    .arguments = "docker|containerd|podman|cri-o",
    .summary = "tell an engine of rune, in the engine's configuration",
    .description =
        "Shows the lines that go into the engine's configuration, and puts them in: the runtimes "
        "rune "
        "and, where the engine can, rune-enclave, which makes every container an enclave "
        "container. "
        "Everything else in the file stays as it is, comments and order too. The engine is not "
        "restarted. A second time nothing is changed.\n"
        "With --undo the lines are taken out again, and a file that this command made is removed.",
    .examples = "rune install-runtime --dry-run docker\n"
                "rune install-runtime containerd\n"
                "rune install-runtime --undo containerd\n",
    .options = options,
    .option_count = array_count(options),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
