/* SPDX-License-Identifier: Apache-2.0 */
/* The VFS over a tree in memory and over a sealed image, with the sanitizers. */
#include "world.h"
#include "test_host.h"
#include "../../../libos/fs/dev/ldisc.h"

#include <asm/stat.h>
#include <setjmp.h>
#include <stdlib.h>
#include <cmocka.h>

#define is(a, b) assert_int_equal((long)(a), (long)(b))

static u64 g_random = 0x9e3779b97f4a7c15ull;
static u32 rnd(u32 n)
{
    g_random ^= g_random << 13;
    g_random ^= g_random >> 7;
    g_random ^= g_random << 17;
    return (u32)(g_random >> 32) % n;
}

static void put_file(const char *path, const char *text)
{
    long fd = CALL(open, path, O_CREAT | O_WRONLY | O_TRUNC, 0644);

    assert_true(fd >= 0);
    is(CALL(write, fd, text, strlen(text)), strlen(text));
    is(CALL(close, fd), 0);
}

static void check_text(const char *path, const char *text)
{
    char buf[100];
    long fd = CALL(open, path, O_RDONLY);

    assert_true(fd >= 0);
    is(CALL(read, fd, buf, sizeof(buf)), strlen(text));
    assert_memory_equal(buf, text, strlen(text));
    CALL(close, fd);
}

static int in_memory(void **state)
{
    world_start(memfs_create("tmpfs", 8 << 20, 0755, 0, 0));
    return 0;
}
static int stop(void **state)
{
    world_stop();
    return 0;
}

/* ---- paths ---- */

static void paths(void **state)
{
    char buf[64], name[300];
    struct stat st;

    is(CALL(mkdir, "/a", 0755), 0);
    is(CALL(mkdir, "/a/b", 0755), 0);
    is(CALL(mkdir, "/a/b", 0755), -EEXIST);
    is(CALL(mkdir, "/a/b/c/", 0755), 0);
    is(CALL(mkdir, "/x/y", 0755), -ENOENT);
    is(CALL(mkdir, "/", 0755), -EEXIST);
    put_file("/a/f", "text");
    is(CALL(open, "/a/f/", O_RDONLY), -ENOTDIR);
    is(CALL(open, "/a/f/x", O_RDONLY), -ENOTDIR);
    is(CALL(open, "/a/f/.", O_RDONLY), -ENOTDIR);
    is(CALL(open, "/a/new/", O_CREAT | O_RDWR, 0600), -EISDIR);
    is(CALL(open, "", O_RDONLY), -ENOENT);
    is(CALL(open, 8, O_RDONLY), -EFAULT);
    check_text("/../a/./b/../../a//f", "text");
    is(CALL(symlink, "../f", "/a/b/s"), 0);
    check_text("/a/b/s", "text");
    is(CALL(symlink, "/a/b", "/dir"), 0);
    check_text("/dir/../f", "text");
    is(CALL(lstat, "/dir", &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    is(CALL(lstat, "/dir/", &st), 0);
    assert_true(S_ISDIR(st.st_mode));
    is(CALL(open, "/dir", O_RDONLY | O_NOFOLLOW), -ELOOP);
    is(CALL(readlink, "/dir", buf, 3), 3);
    is(CALL(symlink, "loop", "/loop"), 0);
    is(CALL(open, "/loop", O_RDONLY), -ELOOP);
    /* A chain of 40 links is the limit. */
    for (int k = 0; k < 41; k++) {
        char from[16], to[16];

        snprintf(from, sizeof(from), "/l%d", k);
        snprintf(to, sizeof(to), k ? "l%d" : "a", k - 1);
        is(CALL(symlink, to, from), 0);
    }
    is(CALL(stat, "/l39", &st), 0);
    is(CALL(stat, "/l40", &st), -ELOOP);
    memset(name, 'n', sizeof(name));
    name[0] = '/';
    name[257] = 0;
    is(CALL(mkdir, name, 0700), -ENAMETOOLONG);
    name[256] = 0;
    is(CALL(mkdir, name, 0700), 0);
    is(CALL(chdir, "/dir"), 0);
    is(CALL(getcwd, buf, sizeof(buf)), 5);
    assert_string_equal(buf, "/a/b");
    is(CALL(rename, "/a", "/z"), 0);
    is(CALL(getcwd, buf, sizeof(buf)), 5);
    assert_string_equal(buf, "/z/b");
    is(CALL(rename, "/z", "/z/b/c/d"), -EINVAL);
    is(CALL(rmdir, "/z"), -ENOTEMPTY);
    is(CALL(chroot, "/z"), 0);
    is(CALL(getcwd, buf, sizeof(buf)), 3);
    check_text("/../../f", "text");
}

static void mounts(void **state)
{
    struct stat a, b;

    is(CALL(mkdir, "/m", 0755), 0);
    is(CALL(mkdir, "/n", 0755), 0);
    put_file("/m/below", "1");
    is(CALL(mount, "t", "/m", "tmpfs", 0, "size=8k,mode=700"), 0);
    is(CALL(stat, "/m", &a), 0);
    is(a.st_mode & 07777, 0700);
    is(CALL(stat, "/m/..", &b), 0);
    assert_true(a.st_dev != b.st_dev && CALL(open, "/m/below", O_RDONLY) == -ENOENT);
    put_file("/m/f", "2");
    is(CALL(rename, "/m/f", "/f"), -EXDEV);
    is(CALL(rmdir, "/m"), -EBUSY);
    is(CALL(mount, "/m", "/n", NULL, MS_BIND), 0);
    check_text("/n/f", "2");
    is(CALL(unlink, "/n/f"), 0);
    is(CALL(stat, "/m/f", &a), -ENOENT); /* through the other mount */
    long fd = CALL(open, "/n/big", O_CREAT | O_RDWR, 0600);
    u8 page[3 * 4096] = {1};
    is(CALL(write, fd, page, sizeof(page)), 8192);
    is(CALL(write, fd, page, 1), -ENOSPC);
    is(CALL(umount2, "/n"), -EBUSY);
    is(CALL(close, fd), 0);
    is(CALL(mount, "", "/n", NULL, MS_REMOUNT | MS_RDONLY | MS_BIND), 0);
    is(CALL(open, "/n/q", O_CREAT | O_WRONLY, 0600), -EROFS);
    is(CALL(unlink, "/n/big"), -EROFS);
    is(CALL(umount2, "/n"), 0);
    /* A deep tree goes with its mount. */
    is(CALL(chdir, "/m"), 0);
    for (int k = 0; k < 20000; k++) {
        is(CALL(mkdir, "d", 0700), 0);
        is(CALL(chdir, "d"), 0);
    }
    is(CALL(chdir, "/"), 0);
    is(CALL(umount2, "/m"), 0);
    is(CALL(umount2, "/m"), -EINVAL);
    check_text("/m/below", "1");
}

static void permissions(void **state)
{
    struct cred *c = &g_test_process.cred;

    put_file("/mine", "x");
    is(CALL(chmod, "/mine", 0640), 0);
    is(CALL(chown, "/mine", 7, 8), 0);
    is(CALL(mkdir, "/closed", 0700), 0);
    is(CALL(mkdir, "/sticky", 0777), 0);
    is(CALL(chmod, "/sticky", 01777), 0);
    put_file("/sticky/f", "");
    c->cap_effective = 0;
    c->uid = c->euid = c->fsuid = 9;
    c->fsgid = 8;
    is(CALL(open, "/mine", O_RDWR), -EACCES);
    check_text("/mine", "x");
    is(CALL(open, "/closed/x", O_RDONLY), -EACCES);
    is(CALL(open, "/new", O_CREAT, 0600), -EACCES);
    is(CALL(unlink, "/sticky/f"), -EPERM);
    is(CALL(chmod, "/mine", 0777), -EPERM);
    is(CALL(mount, "t", "/sticky", "tmpfs"), -EPERM);
}

/* ---- files over an image, against arrays ---- */

#define FILES         6
#define SIZE_MAX_TEST 60000u
static u8 g_content[FILES][SIZE_MAX_TEST];
static u32 g_size[FILES];
static struct erofs g_erofs;
static u8 *g_image;
static unsigned long g_image_size;

static int read_image(void *ctx, u64 off, void *buf, size_t n)
{
    if (off > g_image_size || n > g_image_size - off)
        return -EIO;
    memcpy(buf, g_image + off, n);
    return 0;
}

static int on_image(void **state)
{
    static char names[FILES][8];
    struct test_file files[FILES + 2];
    struct super *s;

    for (u32 k = 0; k < FILES; k++) {
        snprintf(names[k], sizeof(names[k]), "file%u", k);
        memset(g_content[k], 0, SIZE_MAX_TEST);
        g_size[k] = k == 0 ? 0 : rnd(20000 * (k / 2) + 100);
        for (u32 j = 0; j < g_size[k]; j++)
            g_content[k][j] = (u8)rnd(256);
        files[k] = (struct test_file){names[k], g_content[k], g_size[k], NULL};
    }
    files[FILES] = (struct test_file){"dir", NULL, 0, NULL};
    files[FILES + 1] = (struct test_file){"link", NULL, 0, "file1"};
    if (test_make_image(files, FILES + 2, &g_image, &g_image_size) != 0)
        test_die("mkfs.erofs is needed (erofs-utils)");
    is(erofs_open(&g_erofs, g_image_size, read_image, NULL), 0);
    s = memfs_over_image(&g_erofs);
    assert_false(is_err(s));
    world_start(s);
    return 0;
}
static int stop_image(void **state)
{
    world_stop();
    free(g_image);
    return 0;
}

static void check_file(u32 k, long fd)
{
    static u8 buf[SIZE_MAX_TEST + 10];
    u32 from = rnd(SIZE_MAX_TEST), n = rnd(SIZE_MAX_TEST),
        left = from < g_size[k] ? g_size[k] - from : 0;

    is(CALL(pread64, fd, buf, n, from), MIN(n, left));
    assert_memory_equal(buf, g_content[k] + from, MIN(n, left));
    is(CALL(lseek, fd, 0, SEEK_END), g_size[k]);
}

static void random_change(u32 k, long fd)
{
    static u8 data[9000];
    u32 at = rnd(SIZE_MAX_TEST - 9000), n = rnd(sizeof(data));

    switch (rnd(5)) {
    case 0: /* cut or grow */
        at = rnd(2) ? at : rnd(g_size[k] + 1);
        is(CALL(ftruncate, fd, at), 0);
        if (at < g_size[k])
            memset(g_content[k] + at, 0, g_size[k] - at);
        g_size[k] = at;
        break;
    case 1: /* hole */
        is(CALL(fallocate, fd, 3, at, n + 1), 0);
        if (at < g_size[k])
            memset(g_content[k] + at, 0, MIN(n + 1, g_size[k] - at));
        break;
    default:
        memset(data, (int)rnd(256), n);
        is(CALL(pwrite64, fd, data, n, at), n);
        memcpy(g_content[k] + at, data, n);
        if (n)
            g_size[k] = MAX(g_size[k], at + n);
    }
}

static void copy_up(void **state)
{
    char path[16];

    for (int round = 0; round < 4000; round++) {
        u32 k = rnd(FILES);
        long fd;

        snprintf(path, sizeof(path), "/file%u", k);
        fd = CALL(open, path, O_RDWR);
        assert_true(fd >= 0);
        if (rnd(2))
            random_change(k, fd);
        check_file(k, fd);
        CALL(close, fd);
    }
    is(CALL(unlink, "/file2"), 0);
    is(CALL(open, "/file2", O_RDONLY), -ENOENT);
    is(CALL(rename, "/file3", "/dir/moved"), 0);
    long fd = CALL(open, "/dir/moved", O_RDONLY);
    check_file(3, fd);
    CALL(close, fd);
    is(CALL(setxattr, "/link", "user.x", "v", 1, 0), 0);
    is(CALL(getxattr, "/file1", "user.x", path, 16), 1);
}

static void directories(void **state)
{
    u8 buf[400];
    long fd = CALL(open, "/", O_RDONLY | O_DIRECTORY), n;
    u32 count = 0;

    while ((n = CALL(getdents64, fd, buf, sizeof(buf))) > 0)
        for (long at = 0; at < n; at += *(u16 *)(buf + at + 16))
            count++;
    is(n, 0);
    is(count, FILES + 2 + 2);
    CALL(close, fd);
}

/* ---- pipes ---- */

static void pipes(void **state)
{
    static u8 data[70000], back[70000];
    i32 p[2];
    u32 used = 0;
    u64 written = 0, seen = 0;

    is(CALL(pipe2, p, O_NONBLOCK), 0);
    for (int round = 0; round < 5000; round++) {
        u32 n = rnd(rnd(2) ? 300 : 9000) + 1;
        long r;

        if (rnd(2)) {
            for (u32 k = 0; k < n; k++)
                data[k] = (u8)((written + k) * 31 >> 3);
            r = CALL(write, p[1], data, n);
            if (65536 - used >= n)
                is(r, n);
            else if (n <= 4096)
                is(r, -EAGAIN);
            else
                is(r, used == 65536 ? -EAGAIN : (long)(65536 - used));
            if (r > 0) {
                used += (u32)r;
                written += (u64)r;
            }
        } else {
            r = CALL(read, p[0], back, n);
            is(r, used ? (long)MIN(n, used) : -EAGAIN);
            for (long k = 0; k < r; k++, seen++)
                assert_int_equal(back[k], (u8)(seen * 31 >> 3));
            used -= r > 0 ? (u32)r : 0;
        }
    }
    current()->raised = 0;
    CALL(close, p[0]);
    is(CALL(write, p[1], data, 1), -EPIPE);
    is(current()->raised, THREAD_SIGPIPE);
    CALL(close, p[1]);
}

/* ---- line discipline ---- */

static void check_line(struct ldisc *l, const char *keys, const char *line, const char *echo)
{
    char buf[5000];
    struct uio_segment one;
    struct uio io;
    u32 signals = 0;
    ssize_t n;

    is(ldisc_input(l, (const u8 *)keys, strlen(keys), &signals), strlen(keys));
    uio_init(&io, &one, buf, sizeof(buf), false);
    n = ldisc_read(l, &io);
    is(n, line ? (long)strlen(line) : -EAGAIN);
    assert_memory_equal(buf, line ? line : "", line ? strlen(line) : 0);
    uio_init(&io, &one, buf, sizeof(buf), false);
    n = ldisc_output_read(l, &io);
    is(n < 0 ? 0 : n, strlen(echo));
    assert_memory_equal(buf, echo, strlen(echo));
}

static void line_discipline(void **state)
{
    struct ldisc l;
    struct termios raw;
    char buf[5000];
    struct uio_segment one;
    struct uio io;
    u32 signals = 0;

    is(ldisc_init(&l), 0);
    check_line(&l, "ls\n", "ls\n", "ls\r\n");
    check_line(&l,
               "ab\x7f"
               "c\n",
               "ac\n", "ab\b \bc\r\n");
    check_line(&l, "x\x7f\x7f\x7fy\n", "y\n", "x\b \by\r\n");
    check_line(&l, "\x04", "", "");
    check_line(&l, "a\tb\x7f\x7f\n", "a\n", "a\tb\b \b\b\b\b\b\b\b\b\r\n");
    is(ldisc_input(&l, (const u8 *)"junk\x03", 5, &signals), 5);
    is(signals, 1 << 1);
    check_line(&l, "", NULL, "^C");
    raw = l.termios;
    raw.c_lflag &= ~(u32)(ICANON | ECHO | ISIG);
    ldisc_set_termios(&l, &raw);
    check_line(&l, "a\x03", "a\x03", "");
    /* A full buffer takes no more, and gives all of it back. */
    for (int k = 0; k < 50; k++)
        ldisc_input(&l, (const u8 *)buf, 100 + (size_t)memset(buf, 'f', 100) * 0, &signals);
    assert_false(ldisc_input_room(&l));
    uio_init(&io, &one, buf, sizeof(buf), false);
    is(ldisc_read(&l, &io), LDISC_SIZE);
    /* Anything at all. */
    for (int round = 0; round < 30000; round++) {
        u8 bytes[64];
        u32 n = rnd(sizeof(bytes));

        for (u32 k = 0; k < n; k++)
            bytes[k] = (u8)(rnd(3) ? rnd(32) : rnd(256));
        if (rnd(50) == 0) {
            raw.c_lflag = rnd(1 << 16);
            raw.c_iflag = rnd(1 << 15);
            raw.c_oflag = rnd(1 << 14);
            ldisc_set_termios(&l, &raw);
        }
        uio_init(&io, &one, rnd(4) ? (void *)bytes : (void *)buf, n, false);
        switch (rnd(4)) {
        case 0:
            ldisc_read(&l, &io);
            break;
        case 1:
            ldisc_write(&l, &io);
            break;
        case 2:
            ldisc_output_read(&l, &io);
            break;
        default:
            ldisc_input(&l, bytes, n, &signals);
        }
    }
    ldisc_free(&l);
}

/* ---- a pass-through mount of a host that lies ---- */

static void random_path(char *out)
{
    u32 parts = 1 + rnd(4);

    strlcpy(out, "/host", 64);
    while (parts--) {
        char part[8];

        snprintf(part, sizeof(part), "/%c", "abcd."[rnd(5)]);
        strlcpy(out + strlen(out), part, 8);
    }
}

static void hostile_host(void **state)
{
    static u8 buf[100000];
    struct dentry *d;
    struct super *s;
    long fds[8] = {0};
    u32 open_count = 0;

    is(CALL(mkdir, "/host", 0755), 0);
    do {
        s = hostfs_create((hostfd){5}, 0);
    } while (is_err(s));
    is(path_lookup(AT_FDCWD, "/host", 0, &d), 0);
    is(mount_attach(s, s->root, d, 0, "host", NULL, NULL), 0);
    dentry_put(d);
    for (int round = 0; round < 40000; round++) {
        char p[64], q[64];
        long fd = open_count ? fds[rnd(open_count)] : 0;

        random_path(p);
        random_path(q);
        switch (rnd(16)) {
        case 0:
        case 1:
            fd = CALL(open, p, rnd(1 << 20) & ~(u32)O_PATH, 0600);
            if (fd >= 0 && open_count < ARRAY_SIZE(fds))
                fds[open_count++] = fd;
            else if (fd >= 0)
                CALL(close, fd);
            break;
        case 2:
            if (open_count)
                CALL(close, fds[--open_count]);
            break;
        case 3:
            CALL(read, fd, buf, rnd(sizeof(buf)));
            break;
        case 4:
            CALL(pwrite64, fd, buf, rnd(sizeof(buf)), (u64)rnd(1 << 30) << rnd(33));
            break;
        case 5:
            CALL(getdents64, fd, buf, rnd(5000));
            break;
        case 6:
            CALL(lseek, fd, rnd(1 << 20), rnd(5));
            break;
        case 7:
            CALL(rename, p, q);
            break;
        case 8:
            CALL(unlink, p);
            break;
        case 9:
            CALL(mkdir, p, 0700);
            break;
        case 10:
            CALL(link, p, q);
            break;
        case 11:
            CALL(symlink, "x", p);
            break;
        case 12:
            CALL(readlink, p, buf, rnd(300));
            break;
        case 13:
            CALL(rmdir, p);
            break;
        case 14:
            CALL(truncate, p, rnd(1 << 30));
            break;
        default:
            CALL(stat, p, buf);
        }
    }
    while (open_count)
        CALL(close, fds[--open_count]);
    is(CALL(umount2, "/host"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(paths, in_memory, stop),
        cmocka_unit_test_setup_teardown(mounts, in_memory, stop),
        cmocka_unit_test_setup_teardown(permissions, in_memory, stop),
        cmocka_unit_test_setup_teardown(copy_up, on_image, stop_image),
        cmocka_unit_test_setup_teardown(directories, on_image, stop_image),
        cmocka_unit_test_setup_teardown(pipes, in_memory, stop),
        cmocka_unit_test_setup_teardown(hostile_host, in_memory, stop),
        cmocka_unit_test(line_discipline),
    };

    return cmocka_run_group_tests_name("libos-fs", tests, NULL, NULL);
}
