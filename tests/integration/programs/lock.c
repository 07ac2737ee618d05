/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lock KIND HOW FILE [COMMAND...]: take a lock and run the command with it held.
 *   KIND  flock, posix or ofd
 *   HOW   read, write: at once or not at all; wait: a write lock, whenever it comes; test: is one
 *         there
 * Prints "got", "busy" or, for test, "free", "read" or "write" and the range; exit code 1 when it
 * is busy.
 * Bytes 100 to 199 are locked, the whole file by flock.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

static int busy(void)
{
    puts(errno == EAGAIN || errno == EACCES ? "busy" : strerror(errno));
    return 1;
}

/* 0 when the shell's command is done well. */
static int run(const char *command)
{
    int status = 1;
    pid_t pid = fork();
    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", command, NULL);
        _exit(127);
    }
    return pid < 0 || waitpid(pid, &status, 0) < 0 || status != 0;
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    const char *kind = argv[1], *how = argv[2];
    int wait = strcmp(how, "wait") == 0, read_only = strcmp(how, "read") == 0;
    int fd = open(argv[3], O_RDWR | O_CREAT, 0666);
    if (fd < 0) {
        perror(argv[3]);
        return 2;
    }
    struct flock range = {.l_type = read_only ? F_RDLCK : F_WRLCK, .l_start = 100, .l_len = 100};
    int ofd = strcmp(kind, "ofd") == 0;
    if (strcmp(how, "test") == 0) {
        if (fcntl(fd, ofd ? F_OFD_GETLK : F_GETLK, &range) < 0)
            return busy();
        if (range.l_type == F_UNLCK)
            puts("free");
        else
            printf("%s %lld %lld\n", range.l_type == F_RDLCK ? "read" : "write",
                   (long long)range.l_start, (long long)range.l_len);
        return range.l_type != F_UNLCK;
    }
    int r = strcmp(kind, "flock") == 0
                ? flock(fd, (read_only ? LOCK_SH : LOCK_EX) | (wait ? 0 : LOCK_NB))
            : ofd ? fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &range)
                  : fcntl(fd, wait ? F_SETLKW : F_SETLK, &range);
    if (r < 0)
        return busy();
    puts("got");
    fflush(stdout);
    return argc > 4 ? run(argv[4]) : 0;
}
