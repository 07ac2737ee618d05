/* SPDX-License-Identifier: Apache-2.0 */
#define ERROR_IMPLEMENTATION
#include "base/error.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"

/* What is wrong may be a text of megabytes. */
enum { MESSAGE_MAX = 8192 };

static int store(struct error *err, int code, char *message)
{
    if (strlen(message) > MESSAGE_MAX)
        memcpy(message + MESSAGE_MAX - 3, "...", sizeof("..."));
    if (err) {
        free(err->message);
        err->message = message;
        err->code = code;
    } else {
        free(message);
    }
    return code > 0 ? -code : -1;
}

int error_set(struct error *err, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    char *message = xvasprintf(fmt, args);
    va_end(args);
    return store(err, 0, message);
}

int error_errno(struct error *err, int code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    char *context = xvasprintf(fmt, args);
    va_end(args);
    const char *reason = strerrordesc_np(code) ? strerrordesc_np(code) : "unknown error";
    /* With a small letter, as runc has it: its callers look for "permission denied". */
    int first = islower((unsigned char)reason[1]) ? tolower((unsigned char)reason[0]) : reason[0];
    char *message = xasprintf("%s: %c%s", context, first, reason + 1);
    free(context);
    return store(err, code, message);
}

int error_code(struct error *err, int code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    char *message = xvasprintf(fmt, args);
    va_end(args);
    return store(err, code, message);
}

int error_wrap(struct error *err, const char *fmt, ...)
{
    if (!err)
        return -1;
    va_list args;
    va_start(args, fmt);
    char *context = xvasprintf(fmt, args);
    va_end(args);
    char *message = xasprintf("%s: %s", context, error_text(err));
    free(context);
    return store(err, err->code, message);
}

const char *error_text(const struct error *err)
{
    return err && err->message ? err->message : "unknown error";
}

int error_move(struct error *to, struct error *from)
{
    int code = from->code;
    char *message = from->message;
    from->message = NULL;
    from->code = 0;
    return store(to, code, message);
}

void error_release(struct error *err)
{
    free(err->message);
    err->message = NULL;
    err->code = 0;
}

_Noreturn void error_fatal(struct error *err)
{
    log_fatal("%s", error_text(err));
    exit(1);
}

_Noreturn void error_fatal_set(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    char *message = xvasprintf(fmt, args);
    va_end(args);
    log_fatal("%s", message);
    exit(1);
}
