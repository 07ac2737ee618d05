/* SPDX-License-Identifier: Apache-2.0 */
/*
 * syslog(2), the log of the kernel. The LibOS writes its own to the host's side, so the one that
 * programs read is empty; its settings are remembered.
 */
#include "proc.h"
#include <linux/capability.h>

#define LOG_SIZE 262144

enum {
    LOG_CLOSE,
    LOG_OPEN,
    LOG_READ,
    LOG_READ_ALL,
    LOG_READ_CLEAR,
    LOG_CLEAR,
    LOG_CONSOLE_OFF,
    LOG_CONSOLE_ON,
    LOG_CONSOLE_LEVEL,
    LOG_SIZE_UNREAD,
    LOG_SIZE_BUFFER,
};

long sys_syslog(int type, uaddr buf, int size)
{
    /* dmesg_restrict is off: everybody may read the whole log */
    if (type != LOG_READ_ALL && type != LOG_SIZE_BUFFER && !capable(CAP_SYSLOG) &&
        !capable(CAP_SYS_ADMIN))
        return -EPERM;
    switch (type) {
    case LOG_READ:
    case LOG_READ_ALL:
    case LOG_READ_CLEAR:
        if (!buf.at || size < 0)
            return -EINVAL;
        if (type == LOG_READ && size) /* until there is something to read */
            return thread_wait(NO_DEADLINE, true, NULL, 0);
        return 0;
    case LOG_CONSOLE_LEVEL:
        return size < 1 || size > 8 ? -EINVAL : 0;
    case LOG_SIZE_BUFFER:
        return LOG_SIZE;
    case LOG_CLOSE:
    case LOG_OPEN:
    case LOG_CLEAR:
    case LOG_CONSOLE_OFF:
    case LOG_CONSOLE_ON:
    case LOG_SIZE_UNREAD:
        return 0;
    default:
        return -EINVAL;
    }
}
