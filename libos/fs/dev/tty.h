/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Terminals. A tty is either the slave side of a pty in the enclave (pty.c) or a terminal of the
 * host (hostfile.c). What is common is job control: the session it controls and that session's
 * foreground group (tty.c).
 */
#pragma once

#include "fs_private.h"

#include <asm/termbits.h>

#define TTY_MAJOR_PTS         136u
#define TTY_DEV(major, minor) ((u64)(major) << 8 | ((minor)&0xff) | ((u64)((minor) & ~0xffu) << 12))
#define TTY_DEV_MAJOR(dev)    ((u32)((dev) >> 8 & 0xfff))
#define TTY_DEV_MINOR(dev)    ((u32)(((dev)&0xff) | ((dev) >> 12 & ~0xffull)))

struct tty {
    struct refcount refs;
    u32 index; /* /dev/pts/N */
    u64 id;    /* no other terminal has or had it */
    /* It controls; no reference: tty_session_end() clears it. Under g_tty_lock. */
    struct session *session;
    bool host_keys;     /* the host's, which the tenant deploys as a terminal */
    u32 mode, uid, gid; /* of its node in devpts */
    i64 created;
    int (*open)(struct tty *t,
                struct file *f); /* set f->ops, f->private; takes its own reference */
    void (*hangup)(struct tty *t);
    void (*destroy)(struct tty *t);
};

extern struct mutex g_tty_lock;
struct tty *tty_get(struct tty *t);
void tty_put(struct tty *t);
/* Give it a number and a node in devpts; the node goes with tty_unregister(). */
int tty_register(struct tty *t);
void tty_unregister(struct tty *t);
struct tty *tty_by_index(u32 index); /* +1 or NULL */
/* That the inode is a node of, and not a later one of the same number: +1 or NULL. */
struct tty *tty_of_device(struct inode *i);
/* Mode and owner of its node, as far as `a` has them. */
void tty_setattr(struct tty *t, const struct setattr *a);
struct tty *tty_of_current(void); /* the controlling terminal, +1 or NULL */
/* A session leader without terminal that opens one without O_NOCTTY gets it. */
void tty_opened(struct tty *t, struct file *f);
/* May the current process read (SIGTTIN) or change (SIGTTOU) it now? 0, or -EIO, -ERESTARTSYS after
 * the signal was sent. */
int tty_check(struct tty *t, int sig);
/* TIOCGPGRP, TIOCSPGRP, TIOCGSID, TIOCSCTTY, TIOCNOTTY, TIOCEXCL...; -ENOIOCTLCMD when it is none
 * of them. */
#define ENOIOCTLCMD 515
long tty_ioctl(struct tty *t, struct file *f, u32 cmd, u64 arg);
void tty_signal_foreground(struct tty *t, int sig);
bool tty_foreground_group(struct tty *t, i32 *pgid);
void tty_set_controlling(struct tty *t, struct process *leader);

int ptmx_open(struct inode *i, struct file *f); /* pty.c */
extern u32 g_pts_gid, g_pts_mode;               /* of new nodes: mount options of devpts */
/* The container's terminal, +1, or NULL (hostfile.c). */
struct tty *host_console(void);
