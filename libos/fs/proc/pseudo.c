/* SPDX-License-Identifier: Apache-2.0 */
#include "pseudo.h"

#define STORE_LIMIT (64u << 10)

/* ---- text ---- */

static bool text_room(struct text *t, size_t n)
{
    size_t size = t->size ? t->size : 512;
    char *buf;

    if (t->failed)
        return false;
    if (t->used + n <= t->size)
        return true;
    while (size < t->used + n)
        size *= 2;
    buf = kmalloc(size);
    if (!buf) {
        t->failed = true;
        return false;
    }
    if (t->used)
        memcpy(buf, t->buf, t->used);
    kfree_sensitive(t->buf);
    t->buf = buf;
    t->size = size;
    return true;
}

void text_add(struct text *t, const void *data, size_t n)
{
    if (!text_room(t, n))
        return;
    memcpy(t->buf + t->used, data, n);
    t->used += n;
}

void text_printf(struct text *t, const char *fmt, ...)
{
    va_list ap, again;
    int n;

    va_start(ap, fmt);
    va_copy(again, ap);
    if (text_room(t, 128)) {
        n = vsnprintf(t->buf + t->used, t->size - t->used, fmt, ap);
        if (n > 0 && (size_t)n >= t->size - t->used && text_room(t, (size_t)n + 1))
            n = vsnprintf(t->buf + t->used, t->size - t->used, fmt, again);
        if (n > 0 && !t->failed)
            t->used += (size_t)n;
    }
    va_end(again);
    va_end(ap);
}

static bool has_cpu(const u64 mask[16], u32 n)
{
    return n < 1024 && mask[n / 64] >> (n % 64) & 1;
}

void text_cpu_mask(struct text *t, const u64 mask[16])
{
    u32 words = (cpu_count() + 31) / 32; /* of 32 bits, the highest first */

    for (u32 k = words; k-- > 0;)
        text_printf(t, k + 1 == words ? "%x" : ",%08x", (u32)(mask[k / 2] >> (k % 2 * 32)));
}

void text_cpu_list(struct text *t, const u64 mask[16])
{
    const char *separator = "";

    for (u32 n = 0; n < 1024; n++) {
        u32 first = n;

        if (!has_cpu(mask, n))
            continue;
        while (has_cpu(mask, n + 1))
            n++;
        text_printf(t, first == n ? "%s%u" : "%s%u-%u", separator, first, n);
        separator = ",";
    }
}

void text_free(struct text *t)
{
    kfree_sensitive(t->buf); /* some are keys */
    *t = (struct text){0};
}

/* ---- files ---- */

/* Of an open file. pread(2) comes from several threads at once. */
struct reading {
    struct mutex lock;
    struct text text;
    u64 news; /* what who polled has seen (atomic) */
};

static int make_text(struct pseudo_inode *p, struct text *t)
{
    int r = 0;

    if (p->entry->text)
        text_add(t, p->entry->text, strlen(p->entry->text));
    else if (p->entry->show)
        r = p->entry->show(p, t);
    else
        r = -EINVAL;
    return r < 0 ? r : t->failed ? -ENOMEM : 0;
}

static ssize_t read_text(struct file *f, struct text *t, struct uio *io, u64 *pos)
{
    ssize_t r;

    if (*pos == 0 || !t->buf) {
        t->used = 0;
        t->failed = false;
        r = make_text(pseudo_of(f->inode), t);
        if (r < 0) {
            text_free(t);
            return r;
        }
    }
    if (*pos >= t->used)
        return 0;
    r = uio_to(io, t->buf + *pos, MIN(io->left, t->used - (size_t)*pos));
    if (r > 0)
        *pos += (u64)r;
    return r;
}

static ssize_t pseudo_read(struct file *f, struct uio *io, u64 *pos)
{
    struct reading *reading = f->private;
    ssize_t r;

    mutex_lock(&reading->lock);
    r = read_text(f, &reading->text, io, pos);
    mutex_unlock(&reading->lock);
    return r;
}

static ssize_t pseudo_write(struct file *f, struct uio *io, u64 *pos)
{
    struct pseudo_inode *p = pseudo_of(f->inode);
    size_t n = MIN(io->left, (size_t)STORE_LIMIT);
    char *buf;
    ssize_t r;

    if (!p->entry->store)
        return -EINVAL;
    buf = kmalloc(n + 1);
    if (!buf)
        return -ENOMEM;
    r = uio_from(io, buf, n);
    if (r >= 0) {
        buf[r] = 0;
        r = p->entry->store(p, buf, (size_t)r);
    }
    kfree_sensitive(buf);
    if (r > 0)
        *pos += (u64)r;
    return r;
}

static i64 pseudo_seek(struct file *f, i64 off, int whence)
{
    if (whence == SEEK_END || whence > SEEK_END)
        return -EINVAL;
    return generic_seek(f, off, whence, 0);
}

/* Readable at any time; who looks has seen what is new. */
static u32 news_poll(struct file *f, struct poll_table *pt)
{
    const struct pseudo_entry *e = pseudo_of(f->inode)->entry;
    struct reading *reading = f->private;
    u64 now;

    poll_wait(pt, e->news_wait);
    now = e->news();
    return POLL_IN | POLL_RDNORM |
           (__atomic_exchange_n(&reading->news, now, __ATOMIC_RELAXED) != now ? POLL_ERR | POLL_PRI
                                                                              : 0);
}

static long pseudo_ioctl(struct file *f, u32 cmd, u64 arg)
{
    struct pseudo_inode *p = pseudo_of(f->inode);

    return p->entry->ioctl ? p->entry->ioctl(p, cmd, arg) : -ENOTTY;
}

static void pseudo_release(struct file *f)
{
    struct reading *reading = f->private;

    text_free(&reading->text);
    kfree(reading);
}

static const struct file_ops g_pseudo_file_ops = {
    .read = pseudo_read,
    .write = pseudo_write,
    .seek = pseudo_seek,
    .ioctl = pseudo_ioctl,
    .release = pseudo_release,
};
static const struct file_ops g_news_file_ops = {
    .read = pseudo_read,
    .write = pseudo_write,
    .seek = pseudo_seek,
    .poll = news_poll,
    .release = pseudo_release,
};
static const struct file_ops g_pseudo_dir_ops = {.seek = inode_seek};

static int pseudo_open(struct inode *i, struct file *f)
{
    struct pseudo_inode *p = pseudo_of(i);
    struct reading *reading;

    if (S_ISDIR(i->mode)) {
        f->ops = &g_pseudo_dir_ops;
        return 0;
    }
    if (p->entry->fops) {
        f->ops = p->entry->fops;
        return 0;
    }
    reading = f->private = kzalloc(sizeof(struct reading));
    if (!reading)
        return -ENOMEM;
    f->ops = p->entry->news ? &g_news_file_ops : &g_pseudo_file_ops;
    reading->news = p->entry->news ? p->entry->news() : 0;
    return 0;
}

/* ---- inodes ---- */

static int pseudo_lookup(struct inode *dir, const char *name, size_t len, struct inode **out)
{
    struct pseudo_inode *p = pseudo_of(dir);

    for (const struct pseudo_entry *e = p->entry->children; e && e->name; e++) {
        if (strncmp(e->name, name, len) == 0 && e->name[len] == 0) {
            *out = pseudo_inode_new(dir->super, e, p);
            return *out ? 0 : -ENOMEM;
        }
    }
    return p->entry->lookup ? p->entry->lookup(p, name, len, out) : -ENOENT;
}

static u64 entry_ino(const struct pseudo_entry *e, const struct pseudo_inode *parent)
{
    u64 h = (uintptr_t)e;

    h = (h >> 3) * 0x9e3779b97f4a7c15ull;
    h ^= ((u64)(u32)parent->pid << 32 | (u32)parent->tid) * 0xff51afd7ed558ccdull + (u32)parent->fd;
    return (h >> 32 ^ (h & 0xffffffff)) | 0x80000000u;
}

static int pseudo_iterate(struct inode *dir, u64 pos, dirent_fn *fn, void *ctx)
{
    struct pseudo_inode *p = pseudo_of(dir);
    u64 k = 0;
    int r;

    if (pos < PSEUDO_POS_TABLE) {
        if (p->entry->iterate) {
            r = p->entry->iterate(p, pos, fn, ctx);
            if (r != 0)
                return r < 0 ? r : 0;
        }
        pos = PSEUDO_POS_TABLE;
    }
    for (const struct pseudo_entry *e = p->entry->children; e && e->name; e++, k++) {
        if (PSEUDO_POS_TABLE + k < pos)
            continue;
        if (!fn(ctx, e->name, strlen(e->name), entry_ino(e, p), MODE_TO_DT(e->mode),
                PSEUDO_POS_TABLE + k + 1))
            break;
    }
    return 0;
}

static ssize_t pseudo_readlink(struct inode *i, char *buf, size_t size)
{
    struct text t = {0};
    ssize_t r = make_text(pseudo_of(i), &t);

    if (r == 0) {
        r = (ssize_t)MIN(t.used, size);
        memcpy(buf, t.buf, (size_t)r);
    }
    text_free(&t);
    return r;
}

static int pseudo_follow(struct inode *i, struct dentry **out)
{
    return pseudo_of(i)->entry->follow(pseudo_of(i), out);
}

static int pseudo_setattr(struct inode *i, const struct setattr *a)
{
    if (a->valid & (SETATTR_MODE | SETATTR_UID | SETATTR_GID))
        return -EPERM;
    return 0; /* O_TRUNC, times */
}

static void pseudo_destroy(struct inode *i)
{
    kfree(pseudo_of(i)->name);
    kfree(pseudo_of(i));
}

#define PSEUDO_OPS .setattr = pseudo_setattr, .open = pseudo_open, .destroy = pseudo_destroy
static const struct inode_ops g_pseudo_ops = {PSEUDO_OPS};
static const struct inode_ops g_pseudo_dir_inode_ops = {PSEUDO_OPS, .lookup = pseudo_lookup,
                                                        .iterate = pseudo_iterate};
static const struct inode_ops g_pseudo_link_ops = {PSEUDO_OPS, .readlink = pseudo_readlink};
static const struct inode_ops g_pseudo_magic_ops = {PSEUDO_OPS, .follow = pseudo_follow};

struct inode *pseudo_inode_new(struct super *s, const struct pseudo_entry *e,
                               const struct pseudo_inode *parent)
{
    struct pseudo_inode *p = kzalloc(sizeof(*p));
    const struct inode_ops *ops = &g_pseudo_ops;

    if (!p)
        return NULL;
    if (S_ISDIR(e->mode))
        ops = &g_pseudo_dir_inode_ops;
    else if (S_ISLNK(e->mode))
        ops = e->follow ? &g_pseudo_magic_ops : &g_pseudo_link_ops;
    inode_init(&p->i, s, ops, e->mode);
    p->entry = e;
    if (parent) {
        p->pid = parent->pid;
        p->tid = parent->tid;
        p->fd = parent->fd;
        p->start = parent->start;
        p->i.uid = parent->i.uid;
        p->i.gid = parent->i.gid;
        p->i.ino = entry_ino(e, parent);
    } else {
        p->i.ino = 1;
    }
    if (S_ISDIR(e->mode))
        p->i.nlink = 2;
    if (S_ISREG(e->mode) && strcmp(s->type, "sysfs") == 0)
        p->i.size = PAGE_SIZE;
    return &p->i;
}

static bool pseudo_valid(struct dentry *d)
{
    struct pseudo_inode *p = pseudo_of(d->inode);
    struct process *proc;
    bool same;

    if (!p->pid)
        return true;
    if (p->fd >= 0 && p->entry->children == NULL && p->fd)
        return false; /* descriptors come and go: always looked up again */
    proc = process_find(p->pid);
    if (!proc)
        return false;
    same = proc->start_time == p->start && proc->cred.euid == p->i.uid;
    process_put(proc);
    return same;
}

struct super *pseudo_super(const char *type, u64 magic, const struct pseudo_entry *root)
{
    struct super *s = super_alloc(type, magic);

    if (!s)
        return err_ptr(-ENOMEM);
    s->revalidate = true;
    s->valid = pseudo_valid;
    s->root = pseudo_inode_new(s, root, NULL);
    if (!s->root) {
        kfree(s);
        return err_ptr(-ENOMEM);
    }
    return s;
}
