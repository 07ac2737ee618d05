/* SPDX-License-Identifier: Apache-2.0 */
/* A value of each kind: mostly one that means something, at times an edge, at times anything. */
#include "random.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/fs.h>
#include <linux/membarrier.h>
#include <linux/openat2.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>

#define SLOT  512u
#define SLOTS 96u
#define PAGE  4096l

uint64_t chance(struct run *r)
{
    uint64_t x = r->chance += 0x9e3779b97f4a7c15ull; /* splitmix64 */
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return x ^ x >> 31;
}

uint64_t below(struct run *r, uint64_t n)
{
    return chance(r) % n;
}

bool one_in(struct run *r, uint64_t n)
{
    return below(r, n) == 0;
}

#define PICK(r, array) ((array)[below(r, sizeof(array) / sizeof((array)[0]))])

/* ---- memory ---- */

static const long g_wild[] = {0,
                              1,
                              -1,
                              8,
                              0x7fffffff,
                              0x80000000,
                              0xffffffff,
                              0x7fffffffffffffff,
                              (long)0x8000000000000000,
                              0x7ffffffff000,
                              0x800000000000,
                              (long)0xffff800000000000,
                              (long)0xffffffffff600000,
                              0xc00000000,
                              0xc00010000,
                              0xfffffff000,
                              0x1000,
                              0xfff,
                              0x3fffffffffff,
                              0x3ff000000000};

static char *slot(struct run *r)
{
    return r->arena + r->slot++ % SLOTS * SLOT;
}

/* Instead of good memory: too short, read-only, not there, not the program's. */
static long bad_memory(struct run *r)
{
    switch (below(r, 6)) {
    case 0:
        return (long)r->arena + ARENA_SIZE - PAGE - (long)below(r, 32); /* ends within it */
    case 1:
        return (long)r->arena + ARENA_SIZE - 2 * PAGE + (long)below(r, 64); /* read-only */
    case 2:
        return (long)g_area + (long)below(r, AREA_PAGES) * PAGE + (long)below(r, PAGE);
    case 3:
        return (long)bad_memory; /* text */
    default:
        return PICK(r, g_wild);
    }
}

static void *filled(struct run *r, size_t size)
{
    char *p = slot(r);
    for (size_t i = 0; i < size; i++)
        p[i] = one_in(r, 3) ? (char)chance(r) : 0;
    return p;
}

static long address(struct run *r)
{
    if (r->pure || !one_in(r, 40))
        return (long)g_area + (long)below(r, AREA_PAGES) * PAGE +
               (one_in(r, 30) ? (long)below(r, PAGE) : 0);
    return one_in(r, 3) ? 0 : one_in(r, 8) ? (long)r->arena : PICK(r, g_wild);
}

static long length(struct run *r)
{
    uint64_t kind = below(r, 40);
    return kind == 0   ? PICK(r, g_wild)
           : kind == 1 ? (long)below(r, 1024) * PAGE
           : kind < 5  ? (long)below(r, 5 * PAGE)
                       : (long)(1 + below(r, 32)) * PAGE;
}

/* ---- names ---- */

static const char *const g_names[] = {PLACE "/a",    PLACE "/b",
                                      PLACE "/c",    PLACE "/d/a",
                                      PLACE "/d/b",  PLACE "/d",
                                      PLACE "/d/e",  PLACE "/d/e/f",
                                      "a",           "b",
                                      "d",           "d/a",
                                      "d/../a",      ".",
                                      "..",          "",
                                      "link",        PLACE "/link/x",
                                      PLACE "/sock", PLACE "/fifo",
                                      PLACE,         PLACE "/",
                                      "a/",          "d/e/../../b",
                                      "/dev/null",   "/dev/zero"};
static const char *const g_places[] = {"/",
                                       "/proc",
                                       "/proc/self/fd/0",
                                       "/proc/self/fd/3",
                                       "/proc/self/fd/4",
                                       "/proc/self/fd/5",
                                       "/proc/self/fd/8",
                                       "/proc/self/fd",
                                       "/proc/self/exe",
                                       "/proc/self/cwd",
                                       "/proc/self/root",
                                       "/proc/self/maps",
                                       "/proc/self/mem",
                                       "/proc/self/task",
                                       "/proc/self/status",
                                       "/proc/self/stat",
                                       "/proc/self/environ",
                                       "/proc/self/cmdline",
                                       "/proc/self/mountinfo",
                                       "/proc/self/oom_score_adj",
                                       "/proc/self/comm",
                                       "/proc/thread-self/fd/3",
                                       "/proc/self/fdinfo/3",
                                       "/proc/meminfo",
                                       "/proc/stat",
                                       "/proc/net/unix",
                                       "/proc/net/tcp",
                                       "/proc/1",
                                       "/proc/2/fd",
                                       "/proc/3/maps",
                                       "/proc/4/status",
                                       "/proc/sys/kernel/hostname",
                                       "/proc/sysvipc/shm",
                                       "/dev/ptmx",
                                       "/dev/pts/0",
                                       "/dev/pts/1",
                                       "/dev/pts",
                                       "/dev/tty",
                                       "/dev/full",
                                       "/dev/urandom",
                                       "/dev/shm/a",
                                       "/dev/shm",
                                       "/dev/mqueue",
                                       "/sys",
                                       "/sys/class/net",
                                       "/tmp",
                                       "/dev/attestation",
                                       "/host",
                                       "/host/a",
                                       "/host/b",
                                       "/host/d/a"};

static long path(struct run *r)
{
    if (one_in(r, 60)) { /* long, and with odd bytes */
        char *p = slot(r);
        for (unsigned i = 0; i < SLOT - 1; i++)
            p[i] = one_in(r, 20) ? '/' : (char)chance(r);
        p[SLOT - 1] = '\0';
        return (long)p;
    }
    const char *name = r->pure || one_in(r, 2) ? PICK(r, g_names) : PICK(r, g_places);
    char *p = slot(r);
    unsigned i = 0;
    for (; name[i] != '\0'; i++)
        p[i] = name[i];
    p[i] = '\0';
    return (long)p;
}

static long text(struct run *r, const char *const *all, unsigned count)
{
    return (long)all[below(r, count)];
}
#define TEXT(r, ...)                            \
    text(r, (const char *const[]){__VA_ARGS__}, \
         sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

/* ---- structures ---- */

static long nanoseconds(struct run *r)
{
    return one_in(r, 20) ? (long)PICK(r, g_wild) : (long)below(r, 3000000);
}

static long seconds(struct run *r)
{
    return one_in(r, 30) ? (long)PICK(r, g_wild) : 0;
}

static long times(struct run *r, unsigned count, long unit)
{
    long *t = (long *)slot(r);
    for (unsigned i = 0; i < count; i++) {
        t[2 * i] = seconds(r);
        t[2 * i + 1] = nanoseconds(r) / unit;
    }
    return (long)t;
}

static long sockaddr(struct run *r)
{
    char *p = slot(r);
    struct sockaddr_un *un = (struct sockaddr_un *)p;
    struct sockaddr_in *in = (struct sockaddr_in *)p;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)p;
    const char *name = PICK(r, g_names);
    unsigned i = 0;
    switch (below(r, 6)) {
    case 0:
    case 1:
        un->sun_family = AF_UNIX;
        do
            un->sun_path[i] = name[i];
        while (name[i++] != '\0');
        break;
    case 2: /* abstract */
        *un = (struct sockaddr_un){AF_UNIX, {0, (char)('a' + below(r, 3))}};
        break;
    case 3:
        *in = (struct sockaddr_in){AF_INET,
                                   (uint16_t)(one_in(r, 3) ? 0 : 0x1027 + below(r, 4)),
                                   {one_in(r, 4) ? 0 : 0x0100007f}};
        break;
    case 4:
        *in6 = (struct sockaddr_in6){AF_INET6, (uint16_t)(0x1027 + below(r, 4)), 0,
                                     IN6ADDR_LOOPBACK_INIT, 0};
        break;
    default:
        return (long)filled(r, 110);
    }
    return (long)p;
}

static long iov(struct run *r)
{
    struct iovec *v = (struct iovec *)slot(r);
    for (unsigned i = 0; i < 8; i++)
        v[i] = (struct iovec){(void *)value(r, BUF),
                              one_in(r, 30) ? (size_t)PICK(r, g_wild) : below(r, SLOT)};
    return (long)v;
}

static long message(struct run *r)
{
    struct msghdr *m = (struct msghdr *)slot(r);
    struct cmsghdr *c = (struct cmsghdr *)slot(r);
    int *fds = (int *)CMSG_DATA(c);
    unsigned count = (unsigned)below(r, 5);
    *c = (struct cmsghdr){CMSG_LEN(count * sizeof(int)), SOL_SOCKET,
                          one_in(r, 4) ? (int)below(r, 5) : SCM_RIGHTS};
    if (one_in(r, 15))
        c->cmsg_len = (size_t)PICK(r, g_wild);
    for (unsigned i = 0; i < 8; i++)
        fds[i] = (int)value(r, FD);
    for (unsigned i = 0; i < 4; i++) /* mmsghdr: as many as SMALL may say */
        *(struct msghdr *)((char *)m + i * 64) = (struct msghdr){
            one_in(r, 2) ? NULL : (void *)sockaddr(r),
            (socklen_t)value(r, SOCKLEN),
            (void *)iov(r),
            below(r, 4),
            one_in(r, 2) ? NULL : c,
            one_in(r, 10) ? (size_t)PICK(r, g_wild) : CMSG_SPACE(count * sizeof(int)),
            0};
    return (long)m;
}

static long sigevent(struct run *r)
{
    struct sigevent *e = filled(r, sizeof(*e));
    e->sigev_notify = (int)below(r, 5);
    e->sigev_signo = (int)value(r, SIG);
    return one_in(r, 6) ? 0 : (long)e;
}

static void on_signal(int signo);
static void on_signal(int signo)
{
}

__attribute__((naked)) static void restorer(void)
{
    __asm__("mov $15, %eax; syscall");
}

static long sigaction_of(struct run *r)
{
    struct {
        void (*handler)(int);
        unsigned long flags;
        void (*restorer)(void);
        unsigned long mask;
    } *a = filled(r, 32);
    static void (*const handlers[])(int) = {SIG_DFL, SIG_IGN, on_signal, on_signal, on_signal};
    a->handler = one_in(r, 40) ? (void (*)(int))bad_memory(r) : PICK(r, handlers);
    a->flags = 0x04000000 | (one_in(r, 2) ? SA_RESTART : 0) | (one_in(r, 2) ? SA_SIGINFO : 0) |
               (one_in(r, 8) ? SA_ONSTACK : 0) | (one_in(r, 8) ? SA_NODEFER : 0) |
               (one_in(r, 8) ? SA_RESETHAND : 0) | (one_in(r, 8) ? SA_NOCLDWAIT : 0);
    a->restorer = restorer;
    return (long)a;
}

static long flags_argument(struct run *r)
{
    switch (below(r, 4)) {
    case 0: {
        struct flock *l = (struct flock *)slot(r);
        *l = (struct flock){.l_type = (short)below(r, 4),
                            .l_whence = (short)below(r, 4),
                            .l_start = (long)below(r, 100),
                            .l_len = (long)below(r, 50)};
        return (long)l;
    }
    case 1:
        return value_of_set(r, OPEN_FLAGS);
    case 2:
        return (long)below(r, 40);
    default:
        return (long)(1ul << below(r, 22));
    }
}

static long how(struct run *r)
{
    struct open_how *h = (struct open_how *)slot(r);
    *h = (struct open_how){(uint64_t)value_of_set(r, OPEN_FLAGS), one_in(r, 2) ? 0600 : 0,
                           one_in(r, 3) ? 1ul << below(r, 6) : 0};
    return (long)h;
}

static long semops(struct run *r)
{
    struct sembuf *s = (struct sembuf *)slot(r);
    for (unsigned i = 0; i < 8; i++)
        s[i] = (struct sembuf){
            (unsigned short)below(r, 5), (short)(below(r, 5) - 2),
            (short)(one_in(r, 5) ? SEM_UNDO : IPC_NOWAIT | (one_in(r, 3) ? SEM_UNDO : 0))};
    return (long)s;
}

static long pid(struct run *r)
{
    long p = one_in(r, 3)    ? 0
             : one_in(r, 20) ? PICK(r, g_wild)
                             : (long)below(r, 40) + (one_in(r, 2) ? (long)g_spared[0] : 0);
    if (one_in(r, 12))
        p = -p;
    for (unsigned i = 0; i < sizeof(g_spared) / sizeof(g_spared[0]); i++)
        if ((int)p == (int)g_spared[i] || (int)p == -(int)g_spared[i] ||
            ((int)p == -1 && g_privileged))
            return 0x7ffffff0;
    return p;
}

static long rlimit(struct run *r)
{
    static const unsigned long limits[] = {0, 1, 7, 64, 4096, 65536, 1 << 20, 16 << 20};
    struct rlimit *l = (struct rlimit *)slot(r);
    *l = (struct rlimit){PICK(r, limits), PICK(r, limits)};
    return (long)l;
}

static long pointer(struct run *r, enum kind kind)
{
    switch (kind) {
    case BUF:
        return (long)filled(r, 64);
    case OPTVAL:
        *(int *)slot(r) = (int)below(r, 3);
        return (long)(r->arena + (r->slot - 1) % SLOTS * SLOT);
    case OFFSETP:
        *(long *)slot(r) = (long)below(r, 10000);
        return one_in(r, 2) ? 0 : (long)(r->arena + (r->slot - 1) % SLOTS * SLOT);
    case IOV:
        return iov(r);
    case SIGSET:
        *(uint64_t *)slot(r) = chance(r) & chance(r);
        return (long)(r->arena + (r->slot - 1) % SLOTS * SLOT);
    case SIGACT:
        return sigaction_of(r);
    case SIGINFO: {
        siginfo_t *i = filled(r, sizeof(*i));
        i->si_signo = (int)value(r, SIG);
        i->si_code = one_in(r, 4) ? (int)chance(r) : SI_QUEUE;
        return one_in(r, 3) ? 0 : (long)i;
    }
    case SIGEVENT:
        return sigevent(r);
    case SIGSTACK: {
        stack_t *s = (stack_t *)slot(r);
        *s = (stack_t){(void *)address(r), one_in(r, 4) ? SS_DISABLE : 0, (size_t)length(r)};
        return (long)s;
    }
    case TIME:
        return one_in(r, 12) && !r->pure ? 0 : times(r, 1, 1);
    case TIMEVAL:
        return times(r, 2, 1000);
    case ITVAL:
        return times(r, 2, 1000);
    case ITSPEC:
        return times(r, 2, 1);
    case SOCKADDR:
        return sockaddr(r);
    case SOCKLENP:
        *(int *)slot(r) = (int)below(r, 130);
        return (long)(r->arena + (r->slot - 1) % SLOTS * SLOT);
    case MSG:
        return message(r);
    case POLLFDS: {
        struct pollfd *f = (struct pollfd *)slot(r);
        for (unsigned i = 0; i < 16; i++)
            f[i] = (struct pollfd){(int)value(r, FD), (short)chance(r), 0};
        return (long)f;
    }
    case FDSET:
        return one_in(r, 2) ? 0 : (long)filled(r, 128);
    case EPEVENT: {
        struct epoll_event *e = (struct epoll_event *)slot(r);
        static const uint32_t some[] = {EPOLLIN,
                                        EPOLLOUT,
                                        EPOLLIN | EPOLLET,
                                        EPOLLIN | EPOLLONESHOT,
                                        EPOLLIN | EPOLLEXCLUSIVE,
                                        0xffffffff};
        *e = (struct epoll_event){PICK(r, some), {.u64 = chance(r)}};
        return (long)e;
    }
    case TWOFDS:
    case IDS:
    case CAPDATA:
        return (long)filled(r, 64);
    case CAPHEAD: {
        uint32_t *head = (uint32_t *)slot(r);
        head[0] = one_in(r, 5) ? (uint32_t)chance(r) : 0x20080522;
        head[1] = one_in(r, 3) ? (uint32_t)pid(r) : 0;
        return (long)head;
    }
    case RLIM:
        return rlimit(r);
    case HOW:
        return how(r);
    case SCHED: {
        uint32_t *s = filled(r, 64);
        s[0] = one_in(r, 4) ? (uint32_t)below(r, 70) : 48;
        s[1] = (uint32_t)value_of_set(r, POLICY);
        return (long)s;
    }
    case MQATTR: {
        long *m = (long *)slot(r);
        m[0] = one_in(r, 2) ? 0 : O_NONBLOCK;
        m[1] = one_in(r, 8) ? PICK(r, g_wild) : 1 + (long)below(r, 10);
        m[2] = one_in(r, 8) ? PICK(r, g_wild) : 1 + (long)below(r, 100);
        m[3] = 0;
        return one_in(r, 2) ? 0 : (long)m;
    }
    case SEMOPS:
        return semops(r);
    default:
        return 0;
    }
}

long value(struct run *r, enum kind kind)
{
    if (kind >= FLAGS && !one_in(r, 40))
        return value_of_set(r, kind);
    switch (kind) {
    case FD:
        return one_in(r, 30) ? PICK(r, g_wild) : (long)below(r, one_in(r, 3) ? 24 : 10);
    case DIRFD:
        return one_in(r, 2) ? AT_FDCWD : (long)below(r, 12);
    case PATH:
        return !r->pure && one_in(r, 40) ? bad_memory(r) : path(r);
    case NAME:
        return TEXT(r, "a", "", "none", "size=1m", "mode=777,size=64k");
    case FSTYPE:
        return TEXT(r, "tmpfs", "tmpfs", "proc", "sysfs", "devpts", "mqueue", "ext4");
    case XATTR:
        return TEXT(r, "user.a", "user.b", "trusted.a", "security.capability",
                    "system.posix_acl_access", "x", "");
    case MQNAME:
        return TEXT(r, "/qa", "/qb", "qc", "/", "/a/b", "");
    case MODE:
        return one_in(r, 10) ? (long)(chance(r) & 0177777) : one_in(r, 2) ? 0700 : (S_IFREG | 0644);
    case SIZE:
    case SOCKLEN:
        return one_in(r, 25)     ? PICK(r, g_wild)
               : kind == SOCKLEN ? (long)below(r, 112)
               : one_in(r, 8)    ? (long)below(r, 70000)
                                 : (long)below(r, SLOT);
    case OFFSET:
        return one_in(r, 25) && !r->pure ? PICK(r, g_wild)
               : one_in(r, 8)            ? (long)below(r, 1 << 20)
                                         : (long)below(r, 10000);
    case NIOV:
    case NPOLL:
        return one_in(r, 30) ? PICK(r, g_wild) : (long)below(r, 8);
    case NFDS:
        return one_in(r, 30) ? PICK(r, g_wild) : (long)below(r, 30);
    case SMALL:
        return one_in(r, 30) && !r->pure ? PICK(r, g_wild) : (long)below(r, 8);
    case WORD:
        return one_in(r, 2)   ? (long)below(r, 40)
               : one_in(r, 2) ? (long)filled(r, 64)
                              : PICK(r, g_wild);
    case ZERO:
        return one_in(r, 20) ? PICK(r, g_wild) : 0;
    case PID:
        return pid(r);
    case UID:
        return one_in(r, 3) ? -1 : one_in(r, 2) ? 1000 : (long)below(r, 3) * 500;
    case SIG:
        return one_in(r, 20) ? PICK(r, g_wild) : (long)below(r, 66);
    case SIGSETSIZE:
        return one_in(r, 20) ? (long)below(r, 20) : 8;
    case TIMERID:
        return (long)below(r, 12);
    case ADDR:
        return address(r);
    case LEN:
        return length(r);
    case FUTEX:
        return one_in(r, 30) ? bad_memory(r)
                             : (long)(one_in(r, 2) ? g_area : r->arena) + (long)below(r, 6) * 4;
    case KEY:
        return (long)(0x5241 + below(r, 4));
    case IPCID:
        return one_in(r, 10) ? PICK(r, g_wild) : (long)below(r, 6);
    case ARGUMENT:
        return flags_argument(r);
    case SEAL_FD:
    case NONE:
        return 0;
    default:
        if (kind >= FLAGS)
            return PICK(r, g_wild);
        return one_in(r, 25) ? bad_memory(r) : pointer(r, kind);
    }
}
