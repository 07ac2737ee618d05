/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the deployment lets the host do to the running enclave: start processes (rune exec) and send
 * signals. All that the host says of a process is a wish; what it gets is at most what the
 * container's own first process has.
 */
#include "boundary.h"
#include "policy.h"
#include "manifest.h"
#include "measured.h"

#define CAP_SETGID 6
#define CAP_SETUID 7
#define TERM_MAX   64u

static bool text_matches(const struct deployment_text *t, const char *s)
{
    if (!t->pattern)
        return strcmp(t->text, s) == 0;
    return !path_goes_up(s) && pattern_match(t->text, strlen(t->text), s, strlen(s));
}

static bool any_matches(const struct deployment_text *t, u32 count, const char *s)
{
    for (u32 i = 0; i < count; i++) {
        if (text_matches(&t[i], s))
            return true;
    }
    return false;
}

static bool arguments_match(const struct deployment_command *c, char **argv)
{
    for (u32 i = 0; i < c->arg_count; i++) {
        if (argv[i] == NULL || !text_matches(&c->texts[i], argv[i]))
            return false;
    }
    return argv[c->arg_count] == NULL;
}

/* ---- the environment of a listed command ---- */

/* Bytes of NAME= at the start of an entry, 0: it has none. */
static size_t name_size(const char *entry)
{
    const char *equals = strchr(entry, '=');

    return equals == NULL || equals == entry ? 0 : (size_t)(equals - entry) + 1;
}

static bool is_named(const char *entry, const char *name)
{
    return strncmp(entry, name, strlen(name)) == 0;
}

/* The entry takes the place of one with its name. */
static void set_variable(char **env, char *entry)
{
    size_t size = name_size(entry);

    while (*env != NULL && strncmp(*env, entry, size) != 0)
        env++;
    if (*env == NULL)
        env[1] = NULL;
    *env = entry;
}

static bool list_has(char **list, const char *s)
{
    for (; list != NULL && *list != NULL; list++) {
        if (strcmp(*list, s) == 0)
            return true;
    }
    return false;
}

/* A terminal's name, and no path to a description of the host's. */
static bool term_is_plain(const char *entry)
{
    const char *s = entry + strlen("TERM=");

    if (*s == '\0' || *s == '.' || strlen(s) > TERM_MAX)
        return false;
    for (; *s != '\0'; s++) {
        if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') ||
              *s == '-' || *s == '+' || *s == '.' || *s == '_'))
            return false;
    }
    return true;
}

/*
 * The container's own environment, and of the wish what the entry names. Engines set HOME and TERM
 * by themselves: HOME stays the container's, TERM goes with a terminal. Anything else is refused
 * rather than left out, for who asked for it should know.
 */
static int environment(const struct deployment_command *c, const struct process_spec *s, char **out)
{
    const struct deployment_text *allowed = c->texts + c->arg_count;
    size_t n = 0;

    for (; g_deployment.env != NULL && g_deployment.env[n] != NULL; n++)
        out[n] = g_deployment.env[n];
    out[n] = NULL;
    for (char **e = s->env; e != NULL && *e != NULL; e++) {
        if (list_has(g_deployment.env, *e))
            continue;
        if (name_size(*e) == 0)
            return REFUSED_ENVIRONMENT;
        if (any_matches(allowed, c->env_count, *e)) {
            set_variable(out, *e);
        } else if (is_named(*e, "TERM=")) {
            if (s->terminal && term_is_plain(*e))
                set_variable(out, *e);
        } else if (!is_named(*e, "HOME=")) {
            return REFUSED_ENVIRONMENT;
        }
    }
    return 0;
}

/* ---- who it may be ---- */

static bool own_has_group(u32 gid)
{
    for (u32 i = 0; i < g_deployment.group_count; i++) {
        if (g_deployment.groups[i] == gid)
            return true;
    }
    return gid == g_deployment.gid;
}

/* Process 1 could become another user itself, if it is root with these capabilities. */
static bool own_may(int cap)
{
    return g_deployment.uid == 0 && (g_deployment.capabilities >> cap & 1) != 0;
}

static bool user_is_allowed(const struct process_spec *s)
{
    if (s->uid != g_deployment.uid && !own_may(CAP_SETUID))
        return false;
    if (own_may(CAP_SETGID))
        return true;
    for (u32 i = 0; i < s->group_count; i++) {
        if (!own_has_group(s->groups[i]))
            return false;
    }
    return own_has_group(s->gid);
}

/* What no wish changes. */
static void take_own(struct process_spec *s)
{
    s->umask = g_deployment.umask;
    s->rlimits = NULL; /* the deployment's, in process_spawn() */
}

static int exec_any(struct process_spec *s)
{
    const struct deployment_policy *p = &g_deployment.policy;

    if (!user_is_allowed(s))
        return REFUSED_USER;
    if (s->terminal && !(p->stdin_host && p->stdout_host))
        return REFUSED_TERMINAL;
    take_own(s);
    return 0;
}

/* One entry of the list; env has room for both environments. */
static int exec_command(const struct deployment_command *c, struct process_spec *s, char **env)
{
    const char *own_cwd = g_deployment.cwd != NULL ? g_deployment.cwd : "/";
    const struct deployment_text *directories = c->texts + c->arg_count + c->env_count;
    int r;

    if (s->path != NULL || !arguments_match(c, s->argv))
        return REFUSED_COMMAND;
    if (s->terminal && !c->terminal)
        return REFUSED_TERMINAL;
    if (strcmp(s->cwd, own_cwd) != 0 && !any_matches(directories, c->cwd_count, s->cwd))
        return REFUSED_DIRECTORY;
    r = environment(c, s, env);
    if (r != 0)
        return r;
    take_own(s);
    s->env = env;
    s->gid = g_deployment.gid;
    s->groups = g_deployment.groups;
    s->group_count = g_deployment.group_count;
    s->capabilities = g_deployment.capabilities;
    return 0;
}

static int exec_list(struct process_spec *s, char ***out)
{
    size_t count = 1;
    char **env;
    int r = REFUSED_COMMAND;

    if (s->uid != g_deployment.uid)
        return REFUSED_USER;
    for (char **e = g_deployment.env; e != NULL && *e != NULL; e++)
        count++;
    for (char **e = s->env; e != NULL && *e != NULL; e++)
        count++;
    env = kmalloc(count * sizeof(*env));
    if (env == NULL)
        return -ENOMEM;
    for (u32 i = 0; r != 0 && i < g_deployment.command_count; i++) {
        int one = exec_command(&g_deployment.commands[i], s, env);

        /* The entry that comes nearest says what is amiss. */
        if (one != REFUSED_COMMAND)
            r = one;
    }
    if (r != 0)
        kfree(env);
    else
        *out = env;
    return r;
}

/*
 * The sets that decide what later programs may get: the container's own, and of them no more than
 * the wish when that is for less than the container has.
 */
static void take_sets(struct process_spec *s)
{
    bool own = s->capabilities == g_deployment.capabilities;

    s->bounding = own ? g_deployment.bounding : s->capabilities & g_deployment.bounding;
    s->inheritable = own ? g_deployment.inheritable : s->capabilities & g_deployment.inheritable;
    s->ambient = g_deployment.ambient & s->inheritable;
}

int policy_exec(struct process_spec *spec, char ***env)
{
    int r;

    *env = NULL;
    if (g_deployment.policy.exec == MANIFEST_EXEC_NONE)
        return REFUSED_EXEC;
    if ((spec->capabilities & ~g_deployment.capabilities) != 0)
        return REFUSED_CAPABILITIES;
    r = g_deployment.policy.exec == MANIFEST_EXEC_ANY ? exec_any(spec) : exec_list(spec, env);
    if (r == 0)
        take_sets(spec);
    return r;
}
