/* SPDX-License-Identifier: Apache-2.0 */
/* Devices by number, whatever node leads to them; and the file system for /dev. */
#include "memfs.h"
#include "tty.h"

#define DEV(major, minor) TTY_DEV(major, minor)

static ssize_t null_read(struct file *f, struct uio *io, u64 *pos)
{
    return 0;
}
static ssize_t sink_write(struct file *f, struct uio *io, u64 *pos)
{
    return (ssize_t)io->left;
}
static i64 null_seek(struct file *f, i64 off, int whence)
{
    f->pos = 0;
    return 0;
}
static ssize_t zero_read(struct file *f, struct uio *io, u64 *pos)
{
    return uio_zero(io, io->left);
}
static ssize_t full_write(struct file *f, struct uio *io, u64 *pos)
{
    return io->left ? -ENOSPC : 0;
}
/* mm takes the presence of this as: private anonymous memory. */
static int zero_mmap(struct file *f, struct vma *vma)
{
    return 0;
}

static ssize_t random_read(struct file *f, struct uio *io, u64 *pos)
{
    u8 buf[256];
    ssize_t done = 0, r = 0;

    while (io->left) {
        size_t n = MIN(io->left, sizeof(buf));

        random_bytes(buf, n);
        r = uio_to(io, buf, n);
        if (r <= 0)
            break;
        done += r;
    }
    memset(buf, 0, sizeof(buf));
    return done ? done : r;
}

static long random_ioctl(struct file *f, u32 cmd, u64 arg)
{
    switch (cmd) {
    case 0x80045200: /* RNDGETENTCNT */
        return put_user((i32)256, user_at(arg));
    case 0x40045201: /* RNDADDTOENTCNT */
    case 0x40085203: /* RNDADDENTROPY */
    case 0x5204:     /* RNDZAPENTCNT */
    case 0x5206:     /* RNDCLEARPOOL */
    case 0x5207:     /* RNDRESEEDCRNG */
        return fs_capable(CAP_SYS_ADMIN) ? 0 : -EPERM;
    default:
        return -ENOTTY;
    }
}

/* Lines for the kernel's log go to ours. */
static ssize_t kmsg_write(struct file *f, struct uio *io, u64 *pos)
{
    char line[256];
    ssize_t n = uio_from(io, line, MIN(io->left, sizeof(line) - 1));

    if (n > 0) {
        line[n] = 0;
        log_debug("kmsg: %s", line);
        io->left = 0;
    }
    return n;
}
static ssize_t kmsg_read(struct file *f, struct uio *io, u64 *pos)
{
    return -EAGAIN;
}

static const struct file_ops g_null = {.read = null_read, .write = sink_write, .seek = null_seek};
static const struct file_ops g_zero = {
    .read = zero_read, .write = sink_write, .seek = null_seek, .mmap = zero_mmap};
static const struct file_ops g_full = {
    .read = zero_read, .write = full_write, .seek = null_seek, .mmap = zero_mmap};
static const struct file_ops g_random = {
    .read = random_read, .write = sink_write, .seek = null_seek, .ioctl = random_ioctl};
static const struct file_ops g_kmsg = {.read = kmsg_read, .write = kmsg_write, .seek = null_seek};

static int open_tty(struct tty *t, struct file *f) /* takes the reference */
{
    int r = t->open(t, f);

    if (r == 0)
        tty_opened(t, f);
    tty_put(t);
    return r;
}

int device_open(struct inode *i, struct file *f)
{
    struct tty *t;

    if (!S_ISCHR(i->mode))
        return -ENXIO;
    if (TTY_DEV_MAJOR(i->rdev) == TTY_MAJOR_PTS) {
        t = tty_of_device(i);
        return t ? open_tty(t, f) : -EIO;
    }
    switch (i->rdev) {
    case DEV(1, 3):
        f->ops = &g_null;
        return 0;
    case DEV(1, 5):
        f->ops = &g_zero;
        return 0;
    case DEV(1, 7):
        f->ops = &g_full;
        return 0;
    case DEV(1, 8):
    case DEV(1, 9):
        f->ops = &g_random;
        return 0;
    case DEV(1, 11):
        f->ops = &g_kmsg;
        return 0;
    case DEV(5, 0):
        t = tty_of_current();
        return t ? open_tty(t, f) : -ENXIO;
    case DEV(5, 1):
        t = host_console();
        return t ? open_tty(t, f) : -EIO;
    case DEV(5, 2):
        return ptmx_open(i, f);
    default:
        return -ENXIO;
    }
}

/* ---- /dev ---- */

static const struct {
    const char *name;
    u32 mode;
    u64 rdev;
    const char *link;
} g_dev_nodes[] = {
    {"null", S_IFCHR | 0666, DEV(1, 3), NULL},
    {"zero", S_IFCHR | 0666, DEV(1, 5), NULL},
    {"full", S_IFCHR | 0666, DEV(1, 7), NULL},
    {"random", S_IFCHR | 0666, DEV(1, 8), NULL},
    {"urandom", S_IFCHR | 0666, DEV(1, 9), NULL},
    {"tty", S_IFCHR | 0666, DEV(5, 0), NULL},
    {"console", S_IFCHR | 0620, DEV(5, 1), NULL},
    {"pts", S_IFDIR | 0755, 0, NULL},
    {"shm", S_IFDIR | 01777, 0, NULL},
    {"mqueue", S_IFDIR | 01777, 0, NULL},
    {"attestation", S_IFDIR | 0555, 0, NULL},
    {"ptmx", S_IFLNK | 0777, 0, "pts/ptmx"},
    {"fd", S_IFLNK | 0777, 0, "/proc/self/fd"},
    {"stdin", S_IFLNK | 0777, 0, "/proc/self/fd/0"},
    {"stdout", S_IFLNK | 0777, 0, "/proc/self/fd/1"},
    {"stderr", S_IFLNK | 0777, 0, "/proc/self/fd/2"},
    {"core", S_IFLNK | 0777, 0, "/proc/kcore"},
};

struct super *devfs_create(void)
{
    struct super *s = memfs_create("tmpfs", 64 << 20, 0755, 0, 0);
    struct inode *root, *i;
    int r = 0;

    if (is_err(s))
        return s;
    root = s->root;
    mutex_lock(&root->lock);
    for (size_t k = 0; k < ARRAY_SIZE(g_dev_nodes) && r == 0; k++) {
        const char *name = g_dev_nodes[k].name;

        r = g_dev_nodes[k].link
                ? root->ops->symlink(root, name, strlen(name), g_dev_nodes[k].link, &i)
                : root->ops->create(root, name, strlen(name), g_dev_nodes[k].mode,
                                    g_dev_nodes[k].rdev, &i);
        if (r == 0) {
            i->uid = 0;
            i->gid = strcmp(name, "tty") == 0 || strcmp(name, "console") == 0 ? 5 : 0;
            inode_put(i);
        }
    }
    mutex_unlock(&root->lock);
    return r < 0 ? err_ptr(r) : s;
}
