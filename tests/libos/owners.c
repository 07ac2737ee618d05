/* SPDX-License-Identifier: Apache-2.0 */
/* Signals of files: SIGIO of what is ready, leases that others break, directories that change. */
#include "check.h"
#include "remove.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define SIG (SIGRTMIN + 3)

static char g_dir[] = "/tmp/ownersXXXXXX";

static int fails(long r, int error)
{
    return r == -1 && errno == error;
}

/* The next signal of SIG or SIGIO, at most ms away: its number. */
static int next(siginfo_t *info, int ms)
{
    struct timespec ts = {ms / 1000, ms % 1000 * 1000000l};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIG);
    sigaddset(&set, SIGIO);
    memset(info, 0, sizeof(*info));
    return sigtimedwait(&set, info, &ts);
}

static void set_up(int fd, int flags)
{
    CHECK(fcntl(fd, F_SETOWN, getpid()) == 0 && fcntl(fd, F_SETSIG, SIG) == 0);
    CHECK(fcntl(fd, F_SETFL, flags | O_ASYNC) == 0);
}

static void ready_files(void)
{
    siginfo_t info;
    int p[2], s[2], on = 1;
    struct f_owner_ex ex = {F_OWNER_TID, (pid_t)syscall(SYS_gettid)}, got = {0};
    CHECK(pipe(p) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0);
    CHECK(fcntl(p[0], F_GETOWN) == 0 && fcntl(p[0], F_GETSIG) == 0);
    set_up(p[0], 0);
    CHECK(fcntl(p[0], F_GETOWN) == getpid() && fcntl(p[0], F_GETSIG) == SIG);
    CHECK(write(p[1], "x", 1) == 1 && next(&info, 5000) == SIG);
    CHECK(info.si_fd == p[0] && info.si_code == POLL_IN && info.si_band == (POLLIN | POLLRDNORM));
    set_up(s[0], 0);
    CHECK(write(s[1], "x", 1) == 1 && next(&info, 5000) == SIG && info.si_fd == s[0]);
    /* A thread; and SIGIO, which says nothing else. */
    CHECK(fcntl(p[0], F_SETOWN_EX, &ex) == 0 && fcntl(p[0], F_GETOWN_EX, &got) == 0);
    CHECK(got.type == F_OWNER_TID && got.pid == ex.pid && fcntl(p[0], F_SETSIG, 0) == 0);
    CHECK(write(p[1], "x", 1) == 1 && next(&info, 5000) == SIGIO && info.si_code == SI_KERNEL);
    CHECK(fcntl(p[0], F_SETOWN, -getpgrp()) == 0 && fcntl(p[0], F_GETOWN) == -getpgrp());
    /* No more of it. */
    CHECK(fcntl(p[0], F_SETFL, 0) == 0 && write(p[1], "x", 1) == 1 && next(&info, 50) == -1);
    CHECK(fcntl(p[0], F_SETSIG, SIG) == 0 && ioctl(p[0], FIOASYNC, &on) == 0);
    CHECK((fcntl(p[0], F_GETFL) & O_ASYNC) && write(p[1], "x", 1) == 1 && next(&info, 5000) == SIG);
    CHECK(fails(fcntl(p[0], F_SETOWN, 4000000), ESRCH) && fails(fcntl(p[0], F_SETSIG, 99), EINVAL));
    close(p[0]);
    CHECK(next(&info, 50) == -1);
    close(p[1]);
    close(s[0]);
    close(s[1]);
}

static int g_told;

/* Opens for writing, which waits for the lease. */
static void opens(void)
{
    int fd = open("leased", O_WRONLY);
    CHECK(fd >= 0);
    CHECK(write(g_told, "x", 1) == 1);
}

static void leases(void)
{
    siginfo_t info;
    char c;
    int p[2], fd = open("leased", O_CREAT | O_RDWR, 0600), reader;
    CHECK(pipe(p) == 0 && fails(fcntl(fd, F_SETLEASE, F_RDLCK), EAGAIN));
    CHECK(fcntl(fd, F_SETLEASE, F_WRLCK) == 0 && fcntl(fd, F_GETLEASE) == F_WRLCK);
    CHECK(fcntl(fd, F_SETLEASE, F_UNLCK) == 0 && fails(fcntl(fd, F_SETLEASE, F_UNLCK), EAGAIN));
    CHECK(fails(fcntl(p[0], F_SETLEASE, F_RDLCK), EINVAL));
    close(fd);
    reader = open("leased", O_RDONLY);
    CHECK(fcntl(reader, F_SETSIG, SIG) == 0 && fcntl(reader, F_SETLEASE, F_RDLCK) == 0);
    fd = open("leased", O_RDONLY); /* readers do not mind */
    CHECK(fd >= 0 && next(&info, 0) == -1);
    CHECK(fails(fcntl(reader, F_SETLEASE, F_WRLCK), EAGAIN));
    CHECK(fails(open("leased", O_WRONLY | O_NONBLOCK), EAGAIN));
    CHECK(next(&info, 5000) == SIG && info.si_fd == reader && info.si_code == POLL_MSG);
    CHECK(fcntl(reader, F_GETLEASE) == F_UNLCK && fcntl(reader, F_SETLEASE, F_UNLCK) == 0);
    CHECK(fcntl(reader, F_GETSIG) == 0 && fcntl(reader, F_GETOWN) == 0); /* gone with it */
    CHECK(fcntl(reader, F_SETSIG, SIG) == 0 && fcntl(reader, F_SETLEASE, F_RDLCK) == 0);
    g_told = p[1];
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        close(reader); /* the parent's is the same one: it stays */
        opens();
        _exit(g_failed);
    }
    int status;
    CHECK(next(&info, 10000) == SIG);
    CHECK(fcntl(p[0], F_SETFL, O_NONBLOCK) == 0 && fails(read(p[0], &c, 1), EAGAIN));
    CHECK(fcntl(reader, F_SETLEASE, F_UNLCK) == 0);
    CHECK(waitpid(pid, &status, 0) == pid && status == 0 && read(p[0], &c, 1) == 1);
    close(reader);
    close(fd);
    close(p[0]);
    close(p[1]);
}

static void directories(void)
{
    siginfo_t info;
    int here, below;
    CHECK(mkdir("sub", 0700) == 0);
    close(open("file", O_CREAT | O_RDWR, 0600));
    here = open(".", O_RDONLY);
    below = open("sub", O_RDONLY);
    CHECK(fcntl(here, F_SETSIG, SIG) == 0 && fcntl(below, F_SETSIG, SIG) == 0);
    CHECK(fcntl(here, F_NOTIFY, DN_CREATE | DN_RENAME | DN_MULTISHOT) == 0);
    CHECK(fcntl(below, F_NOTIFY, DN_RENAME | DN_ATTRIB) == 0);
    close(open("new", O_CREAT | O_RDWR, 0600));
    CHECK(next(&info, 5000) == SIG && info.si_fd == here && info.si_code == POLL_MSG);
    CHECK(rename("file", "sub/file") == 0 && next(&info, 50) == -1); /* not within one directory */
    CHECK(rename("new", "old") == 0);
    while (next(&info, 50) == SIG) /* renamed, and created: told of once or twice */
        CHECK(info.si_fd == here);
    CHECK(chmod("sub", 0755) == 0 && next(&info, 5000) == SIG && info.si_fd == below);
    CHECK(chmod("sub", 0700) == 0 && next(&info, 50) == -1); /* it was for once */
    CHECK(fcntl(here, F_NOTIFY, 0) == 0);
    close(open("newer", O_CREAT | O_RDWR, 0600));
    CHECK(next(&info, 50) == -1);
    int fd = open("newer", O_RDONLY);
    CHECK(fails(fcntl(fd, F_NOTIFY, DN_CREATE), ENOTDIR));
    close(fd);
    CHECK(fcntl(here, F_NOTIFY, DN_CREATE) == 0);
    close(here);
    close(below);
    close(open("newest", O_CREAT | O_RDWR, 0600));
    CHECK(next(&info, 50) == -1);
}

int main(void)
{
    sigset_t set;
    setpgid(0, 0); /* a signal is sent to the group */
    sigemptyset(&set);
    sigaddset(&set, SIG);
    sigaddset(&set, SIGIO);
    sigprocmask(SIG_BLOCK, &set, NULL);
    CHECK(mkdtemp(g_dir) && chdir(g_dir) == 0);
    RUN(ready_files);
    RUN(leases);
    RUN(directories);
    CHECK(chdir("/") == 0 && remove_tree(g_dir) == 0);
    return finish();
}
