/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdarg.h>

/*
 * The error a host function hands to its caller: an errno value (0 when none fits) and one line of
 * text, outermost context first ("create container web: mount /proc: Operation not permitted"). A
 * function that can fail returns 0 or a negative value and takes `struct error *err` last; err may
 * be NULL when the caller does not care. Only the first failure is kept: setting an error that is
 * already set replaces the text, wrapping prefixes it.
 */
struct error {
    int code;
    char *message;
};

#define ERROR_INIT \
    {              \
        0, NULL    \
    }
#define cleanup_error __attribute__((cleanup(error_release)))

/* Set a message without an errno. Returns -1, so `return error_set(err, ...)` reads well. */
int error_set(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Set a message followed by ": strerror(code)". Returns -code. */
int error_errno(struct error *err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Like error_errno, but the text stands alone: for a code that matters and whose strerror would
 * mislead. */
int error_code(struct error *err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Prefix "context: " to an error that is set. Returns -code, or -1 when there is no code. */
int error_wrap(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The text, never NULL. */
const char *error_text(const struct error *err);
/* Move `from` into `to` (releasing what was there); `to` may be NULL. Returns -code or -1. */
int error_move(struct error *to, struct error *from);
void error_release(struct error *err);

/* Log the error at level error and exit with 1. For main() and its helpers only. */
_Noreturn void error_fatal(struct error *err);
_Noreturn void error_fatal_set(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The analyzer sees one file at a time, and would go on after a failure as if it were none. */
#if defined(__clang_analyzer__) && !defined(ERROR_IMPLEMENTATION)
#define error_set(...)   ((void)error_set(__VA_ARGS__), -1)
#define error_errno(...) ((void)error_errno(__VA_ARGS__), -1)
#define error_code(...)  ((void)error_code(__VA_ARGS__), -1)
#define error_wrap(...)  ((void)error_wrap(__VA_ARGS__), -1)
#endif
