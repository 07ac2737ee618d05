/* SPDX-License-Identifier: Apache-2.0 */
/* execve and execveat. The new program is loaded beside the old one; only then do the other threads
 * end and the old one go. */
#include "exec.h"
#include "tracee.h"
#include <linux/fcntl.h>

#define STRING_MAX  (128ul << 10)
#define STRING_ROOM (32) /* pages of it */
#define PATH_SIZE   4096
#define ARGS_MIN    (128ull << 10)
#define ARGS_MAX    (6ull << 20)

void strings_free(char **v)
{
    for (size_t i = 0; v && v[i]; i++)
        kfree(v[i]);
    kfree(v);
}

static int append(char ***v, size_t *n, size_t *room, char *s)
{
    if (*n + 2 > *room) {
        size_t bigger = *room ? *room * 2 : 16;
        char **w = krealloc(*v, bigger * sizeof(*w));
        if (!w)
            return -ENOMEM;
        *v = w;
        *room = bigger;
    }
    (*v)[(*n)++] = s;
    (*v)[*n] = NULL;
    return 0;
}

/* A NULL-terminated array of strings of the application; budget is what may still be used, with the
 * pointers. */
static int strings_from_user(uaddr array, i64 *budget, char *room, char ***out)
{
    size_t n = 0, size = 0;
    char **v = NULL;
    int r = append(&v, &n, &size, NULL);
    n = 0;
    for (uaddr at = array; r == 0 && array.at; at.at += 8) {
        u64 string;
        if (get_user(string, at) < 0)
            r = -EFAULT;
        if (r < 0 || !string)
            break;
        ssize_t len = strncpy_from_user(room, user_at(string), STRING_MAX);
        if (len < 0) {
            r = len == -ENAMETOOLONG ? -E2BIG : (int)len;
            break;
        }
        *budget -= len + 1 + 8;
        if (*budget < 0) {
            r = -E2BIG;
            break;
        }
        char *s = kstrndup(room, (size_t)len);
        r = s ? append(&v, &n, &size, s) : -ENOMEM;
        if (r < 0)
            kfree(s);
    }
    if (r < 0) {
        strings_free(v);
        return r;
    }
    *out = v;
    return 0;
}

/* The other threads end; -EAGAIN when the process is ending itself or another thread execs. */
static int become_only_thread(struct thread *t)
{
    struct process *p = t->process;
    struct thread *o;
    mutex_lock(&g_process_lock);
    if (p->group_exit || p->exec_thread) {
        mutex_unlock(&g_process_lock);
        return -EAGAIN;
    }
    p->exec_thread = t;
    list_for_each_entry (o, &p->threads, siblings)
        if (o != t) {
            thread_notify(o, ATTENTION_EXIT);
            thread_wake(o);
        }
    waitq_wake(&p->stop_wait, UINT32_MAX);
    mutex_unlock(&g_process_lock);
    while (__atomic_load_n(&p->thread_count, __ATOMIC_ACQUIRE) > 1 && !p->group_exit)
        thread_wait(NO_DEADLINE, false, NULL, 0);
    mutex_lock(&g_process_lock);
    int r = p->group_exit ? -EAGAIN : 0;
    p->exec_thread = NULL;
    if (r == 0 && p->first_tracee && t->tid != p->pid)
        tracee_forget_locked(p->first_tracee); /* another thread has its number now */
    if (r == 0 && t->tracee)
        t->tracee->tid = p->pid;
    if (r == 0)
        t->tid = p->pid; /* whoever calls exec becomes the main thread */
    mutex_unlock(&g_process_lock);
    return r;
}

/* set_tid_address()'s word in memory that somebody else still uses (vfork, CLONE_VM). */
static void leave_old_memory(struct thread *t, struct mm *old)
{
    u64 where = t->clear_child_tid;
    t->clear_child_tid = 0;
    futex_robust_exit(t);
    if (where && old->refs.n > 1 && put_user((u32)0, user_at(where)) == 0)
        futex_wake_address(old, where, 1);
}

static int unshare_tables(struct process *p)
{
    if (files_unshare(p) < 0)
        return -ENOMEM;
    if (p->sighand->refs.n > 1) {
        struct sighand *own = kmalloc(sizeof(*own)), *old = p->sighand;
        if (!own)
            return -ENOMEM;
        mutex_lock(&g_process_lock);
        *own = *old;
        ref_init(&own->refs);
        p->sighand = own;
        mutex_unlock(&g_process_lock);
        if (ref_put(&old->refs))
            kfree(old);
    }
    return 0;
}

static void thread_reset(struct thread *t, const struct exec_image *image)
{
    t->altstack_base = t->altstack_size = t->altstack_flags = 0;
    t->robust_list = 0;
    t->set_child_tid = 0;
    t->restart = NULL;
    t->fs_base = 0;
    t->step_armed = t->step_call = false;
    t->fault_addr = t->fault_error = t->fault_trap = 0;
    memcpy(t->comm, image->comm, sizeof(t->comm));
}

/* The point of no return: the process becomes the new program. */
static void commit(struct thread *t, struct exec_image *image, bool use_old)
{
    struct process *p = t->process, *child;
    struct mm *old = p->mm;
    t->clear_child_tid = use_old ? t->clear_child_tid : 0;
    if (old && use_old) {
        mm_leave(image->mm);
        mm_enter(old);
        leave_old_memory(t, old);
        mm_leave(old);
    }
    timers_exec(p);
    keys_drop(p, false);
    keys_thread_drop(current());
    g_process_hooks->exec(p);
    files_close_on_exec(p->files);
    signal_exec_reset(p);
    mutex_lock(&g_process_lock);
    image->cred.groups = p->cred.groups;
    image->cred.group_count = p->cred.group_count;
    p->cred = image->cred;
    p->mm = image->mm;
    p->exec_done = true;
    /* What the old program had agreed on is not for the new one, nor for its parent. */
    p->exit_signal = SIGCHLD;
    list_for_each_entry (child, &p->children, sibling)
        child->exit_signal = SIGCHLD;
    p->dumpable = !image->secure;
    if (image->secure)
        p->pdeathsig = 0;
    p->keepcaps = 0;
    memcpy(p->comm, image->comm, sizeof(p->comm));
    mutex_unlock(&g_process_lock);
    thread_reset(t, image);
    if (old)
        mm_put(old);
    vfork_release(p);
    mm_enter(image->mm);
}

int process_exec(struct dentry *program, const char *path, char **argv, char **env)
{
    struct thread *t = current();
    struct process *p = t->process;
    struct exec_image image;
    /* A fork's child gives its parent's range up while it loads the new program, and has no
     * business there afterwards, unless somebody shares this memory or waits for its futexes. */
    bool use_old = p->mm && (p->mm->refs.n > 1 || futex_robust_held(t));
    int r = exec_load(program, path, argv, env, &image);
    if (r < 0)
        return r;
    r = unshare_tables(p);
    if (r == 0)
        r = become_only_thread(t);
    if (r < 0) {
        mm_leave(image.mm);
        mm_put(image.mm);
        mm_enter(p->mm);
        return r;
    }
    commit(t, &image, use_old);
    memset(t->regs, 0, sizeof(*t->regs));
    t->regs->orig_rax = (u64)-1;
    t->regs->rip = image.entry;
    t->regs->rsp = image.sp;
    t->regs->rflags = 0x202;
    vector_reset();
    return 0;
}

struct request {
    char path[PATH_SIZE];
    char *room;
    char **argv, **env;
    struct dentry *program;
};

static void request_free(struct request *q)
{
    if (!q)
        return;
    strings_free(q->argv);
    strings_free(q->env);
    if (q->program)
        dentry_put(q->program);
    if (q->room)
        page_free(q->room, STRING_ROOM);
    kfree(q);
}

static int request_fill(struct request *q, uaddr argv, uaddr env)
{
    struct process *p = current_process();
    u64 limit = p->rlimits[LIMIT_STACK].soft / 4;
    i64 budget = (i64)MIN(MAX(limit, ARGS_MIN), ARGS_MAX);
    q->room = page_alloc(STRING_ROOM);
    if (!q->room)
        return -ENOMEM;
    int r = strings_from_user(argv, &budget, q->room, &q->argv);
    if (r == 0)
        r = strings_from_user(env, &budget, q->room, &q->env);
    if (r == 0 && !q->argv[0]) {
        /* As Linux since 5.18: programs rely on argv[0]. */
        char **v = kzalloc(2 * sizeof(*v));
        if (!v || !(v[0] = kstrdup(""))) {
            kfree(v);
            return -ENOMEM;
        }
        strings_free(q->argv);
        q->argv = v;
    }
    return r;
}

static int name_for_fd(struct request *q, int dirfd, const char *path)
{
    if (dirfd == AT_FDCWD || path[0] == '/')
        return 0;
    char *given = kstrdup(path);
    if (!given)
        return -ENOMEM;
    snprintf(q->path, sizeof(q->path), given[0] ? "/dev/fd/%d/%s" : "/dev/fd/%d%s", dirfd, given);
    kfree(given);
    return 0;
}

static long do_exec(int dirfd, uaddr path, uaddr argv, uaddr env, u32 flags)
{
    if (flags & ~(u32)(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
        return -EINVAL;
    i32 old_tid = current()->tid;
    struct request *q = kzalloc(sizeof(*q));
    if (!q)
        return -ENOMEM;
    ssize_t n = strncpy_from_user(q->path, path, sizeof(q->path));
    int r = n < 0 ? (int)n : 0;
    if (r == 0 && n == 0 && !(flags & AT_EMPTY_PATH))
        r = -ENOENT;
    if (r == 0)
        r = request_fill(q, argv, env);
    if (r == 0) {
        u32 lookup = ((flags & AT_EMPTY_PATH) ? LOOKUP_EMPTY : 0) |
                     ((flags & AT_SYMLINK_NOFOLLOW) ? LOOKUP_NOFOLLOW : 0);
        r = path_lookup(dirfd, q->path, lookup, &q->program);
    }
    if (r == 0 && q->program->inode && (q->program->inode->mode & 0170000) == 0120000)
        r = -ELOOP;
    if (r == 0)
        r = name_for_fd(q, dirfd, q->path);
    if (r == 0)
        r = process_exec(q->program, q->path, q->argv, q->env);
    log_debug("pid %d exec %s: %d", current_process()->pid, q->path, r);
    request_free(q);
    if (r < 0)
        return r;
    if (unlikely(current()->tracee != NULL)) {
        tracee_exec(old_tid);
        tracee_call_end(current());
    }
    thread_return_to_user();
}

long sys_execve(uaddr path, uaddr argv, uaddr envp)
{
    return do_exec(AT_FDCWD, path, argv, envp, 0);
}

long sys_execveat(int dir, uaddr path, uaddr argv, uaddr envp, int flags)
{
    return do_exec(dir, path, argv, envp, (u32)flags);
}
