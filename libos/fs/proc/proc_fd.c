/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/PID/fd and fdinfo. */
#include "procfs.h"

static struct file *file_of(struct pseudo_inode *p, int fd)
{
    struct files *files = proc_files(p);
    struct file *f;

    if (!files)
        return NULL;
    f = fd < 0 ? NULL : files_file(files, (u32)fd);
    files_put(files);
    return f;
}

static int follow_fd(struct pseudo_inode *p, struct dentry **out)
{
    struct file *f = file_of(p, p->fd - 1);

    if (!f)
        return -ENOENT;
    *out = f->dentry ? dentry_get(f->dentry) : file_anon_dentry(f);
    file_put(f);
    return is_err(*out) ? ptr_err(*out) : 0;
}

struct fdinfo_text {
    struct fdinfo to;
    struct text *text;
};

static void add_line(struct fdinfo *to, const char *line, size_t n)
{
    text_add(container_of(to, struct fdinfo_text, to)->text, line, n);
}

static int show_fdinfo(struct pseudo_inode *p, struct text *t)
{
    struct file *f = file_of(p, p->fd - 1);
    struct kstat st = {0};

    if (!f)
        return -ENOENT;
    if (f->inode)
        inode_stat(f->inode, &st);
    text_printf(t, "pos:\t%llu\nflags:\t0%o\nmnt_id:\t%u\nino:\t%llu\n", (unsigned long long)f->pos,
                f->flags, f->dentry && f->dentry->mount ? f->dentry->mount->id : 15,
                (unsigned long long)(f->inode ? st.ino : f->id));
    if (f->ops->fdinfo) {
        struct fdinfo_text more = {{add_line}, t};

        f->ops->fdinfo(f, &more.to);
    }
    file_put(f);
    return 0;
}

static const struct pseudo_entry g_fd_link = {
    .name = "fd", .mode = S_IFLNK | 0700, .follow = follow_fd};
static const struct pseudo_entry g_fdinfo_file = {
    .name = "fdinfo", .mode = S_IFREG | 0400, .show = show_fdinfo};

int proc_parse_number(const char *name, size_t len)
{
    i64 v = 0;

    if (!len || len > 9 || (name[0] == '0' && len > 1))
        return -1;
    for (size_t k = 0; k < len; k++) {
        if (name[k] < '0' || name[k] > '9')
            return -1;
        v = v * 10 + (name[k] - '0');
    }
    return (int)v;
}

static int fd_entry(struct pseudo_inode *dir, const char *name, size_t len,
                    const struct pseudo_entry *e, struct inode **out)
{
    int fd = proc_parse_number(name, len), r = proc_may_look(dir);
    struct file *f = r == 0 && fd >= 0 ? file_of(dir, fd) : NULL;
    struct inode *i;

    if (!f)
        return r < 0 ? r : -ENOENT;
    i = pseudo_inode_new(dir->i.super, e, dir);
    if (i) {
        pseudo_of(i)->fd = fd + 1;
        i->ino += (u64)fd + 1;
        if (S_ISLNK(i->mode)) /* the bits say how it is open */
            i->mode = S_IFLNK | 0100 | ((f->flags & O_ACCMODE) != O_WRONLY ? 0400 : 0) |
                      ((f->flags & O_ACCMODE) != O_RDONLY ? 0200 : 0);
        i->size = 64;
    }
    file_put(f);
    *out = i;
    return i ? 0 : -ENOMEM;
}

int proc_fd_lookup(struct pseudo_inode *dir, const char *name, size_t len, struct inode **out)
{
    return fd_entry(dir, name, len, &g_fd_link, out);
}

int proc_fdinfo_lookup(struct pseudo_inode *dir, const char *name, size_t len, struct inode **out)
{
    return fd_entry(dir, name, len, &g_fdinfo_file, out);
}

int proc_fd_iterate(struct pseudo_inode *dir, u64 pos, dirent_fn *fn, void *ctx)
{
    struct files *files;
    char name[16];
    int r = proc_may_look(dir);

    files = r == 0 ? proc_files(dir) : NULL;
    if (!files)
        return r;
    for (u64 fd = pos; fd < files->size; fd++) {
        struct file *f = files_file(files, fd);

        if (!f)
            continue;
        file_put(f);
        snprintf(name, sizeof(name), "%u", (u32)fd);
        if (!fn(ctx, name, strlen(name), dir->i.ino + fd + 1, DT_LNK, fd + 1)) {
            r = 1;
            break;
        }
    }
    files_put(files);
    return r;
}
