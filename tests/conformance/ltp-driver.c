/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs the tests of a list, one after the other, each in a directory of its own: for full-ltp.sh,
 * as the first process of a container.
 *
 * usage: ltp-driver LIST SECONDS. A line of LIST: NAME COMMAND. For each it prints
 * "result NAME STATUS", STATUS being the exit status, 128 + a signal, or "timeout", and before
 * that what the test printed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void run(const char *command)
{
    setsid();
    if (freopen("/dev/null", "r", stdin) == NULL)
        _exit(126);
    dup2(STDOUT_FILENO, STDERR_FILENO);
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(127);
}

/* Children that the test left behind are ours as well: all of them end before the next one. */
static void end_all(void)
{
    int errors = 0;
    while (errors < 500 && !(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD)) {
        kill(-1, SIGKILL);
        usleep(10000);
        errors++;
    }
}

static int wait_until(pid_t pid, double limit, int *status)
{
    for (double end = now() + limit; now() < end; usleep(5000)) {
        pid_t got = waitpid(-1, status, WNOHANG);
        if (got == pid)
            return 0;
    }
    return -1;
}

int main(int argc, char **argv)
{
    char line[1024];
    FILE *list = argc == 3 ? fopen(argv[1], "r") : NULL;
    if (list == NULL) {
        fprintf(stderr, "usage: ltp-driver LIST SECONDS\n");
        return 2;
    }
    if (getpid() != 1) {
        fprintf(stderr, "ltp-driver: not process 1: it kills every process and empties /tmp, so it "
                        "runs as the first process of a container only\n");
        return 2;
    }
    while (fgets(line, sizeof(line), list) != NULL) {
        char *command = line + strcspn(line, " \t"), dir[] = "/tmp/ltp-XXXXXX";
        int status;
        line[strcspn(line, "\n")] = '\0';
        if (*command == '\0')
            continue;
        *command++ = '\0';
        if (mkdtemp(dir) == NULL || chmod(dir, 0777) < 0 || chdir(dir) < 0)
            return 2;
        fflush(stdout);
        double start = now();
        pid_t pid = fork();
        if (pid == 0)
            run(command);
        int r = wait_until(pid, atof(argv[2]), &status);
        double took = now() - start;
        end_all();
        if (r < 0)
            printf("\nresult %s timeout %.1f\n", line, took);
        else
            printf("\nresult %s %d %.1f\n", line,
                   WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), took);
        fflush(stdout);
        umask(022);
        if (chdir("/") < 0)
            return 2;
        pid = fork();
        if (pid == 0)
            run("rm -rf /tmp/* /tmp/.[!.]* /dev/shm/* >/dev/null 2>&1");
        if (pid < 0 || waitpid(pid, &status, 0) < 0)
            return 2;
    }
    return 0;
}
