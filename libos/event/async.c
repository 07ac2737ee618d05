/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals of files: O_ASYNC (a file is ready: SIGIO), and F_NOTIFY (a directory changed), which is
 * a watch of inotify.c without an instance. Callbacks in the wait queues of LibOS objects raise a
 * file; one LibOS thread asks it what happened and sends the signal, for a callback may not. Files
 * of the host have no such queues: they raise nothing.
 *
 * Locks: g_async_lock (watches come and go, one is asked) < g_watch_lock; g_raised_lock is a leaf.
 */
#include "event.h"
#include "inotify.h"

#define SIGIO         29
#define POLL_IN_CODE  1
#define POLL_OUT_CODE 2
#define POLL_PRI_CODE 5
#define POLL_HUP_CODE 6
#define ENTRIES       4 /* queues that one file has at most */

struct async_entry {
    struct wait_entry entry;
    struct async *async;
};

/* Of one file; as long as that. */
struct async {
    struct file *file;           /* no reference */
    struct inotify_watch *watch; /* by F_NOTIFY; under g_watch_lock */
    int fd;
    bool on, is_raised;      /* on: O_ASYNC */
    struct list_head raised; /* under g_raised_lock */
    u32 count;
    struct async_entry entries[ENTRIES];
};

struct async_table {
    struct poll_table pt;
    struct async *async;
};

static struct mutex g_async_lock;
static struct spinlock g_raised_lock;
static struct list_head g_raised = LIST_HEAD_INIT(g_raised);
static struct waitq g_raised_wait = WAITQ_INIT(g_raised_wait);
static struct thread *g_sender;

/* ---- sending ---- */

static u64 band_of(int code)
{
    switch (code) {
    case POLL_OUT_CODE:
        return POLLOUT | POLLWRNORM | POLLWRBAND;
    case POLL_MSG_CODE:
        return POLLIN | POLLRDNORM | POLLMSG;
    case POLL_PRI_CODE:
        return POLLPRI | POLLRDBAND;
    case POLL_HUP_CODE:
        return POLLHUP | POLLERR;
    default:
        return POLLIN | POLLRDNORM;
    }
}

/* Who named the owner might have sent it a signal. */
static bool may_signal(const struct file_owner *o, const struct cred *c)
{
    return o->euid == 0 || o->euid == c->suid || o->euid == c->uid || o->uid == c->suid ||
           o->uid == c->uid;
}

static void send_to(const struct file_owner *o, const struct siginfo_k *info)
{
    struct process *p, *n;
    struct thread *t;

    mutex_lock(&g_process_lock);
    t = o->type == F_OWNER_TID ? thread_find(o->pid) : NULL;
    if (t != NULL && may_signal(o, &t->process->cred))
        (void)signal_send_thread_locked(t, info, false);
    list_for_each_entry_safe (p, n, &g_processes, all) {
        if (o->type != F_OWNER_TID && (o->type == F_OWNER_PID ? p->pid : p->pgid) == o->pid &&
            may_signal(o, &p->cred))
            (void)signal_send_process_locked(p, info, false);
    }
    mutex_unlock(&g_process_lock);
}

static void async_signal(const struct file_owner *o, int fd, int code)
{
    struct siginfo_k info = {
        .signo = o->sig, .code = code, .band = true, .value = band_of(code), .status = fd};

    if (o->sig == 0)
        info = (struct siginfo_k){.signo = SIGIO, .code = 0x80 /* SI_KERNEL */};
    send_to(o, &info);
}

/* ---- O_ASYNC ---- */

static void raised(struct wait_entry *e)
{
    struct async *a = container_of(e, struct async_entry, entry)->async;

    spin_lock(&g_raised_lock);
    if (!a->is_raised) {
        a->is_raised = true;
        list_add_tail(&a->raised, &g_raised);
    }
    spin_unlock(&g_raised_lock);
    waitq_wake(&g_raised_wait, 1);
}

static struct async *take_raised(void)
{
    struct async *a = NULL;

    spin_lock(&g_raised_lock);
    if (!list_empty(&g_raised)) {
        a = list_first_entry(&g_raised, struct async, raised);
        list_del(&a->raised);
        a->is_raised = false;
    }
    spin_unlock(&g_raised_lock);
    return a;
}

static void tell_ready(struct async *a)
{
    u32 ready = a->file->ops->poll(a->file, NULL);

    if (ready & (POLLIN | POLLRDNORM))
        file_signal(a->file, a->fd, POLL_IN_CODE);
    else if (ready & POLLPRI)
        file_signal(a->file, a->fd, POLL_PRI_CODE);
    else if (ready & (POLLHUP | POLLERR))
        file_signal(a->file, a->fd, POLL_HUP_CODE);
    else if (ready & (POLLOUT | POLLWRNORM))
        file_signal(a->file, a->fd, POLL_OUT_CODE);
}

static __noreturn void sender(void *arg)
{
    struct wait_entry we;
    struct async *a;

    waitq_add(&g_raised_wait, &we);
    for (;;) {
        mutex_lock(&g_async_lock);
        while ((a = take_raised()) != NULL)
            tell_ready(a);
        mutex_unlock(&g_async_lock);
        thread_wait(NO_DEADLINE, false, NULL, 0);
    }
}

static void add_queue(struct poll_table *pt, struct waitq *q)
{
    struct async *a = container_of(pt, struct async_table, pt)->async;

    if (a->count == ENTRIES)
        return;
    a->entries[a->count].async = a;
    waitq_add_fn(q, &a->entries[a->count++].entry, raised);
}

static void stop(struct async *a)
{
    for (u32 i = 0; i < a->count; i++)
        waitq_remove(&a->entries[i].entry);
    a->count = 0;
    a->on = false;
    spin_lock(&g_raised_lock);
    if (a->is_raised)
        list_del(&a->raised);
    a->is_raised = false;
    spin_unlock(&g_raised_lock);
}

/* g_async_lock held. */
static struct async *async_of(struct file *f)
{
    struct async *a = f->async;

    if (a == NULL) {
        a = kzalloc(sizeof(*a));
        if (a == NULL)
            return NULL;
        a->file = f;
        f->async = a;
    }
    return a;
}

static int async_watch(struct file *f, int fd, bool on)
{
    struct async_table t = {.pt = {.wait = add_queue, .events = POLLIN | POLLOUT | POLLPRI}};
    struct async *a;
    int r = 0;

    mutex_lock(&g_async_lock);
    if (g_sender == NULL)
        g_sender = kthread_start(sender, NULL);
    a = g_sender != NULL ? async_of(f) : NULL;
    if (a == NULL) {
        r = -ENOMEM;
    } else if (on && !a->on) {
        a->fd = fd;
        a->on = true;
        t.async = a;
        (void)f->ops->poll(f, &t.pt);
    } else if (!on) {
        stop(a);
    }
    mutex_unlock(&g_async_lock);
    return r;
}

/* ---- F_NOTIFY ---- */

void async_notify_gone(struct inotify_watch *w)
{
    struct async *a = w->dir->async;

    a->watch = NULL;
}

static u32 mask_of(u32 dn)
{
    return (dn & DN_ACCESS ? IN_ACCESS : 0) | (dn & DN_MODIFY ? IN_MODIFY : 0) |
           (dn & DN_CREATE ? IN_CREATE | IN_MOVED_TO : 0) |
           (dn & DN_DELETE ? IN_DELETE | IN_MOVED_FROM : 0) |
           (dn & DN_RENAME ? NOTIFY_RENAMED : 0) | (dn & DN_ATTRIB ? IN_ATTRIB : 0) |
           (dn & DN_MULTISHOT ? 0 : IN_ONESHOT);
}

static void end_notify(struct async *a)
{
    struct inode *i = NULL;

    mutex_lock(&g_watch_lock);
    if (a->watch != NULL)
        i = inotify_watch_remove(a->watch, false);
    mutex_unlock(&g_watch_lock);
    inode_put(i);
}

static int begin_notify(struct async *a, int fd, u32 mask)
{
    struct inotify_watch *w = kzalloc(sizeof(*w));

    if (w == NULL)
        return -ENOMEM;
    mutex_lock(&g_watch_lock);
    if (a->watch != NULL) { /* more of it */
        a->watch->mask |= mask_of(mask);
        a->watch->wd = fd;
        kfree(w);
    } else {
        w->dir = a->file;
        w->inode = inode_get(a->file->inode);
        w->wd = fd;
        w->host_wd = -1;
        w->mask = mask_of(mask);
        a->watch = w;
        inotify_watch_directory(w);
    }
    mutex_unlock(&g_watch_lock);
    return 0;
}

static long async_notify(struct file *f, int fd, u32 mask)
{
    struct async *a;
    long r = 0;

    mutex_lock(&g_async_lock);
    a = async_of(f);
    if (a == NULL) {
        r = -ENOMEM;
    } else if ((mask & ~(u32)DN_MULTISHOT) == 0) {
        end_notify(a);
    } else {
        r = file_set_owner(f, F_OWNER_PID, current_process()->pid, false);
        r = r < 0 ? r : begin_notify(a, fd, mask);
    }
    mutex_unlock(&g_async_lock);
    return r;
}

static void async_release(struct file *f)
{
    struct async *a = f->async;

    mutex_lock(&g_async_lock);
    stop(a);
    end_notify(a);
    mutex_unlock(&g_async_lock);
    f->async = NULL;
    kfree(a);
}

const struct file_async g_event_async = {async_signal, async_watch, async_notify, async_release};
