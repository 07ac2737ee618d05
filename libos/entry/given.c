/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the host fills in: variables beside the measured ones. Nothing of it is measured, so each is
 * held against the deployment's rules, and the whole is refused for one that no rule allows
 * (docs/design/identity.md).
 */
#include "deployment.h"
#include "host_value.h"
#include "manifest.h"
#include "start.h"

#define VARIABLES_MAX 65536u

/* A name as a word of a log line: what is behind the '=' stays out. */
static int refuse(const char *entry, size_t size, const char *why)
{
    char name[64];
    size_t n = MIN(size, sizeof(name) - 1);

    for (size_t i = 0; i < n; i++)
        name[i] = entry[i] > ' ' && entry[i] < 127 && entry[i] != '=' ? entry[i] : '?';
    name[n] = '\0';
    log_error("the host gives the variable %s, %s", name, why);
    return -EPERM;
}

static bool is_measured(const struct deployment *d, const char *entry, size_t name)
{
    for (char **e = d->env; e != NULL && *e != NULL; e++) {
        if (strncmp(*e, entry, name) == 0 && ((*e)[name] == '=' || (*e)[name] == '\0'))
            return true;
    }
    return false;
}

static bool rule_allows(const struct deployment *d, const char *entry, size_t name, bool *named)
{
    const char *value = entry + name + 1;

    for (u32 i = 0; i < d->host_variable_count; i++) {
        const struct deployment_host_variable *rule = &d->host_variables[i];

        if (!pattern_match(rule->pattern, strlen(rule->pattern), entry, name))
            continue;
        *named = true;
        if (host_value_fits(rule->value, value, strlen(value)))
            return true;
    }
    return false;
}

/* Text that is shown to programs as JSON: no control characters, and UTF-8. */
static bool is_text(const char *s)
{
    const u8 *p = (const u8 *)s;

    while (*p != 0) {
        u32 more = *p < 0x80 ? 0 : *p >= 0xc2 && *p < 0xe0 ? 1 : *p >= 0xe0 && *p < 0xf0 ? 2 : 3;
        u32 code;

        if (*p < 0x20 || *p == 0x7f || (*p >= 0x80 && *p < 0xc2) || *p > 0xf4)
            return false;
        code = more == 0 ? *p : *p & (0x3fu >> more);
        p++;
        for (u32 i = 0; i < more; i++, p++) {
            if ((*p & 0xc0) != 0x80)
                return false;
            code = code << 6 | (*p & 0x3f);
        }
        if ((more == 2 && (code < 0x800 || (code >= 0xd800 && code < 0xe000))) ||
            (more == 3 && (code < 0x10000 || code > 0x10ffff)))
            return false;
    }
    return true;
}

/* before: the entry before this one, or NULL. */
static int check(const struct deployment *d, const char *entry, const char *before)
{
    size_t name = host_variable_name(entry), shown = strlen(entry);
    size_t last = before != NULL ? host_variable_name(before) : 0;
    bool named = false;
    int order;

    if (name == 0 || entry[name] != '=')
        return refuse(entry, MIN(shown, name + 1), "which is not NAME=value");
    if (before != NULL) {
        order = memcmp(before, entry, MIN(last, name));
        if (order > 0 || (order == 0 && last >= name))
            return refuse(entry, name, "twice or not in the order of names");
    }
    if (host_variable_is_never(entry, name))
        return refuse(entry, name, "which steers any program: no rule can allow it");
    if (is_measured(d, entry, name))
        return refuse(entry, name, "which the deployment has itself: it cannot be changed");
    if (!rule_allows(d, entry, name, &named))
        return refuse(entry, name,
                      named ? "but its value has not the form that the deployment's rule wants"
                            : "which no rule of the deployment allows (enclave.host.env)");
    if (!is_text(entry))
        return refuse(entry, name, "whose value is no UTF-8 text");
    return 0;
}

/* One record at *at; -EINVAL. *text is NUL-terminated and new. */
static int take_record(const u8 *blob, size_t size, size_t *at, char **text)
{
    struct manifest_record r;
    size_t padded;

    if (size - *at < sizeof(r))
        return -EINVAL;
    memcpy(&r, blob + *at, sizeof(r));
    *at += sizeof(r);
    padded = ((size_t)r.size + 7) & ~7ul;
    if (r.type != MANIFEST_ENV || padded > size - *at || memchr(blob + *at, 0, r.size) != NULL)
        return -EINVAL;
    for (size_t i = r.size; i < padded; i++) {
        if (blob[*at + i] != 0)
            return -EINVAL;
    }
    *text = kmalloc((size_t)r.size + 1);
    if (*text == NULL)
        return -ENOMEM;
    memcpy(*text, blob + *at, r.size);
    (*text)[r.size] = '\0';
    *at += padded;
    return 0;
}

static void free_strings(char **list, u32 count)
{
    for (u32 i = 0; i < count; i++)
        kfree(list[i]);
    kfree(list);
}

/* The environment of the first process: the measured variables, then the host's. */
static int join(struct deployment *d, char **given, u32 count)
{
    size_t measured = 0;
    char **env;

    while (d->env != NULL && d->env[measured] != NULL)
        measured++;
    env = kmalloc((measured + count + 1) * sizeof(*env));
    if (env == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < measured; i++)
        env[i] = d->env[i];
    for (u32 i = 0; i < count; i++)
        env[measured + i] = given[i];
    env[measured + count] = NULL;
    kfree(d->env);
    d->env = env;
    d->given = given; /* shares the texts */
    d->given_count = count;
    return 0;
}

int given_load(const void *blob, size_t size, struct deployment *d)
{
    struct manifest_deployment_header h;
    size_t at = sizeof(h);
    char **given;
    u32 n = 0;
    int r = 0;

    if (size < sizeof(h))
        return -EINVAL;
    memcpy(&h, blob, sizeof(h));
    if (h.magic != MANIFEST_GIVEN_MAGIC || h.version != MANIFEST_VERSION || h.size != size ||
        h.record_count > VARIABLES_MAX)
        return -EINVAL;
    given = kmalloc(((size_t)h.record_count + 1) * sizeof(*given));
    if (given == NULL)
        return -ENOMEM;
    while (r == 0 && n < h.record_count) {
        r = take_record(blob, size, &at, &given[n]);
        if (r < 0)
            break;
        n++;
        r = check(d, given[n - 1], n > 1 ? given[n - 2] : NULL);
    }
    if (r == 0 && at != size)
        r = -EINVAL;
    if (r == 0)
        r = join(d, given, n);
    if (r < 0)
        free_strings(given, n);
    return r;
}
