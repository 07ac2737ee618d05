/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linux AIO (io_setup and its kin). Files are memory of the enclave or wait for the host in the
 * call, so what is submitted is done at once and its event queued: as on Linux for files that are
 * not open with O_DIRECT. A context's number is the address of a page of the process, as libaio
 * looks there for the ring of Linux; it finds no such thing, and asks by system call.
 *
 * Contexts belong to a process, which a fork does not copy. Source: io_setup(2) ...
 * io_getevents(2).
 */
#include "event.h"
#include "eventfd.h"
#include "poll.h"
#include "process.h"
#include "mm.h"

#include <linux/aio_abi.h>
#include <linux/mman.h>

#define EVENTS_MAX      65536u /* /proc/sys/fs/aio-max-nr: of all contexts */
#define EVENTS_ABSURD   (0x10000000u / (u32)sizeof(struct io_event)) /* Linux: EINVAL */
#define EVENTS_FEW      32
#define RWF_NOWAIT_FLAG 8

struct aio_context {
    struct list_head link; /* in the process's, under g_lock */
    struct refcount refs;
    u64 id;
    struct mutex lock;
    u32 max, head, count; /* events[(head + i) % max] for i < count */
    u32 underway;         /* places for events that are to come */
    bool gone;
    struct waitq wait;
    struct io_event events[];
};

static struct mutex g_lock;
static u32 g_events; /* of all contexts: /proc/sys/fs/aio-nr */

u32 aio_event_count(void)
{
    return __atomic_load_n(&g_events, __ATOMIC_RELAXED);
}

static bool events_charge(u32 count)
{
    if (__atomic_add_fetch(&g_events, count, __ATOMIC_RELAXED) <= EVENTS_MAX)
        return true;
    __atomic_sub_fetch(&g_events, count, __ATOMIC_RELAXED);
    return false;
}

static void context_put(struct aio_context *c)
{
    if (!ref_put(&c->refs))
        return;
    __atomic_sub_fetch(&g_events, c->max, __ATOMIC_RELAXED);
    kfree(c);
}

static struct aio_context *context_find(u64 id)
{
    struct process *p = current_process();
    struct aio_context *c, *found = NULL;

    mutex_lock(&g_lock);
    for (struct list_head *l = p->aio.next; !found && l && l != &p->aio; l = l->next) {
        c = container_of(l, struct aio_context, link);
        if (c->id == id) {
            ref_get(&c->refs);
            found = c;
        }
    }
    mutex_unlock(&g_lock);
    return found;
}

/* Out of its process: waiters are told, and the list's reference is gone. g_lock held. */
static void context_end_locked(struct aio_context *c)
{
    list_del(&c->link);
    __atomic_store_n(&c->gone, true, __ATOMIC_RELEASE);
    waitq_wake(&c->wait, UINT32_MAX);
    context_put(c);
}

void aio_process_exit(struct process *p)
{
    mutex_lock(&g_lock);
    while (p->aio.next && !list_empty(&p->aio))
        context_end_locked(list_first_entry(&p->aio, struct aio_context, link));
    mutex_unlock(&g_lock);
}

long sys_io_setup(u32 count, uaddr context)
{
    struct process *p = current_process();
    struct aio_context *x;
    u64 old;

    if (get_user(old, context) < 0)
        return -EFAULT;
    if (old || !count || count > EVENTS_ABSURD)
        return -EINVAL;
    if (count > EVENTS_MAX || !events_charge(count))
        return -EAGAIN;
    x = kzalloc(sizeof(*x) + count * sizeof(x->events[0]));
    if (!x) {
        __atomic_sub_fetch(&g_events, count, __ATOMIC_RELAXED);
        return -ENOMEM;
    }
    ref_init(&x->refs);
    waitq_init(&x->wait);
    x->max = count;
    i64 at = mm_map(p->mm, 0, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, NULL,
                    0);
    if (at < 0) {
        context_put(x);
        return at;
    }
    x->id = (u64)at;
    mutex_lock(&g_lock);
    if (!p->aio.next)
        list_init(&p->aio);
    list_add(&x->link, &p->aio);
    mutex_unlock(&g_lock);
    /* From here on another thread may end it: x is no more looked at. */
    if (put_user((u64)at, context) == 0)
        return 0;
    sys_io_destroy((u64)at);
    return -EFAULT;
}

long sys_io_destroy(u64 context)
{
    struct aio_context *x = context_find(context);
    bool mine;

    if (!x)
        return -EINVAL;
    mutex_lock(&g_lock);
    mine = !x->gone;
    if (mine)
        context_end_locked(x);
    mutex_unlock(&g_lock);
    context_put(x);
    if (mine)
        mm_unmap(current_process()->mm, context, PAGE_SIZE);
    return mine ? 0 : -EINVAL;
}

/* ---- submitting ---- */

static long perform(const struct iocb *q)
{
    int fd = (int)q->aio_fildes;
    uaddr buf = user_at(q->aio_buf);
    u64 n = q->aio_nbytes;
    struct file *f = fd_get(fd);
    bool stream = f && f->ops->seek == NULL, ready;
    bool writes = q->aio_lio_opcode == IOCB_CMD_PWRITE || q->aio_lio_opcode == IOCB_CMD_PWRITEV;

    if (!f)
        return -EBADF;
    ready = !(q->aio_rw_flags & RWF_NOWAIT_FLAG) || !f->ops->poll ||
            (f->ops->poll(f, NULL) & (writes ? POLLOUT | POLLERR : POLLIN | POLLHUP));
    file_put(f);
    if (!ready)
        return -EAGAIN;
    switch (q->aio_lio_opcode) {
    case IOCB_CMD_PREAD:
        return stream ? sys_read(fd, buf, n) : sys_pread64(fd, buf, n, q->aio_offset);
    case IOCB_CMD_PWRITE:
        return stream ? sys_write(fd, buf, n) : sys_pwrite64(fd, buf, n, q->aio_offset);
    case IOCB_CMD_PREADV:
        return sys_preadv2(fd, buf, n, stream ? -1 : q->aio_offset, 0, q->aio_rw_flags);
    case IOCB_CMD_PWRITEV:
        return sys_pwritev2(fd, buf, n, stream ? -1 : q->aio_offset, 0, q->aio_rw_flags);
    case IOCB_CMD_FSYNC:
        return sys_fsync(fd);
    case IOCB_CMD_FDSYNC:
        return sys_fdatasync(fd);
    default: /* IOCB_CMD_POLL, and what Linux does not know either */
        return -EINVAL;
    }
}

/* A place for one more event is kept until it is there. */
static bool place_take(struct aio_context *x)
{
    bool room;

    mutex_lock(&x->lock);
    room = x->count + x->underway < x->max;
    x->underway += room;
    mutex_unlock(&x->lock);
    return room;
}

static void place_give(struct aio_context *x)
{
    mutex_lock(&x->lock);
    x->underway--;
    mutex_unlock(&x->lock);
}

static void event_add(struct aio_context *x, const struct iocb *q, u64 user, long result)
{
    mutex_lock(&x->lock);
    x->underway--;
    x->events[(x->head + x->count) % x->max] = (struct io_event){
        .data = q->aio_data, .obj = user, .res = result};
    x->count++;
    mutex_unlock(&x->lock);
    waitq_wake(&x->wait, UINT32_MAX);
}

static long notify_file(const struct iocb *q, struct file **out)
{
    *out = NULL;
    if (!(q->aio_flags & IOCB_FLAG_RESFD))
        return 0;
    *out = fd_get((int)q->aio_resfd);
    if (!*out)
        return -EBADF;
    return file_is_eventfd(*out) ? 0 : -EINVAL;
}

/* An operation in its place: 0 with its event, or what the submitter hears in place of one. */
static long run(struct aio_context *x, const struct iocb *q, u64 user)
{
    long result = perform(q);
    bool unknown = q->aio_lio_opcode > IOCB_CMD_PWRITEV || q->aio_lio_opcode == IOCB_CMD_POLL ||
                   q->aio_lio_opcode == 4 || q->aio_lio_opcode == IOCB_CMD_NOOP;

    if (result <= -ERESTARTSYS && result >= -ERESTART_RESTARTBLOCK)
        result = -EINTR;
    if (result == -EBADF || unknown)
        return result;
    event_add(x, q, user, result);
    return 0;
}

static long submit_one(struct aio_context *x, uaddr user)
{
    struct file *notify = NULL;
    struct iocb q;
    long r = get_user(q, user);
    bool taken;

    if (r == 0 && (q.aio_reserved2 || (q.aio_flags & ~(u32)(IOCB_FLAG_RESFD | IOCB_FLAG_IOPRIO)) ||
                   (i64)q.aio_nbytes < 0))
        r = -EINVAL;
    taken = r == 0 && place_take(x);
    if (r == 0)
        r = taken ? notify_file(&q, &notify) : -EAGAIN;
    if (r == 0 && put_user((u32)0, user_plus(user, offsetof(struct iocb, aio_key))) < 0)
        r = -EFAULT;
    if (r == 0)
        r = run(x, &q, user.at);
    if (r < 0 && taken)
        place_give(x);
    if (r == 0 && notify)
        eventfd_signal(notify);
    if (notify)
        file_put(notify);
    return r;
}

long sys_io_submit(u64 context, long count, uaddr requests)
{
    struct aio_context *x;
    long done = 0, r = 0;

    if (count < 0)
        return -EINVAL;
    x = context_find(context);
    if (!x)
        return -EINVAL;
    for (; done < count && r == 0; done += r == 0) {
        u64 user;

        r = get_user(user, user_plus(requests, (u64)done * sizeof(user)));
        if (r == 0)
            r = submit_one(x, user_at(user));
    }
    context_put(x);
    return done ? done : r;
}

/* Nothing is ever under way. */
long sys_io_cancel(u64 context, uaddr request, uaddr event)
{
    u32 key;

    if (get_user(key, user_plus(request, offsetof(struct iocb, aio_key))) < 0)
        return -EFAULT;
    return -EINVAL;
}

/* ---- events ---- */

static u32 events_take(struct aio_context *x, struct io_event *out, u32 most)
{
    u32 n;

    mutex_lock(&x->lock);
    for (n = 0; n < most && x->count; n++, x->count--) {
        out[n] = x->events[x->head];
        x->head = (x->head + 1) % x->max;
    }
    mutex_unlock(&x->lock);
    return n;
}

static long events_get(u64 id, long least, long most, uaddr to, u64 deadline)
{
    struct aio_context *x = context_find(id);
    struct io_event some[EVENTS_FEW];
    long done = 0, r = 0;

    if (!x)
        return -EINVAL;
    if (least < 0 || most < 0 || least > most)
        r = -EINVAL;
    while (r == 0 && done < most) {
        u32 n = events_take(x, some, (u32)MIN(most - done, EVENTS_FEW));

        if (copy_to_user(user_plus(to, (u64)done * sizeof(some[0])), some, n * sizeof(some[0])) <
            0) {
            r = -EFAULT;
            break;
        }
        done += n;
        if (n)
            continue;
        if (done >= least || deadline == 0 || __atomic_load_n(&x->gone, __ATOMIC_ACQUIRE))
            break;
        r = wait_event(&x->wait,
                       __atomic_load_n(&x->count, __ATOMIC_ACQUIRE) ||
                           __atomic_load_n(&x->gone, __ATOMIC_ACQUIRE),
                       deadline);
    }
    if (done == 0 && __atomic_load_n(&x->gone, __ATOMIC_ACQUIRE) && r == 0 && least)
        r = -EINVAL;
    context_put(x);
    return done ? done : r == -ETIMEDOUT ? 0 : r;
}

long sys_io_getevents(u64 context, long least, long most, uaddr events, uaddr timeout)
{
    u64 deadline;
    int r = deadline_from_timespec(timeout, &deadline);

    return r < 0 ? r : events_get(context, least, most, events, deadline);
}

long sys_io_pgetevents(u64 context, long least, long most, uaddr events, uaddr timeout,
                       uaddr user_mask)
{
    struct {
        u64 mask, size;
    } sig = {0};
    u64 deadline;
    long r = deadline_from_timespec(timeout, &deadline);

    if (r == 0 && user_mask.at && get_user(sig, user_mask) < 0)
        r = -EFAULT;
    if (r == 0)
        r = sigmask_enter(user_at(sig.mask), sig.size);
    if (r < 0)
        return r;
    r = events_get(context, least, most, events, deadline);
    sigmask_leave(r == -EINTR);
    return r == -EINTR && sig.mask ? -ERESTARTNOHAND : r;
}
