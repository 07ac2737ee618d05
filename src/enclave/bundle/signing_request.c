/* SPDX-License-Identifier: Apache-2.0 */
/* A request to a signing service as text, in both directions. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "bound.h"
#include "enclave/bundle/service.h"

enum { VERSION = 1 };
#define DATA_SIZE_MAX (1ull << 46)
#define BLOCK         4096ull

/* ---- members: one table for both directions ---- */

static const struct hash_member {
    const char *name;
    size_t offset;
} g_hashes[] = {
    {"rootHash", offsetof(struct signing_request, root_hash)},
    {"salt", offsetof(struct signing_request, salt)},
    {"sitesHash", offsetof(struct signing_request, sites_hash)},
    {"libosHash", offsetof(struct signing_request, libos_hash)},
    {"proxyHash", offsetof(struct signing_request, proxy_hash)},
    {"mrenclave", offsetof(struct signing_request, mrenclave)},
};

static const struct number_member {
    const char *name;
    size_t offset;
} g_numbers[] = {
    {"dataSize", offsetof(struct signing_request, data_size)},
    {"sitesSize", offsetof(struct signing_request, sites_size)},
    {"enclaveSize", offsetof(struct signing_request, settings.enclave_size)},
    {"memory", offsetof(struct signing_request, settings.memory_limit)},
};

static const struct flag_member {
    const char *name;
    size_t offset;
} g_flags[] = {
    {"insecureDebug", offsetof(struct signing_request, settings.debug)},
    {"sgx1", offsetof(struct signing_request, settings.no_sgx2)},
    {"aexnotify", offsetof(struct signing_request, settings.aexnotify)},
};

static const char *const g_others[] = {"version",   "bound",  "threads",
                                       "isvProdId", "isvSvn", "deploymentHash"};

static void *member_of(struct signing_request *request, size_t offset)
{
    return (char *)request + offset;
}

static const void *const_member_of(const struct signing_request *request, size_t offset)
{
    return (const char *)request + offset;
}

/* ---- writing ---- */

static void set_hex(json_t *json, const char *name, const void *data, size_t size)
{
    cleanup_free char *text = xmalloc(2 * size + 1);
    json_object_set_new(json, name, json_string(hex_format(text, data, size)));
}

void signing_request_write(const struct signing_request *r, struct buffer *text)
{
    cleanup_json json_t *json = json_pack("{s:i}", "version", VERSION);
    for (size_t i = 0; i < array_count(g_hashes); i++)
        set_hex(json, g_hashes[i].name, const_member_of(r, g_hashes[i].offset), BUNDLE_HASH_SIZE);
    for (size_t i = 0; i < array_count(g_numbers); i++) {
        const uint64_t *number = const_member_of(r, g_numbers[i].offset);
        json_object_set_new(json, g_numbers[i].name, json_integer((json_int_t)*number));
    }
    for (size_t i = 0; i < array_count(g_flags); i++) {
        const bool *flag = const_member_of(r, g_flags[i].offset);
        json_object_set_new(json, g_flags[i].name, json_boolean(*flag));
    }
    json_object_set_new(json, "threads", json_integer(r->settings.thread_limit));
    if (r->settings.isv_prod_id)
        json_object_set_new(json, "isvProdId", json_integer(r->settings.isv_prod_id));
    if (r->settings.isv_svn)
        json_object_set_new(json, "isvSvn", json_integer(r->settings.isv_svn));
    if (r->settings.no_kss)
        set_hex(json, "deploymentHash", r->settings.deployment_hash, BUNDLE_HASH_SIZE);
    if (r->bound.size)
        set_hex(json, "bound", r->bound.data, r->bound.size);
    cleanup_free char *out = json_text(json, JSON_COMPACT);
    buffer_append_text(text, out);
}

/* ---- reading ---- */

static bool is_known(const char *name)
{
    for (size_t i = 0; i < array_count(g_hashes); i++)
        if (strcmp(name, g_hashes[i].name) == 0)
            return true;
    for (size_t i = 0; i < array_count(g_numbers); i++)
        if (strcmp(name, g_numbers[i].name) == 0)
            return true;
    for (size_t i = 0; i < array_count(g_flags); i++)
        if (strcmp(name, g_flags[i].name) == 0)
            return true;
    for (size_t i = 0; i < array_count(g_others); i++)
        if (strcmp(name, g_others[i]) == 0)
            return true;
    return false;
}

/* A member that is skipped could be one that matters to who asks. */
static int check_names(const json_t *json, struct error *err)
{
    const char *name;
    json_t *value;
    if (!json_is_object(json))
        return error_set(err, "the request is not a JSON object");
    json_object_foreach ((json_t *)json, name, value) {
        if (!is_known(name))
            return error_set(err, "the request has a member that is not known: %.40s", name);
    }
    return 0;
}

static int read_optional(const json_t *json, const char *name, uint16_t *out, struct error *err)
{
    uint64_t number = 0;
    if (!json_object_get(json, name))
        return 0;
    if (json_read_number(json, name, UINT16_MAX, &number, err) < 0)
        return -1;
    *out = (uint16_t)number;
    return 0;
}

static int read_members(const json_t *json, struct signing_request *out, struct error *err)
{
    for (size_t i = 0; i < array_count(g_hashes); i++)
        if (json_read_hex(json, g_hashes[i].name, member_of(out, g_hashes[i].offset),
                          BUNDLE_HASH_SIZE, err) < 0)
            return -1;
    for (size_t i = 0; i < array_count(g_numbers); i++)
        if (json_read_number(json, g_numbers[i].name, DATA_SIZE_MAX,
                             member_of(out, g_numbers[i].offset), err) < 0)
            return -1;
    for (size_t i = 0; i < array_count(g_flags); i++) {
        const json_t *value = json_object_get(json, g_flags[i].name);
        if (!json_is_boolean(value))
            return error_set(err, "%s is not true or false", g_flags[i].name);
        *(bool *)member_of(out, g_flags[i].offset) = json_is_true(value);
    }
    return 0;
}

static int read_bound(const json_t *json, struct buffer *out, struct error *err)
{
    const json_t *value = json_object_get(json, "bound");
    if (!value)
        return 0;
    const char *text = json_string_value(value);
    size_t size = json_string_length(value) / 2;
    if (!text || !size || size > BOUND_MAX)
        return error_set(err, "bound is not 1 to %u bytes in hexadecimal digits", BOUND_MAX);
    uint8_t *data = (uint8_t *)buffer_reserve(out, size);
    if (!hex_parse(text, json_string_length(value), data, size))
        return error_set(err, "bound is not hexadecimal digits");
    out->size = size;
    return 0;
}

static int read_json(const json_t *json, struct signing_request *out, struct error *err)
{
    uint64_t version = 0, threads = 0;
    if (check_names(json, err) < 0 ||
        json_read_number(json, "version", UINT32_MAX, &version, err) < 0)
        return -1;
    if (version != VERSION)
        return error_set(err, "the request has version %llu; this service knows %d",
                         (unsigned long long)version, VERSION);
    if (read_members(json, out, err) < 0 ||
        json_read_number(json, "threads", UINT32_MAX, &threads, err) < 0 ||
        read_optional(json, "isvProdId", &out->settings.isv_prod_id, err) < 0 ||
        read_optional(json, "isvSvn", &out->settings.isv_svn, err) < 0 ||
        read_bound(json, &out->bound, err) < 0)
        return -1;
    out->settings.thread_limit = (uint32_t)threads;
    out->salt_size = BUNDLE_HASH_SIZE;
    out->settings.no_kss = json_object_get(json, "deploymentHash") != NULL;
    if (out->settings.no_kss && json_read_hex(json, "deploymentHash", out->settings.deployment_hash,
                                              BUNDLE_HASH_SIZE, err) < 0)
        return -1;
    if (!out->data_size || out->data_size % BLOCK)
        return error_set(err, "dataSize is not a number of blocks of %llu bytes", BLOCK);
    return 0;
}

int signing_request_read(const char *text, size_t size, struct signing_request *out,
                         struct error *err)
{
    *out = (struct signing_request){0};
    if (size > SIGNING_REQUEST_MAX)
        return error_set(err, "the request is longer than %lu bytes", SIGNING_REQUEST_MAX);
    json_error_t where;
    cleanup_json json_t *json = json_loadb(text, size, JSON_REJECT_DUPLICATES, &where);
    if (!json)
        return error_set(err, "the request is not JSON: line %d: %s", where.line, where.text);
    return read_json(json, out, err);
}

void signing_request_release(struct signing_request *request)
{
    buffer_release(&request->bound);
}
