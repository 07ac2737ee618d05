/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inotify. The VFS calls notify() (through g_fs_notify, set with the first watch) after something
 * happened; watches hang on inodes, which they keep. One lock for all of it: watches are few,
 * events are short.
 */
#include "inotify.h"
#include <asm/ioctls.h>

#define QUEUE_MAX 16384u
#define NAME_MAX_ 255u
#define SELF      (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT)
#define WATCHABLE (IN_ALL_EVENTS | IN_UNMOUNT | IN_Q_OVERFLOW | IN_IGNORED)
#define KEPT      (WATCHABLE | IN_ONESHOT | IN_EXCL_UNLINK) /* of what a program asks for */

struct event {
    struct list_head link;
    struct inotify_event e; /* len: of the padded name */
    char name[];
};

struct mutex g_watch_lock;
static const struct file_ops inotify_ops;

/* ---- events; g_watch_lock held ---- */

static bool same_event(const struct event *a, const struct event *b)
{
    return a->e.wd == b->e.wd && a->e.mask == b->e.mask && a->e.cookie == b->e.cookie &&
           a->e.len == b->e.len && memcmp(a->name, b->name, a->e.len) == 0;
}

void inotify_event_add(struct inotify *n, i32 wd, u32 mask, u32 cookie, const char *name,
                       size_t len)
{
    size_t room = name != NULL ? (len + 1 + 15) & ~15ul : 0;
    struct event *e;

    if (n->count > QUEUE_MAX)
        return;
    if (n->count == QUEUE_MAX) {
        wd = -1;
        mask = IN_Q_OVERFLOW;
        room = cookie = 0;
    }
    e = kzalloc(sizeof(*e) + room);
    if (e == NULL)
        return;
    e->e = (struct inotify_event){.wd = wd, .mask = mask, .cookie = cookie, .len = (u32)room};
    if (room > 0)
        memcpy(e->name, name, len);
    if (!list_empty(&n->events) && same_event(list_entry(n->events.prev, struct event, link), e)) {
        kfree(e);
        return;
    }
    list_add_tail(&e->link, &n->events);
    __atomic_add_fetch(&n->count, 1, __ATOMIC_RELEASE);
    waitq_wake(&n->readable, UINT32_MAX);
}

struct inode *inotify_watch_remove(struct inotify_watch *w, bool tell)
{
    struct inode *i = w->inode;
    struct inotify_watch *p = i->watches;

    if (p == w) {
        i->watches = w->next_of_inode;
    } else {
        while (p->next_of_inode != w)
            p = p->next_of_inode;
        p->next_of_inode = w->next_of_inode;
    }
    if (w->dir != NULL)
        async_notify_gone(w);
    else
        list_del(&w->of_instance);
    if (tell && w->dir == NULL)
        inotify_event_add(w->owner, w->wd, IN_IGNORED, 0, NULL, 0);
    kfree(w);
    return i;
}

/* Tells the watches of i; those that end with it are removed: how many. */
static u32 tell(struct inode *i, u32 mask, u32 cookie, const char *name, size_t len)
{
    struct inotify_watch *w, *next;
    u32 removed = 0;

    for (w = i->watches; w != NULL; w = next) {
        u32 wanted = w->mask & mask & (IN_ALL_EVENTS | (w->dir != NULL ? NOTIFY_RENAMED : 0));

        next = w->next_of_inode;
        if ((w->mask & mask & IN_EXCL_UNLINK) != 0)
            continue;
        if (w->dir != NULL && wanted != 0) /* F_NOTIFY: nothing but a signal */
            file_signal(w->dir, w->wd, POLL_MSG_CODE);
        else if (wanted != 0)
            inotify_event_add(w->owner, w->wd, mask & ~(IN_EXCL_UNLINK | NOTIFY_RENAMED), cookie,
                              name, len);
        if ((mask & IN_DELETE_SELF) != 0 || (wanted != 0 && (w->mask & IN_ONESHOT) != 0)) {
            (void)inotify_watch_remove(w, true);
            removed++;
        }
    }
    return removed;
}

static void notify(struct inode *i, struct inode *dir, const char *name, size_t len, u32 mask,
                   u32 cookie);

void inotify_watch_directory(struct inotify_watch *w)
{
    w->next_of_inode = w->inode->watches;
    w->inode->watches = w;
    g_fs_notify = notify;
}

/* The VFS's hook. name given: an entry of dir; else i itself. */
static void notify(struct inode *i, struct inode *dir, const char *name, size_t len, u32 mask,
                   u32 cookie)
{
    struct inode *subject = name != NULL ? dir : i;
    u32 removed;

    if (subject == NULL || __atomic_load_n(&subject->watches, __ATOMIC_RELAXED) == NULL)
        return;
    if (i != NULL && (i->mode & S_IFMT) == S_IFDIR && (mask & SELF) == 0)
        mask |= IN_ISDIR;
    mutex_lock(&g_watch_lock);
    removed = tell(subject, mask, cookie, name, MIN(len, (size_t)NAME_MAX_));
    mutex_unlock(&g_watch_lock);
    while (removed-- > 0)
        inode_put(subject);
}

/* ---- the file ---- */

/* Moves whole events that fit; -EINVAL when the first one does not. */
static ssize_t take_events(struct inotify *n, struct uio *io)
{
    ssize_t done = 0, r;

    for (;;) {
        struct event *e = NULL;
        bool fits = false;
        size_t size = 0;

        mutex_lock(&g_watch_lock);
        if (!list_empty(&n->events)) {
            e = list_first_entry(&n->events, struct event, link);
            size = sizeof(e->e) + e->e.len;
            fits = size <= io->left;
            if (fits) {
                list_del(&e->link);
                __atomic_sub_fetch(&n->count, 1, __ATOMIC_RELEASE);
            }
        }
        mutex_unlock(&g_watch_lock);
        if (e == NULL)
            return done > 0 ? done : -EAGAIN;
        if (!fits)
            return done > 0 ? done : -EINVAL;
        r = uio_to(io, &e->e, size);
        kfree(e);
        if (r < 0)
            return done > 0 ? done : r;
        done += r;
    }
}

static ssize_t inotify_read(struct file *f, struct uio *io, u64 *pos)
{
    struct inotify *n = f->private;
    ssize_t r;

    for (;;) {
        inotify_host_drain(n);
        r = take_events(n, io);
        if (r != -EAGAIN || (f->flags & O_NONBLOCK) != 0)
            return r;
        if (hostfd_ok(inotify_host_fd(n))) {
            if (file_wait(f, POLLIN, NO_DEADLINE) < 0)
                return -ERESTARTSYS;
        } else if (wait_event(&n->readable,
                              __atomic_load_n(&n->count, __ATOMIC_ACQUIRE) > 0 ||
                                  hostfd_ok(inotify_host_fd(n)),
                              NO_DEADLINE) < 0)
            return -ERESTARTSYS;
    }
}

static u32 inotify_poll(struct file *f, struct poll_table *pt)
{
    struct inotify *n = f->private;

    u32 outside = 0;

    poll_wait(pt, &n->readable);
    if (hostfd_ok(inotify_host_fd(n)))
        outside = poll_host(pt, inotify_host_fd(n), POLLIN | POLLRDNORM);
    if (__atomic_load_n(&n->count, __ATOMIC_ACQUIRE) > 0)
        outside |= POLLIN | POLLRDNORM;
    return outside;
}

static long inotify_ioctl(struct file *f, u32 cmd, u64 arg)
{
    struct inotify *n = f->private;
    struct event *e;
    i32 bytes = 0;

    if (cmd != FIONREAD)
        return -ENOTTY;
    inotify_host_drain(n);
    mutex_lock(&g_watch_lock);
    list_for_each_entry (e, &n->events, link)
        bytes += (i32)(sizeof(e->e) + e->e.len);
    mutex_unlock(&g_watch_lock);
    return put_user(bytes, user_at(arg));
}

static void inotify_info(struct file *f, struct fdinfo *to)
{
    struct inotify *n = f->private;
    struct inotify_watch *w;

    mutex_lock(&g_watch_lock);
    list_for_each_entry (w, &n->watches, of_instance)
        fdinfo_line(to, "inotify wd:%x ino:%llx sdev:%llx mask:%x ignored_mask:0\n", (u32)w->wd,
                    (unsigned long long)w->inode->ino,
                    (unsigned long long)(w->inode->super ? w->inode->super->dev : 0), w->mask);
    mutex_unlock(&g_watch_lock);
}

static void inotify_release(struct file *f)
{
    struct inotify *n = f->private;

    inotify_host_release(n);
    for (;;) {
        struct inode *i = NULL;

        mutex_lock(&g_watch_lock);
        if (!list_empty(&n->watches))
            i = inotify_watch_remove(
                list_first_entry(&n->watches, struct inotify_watch, of_instance), false);
        mutex_unlock(&g_watch_lock);
        if (i == NULL)
            break;
        inode_put(i);
    }
    while (!list_empty(&n->events)) {
        struct event *e = list_first_entry(&n->events, struct event, link);

        list_del(&e->link);
        kfree(e);
    }
    kfree(n);
}

static const struct file_ops inotify_ops = {
    .read = inotify_read,
    .poll = inotify_poll,
    .ioctl = inotify_ioctl,
    .fdinfo = inotify_info,
    .release = inotify_release,
};

/* ---- system calls ---- */

static long inotify_create(u32 flags)
{
    struct inotify *n;
    struct file *f;

    if ((flags & ~(u32)(O_CLOEXEC | O_NONBLOCK)) != 0)
        return -EINVAL;
    n = kzalloc(sizeof(*n));
    f = n != NULL ? file_alloc(&inotify_ops, O_RDONLY | (flags & O_NONBLOCK)) : NULL;
    if (f == NULL) {
        kfree(n);
        return -ENOMEM;
    }
    list_init(&n->watches);
    list_init(&n->events);
    waitq_init(&n->readable);
    n->host_fd = no_hostfd(-1);
    f->private = n;
    f->kind = "inotify";
    return fd_install(f, (flags & O_CLOEXEC) != 0);
}

long sys_inotify_init(void)
{
    return inotify_create(0);
}

long sys_inotify_init1(int flags)
{
    return inotify_create((u32)flags);
}

static struct inotify_watch *watch_of(struct inotify *n, const struct inode *i)
{
    struct inotify_watch *w = i->watches;

    while (w != NULL && w->owner != n)
        w = w->next_of_inode;
    return w;
}

/* Takes the inode's reference when a watch is made; *taken says so. */
static int watch_set(struct inotify *n, struct inode *i, u32 mask, i32 host_wd, bool *taken)
{
    struct inotify_watch *w = watch_of(n, i);

    *taken = false;
    if (w != NULL) {
        if ((mask & IN_MASK_CREATE) != 0)
            return -EEXIST;
        w->mask = (mask & IN_MASK_ADD) != 0 ? w->mask | (mask & KEPT) : mask & KEPT;
        return w->wd;
    }
    w = kzalloc(sizeof(*w));
    if (w == NULL)
        return -ENOMEM;
    w->owner = n;
    w->inode = i;
    w->mask = mask & KEPT;
    w->wd = ++n->last_wd;
    w->host_wd = host_wd;
    w->next_of_inode = i->watches;
    i->watches = w;
    list_add_tail(&w->of_instance, &n->watches);
    g_fs_notify = notify;
    *taken = true;
    return w->wd;
}

static long watch_path(struct inotify *n, const char *path, u32 mask)
{
    u32 flags = ((mask & IN_DONT_FOLLOW) != 0 ? LOOKUP_NOFOLLOW : 0) |
                ((mask & IN_ONLYDIR) != 0 ? LOOKUP_DIRECTORY : 0);
    struct dentry *d;
    struct inode *i;
    bool taken;
    i32 host_wd = -1;
    long r = path_lookup(AT_FDCWD, path, flags, &d);

    if (r < 0)
        return r;
    i = inode_get(d->inode);
    dentry_put(d);
    r = inode_permission(i, MAY_READ);
    if (r == 0 && i->super != NULL && i->super->untrusted) {
        host_wd = inotify_host_add(n, i, mask);
        r = MIN(host_wd, 0);
    }
    taken = false;
    if (r == 0) {
        mutex_lock(&g_watch_lock);
        r = watch_set(n, i, mask, host_wd, &taken);
        mutex_unlock(&g_watch_lock);
        if (r < 0)
            inotify_host_remove(n, host_wd);
    }
    if (!taken)
        inode_put(i);
    return r;
}

static int inotify_get(int fd, struct file **out)
{
    struct file *f = fd_get(fd);

    if (f == NULL)
        return -EBADF;
    if (f->ops != &inotify_ops) {
        file_put(f);
        return -EINVAL;
    }
    *out = f;
    return 0;
}

long sys_inotify_add_watch(int fd, uaddr user_path, u32 mask)
{
    struct file *file;
    char *path;
    long r;

    if ((mask & WATCHABLE) == 0 ||
        (mask & (IN_MASK_ADD | IN_MASK_CREATE)) == (IN_MASK_ADD | IN_MASK_CREATE))
        return -EINVAL;
    r = inotify_get(fd, &file);
    if (r < 0)
        return r;
    path = kmalloc(PAGE_SIZE);
    r = path == NULL ? -ENOMEM : strncpy_from_user(path, user_path, PAGE_SIZE);
    if (r >= 0)
        r = watch_path(file->private, path, mask);
    kfree(path);
    file_put(file);
    return r;
}

long sys_inotify_rm_watch(int fd, int watch)
{
    struct inode *i = NULL;
    struct inotify *n;
    struct file *file;
    struct inotify_watch *w;
    i32 host_wd = -1;
    long r = inotify_get(fd, &file);

    if (r < 0)
        return r;
    n = file->private;
    mutex_lock(&g_watch_lock);
    list_for_each_entry (w, &n->watches, of_instance) {
        if (w->wd == watch) {
            host_wd = w->host_wd;
            i = inotify_watch_remove(w, true);
            break;
        }
    }
    mutex_unlock(&g_watch_lock);
    inotify_host_remove(n, host_wd);
    if (i != NULL)
        inode_put(i);
    file_put(file);
    return i != NULL ? 0 : -EINVAL;
}
