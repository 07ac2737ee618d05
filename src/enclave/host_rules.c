/* SPDX-License-Identifier: Apache-2.0 */
#include "enclave/host_rules.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "../../abi/host_value.h"
#include "base/alloc.h"
#include "base/cleanup.h"

/* Host names by every engine. */
static const struct bundle_host_variable g_default[] = {{"HOSTNAME", MANIFEST_VALUE_NAME}};

/* The kubelet's, for each service that the pod sees (kubernetes/pkg/kubelet/envvars). */
static const struct bundle_host_variable g_services[] = {
    {"*_SERVICE_HOST", MANIFEST_VALUE_ADDRESS},  {"*_SERVICE_PORT", MANIFEST_VALUE_PORT},
    {"*_SERVICE_PORT_*", MANIFEST_VALUE_PORT},   {"*_PORT", MANIFEST_VALUE_URL},
    {"*_PORT_*_TCP", MANIFEST_VALUE_URL},        {"*_PORT_*_TCP_PROTO", MANIFEST_VALUE_PROTOCOL},
    {"*_PORT_*_TCP_PORT", MANIFEST_VALUE_PORT},  {"*_PORT_*_TCP_ADDR", MANIFEST_VALUE_ADDRESS},
    {"*_PORT_*_UDP", MANIFEST_VALUE_URL},        {"*_PORT_*_UDP_PROTO", MANIFEST_VALUE_PROTOCOL},
    {"*_PORT_*_UDP_PORT", MANIFEST_VALUE_PORT},  {"*_PORT_*_UDP_ADDR", MANIFEST_VALUE_ADDRESS},
    {"*_PORT_*_SCTP", MANIFEST_VALUE_URL},       {"*_PORT_*_SCTP_PROTO", MANIFEST_VALUE_PROTOCOL},
    {"*_PORT_*_SCTP_PORT", MANIFEST_VALUE_PORT}, {"*_PORT_*_SCTP_ADDR", MANIFEST_VALUE_ADDRESS},
};

static void add_rule(struct host_rules *out, const char *pattern, uint32_t value)
{
    out->variables = xreallocarray(out->variables, out->variable_count + 1,
                                   sizeof(*out->variables));
    out->variables[out->variable_count++] = (struct bundle_host_variable){xstrdup(pattern), value};
}

static void add_rules(struct host_rules *out, const struct bundle_host_variable *rules,
                      size_t count)
{
    for (size_t i = 0; i < count; i++)
        add_rule(out, rules[i].pattern, rules[i].value);
}

static int check_pattern(const char *word, struct error *err)
{
    static const char characters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_*?";
    if (word[0] == '\0' || word[strspn(word, characters)] != '\0' ||
        word[strspn(word, "*?")] == '\0')
        return error_set(err,
                         "enclave.host.env: \"%s\" is no name of variables: use default, none, "
                         "NAME with * and ? in it, or -NAME for what is measured in any case",
                         word);
    return 0;
}

static int add_word(const char *word, bool pod, struct host_rules *out, struct error *err)
{
    if (strcmp(word, "none") == 0)
        return 0;
    if (strcmp(word, "default") == 0) {
        add_rules(out, g_default, array_count(g_default));
        if (pod)
            add_rules(out, g_services, array_count(g_services));
        return 0;
    }
    const bool measured = word[0] == '-';
    if (check_pattern(word + measured, err) < 0)
        return -1;
    if (measured) {
        out->measured = xreallocarray(out->measured, out->measured_count + 1,
                                      sizeof(*out->measured));
        out->measured[out->measured_count++] = xstrdup(word + 1);
        return 0;
    }
    if (host_variable_is_never(word, strlen(word)))
        return error_set(err,
                         "enclave.host.env: %s steers any program, so the host may never give it: "
                         "leave it out, and it is measured",
                         word);
    add_rule(out, word, MANIFEST_VALUE_ANY);
    return 0;
}

int host_rules_read(const char *env, const char *name, bool pod, struct host_rules *out,
                    struct error *err)
{
    cleanup_free char *copy = xstrdup(env != NULL ? env : "default");
    char *rest = copy, *word;
    if (name == NULL)
        name = "host";
    *out = (struct host_rules){.names = strcmp(name, "host") == 0};
    if (!out->names && strcmp(name, "measured") != 0)
        return error_set(err, "enclave.host.name \"%s\" is not known: use host or measured", name);
    while ((word = strsep(&rest, ", \t\n")) != NULL)
        if (word[0] != '\0' && add_word(word, pod, out, err) < 0)
            return -1;
    return 0;
}

bool host_rules_allow(const struct host_rules *rules, const char *entry)
{
    const size_t size = host_variable_name(entry);
    if (size == 0 || entry[size] != '=' || host_variable_is_never(entry, size))
        return false;
    cleanup_free char *name = xstrndup(entry, size);
    const char *value = entry + size + 1;
    for (size_t i = 0; i < rules->measured_count; i++)
        if (fnmatch(rules->measured[i], name, 0) == 0)
            return false;
    for (size_t i = 0; i < rules->variable_count; i++)
        if (fnmatch(rules->variables[i].pattern, name, 0) == 0 &&
            host_value_fits(rules->variables[i].value, value, strlen(value)))
            return true;
    return false;
}

void host_rules_release(struct host_rules *rules)
{
    for (size_t i = 0; i < rules->variable_count; i++)
        free((char *)(uintptr_t)rules->variables[i].pattern);
    for (size_t i = 0; i < rules->measured_count; i++)
        free(rules->measured[i]);
    free(rules->variables);
    free(rules->measured);
    *rules = (struct host_rules){0};
}
