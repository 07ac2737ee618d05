/* SPDX-License-Identifier: Apache-2.0 */
#include "base/node.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/config_file.h"
#include "base/json.h"

#define NODE_FILE  "rune/node.json"
#define NODE_LIMIT (64u << 10)
#define COUNT_MOST 1000000
#define REMEDY \
    "enable SGX in the machine's firmware (Linux 5.11 or later), or, on a machine for development"

struct node_config {
    bool emulator;
    uint64_t cache_gib, cache_days;
};

static char *node_path(void)
{
    return config_file_path("RUNE_CONFIG", NODE_FILE);
}

static int parse_emulator(const json_t *value, struct node_config *out)
{
    const char *word = json_string_value(value);
    if (!word || (strcmp(word, "allow") != 0 && strcmp(word, "deny") != 0))
        return -1;
    out->emulator = strcmp(word, "allow") == 0;
    return 0;
}

static int parse_count(const json_t *value, uint64_t *out)
{
    json_int_t number = json_is_integer(value) ? json_integer_value(value) : -1;
    if (number < 0 || number > COUNT_MOST)
        return -1;
    *out = (uint64_t)number;
    return 0;
}

static int parse_gib(const json_t *value, struct node_config *out)
{
    return parse_count(value, &out->cache_gib);
}

static int parse_days(const json_t *value, struct node_config *out)
{
    return parse_count(value, &out->cache_days);
}

static const struct member {
    const char *name, *expected;
    int (*parse)(const json_t *value, struct node_config *out);
} g_members[] = {{"emulator", "\"allow\" or \"deny\"", parse_emulator},
                 {"imageCacheGiB", "a number of GiB, 0 for no limit,", parse_gib},
                 {"imageCacheDays", "a number of days, 0 for no limit,", parse_days}};

static int parse(const char *path, const struct buffer *text, struct node_config *out,
                 struct error *err)
{
    json_error_t failure;
    cleanup_json json_t *json = json_loadb(buffer_text(text), text->size, JSON_REJECT_DUPLICATES,
                                           &failure);
    if (!json)
        return error_set(err, "%s: line %d: %s", path, failure.line, failure.text);
    if (!json_is_object(json))
        return error_set(err, "%s: a JSON object is expected", path);
    const char *name;
    json_t *value;
    json_object_foreach (json, name, value) {
        const struct member *member = g_members, *end = g_members + array_count(g_members);
        while (member < end && strcmp(name, member->name) != 0)
            member++;
        if (member == end)
            return error_set(err,
                             "%s: the member \"%s\" is not known; there are \"emulator\", "
                             "\"imageCacheGiB\" and \"imageCacheDays\"",
                             path, name);
        if (member->parse(value, out) < 0)
            return error_set(err, "%s: %s: %s is expected", path, name, member->expected);
    }
    return 0;
}

/* 1: read; 0: there is none. */
static int read_node(const char *path, struct node_config *out, struct error *err)
{
    cleanup_buffer struct buffer text = BUFFER_INIT;
    *out = (struct node_config){.cache_gib = NODE_CACHE_GIB, .cache_days = NODE_CACHE_DAYS};
    int ret = config_file_read(path, NODE_LIMIT, &text, err);
    if (ret <= 0)
        return ret;
    return parse(path, &text, out, err) < 0 ? -1 : 1;
}

int node_allows_emulator(struct error *err)
{
    struct node_config config;
    cleanup_free char *path = node_path();
    int ret = read_node(path, &config, err);
    if (ret < 0)
        return -1;
    if (ret == 0)
        return error_set(err,
                         "there is no %s that allows the emulator, which protects nothing: " REMEDY
                         ", write {\"emulator\": \"allow\"} to it",
                         path);
    if (!config.emulator)
        return error_set(err,
                         "%s does not allow the emulator, which protects nothing: " REMEDY
                         ", set \"emulator\": \"allow\" there",
                         path);
    return 0;
}

int node_cache_limits(struct node_cache *out, struct error *err)
{
    struct node_config config;
    cleanup_free char *path = node_path();
    if (read_node(path, &config, err) < 0)
        return -1;
    *out = (struct node_cache){config.cache_gib << 30, (uint32_t)config.cache_days};
    return 0;
}
