/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compose files and Kubernetes' kinds as wishes (engine.h). What is not known here, and could
 * change what is measured, is an error rather than left out.
 */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/path.h"
#include "enclave/engine.h"
#include "enclave/engine_pod.h"

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

/* Members that change nothing that is measured. */
static const char *const g_ignored[] = {
    "build",
    "cgroup_parent",
    "container_name",
    "cpu_count",
    "cpu_percent",
    "cpu_shares",
    "cpus",
    "cpuset",
    "depends_on",
    "deploy",
    "dns",
    "dns_opt",
    "dns_search",
    "expose",
    "external_links",
    "extra_hosts",
    "healthcheck",
    "image",
    "labels",
    "links",
    "logging",
    "mem_limit",
    "mem_reservation",
    "memswap_limit",
    "networks",
    "oom_score_adj",
    "pid",
    "pids_limit",
    "platform",
    "ports",
    "profiles",
    "pull_policy",
    "restart",
    "runtime",
    "scale",
    "stdin_open",
    "stop_grace_period",
    "stop_signal",
    "uts",
    "blkio_config",
    "cpu_period",
    "cpu_quota",
    "cpu_rt_period",
    "cpu_rt_runtime",
    "device_cgroup_rules",
    "devices",
    "isolation",
    "mac_address",
    "mem_swappiness",
    "oom_kill_disable",
};

static int fail(struct error *err, const char *service, const char *what)
{
    return error_set(err, "services.%s.%s", service, what);
}

/* A text, a number or a boolean as its text; compose takes all of them. malloc'd, NULL: another. */
static char *plain(const json_t *value)
{
    if (json_is_string(value))
        return xstrdup(json_string_value(value));
    if (json_is_integer(value))
        return xasprintf("%lld", (long long)json_integer_value(value));
    if (json_is_boolean(value))
        return xstrdup(json_is_true(value) ? "true" : "false");
    return NULL;
}

/* A list of texts, or an object, as NAME=value each; `to` is a list or an object. */
static int pairs(const json_t *value, json_t *to, const char *service, const char *member,
                 struct error *err)
{
    const char *name;
    json_t *item;
    cleanup_json json_t *list = json_array();
    if (json_is_array(value))
        json_array_extend(list, (json_t *)(uintptr_t)value);
    json_object_foreach ((json_t *)(uintptr_t)value, name, item) {
        cleanup_free char *text = plain(item);
        cleanup_free char *entry = text ? xasprintf("%s=%s", name, text) : xstrdup(name);
        json_array_append_new(list, json_string(entry));
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *entry = json_string_value(json_array_get(list, i));
        const char *equal = entry ? strchr(entry, '=') : NULL;
        if (!equal)
            return error_set(err,
                             "services.%s.%s: \"%s\" has no value, and what is measured needs "
                             "one",
                             service, member, entry ? entry : "?");
        cleanup_free char *key = xstrndup(entry, (size_t)(equal - entry));
        if (json_is_array(to))
            json_array_append_new(to, json_string(entry));
        else
            json_object_set_new(to, key, json_string(equal + 1));
    }
    return 0;
}

static json_t *words_of(const json_t *value, struct error *err)
{
    return json_is_string(value) ? engine_words(json_string_value(value), err)
                                 : json_deep_copy(value);
}

static void add_bind(json_t *mounts, const char *directory, const char *source, const char *target,
                     bool readonly)
{
    json_t *mount = json_pack("{s:s, s:b, s:b}", "target", target, "readonly", readonly, "volume",
                              !source || (source[0] != '/' && source[0] != '.'));
    cleanup_free char *path = source && source[0] == '.' ? path_join(directory, source) : NULL;
    if (path || (source && source[0] == '/'))
        json_object_set_new(mount, "source", json_string(path ? path : source));
    json_array_append_new(mounts, mount);
}

static int add_volume(json_t *mounts, const char *directory, const json_t *value,
                      const char *service, struct error *err)
{
    const char *text = json_string_value(value);
    if (text) {
        cleanup_free char *copy = xstrdup(text);
        char *rest = copy, *source = strsep(&rest, ":"), *target = strsep(&rest, ":");
        const bool readonly = rest && strstr(rest, "ro") == rest;
        add_bind(mounts, directory, target ? source : NULL, target ? target : source, readonly);
        return 0;
    }
    const char *type = text_of(value, "type"), *target = text_of(value, "target");
    if (!target)
        return fail(err, service, "volumes: a volume without a target");
    if (type && strcmp(type, "tmpfs") == 0)
        return fail(err, service, "volumes: a tmpfs here is not known to measure: use tmpfs");
    add_bind(mounts, directory, text_of(value, "source"), target,
             json_is_true(json_object_get(value, "read_only")));
    return 0;
}

static int add_ulimits(json_t *to, const json_t *value)
{
    const char *name;
    json_t *limit;
    json_object_foreach ((json_t *)(uintptr_t)value, name, limit) {
        cleanup_free char *one = plain(limit);
        cleanup_free char *soft = plain(json_object_get(limit, "soft"));
        cleanup_free char *hard = plain(json_object_get(limit, "hard"));
        cleanup_free char *text = one ? xstrdup(one)
                                      : xasprintf("%s:%s", soft ? soft : "", hard ? hard : "");
        json_object_set_new(to, name, json_string(text));
    }
    return 0;
}

static int add_list(json_t *to, const json_t *value)
{
    if (!json_is_array(value)) {
        json_array_append(to, (json_t *)(uintptr_t)value);
        return 0;
    }
    return json_array_extend(to, (json_t *)(uintptr_t)value);
}

static int add_security(json_t *wish, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (text && strncmp(text, "no-new-privileges", 17) == 0 && !strstr(text, "false"))
            json_object_set_new(wish, "noNewPrivileges", json_true());
        if (text && strcmp(text, "systempaths=unconfined") == 0)
            json_object_set_new(wish, "unmasked", json_true());
    }
    return 0;
}

static json_t *member(json_t *wish, const char *name, json_t *empty)
{
    json_t *value = json_object_get(wish, name);
    if (value)
        json_decref(empty);
    else
        json_object_set_new(wish, name, value = empty);
    return value;
}

static int take_member(json_t *wish, const char *service, const char *key, json_t *value,
                       const char *directory, struct error *err)
{
    static const struct {
        const char *key, *member;
    } texts[] = {{"user", "user"},        {"working_dir", "cwd"}, {"hostname", "hostname"},
                 {"shm_size", "shmSize"}, {"ipc", "ipc"},         {"network_mode", "network"}},
      booleans[] = {{"tty", "tty"}, {"read_only", "readonly"}},
      lists[] = {{"cap_add", "capAdd"}, {"cap_drop", "capDrop"}, {"group_add", "groups"}},
      words[] = {{"command", "args"}, {"entrypoint", "entrypoint"}};

    for (size_t i = 0; i < array_count(texts); i++) {
        if (strcmp(key, texts[i].key) == 0) {
            cleanup_free char *text = plain(value);
            return json_object_set_new(wish, texts[i].member, json_string(text ? text : ""));
        }
    }
    for (size_t i = 0; i < array_count(booleans); i++)
        if (strcmp(key, booleans[i].key) == 0)
            return json_object_set(wish, booleans[i].member, value);
    for (size_t i = 0; i < array_count(lists); i++)
        if (strcmp(key, lists[i].key) == 0)
            return json_object_set(wish, lists[i].member, value);
    for (size_t i = 0; i < array_count(words); i++) {
        if (strcmp(key, words[i].key) == 0) {
            json_t *list = json_is_null(value) ? json_null() : words_of(value, err);
            return !list                ? -1
                   : json_is_null(list) ? 0
                                        : json_object_set_new(wish, words[i].member, list);
        }
    }
    if (strcmp(key, "environment") == 0)
        return pairs(value, member(wish, "env", json_array()), service, key, err);
    if (strcmp(key, "sysctls") == 0 || strcmp(key, "annotations") == 0)
        return pairs(value, member(wish, key, json_object()), service, key, err);
    if (strcmp(key, "ulimits") == 0)
        return add_ulimits(member(wish, key, json_object()), value);
    if (strcmp(key, "security_opt") == 0)
        return add_security(wish, value);
    if (strcmp(key, "volumes") == 0) {
        for (size_t i = 0; i < json_array_size(value); i++)
            if (add_volume(member(wish, "mounts", json_array()), directory,
                           json_array_get(value, i), service, err) < 0)
                return -1;
        return 0;
    }
    if (strcmp(key, "tmpfs") == 0) {
        cleanup_json json_t *list = json_array();
        add_list(list, value);
        for (size_t i = 0; i < json_array_size(list); i++) {
            const char *text = json_string_value(json_array_get(list, i));
            const char *colon = text ? strchr(text, ':') : NULL;
            cleanup_free char *target = colon ? xstrndup(text, (size_t)(colon - text))
                                              : xstrdup(text ? text : "/");
            json_array_append_new(
                member(wish, "mounts", json_array()),
                json_pack("{s:s, s:s}", "target", target, "tmpfs", colon ? colon + 1 : ""));
        }
        return 0;
    }
    for (size_t i = 0; i < array_count(g_ignored); i++)
        if (strcmp(key, g_ignored[i]) == 0)
            return 0;
    if (strncmp(key, "x-", 2) == 0 || json_is_false(value))
        return 0;
    return error_set(err, "services.%s.%s is not known to measure: write out what it comes to",
                     service, key);
}

static int read_service(const char *name, const json_t *service, const char *directory,
                        json_t *wishes, struct error *err)
{
    const char *key, *image = text_of(service, "image");
    json_t *value, *wish = json_pack("{s:s, s:s}", "name", name, "image", image ? image : name);
    json_array_append_new(wishes, wish);
    json_object_foreach ((json_t *)(uintptr_t)service, key, value)
        if (take_member(wish, name, key, value, directory, err) < 0)
            return err->message ? -1 : error_set(err, "services.%s.%s cannot be", name, key);
    return 0;
}

/* "$$" is a dollar; variables of the caller's are no part of what a tenant can show to others. */
static int expand(json_t *value, struct error *err)
{
    const char *key, *text = json_string_value(value);
    json_t *item;
    int ret = 0;
    if (text && strchr(text, '$')) {
        cleanup_free char *copy = xstrdup(text);
        size_t n = 0;
        for (const char *p = text; *p; p++) {
            if (p[0] == '$' && p[1] != '$')
                return error_set(err,
                                 "\"%s\" has a variable: write its value out (docker compose "
                                 "config does)",
                                 text);
            p += p[0] == '$';
            copy[n++] = *p;
        }
        return json_string_setn(value, copy, n);
    }
    json_object_foreach (value, key, item)
        if (ret == 0)
            ret = expand(item, err);
    for (size_t i = 0; ret == 0 && i < json_array_size(value); i++)
        ret = expand(json_array_get(value, i), err);
    return ret;
}

json_t *engine_file(const json_t *documents, const char *directory, const char *const *variables,
                    enum engine *engine, struct error *err)
{
    cleanup_json json_t *wishes = json_array();
    json_t *services = json_object_get(json_array_get(documents, 0), "services"), *service;
    const char *name;
    int ret = 0;
    if (services) {
        *engine = ENGINE_DOCKER;
        ret = expand(services, err);
        json_object_foreach (services, name, service)
            if (ret == 0)
                ret = read_service(name, service, directory, wishes, err);
    } else {
        *engine = ENGINE_CRI;
        ret = engine_pods(documents, variables, wishes, err);
    }
    if (ret == 0 && json_array_size(wishes) == 0)
        ret = error_set(err, "neither a config.json, a compose file nor a pod of Kubernetes");
    return ret < 0 ? NULL : json_incref(wishes);
}
