/* SPDX-License-Identifier: Apache-2.0 */
/*
 * enclave-convert: turns a root filesystem and a configuration into what the built-in LibOS starts
 * from. rune create runs it for a container of that runtime (launch.c has the other side);
 * rune-image is the tool for people.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../abi/layout.h"
#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/node.h"
#include "base/path.h"
#include "enclave/bundle/bundle.h"
#include "enclave/convert.h"
#include "enclave/deployment.h"
#include "enclave/enclave.h"
#include "enclave/progress.h"
#include "enclave/settings.h"
#include "enclave/signature.h"
#include "sgx/emulated.h"
#include "sgx/machine.h"

enum { REQUEST_MAX = 64 << 20, ANSWER_SOCKET = 3, LOG_FILE = 4, HOLD_ATTEMPTS = 3 };

/* What of the container's own limits goes into an enclave that cannot grow. */
#define STATIC_MEMORY_LEAST (64ull << 20)
#define STATIC_MEMORY_MOST  (1ull << 30)
#define STATIC_THREADS_MOST 256

/* The process ends after the answer, and with it what this owns. */
struct request {
    char *rootfs, *type, *bound; /* bound: NULL, or where its JSON is */
    char *image;                 /* NULL, or a sealed bundle to start from */
    char *signature;             /* NULL, or a SIGSTRUCT in base64 */
    struct oci_config *config;
    struct enclave_build build;
    struct enclave_policy_wish policy;
};

static int open_file(const char *path, struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? error_errno(err, errno, "open %s", path) : fd;
}

/* fds: of the deployment half, and of what the host fills in. */
static int deployment_blobs(const struct request *request, uint8_t hash[BUNDLE_HASH_SIZE],
                            int fds[2], struct error *err)
{
    cleanup_policy struct policy policy = {0};
    cleanup_deployment struct deployment deployment = {0};
    cleanup_buffer struct buffer blob = BUFFER_INIT;
    cleanup_buffer struct buffer given = BUFFER_INIT;
    int result = policy_read(&request->policy, request->build.mode, &request->config->process,
                             &policy, err);
    if (result == 0)
        result = deployment_from_config(request->config, &policy, request->build.mounts,
                                        &deployment, err);
    if (result == 0)
        result = bundle_deployment_build(&deployment.manifest, &blob, hash, err);
    if (result < 0)
        return result;
    bundle_given_build(deployment.given, &given);
    fds[0] = enclave_sealed_memory("enclave-deployment", blob.data, blob.size, err);
    if (fds[0] < 0)
        return fds[0];
    fds[1] = enclave_sealed_memory("enclave-given", given.data, given.size, err);
    return fds[1] < 0 ? fds[1] : 0;
}

/* A wish, or what the machine has. */
static int choose(enum enclave_choice wish, bool there, const char *setting, const char *what,
                  bool *out, struct error *err)
{
    if (wish == ENCLAVE_YES && !there)
        return error_set(err, "%s is true, but this machine has no %s", setting, what);
    *out = wish != ENCLAVE_NO && there;
    return 0;
}

static uint64_t limit_of(const struct oci_config *config, uint64_t most)
{
    int64_t limit = config->resources.memory.limit.set ? config->resources.memory.limit.value : 0;
    if (limit < (int64_t)STATIC_MEMORY_LEAST)
        return 0;
    return (uint64_t)limit < most ? (uint64_t)limit : most;
}

static uint32_t threads_of(const struct oci_config *config)
{
    int64_t pids = config->resources.pids_limit.set ? config->resources.pids_limit.value : 0;
    if (pids <= 0)
        return 0;
    return pids < STATIC_THREADS_MOST ? (uint32_t)pids : STATIC_THREADS_MOST;
}

/*
 * Where memory and threads are added on demand, the container's limits are told at the start, and
 * one enclave serves all containers of the image. Without SGX2 they are in the enclave.
 */
static int settings_of(const struct request *request, const uint8_t hash[BUNDLE_HASH_SIZE],
                       struct bundle_settings *out, struct error *err)
{
    const struct enclave_build *build = &request->build;
    struct sgx_machine machine;
    bool kss = false, sgx2 = false, aexnotify = false;
    int result = sgx_machine_get(request->type, &machine, err);
    if (result == 0)
        result = choose(build->kss, machine.kss, "enclave.kss", "KSS", &kss, err);
    if (result == 0)
        result = choose(build->sgx2, machine.sgx2, "enclave.sgx2", "SGX2", &sgx2, err);
    if (result == 0)
        result = choose(build->aexnotify ? ENCLAVE_YES : ENCLAVE_NO, machine.aex_notify,
                        "enclave.aexnotify", "AEX-Notify", &aexnotify, err);
    if (result < 0)
        return result;
    *out = (struct bundle_settings){.debug = build->mode == ENCLAVE_MODE_DEBUG,
                                    .enclave_size = build->size,
                                    .memory_limit = build->memory,
                                    .thread_limit = build->threads,
                                    .no_kss = !kss,
                                    .no_sgx2 = !sgx2,
                                    .aexnotify = aexnotify};
    if (!kss)
        memcpy(out->deployment_hash, hash, sizeof(out->deployment_hash));
    if (sgx2 && !out->enclave_size)
        out->enclave_size = machine.size_max < LAYOUT_SIZE_DEFAULT ? machine.size_max
                                                                   : LAYOUT_SIZE_DEFAULT;
    if (!sgx2 && !out->memory_limit)
        out->memory_limit = limit_of(request->config, STATIC_MEMORY_MOST);
    if (!sgx2 && !out->thread_limit)
        out->thread_limit = threads_of(request->config);
    return 0;
}

/* Another start may take the image out of the cache before it is held: then once more. */
static int convert_and_hold(const struct bundle_options *options, struct bundle_result *result,
                            int *image, struct error *err)
{
    for (int attempt = 0;; attempt++) {
        int status = bundle_convert(options, result, err);
        if (status < 0)
            return status;
        *image = bundle_image_hold(result->image, err);
        if (*image >= 0 || err->code != ESTALE || attempt == HOLD_ATTEMPTS)
            return *image < 0 ? *image : 0;
        error_release(err);
        bundle_result_release(result);
    }
}

/* The cache has just grown. What cannot be removed is told, and no reason not to start. */
static void trim_cache(const char *given)
{
    cleanup_error struct error err = ERROR_INIT;
    cleanup_free char *cache = given != NULL ? xstrdup(given) : bundle_default_cache();
    struct bundle_cache_trimmed trimmed;
    struct node_cache limits;
    if (node_cache_limits(&limits, &err) < 0 ||
        bundle_cache_trim(cache, limits.bytes, limits.days, &trimmed, &err) < 0)
        log_warning("image cache: %s", error_text(&err));
    else if (trimmed.removed > 0)
        log_info("image cache: removed %u images, %llu MiB", trimmed.removed,
                 (unsigned long long)(trimmed.freed >> 20));
}

/* The signature of an enclave that is signed elsewhere: what comes with the container, the node's
 * directory, or what was imported. */
static int find_signature(const struct request *request, const struct bundle_result *result,
                          int *fd, struct error *err)
{
    cleanup_buffer struct buffer hex = BUFFER_INIT;
    int status = signature_given(request->signature, secure_getenv("RUNE_SIGNATURES"),
                                 result->mrenclave, fd, err);
    if (status != 0 || result->sigstruct)
        return status < 0 ? status : 0;
    buffer_append_hex(&hex, result->mrenclave, sizeof(result->mrenclave));
    return error_set(err,
                     "the enclave in %s has no signature yet: sign MRENCLAVE %s (rune-image "
                     "export-signing) and import the signature, or give it by enclave.signature",
                     result->enclave_dir, buffer_text(&hex));
}

/* The node's signing service, by the variables of the shim's configuration. 1: there is one. */
static int find_service(struct bundle_service *out, struct error *err)
{
    *out = (struct bundle_service){
        .url = secure_getenv("RUNE_SIGNING_SERVER"),
        .certificate = secure_getenv("RUNE_SIGNING_CERTIFICATE"),
        .key = secure_getenv("RUNE_SIGNING_CERTIFICATE_KEY"),
        .ca = secure_getenv("RUNE_SIGNING_CA"),
        .signer = secure_getenv("RUNE_SIGNING_SIGNER"),
        .timeout = secure_getenv("RUNE_SIGNING_TIMEOUT"),
    };
    if (!out->url || !*out->url)
        return 0;
    if (secure_getenv("RUNE_SIGNING_KEY"))
        return error_set(err, "both a signing key and a signing service are configured "
                              "(signing.key and signing.server): leave one out");
    return 1;
}

/* fds: enclave, SIGSTRUCT, image, sites. */
static int find_or_convert(const struct request *request, const struct bundle_settings *settings,
                           int fds[4], struct buffer *text, struct error *err)
{
    cleanup_bundle_result struct bundle_result result = BUNDLE_RESULT_INIT;
    struct progress *progress = progress_start();
    const struct oci_config *config = request->config;
    const char *signing = secure_getenv("RUNE_SIGNING");
    struct bundle_options options = {
        .settings = *settings,
        .rootfs = request->rootfs,
        .uids = config->uid_mappings,
        .gids = config->gid_mappings,
        .bound = request->bound,
        .cache_dir = secure_getenv("RUNE_CACHE_DIR"),
        .libos = secure_getenv("RUNE_LIBOS"),
        .key = secure_getenv("RUNE_SIGNING_KEY"),
        .client_signing = request->signature || (signing && strcmp(signing, "client") == 0),
        .progress = progress_step,
        .progress_ctx = progress,
        .miss = converter_make,
    };
    struct bundle_service service;
    if (options.client_signing)
        converter_make();
    int status = options.client_signing ? 0 : find_service(&service, err);
    if (status > 0)
        options.service = &service;
    if (status >= 0)
        status = convert_and_hold(&options, &result, &fds[2], err);
    progress_end(progress);
    if (status < 0)
        return status;
    if (result.converted)
        trim_cache(options.cache_dir);
    if (options.client_signing && find_signature(request, &result, &fds[1], err) < 0)
        return -1;
    buffer_append_format(text, "image %s, %s; enclave %s", result.image,
                         result.converted ? "converted now" : "from the cache", result.enclave);
    const char *const paths[] = {result.enclave, result.sigstruct, result.image, result.sites};
    for (size_t i = 0; i < array_count(paths); i++)
        if (fds[i] < 0 && (fds[i] = open_file(paths[i], err)) < 0)
            return fds[i];
    return 0;
}

/* Does a sealed bundle fit the machine and what the container asks for? */
static int check_sealed(const struct bundle_sealed *sealed, const struct request *request,
                        const struct bundle_settings *settings, struct error *err)
{
    struct sgx_machine machine;
    if (sgx_machine_get(request->type, &machine, err) < 0)
        return -1;
    if (sealed->sgx2 && settings->no_sgx2)
        return error_set(err, "it was made for SGX2, which this machine has not or enclave.sgx2 "
                              "forbids (rune-image bundle --no-sgx2)");
    if (sealed->kss == settings->no_kss)
        return error_set(
            err, sealed->kss
                     ? "it was made for KSS, which this machine has not or enclave.kss "
                       "forbids (rune-image bundle --no-kss)"
                     : "it has its deployment in MRENCLAVE: say so by enclave.kss \"false\"");
    if (sealed->aexnotify && !machine.aex_notify)
        return error_set(err, "it was made for AEX-Notify, which this machine has not");
    if (sealed->enclave_size > machine.size_max)
        return error_set(err, "its address range is larger than this machine's enclaves "
                              "(rune-image bundle --enclave-size)");
    if (settings->debug && !sealed->debug)
        return error_set(err, "enclave.mode is debug, and its signature forbids that");
    return 0;
}

static int open_sealed(const struct request *request, const struct bundle_settings *settings,
                       int fds[4], struct buffer *text, struct error *err)
{
    struct bundle_sealed sealed;
    if (bundle_sealed_open(request->image, &sealed, err) < 0)
        return -1;
    fds[0] = sealed.enclave;
    fds[1] = sealed.sigstruct;
    fds[2] = sealed.image;
    fds[3] = sealed.sites;
    buffer_append_format(text, "sealed bundle %s", request->image);
    int status = check_sealed(&sealed, request, settings, err);
    return status < 0 ? error_wrap(err, "sealed bundle %s", request->image) : 0;
}

/* The order is that of ENCLAVE_CONVERTER_FDS. The process ends after the answer, and with it what
 * is open. */
static int convert(const struct request *request, int fds[7], struct buffer *text,
                   struct error *err)
{
    struct bundle_settings settings;
    uint8_t hash[BUNDLE_HASH_SIZE];
    if (deployment_blobs(request, hash, fds + 4, err) < 0 ||
        settings_of(request, hash, &settings, err) < 0)
        return -1;
    int status = request->image ? open_sealed(request, &settings, fds, text, err)
                                : find_or_convert(request, &settings, fds, text, err);
    if (status < 0)
        return status;
    /* init-runelet may run as a user who cannot open it. */
    if (strcmp(request->type, "simulatedSgx") == 0 && (fds[6] = sgx_emulated_root_open(err)) < 0)
        return fds[6];
    return 0;
}

static int read_build(const json_t *json, struct enclave_build *out, struct error *err)
{
    uint32_t mode = 0, kss = 0, sgx2 = 0;
    const char *mounts = NULL;
    if (json_get_uint32(json, "", "mode", &mode, err) < 0 ||
        json_get_uint64(json, "", "size", &out->size, err) < 0 ||
        json_get_uint64(json, "", "memory", &out->memory, err) < 0 ||
        json_get_uint32(json, "", "threads", &out->threads, err) < 0 ||
        json_get_uint32(json, "", "kss", &kss, err) < 0 ||
        json_get_uint32(json, "", "sgx2", &sgx2, err) < 0 ||
        json_get_bool(json, "", "aexnotify", &out->aexnotify, err) < 0 ||
        json_get_string(json, "", "mounts", &mounts, err) < 0)
        return -1;
    out->mounts = mounts != NULL ? xstrdup(mounts) : NULL;
    out->mode = (enum enclave_mode)mode;
    out->kss = (enum enclave_choice)kss;
    out->sgx2 = (enum enclave_choice)sgx2;
    return 0;
}

static int read_policy(const json_t *json, struct enclave_policy_wish *out, struct error *err)
{
    const struct {
        const char *key;
        char **out;
    } members[] = {{"exec", &out->exec},         {"signals", &out->signals},
                   {"loopback", &out->loopback}, {"stdio", &out->stdio},
                   {"hostEnv", &out->host_env},  {"hostName", &out->host_name},
                   {"ratls", &out->ratls},       {"ratlsClients", &out->ratls_clients}};
    for (size_t i = 0; i < array_count(members); i++) {
        const char *value = NULL;
        if (json_get_string(json, "", members[i].key, &value, err) < 0)
            return -1;
        *members[i].out = value != NULL ? xstrdup(value) : NULL;
    }
    return json_get_bool(json, "", "pod", &out->pod, err) < 0 ? -1 : 0;
}

static int read_request(struct request *request, struct error *err)
{
    cleanup_buffer struct buffer bytes = BUFFER_INIT;
    int result = read_all(STDIN_FILENO, &bytes, REQUEST_MAX);
    if (result < 0)
        return error_errno(err, -result, "read the request");
    cleanup_json json_t *json = json_parse(bytes.data, bytes.size, "request", err);
    const char *path = NULL, *type = NULL, *bound = NULL, *image = NULL;
    const char *signature = NULL;
    bool debug = false, has_log = false, log_json = false;
    if (json == NULL || json_get_string(json, "", "rootfs", &path, err) < 0 ||
        json_get_string(json, "", "type", &type, err) < 0 ||
        json_get_string(json, "", "bound", &bound, err) < 0 ||
        json_get_string(json, "", "image", &image, err) < 0 ||
        json_get_string(json, "", "signature", &signature, err) < 0 ||
        read_build(json, &request->build, err) < 0 ||
        read_policy(json_object_get(json, "policy"), &request->policy, err) < 0 ||
        json_get_bool(json, "", "debug", &debug, err) < 0 ||
        json_get_bool(json, "", "log", &has_log, err) < 0 ||
        json_get_bool(json, "", "logJson", &log_json, err) < 0)
        return -1;
    if (path == NULL || type == NULL)
        return error_set(err, "a request without rootfs or type");
    struct fd_path log_path;
    struct log_options options = {.program = "rune",
                                  .path = has_log ? fd_path_of(&log_path, LOG_FILE) : NULL,
                                  .format = log_json ? LOG_FORMAT_JSON : LOG_FORMAT_TEXT,
                                  .debug = debug};
    if (log_open(&options, err) < 0)
        return -1;
    request->rootfs = xstrdup(path);
    request->type = xstrdup(type);
    request->bound = bound ? xstrdup(bound) : NULL;
    request->image = image ? xstrdup(image) : NULL;
    request->signature = signature ? xstrdup(signature) : NULL;
    return oci_config_from_json(json_object_get(json, "config"), "config.json", &request->config,
                                err);
}

int main(void)
{
    cleanup_error struct error err = ERROR_INIT;
    cleanup_buffer struct buffer text = BUFFER_INIT;
    struct request request = {0};
    int fds[7] = {-1, -1, -1, -1, -1, -1, -1};
    struct stat answer;

    if (fstat(ANSWER_SOCKET, &answer) < 0 || !S_ISSOCK(answer.st_mode))
        error_fatal_set("this program is started by rune, not by hand");
    int result = read_request(&request, &err);
    if (result == 0)
        result = convert(&request, fds, &text, &err);
    if (result < 0) {
        buffer_clear(&text);
        buffer_append_text(&text, error_text(&err));
    }
    size_t size = text.size < ENCLAVE_CONVERTER_TEXT - 1 ? text.size : ENCLAVE_CONVERTER_TEXT - 1;
    result = fd_send(ANSWER_SOCKET, buffer_text(&text), size, fds,
                     result < 0 ? 0 : array_count(fds) - (fds[6] < 0));
    if (result < 0)
        error_fatal_set("answer: %s", strerror(-result));
    return 0;
}
