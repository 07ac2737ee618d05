/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/PID/mounts, mountinfo, mountstats. */
#include "procfs.h"

enum format { MOUNTS, MOUNTINFO, MOUNTSTATS };

/* Blanks, tabs, newlines and backslashes in names are octal. */
static void text_escaped(struct text *t, const char *s)
{
    for (; *s; s++) {
        if (*s == ' ' || *s == '\t' || *s == '\n' || *s == '\\')
            text_printf(t, "\\%03o", (unsigned)(u8)*s);
        else
            text_add(t, s, 1);
    }
}

static void mount_options(struct text *t, const struct mount *m)
{
    u32 flags = m->flags | m->super->flags;

    text_printf(t, "%s%s%s%s,relatime%s", flags & MS_RDONLY ? "ro" : "rw",
                flags & MS_NOSUID ? ",nosuid" : "", flags & MS_NODEV ? ",nodev" : "",
                flags & MS_NOEXEC ? ",noexec" : "", flags & MS_NOSYMFOLLOW ? ",nosymfollow" : "");
}

static void one_mount(struct text *t, const struct mount *m, const char *path, enum format format)
{
    switch (format) {
    case MOUNTS:
        text_escaped(t, m->source);
        text_add(t, " ", 1);
        text_escaped(t, path);
        text_printf(t, " %s ", m->super->type);
        mount_options(t, m);
        text_printf(t, " 0 0\n");
        break;
    case MOUNTINFO:
        text_printf(t, "%u %u 0:%u ", m->id, m->parent ? m->parent->id : m->id - 1,
                    (u32)m->super->dev);
        text_escaped(t, m->bind_path);
        text_add(t, " ", 1);
        text_escaped(t, path);
        text_add(t, " ", 1);
        mount_options(t, m);
        text_printf(t, " - %s ", m->super->type);
        text_escaped(t, m->source);
        text_printf(t, " %s\n", (m->flags | m->super->flags) & MS_RDONLY ? "ro" : "rw");
        break;
    case MOUNTSTATS:
        text_printf(t, "device ");
        text_escaped(t, m->source);
        text_printf(t, " mounted on ");
        text_escaped(t, path);
        text_printf(t, " with fstype %s\n", m->super->type);
    }
}

/* The roots of all mounts are collected first: dentry_path() takes the tree lock itself. */
static int show(struct text *t, enum format format)
{
    struct dentry **roots = NULL;
    struct mount *m;
    size_t count = 0, room = 0;
    char *buf = kmalloc(PATH_MAX);

    if (!buf)
        return -ENOMEM;
    mutex_lock(&g_tree_lock);
    list_for_each_entry (m, &g_mounts, link)
        room++;
    roots = kmalloc(MAX(room, 1) * sizeof(struct dentry *));
    if (roots)
        list_for_each_entry (m, &g_mounts, link)
            roots[count++] = dentry_get(m->root);
    mutex_unlock(&g_tree_lock);
    for (size_t k = 0; k < count; k++) {
        char *path = dentry_path(roots[k], buf, PATH_MAX);

        if (!is_err(path) && path[0] == '/')
            one_mount(t, roots[k]->mount, path, format);
        dentry_put(roots[k]);
    }
    int r = roots ? 0 : -ENOMEM;
    kfree(roots);
    kfree(buf);
    return r;
}

int proc_show_mounts(struct pseudo_inode *p, struct text *t)
{
    return show(t, MOUNTS);
}
int proc_show_mountinfo(struct pseudo_inode *p, struct text *t)
{
    return show(t, MOUNTINFO);
}
int proc_show_mountstats(struct pseudo_inode *p, struct text *t)
{
    return show(t, MOUNTSTATS);
}
