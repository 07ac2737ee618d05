/* SPDX-License-Identifier: Apache-2.0 */
/* Files by handles instead of names, kinds of file systems, mounts and who hears of them, and what
 * fdinfo says of special files. */
#include "check.h"
#include "remove.h"
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>

static char g_dir[] = "/tmp/namesXXXXXX";

struct handle {
    struct file_handle h;
    char room[128];
};

static int fails(long r, int error)
{
    return r == -1 && errno == error;
}

static int ask(int dir, const char *path, struct handle *h, int *mount, int flags)
{
    memset(h, 0, sizeof(*h));
    h->h.handle_bytes = 128;
    return name_to_handle_at(dir, path, &h->h, mount, flags);
}

static int same(const struct handle *a, const struct handle *b)
{
    return a->h.handle_type == b->h.handle_type && a->h.handle_bytes == b->h.handle_bytes &&
           memcmp(a->h.f_handle, b->h.f_handle, a->h.handle_bytes) == 0;
}

static void handles(void)
{
    struct handle h, again, dir, link;
    int mount = 0, mount2 = 0, fd = open("file", O_CREAT | O_RDWR, 0600);
    struct stat st, by_handle;
    char c;
    CHECK(write(fd, "x", 1) == 1 && fstat(fd, &st) == 0 && symlink("file", "link") == 0);
    CHECK(mkdir("dir", 0700) == 0);
    close(open("dir/below", O_CREAT | O_RDWR, 0600));
    CHECK(ask(AT_FDCWD, "file", &h, &mount, 0) == 0);
    CHECK(ask(fd, "", &again, &mount2, AT_EMPTY_PATH) == 0 && same(&h, &again) && mount == mount2);
    CHECK(ask(AT_FDCWD, "link", &link, &mount, 0) == 0 && !same(&h, &link));
    CHECK(ask(AT_FDCWD, "link", &again, &mount, AT_SYMLINK_FOLLOW) == 0 && same(&h, &again));
    CHECK(ask(AT_FDCWD, "dir", &dir, &mount, 0) == 0 && !same(&h, &dir));
    close(fd);
    CHECK(rename("file", "other") == 0);
    fd = open_by_handle_at(AT_FDCWD, &h.h, O_RDONLY);
    CHECK(fd >= 0 && fstat(fd, &by_handle) == 0 && by_handle.st_ino == st.st_ino);
    CHECK(read(fd, &c, 1) == 1 && c == 'x' && fails(write(fd, "y", 1), EBADF));
    close(fd);
    fd = open_by_handle_at(AT_FDCWD, &dir.h, O_RDONLY | O_DIRECTORY);
    CHECK(fd >= 0 && faccessat(fd, "below", F_OK, 0) == 0 &&
          faccessat(fd, "../other", F_OK, 0) == 0);
    close(fd);
    CHECK(fails(open_by_handle_at(AT_FDCWD, &link.h, O_RDONLY), ELOOP));
    CHECK(fails(open_by_handle_at(AT_FDCWD, &dir.h, O_WRONLY), EISDIR));
    CHECK(unlink("other") == 0 && unlink("link") == 0);
    CHECK(fails(open_by_handle_at(AT_FDCWD, &h.h, O_RDONLY), ESTALE));
    again.h.handle_bytes = 1;
    CHECK(fails(name_to_handle_at(AT_FDCWD, "dir", &again.h, &mount, 0), EOVERFLOW));
    CHECK(again.h.handle_bytes > 1);
    again.h.handle_bytes = 129;
    CHECK(fails(name_to_handle_at(AT_FDCWD, "dir", &again.h, &mount, 0), EINVAL));
    CHECK(fails(ask(AT_FDCWD, "/proc/self/status", &h, &mount, 0), EOPNOTSUPP));
    CHECK(fails(open_by_handle_at(99, &dir.h, O_RDONLY), EBADF));
}

static void without_capability(void)
{
    struct handle h;
    int mount;
    CHECK(setuid(1000) == 0 && ask(AT_FDCWD, "/", &h, &mount, 0) == 0);
    CHECK(fails(open_by_handle_at(AT_FDCWD, &h.h, O_RDONLY), EPERM));
}

static void kinds(void)
{
    struct {
        int free;
        unsigned long inodes;
        char names[12];
    } u;
    struct stat st;
    char name[64] = "";
    long proc = syscall(SYS_sysfs, 1, "proc");
    CHECK(proc >= 0 && syscall(SYS_sysfs, 3) > proc);
    CHECK(syscall(SYS_sysfs, 2, proc, name) == 0 && strcmp(name, "proc") == 0);
    CHECK(fails(syscall(SYS_sysfs, 1, "nothing"), EINVAL) && fails(syscall(SYS_sysfs, 9), EINVAL));
    CHECK(stat("/proc", &st) == 0 && syscall(SYS_ustat, (unsigned)st.st_dev, &u) == 0);
    CHECK(fails(syscall(SYS_ustat, 0xfff, &u), EINVAL));
}

/* 1: there is news. */
static int news(int fd, int timeout)
{
    struct pollfd p = {.fd = fd, .events = POLLPRI};
    return poll(&p, 1, timeout) == 1 && (p.revents & POLLPRI);
}

static void mounts(void)
{
    struct epoll_event e = {.events = EPOLLPRI};
    int fd = open("/proc/self/mounts", O_RDONLY), ep = epoll_create1(0), plain;
    struct statfs s;
    CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) == 0 && epoll_wait(ep, &e, 1, 0) == 0);
    CHECK(!news(fd, 0));
    CHECK(mkdir("mnt", 0700) == 0 && mount("none", "mnt", "tmpfs", 0, NULL) == 0);
    CHECK(news(fd, 1000) && !news(fd, 0));
    close(open("mnt/file", O_CREAT | O_RDWR, 0600));
    CHECK(symlink("file", "mnt/link") == 0 && open("mnt/link", O_PATH) >= 0);
    CHECK(mount("none", "mnt", NULL, MS_REMOUNT | 256 /* MS_NOSYMFOLLOW */, NULL) == 0);
    CHECK(epoll_wait(ep, &e, 1, 1000) == 1);
    CHECK(fails(open("mnt/link", O_RDONLY), ELOOP));
    CHECK(readlink("mnt/link", (char[8]){0}, 8) == 4);
    CHECK(statfs("mnt", &s) == 0 && (s.f_flags & 0x2000));
    /* Nothing is mounted on a name that lives as long as a descriptor. */
    char path[64];
    plain = open("mnt/file", O_RDONLY);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", plain);
    int magic = open(path, O_PATH | O_NOFOLLOW);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", magic);
    CHECK(fails(mount("mnt/file", path, "", MS_BIND, NULL), ENOENT));
    close(magic);
    close(plain);
    close(ep);
    CHECK(umount2("mnt", MNT_DETACH) == 0 && news(fd, 1000));
    close(fd);
}

static int mount_on(int dir)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", dir);
    return mount("none", path, "tmpfs", 0, NULL);
}

/* Nobody could unmount it, and the directories above it would be in use for ever. */
static void nothing_is_mounted_on_what_is_gone(void)
{
    CHECK(mkdir("up", 0700) == 0 && mkdir("up/gone", 0700) == 0);
    int gone = open("up/gone", O_RDONLY | O_DIRECTORY);
    CHECK(rmdir("up/gone") == 0 && fails(mount_on(gone), ENOENT));
    CHECK(rmdir("up") == 0);

    CHECK(mkdir("up", 0700) == 0 && mount("none", "up", "tmpfs", 0, NULL) == 0);
    CHECK(mkdir("up/below", 0700) == 0);
    int below = open("up/below", O_RDONLY | O_DIRECTORY);
    CHECK(umount2("up", MNT_DETACH) == 0 && mount_on(below) < 0);
    CHECK(rmdir("up") == 0);
    close(gone);
    close(below);
}

static void mount_or_rmdir_is_first(void)
{
    unsigned mounted = 0;
    CHECK(mkdir("up", 0700) == 0);
    pid_t child = fork();
    for (; child == 0;) {
        mkdir("up/dir", 0700);
        rmdir("up/dir");
    }
    for (unsigned i = 0; i < 3000 || (!mounted && i < 300000); i++)
        if (mount("none", "up/dir", "tmpfs", 0, NULL) == 0) {
            mounted++;
            CHECK(umount2("up/dir", MNT_DETACH) == 0);
        }
    CHECK(mounted);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    rmdir("up/dir");
    CHECK(rmdir("up") == 0);
}

/* In a mount namespace of its own natively; there is only one in the LibOS. */
static void in_namespace(void)
{
    if (unshare(CLONE_NEWNS) == 0)
        CHECK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
    mounts();
    nothing_is_mounted_on_what_is_gone();
    mount_or_rmdir_is_first();
}

static int info_has(int fd, const char *text)
{
    char path[64], buf[4096];
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    int info = open(path, O_RDONLY);
    ssize_t n = read(info, buf, sizeof(buf) - 1);
    close(info);
    buf[n > 0 ? n : 0] = 0;
    return strstr(buf, text) != NULL;
}

static void special_files(void)
{
    sigset_t set;
    char line[64];
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    int event = eventfd(5, 0), sig = signalfd(-1, &set, 0), in = inotify_init();
    int pid = syscall(SYS_pidfd_open, getpid(), 0);
    CHECK(inotify_add_watch(in, ".", IN_MODIFY | IN_ONESHOT | IN_EXCL_UNLINK) == 1);
    CHECK(info_has(event, "eventfd-count:                5\n"));
    CHECK(info_has(sig, "sigmask:\t0000000000000200\n"));
    CHECK(info_has(in, "inotify wd:1 ino:") && info_has(in, " mask:84000002 "));
    snprintf(line, sizeof(line), "Pid:\t%d\n", getpid());
    CHECK(info_has(pid, line));
    close(event);
    close(sig);
    close(in);
    close(pid);
}

static int events(int in)
{
    char buf[4096] __attribute__((aligned(8)));
    int n = 0;
    ssize_t got = read(in, buf, sizeof(buf));
    for (ssize_t at = 0; at < got; n++)
        at += (ssize_t)sizeof(struct inotify_event) + ((struct inotify_event *)(buf + at))->len;
    return n;
}

/* IN_EXCL_UNLINK: a directory hears no more of a file without a name. */
static void unlinked_files(void)
{
    int all = inotify_init1(IN_NONBLOCK), named = inotify_init1(IN_NONBLOCK);
    int fd = open("gone", O_CREAT | O_RDWR, 0600);
    CHECK(inotify_add_watch(all, ".", IN_MODIFY) == 1);
    CHECK(inotify_add_watch(named, ".", IN_MODIFY | IN_EXCL_UNLINK) == 1);
    CHECK(write(fd, "x", 1) == 1 && events(all) == 1 && events(named) == 1);
    CHECK(unlink("gone") == 0 && write(fd, "x", 1) == 1 && events(all) == 1 && events(named) == 0);
    close(fd);
    close(all);
    close(named);
}

int main(void)
{
    CHECK(mkdtemp(g_dir) && chdir(g_dir) == 0 && chmod(".", 0755) == 0);
    RUN(handles);
    CHECK(in_child(without_capability) == 0);
    RUN(kinds);
    CHECK(in_child(in_namespace) == 0);
    RUN(special_files);
    RUN(unlinked_files);
    CHECK(chdir("/") == 0 && remove_tree(g_dir) == 0);
    return finish();
}
