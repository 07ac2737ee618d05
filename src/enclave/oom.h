/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process of the enclave is killed because memory ran out: said to people and to engines. Private
 * to the room; docs/design/libenclave.md, "When memory runs out".
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct oom {
    uint64_t limit; /* the container's own, bytes; 0: none; atomic */
    bool silent;    /* the kernel's OOM killer is off for the container: nothing is raised */
    bool said;      /* the line on stderr: once a container */
};

/*
 * pid: of the runtime; what: PAL_OOM_*. Writes a line to the log and, the first time, to standard
 * error, which is the container's. Where the container's limit is used up, the kernel's OOM killer
 * is then made to count it, so that whoever watches the cgroup (containerd, Docker, Kubernetes,
 * rune events) sees what it sees of any container. Takes as long as the rest of the limit takes to
 * be filled, 10 s at most.
 */
void oom_happened(struct oom *oom, int pid, int what);
