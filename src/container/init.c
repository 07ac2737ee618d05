/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The set-up of a container from inside, in its one order. Runs in the process that becomes the
 * container's init, which is either rune's clone or init-runelet (container.h), and for its second
 * half (init_finish) in every exec.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <net/if.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "container/private.h"

static void log_to_rune(void *ctx, enum log_level level, const char *text)
{
    const struct container_init *init = ctx;
    (void)!sync_write(init->sync_fd, SYNC_LOG, (int)level, text);
}

void init_divert_log(struct container_init *init)
{
    log_divert(log_to_rune, init);
    /* The words are those that tools (and runc's tests) look for in a debug log. */
    log_debug("nsexec container setup: in the new namespaces");
    log_debug("child process in init()");
}

void init_report(struct container_init *init, const struct error *err)
{
    if (init->sync_fd >= 0)
        (void)!sync_write(init->sync_fd, SYNC_ERROR, err->code, error_text(err));
}

void container_init_fail(const struct container_init *init, const struct error *err)
{
    if (init->sync_fd < 0 ||
        sync_write(init->sync_fd, SYNC_ERROR, err->code, error_text(err)) < 0) {
        log_divert(NULL, NULL);
        log_fatal("%s", error_text(err));
    }
}

void container_init_warn(const struct container_init *init, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    log_vmessage(LOG_LEVEL_WARNING, fmt, args);
    va_end(args);
}

/* A session keyring of our own, else the container could search the host's (CVE-2016-9962's
 * neighbour). */
static int join_keyring(const struct container_init *init, struct error *err)
{
    if (init->no_new_keyring)
        return 0;
    cleanup_free char *name = xasprintf("_ses.%s", init->id);
    long ring = syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name);
    if (ring < 0) {
        if (errno == ENOSYS || errno == EDQUOT || errno == EACCES)
            return 0;
        return error_errno(err, errno, "join a session keyring");
    }
    /* Possessor: everything; user: view, read, search, link. Without search, a setuid process loses
     * it. */
    syscall(SYS_keyctl, KEYCTL_SETPERM, ring, 0x3f1b0000);
    return 0;
}

int raise_loopback(struct error *err)
{
    cleanup_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_errno(err, errno, "open a socket for the loopback interface");
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING | IFF_LOOPBACK};
    if (ioctl(fd, SIOCSIFFLAGS, &request) < 0)
        return error_errno(err, errno, "bring up the loopback interface");
    return 0;
}

static int set_names(const struct oci_config *config, struct error *err)
{
    if (config->hostname && sethostname(config->hostname, strlen(config->hostname)) < 0)
        return error_errno(err, errno, "set host name %s", config->hostname);
    if (config->domainname && setdomainname(config->domainname, strlen(config->domainname)) < 0)
        return error_errno(err, errno, "set domain name %s", config->domainname);
    return 0;
}

/* net.ipv4.ip_forward -> sys/net/ipv4/ip_forward; a name with slashes has its dots kept
 * (sysctl.d(5)). */
static int set_sysctls(const struct container_init *init, struct error *err)
{
    for (size_t i = 0; i < init->config->sysctl.count; i++) {
        const struct oci_pair *pair = &init->config->sysctl.items[i];
        cleanup_free char *path = xasprintf("sys/%s", pair->key);
        size_t first = strcspn(pair->key, "./");
        if (pair->key[first] == '.')
            for (char *p = path + 4; *p; p++)
                *p = *p == '.' ? '/' : *p == '/' ? '.' : *p;
        if (proc_write(init->proc_fd, path, pair->value, err) < 0)
            return error_wrap(err, "set sysctl %s", pair->key);
    }
    return 0;
}

static bool has_hooks(const struct oci_config *config)
{
    return config->hooks[OCI_HOOK_PRESTART].count || config->hooks[OCI_HOOK_CREATE_RUNTIME].count ||
           config->hooks[OCI_HOOK_CREATE_CONTAINER].count ||
           config->hooks[OCI_HOOK_START_CONTAINER].count;
}

static int run_own_hooks(struct container_init *init, enum oci_hook_kind kind, const char *status,
                         const char *cwd, struct error *err)
{
    const struct oci_config *config = init->config;
    if (config->hooks[kind].count == 0)
        return 0;
    json_t *annotations = json_object_get(config->json, "annotations");
    /* runtime-spec, State: in the container's namespaces, the pid is what the container sees. */
    cleanup_free char *state = state_document(config->version, init->id, status, getpid(),
                                              init->bundle, annotations);
    /* What a hook in the container inherits is the container's environment, never the host's. */
    char **host = environ, **own = process_variables(init->process, NULL);
    environ = own;
    int ret = hooks_run(config, kind, state, cwd, err);
    environ = host;
    free(own);
    return ret;
}

/* createContainer hooks begin in the new root, as with other runtimes: they write "./lib/...". */
static int run_create_hooks(struct container_init *init, int root_fd, struct error *err)
{
    if (!has_hooks(init->config))
        return 0;
    int ret = sync_send(init->sync_fd, SYNC_HOOKS, 0, NULL, -1);
    if (ret < 0)
        return error_errno(err, -ret, "tell rune about hooks");
    if (sync_wait_go(init, NULL, err) < 0)
        return -1;
    if (fchdir(root_fd) < 0)
        return error_errno(err, errno, "enter the root filesystem");
    return run_own_hooks(init, OCI_HOOK_CREATE_CONTAINER, "creating", NULL, err);
}

/* Without a terminal the process has rune's stdio, which its user may not be allowed to reopen
 * (/dev/stdout). */
static int fix_stdio_owner(const struct oci_process *process, struct error *err)
{
    for (int fd = 0; fd < 3 && process->uid != 0; fd++) {
        struct stat st;
        if (fstat(fd, &st) < 0) {
            if (errno == EBADF)
                continue;
            return error_errno(err, errno, "stat descriptor %d", fd);
        }
        if (st.st_uid == process->uid || (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3)))
            continue;
        /* EPERM, EROFS, EINVAL: a file of somebody else, or an id that is not mapped: leave it. */
        if (fchown(fd, process->uid, (gid_t)-1) < 0 && errno != EPERM && errno != EROFS &&
            errno != EINVAL)
            return error_errno(err, errno, "change the owner of descriptor %d", fd);
    }
    return 0;
}

/*
 * A /dev/null of the host among our stdio is a file outside of the container: CRIU could not save
 * it, and through it the host's /dev would be held. The container's own takes its place.
 */
static int reopen_null(struct error *err)
{
    dev_t null = makedev(1, 3);
    cleanup_close int own = -1;
    for (int fd = 0; fd < 3; fd++) {
        struct stat st;
        if (fstat(fd, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != null)
            continue;
        if (own < 0) {
            own = open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
            if (own < 0 || fstat(own, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != null)
                return 0;
            fd_set_nonblock(own, false);
        }
        if (dup3(own, fd, 0) < 0)
            return error_errno(err, errno, "reopen /dev/null as descriptor %d", fd);
    }
    return 0;
}

static int make_terminal(struct container_init *init, int root_fd, int *slave, struct error *err)
{
    *slave = -1;
    if (!init->process->terminal)
        return 0;
    cleanup_close int master = -1;
    if (console_open(init, root_fd, &master, slave, err) < 0)
        return -1;
    if (!init->is_exec && init->config->namespaces[OCI_NS_MOUNT].present &&
        console_bind(root_fd, *slave, err) < 0)
        return -1;
    int ret = init->console_socket_fd >= 0 ? console_send(init->console_socket_fd, master)
                                           : sync_send(init->sync_fd, SYNC_TTY, 0, NULL, master);
    close_and_reset(&init->console_socket_fd);
    return ret < 0 ? error_errno(err, -ret, "hand over the terminal") : 0;
}

/* While the root is still writable. Where it cannot be made, chdir() says later what is wrong. */
static void make_cwd(const struct container_init *init, int root_fd)
{
    cleanup_error struct error err = ERROR_INIT;
    cleanup_close int fd = path_make_target_in_root(root_fd, init->process->cwd, true, 0755, &err);
    if (fd < 0)
        log_debug("working directory: %s", error_text(&err));
}

static int set_up_root(struct container_init *init, const struct container_payload *payload,
                       int *slave, struct error *err)
{
    const bool untouched = payload && payload->root_untouched;
    cleanup_close int root_fd = -1;
    if (rootfs_prepare(init, untouched, &root_fd, err) < 0 ||
        mounts_perform(init, root_fd, err) < 0 ||
        (init->config->namespaces[OCI_NS_MOUNT].present &&
         devices_create(init, root_fd, err) < 0) ||
        run_create_hooks(init, root_fd, err) < 0 || make_terminal(init, root_fd, slave, err) < 0)
        return -1;
    /* The root of an enclave is a sealed image: what it was made of stays as it is. */
    if (!payload)
        make_cwd(init, root_fd);
    if (rootfs_protect(init, root_fd, err) < 0)
        return -1;
    return rootfs_switch(init, root_fd, err);
}

static int set_up(struct container_init *init, const struct container_payload *payload,
                  struct error *err)
{
    const struct oci_config *config = init->config;
    if (payload && payload->prepare && payload->prepare(payload->ctx, init, err) < 0)
        return error_wrap(err, "%s", payload->name);
    cleanup_close int slave = -1;
    const struct oci_namespace *net = &config->namespaces[OCI_NS_NETWORK];
    if (join_keyring(init, err) < 0 || (net->present && !net->path && raise_loopback(err) < 0) ||
        set_names(config, err) < 0 || set_up_root(init, payload, &slave, err) < 0 ||
        set_sysctls(init, err) < 0)
        return -1;
    if (slave >= 0 ? console_attach(slave, err) < 0
                   : reopen_null(err) < 0 || fix_stdio_owner(init->process, err) < 0)
        return -1;
    if (config->personality_set && personality(config->personality) < 0)
        return error_errno(err, errno, "set the personality");
    if (process_scheduling(init->process, err) < 0)
        return -1;
    umask(init->process->umask_set ? init->process->umask : 0022);
    return 0;
}

static int load_filter(struct container_init *init, struct error *err)
{
    if (!init->seccomp.present)
        return 0;
    cleanup_close int listener = -1;
    if (seccomp_filter_load(&init->seccomp, &listener, err) < 0)
        return -1;
    if (listener < 0)
        return 0;
    int ret = sync_write(init->sync_fd, SYNC_SECCOMP, listener, NULL);
    if (ret < 0)
        return error_errno(err, -ret, "hand over the seccomp descriptor");
    ret = sync_wait(init, SYNC_SECCOMP, NULL, err);
    if (ret != SYNC_SECCOMP)
        return ret < 0 ? ret : 0;
    /* rune may not look into us (rootless): it has to be sent. */
    ret = sync_send(init->sync_fd, SYNC_SECCOMP, 0, NULL, listener);
    if (ret < 0)
        return error_errno(err, -ret, "hand over the seccomp descriptor");
    return sync_wait_go(init, NULL, err);
}

/* Blocks until `rune start` writes a byte. */
static int pass_gate(struct container_init *init, struct error *err)
{
    if (init->fifo_fd < 0)
        return 0;
    char byte;
    ssize_t n;
    do {
        n = read(init->fifo_fd, &byte, 1);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return error_errno(err, errno, "read the exec fifo");
    close_and_reset(&init->fifo_fd);
    return 0;
}

static int report_ready(struct container_init *init, struct error *err)
{
    prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
    int ret = sync_write(init->sync_fd, SYNC_READY, 0, NULL);
    if (ret < 0)
        return error_errno(err, -ret, "tell rune that the container is ready");
    return 0;
}

/*
 * Who shares our pid namespace and has the privileges that we are about to have could look into us
 * while we have what is the host's: its /proc until the ids are changed, the log, our memory. Until
 * the execve(), which undoes this. After the labels, since our files in /proc become those of the
 * host's root.
 */
static int hide_from_others(struct error *err)
{
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return error_errno(err, errno, "hide from the container");
    return 0;
}

/*
 * At the gate an ordinary user's rune is shut out by this too, and `exec` could not open our
 * namespaces: until the execve() our memory belongs to the user namespace that rune was started in,
 * where its user has no privileges. No descriptor leads to the host's directories any more; what is
 * still the host's is the environment that rune was started with.
 */
static int show_to_user(struct error *err)
{
    for (char **variable = environ; *variable; variable++)
        explicit_bzero(*variable, strlen(*variable));
    if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0)
        return error_errno(err, errno, "be seen by rune");
    return 0;
}

static int drop_privileges(struct container_init *init, const struct container_payload *payload,
                           struct error *err)
{
    const bool hide = !payload;
    const struct oci_process *process = init->process;
    if (process_rlimits(process, payload && payload->limits_inside, err) < 0)
        return -1;
    if (process->no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return error_errno(err, errno, "set no_new_privs");
    if (process_label(init, err) < 0 || (hide && hide_from_others(err) < 0))
        return -1;
    /* Loading needs CAP_SYS_ADMIN or no_new_privs. With the latter it comes last, so the filter
     * need not allow us. */
    if (!process->no_new_privileges && load_filter(init, err) < 0)
        return -1;
    if (process_bounding(process, err) < 0)
        return -1;
    /* As root first, then as the user: either may be the one who can enter it. */
    bool entered = process_cwd(process, NULL) == 0;
    if (process_identity(init, err) < 0)
        return -1;
    if (!entered && process_cwd(process, err) < 0)
        return -1;
    return process_final_caps(process, err);
}

/*
 * What rune had open when it cloned us (the state directory, namespaces, cgroup files) goes before
 * any path of the image is looked up: a magic link of /proc/self/fd leads through a directory's
 * descriptor out of the container, and close-on-exec comes after execve() has found its program
 * (CVE-2024-21626).
 */
static int close_foreign_descriptors(const struct container_init *init, struct error *err)
{
    const int own[] = {init->sync_fd, init->fifo_fd, init->proc_fd, log_fd()};
    /* Of those to preserve, what is close-on-exec came from no caller. */
    for (int fd = 3; fd < 3 + init->preserve_fds; fd++) {
        bool needed = false;
        for (size_t i = 0; i < array_count(own); i++)
            needed |= own[i] == fd;
        int flags = needed ? -1 : fcntl(fd, F_GETFD);
        if (flags >= 0 && (flags & FD_CLOEXEC))
            close(fd);
    }
    int ret = fd_close_except(3 + init->preserve_fds, own, array_count(own));
    return ret < 0 ? error_errno(err, -ret, "close the descriptors of the host") : 0;
}

static void close_own_descriptors(struct container_init *init)
{
    close_and_reset(&init->fifo_fd);
    close_and_reset(&init->console_socket_fd);
    close_and_reset(&init->proc_fd);
}

enum { SIGRTMIN_KERNEL = 32 };

static void restore_signals(void)
{
    /* rune ignores or blocks some; the entrypoint starts as if from a shell. */
    for (int sig = 1; sig < SIGRTMIN_KERNEL; sig++)
        signal(sig, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

int init_finish(struct container_init *init, const struct container_payload *payload,
                struct error *err)
{
    const struct oci_process *process = init->process;
    if (!payload && close_foreign_descriptors(init, err) < 0)
        return -1;
    if (drop_privileges(init, payload, err) < 0)
        return -1;
    if (!payload)
        close_and_reset(&init->proc_fd);
    if (!payload && init->of_ordinary_user && init->fifo_fd >= 0 && show_to_user(err) < 0)
        return -1;
    cleanup_free char *path = NULL;
    if (!(payload && payload->run) && process_find(process, NULL, &path, err) < 0)
        return -1;
    /* A payload that makes itself ready starts threads, which a filter loaded later would not
     * bind. */
    bool starts = payload && payload->ready && !init->is_exec;
    /* A listener is handed over by rune, which is gone after the gate. */
    bool early = starts || init->seccomp.notify;
    if (early && process->no_new_privileges && load_filter(init, err) < 0)
        return -1;
    if (starts && payload->ready(payload->ctx, init, err) < 0)
        return error_wrap(err, "%s", payload->name);
    log_debug(init->is_exec ? "setns_init: about to exec"
                            : "init: closing the pipe to signal completion");
    if (!init->is_exec) {
        if (report_ready(init, err) < 0)
            return -1;
        if (init->fifo_fd >= 0) {
            /* Nobody listens there any more once `create` has returned: stderr is what is left. */
            log_divert(NULL, NULL);
            if (pass_gate(init, err) < 0)
                return -1;
        }
    }
    if (!payload)
        close_own_descriptors(init);
    if (!early && process->no_new_privileges && load_filter(init, err) < 0)
        return -1;
    if (!init->is_exec && run_own_hooks(init, OCI_HOOK_START_CONTAINER, "created", NULL, err) < 0)
        return -1;

    char **env = process_environment(process);
    if (payload && payload->run) {
        log_divert(NULL, NULL);
        close_own_descriptors(init);
        /* The gate is open, and rune gone: a failure from here on goes to stderr. Of an exec, rune
         * waits for container_init_started(). */
        if (!init->is_exec)
            close_and_reset(&init->sync_fd);
        environ = env;
        return payload->run(payload->ctx, init, err);
    }
    restore_signals();
    execve(path, (char **)(uintptr_t)process->args.items, env);
    int code = errno;
    if (code == ENOENT)
        return error_code(err, code, "exec %s: no such file or directory", path);
    return error_errno(err, code, "exec %s", path);
}

int container_init_child(struct container_init *init, const struct container_payload *payload,
                         struct error *err)
{
    init_divert_log(init);
    int ret = set_up(init, payload, err);
    if (ret == 0)
        ret = init_finish(init, payload, err);
    if (ret >= 0)
        return ret;
    log_divert(NULL, NULL);
    if (init->sync_fd >= 0) {
        int sent = sync_write(init->sync_fd, SYNC_ERROR, err->code, error_text(err));
        if (sent == 0)
            return 1;
    }
    log_fatal("%s", error_text(err));
    return 127;
}

void container_init_started(const struct container_init *init)
{
    struct container_init *own = (struct container_init *)(uintptr_t)init;
    if (init->is_exec)
        close_and_reset(&own->sync_fd);
}

const struct oci_process *container_init_process(const struct container_init *init)
{
    return init->process;
}

int container_init_fd(const struct container_init *init, const char *name)
{
    for (size_t i = 0; i < init->fd_count; i++)
        if (strcmp(init->fds[i].name, name) == 0)
            return init->fds[i].fd;
    return -1;
}
