/* SPDX-License-Identifier: Apache-2.0 */
/* rune-image: conversion, inspection and signing of enclave bundles by hand; `rune` does the same
 * by itself. */
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/log.h"
#include "base/number.h"
#include "base/path.h"
#include "enclave/bundle/bundle.h"

struct command {
    const char *name, *arguments, *help;
    int (*run)(int argc, char **argv, struct error *err);
};

static const char g_convert_help[] =
    "  --cache DIR        where images are kept (" BUNDLE_CACHE_DEFAULT ")\n"
    "  --libos FILE       the LibOS (default: the installed one)\n"
    "  --key FILE         signing key, made when missing (" BUNDLE_KEY_DEFAULT ")\n"
    "  --mkfs FILE        mkfs.erofs (default: from PATH)\n"
    "  --image-only       pack and seal only, build no enclave\n"
    "  --client-signing   leave the signature to export-signing and import-signature\n"
    "  --bound FILE       what deployments may say (default: the image's own " BUNDLE_BOUND_PATH
    ", if it has one)\n"
    "  --debug-enclave    an enclave that the host may read and debug (insecure)\n"
    "  --enclave-size N   address range, a power of two; suffix M, G or T (64T)\n"
    "  --memory N         memory limit of the enclave (none; with --no-sgx2 512M, all of it "
    "added)\n"
    "  --threads N        thread limit (none; with --no-sgx2 60, all of them made)\n"
    "  --no-sgx2          for machines with SGX1: memory and threads are there from the start\n"
    "  --no-kss HASH      for machines without KSS: measure the deployment with this SHA-256\n"
    "  --isv-svn N        security version\n"
    "  --isv-prod-id N    product id\n"
    "  --quiet            no progress\n";

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
    if (strlen(text) != 2 * BUNDLE_HASH_SIZE ||
        strspn(text, "0123456789abcdefABCDEF") != 2 * BUNDLE_HASH_SIZE)
        return error_set(err, "\"%s\" is not a %s: 64 hexadecimal digits", text, what);
    for (size_t i = 0; i < BUNDLE_HASH_SIZE; i++) {
        unsigned byte = 0;
        if (sscanf(text + 2 * i, "%2x", &byte) != 1)
            return error_set(err, "\"%s\" is not a %s", text, what);
        hash[i] = (uint8_t)byte;
    }
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
    for (int i = 0; i < BUNDLE_HASH_SIZE; i++)
        printf("%02x", hash[i]);
    putchar('\n');
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

enum convert_option {
    OPT_CACHE = 256,
    OPT_LIBOS,
    OPT_KEY,
    OPT_MKFS,
    OPT_IMAGE_ONLY,
    OPT_CLIENT,
    OPT_BOUND,
    OPT_DEBUG_ENCLAVE,
    OPT_SIZE,
    OPT_MEMORY,
    OPT_THREADS,
    OPT_NO_SGX2,
    OPT_NO_KSS,
    OPT_SVN,
    OPT_PROD,
    OPT_QUIET,
};

static int convert_option(int option, const char *value, struct bundle_options *o,
                          struct error *err)
{
    struct bundle_settings *s = &o->settings;
    uint64_t number = 0;
    int ret = 0;
    switch (option) {
    case OPT_CACHE:
        o->cache_dir = value;
        break;
    case OPT_LIBOS:
        o->libos = value;
        break;
    case OPT_KEY:
        o->key = value;
        break;
    case OPT_MKFS:
        o->mkfs = value;
        break;
    case OPT_IMAGE_ONLY:
        o->image_only = true;
        break;
    case OPT_CLIENT:
        o->client_signing = true;
        break;
    case OPT_BOUND:
        o->bound = value;
        break;
    case OPT_DEBUG_ENCLAVE:
        s->debug = true;
        break;
    case OPT_SIZE:
        ret = parse_size("--enclave-size", value, UINT64_MAX, &s->enclave_size, err);
        break;
    case OPT_MEMORY:
        ret = parse_size("--memory", value, UINT64_MAX, &s->memory_limit, err);
        break;
    case OPT_THREADS:
        ret = parse_size("--threads", value, UINT32_MAX, &number, err);
        s->thread_limit = (uint32_t)number;
        break;
    case OPT_NO_SGX2:
        s->no_sgx2 = true;
        break;
    case OPT_NO_KSS:
        s->no_kss = true;
        ret = parse_hash("deployment hash", value, s->deployment_hash, err);
        break;
    case OPT_SVN:
        ret = parse_size("--isv-svn", value, UINT16_MAX, &number, err);
        s->isv_svn = (uint16_t)number;
        break;
    case OPT_PROD:
        ret = parse_size("--isv-prod-id", value, UINT16_MAX, &number, err);
        s->isv_prod_id = (uint16_t)number;
        break;
    case OPT_QUIET:
        o->progress = NULL;
        break;
    default:
        return error_set(err, "see rune-image convert --help");
    }
    return ret;
}

static int run_convert(int argc, char **argv, struct error *err)
{
    static const struct option table[] = {
        {"cache", required_argument, NULL, OPT_CACHE},
        {"libos", required_argument, NULL, OPT_LIBOS},
        {"key", required_argument, NULL, OPT_KEY},
        {"mkfs", required_argument, NULL, OPT_MKFS},
        {"image-only", no_argument, NULL, OPT_IMAGE_ONLY},
        {"client-signing", no_argument, NULL, OPT_CLIENT},
        {"bound", required_argument, NULL, OPT_BOUND},
        {"debug-enclave", no_argument, NULL, OPT_DEBUG_ENCLAVE},
        {"enclave-size", required_argument, NULL, OPT_SIZE},
        {"memory", required_argument, NULL, OPT_MEMORY},
        {"threads", required_argument, NULL, OPT_THREADS},
        {"no-sgx2", no_argument, NULL, OPT_NO_SGX2},
        {"no-kss", required_argument, NULL, OPT_NO_KSS},
        {"isv-svn", required_argument, NULL, OPT_SVN},
        {"isv-prod-id", required_argument, NULL, OPT_PROD},
        {"quiet", no_argument, NULL, OPT_QUIET},
        {NULL, 0, NULL, 0},
    };
    struct bundle_options options = {.progress = show_step};
    int option;
    while ((option = getopt_long(argc, argv, "", table, NULL)) != -1) {
        int ret = convert_option(option, optarg, &options, err);
        if (ret < 0)
            return ret;
    }
    if (argc - optind != 1)
        return error_set(err, "convert needs one argument, the root directory");
    options.rootfs = argv[optind];

    struct timespec start, end;
    cleanup_bundle_result struct bundle_result result = BUNDLE_RESULT_INIT;
    clock_gettime(CLOCK_MONOTONIC, &start);
    int ret = bundle_convert(&options, &result, err);
    clock_gettime(CLOCK_MONOTONIC, &end);
    if (ret == 0)
        print_result(&result, (double)(end.tv_sec - start.tv_sec) +
                                  (double)(end.tv_nsec - start.tv_nsec) / 1e9);
    return ret;
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
    if (argc != 2 && argc != 3)
        return error_set(err,
                         "verify needs an image file, and the root hash if it is not beside it");
    int ret = read_root_hash(argv[1], argc == 3 ? argv[2] : NULL, hash, err);
    if (ret == 0)
        ret = bundle_image_verify(argv[1], hash, err);
    if (ret == 0)
        puts("verified");
    return ret;
}

static int run_info(int argc, char **argv, struct error *err)
{
    if (argc != 2)
        return error_set(err, "info needs one argument, a directory of the cache");
    bool found = false;
    static const char *const names[] = {"info.json", "manifest.json"};
    for (size_t i = 0; i < array_count(names); i++) {
        cleanup_free char *path = path_join(argv[1], names[i]);
        if (access(path, F_OK) < 0)
            continue;
        cleanup_json json_t *json = json_parse_file(AT_FDCWD, path, 65536, err);
        if (!json)
            return -1;
        cleanup_free char *text = json_text(json, JSON_INDENT(2));
        puts(text);
        found = true;
    }
    return found ? 0 : error_set(err, "%s is neither a sealed image nor an enclave", argv[1]);
}

static int run_export(int argc, char **argv, struct error *err)
{
    if (argc != 3)
        return error_set(err, "export-signing needs an enclave directory and an output file");
    return bundle_signature_export(argv[1], argv[2], err);
}

static int run_import(int argc, char **argv, struct error *err)
{
    if (argc != 4)
        return error_set(err, "import-signature needs an enclave directory, a signature and a "
                              "public key");
    return bundle_signature_import(argv[1], argv[2], argv[3], err);
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

static int cache_argument(int argc, char **argv, struct prune *prune, uint64_t *days,
                          struct error *err)
{
    static const struct option table[] = {{"cache", required_argument, NULL, 'c'},
                                          {"days", required_argument, NULL, 'd'},
                                          {NULL, 0, NULL, 0}};
    int option;
    while ((option = getopt_long(argc, argv, "", table, NULL)) != -1) {
        if (option == 'c')
            prune->cache = optarg;
        else if (option == 'd' && days) {
            int ret = parse_size("--days", optarg, 100000, days, err);
            if (ret < 0)
                return ret;
        } else {
            return error_set(err, "see rune-image --help");
        }
    }
    return optind == argc ? 0 : error_set(err, "%s: no argument is expected", argv[optind]);
}

static int run_list(int argc, char **argv, struct error *err)
{
    cleanup_free char *cache = bundle_default_cache();
    struct prune prune = {.cache = cache, .before = INT64_MIN};
    int ret = cache_argument(argc, argv, &prune, NULL, err);
    return ret < 0 ? ret : bundle_cache_list(prune.cache, list_item, &prune, err);
}

static int run_prune(int argc, char **argv, struct error *err)
{
    cleanup_free char *cache = bundle_default_cache();
    struct prune prune = {.cache = cache};
    uint64_t days = 30;
    int ret = cache_argument(argc, argv, &prune, &days, err);
    if (ret < 0)
        return ret;
    prune.before = time(NULL) - (int64_t)days * 86400 + (days ? 0 : 1);
    ret = bundle_cache_list(prune.cache, list_item, &prune, err);
    if (ret == 0)
        printf("removed %u images, %" PRIu64 " MiB\n", prune.removed, prune.freed >> 20);
    return ret;
}

static const struct command g_commands[] = {
    {"convert", "[OPTIONS] ROOTFS", "seal a root directory and build its enclave", run_convert},
    {"info", "DIRECTORY", "show what a cache entry holds", run_info},
    {"list", "[--cache DIR]", "show the images of the cache and when each was last used", run_list},
    {"prune", "[--cache DIR] [--days N]", "remove images not used for N days (30)", run_prune},
    {"verify", "IMAGE [ROOTHASH]", "check every block of a sealed image", run_verify},
    {"export-signing", "ENCLAVE-DIR FILE", "write the 256 bytes to sign", run_export},
    {"import-signature", "ENCLAVE-DIR SIGNATURE PUBLIC-KEY", "take a signature made elsewhere",
     run_import},
};

static void usage(FILE *out)
{
    fputs("Usage: rune-image [--debug] COMMAND ...\n\nEnclave bundles by hand: `rune` converts by "
          "itself.\n\n",
          out);
    for (size_t i = 0; i < array_count(g_commands); i++)
        fprintf(out, "  %-17s %-33s %s\n", g_commands[i].name, g_commands[i].arguments,
                g_commands[i].help);
    fprintf(out, "\nOptions of convert:\n%s", g_convert_help);
}

int main(int argc, char **argv)
{
    struct log_options log = {.program = "rune-image"};
    if (argc > 1 && strcmp(argv[1], "--debug") == 0) {
        log.debug = true;
        argc--;
        argv++;
    }
    cleanup_error struct error err = ERROR_INIT;
    if (log_open(&log, &err) < 0)
        error_fatal(&err);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            usage(stdout);
            return 0;
        }
    }
    for (size_t i = 0; argc > 1 && i < array_count(g_commands); i++) {
        if (strcmp(argv[1], g_commands[i].name) != 0)
            continue;
        if (g_commands[i].run(argc - 1, argv + 1, &err) < 0)
            error_fatal(&err);
        return 0;
    }
    usage(stderr);
    return 1;
}
