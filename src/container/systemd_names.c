/* SPDX-License-Identifier: Apache-2.0 */
/* The forms in which systemd has slices and CPU lists. Runs in rune. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "container/systemd_unit.h"

char *systemd_expand_slice(const char *slice, struct error *err)
{
    static const char suffix[] = ".slice";
    size_t length = strlen(slice);
    if (length < sizeof(suffix) || strcmp(slice + length - (sizeof(suffix) - 1), suffix) != 0 ||
        strchr(slice, '/')) {
        error_set(err, "invalid slice name: %s", slice);
        return NULL;
    }
    if (strcmp(slice, "-.slice") == 0)
        return xstrdup("");
    cleanup_free char *stem = xstrndup(slice, length - (sizeof(suffix) - 1));
    cleanup_buffer struct buffer path = BUFFER_INIT;
    for (size_t end = 0;; end++) {
        end += strcspn(stem + end, "-");
        /* Neither "-a", "a--b" nor "a-". */
        if (end == 0 || stem[end - 1] == '-') {
            error_set(err, "invalid slice name: %s", slice);
            return NULL;
        }
        buffer_append_format(&path, "/%.*s%s", (int)end, stem, suffix);
        if (!stem[end])
            return buffer_take(&path);
    }
}

int systemd_cpu_mask(const char *list, unsigned char **mask, size_t *size, struct error *err)
{
    enum { CPUS_MAX = 1 << 16 };
    cleanup_free unsigned char *bits = xcalloc(CPUS_MAX / 8, 1);
    size_t used = 0;
    for (const char *p = list; *p;) {
        p += strspn(p, ", \t\n");
        if (!*p)
            break;
        char *end;
        if (!isdigit((unsigned char)*p))
            return error_set(err, "\"%s\" is not a list of CPUs or nodes", list);
        unsigned long first = strtoul(p, &end, 10), last = first;
        if (*end == '-') {
            if (!isdigit((unsigned char)end[1]))
                return error_set(err, "\"%s\" is not a list of CPUs or nodes", list);
            last = strtoul(end + 1, &end, 10);
        }
        if (first > last || last >= CPUS_MAX || (*end && !strchr(", \t\n", *end)))
            return error_set(err, "\"%s\" is not a list of CPUs or nodes", list);
        for (unsigned long i = first; i <= last; i++)
            bits[i / 8] |= (unsigned char)(1u << i % 8);
        if (last / 8 + 1 > used)
            used = last / 8 + 1;
        p = end;
    }
    if (used == 0)
        return error_set(err, "an empty list of CPUs or nodes");
    *mask = take_ptr(bits);
    *size = used;
    return 0;
}
