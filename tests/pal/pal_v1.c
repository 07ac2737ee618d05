/* SPDX-License-Identifier: Apache-2.0 */
/* PAL version 1: no pal_get_version, one blocking pal_exec, errors as -1 and errno. */
#define PAL_VERSION 1
#include "pal.h"
#include "toy.h"

#include <errno.h>
#include <stddef.h>

int pal_init(pal_attr_v1_t *attr)
{
    toy_log("v1 init args=%s log=%s\n", attr->args, attr->log_level);
    return 0;
}

int pal_exec(char *path, char *argv[], pal_stdio_fds *stdio, int *exit_code)
{
    static const char *const no_env[] = {NULL};
    struct toy_spec spec = {.argv = (const char *const *)argv, .env = no_env};
    spec.stdio[0] = stdio->stdin_fd;
    spec.stdio[1] = stdio->stdout_fd;
    spec.stdio[2] = stdio->stderr_fd;
    toy_log("v1 exec %s\n", path);
    int status = 0, pid = toy_create(&spec);
    int result = pid < 0 ? pid : toy_start(pid, NULL);
    if (result == 0)
        result = toy_wait(pid, &status);
    if (result < 0) {
        errno = -result;
        return -1;
    }
    *exit_code = (status & 0x7f) != 0 ? 128 + (status & 0x7f) : status >> 8;
    return 0;
}

int pal_destroy(void)
{
    toy_log("v1 destroy\n");
    return 0;
}
