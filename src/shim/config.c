/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /etc/inclavare-containers/config.toml. The names of most keys are those of Inclavare Containers'
 * shim, so that its files are understood; some of them have no use here. What is for rune goes to
 * it by its environment.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/config_file.h"
#include "base/toml.h"
#include "shim/shim.h"

#define CONFIG_FILE "inclavare-containers/config.toml"

enum { CONFIG_MAX = 64 << 10 };

static int take_log_level(struct shim_config *config, const char *value)
{
    static const char *const levels[] = {"error", "warn", "info", "debug"};
    size_t level = 0;
    while (level < array_count(levels) && strcmp(levels[level], value) != 0)
        level++;
    config->quiet = level == 0;
    config->debug = level >= 2;
    return level < array_count(levels) ? 0 : -1;
}

static int take_socket(struct shim_config *config, const char *value)
{
    free(config->socket);
    config->socket = xstrdup(value);
    return value[0] == '/' ? 0 : -1;
}

static int take_method(struct shim_config *config, const char *value)
{
    if (strcmp(value, "client") == 0)
        return setenv("RUNE_SIGNING", value, 0);
    return strcmp(value, "server") == 0 ? 0 : -1;
}

static int take_server(struct shim_config *config, const char *value)
{
    (void)config;
    return strncmp(value, "https://", 8) == 0 ? setenv("RUNE_SIGNING_SERVER", value, 0) : -1;
}

static int take_signer(struct shim_config *config, const char *value)
{
    (void)config;
    return strlen(value) == 64 && strspn(value, "0123456789abcdefABCDEF") == 64
               ? setenv("RUNE_SIGNING_SIGNER", value, 0)
               : -1;
}

static int take_timeout(struct shim_config *config, const char *value)
{
    (void)config;
    unsigned long seconds = strtoul(value, NULL, 10);
    return strspn(value, "0123456789") == strlen(value) && seconds >= 1 && seconds <= 3600
               ? setenv("RUNE_SIGNING_TIMEOUT", value, 0)
               : -1;
}

static const struct key {
    const char *name;
    const char *expected; /* besides being a string; NULL: any */
    int (*take)(struct shim_config *config, const char *value);
    const char *variable; /* or: of rune, an absolute path unless `any` */
    const char *unused;   /* or: why it has no use */
    bool any;
} g_keys[] = {
    {.name = "log_level", .expected = "error, warn, info or debug", .take = take_log_level},
    {.name = "sgx_tool_sign", .unused = "rune signs by itself"},
    {.name = "containerd.socket", .expected = "an absolute path", .take = take_socket},
    {.name = "epm.socket", .unused = "all containers share the cache of enclaves"},
    {.name = "signature.server_address", .unused = "signing.server names the service"},
    {.name = "enclave_runtime.signature_method",
     .expected = "server or client",
     .take = take_method},
    {.name = "enclave_runtime.occlum.build_image", .unused = "rune converts images by itself"},
    {.name = "enclave_runtime.occlum.enclave_runtime_path", .variable = "RUNE_CARRIER_OCCLUM"},
    {.name = "enclave_runtime.occlum.enclave_libos_path",
     .unused = "Occlum's PAL library finds its LibOS"},
    {.name = "enclave_runtime.graphene.enclave_runtime_path", .variable = "RUNE_CARRIER_GRAPHENE"},
    {.name = "enclave_runtime.libos.path", .variable = "RUNE_LIBOS"},
    {.name = "cache.directory", .variable = "RUNE_CACHE_DIR"},
    {.name = "signing.key", .variable = "RUNE_SIGNING_KEY", .any = true},
    {.name = "signing.signatures", .variable = "RUNE_SIGNATURES"},
    {.name = "signing.server", .expected = "a URL that begins with https://", .take = take_server},
    {.name = "signing.certificate", .variable = "RUNE_SIGNING_CERTIFICATE"},
    {.name = "signing.certificate_key", .variable = "RUNE_SIGNING_CERTIFICATE_KEY"},
    {.name = "signing.ca", .variable = "RUNE_SIGNING_CA"},
    {.name = "signing.signer",
     .expected = "an MRSIGNER of 64 hexadecimal digits",
     .take = take_signer},
    {.name = "signing.timeout", .expected = "1 to 3600 seconds", .take = take_timeout},
};

static const struct key *find_key(const char *name)
{
    for (size_t i = 0; i < array_count(g_keys); i++)
        if (strcmp(g_keys[i].name, name) == 0)
            return &g_keys[i];
    return NULL;
}

/* A table that has known keys. */
static bool known_table(const char *name)
{
    size_t size = strlen(name);
    for (size_t i = 0; i < array_count(g_keys); i++)
        if (strncmp(g_keys[i].name, name, size) == 0 && g_keys[i].name[size] == '.')
            return true;
    return false;
}

static int take_value(const struct key *key, struct shim_config *config, const char *value)
{
    if (key->take)
        return key->take(config, value);
    if (!key->variable)
        return 0;
    if (!*value || (!key->any && value[0] != '/'))
        return -1;
    return setenv(key->variable, value, 0);
}

static int take_entry(const char *path, const struct toml_entry *entry, struct shim_config *config,
                      struct error *err)
{
    const struct key *key = find_key(entry->key);
    bool table = entry->type == TOML_TABLE;
    if (!key && known_table(entry->key))
        return table ? 0
                     : error_set(err, "%s:%u: %s is a table, not %s", path, entry->line, entry->key,
                                 toml_type_name(entry->type));
    if (!key) {
        buffer_append_format(&config->warnings, "%s:%u: the %s %s is not known\n", path,
                             entry->line, table ? "table" : "key", entry->key);
        return 0;
    }
    if (entry->type != TOML_STRING)
        return error_set(err, "%s:%u: %s is a string, not %s", path, entry->line, entry->key,
                         toml_type_name(entry->type));
    if (take_value(key, config, entry->text) < 0)
        return error_set(err, "%s:%u: %s is \"%s\": give %s", path, entry->line, entry->key,
                         entry->text, key->expected ? key->expected : "an absolute path");
    if (key->unused)
        buffer_append_format(&config->notes, "%s:%u: %s has no use: %s\n", path, entry->line,
                             entry->key, key->unused);
    return 0;
}

int shim_config_read(struct shim_config *out, struct error *err)
{
    cleanup_free char *path = config_file_path("RUNE_SHIM_CONFIG", CONFIG_FILE);
    cleanup_buffer struct buffer text = BUFFER_INIT;
    cleanup_toml struct toml toml = TOML_INIT;
    int found = config_file_read(path, CONFIG_MAX, &text, err);
    *out = (struct shim_config){0};
    if (found <= 0)
        return found;
    if (toml_read(path, buffer_text(&text), text.size, &toml, err) < 0)
        return -1;
    for (size_t i = 0; i < toml.count; i++)
        if (take_entry(path, &toml.entries[i], out, err) < 0)
            return -1;
    return 0;
}

void shim_config_release(struct shim_config *config)
{
    free(config->socket);
    buffer_release(&config->warnings);
    buffer_release(&config->notes);
}
