/* SPDX-License-Identifier: Apache-2.0 */
/*
 * escape PATH...: the calls that take a path and that no tool of a shell makes. PATH is a link in a
 * pass-through mount that would lead to a program, a socket or a directory of the enclave. One line
 * for each call that got there; exit code 1 then.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int bad;

static void is_no(const char *what, const char *path, long result)
{
    if (result >= 0) {
        printf("%s(%s) got there\n", what, path);
        bad = 1;
    }
}

/* Ends as the program does that it became; 77: it became none. */
static int run(const char *path, int by_fd)
{
    pid_t pid = fork();
    int status;
    if (pid == 0) {
        char *argv[] = {"true", NULL}, *env[] = {NULL};
        if (by_fd) {
            int fd = open(path, O_PATH | O_CLOEXEC);
            if (fd >= 0)
                execveat(fd, "", argv, env, AT_EMPTY_PATH);
        } else {
            execve(path, argv, env);
        }
        _exit(77);
    }
    waitpid(pid, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 77 ? -1 : 0;
}

static int with_socket(const char *path, int (*call)(int, const struct sockaddr *, socklen_t))
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(name.sun_path, sizeof(name.sun_path), "%s", path);
    int r = call(fd, (struct sockaddr *)&name, sizeof(name));
    close(fd);
    return r;
}

static int map_exec(const char *path, int late)
{
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        return -1;
    void *p = mmap(NULL, 4096, PROT_READ | (late ? 0 : PROT_EXEC), MAP_PRIVATE, fd, 0);
    close(fd);
    return p == MAP_FAILED ? -1 : late ? mprotect(p, 4096, PROT_READ | PROT_EXEC) : 0;
}

static int reopen(const char *path)
{
    char name[64];
    int fd = open(path, O_PATH), again;
    if (fd < 0)
        return -1;
    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    again = open(name, O_RDONLY);
    close(fd);
    return again;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *p = argv[i];
        is_no("execve", p, run(p, 0));
        is_no("execveat", p, run(p, 1));
        is_no("connect", p, with_socket(p, connect));
        is_no("bind", p, with_socket(p, bind));
        is_no("inotify_add_watch", p, inotify_add_watch(inotify_init(), p, IN_ALL_EVENTS));
        is_no("mmap", p, map_exec(p, 0));
        is_no("mprotect", p, map_exec(p, 1));
        is_no("open by /proc/self/fd", p, reopen(p));
        is_no("mkfifo", p, mkfifo(p, 0600));
        is_no("chroot", p, chroot(p));
    }
    return bad;
}
