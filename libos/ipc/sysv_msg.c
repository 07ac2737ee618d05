/* SPDX-License-Identifier: Apache-2.0 */
/* System V message queues. */
#include "sysv.h"
#include <linux/msg.h>

#define MESSAGE_MAX 8192u
#define QUEUE_MAX   16384u
#ifndef MSG_COPY
#define MSG_COPY 040000
#endif

struct message {
    struct list_head link;
    i64 type;
    size_t size;
    u8 data[];
};
struct msg_queue {
    struct sysv_object o;
    struct list_head messages;
    u64 bytes, count, max_bytes;
    u64 sent, received, changed; /* seconds */
    i32 last_sender, last_receiver;
};

static void msg_destroy(struct sysv_object *o)
{
    struct msg_queue *q = container_of(o, struct msg_queue, o);
    struct message *m, *n;
    list_for_each_entry_safe (m, n, &q->messages, link)
        kfree(m);
    kfree(q);
}

static struct sysv_class g_queues = {
    .limit = "msgmni", .next = "msg_next_id", .destroy = msg_destroy};

static u64 seconds(void)
{
    return clock_realtime() / 1000000000;
}

static struct msg_queue *find(i32 id)
{
    struct sysv_object *o = sysv_find(&g_queues, id);
    return o ? container_of(o, struct msg_queue, o) : NULL;
}

long sys_msgget(int key, u32 flags)
{
    struct sysv_object *o;
    mutex_lock(&g_sysv_lock);
    long r = sysv_get(&g_queues, key, flags, &o);
    if (r == 0 && o) {
        r = o->id;
    } else if (r == 0) {
        struct msg_queue *q = kzalloc(sizeof(*q));
        r = -ENOMEM;
        if (q) {
            list_init(&q->messages);
            q->max_bytes = QUEUE_MAX;
            q->changed = seconds();
            r = sysv_add(&g_queues, &q->o, key, flags);
            if (r < 0)
                kfree(q);
        }
    }
    mutex_unlock(&g_sysv_lock);
    return r;
}

/* Waits, lock held before and after; 0 to look again. */
static long wait_for_change(struct msg_queue *q)
{
    mutex_unlock(&g_sysv_lock);
    int r = thread_wait(NO_DEADLINE, true, NULL, 0);
    mutex_lock(&g_sysv_lock);
    return q->o.removed ? -EIDRM : r == -EINTR ? -ERESTARTNOHAND : 0;
}

static long send_locked(struct msg_queue *q, struct message *m, bool nowait)
{
    struct wait_entry entry;
    long r = 0;
    waitq_add(&q->o.waiters, &entry);
    while (r == 0 && (q->bytes + m->size > q->max_bytes || q->count + 1 > q->max_bytes))
        r = nowait ? -EAGAIN : wait_for_change(q);
    waitq_remove(&entry);
    if (r < 0)
        return r;
    list_add_tail(&m->link, &q->messages);
    q->bytes += m->size;
    q->count++;
    q->sent = seconds();
    q->last_sender = current_process()->pid;
    waitq_wake(&q->o.waiters, UINT32_MAX);
    return 0;
}

long sys_msgsnd(int id, uaddr user_message, u64 size, int flags)
{
    i64 type;
    if (get_user(type, user_message) < 0)
        return -EFAULT;
    if (type < 1 || size > MESSAGE_MAX || id < 0)
        return -EINVAL;
    struct message *m = kmalloc(sizeof(*m) + size);
    if (!m)
        return -ENOMEM;
    m->type = type;
    m->size = size;
    long r = copy_from_user(m->data, user_plus(user_message, 8), size);
    mutex_lock(&g_sysv_lock);
    struct msg_queue *q = find(id);
    if (r == 0 && !q)
        r = -EINVAL;
    if (r == 0 && !sysv_permitted(&q->o, 0200))
        r = -EACCES;
    if (r == 0) {
        ref_get(&q->o.refs);
        r = send_locked(q, m, flags & IPC_NOWAIT);
        sysv_put(&g_queues, &q->o);
    }
    mutex_unlock(&g_sysv_lock);
    if (r < 0)
        kfree(m);
    return r;
}

static struct message *choose(struct msg_queue *q, i64 type, u32 flags)
{
    struct message *m, *best = NULL;
    i64 n = 0;
    list_for_each_entry (m, &q->messages, link) {
        if (flags & MSG_COPY) {
            if (n++ == type)
                return m;
        } else if (type == 0) {
            return m;
        } else if (type > 0) {
            if ((flags & MSG_EXCEPT) ? m->type != type : m->type == type)
                return m;
        } else if (m->type <= (type == INT64_MIN ? INT64_MAX : -type) &&
                   (!best || m->type < best->type)) {
            best = m;
        }
    }
    return best;
}

static long receive_locked(struct msg_queue *q, i64 type, u64 size, u32 flags, struct message **out)
{
    struct wait_entry entry;
    struct message *m;
    long r = 0;
    waitq_add(&q->o.waiters, &entry);
    while (!(m = choose(q, type, flags)) && r == 0)
        r = (flags & IPC_NOWAIT) ? -ENOMSG : wait_for_change(q);
    waitq_remove(&entry);
    if (!m)
        return r;
    if (m->size > size && !(flags & MSG_NOERROR))
        return -E2BIG;
    if (flags & MSG_COPY) {
        *out = kmalloc(sizeof(*m) + m->size);
        if (!*out)
            return -ENOMEM;
        memcpy(*out, m, sizeof(*m) + m->size);
        return 0;
    }
    list_del(&m->link);
    q->bytes -= m->size;
    q->count--;
    q->received = seconds();
    q->last_receiver = current_process()->pid;
    waitq_wake(&q->o.waiters, UINT32_MAX);
    *out = m;
    return 0;
}

long sys_msgrcv(int id, uaddr user_message, u64 size, long type, int flags)
{
    struct message *m = NULL;
    if ((i64)size < 0 || id < 0)
        return -EINVAL;
    if ((flags & MSG_COPY) && ((flags & MSG_EXCEPT) || !(flags & IPC_NOWAIT)))
        return -EINVAL;
    mutex_lock(&g_sysv_lock);
    struct msg_queue *q = find(id);
    long r = !q ? -EINVAL : sysv_permitted(&q->o, 0400) ? 0 : -EACCES;
    if (r == 0) {
        ref_get(&q->o.refs);
        r = receive_locked(q, type, size, flags, &m);
        sysv_put(&g_queues, &q->o);
    }
    mutex_unlock(&g_sysv_lock);
    if (!m)
        return r;
    size = MIN(size, m->size);
    r = put_user(m->type, user_message) < 0 ||
                copy_to_user(user_plus(user_message, 8), m->data, size) < 0
            ? -EFAULT
            : (long)size;
    kfree(m);
    return r;
}

static void stat_fill(const struct msg_queue *q, struct msqid64_ds *out)
{
    memset(out, 0, sizeof(*out));
    sysv_perm_fill(&q->o, (struct ipc64_perm *)&out->msg_perm);
    out->msg_stime = (long)q->sent;
    out->msg_rtime = (long)q->received;
    out->msg_ctime = (long)q->changed;
    out->msg_cbytes = q->bytes;
    out->msg_qnum = q->count;
    out->msg_qbytes = q->max_bytes;
    out->msg_lspid = q->last_sender;
    out->msg_lrpid = q->last_receiver;
}

static long change_locked(struct msg_queue *q, int cmd, const struct msqid64_ds *ds)
{
    if (!sysv_owned(&q->o))
        return -EPERM;
    if (cmd == IPC_RMID) {
        sysv_remove(&g_queues, &q->o);
        return 0;
    }
    if (ds->msg_qbytes > QUEUE_MAX && !capable(24 /* CAP_SYS_RESOURCE */))
        return -EPERM;
    sysv_perm_set(&q->o, (const struct ipc64_perm *)&ds->msg_perm);
    q->max_bytes = ds->msg_qbytes;
    q->changed = seconds();
    waitq_wake(&q->o.waiters, UINT32_MAX);
    return 0;
}

static long information(int cmd, uaddr to)
{
    const u32 max = sysv_limit(&g_queues);
    struct msginfo info = {.msgmni = (int)max,
                           .msgmax = MESSAGE_MAX,
                           .msgmnb = QUEUE_MAX,
                           .msgssz = 16,
                           .msgseg = 0xffff,
                           .msgmap = QUEUE_MAX,
                           .msgpool = (int)(max * QUEUE_MAX / 1024),
                           .msgtql = QUEUE_MAX};
    struct sysv_object *o;
    mutex_lock(&g_sysv_lock);
    sysv_find(&g_queues, -1); /* the list exists */
    i32 used = (i32)g_queues.count, top = sysv_top(&g_queues);
    if (cmd == MSG_INFO) {
        info.msgpool = used;
        info.msgmap = info.msgtql = 0;
        list_for_each_entry (o, &g_queues.objects, link) {
            info.msgmap += (int)container_of(o, struct msg_queue, o)->count;
            info.msgtql += (int)container_of(o, struct msg_queue, o)->bytes;
        }
    }
    mutex_unlock(&g_sysv_lock);
    return copy_to_user(to, &info, sizeof(info)) < 0 ? -EFAULT : top;
}

static bool is_nth(int cmd)
{
    return cmd == MSG_STAT || cmd == MSG_STAT_ANY;
}

static struct msg_queue *find_for(i32 id, int cmd)
{
    struct sysv_object *o = is_nth(cmd) ? sysv_nth(&g_queues, id) : sysv_find(&g_queues, id);
    return o ? container_of(o, struct msg_queue, o) : NULL;
}

void sysv_show_msg(sysv_line *line, void *ctx)
{
    struct sysv_object *o;
    char text[256];
    line(ctx,
         "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid"
         "      stime      rtime      ctime\n");
    mutex_lock(&g_sysv_lock);
    sysv_find(&g_queues, -1);
    list_for_each_entry (o, &g_queues.objects, link) {
        struct msg_queue *q = container_of(o, struct msg_queue, o);
        snprintf(text, sizeof(text),
                 "%10d %10d  %4o  %10lu %10lu %5d %5d %5u %5u %5u %5u %10lu %10lu %10lu\n", o->key,
                 o->id, o->mode, q->bytes, q->count, q->last_sender, q->last_receiver, o->uid,
                 o->gid, o->cuid, o->cgid, q->sent, q->received, q->changed);
        line(ctx, text);
    }
    mutex_unlock(&g_sysv_lock);
}

long sys_msgctl(int id, int command, uaddr data)
{
    struct msqid64_ds ds;
    int cmd = command;
    long r = -EINVAL;
    if (cmd == IPC_INFO || cmd == MSG_INFO)
        return information(cmd, data);
    if (cmd == IPC_SET && copy_from_user(&ds, data, sizeof(ds)) < 0)
        return -EFAULT;
    mutex_lock(&g_sysv_lock);
    struct msg_queue *q = find_for(id, cmd);
    if (q && (cmd == IPC_STAT || is_nth(cmd))) {
        r = cmd == MSG_STAT_ANY || sysv_permitted(&q->o, 0400) ? 0 : -EACCES;
        if (r == 0 && is_nth(cmd))
            r = q->o.id;
        stat_fill(q, &ds);
    } else if (q && (cmd == IPC_RMID || cmd == IPC_SET)) {
        r = change_locked(q, cmd, &ds);
    }
    mutex_unlock(&g_sysv_lock);
    if (r >= 0 && (cmd == IPC_STAT || is_nth(cmd)) && copy_to_user(data, &ds, sizeof(ds)) < 0)
        r = -EFAULT;
    return r;
}
