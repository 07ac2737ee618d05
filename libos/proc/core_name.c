/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/sys/kernel/core_pattern: the name of a core file, as core(5) says. */
#include "tracee.h"
#include "fs.h"
#include <linux/fcntl.h>
#include <linux/limits.h>

static struct {
    struct mutex lock;
    char text[CORE_PATTERN_SIZE];
} g_pattern = {.text = "core"};

void core_pattern(char out[CORE_PATTERN_SIZE])
{
    mutex_lock(&g_pattern.lock);
    memcpy(out, g_pattern.text, CORE_PATTERN_SIZE);
    mutex_unlock(&g_pattern.lock);
}

int core_set_pattern(const char *text)
{
    if (strlen(text) >= CORE_PATTERN_SIZE || *text == '|' || *text == '@')
        return -EINVAL; /* no program and no socket gets it */
    mutex_lock(&g_pattern.lock);
    strlcpy(g_pattern.text, text, CORE_PATTERN_SIZE);
    mutex_unlock(&g_pattern.lock);
    return 0;
}

struct name {
    char *text; /* PATH_MAX */
    size_t used;
};

static void add_char(struct name *n, char c)
{
    if (n->used < PATH_MAX - 1)
        n->text[n->used++] = c;
    n->text[n->used] = 0;
}

/* A value's slash is none of the path. */
static void add_text(struct name *n, const char *text)
{
    for (; *text; text++)
        add_char(n, *text == '/' ? '!' : *text);
}

static void add_number(struct name *n, u64 x)
{
    char text[24];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)x);
    add_text(n, text);
}

static void add_value(struct name *n, char letter, int sig)
{
    const struct process *p = current_process();
    char host[65], domain[65];
    switch (letter) {
    case '%':
        return add_char(n, '%');
    case 'p':
    case 'P':
        return add_number(n, (u64)p->pid);
    case 'i':
    case 'I':
        return add_number(n, (u64)current()->tid);
    case 'u':
        return add_number(n, p->cred.uid);
    case 'g':
        return add_number(n, p->cred.gid);
    case 'd':
        return add_number(n, p->dumpable);
    case 's':
        return add_number(n, (u64)sig);
    case 't':
        return add_number(n, clock_realtime() / 1000000000);
    case 'c':
        return add_number(n, p->rlimits[LIMIT_CORE].soft);
    case 'h':
        uts_names(host, domain);
        return add_text(n, host);
    case 'e':
        return add_text(n, p->comm);
    default:; /* nothing, as on Linux */
    }
}

void core_name(char *name, int sig)
{
    char pattern[CORE_PATTERN_SIZE];
    struct name n = {.text = name};
    core_pattern(pattern);
    *name = 0;
    for (const char *c = pattern; *c; c++) {
        if (*c != '%')
            add_char(&n, *c);
        else if (c[1])
            add_value(&n, *++c, sig);
    }
}

bool core_place_is_ours(const char *name)
{
    const char *slash = strrchr(name, '/');
    char *dir = kstrndup(slash ? name : ".", slash ? (size_t)(slash - name) + 1 : 1);
    struct dentry *d = NULL;
    int r = dir ? path_lookup(AT_FDCWD, dir, LOOKUP_DIRECTORY, &d) : -ENOMEM;
    bool ours = r == 0 && !dentry_untrusted(d);
    if (r == 0)
        dentry_put(d);
    kfree(dir);
    return ours;
}
