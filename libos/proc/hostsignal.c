/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals from outside: rune kill, the terminal, rune exec's proxy. The host's word counts as a
 * signal, never as a fault; which signals there are, the deployment says (policy_signal()). They
 * reach process 1 and what the host started itself, for a helper that could be stopped or killed
 * alone would be the host's to switch off. So KILL, STOP and CONT of the container are for all
 * processes at once.
 */
#include "deployment.h"
#include "proc.h"

static bool is_for_all(int sig)
{
    return sig == SIGKILL || sig == SIGSTOP || sig == SIGCONT;
}

static struct process *find_locked(i32 pid)
{
    struct process *p;
    list_for_each_entry (p, &g_processes, all)
        if (p->pid == pid)
            return p;
    return NULL;
}

static bool is_of_host(const struct process *p)
{
    return p->report_to_host && !p->helper;
}

/* May the host name this process at all? NULL: there is none. */
static int check_target_locked(const struct process *p)
{
    if (!p)
        return -ESRCH;
    return p->pid == 1 || is_of_host(p) || g_deployment.policy.signal_any ? 0 : -EPERM;
}

static int send_to_all(const struct siginfo_k *info)
{
    struct process *p, *n;
    int r = -ESRCH;
    mutex_lock(&g_process_lock);
    list_for_each_entry_safe (p, n, &g_processes, all) {
        signal_send_process_locked(p, info, true);
        r = 0;
    }
    mutex_unlock(&g_process_lock);
    return r;
}

static int send_to_one(i32 pid, const struct siginfo_k *info)
{
    mutex_lock(&g_process_lock);
    struct process *p = find_locked(pid);
    int r = check_target_locked(p);
    /* What the host started by exec it may also end. */
    bool own = r == 0 && is_of_host(p) && pid != 1 && info->signo == SIGKILL;
    if (r == 0 && !own && !policy_signal(info->signo))
        r = -EPERM;
    if (r == 0)
        signal_send_process_locked(p, info, true);
    mutex_unlock(&g_process_lock);
    return r;
}

int process_kill_from_host(i32 pid, int sig)
{
    struct siginfo_k info = {.signo = sig, .code = SI_USER};
    if (sig < 1 || sig > NSIG)
        return -EINVAL;
    if (pid == 0)
        return process_kill_foreground(1, sig);
    if (pid != -1 && (pid != 1 || !is_for_all(sig)))
        return send_to_one(pid, &info);
    return is_for_all(sig) && policy_signal(sig) ? send_to_all(&info) : -EPERM;
}

/* What keys and the size of a terminal raise comes with the terminal. */
static bool is_of_terminal(int sig)
{
    return sig == SIGINT || sig == SIGQUIT || sig == SIGTSTP || sig == SIGWINCH;
}

int process_kill_foreground(i32 pid, int sig)
{
    struct siginfo_k info = {.signo = sig, .code = SI_KERNEL};
    if (sig < 1 || sig > NSIG)
        return -EINVAL;
    mutex_lock(&g_process_lock);
    struct process *p = find_locked(pid);
    int r = check_target_locked(p);
    const struct session *s = r == 0 ? p->session : NULL;
    /* A pty of the enclave has no keys outside, nor has what the host alone calls a terminal. */
    i32 group = s && s->tty && s->host_keys ? s->foreground : 0;
    mutex_unlock(&g_process_lock);
    if (r < 0)
        return r;
    if (group <= 0)
        return process_kill_from_host(
            pid, sig); /* no terminal, or it gave it up: all that is left is the process */
    return is_of_terminal(sig) ? signal_send_group(group, &info) : -EPERM;
}
