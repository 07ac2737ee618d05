/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/clock.h"

#include <stdio.h>
#include <time.h>

bool clock_from_civil(unsigned year, unsigned month, unsigned day, unsigned hour, unsigned minute,
                      unsigned second, int64_t *out)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    if (year < 1950 || year > 9999 || month < 1 || month > 12 || day < 1 ||
        day > days[month - 1] + (month == 2 && leap ? 1u : 0u) || hour > 23 || minute > 59 ||
        second > 59)
        return false;
    /* Days since 1970, with years that start in March, so that the leap day is the last one. */
    int64_t y = month > 2 ? year : year - 1, m = month > 2 ? month - 3 : month + 9;
    int64_t days_before = y * 365 + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 719469;
    *out = days_before * 86400 + hour * 3600 + minute * 60 + second;
    return true;
}

bool clock_parse(const char *text, size_t size, int64_t *out)
{
    /* 0: a digit; anything else: itself */
    static const char form[] = "0000-00-00T00:00:00Z";
    unsigned part[6] = {0}, at = 0;

    if (size != 10 && size != sizeof(form) - 1)
        return false;
    for (size_t i = 0; i < size; i++) {
        if (form[i] != '0') {
            if (text[i] != form[i])
                return false;
            at++;
        } else if (text[i] < '0' || text[i] > '9') {
            return false;
        } else {
            part[at] = part[at] * 10 + (unsigned)(text[i] - '0');
        }
    }
    return clock_from_civil(part[0], part[1], part[2], part[3], part[4], part[5], out);
}

const char *clock_format(struct clock_text *out, int64_t time)
{
    time_t seconds = (time_t)time;
    struct tm tm;

    if (!gmtime_r(&seconds, &tm) || strftime(out->text, sizeof(out->text), "%FT%TZ", &tm) == 0)
        snprintf(out->text, sizeof(out->text), "%lld", (long long)time);
    return out->text;
}
