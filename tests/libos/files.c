/* SPDX-License-Identifier: Apache-2.0 */
/* Files, descriptors, locks, links through /proc, memfd, splice. */
#include "check.h"
#include "remove.h"
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/xattr.h>

static char g_dir[] = "/tmp/filesXXXXXX";

static int fails(long r, int error)
{
    return r == -1 && errno == error;
}

static int file(const char *name, const char *text)
{
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    return fd;
}

static void descriptors(void)
{
    int fd = file("f", "hello"), low = fcntl(fd, F_DUPFD, 50), n;
    CHECK(low == 50 && fcntl(low, F_GETFD) == 0);
    CHECK((n = fcntl(fd, F_DUPFD_CLOEXEC, 50)) == 51 && fcntl(n, F_GETFD) == FD_CLOEXEC);
    CHECK(dup2(fd, fd) == fd && fails(dup2(77, 77), EBADF) && fails(dup3(fd, fd, 0), EINVAL));
    CHECK(dup3(fd, 60, O_CLOEXEC) == 60 && fcntl(60, F_GETFD) == FD_CLOEXEC);
    CHECK(lseek(60, 2, SEEK_SET) == 2 && lseek(fd, 0, SEEK_CUR) == 2); /* one open description */
    CHECK((fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND)) == O_RDWR);
    CHECK(fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK) == 0 &&
          (fcntl(50, F_GETFL) & (O_APPEND | O_NONBLOCK)) == (O_APPEND | O_NONBLOCK));
    CHECK(lseek(fd, 0, SEEK_SET) == 0 && write(fd, "x", 1) == 1 && lseek(fd, 0, SEEK_CUR) == 6);
    CHECK(syscall(SYS_close_range, 50, 55, 0) == 0 && fails(fcntl(50, F_GETFD), EBADF) &&
          fcntl(60, F_GETFD) >= 0);
    CHECK(syscall(SYS_close_range, 55, 99, 4 /* CLOEXEC */) == 0 &&
          fcntl(60, F_GETFD) == FD_CLOEXEC);
    CHECK(fails(syscall(SYS_close_range, 5, 4, 0), EINVAL));
    CHECK(ioctl(60, FIONCLEX) == 0 && fcntl(60, F_GETFD) == 0);
    CHECK(close(60) == 0 && fails(close(60), EBADF) && fails(read(60, g_dir, 1), EBADF) &&
          fails(close(-1), EBADF));
    struct rlimit old, small = {20, 20};
    CHECK(getrlimit(RLIMIT_NOFILE, &old) == 0);
    small.rlim_max = old.rlim_max;
    CHECK(setrlimit(RLIMIT_NOFILE, &small) == 0);
    CHECK(fails(fcntl(fd, F_DUPFD, 20), EINVAL) && fails(dup2(fd, 20), EBADF));
    int count = 0;
    while ((n = dup(fd)) >= 0)
        count++;
    CHECK(errno == EMFILE && count > 5);
    for (n = 4; n < 20; n++)
        close(n);
    CHECK(setrlimit(RLIMIT_NOFILE, &old) == 0);
    close(fd);
}

static void reading_writing(void)
{
    char a[8] = "", b[8] = "", big[10000];
    struct iovec v[3] = {{a, 3}, {NULL, 0}, {b, 4}};
    int fd = file("rw", "0123456789"), ro = open("rw", O_RDONLY), wo = open("rw", O_WRONLY);
    CHECK(preadv(fd, v, 3, 1) == 7 && !strcmp(a, "123") && !strcmp(b, "4567") &&
          lseek(fd, 0, SEEK_CUR) == 10);
    CHECK(preadv2(fd, v, 3, 2, 0) == 7 && a[0] == '2');
    CHECK(lseek(fd, 8, SEEK_SET) == 8 && readv(fd, v, 3) == 2 && readv(fd, v, 3) == 0);
    CHECK(fails(readv(fd, v, -1), EINVAL) && fails(readv(fd, v, 1025), EINVAL) &&
          readv(fd, v, 0) == 0);
    CHECK(pwritev(fd, v, 3, 20) == 7 && lseek(fd, 0, SEEK_END) == 27);
    CHECK(pread(fd, big, sizeof(big), 10) == 17 && big[0] == 0 && big[9] == 0 && big[10] == '8');
    CHECK(fails(write(ro, "x", 1), EBADF) && fails(read(wo, a, 1), EBADF) &&
          fails(pread(fd, a, 1, -1), EINVAL));
    CHECK(fails(lseek(fd, -1, SEEK_SET), EINVAL) && fails(lseek(fd, 0, 99), EINVAL));
    CHECK(fails(read(fd, (void *)8, 10), EFAULT) || lseek(fd, 0, SEEK_CUR) == 27);
    CHECK(lseek(fd, 0, SEEK_SET) == 0 && fails(read(fd, (void *)8, 10), EFAULT) &&
          fails(write(fd, (void *)8, 10), EFAULT));
    CHECK(read(fd, a, 0) == 0 && fails(read(open(".", O_RDONLY), a, 1), EISDIR));
    CHECK(ftruncate(fd, 5) == 0 && ftruncate(fd, 9) == 0 && pread(fd, a, 8, 3) == 6 &&
          !memcmp(a, "34\0\0\0\0", 6));
    CHECK(fails(ftruncate(ro, 1), EINVAL) && fails(ftruncate(fd, -1), EINVAL) &&
          fails(truncate(".", 0), EISDIR));
    CHECK(fallocate(fd, 0, 0, 20000) == 0 && lseek(fd, 0, SEEK_END) == 20000);
    memset(big, 'z', sizeof(big));
    CHECK(pwrite(fd, big, sizeof(big), 5000) == sizeof(big));
    CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 6000, 8000) == 0);
    CHECK(pread(fd, big, sizeof(big), 5000) == sizeof(big) && big[999] == 'z' && big[1000] == 0 &&
          big[8999] == 0 && big[9000] == 'z');
    CHECK(fails(fallocate(fd, 0, 0, 0), EINVAL) && fails(fallocate(ro, 0, 0, 5), EBADF));
    close(fd);
    close(ro);
    close(wo);
    fd = open("hole", O_RDWR | O_CREAT, 0600);
    CHECK(pwrite(fd, "x", 1, 1 << 20) == 1 && lseek(fd, 0, SEEK_DATA) == 1 << 20 &&
          lseek(fd, 0, SEEK_HOLE) == 0);
    CHECK(lseek(fd, 1 << 20, SEEK_HOLE) == (1 << 20) + 1 &&
          fails(lseek(fd, 2 << 20, SEEK_DATA), ENXIO));
    CHECK(ftruncate(fd, 1ll << 42) == 0 && lseek(fd, 2 << 20, SEEK_HOLE) == 2 << 20 &&
          fails(lseek(fd, 2 << 20, SEEK_DATA), ENXIO));
    CHECK(pwrite(fd, "y", 1, 1ll << 41) == 1 && lseek(fd, 2 << 20, SEEK_DATA) == 1ll << 41 &&
          lseek(fd, 1ll << 41, SEEK_HOLE) == (1ll << 41) + 4096);
    close(fd);
}

static void append_race_writer(void)
{
    int fd = open("app", O_WRONLY | O_APPEND);
    for (int i = 0; i < 500; i++)
        CHECK(write(fd, "0123456789abcdef", 16) == 16);
    close(fd);
}

static void *append_thread(void *p)
{
    append_race_writer();
    return p;
}

static void appending(void)
{
    struct stat st;
    pthread_t t[3];
    close(file("app", ""));
    for (int i = 0; i < 3; i++)
        pthread_create(&t[i], NULL, append_thread, NULL);
    CHECK(in_child(append_race_writer) == 0);
    for (int i = 0; i < 3; i++)
        pthread_join(t[i], NULL);
    CHECK(stat("app", &st) == 0 && st.st_size == 4 * 500 * 16);
}

static void attributes(void)
{
    struct stat st;
    struct statx x;
    struct statfs fs;
    struct timespec ts[2] = {{100, 5}, {200, 6}}, omit[2] = {{0, UTIME_OMIT}, {300, 7}};
    close(file("attr", "abc"));
    CHECK(chmod("attr", 06755) == 0 && stat("attr", &st) == 0 && (st.st_mode & 07777) == 06755);
    CHECK(chown("attr", 12, 34) == 0 && stat("attr", &st) == 0 && st.st_uid == 12 &&
          st.st_gid == 34 && (st.st_mode & 07777) == 0755);
    CHECK(utimensat(AT_FDCWD, "attr", ts, 0) == 0 && stat("attr", &st) == 0 &&
          st.st_atim.tv_nsec == 5 && st.st_mtim.tv_sec == 200);
    CHECK(utimensat(AT_FDCWD, "attr", omit, 0) == 0 && stat("attr", &st) == 0 &&
          st.st_atim.tv_sec == 100 && st.st_mtim.tv_nsec == 7);
    CHECK(statx(AT_FDCWD, "attr", 0, STATX_ALL, &x) == 0 && x.stx_size == 3 &&
          x.stx_mtime.tv_sec == 300 && x.stx_uid == 12);
    CHECK(fails(statx(AT_FDCWD, "attr", 0xf0000000, STATX_ALL, &x), EINVAL));
    int fd = open("attr", O_RDONLY);
    CHECK(fstatat(fd, "", &st, AT_EMPTY_PATH) == 0 && st.st_size == 3 &&
          fails(fstatat(fd, "", &st, 0), ENOENT));
    CHECK(fchmod(fd, 0600) == 0 && futimens(fd, NULL) == 0 && fstat(fd, &st) == 0 &&
          st.st_mtime > 1000000 && st.st_mode == (S_IFREG | 0600));
    close(fd);
    CHECK(symlink("attr", "sl") == 0 && lstat("sl", &st) == 0 && st.st_size == 4 &&
          S_ISLNK(st.st_mode));
    CHECK(lchown("sl", 1, 2) == 0 && lstat("sl", &st) == 0 && st.st_uid == 1 &&
          stat("sl", &st) == 0 && st.st_uid == 12);
    CHECK(statfs(".", &fs) == 0 && fs.f_namelen == 255);
    CHECK(access("attr", R_OK | W_OK) == 0 && fails(access("attr", X_OK), EACCES) &&
          faccessat(AT_FDCWD, "attr", F_OK, AT_EACCESS) == 0);
    umask(077);
    CHECK(mkdir("um", 0777) == 0 && stat("um", &st) == 0 && (st.st_mode & 0777) == 0700);
    CHECK(umask(022) == 077);
    CHECK(mknod("fifo", S_IFIFO | 0644, 0) == 0 && stat("fifo", &st) == 0 && S_ISFIFO(st.st_mode));
    CHECK(mkdir("sg", 0755) == 0 && chown("sg", 0, 55) == 0 && chmod("sg", 02775) == 0);
    close(file("sg/f", ""));
    CHECK(mkdir("sg/d", 0755) == 0 && stat("sg/f", &st) == 0 && st.st_gid == 55 &&
          stat("sg/d", &st) == 0 && st.st_gid == 55 && (st.st_mode & S_ISGID));
}

static void xattrs(void)
{
    char v[32] = "", list[100];
    close(file("xa", ""));
    if (setxattr("xa", "user.one", "1", 1, 0) < 0 && errno == EOPNOTSUPP)
        return; /* a file system without them */
    CHECK(setxattr("xa", "user.two", "22", 2, XATTR_CREATE) == 0 &&
          fails(setxattr("xa", "user.two", "", 0, XATTR_CREATE), EEXIST));
    CHECK(fails(setxattr("xa", "user.no", "", 0, XATTR_REPLACE), ENODATA));
    CHECK(getxattr("xa", "user.two", NULL, 0) == 2 && getxattr("xa", "user.two", v, 32) == 2 &&
          !strcmp(v, "22"));
    CHECK(fails(getxattr("xa", "user.two", v, 1), ERANGE) &&
          fails(getxattr("xa", "user.no", v, 1), ENODATA));
    CHECK(listxattr("xa", list, sizeof(list)) == 18 && removexattr("xa", "user.one") == 0 &&
          listxattr("xa", NULL, 0) == 9);
    CHECK(fails(setxattr("xa", "bad", "", 0, 0), EOPNOTSUPP));
}

static void permissions_child(void)
{
    CHECK(setgid(1000) == 0 && setuid(1000) == 0);
    CHECK(fails(open("secret", O_RDONLY), EACCES) && fails(open("ro", O_WRONLY), EACCES) &&
          open("ro", O_RDONLY) >= 0);
    CHECK(fails(open("newfile", O_CREAT | O_WRONLY, 0600), EACCES) && fails(unlink("ro"), EACCES) &&
          fails(mkdir("nd", 0700), EACCES));
    CHECK(fails(access("priv/x", F_OK), EACCES) && fails(chmod("ro", 0777), EPERM) &&
          fails(chown("ro", 1000, -1), EPERM));
    CHECK(fails(unlink("sticky/theirs"), EPERM) && unlink("sticky/mine") == 0);
    CHECK(fails(chroot("."), EPERM) && fails(mknod("/tmp/nnn", S_IFCHR | 0600, 0x103), EPERM) &&
          fails(rename("sticky/theirs", "sticky/t"), EPERM));
    CHECK(fails(utimensat(AT_FDCWD, "ro", (struct timespec[2]){{1, 1}, {1, 1}}, 0), EPERM) &&
          fails(utimensat(AT_FDCWD, "ro", NULL, 0), EACCES));
}

static void permissions(void)
{
    if (geteuid() != 0)
        return;
    CHECK(mkdir("perm", 0755) == 0 && chdir("perm") == 0 && chmod(g_dir, 0755) == 0);
    close(file("secret", ""));
    close(file("ro", ""));
    CHECK(chmod("secret", 0600) == 0 && mkdir("priv", 0700) == 0 && mkdir("sticky", 0777) == 0 &&
          chmod("sticky", 01777) == 0);
    close(file("priv/x", ""));
    close(file("sticky/theirs", ""));
    close(file("sticky/mine", ""));
    CHECK(chown("sticky/mine", 1000, 1000) == 0);
    CHECK(in_child(permissions_child) == 0);
    CHECK(chdir("..") == 0);
}

static void names(void)
{
    char buf[PATH_MAX], text[64];
    struct open_how how = {.flags = O_RDONLY, .resolve = RESOLVE_BENEATH};
    int dir, fd;
    CHECK(mkdir("n", 0755) == 0 && (dir = open("n", O_RDONLY | O_DIRECTORY)) >= 0);
    CHECK(mkdirat(dir, "s", 0755) == 0 && fchdir(dir) == 0 && getcwd(buf, sizeof(buf)) &&
          !strcmp(strrchr(buf, '/'), "/n"));
    CHECK(fails(syscall(SYS_getcwd, buf, 3), ERANGE));
    CHECK(symlink("../..", "s/up") == 0 && symlink("/etc", "s/etc") == 0 && symlink("s", "t") == 0);
#define OPEN2(p) (int)syscall(SYS_openat2, dir, p, &how, sizeof(how))
    CHECK((fd = OPEN2("s/..")) >= 0 && close(fd) == 0 && fails(OPEN2(".."), EXDEV) &&
          fails(OPEN2("s/up"), EXDEV) && fails(OPEN2("s/etc"), EXDEV));
    how.resolve = RESOLVE_IN_ROOT;
    CHECK((fd = OPEN2("s/up")) >= 0 && close(fd) == 0 && fails(OPEN2("s/etc"), ENOENT));
    how.resolve = RESOLVE_NO_SYMLINKS;
    CHECK(fails(OPEN2("t"), ELOOP));
    how.mode = 0600;
    CHECK(fails(OPEN2("s"), EINVAL));
    CHECK(fails(openat(dir, "t", O_RDONLY | O_NOFOLLOW), ELOOP) &&
          (fd = openat(dir, "t/", O_RDONLY | O_NOFOLLOW)) >= 0 && close(fd) == 0);
    fd = openat(dir, "t", O_PATH | O_NOFOLLOW);
    CHECK(fd >= 0 && readlinkat(fd, "", text, sizeof(text)) == 1 && text[0] == 's' &&
          fails(read(fd, text, 1), EBADF) && fails(fchmod(fd, 0), EBADF));
    close(fd);
    memset(buf, 'a', 300);
    buf[256] = 0;
    CHECK(fails(open(buf, O_RDONLY), ENAMETOOLONG) && fails(mkdir(buf, 0700), ENAMETOOLONG));
    buf[255] = 0;
    CHECK(fails(open(buf, O_RDONLY), ENOENT));
    memset(buf, 'a', sizeof(buf));
    CHECK(fails(open(buf, O_RDONLY), ENAMETOOLONG) && fails(open("", O_RDONLY), ENOENT) &&
          fails(open((char *)8, O_RDONLY), EFAULT));
    CHECK(fails(open("s", O_WRONLY), EISDIR) &&
          fails(open("s", O_CREAT | O_RDONLY, 0600), EISDIR) && fails(rmdir("."), EINVAL) &&
          fails(unlink("s"), EISDIR));
    /* A file that has no name any more. */
    fd = file("gone", "x");
    CHECK(unlink("gone") == 0);
    snprintf(text, sizeof(text), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(text, buf, sizeof(buf));
    CHECK(n > 15 && !strncmp(buf + n - 15, "/gone (deleted)", 15));
    int again = open(text, O_RDONLY);
    CHECK(again >= 0 && read(again, buf, 2) == 1 && buf[0] == 'x');
    close(again);
    close(fd);
    fd = open(".", O_TMPFILE | O_RDWR, 0600);
    CHECK(fd >= 0 && write(fd, "tmp", 3) == 3);
    snprintf(text, sizeof(text), "/proc/self/fd/%d", fd);
    CHECK(linkat(AT_FDCWD, text, dir, "named", AT_SYMLINK_FOLLOW) == 0 &&
          access("named", F_OK) == 0);
    close(fd);
    CHECK(chdir("s") == 0 && rmdir("../s") != 0 && unlink("up") == 0 && unlink("etc") == 0 &&
          rmdir("../s") == 0);
    CHECK(fails(syscall(SYS_getcwd, buf, sizeof(buf)), ENOENT) &&
          fails(open("new", O_CREAT | O_RDWR, 0600), ENOENT));
    CHECK(chdir("..") == 0 && chdir("..") == 0);
    close(dir);
}

static void directories(void)
{
    char name[64], buf[200];
    int fd, count = 0;
    long n;
    CHECK(mkdir("many", 0755) == 0);
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof(name), "many/entry%d", i);
        close(file(name, ""));
    }
    fd = open("many", O_RDONLY | O_DIRECTORY);
    CHECK(fails(syscall(SYS_getdents64, fd, buf, 10), EINVAL));
    while ((n = syscall(SYS_getdents64, fd, buf, sizeof(buf))) > 0) {
        for (long at = 0; at < n; at += *(unsigned short *)(buf + at + 16)) {
            char *entry = buf + at + 19;
            if (!strncmp(entry, "entry", 5)) {
                count++;
                CHECK(unlinkat(fd, entry, 0) == 0); /* while it is being read */
            }
        }
    }
    CHECK(n == 0 && count == 300 && rmdir("many") == 0);
    CHECK(syscall(SYS_getdents64, fd, buf, sizeof(buf)) == 0 || errno == ENOENT);
    close(fd);
}

static int g_lock_fd;
static void lock_child(void)
{
    struct flock fl = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 5, .l_len = 10};
    CHECK(fcntl(g_lock_fd, F_GETLK, &fl) == 0 && fl.l_type == F_WRLCK && fl.l_start == 0 &&
          fl.l_len == 8 && fl.l_pid == getppid());
    fl = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 5, .l_len = 10};
    CHECK(fcntl(g_lock_fd, F_SETLK, &fl) == -1 && (errno == EAGAIN || errno == EACCES));
    fl = (struct flock){.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 20, .l_len = 0};
    CHECK(fcntl(g_lock_fd, F_SETLK, &fl) == 0);
    int own = open("lock", O_RDWR);
    CHECK(fails(flock(own, LOCK_EX | LOCK_NB), EWOULDBLOCK) &&
          flock(g_lock_fd, LOCK_SH | LOCK_NB) == 0); /* inherited: the same lock */
    CHECK(flock(own, LOCK_SH | LOCK_NB) == 0);
    alarm(20);
    fl = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 3};
    CHECK(fcntl(g_lock_fd, F_SETLKW, &fl) == 0); /* until the parent unlocks */
}

static void locks(void)
{
    struct flock fl = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 8};
    g_lock_fd = file("lock", "0123456789");
    CHECK(fcntl(g_lock_fd, F_SETLK, &fl) == 0 && flock(g_lock_fd, LOCK_EX) == 0);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        lock_child();
        fflush(stdout);
        _exit(g_failed);
    }
    sleep_ms(100);
    fl = (struct flock){.l_type = F_UNLCK, .l_whence = SEEK_SET};
    CHECK(fcntl(g_lock_fd, F_SETLK, &fl) == 0);
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    fl = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
    CHECK(fcntl(g_lock_fd, F_SETLK, &fl) == 0); /* the child's went with it */
    int other = open("lock", O_RDWR);
    fl = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 2, .l_len = 2};
    CHECK(fails(fcntl(other, F_OFD_SETLK, &fl), EAGAIN));
    close(open("lock", O_RDONLY)); /* any close drops the process's locks */
    CHECK(fcntl(other, F_OFD_SETLK, &fl) == 0);
    fl = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 3};
    CHECK(fails(fcntl(g_lock_fd, F_SETLK, &fl), EAGAIN));
    close(other);
    CHECK(fcntl(g_lock_fd, F_SETLK, &fl) == 0);
    close(g_lock_fd);
}

static void memfds(void)
{
    char buf[64];
    int fd = memfd_create("name", MFD_CLOEXEC | MFD_ALLOW_SEALING), plain = memfd_create("p", 0);
    CHECK(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC && ftruncate(fd, 10000) == 0 &&
          fcntl(fd, F_GET_SEALS) == 0);
    CHECK(fcntl(plain, F_GET_SEALS) == F_SEAL_SEAL &&
          fails(fcntl(plain, F_ADD_SEALS, F_SEAL_GROW), EPERM));
    CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0 &&
          fails(ftruncate(fd, 5), EPERM) && fails(ftruncate(fd, 20000), EPERM));
    CHECK(pwrite(fd, "ab", 2, 9998) == 2 && fails(pwrite(fd, "abc", 3, 9998), EPERM));
    char *m = mmap(NULL, 10000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(m != MAP_FAILED && m[9998] == 'a');
    m[5000] = 'M';
    CHECK(pread(fd, buf, 1, 5000) == 1 && buf[0] == 'M' && pwrite(fd, "N", 1, 5001) == 1 &&
          m[5001] == 'N');
    CHECK(fails(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY));
    CHECK(munmap(m, 10000) == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) == 0 &&
          fails(write(fd, "x", 1), EPERM));
    CHECK(pread(fd, buf, 2, 5000) == 2 && buf[0] == 'M' && buf[1] == 'N');
    close(fd);
    close(plain);
}

static void mappings(void)
{
    char buf[16];
    int fd = file("map", "");
    CHECK(ftruncate(fd, 8192) == 0);
    char *a = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    CHECK(a != MAP_FAILED && p != MAP_FAILED);
    memcpy(a + 100, "shared", sizeof("shared"));
    CHECK(pread(fd, buf, 7, 100) == 7 && !strcmp(buf, "shared"));
    memcpy(p + 200, "private", sizeof("private"));
    CHECK(pread(fd, buf, 7, 200) == 7 && buf[0] == 0);
    CHECK(pwrite(fd, "file", 5, 4096) == 5 && !strcmp(a + 4096, "file"));
    CHECK(msync(a, 8192, MS_SYNC) == 0 && munmap(a, 8192) == 0 && munmap(p, 8192) == 0);
    CHECK(pread(fd, buf, 7, 100) == 7 && !strcmp(buf, "shared"));
    close(fd);
    fd = open("map", O_RDONLY);
    CHECK(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EACCES);
    close(fd);
}

static void moving(void)
{
    char buf[100] = "";
    off_t off = 2;
    loff_t in = 1, out = 10;
    int p[2], q[2], from = file("from", "0123456789"), to = file("to", "");
    CHECK(pipe(p) == 0 && pipe(q) == 0);
    CHECK(sendfile(to, from, &off, 5) == 5 && off == 7 && pread(to, buf, 10, 0) == 5 &&
          !strcmp(buf, "23456"));
    CHECK(copy_file_range(from, &in, to, &out, 3, 0) == 3 && in == 4 && out == 13 &&
          pread(to, buf, 3, 10) == 3 && !strncmp(buf, "123", 3));
    in = 0;
    CHECK(splice(from, &in, p[1], NULL, 6, 0) == 6 && in == 6);
    CHECK(tee(p[0], q[1], 4, 0) == 4 && read(q[0], buf, 99) == 4 && !strncmp(buf, "0123", 4));
    CHECK(splice(p[0], NULL, to, NULL, 6, 0) == 6);
    CHECK(fails(splice(p[0], NULL, to, NULL, 6, SPLICE_F_NONBLOCK), EAGAIN) &&
          fails(splice(from, NULL, to, NULL, 1, 0), EINVAL));
    struct iovec v = {(char *)"vm", 2};
    CHECK(vmsplice(p[1], &v, 1, 0) == 2 && read(p[0], buf, 99) == 2 && buf[0] == 'v');
    CHECK(fails(sendfile(to, p[0], NULL, 1), EINVAL) || errno == EAGAIN);
    close(from);
    close(to);
}

/* More than there is: said at once, and nothing is kept of it. */
static void space_that_is_not_there(void)
{
    struct stat st;
    int fd = open("/dev/shm/files-space", O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0)
        return; /* no /dev/shm here */
    alarm(20);
    CHECK(fails(fallocate(fd, 0, 0, 1l << 40), ENOSPC));
    CHECK(fails(fallocate(fd, FALLOC_FL_KEEP_SIZE, 4096, 1l << 40), ENOSPC));
    CHECK(fstat(fd, &st) == 0 && st.st_size == 0 && st.st_blocks == 0);
    CHECK(fallocate(fd, 0, 0, 1 << 20) == 0 && fstat(fd, &st) == 0 && st.st_size == 1 << 20);
    CHECK(fallocate(fd, 0, 0, 1 << 20) == 0);
    alarm(0);
    close(fd);
    unlink("/dev/shm/files-space");
}

int main(int argc, char **argv)
{
    umask(022);
    CHECK(mkdtemp(g_dir) && chdir(g_dir) == 0);
    RUN(descriptors);
    RUN(reading_writing);
    RUN(appending);
    RUN(attributes);
    RUN(xattrs);
    RUN(permissions);
    RUN(names);
    RUN(directories);
    RUN(locks);
    RUN(memfds);
    RUN(mappings);
    RUN(moving);
    RUN(space_that_is_not_there);
    CHECK(chdir("/") == 0 && remove_tree(g_dir) == 0);
    return finish();
}
