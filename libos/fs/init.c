/* SPDX-License-Identifier: Apache-2.0 */
/* The file systems of a container, from the measured manifest and its deployment half. */
#include "crypto.h"
#include "manifest.h"

#include "deployment.h"
#include "procfs.h"
#include "tty.h"

static u32 mount_flags(u32 flags)
{
    return (flags & MANIFEST_MOUNT_READONLY ? MS_RDONLY : 0) |
           (flags & MANIFEST_MOUNT_NOEXEC ? MS_NOEXEC : 0) |
           (flags & MANIFEST_MOUNT_NOSUID ? MS_NOSUID : 0) |
           (flags & MANIFEST_MOUNT_NODEV ? MS_NODEV : 0);
}

#define DANGLING_MAX 40u

/*
 * part is a link of the image, or of what was mounted before, to something that is not there: a new
 * string with where `rest`, which follows it, is to be made. NULL: it is none. A link of the host
 * is refused.
 */
static char *follow_dangling(const char *part, const char *rest)
{
    struct dentry *d;
    char *target, *s = NULL;
    size_t directory = (size_t)(strrchr(part, '/') - part) + 1, size;
    ssize_t n;

    if (path_lookup(AT_FDCWD, part, LOOKUP_NOFOLLOW | LOOKUP_NO_HOST_LINKS, &d) < 0)
        return NULL;
    if (!S_ISLNK(d->inode->mode)) {
        dentry_put(d);
        return NULL;
    }
    target = kmalloc(PATH_MAX);
    n = dentry_untrusted(d) ? -ELOOP
        : target            ? d->inode->ops->readlink(d->inode, target, PATH_MAX - 1)
                            : -ENOMEM;
    dentry_put(d);
    if (n > 0) {
        target[n] = 0;
        size = directory + (size_t)n + strlen(rest) + 1;
        s = size <= PATH_MAX ? kmalloc(size) : NULL;
        if (s)
            snprintf(s, size, "%.*s%s%s", target[0] == '/' ? 0 : (int)directory, part, target,
                     rest);
        else
            n = size <= PATH_MAX ? -ENOMEM : -ENAMETOOLONG;
    }
    kfree(target);
    return n > 0 ? s : err_ptr(n < 0 ? (int)n : -ENOENT);
}

/* One attempt. -EAGAIN: *next is the path to go on with. */
static int make_path(const char *path, bool is_file, struct dentry **out, char **next)
{
    char part[PATH_MAX];
    size_t n = strlen(path);
    int r = path_lookup(AT_FDCWD, path, LOOKUP_NO_HOST_LINKS, out);

    if (r != -ENOENT || n >= sizeof(part))
        return r;
    for (size_t k = 1; k <= n; k++) {
        struct dentry *parent, *d = NULL;
        const char *name;

        if (path[k] != '/' && path[k])
            continue;
        memcpy(part, path, k);
        part[k] = 0;
        name = strrchr(part, '/') + 1;
        if (!*name || path_lookup(AT_FDCWD, part, LOOKUP_NO_HOST_LINKS, &d) == 0) {
            if (d)
                dentry_put(d);
            continue;
        }
        *next = follow_dangling(part, path + k);
        if (is_err(*next)) {
            r = ptr_err(*next);
            *next = NULL;
            return r;
        }
        if (*next)
            return -EAGAIN;
        if (path[k] == 0 && is_file) {
            r = path_mknod(AT_FDCWD, part, S_IFREG | 0644, 0, NULL);
        } else {
            struct inode *i;

            part[name - part - 1 ? name - part - 1 : 1] = 0;
            r = path_lookup(AT_FDCWD, part, LOOKUP_DIRECTORY | LOOKUP_NO_HOST_LINKS, &parent);
            if (r == 0) {
                mutex_lock(&parent->inode->lock);
                r = parent->inode->ops->create
                        ? parent->inode->ops->create(parent->inode, path + (name - part),
                                                     k - (size_t)(name - part), S_IFDIR | 0755, 0,
                                                     &i)
                        : -EROFS;
                mutex_unlock(&parent->inode->lock);
                if (r == 0) {
                    /* Drop what the failed lookup left behind. */
                    struct dentry *negative = dcache_find(
                        parent, path + (name - part), k - (size_t)(name - part),
                        name_hash(parent, path + (name - part), k - (size_t)(name - part)));

                    if (negative) {
                        dcache_remove(negative);
                        dentry_put(negative);
                    }
                    inode_put(i);
                }
                dentry_put(parent);
            }
        }
        if (r < 0)
            return r;
    }
    return path_lookup(AT_FDCWD, path, LOOKUP_NO_HOST_LINKS, out);
}

/* The place to mount on; what is missing is made, as runtimes do, at the end of links that lead
 * nowhere as well. It is where the deployment says: a link that the host put on the way is
 * refused. */
static int make_target(const char *path, bool is_file, struct dentry **out)
{
    char *at = NULL, *next = NULL;
    int r = -ELOOP;

    for (u32 i = 0; i < DANGLING_MAX; i++) {
        r = make_path(at ? at : path, is_file, out, &next);
        kfree(at);
        at = next;
        next = NULL;
        if (r != -EAGAIN)
            return r;
    }
    kfree(at);
    return -ELOOP;
}

/* As runtimes do: without a mode of its own it has that of the directory of the image that it
 * covers. */
static struct super *make_tmpfs(const struct deployment_mount *m, const struct dentry *covered)
{
    u32 mode = m->mode ? m->mode : 01777;
    struct super *s;

    if (covered && !mount_option_given(m->options, "mode"))
        mode = covered->inode->mode & 07777;
    s = memfs_create("tmpfs", m->size, mode, mount_option_number(m->options, "uid"),
                     mount_option_number(m->options, "gid"));
    if (!is_err(s))
        memfs_limit_inodes(s, mount_option_number(m->options, "nr_inodes"));
    return s;
}

/*
 * tmpcopyup: the image's directory, whose writes are in memory anyhow, mounted onto itself. So
 * nothing is copied; its size is bounded by memory alone.
 */
static int mount_copied_up(const struct deployment_mount *m, struct dentry *covered)
{
    struct setattr a = {.valid = SETATTR_MODE, .mode = m->mode};
    int r = mount_option_given(m->options, "mode") ? inode_setattr(covered->inode, &a) : 0;

    covered->inode->super->revalidate = true;
    return r < 0 ? r
                 : mount_attach(covered->inode->super, covered->inode, covered,
                                mount_flags(m->flags), m->source, m->options, m->target);
}

/* covered: a directory of the image in the mount's place, or NULL. */
static struct super *make_super(const struct deployment_mount *m, const struct dentry *covered)
{
    hostfd fd;

    switch (m->kind) {
    case MANIFEST_MOUNT_TMPFS:
        return make_tmpfs(m, covered);
    case MANIFEST_MOUNT_PROC:
        return procfs_create();
    case MANIFEST_MOUNT_DEV:
        return devfs_create();
    case MANIFEST_MOUNT_DEVPTS:
        return g_file_systems->make("devpts", m->options);
    case MANIFEST_MOUNT_SYSFS:
        return sysfs_create();
    case MANIFEST_MOUNT_MQUEUE:
        return g_file_systems->make("mqueue", NULL);
    case MANIFEST_MOUNT_CGROUP:
        return cgroupfs_create();
    case MANIFEST_MOUNT_PASSTHROUGH:
        fd = deployment_mount_fd(m->index);
        return !hostfd_ok(fd) ? err_ptr(fd.n) : hostfs_create(fd, m->flags);
    default: /* encrypted volumes: refused rather than shown empty */
        return err_ptr(-EOPNOTSUPP);
    }
}

/* One of our own devices in another place. */
static int mount_device(const struct deployment_mount *m, struct dentry *target)
{
    struct dentry *node;
    int r = path_lookup(AT_FDCWD, m->source, LOOKUP_NO_HOST_LINKS, &node);

    if (r < 0)
        return r;
    r = S_ISCHR(node->inode->mode) && !dentry_untrusted(node) ? mount_bind(node, target, 0)
                                                              : -ENODEV;
    dentry_put(node);
    return r;
}

static const char *default_source(const struct deployment_mount *m)
{
    switch (m->kind) {
    case MANIFEST_MOUNT_PASSTHROUGH:
        return "host"; /* the host's path is nobody's business in here */
    default:
        return m->source && *m->source ? m->source : NULL;
    }
}

/* Is there a directory of the image, or of another tmpfs, before the mount point is made? */
static bool covers_directory(const char *path)
{
    struct dentry *d;
    bool covers;

    if (path_lookup(AT_FDCWD, path, LOOKUP_NO_HOST_LINKS, &d) < 0)
        return false;
    covers = S_ISDIR(d->inode->mode) && d->inode->super->memory;
    dentry_put(d);
    return covers;
}

static int do_mount(const struct deployment_mount *m)
{
    struct dentry *target, *covered;
    struct super *s;
    bool covers = covers_directory(m->target);
    int r = make_target(m->target,
                        m->kind == MANIFEST_MOUNT_DEVICE || (m->flags & MANIFEST_MOUNT_IS_FILE),
                        &target);

    if (r < 0) {
        log_error("mount %s: cannot make the mount point: error %d%s", m->target, -r,
                  r == -ELOOP ? " (a link of the host is on the way)" : "");
        return r;
    }
    covered = covers ? target : NULL;
    if (m->kind == MANIFEST_MOUNT_DEVICE) {
        r = mount_device(m, target);
    } else if (m->kind == MANIFEST_MOUNT_TMPFS && covered &&
               mount_option_given(m->options, "tmpcopyup")) {
        r = mount_copied_up(m, covered);
    } else {
        s = make_super(m, covered);
        r = is_err(s) ? ptr_err(s)
                      : mount_attach(s, s->root, target, mount_flags(m->flags), default_source(m),
                                     m->options, NULL);
    }
    dentry_put(target);
    if (r < 0)
        log_error("mount %s: error %d%s", m->target, -r,
                  m->kind == MANIFEST_MOUNT_ENCRYPTED ? " (encrypted volumes are not supported)"
                                                      : "");
    return r;
}

/*
 * /dev/attestation, in whatever is mounted on /dev. Without it there is no start: programs would
 * find what a host that has its own directory on /dev put there.
 */
static int mount_attestation(void)
{
    struct dentry *target;
    struct super *s;
    int r = make_target("/dev/attestation", false, &target);

    if (r == 0) {
        s = attestation_create();
        r = is_err(s) ? ptr_err(s)
                      : mount_attach(s, s->root, target, MS_NOSUID | MS_NOEXEC, "attestation", NULL,
                                     NULL);
        dentry_put(target);
    }
    if (r < 0)
        log_error("/dev/attestation cannot be mounted in what is mounted on /dev: error %d", -r);
    return r;
}

/* What masks a file: a null device of the LibOS's own. What /dev/null is, the host says where its
 * directory is mounted on /dev. */
static int mask_file(struct dentry *d)
{
    struct super *s = memfs_create("tmpfs", PAGE_SIZE, 0755, 0, 0);
    struct inode *null;
    int r;

    if (is_err(s))
        return ptr_err(s);
    mutex_lock(&s->root->lock);
    r = s->root->ops->create(s->root, "null", 4, S_IFCHR | 0666, TTY_DEV(1, 3), &null);
    mutex_unlock(&s->root->lock);
    if (r < 0)
        return r;
    null->uid = null->gid = 0;
    r = mount_attach(s, null, d, MS_NOSUID, "tmpfs", NULL, "/null");
    inode_put(null);
    return r;
}

static int mask_directory(struct dentry *d)
{
    struct super *s = memfs_create("tmpfs", PAGE_SIZE, 0755, 0, 0);

    return is_err(s) ? ptr_err(s) : mount_attach(s, s->root, d, MS_RDONLY, "tmpfs", NULL, NULL);
}

static int mask_path(const char *path)
{
    struct dentry *d;
    int r = path_lookup(AT_FDCWD, path, LOOKUP_NO_HOST_LINKS, &d);

    if (r < 0)
        return r == -ENOENT || r == -ENOTDIR ? 0 : r;
    r = S_ISDIR(d->inode->mode) ? mask_directory(d) : mask_file(d);
    dentry_put(d);
    return r;
}

static int make_readonly(const char *path)
{
    struct dentry *d;
    int r = path_lookup(AT_FDCWD, path, LOOKUP_NO_HOST_LINKS, &d);

    if (r < 0)
        return r == -ENOENT || r == -ENOTDIR ? 0 : r;
    r = mount_bind(d, d, MS_RDONLY);
    dentry_put(d);
    return r;
}

static int for_each_path(char **paths, int (*fn)(const char *), const char *what)
{
    for (; paths && *paths; paths++) {
        int r = fn(*paths);

        if (r < 0) {
            log_error("%s path %s: error %d", what, *paths, -r);
            return r;
        }
    }
    return 0;
}

/* name=value: what /proc/sys does not know is not ours to set. */
static void apply_sysctl(const char *setting)
{
    char path[256] = "/proc/sys/";
    const char *equal = strchr(setting, '=');
    size_t n = equal ? (size_t)(equal - setting) : 0, at = strlen(path);
    struct file *f;
    ssize_t r;

    if (!n || at + n >= sizeof(path))
        return;
    for (size_t k = 0; k < n; k++)
        path[at + k] = setting[k] == '.' ? '/' : setting[k];
    path[at + n] = 0;
    r = path_open(AT_FDCWD, path, O_WRONLY, 0, &f);
    if (r == 0) {
        r = file_write_kernel(f, equal + 1, strlen(equal + 1), NULL);
        file_put(f);
    }
    if (r < 0)
        log_warn("sysctl %s cannot be set: error %d", setting, (int)-r);
}

static bool has_mount(const struct deployment *d, const char *target)
{
    for (u32 k = 0; k < d->mount_count; k++)
        if (strcmp(d->mounts[k].target, target) == 0)
            return true;
    return false;
}

/* Whichever mount it is that programs find there: a file, whatever kind of file the host says. */
static int keep_localhost(void)
{
    struct dentry *d;
    int r = 0;

    if (path_lookup(AT_FDCWD, "/etc/hosts", LOOKUP_NO_HOST_LINKS, &d) < 0)
        return 0;
    if (dentry_untrusted(d) && d->inode == d->mount->super->root)
        r = hostfs_keep_localhost(d->mount->super);
    dentry_put(d);
    if (r < 0)
        log_error("mount /etc/hosts: the host says that it is no regular file");
    return r;
}

/* One that the LibOS does not have, and programs do without. Any other mount is there or nothing
 * starts, whatever error the host has for it: the program took what is below for the volume. */
static bool is_missing_device(const struct deployment_mount *m, int error)
{
    return m->kind == MANIFEST_MOUNT_DEVICE && error == -ENODEV;
}

/*
 * The project's own program, which the host has mapped behind the image: copied in, hashed, and put
 * into a file that nobody can change.
 */
static int write_proxy(const struct manifest_image *m, void *copy)
{
    u8 hash[SHA256_SIZE];
    struct file *f;
    ssize_t n;
    int r = host_image_read(m->image_size, copy, m->proxy_size);

    if (r < 0)
        return r;
    sha256_once(NULL, 0, copy, m->proxy_size, hash);
    if (!crypto_equal(hash, m->proxy_hash, sizeof(hash)))
        return -EPERM;
    r = path_open(AT_FDCWD, RATLS_PROXY, O_WRONLY | O_CREAT, 0555, &f);
    if (r < 0)
        return r;
    n = file_write_kernel(f, copy, m->proxy_size, NULL);
    file_put(f);
    if (n < 0)
        return (int)n;
    return (u64)n == m->proxy_size ? make_readonly(RATLS_PROXY_DIR) : -EIO;
}

static int install_proxy(const struct manifest_image *m)
{
    struct dentry *target;
    struct super *s;
    void *copy;
    int r = make_target(RATLS_PROXY_DIR, false, &target);

    if (r < 0)
        return r;
    s = memfs_create("tmpfs", 0, 0755, 0, 0);
    r = is_err(s) ? ptr_err(s)
                  : mount_attach(s, s->root, target, MS_NOSUID | MS_NODEV, "rune", NULL, NULL);
    dentry_put(target);
    if (r < 0)
        return r;
    copy = m->proxy_size > 0 && m->proxy_size <= MANIFEST_PROXY_MAX ? kmalloc(m->proxy_size) : NULL;
    if (!copy)
        return m->proxy_size > 0 ? -ENOMEM : -ENOENT;
    r = write_proxy(m, copy);
    kfree(copy);
    return r;
}

int fs_init(const struct manifest_image *manifest, const struct deployment *deployment,
            const struct proc_sources *sources)
{
    static const struct deployment_mount defaults[] = {
        {.kind = MANIFEST_MOUNT_PROC, .target = (char *)(uintptr_t) "/proc"},
        {.kind = MANIFEST_MOUNT_DEV, .target = (char *)(uintptr_t) "/dev"},
    };
    struct super *s;
    int r;

    g_proc_sources = sources;
    file_systems_register();
    dcache_init();
    s = sealed_create(manifest);
    r = is_err(s) ? ptr_err(s) : mount_attach(s, s->root, NULL, 0, "overlay", NULL, NULL);
    if (r < 0) {
        log_error("the sealed root filesystem cannot be opened: error %d", -r);
        return r;
    }
    /* Programs cannot live without these two; configurations that leave them out mean the
     * host's. */
    for (size_t k = 0; k < ARRAY_SIZE(defaults); k++)
        if (!has_mount(deployment, defaults[k].target))
            do_mount(&defaults[k]);
    for (u32 k = 0; k < deployment->mount_count; k++) {
        r = do_mount(&deployment->mounts[k]);
        if (r < 0 && !is_missing_device(&deployment->mounts[k], r))
            return r;
    }
    r = keep_localhost();
    if (r == 0)
        r = mount_attestation();
    if (r < 0)
        return r;
    if (deployment->ratls) {
        r = install_proxy(manifest);
        if (r < 0) {
            log_error("enclave.ratls: ratls-proxy is not the one that the enclave was built with, "
                      "or it has no room: error %d",
                      -r);
            return r;
        }
    }
    for (char **q = deployment->sysctls; q && *q; q++)
        apply_sysctl(*q);
    r = for_each_path(deployment->masked_paths, mask_path, "masked");
    if (r == 0)
        r = for_each_path(deployment->readonly_paths, make_readonly, "read-only");
    if (r == 0 && deployment->readonly_root)
        g_root_mount->flags |= MS_RDONLY;
    return r;
}
