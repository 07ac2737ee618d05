/* SPDX-License-Identifier: Apache-2.0 */
#include "enclave/oom.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/log.h"
#include "pal.h"

#define SCORE_FILE    "/proc/self/oom_score_adj"
#define SCORE_MOST    1000
#define CHUNK         (4u << 20)
#define PATIENCE_MS   10000
#define NAP_MS        2
#define LIMITS_FILLED 4 /* swap may take some: more than this times the limit is not tried */

static char *line_of(uint64_t limit, int pid, int what)
{
    switch (what) {
    case PAL_OOM_LIMIT:
        if (limit != 0)
            return xasprintf(
                "out of memory: process %d was killed: the container's memory limit of "
                "%llu MiB is used up; raise linux.resources.memory.limit (docker run "
                "--memory, Kubernetes resources.limits.memory)",
                pid, (unsigned long long)(limit >> 20));
        return xasprintf("out of memory: process %d was killed: the enclave has as much as this "
                         "machine's memory; the container has no limit of its own",
                         pid);
    case PAL_OOM_SETTING:
        return xasprintf("out of memory: process %d was killed: what the enclave was built with is "
                         "used up; raise enclave.memory",
                         pid);
    default:
        return xasprintf("out of memory: process %d was killed: the machine has no more enclave "
                         "memory (EPC)",
                         pid);
    }
}

/* The line lands among the program's own: it is the one that its reader needs. */
static void say(struct oom *oom, const char *line)
{
    bool log_is_stderr = log_fd() == STDERR_FILENO;
    log_error("%s", line);
    if (!oom->said && !log_is_stderr) {
        cleanup_free char *text = xasprintf("rune: %s\n", line);
        (void)!write_all(STDERR_FILENO, text, strlen(text));
    }
    oom->said = true;
}

/* -1: it cannot be read. */
static int own_score(void)
{
    char text[16] = "";
    cleanup_close int fd = open(SCORE_FILE, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    return size <= 0 ? -1 : (int)strtol(text, NULL, 10);
}

/* In a child of ours, which must be who is chosen: with less than the highest score it does not
 * try. Only what is safe after fork() in a process with threads. */
static _Noreturn void be_killed(uint64_t limit)
{
    static const char most[] = "1000";
    (void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* its files in /proc are its own user's again */
    int fd = open(SCORE_FILE, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, most, sizeof(most) - 1) < 0)
        _exit(1);
    for (uint64_t size = 0; size < LIMITS_FILLED * limit + CHUNK; size += CHUNK) {
        char *memory = mmap(NULL, CHUNK, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED)
            _exit(1);
        for (size_t i = 0; i < CHUNK; i += 4096)
            ((volatile char *)memory)[i] = 1;
    }
    _exit(1);
}

static void wait_for(pid_t pid)
{
    int status = 0;
    const struct timespec nap = {.tv_nsec = NAP_MS * 1000000L};
    for (int i = 0; i < PATIENCE_MS / NAP_MS; i++) {
        if (waitpid(pid, &status, WNOHANG) != 0) {
            if (!WIFSIGNALED(status))
                log_debug("the kernel did not count this as out of memory: %d", status);
            return;
        }
        nanosleep(&nap, NULL);
    }
    log_warning("the container's memory cgroup did not run out within %d s: engines are not told",
                PATIENCE_MS / 1000);
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
}

void oom_happened(struct oom *oom, int pid, int what)
{
    const uint64_t limit = __atomic_load_n(&oom->limit, __ATOMIC_RELAXED);
    cleanup_free char *line = line_of(limit, pid, what);
    say(oom, line);
    if (what != PAL_OOM_LIMIT || limit == 0 || oom->silent)
        return;
    /* With the highest score of its own, this process would be as good a choice as its child. */
    int score = own_score();
    if (score < 0 || score >= SCORE_MOST)
        return;
    pid_t child = fork();
    if (child == 0)
        be_killed(limit);
    if (child > 0)
        wait_for(child);
    else
        log_debug("no process to make the kernel count that memory ran out");
}
