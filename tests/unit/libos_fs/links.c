/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host that puts links into a pass-through mount: every call that takes a path, with every kind
 * of link in every position, gets nothing of the enclave and changes nothing there.
 */
#include "host_model.h"
#include "layout.h"
#include "manifest.h"
#include "vfs.h"
#include "test_host.h"

#include <asm/stat.h>
#include <asm/statfs.h>
#include <linux/openat2.h>
#include <setjmp.h>
#include <stdlib.h>
#include <cmocka.h>

#define is(a, b) assert_int_equal((long)(a), (long)(b))

/* ---- the enclave's files, which stay as they are ---- */

static const char *const g_kept[] = {
    "/",
    "/etc",
    "/etc/passwd",
    "/run",
    "/run/secrets",
    "/run/secrets/key",
    "/host/below",
    "/host/below/key",
};
static struct stat g_before[ARRAY_SIZE(g_kept)];

static void put_file(const char *path, const char *text)
{
    long fd = CALL(open, path, O_CREAT | O_WRONLY | O_TRUNC, 0644);

    assert_true(fd >= 0);
    is(CALL(write, fd, text, strlen(text)), strlen(text));
    is(CALL(close, fd), 0);
}

static ssize_t get_text(const char *path, char *buf, size_t size)
{
    long fd = CALL(open, path, O_RDONLY), n = fd < 0 ? fd : CALL(read, fd, buf, size - 1);

    if (n >= 0)
        buf[n] = 0;
    if (fd >= 0)
        CALL(close, fd);
    return n;
}

static void check_text(const char *path, const char *text)
{
    char buf[200];

    is(get_text(path, buf, sizeof(buf)), strlen(text));
    assert_string_equal(buf, text);
}

static void remember(void)
{
    for (size_t k = 0; k < ARRAY_SIZE(g_kept); k++)
        is(CALL(lstat, g_kept[k], &g_before[k]), 0);
}

static void check_kept(const char *what, const char *path)
{
    for (size_t k = 0; k < ARRAY_SIZE(g_kept); k++) {
        struct stat now;

        is(CALL(lstat, g_kept[k], &now), 0);
        if (now.st_ctime != g_before[k].st_ctime || now.st_size != g_before[k].st_size ||
            now.st_ctime_nsec != g_before[k].st_ctime_nsec)
            fail_msg("%s(%s) changed %s", what, path, g_kept[k]);
    }
}

static bool is_kept(const struct stat *st)
{
    for (size_t k = 0; k < ARRAY_SIZE(g_kept); k++)
        if (st->st_dev == g_before[k].st_dev && st->st_ino == g_before[k].st_ino)
            return true;
    return false;
}

static void mount_host(u32 flags)
{
    struct dentry *d;
    struct super *s = hostfs_create((hostfd){MODEL_ROOT}, flags);

    assert_false(is_err(s));
    is(path_lookup(AT_FDCWD, "/host", 0, &d), 0);
    is(mount_attach(s, s->root, d, 0, "host", NULL, NULL), 0);
    dentry_put(d);
}

static int start(void **state)
{
    world_start(memfs_create("tmpfs", 8 << 20, 0755, 0, 0));
    is(CALL(mkdir, "/etc", 0755), 0);
    is(CALL(mkdir, "/run", 0755), 0);
    is(CALL(mkdir, "/run/secrets", 0755), 0);
    is(CALL(mkdir, "/host", 0755), 0);
    put_file("/etc/passwd", "root");
    put_file("/run/secrets/key", "secret");
    is(CALL(setxattr, "/run/secrets/key", "user.tag", "secret", 6, 0), 0);
    model_reset();
    return 0;
}

static int stop(void **state)
{
    CALL(chdir, "/");
    world_stop();
    return 0;
}

/* ---- links that lead to /run/secrets/key, on Linux ---- */

static const struct {
    const char *path, *target;
} g_links[] = {
    {"abs", "/run/secrets/key"},
    {"slashes", "//run//secrets/./key"},
    {"up", "../run/secrets/key"},
    {"up-far", "../../../../../../run/secrets/key"},
    {"d/up", "../../run/secrets/key"},
    {"root", "/"},
    {"d/root", "../.."},
    {"dot", "."},
    {"chain", "chain2"},
    {"chain2", "chain3"},
    {"chain3", "/run/secrets/key"},
    {"own", "/host/../run/secrets/key"},
    {"below-link", "below/key"},
    {"below-abs", "/host/below/key"},
    {"below-up", "/host/below/../below/key"},
    {"twice", "root/host/root/run/secrets/key"},
    {"new", "/run/secrets/new"},
    {"etc", "/etc"},
};
static const char *const g_paths[] = {
    "/host/abs",
    "/host/slashes",
    "/host/up",
    "/host/up-far",
    "/host/d/up",
    "/host/root/run/secrets/key",
    "/host/d/root/run/secrets/key",
    "/host/d/../root/run/secrets/key",
    "/host/dot/../run/secrets/key",
    "/host/dot/../../run/secrets/key",
    "/host/chain",
    "/host/own",
    "/host/below-link",
    "/host/below-abs",
    "/host/below-up",
    "/host/twice",
    "/host/new",
    "/host/etc/passwd",
    "/host/root/run/secrets/new",
    "up", /* from /host/d */
    "root/run/secrets/key",
    "./../abs",
};

static void put_links(void)
{
    model_put("d", S_IFDIR | 0755, NULL);
    model_put("below", S_IFDIR | 0755, NULL);
    model_put("plain", S_IFREG | 0644, "host's");
    for (size_t k = 0; k < ARRAY_SIZE(g_links); k++)
        model_put(g_links[k].path, S_IFLNK | 0777, g_links[k].target);
}

/* ---- calls: a result below 0, or it is checked here that it is not of the enclave ---- */

static void no_secret(const char *buf, long n)
{
    for (long k = 0; k + 6 <= n; k++)
        assert_memory_not_equal(buf + k, "secret", 6);
    for (long k = 0; k + 4 <= n; k++)
        assert_memory_not_equal(buf + k, "root", 4);
}

static void open_with(const char *p, u32 flags, u64 resolve)
{
    struct open_how how = {.flags = flags, .mode = flags & O_CREAT ? 0600 : 0, .resolve = resolve};
    char buf[64];
    struct stat st;
    long fd = CALL(openat2, AT_FDCWD, p, &how, sizeof(how)), n;

    if (fd < 0)
        return;
    is(CALL(fstat, fd, &st), 0);
    assert_false(is_kept(&st));
    n = CALL(read, fd, buf, sizeof(buf));
    if (n > 0)
        no_secret(buf, n);
    CALL(write, fd, "bad", 3);
    is(CALL(close, fd), 0);
}

static void call_open(const char *p)
{
    static const u32 flags[] = {O_RDONLY,
                                O_RDWR,
                                O_WRONLY | O_TRUNC,
                                O_WRONLY | O_APPEND,
                                O_RDWR | O_CREAT,
                                O_RDWR | O_CREAT | O_EXCL,
                                O_PATH,
                                O_PATH | O_NOFOLLOW,
                                O_RDONLY | O_DIRECTORY};
    static const u64 resolve[] = {0, RESOLVE_BENEATH, RESOLVE_IN_ROOT, RESOLVE_NO_XDEV,
                                  RESOLVE_NO_MAGICLINKS};

    for (size_t k = 0; k < ARRAY_SIZE(flags); k++)
        for (size_t j = 0; j < ARRAY_SIZE(resolve); j++)
            open_with(p, flags[k], resolve[j]);
    open_with(p, O_RDWR | O_TMPFILE, 0);
}
static void call_stat(const char *p)
{
    struct stat st;
    struct statx x;
    struct statfs fs;

    assert_true(CALL(stat, p, &st) < 0 || !is_kept(&st));
    assert_true(CALL(lstat, p, &st) < 0 || !is_kept(&st));
    assert_true(CALL(newfstatat, AT_FDCWD, p, &st, 0) < 0 || !is_kept(&st));
    assert_true(CALL(statx, AT_FDCWD, p, 0, STATX_INO, &x) < 0 || x.stx_ino != g_before[5].st_ino ||
                x.stx_dev_minor != (g_before[5].st_dev & 0xff));
    assert_true(CALL(statfs, p, &fs) < 0 || fs.f_type == 0x00c0ffee);
}
static void call_access(const char *p)
{
    assert_true(CALL(access, p, 0) < 0);
}
static void call_attributes(const char *p)
{
    i64 times[4] = {1, 0, 1, 0};

    CALL(chmod, p, 0777);
    CALL(chown, p, 1, 1);
    CALL(lchown, p, 1, 1);
    CALL(fchownat, AT_FDCWD, p, 1, 1, 0);
    CALL(utimensat, AT_FDCWD, p, times, 0);
    CALL(truncate, p, 1);
}
static void call_xattr(const char *p)
{
    char buf[64];

    assert_true(CALL(getxattr, p, "user.tag", buf, sizeof(buf)) < 0);
    assert_true(CALL(lgetxattr, p, "user.tag", buf, sizeof(buf)) < 0);
    assert_true(CALL(listxattr, p, buf, sizeof(buf)) <= 0);
    assert_true(CALL(setxattr, p, "user.x", "y", 1, 0) < 0);
    assert_true(CALL(removexattr, p, "user.tag") < 0);
}
static void call_names(const char *p)
{
    char in[128];

    snprintf(in, sizeof(in), "%s/x", p);
    CALL(mkdir, p, 0700);
    CALL(mkdir, in, 0700);
    CALL(mknod, p, S_IFREG | 0600, 0);
    CALL(mknod, in, S_IFIFO | 0600, 0);
    CALL(symlink, "x", in);
    CALL(rmdir, p);
    CALL(unlink, in);
    assert_true(CALL(rename, "/run/secrets/key", p) < 0);
    assert_true(CALL(rename, "/run/secrets/key", in) < 0);
    assert_true(CALL(link, "/run/secrets/key", p) < 0);
    assert_true(CALL(linkat, AT_FDCWD, "/run/secrets/key", AT_FDCWD, in, 0) < 0);
    assert_true(CALL(linkat, AT_FDCWD, p, AT_FDCWD, "/host/stolen", AT_SYMLINK_FOLLOW) < 0);
    assert_true(CALL(linkat, AT_FDCWD, p, AT_FDCWD, "/run/here", AT_SYMLINK_FOLLOW) < 0);
}
static void call_unlink(const char *p)
{
    CALL(unlink, p);
}
static void call_rename(const char *p)
{
    CALL(rename, p, "/host/taken");
}
static void call_chdir(const char *p)
{
    char cwd[200], up[128];

    for (int k = 0; k < 2; k++) {
        snprintf(up, sizeof(up), k ? "%s/.." : "%s", p);
        is(CALL(chdir, "/host/d"), 0);
        if (CALL(chdir, up) == 0) {
            assert_true(CALL(getcwd, cwd, sizeof(cwd)) > 0);
            assert_memory_equal(cwd, "/host", 5);
        }
    }
}
static void call_chroot(const char *p)
{
    assert_true(CALL(chroot, p) < 0);
}
static void call_mount(const char *p)
{
    assert_true(CALL(mount, p, "/host/d", "", MS_BIND) < 0);
    assert_true(CALL(mount, "/host/plain", p, "", MS_BIND) < 0);
    assert_true(CALL(mount, "x", p, "tmpfs", 0) < 0);
    assert_true(CALL(umount2, p) < 0);
}
/* As realpath(3) does it: what readlink says is opened. */
static void call_readlink(const char *p)
{
    char text[PATH_MAX + 1], path[2 * PATH_MAX];
    long n = CALL(readlink, p, text, PATH_MAX);
    struct stat st;

    if (n < 0)
        return;
    is(CALL(lstat, p, &st), 0);
    is(st.st_size, n);
    text[n] = 0;
    if (*text != '/') {
        const char *slash = strrchr(p, '/');

        snprintf(path, sizeof(path), "%.*s%s", slash ? (int)(slash - p + 1) : 0, p, text);
    } else {
        strlcpy(path, text, sizeof(path));
    }
    if (strcmp(path, "/host/below/key") == 0) /* a name that it could always say */
        return;
    assert_true(CALL(stat, path, &st) < 0 || !is_kept(&st));
}

static const struct {
    const char *name;
    void (*call)(const char *path);
} g_calls[] = {
    {"open", call_open},        {"stat", call_stat},     {"access", call_access},
    {"chmod", call_attributes}, {"xattr", call_xattr},   {"mkdir", call_names},
    {"unlink", call_unlink},    {"rename", call_rename}, {"chdir", call_chdir},
    {"chroot", call_chroot},    {"mount", call_mount},   {"readlink", call_readlink},
};

static void nothing_leads_out(void **state)
{
    struct dentry *d;
    struct super *s = memfs_create("tmpfs", 1 << 20, 0755, 0, 0);

    put_links();
    mount_host(0);
    is(path_lookup(AT_FDCWD, "/host/below", 0, &d), 0);
    is(mount_attach(s, s->root, d, 0, "tmpfs", NULL, NULL), 0);
    dentry_put(d);
    put_file("/host/below/key", "secret");
    remember();
    for (size_t c = 0; c < ARRAY_SIZE(g_calls); c++) {
        for (size_t k = 0; k < ARRAY_SIZE(g_paths); k++) {
            put_links();
            is(CALL(chdir, "/host/d"), 0);
            g_calls[c].call(g_paths[k]);
            check_kept(g_calls[c].name, g_paths[k]);
        }
    }
    check_text("/run/secrets/key", "secret");
    check_text("/host/below/key", "secret"); /* by its own name it is there */
    is(CALL(chdir, "/"), 0);
    is(CALL(umount2, "/host/below"), 0);
    is(CALL(umount2, "/host"), 0);
}

/* ---- what links are for ---- */

static void links_inside_work(void **state)
{
    char buf[64];

    model_put("etc", S_IFDIR | 0755, NULL);
    model_put("etc/passwd", S_IFREG | 0644, "host's");
    model_put("v1", S_IFDIR | 0755, NULL);
    model_put("v1/token", S_IFREG | 0644, "one");
    model_put("v2", S_IFDIR | 0755, NULL);
    model_put("v2/token", S_IFREG | 0644, "two!");
    model_put("..data", S_IFLNK | 0777, "v1");
    model_put("token", S_IFLNK | 0777, "..data/token");
    model_put("v1/up", S_IFLNK | 0777, "../etc/passwd");
    model_put("mine", S_IFLNK | 0777, "/host/v1/token");
    model_put("self", S_IFLNK | 0777, "//host/");
    model_put("in-root", S_IFLNK | 0777, "/etc/passwd");
    model_put("new", S_IFLNK | 0777, "v1/made");
    mount_host(0);
    check_text("/host/token", "one");
    model_put("..data", S_IFLNK | 0777, "v2"); /* Kubernetes' writer, by rename */
    check_text("/host/token", "two!");
    check_text("/host/v1/up", "host's");
    check_text("/host/mine", "one");
    check_text("/host/self/mine", "one");
    check_text("/host/in-root", "host's");
    check_text("/host/self/self/v1/../token", "two!");
    put_file("/host/new", "made");
    assert_non_null(model_find("v1/made"));
    is(CALL(chroot, "/host/v1"), 0); /* a root inside is the nearer one */
    is(get_text("/up", buf, sizeof(buf)), -ENOENT);
    check_text("/token", "one");
    is(CALL(chroot, "/"), 0);
    g_test_process.fs->root = (dentry_put(g_test_process.fs->root), initial_root());
    is(CALL(umount2, "/host"), 0);
}

static void readlink_says_where(void **state)
{
    static const struct {
        const char *path, *target, *told;
    } cases[] = {
        {"a", "b", "b"},
        {"a", "..data/b", "..data/b"},
        {"a", "./b//c/", "./b//c/"},
        {"d/a", "../b", "../b"},
        {"d/e/a", "../../b", "../../b"},
        {"a", "/host/b", "/host/b"},
        {"a", "//host//b", "//host//b"},
        {"a", "127.0.0.1:+17", "127.0.0.1:+17"},
        {"a", "/etc/shadow", "/host/etc/shadow"},
        {"a", "/", "/host"},
        {"a", "/hostile", "/host/hostile"},
        {"a", "../etc", "/host/etc"},
        {"d/a", "../../etc/x", "/host/etc/x"},
        {"d/e/a", "x/../../b", "/host/d/b"},
        {"d/e/a", "../../../../b/..", "/host"},
        {"a", "/host/../etc", "/host/etc"},
        {"a", "..", "/host"},
    };
    char buf[PATH_MAX], name[64];
    struct stat st;

    model_put("d", S_IFDIR | 0755, NULL);
    model_put("d/e", S_IFDIR | 0755, NULL);
    mount_host(0);
    for (size_t k = 0; k < ARRAY_SIZE(cases); k++) {
        model_put(cases[k].path, S_IFLNK | 0777, cases[k].target);
        snprintf(name, sizeof(name), "/host/%s", cases[k].path);
        is(CALL(readlink, name, buf, sizeof(buf)), strlen(cases[k].told));
        assert_memory_equal(buf, cases[k].told, strlen(cases[k].told));
        is(CALL(readlink, name, buf, 2), MIN(2, strlen(cases[k].told)));
        is(CALL(lstat, name, &st), 0);
        is(st.st_size, strlen(cases[k].told));
        is(CALL(unlink, name), 0);
    }
    is(CALL(umount2, "/host"), 0);
}

static void insecure_links_are_linux_s(void **state)
{
    char buf[64];

    put_links();
    mount_host(MANIFEST_MOUNT_INSECURE_LINKS);
    check_text("/host/abs", "secret");
    check_text("/host/d/root/run/secrets/key", "secret");
    is(CALL(readlink, "/host/abs", buf, sizeof(buf)), 16);
    assert_memory_equal(buf, "/run/secrets/key", 16);
    is(CALL(umount2, "/host"), 0);
}

/* ---- a host that changes its mind ---- */

static u32 g_swap_mode;
static const char *g_swap_text;

static void swap_before_open(const char *call, const char *path)
{
    if (strcmp(call, "open") == 0 && strcmp(path, "f") == 0)
        model_put("f", g_swap_mode, g_swap_text);
}

/* What was one kind of file when it was looked up is no other when it is opened. */
static void kinds_do_not_change(void **state)
{
    static const u32 kinds[] = {S_IFREG, S_IFDIR, S_IFIFO, S_IFCHR, S_IFBLK, S_IFSOCK, S_IFLNK};
    struct stat st;

    mount_host(0);
    for (size_t from = 0; from < 2; from++) {
        for (size_t to = 0; to < ARRAY_SIZE(kinds); to++) {
            long fd;

            model_put("f", kinds[from] | 0666, "old");
            g_swap_mode = kinds[to] | 0666;
            g_swap_text = "/run/secrets/key";
            g_model_hook = swap_before_open;
            fd = CALL(open, "/host/f", O_RDONLY);
            g_model_hook = NULL;
            if (fd >= 0) {
                is(CALL(fstat, fd, &st), 0);
                is(st.st_mode & S_IFMT, kinds[to]);
                assert_true(to < 2);
                CALL(close, fd);
            }
        }
    }
    is(CALL(umount2, "/host"), 0);
}

/* A reader between two versions of a file that is replaced by rename gets one of them. */
static u32 g_versions;
static void another_version(const char *call, const char *path)
{
    if (strcmp(call, "open") == 0 && g_versions++ < 3)
        model_put("f", S_IFREG | 0644, "later");
}
static void replaced_files_are_read(void **state)
{
    model_put("f", S_IFREG | 0644, "first");
    mount_host(0);
    g_versions = 0;
    g_model_hook = another_version;
    check_text("/host/f", "later");
    g_model_hook = NULL;
    is(CALL(umount2, "/host"), 0);
}

/* What is open is that file, whatever has its name by now: contents, pages, size, attributes. */
static void open_files_stay(void **state)
{
    static u8 page[PAGE_SIZE];
    struct model_node *old = model_put("f", S_IFREG | 0644, "old text");
    struct model_node *now;
    struct stat st;
    char buf[32];
    long fd;

    mount_host(0);
    fd = CALL(open, "/host/f", O_RDWR);
    assert_true(fd >= 0);
    now = model_rename_over("f", S_IFREG | 0600, "new");
    is(CALL(fstat, fd, &st), 0);
    is(st.st_size, 8);
    is(st.st_mode & 07777, 0644);
    is(CALL(read, fd, buf, sizeof(buf)), 8);
    assert_memory_equal(buf, "old text", 8);
    {
        struct file *f = fd_get((int)fd);

        is(f->inode->ops->read_page(f->inode, 0, page), 0);
        assert_memory_equal(page, "old text", 9);
        is(f->inode->ops->write_page(f->inode, 0, "OLD", 3), 0);
        file_put(f);
    }
    is(CALL(ftruncate, fd, 3), 0);
    is(CALL(fchmod, fd, 0640), 0);
    is(old->size, 3);
    is(old->mode & 07777, 0640);
    assert_memory_equal(old->text, "OLD", 3);
    is(now->mode & 07777, 0600);
    check_text("/host/f", "new");
    is(CALL(close, fd), 0);
    is(CALL(umount2, "/host"), 0);
}

static void special_files_are_nobody_s(void **state)
{
    static const u32 numbers[] = {0x103, 0x108, 0x500, 0x501, 0x502, 136 << 8}; /* null ... pts/0 */

    mount_host(MANIFEST_MOUNT_INSECURE_EXEC | MANIFEST_MOUNT_INSECURE_LINKS);
    for (size_t k = 0; k < ARRAY_SIZE(numbers); k++) {
        model_put("dev", S_IFCHR | 0666, NULL)->rdev = numbers[k];
        is(CALL(open, "/host/dev", O_RDWR), -EACCES);
        model_put("dev", S_IFBLK | 0666, NULL)->rdev = numbers[k];
        is(CALL(open, "/host/dev", O_RDONLY), -EACCES);
    }
    model_put("sock", S_IFSOCK | 0777, NULL);
    is(CALL(open, "/host/sock", O_RDWR), -ENXIO);
    is(CALL(mknod, "/host/new", S_IFCHR | 0666, 0x103), -EPERM);
    is(CALL(mknod, "/host/new", S_IFBLK | 0666, 0x103), -EPERM);
    is(CALL(umount2, "/host"), 0);
}

/* nosuid and nodev always, noexec unless the deployment says otherwise; a remount lifts nothing. */
static void flags_stay(void **state)
{
    struct dentry *d;

    model_put("f", S_IFREG | 06755, "#!/bin/sh");
    for (u32 flags = 0; flags <= MANIFEST_MOUNT_INSECURE_EXEC;
         flags += MANIFEST_MOUNT_INSECURE_EXEC) {
        mount_host(flags);
        is(CALL(mount, "", "/host", "", MS_REMOUNT | MS_BIND), 0);
        is(CALL(mkdir, "/again", 0755), 0);
        is(CALL(mount, "/host", "/again", "", MS_BIND), 0);
        is(CALL(mount, "", "/again", "", MS_REMOUNT | MS_BIND), 0);
        is(path_lookup(AT_FDCWD, "/again/f", 0, &d), 0);
        assert_true(dentry_nosuid(d));
        is(dentry_noexec(d), !flags);
        dentry_put(d);
        is(CALL(umount2, "/again"), 0);
        is(CALL(rmdir, "/again"), 0);
        is(CALL(umount2, "/host"), 0);
    }
}

/* What the deployment mounts below a pass-through mount stays where it is, whatever becomes of the
 * names that lead there. */
static void mount_points_stay(void **state)
{
    struct dentry *d;
    struct super *s = memfs_create("tmpfs", 1 << 20, 0755, 0, 0);

    model_put("a", S_IFDIR | 0755, NULL);
    model_put("a/b", S_IFDIR | 0755, NULL);
    model_put("link", S_IFLNK | 0777, "a");
    mount_host(0);
    is(path_lookup(AT_FDCWD, "/host/link/b", LOOKUP_NO_HOST_LINKS, &d), -ELOOP);
    is(path_lookup(AT_FDCWD, "/host/a/b", LOOKUP_NO_HOST_LINKS, &d), 0);
    is(mount_attach(s, s->root, d, 0, "tmpfs", NULL, NULL), 0);
    dentry_put(d);
    put_file("/host/a/b/key", "secret");
    model_put("a", S_IFDIR | 0755, NULL); /* another directory */
    model_put("a/b", S_IFDIR | 0755, NULL);
    model_put("a/b/key", S_IFREG | 0644, "host's");
    check_text("/host/a/b/key", "secret");
    model_put("a", S_IFLNK | 0777, "elsewhere");
    check_text("/host/a/b/key", "secret");
    model_find("a")->mode = 0;
    check_text("/host/a/b/key", "secret");
    is(CALL(rmdir, "/host/a"), -ENOTEMPTY);
    check_text("/host/a/b/key", "secret");
    model_put("a", S_IFDIR | 0755, NULL); /* empty, for the host */
    model_put("new", S_IFDIR | 0755, NULL);
    model_put("new/b", S_IFDIR | 0755, NULL);
    is(CALL(rename, "/host/new", "/host/a"), -ENOTEMPTY);
    check_text("/host/a/b/key", "secret");
    model_put("a", S_IFDIR | 0755, NULL);
    is(CALL(rename, "/host/a", "/host/c"), 0);
    check_text("/host/c/b/key", "secret");
    is(CALL(umount2, "/host/c/b"), 0);
    is(CALL(umount2, "/host"), 0);
}

static struct model_node *g_both;

static void say_both(const char *call, const char *path)
{
    g_both->mode = strcmp(call, "open") == 0 ? S_IFREG | 0644 : 0;
}

/* A name that is not there when it is looked up, and there when it is to be made, has no end. */
static void there_and_not_there(void **state)
{
    g_both = model_put("both", S_IFREG | 0644, "text");
    mount_host(0);
    g_model_hook = say_both;
    is(CALL(open, "/host/both", O_CREAT | O_WRONLY, 0600), -EIO);
    is(CALL(open, "/host/both", O_CREAT | O_EXCL | O_WRONLY, 0600), -EEXIST);
    g_model_hook = NULL;
    is(CALL(umount2, "/host"), 0);
}

/* ---- mounts below names that the host takes away ---- */

static struct dentry *g_point;
static int g_mounted;

static int mount_on(struct dentry *d)
{
    struct super *s = memfs_create("tmpfs", 1 << 20, 0755, 0, 0);

    assert_false(is_err(s));
    return mount_attach(s, s->root, d, 0, "tmpfs", NULL, NULL);
}

/* As another thread that got there while the host works. */
static void mount_meanwhile(const char *call, const char *path)
{
    if (!g_point || (strcmp(call, "unlink") != 0 && strcmp(call, "rename") != 0))
        return;
    g_mounted = mount_on(g_point);
    dentry_put(g_point);
    g_point = NULL;
}

static void put_point(void)
{
    model_put("a", S_IFDIR | 0755, NULL);
    model_put("other", S_IFDIR | 0755, NULL);
    model_put("a/b", S_IFDIR | 0755, NULL);
    g_mounted = 1;
    is(path_lookup(AT_FDCWD, "/host/a/b", 0, &g_point), 0);
}

/* What was mounted can be unmounted by its name, or was refused; and /host too. */
static void check_found(void)
{
    if (g_point)
        mount_meanwhile("unlink", "");
    if (g_mounted == 0)
        is(CALL(umount2, "/host/a/b"), 0);
    else
        is(g_mounted, -ENOENT);
}

static void mounts_are_found_again(void **state)
{
    mount_host(0);
    put_point(); /* the host says of itself that a name is gone, or another */
    model_find("a/b")->mode = 0;
    is(CALL(access, "/host/a/b"), -ENOENT);
    check_found();
    put_point();
    model_put("a", S_IFDIR | 0755, NULL);
    is(CALL(access, "/host/a"), 0);
    check_found();
    put_point(); /* or lets a full directory be removed, before or while something is mounted */
    is(CALL(rmdir, "/host/a"), 0);
    check_found();
    put_point();
    g_model_hook = mount_meanwhile;
    is(CALL(rmdir, "/host/a"), -ENOTEMPTY);
    check_found();
    put_point(); /* or be replaced */
    g_model_hook = mount_meanwhile;
    is(CALL(rename, "/host/other", "/host/a"), -ENOTEMPTY);
    check_found();
    g_model_hook = NULL;
    is(CALL(umount2, "/host"), 0);
}

/* ---- trees as deep as paths are long ---- */

#define DEPTH 2000

/* What the LibOS asks for is a directory. */
static void always_a_directory(const char *call, const char *path)
{
    static struct model_node *last;

    if (strcmp(call, "stat") != 0 || !*path || model_find(path))
        return;
    if (last)
        last->mode = 0;
    last = model_put(path, S_IFDIR | 0755, NULL);
}

static void put_inode(void *inode)
{
    inode_put(inode);
}

/* An inode holds its parent, after all names are forgotten as well. The last one may go anywhere:
 * on the LibOS's stack of a thread. */
static void deep_trees_go_without_recursion(void **state)
{
    static char path[PATH_MAX];
    struct mount *m;
    struct inode *deepest;
    struct dentry *d;

    mount_host(0);
    g_model_hook = always_a_directory;
    is(CALL(chdir, "/host"), 0);
    for (size_t k = 0; k < DEPTH; k++)
        memcpy(path + 2 * k, "a/", 3);
    is(path_lookup(AT_FDCWD, path, 0, &d), 0);
    m = d->mount;
    deepest = inode_get(d->inode);
    dentry_put(d);
    is(CALL(chdir, "/"), 0);
    dcache_prune_mount(m);
    is(m->dentries, 1);
    test_on_stack(LAYOUT_STACK_SIZE, put_inode, deepest);
    is(m->super->root->refs.n, 2); /* the mount's and its root's name */
    is(CALL(umount2, "/host"), 0);
}

static int g_under_way, g_cuts;

static bool begin_change(void)
{
    g_under_way++;
    return true;
}
static void end_change(const struct own_change *o)
{
    g_under_way--;
}
static void no_change_under_way(void)
{
    g_cuts++;
    is(g_under_way, 0);
}

/* Who takes a page of a file away needs the memory of those that have it mapped; and they, while a
 * page of theirs comes, wait for such a change to end. */
static void changes_end_before_pages_go(void **state)
{
    static struct outside_watch watch = {begin_change, end_change};
    struct dentry *d;

    model_put("f", S_IFREG | 0644, "text");
    mount_host(0);
    is(path_lookup(AT_FDCWD, "/host/f", 0, &d), 0);
    d->inode->watches = (struct inotify_watch *)&watch; /* there is one */
    g_outside_watch = &watch;
    g_test_cut = no_change_under_way;
    is(CALL(truncate, "/host/f", 1), 0);
    is(g_cuts, 1);
    g_test_cut = NULL;
    g_outside_watch = NULL;
    d->inode->watches = NULL;
    dentry_put(d);
    is(CALL(umount2, "/host"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_leads_out, start, stop),
        cmocka_unit_test_setup_teardown(links_inside_work, start, stop),
        cmocka_unit_test_setup_teardown(readlink_says_where, start, stop),
        cmocka_unit_test_setup_teardown(insecure_links_are_linux_s, start, stop),
        cmocka_unit_test_setup_teardown(kinds_do_not_change, start, stop),
        cmocka_unit_test_setup_teardown(replaced_files_are_read, start, stop),
        cmocka_unit_test_setup_teardown(open_files_stay, start, stop),
        cmocka_unit_test_setup_teardown(special_files_are_nobody_s, start, stop),
        cmocka_unit_test_setup_teardown(flags_stay, start, stop),
        cmocka_unit_test_setup_teardown(mount_points_stay, start, stop),
        cmocka_unit_test_setup_teardown(there_and_not_there, start, stop),
        cmocka_unit_test_setup_teardown(mounts_are_found_again, start, stop),
        cmocka_unit_test_setup_teardown(deep_trees_go_without_recursion, start, stop),
        cmocka_unit_test_setup_teardown(changes_end_before_pages_go, start, stop),
    };

    return cmocka_run_group_tests_name("libos-fs-links", tests, NULL, NULL);
}
