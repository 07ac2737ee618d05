/* SPDX-License-Identifier: Apache-2.0 */
/* PAL versions 2 and 3 (TOY_VERSION): create, then a blocking exec; kill; version 3 adds the local
 * report. */
#ifndef TOY_VERSION
#define TOY_VERSION 2
#endif
#define PAL_VERSION TOY_VERSION
#include "pal.h"
#include "toy.h"

#include <errno.h>
#include <string.h>

int pal_get_version(void)
{
    return TOY_VERSION;
}

#if TOY_VERSION == 2
int pal_init(pal_attr_v1_t *attr)
{
    toy_log("v2 init args=%s log=%s\n", attr->args, attr->log_level);
    return 0;
}
#else
int pal_init(pal_attr_v3_t *attr)
{
    toy_log("v3 init args=%s log=%s fd=%d addr=%llu\n", attr->attr_v1.args, attr->attr_v1.log_level,
            attr->fd, (unsigned long long)attr->addr);
    return 0;
}

int pal_get_local_report(void *target_info, int target_info_len, void *report, int *report_len)
{
    if (target_info_len != 512 || *report_len < 432)
        return -EINVAL;
    memset(report, 0, 432);
    memcpy(report, target_info, 32); /* so that a test sees that both pointers arrive */
    *report_len = 432;
    return 0;
}
#endif

int pal_create_process(pal_create_process_args *args)
{
    struct toy_spec spec = {.argv = (const char *const *)args->argv,
                            .env = (const char *const *)args->env};
    spec.stdio[0] = args->stdio->stdin_fd;
    spec.stdio[1] = args->stdio->stdout_fd;
    spec.stdio[2] = args->stdio->stderr_fd;
    toy_log("v%d create %s\n", TOY_VERSION, args->path);
    int pid = toy_create(&spec);
    if (pid < 0)
        return pid;
    *args->pid = pid;
    return 0;
}

int pal_exec(pal_exec_args *args)
{
    int status = 0;
    int result = toy_start(args->pid, NULL);
    if (result == 0)
        result = toy_wait(args->pid, &status);
    if (result == 0)
        *args->exit_value = (status & 0x7f) != 0 ? 128 + (status & 0x7f) : status >> 8;
    return result;
}

int pal_kill(int pid, int sig)
{
    return toy_kill(pid, sig);
}

int pal_destroy(void)
{
    toy_log("v%d destroy\n", TOY_VERSION);
    return 0;
}
