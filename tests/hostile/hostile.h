/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hostile host, docs/design/hostile-host.md: the LibOS's untrusted half, which lies.
 *
 *   lies.c     the table of lies, chance
 *   plans.c    tables with a name
 *   answers.c  lies about an ocall: what its answer may be, and what is made of it
 *   crafted.c  lies that know what an answer means
 *   host.c     the wrapped functions: ocalls, the driver, entries and exits
 *   ongoing.c  what goes on by itself: races, kicks, wake-ups, stray entries
 *   pages.c    page tables
 *   step.c     single steps
 *   epcm.c     pages in another state than the enclave accepts
 *   base.c     the enclave at another base
 *   outside.c  what it is loaded with and given; areas that come and go
 *   watch.c    the oracle, and the end
 *   limit.c    how long a run may take
 *   tenant.c   what is deployed
 *   main.c     options
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include "runtimes/libos/runtime.h"
#include "sgx_arch.h"

/* ---- lies.c ---- */

/* Where a lie is possible: the ocalls by their numbers, then these. */
enum place {
    PLACE_AEX = OCALL_COUNT, /* the enclave was left by an exception */
    PLACE_RESUME,            /* the handler at CSSA 1 is done */
    PLACE_RETURN,            /* an ocall's answer is about to go in */
    PLACE_ECALL,             /* before an ecall */
    PLACE_LOAD,              /* ECREATE */
    PLACE_ACCEPT,            /* EACCEPT and EACCEPTCOPY; the value is the kind (epcm.c) */
    PLACE_RACE,              /* from here on: goes on by itself */
    PLACE_KICK,
    PLACE_WAKE,
    PLACE_STRAY,
    PLACE_PAGES,
    PLACE_STEP,
    PLACE_FILES,
    PLACE_COUNT
};

enum what {
    W_ERRNO,    /* not done, an error */
    W_WILD,     /* answers of any value */
    W_HUGE,     /* a count beyond what was asked */
    W_NUL,      /* NULs in the data */
    W_DATA,     /* other bytes in the data */
    W_CONTRACT, /* untrue, but possible */
    W_DENY,     /* done, but denied */
    W_CLAIM,    /* not done, but claimed */
    W_TWICE,
    W_LATE,
    W_ASYNC,     /* claimed now, done later */
    W_HOLD,      /* not before another thread's ocall */
    W_ELSEWHERE, /* on another thread */
    W_IGNORE,    /* not done, no answer worth the name */
    W_AGAIN,     /* enter once more; for single steps: one after the other */
    W_SWEEP,     /* one AEX, later by one instruction each time, on the way back from another */
    W_SKIP,      /* do not enter where the enclave expects it */
    W_WRONG_TCS,
    W_QUIET,    /* a page disappears, and is back without a word */
    W_TELL,     /* ... and the enclave hears of the fault */
    W_USER,     /* ... of programs only; it hears of it, even when the page is back */
    W_SWAP,     /* ... and another one disappears */
    W_STACK,    /* ... and the thread's LibOS stack disappears; of that fault the enclave hears */
    W_ENTRY,    /* ... of user code, then the one that the row names; of that the enclave hears */
    W_CPUID,    /* ... with CPUID instructions, which are #UD from there on, as on hardware */
    W_RENEW,    /* ... for a new one, of zeros, that waits to be accepted (EREMOVE, EAUG) */
    W_REPORT,   /* ask for a REPORT over the host's data */
    W_EXEC,     /* ask for a process */
    W_KILL,     /* send a signal */
    W_CLOSED,   /* a process is asked for without standard input, output and errors */
    W_TERMINAL, /* a process with a terminal, that there is or is not; the tenant allows it */
    W_REPLAY,   /* not done: what was the answer once */
    W_LOCAL,    /* whoever it is, the answer names localhost, and control data has descriptors */
    W_CUT,      /* what the enclave is given is shorter, */
    W_GROW,     /* longer */
    W_TAIL,     /* the second half of CONFIGID */
    W_SVN,      /* CONFIGSVN */
    W_FILL,     /* what the host fills in has a variable that it may not give */
    W_PROXY,    /* another ratls-proxy than the measured one */
    /* crafted.c, from here to W_BACK: */
    W_LESS,    /* asked for an odd part of what is asked */
    W_OTHER,   /* done with another descriptor */
    W_IN_USE,  /* a descriptor that somebody has */
    W_SIZE,    /* STAT: sizes at the edges */
    W_INODE,   /* STAT: another file's number */
    W_TYPE,    /* STAT, accept: another type */
    W_NAMES,   /* GETDENTS, READLINK: names that go up, twice, long; targets anywhere */
    W_SENDER,  /* addresses of UNIX sockets */
    W_CONTROL, /* RECV: control data, well-formed and of anything */
    W_READY,   /* POLL, WAIT, EPOLL_WAIT: all bits for all, and for the unknown */
    W_BACK,    /* CLOCK: goes back */
    /* epcm.c; W_TYPE as well */
    W_PERMISSIONS, /* may be used otherwise, */
    W_PENDING,     /* is not PENDING where it should be: it is there already; or the reverse */
    W_MODIFIED,    /* the same of MODIFIED, */
    W_RESTRICTED,  /* of PR */
    W_ADDRESS,     /* belongs at another address */
    W_ANY,         /* one of those that fit */
    W_COUNT
};

struct lie {
    enum place place;
    enum what what;
    uint64_t first, last; /* the first to the last time there; 0: by chance */
    uint32_t chance;      /* in 10000 */
    uint32_t pause;       /* microseconds, for what goes on by itself */
    bool has_value;
    int64_t value;
};

/* Add the rows of `script`; -1 after a message. */
int lies_add(const char *script);
/* The lie for this time at `place`, or NULL for the truth. */
const struct lie *lie_at(enum place place);
/* The first row for the place, whatever its WHEN, or NULL. */
const struct lie *lie_row(enum place place);
/* The row of something that goes on by itself, or NULL. */
const struct lie *lie_ongoing(enum place place);
bool lies_have(enum what what);
void lies_seed(uint64_t seed);
/* Chance of the calling thread: after lie_at() that of its place and time. */
uint64_t chance(void);
static inline uint64_t chance_below(uint64_t n)
{
    return n ? chance() % n : 0;
}
void chance_begin(uint64_t stream);
const char *what_name(enum what what);

/* ---- plans.c ---- */
struct plan {
    const char *name, *script;
};
extern const struct plan g_plans[];

/* ---- answers.c ---- */
/* For an ecall with this number and argument: another argument. */
uint64_t wild_argument(uint64_t number, uint64_t argument);
/* An honest answer was given: for W_REPLAY. */
void answer_given(const struct boundary_area *area, uint64_t number);
void answer_lie(const struct lie *lie, struct boundary_area *area, uint64_t number);
/* Tell who waits in a W_HOLD that an ocall was served. */
void answer_served(void);

/* ---- crafted.c ---- */
/* False: the lie is none of those. */
bool crafted_lie(const struct lie *lie, struct boundary_area *area, uint64_t number);
/* An honest answer was given. */
void crafted_given(const struct boundary_area *area, uint64_t number);

/* ---- host.c ---- */
struct host {
    const struct sgx_driver *real; /* the driver behind the lying one */
    struct sgx_handle *handle;
    uint64_t base, size; /* ELRANGE */
    uint64_t libos_base;
    uint64_t wanted_base;  /* load it there */
    bool started;          /* process 1 runs: lies begin */
    bool from_boot;        /* lies begin at once */
    unsigned limit;        /* seconds */
    _Atomic uint64_t lies; /* told so far */
    bool ignore_abort;
    const char *proxy; /* ratls-proxy as the host serves it; the tenant wants one */
    bool aexnotify;    /* the enclave is told of asynchronous exits */
    bool gives_stdin;  /* the tenant takes standard input from the host */
    const char *bad;   /* what a program writes that found something wrong */
};
extern struct host g_host;
void __real_ocall_serve(struct boundary_area *area, uint64_t number);
/* Areas of host threads seen so far: a random one, or NULL. */
struct boundary_area *host_some_area(void);
/* The area that has this address, or NULL. */
struct boundary_area *host_area_at(uint64_t address);
/* The area of the runtime's thread on this TCS, or NULL. */
struct boundary_area *host_area_on(uint64_t tcs);
/* A TCS of the enclave, any. */
uint64_t host_some_tcs(void);
void host_note_tcs(uint64_t tcs);
/* Who entered it last at this CSSA. */
_Atomic uint64_t *host_tcs_user(uint64_t tcs, uint32_t cssa);
bool host_lying(void);
/* After a stay on a TCS that is another thread's: how to go on there, or 0. */
int host_on_other_tcs(long rdi, struct sgx_enclave_run *run);

/* ---- ongoing.c ---- */
void ongoing_start(void);

/* ---- pages.c ---- */
/* Take all access to the page away, until page_fault() or page_back(). False when it cannot be. */
bool page_hide(uint64_t address);
void page_back(uint64_t address);
void pages_all_back(void);
enum page_verdict { PAGE_NOT_OURS, PAGE_RESUME, PAGE_TELL };
/* The enclave faulted at this page. */
enum page_verdict page_fault(uint64_t address, uint32_t error, uint64_t tcs, bool in_handler);
/* The mapping of a page changes: what is remembered must follow. */
void page_mapped(uint64_t address, uint64_t length, int prot);
/* A page that is there and may disappear; 0 for none. */
uint64_t page_some(void);
void pages_ongoing(const struct lie *lie);

/* ---- outside.c ---- */
void outside_load(struct sgx_secs *secs);
void outside_files(const struct lie *lie);
/* The data of the calling thread's area (with a value: all of it) is gone, until the enclave or
 * area_back() wants it. W_TELL: the enclave hears of the fault. */
void area_hide(struct boundary_area *area, const struct lie *lie);
void area_back(void);
/* The enclave faulted in this thread's area, which is back: is it to go on as if nothing was? */
bool area_fault(const struct sgx_enclave_run *run);
/* The same for host code. */
bool area_of_host_code(uint64_t address);

/* ---- step.c ---- */
/* The calling thread goes on in single steps. */
void step_for(uint64_t count);
#define STEP_SIGNAL \
    (SIGRTMIN + 6) /* what a single step arrives as: nobody's, or the runtime's kick */

/* ---- epcm.c ---- */
void epcm_start(void);

/* ---- base.c ---- */
/* The pages that the enclave would have at base 0 are host memory as well. */
void base_add(const void *src, uint64_t offset, uint64_t length);
/* Has the enclave written to what it took for its own? */
void base_check(void);

/* ---- limit.c ---- */
/* Ends the run after so many seconds in which it could go on. */
void limit_start(unsigned seconds);

/* ---- watch.c ---- */
void watch_ocall(const struct boundary_area *area, uint64_t number);
void watch_exit(long rdx, long r8, long r9);
/* The enclave did what it must not do. */
void fault(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The untrusted half's own last words. */
void watch_host(const char *message);
/* End of the run, from any thread. code: what libos-run would have ended with; -1: time is over. */
_Noreturn void watch_end(int code);
/* The untrusted half itself broke. */
_Noreturn void watch_crash(int signo, uint64_t rip, uint64_t address);
/* The emulator keeps the enclave's vector registers here: no leak. */
void watch_spare(const void *start, uint64_t size);
