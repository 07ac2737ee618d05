/* SPDX-License-Identifier: Apache-2.0 */
/* POSIX message queues: names of their own, messages by priority, one notification at a time. */
#include "net.h"
#include "poll.h"
#include "process.h"
#include <linux/mqueue.h>
#include <linux/time.h>

#define NAME_MAX_        255u
#define QUEUES_MAX       256u
#define MSG_MAX          10
#define MSGSIZE_MAX      8192
#define MSG_LIMIT        65536
#define SIZE_LIMIT       (16 << 20)
#define PRIO_MAX         32768u
#define SIGEV_SIGNAL     0
#define SIGEV_NONE       1
#define SIGEV_THREAD     2
#define SI_MESGQ         (-3)
#define CAP_SYS_RESOURCE 24

struct mq_message {
    struct list_head link;
    u32 prio;
    size_t size;
    u8 data[];
};

/* SIGEV_THREAD: what goes to the netlink socket on which a thread of the C library waits. */
struct note {
    struct file *socket; /* reference; NULL: none */
    struct netlink_note *message;
};

struct mqueue {
    struct refcount refs; /* the name and each open file */
    struct list_head link;
    struct mutex lock;
    char name[NAME_MAX_ + 1];
    u32 mode, uid, gid;
    i64 max_count, max_size, count;
    struct list_head messages; /* highest priority first, old before new */
    u32 receivers;             /* threads that wait: then nobody is notified */
    struct waitq readable, writable;
    struct process *notify; /* reference */
    i32 notify_signal;      /* 0: SIGEV_NONE, SIGEV_THREAD */
    u64 notify_value;
    struct note note; /* SIGEV_THREAD */
};

static struct mutex g_mq_lock;
static struct list_head g_queues = LIST_HEAD_INIT(g_queues);
static u32 g_queue_count;
static const struct file_ops mq_ops;

/* NOTIFY_*, or NOTIFY_NONE: nobody hears of it. The queue has no more of it. */
static void note_end(struct note *n, u8 code)
{
    if (n->socket == NULL)
        return;
    n->message->data[NOTIFY_COOKIE_LEN - 1] = code;
    if (code == NOTIFY_NONE)
        kfree(n->message);
    else
        netlink_note_post(n->socket, n->message);
    file_put(n->socket);
    *n = (struct note){0};
}

static void mq_put(struct mqueue *q)
{
    if (!ref_put(&q->refs))
        return;
    while (!list_empty(&q->messages)) {
        struct mq_message *m = list_first_entry(&q->messages, struct mq_message, link);

        list_del(&m->link);
        kfree(m);
    }
    if (q->notify != NULL)
        process_put(q->notify);
    note_end(&q->note, NOTIFY_NONE);
    kfree(q);
}

static struct mqueue *mq_find(const char *name)
{
    struct mqueue *q;

    list_for_each_entry (q, &g_queues, link) {
        if (strcmp(q->name, name) == 0)
            return q;
    }
    return NULL;
}

static int permission(const struct mqueue *q, u32 access)
{
    const struct cred *c = &current_process()->cred;
    u32 granted = q->mode;

    if (c->fsuid == q->uid)
        granted >>= 6;
    else if (cred_in_group(c, q->gid))
        granted >>= 3;
    return (access & ~granted & 6) == 0 || capable(1) ? 0 : -EACCES; /* CAP_DAC_OVERRIDE */
}

static int name_from_user(char *name, uaddr user)
{
    ssize_t n = strncpy_from_user(name, user, NAME_MAX_ + 1);

    if (n < 0)
        return (int)n;
    if (n == 0)
        return -EINVAL;
    return strchr(name, '/') != NULL ? -EACCES : 0;
}

/* ---- opening ---- */

static int make(const char *name, u32 mode, const struct mq_attr *attr, struct mqueue **out)
{
    const struct cred *c = &current_process()->cred;
    bool more = capable(CAP_SYS_RESOURCE);
    struct mqueue *q;

    if (attr->mq_maxmsg <= 0 || attr->mq_msgsize <= 0 ||
        attr->mq_maxmsg > (more ? MSG_LIMIT : MSG_MAX) ||
        attr->mq_msgsize > (more ? SIZE_LIMIT : MSGSIZE_MAX))
        return -EINVAL;
    if (g_queue_count >= QUEUES_MAX)
        return -ENOSPC;
    q = kzalloc(sizeof(*q));
    if (q == NULL)
        return -ENOMEM;
    ref_init(&q->refs);
    (void)strlcpy(q->name, name, sizeof(q->name));
    q->mode = mode & 0777 & ~current_process()->fs->umask;
    q->uid = c->fsuid;
    q->gid = c->fsgid;
    q->max_count = attr->mq_maxmsg;
    q->max_size = attr->mq_msgsize;
    list_init(&q->messages);
    waitq_init(&q->readable);
    waitq_init(&q->writable);
    list_add(&q->link, &g_queues);
    g_queue_count++;
    *out = q;
    return 0;
}

static int find_or_make(const char *name, u32 flags, u32 mode, const struct mq_attr *attr,
                        struct mqueue **out)
{
    static const u32 access[4] = {4, 2, 6, 6};
    int r = 0;

    mutex_lock(&g_mq_lock);
    *out = mq_find(name);
    if (*out == NULL)
        r = (flags & O_CREAT) != 0 ? make(name, mode, attr, out) : -ENOENT;
    else if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
        r = -EEXIST;
    else
        r = permission(*out, access[flags & O_ACCMODE]);
    if (r == 0)
        ref_get(&(*out)->refs);
    mutex_unlock(&g_mq_lock);
    return r;
}

long sys_mq_open(uaddr user_name, int flags, u32 mode, uaddr attributes)
{
    struct mq_attr attr = {.mq_maxmsg = MSG_MAX, .mq_msgsize = MSGSIZE_MAX};
    char name[NAME_MAX_ + 1];
    struct mqueue *q = NULL;
    struct file *file = NULL;
    int r = name_from_user(name, user_name);

    if (r == 0 && (flags & O_CREAT) != 0 && attributes.at)
        r = get_user(attr, attributes);
    if (r == 0)
        r = find_or_make(name, flags, mode, &attr, &q);
    if (r < 0)
        return r;
    file = file_alloc(&mq_ops, flags & (O_ACCMODE | O_NONBLOCK));
    if (file == NULL) {
        mq_put(q);
        return -ENOMEM;
    }
    file->private = q;
    file->kind = "mqueue";
    return fd_install(file, (flags & O_CLOEXEC) != 0);
}

long sys_mq_unlink(uaddr user_name)
{
    char name[NAME_MAX_ + 1];
    struct mqueue *q;
    int r = name_from_user(name, user_name);

    if (r < 0)
        return r;
    mutex_lock(&g_mq_lock);
    q = mq_find(name);
    if (q == NULL) {
        r = -ENOENT;
    } else if (current_process()->cred.fsuid != q->uid && !capable(3)) { /* CAP_FOWNER */
        r = -EACCES;
    } else {
        list_del(&q->link);
        g_queue_count--;
    }
    mutex_unlock(&g_mq_lock);
    if (r == 0)
        mq_put(q);
    return r;
}

/* ---- messages ---- */

static int queue_get(int fd, int mode, struct file **out)
{
    struct file *f = fd_get(fd);

    if (f == NULL)
        return -EBADF;
    if (f->ops != &mq_ops || (mode != O_RDWR && (f->flags & O_ACCMODE) != O_RDWR &&
                              (f->flags & O_ACCMODE) != (u32)mode)) {
        file_put(f);
        return -EBADF;
    }
    *out = f;
    return 0;
}

static int deadline_from_user(uaddr user, u64 *deadline)
{
    u64 ns;
    int r;

    *deadline = NO_DEADLINE;
    if (!user.at)
        return 0;
    r = ns_from_timespec(user, &ns);
    return r < 0 ? r : clock_deadline(CLOCK_REALTIME, true, ns, deadline);
}

static void insert(struct mqueue *q, struct mq_message *m)
{
    struct list_head *at = q->messages.prev;

    while (at != &q->messages && list_entry(at, struct mq_message, link)->prio < m->prio)
        at = at->prev;
    list_add(&m->link, at);
}

/* The notification is used up by one message that came to an empty queue with nobody waiting. */
static void notify(struct mqueue *q, struct process **who, struct siginfo_k *info,
                   struct note *note)
{
    *who = NULL;
    if (q->notify == NULL || q->count != 1 || q->receivers > 0)
        return;
    *who = q->notify;
    q->notify = NULL;
    *note = q->note;
    q->note = (struct note){0};
    *info = (struct siginfo_k){.signo = q->notify_signal,
                               .code = SI_MESGQ,
                               .pid = current_process()->pid,
                               .uid = current_process()->cred.uid,
                               .value = q->notify_value};
}

static int try_send(struct mqueue *q, struct mq_message *m)
{
    struct process *who = NULL;
    struct siginfo_k info;
    struct note note = {0};
    int r = 0;

    mutex_lock(&q->lock);
    if (q->count >= q->max_count) {
        r = -EAGAIN;
    } else {
        insert(q, m);
        __atomic_store_n(&q->count, q->count + 1, __ATOMIC_RELEASE);
        notify(q, &who, &info, &note);
    }
    mutex_unlock(&q->lock);
    if (r == 0)
        waitq_wake(&q->readable, UINT32_MAX);
    if (who != NULL) {
        if (info.signo != 0)
            (void)signal_send_process(who, &info);
        process_put(who);
    }
    note_end(&note, NOTIFY_WOKENUP);
    return r;
}

static long wait_result(int r)
{
    return r == -EINTR ? -ERESTARTSYS : r;
}

static long send(struct file *f, struct mq_message *m, u64 deadline)
{
    struct mqueue *q = f->private;
    int r;

    while ((r = try_send(q, m)) == -EAGAIN) {
        if ((f->flags & O_NONBLOCK) != 0)
            return r;
        r = wait_event(&q->writable, __atomic_load_n(&q->count, __ATOMIC_ACQUIRE) < q->max_count,
                       deadline);
        if (r < 0)
            return wait_result(r);
    }
    return r;
}

long sys_mq_timedsend(int queue, uaddr message, u64 size, u32 priority, uaddr timeout)
{
    struct mq_message *m;
    struct file *file = NULL;
    u64 deadline;
    long r = deadline_from_user(timeout, &deadline);

    if (r == 0 && priority >= PRIO_MAX)
        r = -EINVAL;
    if (r == 0)
        r = queue_get(queue, O_WRONLY, &file);
    if (r < 0)
        return r;
    m = NULL;
    if (size > (u64)((struct mqueue *)file->private)->max_size)
        r = -EMSGSIZE;
    else if ((m = kmalloc(sizeof(*m) + size)) == NULL)
        r = -ENOMEM;
    else
        r = copy_from_user(m->data, message, size);
    if (r == 0) {
        m->prio = priority;
        m->size = size;
        r = send(file, m, deadline);
    }
    if (r < 0)
        kfree(m);
    file_put(file);
    return r;
}

static struct mq_message *try_receive(struct mqueue *q)
{
    struct mq_message *m = NULL;

    mutex_lock(&q->lock);
    if (!list_empty(&q->messages)) {
        m = list_first_entry(&q->messages, struct mq_message, link);
        list_del(&m->link);
        __atomic_store_n(&q->count, q->count - 1, __ATOMIC_RELEASE);
    }
    mutex_unlock(&q->lock);
    if (m != NULL)
        waitq_wake(&q->writable, UINT32_MAX);
    return m;
}

static long receive(struct file *f, u64 deadline, struct mq_message **out)
{
    struct mqueue *q = f->private;
    int r;

    while ((*out = try_receive(q)) == NULL) {
        if ((f->flags & O_NONBLOCK) != 0)
            return -EAGAIN;
        mutex_lock(&q->lock);
        q->receivers++;
        mutex_unlock(&q->lock);
        r = wait_event(&q->readable, __atomic_load_n(&q->count, __ATOMIC_ACQUIRE) > 0, deadline);
        mutex_lock(&q->lock);
        q->receivers--;
        mutex_unlock(&q->lock);
        if (r < 0)
            return wait_result(r);
    }
    return 0;
}

long sys_mq_timedreceive(int queue, uaddr message, u64 size, uaddr priority, uaddr timeout)
{
    struct mq_message *m = NULL;
    struct file *file = NULL;
    u64 deadline;
    long r = deadline_from_user(timeout, &deadline);

    if (r == 0)
        r = queue_get(queue, O_RDONLY, &file);
    if (r < 0)
        return r;
    if (size < (u64)((struct mqueue *)file->private)->max_size)
        r = -EMSGSIZE;
    if (r == 0)
        r = receive(file, deadline, &m);
    file_put(file);
    if (r < 0)
        return r;
    r = (long)m->size;
    if (copy_to_user(message, m->data, m->size) < 0 ||
        (priority.at && put_user(m->prio, priority) < 0))
        r = -EFAULT;
    kfree(m);
    return r;
}

/* ---- notification and attributes ---- */

struct user_sigevent {
    u64 value;
    i32 signo, notify;
    u8 rest[48];
};

/* Takes the note when it is registered. */
static long set_notify(struct mqueue *q, const struct user_sigevent *event, struct note *note)
{
    struct process *p = current_process(), *old = NULL;
    struct note ended = {0};
    long r = 0;

    mutex_lock(&q->lock);
    if (event == NULL) {
        if (q->notify == p) {
            old = q->notify;
            q->notify = NULL;
            ended = q->note;
            q->note = (struct note){0};
        }
    } else if (q->notify != NULL) {
        r = -EBUSY;
    } else {
        q->notify = process_get(p);
        q->notify_signal = event->notify == SIGEV_SIGNAL ? event->signo : 0;
        q->notify_value = event->value;
        q->note = *note;
        *note = (struct note){0};
    }
    mutex_unlock(&q->lock);
    note_end(&ended, NOTIFY_REMOVED);
    if (old != NULL)
        process_put(old);
    return r;
}

/* The socket is event->signo, and what is sent through it stands at event->value. */
static long note_begin(struct note *n, const struct user_sigevent *event)
{
    n->message = kzalloc(sizeof(*n->message));
    if (n->message == NULL)
        return -ENOMEM;
    long r = copy_from_user(n->message->data, user_at(event->value), NOTIFY_COOKIE_LEN);

    if (r == 0)
        r = netlink_note_socket(event->signo, &n->socket);
    if (r < 0) {
        kfree(n->message);
        *n = (struct note){0};
    }
    return r;
}

long sys_mq_notify(int queue, uaddr user_event)
{
    struct user_sigevent event;
    struct note note = {0};
    struct file *file = NULL;
    long r = 0;

    if (user_event.at) {
        if (get_user(event, user_event) < 0)
            return -EFAULT;
        if (event.notify != SIGEV_SIGNAL && event.notify != SIGEV_NONE &&
            event.notify != SIGEV_THREAD)
            return -EINVAL;
        if (event.notify == SIGEV_SIGNAL && (event.signo < 1 || event.signo > NSIG))
            return -EINVAL;
        if (event.notify == SIGEV_THREAD)
            r = note_begin(&note, &event);
    }
    if (r == 0)
        r = queue_get(queue, O_RDWR, &file);
    if (r == 0) {
        r = set_notify(file->private, user_event.at ? &event : NULL, &note);
        file_put(file);
    }
    note_end(&note, NOTIFY_NONE);
    return r;
}

long sys_mq_getsetattr(int queue, uaddr attributes, uaddr user_old)
{
    struct mq_attr new, old;
    struct mqueue *q;
    struct file *file = NULL;
    long r = 0;

    if (attributes.at && get_user(new, attributes) < 0)
        return -EFAULT;
    if (attributes.at && (new.mq_flags & ~(long)O_NONBLOCK) != 0)
        return -EINVAL;
    r = queue_get(queue, O_RDWR, &file);
    if (r < 0)
        return r;
    q = file->private;
    memset(&old, 0, sizeof(old));
    old.mq_flags = file->flags & O_NONBLOCK;
    old.mq_maxmsg = q->max_count;
    old.mq_msgsize = q->max_size;
    old.mq_curmsgs = q->count;
    if (attributes.at)
        file->flags = (file->flags & ~(u32)O_NONBLOCK) | ((u32) new.mq_flags &O_NONBLOCK);
    file_put(file);
    return user_old.at ? copy_to_user(user_old, &old, sizeof(old)) : 0;
}

/* ---- the file ---- */

static u32 mq_poll(struct file *f, struct poll_table *pt)
{
    struct mqueue *q = f->private;
    i64 count;

    poll_wait(pt, &q->readable);
    poll_wait(pt, &q->writable);
    count = __atomic_load_n(&q->count, __ATOMIC_ACQUIRE);
    return (count > 0 ? POLLIN | POLLRDNORM : 0) |
           (count < q->max_count ? POLLOUT | POLLWRNORM : 0);
}

/* Closing any descriptor of a queue ends the process's notification, as on Linux. */
static void mq_flush(struct file *f)
{
    (void)set_notify(f->private, NULL, NULL);
}

static void mq_release(struct file *f)
{
    mq_put(f->private);
}

static const struct file_ops mq_ops = {
    .poll = mq_poll,
    .flush = mq_flush,
    .release = mq_release,
};
