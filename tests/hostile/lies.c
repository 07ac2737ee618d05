/* SPDX-License-Identifier: Apache-2.0 */
/* The table of lies, and chance. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/hostile/hostile.h"

#define LIES_MAX 512 /* a group is a row for each of its ocalls */

static struct lie g_lies[LIES_MAX];
static unsigned g_lie_count;
static _Atomic uint64_t g_times[PLACE_COUNT];
static uint64_t g_seed = 1;
static __thread uint64_t t_chance = 1;

static const char *const g_whats[W_COUNT] = {
    [W_ERRNO] = "errno",
    [W_WILD] = "wild",
    [W_HUGE] = "huge",
    [W_NUL] = "nul",
    [W_DATA] = "data",
    [W_CONTRACT] = "contract",
    [W_DENY] = "deny",
    [W_CLAIM] = "claim",
    [W_TWICE] = "twice",
    [W_LATE] = "late",
    [W_ASYNC] = "async",
    [W_HOLD] = "hold",
    [W_ELSEWHERE] = "elsewhere",
    [W_IGNORE] = "ignore",
    [W_AGAIN] = "again",
    [W_SKIP] = "skip",
    [W_SWEEP] = "sweep",
    [W_WRONG_TCS] = "wrong-tcs",
    [W_QUIET] = "quiet",
    [W_TELL] = "tell",
    [W_USER] = "user",
    [W_SWAP] = "swap",
    [W_STACK] = "stack",
    [W_ENTRY] = "entry",
    [W_REPORT] = "report",
    [W_EXEC] = "exec",
    [W_KILL] = "kill",
    [W_CLOSED] = "closed",
    [W_TERMINAL] = "terminal",
    [W_CPUID] = "cpuid",
    [W_REPLAY] = "replay",
    [W_LOCAL] = "localhost",
    [W_CUT] = "cut",
    [W_GROW] = "grow",
    [W_TAIL] = "tail",
    [W_SVN] = "svn",
    [W_RENEW] = "renew",
    [W_FILL] = "fill",
    [W_PROXY] = "proxy",
    [W_LESS] = "less",
    [W_OTHER] = "other",
    [W_IN_USE] = "in-use",
    [W_SIZE] = "size",
    [W_INODE] = "inode",
    [W_TYPE] = "type",
    [W_NAMES] = "names",
    [W_SENDER] = "sender",
    [W_CONTROL] = "control",
    [W_READY] = "ready",
    [W_BACK] = "back",
    [W_PERMISSIONS] = "permissions",
    [W_PENDING] = "pending",
    [W_MODIFIED] = "modified",
    [W_RESTRICTED] = "restricted",
    [W_ADDRESS] = "address",
    [W_ANY] = "any",
};

static const char *const g_places[PLACE_COUNT] = {
#define O(name, count, what) [OCALL_##name] = #name,
    BOUNDARY_OCALLS(O)
#undef O
        [PLACE_AEX] = "aex",
    [PLACE_RESUME] = "resume",
    [PLACE_RETURN] = "return",
    [PLACE_ECALL] = "ecall",
    [PLACE_RACE] = "race",
    [PLACE_KICK] = "kick",
    [PLACE_WAKE] = "wake",
    [PLACE_STRAY] = "stray",
    [PLACE_PAGES] = "pages",
    [PLACE_STEP] = "step",
    [PLACE_LOAD] = "load",
    [PLACE_ACCEPT] = "accept",
    [PLACE_FILES] = "given",
};

/* Names for many ocalls: from the first to the last in the order of abi/boundary.h. */
static const struct {
    const char *name;
    enum boundary_ocall first, last;
} g_groups[] = {
    {"wakes", OCALL_WAIT, OCALL_YIELD}, {"threads", OCALL_THREAD_CREATE, OCALL_TCS_ADD},
    {"time", OCALL_CLOCK, OCALL_CPUID}, {"memory", OCALL_SGX_RESTRICT, OCALL_SGX_PROTECT},
    {"files", OCALL_READ, OCALL_MKNOD}, {"sockets", OCALL_SOCKET, OCALL_GETSOCKNAME},
    {"*", 0, OCALL_COUNT - 1},
};

const char *what_name(enum what what)
{
    return g_whats[what];
}

/* ---- chance ---- */

/* splitmix64 */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15ull;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return x ^ x >> 31;
}

void lies_seed(uint64_t seed)
{
    g_seed = seed;
}

void chance_begin(uint64_t stream)
{
    t_chance = mix(g_seed ^ mix(stream));
}

uint64_t chance(void)
{
    t_chance += 0x9e3779b97f4a7c15ull;
    return mix(t_chance);
}

/* ---- scripts ---- */

static int complain(const char *row, const char *what)
{
    fprintf(stderr, "hostile: \"%s\": %s\n", row, what);
    return -1;
}

static int find(const char *const *names, unsigned count, const char *name)
{
    for (unsigned i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return (int)i;
    return -1;
}

static int add(const struct lie *lie, const char *row)
{
    if (g_lie_count == LIES_MAX)
        return complain(row, "too many lies");
    g_lies[g_lie_count++] = *lie;
    return 0;
}

static int parse_when(struct lie *lie, char *when, const char *row)
{
    char *end = when;
    switch (when[0]) {
    case '#':
        lie->first = lie->last = strtoull(when + 1, &end, 0);
        if (*end == '-')
            lie->last = strtoull(end + 1, &end, 0);
        break;
    case '~':
        lie->pause = (uint32_t)strtoul(when + 1, &end, 0);
        break;
    default:
        lie->chance = (uint32_t)(strtod(when, &end) * 100);
        end += *end == '%';
    }
    return *end == '\0' && end != when ? 0 : complain(row, "WHEN is #N, #N-M, P% or ~U");
}

static int parse_row(char *row)
{
    char where[32], when[32], what[32], shown[128];
    struct lie lie = {0};

    snprintf(shown, sizeof(shown), "%s", row);
    if (sscanf(row, " %31s %31s %31s", where, when, what) != 3)
        return complain(shown, "a lie is WHERE WHEN WHAT[=VALUE]");
    char *value = strchr(what, '=');
    if (value != NULL) {
        *value = '\0';
        lie.value = strtoll(value + 1, NULL, 0);
        lie.has_value = true;
    }
    int known = find(g_whats, W_COUNT, what);
    if (known < 0)
        return complain(shown, "no such WHAT");
    lie.what = (enum what)known;
    if (parse_when(&lie, when, shown) < 0)
        return -1;
    known = find(g_places, PLACE_COUNT, where);
    if (known >= 0) {
        lie.place = (enum place)known;
        return add(&lie, shown);
    }
    for (size_t i = 0; i < sizeof(g_groups) / sizeof(g_groups[0]); i++) {
        if (strcmp(g_groups[i].name, where) != 0)
            continue;
        for (unsigned p = g_groups[i].first; p <= g_groups[i].last; p++) {
            lie.place = p;
            if (p != OCALL_ABORT && add(&lie, shown) < 0)
                return -1;
        }
        return 0;
    }
    return complain(shown, "no such WHERE");
}

int lies_add(const char *script)
{
    char *copy = strdup(script), *rest = copy, *row;
    int r = 0;

    while (r == 0 && (row = strsep(&rest, ";\n")) != NULL) {
        row += strspn(row, " \t");
        if (*row != '\0' && *row != '/')
            r = parse_row(row);
    }
    free(copy);
    return r;
}

/* ---- the executor's question ---- */

const struct lie *lie_at(enum place place)
{
    if (!host_lying())
        return NULL;
    uint64_t time = atomic_fetch_add(&g_times[place], 1) + 1;
    chance_begin((uint64_t)place << 40 ^ time);
    for (unsigned i = 0; i < g_lie_count; i++) {
        const struct lie *lie = &g_lies[i];
        if (lie->place != place || lie->pause)
            continue;
        if (lie->first ? time >= lie->first && time <= lie->last
                       : chance_below(10000) < lie->chance) {
            atomic_fetch_add(&g_host.lies, 1);
            return lie;
        }
    }
    return NULL;
}

const struct lie *lie_row(enum place place)
{
    for (unsigned i = 0; i < g_lie_count; i++)
        if (g_lies[i].place == place)
            return &g_lies[i];
    return NULL;
}

const struct lie *lie_ongoing(enum place place)
{
    for (unsigned i = 0; i < g_lie_count; i++)
        if (g_lies[i].place == place && g_lies[i].pause)
            return &g_lies[i];
    return NULL;
}

bool lies_have(enum what what)
{
    for (unsigned i = 0; i < g_lie_count; i++)
        if (g_lies[i].what == what)
            return true;
    return false;
}
