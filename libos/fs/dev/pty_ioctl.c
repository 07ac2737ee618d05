/* SPDX-License-Identifier: Apache-2.0 */
/* Pseudo-terminals: the ioctls that both sides have: attributes, window size, flushing. */
#include "pty.h"

#include <asm/ioctls.h>

#define SIG_WINCH 28

static void termios_from2(struct termios *t, const struct termios2 *t2)
{
    t->c_iflag = t2->c_iflag;
    t->c_oflag = t2->c_oflag;
    t->c_cflag = t2->c_cflag;
    t->c_lflag = t2->c_lflag;
    t->c_line = t2->c_line;
    memcpy(t->c_cc, t2->c_cc, sizeof(t->c_cc));
}

/* p->lock held. */
static void change_termios(struct pty *p, struct termios *t)
{
    const struct termios *old = &p->ld.termios, *keep = &p->termios_locked;

    t->c_iflag = (old->c_iflag & keep->c_iflag) | (t->c_iflag & ~keep->c_iflag);
    t->c_oflag = (old->c_oflag & keep->c_oflag) | (t->c_oflag & ~keep->c_oflag);
    t->c_cflag = (old->c_cflag & keep->c_cflag) | (t->c_cflag & ~keep->c_cflag);
    t->c_lflag = (old->c_lflag & keep->c_lflag) | (t->c_lflag & ~keep->c_lflag);
    for (size_t k = 0; k < sizeof(t->c_cc); k++)
        if (keep->c_cc[k])
            t->c_cc[k] = old->c_cc[k];
    ldisc_set_termios(&p->ld, t);
}

static long lock_termios(struct pty *p, bool set, u64 arg)
{
    if (!set)
        return copy_to_user(user_at(arg), &p->termios_locked, sizeof(p->termios_locked));
    if (!fs_capable(CAP_SYS_ADMIN))
        return -EPERM;
    return copy_from_user(&p->termios_locked, user_at(arg), sizeof(p->termios_locked));
}

static long get_termios(struct pty *p, u32 cmd, u64 arg)
{
    struct termios t;
    struct termios2 t2 = {.c_ispeed = 38400, .c_ospeed = 38400};

    mutex_lock(&p->lock);
    t = p->ld.termios;
    mutex_unlock(&p->lock);
    if (cmd == TCGETS)
        return copy_to_user(user_at(arg), &t, sizeof(t));
    t2.c_iflag = t.c_iflag;
    t2.c_oflag = t.c_oflag;
    t2.c_cflag = t.c_cflag;
    t2.c_lflag = t.c_lflag;
    t2.c_line = t.c_line;
    memcpy(t2.c_cc, t.c_cc, sizeof(t.c_cc));
    return copy_to_user(user_at(arg), &t2, sizeof(t2));
}

static long set_termios(struct pty *p, bool slave, u32 cmd, u64 arg)
{
    struct termios t;
    struct termios2 t2;
    bool two = cmd == TCSETS2 || cmd == TCSETSW2 || cmd == TCSETSF2;
    int r = slave ? tty_check(&p->t, SIG_TTOU) : 0;

    if (r < 0)
        return r;
    if (copy_from_user(two ? (void *)&t2 : (void *)&t, user_at(arg), two ? sizeof(t2) : sizeof(t)) <
        0)
        return -EFAULT;
    if (two)
        termios_from2(&t, &t2);
    mutex_lock(&p->lock);
    if (cmd == TCSETSF || cmd == TCSETSF2)
        ldisc_flush_input(&p->ld);
    change_termios(p, &t);
    mutex_unlock(&p->lock);
    pty_wake(p);
    return 0;
}

/* System V's struct termio: the low halves, and the first control characters. */
struct old_termio {
    u16 iflag, oflag, cflag, lflag;
    u8 line, cc[8];
};

static long get_termio(struct pty *p, u64 arg)
{
    struct old_termio o = {0};

    mutex_lock(&p->lock);
    o.iflag = (u16)p->ld.termios.c_iflag;
    o.oflag = (u16)p->ld.termios.c_oflag;
    o.cflag = (u16)p->ld.termios.c_cflag;
    o.lflag = (u16)p->ld.termios.c_lflag;
    o.line = p->ld.termios.c_line;
    memcpy(o.cc, p->ld.termios.c_cc, sizeof(o.cc));
    mutex_unlock(&p->lock);
    return copy_to_user(user_at(arg), &o, sizeof(o));
}

static long set_termio(struct pty *p, bool slave, u32 cmd, u64 arg)
{
    struct old_termio o;
    struct termios t;
    int r = slave ? tty_check(&p->t, SIG_TTOU) : 0;

    if (r < 0)
        return r;
    if (copy_from_user(&o, user_at(arg), sizeof(o)) < 0)
        return -EFAULT;
    mutex_lock(&p->lock);
    t = p->ld.termios;
    t.c_iflag = (t.c_iflag & ~0xffffu) | o.iflag;
    t.c_oflag = (t.c_oflag & ~0xffffu) | o.oflag;
    t.c_cflag = (t.c_cflag & ~0xffffu) | o.cflag;
    t.c_lflag = (t.c_lflag & ~0xffffu) | o.lflag;
    t.c_line = o.line;
    memcpy(t.c_cc, o.cc, sizeof(o.cc));
    if (cmd == TCSETAF)
        ldisc_flush_input(&p->ld);
    change_termios(p, &t);
    mutex_unlock(&p->lock);
    pty_wake(p);
    return 0;
}

static long set_window(struct pty *p, u64 arg)
{
    typeof(p->size) size;
    bool changed;

    if (copy_from_user(&size, user_at(arg), sizeof(size)) < 0)
        return -EFAULT;
    mutex_lock(&p->lock);
    changed = memcmp(&size, &p->size, sizeof(size)) != 0;
    p->size = size;
    mutex_unlock(&p->lock);
    if (changed)
        tty_signal_foreground(&p->t, SIG_WINCH);
    return 0;
}

static long flush_queue(struct pty *p, bool slave, u64 what)
{
    if (what > 2)
        return -EINVAL;
    mutex_lock(&p->lock);
    if ((what == 0 || what == 2) == slave ||
        what == 2) /* TCIFLUSH of the slave, TCOFLUSH of the master */
        ldisc_flush_input(&p->ld);
    if ((what == 1 || what == 2) == slave || what == 2)
        ldisc_flush_output(&p->ld);
    mutex_unlock(&p->lock);
    pty_wake(p);
    return 0;
}

long pty_ioctl(struct pty *p, bool slave, u32 cmd, u64 arg)
{
    switch (cmd) {
    case TCGETS:
    case TCGETS2:
        return get_termios(p, cmd, arg);
    case TCSETS:
    case TCSETSW:
    case TCSETSF:
    case TCSETS2:
    case TCSETSW2:
    case TCSETSF2:
        return set_termios(p, slave, cmd, arg);
    case TCGETA:
        return get_termio(p, arg);
    case TCSETA:
    case TCSETAW:
    case TCSETAF:
        return set_termio(p, slave, cmd, arg);
    case TIOCGLCKTRMIOS:
    case TIOCSLCKTRMIOS:
        return lock_termios(p, cmd == TIOCSLCKTRMIOS, arg);
    case TIOCGSOFTCAR:
        return put_user((i32)((p->ld.termios.c_cflag & CLOCAL) != 0), user_at(arg));
    case TIOCGWINSZ:
        return copy_to_user(user_at(arg), &p->size, sizeof(p->size));
    case TIOCSWINSZ:
        return set_window(p, arg);
    case TCFLSH:
        return flush_queue(p, slave, arg);
    case TCXONC:
        mutex_lock(&p->lock);
        if (arg < 2)
            p->ld.stopped = arg == 0;
        mutex_unlock(&p->lock);
        pty_wake(p);
        return arg > 3 ? -EINVAL : 0;
    case TCSBRK:
    case TCSBRKP:
        return 0;
    case TIOCGETD:
        return put_user((i32)0, user_at(arg));
    default:
        return -ENOTTY;
    }
}
