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
    struct tm tm = {.tm_year = (int)year - 1900,
                    .tm_mon = (int)month - 1,
                    .tm_mday = (int)day,
                    .tm_hour = (int)hour,
                    .tm_min = (int)minute,
                    .tm_sec = (int)second};
    *out = timegm(&tm);
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
