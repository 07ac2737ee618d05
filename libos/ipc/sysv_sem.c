/* SPDX-License-Identifier: Apache-2.0 */
/* System V semaphores. */
#include "sysv.h"
#include <linux/sem.h>

#define SEM_VALUE_MAX 32767
#define SEMS_MAX      32000u
#define OPS_MAX       500u

int timespec_from_user(u64 addr, u64 *ns); /* proc/timer.c */

struct sem {
    i32 value, pid;
    u32 waiting_more, waiting_zero;
};
/* What SEM_UNDO gives back when a process ends. */
struct sem_undo {
    struct list_head link;
    struct process *process; /* identity only */
    int16_t adjust[];
};
struct sem_set {
    struct sysv_object o;
    u64 changed, operated; /* seconds */
    struct list_head undos;
    u32 count;
    struct sem sems[];
};

static void sem_destroy(struct sysv_object *o)
{
    struct sem_set *s = container_of(o, struct sem_set, o);
    struct sem_undo *u, *n;
    list_for_each_entry_safe (u, n, &s->undos, link)
        kfree(u);
    kfree(s);
}

static struct sysv_class g_sems = {
    .limit = "sem", .limit_field = 3, .next = "sem_next_id", .destroy = sem_destroy};

static u64 seconds(void)
{
    return clock_realtime() / 1000000000;
}

static struct sem_set *find(i32 id)
{
    struct sysv_object *o = sysv_find(&g_sems, id);
    return o ? container_of(o, struct sem_set, o) : NULL;
}

long sys_semget(int key, int count, u32 flags)
{
    struct sysv_object *o;
    if (count < 0 || count > SEMS_MAX)
        return -EINVAL;
    mutex_lock(&g_sysv_lock);
    long r = sysv_get(&g_sems, key, flags, &o);
    if (r == 0 && o) {
        r = count > container_of(o, struct sem_set, o)->count ? -EINVAL : o->id;
    } else if (r == 0) {
        struct sem_set *s = count ? kzalloc(sizeof(*s) + (size_t)count * sizeof(struct sem)) : NULL;
        r = count ? -ENOMEM : -EINVAL;
        if (s) {
            s->count = (u32)count;
            s->changed = seconds();
            list_init(&s->undos);
            r = sysv_add(&g_sems, &s->o, key, flags);
            if (r < 0)
                kfree(s);
        }
    }
    mutex_unlock(&g_sysv_lock);
    return r;
}

static struct sem_undo *undo_of(struct sem_set *s, struct process *p, bool create)
{
    struct sem_undo *u;
    list_for_each_entry (u, &s->undos, link)
        if (u->process == p)
            return u;
    if (!create)
        return NULL;
    u = kzalloc(sizeof(*u) + s->count * sizeof(int16_t));
    if (u) {
        u->process = p;
        p->sem_undo = true;
        list_add(&u->link, &s->undos);
    }
    return u;
}

/* All or nothing: 0, -ERANGE, or 1 with the operation that has to wait. */
static int try_ops(struct sem_set *s, const struct sembuf *ops, u32 n, u32 *blocked)
{
    u32 i;
    int r = 0;
    for (i = 0; i < n && r == 0; i++) {
        struct sem *x = &s->sems[ops[i].sem_num];
        if (ops[i].sem_op == 0) {
            r = x->value ? 1 : 0;
        } else if (x->value + ops[i].sem_op < 0) {
            r = 1;
        } else if (x->value + ops[i].sem_op > SEM_VALUE_MAX) {
            r = -ERANGE;
        } else {
            x->value += ops[i].sem_op;
        }
        if (r)
            break;
    }
    if (r == 0)
        return 0;
    *blocked = i;
    while (i-- > 0)
        s->sems[ops[i].sem_num].value -= ops[i].sem_op;
    return r;
}

static void ops_done(struct sem_set *s, const struct sembuf *ops, u32 n, struct sem_undo *undo)
{
    i32 pid = current_process()->pid;
    bool changed = false;
    for (u32 i = 0; i < n; i++) {
        s->sems[ops[i].sem_num].pid = pid;
        changed |= ops[i].sem_op != 0;
        if (undo && (ops[i].sem_flg & SEM_UNDO))
            undo->adjust[ops[i].sem_num] = (int16_t)(undo->adjust[ops[i].sem_num] - ops[i].sem_op);
    }
    s->operated = seconds();
    if (changed)
        waitq_wake(&s->o.waiters, UINT32_MAX);
}

/* g_sysv_lock held before and after; a wait in between drops it. */
static long run_ops(struct sem_set *s, const struct sembuf *ops, u32 n, struct sem_undo *undo,
                    u64 deadline)
{
    struct wait_entry entry;
    long r;
    u32 blocked = 0;
    waitq_add(&s->o.waiters, &entry);
    for (;;) {
        r = s->o.removed ? -EIDRM : try_ops(s, ops, n, &blocked);
        if (r <= 0)
            break;
        if (ops[blocked].sem_flg & IPC_NOWAIT) {
            r = -EAGAIN;
            break;
        }
        struct sem *x = &s->sems[ops[blocked].sem_num];
        u32 *waiting = ops[blocked].sem_op ? &x->waiting_more : &x->waiting_zero;
        ++*waiting;
        mutex_unlock(&g_sysv_lock);
        int w = thread_wait(deadline, true, NULL, 0);
        mutex_lock(&g_sysv_lock);
        --*waiting;
        if (w < 0 && !s->o.removed) {
            r = w == -ETIMEDOUT ? -EAGAIN : -EINTR; /* never restarted, signal(7) */
            break;
        }
    }
    waitq_remove(&entry);
    if (r == 0)
        ops_done(s, ops, n, undo);
    return r;
}

static long check_ops(const struct sem_set *s, const struct sembuf *ops, u32 n, bool *undo)
{
    bool alter = false;
    *undo = false;
    for (u32 i = 0; i < n; i++) {
        if (ops[i].sem_num >= s->count)
            return -EFBIG;
        alter |= ops[i].sem_op != 0;
        *undo |= (ops[i].sem_flg & SEM_UNDO) && ops[i].sem_op != 0;
    }
    return sysv_permitted(&s->o, alter ? 0200 : 0400) ? 0 : -EACCES;
}

static long do_semop(i32 id, uaddr user_ops, u64 count, u64 deadline)
{
    if (count < 1)
        return -EINVAL;
    if (count > OPS_MAX)
        return -E2BIG;
    struct sembuf *ops = kmalloc(count * sizeof(*ops));
    if (!ops)
        return -ENOMEM;
    if (copy_from_user(ops, user_ops, count * sizeof(*ops)) < 0) {
        kfree(ops);
        return -EFAULT;
    }
    mutex_lock(&g_sysv_lock);
    struct sem_set *s = find(id);
    bool wants_undo = false;
    long r = s ? check_ops(s, ops, (u32)count, &wants_undo) : -EINVAL;
    struct sem_undo *undo = r == 0 && wants_undo ? undo_of(s, current_process(), true) : NULL;
    if (r == 0 && wants_undo && !undo)
        r = -ENOMEM;
    if (r == 0) {
        ref_get(&s->o.refs);
        r = run_ops(s, ops, (u32)count, undo, deadline);
        sysv_put(&g_sems, &s->o);
    }
    mutex_unlock(&g_sysv_lock);
    kfree(ops);
    return r;
}

long sys_semop(int id, uaddr operations, u32 count)
{
    return do_semop(id, operations, count, NO_DEADLINE);
}

long sys_semtimedop(int id, uaddr operations, u32 count, uaddr timeout)
{
    u64 ns;
    if (!timeout.at)
        return do_semop(id, operations, count, NO_DEADLINE);
    int r = timespec_from_user(timeout.at, &ns);
    return r < 0 ? r : do_semop(id, operations, count, clock_monotonic() + ns);
}

static void clear_undo(struct sem_set *s, u32 from, u32 to)
{
    struct sem_undo *u;
    list_for_each_entry (u, &s->undos, link)
        for (u32 i = from; i < to; i++)
            u->adjust[i] = 0;
}

static void stat_fill(const struct sem_set *s, struct semid64_ds *out)
{
    memset(out, 0, sizeof(*out));
    sysv_perm_fill(&s->o, (struct ipc64_perm *)&out->sem_perm);
    out->sem_otime = (__kernel_long_t)s->operated;
    out->sem_ctime = (__kernel_long_t)s->changed;
    out->sem_nsems = s->count;
}

/* GETALL and SETALL: their arrays go over the boundary without the lock. */
static long all_values(i32 id, bool set, uaddr where)
{
    mutex_lock(&g_sysv_lock);
    struct sem_set *s = find(id);
    u32 n = s ? s->count : 0;
    long r = !s ? -EINVAL : sysv_permitted(&s->o, set ? 0200 : 0400) ? 0 : -EACCES;
    mutex_unlock(&g_sysv_lock);
    if (r < 0)
        return r;
    u16 *values = kmalloc(n * sizeof(u16));
    if (!values)
        return -ENOMEM;
    if (set && copy_from_user(values, where, n * sizeof(u16)) < 0)
        r = -EFAULT;
    for (u32 i = 0; set && r == 0 && i < n; i++)
        r = values[i] > SEM_VALUE_MAX ? -ERANGE : 0;
    mutex_lock(&g_sysv_lock);
    s = find(id);
    if (r == 0 && (!s || s->count != n))
        r = -EIDRM;
    for (u32 i = 0; r == 0 && i < n; i++) {
        if (set)
            s->sems[i].value = values[i];
        else
            values[i] = (u16)s->sems[i].value;
    }
    if (r == 0 && set) {
        clear_undo(s, 0, n);
        s->changed = seconds();
        waitq_wake(&s->o.waiters, UINT32_MAX);
    }
    mutex_unlock(&g_sysv_lock);
    if (r == 0 && !set)
        r = copy_to_user(where, values, n * sizeof(u16));
    kfree(values);
    return r;
}

static long one_locked(struct sem_set *s, u32 number, int cmd, u64 arg)
{
    if (number >= s->count)
        return -EINVAL;
    if (!sysv_permitted(&s->o, cmd == SETVAL ? 0200 : 0400))
        return -EACCES;
    struct sem *x = &s->sems[number];
    switch (cmd) {
    case GETVAL:
        return x->value;
    case GETPID:
        return x->pid;
    case GETNCNT:
        return x->waiting_more;
    case GETZCNT:
        return x->waiting_zero;
    default:
        if ((i32)arg < 0 || (i32)arg > SEM_VALUE_MAX)
            return -ERANGE;
        x->value = (i32)arg;
        x->pid = current_process()->pid;
        clear_undo(s, number, number + 1);
        s->changed = seconds();
        waitq_wake(&s->o.waiters, UINT32_MAX);
        return 0;
    }
}

static long information(int cmd, uaddr to)
{
    struct seminfo info = {.semmni = (int)sysv_limit(&g_sems),
                           .semmns = 1024000000,
                           .semmnu = 1024000000,
                           .semmsl = SEMS_MAX,
                           .semopm = OPS_MAX,
                           .semvmx = SEM_VALUE_MAX,
                           .semmap = 1024000000,
                           .semume = OPS_MAX,
                           .semusz = 20,
                           .semaem = SEM_VALUE_MAX};
    struct sysv_object *o;
    mutex_lock(&g_sysv_lock);
    sysv_find(&g_sems, -1); /* the list exists */
    i32 used = (i32)g_sems.count, top = sysv_top(&g_sems);
    if (cmd == SEM_INFO) {
        info.semusz = used;
        info.semaem = 0;
        list_for_each_entry (o, &g_sems.objects, link)
            info.semaem += (int)container_of(o, struct sem_set, o)->count;
    }
    mutex_unlock(&g_sysv_lock);
    return copy_to_user(to, &info, sizeof(info)) < 0 ? -EFAULT : top;
}

static bool is_nth(int cmd)
{
    return cmd == SEM_STAT || cmd == SEM_STAT_ANY;
}

static struct sem_set *find_for(i32 id, int cmd)
{
    struct sysv_object *o = is_nth(cmd) ? sysv_nth(&g_sems, id) : sysv_find(&g_sems, id);
    return o ? container_of(o, struct sem_set, o) : NULL;
}

void sysv_show_sem(sysv_line *line, void *ctx)
{
    struct sysv_object *o;
    char text[256];
    line(ctx,
         "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n");
    mutex_lock(&g_sysv_lock);
    sysv_find(&g_sems, -1);
    list_for_each_entry (o, &g_sems.objects, link) {
        struct sem_set *s = container_of(o, struct sem_set, o);
        snprintf(text, sizeof(text), "%10d %10d  %4o %10u %5u %5u %5u %5u %10lu %10lu\n", o->key,
                 o->id, o->mode, s->count, o->uid, o->gid, o->cuid, o->cgid, s->operated,
                 s->changed);
        line(ctx, text);
    }
    mutex_unlock(&g_sysv_lock);
}

long sys_semctl(int id, int number, int command, u64 argument)
{
    struct semid64_ds ds;
    int cmd = command;
    long r = 0;
    if (cmd == GETALL || cmd == SETALL)
        return all_values(id, cmd == SETALL, user_at(argument));
    if (cmd == IPC_INFO || cmd == SEM_INFO)
        return information(cmd, user_at(argument));
    if (cmd == IPC_SET && copy_from_user(&ds, user_at(argument), sizeof(ds)) < 0)
        return -EFAULT;
    mutex_lock(&g_sysv_lock);
    struct sem_set *s = find_for(id, cmd);
    if (!s) {
        r = -EINVAL;
    } else if (cmd == IPC_STAT || is_nth(cmd)) {
        r = cmd == SEM_STAT_ANY || sysv_permitted(&s->o, 0400) ? 0 : -EACCES;
        if (r == 0 && is_nth(cmd))
            r = s->o.id;
        stat_fill(s, &ds);
    } else if (cmd == IPC_RMID || cmd == IPC_SET) {
        r = sysv_owned(&s->o) ? 0 : -EPERM;
        if (r == 0 && cmd == IPC_RMID) {
            sysv_remove(&g_sems, &s->o);
        } else if (r == 0) {
            sysv_perm_set(&s->o, (struct ipc64_perm *)&ds.sem_perm);
            s->changed = seconds();
        }
    } else if (cmd >= GETPID && cmd <= SETVAL) {
        r = one_locked(s, (u32)number, cmd, argument);
    } else {
        r = -EINVAL;
    }
    mutex_unlock(&g_sysv_lock);
    if (r >= 0 && (cmd == IPC_STAT || is_nth(cmd)) &&
        copy_to_user(user_at(argument), &ds, sizeof(ds)) < 0)
        r = -EFAULT;
    return r;
}

void sysv_process_exit(struct process *p);

/* A process ends: what it did with SEM_UNDO is taken back. */
void sysv_process_exit(struct process *p)
{
    struct sysv_object *o;
    mutex_lock(&g_sysv_lock);
    sysv_find(&g_sems, -1); /* the list exists */
    list_for_each_entry (o, &g_sems.objects, link) {
        struct sem_set *s = container_of(o, struct sem_set, o);
        struct sem_undo *u = undo_of(s, p, false);
        if (!u)
            continue;
        for (u32 i = 0; i < s->count; i++) {
            i32 v = s->sems[i].value + u->adjust[i];
            if (u->adjust[i])
                s->sems[i].pid = p->pid;
            s->sems[i].value = MIN(MAX(v, 0), SEM_VALUE_MAX);
        }
        list_del(&u->link);
        kfree(u);
        waitq_wake(&o->waiters, UINT32_MAX);
    }
    mutex_unlock(&g_sysv_lock);
}
