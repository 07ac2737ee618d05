/* SPDX-License-Identifier: Apache-2.0 */
/* `-info`: what containerd 2 asks of a runtime before it uses it. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/child.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "shim/shim.h"
#include "shim_version.h"

#define FEATURES_TYPE_URL "types.containerd.io/opencontainers/runtime-spec/1/features/Features"

enum { TEXT_MAX = 4 << 20 };

struct query {
    const char *binary;
    int output;
};

static int run_features(void *ctx, struct error *err)
{
    const struct query *query = ctx;
    char *const argv[] = {(char *)query->binary, (char *)"features", NULL};
    if (dup2(query->output, STDOUT_FILENO) < 0)
        return error_errno(err, errno, "redirect the output");
    execvp(argv[0], argv);
    return error_errno(err, errno, "start %s", argv[0]);
}

/* The runtime's features, JSON; a runtime that has no such command is described without them. */
static int read_features(const char *binary, struct buffer *out, struct error *err)
{
    cleanup_close int file = memfd_create("features", MFD_CLOEXEC);
    if (file < 0)
        return error_errno(err, errno, "memfd_create");
    struct query query = {binary, file};
    pid_t pid = child_start(run_features, &query, err);
    if (pid < 0)
        return -1;
    if (child_wait(pid) != 0)
        return error_set(err, "%s features failed", binary);
    int ret = lseek(file, 0, SEEK_SET) < 0 ? -errno : read_all(file, out, TEXT_MAX);
    return ret < 0 ? error_errno(err, -ret, "read the features of %s", binary) : 0;
}

/* The runtime that the options name, or ours. */
static char *binary_of(const Ttrpc__Any *options)
{
    Options__Runc *runc = options_runc(options, NULL);
    char *binary = runc && *runc->binary_name ? xstrdup(runc->binary_name)
                                              : runtime_default_binary();
    if (runc)
        options__runc__free_unpacked(runc, NULL);
    return binary;
}

int shim_info(struct error *err)
{
    cleanup_buffer struct buffer text = BUFFER_INIT, features = BUFFER_INIT;
    cleanup_error struct error failure = ERROR_INIT;
    int ret = read_all(STDIN_FILENO, &text, TEXT_MAX);
    if (ret < 0 && ret != -EBADF)
        return error_errno(err, -ret, "read the standard input");
    Options__RuntimeInfo info = OPTIONS__RUNTIME_INFO__INIT;
    Options__RuntimeVersion version = OPTIONS__RUNTIME_VERSION__INIT;
    Ttrpc__Any any = TTRPC__ANY__INIT;
    Ttrpc__Any *options = text.size > 0
                              ? ttrpc__any__unpack(NULL, text.size, (const uint8_t *)text.data)
                              : NULL;
    if (text.size > 0 && !options)
        return error_set(err, "the runtime options cannot be decoded");
    version.version = (char *)SHIM_VERSION;
    version.revision = (char *)SHIM_COMMIT;
    info.name = (char *)"io.containerd.rune.v2";
    info.version = &version;
    info.options = options;
    cleanup_free char *binary = binary_of(options);
    if (read_features(binary, &features, &failure) == 0) {
        any.type_url = (char *)FEATURES_TYPE_URL;
        any.value = (ProtobufCBinaryData){features.size, (uint8_t *)features.data};
        info.features = &any;
    } else {
        log_warning("%s", error_text(&failure));
    }
    size_t size;
    cleanup_free uint8_t *bytes = ttrpc_pack(&info.base, &size);
    ret = write_all(STDOUT_FILENO, bytes, size);
    if (options)
        ttrpc__any__free_unpacked(options, NULL);
    return ret < 0 ? error_errno(err, -ret, "write the standard output") : 0;
}
