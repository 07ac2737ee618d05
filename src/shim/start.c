/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `start`: containerd asks for a shim for the container whose bundle is the working directory. The
 * first of a pod gets a process of its own, which is this one forked; the others get that one's
 * address. The answer goes to standard output.
 */
#include <errno.h>
#include <fcntl.h>
#include <nettle/sha2.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "base/path.h"
#include "shim/shim.h"

#define SOCKET_DIR "/run/containerd/s"

enum { INPUT_MAX = 4 << 20 };

/* --- what containerd gives on standard input ------------------------------------------------- */

struct input {
    char *socket_dir;  /* NULL: the default */
    char *shim_cgroup; /* NULL: none */
};

static void take_options(const Ttrpc__Any *any, struct input *out)
{
    Options__Runc *options = options_runc(any, NULL);
    if (!options)
        return;
    if (*options->shim_cgroup)
        out->shim_cgroup = xstrdup(options->shim_cgroup);
    options__runc__free_unpacked(options, NULL);
}

/*
 * An Any with the runtime's options, or (containerd 2.3) the parameters of a start, which name our
 * id.
 */
static int read_input(const char *id, struct input *out, struct error *err)
{
    cleanup_buffer struct buffer text = BUFFER_INIT;
    int ret = read_all(STDIN_FILENO, &text, INPUT_MAX);
    if (ret < 0 && ret != -EBADF)
        return error_errno(err, -ret, "read the standard input");
    if (text.size == 0)
        return 0;
    const uint8_t *data = (const uint8_t *)text.data;
    Options__BootstrapParams *params = options__bootstrap_params__unpack(NULL, text.size, data);
    if (params && strcmp(params->instance_id, id) == 0) {
        if (*params->socket_dir)
            out->socket_dir = xstrdup(params->socket_dir);
        for (size_t i = 0; i < params->n_extensions; i++)
            take_options(params->extensions[i]->value, out);
    } else {
        Ttrpc__Any *any = ttrpc__any__unpack(NULL, text.size, data);
        if (any)
            take_options(any, out);
        else
            ret = error_set(err, "the standard input is no message that is known here");
        ttrpc__any__free_unpacked(any, NULL);
    }
    if (params)
        options__bootstrap_params__free_unpacked(params, NULL);
    return ret < 0 ? ret : 0;
}

/* --- the socket ------------------------------------------------------------------------------ */

/*
 * Containers of one pod share a shim: what the annotations say, else the container itself.
 * malloc'd.
 */
static char *group_of(const char *id, struct error *err)
{
    enum { CONFIG_MAX = 16 << 20 };
    static const char *const annotations[] = {"io.containerd.runc.v2.group",
                                              "io.kubernetes.cri.sandbox-id"};
    cleanup_json json_t *config = json_parse_file(AT_FDCWD, "config.json", CONFIG_MAX, err);
    if (!config)
        return NULL;
    for (size_t i = 0; i < array_count(annotations); i++) {
        const char *group = json_string_value(
            json_object_get(json_object_get(config, "annotations"), annotations[i]));
        if (group && *group)
            return xstrdup(group);
    }
    return xstrdup(id);
}

/* DIR/SHA-256 of "ADDRESS/NAMESPACE/GROUP": the same name whoever asks for this pod. malloc'd. */
static char *socket_path(const char *dir, const struct shim_arguments *arguments, const char *group)
{
    cleanup_free char *joined = xasprintf("%s/%s/%s", arguments->address, arguments->namespace,
                                          group);
    cleanup_free char *text = path_clean(joined);
    struct sha256_ctx context;
    uint8_t hash[SHA256_DIGEST_SIZE];
    sha256_init(&context);
    sha256_update(&context, strlen(text), (const uint8_t *)text);
    sha256_digest(&context, sizeof(hash), hash);
    struct buffer out = BUFFER_INIT;
    buffer_append_format(&out, "%s/", dir);
    buffer_append_hex(&out, hash, sizeof(hash));
    return buffer_take(&out);
}

/*
 * A listening socket; -EEXIST when there is such a file. It gets its name when it listens already:
 * who starts at the same moment must not take it for a dead one.
 */
static int listen_at(const char *path)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    cleanup_free char *draft = xasprintf("%s.%d", path, (int)getpid());
    if (strlen(draft) >= sizeof(name.sun_path))
        return -ENAMETOOLONG;
    memcpy(name.sun_path, draft, strlen(draft) + 1);
    cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    (void)unlink(draft);
    if (fd < 0 || bind(fd, (struct sockaddr *)&name, sizeof(name)) < 0)
        return -errno;
    int code = 0;
    if (chmod(draft, 0600) < 0 || listen(fd, SOMAXCONN) < 0 || link(draft, path) < 0)
        code = errno;
    (void)unlink(draft);
    return code ? -code : take_fd(fd);
}

/* A new listener, or -EEXIST when a shim of this pod answers there. */
static int open_socket(const char *path, struct error *err)
{
    int fd = listen_at(path);
    if (fd == -EEXIST) {
        cleanup_close int other = ttrpc_connect(path);
        /* EAGAIN: its queue is full, so it lives. */
        if (other >= 0 || other == -EAGAIN)
            return -EEXIST;
        (void)unlink(path);
        fd = listen_at(path);
    }
    return fd < 0 ? error_errno(err, -fd, "create new shim socket %s", path) : fd;
}

/* --- the process ----------------------------------------------------------------------------- */

/* One more than containerd's: the kernel takes the shim first. */
static void adjust_oom_score(pid_t parent)
{
    char name[64], value[16];
    cleanup_buffer struct buffer text = BUFFER_INIT;
    snprintf(name, sizeof(name), "/proc/%d/oom_score_adj", (int)parent);
    if (read_file_at(AT_FDCWD, name, &text, 64, NULL) < 0)
        return;
    long score = strtol(buffer_text(&text), NULL, 10) + 1;
    int size = snprintf(value, sizeof(value), "%ld", score > 1000 ? 1000 : score);
    cleanup_error struct error err = ERROR_INIT;
    if (write_file_at(AT_FDCWD, "/proc/self/oom_score_adj", value, (size_t)size, &err) < 0)
        log_warning("%s", error_text(&err));
}

/* What `ps` shows is the command line without its last word, "start". */
static void hide_action(const struct shim_arguments *arguments)
{
    char *action = (char *)arguments->action;
    memset(action, 0, strlen(action));
}

static void log_lines(enum log_level level, const struct buffer *lines)
{
    cleanup_free char *copy = xstrdup(buffer_text(lines));
    char *rest = copy;
    for (char *line; (line = strsep(&rest, "\n"));)
        if (*line)
            log_message(level, "%s", line);
}

static _Noreturn void serve(const struct shim_arguments *arguments,
                            const struct shim_config *config, int listener, const char *path,
                            pid_t containerd)
{
    cleanup_error struct error err = ERROR_INIT;
    setpgid(0, 0);
    adjust_oom_score(containerd);
    hide_action(arguments);
    /* These would be for a process that systemd itself has started. */
    unsetenv("NOTIFY_SOCKET");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_PID");
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd < 3; fd++)
        dup2(null, fd);
    if (null > 2)
        close(null);
    /* containerd reads its other end; held open for both, so that it may go and come again. */
    int log = open("log", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    struct log_options options = {.program = "containerd-shim-rune-v2",
                                  .fd = log > 0 ? log : 0,
                                  .debug = arguments->debug || config->debug,
                                  .quiet = config->quiet};
    int status = 0;
    int opened = log_open(&options, &err);
    log_lines(LOG_LEVEL_WARNING, &config->warnings);
    log_lines(LOG_LEVEL_INFO, &config->notes);
    if (opened < 0 || shim_serve(arguments, listener, path, &err) < 0) {
        log_fatal("%s", error_text(&err));
        status = 1;
    }
    (void)unlink(path);
    _exit(status);
}

/*
 * containerd 1.6 reads an address. Later ones read JSON, and say by this variable which version of
 * the task service they know; 3 is the newest one here.
 */
static void print_address(const char *path)
{
    const char *newest = getenv("MAX_SHIM_VERSION");
    if (newest)
        printf("{\"version\":%d,\"address\":\"unix://%s\",\"protocol\":\"ttrpc\"}",
               strtol(newest, NULL, 10) >= 3 ? 3 : 2, path);
    else
        printf("unix://%s", path);
    fflush(stdout);
}

static int write_address(const char *path, struct error *err)
{
    cleanup_free char *address = xasprintf("unix://%s", path);
    return replace_file_at(AT_FDCWD, "address", address, strlen(address), 0600, false, err);
}

static int start_process(const struct shim_arguments *arguments, const struct shim_config *config,
                         const struct input *input, int listener, const char *path,
                         struct error *err)
{
    pid_t containerd = getppid();
    pid_t pid = fork();
    if (pid < 0)
        return error_errno(err, errno, "fork");
    if (pid == 0)
        serve(arguments, config, listener, path, containerd);
    if (input->shim_cgroup && cgroups_join(input->shim_cgroup, pid, err) < 0) {
        (void)kill(pid, SIGKILL);
        return -1;
    }
    return 0;
}

/* The address of the pod's shim, which is started if there is none. */
static int start(const struct shim_arguments *arguments, const struct shim_config *config,
                 const struct input *input, struct error *err)
{
    const char *dir = input->socket_dir ? input->socket_dir : SOCKET_DIR;
    cleanup_free char *group = group_of(arguments->id, err);
    if (!group || path_mkdir_p(dir, 0711, err) < 0)
        return -1;
    cleanup_free char *path = socket_path(dir, arguments, group);
    cleanup_close int listener = open_socket(path, err);
    if (listener < 0 && listener != -EEXIST)
        return -1;
    if (write_address(path, err) < 0 ||
        (listener >= 0 && start_process(arguments, config, input, listener, path, err) < 0)) {
        if (listener >= 0)
            (void)unlink(path);
        return -1;
    }
    print_address(path);
    return 0;
}

int shim_start(struct shim_arguments *arguments, struct error *err)
{
    struct input input = {0};
    struct shim_config config = {0};
    int ret = shim_config_read(&config, err);
    if (ret == 0 && !*arguments->address && config.socket)
        arguments->address = config.socket;
    if (ret == 0)
        ret = read_input(arguments->id, &input, err);
    if (ret == 0)
        ret = start(arguments, &config, &input, err);
    shim_config_release(&config);
    free(input.socket_dir);
    free(input.shim_cgroup);
    return ret;
}
