/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"

static struct {
    const char *program;
    int fd;
    enum log_format format;
    enum log_level level;
    void (*sink)(void *ctx, enum log_level level, const char *text);
    void *sink_ctx;
} g_log = {.program = "rune", .fd = -1, .level = LOG_LEVEL_WARNING};

static const char *const level_names[] = {
    [LOG_LEVEL_ERROR] = "error",
    [LOG_LEVEL_WARNING] = "warning",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_DEBUG] = "debug",
};

int log_open(const struct log_options *options, struct error *err)
{
    if (options->program)
        g_log.program = options->program;
    g_log.format = options->format;
    g_log.level = options->quiet ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING;
    if (options->debug)
        g_log.level = LOG_LEVEL_DEBUG;
    if (options->fd > 0)
        g_log.fd = options->fd;
    if (options->fd > 0 || !options->path || !*options->path)
        return 0;

    int fd = open(options->path, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY, 0644);
    if (fd < 0)
        return error_errno(err, errno, "open log file %s", options->path);
    /* Out of the way of the descriptors 0-2, which may be closed in a badly started program. */
    int high = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (high >= 0) {
        close(fd);
        fd = high;
    }
    g_log.fd = fd;
    return 0;
}

bool log_enabled(enum log_level level)
{
    return level <= g_log.level;
}

int log_fd(void)
{
    return g_log.fd >= 0 ? g_log.fd : STDERR_FILENO;
}

void log_divert(void (*sink)(void *ctx, enum log_level level, const char *text), void *ctx)
{
    g_log.sink = sink;
    g_log.sink_ctx = ctx;
}

static void append_quoted(struct buffer *out, const char *text)
{
    buffer_append_char(out, '"');
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p == '"' || *p == '\\')
            buffer_append_format(out, "\\%c", *p);
        else if (*p == '\n')
            buffer_append(out, "\\n", 2);
        else if (*p == '\t')
            buffer_append(out, "\\t", 2);
        else if (*p < 0x20 || *p == 0x7f)
            buffer_append_format(out, g_log.format == LOG_FORMAT_JSON ? "\\u%04x" : "\\x%02x", *p);
        else
            buffer_append_char(out, (char)*p);
    }
    buffer_append_char(out, '"');
}

static void write_record(int fd, enum log_level level, const char *text)
{
    char stamp[40];
    time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%SZ", &utc);

    cleanup_buffer struct buffer line = BUFFER_INIT;
    if (g_log.format == LOG_FORMAT_JSON) {
        buffer_append_format(&line, "{\"level\":\"%s\",\"msg\":", level_names[level]);
        append_quoted(&line, text);
        buffer_append_format(&line, ",\"time\":\"%s\"}\n", stamp);
    } else {
        buffer_append_format(&line, "time=\"%s\" level=%s msg=", stamp, level_names[level]);
        append_quoted(&line, text);
        buffer_append_char(&line, '\n');
    }
    /* A log that cannot be written must not stop the container. */
    (void)!write_all(fd, line.data, line.size);
}

void log_vmessage(enum log_level level, const char *fmt, va_list args)
{
    if (!log_enabled(level))
        return;
    int saved = errno;
    cleanup_free char *text = xvasprintf(fmt, args);
    if (g_log.sink)
        g_log.sink(g_log.sink_ctx, level, text);
    else
        write_record(log_fd(), level, text);
    errno = saved;
}

void log_message(enum log_level level, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    log_vmessage(level, fmt, args);
    va_end(args);
}

void log_limited(struct log_limit *limit, enum log_level level, const char *fmt, ...)
{
    enum { WINDOW_S = 10, WINDOW_LINES = 10 };
    struct timespec now = {0};
    va_list args;

    clock_gettime(CLOCK_MONOTONIC, &now);
    if (limit->lines == 0 || (unsigned long long)now.tv_sec - limit->window >= WINDOW_S)
        *limit = (struct log_limit){.window = (unsigned long long)now.tv_sec,
                                    .left_out = limit->left_out};
    if (limit->lines == WINDOW_LINES) {
        limit->left_out++;
        return;
    }
    limit->lines++;
    va_start(args, fmt);
    cleanup_free char *text = xvasprintf(fmt, args);
    va_end(args);
    if (limit->left_out)
        log_message(level, "%s (and %u lines before it that were left out)", text, limit->left_out);
    else
        log_message(level, "%s", text);
    limit->left_out = 0;
}

void log_fatal(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    cleanup_free char *text = xvasprintf(fmt, args);
    va_end(args);
    if (g_log.sink) {
        g_log.sink(g_log.sink_ctx, LOG_LEVEL_ERROR, text);
        return;
    }
    if (g_log.fd >= 0)
        write_record(g_log.fd, LOG_LEVEL_ERROR, text);
    cleanup_free char *line = xasprintf("%s: %s\n", g_log.program, text);
    (void)!write_all(STDERR_FILENO, line, strlen(line));
}
