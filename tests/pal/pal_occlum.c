/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Occlum's libocclum-pal.so (0.31) does with version 2 of the API, seen from outside: its own
 * names beside the published ones, an instance directory that must be named and there, an exit
 * value that is a status of wait(2), SIGKILL and SIGTERM only, threads of its own that are
 * interrupted by signal 64. Programs: exit N, die SIGNAL, spin (until it is killed).
 */
#define PAL_VERSION 2
#include "pal.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { INTERRUPT = 64, FIRST_PID = 2, MAX = 64 }; /* /bin/init of the image was process 1 */

static struct {
    int status; /* to end with; -1: spins */
    atomic_int tid, killed_by;
} g_processes[MAX];
static atomic_int g_count = FIRST_PID;
static __thread atomic_int t_interrupted;

PAL_EXPORT int occlum_pal_get_version(void);
int occlum_pal_get_version(void)
{
    return 2;
}

int pal_get_version(void)
{
    return occlum_pal_get_version();
}

static void interrupted(int sig)
{
    t_interrupted = 1;
}

int pal_init(pal_attr_v1_t *attr)
{
    struct stat st;
    struct sigaction action = {.sa_handler = interrupted};
    if (attr->args == NULL || attr->args[0] == '\0' || stat(attr->args, &st) < 0) {
        errno = EINVAL;
        return -1;
    }
    return sigaction(INTERRUPT, &action, NULL);
}

int pal_create_process(pal_create_process_args *args)
{
    const char *name = args->argv[0];
    int value = args->argv[1] != NULL ? (int)strtol(args->argv[1], NULL, 10) : 0;
    int pid = atomic_fetch_add(&g_count, 1);
    if (pid >= MAX) {
        errno = EAGAIN;
        return -1;
    }
    if (strcmp(name, "exit") == 0) {
        g_processes[pid].status = W_EXITCODE(value, 0);
    } else if (strcmp(name, "die") == 0) {
        g_processes[pid].status = value;
    } else if (strcmp(name, "spin") == 0) {
        g_processes[pid].status = -1;
    } else {
        errno = ENOENT;
        return -1;
    }
    *args->pid = pid;
    return 0;
}

int pal_exec(pal_exec_args *args)
{
    *args->exit_value = g_processes[args->pid].status;
    if (g_processes[args->pid].status >= 0)
        return 0;
    g_processes[args->pid].tid = (int)syscall(SYS_gettid);
    while (!t_interrupted) /* a thread that computes hears of a signal by the interruption alone */
        ;
    *args->exit_value = g_processes[args->pid].killed_by;
    return 0;
}

static void interrupt(int pid, int sig)
{
    g_processes[pid].killed_by = sig;
    if (g_processes[pid].tid != 0)
        syscall(SYS_tkill, g_processes[pid].tid, INTERRUPT);
}

int pal_kill(int pid, int sig)
{
    if (sig != SIGKILL && sig != SIGTERM) {
        errno = EINVAL;
        return -1;
    }
    for (int i = FIRST_PID; i < g_count && i < MAX; i++)
        if (pid == -1 || pid == i)
            interrupt(i, sig);
    return 0;
}

int pal_destroy(void)
{
    return 0;
}
