/* SPDX-License-Identifier: Apache-2.0 */
/* A host that keeps files by path below the mount, and lets the test change them at any moment. */
#include "host_model.h"
#include "world.h"

#define NODES 64u

static struct model_node g_nodes[NODES];
static u64 g_next_ino;
void (*g_model_hook)(const char *call, const char *path);
int g_model_error;

struct model_node *model_find(const char *path)
{
    for (u32 k = 0; k < NODES; k++)
        if (g_nodes[k].mode && strcmp(g_nodes[k].path, path) == 0)
            return &g_nodes[k];
    return NULL;
}

struct model_node *model_put(const char *path, u32 mode, const char *text)
{
    struct model_node *n = model_find(path);

    for (u32 k = 0; !n && k < NODES; k++)
        if (!g_nodes[k].mode)
            n = &g_nodes[k];
    if (!n)
        return NULL;
    *n = (struct model_node){.mode = mode, .ino = ++g_next_ino};
    strlcpy(n->path, path, sizeof(n->path));
    strlcpy(n->text, text ? text : "", sizeof(n->text));
    n->size = strlen(n->text);
    return n;
}

struct model_node *model_rename_over(const char *path, u32 mode, const char *text)
{
    struct model_node *old = model_find(path);

    if (old)
        snprintf(old->path, sizeof(old->path), "/gone/%llu", (unsigned long long)old->ino);
    return model_put(path, mode, text);
}

void model_reset(void)
{
    memset(g_nodes, 0, sizeof(g_nodes));
    g_model_hook = NULL;
    g_model_error = 0;
    model_put("", S_IFDIR | 0755, NULL);
}

/* Descriptors: MODEL_ROOT is the mount's, the others a node's number. */
static struct model_node *node_of(hostfd dir, const char *path)
{
    if (dir.n != MODEL_ROOT)
        return dir.n >= 100 && dir.n < 100 + (int)NODES ? &g_nodes[dir.n - 100] : NULL;
    return model_find(path);
}

static struct model_node *asked(const char *call, hostfd dir, const char *path)
{
    if (g_model_hook)
        g_model_hook(call, path);
    return node_of(dir, path);
}

int host_stat(hostfd dir, const char *path, bool follow, struct host_stat *st)
{
    struct model_node *n = asked("stat", dir, path);

    if (g_model_error)
        return g_model_error;
    if (!n)
        return -ENOENT;
    *st = (struct host_stat){.dev = 1,
                             .ino = n->ino,
                             .nlink = 1,
                             .size = n->size,
                             .rdev = n->rdev,
                             .mode = n->mode,
                             .uid = n->uid};
    return 0;
}

hostfd host_open(hostfd dir, const char *path, int flags, u32 mode)
{
    struct model_node *n = asked("open", dir, path);

    if (g_model_error)
        return no_hostfd(g_model_error);
    if (n && (flags & O_CREAT) && (flags & O_EXCL))
        return no_hostfd(-EEXIST);
    if (!n && (flags & O_CREAT))
        n = model_put(path, S_IFREG | mode, NULL);
    if (!n)
        return no_hostfd(-ENOENT);
    if (S_ISLNK(n->mode) && (flags & O_NOFOLLOW))
        return no_hostfd(-ELOOP);
    return (hostfd){100 + (int)(n - g_nodes)};
}

ssize_t host_read(hostfd hfd, void *buf, size_t n, off_t off)
{
    struct model_node *m = asked("read", hfd, "");

    if (g_model_error)
        return g_model_error;
    n = (size_t)off >= m->size ? 0 : MIN(n, m->size - (size_t)off);
    memcpy(buf, m->text + off, n);
    return (ssize_t)n;
}

ssize_t host_write(hostfd hfd, const void *buf, size_t n, off_t off)
{
    struct model_node *m = node_of(hfd, "");

    n = MIN(n, sizeof(m->text) - MIN((size_t)off, sizeof(m->text)));
    memcpy(m->text + off, buf, n);
    m->size = MAX(m->size, (size_t)off + n);
    return n ? (ssize_t)n : -ENOSPC;
}

ssize_t host_readlink(hostfd dir, const char *path, char *buf, size_t n)
{
    struct model_node *m = asked("readlink", dir, path);

    if (!m || !S_ISLNK(m->mode))
        return m ? -EINVAL : -ENOENT;
    n = MIN(n, m->size);
    memcpy(buf, m->text, n);
    return (ssize_t)n;
}

static int put_new(const char *path, u32 mode, const char *text)
{
    return model_find(path) ? -EEXIST : model_put(path, mode, text) ? 0 : -ENOSPC;
}
int host_mkdir(hostfd dir, const char *path, u32 mode)
{
    return put_new(path, S_IFDIR | mode, NULL);
}
int host_symlink(const char *target, hostfd dir, const char *path)
{
    return put_new(path, S_IFLNK | 0777, target);
}
int host_mknod(hostfd dir, const char *path, u32 mode, u64 dev)
{
    return put_new(path, mode, NULL);
}
int host_bind_path(hostfd hfd, hostfd dir, const char *path, const char *text)
{
    return put_new(path, S_IFSOCK | 0777, NULL);
}
int host_link(hostfd old_dir, const char *old_path, hostfd new_dir, const char *new_path)
{
    return put_new(new_path, S_IFREG | 0644, NULL);
}
int host_unlink(hostfd dir, const char *path, bool is_dir)
{
    struct model_node *n = asked("unlink", dir, path);

    if (n)
        n->mode = 0;
    return n ? 0 : -ENOENT;
}
int host_rename(hostfd old_dir, const char *old_path, hostfd new_dir, const char *new_path,
                u32 flags)
{
    struct model_node *n = asked("rename", old_dir, old_path);

    if (!n)
        return -ENOENT;
    host_unlink(new_dir, new_path, false);
    strlcpy(n->path, new_path, sizeof(n->path));
    return 0;
}
int host_chmod(hostfd dir, const char *path, u32 mode)
{
    struct model_node *n = node_of(dir, path);

    if (n)
        n->mode = (n->mode & S_IFMT) | mode;
    return n ? 0 : -ENOENT;
}
int host_chown(hostfd dir, const char *path, u32 uid, u32 gid, bool follow)
{
    return node_of(dir, path) ? 0 : -ENOENT;
}
int host_utimens(hostfd dir, const char *path, const i64 times[4], bool follow)
{
    return node_of(dir, path) ? 0 : -ENOENT;
}
int host_ftruncate(hostfd hfd, u64 size)
{
    node_of(hfd, "")->size = MIN(size, sizeof(node_of(hfd, "")->text));
    return 0;
}
int host_statfs(hostfd hfd, struct host_statfs *st)
{
    *st = (struct host_statfs){.type = 1};
    return 0;
}
ssize_t host_getdents(hostfd hfd, void *buf, size_t n)
{
    return 0;
}
off_t host_lseek(hostfd hfd, off_t off, int whence)
{
    return 0;
}
int host_fallocate(hostfd hfd, int mode, u64 off, u64 n)
{
    return 0;
}
int host_fsync(hostfd hfd, bool data_only)
{
    return 0;
}
int host_close(hostfd hfd)
{
    return 0;
}
int host_lock(hostfd hfd, bool whole, int type, u64 start, u64 end)
{
    return 0;
}
int host_lock_test(hostfd hfd, bool *write, u64 *start, u64 *end)
{
    return 0;
}
