/* SPDX-License-Identifier: Apache-2.0 */
/* Which image: from index.json or manifest.json to a configuration and its layers. */
#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/path.h"
#include "image/internal.h"

enum { LAYERS_MAX = 512, INDEX_DEPTH_MAX = 4 };

struct layer {
    char *name; /* in the store */
    uint8_t diff_id[DIGEST_SIZE];
};

struct image {
    struct store *store;
    char *path;
    json_t *config;
    struct layer *layers;
    size_t layer_count;
    uint8_t identity[IMAGE_IDENTITY_SIZE];
};

bool image_is_one(const char *path)
{
    struct stat st;
    cleanup_free char *layout = path_join(path, "oci-layout");
    cleanup_free char *index = path_join(path, "index.json");

    if (stat(path, &st) < 0)
        return false;
    return S_ISREG(st.st_mode) || (access(layout, F_OK) == 0 && access(index, F_OK) == 0);
}

/* A blob's name; NULL with err where the digest is none. */
static char *blob_name(const char *digest, struct error *err)
{
    uint8_t ignored[DIGEST_SIZE];

    if (digest_parse(digest, ignored, err) < 0)
        return NULL;
    return xasprintf("blobs/sha256/%s", strchr(digest, ':') + 1);
}

static json_t *blob_json(const struct image *image, const char *digest, struct error *err)
{
    cleanup_free char *name = blob_name(digest, err);
    return name ? store_json(image->store, name, digest, err) : NULL;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* ---- OCI: the manifest ---- */

struct choice {
    const char *reference;
    char *digest;       /* of the manifest that is chosen */
    unsigned count;     /* different ones that could be */
    struct buffer list; /* their names, for the message */
};

static bool is_index(const json_t *descriptor)
{
    const char *type = text_of(descriptor, "mediaType");
    return strcmp(type, "application/vnd.oci.image.index.v1+json") == 0 ||
           strcmp(type, "application/vnd.docker.distribution.manifest.list.v2+json") == 0;
}

static bool is_for_us(const json_t *descriptor)
{
    const json_t *platform = json_object_get(descriptor, "platform");

    return !platform || (strcmp(text_of(platform, "os"), "linux") == 0 &&
                         strcmp(text_of(platform, "architecture"), "amd64") == 0);
}

static const char *name_of(const json_t *descriptor)
{
    static const char *const keys[] = {"io.containerd.image.name",
                                       "org.opencontainers.image.ref.name"};
    const json_t *annotations = json_object_get(descriptor, "annotations");

    for (size_t i = 0; i < array_count(keys); i++)
        if (*text_of(annotations, keys[i]))
            return text_of(annotations, keys[i]);
    return "";
}

/* "v1" is meant by "docker.io/library/app:v1" as well, and by the tag alone. */
static bool is_named(const json_t *descriptor, const char *reference)
{
    const json_t *annotations = json_object_get(descriptor, "annotations");

    return strcmp(name_of(descriptor), reference) == 0 ||
           strcmp(text_of(annotations, "org.opencontainers.image.ref.name"), reference) == 0 ||
           strcmp(text_of(descriptor, "digest"), reference) == 0;
}

static void consider(struct choice *choice, const json_t *descriptor, const char *name)
{
    const char *digest = text_of(descriptor, "digest");

    if (choice->digest && strcmp(choice->digest, digest) == 0)
        return;
    buffer_append_format(&choice->list, "%s%s", choice->count ? ", " : "", *name ? name : digest);
    if (choice->count++ == 0)
        choice->digest = xstrdup(digest);
}

static int search_index(const struct image *image, const json_t *index, bool named,
                        const char *name, unsigned depth, struct choice *choice, struct error *err)
{
    const json_t *descriptor;
    size_t i;

    if (depth > INDEX_DEPTH_MAX)
        return error_set(err, "%s: indexes are nested too deep", image->path);
    json_array_foreach (json_object_get(index, "manifests"), i, descriptor) {
        bool ok = named || !choice->reference || is_named(descriptor, choice->reference);
        const char *own = *name_of(descriptor) ? name_of(descriptor) : name;
        if (is_index(descriptor)) {
            cleanup_json json_t *inner = blob_json(image, text_of(descriptor, "digest"), err);
            if (!inner || search_index(image, inner, ok, own, depth + 1, choice, err) < 0)
                return -1;
        } else if (ok && is_for_us(descriptor)) {
            consider(choice, descriptor, own);
        }
    }
    return 0;
}

static json_t *choose_manifest(const struct image *image, const char *reference, struct error *err)
{
    struct choice choice = {.reference = reference};
    cleanup_json json_t *index = store_json(image->store, "index.json", NULL, err);
    json_t *manifest = NULL;

    if (index && search_index(image, index, false, "", 0, &choice, err) == 0) {
        if (choice.count == 1)
            manifest = blob_json(image, choice.digest, err);
        else if (choice.count == 0)
            error_set(err, "%s holds no image for linux/amd64%s%s", image->path,
                      reference ? " called " : "", reference ? reference : "");
        else
            error_set(err, "%s holds %u images, choose one with --image: %s", image->path,
                      choice.count, buffer_text(&choice.list));
    }
    free(choice.digest);
    buffer_release(&choice.list);
    return manifest;
}

static void add_layer(struct image *image, char *name)
{
    image->layers = xreallocarray(image->layers, image->layer_count + 1, sizeof(*image->layers));
    image->layers[image->layer_count++] = (struct layer){.name = name};
}

static int read_oci(struct image *image, const char *reference, struct error *err)
{
    const json_t *layer;
    size_t i;
    cleanup_json json_t *manifest = choose_manifest(image, reference, err);

    if (!manifest)
        return -1;
    json_array_foreach (json_object_get(manifest, "layers"), i, layer) {
        char *name = blob_name(text_of(layer, "digest"), err);
        if (!name)
            return error_wrap(err, "%s: layer %zu", image->path, i + 1);
        add_layer(image, name);
    }
    image->config = blob_json(image, text_of(json_object_get(manifest, "config"), "digest"), err);
    return image->config ? 0 : error_wrap(err, "%s: configuration", image->path);
}

/* ---- docker save ---- */

static bool has_tag(const json_t *item, const char *reference)
{
    const json_t *tag;
    size_t i;

    json_array_foreach (json_object_get(item, "RepoTags"), i, tag)
        if (json_is_string(tag) && strcmp(json_string_value(tag), reference) == 0)
            return true;
    return strcmp(text_of(item, "Config"), reference) == 0;
}

static const json_t *choose_item(const struct image *image, const json_t *list,
                                 const char *reference, struct error *err)
{
    cleanup_buffer struct buffer names = BUFFER_INIT;
    const json_t *item, *chosen = NULL;
    size_t i, count = 0;

    json_array_foreach (list, i, item) {
        if (reference && !has_tag(item, reference))
            continue;
        const json_t *tag = json_array_get(json_object_get(item, "RepoTags"), 0);
        buffer_append_format(&names, "%s%s", count++ ? ", " : "",
                             json_is_string(tag) ? json_string_value(tag)
                                                 : text_of(item, "Config"));
        chosen = item;
    }
    if (count == 1)
        return chosen;
    if (count == 0)
        error_set(err, "%s holds no image%s%s", image->path, reference ? " called " : "",
                  reference ? reference : "");
    else
        error_set(err, "%s holds %zu images, choose one with --image: %s", image->path, count,
                  buffer_text(&names));
    return NULL;
}

static int read_docker(struct image *image, const char *reference, struct error *err)
{
    const json_t *layer;
    size_t i;
    cleanup_json json_t *list = store_json(image->store, "manifest.json", NULL, err);
    const json_t *item = list ? choose_item(image, list, reference, err) : NULL;

    if (!item)
        return -1;
    json_array_foreach (json_object_get(item, "Layers"), i, layer) {
        if (!json_is_string(layer))
            return error_set(err, "%s: layer %zu has no name", image->path, i + 1);
        add_layer(image, xstrdup(json_string_value(layer)));
    }
    image->config = store_json(image->store, text_of(item, "Config"), NULL, err);
    return image->config ? 0 : -1;
}

/* ---- both ---- */

static int read_diff_ids(struct image *image, struct error *err)
{
    const json_t *ids = json_object_get(json_object_get(image->config, "rootfs"), "diff_ids");

    if (image->layer_count == 0 || image->layer_count > LAYERS_MAX)
        return error_set(err, "%s has %zu layers; 1 to %d can be", image->path, image->layer_count,
                         LAYERS_MAX);
    if (json_array_size(ids) != image->layer_count)
        return error_set(err, "%s has %zu layers, and its configuration names %zu", image->path,
                         image->layer_count, json_array_size(ids));
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    bool ok = hash && EVP_DigestInit_ex2(hash, EVP_sha256(), NULL) == 1;
    int ret = 0;
    for (size_t i = 0; ok && ret == 0 && i < image->layer_count; i++) {
        const char *text = json_string_value(json_array_get(ids, i));
        ret = digest_parse(text ? text : "", image->layers[i].diff_id, err);
        ok = EVP_DigestUpdate(hash, image->layers[i].diff_id, DIGEST_SIZE) == 1;
    }
    ok = ok && EVP_DigestFinal_ex(hash, image->identity, NULL) == 1;
    EVP_MD_CTX_free(hash);
    if (ret < 0)
        return error_wrap(err, "%s: rootfs.diff_ids", image->path);
    return ok ? 0 : error_set(err, "SHA-256 failed");
}

static int check_platform(const struct image *image, struct error *err)
{
    const char *os = text_of(image->config, "os");
    const char *architecture = text_of(image->config, "architecture");

    if (strcmp(os, "linux") == 0 && strcmp(architecture, "amd64") == 0)
        return 0;
    return error_set(err, "%s is an image for %.40s/%.40s, not for linux/amd64", image->path, os,
                     architecture);
}

int image_open(const char *path, const char *reference, struct image **out, struct error *err)
{
    struct image *image = xcalloc(1, sizeof(*image));
    image->path = xstrdup(path);
    int ret = store_open(path, &image->store, err);

    if (ret == 0 && store_has(image->store, "index.json"))
        ret = read_oci(image, reference, err);
    else if (ret == 0 && store_has(image->store, "manifest.json"))
        ret = read_docker(image, reference, err);
    else if (ret == 0)
        ret = error_set(err,
                        "%s is not an image: it has neither index.json (OCI layout) nor "
                        "manifest.json (docker save)",
                        path);
    if (ret == 0)
        ret = check_platform(image, err);
    if (ret == 0)
        ret = read_diff_ids(image, err);
    if (ret < 0) {
        image_close(image);
        return ret;
    }
    *out = image;
    return 0;
}

void image_close(struct image *image)
{
    if (!image)
        return;
    for (size_t i = 0; i < image->layer_count; i++)
        free(image->layers[i].name);
    free(image->layers);
    json_decref(image->config);
    store_close(image->store);
    free(image->path);
    free(image);
}

const uint8_t *image_identity(const struct image *image)
{
    return image->identity;
}

const json_t *image_config(const struct image *image)
{
    return image->config;
}

static int apply_layers(const struct image *image, struct tree *tree, struct image_totals *left,
                        struct error *err)
{
    for (size_t i = 0; i < image->layer_count; i++) {
        cleanup_blob struct blob blob = {.fd = -1};
        int ret = store_find(image->store, image->layers[i].name, &blob, err);
        if (ret == 0)
            ret = layer_apply(tree, &blob, image->layers[i].diff_id, left, err);
        if (ret < 0)
            return error_wrap(err, "%s: layer %zu of %zu", image->path, i + 1, image->layer_count);
    }
    return tree_finish(tree, err);
}

int image_unpack(const struct image *image, int dir, const struct image_totals *limits,
                 struct image_totals *totals, struct error *err)
{
    struct image_totals left = *limits;
    struct tree tree;
    mode_t mask = umask(022);
    /* libarchive gives names in the locale's coding; they are UTF-8 in tar files, or just bytes. */
    locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    locale_t before = utf8 ? uselocale(utf8) : (locale_t)0;

    int ret = tree_begin(&tree, dir, limits->bytes, err);
    if (ret == 0)
        ret = apply_layers(image, &tree, &left, err);
    if (ret == 0 && totals)
        *totals = (struct image_totals){limits->entries - left.entries,
                                        limits->bytes - tree.bytes_left};
    tree_release(&tree);
    if (utf8) {
        uselocale(before);
        freelocale(utf8);
    }
    umask(mask);
    return ret;
}
