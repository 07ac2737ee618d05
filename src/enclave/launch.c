/* SPDX-License-Identifier: Apache-2.0 */
/* rune create's share of an enclave container: everything that needs the host's files. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/child.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/node.h"
#include "base/path.h"
#include "enclave/agent.h"
#include "enclave/deployment.h"
#include "enclave/enclave.h"
#include "enclave/gramine.h"
#include "enclave/limits.h"
#include "enclave/locate.h"
#include "enclave/occlum.h"
#include "enclave/properties.h"
#include "enclave/settings.h"

static const char *const g_sgx_devices[] = {"/dev/sgx_enclave", "/dev/sgx_provision"};

/*
 * What `wanted` comes to here: "intelSgx" or "simulatedSgx". From here on nobody falls back. The
 * owner of the node says whether there may be emulated enclaves, whoever asks for one.
 */
static int choose_type(const char *wanted, const char **out, struct error *err)
{
    const bool hardware = access(g_sgx_devices[0], F_OK) == 0;
    const bool any = strcmp(wanted, "auto") == 0;
    if (strcmp(wanted, "simulatedSgx") != 0 && hardware) {
        *out = "intelSgx";
        return 0;
    }
    if (strcmp(wanted, "intelSgx") == 0)
        return error_set(err,
                         "enclave.type is intelSgx, but this machine has no %s: enable SGX in its "
                         "firmware (Linux 5.11 or later), or use enclave.type simulatedSgx, which "
                         "protects nothing",
                         g_sgx_devices[0]);
    *out = "simulatedSgx";
    if (node_allows_emulator(err) == 0)
        return 0;
    return any ? error_wrap(err, "enclave.type is auto, and this machine has no %s",
                            g_sgx_devices[0])
               : error_wrap(err, "enclave.type is simulatedSgx");
}

static int add_fd(struct enclave_launch *launch, const char *name, int fd)
{
    launch->fds[launch->fd_count++] = (struct container_fd){name, fd};
    return 0;
}

/* ---- the configuration as the enclave container has it ---- */

/* HOME as the application outside would get it: the runtime sets it from the image's
 * /etc/passwd. */
static char *home_of(const char *rootfs, uint32_t uid)
{
    cleanup_buffer struct buffer text = BUFFER_INIT;
    cleanup_close int root = open(rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
    cleanup_close int fd = root < 0 ? -1
                                    : path_open_in_root(root, "/etc/passwd", O_RDONLY | O_NONBLOCK,
                                                        0, NULL);
    if (fd >= 0 && read_all(fd, &text, 1 << 20) == 0) {
        char *line, *rest = text.data;
        while ((line = strsep(&rest, "\n")) != NULL) {
            char *fields[7] = {NULL};
            for (int i = 0; i < 7; i++)
                fields[i] = strsep(&line, ":");
            if (fields[5] != NULL && fields[2] != NULL && fields[5][0] == '/' &&
                strtoul(fields[2], NULL, 10) == uid)
                return xstrdup(fields[5]);
        }
    }
    return xstrdup("/");
}

/* In the saved configuration: HOME is not the user's wish, and another user's exec gets another. */
#define HOME_ADDED "runeHomeAdded"

static bool adapt_environment(json_t *env, const char *rootfs, uint32_t uid, bool builtin)
{
    bool has_home = false;
    size_t i = 0;
    while (i < json_array_size(env)) {
        const char *entry = json_string_value(json_array_get(env, i));
        if (entry != NULL && enclave_variable(entry)) {
            json_array_remove(env, i);
            continue;
        }
        has_home = has_home || (entry != NULL && strncmp(entry, "HOME=", 5) == 0);
        i++;
    }
    if (builtin && !has_home) {
        cleanup_free char *home = home_of(rootfs, uid);
        cleanup_free char *entry = xasprintf("HOME=%s", home);
        json_array_append_new(env, json_string(entry));
    }
    return builtin && !has_home;
}

void enclave_exec_environment(struct oci_config *config, const char *rootfs,
                              struct oci_process *process)
{
    enclave_strip_environment(process);
    struct oci_strings *env = &process->env;
    /* The first is the container's, for its own user; --env appends. */
    bool skip = json_is_true(json_object_get(config->json, HOME_ADDED)), has_home = false;
    const char **items = oci_config_alloc(config, env->count + 2, sizeof(*items));
    size_t kept = 0;
    for (size_t i = 0; i < env->count; i++) {
        bool home = strncmp(env->items[i], "HOME=", 5) == 0;
        if (!home || !skip)
            items[kept++] = env->items[i];
        has_home = has_home || (home && !skip);
        skip = skip && !home;
    }
    if (!has_home && rootfs != NULL) {
        cleanup_free char *home = home_of(rootfs, process->uid);
        items[kept++] = oci_config_format(config, "HOME=%s", home);
    }
    env->items = items;
    env->count = kept;
}

/* The enclave runtime opens the SGX devices from inside the container. */
static void adapt_devices(json_t *config)
{
    json_t *linux_ = json_object_get(config, "linux");
    if (linux_ == NULL)
        return;
    json_t *resources = json_object_get(linux_, "resources");
    if (resources == NULL)
        json_object_set_new(linux_, "resources", resources = json_object());
    json_t *devices = json_object_get(linux_, "devices");
    if (devices == NULL)
        json_object_set_new(linux_, "devices", devices = json_array());
    json_t *rules = json_object_get(resources, "devices");
    if (json_array_size(rules) == 0) { /* said in words, for what is added goes behind it */
        json_object_set_new(resources, "devices", rules = json_array());
        json_array_append_new(rules, json_pack("{s:b, s:s}", "allow", 0, "access", "rwm"));
    }
    for (size_t i = 0; i < array_count(g_sgx_devices); i++) {
        struct stat st;
        if (stat(g_sgx_devices[i], &st) < 0 || !S_ISCHR(st.st_mode))
            continue;
        json_int_t major_number = major(st.st_rdev), minor_number = minor(st.st_rdev);
        json_array_append_new(
            devices, json_pack("{s:s, s:s, s:I, s:I, s:i}", "path", g_sgx_devices[i], "type", "c",
                               "major", major_number, "minor", minor_number, "fileMode", 0666));
        json_array_append_new(rules, json_pack("{s:b, s:s, s:I, s:I, s:s}", "allow", 1, "type", "c",
                                               "major", major_number, "minor", minor_number,
                                               "access", "rw"));
    }
}

/* The tree is changed and its structures made again, so that readers of either see the same. */
int enclave_adapt_config(const struct enclave_request *request, const char *rootfs,
                         struct oci_config **config, struct error *err)
{
    json_t *json = (*config)->json;
    json_t *process = json_object_get(json, "process");
    json_t *env = json_object_get(process, "env");
    if (env == NULL)
        json_object_set_new(process, "env", env = json_array());
    if (adapt_environment(env, rootfs, (*config)->process.uid, request->builtin))
        json_object_set_new(json, HOME_ADDED, json_true());
    adapt_devices(json);
    struct oci_config *adapted = NULL;
    int result = oci_config_from_json(json, "config.json", &adapted, err);
    if (result < 0)
        return result;
    oci_config_free(*config);
    *config = adapted;
    return 0;
}

/* ---- conversion ---- */

/*
 * The converter is a program of its own: what it needs (a disassembler, cryptography) would cost
 * every start of an ordinary container its loading. It dies with rune, and answers with one
 * message.
 */
static pid_t spawn_converter(const char *program, int answer, int request, struct error *err)
{
    pid_t parent = getpid(), pid = fork();
    if (pid < 0)
        return error_errno(err, errno, "fork");
    if (pid > 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || dup2(request, STDIN_FILENO) < 0 || dup2(answer, 3) < 0)
        _exit(1);
    fd_set_cloexec(3, false); /* dup2 onto itself keeps the flag */
    if (log_fd() != STDERR_FILENO && (dup2(log_fd(), 4) < 0 || fd_set_cloexec(4, false) < 0))
        _exit(1);
    execl(program, program, (char *)NULL);
    _exit(127);
}

static int converter_request(const struct enclave_request *request, const char *type,
                             const struct oci_config *config, const char *rootfs, bool log_json,
                             struct error *err)
{
    const struct enclave_build *build = &request->build;
    const struct enclave_policy_wish *policy = &request->policy;
    cleanup_json json_t *json = json_pack(
        "{s:s, s:b, s:b, s:b, s:O, s:s, s:i, s:I, s:I, s:i, s:i, s:i, s:b, s:s*, s:s*, s:s*, s:s*,"
        " s:{s:s?, s:s?, s:s?, s:s?, s:s?, s:s?, s:s?, s:s?, s:b}}",
        "rootfs", rootfs, "debug", log_enabled(LOG_LEVEL_DEBUG), "log", log_fd() != STDERR_FILENO,
        "logJson", log_json, "config", config->json, "type", type, "mode", (int)build->mode, "size",
        (json_int_t)build->size, "memory", (json_int_t)build->memory, "threads",
        (int)build->threads, "kss", (int)build->kss, "sgx2", (int)build->sgx2, "aexnotify",
        build->aexnotify, "mounts", build->mounts, "bound", build->bound, "image", build->image,
        "signature", build->signature, "policy", "exec", policy->exec, "signals", policy->signals,
        "loopback", policy->loopback, "stdio", policy->stdio, "hostEnv", policy->host_env,
        "hostName", policy->host_name, "ratls", policy->ratls, "ratlsClients",
        policy->ratls_clients, "pod", policy->pod);
    cleanup_free char *text = json != NULL ? json_text(json, JSON_COMPACT) : NULL;
    if (text == NULL)
        return error_set(err, "root filesystem %s: the path is not UTF-8", rootfs);
    return enclave_sealed_memory("enclave-convert", text, strlen(text), err);
}

static int read_answer(int socket, struct enclave_launch *launch, struct error *err)
{
    static const char *const names[] = ENCLAVE_CONVERTER_FDS;
    char text[ENCLAVE_CONVERTER_TEXT];
    int fds[array_count(names)];
    size_t count = array_count(names);
    ssize_t size = fd_recv(socket, text, sizeof(text) - 1, fds, &count);
    if (size < 0)
        return error_errno(err, (int)-size, "read the converter's answer");
    if (size == 0)
        return error_set(err,
                         "the converter ended without an answer (was it killed, is memory short?)");
    text[size] = '\0';
    for (size_t i = 0; i < count; i++)
        add_fd(launch, names[i], fds[i]);
    if (count < ENCLAVE_CONVERTER_NEEDED)
        return error_set(err, "%s", text);
    log_debug("%s", text);
    return 0;
}

static int convert(const struct enclave_request *wanted, const struct oci_config *config,
                   const char *rootfs, bool log_json, struct enclave_launch *launch,
                   struct error *err)
{
    int pair[2];
    cleanup_free char *program = locate_program("enclave-convert");
    if (access(program, X_OK) < 0)
        return error_errno(err, errno, "%s (is the installation complete?)", program);
    cleanup_close int request = converter_request(wanted, launch->type, config, rootfs, log_json,
                                                  err);
    if (request < 0)
        return request;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return error_errno(err, errno, "socketpair");
    cleanup_close int ours = pair[0];
    pid_t pid = spawn_converter(program, pair[1], request, err);
    close(pair[1]);
    if (pid < 0)
        return -1;
    int result = read_answer(ours, launch, err);
    (void)child_wait(pid);
    return result;
}

/* What pal_init is given, unless *out is that. malloc'd; *out may be NULL then, too. */
static int runtime_args(const struct enclave_request *request, const struct oci_config *config,
                        const char *rootfs, char **out, struct error *err)
{
    if (*out == NULL && request->args != NULL)
        *out = xstrdup(request->args);
    if (*out != NULL || !request->occlum)
        return 0;
    *out = occlum_instance(rootfs, config->process.cwd, err);
    return *out != NULL ? 0 : -1;
}

static int add_settings(const struct enclave_request *request, const char *args,
                        const struct oci_config *config, const struct deployment *deployment,
                        bool log_json, struct enclave_launch *launch, struct error *err)
{
    struct pal_limits_v4 limits;
    enclave_limits(&config->resources, &limits);
    struct enclave_settings settings = {
        .type = launch->type,
        .runtime = request->runtime,
        .args = args,
        .log_level = request->log_level,
        .trace = request->trace,
        .log_json = log_json,
        .log_debug = log_enabled(LOG_LEVEL_DEBUG),
        .debug_enclave = request->build.mode == ENCLAVE_MODE_DEBUG,
        .no_kss = request->build.kss == ENCLAVE_NO,
        .oom_killer_off = config->resources.memory.disable_oom_killer,
        .memory_limit = limits.memory_limit,
        .thread_limit = limits.thread_limit,
        .cpu_quota = limits.cpu_quota,
        .cpu_period = limits.cpu_period,
        .mounts = deployment->passed,
        .mount_count = deployment->passed_count,
    };
    int fd = enclave_settings_write(&settings, err);
    if (fd < 0)
        return fd;
    add_fd(launch, ENCLAVE_FD_SETTINGS, fd);
    add_fd(launch, ENCLAVE_FD_AGENT, -1); /* made when there is a state directory */
    if (log_fd() != STDERR_FILENO) {
        int copy = fcntl(log_fd(), F_DUPFD_CLOEXEC, 3);
        if (copy < 0)
            return error_errno(err, errno, "log: duplicate its descriptor");
        add_fd(launch, ENCLAVE_FD_LOG, copy);
    }
    return 0;
}

/*
 * A library of versions 1 to 3 knows the SGX device only, and may look for it in a constructor, so
 * before it can be asked its version; one of version 4, which is told the type, has this function.
 */
static int knows_types(const char *library, bool *out, struct error *err)
{
    static const char name[] = "\0pal_start_process";
    cleanup_close int fd = open(library, O_RDONLY | O_CLOEXEC);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return error_errno(err, errno, "enclave runtime %s", library);
    *out = true; /* no library at all: dlopen says so */
    if (!S_ISREG(st.st_mode) || st.st_size == 0)
        return 0;
    void *text = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (text == MAP_FAILED)
        return error_errno(err, errno, "read the enclave runtime %s", library);
    *out = memmem(text, (size_t)st.st_size, name, sizeof(name)) != NULL;
    munmap(text, (size_t)st.st_size);
    return 0;
}

/* A runtime that knows the device only runs by sgx-emulate where the enclave is to be emulated. */
static int choose_preload(const struct enclave_request *request, struct enclave_launch *out,
                          struct error *err)
{
    bool knows = true;

    if (request->builtin || strcmp(out->type, "simulatedSgx") != 0)
        return 0;
    int result = knows_types(request->runtime, &knows, err);
    if (result < 0 || knows)
        return result;
    out->init_preload = locate_runtime_file("libsgx-emulate.so");
    if (access(out->init_preload, R_OK) < 0)
        return error_errno(err, errno, "%s (is the installation complete?)", out->init_preload);
    log_debug("enclave runtime %s: by sgx-emulate", request->runtime);
    return 0;
}

int enclave_launch_prepare(const struct enclave_request *request, const char *bundle, bool log_json,
                           struct oci_config **config, struct enclave_launch *out,
                           struct error *err)
{
    memset(out, 0, sizeof(*out));
    out->init_program = locate_program("init-runelet");
    cleanup_free char *rootfs = (*config)->root_path[0] == '/'
                                    ? xstrdup((*config)->root_path)
                                    : path_join(bundle, (*config)->root_path);
    if (!(*config)->process_present)
        return error_set(err, "config.json: process: an enclave container needs it at create");
    if (choose_type(request->type, &out->type, err) < 0)
        return -1;
    if (access(request->runtime, R_OK) < 0)
        return error_errno(err, errno, "enclave runtime %s", request->runtime);
    if (access(out->init_program, X_OK) < 0)
        return error_errno(err, errno, "%s (is the installation complete?)", out->init_program);
    if (access(rootfs, F_OK) < 0)
        return error_errno(err, errno, "root filesystem %s", rootfs);
    if (choose_preload(request, out, err) < 0)
        return -1;

    const struct policy none = {0}; /* the converter's matter */
    cleanup_deployment struct deployment deployment = {0};
    int result = request->builtin ? properties_check((*config)->json, err) : 0;
    cleanup_free char *args = NULL;
    if (result == 0 && gramine_is_runtime(request->runtime))
        result = gramine_prepare(request, *config, rootfs, out->type, &args, err);
    if (result == 0)
        result = enclave_adapt_config(request, rootfs, config, err);
    if (result == 0)
        result = deployment_from_config(*config, &none, request->build.mounts, &deployment, err);
    if (result == 0)
        result = runtime_args(request, *config, rootfs, &args, err);
    if (result == 0)
        result = add_settings(request, args, *config, &deployment, log_json, out, err);
    if (result == 0 && request->builtin)
        result = convert(request, *config, rootfs, log_json, out, err);
    return result;
}

int enclave_launch_state_dir(void *ctx, int dir, struct error *err)
{
    struct enclave_launch *launch = ctx;
    int listener = agent_listen(dir, err);
    for (size_t i = 0; i < launch->fd_count; i++)
        if (strcmp(launch->fds[i].name, ENCLAVE_FD_AGENT) == 0)
            launch->fds[i].fd = listener;
    return listener < 0 ? listener : 0;
}

void enclave_launch_release(struct enclave_launch *launch)
{
    for (size_t i = 0; i < launch->fd_count; i++)
        close_and_reset(&launch->fds[i].fd);
    launch->fd_count = 0;
    free(launch->init_program);
    launch->init_program = NULL;
    free(launch->init_preload);
    launch->init_preload = NULL;
}
