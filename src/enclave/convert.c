/* SPDX-License-Identifier: Apache-2.0 */
/*
 * enclave-convert: turns a root filesystem and a configuration into what the built-in LibOS starts
 * from. rune create runs it for a container of that runtime (launch.c has the other side);
 * rune-image is the tool for people.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "enclave/bundle/bundle.h"
#include "enclave/deployment.h"
#include "enclave/progress.h"
#include "enclave/settings.h"
#include "sgx/emulated.h"

enum { REQUEST_MAX = 64 << 20, ANSWER_SOCKET = 3, LOG_FILE = 4 };

static int open_file(const char *path, struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? error_errno(err, errno, "open %s", path) : fd;
}

static int deployment_blob(const struct oci_config *config, struct error *err)
{
    cleanup_deployment struct deployment deployment = {0};
    cleanup_buffer struct buffer blob = BUFFER_INIT;
    uint8_t hash[BUNDLE_HASH_SIZE];
    deployment_from_config(config, &deployment);
    int result = bundle_deployment_build(&deployment.manifest, &blob, hash, err);
    if (result < 0)
        return result;
    return enclave_sealed_memory("enclave-deployment", blob.data, blob.size, err);
}

/* The order is that of ENCLAVE_CONVERTER_FDS. The process ends after the answer, and with it what
 * is open. */
static int convert(const char *rootfs, const struct oci_config *config, int fds[6],
                   struct buffer *text, struct error *err)
{
    struct progress *progress = progress_start();
    cleanup_bundle_result struct bundle_result result = BUNDLE_RESULT_INIT;
    const char *signing = secure_getenv("RUNE_SIGNING");
    struct bundle_options options = {
        .rootfs = rootfs,
        .cache_dir = secure_getenv("RUNE_CACHE_DIR"),
        .libos = secure_getenv("RUNE_LIBOS"),
        .key = secure_getenv("RUNE_SIGNING_KEY"),
        .client_signing = signing && strcmp(signing, "client") == 0,
        .progress = progress_step,
        .progress_ctx = progress,
    };
    int status = bundle_convert(&options, &result, err);
    progress_end(progress);
    if (status < 0)
        return status;
    if (result.sigstruct == NULL)
        return error_set(err,
                         "the enclave in %s has no signature yet: sign it and import the signature",
                         result.enclave_dir);
    buffer_append_format(text, "image %s, %s; enclave %s", result.image,
                         result.converted ? "converted now" : "from the cache", result.enclave);
    const char *const paths[] = {result.enclave, result.sigstruct, result.image, result.sites};
    for (size_t i = 0; i < array_count(paths); i++)
        if ((fds[i] = open_file(paths[i], err)) < 0)
            return fds[i];
    fds[4] = deployment_blob(config, err);
    /* init-runelet may run as a user who cannot open it. */
    if (fds[4] >= 0 && access("/dev/sgx_enclave", F_OK) < 0 &&
        (fds[5] = sgx_emulated_root_open(err)) < 0)
        return fds[5];
    return fds[4] < 0 ? fds[4] : 0;
}

static int read_request(struct oci_config **config, char **rootfs, struct error *err)
{
    cleanup_buffer struct buffer request = BUFFER_INIT;
    int result = read_all(STDIN_FILENO, &request, REQUEST_MAX);
    if (result < 0)
        return error_errno(err, -result, "read the request");
    cleanup_json json_t *json = json_parse(request.data, request.size, "request", err);
    const char *path = NULL;
    bool debug = false, has_log = false, log_json = false;
    if (json == NULL || json_get_string(json, "", "rootfs", &path, err) < 0 ||
        json_get_bool(json, "", "debug", &debug, err) < 0 ||
        json_get_bool(json, "", "log", &has_log, err) < 0 ||
        json_get_bool(json, "", "logJson", &log_json, err) < 0)
        return -1;
    if (path == NULL)
        return error_set(err, "this program is started by rune, not by hand");
    struct fd_path log_path;
    struct log_options options = {.program = "rune",
                                  .path = has_log ? fd_path_of(&log_path, LOG_FILE) : NULL,
                                  .format = log_json ? LOG_FORMAT_JSON : LOG_FORMAT_TEXT,
                                  .debug = debug};
    if (log_open(&options, err) < 0)
        return -1;
    *rootfs = strdup(path);
    cleanup_free char *text = json_text(json_object_get(json, "config"), JSON_COMPACT);
    return oci_config_parse(text, strlen(text), "config.json", config, err);
}

int main(void)
{
    cleanup_error struct error err = ERROR_INIT;
    cleanup_buffer struct buffer text = BUFFER_INIT;
    cleanup_config struct oci_config *config = NULL;
    cleanup_free char *rootfs = NULL;
    int fds[6] = {-1, -1, -1, -1, -1, -1};
    int result = read_request(&config, &rootfs, &err);
    if (result == 0)
        result = convert(rootfs, config, fds, &text, &err);
    if (result < 0) {
        buffer_clear(&text);
        buffer_append_text(&text, error_text(&err));
    }
    size_t size = text.size < ENCLAVE_CONVERTER_TEXT - 1 ? text.size : ENCLAVE_CONVERTER_TEXT - 1;
    result = fd_send(ANSWER_SOCKET, buffer_text(&text), size, fds,
                     result < 0 ? 0 : array_count(fds) - (fds[5] < 0));
    if (result < 0)
        error_fatal_set("answer: %s", strerror(-result));
    return 0;
}
