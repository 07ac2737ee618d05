/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Becoming a container, or a further process of one: one table of steps in their one order
 * (steps.c), each with the facts under which it is due, and one executor (sequence.c). Runs in
 * rune's clone; an enclave container's clone becomes init-runelet on the way, which goes on after
 * that step. docs/design/engine.md has the order's reasons.
 */
#pragma once

#include "container/private.h"

/* What is known before the first step. Opposites are facts too: a step is due when all that it
 * names hold. */
enum fact {
    CONTAINER = 1 << 0,      /* the container's init */
    EXEC = 1 << 1,           /* a further process */
    PROGRAM = 1 << 2,        /* ends in the execve() of the program */
    PAYLOAD = 1 << 3,        /* a payload stands in for it: an enclave */
    USER_NAMESPACE = 1 << 4, /* ids of the container are not those of the host */
    WAITS = 1 << 5,          /* until rune has mapped the ids, or systemd has moved us */
    KEYRING = 1 << 6,        /* a session keyring of its own */
    NEW_NETWORK = 1 << 7,    /* a network namespace of its own */
    NAMES = 1 << 8,          /* a host or domain name */
    MOUNTS = 1 << 9,         /* a mount namespace */
    HOOKS = 1 << 10,         /* that run before the root is changed */
    START_HOOKS = 1 << 11,   /* startContainer */
    TERMINAL = 1 << 12,      /* its stdio is a terminal of the container */
    STDIO = 1 << 13,         /* its stdio is what rune has */
    PERSONALITY = 1 << 14,   /* linux.personality */
    NO_NEW_PRIVS = 1 << 15,  /* then the filter comes last, and need not allow the set-up */
    NEW_PRIVS = 1 << 16,     /* then it is loaded while we have CAP_SYS_ADMIN */
    FILTER = 1 << 17,        /* a seccomp filter */
    FILTER_EARLY = 1 << 18,  /* before the gate: threads of a payload, or a listener for rune */
    FILTER_LATE = 1 << 19,   /* after it */
    GATE = 1 << 20,          /* waits for `rune start` */
    ORDINARY_USER = 1 << 21, /* whose rune may look into us only while we are dumpable */
};

struct setup {
    struct container_init *init;
    const struct container_payload *payload; /* NULL for a program */
    /* In rune's clone alone: */
    const struct spawn_request *spawn;
    const char *init_program; /* what it becomes; has the payload */
    const char *init_preload; /* in its LD_PRELOAD; NULL: nothing */
    int cgroup_status;        /* 0, or -errno: the cgroup could not be entered */
    bool cgroup_optional;     /* and that is no error */
    bool waits;
    /* What one step leaves for others. */
    int root_fd, slave;
    char *program;
};

struct step {
    const char *name;
    unsigned facts; /* enum fact, all of which must hold */
    /* 0 or negative with err. The last one's answer is the exit status. */
    int (*run)(struct setup *s, struct error *err);
};

/* --- steps.c --- */
extern const struct step container_steps[];
extern const size_t container_step_count;
/* The one that init-runelet goes on after. */
int step_become_runelet(struct setup *s, struct error *err);

/* --- sequence.c --- */
unsigned sequence_facts(const struct setup *s);
/* The steps that are due under these facts, one after the other, to the debug log. */
void sequence_log(unsigned facts);
/* Is the step due? */
bool sequence_due(const struct step *step, unsigned facts);
/*
 * All that are due, in a process that ends with the answer: the payload's exit status, or one for
 * an error, which has been told to rune or to stderr. Does not return when an execve() succeeds.
 */
int sequence_run(struct setup *s, struct error *err);
