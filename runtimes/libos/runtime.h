/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The LibOS's untrusted half: a PAL library (include/pal.h, version 4) that loads the enclave,
 * lends it host threads, and serves the ocalls of abi/boundary.h.
 *
 *   pal.c     the PAL functions: initialisation, processes, information; refusal.c words for what
 *             the policy refuses
 *   thread.c  host threads and their TCS, the enter loop, waiting, waking, kicks
 *   ocall.c   the table of ocalls; ocall_file.c, ocall_net.c, ocall_unix.c, ocall_system.c serve
 *             them; quote.c has reports quoted
 *
 * Nothing here is trusted by the enclave; it is trusted by the host not to do more than it is
 * asked, with the container's rights.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "boundary.h"
#include "sgx/driver.h"
#include "sgx/loader.h"

#define PAL_VERSION 4
#include "pal.h"

struct runtime {
    struct sgx_enclave *enclave;
    struct pal_init_args_v4 args; /* callbacks, context */
    pthread_mutex_t callback_lock;
    void *image, *sites, *deployment, *given; /* given: the caller's, during pal_init */
    uint64_t image_size, sites_size, deployment_size, given_size;
    int proxy_fd; /* ratls-proxy, beside the library; or -1 */
    int proc_fd;  /* /proc/self/fd, from before pivot_root */
    bool ready;
    char refusal[512]; /* the first error that the LibOS logged before it was ready */
};
extern struct runtime g_runtime;

/* ---- thread.c ---- */
struct host_thread;
int threads_init(struct error *err);
/*
 * Run an ecall on this thread, through a free TCS. fill: called with the area before entering,
 * done: after leaving, both may be NULL. The result is the ecall's, or -errno when the enclave
 * could not be entered.
 */
int64_t ecall(uint64_t number, uint64_t argument, void (*fill)(struct boundary_area *, void *),
              void (*done)(struct boundary_area *, void *), void *context);
int thread_pool_add(void);      /* OCALL_THREAD_CREATE */
void tcs_add(uint64_t address); /* OCALL_TCS_ADD */
int64_t thread_park(struct boundary_area *area, uint64_t timeout, uint64_t count);
void thread_unpark(struct boundary_area *area);
void thread_kick(struct boundary_area *area);

/* ---- ocall.c ---- */
void ocall_serve(struct boundary_area *area, uint64_t number);
/* NUL-terminated string in data at offset, or NULL. */
const char *ocall_string(struct boundary_area *area, uint64_t offset);
typedef int64_t ocall_fn(struct boundary_area *area, const uint64_t *args);
#define O(name, count, what) ocall_fn ocall_##name;
BOUNDARY_OCALLS(O)
#undef O
static inline int64_t result_of(int64_t r)
{
    extern int *__errno_location(void);
    return r < 0 ? -*__errno_location() : r;
}

/* ---- container.c ---- */
/* The limits in the LibOS's terms, with the processors that this thread may run on. */
void container_limits(const struct pal_limits_v4 *limits, struct boundary_limits *out);
/* What this process is, which becomes what process 1 shows. */
struct container_facts {
    struct buffer uid_map, gid_map;
    int32_t oom_score_adj;
};
void container_facts(struct container_facts *out);
void container_facts_release(struct container_facts *facts);

/* ---- ocall_file.c ---- */
/* The directory of the last component: dir is the base itself or a new descriptor (then own), name
 * the component. Resolved beneath the base. */
struct name_at {
    int dir;
    bool own;
    const char *name;
};
int64_t place_of(struct name_at *p, int base, const char *path);

/* ---- ocall_unix.c ---- */
struct msghdr;
/* A call by a path that leads to the file of a descriptor, however that was opened; -errno. */
typedef int64_t file_call(const char *name, void *context);
int64_t with_file(int file, file_call *call, void *context);
/* connect(2) to the socket `name` of a directory; 0 or -errno. */
int connect_at(int fd, int dir, const char *name);
/* file: an O_PATH descriptor of the socket to send to, or negative. */
int64_t unix_send(int fd, int file, struct msghdr *message, int flags);

/* ---- quote.c ---- */
/* Where aesmd's socket is, before the root directory changes. */
void quote_take_host_files(void);

/* ---- pal.c ---- */
/* A file in the directory of this library, before pivot_root. A descriptor, or -1. */
int open_beside(const char *name);

/* ---- refusal.c ---- */
/* Log why ECALL_CREATE_PROCESS refused (a result of -BOUNDARY_REFUSED or less). */
void refusal_log(int64_t result, const char *const *argv);

/* ---- ocall_system.c ---- */
void runtime_log(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));
void runtime_event(uint32_t type, int32_t pid, int32_t status, const char *message);
_Noreturn void runtime_fatal(const char *message);
