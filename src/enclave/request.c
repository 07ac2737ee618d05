/* SPDX-License-Identifier: Apache-2.0 */
/* Detection: annotations and environment variables, with the names that Inclavare Containers gave
 * them. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/number.h"
#include "enclave/enclave.h"
#include "enclave/levels.h"
#include "enclave/locate.h"
#include "enclave/occlum.h"
#include "enclave/policy.h"

enum setting {
    SETTING_TYPE,
    SETTING_PATH,
    SETTING_ARGS,
    SETTING_LOG_LEVEL,
    SETTING_TRACE,
    SETTING_CARRIER,
    SETTING_MODE,
    SETTING_SIZE,
    SETTING_MEMORY,
    SETTING_THREADS,
    SETTING_KSS,
    SETTING_SGX2,
    SETTING_AEXNOTIFY,
    SETTING_MOUNTS,
    SETTING_BOUND,
    SETTING_IMAGE,
    SETTING_SIGNATURE,
    SETTING_EXEC,
    SETTING_SIGNALS,
    SETTING_LOOPBACK,
    SETTING_STDIO,
    SETTING_HOST_ENV,
    SETTING_HOST_NAME,
    SETTING_RATLS,
    SETTING_RATLS_CLIENTS,
    SETTINGS,
};

static const struct {
    const char *annotation, *variable;
} g_names[SETTINGS] = {
    [SETTING_TYPE] = {"enclave.type", "ENCLAVE_TYPE"},
    [SETTING_PATH] = {"enclave.runtime.path", "ENCLAVE_RUNTIME_PATH"},
    [SETTING_ARGS] = {"enclave.runtime.args", "ENCLAVE_RUNTIME_ARGS"},
    [SETTING_LOG_LEVEL] = {"enclave.runtime.loglevel", "ENCLAVE_RUNTIME_LOGLEVEL"},
    [SETTING_TRACE] = {"enclave.trace", "ENCLAVE_TRACE"},
    [SETTING_CARRIER] = {NULL, "RUNE_CARRIER"},
    [SETTING_MODE] = {"enclave.mode", "ENCLAVE_MODE"},
    [SETTING_SIZE] = {"enclave.size", "ENCLAVE_SIZE"},
    [SETTING_MEMORY] = {"enclave.memory", "ENCLAVE_MEMORY"},
    [SETTING_THREADS] = {"enclave.threads", "ENCLAVE_THREADS"},
    [SETTING_KSS] = {"enclave.kss", "ENCLAVE_KSS"},
    [SETTING_SGX2] = {"enclave.sgx2", "ENCLAVE_SGX2"},
    [SETTING_AEXNOTIFY] = {"enclave.aexnotify", "ENCLAVE_AEXNOTIFY"},
    [SETTING_MOUNTS] = {"enclave.mounts", "ENCLAVE_MOUNTS"},
    [SETTING_BOUND] = {"enclave.bound", "ENCLAVE_BOUND"},
    [SETTING_IMAGE] = {"enclave.image", "ENCLAVE_IMAGE"},
    [SETTING_SIGNATURE] = {"enclave.signature", "ENCLAVE_SIGNATURE"},
    [SETTING_EXEC] = {"enclave.exec", "ENCLAVE_EXEC"},
    [SETTING_SIGNALS] = {"enclave.signals", "ENCLAVE_SIGNALS"},
    [SETTING_LOOPBACK] = {"enclave.network.loopback", "ENCLAVE_NETWORK_LOOPBACK"},
    [SETTING_STDIO] = {"enclave.stdio", "ENCLAVE_STDIO"},
    [SETTING_HOST_ENV] = {"enclave.host.env", "ENCLAVE_HOST_ENV"},
    [SETTING_HOST_NAME] = {"enclave.host.name", "ENCLAVE_HOST_NAME"},
    [SETTING_RATLS] = {"enclave.ratls", "ENCLAVE_RATLS"},
    [SETTING_RATLS_CLIENTS] = {"enclave.ratls.clients", "ENCLAVE_RATLS_CLIENTS"},
};

static const char *variable_value(const char *entry, const char *name)
{
    size_t size = strlen(name);
    return strncmp(entry, name, size) == 0 && entry[size] == '=' ? entry + size + 1 : NULL;
}

bool enclave_variable(const char *entry)
{
    for (int i = 0; i < SETTINGS; i++)
        if (variable_value(entry, g_names[i].variable) != NULL)
            return true;
    return false;
}

void enclave_strip_environment(struct oci_process *process)
{
    size_t kept = 0;
    for (size_t i = 0; i < process->env.count; i++)
        if (!enclave_variable(process->env.items[i]))
            process->env.items[kept++] = process->env.items[i];
    process->env.count = kept;
    process->env.items[kept] = NULL;
}

/* An empty value counts as absent: an image or a pod can so undo what was set below it. */
static const char *find(const struct oci_config *config, enum setting setting)
{
    const char *value = NULL;
    if (g_names[setting].annotation != NULL)
        value = oci_annotation(config, g_names[setting].annotation);
    for (size_t i = 0; value == NULL && i < config->process.env.count; i++)
        value = variable_value(config->process.env.items[i], g_names[setting].variable);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

static int check_type(const char *type, struct error *err)
{
    static const char *const types[] = {"intelSgx", "simulatedSgx", "auto"};
    for (size_t i = 0; i < array_count(types); i++)
        if (strcmp(type, types[i]) == 0)
            return 0;
    return error_set(err, "enclave.type \"%s\" is not known: use intelSgx, simulatedSgx or auto",
                     type);
}

static int check_log_level(const char *level, struct error *err)
{
    if (enclave_level_of(level) != ENCLAVE_LEVEL_UNKNOWN)
        return 0;
    return error_set(err,
                     "enclave.runtime.loglevel \"%s\" is not known: use off, fatal, error, warn, "
                     "info, debug or trace",
                     level);
}

/* What programs do is not told of an enclave that is to protect them. */
static int check_trace(const struct enclave_request *request, const char *trace, struct error *err)
{
    if (!request->builtin)
        return error_set(err, "enclave.trace is for the built-in LibOS: enclave.runtime.path names "
                              "another runtime");
    if (request->build.mode != ENCLAVE_MODE_DEBUG)
        return error_set(err,
                         "enclave.trace \"%s\" tells the host what programs do: it needs "
                         "enclave.mode debug",
                         trace);
    return 0;
}

/* Where the node has the PAL library of a carrier: the variable RUNE_CARRIER_NAME of rune. */
static const char *carrier_path(const char *carrier)
{
    cleanup_free char *variable = xasprintf("RUNE_CARRIER_%s", carrier);
    for (char *p = variable; *p; p++)
        *p = *p == '-' ? '_' : (char)toupper((unsigned char)*p);
    const char *path = secure_getenv(variable);
    return path != NULL && path[0] == '/' ? path : NULL;
}

/* The names that Inclavare Containers gave to its runtimes, and what they are here. */
static const struct {
    const char *carrier, *runtime;
} g_carriers[] = {{"libos", "libos"},
                  {"occlum", OCCLUM_LIBRARY},
                  {"graphene", "gramine"}, /* its name before */
                  {"gramine", "gramine"}};

static const char *carrier_runtime(const char *carrier)
{
    const char *path = strcmp(carrier, "libos") != 0 ? carrier_path(carrier) : NULL;
    for (size_t i = 0; path == NULL && i < array_count(g_carriers); i++)
        if (strcmp(carrier, g_carriers[i].carrier) == 0)
            path = g_carriers[i].runtime;
    return path;
}

static int choose_runtime(const char *carrier, const char *path, struct enclave_request *out,
                          struct error *err)
{
    if (path == NULL && carrier != NULL)
        path = carrier_runtime(carrier);
    if (path == NULL && carrier != NULL)
        return error_set(err,
                         "RUNE_CARRIER is \"%s\", but ENCLAVE_RUNTIME_PATH does not say where its "
                         "PAL library is",
                         carrier);
    out->occlum = occlum_is_runtime(path) || (carrier != NULL && strcmp(carrier, "occlum") == 0);
    out->builtin = path == NULL || strcmp(path, "libos") == 0;
    out->runtime = locate_runtime(path != NULL ? path : "libos");
    if (out->runtime[0] != '/')
        return error_set(
            err, "enclave.runtime.path \"%s\": give an absolute path, or a name without a slash",
            path);
    return 0;
}

/*
 * "container" in a pod, NULL elsewhere. "sandbox" is the pod's own container, which holds its
 * namespaces and runs nothing of the tenant's.
 */
static const char *pod_role(const struct oci_config *config)
{
    static const char *const keys[] = {"io.kubernetes.cri.container-type",
                                       "io.kubernetes.cri-o.ContainerType"};
    const char *role = NULL;
    for (size_t i = 0; role == NULL && i < array_count(keys); i++)
        role = oci_annotation(config, keys[i]);
    return role;
}

/* ---- how the enclave is built ---- */

/* One of `names`, whose index it is. */
static int read_word(const struct oci_config *config, enum setting setting,
                     const char *const names[3], unsigned *out, struct error *err)
{
    const char *value = find(config, setting);
    *out = 0;
    for (unsigned i = 0; value != NULL && i < 3; i++) {
        if (strcmp(value, names[i]) == 0) {
            *out = i;
            return 0;
        }
    }
    return value == NULL
               ? 0
               : error_set(err, "%s \"%s\" is not known: use %s, %s or %s",
                           g_names[setting].annotation, value, names[0], names[1], names[2]);
}

static int read_number(const struct oci_config *config, enum setting setting, const char *what,
                       uint64_t min, uint64_t max, uint64_t *out, struct error *err)
{
    const char *value = find(config, setting);
    *out = 0;
    if (value == NULL || (number_parse(value, strlen(value), max, out) == 0 && *out >= min))
        return 0;
    return error_set(err, "%s \"%s\" cannot be: give %s", g_names[setting].annotation, value, what);
}

/* `default` was a third mode, between the two. */
static int read_mode(const struct oci_config *config, enum enclave_mode *out, struct error *err)
{
    const char *value = find(config, SETTING_MODE);
    *out = ENCLAVE_MODE_PRODUCTION;
    if (value == NULL || strcmp(value, "production") == 0)
        return 0;
    if (strcmp(value, "debug") == 0)
        *out = ENCLAVE_MODE_DEBUG;
    else if (strcmp(value, "default") == 0)
        log_warning("enclave.mode default is production by now: leave it out");
    else
        return error_set(err, "enclave.mode \"%s\" is not known: use production or debug", value);
    return 0;
}

/* Kept as it is, and checked: the converter reads it again. */
static int read_policy(const struct oci_config *config, struct enclave_request *out,
                       struct error *err)
{
    cleanup_policy struct policy policy = {0};
    const struct {
        enum setting setting;
        char **out;
    } settings[] = {{SETTING_EXEC, &out->policy.exec},
                    {SETTING_SIGNALS, &out->policy.signals},
                    {SETTING_LOOPBACK, &out->policy.loopback},
                    {SETTING_STDIO, &out->policy.stdio},
                    {SETTING_HOST_ENV, &out->policy.host_env},
                    {SETTING_HOST_NAME, &out->policy.host_name},
                    {SETTING_RATLS, &out->policy.ratls},
                    {SETTING_RATLS_CLIENTS, &out->policy.ratls_clients}};
    out->policy.pod = pod_role(config) != NULL;
    for (size_t i = 0; i < array_count(settings); i++) {
        const char *value = find(config, settings[i].setting);
        *settings[i].out = value != NULL ? xstrdup(value) : NULL;
    }
    return policy_read(&out->policy, out->build.mode, &config->process, &policy, err);
}

static int read_flag(const struct oci_config *config, enum setting setting, bool *out,
                     struct error *err)
{
    const char *value = find(config, setting);
    *out = value != NULL && strcmp(value, "true") == 0;
    return value == NULL || *out || strcmp(value, "false") == 0
               ? 0
               : error_set(err, "%s \"%s\" is not known: use true or false",
                           g_names[setting].annotation, value);
}

static int read_build(const struct oci_config *config, struct enclave_build *out, struct error *err)
{
    static const char *const choices[] = {"auto", "true", "false"};
    unsigned kss, sgx2;
    uint64_t threads;
    if (read_mode(config, &out->mode, err) < 0 ||
        read_word(config, SETTING_KSS, choices, &kss, err) < 0 ||
        read_word(config, SETTING_SGX2, choices, &sgx2, err) < 0 ||
        read_flag(config, SETTING_AEXNOTIFY, &out->aexnotify, err) < 0 ||
        read_number(config, SETTING_SIZE, "a power of two from 1G to 64T", 1ull << 30, 1ull << 46,
                    &out->size, err) < 0 ||
        read_number(config, SETTING_MEMORY, "bytes, 64M or more, with a suffix K, M, G or T",
                    64ull << 20, 1ull << 45, &out->memory, err) < 0 ||
        read_number(config, SETTING_THREADS, "a number from 4 to 4000", 4, 4000, &threads, err) < 0)
        return -1;
    if (out->size & (out->size - 1))
        return error_set(err, "enclave.size: give a power of two from 1G to 64T");
    const char *bound = find(config, SETTING_BOUND);
    if (bound != NULL && bound[0] != '/')
        return error_set(err, "enclave.bound \"%s\": give an absolute path", bound);
    const char *image = find(config, SETTING_IMAGE);
    if (image != NULL && image[0] != '/')
        return error_set(err, "enclave.image \"%s\": give an absolute path", image);
    if (image != NULL && (bound != NULL || out->size || out->memory || threads))
        return error_set(err,
                         "enclave.image is an enclave that is built and signed: enclave.bound, "
                         "size, memory and threads are given when it is made");
    const char *signature = find(config, SETTING_SIGNATURE);
    if (image != NULL && signature != NULL)
        return error_set(err, "enclave.signature: a sealed bundle (enclave.image) has its own");
    out->signature = signature != NULL ? xstrdup(signature) : NULL;
    out->image = image != NULL ? xstrdup(image) : NULL;
    out->bound = bound != NULL ? xstrdup(bound) : NULL;
    out->kss = (enum enclave_choice)kss;
    out->sgx2 = (enum enclave_choice)sgx2;
    out->threads = (uint32_t)threads;
    const char *mounts = find(config, SETTING_MOUNTS);
    out->mounts = mounts != NULL ? xstrdup(mounts) : NULL;
    return 0;
}

int enclave_request_read(const struct oci_config *config, bool forced, struct enclave_request *out,
                         struct error *err)
{
    memset(out, 0, sizeof(*out));
    const char *role = pod_role(config);
    if (role != NULL && strcmp(role, "sandbox") == 0)
        return 0;
    const char *type = find(config, SETTING_TYPE), *path = find(config, SETTING_PATH);
    const char *carrier = find(config, SETTING_CARRIER);
    const char *args = find(config, SETTING_ARGS), *level = find(config, SETTING_LOG_LEVEL);
    const char *trace = find(config, SETTING_TRACE);
    if (carrier != NULL && strcmp(carrier, "none") == 0)
        carrier = NULL;
    if (!forced && type == NULL && path == NULL && carrier == NULL)
        return 0;

    if ((type != NULL && check_type(type, err) < 0) ||
        (level != NULL && check_log_level(level, err) < 0) ||
        read_build(config, &out->build, err) < 0 || read_policy(config, out, err) < 0 ||
        choose_runtime(carrier, path, out, err) < 0 ||
        (trace != NULL && check_trace(out, trace, err) < 0)) {
        enclave_request_release(out);
        return -1;
    }
    out->type = xstrdup(type != NULL ? type : "auto");
    out->args = args != NULL ? xstrdup(args) : NULL;
    out->log_level = level != NULL ? xstrdup(level) : NULL;
    out->trace = trace != NULL ? xstrdup(trace) : NULL;
    return 1;
}

void enclave_request_release(struct enclave_request *request)
{
    free(request->type);
    free(request->runtime);
    free(request->args);
    free(request->build.mounts);
    free(request->log_level);
    free(request->trace);
    free(request->build.bound);
    free(request->build.image);
    free(request->build.signature);
    free(request->policy.exec);
    free(request->policy.signals);
    free(request->policy.loopback);
    free(request->policy.stdio);
    free(request->policy.host_env);
    free(request->policy.host_name);
    free(request->policy.ratls);
    free(request->policy.ratls_clients);
    memset(request, 0, sizeof(*request));
}
