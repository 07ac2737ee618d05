/* SPDX-License-Identifier: Apache-2.0 */
#include "enclave/gramine.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/child.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"
#include "enclave/host_rules.h"
#include "enclave/locate.h"
#include "enclave/settings.h"

#define ANSWER_MAX 65536
#define PYTHON     "/usr/bin/python3" /* Gramine's tools are its programs, too */
#define LIBRARY    "liberpal-gramine.so"

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

/* An empty file is a mount point of an earlier start. */
static bool has_glibc(const char *rootfs)
{
    struct stat st;
    cleanup_close int root = open(rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
    cleanup_close int fd = root < 0 ? -1
                                    : path_open_in_root(root, "/lib64/ld-linux-x86-64.so.2", O_PATH,
                                                        0, NULL);
    return fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 0;
}

static void add_libraries(json_t *mounts, const char *rootfs)
{
    const bool glibc = has_glibc(rootfs);
    for (size_t i = 0; i < array_count(g_libraries); i++) {
        cleanup_free char *source = find_library(g_libraries[i].name);
        cleanup_free char *target = path_join(GRAMINE_LIBRARIES, g_libraries[i].name);
        if (source && (!glibc || !g_libraries[i].glibc))
            add_mount(mounts, source, g_libraries[i].path ? g_libraries[i].path : target);
    }
}

static int add_mounts(json_t *config, const char *rootfs, const char *type, struct error *err)
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

/* ---- ordinary images ---- */

static bool in_image(const char *rootfs, const char *path)
{
    cleanup_close int root = open(rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
    cleanup_close int fd = root < 0 ? -1 : path_open_in_root(root, path, O_PATH, 0, NULL);
    return fd >= 0;
}

/* Does the image bring a manifest: by Gramine's own tool, or in the working directory? */
static bool has_manifest(const char *rootfs, const char *cwd)
{
    cleanup_close int root = open(rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
    cleanup_close int fd = root < 0 ? -1
                                    : path_open_in_root(root, cwd, O_RDONLY | O_DIRECTORY, 0, NULL);
    cleanup_dir DIR *directory = fd < 0 ? NULL : fdopendir(fcntl(fd, F_DUPFD_CLOEXEC, 0));
    const struct dirent *entry;
    if (in_image(rootfs, GRAMINE_GSC_APPLICATION GRAMINE_MANIFEST))
        return true;
    while (directory && (entry = readdir(directory))) {
        const size_t size = strlen(entry->d_name), ending = strlen(GRAMINE_MANIFEST);
        if (size > ending && strcmp(entry->d_name + size - ending, GRAMINE_MANIFEST) == 0)
            return true;
    }
    return false;
}

static pid_t spawn_converter(const char *program, int request, int answer, struct error *err)
{
    const pid_t parent = getpid(), pid = fork();
    if (pid < 0)
        return error_errno(err, errno, "fork");
    if (pid > 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || dup2(request, STDIN_FILENO) < 0 || dup2(answer, STDOUT_FILENO) < 0)
        _exit(1);
    execl(PYTHON, PYTHON, "-I", program, (char *)NULL); /* nothing of PYTHONPATH or the directory */
    _exit(127);
}

/* The converter's answer: a directory, or what is wrong. malloc'd; NULL with err. */
static char *ask_converter(int request, struct error *err)
{
    cleanup_free char *program = locate_program("gramine-convert.py");
    cleanup_buffer struct buffer text = BUFFER_INIT;
    int ends[2];
    if (access(PYTHON, X_OK) < 0) {
        error_errno(err, errno, "%s, by which manifests are made for Gramine", PYTHON);
        return NULL;
    }
    if (access(program, R_OK) < 0 || pipe2(ends, O_CLOEXEC) < 0) {
        error_errno(err, errno, "%s (is the installation complete?)", program);
        return NULL;
    }
    cleanup_close int answer = ends[0];
    const pid_t pid = spawn_converter(program, request, ends[1], err);
    close(ends[1]);
    if (pid < 0)
        return NULL;
    const int result = read_all(answer, &text, ANSWER_MAX);
    const int status = child_wait(pid);
    char *line = xstrndup(buffer_text(&text), strcspn(buffer_text(&text), "\n"));
    if (result == 0 && status == 0 && line[0] == '/')
        return line;
    error_set(err, "Gramine: %s", line[0] ? line : "the converter ended without an answer");
    free(line);
    return NULL;
}

/* Names of the variables that the host may fill in: enclave.host.env. Without them a container
 * would have an enclave of its own, by its HOSTNAME. */
static int given_names(const struct enclave_policy_wish *wish, const struct oci_process *process,
                       json_t *names, struct error *err)
{
    struct host_rules rules;
    int result = host_rules_read(wish->host_env, wish->host_name, wish->pod, &rules, err);
    for (size_t i = 0; result == 0 && i < process->env.count; i++) {
        const char *entry = process->env.items[i];
        if (host_rules_allow(&rules, entry))
            json_array_append_new(names, json_stringn(entry, strcspn(entry, "=")));
    }
    host_rules_release(&rules);
    return result;
}

static char *convert(const struct enclave_request *wanted, const struct oci_config *config,
                     const char *rootfs, const char *type, struct error *err)
{
    const struct enclave_build *build = &wanted->build;
    cleanup_free char *real = realpath(rootfs, NULL);
    cleanup_json json_t *given = json_array();
    if (given_names(&wanted->policy, &config->process, given, err) < 0)
        return NULL;
    cleanup_json json_t *json = json_pack(
        "{s:s, s:O, s:O, s:b, s:b, s:I, s:i, s:s*, s:s*, s:s}", "rootfs", real ? real : rootfs,
        "config", config->json, "given", given, "simulated", strcmp(type, "simulatedSgx") == 0,
        "debug", build->mode == ENCLAVE_MODE_DEBUG, "memory", (json_int_t)build->memory, "threads",
        (int)build->threads, "mounts", build->mounts, "signature", build->signature, "prefix",
        gramine_prefix());
    cleanup_free char *text = json ? json_text(json, JSON_COMPACT) : NULL;
    if (!text) {
        error_set(err, "root filesystem %s: the path is not UTF-8", rootfs);
        return NULL;
    }
    cleanup_close int request = enclave_sealed_memory("gramine-convert", text, strlen(text), err);
    return request < 0 ? NULL : ask_converter(request, err);
}

int gramine_prepare(const struct enclave_request *request, const struct oci_config *config,
                    const char *rootfs, const char *type, char **args, struct error *err)
{
    if (!request->args && !has_manifest(rootfs, config->process.cwd)) {
        cleanup_free char *entry = convert(request, config, rootfs, type, err);
        if (!entry)
            return -1;
        json_t *mounts = json_object_get(config->json, "mounts");
        if (!mounts)
            json_object_set_new(config->json, "mounts", mounts = json_array());
        add_mount(mounts, entry, GRAMINE_APPLICATION);
        *args = xstrdup(GRAMINE_APPLICATION "/entrypoint");
    }
    return add_mounts(config->json, rootfs, type, err);
}
