/* SPDX-License-Identifier: Apache-2.0 */
/* Lies about an ocall: about its answer, and about what was done. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "tests/hostile/hostile.h"

#define HOLD_NS 20000000
#define CALLS   16 /* helpers at once */

/* What an honest answer looks like. The rest is 0 or an error. */
enum kind { ZERO, FD, COUNT, TIME, ANY };
static const struct answer {
    uint8_t kind;
    uint8_t limit;  /* COUNT: the argument that bounds it */
    uint8_t outs;   /* of out[] */
    uint16_t at;    /* of data[]: where the answer starts, */
    uint16_t bytes; /* and how long it is; 0: as ret says */
} g_answers[OCALL_COUNT] = {
    [OCALL_WAIT] = {COUNT, 1, 0, 0, 256},
    [OCALL_CLOCK] = {TIME, 0, 2, 0, 0},
    [OCALL_CPUID] = {ZERO, 0, 4, 0, 0},
    [OCALL_READ] = {COUNT, 1, 0, 0, 0},
    [OCALL_WRITE] = {COUNT, 1, 0, 0, 0},
    [OCALL_DUP] = {FD, 0, 0, 0, 0},
    [OCALL_LSEEK] = {ANY, 0, 0, 0, 0},
    [OCALL_IOCTL] = {ANY, 0, 0, 0, 64},
    [OCALL_POLL] = {COUNT, 0, 0, 0, 256},
    [OCALL_EPOLL_CREATE] = {FD, 0, 0, 0, 0},
    [OCALL_EPOLL_WAIT] = {COUNT, 1, 0, 0, 512},
    [OCALL_OPEN] = {FD, 0, 0, 0, 0},
    [OCALL_STAT] = {ZERO, 0, 0, 0, sizeof(struct boundary_stat)},
    [OCALL_STATFS] = {ZERO, 0, 0, 0, sizeof(struct boundary_statfs)},
    [OCALL_GETDENTS] = {COUNT, 1, 0, 0, 0},
    [OCALL_READLINK] = {COUNT, 1, 0, 0, 0},
    [OCALL_SOCKET] = {FD, 0, 0, 0, 0},
    [OCALL_ACCEPT] = {FD, 0, 1, 0, BOUNDARY_ADDRESS_MAX},
    [OCALL_SEND] = {COUNT, 1, 0, 0, 0},
    [OCALL_RECV] = {COUNT, 1, 3, 0, BOUNDARY_BYTES + 64},
    [OCALL_GETSOCKOPT] = {ZERO, 0, 1, 0, 64},
    [OCALL_GETSOCKNAME] = {ZERO, 0, 1, 0, BOUNDARY_ADDRESS_MAX},
};

static const int g_errnos[] = {
    EPERM,  ENOENT, EINTR, EIO,          EBADF, EAGAIN,     ENOMEM, EFAULT,    EEXIST,    EINVAL,
    ENFILE, ENOSPC, EPIPE, ENAMETOOLONG, ELOOP, EADDRINUSE, ESTALE, ETIMEDOUT, EOPNOTSUPP};

static int64_t some_errno(const struct lie *lie)
{
    if (lie->has_value)
        return -lie->value;
    if (chance_below(8) == 0)
        return -(int64_t)(1 + chance_below(4095));
    return -g_errnos[chance_below(sizeof(g_errnos) / sizeof(g_errnos[0]))];
}

static uint64_t wild(void)
{
    static const uint64_t some[] = {
        0,         1,          (uint64_t)-1, (uint64_t)-4096,
        INT32_MAX, 1ull << 31, UINT32_MAX,   1ull << 32,
        INT64_MAX, 1ull << 63, 48ull << 30,  BOUNDARY_DATA_SIZE,
        4096,      0x10000,    64ull << 30,  BOUNDARY_DATA_SIZE + 1,
    };
    return chance_below(3) ? some[chance_below(sizeof(some) / sizeof(some[0]))] : chance();
}

static void shake(volatile uint8_t *p, size_t size)
{
    uint64_t n = 1 + chance_below(size < 16 ? size : 16);
    for (uint64_t i = 0; i < n && size > 0; i++)
        p[chance_below(size)] = (uint8_t)(chance_below(3) ? chance() : chance_below(2) * 0xff);
}

/* The part of data[] that the enclave will look at. */
static void answered(const struct boundary_area *area, const struct answer *a, size_t *at,
                     size_t *size)
{
    uint64_t n = a->bytes;
    if (n == 0)
        n = a->kind == COUNT && area->ret > 0 ? (uint64_t)area->ret : 64;
    *at = a->at;
    *size = n < BOUNDARY_DATA_SIZE - a->at ? n : BOUNDARY_DATA_SIZE - a->at;
}

static int64_t plausible(const struct boundary_area *area, const struct answer *a)
{
    switch (a->kind) {
    case FD:
        return (int64_t)(3 + chance_below(200));
    case COUNT:
        return (int64_t)(area->args[a->limit] < BOUNDARY_DATA_SIZE ? area->args[a->limit]
                                                                   : BOUNDARY_DATA_SIZE);
    case TIME:
        return (int64_t)(chance() >> 8);
    case ANY:
        return (int64_t)chance_below(4096);
    default:
        return 0;
    }
}

/* Untrue, but an answer that some host could give. */
static void within_contract(const struct lie *lie, struct boundary_area *area,
                            const struct answer *a)
{
    size_t at, size;

    if (area->ret < 0) {
        area->ret = some_errno(lie);
        return;
    }
    answered(area, a, &at, &size);
    switch (a->kind) {
    case COUNT:
        if (chance_below(2))
            area->ret = (int64_t)chance_below((uint64_t)area->ret + 1);
        else if (area->args[a->limit] <= BOUNDARY_DATA_SIZE)
            area->ret = (int64_t)chance_below(area->args[a->limit] + 1);
        break;
    case TIME:
        area->ret += (int64_t)chance_below(2000000000) - 1000000000;
        break;
    case ANY:
    case FD:
        break;
    default:
        if (a->bytes == 0 && a->outs == 0)
            area->ret = some_errno(lie);
    }
    for (unsigned i = 0; a->kind == ZERO && i < a->outs; i++)
        if (chance_below(2))
            area->out[i] = wild() & UINT32_MAX;
    if (chance_below(2))
        shake(area->data + at, size);
}

/* ---- replays ---- */

#define KEPT      8
#define KEPT_DATA 8192

struct kept {
    int64_t ret;
    uint64_t out[BOUNDARY_OUT];
    uint8_t data[KEPT_DATA];
};
static pthread_mutex_t g_kept_lock = PTHREAD_MUTEX_INITIALIZER;
static struct kept *g_kept[OCALL_COUNT][KEPT];

/* A few of each kind, replaced by chance, so that some are old. */
void answer_given(const struct boundary_area *area, uint64_t number)
{
    crafted_given(area, number);
    if (!lies_have(W_REPLAY))
        return;
    pthread_mutex_lock(&g_kept_lock);
    struct kept **k = &g_kept[number][chance_below(KEPT)];
    if (*k == NULL)
        *k = malloc(sizeof(**k));
    if (*k == NULL)
        abort();
    (*k)->ret = area->ret;
    memcpy((*k)->out, area->out, sizeof(area->out));
    memcpy((*k)->data, area->data, KEPT_DATA);
    pthread_mutex_unlock(&g_kept_lock);
}

static bool replay(struct boundary_area *area, uint64_t number)
{
    pthread_mutex_lock(&g_kept_lock);
    const struct kept *k = g_kept[number][chance_below(KEPT)];
    if (k != NULL) {
        area->ret = k->ret;
        memcpy(area->out, k->out, sizeof(area->out));
        memcpy(area->data, k->data, KEPT_DATA);
    }
    pthread_mutex_unlock(&g_kept_lock);
    return k != NULL;
}

/* ---- addresses and control data of the host's own making ---- */

static void name_localhost(struct boundary_area *area)
{
    static const struct sockaddr_in4 {
        uint16_t family, port;
        uint8_t address[4], zero[8];
    } four = {2, 0x5000, {127, 0, 0, 1}, {0}};
    static const struct sockaddr_in6_ {
        uint16_t family, port;
        uint32_t flow;
        uint8_t address[16];
        uint32_t scope;
    } six[] = {{10, 0x5000, 0, {[15] = 1}, 0},
               {10, 0x5000, 0, {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}, 0}};

    uint16_t family;
    memcpy(&family, area->data, sizeof(family));
    if (area->out[0] < sizeof(four) && chance_below(64))
        return; /* an address where there is none ends the enclave: seldom */
    if (family == 10)
        memcpy(area->data, &six[chance_below(2)], area->out[0] = sizeof(six[0]));
    else
        memcpy(area->data, &four, area->out[0] = sizeof(four));
}

/* One SCM_RIGHTS with descriptors that the host half has, as far as there is room. */
static void pass_descriptors(struct boundary_area *area)
{
    const struct {
        uint64_t length;
        int32_t level, type, fds[2];
    } rights = {24, 1 /* SOL_SOCKET */, 1 /* SCM_RIGHTS */, {0, 1}};
    if (area->args[4] < sizeof(rights))
        return;
    memcpy(area->data + BOUNDARY_ADDRESS_MAX, &rights, sizeof(rights));
    area->out[2] = sizeof(rights);
}

static void localhost(struct boundary_area *area, uint64_t number)
{
    if (area->ret < 0)
        return;
    if (number == OCALL_ACCEPT || number == OCALL_GETSOCKNAME ||
        (number == OCALL_RECV && area->args[3] != 0))
        name_localhost(area);
    if (number == OCALL_RECV && chance_below(2))
        pass_descriptors(area);
}

/* ---- ecalls ---- */

/* A copy of what the argument points to, with other numbers in it; or anything, for lack of it. */
static uint64_t shaken(uint64_t argument, size_t head, size_t size)
{
    uint8_t *copy = size <= BOUNDARY_PROCESS_MAX ? calloc(1, size + 4096) : NULL;
    const struct iovec to = {copy, size}, from = {(void *)argument, size};
    if (copy == NULL || process_vm_readv(getpid(), &to, 1, &from, 1, 0) != (ssize_t)size) {
        free(copy);
        return wild();
    }
    for (uint64_t n = 1 + chance_below(4); n > 0; n--) {
        const size_t at = chance_below(head / 4) * 4;
        const uint64_t value = wild();
        memcpy(copy + at, &value, head - at < 8 || chance_below(2) ? 4 : 8);
    }
    return (uint64_t)copy; /* until the end: the enclave may still look at it */
}

static uint64_t size_at(uint64_t argument)
{
    uint64_t size = 0;
    const struct iovec to = {&size, sizeof(size)}, from = {(void *)argument, sizeof(size)};
    return process_vm_readv(getpid(), &to, 1, &from, 1, 0) > 0 ? size : 0;
}

uint64_t wild_argument(uint64_t number, uint64_t argument)
{
    const size_t head = sizeof(struct boundary_process);
    const uint64_t size = number == ECALL_CREATE_PROCESS ? size_at(argument) : 0;
    if (chance_below(4) == 0)
        return wild();
    switch (number) {
    case ECALL_BOOT:
        return shaken(argument, sizeof(struct boundary_boot), sizeof(struct boundary_boot));
    case ECALL_CREATE_PROCESS:
        return shaken(argument, head, size < head ? head : size);
    default:
        return chance_below(2) ? argument ^ 1ull << chance_below(64) : wild();
    }
}

/* ---- effects ---- */

static pthread_mutex_t g_served_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t g_served = PTHREAD_COND_INITIALIZER;
static _Atomic unsigned g_held, g_helpers;

void answer_served(void)
{
    if (g_held == 0)
        return;
    pthread_mutex_lock(&g_served_lock);
    pthread_cond_broadcast(&g_served);
    pthread_mutex_unlock(&g_served_lock);
}

static void hold(void)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += HOLD_NS;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    g_held++;
    pthread_mutex_lock(&g_served_lock);
    pthread_cond_timedwait(&g_served, &g_served_lock, &until);
    pthread_mutex_unlock(&g_served_lock);
    g_held--;
}

static void late(const struct lie *lie)
{
    usleep(lie->has_value ? (useconds_t)lie->value : (useconds_t)chance_below(5000));
}

struct call {
    struct boundary_area *area;
    uint64_t number;
    bool copied;
};

static void *serve_call(void *arg)
{
    struct call *call = arg;
    if (call->copied)
        usleep(2000);
    __real_ocall_serve(call->area, call->number);
    if (call->copied) {
        free(call->area);
        free(call);
    }
    g_helpers--;
    return NULL;
}

/* False when there are too many helpers, and nothing was done. */
static bool on_helper(struct call *call, pthread_t *thread)
{
    sigset_t all, old;
    if (g_helpers++ >= CALLS) {
        g_helpers--;
        return false;
    }
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    bool started = pthread_create(thread, NULL, serve_call, call) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (!started)
        g_helpers--;
    return started;
}

static void elsewhere(struct boundary_area *area, uint64_t number)
{
    struct call call = {area, number, false};
    pthread_t thread;
    if (on_helper(&call, &thread))
        pthread_join(thread, NULL);
    else
        __real_ocall_serve(area, number);
}

static void later(struct boundary_area *area, uint64_t number)
{
    pthread_t thread;
    struct call *call = malloc(sizeof(*call));
    struct boundary_area *copy = malloc(sizeof(*copy));
    if (call == NULL || copy == NULL)
        abort();
    *call = (struct call){copy, number, true};
    memcpy(copy, area, sizeof(*copy));
    if (number != OCALL_WAIT && on_helper(call, &thread)) { /* nobody would wake the copy */
        pthread_detach(thread);
        return;
    }
    if (number != OCALL_WAIT) /* too many at once: now, then */
        __real_ocall_serve(copy, number);
    free(copy);
    free(call);
}

static void twice(struct boundary_area *area, uint64_t number)
{
    struct boundary_area *copy = malloc(sizeof(*copy));
    if (copy == NULL)
        abort();
    memcpy(copy, area, sizeof(*copy));
    __real_ocall_serve(copy, number);
    __real_ocall_serve(area, number);
    if (chance_below(2))
        area->ret = copy->ret;
    free(copy);
}

/* Which lies fit an ocall, for W_ANY. */
static enum what some_what(uint64_t number)
{
    static const enum what fit[] = {W_ERRNO,    W_WILD, W_HUGE,      W_NUL,   W_DATA,
                                    W_CONTRACT, W_DENY, W_CLAIM,     W_TWICE, W_LATE,
                                    W_ASYNC,    W_HOLD, W_ELSEWHERE, W_LOCAL};
    /* A second wait for one wake-up is a hang, and says nothing. */
    enum what what;
    do
        what = fit[chance_below(sizeof(fit) / sizeof(fit[0]))];
    while (what == W_TWICE && number == OCALL_WAIT);
    return what;
}

void answer_lie(const struct lie *lie, struct boundary_area *area, uint64_t number)
{
    const struct answer *a = &g_answers[number];
    const enum what what = lie->what == W_ANY ? some_what(number) : lie->what;
    size_t at, size;

    if (crafted_lie(lie, area, number))
        return;
    switch (what) {
    case W_ERRNO:
        area->ret = some_errno(lie);
        return;
    case W_CLAIM:
    case W_IGNORE:
        area->ret = lie->has_value ? lie->value : plausible(area, a);
        return;
    case W_ASYNC:
        later(area, number);
        area->ret = lie->has_value ? lie->value : plausible(area, a);
        return;
    case W_REPLAY:
        if (chance_below(2) && number != OCALL_WAIT)
            __real_ocall_serve(area, number); /* done, but the answer is an old one */
        if (!replay(area, number))
            __real_ocall_serve(area, number);
        return;
    case W_TWICE:
        twice(area, number);
        return;
    case W_HOLD:
        hold();
        break;
    case W_LATE:
        late(lie);
        break;
    case W_ELSEWHERE:
        elsewhere(area, number);
        return;
    default:
        break;
    }
    __real_ocall_serve(area, number);
    answered(area, a, &at, &size);
    switch (what) {
    case W_DENY:
        area->ret = some_errno(lie);
        break;
    case W_WILD:
        area->ret = (int64_t)wild();
        for (unsigned i = 0; i < BOUNDARY_OUT; i++)
            if (chance_below(2))
                area->out[i] = wild();
        shake(area->data + at, size);
        break;
    case W_HUGE:
        area->ret = chance_below(2) ? (int64_t)area->args[a->limit] + 1 : (int64_t)wild();
        for (unsigned i = 0; i < a->outs; i++)
            area->out[i] += 1 + chance_below(200);
        break;
    case W_NUL:
        for (uint64_t n = 1 + chance_below(4); size > 0 && n > 0; n--)
            area->data[at + chance_below(size)] = '\0';
        break;
    case W_DATA:
        shake(area->data + at, size);
        break;
    case W_CONTRACT:
        within_contract(lie, area, a);
        break;
    case W_USER:
        pages_ongoing(lie);
        break;
    case W_LOCAL:
        localhost(area, number);
        break;
    default:
        break;
    }
}
