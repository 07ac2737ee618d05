/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>

struct error;

/*
 * Logging in the formats of runc, which containerd, Docker and Podman read back to show a user why
 * a start failed: text: time="2026-01-02T03:04:05Z" level=error msg="..." json:
 * {"level":"error","msg":"...","time":"2026-01-02T03:04:05Z"} Without a log file everything goes to
 * stderr. Safe in a forked child; not meant for concurrent threads beyond the atomicity of one
 * write(2) a line.
 */
enum log_level {
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARNING,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG,
};

enum log_format {
    LOG_FORMAT_TEXT,
    LOG_FORMAT_JSON,
};

struct log_options {
    const char *program; /* prefix of plain lines on stderr ("rune"); not copied */
    const char *path;    /* log file, opened for appending; NULL or "" means stderr */
    int fd;              /* in place of a path: a descriptor, which is taken; 0: none */
    enum log_format format;
    bool debug; /* show info and debug lines */
    bool quiet; /* show errors only */
};

int log_open(const struct log_options *options, struct error *err);
bool log_enabled(enum log_level level);
void log_message(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void log_vmessage(enum log_level level, const char *fmt, va_list args)
    __attribute__((format(printf, 2, 0)));
/* The last word of a program: to the log file if there is one, and always "program: text" on
 * stderr. */
void log_fatal(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The descriptor that lines go to, for a child that must keep it; STDERR_FILENO without a log
 * file. */
int log_fd(void);
/*
 * Divert every line, e.g. to a parent process; NULL restores. The text passed has no newline.
 * log_fatal is diverted as a line of level error.
 */
void log_divert(void (*sink)(void *ctx, enum log_level level, const char *text), void *ctx);

/*
 * For lines that strangers can cause: ten in ten seconds, and the first one afterwards says how
 * many were left out. Zeroed it is ready; one thread's.
 */
struct log_limit {
    unsigned long long window; /* seconds of CLOCK_MONOTONIC at its begin */
    unsigned lines, left_out;
};
void log_limited(struct log_limit *limit, enum log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#define log_error(...)   log_message(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_message(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)    log_message(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)                                 \
    do {                                               \
        if (log_enabled(LOG_LEVEL_DEBUG))              \
            log_message(LOG_LEVEL_DEBUG, __VA_ARGS__); \
    } while (0)
