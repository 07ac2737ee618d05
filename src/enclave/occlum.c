/* SPDX-License-Identifier: Apache-2.0 */
#include "enclave/occlum.h"

#include <fcntl.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/path.h"

/* What Occlum's library loads of an instance. */
#define ENCLAVE "build/lib/libocclum-libos.signed.so"

bool occlum_is_runtime(const char *library)
{
    static const char *const names[] = {"libocclum-pal.so", "liberpal-occlum.so"};
    const char *slash = library ? strrchr(library, '/') : NULL;
    for (size_t i = 0; library && i < array_count(names); i++) {
        const char *name = slash ? slash + 1 : library;
        const size_t size = strlen(names[i]);
        if (strncmp(name, names[i], size) == 0 && (name[size] == '\0' || name[size] == '.'))
            return true;
    }
    return library && strcmp(library, "occlum") == 0;
}

static bool is_instance(int root, const char *directory)
{
    cleanup_free char *path = path_join(directory, ENCLAVE);
    cleanup_close int fd = path_open_in_root(root, path, O_PATH, 0, NULL);
    return fd >= 0;
}

char *occlum_instance(const char *rootfs, const char *cwd, struct error *err)
{
    /* The two defaults of Inclavare's shim, and the name in Occlum's own documents. */
    static const char *const names[] = {".occlum", ".", "occlum_instance"};
    cleanup_close int root = open(rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; root >= 0 && i < array_count(names); i++) {
        cleanup_free char *joined = path_join(cwd, names[i]);
        cleanup_free char *path = path_clean(joined);
        if (is_instance(root, path))
            return take_ptr(path);
    }
    error_set(
        err,
        "the image has no instance of Occlum: neither %s nor .occlum or occlum_instance in it "
        "has " ENCLAVE "; enclave.runtime.args names another directory",
        cwd);
    return NULL;
}
