/* SPDX-License-Identifier: Apache-2.0 */
/* The agent over the test PAL of version 4, without a container around it. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "enclave/agent.h"
#include "enclave/process.h"

static struct {
    char directory[64];
    int state_dir;
    struct agent *agent;
    struct pal_runtime *runtime;
    uint64_t memory_limit;
} g_test;

/* In init-runelet the event goes through a pipe to the main thread; here the callback may do it
 * itself. */
static void on_event(void *context, const struct pal_event *event)
{
    if (event->type == PAL_EVENT_EXITED)
        agent_process_exited(g_test.agent, event->pid, event->status);
}

static void on_log(void *context, int level, const char *message)
{
}

static int set_up(void **state)
{
    struct error err = ERROR_INIT;
    struct pal_init_args_v4 args = {.size = sizeof(args), .event = on_event, .log = on_log};
    snprintf(g_test.directory, sizeof(g_test.directory), "/tmp/test-agent.XXXXXX");
    if (mkdtemp(g_test.directory) == NULL)
        return -1;
    g_test.state_dir = open(g_test.directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int listener = agent_listen(g_test.state_dir, &err);
    g_test.agent = agent_new(listener);
    if (listener < 0 || pal_runtime_load(TEST_PAL_DIR "/libpal-v4.so", &g_test.runtime, &err) < 0 ||
        pal_runtime_init(g_test.runtime, &args, &err) < 0 ||
        agent_serve(g_test.agent, g_test.runtime, &g_test.memory_limit, &err) < 0) {
        print_error("%s\n", error_text(&err));
        return -1;
    }
    return 0;
}

static int tear_down(void **state)
{
    unlinkat(g_test.state_dir, AGENT_SOCKET, 0);
    return rmdir(g_test.directory);
}

static int connect_agent(void)
{
    struct error err = ERROR_INIT;
    int fd = -1;
    if (agent_connect(g_test.state_dir, &fd, &err) < 0)
        fail_msg("%s", error_text(&err));
    return fd;
}

/* Ask for argv; its output appears in *output. Returns the type of the first answer. */
static enum agent_type exec_process(int socket, const char *const *argv, int *output)
{
    static const char *const env[] = {NULL};
    struct enclave_process process = {.args = {.argv = argv, .env = env, .cwd = "/"}};
    struct buffer blob = BUFFER_INIT;
    struct agent_frame answer;
    struct error err = ERROR_INIT;
    int pipe_fds[2];
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    const int stdio[3] = {null_fd, pipe_fds[1], null_fd};
    json_t *json = enclave_process_encode(&process, &blob);
    assert_int_equal(agent_send(socket, AGENT_EXEC, json, blob.data, blob.size, stdio, 3), 0);
    json_decref(json);
    buffer_release(&blob);
    close(null_fd);
    close(pipe_fds[1]);
    assert_int_equal(agent_recv(socket, &answer, &err), 1);
    enum agent_type type = answer.type;
    agent_frame_release(&answer);
    *output = pipe_fds[0];
    return type;
}

static int wait_exited(int socket)
{
    struct agent_frame frame;
    struct error err = ERROR_INIT;
    assert_int_equal(agent_recv(socket, &frame, &err), 1);
    assert_int_equal(frame.type, AGENT_EXITED);
    int status = (int)json_integer_value(json_object_get(frame.json, "status"));
    agent_frame_release(&frame);
    return status;
}

static void test_exec(void **state)
{
    char text[64] = "";
    int output, socket = connect_agent();
    assert_int_equal(exec_process(socket, (const char *const[]){"echo", "hello", NULL}, &output),
                     AGENT_STARTED);
    assert_int_equal(wait_exited(socket), 0);
    assert_int_equal(read(output, text, sizeof(text)), 6);
    assert_string_equal(text, "hello\n");
    close(output);
    /* The connection may be used again when its process has ended. */
    assert_int_equal(exec_process(socket, (const char *const[]){"exit", "9", NULL}, &output),
                     AGENT_STARTED);
    assert_int_equal(wait_exited(socket), W_EXITCODE(9, 0));
    close(output);
    assert_int_equal(exec_process(socket, (const char *const[]){"nonsense", NULL}, &output),
                     AGENT_ERROR);
    close(output);
    close(socket);
}

static void test_signal(void **state)
{
    int output, socket = connect_agent();
    assert_int_equal(exec_process(socket, (const char *const[]){"sleep", "1000", NULL}, &output),
                     AGENT_STARTED);
    json_t *json = json_pack("{s:i, s:b}", "signal", SIGTERM, "foreground", 1);
    assert_int_equal(agent_send(socket, AGENT_SIGNAL, json, NULL, 0, NULL, 0), 0);
    json_decref(json);
    assert_int_equal(wait_exited(socket), SIGTERM);
    close(output);
    close(socket);
}

static int process_count(void)
{
    struct agent_frame answer = {.fds = {-1, -1, -1}};
    struct error err = ERROR_INIT;
    int socket = connect_agent();
    if (agent_ask(socket, AGENT_STATS, NULL, NULL, 0, &answer, &err) < 0)
        fail_msg("%s", error_text(&err));
    int count = (int)json_integer_value(json_object_get(answer.json, "processes"));
    agent_frame_release(&answer);
    close(socket);
    return count;
}

static void test_client_dies(void **state)
{
    int output, socket = connect_agent();
    assert_int_equal(exec_process(socket, (const char *const[]){"sleep", "1000", NULL}, &output),
                     AGENT_STARTED);
    assert_int_equal(process_count(), 1);
    close(socket);
    char byte;
    assert_int_equal(read(output, &byte, 1), 0); /* its stdout is closed: it is gone */
    close(output);
    for (int i = 0; i < 100 && process_count() != 0; i++)
        nanosleep(&(struct timespec){0, 10000000}, NULL);
    assert_int_equal(process_count(), 0);
}

static void test_questions(void **state)
{
    struct agent_frame answer;
    struct error err = ERROR_INIT;
    unsigned char target[512] = {0}, data[64] = {0};
    int socket = connect_agent();
    assert_int_equal(agent_ask(socket, AGENT_INFO, NULL, NULL, 0, &answer, &err), 0);
    assert_true(json_is_true(json_object_get(answer.json, "simulated")));
    agent_frame_release(&answer);
    assert_int_equal(agent_ask(socket, AGENT_REPORT, NULL, target, sizeof(target), &answer, &err),
                     0);
    assert_int_equal(answer.blob_size, 432);
    agent_frame_release(&answer);
    assert_true(agent_ask(socket, AGENT_REPORT, NULL, target, 5, &answer, &err) < 0);
    agent_frame_release(&answer);
    assert_int_equal(agent_ask(socket, AGENT_QUOTE, NULL, data, sizeof(data), &answer, &err),
                     -ENOTSUP);
    agent_frame_release(&answer);
    assert_true(agent_ask(socket, 77, NULL, NULL, 0, &answer, &err) < 0);
    agent_frame_release(&answer);
    error_release(&err);
    close(socket);
}

/* Only root and who made the container may connect; a path longer than sun_path is no obstacle. */
static void test_socket_mode(void **state)
{
    struct stat st;
    assert_int_equal(fstatat(g_test.state_dir, AGENT_SOCKET, &st, 0), 0);
    assert_int_equal(st.st_mode & 0777, 0600);

    char path[256] = "/tmp/test-agent.", long_name[150];
    memset(long_name, 'x', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = '\0';
    snprintf(path, sizeof(path), "%s/%s", g_test.directory, long_name);
    assert_int_equal(mkdir(path, 0700), 0);
    int dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC), socket = -1;
    struct error err = ERROR_INIT;
    int listener = agent_listen(dir, &err);
    assert_true(listener >= 0);
    assert_int_equal(agent_connect(dir, &socket, &err), 0);
    close(socket);
    unlinkat(dir, AGENT_SOCKET, 0);
    assert_true(agent_connect(dir, &socket, &err) < 0);
    error_release(&err);
    close(listener);
    close(dir);
    rmdir(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exec),        cmocka_unit_test(test_signal),
        cmocka_unit_test(test_questions),   cmocka_unit_test(test_client_dies),
        cmocka_unit_test(test_socket_mode),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
