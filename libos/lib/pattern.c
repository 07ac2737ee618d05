/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patterns of policies: `*` is any bytes (none too), `?` is one byte, `\` takes the next byte as it
 * is. Nothing else has a meaning, for what a pattern allows must be plain to who reads it.
 */
#include "lib.h"

enum { ONE = 256, MANY = 257 }; /* a token is a byte or one of these */

/* The token at p[at]; returns its bytes. */
static size_t token(const char *p, size_t n, size_t at, bool literal, u32 *out)
{
    *out = (u8)p[at];
    if (literal)
        return 1;
    if (p[at] == '\\' && at + 1 < n) {
        *out = (u8)p[at + 1];
        return 2;
    }
    if (p[at] == '*')
        *out = MANY;
    else if (p[at] == '?')
        *out = ONE;
    return 1;
}

/*
 * Does p cover the subject, a text or a pattern? A pattern is a row of tokens: those of p cover the
 * same byte, ONE covers a byte and ONE, MANY covers any tokens. So all that the subject stands for
 * is covered; the converse would need more than a row by row comparison, and is not needed.
 */
static bool covers(const char *p, size_t n, const char *s, size_t m, bool literal)
{
    size_t i = 0, j = 0, after_star = 0, tried = 0;
    bool star = false;
    u32 want, have;

    while (j < m) {
        size_t step = token(s, m, j, literal, &have);

        if (i < n) {
            size_t width = token(p, n, i, false, &want);

            if (want == MANY) {
                i += width;
                star = true;
                after_star = i;
                tried = j;
                continue;
            }
            if ((want == have && have != MANY) || (want == ONE && have != MANY)) {
                i += width;
                j += step;
                continue;
            }
        }
        if (!star)
            return false;
        /* The last `*` takes one token more. */
        tried += token(s, m, tried, literal, &have);
        i = after_star;
        j = tried;
    }
    while (i < n && p[i] == '*')
        i++;
    return i == n;
}

bool pattern_valid(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '\0' || (p[i] == '\\' && ++i == n) || p[i] == '\0')
            return false;
    }
    return true;
}

bool pattern_is_exact(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '*' || p[i] == '?')
            return false;
        if (p[i] == '\\')
            i++;
    }
    return true;
}

bool path_goes_up(const char *s)
{
    while (s != NULL) {
        if (s[0] == '.' && s[1] == '.' && (s[2] == '\0' || s[2] == '/'))
            return true;
        s = strchr(s, '/');
        if (s != NULL)
            s++;
    }
    return false;
}

bool pattern_match(const char *p, size_t n, const char *text, size_t size)
{
    return covers(p, n, text, size, true);
}

bool pattern_within(const char *inner, size_t m, const char *outer, size_t n)
{
    return covers(outer, n, inner, m, false);
}
