/* SPDX-License-Identifier: Apache-2.0 */
#include "enclave/policy.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "../../abi/manifest.h"
#include "attest.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/number.h"
#include "enclave/levels.h"

#define LIST_MAX    1024 /* entries, and texts of each */
#define BIT(sig)    (1ull << ((sig)-1))
#define SIGNALS_ALL (~MANIFEST_SIGNALS_NEVER)

_Static_assert(MANIFEST_SIGNALS_DEFAULT ==
                   (BIT(SIGTERM) | BIT(SIGINT) | BIT(SIGHUP) | BIT(SIGQUIT) | BIT(SIGWINCH) |
                    BIT(SIGUSR1) | BIT(SIGUSR2) | BIT(SIGKILL) | BIT(SIGSTOP) | BIT(SIGCONT)),
               "the numbers are those of x86-64");

/* ---- enclave.exec ---- */

/* "text", or {"pattern": "text"}. */
static int read_text(json_t *json, const char *where, struct bundle_text *out, struct error *err)
{
    out->pattern = json_is_object(json);
    if (out->pattern) {
        const json_t *pattern = json_object_get(json, "pattern");
        out->text = json_string_value(pattern);
        if (json_object_size(json) != 1 || out->text == NULL)
            return error_set(err, "enclave.exec: %s: give a string, or {\"pattern\": \"...\"}",
                             where);
    } else if (json_is_string(json)) {
        out->text = json_string_value(json);
    } else {
        return error_set(err, "enclave.exec: %s: give a string, or {\"pattern\": \"...\"}", where);
    }
    size_t backslashes = strlen(out->text);
    while (out->pattern && backslashes > 0 && out->text[backslashes - 1] == '\\')
        backslashes--;
    if ((strlen(out->text) - backslashes) % 2 != 0 && out->pattern)
        return error_set(err, "enclave.exec: %s: the pattern ends in a \\ that quotes nothing",
                         where);
    out->text = xstrdup(out->text);
    return 0;
}

/* Strings of a member of an entry, checked each; absent is none. */
static int read_texts(const json_t *list, const char *where,
                      int (*check)(const char *text, const char *where, struct error *err),
                      struct bundle_text **out, size_t *count, struct error *err)
{
    if (list == NULL)
        return 0;
    if (!json_is_array(list) || json_array_size(list) > LIST_MAX)
        return error_set(err, "enclave.exec: %s: give a list of at most %d strings", where,
                         LIST_MAX);
    *out = xcalloc(json_array_size(list) + 1, sizeof(**out));
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct bundle_text *text = &(*out)[i];
        if (read_text(json_array_get(list, i), where, text, err) < 0)
            return -1;
        ++*count;
        if (check != NULL && check(text->text, where, err) < 0)
            return -1;
    }
    return 0;
}

static int check_variable(const char *text, const char *where, struct error *err)
{
    static const char name[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";
    size_t size = strspn(text, name);
    if (size > 0 && text[size] == '=')
        return 0;
    return error_set(err,
                     "enclave.exec: %s: \"%s\" is not NAME=value, or a pattern with the name "
                     "written out",
                     where, text);
}

static int check_directory(const char *text, const char *where, struct error *err)
{
    return text[0] == '/'
               ? 0
               : error_set(err, "enclave.exec: %s: \"%s\" is not an absolute path", where, text);
}

static int check_members(const json_t *entry, const char *where, struct error *err)
{
    static const char *const known[] = {"args", "env", "cwd", "terminal"};
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)entry, key, value) {
        bool found = false;
        for (size_t i = 0; i < array_count(known); i++)
            found = found || strcmp(key, known[i]) == 0;
        if (!found)
            return error_set(err,
                             "enclave.exec: %s: \"%s\" is not known: use args, env, cwd, terminal",
                             where, key);
    }
    return 0;
}

static int read_entry(const json_t *entry, size_t number, struct bundle_command *out,
                      struct error *err)
{
    cleanup_free char *where = xasprintf("entry %zu", number);
    const json_t *args = entry, *env = NULL, *cwd = NULL, *terminal = NULL;
    if (json_is_object(entry)) {
        if (check_members(entry, where, err) < 0)
            return -1;
        args = json_object_get(entry, "args");
        env = json_object_get(entry, "env");
        cwd = json_object_get(entry, "cwd");
        terminal = json_object_get(entry, "terminal");
    }
    if (!json_is_array(args) || json_array_size(args) == 0)
        return error_set(err,
                         "enclave.exec: %s: give the command as a list of its arguments, such as "
                         "[\"redis-cli\", \"ping\"]",
                         where);
    if (terminal != NULL && !json_is_boolean(terminal))
        return error_set(err, "enclave.exec: %s: terminal is true or false", where);
    out->terminal = json_is_true(terminal);
    if (read_texts(args, where, NULL, &out->args, &out->arg_count, err) < 0 ||
        read_texts(env, where, check_variable, &out->env, &out->env_count, err) < 0)
        return -1;
    return read_texts(cwd, where, check_directory, &out->cwd, &out->cwd_count, err);
}

static int read_list(const char *text, struct policy *out, struct error *err)
{
    cleanup_json json_t *list = json_parse(text, strlen(text), "enclave.exec", err);
    if (list == NULL)
        return -1;
    size_t count = json_array_size(list);
    if (!json_is_array(list) || count == 0 || count > LIST_MAX)
        return error_set(err, "enclave.exec: give 1 to %d commands, or \"none\"", LIST_MAX);
    out->commands = xcalloc(count, sizeof(*out->commands));
    for (size_t i = 0; i < count; i++) {
        out->command_count = i + 1;
        if (read_entry(json_array_get(list, i), i + 1, &out->commands[i], err) < 0)
            return -1;
    }
    out->manifest.exec = MANIFEST_EXEC_LIST;
    return 0;
}

static int read_exec(const char *value, struct policy *out, struct error *err)
{
    if (value == NULL)
        return 0;
    if (value[strspn(value, " \t\n")] == '[')
        return read_list(value, out, err);
    if (strcmp(value, "none") == 0)
        out->manifest.exec = MANIFEST_EXEC_NONE;
    else if (strcmp(value, "any") == 0)
        out->manifest.exec = MANIFEST_EXEC_ANY;
    else
        return error_set(err,
                         "enclave.exec \"%s\" is not known: use none, any (insecure), or a list of "
                         "commands such as [[\"redis-cli\", \"ping\"]]",
                         value);
    return 0;
}

/* ---- enclave.signals ---- */

static int add_signal(const char *word, struct bundle_policy *out, struct error *err)
{
    if (strcmp(word, "none") == 0)
        return 0;
    if (strcmp(word, "default") == 0) {
        out->signals |= MANIFEST_SIGNALS_DEFAULT;
        return 0;
    }
    if (strcmp(word, "all") == 0) {
        out->signals |= SIGNALS_ALL;
        return 0;
    }
    if (strcmp(word, "any-process") == 0) {
        out->flags |= MANIFEST_POLICY_SIGNAL_ANY_PROCESS;
        return 0;
    }
    int sig = signal_number(word);
    if (sig <= 0)
        return error_set(err,
                         "enclave.signals: \"%s\" is no signal, nor default, all, none or "
                         "any-process",
                         word);
    if (BIT(sig) & MANIFEST_SIGNALS_NEVER)
        return error_set(err,
                         "enclave.signals: %s is raised by a program's own faults, and is never "
                         "the host's to send",
                         word);
    out->signals |= BIT(sig);
    return 0;
}

static int read_signals(const char *value, struct bundle_policy *out, struct error *err)
{
    if (value == NULL)
        return 0;
    cleanup_free char *copy = xstrdup(value);
    char *rest = copy, *word;
    out->signals = 0;
    while ((word = strsep(&rest, ", ")) != NULL)
        if (word[0] != '\0' && add_signal(word, out, err) < 0)
            return -1;
    return 0;
}

/* ---- the others ---- */

static int read_loopback(const char *value, struct bundle_policy *out, struct error *err)
{
    if (value == NULL || strcmp(value, "enclave") == 0)
        return 0;
    if (strcmp(value, "host") != 0)
        return error_set(err,
                         "enclave.network.loopback \"%s\" is not known: use enclave or host "
                         "(insecure)",
                         value);
    out->flags |= MANIFEST_POLICY_LOOPBACK_HOST;
    return 0;
}

static int read_stdio(const char *value, const struct policy *policy, bool terminal,
                      struct bundle_policy *out, struct error *err)
{
    uint32_t both = MANIFEST_POLICY_STDIN | MANIFEST_POLICY_STDOUT, flags = both;
    if (value != NULL && strcmp(value, "output") == 0)
        flags = MANIFEST_POLICY_STDOUT;
    else if (value != NULL && strcmp(value, "none") == 0)
        flags = 0;
    else if (value != NULL && strcmp(value, "host") != 0)
        return error_set(err, "enclave.stdio \"%s\" is not known: use host, output or none", value);
    for (size_t i = 0; i < policy->command_count; i++)
        terminal = terminal || policy->commands[i].terminal;
    if (terminal && flags != both)
        return error_set(err,
                         "enclave.stdio \"%s\" keeps a terminal from the host: use host, or "
                         "no terminal",
                         value);
    out->flags |= flags;
    return 0;
}

static bool is_port(const char **text)
{
    char *end;
    unsigned long port = **text >= '1' && **text <= '9' ? strtoul(*text, &end, 10) : 0;
    if (port == 0 || port > 65535)
        return false;
    *text = end;
    return true;
}

/* PORT:PORT, more after commas; without blanks, for it is measured as it is. */
static int read_ratls(const char *value, struct policy *out, struct error *err)
{
    const char *at = value;
    bool good = true;
    if (value == NULL || value[0] == '\0')
        return 0;
    do {
        good = is_port(&at) && *at++ == ':' && is_port(&at);
    } while (good && *at == ',' && at++);
    if (!good || *at != '\0')
        return error_set(err,
                         "enclave.ratls \"%s\": expected ports outside and inside, as in "
                         "8443:8080 or 8443:8080,9443:9090",
                         value);
    out->ratls = value;
    return 0;
}

/* A policy of docs/attest-policy.md, as it is. ratls-proxy parses it in the same way. */
static int read_clients(const char *value, struct policy *out, struct error *err)
{
    if (value == NULL || value[0] == '\0')
        return 0;
    if (out->ratls == NULL)
        return error_set(err, "enclave.ratls.clients without enclave.ratls: there is no proxy that "
                              "would judge them");
    if (strlen(value) > RATLS_CLIENTS_MAX)
        return error_set(err, "enclave.ratls.clients: more than %d bytes", RATLS_CLIENTS_MAX);
    cleanup_json json_t *json = json_parse(value, strlen(value), "enclave.ratls.clients", err);
    if (json == NULL)
        return -1;
    if (!json_is_object(json))
        return error_set(err, "enclave.ratls.clients: expected a policy, a JSON object");
    char *problem = NULL;
    struct attest_policy *policy = attest_policy_parse(value, strlen(value), &problem);
    if (!policy) {
        error_set(err, "enclave.ratls.clients: %s", problem);
        free(problem);
        return -1;
    }
    attest_policy_free(policy);
    out->ratls_clients = value;
    return 0;
}

int policy_read(const struct enclave_policy_wish *wish, enum enclave_mode mode,
                const struct oci_process *process, struct policy *out, struct error *err)
{
    const bool debug = mode == ENCLAVE_MODE_DEBUG;
    *out = (struct policy){
        .manifest = {.exec = debug ? MANIFEST_EXEC_ANY : MANIFEST_EXEC_NONE,
                     .flags = process->no_new_privileges ? MANIFEST_POLICY_NO_NEW_PRIVS : 0,
                     .signals = debug ? SIGNALS_ALL : MANIFEST_SIGNALS_DEFAULT,
                     .log_level = debug ? ENCLAVE_LEVEL_TRACE : ENCLAVE_LEVEL_WARN}};
    if (read_exec(wish->exec, out, err) < 0 ||
        read_signals(wish->signals, &out->manifest, err) < 0 ||
        read_loopback(wish->loopback, &out->manifest, err) < 0 ||
        read_ratls(wish->ratls, out, err) < 0 || read_clients(wish->ratls_clients, out, err) < 0 ||
        host_rules_read(wish->host_env, wish->host_name, wish->pod, &out->host, err) < 0)
        return -1;
    return read_stdio(wish->stdio, out, process->terminal, &out->manifest, err);
}

int enclave_takes_signal(const struct oci_config *config, int sig, struct error *err)
{
    cleanup_enclave_request struct enclave_request request = {0};
    cleanup_policy struct policy policy = {0};
    if (sig == SIGKILL || sig <= 0)
        return 0;
    int asked = enclave_request_read(config, true, &request, err);
    if (asked <= 0)
        return asked;
    if (!request.builtin) /* other runtimes have no such policy */
        return 0;
    if (policy_read(&request.policy, request.build.mode, &config->process, &policy, err) < 0)
        return -1;
    if (policy.manifest.signals & BIT(sig))
        return 0;
    const char *known = sigabbrev_np(sig);
    cleanup_free char *name = known != NULL ? xasprintf("SIG%s", known)
                                            : xasprintf("signal %d", sig);
    if (BIT(sig) & MANIFEST_SIGNALS_NEVER)
        return error_code(err, EPERM,
                          "the enclave never takes %s from its host: a program's own faults raise "
                          "it",
                          name);
    const char *listed = request.policy.signals;
    return error_code(err, EPERM,
                      "the enclave refuses %s: create the container with enclave.signals that "
                      "lists it (it is \"%s\")",
                      name, listed != NULL ? listed : "default");
}

static void free_texts(struct bundle_text *texts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free((char *)(uintptr_t)texts[i].text);
    free(texts);
}

void policy_release(struct policy *policy)
{
    for (size_t i = 0; i < policy->command_count; i++) {
        struct bundle_command *c = &policy->commands[i];
        free_texts(c->args, c->arg_count);
        free_texts(c->env, c->env_count);
        free_texts(c->cwd, c->cwd_count);
    }
    free(policy->commands);
    host_rules_release(&policy->host);
}
