/* SPDX-License-Identifier: Apache-2.0 */
/* Job control of terminals: sessions, foreground groups, SIGTTIN and SIGTTOU. Lock: g_tty_lock,
 * outside of g_process_lock. */
#include "tty.h"

#define SIG_HUP       1
#define SIG_CONT      18
#define SIG_TTIN      21
#define SIG_TTOU      22
#define TTY_MAX       4096u
#define TIOCGDEV_CMD  0x80045432u
#define TIOCEXCL_CMD  0x540cu
#define TIOCNXCL_CMD  0x540du
#define TIOCSCTTY_CMD 0x540eu
#define TIOCGPGRP_CMD 0x540fu
#define TIOCSPGRP_CMD 0x5410u
#define TIOCNOTTY_CMD 0x5422u
#define TIOCGSID_CMD  0x5429u

struct mutex g_tty_lock;
static struct tty *g_ttys[TTY_MAX]; /* registered; no reference of their own */

struct tty *tty_get(struct tty *t)
{
    ref_get(&t->refs);
    return t;
}

void tty_put(struct tty *t)
{
    if (t && ref_put(&t->refs)) {
        tty_unregister(t);
        t->destroy(t);
    }
}

int tty_register(struct tty *t)
{
    int r = -ENOSPC;

    mutex_lock(&g_tty_lock);
    for (u32 k = 0; k < TTY_MAX; k++) {
        if (!g_ttys[k]) {
            g_ttys[k] = t;
            t->index = k;
            t->id = file_new_id();
            t->created = (i64)clock_realtime();
            r = 0;
            break;
        }
    }
    mutex_unlock(&g_tty_lock);
    return r;
}

void tty_unregister(struct tty *t)
{
    mutex_lock(&g_tty_lock);
    if (t->index < TTY_MAX && g_ttys[t->index] == t)
        g_ttys[t->index] = NULL;
    mutex_unlock(&g_tty_lock);
}

struct tty *tty_by_index(u32 index)
{
    struct tty *t;

    mutex_lock(&g_tty_lock);
    t = index < TTY_MAX ? g_ttys[index] : NULL;
    /* A tty whose last reference is going is on its way out of the table. */
    if (t && !ref_get_live(&t->refs))
        t = NULL;
    mutex_unlock(&g_tty_lock);
    return t;
}

void tty_setattr(struct tty *t, const struct setattr *a)
{
    if (a->valid & SETATTR_MODE)
        t->mode = a->mode & 07777;
    if (a->valid & SETATTR_UID)
        t->uid = a->uid;
    if (a->valid & SETATTR_GID)
        t->gid = a->gid;
}

struct tty *tty_of_current(void)
{
    struct process *p = fs_process();
    struct tty *t = NULL;

    mutex_lock(&g_tty_lock);
    if (p && p->session && p->session->tty)
        t = tty_get(p->session->tty);
    mutex_unlock(&g_tty_lock);
    return t;
}

/* g_tty_lock held. The session holds a reference of its terminal. */
static void attach(struct tty *t, struct session *s, i32 foreground)
{
    t->session = s;
    s->tty = tty_get(t);
    s->foreground = foreground;
    s->host_keys = t->host_keys;
}

static bool is_leader(const struct process *p)
{
    return p->session && p->session->sid == p->pid;
}

void tty_set_controlling(struct tty *t, struct process *leader)
{
    mutex_lock(&g_tty_lock);
    if (leader->session && !leader->session->tty && !t->session)
        attach(t, leader->session, leader->pgid);
    mutex_unlock(&g_tty_lock);
}

void tty_opened(struct tty *t, struct file *f)
{
    struct process *p = fs_process();

    if (p && !(f->flags & O_NOCTTY) && is_leader(p))
        tty_set_controlling(t, p);
}

static void send_group(i32 pgid, int sig)
{
    struct siginfo_k info = {.signo = sig, .code = 0x80};

    if (pgid > 0)
        signal_send_group(pgid, &info);
}

static void session_leave(struct session *s, bool hangup)
{
    struct tty *t;
    i32 group = 0;

    mutex_lock(&g_tty_lock);
    t = s->tty;
    if (t) {
        s->tty = NULL;
        if (t->session == s)
            t->session = NULL;
        group = s->foreground;
        s->foreground = 0;
    }
    mutex_unlock(&g_tty_lock);
    if (!t)
        return;
    if (hangup) {
        send_group(group, SIG_HUP);
        send_group(group, SIG_CONT);
    }
    tty_put(t);
}

void tty_session_end(struct session *s)
{
    session_leave(s, true);
}

bool tty_foreground_group(struct tty *t, i32 *pgid)
{
    mutex_lock(&g_tty_lock);
    *pgid = t->session ? t->session->foreground : 0;
    mutex_unlock(&g_tty_lock);
    return *pgid > 0;
}

void tty_signal_foreground(struct tty *t, int sig)
{
    i32 group;

    if (tty_foreground_group(t, &group))
        send_group(group, sig);
}

int tty_check(struct tty *t, int sig)
{
    struct process *p = fs_process();
    bool background, orphaned;

    if (!p || !p->session)
        return 0;
    mutex_lock(&g_tty_lock);
    background = p->session->tty == t && p->session->foreground > 0 &&
                 p->session->foreground != p->pgid;
    mutex_unlock(&g_tty_lock);
    if (likely(!background))
        return 0;
    if (signal_ignored_or_blocked(sig))
        return sig == SIG_TTIN ? -EIO : 0;
    mutex_lock(&g_process_lock);
    orphaned = process_group_orphaned(p->pgid);
    mutex_unlock(&g_process_lock);
    if (orphaned)
        return -EIO;
    send_group(p->pgid, sig);
    return -ERESTARTSYS;
}

static bool group_in_session(i32 pgid, const struct session *s)
{
    struct process *p;
    bool found = false;

    mutex_lock(&g_process_lock);
    list_for_each_entry (p, &g_processes, all) {
        if (p->pgid == pgid) {
            found = p->session == s;
            break;
        }
    }
    mutex_unlock(&g_process_lock);
    return found;
}

static long set_foreground(struct tty *t, u64 arg)
{
    struct process *p = current_process();
    i32 pgid;
    int r;

    if (p->session->tty != t)
        return -ENOTTY;
    r = tty_check(t, SIG_TTOU);
    if (r < 0)
        return r;
    if (get_user(pgid, user_at(arg)) < 0)
        return -EFAULT;
    if (pgid < 0)
        return -EINVAL;
    if (!group_in_session(pgid, p->session))
        return -EPERM;
    mutex_lock(&g_tty_lock);
    if (t->session == p->session)
        t->session->foreground = pgid;
    mutex_unlock(&g_tty_lock);
    return 0;
}

static long set_controlling(struct tty *t, bool steal)
{
    struct process *p = current_process();
    long r = 0;

    mutex_lock(&g_tty_lock);
    if (is_leader(p) && t->session == p->session) {
        r = 0;
    } else if (!is_leader(p) || p->session->tty) {
        r = -EPERM;
    } else if (t->session) {
        if (!steal || !fs_capable(CAP_SYS_ADMIN)) {
            r = -EPERM;
        } else {
            t->session->tty = NULL;
            t->session->foreground = 0;
            t->session = NULL;
            (void)ref_put(&t->refs); /* the former session's; the caller holds one */
            attach(t, p->session, p->pgid);
        }
    } else {
        attach(t, p->session, p->pgid);
    }
    mutex_unlock(&g_tty_lock);
    return r;
}

static long give_up(struct tty *t)
{
    struct process *p = current_process();

    if (p->session->tty != t)
        return -ENOTTY;
    if (is_leader(p))
        session_leave(p->session, true);
    return 0;
}

long tty_ioctl(struct tty *t, struct file *f, u32 cmd, u64 arg)
{
    struct process *p = current_process();
    i32 v = 0;

    switch (cmd) {
    case TIOCGPGRP_CMD:
    case TIOCGSID_CMD:
        mutex_lock(&g_tty_lock);
        if (p->session->tty == t && t->session == p->session)
            v = cmd == TIOCGSID_CMD ? t->session->sid : t->session->foreground;
        else
            v = -1;
        mutex_unlock(&g_tty_lock);
        return v < 0 ? -ENOTTY : put_user(v, user_at(arg));
    case TIOCSPGRP_CMD:
        return set_foreground(t, arg);
    case TIOCSCTTY_CMD:
        return set_controlling(t, arg == 1);
    case TIOCNOTTY_CMD:
        return give_up(t);
    case TIOCEXCL_CMD:
    case TIOCNXCL_CMD:
        return 0;
    case TIOCGDEV_CMD:
        return put_user((u32)TTY_DEV(TTY_MAJOR_PTS, t->index), user_at(arg));
    default:
        return -ENOIOCTLCMD;
    }
}
