/* SPDX-License-Identifier: Apache-2.0 */
#include "enclave/proxy.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "enclave/agent.h"
#include "enclave/process.h"
#include "enclave/signals.h"

static int send_exec(int socket, const struct oci_process *oci, struct error *err)
{
    cleanup_enclave_process struct enclave_process process;
    cleanup_buffer struct buffer blob = BUFFER_INIT;
    cleanup_frame struct agent_frame answer = {.fds = {-1, -1, -1}};
    enclave_process_from_oci(oci, &process);
    cleanup_json json_t *json = enclave_process_encode(&process, &blob);
    static const int stdio[3] = {0, 1, 2};
    int result = agent_send(socket, AGENT_EXEC, json, blob.data, blob.size, stdio, 3);
    if (result < 0)
        return error_errno(err, -result, "exec: send the request to the container's agent");
    result = agent_recv(socket, &answer, err);
    if (result == 0)
        return error_set(err, "exec: the container's init has ended");
    if (result < 0)
        return result;
    if (answer.type == AGENT_ERROR) {
        const char *message = "no reason given";
        int64_t code = 0;
        json_get_string(answer.json, "", "message", &message, NULL);
        json_get_int64(answer.json, "", "code", &code, NULL);
        return error_code(err, (int)code, "%s", message);
    }
    return 0;
}

/* Errors are not told: an agent that is gone shows itself at the socket's end. */
static void send_signal(int socket, int sig, bool foreground)
{
    cleanup_json json_t *json = json_pack("{s:i, s:b}", "signal", sig, "foreground", foreground);
    agent_send(socket, AGENT_SIGNAL, json, NULL, 0, NULL, 0);
}

static void send_size(int socket)
{
    struct winsize size;
    if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) < 0)
        return;
    cleanup_json json_t *json = json_pack("{s:i, s:i}", "rows", size.ws_row, "columns",
                                          size.ws_col);
    agent_send(socket, AGENT_RESIZE, json, NULL, 0, NULL, 0);
}

static void pass_signals(int socket, int signal_fd, int fault_fd)
{
    struct signalfd_siginfo info;
    while (read(signal_fd, &info, sizeof(info)) == sizeof(info)) {
        if (info.ssi_signo == SIGWINCH && signal_from_terminal(&info))
            send_size(socket);
        else if (!signal_is_own(&info))
            send_signal(socket, (int)info.ssi_signo, signal_from_terminal(&info));
    }
    int sig;
    while (read(fault_fd, &sig, sizeof(sig)) == sizeof(sig))
        send_signal(socket, sig, false);
}

/* Until the process ends. Returns its wait status; SIGKILL's when the agent is gone. */
static int relay(int socket, int signal_fd, int fault_fd)
{
    struct pollfd fds[] = {{socket, POLLIN, 0}, {signal_fd, POLLIN, 0}, {fault_fd, POLLIN, 0}};
    for (;;) {
        if (poll(fds, array_count(fds), -1) < 0 && errno != EINTR)
            return SIGKILL;
        pass_signals(socket, signal_fd, fault_fd);
        if (fds[0].revents == 0)
            continue;
        cleanup_frame struct agent_frame frame;
        int64_t status = 0;
        if (agent_recv(socket, &frame, NULL) <= 0)
            return SIGKILL;
        if (frame.type == AGENT_EXITED &&
            json_get_int64(frame.json, "", "status", &status, NULL) == 1)
            return (int)status;
    }
}

static int proxy_run(void *ctx, const struct container_init *init, struct error *err)
{
    struct enclave_proxy *proxy = ctx;
    int signal_fd, fault_fd;
    int result = signals_open(&signal_fd, &fault_fd, err);
    if (result == 0)
        result = send_exec(proxy->socket, container_init_process(init), err);
    if (result < 0)
        return result;
    container_init_started(init);
    int status = relay(proxy->socket, signal_fd, fault_fd);
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    signal_die(WTERMSIG(status));
    return 128 + WTERMSIG(status);
}

int enclave_proxy_open(int state_dir, struct enclave_proxy *out, struct error *err)
{
    out->payload = (struct container_payload){
        .name = "exec proxy", .limits_inside = true, .run = proxy_run, .ctx = out};
    return agent_connect(state_dir, &out->socket, err);
}
