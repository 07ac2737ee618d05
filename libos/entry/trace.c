/* SPDX-License-Identifier: Apache-2.0 */
#include "trace.h"
#include "errno_names.h"   /* generated: ERRNO_COUNT, g_errno_names */
#include "syscall_names.h" /* generated: SYSCALL_COUNT, g_syscall_names */
#include "lib.h"
#include "log.h"
#include "host.h"
#include "sets.h"
#include "syscall.h"
#include "thread.h"
#include "user.h"
#include "newer.h"
#include <linux/fcntl.h>

#define TEXT_MAX   160 /* of a path that is shown */
#define PARAMETERS 6

enum show {
    SHOW_DECIMAL = 1,
    SHOW_UNSIGNED,
    SHOW_HEX,
    SHOW_OCTAL,
    SHOW_ID,
    SHOW_AT_FD,
    SHOW_ADDRESS,
    SHOW_TEXT,
    SHOW_SOCKADDR,
    SHOW_SET,
};

/* Per kind: how it is shown, and the size of its type. */
static const struct kind {
    u8 show, size;
} g_kinds[KINDS] = {
#define KIND(name, type, show) [KIND_##name] = {SHOW_##show, sizeof(type)},
#include "kinds.h"
#undef KIND
};

/* Per call: the kinds of its parameters, each plus one. Calls without a row are not typed. */
static const struct signature {
    bool typed;
    u8 kinds[PARAMETERS];
} g_signatures[SYSCALL_COUNT] = {
#define KIND_OF__(kind) KIND_##kind + 1
#define KIND_OF_(kind)  KIND_OF__(kind)
#define KIND_OF(reg, p) KIND_OF_(PARAMETER_KIND p)
#define CALL(name, status, note, ...) \
    [__NR_##name] = {true, {CALL_EACH(KIND_OF __VA_OPT__(, ) __VA_ARGS__)}},
#define REFUSE(name, error, note, ...) CALL(name, , note __VA_OPT__(, ) __VA_ARGS__)
#include "calls.h"
#undef CALL
#undef REFUSE
};

bool g_tracing;
static bool g_traced[SYSCALL_COUNT];

/* ---- which calls ---- */

void trace_all(void)
{
    memset(g_traced, 1, sizeof(g_traced));
    g_tracing = true;
}

static bool select_one(const char *name, size_t size)
{
    for (size_t i = 0; i < SYSCALL_COUNT; i++) {
        const char *s = g_syscall_names[i];

        if (s && strlen(s) == size && memcmp(s, name, size) == 0) {
            g_traced[i] = g_tracing = true;
            return true;
        }
    }
    return false;
}

bool trace_select(const char *names)
{
    bool known = true;

    if (strcmp(names, "all") == 0) {
        trace_all();
        return true;
    }
    while (*names) {
        const char *comma = strchr(names, ',');
        size_t size = comma ? (size_t)(comma - names) : strlen(names);

        known &= select_one(names, size);
        names += size + (comma ? 1 : 0);
    }
    return known;
}

bool trace_wants(u64 number)
{
    return number < SYSCALL_COUNT && g_traced[number];
}

/* ---- the line ---- */

static __printf(2, 3) void add(struct trace_line *line, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(line->text + line->size, sizeof(line->text) - line->size, fmt, ap);
    va_end(ap);
    if (n > 0)
        line->size = MIN(line->size + (size_t)n, sizeof(line->text) - 1);
}

static void add_escaped(struct trace_line *line, const char *s, size_t n)
{
    add(line, "\"");
    for (size_t i = 0; i < n; i++) {
        u8 c = (u8)s[i];

        if (c == '\n')
            add(line, "\\n");
        else if (c == '"' || c == '\\')
            add(line, "\\%c", c);
        else if (c < 0x20 || c >= 0x7f)
            add(line, "\\%o", c);
        else
            add(line, "%c", c);
    }
    add(line, "\"");
}

static void add_address(struct trace_line *line, u64 v)
{
    if (v == 0)
        add(line, "NULL");
    else
        add(line, "0x%lx", (unsigned long)v);
}

static void add_text(struct trace_line *line, uaddr p)
{
    char text[TEXT_MAX];
    ssize_t n = strncpy_from_user(text, p, sizeof(text));

    if (n == -EFAULT) {
        add_address(line, p.at);
        return;
    }
    add_escaped(line, text, n < 0 ? sizeof(text) - 1 : (size_t)n);
    if (n < 0)
        add(line, "...");
}

static void add_port(struct trace_line *line, const u8 *p)
{
    add(line, ":%u}", (unsigned)p[0] << 8 | p[1]);
}

static void add_inet6(struct trace_line *line, const u8 *a)
{
    for (int i = 0; i < 16; i += 2)
        add(line, "%s%x", i ? ":" : "", (unsigned)a[i] << 8 | a[i + 1]);
    add(line, "]");
}

static void add_sockaddr(struct trace_line *line, uaddr p, u64 size)
{
    u8 a[110] = {0};
    size_t n = MIN((size_t)(u32)size, sizeof(a));

    if (p.at == 0 || n < 2 || copy_from_user(a, p, n) < 0) {
        add_address(line, p.at);
        return;
    }
    switch (a[0] | a[1] << 8) {
    case 1: /* AF_UNIX: a path, or '@' and an abstract name */
        add(line, "{AF_UNIX, ");
        if (n > 2 && a[2] == 0)
            add(line, "@");
        add_escaped(line, (char *)a + 2 + (n > 2 && a[2] == 0),
                    a[2] ? strnlen((char *)a + 2, n - 2) : n - 2 - (n > 2));
        add(line, "}");
        break;
    case 2: /* AF_INET */
        add(line, "{AF_INET, %u.%u.%u.%u", a[4], a[5], a[6], a[7]);
        add_port(line, a + 2);
        break;
    case 10: /* AF_INET6 */
        add(line, "{AF_INET6, [");
        add_inet6(line, a + 8);
        add_port(line, a + 2);
        break;
    default:
        add(line, "{family %u}", (unsigned)(a[0] | a[1] << 8));
    }
}

static const char *value_name(const struct value_set *set, u64 field, u64 value)
{
    for (size_t i = 0; i < set->count; i++) {
        if (set->values[i].value == value && (value & ~field) == 0)
            return set->values[i].name;
    }
    return NULL;
}

static void add_set(struct trace_line *line, const struct value_set *set, u64 v)
{
    const char *separator = "", *name = value_name(set, set->field, v & set->field);
    u64 left = v;

    if (set->field != 0 && name) {
        add(line, "%s", name);
        separator = "|";
        left &= ~set->field;
    }
    for (size_t i = 0; i < set->count; i++) {
        u64 flag = set->values[i].value;

        if ((flag & set->field) != 0 || flag == 0 || (left & flag) != flag)
            continue;
        add(line, "%s%s", separator, set->values[i].name);
        separator = "|";
        left &= ~flag;
    }
    if (left != 0 || *separator == '\0')
        add(line, "%s%s%lx", separator, left != 0 ? "0x" : "", (unsigned long)left);
}

static void add_value(struct trace_line *line, enum call_kind kind, u64 raw, u64 next)
{
    u64 v = g_kinds[kind].size == 4 ? (u32)raw : raw;
    i64 sv = g_kinds[kind].size == 4 ? (i32)raw : (i64)raw;

    switch ((enum show)g_kinds[kind].show) {
    case SHOW_DECIMAL:
        add(line, "%ld", (long)sv);
        break;
    case SHOW_UNSIGNED:
        add(line, "%lu", (unsigned long)v);
        break;
    case SHOW_HEX:
        add(line, "0x%lx", (unsigned long)v);
        break;
    case SHOW_OCTAL:
        add(line, "0%lo", (unsigned long)v);
        break;
    case SHOW_ID:
        add(line, "%ld", v == UINT32_MAX ? -1l : (long)v);
        break;
    case SHOW_AT_FD:
        if (sv == AT_FDCWD)
            add(line, "AT_FDCWD");
        else
            add(line, "%ld", (long)sv);
        break;
    case SHOW_ADDRESS:
        add_address(line, v);
        break;
    case SHOW_TEXT:
        add_text(line, user_at(v));
        break;
    case SHOW_SOCKADDR:
        add_sockaddr(line, user_at(v), next);
        break;
    case SHOW_SET:
        add_set(line, &g_value_sets[kind], v);
        break;
    }
}

static bool may_not_return(u64 number)
{
    return number == __NR_exit || number == __NR_exit_group || number == __NR_execve ||
           number == __NR_execveat || number == __NR_rt_sigreturn;
}

static bool gives_address(u64 number)
{
    return number == __NR_mmap || number == __NR_brk || number == __NR_mremap ||
           number == __NR_shmat;
}

static void tell(struct trace_line *line)
{
    host_log(LOG_INFO, line->text, line->size);
}

void trace_begin(struct trace_line *line, u64 number, const struct uregs *regs)
{
    const u64 values[PARAMETERS + 1] = {regs->rdi, regs->rsi, regs->rdx,
                                        regs->r10, regs->r8,  regs->r9};
    const struct signature *s = &g_signatures[number];

    line->number = number;
    line->size = 0;
    add(line, "[pid %d] %s(", current()->tid, g_syscall_names[number]);
    for (size_t i = 0; i < PARAMETERS && (!s->typed || s->kinds[i] != 0); i++) {
        add(line, "%s", i == 0 ? "" : ", ");
        if (s->typed)
            add_value(line, (enum call_kind)(s->kinds[i] - 1), values[i], values[i + 1]);
        else
            add(line, "0x%lx", (unsigned long)values[i]);
    }
    add(line, ")");
    if (may_not_return(number)) {
        size_t size = line->size;

        add(line, " = ?");
        tell(line);
        line->size = size;
    }
}

/* What the LibOS itself makes of an interrupted call: restarts, or EINTR. */
static const char *restart_name(u64 e)
{
    switch (e) {
    case ERESTARTSYS:
        return "ERESTARTSYS";
    case ERESTARTNOINTR:
        return "ERESTARTNOINTR";
    case ERESTARTNOHAND:
        return "ERESTARTNOHAND";
    case ERESTART_RESTARTBLOCK:
        return "ERESTART_RESTARTBLOCK";
    default:
        return NULL;
    }
}

void trace_end(struct trace_line *line, i64 result)
{
    u64 e = (u64)-result;
    const char *restart = restart_name(e);

    if (restart)
        add(line, " = ? %s", restart);
    else if (e < ERRNO_COUNT && e > 0 && g_errno_names[e])
        add(line, " = -1 %s", g_errno_names[e]);
    else if (gives_address(line->number))
        add(line, " = 0x%lx", (unsigned long)result);
    else
        add(line, " = %ld", (long)result);
    tell(line);
}
