/* SPDX-License-Identifier: Apache-2.0 */
#include "enclave/gramine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/path.h"
#include "enclave/locate.h"

#define LIBRARY "liberpal-gramine.so"

bool gramine_is_runtime(const char *library)
{
    const char *slash = strrchr(library, '/');
    return strcmp(slash ? slash + 1 : library, LIBRARY) == 0;
}

static void add_mount(json_t *mounts, const char *source, const char *target)
{
    json_array_append_new(mounts, json_pack("{s:s, s:s, s:s, s:[s, s, s, s]}", "destination",
                                            target, "type", "bind", "source", source, "options",
                                            "rbind", "ro", "nosuid", "nodev"));
}

/* The library looks for the core beside it. */
static int add_emulator(json_t *mounts, struct error *err)
{
    static const char *const names[] = {"libsgx-emulate.so", "sgx-emulate-core"};
    for (size_t i = 0; i < array_count(names); i++) {
        cleanup_free char *source = locate_runtime_file(names[i]);
        cleanup_free char *target = path_join(GRAMINE_EMULATOR, names[i]);
        if (access(source, R_OK) < 0)
            return error_errno(err, errno, "%s (is the installation complete?)", source);
        add_mount(mounts, source, target);
    }
    return 0;
}

/* What the loader needs besides itself, at GRAMINE_LIBRARIES or at its own path. */
static const struct {
    const char *name;
    const char *path; /* in the container; NULL: GRAMINE_LIBRARIES */
    bool glibc;       /* for images without one; no two of them go together */
} g_libraries[] = {{"libprotobuf-c.so.1", NULL, false},
                   {"libc.so.6", NULL, true},
                   {"ld-linux-x86-64.so.2", "/lib64/ld-linux-x86-64.so.2", true}};

/* Where this machine has a library. malloc'd; NULL: nowhere. */
static char *find_library(const char *name)
{
    static const char *const directories[] = {"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu",
                                              "/lib64", "/usr/lib64"};
    for (size_t i = 0; i < array_count(directories); i++) {
        char *path = path_join(directories[i], name);
        if (access(path, R_OK) == 0)
            return path;
        free(path);
    }
    return NULL;
}

static bool in_image(const char *rootfs, const char *path)
{
    cleanup_close int root = open(rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
    cleanup_close int fd = root < 0 ? -1 : path_open_in_root(root, path, O_PATH, 0, NULL);
    return fd >= 0;
}

static void add_libraries(json_t *mounts, const char *rootfs)
{
    const bool glibc = in_image(rootfs, "/lib64/ld-linux-x86-64.so.2");
    for (size_t i = 0; i < array_count(g_libraries); i++) {
        cleanup_free char *source = find_library(g_libraries[i].name);
        cleanup_free char *target = path_join(GRAMINE_LIBRARIES, g_libraries[i].name);
        if (source && (!glibc || !g_libraries[i].glibc))
            add_mount(mounts, source, g_libraries[i].path ? g_libraries[i].path : target);
    }
}

int gramine_add_mounts(json_t *config, const char *rootfs, const char *type, struct error *err)
{
    cleanup_free char *directory = gramine_directory(gramine_prefix());
    json_t *mounts = json_object_get(config, "mounts");
    if (!mounts)
        json_object_set_new(config, "mounts", mounts = json_array());
    if (directory) { /* else the image has its own, or the library says what is missing */
        add_mount(mounts, directory, directory);
        add_libraries(mounts, rootfs);
    }
    return strcmp(type, "simulatedSgx") == 0 ? add_emulator(mounts, err) : 0;
}
