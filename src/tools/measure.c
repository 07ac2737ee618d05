/* SPDX-License-Identifier: Apache-2.0 */
/* rune-image measure and policy: the identity of containers that do not run yet, for a tenant. */
#include "measure.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/hex.h"
#include "base/json.h"
#include "base/path.h"
#include "enclave/engine.h"
#include "enclave/predict.h"
#include "image-source.h"
#include "image/image.h"

enum { CONFIG_MAX = 16 << 20 };

static struct {
    const char *engine, *image_config, *cache, *libos, *bound, *compare, *key;
    struct option_list images, env;
    bool json, configid_only, client_signing;
} o;

/* ---- images ---- */

/* One image, opened: its files as a directory, its configuration, its MRENCLAVE where wanted. */
struct measured_image {
    const char *path;
    char *rootfs; /* of ours when `unpacked` */
    bool unpacked;
    json_t *config; /* NULL: none */
};

static void release_image(struct measured_image *image)
{
    cleanup_error struct error err = ERROR_INIT;
    if (image->unpacked)
        (void)path_remove_tree(AT_FDCWD, image->rootfs, &err);
    free(image->rootfs);
    json_decref(image->config);
}
#define cleanup_measured __attribute__((cleanup(release_image)))

static int unpack(struct measured_image *out, struct error *err)
{
    const char *tmp = getenv("TMPDIR");
    const struct image_totals limits = {IMAGE_ENTRIES_MAX, IMAGE_BYTES_MAX};
    struct image *image = NULL;
    int ret = image_open(out->path, g_image_name, &image, err);
    if (ret < 0)
        return ret;
    out->config = json_incref((json_t *)(uintptr_t)image_config(image));
    out->rootfs = xasprintf("%s/rune-measure.XXXXXX", tmp ? tmp : "/tmp");
    cleanup_close int dir = mkdtemp(out->rootfs) ? open(out->rootfs, O_DIRECTORY | O_CLOEXEC) : -1;
    out->unpacked = dir >= 0;
    if (dir < 0)
        ret = error_errno(err, errno, "%s", out->rootfs);
    else
        ret = image_unpack(image, dir, &limits, NULL, err);
    image_close(image);
    return ret;
}

static int open_image(const char *path, struct measured_image *out, struct error *err)
{
    out->path = path;
    if (image_is_one(path))
        return unpack(out, err);
    out->rootfs = xstrdup(path);
    if (o.image_config)
        out->config = json_parse_file(AT_FDCWD, o.image_config, CONFIG_MAX, err);
    return o.image_config && !out->config ? -1 : 0;
}

/* The layers, and what the engine puts on top. */
struct engine_tree {
    struct bundle_tree layers;
    enum engine engine;
};

static int make_engine_tree(void *ctx, int dir, uint64_t *entries, uint64_t *bytes,
                            struct error *err)
{
    const struct engine_tree *tree = ctx;
    int ret = tree->layers.make(tree->layers.ctx, dir, entries, bytes, err);
    return ret < 0 ? ret : engine_root(tree->engine, dir, err);
}

/* engine: NULL for a config.json, of whose engine nothing is known. */
static int read_mrenclave(const char *path, const enum engine *engine,
                          const struct bundle_settings *settings,
                          uint8_t mrenclave[BUNDLE_HASH_SIZE], struct error *err)
{
    cleanup_image_source struct image_source source = {0};
    cleanup_bundle_result struct bundle_result result = BUNDLE_RESULT_INIT;
    struct bundle_options options = {.cache_dir = o.cache,
                                     .libos = o.libos,
                                     .bound = o.bound,
                                     .key = o.key,
                                     .client_signing = o.client_signing,
                                     .settings = *settings};
    int ret = image_source_open(path, &source, &options, err);
    struct engine_tree tree = {.layers = source.tree};
    struct bundle_tree whole = source.tree;
    if (ret == 0 && options.tree && engine &&
        (*engine == ENGINE_DOCKER || *engine == ENGINE_PODMAN)) {
        tree.engine = *engine;
        whole.make = make_engine_tree;
        whole.ctx = &tree;
        whole.identity[0] ^= (uint8_t)(0x80 | *engine); /* another tree of the cache */
        options.tree = &whole;
    }
    if (ret == 0)
        ret = bundle_convert(&options, &result, err);
    if (ret == 0)
        memcpy(mrenclave, result.mrenclave, sizeof(result.mrenclave));
    return ret;
}

/* Of a container's image as it is written: --for NAME=PATH, or the one of the command line. */
static const char *path_of_image(const char *name, const char *first)
{
    const size_t size = strlen(name);
    for (size_t i = 0; i < o.images.count; i++)
        if (strncmp(o.images.items[i], name, size) == 0 && o.images.items[i][size] == '=')
            return o.images.items[i] + size + 1;
    return first;
}

/* ---- one container ---- */

/* What a config.json of the node's has else. */
static int print_difference(const struct buffer *expected, const char *rootfs, struct error *err)
{
    cleanup_buffer struct buffer found = BUFFER_INIT;
    cleanup_buffer struct buffer words = BUFFER_INIT;
    uint8_t hash[BUNDLE_HASH_SIZE];
    struct bundle_settings settings;
    cleanup_json json_t *config = json_parse_file(AT_FDCWD, o.compare, CONFIG_MAX, err);
    if (!config || enclave_predict_config(config, rootfs, &found, hash, &settings, err) < 0)
        return -1;
    if (found.size == expected->size && memcmp(found.data, expected->data, found.size) == 0)
        return 0;
    if (enclave_compare_deployments(expected, &found, &words, err) < 0)
        return -1;
    fputs(buffer_text(&words), stdout);
    return 0;
}

static int print_identity(const char *name, const enum engine *engine, json_t *config,
                          const struct measured_image *image, json_t *answer, struct error *err)
{
    cleanup_buffer struct buffer blob = BUFFER_INIT;
    struct bundle_settings settings;
    uint8_t configid[BUNDLE_HASH_SIZE], mrenclave[BUNDLE_HASH_SIZE];
    char hex[2][2 * BUNDLE_HASH_SIZE + 1];
    int ret = enclave_predict_config(config, image->rootfs, &blob, configid, &settings, err);
    if (ret == 0 && !o.configid_only)
        ret = read_mrenclave(image->path, engine, &settings, mrenclave, err);
    if (ret < 0)
        return ret;
    hex_format(hex[0], configid, sizeof(configid));
    if (!o.configid_only)
        hex_format(hex[1], mrenclave, sizeof(mrenclave));
    json_t *item = json_pack("{s:s}", "name", name);
    if (!settings.no_kss)
        json_object_set_new(item, "configid", json_string(hex[0]));
    if (!o.configid_only)
        json_object_set_new(item, "mrenclave", json_string(hex[1]));
    json_array_append_new(answer, item);
    if (o.json)
        return 0;
    printf("container  %s\n", name);
    if (!o.configid_only)
        printf("MRENCLAVE  %s\n", hex[1]);
    printf("CONFIGID   %s%s\n", hex[0], settings.no_kss ? " (in MRENCLAVE, without KSS)" : "");
    return o.compare ? print_difference(&blob, image->rootfs, err) : 0;
}

static int print_bound(json_t *config, const struct measured_image *image, struct error *err)
{
    cleanup_json json_t *bound = enclave_predict_bound(config, image->rootfs, err);
    if (!bound)
        return -1;
    cleanup_free char *text = json_text(bound, JSON_INDENT(4));
    puts(text);
    return 0;
}

/* Without a host name of the tenant's, none may be measured: two of them make no difference. */
static int check_hostname(enum engine engine, json_t *wish, const struct measured_image *image,
                          struct error *err)
{
    cleanup_buffer struct buffer blob = BUFFER_INIT;
    uint8_t hashes[2][BUNDLE_HASH_SIZE];
    struct bundle_settings settings;
    for (size_t i = 0; i < 2; i++) {
        json_object_set_new(wish, "hostname", json_string(i == 0 ? "one" : "two"));
        cleanup_json json_t *config = engine_config(engine, wish, image->config, image->rootfs,
                                                    err);
        if (!config ||
            enclave_predict_config(config, image->rootfs, &blob, hashes[i], &settings, err) < 0)
            return -1;
    }
    return memcmp(hashes[0], hashes[1], sizeof(hashes[0])) == 0
               ? 0
               : error_set(err, "the host name is measured (enclave.host.env, enclave.host.name), "
                                "and nothing says which it is: give a host name");
}

static int measure_wish(enum engine engine, json_t *wish, const char *path, bool policy,
                        json_t *answer, struct error *err)
{
    cleanup_measured struct measured_image image = {0};
    const char *name = json_string_value(json_object_get(wish, "name"));
    const char *written = json_string_value(json_object_get(wish, "image"));
    int ret = open_image(path_of_image(written, path), &image, err);
    if (ret == 0 && !json_object_get(wish, "hostname"))
        ret = check_hostname(engine, wish, &image, err);
    cleanup_json json_t *config = ret == 0
                                      ? engine_config(engine, wish, image.config, image.rootfs, err)
                                      : NULL;
    if (!config)
        return error_wrap(err, "%s", name ? name : written);
    return policy ? print_bound(config, &image, err)
                  : print_identity(name ? name : written, &engine, config, &image, answer, err);
}

/* ---- what is measured ---- */

static int choose_engine(enum engine *engine, struct error *err)
{
    return o.engine ? engine_of(o.engine, engine, err) : 0;
}

static int measure_file(const char *path, const char *file, bool policy, json_t *answer,
                        struct error *err)
{
    enum engine engine;
    cleanup_json json_t *documents = engine_yaml(file, err);
    if (!documents)
        return -1;
    json_t *first = json_array_get(documents, 0);
    if (json_object_get(first, "ociVersion")) {
        cleanup_measured struct measured_image image = {0};
        if (open_image(path, &image, err) < 0 || choose_engine(&engine, err) < 0)
            return -1;
        return policy ? print_bound(first, &image, err)
                      : print_identity(file, o.engine ? &engine : NULL, first, &image, answer, err);
    }
    cleanup_free char *directory = xstrdup(file);
    char *slash = strrchr(directory, '/');
    if (slash)
        *slash = '\0';
    cleanup_free const char **variables = xcalloc(o.env.count + 1, sizeof(*variables));
    for (size_t i = 0; i < o.env.count; i++)
        variables[i] = o.env.items[i];
    cleanup_json json_t *wishes = engine_file(documents, slash ? directory : ".", variables,
                                              &engine, err);
    if (!wishes || choose_engine(&engine, err) < 0)
        return error_wrap(err, "%s", file);
    for (size_t i = 0; i < json_array_size(wishes); i++)
        if (measure_wish(engine, json_array_get(wishes, i), path, policy, answer, err) < 0)
            return error_wrap(err, "%s", file);
    return 0;
}

static int measure_bundle(const char *bundle, bool policy, json_t *answer, struct error *err)
{
    cleanup_free char *file = path_join(bundle, "config.json");
    cleanup_json json_t *config = json_parse_file(AT_FDCWD, file, CONFIG_MAX, err);
    const char *root = json_string_value(json_object_get(json_object_get(config, "root"), "path"));
    if (!config)
        return -1;
    if (!root)
        return error_set(err, "%s: root.path is missing", file);
    struct measured_image image = {.rootfs = root[0] == '/' ? xstrdup(root)
                                                            : path_join(bundle, root)};
    image.path = image.rootfs;
    int ret = policy ? print_bound(config, &image, err)
                     : print_identity(bundle, NULL, config, &image, answer, err);
    release_image(&image);
    return ret;
}

static int run(int argc, char **argv, bool policy, struct error *err)
{
    cleanup_json json_t *answer = json_array();
    enum engine engine;
    int ret;
    if (argc == 1) {
        ret = measure_bundle(argv[0], policy, answer, err);
    } else if (argc == 2) {
        ret = measure_file(argv[0], argv[1], policy, answer, err);
    } else {
        cleanup_json json_t *wish = engine_line(argc - 1, argv + 1, &engine, err);
        ret = wish && choose_engine(&engine, err) == 0
                  ? measure_wish(engine, wish, argv[0], policy, answer, err)
                  : -1;
    }
    if (ret == 0 && o.json && !policy) {
        cleanup_free char *text = json_text(answer, JSON_INDENT(2));
        puts(text);
    }
    return ret;
}

static int run_measure(int argc, char **argv, struct error *err)
{
    return run(argc, argv, false, err);
}

static int run_policy(int argc, char **argv, struct error *err)
{
    return run(argc, argv, true, err);
}

#define OPTIONS_INPUT                                                                            \
    {"for",                                                                                      \
     NULL,                                                                                       \
     OPTION_LIST,                                                                                \
     &o.images,                                                                                  \
     "NAME=ROOTFS|IMAGE",                                                                        \
     "files of the image that a container names so (may be given many times)",                   \
     NULL},                                                                                      \
        {"image-config",                                                                         \
         NULL,                                                                                   \
         OPTION_TEXT,                                                                            \
         &o.image_config,                                                                        \
         "FILE",                                                                                 \
         "configuration of the image, as `docker image inspect` shows it; for a root directory", \
         NULL},                                                                                  \
        {"engine",    NULL,                                                                      \
         OPTION_TEXT, &o.engine,                                                                 \
         "NAME",      "whose defaults: docker, podman, ctr or cri (default: as the input says)", \
         NULL},                                                                                  \
    {                                                                                            \
        "env", NULL, OPTION_LIST, &o.env, "NAME=VALUE",                                          \
            "value of a pod's variable that its file takes from elsewhere", NULL                 \
    }

static const struct option g_measure_options[] = {
    OPTIONS_INPUT,
    {"configid-only", NULL, OPTION_FLAG, &o.configid_only, NULL, "pack nothing: no MRENCLAVE",
     NULL},
    {"compare", NULL, OPTION_TEXT, &o.compare, "FILE",
     "a config.json that a node has started: show in words what it has else", NULL},
    {"json", NULL, OPTION_FLAG, &o.json, NULL, "print a list of objects", NULL},
    {"client-signing", NULL, OPTION_FLAG, &o.client_signing, NULL,
     "of enclaves that are signed off the machine, which MRENCLAVE tells", NULL},
    {"key", NULL, OPTION_TEXT, &o.key, "PEM", "signing key, as of convert; MRENCLAVE is the same",
     NULL},
    {"bound", NULL, OPTION_TEXT, &o.bound, "FILE", "what deployments may say, as of convert", NULL},
    {"cache", NULL, OPTION_TEXT, &o.cache, "DIR", "where images are kept, as of convert", NULL},
    {"libos", NULL, OPTION_TEXT, &o.libos, "FILE", "the LibOS (default: the installed one)", NULL},
    OPTIONS_IMAGE_SOURCE,
};
static const struct option g_policy_options[] = {OPTIONS_INPUT, OPTIONS_IMAGE_SOURCE};

#define EXAMPLES(command)                                                            \
    "rune-image " command " BUNDLE\n"                                                \
    "rune-image " command " app.tar docker run -e COLOUR=blue -v data:/data app:1\n" \
    "rune-image " command " app.tar compose.yaml\n"                                  \
    "rune-image " command " --for proxy:2=proxy.tar app.tar pod.yaml\n"

const struct command g_measure = {
    .name = "measure",
    .arguments = "BUNDLE | ROOTFS|IMAGE (FILE | ENGINE run ARGUMENT...)",
    .summary = "predict MRENCLAVE and CONFIGID of containers",
    .description = "Computes what a verifier will see of each container, before it runs and on any "
                   "machine. FILE is a config.json, a compose file or a YAML file of Kubernetes; "
                   "ENGINE is docker, podman or ctr, with its command line. What engines make anew "
                   "for each container is not measured (docs/design/identity.md).",
    .examples = EXAMPLES("measure"),
    .options = g_measure_options,
    .option_count = array_count(g_measure_options),
    .min_arguments = 1,
    .max_arguments = -1,
    .run = run_measure,
    .keep_order = true,
};
const struct command g_policy = {
    .name = "policy",
    .arguments = "BUNDLE | ROOTFS|IMAGE (FILE | ENGINE run ARGUMENT...)",
    .summary = "write a bound that allows these deployments",
    .description = "Prints a bound (docs/enclave.md) that allows the deployment of each container, "
                   "with whatever the host fills in by its rules, and no other. Widen it by hand "
                   "where the operator may choose, and give it to convert --bound.",
    .examples = EXAMPLES("policy"),
    .options = g_policy_options,
    .option_count = array_count(g_policy_options),
    .min_arguments = 1,
    .max_arguments = -1,
    .run = run_policy,
    .keep_order = true,
};
