/* SPDX-License-Identifier: Apache-2.0 */
/* Which signals of the host reach which processes (libos/proc/hostsignal.c). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "deployment.h"
#include "proc.h"

struct list_head g_processes;
struct mutex g_process_lock;
struct deployment g_deployment;

static i32 g_reached[8], g_group;
static u32 g_count;

void mutex_lock(struct mutex *m)
{
}

void mutex_unlock(struct mutex *m)
{
}

bool policy_signal(int sig)
{
    return (g_deployment.policy.signals >> (sig - 1) & 1) != 0;
}

int signal_send_process_locked(struct process *p, const struct siginfo_k *info, bool forced)
{
    g_reached[g_count++] = p->pid;
    return 0;
}

int signal_send_group(i32 pgid, const struct siginfo_k *info)
{
    g_group = pgid;
    return 0;
}

/* Process 1, a helper of it, and one that the host started on a terminal. */
static struct session g_session = {.foreground = 77};
/* And a helper that the LibOS started itself (ratls-proxy). */
static struct process g_p[4] = {{.pid = 1, .report_to_host = true},
                                {.pid = 2},
                                {.pid = 3, .report_to_host = true, .session = &g_session},
                                {.pid = 4, .report_to_host = true, .helper = true}};

static int setup(void **state)
{
    list_init(&g_processes);
    for (size_t i = 0; i < ARRAY_SIZE(g_p); i++)
        list_add_tail(&g_p[i].all, &g_processes);
    g_session.tty = NULL;
    g_session.host_keys = false;
    g_deployment.policy = (struct deployment_policy){
        .signals = SIG_BIT(SIGTERM) | SIG_BIT(SIGKILL) | SIG_BIT(SIGSTOP)};
    return 0;
}

static int send(i32 pid, int sig)
{
    g_count = 0;
    g_group = 0;
    return process_kill_from_host(pid, sig);
}

static void test_listed(void **state)
{
    assert_int_equal(send(1, SIGTERM), 0);
    assert_true(g_count == 1 && g_reached[0] == 1);
    assert_int_equal(send(3, SIGTERM), 0);
    for (int sig = 1; sig <= 64; sig++) {
        if (sig == SIGTERM || sig == SIGKILL || sig == SIGSTOP)
            continue;
        assert_int_equal(send(1, sig), -EPERM);
        assert_int_equal(send(3, sig), -EPERM);
        assert_int_equal(send(-1, sig), -EPERM);
        assert_int_equal(g_count, 0);
    }
    assert_int_equal(send(1, 0), -EINVAL);
    assert_int_equal(send(1, 65), -EINVAL);
}

/* A helper is not to be stopped, killed or woken alone. */
static void test_helpers(void **state)
{
    for (int sig = 1; sig <= 64; sig++)
        assert_int_equal(send(2, sig), -EPERM);
    assert_int_equal(send(-1, SIGTERM), -EPERM);
    assert_int_equal(send(9, SIGTERM), -ESRCH);
    assert_int_equal(g_count, 0);
    assert_int_equal(send(1, SIGKILL), 0);
    assert_int_equal(g_count, 4);
    assert_int_equal(send(1, SIGSTOP), 0);
    assert_int_equal(g_count, 4);
    assert_int_equal(send(-1, SIGKILL), 0);
    assert_int_equal(g_count, 4);
    g_deployment.policy.signal_any = true;
    assert_int_equal(send(2, SIGTERM), 0);
    assert_int_equal(send(2, SIGHUP), -EPERM);
}

static void a_helper_of_the_libos_is_not_the_host_s_to_kill(void **state)
{
    for (int sig = 1; sig <= 64; sig++)
        assert_int_equal(send(4, sig), -EPERM);
    assert_int_equal(process_kill_foreground(4, SIGINT), -EPERM);
    assert_int_equal(g_count, 0);
    g_deployment.policy.signal_any = true;
    assert_int_equal(send(4, SIGTERM), 0);
    assert_int_equal(send(4, SIGHUP), -EPERM);
}

/* What it started the host may end, whatever the list says. */
static void test_own(void **state)
{
    g_deployment.policy.signals = 0;
    assert_int_equal(send(3, SIGKILL), 0);
    assert_true(g_count == 1 && g_reached[0] == 3);
    assert_int_equal(send(1, SIGKILL), -EPERM);
    assert_int_equal(send(-1, SIGKILL), -EPERM);
}

static void test_terminal(void **state)
{
    static const int keys[] = {SIGINT, SIGQUIT, SIGTSTP, SIGWINCH};

    g_deployment.policy.signals = 0;
    assert_int_equal(process_kill_foreground(3, SIGINT), -EPERM); /* no terminal */
    g_session.tty = (struct tty *)&g_session;
    g_session.host_keys = true;
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        g_group = 0;
        assert_int_equal(process_kill_foreground(3, keys[i]), 0);
        assert_int_equal(g_group, 77);
    }
    g_deployment.policy.signals = ~0ull;
    assert_int_equal(process_kill_foreground(3, SIGSEGV), -EPERM);
    assert_int_equal(process_kill_foreground(2, SIGINT), -EPERM);
    assert_int_equal(process_kill_foreground(9, SIGINT), -ESRCH);
}

/* A pty in the enclave is nobody's of outside: the list alone says what reaches its process. */
static void keys_of_another_terminal_are_not_the_host_s(void **state)
{
    static const int keys[] = {SIGINT, SIGQUIT, SIGTSTP, SIGWINCH};

    g_session.tty = (struct tty *)&g_session;
    g_group = 0;
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        assert_int_equal(process_kill_foreground(3, keys[i]), -EPERM);
    g_deployment.policy.signals = SIG_BIT(SIGINT);
    g_count = 0;
    assert_int_equal(process_kill_foreground(3, SIGINT), 0);
    assert_true(g_group == 0 && g_count == 1 && g_reached[0] == 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_listed, setup),
        cmocka_unit_test_setup(test_helpers, setup),
        cmocka_unit_test_setup(a_helper_of_the_libos_is_not_the_host_s_to_kill, setup),
        cmocka_unit_test_setup(test_own, setup),
        cmocka_unit_test_setup(test_terminal, setup),
        cmocka_unit_test_setup(keys_of_another_terminal_are_not_the_host_s, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
