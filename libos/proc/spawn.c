/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes that come from outside: the container's entrypoint and `rune exec`. process_spawn()
 * runs in a control call: the calling thread lends itself to the new process while the program is
 * loaded, so that names are resolved with its root, directory and credentials; its own thread
 * starts with process_start().
 */
#include "exec.h"
#include "deployment.h"

#define AT_FDCWD_ (-100)

struct spawn {
    struct thread *thread;
    struct uregs regs;
};

#define STACK_STATIC (1ull << 20)

static const struct rlimit64 g_default_rlimits[16] = {
    [LIMIT_CPU] = {RLIMIT_INFINITE, RLIMIT_INFINITE},
    [LIMIT_FSIZE] = {RLIMIT_INFINITE, RLIMIT_INFINITE},
    [LIMIT_DATA] = {RLIMIT_INFINITE, RLIMIT_INFINITE},
    [LIMIT_STACK] = {8ull << 20, RLIMIT_INFINITE},
    [LIMIT_CORE] = {0, RLIMIT_INFINITE},
    [LIMIT_RSS] = {RLIMIT_INFINITE, RLIMIT_INFINITE},
    [LIMIT_NPROC] = {RLIMIT_INFINITE, RLIMIT_INFINITE},
    [LIMIT_NOFILE] = {1024, 1048576},
    [LIMIT_MEMLOCK] = {8ull << 20, 8ull << 20},
    [LIMIT_AS] = {RLIMIT_INFINITE, RLIMIT_INFINITE},
    [LIMIT_LOCKS] = {RLIMIT_INFINITE, RLIMIT_INFINITE},
    [LIMIT_SIGPENDING] = {65536, 65536},
    [LIMIT_MSGQUEUE] = {819200, 819200},
    [LIMIT_NICE] = {0, 0},
    [LIMIT_RTPRIO] = {0, 0},
    [LIMIT_RTTIME] = {RLIMIT_INFINITE, RLIMIT_INFINITE},
};

static int set_credentials(struct cred *c, const struct process_spec *s)
{
    c->uid = c->euid = c->suid = c->fsuid = s->uid;
    c->gid = c->egid = c->sgid = c->fsgid = s->gid;
    c->cap_permitted = c->cap_effective = s->capabilities;
    c->cap_bounding = s->bounding;
    c->cap_inheritable = s->inheritable;
    c->cap_ambient = s->ambient & s->capabilities & s->inheritable; /* as the kernel keeps it */
    c->no_new_privs = g_deployment.policy.no_new_privs;
    if (s->group_count) {
        c->groups = kmalloc(s->group_count * sizeof(u32));
        if (!c->groups)
            return -ENOMEM;
        memcpy(c->groups, s->groups, s->group_count * sizeof(u32));
        c->group_count = s->group_count;
    }
    return 0;
}

static int set_up(struct process *p, const struct process_spec *s)
{
    int r = set_credentials(&p->cred, s);
    if (r < 0)
        return r;
    memcpy(p->rlimits, g_default_rlimits, sizeof(p->rlimits));
    if (!pages_dynamic()) /* a stack costs all its size there, the main one and those of threads */
        p->rlimits[LIMIT_STACK].soft = STACK_STATIC;
    for (u32 i = 0; i < 16; i++) {
        if (s->rlimits)
            p->rlimits[i] = s->rlimits[i];
        else if (g_deployment.rlimits_set >> i & 1)
            p->rlimits[i] = g_deployment.rlimits[i];
    }
    p->sighand = kzalloc(sizeof(*p->sighand));
    p->files = files_create();
    p->fs = fs_context_create();
    p->session = session_create(p->pid);
    if (!p->sighand || !p->files || !p->fs || !p->session)
        return -ENOMEM;
    ref_init(&p->sighand->refs);
    p->fs->umask = s->umask;
    p->pgid = p->pid;
    p->report_to_host = true;
    p->helper = s->helper;
    p->oom_score_adj = container_oom_score_adj();
    p->state = PROCESS_NEW;
    return 0;
}

/* What execvp() does: a name without a slash is looked for in PATH; EACCES wins over ENOENT. */
static int find_in_path(const char *name, const char *path, char *buf, size_t size,
                        struct dentry **out)
{
    int result = -ENOENT;
    while (true) {
        const char *end = strchr(path, ':');
        size_t n = end ? (size_t)(end - path) : strlen(path);
        int len = n ? snprintf(buf, size, "%.*s/%s", (int)n, path, name)
                    : snprintf(buf, size, "./%s", name);
        if (len > 0 && (size_t)len < size && path_lookup(AT_FDCWD_, buf, 0, out) == 0) {
            struct inode *i = (*out)->inode;
            if (i && (i->mode & 0170000) == 0100000 && (i->mode & 0111) &&
                inode_permission(i, MAY_EXEC) == 0)
                return 0;
            dentry_put(*out);
            if (i && (i->mode & 0170000) == 0100000)
                result = -EACCES;
        }
        if (!end)
            return result;
        path = end + 1;
    }
}

static const char *env_find(char **env, const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; env && env[i]; i++)
        if (strncmp(env[i], name, n) == 0 && env[i][n] == '=')
            return env[i] + n + 1;
    return NULL;
}

static int find_program(const struct process_spec *s, char *buf, size_t size, struct dentry **out)
{
    const char *name = s->path ? s->path : s->argv[0];
    if (!name || !name[0])
        return -ENOENT;
    if (strchr(name, '/')) {
        if (strlcpy(buf, name, size) >= size)
            return -ENAMETOOLONG;
        return path_lookup(AT_FDCWD_, buf, 0, out);
    }
    const char *path = env_find(s->env, "PATH");
    return find_in_path(
        name, path ? path : "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", buf,
        size, out);
}

static int load_program(struct process *p, const struct process_spec *s, struct exec_image *image)
{
    char *buf = kmalloc(PAGE_SIZE);
    struct dentry *d = NULL;
    if (!buf)
        return -ENOMEM;
    int r = fs_context_chdir(p->fs, s->cwd && s->cwd[0] ? s->cwd : "/");
    if (r < 0)
        log_error("working directory %s: error %d", s->cwd, -r);
    if (r == 0) {
        r = find_program(s, buf, PAGE_SIZE, &d);
        if (r == 0)
            r = exec_load(d, buf, s->argv, s->env, image);
        if (r < 0)
            /* Whoever asked for the process says it; a container that does not start gives one
             * line. */
            log_info("cannot run %s: error %d",
                     s->path      ? s->path
                     : s->argv[0] ? s->argv[0]
                                  : "(no name)",
                     -r);
    }
    if (d)
        dentry_put(d);
    kfree(buf);
    return r;
}

static int build(struct process *p, const struct process_spec *s)
{
    struct exec_image image = {0};
    int r = set_up(p, s);
    if (r == 0)
        r = g_process_hooks->install_stdio(p->files, s->hfds, s->terminal);
    if (r == 0 && s->terminal)
        g_process_hooks->take_terminal(p);
    if (r == 0)
        r = load_program(p, s, &image);
    if (r < 0)
        return r;
    mm_leave(image.mm);
    p->mm = image.mm;
    image.cred.groups = p->cred.groups;
    image.cred.group_count = p->cred.group_count;
    p->cred = image.cred;
    memcpy(p->comm, image.comm, sizeof(p->comm));
    p->spawn = kzalloc(sizeof(*p->spawn));
    if (!p->spawn)
        return -ENOMEM;
    p->spawn->regs = (struct uregs){
        .orig_rax = (u64)-1, .rip = image.entry, .rsp = image.sp, .rflags = 0x202};
    p->spawn->thread = process_thread_add(p, p->pid);
    if (!p->spawn->thread)
        return -EAGAIN;
    memcpy(p->spawn->thread->comm, image.comm, sizeof(image.comm));
    return 0;
}

/* Process 1 takes all others with it: from then on none comes, or its end would have no end. */
static int publish(struct process *p)
{
    mutex_lock(&g_process_lock);
    int r = p->pid == 1 || (g_init && !g_init->group_exit) ? 0 : -ESRCH;
    if (r == 0)
        process_publish_locked(p, NULL);
    mutex_unlock(&g_process_lock);
    return r;
}

int process_spawn(const struct process_spec *spec, i32 *pid)
{
    struct thread *me = current();
    struct process *borrowed = me->process;
    struct process *p = process_alloc();
    if (!p)
        return -ENOMEM;
    p->pid = pid_allocate();
    me->process = p;
    int r = build(p, spec);
    me->process = borrowed;
    if (r == 0)
        r = publish(p);
    if (r < 0) {
        /* It never runs, and never ends: what its end would give back goes here. */
        if (p->session && p->session->tty)
            g_process_hooks->session_end(p->session);
        if (p->spawn && p->spawn->thread)
            process_thread_remove(p->spawn->thread);
        kfree(p->spawn);
        process_put(p);
        return r;
    }
    *pid = p->pid;
    return 0;
}

int spawn_start_locked(struct process *p)
{
    struct spawn *s = p->spawn;
    if (!s)
        return -EINVAL;
    int r = thread_start(s->thread, &s->regs);
    if (r < 0)
        return r; /* still created: a later start may find a host thread */
    p->spawn = NULL;
    p->state = PROCESS_RUNNING;
    kfree(s);
    return 0;
}

int process_start(i32 pid)
{
    struct process *p = process_find(pid);
    if (!p)
        return -ESRCH;
    mutex_lock(&g_process_lock);
    int r = spawn_start_locked(p);
    mutex_unlock(&g_process_lock);
    process_put(p);
    return r;
}
