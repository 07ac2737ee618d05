/* SPDX-License-Identifier: Apache-2.0 */
#include "rune/engines.h"

#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/toml.h"

/* --- Docker: JSON ---------------------------------------------------------------------------- */

/* Behind the brace that opens the value of `key` in the outermost object; 0: it is not there. The
 * text is known to be JSON. */
static size_t inside_of(const char *text, const char *key)
{
    size_t depth = 0, start = 0;
    bool found = false;
    for (size_t i = 0; text[i]; i++) {
        if (text[i] == '"') {
            start = ++i;
            while (text[i] != '"')
                i += text[i] == '\\' ? 2 : 1;
            size_t colon = i + 1 + strspn(text + i + 1, " \t\r\n");
            found = depth == 1 && text[colon] == ':' && i - start == strlen(key) &&
                    strncmp(text + start, key, i - start) == 0;
        } else if (text[i] == '{' || text[i] == '[') {
            if (found)
                return i + 1;
            depth++;
        } else if (text[i] == '}' || text[i] == ']') {
            depth--;
        }
    }
    return 0;
}

static void append_members(struct buffer *text, const char *rune)
{
    cleanup_json json_t *path = json_string(rune);
    cleanup_free char *quoted = json_text(path, JSON_ENCODE_ANY);
    buffer_append_format(text,
                         "\n        \"rune\": { \"path\": %s },"
                         "\n        \"rune-enclave\": { \"path\": %s, \"runtimeArgs\": "
                         "[\"--enclave\"] }",
                         quoted, quoted);
}

static int plan_docker(const char *file, const struct buffer *old, const char *rune,
                       struct buffer *text, size_t *offset, struct error *err)
{
    const char *config = buffer_text(old);
    bool empty = config[strspn(config, " \t\r\n")] == '\0';
    cleanup_json json_t *json = empty ? json_object() : json_parse(config, old->size, file, err);
    if (!json)
        return -1;
    json_t *runtimes = json_object_get(json, "runtimes");
    if (!json_is_object(json) || (runtimes && !json_is_object(runtimes)))
        return error_set(err, "%s: %s is no JSON object", file, runtimes ? "runtimes" : "it");
    if (json_object_get(runtimes, "rune") || json_object_get(runtimes, "rune-enclave"))
        return 0;
    if (empty) {
        buffer_append_text(text, "{\n    \"runtimes\": {");
        append_members(text, rune);
        buffer_append_text(text, "\n    }\n}\n");
        *offset = 0;
    } else if (runtimes) {
        *offset = inside_of(config, "runtimes");
        append_members(text, rune);
        buffer_append_text(text, json_object_size(runtimes) > 0 ? "," : "\n    ");
    } else {
        *offset = (size_t)(strchr(config, '{') - config) + 1;
        buffer_append_text(text, "\n    \"runtimes\": {");
        append_members(text, rune);
        buffer_append_text(text, json_object_size(json) > 0 ? "\n    }," : "\n    }\n");
    }
    if (*offset == 0 && !empty)
        return error_set(err, "%s: its member runtimes is written in a way that is not understood",
                         file);
    return 1;
}

/* --- containerd: TOML ------------------------------------------------------------------------ */

#define CRI_2 "plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes"
#define CRI_3 "plugins.\"io.containerd.cri.v1.runtime\".containerd.runtimes"

/* A table, a key in it, or a value that takes the table's place. */
static bool has_table(const struct toml *toml, const char *name)
{
    size_t size = strlen(name);
    for (size_t i = 0; i < toml->count; i++) {
        const char *key = toml->entries[i].key;
        if (strncmp(key, name, size) == 0 && (key[size] == '\0' || key[size] == '.'))
            return true;
    }
    return false;
}

static void append_runtime(struct buffer *text, const char *table, const char *name)
{
    buffer_append_format(text,
                         "[%s.%s]\n"
                         "  runtime_type = \"io.containerd.%s.v2\"\n",
                         table, name, name);
    if (strcmp(name, "runc") != 0)
        buffer_append_text(text, "  pod_annotations = [\"enclave.*\"]\n");
}

static int plan_containerd(const char *file, const struct buffer *old, const char *rune,
                           struct buffer *text, size_t *offset, struct error *err)
{
    cleanup_toml struct toml toml = TOML_INIT;
    if (toml_read(file, buffer_text(old), old->size, &toml, err) < 0)
        return -1;
    const struct toml_entry *version = toml_find(&toml, "version");
    if (old->size > 0 && (!version || version->type != TOML_INTEGER ||
                          (version->number != 2 && version->number != 3)))
        return error_set(err,
                         "%s: only configurations of version 2 or 3 are known here: "
                         "`containerd config migrate` makes one",
                         file);
    const char *table = version && version->number == 3 ? CRI_3 : CRI_2;
    cleanup_free char *name = xasprintf("%s.rune", table),
                      *enclave = xasprintf("%s.rune-enclave", table);
    cleanup_free char *runc = xasprintf("%s.runc", table);
    if (has_table(&toml, name) || has_table(&toml, enclave))
        return 0;
    const struct toml_entry *runtimes = toml_find(&toml, table);
    if (runtimes && runtimes->type != TOML_TABLE)
        return error_set(err, "%s:%u: the runtimes are in one line there: write a table for each",
                         file, runtimes->line);
    *offset = old->size;
    if (old->size == 0)
        buffer_append_text(text, "version = 2\n");
    else if (old->data[old->size - 1] != '\n')
        buffer_append_char(text, '\n');
    buffer_append_text(text,
                       "\n# rune: ordinary and enclave containers (rune install-runtime --undo "
                       "containerd takes this out)\n");
    append_runtime(text, table, "rune");
    append_runtime(text, table, "rune-enclave");
    /* containerd's own list counts only where there is none here, and its default needs this. */
    if (!has_table(&toml, runc) && !has_table(&toml, table))
        append_runtime(text, table, "runc");
    return 1;
}

/* --- Podman, CRI-O: files of our own --------------------------------------------------------- */

static int plan_podman(const char *file, const struct buffer *old, const char *rune,
                       struct buffer *text, size_t *offset, struct error *err)
{
    *offset = 0;
    buffer_append_format(text,
                         "# rune: podman --runtime rune run --annotation enclave.type=auto ...\n"
                         "[engine.runtimes]\nrune = [\"%s\"]\n",
                         rune);
    return old->size > 0 ? 0 : 1;
}

static int plan_crio(const char *file, const struct buffer *old, const char *rune,
                     struct buffer *text, size_t *offset, struct error *err)
{
    *offset = 0;
    buffer_append_format(text,
                         "# rune: a RuntimeClass with the handler rune; the pod annotation "
                         "enclave.type makes its containers enclave containers\n"
                         "[crio.runtime.runtimes.rune]\nruntime_path = \"%s\"\n"
                         "runtime_type = \"oci\"\nruntime_root = \"/run/rune\"\n",
                         rune);
    return old->size > 0 ? 0 : 1;
}

static const struct engine g_engines[] = {
    {.name = "docker",
     .file = "/etc/docker/daemon.json",
     .then = "systemctl reload docker; docker run --runtime rune-enclave IMAGE",
     .plan = plan_docker},
    {.name = "containerd",
     .file = "/etc/containerd/config.toml",
     .then =
         "systemctl restart containerd (containers go on); a RuntimeClass with the handler rune "
         "or rune-enclave",
     .plan = plan_containerd},
    {.name = "podman",
     .file = "/etc/containers/containers.conf.d/50-rune.conf",
     .own_file = true,
     .then = "podman --runtime rune run --annotation enclave.type=auto IMAGE",
     .plan = plan_podman},
    {.name = "cri-o",
     .file = "/etc/crio/crio.conf.d/50-rune.conf",
     .own_file = true,
     .then = "systemctl reload crio; a RuntimeClass with the handler rune",
     .plan = plan_crio},
};

const struct engine *engine_find(const char *name, struct error *err)
{
    for (size_t i = 0; i < array_count(g_engines); i++)
        if (strcmp(g_engines[i].name, name) == 0)
            return &g_engines[i];
    error_set(err, "there is no engine \"%s\": docker, containerd, podman or cri-o", name);
    return NULL;
}
