/* SPDX-License-Identifier: Apache-2.0 */
/* Pseudo-terminals: line discipline, signals, job control. */
#include "check.h"
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>

static int g_master, g_slave;

static int fails(long r, int error)
{
    return r == -1 && errno == error;
}

static void open_pair(void)
{
    char name[64];
    struct stat st;
    int n;
    g_master = open("/dev/ptmx", O_RDWR | O_NOCTTY);
    CHECK(g_master >= 0 && ioctl(g_master, TIOCGPTN, &n) == 0);
    CHECK(ptsname_r(g_master, name, sizeof(name)) == 0 &&
          fails(open(name, O_RDWR | O_NOCTTY), EIO));
    CHECK(unlockpt(g_master) == 0 && (g_slave = open(name, O_RDWR | O_NOCTTY)) >= 0);
    CHECK(fstat(g_slave, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev >> 8 == 136 &&
          isatty(g_slave) && isatty(g_master));
    char again[64];
    CHECK(ttyname_r(g_slave, again, sizeof(again)) == 0 && !strcmp(name, again));
}

static void close_pair(void)
{
    close(g_slave);
    close(g_master);
}

/* What is there once it has come: of a burst the rest is near. */
static ssize_t collect(int fd, char *buf, size_t size)
{
    struct pollfd f = {fd, POLLIN, 0};
    ssize_t n = 0, got;
    int patience = 10000;
    while (n < (ssize_t)size && poll(&f, 1, patience) == 1 &&
           (got = read(fd, buf + n, size - (size_t)n)) > 0) {
        n += got;
        patience = 100;
    }
    return n;
}

static void drain(void)
{
    char buf[4096];
    collect(g_master, buf, sizeof(buf));
}

static void show(const char *what, int fd)
{
    char buf[512];
    ssize_t n = collect(fd, buf, sizeof(buf));
    printf("  %s:", what);
    for (ssize_t i = 0; i < n; i++)
        printf(buf[i] >= 33 && buf[i] < 127 ? "%c" : "\\%02x", (unsigned char)buf[i]);
    printf("\n");
}

static void nothing(int fd)
{
    struct pollfd f = {fd, POLLIN, 0};
    CHECK(poll(&f, 1, 60) == 0);
}

static void type(const char *keys, size_t n)
{
    CHECK(write(g_master, keys, n) == (ssize_t)n);
}
#define TYPE(keys) type(keys, sizeof(keys) - 1)

static void canonical(void)
{
    char buf[100];
    open_pair();
    TYPE("hello\n");
    CHECK(read(g_slave, buf, 3) == 3 && !memcmp(buf, "hel", 3) && read(g_slave, buf, 100) == 3 &&
          !memcmp(buf, "lo\n", 3));
    show("echo", g_master);
    TYPE("abc\x7f\x7fx\r");
    show("erase echo", g_master);
    show("erase", g_slave);
    TYPE("one two  three\x17\x17nine\n");
    show("word echo", g_master);
    show("word", g_slave);
    TYPE("kill me\x15zz\n");
    show("kill echo", g_master);
    show("kill", g_slave);
    TYPE("a\tb\x7f\x7f\x7f\n");
    show("tab echo", g_master);
    show("tab", g_slave);
    TYPE("part\x04");
    show("eof after bytes", g_slave);
    TYPE("\x04");
    CHECK(read(g_slave, buf, 100) == 0);
    TYPE("\x16\x03lit\n");
    drain();
    show("literal", g_slave);
    TYPE("re\x12print\n");
    show("reprint echo", g_master);
    show("reprint", g_slave);
    TYPE("\x01\x1b[A\n");
    show("control echo", g_master);
    show("control", g_slave);
    CHECK(write(g_slave, "out\tx\ny\r\n", 9) == 9);
    show("output", g_master);
    int n;
    TYPE("four\nmore");
    sleep_ms(20);
    CHECK(ioctl(g_slave, FIONREAD, &n) == 0 && n == 5);
    CHECK(tcflush(g_slave, TCIFLUSH) == 0);
    struct pollfd f = {g_slave, POLLIN, 0};
    CHECK(poll(&f, 1, 0) == 0);
    close_pair();
}

static void raw(void)
{
    struct termios t, u;
    char buf[100];
    open_pair();
    CHECK(tcgetattr(g_slave, &t) == 0 &&
          (t.c_lflag & (ICANON | ECHO | ISIG)) == (ICANON | ECHO | ISIG) && t.c_cc[VINTR] == 3 &&
          t.c_cc[VMIN] == 1);
    u = t;
    cfmakeraw(&u);
    CHECK(tcsetattr(g_slave, TCSANOW, &u) == 0);
    TYPE("a\r\x03\x7f");
    show("raw", g_slave);
    nothing(g_master);
    CHECK(write(g_slave, "x\ny", 3) == 3);
    show("raw output", g_master);
    u.c_cc[VMIN] = 0;
    u.c_cc[VTIME] = 0;
    CHECK(tcsetattr(g_slave, TCSANOW, &u) == 0 && read(g_slave, buf, 10) == 0);
    u.c_cc[VTIME] = 1;
    double start = now();
    CHECK(tcsetattr(g_slave, TCSANOW, &u) == 0 && read(g_slave, buf, 10) == 0 &&
          now() - start > 0.08 && now() - start < 5);
    u.c_cc[VMIN] = 3;
    u.c_cc[VTIME] = 0;
    CHECK(tcsetattr(g_slave, TCSANOW, &u) == 0);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        TYPE("1");
        sleep_ms(50);
        TYPE("23");
        _exit(0);
    }
    CHECK(read(g_slave, buf, 10) == 3 && !memcmp(buf, "123", 3) && waitpid(pid, NULL, 0) == pid);
    /* Leaving canonical mode makes the unfinished line readable. */
    CHECK(tcsetattr(g_slave, TCSANOW, &t) == 0);
    TYPE("unfinished");
    sleep_ms(30);
    drain();
    u.c_cc[VMIN] = 1;
    CHECK(tcsetattr(g_slave, TCSANOW, &u) == 0);
    show("switched", g_slave);
    u.c_oflag = OPOST | OCRNL;
    u.c_iflag = INLCR | ISTRIP;
    CHECK(tcsetattr(g_slave, TCSANOW, &u) == 0 && write(g_slave, "a\rb", 3) == 3);
    show("ocrnl", g_master);
    TYPE("\n\xe1");
    show("inlcr istrip", g_slave);
    close_pair();
}

static volatile sig_atomic_t g_got[65];
static void on_signal(int sig)
{
    g_got[sig]++;
}

static void session_child(void)
{
    struct winsize w = {30, 100, 0, 0}, v;
    int fd;
    char buf[10];
    CHECK(setsid() == getpid() && fails(open("/dev/tty", O_RDWR), ENXIO));
    CHECK(ioctl(g_slave, TIOCSCTTY, 0) == 0 && tcgetpgrp(g_slave) == getpid() &&
          tcgetsid(g_slave) == getpid());
    CHECK((fd = open("/dev/tty", O_RDWR)) >= 0 && tcgetpgrp(fd) == getpid());
    struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    for (int sig = 1; sig < 32; sig++)
        if (sig != SIGCHLD)
            sigaction(sig, &sa, NULL);
    TYPE("lost\x03");
    sleep_ms(30);
    TYPE("\x1c");
    sleep_ms(30);
    CHECK(g_got[SIGINT] == 1 && g_got[SIGQUIT] == 1);
    show("signal echo", g_master);
    TYPE("\x1a");
    sleep_ms(30);
    CHECK(g_got[SIGTSTP] == 1);
    CHECK(ioctl(g_master, TIOCSWINSZ, &w) == 0 && ioctl(fd, TIOCGWINSZ, &v) == 0 &&
          v.ws_row == 30 && v.ws_col == 100);
    sleep_ms(30);
    CHECK(g_got[SIGWINCH] == 1);
    pid_t pid = fork();
    if (pid == 0) { /* a background group: reading stops it */
        setpgid(0, 0);
        signal(SIGTTIN, SIG_DFL);
        signal(SIGTTOU, SIG_DFL);
        _exit(read(fd, buf, 1) == 1 && buf[0] == 'B' && tcsetpgrp(fd, getpid()) == 0 ? 7 : 8);
    }
    setpgid(pid, pid);
    int status;
    CHECK(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status) &&
          WSTOPSIG(status) == SIGTTIN);
    CHECK(tcsetpgrp(fd, pid) == 0 && tcgetpgrp(fd) == pid);
    TYPE("B\n");
    CHECK(kill(-pid, SIGCONT) == 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
          WEXITSTATUS(status) == 7);
    signal(SIGTTOU, SIG_IGN);
    CHECK(tcsetpgrp(fd, getpgrp()) == 0 && fails(tcsetpgrp(fd, 1), EPERM));
    signal(SIGTTOU, SIG_DFL);
    g_got[SIGHUP] = g_got[SIGCONT] = 0;
    fflush(stdout);
    close(g_master);
    sleep_ms(30);
    CHECK(g_got[SIGHUP] == 1 && g_got[SIGCONT] == 1);
    CHECK(read(fd, buf, 1) == 0 || errno == EIO);
    CHECK(fails(write(fd, "x", 1), EIO));
    fflush(stdout);
    _exit(g_failed);
}

static void job_control(void)
{
    open_pair();
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        session_child();
    close_pair();
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

static void hangup(void)
{
    char c;
    open_pair();
    close(g_slave);
    CHECK(fails(read(g_master, &c, 1), EIO));
    struct pollfd f = {g_master, POLLIN, 0};
    CHECK(poll(&f, 1, 0) == 1 && (f.revents & POLLHUP));
    close(g_master);
}

static void forked_shell(void)
{
    char buf[200] = "";
    int m, n = 0;
    ssize_t r;
    fflush(stdout);
    pid_t pid = forkpty(&m, NULL, NULL, NULL);
    if (pid == 0) {
        CHECK(isatty(0) && tcgetpgrp(0) == getpid());
        printf("in the child\n");
        exit(g_failed);
    }
    while (n < 150 && (r = read(m, buf + n, sizeof(buf) - 1 - (size_t)n)) > 0)
        n += (int)r;
    CHECK(!strcmp(buf, "in the child\r\n"));
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    close(m);
}

/* Who kept the node of a terminal that is gone has nothing of the next one of that number. */
static void of_another(void)
{
    char name[64], kept[32];
    struct stat before, after;
    open_pair();
    CHECK(ptsname_r(g_master, name, sizeof(name)) == 0);
    int fd = open(name, O_PATH);
    close_pair();
    open_pair();
    snprintf(kept, sizeof(kept), "/proc/self/fd/%d", fd);
    CHECK(fstat(g_slave, &before) == 0);
    CHECK(fails(open(kept, O_RDWR | O_NOCTTY), EIO));
    chmod(kept, 0666);
    CHECK(fstat(g_slave, &after) == 0 && before.st_mode == after.st_mode);
    close(fd);
    close_pair();
}

/* The other side is the terminal's, and not what has its name for the caller. */
static void not_by_name(void)
{
    char dir[] = "/tmp/peerXXXXXX", name[64];
    int n, status;
    open_pair();
    int fd = ioctl(g_master, TIOCGPTPEER, O_RDWR | O_NOCTTY);
    CHECK(fd >= 0 && isatty(fd));
    close(fd);
    CHECK(ioctl(g_master, TIOCGPTN, &n) == 0 && mkdtemp(dir) && chdir(dir) == 0);
    snprintf(name, sizeof(name), "dev/pts/%d", n);
    CHECK(mkdir("dev", 0755) == 0 && mkdir("dev/pts", 0755) == 0);
    fd = open(name, O_CREAT | O_RDWR, 0666);
    CHECK(fd >= 0);
    close(fd);
    pid_t pid = fork();
    if (pid == 0) {
        CHECK(chroot(".") == 0);
        fd = ioctl(g_master, TIOCGPTPEER, O_RDWR | O_NOCTTY);
        CHECK(fd >= 0 ? isatty(fd) : errno == EIO);
        _exit(g_failed);
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    CHECK(unlink(name) == 0 && rmdir("dev/pts") == 0 && rmdir("dev") == 0 && chdir("/") == 0 &&
          rmdir(dir) == 0);
    close_pair();
}

/* TIOCSIG: what keys can send, for the foreground group may be another user's. */
static void sent_by_master(void)
{
    static const int refused[] = {0, SIGHUP, SIGKILL, SIGSEGV, SIGTERM, SIGSTOP, 64};
    open_pair();
    for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++)
        CHECK(fails(ioctl(g_master, TIOCSIG, refused[i]), EINVAL));
    CHECK(ioctl(g_master, TIOCSIG, SIGINT) == 0);
    close_pair();
}

/* A session leader that opens a terminal with O_NOCTTY does not get it; its child's session may. */
static void not_controlling(void)
{
    int status, child;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        CHECK(setsid() == getpid());
        open_pair();
        CHECK(fails(open("/dev/tty", O_RDWR), ENXIO));
        child = fork();
        if (child == 0) {
            CHECK(setsid() == getpid() && ioctl(g_slave, TIOCSCTTY, 0) == 0 &&
                  tcgetsid(g_slave) == getpid());
            _exit(g_failed);
        }
        CHECK(waitpid(child, &status, 0) == child && status == 0);
        close_pair();
        _exit(g_failed);
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

int main(void)
{
    RUN(canonical);
    RUN(raw);
    RUN(job_control);
    RUN(hangup);
    RUN(forked_shell);
    RUN(not_controlling);
    RUN(of_another);
    RUN(not_by_name);
    RUN(sent_by_master);
    return finish();
}
