/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands in for runc's seccompagent in its integration tests: a seccomp agent of the runtime-spec.
 * It listens on a socket (-socketfile), takes the container process state with the "seccompFd" that
 * a runtime sends there, and answers what the filter asks:
 *
 *   mkdir NAME                 done by the agent in the container's root; the metadata is appended
 *   chmod, fchmod, fchmodat    ENOMEDIUM
 *   anything else              the kernel goes on with the call
 *
 * One message of at most 4096 bytes with exactly one descriptor is what runc's own agent takes, so
 * no more is taken here.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <poll.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <jansson.h>

enum { FILTERS_MAX = 64, STATE_MAX = 4096, METADATA_MAX = 64 };

/* Slot 0 of g_poll is the listening socket; metadata of slot I belongs to the filter of slot I. */
static struct pollfd g_poll[FILTERS_MAX + 1];
static char g_metadata[FILTERS_MAX + 1][METADATA_MAX];
static nfds_t g_count;

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || strlen(path) >= sizeof(address.sun_path))
        return -1;
    memcpy(address.sun_path, path, strlen(path) + 1);
    unlink(path);
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, FILTERS_MAX) < 0)
        return -1;
    return fd;
}

/* The state's text and the one descriptor of its message, or -1. */
static int receive_state(int connection, char text[STATE_MAX])
{
    union {
        char space[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = {text, STATE_MAX - 1};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof(control)};
    ssize_t size = recvmsg(connection, &msg, MSG_CMSG_CLOEXEC);
    struct cmsghdr *c = size > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
    int fd = -1;
    if (!c || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(sizeof(int)))
        return -1;
    memcpy(&fd, CMSG_DATA(c), sizeof(fd));
    text[size] = '\0';
    if (!(msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
        return fd;
    close(fd);
    return -1;
}

/* The state must name its descriptor, and metadata that is a path could lead anywhere. */
static int check_state(const char *text, char metadata[METADATA_MAX])
{
    json_t *state = json_loads(text, 0, NULL);
    const char *name = json_string_value(json_array_get(json_object_get(state, "fds"), 0));
    const char *word = json_string_value(json_object_get(state, "metadata"));
    int ok = name && strcmp(name, "seccompFd") == 0 &&
             json_integer_value(json_object_get(state, "pid")) > 0 &&
             json_is_string(json_object_get(json_object_get(state, "state"), "id"));
    word = word ? word : "";
    if (strchr(word, '/') || strlen(word) >= METADATA_MAX)
        ok = 0;
    else
        memcpy(metadata, word, strlen(word) + 1);
    json_decref(state);
    return ok ? 0 : -1;
}

static void take_filter(void)
{
    int connection = accept4(g_poll[0].fd, NULL, NULL, SOCK_CLOEXEC);
    if (connection < 0)
        return;
    char text[STATE_MAX];
    int fd = receive_state(connection, text);
    close(connection);
    if (fd < 0 || g_count > FILTERS_MAX || check_state(text, g_metadata[g_count]) < 0) {
        fprintf(stderr, "seccompagent: no usable state\n");
        if (fd >= 0)
            close(fd);
        return;
    }
    g_poll[g_count++] = (struct pollfd){.fd = fd, .events = POLLIN};
}

static void drop_filter(nfds_t slot)
{
    close(g_poll[slot].fd);
    g_count--;
    g_poll[slot] = g_poll[g_count];
    memmove(g_metadata[slot], g_metadata[g_count], METADATA_MAX);
}

/* A string in the memory of a process that waits for its answer. */
static int read_string(pid_t pid, uint64_t address, char text[PATH_MAX])
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/mem", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t size = pread(fd, text, PATH_MAX - 1, (off_t)address);
    close(fd);
    if (size <= 0)
        return -1;
    text[size] = '\0';
    return strlen(text) < (size_t)size ? 0 : -1;
}

/*
 * mkdir NAME-METADATA as the process would see it; links of the container are followed in its root
 * only.
 */
static int make_directory(pid_t pid, const char *name, const char *metadata, mode_t mode)
{
    char path[64], full[PATH_MAX + METADATA_MAX + 1];
    snprintf(full, sizeof(full), "%s-%s", name, metadata);
    snprintf(path, sizeof(path), "/proc/%d/%s", pid, name[0] == '/' ? "root" : "cwd");
    int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return -1;
    char *slash = strrchr(full, '/');
    const char *last = slash ? slash + 1 : full, *parent = slash ? full : ".";
    if (slash)
        *slash = '\0';
    struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT};
    int fd = (int)syscall(SYS_openat2, root, *parent ? parent : "/", &how, sizeof(how));
    int ret = fd < 0 ? -1 : mkdirat(fd, last, mode);
    if (fd >= 0)
        close(fd);
    close(root);
    return ret;
}

static void answer(int fd, const char *metadata, struct seccomp_notif *request,
                   struct seccomp_notif_resp *response)
{
    response->id = request->id;
    response->val = 0;
    response->error = 0;
    response->flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    char *name = seccomp_syscall_resolve_num_arch(request->data.arch, request->data.nr);
    if (!name)
        return;
    if (strcmp(name, "mkdir") == 0) {
        char path[PATH_MAX];
        pid_t pid = (pid_t)request->pid;
        response->flags = 0;
        /*
         * The process may have died meanwhile and its pid be another's: nothing is done before that
         * is known.
         */
        if (read_string(pid, request->data.args[0], path) < 0 ||
            seccomp_notify_id_valid(fd, request->id) != 0 ||
            make_directory(pid, path, metadata, (mode_t)request->data.args[1]) < 0)
            response->error = -ENOSYS;
    } else if (strcmp(name, "chmod") == 0 || strcmp(name, "fchmod") == 0 ||
               strcmp(name, "fchmodat") == 0) {
        response->flags = 0;
        response->error = -ENOMEDIUM;
    }
    free(name);
}

static void serve(int fd, const char *metadata)
{
    struct seccomp_notif *request = NULL;
    struct seccomp_notif_resp *response = NULL;
    if (seccomp_notify_alloc(&request, &response) < 0)
        return;
    if (seccomp_notify_receive(fd, request) == 0) {
        answer(fd, metadata, request, response);
        if (seccomp_notify_respond(fd, response) != 0)
            fprintf(stderr, "seccompagent: the answer came too late\n");
    }
    seccomp_notify_free(request, response);
}

static int write_pid(const char *path)
{
    FILE *file = fopen(path, "we");
    if (!file)
        return -1;
    fprintf(file, "%d", getpid());
    return fclose(file);
}

int main(int argc, char **argv)
{
    const char *path = "/run/seccomp-agent.socket", *pid_file = NULL;
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "-socketfile=", 12) == 0)
            path = argv[i] + 12;
        else if (strcmp(argv[i], "-pid-file") == 0 && i + 1 < argc)
            pid_file = argv[++i];
        else
            return 2;
    }
    umask(0);
    g_poll[0] = (struct pollfd){.fd = listen_at(path), .events = POLLIN};
    g_count = 1;
    if (g_poll[0].fd < 0 || (pid_file && write_pid(pid_file) != 0)) {
        perror("seccompagent");
        return 1;
    }
    while (poll(g_poll, g_count, -1) >= 0 || errno == EINTR) {
        /* Downwards, for drop_filter puts the last one into the free slot. */
        for (nfds_t i = g_count - 1; i > 0; i--) {
            if (g_poll[i].revents & POLLIN)
                serve(g_poll[i].fd, g_metadata[i]);
            else if (g_poll[i].revents)
                drop_filter(i);
        }
        if (g_poll[0].revents & POLLIN)
            take_filter();
    }
    return 1;
}
