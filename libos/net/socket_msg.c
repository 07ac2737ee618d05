/* SPDX-License-Identifier: Apache-2.0 */
/* Sending and receiving: messages of user memory, and what travels beside their data. */
#include "socket.h"

#define IOV_INLINE  8
#define IOV_MAX     1024
#define RW_MAX      0x7ffff000ul
#define CONTROL_MAX 8192

#define SIGPIPE 13

struct user_msghdr {
    uaddr name;
    i32 name_len;
    uaddr iov; /* of struct uio_segment */
    u64 iov_len;
    uaddr control;
    u64 control_len;
    u32 flags;
};
struct user_mmsghdr {
    struct user_msghdr hdr;
    u32 len;
};
struct user_cmsghdr {
    u64 len;
    i32 level, type;
};
#define CMSG_ALIGN(n) (((n) + 7) & ~7ul)

/*
 * Descriptors on their way, by user: nobody's RLIMIT_NOFILE counts them, so each user has a limit
 * of them, as in unix(7) (ETOOMANYREFS).
 */
struct in_flight {
    struct in_flight *next;
    u32 uid, count;
};
static struct mutex g_in_flight_lock;
static struct in_flight *g_in_flight; /* whose count is not 0 */

static int in_flight_add(struct scm *scm)
{
    const struct process *p = current_process();
    u64 limit = p->rlimits[LIMIT_NOFILE].soft;
    bool may = capable(24) || capable(21); /* CAP_SYS_RESOURCE, CAP_SYS_ADMIN */
    struct in_flight *f;
    int r = 0;

    mutex_lock(&g_in_flight_lock);
    for (f = g_in_flight; f != NULL && f->uid != p->cred.uid; f = f->next)
        ;
    if (f == NULL) {
        f = kzalloc(sizeof(*f));
        if (f != NULL) {
            f->uid = p->cred.uid;
            f->next = g_in_flight;
            g_in_flight = f;
        }
    }
    if (f == NULL) {
        r = -ENOMEM;
    } else if (f->count > limit && !may) {
        r = -ETOOMANYREFS;
    } else {
        f->count += scm->count;
        scm->in_flight = f;
    }
    mutex_unlock(&g_in_flight_lock);
    return r;
}

static void in_flight_end(struct scm *scm)
{
    struct in_flight **at = &g_in_flight, *f = scm->in_flight;

    mutex_lock(&g_in_flight_lock);
    f->count -= scm->count;
    while (*at != f)
        at = &(*at)->next;
    if (f->count == 0) {
        *at = f->next;
        kfree(f);
    }
    mutex_unlock(&g_in_flight_lock);
    scm->in_flight = NULL;
}

void scm_release(struct scm *scm)
{
    if (scm->in_flight != NULL)
        in_flight_end(scm);
    for (u32 i = 0; i < scm->count; i++)
        file_put(scm->files[i]);
    kfree(scm->files);
    scm->files = NULL;
    scm->count = 0;
}

static bool has_ip_control(const struct socket *s)
{
    return (s->domain == AF_INET || s->domain == AF_INET6) && s->type != SOCK_STREAM;
}

static ssize_t do_send(struct file *f, struct socket_msg *m)
{
    struct socket *s = f->private;
    ssize_t r;

    if ((f->flags & O_NONBLOCK) != 0)
        m->flags |= MSG_DONTWAIT;
    r = s->ops->send(s, m);
    if (r == -EPIPE && (m->flags & MSG_NOSIGNAL) == 0 && s->type != SOCK_DGRAM) {
        struct siginfo_k info = {.signo = SIGPIPE, .pid = current_process()->pid};

        (void)signal_send_thread(current(), &info);
    }
    return r;
}

static ssize_t do_recv(struct file *f, struct socket_msg *m)
{
    struct socket *s = f->private;

    if ((f->flags & O_NONBLOCK) != 0)
        m->flags |= MSG_DONTWAIT;
    if ((m->flags & MSG_ERRQUEUE) != 0) { /* never waits */
        if (!has_ip_control(s))
            return -EAGAIN;
        m->flags |= MSG_DONTWAIT;
    }
    return s->ops->recv(s, m);
}

ssize_t socket_read(struct file *f, struct uio *io, u64 *pos)
{
    struct socket_msg m = {.io = io};
    ssize_t r = do_recv(f, &m);

    scm_release(&m.scm);
    return r;
}

ssize_t socket_write(struct file *f, struct uio *io, u64 *pos)
{
    struct socket_msg m = {.io = io};

    return do_send(f, &m);
}

long sys_sendto(int fd, uaddr buf, u64 size, u32 flags, uaddr address, int address_size)
{
    struct uio_segment segment;
    struct uio io;
    u8 name[ADDRESS_MAX];
    struct socket_msg m = {.io = &io, .flags = (int)flags, .name = name};
    struct file *file;
    long r = socket_get(fd, &file);

    if (r < 0)
        return r;
    if (address.at) {
        r = socket_name_from_user(name, address, address_size);
        m.name_len = (u32)address_size;
    }
    uio_init_user(&io, &segment, buf, MIN(size, RW_MAX));
    if (r == 0)
        r = do_send(file, &m);
    file_put(file);
    return r;
}

long sys_recvfrom(int fd, uaddr buf, u64 size, u32 flags, uaddr address, uaddr address_size)
{
    struct uio_segment segment;
    struct uio io;
    u8 name[ADDRESS_MAX];
    struct socket_msg m = {
        .io = &io, .flags = (int)flags & ~MSG_CMSG_CLOEXEC, .name = address.at ? name : NULL};
    struct file *file;
    long r = socket_get(fd, &file);

    if (r < 0)
        return r;
    uio_init_user(&io, &segment, buf, MIN(size, RW_MAX));
    r = do_recv(file, &m);
    scm_release(&m.scm);
    file_put(file);
    if (r >= 0 && address.at) {
        int bad = socket_name_to_user(name, m.name_len, address, address_size);

        if (bad < 0)
            return bad;
    }
    return r;
}

/* Segments of a message. *memory: what the caller frees (io->segments moves on as data do). */
static int iov_from_user(struct uio *io, struct uio_segment *fast, const struct user_msghdr *h,
                         void **memory)
{
    size_t total = 0;

    *memory = NULL;
    if (h->iov_len > IOV_MAX)
        return -EMSGSIZE;
    io->segments = fast;
    if (h->iov_len > IOV_INLINE) {
        io->segments = *memory = kmalloc(h->iov_len * sizeof(*fast));
        if (io->segments == NULL)
            return -ENOMEM;
    }
    io->count = h->iov_len;
    io->offset = 0;
    io->user = true;
    if (copy_from_user(io->segments, h->iov, h->iov_len * sizeof(*fast)) < 0) {
        kfree(*memory);
        return -EFAULT;
    }
    for (size_t i = 0; i < io->count; i++) {
        if (io->segments[i].size > INT64_MAX) {
            kfree(*memory);
            return -EINVAL;
        }
        io->segments[i].size = MIN(io->segments[i].size, RW_MAX - total);
        total += io->segments[i].size;
    }
    io->left = total;
    return 0;
}

static int scm_add_files(struct scm *scm, const u8 *data, size_t n)
{
    size_t count = n / sizeof(i32);
    i32 fd;

    if (count + scm->count > SCM_FILES_MAX)
        return -EINVAL;
    if (scm->files == NULL) {
        scm->files = kmalloc(SCM_FILES_MAX * sizeof(*scm->files));
        if (scm->files == NULL)
            return -ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        memcpy(&fd, data + i * sizeof(fd), sizeof(fd));
        scm->files[scm->count] = fd_get(fd);
        if (scm->files[scm->count] == NULL)
            return -EBADF;
        scm->count++;
    }
    return 0;
}

/* A process may tell of itself only, unless it may be anyone. */
static int scm_add_cred(struct scm *scm, const u8 *data, size_t n)
{
    const struct cred *c = &current_process()->cred;
    struct ucred u;

    if (n != sizeof(u))
        return -EINVAL;
    memcpy(&u, data, sizeof(u));
    if ((u.pid != current_process()->pid && !capable(21)) || /* CAP_SYS_ADMIN */
        (u.uid != c->uid && u.uid != c->euid && u.uid != c->suid && !capable(7)) || /* CAP_SETUID */
        (u.gid != c->gid && u.gid != c->egid && u.gid != c->sgid && !capable(6)))   /* CAP_SETGID */
        return -EPERM;
    scm->has_cred = true;
    scm->cred = u;
    return 0;
}

static int scm_parse(struct scm *scm, const u8 *control, size_t size)
{
    struct user_cmsghdr c;
    int r = 0;

    for (size_t at = 0; r == 0 && size - at >= sizeof(c); at += CMSG_ALIGN(c.len)) {
        memcpy(&c, control + at, sizeof(c));
        if (c.len < sizeof(c) || c.len > size - at)
            return -EINVAL;
        if (c.level == SOL_SOCKET && c.type == SCM_RIGHTS)
            r = scm_add_files(scm, control + at + sizeof(c), c.len - sizeof(c));
        else if (c.level == SOL_SOCKET && c.type == SCM_CREDENTIALS)
            r = scm_add_cred(scm, control + at + sizeof(c), c.len - sizeof(c));
        else if (c.level == SOL_SOCKET)
            r = -EINVAL;
        if (CMSG_ALIGN(c.len) > size - at)
            break;
    }
    return r;
}

static int scm_from_user(struct scm *scm, const struct user_msghdr *h)
{
    u8 *control;
    int r;

    if (h->control_len > CONTROL_MAX)
        return -ENOBUFS;
    control = kmalloc(h->control_len);
    if (control == NULL)
        return -ENOBUFS;
    r = copy_from_user(control, h->control, h->control_len);
    if (r == 0)
        r = scm_parse(scm, control, h->control_len);
    if (r == 0 && scm->count > 0)
        r = in_flight_add(scm);
    kfree(control);
    return r;
}

/* room: IP_CONTROL_MAX bytes for those of IP. */
static int control_from_user(struct socket_msg *m, const struct socket *s,
                             const struct user_msghdr *h, u8 *room)
{
    int r;

    if (!h->control.at || h->control_len == 0)
        return 0;
    if (s->domain == AF_UNIX)
        return scm_from_user(&m->scm, h);
    if (!has_ip_control(s))
        return 0;
    if (h->control_len > IP_CONTROL_MAX)
        return -ENOBUFS;
    r = copy_from_user(room, h->control, h->control_len);
    if (r == 0)
        r = ip_control_to_send(room, (u32)h->control_len);
    if (r < 0)
        return r;
    m->control = room;
    m->control_len = (u32)r;
    return 0;
}

static long send_one(struct file *f, const struct user_msghdr *h, int flags)
{
    struct uio_segment fast[IOV_INLINE];
    void *memory = NULL;
    struct uio io;
    u8 name[ADDRESS_MAX], control[IP_CONTROL_MAX];
    struct socket_msg m = {.io = &io, .flags = flags, .name = name};
    long r = 0;

    if (h->name.at) {
        r = socket_name_from_user(name, h->name, h->name_len);
        m.name_len = (u32)h->name_len;
    }
    if (r == 0)
        r = iov_from_user(&io, fast, h, &memory);
    if (r < 0)
        return r;
    r = control_from_user(&m, f->private, h, control);
    if (r == 0)
        r = do_send(f, &m);
    scm_release(&m.scm);
    kfree(memory);
    return r;
}

/* ---- control data of a received message ---- */

struct control_out {
    uaddr user;
    u64 room, used;
    int flags;
};

static void control_put(struct control_out *o, int type, const void *data, size_t n)
{
    struct user_cmsghdr c = {.len = sizeof(c) + n, .level = SOL_SOCKET, .type = type};

    if (o->room - o->used < sizeof(c)) {
        o->flags |= MSG_CTRUNC;
        return;
    }
    if (c.len > o->room - o->used) {
        o->flags |= MSG_CTRUNC;
        c.len = o->room - o->used;
    }
    if (copy_to_user(user_plus(o->user, o->used), &c, sizeof(c)) < 0 ||
        copy_to_user(user_plus(o->user, o->used + sizeof(c)), data, c.len - sizeof(c)) < 0)
        return;
    o->used = MIN(o->used + CMSG_ALIGN(c.len), o->room);
}

static void control_put_files(struct control_out *o, struct scm *scm, bool cloexec)
{
    i32 fds[SCM_FILES_MAX];
    u32 fit = 0, done = 0;

    if (o->room - o->used >= sizeof(struct user_cmsghdr) + sizeof(i32))
        fit = (u32)MIN((o->room - o->used - sizeof(struct user_cmsghdr)) / sizeof(i32),
                       (u64)scm->count);
    while (done < fit) {
        int fd = fd_install(file_get(scm->files[done]), cloexec);

        if (fd < 0)
            break;
        fds[done++] = fd;
    }
    if (done < scm->count)
        o->flags |= MSG_CTRUNC;
    if (done > 0)
        control_put(o, SCM_RIGHTS, fds, done * sizeof(i32));
}

static long recv_one(struct file *f, const struct user_msghdr *h, int flags,
                     struct user_msghdr *out)
{
    struct socket *s = f->private;
    struct uio_segment fast[IOV_INLINE];
    void *memory = NULL;
    struct uio io;
    u8 name[ADDRESS_MAX], control[IP_CONTROL_MAX];
    struct socket_msg m = {.io = &io,
                           .flags = flags & ~MSG_CMSG_CLOEXEC,
                           .name = h->name.at ? name : NULL,
                           .scm_wanted = true};
    struct control_out o = {.user = h->control, .room = h->control.at ? h->control_len : 0};
    long r;

    if (has_ip_control(s)) {
        m.control = control;
        m.control_len = (u32)MIN(o.room, (u64)IP_CONTROL_MAX);
    }

    if (h->name.at && h->name_len < 0)
        return -EINVAL;
    r = iov_from_user(&io, fast, h, &memory);
    if (r < 0)
        return r;
    r = do_recv(f, &m);
    kfree(memory);
    if (r >= 0) {
        if (s->pass_cred && m.scm.has_cred)
            control_put(&o, SCM_CREDENTIALS, &m.scm.cred, sizeof(m.scm.cred));
        if (m.scm.count > 0)
            control_put_files(&o, &m.scm, (flags & MSG_CMSG_CLOEXEC) != 0);
        if (m.control != NULL && copy_to_user(o.user, control, m.control_len) == 0)
            o.used = m.control_len;
        *out = *h;
        out->flags = (u32)(m.out_flags | o.flags | (flags & MSG_CMSG_CLOEXEC));
        out->control_len = o.used;
        out->name_len = h->name.at ? (i32)m.name_len : h->name_len;
        if (h->name.at && copy_to_user(h->name, name, MIN((u32)h->name_len, m.name_len)) < 0)
            r = -EFAULT;
    }
    scm_release(&m.scm);
    return r;
}

/* The fields of a msghdr that recvmsg writes. */
static int msghdr_results(uaddr user, const struct user_msghdr *h)
{
    if (put_user(h->name_len, USER_FIELD(user, struct user_msghdr, name_len)) < 0 ||
        put_user(h->control_len, USER_FIELD(user, struct user_msghdr, control_len)) < 0 ||
        put_user(h->flags, USER_FIELD(user, struct user_msghdr, flags)) < 0)
        return -EFAULT;
    return 0;
}

long sys_sendmsg(int fd, uaddr message, u32 flags)
{
    struct user_msghdr h;
    struct file *file;
    long r = socket_get(fd, &file);

    if (r < 0)
        return r;
    r = get_user(h, message);
    if (r == 0)
        r = send_one(file, &h, (int)flags);
    file_put(file);
    return r;
}

long sys_recvmsg(int fd, uaddr message, u32 flags)
{
    struct user_msghdr h, out;
    struct file *file;
    long r = socket_get(fd, &file);

    if (r < 0)
        return r;
    r = get_user(h, message);
    if (r == 0)
        r = recv_one(file, &h, (int)flags, &out);
    if (r >= 0 && msghdr_results(message, &out) < 0)
        r = -EFAULT;
    file_put(file);
    return r;
}

long sys_sendmmsg(int fd, uaddr messages, u32 count, u32 flags)
{
    u32 most = MIN(count, (u32)IOV_MAX), done = 0;
    struct user_msghdr h;
    struct file *file;
    long r = socket_get(fd, &file);

    if (r < 0)
        return r;
    for (; done < most; done++) {
        uaddr one = user_plus(messages, done * sizeof(struct user_mmsghdr));

        r = get_user(h, one);
        if (r == 0)
            r = send_one(file, &h, (int)flags);
        if (r < 0 || put_user((u32)r, USER_FIELD(one, struct user_mmsghdr, len)) < 0)
            break;
    }
    file_put(file);
    return done > 0 || most == 0 ? (long)done : r < 0 ? r : -EFAULT;
}

long sys_recvmmsg(int fd, uaddr messages, u32 count, u32 given, uaddr timeout)
{
    u32 most = MIN(count, (u32)IOV_MAX), done = 0;
    int flags = (int)given & ~MSG_WAITFORONE;
    struct user_msghdr h, out;
    struct file *file = NULL;
    u64 deadline;
    long r = deadline_from_timespec(timeout, &deadline);

    if (r == 0)
        r = socket_get(fd, &file);
    if (r < 0)
        return r;
    for (; done < most; done++) {
        uaddr one = user_plus(messages, done * sizeof(struct user_mmsghdr));

        r = get_user(h, one);
        if (r == 0)
            r = recv_one(file, &h, flags, &out);
        if (r < 0 || msghdr_results(one, &out) < 0 ||
            put_user((u32)r, USER_FIELD(one, struct user_mmsghdr, len)) < 0)
            break;
        if (((int)given & MSG_WAITFORONE) != 0)
            flags |= MSG_DONTWAIT;
        if (deadline != NO_DEADLINE && clock_monotonic() >= deadline) {
            done++;
            break;
        }
    }
    file_put(file);
    return done > 0 || most == 0 ? (long)done : r < 0 ? r : -EFAULT;
}
