/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of becoming a container, and the table that has them in their order. */
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <net/if.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "container/sequence.h"

/* ---- from rune to the container's namespaces ---- */

/* Until it is ready the init must not outlive rune. */
static int die_with_rune(struct setup *s, struct error *err)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
        return error_errno(err, errno, "set the parent death signal");
    return 0;
}

static int enter_cgroup(struct setup *s, struct error *err)
{
    const int status = s->cgroup_status;
    /* A rootless rune may not move a process from its own session into the container's cgroup. */
    bool refused = status == -EACCES || status == -EPERM || status == -ENOENT;
    if (status < 0 && !(refused && s->cgroup_optional))
        return error_errno(err, -status, "enter the container's cgroup");
    return 0;
}

/* While we are who we are: the root of a user namespace may not write it. */
static int set_oom_score(struct setup *s, struct error *err)
{
    return process_oom_score(s->init, err);
}

static int wait_for_rune(struct setup *s, struct error *err)
{
    return sync_wait_go(s->init, NULL, err);
}

/* The ids have to be those of the namespace before anything is made in it. An unmapped 0 is no
 * error as such. */
static int become_root(struct setup *s, struct error *err)
{
    if (setresgid(0, 0, 0) < 0 && errno != EINVAL)
        return error_errno(err, errno, "become group 0 of the user namespace");
    if (setresuid(0, 0, 0) < 0 && errno != EINVAL)
        return error_errno(err, errno, "become user 0 of the user namespace");
    /* Which took the signal away. */
    return s->init->is_exec ? 0 : die_with_rune(s, err);
}

static int make_session(struct setup *s, struct error *err)
{
    return setsid() < 0 ? error_errno(err, errno, "create a session") : 0;
}

static int join_namespaces(struct setup *s, struct error *err)
{
    return spawn_enter(s->spawn, err);
}

int step_become_runelet(struct setup *s, struct error *err)
{
    int fd = init_serialize(s->init, err);
    if (fd < 0)
        return fd;
    char number[16];
    snprintf(number, sizeof(number), "%d", fd);
    static char name[] = "init-runelet", verb[] = "init";
    char *argv[] = {name, verb, number, NULL};
    if (s->init_preload && setenv("LD_PRELOAD", s->init_preload, 1) < 0)
        return error_errno(err, errno, "set LD_PRELOAD");
    execve(s->init_program, argv, environ);
    return error_errno(err, errno, "run %s", s->init_program);
}

static int log_through_rune(struct setup *s, struct error *err)
{
    init_divert_log(s->init);
    return 0;
}

static int prepare_payload(struct setup *s, struct error *err)
{
    const struct container_payload *payload = s->payload;
    if (payload->prepare && payload->prepare(payload->ctx, s->init, err) < 0)
        return error_wrap(err, "%s", payload->name);
    return 0;
}

/* A session keyring of our own, else the container could search the host's (CVE-2016-9962's
 * neighbour). */
static int join_keyring(struct setup *s, struct error *err)
{
    cleanup_free char *name = xasprintf("_ses.%s", s->init->id);
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

static int set_up_loopback(struct setup *s, struct error *err)
{
    return raise_loopback(err);
}

static int set_names(struct setup *s, struct error *err)
{
    const struct oci_config *config = s->init->config;
    if (config->hostname && sethostname(config->hostname, strlen(config->hostname)) < 0)
        return error_errno(err, errno, "set host name %s", config->hostname);
    if (config->domainname && setdomainname(config->domainname, strlen(config->domainname)) < 0)
        return error_errno(err, errno, "set domain name %s", config->domainname);
    return 0;
}

/* ---- the root ---- */

static int prepare_root(struct setup *s, struct error *err)
{
    return rootfs_prepare(s->init, s->payload && s->payload->root_untouched, &s->root_fd, err);
}

static int perform_mounts(struct setup *s, struct error *err)
{
    return mounts_perform(s->init, s->root_fd, err);
}

static int create_devices(struct setup *s, struct error *err)
{
    return devices_create(s->init, s->root_fd, err);
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
static int run_create_hooks(struct setup *s, struct error *err)
{
    struct container_init *init = s->init;
    int ret = sync_send(init->sync_fd, SYNC_HOOKS, 0, NULL, -1);
    if (ret < 0)
        return error_errno(err, -ret, "tell rune about hooks");
    if (sync_wait_go(init, NULL, err) < 0)
        return -1;
    if (fchdir(s->root_fd) < 0)
        return error_errno(err, errno, "enter the root filesystem");
    return run_own_hooks(init, OCI_HOOK_CREATE_CONTAINER, "creating", NULL, err);
}

static int hand_over_terminal(struct container_init *init, int master, struct error *err)
{
    int ret = init->console_socket_fd >= 0 ? console_send(init->console_socket_fd, master)
                                           : sync_send(init->sync_fd, SYNC_TTY, 0, NULL, master);
    close_and_reset(&init->console_socket_fd);
    return ret < 0 ? error_errno(err, -ret, "hand over the terminal") : 0;
}

static int make_terminal(struct setup *s, struct error *err)
{
    cleanup_close int master = -1;
    if (console_open(s->init, s->root_fd, &master, &s->slave, err) < 0)
        return -1;
    if (s->init->config->namespaces[OCI_NS_MOUNT].present &&
        console_bind(s->root_fd, s->slave, err) < 0)
        return -1;
    return hand_over_terminal(s->init, master, err);
}

/* While the root is still writable; that of an enclave is a sealed image, and stays as it is. Where
 * it cannot be made, chdir() says later what is wrong. */
static int make_cwd(struct setup *s, struct error *ignored)
{
    cleanup_error struct error err = ERROR_INIT;
    cleanup_close int fd = path_make_target_in_root(s->root_fd, s->init->process->cwd, true, 0755,
                                                    &err);
    if (fd < 0)
        log_debug("working directory: %s", error_text(&err));
    return 0;
}

static int protect_root(struct setup *s, struct error *err)
{
    return rootfs_protect(s->init, s->root_fd, err);
}

static int switch_root(struct setup *s, struct error *err)
{
    int ret = rootfs_switch(s->init, s->root_fd, err);
    close_and_reset(&s->root_fd);
    return ret;
}

/* net.ipv4.ip_forward -> sys/net/ipv4/ip_forward; a name with slashes has its dots kept
 * (sysctl.d(5)). */
static int set_sysctls(struct setup *s, struct error *err)
{
    const struct container_init *init = s->init;
    for (size_t i = 0; i < init->config->sysctl.count; i++) {
        const struct oci_pair *pair = &init->config->sysctl.items[i];
        cleanup_free char *path = xasprintf("sys/%s", pair->key);
        size_t first = strcspn(pair->key, "./");
        if (pair->key[first] == '.')
            sysctl_swap_separators(path + 4);
        if (proc_write(init->proc_fd, path, pair->value, err) < 0)
            return error_wrap(err, "set sysctl %s", pair->key);
    }
    return 0;
}

/* ---- stdio and the process ---- */

static int attach_terminal(struct setup *s, struct error *err)
{
    int ret = console_attach(s->slave, err);
    close_and_reset(&s->slave);
    return ret;
}

/* A further process finds the container's devpts below its own root. */
static int make_terminal_here(struct setup *s, struct error *err)
{
    cleanup_close int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    cleanup_close int master = -1;
    if (root < 0)
        return error_errno(err, errno, "open /");
    if (console_open(s->init, root, &master, &s->slave, err) < 0)
        return -1;
    return hand_over_terminal(s->init, master, err);
}

static int adopt_stdio(struct setup *s, struct error *err)
{
    return stdio_adopt(s->init->process, err);
}

static int set_personality(struct setup *s, struct error *err)
{
    return personality(s->init->config->personality) < 0
               ? error_errno(err, errno, "set the personality")
               : 0;
}

static int set_scheduling(struct setup *s, struct error *err)
{
    return process_scheduling(s->init->process, err);
}

static int set_umask(struct setup *s, struct error *err)
{
    umask(s->init->process->umask_set ? s->init->process->umask : 0022);
    return 0;
}

static int set_affinity(struct setup *s, struct error *err)
{
    return process_affinity(s->init->process->cpu_affinity_final, err);
}

/* ---- privileges ---- */

/*
 * What rune had open when it cloned us (the state directory, namespaces, cgroup files) goes before
 * any path of the image is looked up: a magic link of /proc/self/fd leads through a directory's
 * descriptor out of the container, and close-on-exec comes after execve() has found its program
 * (CVE-2024-21626).
 */
static int close_foreign_descriptors(struct setup *s, struct error *err)
{
    const struct container_init *init = s->init;
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

static int set_rlimits(struct setup *s, struct error *err)
{
    return process_rlimits(s->init->process, s->payload && s->payload->limits_inside, err);
}

static int set_no_new_privs(struct setup *s, struct error *err)
{
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? error_errno(err, errno, "set no_new_privs")
                                                      : 0;
}

static int set_label(struct setup *s, struct error *err)
{
    return process_label(s->init, err);
}

/*
 * Who shares our pid namespace and has the privileges that we are about to have could look into us
 * while we have what is the host's: its /proc until the ids are changed, the log, our memory. Until
 * the execve(), which undoes this. After the labels, since our files in /proc become those of the
 * host's root.
 */
static int hide_from_others(struct setup *s, struct error *err)
{
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return error_errno(err, errno, "hide from the container");
    return 0;
}

static int load_filter(struct setup *s, struct error *err)
{
    struct container_init *init = s->init;
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

static int drop_bounding(struct setup *s, struct error *err)
{
    return process_bounding(s->init->process, err);
}

/* The directory as root first, then as the user: either may be the one who can enter it. */
static int become_user(struct setup *s, struct error *err)
{
    const struct oci_process *process = s->init->process;
    bool entered = process_cwd(process, NULL) == 0;
    if (process_identity(s->init, err) < 0)
        return -1;
    return entered ? 0 : process_cwd(process, err);
}

static int set_capabilities(struct setup *s, struct error *err)
{
    return process_final_caps(s->init->process, err);
}

static int close_proc(struct setup *s, struct error *err)
{
    close_and_reset(&s->init->proc_fd);
    return 0;
}

/*
 * At the gate an ordinary user's rune is shut out by this too, and `exec` could not open our
 * namespaces: until the execve() our memory belongs to the user namespace that rune was started in,
 * where its user has no privileges. No descriptor leads to the host's directories any more; what is
 * still the host's is the environment that rune was started with.
 */
static int show_to_user(struct setup *s, struct error *err)
{
    for (char **variable = environ; *variable; variable++)
        explicit_bzero(*variable, strlen(*variable));
    if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0)
        return error_errno(err, errno, "be seen by rune");
    return 0;
}

static int find_program(struct setup *s, struct error *err)
{
    return process_find(s->init->process, NULL, &s->program, err);
}

/* ---- ready, the gate, and the end ---- */

static int make_payload_ready(struct setup *s, struct error *err)
{
    const struct container_payload *payload = s->payload;
    if (payload->ready && payload->ready(payload->ctx, s->init, err) < 0)
        return error_wrap(err, "%s", payload->name);
    return 0;
}

static int report_ready(struct setup *s, struct error *err)
{
    log_debug("init: closing the pipe to signal completion");
    prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
    int ret = sync_write(s->init->sync_fd, SYNC_READY, 0, NULL);
    if (ret < 0)
        return error_errno(err, -ret, "tell rune that the container is ready");
    return 0;
}

/* Blocks until `rune start` writes a byte. */
static int pass_gate(struct setup *s, struct error *err)
{
    struct container_init *init = s->init;
    /* Nobody listens there any more once `create` has returned: stderr is what is left. */
    log_divert(NULL, NULL);
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

static int close_own_descriptors(struct setup *s, struct error *err)
{
    close_and_reset(&s->init->fifo_fd);
    close_and_reset(&s->init->console_socket_fd);
    close_and_reset(&s->init->proc_fd);
    return 0;
}

static int run_start_hooks(struct setup *s, struct error *err)
{
    return run_own_hooks(s->init, OCI_HOOK_START_CONTAINER, "created", NULL, err);
}

static int run_payload(struct setup *s, struct error *err)
{
    log_divert(NULL, NULL);
    close_own_descriptors(s, err);
    /* The gate is open, and rune gone: a failure from here on goes to stderr. Of an exec, rune
     * waits for container_init_started(). */
    if (!s->init->is_exec)
        close_and_reset(&s->init->sync_fd);
    environ = process_environment(s->init->process);
    return s->payload->run(s->payload->ctx, s->init, err);
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

static int execute(struct setup *s, struct error *err)
{
    const struct oci_process *process = s->init->process;
    char **env = process_environment(process);
    if (s->init->is_exec)
        log_debug("setns_init: about to exec");
    restore_signals();
    execve(s->program, (char **)(uintptr_t)process->args.items, env);
    int code = errno;
    if (code == ENOENT)
        return error_code(err, code, "exec %s: no such file or directory", s->program);
    return error_errno(err, code, "exec %s", s->program);
}

/* ---- the order ---- */

const struct step container_steps[] = {
    {"die with rune", CONTAINER, die_with_rune},
    {"enter the cgroup", 0, enter_cgroup},
    {"set the OOM score", 0, set_oom_score},
    {"wait until rune has mapped the ids, or systemd has moved us", CONTAINER | WAITS,
     wait_for_rune},
    {"become root of the user namespace", CONTAINER | USER_NAMESPACE, become_root},
    {"make a session", 0, make_session},
    {"join namespaces", 0, join_namespaces},
    {"become root of the user namespace", EXEC | USER_NAMESPACE, become_root},
    {"become init-runelet", CONTAINER | PAYLOAD, step_become_runelet},

    {"log through rune", 0, log_through_rune},
    {"prepare the enclave runtime", CONTAINER | PAYLOAD, prepare_payload},
    {"join a session keyring", CONTAINER | KEYRING, join_keyring},
    {"bring up the loopback interface", CONTAINER | NEW_NETWORK, set_up_loopback},
    {"set host and domain name", CONTAINER | NAMES, set_names},

    {"prepare the root", CONTAINER, prepare_root},
    {"mount", CONTAINER, perform_mounts},
    {"make devices", CONTAINER | MOUNTS, create_devices},
    {"run hooks: prestart, createRuntime, createContainer", CONTAINER | HOOKS, run_create_hooks},
    {"make the terminal", CONTAINER | TERMINAL, make_terminal},
    {"make the working directory", CONTAINER | PROGRAM, make_cwd},
    {"protect the root", CONTAINER, protect_root},
    {"switch the root", CONTAINER, switch_root},
    {"set sysctls", CONTAINER, set_sysctls},

    {"make the terminal", EXEC | TERMINAL, make_terminal_here},
    {"attach the terminal", TERMINAL, attach_terminal},
    {"adopt stdio", CONTAINER | STDIO, adopt_stdio},
    {"set the personality", CONTAINER | PERSONALITY, set_personality},
    {"set scheduling", 0, set_scheduling},
    {"set the umask", 0, set_umask},
    {"set the CPU affinity", EXEC, set_affinity},

    {"close descriptors of the host", PROGRAM, close_foreign_descriptors},
    {"set rlimits", 0, set_rlimits},
    {"set no_new_privs", NO_NEW_PRIVS, set_no_new_privs},
    {"set the security label", 0, set_label},
    /* After the labels, since our files in /proc become those of the host's root. */
    {"hide from the container", PROGRAM, hide_from_others},
    /* Loading needs CAP_SYS_ADMIN or no_new_privs. With the latter it comes last, so the filter
     * need not allow what follows. */
    {"load the seccomp filter", NEW_PRIVS | FILTER, load_filter},
    {"drop the capability bounding set", 0, drop_bounding},
    {"become the user, enter the working directory", 0, become_user},
    {"set capabilities", 0, set_capabilities},
    {"close the host's /proc", PROGRAM, close_proc},
    {"be seen by an ordinary user's rune", CONTAINER | PROGRAM | ORDINARY_USER | GATE,
     show_to_user},
    {"find the program", PROGRAM, find_program},
    {"load the seccomp filter", NO_NEW_PRIVS | FILTER_EARLY, load_filter},
    {"start the enclave", CONTAINER | PAYLOAD, make_payload_ready},

    {"tell rune that all is ready", CONTAINER, report_ready},
    {"wait for rune start", CONTAINER | GATE, pass_gate},
    {"close the set-up's descriptors", PROGRAM, close_own_descriptors},
    {"load the seccomp filter", NO_NEW_PRIVS | FILTER_LATE, load_filter},
    {"run hooks: startContainer", CONTAINER | START_HOOKS, run_start_hooks},
    {"run the program in the enclave", PAYLOAD, run_payload},
    {"execve the program", PROGRAM, execute},
};
const size_t container_step_count = array_count(container_steps);
