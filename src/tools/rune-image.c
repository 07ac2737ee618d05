/* SPDX-License-Identifier: Apache-2.0 */
/* rune-image: conversion, inspection and signing of enclave bundles by hand; `rune` does the same
 * by itself. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/hex.h"
#include "base/json.h"
#include "base/number.h"
#include "base/path.h"
#include "cli/cli.h"
#include "enclave/bundle/bundle.h"
#include "image-source.h"
#include "measure.h"

static int parse_size(const char *option, const char *text, uint64_t max, uint64_t *out,
                      struct error *err)
{
    if (number_parse(text, strlen(text), max, out) < 0)
        return error_set(err, "%s: \"%s\" is not a number in range", option, text);
    return 0;
}

static int parse_hash(const char *what, const char *text, uint8_t hash[BUNDLE_HASH_SIZE],
                      struct error *err)
{
    if (!hex_parse(text, strlen(text), hash, BUNDLE_HASH_SIZE))
        return error_set(err, "\"%s\" is not a %s: 64 hexadecimal digits", text, what);
    return 0;
}

static void show_step(void *ctx, const char *step)
{
    (void)ctx;
    fprintf(stderr, "rune-image: %s\n", step);
}

static void print_hash(const char *label, const uint8_t hash[BUNDLE_HASH_SIZE])
{
    printf("%-11s", label);
    hex_print(stdout, hash, BUNDLE_HASH_SIZE);
}

static void print_result(const struct bundle_result *r, double seconds)
{
    printf("image      %s%s\n", r->image, r->converted ? "" : " (cached)");
    printf("size       %" PRIu64 " bytes, %" PRIu64 " of them data\n", r->image_size, r->data_size);
    printf("sites      %" PRIu64 "\n", r->site_count);
    print_hash("root hash", r->root_hash);
    if (r->enclave) {
        printf("enclave    %s%s\n", r->enclave, r->enclave_built ? "" : " (cached)");
        if (r->bounded)
            print_hash("bound", r->bound_hash);
        else
            printf("bound      none: a deployment may say anything\n");
        print_hash("MRENCLAVE", r->mrenclave);
        if (r->sigstruct)
            print_hash("MRSIGNER", r->mrsigner);
        else
            printf("unsigned   rune-image export-signing %s FILE\n", r->enclave_dir);
    }
    printf("took       %.3f s\n", seconds);
}

static struct {
    const char *cache, *libos, *key, *mkfs, *bound;
    const char *enclave_size, *memory, *threads, *no_kss, *isv_svn, *isv_prod_id, *days, *name;
    struct bundle_service service;
    bool debug, image_only, client_signing, debug_enclave, no_sgx2, aexnotify, quiet;
} o;

#define OPTION_CACHE                                                             \
    {                                                                            \
        "cache", NULL, OPTION_TEXT, &o.cache, "DIR",                             \
            "where images are kept (default: " BUNDLE_CACHE_DEFAULT              \
            "; for an ordinary user rune/images in XDG_CACHE_HOME or ~/.cache)", \
            NULL                                                                 \
    }

static const struct option g_convert_options[] = {
    OPTION_CACHE,
    {"libos", NULL, OPTION_TEXT, &o.libos, "FILE", "the LibOS (default: the installed one)", NULL},
    {"key", NULL, OPTION_TEXT, &o.key, "KEY",
     "signing key: a PEM file, made when missing, or a URI, as of PKCS #11 "
     "(default: " BUNDLE_KEY_DEFAULT ")",
     NULL},
    {"mkfs", NULL, OPTION_TEXT, &o.mkfs, "FILE", "mkfs.erofs (default: from PATH)", NULL},
    OPTIONS_IMAGE_SOURCE,
    {"image-only", NULL, OPTION_FLAG, &o.image_only, NULL, "pack and seal only, build no enclave",
     NULL},
    {"client-signing", NULL, OPTION_FLAG, &o.client_signing, NULL,
     "leave the signature to export-signing and import-signature", NULL},
    {"signing-server", NULL, OPTION_TEXT, &o.service.url, "URL",
     "a signing service that signs in place of a key (https://...)", NULL},
    {"signing-certificate", NULL, OPTION_TEXT, &o.service.certificate, "FILE",
     "this client's certificate for the service, in PEM", NULL},
    {"signing-certificate-key", NULL, OPTION_TEXT, &o.service.key, "FILE",
     "the key of that certificate, in PEM", NULL},
    {"signing-ca", NULL, OPTION_TEXT, &o.service.ca, "FILE",
     "who vouches for the service, in PEM (default: the system's)", NULL},
    {"signing-timeout", NULL, OPTION_TEXT, &o.service.timeout, "SECONDS",
     "how long the service may take (default: 60)", NULL},
    {"signer", NULL, OPTION_TEXT, &o.service.signer, "MRSIGNER",
     "the MRSIGNER that the service is to have (default: any)", NULL},
    {"bound", NULL, OPTION_TEXT, &o.bound, "FILE",
     "what deployments may say (default: the image's own " BUNDLE_BOUND_PATH ", if it has one)",
     NULL},
    {"debug-enclave", NULL, OPTION_FLAG, &o.debug_enclave, NULL,
     "an enclave that the host may read and debug (insecure)", NULL},
    {"enclave-size", NULL, OPTION_TEXT, &o.enclave_size, "N",
     "address range, a power of two; suffix M, G or T (default: 64T)", NULL},
    {"memory", NULL, OPTION_TEXT, &o.memory, "N",
     "memory limit of the enclave (default: none; with --no-sgx2 512M, all of it added)", NULL},
    {"threads", NULL, OPTION_TEXT, &o.threads, "N",
     "thread limit (default: none; with --no-sgx2 60, all of them made)", NULL},
    {"no-sgx2", NULL, OPTION_FLAG, &o.no_sgx2, NULL,
     "for machines with SGX1: memory and threads are there from the start", NULL},
    {"aexnotify", NULL, OPTION_FLAG, &o.aexnotify, NULL,
     "told of each asynchronous exit, against single steps: for processors with AEX-Notify", NULL},
    {"no-kss", NULL, OPTION_TEXT, &o.no_kss, "HASH",
     "for machines without KSS: measure the deployment with this SHA-256", NULL},
    {"isv-svn", NULL, OPTION_TEXT, &o.isv_svn, "N", "security version", NULL},
    {"isv-prod-id", NULL, OPTION_TEXT, &o.isv_prod_id, "N", "product id", NULL},
    {"quiet", NULL, OPTION_FLAG, &o.quiet, NULL, "show no progress", NULL},
};

/* An option's text as a number; *out stays as it is where the option was not given. */
static int option_number(const char *option, const char *text, uint64_t max, uint64_t *out,
                         struct error *err)
{
    return text ? parse_size(option, text, max, out, err) : 0;
}

static int convert_settings(struct bundle_settings *s, struct error *err)
{
    uint64_t threads = s->thread_limit, svn = s->isv_svn, product = s->isv_prod_id;
    if (option_number("--enclave-size", o.enclave_size, UINT64_MAX, &s->enclave_size, err) < 0 ||
        option_number("--memory", o.memory, UINT64_MAX, &s->memory_limit, err) < 0 ||
        option_number("--threads", o.threads, UINT32_MAX, &threads, err) < 0 ||
        option_number("--isv-svn", o.isv_svn, UINT16_MAX, &svn, err) < 0 ||
        option_number("--isv-prod-id", o.isv_prod_id, UINT16_MAX, &product, err) < 0)
        return -1;
    s->thread_limit = (uint32_t)threads;
    s->isv_svn = (uint16_t)svn;
    s->isv_prod_id = (uint16_t)product;
    s->debug = o.debug_enclave;
    s->no_sgx2 = o.no_sgx2;
    s->aexnotify = o.aexnotify;
    s->no_kss = o.no_kss;
    return o.no_kss ? parse_hash("deployment hash", o.no_kss, s->deployment_hash, err) : 0;
}

static int check_signing(struct error *err)
{
    const struct bundle_service *s = &o.service;
    if (s->url && (o.key || o.client_signing))
        return error_set(err, "give one of --signing-server, --key and --client-signing");
    if (!s->url && (s->certificate || s->key || s->ca || s->timeout || s->signer))
        return error_set(err, "options of a signing service need --signing-server");
    return 0;
}

static int convert_source(const char *path, struct bundle_result *result, struct error *err)
{
    cleanup_image_source struct image_source source = {0};
    struct bundle_options options = {
        .cache_dir = o.cache,
        .libos = o.libos,
        .key = o.key,
        .mkfs = o.mkfs,
        .bound = o.bound,
        .image_only = o.image_only,
        .client_signing = o.client_signing,
        .service = o.service.url ? &o.service : NULL,
        .progress = o.quiet ? NULL : show_step,
    };
    if (check_signing(err) < 0 || convert_settings(&options.settings, err) < 0 ||
        image_source_open(path, &source, &options, err) < 0)
        return -1;
    return bundle_convert(&options, result, err);
}

static int run_convert(int argc, char **argv, struct error *err)
{
    (void)argc;
    struct timespec start, end;
    cleanup_bundle_result struct bundle_result result = BUNDLE_RESULT_INIT;
    clock_gettime(CLOCK_MONOTONIC, &start);
    int ret = convert_source(argv[0], &result, err);
    clock_gettime(CLOCK_MONOTONIC, &end);
    if (ret == 0)
        print_result(&result, (double)(end.tv_sec - start.tv_sec) +
                                  (double)(end.tv_nsec - start.tv_nsec) / 1e9);
    return ret;
}

static int run_bundle(int argc, char **argv, struct error *err)
{
    (void)argc;
    cleanup_bundle_result struct bundle_result result = BUNDLE_RESULT_INIT;
    if (o.image_only)
        return error_set(err, "a sealed bundle has an enclave: leave --image-only away");
    int ret = convert_source(argv[0], &result, err);
    if (ret == 0)
        ret = bundle_sealed_write(&result, argv[1], err);
    if (ret < 0)
        return ret;
    printf("bundle     %s\n", argv[1]);
    print_hash("root hash", result.root_hash);
    print_hash("MRENCLAVE", result.mrenclave);
    print_hash("MRSIGNER", result.mrsigner);
    return 0;
}

/* A line of a signing service's allow-list, from the description of an enclave. */
static int run_allow(int argc, char **argv, struct error *err)
{
    (void)argc;
    static const char *const copied[] = {"rootHash", "sitesHash", "dataSize"};
    cleanup_free char *path = path_join(argv[0], "manifest.json");
    cleanup_json json_t *manifest = json_parse_file(AT_FDCWD, path, 4 << 20, err);
    if (!manifest)
        return -1;
    cleanup_json json_t *line = json_object();
    if (o.name)
        json_object_set_new(line, "name", json_string(o.name));
    for (size_t i = 0; i < array_count(copied); i++) {
        json_t *value = json_object_get(manifest, copied[i]);
        if (!value)
            return error_set(err, "%s has no %s: is this the directory of an enclave?", path,
                             copied[i]);
        json_object_set(line, copied[i], value);
    }
    json_t *bound = json_object_get(manifest, "boundHash");
    json_object_set_new(line, "bound", bound ? json_incref(bound) : json_string("none"));
    cleanup_free char *text = json_text(line, JSON_COMPACT);
    puts(text);
    return 0;
}

static int read_root_hash(const char *image, const char *text, uint8_t hash[BUNDLE_HASH_SIZE],
                          struct error *err)
{
    cleanup_json json_t *info = NULL;
    if (!text) { /* beside the image */
        cleanup_free char *path = xstrdup(image);
        char *slash = strrchr(path, '/');
        if (slash)
            *slash = 0;
        cleanup_free char *file = path_join(slash ? path : ".", "info.json");
        info = json_parse_file(AT_FDCWD, file, 65536, err);
        if (!info)
            return error_wrap(err, "give the root hash");
        if (json_get_string(info, "", "rootHash", &text, err) != 1)
            return error_set(err, "%s has no root hash; give it", file);
    }
    return parse_hash("root hash", text, hash, err);
}

static int run_verify(int argc, char **argv, struct error *err)
{
    uint8_t hash[BUNDLE_HASH_SIZE];
    int ret = read_root_hash(argv[0], argc == 2 ? argv[1] : NULL, hash, err);
    if (ret == 0)
        ret = bundle_image_verify(argv[0], hash, err);
    if (ret == 0)
        puts("verified");
    return ret;
}

static int run_info(int argc, char **argv, struct error *err)
{
    (void)argc;
    bool found = false;
    static const char *const names[] = {"info.json", "manifest.json"};
    for (size_t i = 0; i < array_count(names); i++) {
        cleanup_free char *path = path_join(argv[0], names[i]);
        if (access(path, F_OK) < 0)
            continue;
        cleanup_json json_t *json = json_parse_file(AT_FDCWD, path, 65536, err);
        if (!json)
            return -1;
        cleanup_free char *text = json_text(json, JSON_INDENT(2));
        puts(text);
        found = true;
    }
    return found ? 0 : error_set(err, "%s is neither a sealed image nor an enclave", argv[0]);
}

static int run_export(int argc, char **argv, struct error *err)
{
    (void)argc;
    return bundle_signature_export(argv[0], argv[1], err);
}

static int run_import(int argc, char **argv, struct error *err)
{
    (void)argc;
    return bundle_signature_import(argv[0], argv[1], argv[2], err);
}

/* ---- list, prune ---- */

struct prune {
    const char *cache;
    int64_t before; /* remove what was last used before; INT64_MIN: only list */
    uint64_t freed;
    unsigned removed;
};

static int list_item(void *ctx, const struct bundle_cache_item *item, struct error *err)
{
    struct prune *prune = ctx;
    char when[32];
    struct tm tm;
    time_t used = (time_t)item->used;
    strftime(when, sizeof(when), "%Y-%m-%d %H:%M", localtime_r(&used, &tm));
    if (prune->before == INT64_MIN) {
        printf("%s  %s  %6" PRIu64 " MiB%s\n", item->name, when, item->bytes >> 20,
               item->complete ? "" : "  incomplete");
        return 0;
    }
    if (item->used >= prune->before && item->complete)
        return 0;
    int ret = bundle_cache_remove(prune->cache, item->name, err);
    if (ret == 0) {
        prune->removed++;
        prune->freed += item->bytes;
    }
    return ret < 0 ? ret : 0;
}

static int run_list(int argc, char **argv, struct error *err)
{
    (void)argc;
    (void)argv;
    cleanup_free char *cache = bundle_default_cache();
    struct prune prune = {.cache = o.cache ? o.cache : cache, .before = INT64_MIN};
    return bundle_cache_list(prune.cache, list_item, &prune, err);
}

static int run_prune(int argc, char **argv, struct error *err)
{
    (void)argc;
    (void)argv;
    cleanup_free char *cache = bundle_default_cache();
    struct prune prune = {.cache = o.cache ? o.cache : cache};
    uint64_t days = 30;
    int ret = option_number("--days", o.days, 100000, &days, err);
    if (ret < 0)
        return ret;
    prune.before = time(NULL) - (int64_t)days * 86400 + (days ? 0 : 1);
    ret = bundle_cache_list(prune.cache, list_item, &prune, err);
    if (ret == 0)
        printf("removed %u images, %" PRIu64 " MiB\n", prune.removed, prune.freed >> 20);
    return ret;
}

static const struct option g_list_options[] = {OPTION_CACHE};
static const struct option g_prune_options[] = {
    OPTION_CACHE,
    {"days", NULL, OPTION_TEXT, &o.days, "N",
     "remove what was not used for so many days (default: 30; 0 removes all)", NULL},
};
static const struct option g_options[] = {
    {"debug", NULL, OPTION_FLAG, &o.debug, NULL, "show what is done, step by step", NULL},
};

static const struct command g_convert = {
    .name = "convert",
    .arguments = "ROOTFS|IMAGE",
    .summary = "seal a root directory or an image file and build its enclave",
    .description =
        "Takes a root directory, or an image as a file: an OCI image layout, or an archive of "
        "docker save, podman save or skopeo. Packs it into a read-only EROFS image, appends a "
        "dm-verity hash tree, finds the "
        "system "
        "calls that the LibOS may rewrite, builds the enclave file and signs it. The same tree is "
        "not converted twice.",
    .examples = "rune-image convert /srv/app/rootfs\n"
                "docker save -o app.tar app:1.2 && rune-image convert app.tar\n"
                "rune-image convert --client-signing --bound app.bound.json /srv/app/rootfs\n",
    .options = g_convert_options,
    .option_count = array_count(g_convert_options),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run_convert,
};
static const struct command g_bundle = {
    .name = "bundle",
    .arguments = "ROOTFS|IMAGE DIRECTORY",
    .summary = "write a sealed bundle that other machines start",
    .description =
        "Converts as \"convert\" does, and writes image, tree, site table, enclave and signature "
        "to "
        "the new DIRECTORY. A machine that has a copy of it starts it without converting anything, "
        "by the annotation enclave.image. With --client-signing the bundle is written when the "
        "signature has been imported.",
    .examples = "rune-image bundle --key key.pem app.tar app.bundle\n",
    .options = g_convert_options,
    .option_count = array_count(g_convert_options),
    .min_arguments = 2,
    .max_arguments = 2,
    .run = run_bundle,
};
static const struct command g_info = {
    .name = "info",
    .arguments = "DIRECTORY",
    .summary = "show what a directory of the cache holds",
    .description = "Prints the description of a sealed image or of an enclave, as JSON.",
    .examples = "rune-image info /var/lib/rune/images/3f2a... | jq .rootHash\n",
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run_info,
};
static const struct command g_list = {
    .name = "list",
    .arguments = "",
    .summary = "list the images of the cache",
    .description = "Prints when each image was last used by a start, and its size with its "
                   "enclaves.",
    .examples = "rune-image list\n",
    .options = g_list_options,
    .option_count = array_count(g_list_options),
    .run = run_list,
};
static const struct command g_prune = {
    .name = "prune",
    .arguments = "",
    .summary = "remove images that were not used for a time",
    .description = "Removes also what killed conversions left. Running containers are not "
                   "disturbed.",
    .examples = "rune-image prune --days 7\n",
    .options = g_prune_options,
    .option_count = array_count(g_prune_options),
    .run = run_prune,
};
static const struct command g_verify = {
    .name = "verify",
    .arguments = "IMAGE [ROOTHASH]",
    .summary = "check every block of a sealed image",
    .description = "Names the first block that is wrong. Without ROOTHASH the one that is recorded "
                   "beside the image counts.",
    .examples = "rune-image verify /var/lib/rune/images/3f2a.../image.erofs\n",
    .min_arguments = 1,
    .max_arguments = 2,
    .run = run_verify,
};
static const struct command g_export = {
    .name = "export-signing",
    .arguments = "ENCLAVE-DIR FILE",
    .summary = "write the bytes to sign elsewhere",
    .description = "Writes the 256 bytes of the SIGSTRUCT that the signature covers.",
    .examples = "rune-image export-signing ENCLAVE-DIR app.sign\n"
                "openssl dgst -sha256 -sign key.pem -out app.sig app.sign\n",
    .min_arguments = 2,
    .max_arguments = 2,
    .run = run_export,
};
static const struct option g_allow_options[] = {
    {"name", NULL, OPTION_TEXT, &o.name, "NAME", "what the service's log calls the image", NULL},
};
static const struct command g_allow = {
    .name = "allow",
    .arguments = "ENCLAVE-DIR",
    .summary = "print a line for a signing service's allow-list",
    .description = "Prints what rune-signd needs to sign enclaves of this image, with this bound.",
    .examples = "rune-image convert --client-signing app.tar\n"
                "rune-image allow --name app:1.2 ENCLAVE-DIR >>/etc/rune/signd/allow.jsonl\n",
    .options = g_allow_options,
    .option_count = array_count(g_allow_options),
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run_allow,
};
static const struct command g_import = {
    .name = "import-signature",
    .arguments = "ENCLAVE-DIR SIGNATURE PUBLIC-KEY",
    .summary = "complete an enclave with a signature made elsewhere",
    .description = "Checks an RSA-3072 signature (exponent 3, PKCS#1 v1.5, SHA-256; 384 bytes as "
                   "openssl writes them) and completes the enclave with it.",
    .examples = "rune-image import-signature ENCLAVE-DIR app.sig key.pub\n",
    .min_arguments = 3,
    .max_arguments = 3,
    .run = run_import,
};

static const struct command *const g_commands[] = {
    &g_convert, &g_bundle, &g_measure, &g_policy, &g_info,   &g_list,
    &g_prune,   &g_verify, &g_allow,   &g_export, &g_import, NULL,
};

int main(int argc, char **argv)
{
    static const struct program program = {
        .name = "rune-image",
        .summary = "seal a root filesystem, build and sign its enclave",
        .description = "rune converts a bundle by itself when an enclave container is created. "
                       "rune-image does the same steps by hand: to prepare a node, to make a "
                       "release, to sign elsewhere, or to look at what was made.",
        .commands = g_commands,
        .options = g_options,
        .option_count = array_count(g_options),
        .manual_section = 1,
    };
    return program_main(&program, &o.debug, argc, argv);
}
