/* SPDX-License-Identifier: Apache-2.0 */
#include "enclave/predict.h"

#include <stdlib.h>
#include <string.h>

#include "../../abi/layout.h"
#include "../../abi/manifest.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/path.h"
#include "enclave/deployment.h"
#include "enclave/enclave.h"

/* Everything of one prediction; the deployment borrows from the others. */
struct prediction {
    struct oci_config *config;
    struct enclave_request request;
    struct policy policy;
    struct deployment deployment;
};

static void release(struct prediction *p)
{
    deployment_release(&p->deployment);
    policy_release(&p->policy);
    enclave_request_release(&p->request);
    oci_config_free(p->config);
}
#define cleanup_prediction __attribute__((cleanup(release)))

static int check_known(const struct prediction *p, struct error *err)
{
    for (const char **entry = p->deployment.env; *entry; entry++)
        if (strstr(*entry, PREDICT_UNKNOWN))
            return error_set(
                err,
                "variable %.*s: its value is the node's (a fieldRef), so a rule has to "
                "leave it to the host (enclave.host.env: \"default %.*s\")",
                (int)strcspn(*entry, "="), *entry, (int)strcspn(*entry, "="), *entry);
    return 0;
}

/* The steps of launch.c and convert.c; p->config is there. */
static int predict(struct prediction *p, const char *rootfs, struct buffer *blob,
                   uint8_t hash[BUNDLE_HASH_SIZE], struct error *err)
{
    int rc = enclave_request_read(p->config, true, &p->request, err);
    if (rc < 0)
        return rc;
    if (rc == 0 || !p->request.builtin)
        return error_set(err, "not an enclave container of the built-in LibOS");
    rc = enclave_adapt_config(&p->request, rootfs, &p->config, err);
    if (rc == 0)
        rc = policy_read(&p->request.policy, p->request.build.mode, &p->config->process, &p->policy,
                         err);
    if (rc == 0)
        rc = deployment_from_config(p->config, &p->policy, p->request.build.mounts, &p->deployment,
                                    err);
    if (rc == 0)
        rc = check_known(p, err);
    return rc < 0 ? rc : bundle_deployment_build(&p->deployment.manifest, blob, hash, err);
}

int enclave_predict(const char *bundle, struct buffer *blob, uint8_t hash[BUNDLE_HASH_SIZE],
                    struct error *err)
{
    cleanup_prediction struct prediction p = {0};
    int rc = oci_config_load(bundle, &p.config, err);
    if (rc == 0) {
        cleanup_free char *rootfs = p.config->root_path[0] == '/'
                                        ? xstrdup(p.config->root_path)
                                        : path_join(bundle, p.config->root_path);
        rc = predict(&p, rootfs, blob, hash, err);
    }
    return rc < 0 ? error_wrap(err, "%s", bundle) : 0;
}

/* As convert.c has it for a machine with all that the enclave wants. */
static void settings_of(const struct enclave_build *build, const uint8_t hash[BUNDLE_HASH_SIZE],
                        struct bundle_settings *out)
{
    *out = (struct bundle_settings){.debug = build->mode == ENCLAVE_MODE_DEBUG,
                                    .enclave_size = build->size,
                                    .memory_limit = build->memory,
                                    .thread_limit = build->threads,
                                    .no_kss = build->kss == ENCLAVE_NO,
                                    .no_sgx2 = build->sgx2 == ENCLAVE_NO,
                                    .aexnotify = build->aexnotify};
    if (out->no_kss)
        memcpy(out->deployment_hash, hash, sizeof(out->deployment_hash));
    if (!out->no_sgx2 && !out->enclave_size)
        out->enclave_size = LAYOUT_SIZE_DEFAULT;
}

int enclave_predict_config(json_t *config, const char *rootfs, struct buffer *blob,
                           uint8_t hash[BUNDLE_HASH_SIZE], struct bundle_settings *settings,
                           struct error *err)
{
    cleanup_prediction struct prediction p = {0};
    int rc = oci_config_from_json(config, "config.json", &p.config, err);
    if (rc == 0)
        rc = predict(&p, rootfs, blob, hash, err);
    if (rc == 0)
        settings_of(&p.request.build, hash, settings);
    return rc;
}

/* ---- the bound that allows this deployment and no other ---- */

static json_t *strings(const char *const *list)
{
    json_t *out = json_array();
    for (; list && *list; list++)
        json_array_append_new(out, json_string(*list));
    return out;
}

static json_t *environment(const struct bundle_deployment *d)
{
    json_t *env = strings(d->env);
    for (size_t i = 0; i < d->host_variable_count; i++) {
        const char *pattern = d->host_variables[i].pattern;
        json_array_append_new(env, json_pack("{s:s, s:b, s:b}",
                                             strpbrk(pattern, "*?") ? "namePattern" : "name",
                                             pattern, "any", 1, "optional", 1));
    }
    return env;
}

static json_t *user(const struct bundle_deployment *d)
{
    const uint64_t sets = d->capabilities | d->bounding | d->inheritable | d->ambient;
    json_t *groups = json_array(), *capabilities = json_array();
    cleanup_free char *umask = xasprintf("%03o", d->umask);
    for (size_t i = 0; i < d->group_count; i++)
        json_array_append_new(groups, json_integer(d->groups[i]));
    for (int i = 0; i < 64; i++)
        if ((sets >> i & 1) && oci_capability_name(i))
            json_array_append_new(capabilities, json_string(oci_capability_name(i)));
    return json_pack("{s:I, s:I, s:o, s:o, s:s}", "uid", (json_int_t)d->uid, "gid",
                     (json_int_t)d->gid, "groups", groups, "capabilities", capabilities, "umask",
                     umask);
}

static json_t *mounts(const struct bundle_deployment *d)
{
    static const char *const kinds[] = {
        [MANIFEST_MOUNT_TMPFS] = "tmpfs",   [MANIFEST_MOUNT_PROC] = "proc",
        [MANIFEST_MOUNT_DEV] = "dev",       [MANIFEST_MOUNT_DEVPTS] = "devpts",
        [MANIFEST_MOUNT_SYSFS] = "sysfs",   [MANIFEST_MOUNT_PASSTHROUGH] = "host",
        [MANIFEST_MOUNT_MQUEUE] = "mqueue", [MANIFEST_MOUNT_CGROUP] = "cgroup",
        [MANIFEST_MOUNT_DEVICE] = "device"};
    json_t *out = json_array();
    for (size_t i = 0; i < d->mount_count; i++) {
        const struct bundle_mount *m = &d->mounts[i];
        if (m->kind >= array_count(kinds) || !kinds[m->kind])
            continue;
        json_t *rule = json_pack("{s:s, s:s}", "target", m->target, "kind", kinds[m->kind]);
        json_t *may = json_array();
        if (!(m->flags & MANIFEST_MOUNT_READONLY))
            json_array_append_new(may, json_string("write"));
        if (m->flags & MANIFEST_MOUNT_INSECURE_EXEC)
            json_array_append_new(may, json_string("insecure-exec"));
        if (m->flags & MANIFEST_MOUNT_INSECURE_LINKS)
            json_array_append_new(may, json_string("insecure-links"));
        if (m->kind == MANIFEST_MOUNT_PASSTHROUGH && json_array_size(may) > 0)
            json_object_set(rule, "may", may);
        json_decref(may);
        if (m->kind == MANIFEST_MOUNT_DEVICE)
            json_object_set_new(rule, "device", json_string(m->source));
        if (m->kind == MANIFEST_MOUNT_TMPFS && m->mode) {
            cleanup_free char *mode = xasprintf("%o", m->mode);
            json_object_set_new(rule, "mode", json_string(mode));
        }
        json_array_append_new(out, rule);
    }
    return out;
}

static json_t *limits(const struct bundle_deployment *d)
{
    json_t *out = json_object();
    for (size_t i = 0; i < d->rlimit_count; i++) {
        const struct bundle_rlimit *l = &d->rlimits[i];
        json_t *limit = json_object();
        if (l->soft <= INT64_MAX)
            json_object_set_new(limit, "min", json_integer((json_int_t)l->soft));
        if (l->hard <= INT64_MAX)
            json_object_set_new(limit, "max", json_integer((json_int_t)l->hard));
        json_object_set_new(out, oci_rlimit_name((int)l->resource), limit);
    }
    return out;
}

static void set_flag(json_t *bound, const char *name, bool on)
{
    if (on)
        json_object_set_new(bound, name, json_true());
}

static int set_policy(const struct prediction *p, json_t *bound, struct error *err)
{
    const struct bundle_policy *policy = &p->deployment.manifest.policy;
    const char *wish = p->request.policy.exec;
    if (policy->exec == MANIFEST_EXEC_ANY)
        json_object_set_new(bound, "exec", json_string("any"));
    if (policy->exec == MANIFEST_EXEC_LIST) { /* the same form; checked when it was read */
        json_t *list = json_parse(wish, strlen(wish), "enclave.exec", err);
        if (!list)
            return -1;
        json_object_set_new(bound, "exec", list);
    }
    if (policy->signals)
        json_object_set_new(
            bound, "signals",
            json_string(policy->signals & ~MANIFEST_SIGNALS_DEFAULT ? "any" : "default"));
    set_flag(bound, "signalAnyProcess", policy->flags & MANIFEST_POLICY_SIGNAL_ANY_PROCESS);
    set_flag(bound, "stdin", policy->flags & MANIFEST_POLICY_STDIN);
    set_flag(bound, "stdout", policy->flags & MANIFEST_POLICY_STDOUT);
    set_flag(bound, "noNewPrivileges", policy->flags & MANIFEST_POLICY_NO_NEW_PRIVS);
    if (policy->flags & MANIFEST_POLICY_LOOPBACK_HOST)
        json_object_set_new(bound, "loopback", json_string("host"));
    return 0;
}

static int bound_of(const struct prediction *p, json_t *bound, struct error *err)
{
    const struct bundle_deployment *d = &p->deployment.manifest;
    if (d->ratls)
        return error_set(err, "enclave.ratls: no bound allows it");
    json_object_set_new(bound, "version", json_integer(1));
    json_object_set_new(bound, "args", json_pack("[o]", strings(d->args)));
    json_object_set_new(bound, "env", environment(d));
    json_object_set_new(bound, "user", user(d));
    json_object_set_new(bound, "cwd", json_string(d->cwd ? d->cwd : "/"));
    json_object_set_new(bound, "mounts", mounts(d));
    if (d->host_names) {
        json_object_set_new(bound, "hostname", json_pack("{s:b}", "any", 1));
        json_object_set_new(bound, "domainname", json_pack("{s:b}", "any", 1));
    } else if (d->hostname) {
        json_object_set_new(bound, "hostname", json_string(d->hostname));
    }
    if (d->rlimit_count > 0)
        json_object_set_new(bound, "rlimits", limits(d));
    json_object_set_new(bound, "sysctls", strings(d->sysctls));
    json_object_set_new(bound, "readonlyRoot", json_boolean(d->readonly_root));
    json_object_set_new(bound, "maskedPaths", strings(d->masked_paths));
    json_object_set_new(bound, "readonlyPaths", strings(d->readonly_paths));
    set_flag(bound, "terminal", d->terminal);
    return set_policy(p, bound, err);
}

json_t *enclave_predict_bound(json_t *config, const char *rootfs, struct error *err)
{
    cleanup_prediction struct prediction p = {0};
    cleanup_buffer struct buffer blob = BUFFER_INIT;
    cleanup_json json_t *bound = json_object();
    uint8_t hash[BUNDLE_HASH_SIZE];
    int rc = oci_config_from_json(config, "config.json", &p.config, err);
    if (rc == 0)
        rc = predict(&p, rootfs, &blob, hash, err);
    if (rc == 0)
        rc = bound_of(&p, bound, err);
    return rc < 0 ? NULL : json_incref(bound);
}
