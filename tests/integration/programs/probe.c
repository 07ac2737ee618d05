/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Run in a container by the tests: what the kernel says about this process, and bare system calls.
 *   probe call NUMBER [ARGUMENT...]   "s:TEXT" is a pointer to TEXT; prints "RESULT ERRNO"
 *   probe scheduler | ioprio | affinity | personality | mem
 */
#include <errno.h>
#include <linux/ioprio.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

struct sched_attr_v1 {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};

static int call(int argc, char **argv)
{
    long args[7] = {0};
    for (int i = 0; i < argc && i < 7; i++)
        args[i] = strncmp(argv[i], "s:", 2) == 0 ? (long)(intptr_t)(argv[i] + 2)
                                                 : (long)strtoull(argv[i], NULL, 0);
    errno = 0;
    long ret = syscall(args[0], args[1], args[2], args[3], args[4], args[5], args[6]);
    printf("%ld %d\n", ret, errno);
    return 0;
}

static int scheduler(void)
{
    struct sched_attr_v1 attr = {.size = sizeof(attr)};
    if (syscall(SYS_sched_getattr, 0, &attr, sizeof(attr), 0) < 0)
        return 1;
    printf("policy=%u flags=%llu nice=%d priority=%u runtime=%llu deadline=%llu period=%llu\n",
           attr.policy, (unsigned long long)attr.flags, attr.nice, attr.priority,
           (unsigned long long)attr.runtime, (unsigned long long)attr.deadline,
           (unsigned long long)attr.period);
    return 0;
}

static int affinity(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) < 0)
        return 1;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &set))
            printf("%d ", cpu);
    puts("");
    return 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "call") == 0)
        return call(argc - 2, argv + 2);
    if (strcmp(what, "scheduler") == 0)
        return scheduler();
    if (strcmp(what, "affinity") == 0)
        return affinity();
    if (strcmp(what, "ioprio") == 0) {
        long value = syscall(SYS_ioprio_get, 1, 0);
        printf("class=%ld priority=%ld\n", value >> 13, value & 0x1fff);
        return 0;
    }
    if (strcmp(what, "personality") == 0) {
        struct utsname name;
        uname(&name);
        printf("%x %s\n", (unsigned)personality(0xffffffff), name.machine);
        return 0;
    }
    fprintf(stderr, "probe: %s?\n", what);
    return 2;
}
