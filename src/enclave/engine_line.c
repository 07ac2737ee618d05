/* SPDX-License-Identifier: Apache-2.0 */
/* `docker run`, `podman run` and `ctr run` lines as wishes (engine.h). */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "enclave/engine.h"

/* What an option becomes. A letter alone has one dash. */
enum effect {
    NOTHING, /* it takes a value, and changes nothing that is measured */
    NO_VALUE,
    TEXT,   /* member = value */
    LIST,   /* member += value */
    TRUE,   /* member = true */
    PAIR,   /* member[NAME] = value of NAME=value */
    ENV,    /* NAME=value; NAME alone is of the caller's environment */
    VOLUME, /* SOURCE:TARGET[:OPTIONS] */
    MOUNT,  /* type=...,source=...,target=... */
    TMPFS,  /* TARGET[:OPTIONS] */
    SECURITY,
    ENTRYPOINT,
    REFUSED,
};
struct line_option {
    const char *name, *letter;
    enum effect effect;
    const char *member;
};

static const struct line_option g_options[] = {
    {"env", "e", ENV, "env"},
    {"user", "u", TEXT, "user"},
    {"workdir", "w", TEXT, "cwd"},
    {"cwd", NULL, TEXT, "cwd"},
    {"hostname", "h", TEXT, "hostname"},
    {"entrypoint", NULL, ENTRYPOINT, "entrypoint"},
    {"tty", "t", TRUE, "tty"},
    {"read-only", NULL, TRUE, "readonly"},
    {"volume", "v", VOLUME, NULL},
    {"mount", NULL, MOUNT, NULL},
    {"tmpfs", NULL, TMPFS, NULL},
    {"cap-add", NULL, LIST, "capAdd"},
    {"cap-drop", NULL, LIST, "capDrop"},
    {"group-add", NULL, LIST, "groups"},
    {"sysctl", NULL, PAIR, "sysctls"},
    {"ulimit", NULL, PAIR, "ulimits"},
    {"annotation", NULL, PAIR, "annotations"},
    {"shm-size", NULL, TEXT, "shmSize"},
    {"security-opt", NULL, SECURITY, NULL},
    {"name", NULL, TEXT, "name"},
    {"interactive", "i", NO_VALUE, NULL},
    {"detach", "d", NO_VALUE, NULL},
    {"rm", NULL, NO_VALUE, NULL},
    {"publish-all", "P", NO_VALUE, NULL},
    {"sig-proxy", NULL, NO_VALUE, NULL},
    {"oom-kill-disable", NULL, NO_VALUE, NULL},
    {"no-healthcheck", NULL, NO_VALUE, NULL},
    {"quiet", "q", NO_VALUE, NULL},
    {"null-io", NULL, NO_VALUE, NULL},
    {"net-host", NULL, NO_VALUE, NULL},
    {"publish", "p", NOTHING, NULL},
    {"runtime", NULL, NOTHING, NULL},
    {"runc-binary", NULL, NOTHING, NULL},
    {"runc-root", NULL, NOTHING, NULL},
    {"cgroup", NULL, NOTHING, NULL},
    {"network", NULL, NOTHING, NULL},
    {"net", NULL, NOTHING, NULL},
    {"network-alias", NULL, NOTHING, NULL},
    {"ip", NULL, NOTHING, NULL},
    {"ip6", NULL, NOTHING, NULL},
    {"mac-address", NULL, NOTHING, NULL},
    {"dns", NULL, NOTHING, NULL},
    {"dns-search", NULL, NOTHING, NULL},
    {"dns-option", NULL, NOTHING, NULL},
    {"add-host", NULL, NOTHING, NULL},
    {"expose", NULL, NOTHING, NULL},
    {"label", "l", NOTHING, NULL},
    {"label-file", NULL, NOTHING, NULL},
    {"restart", NULL, NOTHING, NULL},
    {"memory", "m", NOTHING, NULL},
    {"memory-swap", NULL, NOTHING, NULL},
    {"memory-limit", NULL, NOTHING, NULL},
    {"memory-reservation", NULL, NOTHING, NULL},
    {"cpus", NULL, NOTHING, NULL},
    {"cpu-shares", "c", NOTHING, NULL},
    {"cpu-quota", NULL, NOTHING, NULL},
    {"cpu-period", NULL, NOTHING, NULL},
    {"cpuset-cpus", NULL, NOTHING, NULL},
    {"pids-limit", NULL, NOTHING, NULL},
    {"cgroup-parent", NULL, NOTHING, NULL},
    {"cgroupns", NULL, NOTHING, NULL},
    {"cidfile", NULL, NOTHING, NULL},
    {"pidfile", NULL, NOTHING, NULL},
    {"pid-file", NULL, NOTHING, NULL},
    {"log-driver", NULL, NOTHING, NULL},
    {"log-opt", NULL, NOTHING, NULL},
    {"stop-signal", NULL, NOTHING, NULL},
    {"stop-timeout", NULL, NOTHING, NULL},
    {"pull", NULL, NOTHING, NULL},
    {"platform", NULL, NOTHING, NULL},
    {"ipc", NULL, NOTHING, NULL},
    {"pid", NULL, NOTHING, NULL},
    {"uts", NULL, NOTHING, NULL},
    {"snapshotter", NULL, NOTHING, NULL},
    {"oom-score-adj", NULL, NOTHING, NULL},
    {"blkio-weight", NULL, NOTHING, NULL},
    {"health-cmd", NULL, NOTHING, NULL},
    {"health-interval", NULL, NOTHING, NULL},
    {"health-retries", NULL, NOTHING, NULL},
    {"health-timeout", NULL, NOTHING, NULL},
    {"privileged", NULL, REFUSED, "gives the capabilities of the node's kernel: name them"},
    {"init", NULL, REFUSED, "runs a program of the host, and an enclave runs none"},
    {"env-file", NULL, REFUSED, "is not read here: give its lines by --env"},
    {"volumes-from", NULL, REFUSED, "is not looked up here: give the volumes"},
};

static json_t *list_of(json_t *wish, const char *member)
{
    json_t *list = json_object_get(wish, member);
    if (!list)
        json_object_set_new(wish, member, list = json_array());
    return list;
}

static json_t *object_of(json_t *wish, const char *member)
{
    json_t *object = json_object_get(wish, member);
    if (!object)
        json_object_set_new(wish, member, object = json_object());
    return object;
}

static int add_volume(json_t *wish, const char *value, struct error *err)
{
    cleanup_free char *copy = xstrdup(value);
    char *rest = copy, *source = strsep(&rest, ":"), *target = strsep(&rest, ":"), *option;
    bool readonly = false;
    if (!target) { /* a volume without a name */
        target = source;
        source = NULL;
    }
    while (rest && (option = strsep(&rest, ",")) != NULL)
        readonly = readonly || strcmp(option, "ro") == 0;
    if (target[0] != '/')
        return error_set(err, "-v %s: the target is no absolute path", value);
    json_t *mount = json_pack("{s:s, s:b}", "target", target, "readonly", readonly);
    if (source && source[0] == '/')
        json_object_set_new(mount, "source", json_string(source));
    json_array_append_new(list_of(wish, "mounts"), mount);
    return 0;
}

/* Docker's words and ctr's: type=bind,src=/tmp,dst=/host,options=rbind:ro. */
static int add_mount(json_t *wish, const char *value, struct error *err)
{
    cleanup_free char *copy = xstrdup(value);
    cleanup_json json_t *mount = json_object();
    char *rest = copy, *word, *option;
    bool readonly = false, tmpfs = false;
    cleanup_buffer struct buffer options = BUFFER_INIT;
    while ((word = strsep(&rest, ",")) != NULL) {
        char *key = strsep(&word, "=");
        if (strcmp(key, "type") == 0) {
            tmpfs = word && strcmp(word, "tmpfs") == 0;
        } else if (strcmp(key, "source") == 0 || strcmp(key, "src") == 0) {
            if (word && word[0] == '/')
                json_object_set_new(mount, "source", json_string(word));
        } else if (strcmp(key, "target") == 0 || strcmp(key, "dst") == 0 ||
                   strcmp(key, "destination") == 0) {
            json_object_set_new(mount, "target", json_string(word));
        } else if (strcmp(key, "readonly") == 0 || strcmp(key, "ro") == 0) {
            readonly = !word || strcmp(word, "false") != 0;
        } else if (strcmp(key, "options") == 0) {
            while (word && (option = strsep(&word, ":")) != NULL) {
                readonly = readonly || strcmp(option, "ro") == 0;
                buffer_append_format(&options, "%s%s", options.size ? "," : "", option);
            }
        } else if (strncmp(key, "tmpfs-", 6) == 0 && word) {
            buffer_append_format(&options, "%s%s=%s", options.size ? "," : "", key + 6, word);
        } else if (strncmp(key, "bind-", 5) != 0 && strcmp(key, "consistency") != 0) {
            return error_set(err, "--mount %s: \"%s\" is not known to measure", value, key);
        }
    }
    const char *target = json_string_value(json_object_get(mount, "target"));
    if (!target || target[0] != '/')
        return error_set(err, "--mount %s: give target=/ABSOLUTE/PATH", value);
    json_object_set_new(mount, "readonly", json_boolean(readonly));
    if (tmpfs)
        json_object_set_new(mount, "tmpfs", json_string(buffer_text(&options)));
    json_array_append(list_of(wish, "mounts"), mount);
    return 0;
}

static int add_security(json_t *wish, const char *value, struct error *err)
{
    if (strcmp(value, "no-new-privileges") == 0 || strcmp(value, "no-new-privileges:true") == 0 ||
        strcmp(value, "no-new-privileges=true") == 0)
        json_object_set_new(wish, "noNewPrivileges", json_true());
    else if (strncmp(value, "mask", 4) == 0 || strncmp(value, "unmask", 6) == 0 ||
             strncmp(value, "systempaths", 11) == 0)
        return error_set(err, "--security-opt %s is not known to measure", value);
    return 0;
}

static int add_env(json_t *wish, const char *value, struct error *err)
{
    if (!strchr(value, '='))
        return error_set(err, "--env %s: give its value, which is measured (%s=VALUE)", value,
                         value);
    json_array_append_new(list_of(wish, "env"), json_string(value));
    return 0;
}

static int apply(json_t *wish, const struct line_option *option, const char *value,
                 struct error *err)
{
    const bool alone = option->effect == TRUE || option->effect == NO_VALUE ||
                       option->effect == REFUSED;
    if (!value && !alone)
        return error_set(err, "--%s needs a value", option->name);
    const char *equal = value ? strchr(value, '=') : NULL;
    cleanup_free char *name = equal ? xstrndup(value, (size_t)(equal - value)) : NULL;
    const char *colon = value ? strchr(value, ':') : NULL;
    cleanup_free char *target = colon ? xstrndup(value, (size_t)(colon - value)) : NULL;
    switch (option->effect) {
    case TEXT:
        json_object_set_new(wish, option->member, json_string(value));
        return 0;
    case LIST:
        json_array_append_new(list_of(wish, option->member), json_string(value));
        return 0;
    case TRUE:
        json_object_set_new(wish, option->member,
                            json_boolean(!value || strcmp(value, "false") != 0));
        return 0;
    case PAIR:
        if (!name)
            return error_set(err, "--%s %s: give NAME=VALUE", option->name, value);
        json_object_set_new(object_of(wish, option->member), name, json_string(equal + 1));
        return 0;
    case ENV:
        return add_env(wish, value, err);
    case VOLUME:
        return add_volume(wish, value, err);
    case MOUNT:
        return add_mount(wish, value, err);
    case TMPFS:
        json_array_append_new(list_of(wish, "mounts"),
                              json_pack("{s:s, s:s}", "target", target ? target : value, "tmpfs",
                                        colon ? colon + 1 : ""));
        return 0;
    case SECURITY:
        return add_security(wish, value, err);
    case ENTRYPOINT:
        json_object_set_new(wish, "entrypoint", value[0] ? json_pack("[s]", value) : json_array());
        return 0;
    case REFUSED:
        return error_set(err, "--%s %s", option->name, option->member);
    default:
        return 0;
    }
}

static const struct line_option *find_long(const char *name, size_t size)
{
    for (size_t i = 0; i < array_count(g_options); i++)
        if (strlen(g_options[i].name) == size && strncmp(g_options[i].name, name, size) == 0)
            return &g_options[i];
    return NULL;
}

static const struct line_option *find_letter(char letter)
{
    for (size_t i = 0; i < array_count(g_options); i++)
        if (g_options[i].letter && g_options[i].letter[0] == letter)
            return &g_options[i];
    return NULL;
}

static bool takes_value(const struct line_option *option)
{
    return option->effect != NO_VALUE && option->effect != TRUE &&
           !(option->effect == REFUSED &&
             (strcmp(option->name, "init") == 0 || strcmp(option->name, "privileged") == 0));
}

/* One argument that begins with a dash, perhaps with the next as its value; how many were used. */
static int take_option(json_t *wish, int argc, char **argv, struct error *err)
{
    const char *text = argv[0];
    if (text[1] == '-') {
        const char *equal = strchr(text, '=');
        const struct line_option *option = find_long(text + 2, equal ? (size_t)(equal - text) - 2
                                                                     : strlen(text) - 2);
        if (!option)
            return error_set(err, "%s is not known to measure", text);
        if (equal || !takes_value(option))
            return apply(wish, option, equal ? equal + 1 : NULL, err) < 0 ? -1 : 1;
        if (argc < 2)
            return error_set(err, "%s needs a value", text);
        return apply(wish, option, argv[1], err) < 0 ? -1 : 2;
    }
    for (const char *letter = text + 1; *letter; letter++) {
        const struct line_option *option = find_letter(*letter);
        if (!option)
            return error_set(err, "-%c is not known to measure", *letter);
        if (!takes_value(option)) {
            if (apply(wish, option, NULL, err) < 0)
                return -1;
            continue;
        }
        if (letter[1])
            return apply(wish, option, letter + (letter[1] == '=' ? 2 : 1), err) < 0 ? -1 : 1;
        if (argc < 2)
            return error_set(err, "%s needs a value", text);
        return apply(wish, option, argv[1], err) < 0 ? -1 : 2;
    }
    return 1;
}

json_t *engine_line(int argc, char **argv, enum engine *engine, struct error *err)
{
    cleanup_json json_t *wish = json_object();
    const char *slash = strrchr(argv[0], '/'), *program = slash ? slash + 1 : argv[0];
    int at = 2;
    if (engine_of(program, engine, err) < 0)
        return NULL;
    if (*engine == ENGINE_CRI || argc < 3 ||
        (strcmp(argv[1], "run") != 0 && strcmp(argv[1], "create") != 0)) {
        error_set(err, "give the line from its start: %s run [OPTIONS] IMAGE", program);
        return NULL;
    }
    while (at < argc && argv[at][0] == '-' && argv[at][1]) {
        if (strcmp(argv[at], "--") == 0) {
            at++;
            break;
        }
        int used = take_option(wish, argc - at, argv + at, err);
        if (used < 0)
            return NULL;
        at += used;
    }
    if (at >= argc) {
        error_set(err, "the line names no image");
        return NULL;
    }
    json_object_set_new(wish, "image", json_string(argv[at++]));
    if (*engine == ENGINE_CTR && at < argc)
        json_object_set_new(wish, "name", json_string(argv[at++]));
    while (at < argc)
        json_array_append_new(list_of(wish, "args"), json_string(argv[at++]));
    return json_incref(wish);
}

json_t *engine_words(const char *text, struct error *err)
{
    cleanup_json json_t *words = json_array();
    cleanup_buffer struct buffer word = BUFFER_INIT;
    bool open = false;
    char quote = 0;
    for (const char *p = text; *p || open; p++) {
        if (!*p || (!quote && isspace((unsigned char)*p))) {
            if (quote) {
                error_set(err, "a quote in \"%s\" is not closed", text);
                return NULL;
            }
            if (open)
                json_array_append_new(words, json_string(buffer_text(&word)));
            buffer_clear(&word);
            open = false;
            if (!*p)
                break;
            continue;
        }
        open = true;
        if (*p == quote) {
            quote = 0;
        } else if (!quote && (*p == '"' || *p == '\'')) {
            quote = *p;
        } else {
            if (*p == '\\' && quote != '\'' && p[1])
                p++;
            buffer_append_char(&word, *p);
        }
    }
    return json_incref(words);
}
