/* SPDX-License-Identifier: Apache-2.0 */
#include "enclave/engine_pod.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "enclave/predict.h"

#define SERVICE_ACCOUNT "/var/run/secrets/kubernetes.io/serviceaccount"

struct pod {
    const json_t *documents, *metadata, *spec;
    const char *const *variables; /* of the caller's */
    struct error *err;
};

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

/* ---- environment ---- */

static const char *given(const struct pod *pod, const char *name)
{
    const size_t size = strlen(name);
    for (const char *const *v = pod->variables; v && *v; v++)
        if (strncmp(*v, name, size) == 0 && (*v)[size] == '=')
            return *v + size + 1;
    return NULL;
}

/* A ConfigMap's or Secret's data in the same file. */
static const json_t *find_data(const struct pod *pod, const char *kind, const char *name)
{
    for (size_t i = 0; name && i < json_array_size(pod->documents); i++) {
        const json_t *d = json_array_get(pod->documents, i);
        const char *other = text_of(d, "kind");
        const char *its = text_of(json_object_get(d, "metadata"), "name");
        if (other && its && strcmp(other, kind) == 0 && strcmp(its, name) == 0)
            return json_object_get(d, strcmp(kind, "Secret") == 0 ? "stringData" : "data");
    }
    return NULL;
}

static const char *of_field(const struct pod *pod, const json_t *field)
{
    const char *path = text_of(field, "fieldPath");
    static const struct {
        const char *prefix, *member;
    } maps[] = {{"metadata.labels['", "labels"}, {"metadata.annotations['", "annotations"}};
    if (path && strcmp(path, "metadata.namespace") == 0)
        return text_of(pod->metadata, "namespace") ? text_of(pod->metadata, "namespace")
                                                   : "default";
    for (size_t i = 0; path && i < array_count(maps); i++) {
        const size_t size = strlen(maps[i].prefix);
        if (strncmp(path, maps[i].prefix, size) != 0)
            continue;
        cleanup_free char *key = xstrndup(path + size, strcspn(path + size, "'"));
        return text_of(json_object_get(pod->metadata, maps[i].member), key);
    }
    return NULL;
}

static int add_variable(const struct pod *pod, const json_t *variable, json_t *env)
{
    const char *name = text_of(variable, "name"), *value = text_of(variable, "value");
    const json_t *from = json_object_get(variable, "valueFrom");
    const json_t *map = json_object_get(from, "configMapKeyRef");
    const json_t *secret = json_object_get(from, "secretKeyRef");
    if (!name)
        return error_set(pod->err, "a variable without a name");
    if (given(pod, name))
        value = given(pod, name);
    else if (map || secret)
        value = text_of(
            find_data(pod, map ? "ConfigMap" : "Secret", text_of(map ? map : secret, "name")),
            text_of(map ? map : secret, "key"));
    else if (from)
        value = of_field(pod, json_object_get(from, "fieldRef"));
    else if (!value)
        value = "";
    if (!value && json_object_get(from, "fieldRef")) {
        /* The node's: a rule has to leave it to the host, which is looked at later. */
        cleanup_free char *entry = xasprintf("%s=" PREDICT_UNKNOWN, name);
        json_array_append_new(env, json_string(entry));
        return 0;
    }
    if (!value)
        return error_set(pod->err,
                         "env %s: the file does not say its value: give --env %s=VALUE, or leave "
                         "it to the host by the annotation enclave.host.env",
                         name, name);
    if (strstr(value, "$("))
        return error_set(pod->err, "env %s: write out what $(...) comes to", name);
    cleanup_free char *entry = xasprintf("%s=%s", name, value);
    json_array_append_new(env, json_string(entry));
    return 0;
}

static int add_variables_from(const struct pod *pod, const json_t *from, json_t *env)
{
    const char *prefix = text_of(from, "prefix"), *key;
    const json_t *map = json_object_get(from, "configMapRef");
    const char *name = text_of(map ? map : json_object_get(from, "secretRef"), "name");
    const json_t *data = find_data(pod, map ? "ConfigMap" : "Secret", name);
    json_t *value;
    if (!data)
        return error_set(pod->err,
                         "envFrom %s is not in the file: put it there, or write the "
                         "variables out",
                         name ? name : "?");
    json_object_foreach ((json_t *)(uintptr_t)data, key, value) {
        cleanup_free char *entry = xasprintf("%s%s=%s", prefix ? prefix : "", key,
                                             json_is_string(value) ? json_string_value(value) : "");
        json_array_append_new(env, json_string(entry));
    }
    return 0;
}

static int add_environment(const struct pod *pod, const json_t *container, json_t *wish)
{
    const json_t *list = json_object_get(container, "env");
    const json_t *from = json_object_get(container, "envFrom");
    json_t *env = json_array();
    json_object_set_new(wish, "env", env);
    for (size_t i = 0; i < json_array_size(from); i++)
        if (add_variables_from(pod, json_array_get(from, i), env) < 0)
            return -1;
    for (size_t i = 0; i < json_array_size(list); i++)
        if (add_variable(pod, json_array_get(list, i), env) < 0)
            return -1;
    return 0;
}

/* ---- mounts ---- */

static const json_t *find_volume(const struct pod *pod, const char *name)
{
    const json_t *list = json_object_get(pod->spec, "volumes");
    for (size_t i = 0; name && i < json_array_size(list); i++) {
        const char *other = text_of(json_array_get(list, i), "name");
        if (other && strcmp(other, name) == 0)
            return json_array_get(list, i);
    }
    return NULL;
}

static int add_mount(const struct pod *pod, const json_t *mount, json_t *mounts)
{
    static const char *const projections[] = {"configMap", "secret", "projected", "downwardAPI"};
    const char *target = text_of(mount, "mountPath"), *name = text_of(mount, "name");
    const json_t *volume = find_volume(pod, name);
    const char *type = text_of(json_object_get(volume, "hostPath"), "type");
    bool projected = false;
    if (!target || (!volume && json_object_get(pod->spec, "volumes") == NULL))
        return error_set(pod->err, "volumeMount %s: there is no such volume", name ? name : "?");
    for (size_t i = 0; i < array_count(projections); i++)
        projected = projected || json_object_get(volume, projections[i]);
    const char *part = text_of(mount, "subPath");
    const bool file = (projected && part) ||
                      (type && (strstr(type, "File") || strcmp(type, "Socket") == 0));
    json_array_append_new(mounts,
                          json_pack("{s:s, s:b, s:b}", "target", target, "readonly",
                                    projected || json_is_true(json_object_get(mount, "readOnly")),
                                    "file", file));
    return 0;
}

static bool has_target(const json_t *mounts, const char *target)
{
    for (size_t i = 0; i < json_array_size(mounts); i++)
        if (strcmp(text_of(json_array_get(mounts, i), "target"), target) == 0)
            return true;
    return false;
}

static int add_mounts(const struct pod *pod, const json_t *container, json_t *wish)
{
    const json_t *list = json_object_get(container, "volumeMounts");
    const char *log = text_of(container, "terminationMessagePath");
    json_t *mounts = json_array();
    json_object_set_new(wish, "mounts", mounts);
    for (size_t i = 0; i < json_array_size(list); i++)
        if (add_mount(pod, json_array_get(list, i), mounts) < 0)
            return -1;
    if (!json_is_false(json_object_get(pod->spec, "automountServiceAccountToken")) &&
        !has_target(mounts, SERVICE_ACCOUNT))
        json_array_append_new(mounts,
                              json_pack("{s:s, s:b}", "target", SERVICE_ACCOUNT, "readonly", 1));
    json_array_append_new(
        mounts, json_pack("{s:s, s:b}", "target", log ? log : "/dev/termination-log", "file", 1));
    return 0;
}

/* ---- who ---- */

/* The container's word, else the pod's. */
static const json_t *security(const struct pod *pod, const json_t *container, const char *key)
{
    const json_t *own = json_object_get(json_object_get(container, "securityContext"), key);
    return own ? own : json_object_get(json_object_get(pod->spec, "securityContext"), key);
}

static int add_security(const struct pod *pod, const json_t *container, json_t *wish)
{
    const json_t *uid = security(pod, container, "runAsUser");
    const json_t *gid = security(pod, container, "runAsGroup");
    const json_t *capabilities = security(pod, container, "capabilities");
    const json_t *further = security(pod, container, "supplementalGroups");
    const json_t *fs = security(pod, container, "fsGroup");
    if (json_is_true(security(pod, container, "privileged")))
        return error_set(pod->err,
                         "privileged gives the capabilities of the node's kernel: name them");
    json_t *groups = json_array();
    if (uid || gid) {
        cleanup_free char *user = gid ? xasprintf("%lld:%lld", (long long)json_integer_value(uid),
                                                  (long long)json_integer_value(gid))
                                      : xasprintf("%lld", (long long)json_integer_value(uid));
        json_object_set_new(wish, "user", json_string(user));
    }
    for (size_t i = 0; i <= json_array_size(further); i++) {
        const json_t *group = i < json_array_size(further) ? json_array_get(further, i) : fs;
        cleanup_free char *text = xasprintf("%lld", (long long)json_integer_value(group));
        if (group)
            json_array_append_new(groups, json_string(text));
    }
    json_object_set_new(wish, "groups", groups);
    if (json_object_get(capabilities, "add"))
        json_object_set(wish, "capAdd", json_object_get(capabilities, "add"));
    if (json_object_get(capabilities, "drop"))
        json_object_set(wish, "capDrop", json_object_get(capabilities, "drop"));
    json_object_set_new(
        wish, "readonly",
        json_boolean(json_is_true(security(pod, container, "readOnlyRootFilesystem"))));
    const json_t *escalation = security(pod, container, "allowPrivilegeEscalation");
    json_object_set_new(wish, "noNewPrivileges", json_boolean(json_is_false(escalation)));
    return 0;
}

/* ---- containers ---- */

static int check_words(const struct pod *pod, const json_t *words)
{
    for (size_t i = 0; i < json_array_size(words); i++) {
        const char *word = json_string_value(json_array_get(words, i));
        if (!word || strstr(word, "$("))
            return error_set(pod->err, "command and args are texts, with what $(...) comes to "
                                       "written out");
    }
    return 0;
}

static void add_annotations(const struct pod *pod, json_t *wish)
{
    json_t *out = json_object(), *value;
    const char *key;
    json_object_foreach (json_object_get(pod->metadata, "annotations"), key, value)
        if (strncmp(key, "enclave.", 8) == 0) /* as pod_annotations of containerd lets through */
            json_object_set(out, key, value);
    json_object_set_new(wish, "annotations", out);
}

static int add_container(const struct pod *pod, const json_t *container, json_t *wishes)
{
    const char *name = text_of(container, "name"), *image = text_of(container, "image");
    if (!name || !image)
        return error_set(pod->err, "a container without a name or an image");
    json_t *wish = json_pack("{s:s, s:s}", "name", name, "image", image);
    json_array_append_new(wishes, wish);
    if (json_object_get(container, "command"))
        json_object_set(wish, "entrypoint", json_object_get(container, "command"));
    if (json_object_get(container, "args"))
        json_object_set(wish, "args", json_object_get(container, "args"));
    if (text_of(container, "workingDir"))
        json_object_set(wish, "cwd", json_object_get(container, "workingDir"));
    json_object_set_new(wish, "tty", json_boolean(json_is_true(json_object_get(container, "tty"))));
    add_annotations(pod, wish);
    if (check_words(pod, json_object_get(container, "command")) < 0 ||
        check_words(pod, json_object_get(container, "args")) < 0 ||
        add_environment(pod, container, wish) < 0 || add_mounts(pod, container, wish) < 0 ||
        add_security(pod, container, wish) < 0)
        return error_wrap(pod->err, "container %s", name);
    return 0;
}

static int add_pod(struct pod *pod, json_t *wishes)
{
    static const char *const lists[] = {"initContainers", "containers"};
    for (size_t k = 0; k < array_count(lists); k++) {
        const json_t *list = json_object_get(pod->spec, lists[k]);
        for (size_t i = 0; i < json_array_size(list); i++)
            if (add_container(pod, json_array_get(list, i), wishes) < 0)
                return -1;
    }
    return 0;
}

int engine_pods(const json_t *documents, const char *const *variables, json_t *wishes,
                struct error *err)
{
    for (size_t i = 0; i < json_array_size(documents); i++) {
        const json_t *owner = json_array_get(documents, i), *spec = json_object_get(owner, "spec");
        if (json_object_get(spec, "jobTemplate")) { /* CronJob */
            owner = json_object_get(spec, "jobTemplate");
            spec = json_object_get(owner, "spec");
        }
        if (json_object_get(spec, "template")) {
            owner = json_object_get(spec, "template");
            spec = json_object_get(owner, "spec");
        }
        struct pod pod = {.documents = documents,
                          .metadata = json_object_get(owner, "metadata"),
                          .spec = spec,
                          .variables = variables,
                          .err = err};
        if (json_is_array(json_object_get(spec, "containers")) && add_pod(&pod, wishes) < 0)
            return -1;
    }
    return 0;
}
