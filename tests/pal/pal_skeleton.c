/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the skeletons of Inclavare Containers do with the API of versions 1 to 3 (SKELETON_VERSION),
 * seen from outside: words on stdout, a child for each process that is forked in pal_create_process
 * and waited for in pal_exec, a stderr that is closed as their own. Programs: exit N; sleep N;
 * orphan, which leaves a child that ends after it.
 */
#define PAL_VERSION SKELETON_VERSION
#include "pal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int begin(const pal_attr_v1_t *attr)
{
    /* Both strings are read without a look: these versions never get NULL. */
    printf("init args \"%s\" (%zu) log \"%s\" (%zu)\n", attr->args, strlen(attr->args),
           attr->log_level, strlen(attr->log_level));
    return 0;
}

/* The child's end comes after a moment in which nobody waits for it. */
static pid_t fork_child(char *argv[], int out)
{
    int value = argv[1] != NULL ? (int)strtol(argv[1], NULL, 10) : 0;
    pid_t child = fork();
    if (child != 0)
        return child;
    dprintf(out, "child of %d\n", getppid());
    if (strcmp(argv[0], "sleep") == 0) {
        sleep((unsigned)value);
        _exit(0);
    }
    if (strcmp(argv[0], "orphan") == 0 && fork() == 0) {
        usleep(300000);
        _exit(0);
    }
    _exit(value);
}

/* What comes of a child that somebody else waited for is chance there; here it is 119. */
static int wait_child(pid_t child)
{
    int status = 119 << 8;
    usleep(200000);
    waitpid(child, &status, 0);
    return WEXITSTATUS(status);
}

#if SKELETON_VERSION == 1
int pal_init(pal_attr_v1_t *attr)
{
    return begin(attr);
}

int pal_exec(char *path, char *argv[], pal_stdio_fds *stdio, int *exit_code)
{
    *exit_code = wait_child(fork_child(argv, stdio->stdout_fd));
    return 0;
}
#else
int pal_get_version(void)
{
    return SKELETON_VERSION;
}

#if SKELETON_VERSION == 2
int pal_init(pal_attr_v1_t *attr)
{
    return begin(attr);
}
#else
int pal_init(pal_attr_v3_t *attr)
{
    return begin(&attr->attr_v1);
}

int pal_get_local_report(void *target_info, int target_info_len, void *report, int *report_len)
{
    if (target_info_len != 512 || *report_len < 432)
        return -1;
    memset(report, 'R', 432);
    *report_len = 432;
    return 0;
}
#endif

int pal_create_process(pal_create_process_args *args)
{
    if (strcmp(args->argv[0], "missing") == 0) {
        errno = ENOENT;
        return -1;
    }
    *args->pid = fork_child(args->argv, args->stdio->stdout_fd);
    fclose(fdopen(args->stdio->stderr_fd, "w"));
    return *args->pid < 0 ? -1 : 0;
}

/* The number of the closed stderr has a new owner, which must keep it. */
int pal_exec(pal_exec_args *args)
{
    *args->exit_value = wait_child(args->pid);
    return 0;
}

int pal_kill(int pid, int sig)
{
    return kill(pid, sig);
}
#endif

int pal_destroy(void)
{
    return 0;
}
