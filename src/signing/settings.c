/* SPDX-License-Identifier: Apache-2.0 */
#include <libgen.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/config_file.h"
#include "base/path.h"
#include "base/toml.h"
#include "sgx/signing_key.h"
#include "signing/signd.h"

enum { FILE_MAX = 64 << 10, TIMEOUT_DEFAULT = 30, TIMEOUT_MOST = 3600 };

enum kind {
    TEXT,   /* char * */
    PLACE,  /* char *, a path */
    KEY,    /* char *, a path or a URI */
    NUMBER, /* uint16_t */
    SECONDS /* unsigned */
};

static const struct key {
    const char *name;
    enum kind kind;
    size_t offset;
    bool needed;
} g_keys[] = {
    {"listen", TEXT, offsetof(struct signd_settings, listen), true},
    {"certificate", PLACE, offsetof(struct signd_settings, certificate), true},
    {"certificate_key", PLACE, offsetof(struct signd_settings, certificate_key), true},
    {"client_ca", PLACE, offsetof(struct signd_settings, client_ca), true},
    {"client_crl", PLACE, offsetof(struct signd_settings, client_crl), false},
    {"signing_key", KEY, offsetof(struct signd_settings, signing_key), true},
    {"allow", PLACE, offsetof(struct signd_settings, allow), true},
    {"audit", PLACE, offsetof(struct signd_settings, audit), true},
    {"libos", PLACE, offsetof(struct signd_settings, libos), false},
    {"isv_prod_id", NUMBER, offsetof(struct signd_settings, isv_prod_id), false},
    {"isv_svn", NUMBER, offsetof(struct signd_settings, isv_svn), false},
    {"timeout", SECONDS, offsetof(struct signd_settings, timeout), false},
};

/* A relative path is one of systemd's credentials, or beside the file. */
static char *place_of(const char *file, const char *path)
{
    const char *credentials = secure_getenv("CREDENTIALS_DIRECTORY");
    if (path[0] == '/')
        return xstrdup(path);
    if (credentials && *credentials) {
        char *there = path_join(credentials, path);
        if (access(there, F_OK) == 0)
            return there;
        free(there);
    }
    cleanup_free char *copy = xstrdup(file);
    return path_join(dirname(copy), path);
}

static int take_text(const char *path, const struct key *key, const struct toml_entry *entry,
                     char **slot, struct error *err)
{
    if (entry->type != TOML_STRING || !entry->text[0])
        return error_set(err, "%s:%u: %s is a string, not %s", path, entry->line, key->name,
                         entry->type == TOML_STRING ? "empty" : toml_type_name(entry->type));
    bool as_it_is = key->kind == TEXT || (key->kind == KEY && sgx_key_is_uri(entry->text));
    free(*slot);
    *slot = as_it_is ? xstrdup(entry->text) : place_of(path, entry->text);
    return 0;
}

static int take_number(const char *path, const struct key *key, const struct toml_entry *entry,
                       void *slot, struct error *err)
{
    const int64_t least = key->kind == SECONDS ? 1 : 0;
    const int64_t most = key->kind == SECONDS ? TIMEOUT_MOST : UINT16_MAX;
    if (entry->type != TOML_INTEGER || entry->number < least || entry->number > most)
        return error_set(err, "%s:%u: %s is an integer from %lld to %lld", path, entry->line,
                         key->name, (long long)least, (long long)most);
    if (key->kind == SECONDS)
        *(unsigned *)slot = (unsigned)entry->number;
    else
        *(uint16_t *)slot = (uint16_t)entry->number;
    return 0;
}

static int take_entry(const char *path, const struct toml_entry *entry, struct signd_settings *out,
                      struct error *err)
{
    for (size_t i = 0; i < array_count(g_keys); i++) {
        const struct key *key = &g_keys[i];
        char *slot = (char *)out + key->offset;
        if (strcmp(entry->key, key->name) != 0)
            continue;
        return key->kind == NUMBER || key->kind == SECONDS
                   ? take_number(path, key, entry, slot, err)
                   : take_text(path, key, entry, (char **)slot, err);
    }
    return error_set(err, "%s:%u: the %s %s is not known", path, entry->line,
                     entry->type == TOML_TABLE ? "table" : "key", entry->key);
}

static int check_needed(const char *path, const struct signd_settings *settings, struct error *err)
{
    for (size_t i = 0; i < array_count(g_keys); i++)
        if (g_keys[i].needed && !*(char *const *)((const char *)settings + g_keys[i].offset))
            return error_set(err, "%s: %s is missing (man rune-signd)", path, g_keys[i].name);
    return 0;
}

int signd_settings_read(const char *path, struct signd_settings *out, struct error *err)
{
    cleanup_buffer struct buffer text = BUFFER_INIT;
    cleanup_toml struct toml toml = TOML_INIT;
    int found = config_file_read(path, FILE_MAX, &text, err);
    *out = (struct signd_settings){.timeout = TIMEOUT_DEFAULT};
    if (found <= 0)
        return found < 0 ? found : error_set(err, "%s is not there (man rune-signd)", path);
    if (toml_read(path, buffer_text(&text), text.size, &toml, err) < 0)
        return -1;
    for (size_t i = 0; i < toml.count; i++)
        if (take_entry(path, &toml.entries[i], out, err) < 0)
            return -1;
    return check_needed(path, out, err);
}

void signd_settings_release(struct signd_settings *settings)
{
    for (size_t i = 0; i < array_count(g_keys); i++)
        if (g_keys[i].kind <= KEY)
            free(*(char **)((char *)settings + g_keys[i].offset));
}
