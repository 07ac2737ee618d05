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
    WORDS,  /* member += each of value's, between commas */
    TRUE,   /* member = true */
    PAIR,   /* member[NAME] = value of NAME=value */
    ENV,    /* NAME=value; NAME alone is of the caller's environment */
    VOLUME, /* SOURCE:TARGET[:OPTIONS] */
    MOUNT,  /* type=...,source=...,target=... */
    TMPFS,  /* TARGET[:OPTIONS] */
    SECURITY,
    ENTRYPOINT,
    REFUSED,
    REFUSED_FLAG,
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
    {"cap-add", NULL, WORDS, "capAdd"},
    {"cap-drop", NULL, WORDS, "capDrop"},
    {"group-add", NULL, LIST, "groups"},
    {"sysctl", NULL, PAIR, "sysctls"},
    {"ulimit", NULL, PAIR, "ulimits"},
    {"annotation", NULL, PAIR, "annotations"},
    {"shm-size", NULL, TEXT, "shmSize"},
    {"ipc", NULL, TEXT, "ipc"},
    {"network", NULL, TEXT, "network"},
    {"net", NULL, TEXT, "network"},
    {"umask", NULL, TEXT, "umask"},
    {"read-only-tmpfs", NULL, TRUE, "readonlyTmpfs"},
    {"systemd", NULL, TRUE, "systemd"},
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
    {"disable-content-trust", NULL, NO_VALUE, NULL},
    {"replace", NULL, NO_VALUE, NULL},
    {"tls-verify", NULL, NO_VALUE, NULL},
    {"passwd", NULL, NO_VALUE, NULL},
    {"attach", "a", NOTHING, NULL},
    {"detach-keys", NULL, NOTHING, NULL},
    {"isolation", NULL, NOTHING, NULL},
    {"storage-opt", NULL, NOTHING, NULL},
    {"link-local-ip", NULL, NOTHING, NULL},
    {"kernel-memory", NULL, NOTHING, NULL},
    {"memory-swappiness", NULL, NOTHING, NULL},
    {"cpu-rt-period", NULL, NOTHING, NULL},
    {"cpu-rt-runtime", NULL, NOTHING, NULL},
    {"cpuset-mems", NULL, NOTHING, NULL},
    {"blkio-weight-device", NULL, NOTHING, NULL},
    {"device-read-bps", NULL, NOTHING, NULL},
    {"device-read-iops", NULL, NOTHING, NULL},
    {"device-write-bps", NULL, NOTHING, NULL},
    {"device-write-iops", NULL, NOTHING, NULL},
    {"cgroup-conf", NULL, NOTHING, NULL},
    {"device", NULL, NOTHING, NULL},
    {"device-cgroup-rule", NULL, NOTHING, NULL},
    {"domainname", NULL, TEXT, "domainname"},
    {"health-start-period", NULL, NOTHING, NULL},
    {"publish", "p", NOTHING, NULL},
    {"runtime", NULL, NOTHING, NULL},
    {"runc-binary", NULL, NOTHING, NULL},
    {"runc-root", NULL, NOTHING, NULL},
    {"cgroup", NULL, NOTHING, NULL},
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
    {"pid", NULL, NOTHING, NULL},
    {"uts", NULL, NOTHING, NULL},
    {"snapshotter", NULL, NOTHING, NULL},
    {"oom-score-adj", NULL, NOTHING, NULL},
    {"blkio-weight", NULL, NOTHING, NULL},
    {"health-cmd", NULL, NOTHING, NULL},
    {"health-interval", NULL, NOTHING, NULL},
    {"health-retries", NULL, NOTHING, NULL},
    {"health-timeout", NULL, NOTHING, NULL},
    {"privileged", NULL, REFUSED_FLAG, "gives the capabilities of the node's kernel: name them"},
    {"userns", NULL, REFUSED, "maps users, which is not known to measure"},
    {"http-proxy", NULL, REFUSED_FLAG, "takes variables of the caller's: name them"},
    {"env-host", NULL, REFUSED_FLAG, "takes variables of the caller's: name them"},
    {"init", NULL, REFUSED_FLAG, "runs a program of the host, and an enclave runs none"},
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

/* What else a volume's options say counts where the engine hands it on. */
static int add_volume_option(const char *option, bool *readonly, struct buffer *rest,
                             struct error *err)
{
    static const char *const kept[] = {"noexec", "nosuid", "nodev", "exec", "suid", "dev"};
    static const char *const without[] = {
        "rw",      "z",      "Z",      "nocopy", "copy",   "rprivate",  "private",
        "rshared", "shared", "rslave", "slave",  "cached", "delegated", "consistent",
        "U",       "idmap",  "bind",   "rbind",  ""};
    if (strcmp(option, "ro") == 0) {
        *readonly = true;
        return 0;
    }
    for (size_t i = 0; i < array_count(kept); i++) {
        if (strcmp(option, kept[i]) == 0) {
            buffer_append_format(rest, "%s%s", rest->size ? "," : "", option);
            return 0;
        }
    }
    for (size_t i = 0; i < array_count(without); i++)
        if (strcmp(option, without[i]) == 0)
            return 0;
    return error_set(err, "option \"%s\" is not known to measure", option);
}

static int add_volume(json_t *wish, const char *value, struct error *err)
{
    cleanup_free char *copy = xstrdup(value);
    char *rest = copy, *source = strsep(&rest, ":"), *target = strsep(&rest, ":"), *option;
    cleanup_buffer struct buffer options = BUFFER_INIT;
    bool readonly = false;
    if (!target) { /* a volume without a name */
        target = source;
        source = NULL;
    }
    while (rest && (option = strsep(&rest, ",")) != NULL)
        if (add_volume_option(option, &readonly, &options, err) < 0)
            return error_wrap(err, "-v %s", value);
    if (target[0] != '/')
        return error_set(err, "-v %s: the target is no absolute path", value);
    json_t *mount = json_pack("{s:s, s:b, s:b, s:s}", "target", target, "readonly", readonly,
                              "volume", !source || (source[0] != '/' && source[0] != '.'),
                              "options", buffer_text(&options));
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
    bool readonly = false, tmpfs = false, volume = true; /* a volume, where nothing is said */
    cleanup_buffer struct buffer options = BUFFER_INIT;
    while ((word = strsep(&rest, ",")) != NULL) {
        char *key = strsep(&word, "=");
        if (strcmp(key, "type") == 0) {
            tmpfs = word && strcmp(word, "tmpfs") == 0;
            volume = word && strcmp(word, "volume") == 0;
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
        } else if ((strcmp(key, "tmpfs-size") == 0 || strcmp(key, "tmpfs-mode") == 0) && word) {
            json_object_set_new(mount, key + 6, json_string(word));
        } else if (strncmp(key, "bind-", 5) != 0 && strncmp(key, "volume-", 7) != 0 &&
                   strcmp(key, "consistency") != 0) {
            return error_set(err, "--mount %s: \"%s\" is not known to measure", value, key);
        }
    }
    const char *target = json_string_value(json_object_get(mount, "target"));
    if (!target || target[0] != '/')
        return error_set(err, "--mount %s: give target=/ABSOLUTE/PATH", value);
    json_object_set_new(mount, "readonly", json_boolean(readonly));
    json_object_set_new(mount, "volume", json_boolean(volume));
    json_object_set_new(mount, tmpfs ? "tmpfs" : "options", json_string(buffer_text(&options)));
    json_array_append(list_of(wish, "mounts"), mount);
    return 0;
}

static int add_security(json_t *wish, const char *value, struct error *err)
{
    if (strcmp(value, "no-new-privileges") == 0 || strcmp(value, "no-new-privileges:true") == 0 ||
        strcmp(value, "no-new-privileges=true") == 0)
        json_object_set_new(wish, "noNewPrivileges", json_true());
    else if (strcmp(value, "systempaths=unconfined") == 0)
        json_object_set_new(wish, "unmasked", json_true());
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

static int add_words(json_t *list, const char *value)
{
    cleanup_free char *copy = xstrdup(value);
    char *rest = copy, *word;
    while ((word = strsep(&rest, ",")) != NULL)
        json_array_append_new(list, json_string(word));
    return 0;
}

static bool takes_value(const struct line_option *option)
{
    return option->effect != NO_VALUE && option->effect != TRUE && option->effect != REFUSED_FLAG;
}

static int apply(json_t *wish, const struct line_option *option, const char *value,
                 struct error *err)
{
    const bool alone = !takes_value(option);
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
    case WORDS:
        return add_words(list_of(wish, option->member), value);
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
    case REFUSED_FLAG:
        if (value && (strcmp(value, "false") == 0 || strcmp(value, "host") == 0))
            return 0; /* what is so anyway */
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

/* Podman takes a JSON list as well as one word. */
static void split_entrypoint(json_t *wish)
{
    const char *text = json_string_value(json_array_get(json_object_get(wish, "entrypoint"), 0));
    json_t *list = text && text[0] == '[' ? json_parse(text, strlen(text), "--entrypoint", NULL)
                                          : NULL;
    if (list)
        json_object_set_new(wish, "entrypoint", list);
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
    for (int i = 0; i < argc; i++) {
        cleanup_json json_t *word = json_string(argv[i]);
        if (!word) { /* it would be left out */
            error_set(err, "word %d of the line is not UTF-8", i + 1);
            return NULL;
        }
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
    if (*engine == ENGINE_PODMAN)
        split_entrypoint(wish);
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
