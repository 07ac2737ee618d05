/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The allow-list: a JSON object on each line, as `rune-image allow` writes them. Root hash, size of
 * the data and site table together are what the LibOS makes the image's programs from. An error in
 * it refuses every request: half a list would be somebody's guess.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/config_file.h"
#include "base/hex.h"
#include "base/json.h"
#include "signing/signd.h"

enum { FILE_MAX = 4 << 20 };

static const char *const g_names[] = {"name",  "rootHash",  "sitesHash", "dataSize",
                                      "bound", "isvProdId", "isvSvn",    "insecureDebug"};

/* Whether an image has a bound is said of each: to leave it out would allow every deployment. */
static int read_bound(const json_t *json, struct signd_image *out, struct error *err)
{
    const char *text = json_string_value(json_object_get(json, "bound"));
    out->bounded = !text || strcmp(text, "none") != 0;
    if (!out->bounded || (text && hex_parse(text, strlen(text), out->bound_hash, BUNDLE_HASH_SIZE)))
        return 0;
    return error_set(err, "bound is neither 64 hexadecimal digits nor \"none\"");
}

/* May be left out. */
static int read_number(const json_t *json, const char *name, uint64_t most, uint64_t *out,
                       struct error *err)
{
    return json_object_get(json, name) ? json_read_number(json, name, most, out, err) : 0;
}

static int check_names(const json_t *json, struct error *err)
{
    const char *name;
    json_t *value;
    json_object_foreach ((json_t *)json, name, value) {
        size_t i = 0;
        while (i < array_count(g_names) && strcmp(name, g_names[i]) != 0)
            i++;
        if (i == array_count(g_names))
            return error_set(err, "%.40s is not known", name);
    }
    return 0;
}

static int read_image(const json_t *json, struct signd_image *out, struct error *err)
{
    uint64_t product = out->isv_prod_id, svn = out->isv_svn;
    const json_t *debug = json_object_get(json, "insecureDebug");
    if (!json_is_object(json))
        return error_set(err, "not a JSON object");
    if (check_names(json, err) < 0 ||
        json_read_hex(json, "rootHash", out->root_hash, BUNDLE_HASH_SIZE, err) < 0 ||
        json_read_hex(json, "sitesHash", out->sites_hash, BUNDLE_HASH_SIZE, err) < 0 ||
        read_bound(json, out, err) < 0 ||
        read_number(json, "dataSize", INT64_MAX, &out->data_size, err) < 0 ||
        read_number(json, "isvProdId", UINT16_MAX, &product, err) < 0 ||
        read_number(json, "isvSvn", UINT16_MAX, &svn, err) < 0)
        return -1;
    if (!out->data_size)
        return error_set(err, "dataSize is missing");
    if (debug && !json_is_boolean(debug))
        return error_set(err, "insecureDebug is not true or false");
    const char *name = json_string_value(json_object_get(json, "name"));
    out->name = xstrdup(name ? name : "");
    out->isv_prod_id = (uint16_t)product;
    out->isv_svn = (uint16_t)svn;
    out->insecure_debug = json_is_true(debug);
    return 0;
}

static int read_line(const struct signd_settings *settings, const char *line, size_t size,
                     struct signd_images *out, struct error *err)
{
    if (strspn(line, " \t\r") == size || line[0] == '#')
        return 0;
    cleanup_free char *text = xstrndup(line, size);
    json_error_t where;
    cleanup_json json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, &where);
    if (!json)
        return error_set(err, "not JSON: %s", where.text);
    out->items = xrealloc(out->items, (out->count + 1) * sizeof(*out->items));
    struct signd_image *image = &out->items[out->count++];
    *image = (struct signd_image){.isv_prod_id = settings->isv_prod_id,
                                  .isv_svn = settings->isv_svn};
    return read_image(json, image, err);
}

int signd_images_read(const struct signd_settings *settings, struct signd_images *out,
                      struct error *err)
{
    cleanup_buffer struct buffer text = BUFFER_INIT;
    *out = (struct signd_images){0};
    int found = config_file_read(settings->allow, FILE_MAX, &text, err);
    if (found <= 0)
        return found < 0 ? found : error_set(err, "%s is not there", settings->allow);
    const char *line = buffer_text(&text);
    for (unsigned number = 1; *line; number++) {
        size_t size = strcspn(line, "\n");
        if (read_line(settings, line, size, out, err) < 0)
            return error_wrap(err, "%s:%u", settings->allow, number);
        line += size + (line[size] == '\n');
    }
    return 0;
}

/* ---- looking for one ---- */

/* What of a request is another than the entry of its root hash allows; NULL: nothing. */
static const char *difference(const struct signd_image *image,
                              const struct signing_request *request)
{
    uint8_t bound[BUNDLE_HASH_SIZE];
    hash_of(buffer_text(&request->bound), request->bound.size, bound);
    if (memcmp(image->sites_hash, request->sites_hash, BUNDLE_HASH_SIZE) != 0)
        return "its site table (sitesHash) is another; was it made by another version of rune?";
    if (image->data_size != request->data_size)
        return "its size (dataSize) is another";
    if (image->bounded != (request->bound.size != 0))
        return image->bounded ? "it is to have a bound, and has none"
                              : "it is to have no bound, and has one";
    if (image->bounded && memcmp(image->bound_hash, bound, BUNDLE_HASH_SIZE) != 0)
        return "its bound is another";
    if (request->settings.debug && !image->insecure_debug)
        return "it may not have the DEBUG attribute (insecureDebug)";
    const struct bundle_settings *s = &request->settings;
    if (s->isv_prod_id && s->isv_prod_id != image->isv_prod_id)
        return "its product id is another than was asked for";
    if (s->isv_svn && s->isv_svn != image->isv_svn)
        return "its security version is another than was asked for";
    return NULL;
}

const struct signd_image *signd_images_find(const struct signd_images *images,
                                            const struct signing_request *request,
                                            struct error *err)
{
    char hash[2 * BUNDLE_HASH_SIZE + 1];
    const char *against = NULL;
    hex_format(hash, request->root_hash, BUNDLE_HASH_SIZE);
    for (size_t i = 0; i < images->count; i++) {
        if (memcmp(images->items[i].root_hash, request->root_hash, BUNDLE_HASH_SIZE) != 0)
            continue;
        const char *text = difference(&images->items[i], request);
        if (!text)
            return &images->items[i];
        against = against ? against : text;
    }
    if (against)
        error_set(err, "the image with root hash %s is allowed, but %s", hash, against);
    else
        error_set(err, "no image with root hash %s is on the allow-list", hash);
    return NULL;
}

void signd_images_release(struct signd_images *images)
{
    for (size_t i = 0; i < images->count; i++)
        free(images->items[i].name);
    free(images->items);
}
