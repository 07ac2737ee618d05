/* SPDX-License-Identifier: Apache-2.0 */
/* Private to pty.c and pty_ioctl.c: a pair of a master and its slave. */
#pragma once

#include "ldisc.h"
#include "tty.h"

#define SIG_TTIN 21
#define SIG_TTOU 22

struct pty {
    struct tty t; /* its references are the pair's */
    struct mutex lock;
    struct ldisc ld;
    struct waitq queue; /* both sides; anything changed */
    u32 master_open, slave_open;
    bool slave_was_open, locked, packet;
    struct termios termios_locked; /* bits and characters that are not to change (TIOCSLCKTRMIOS) */
    struct {
        u16 rows, cols, xpixel, ypixel;
    } size;
};

static inline void pty_wake(struct pty *p)
{
    waitq_wake(&p->queue, UINT32_MAX);
}

/* Of the side that `slave` says; -ENOTTY: none of these. */
long pty_ioctl(struct pty *p, bool slave, u32 cmd, u64 arg);
