/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sgx-emulate: an unmodified dynamic program on the software SGX. docs/design/sgx-emulate.md.
 *
 *   preload.c    the library that ld.so loads into the program: maps the core, starts it
 *   start.c      the core's main(): set-up, and what the program's first thread needs
 *   block.c      what the core keeps for each thread: stack, TLS of the core
 *   entry.S      where each signal comes in; new threads; the vDSO's function
 *   signal.c     which signal is whose; ENCLU outside; AEX as Linux shows it
 *   deliver.c    signals to the program's own handlers; rt_sigreturn, masks, stacks
 *   calls.c      system calls of the program, by Syscall User Dispatch
 *   gate.c       system calls that are not ours, done in the program's own context
 *   enclu.c      ENCLU without a signal
 *   site.c       instructions made jumps though they are shorter
 *   process.c    clone, fork, vfork, exec, exit
 *   device.c     descriptors and ioctls of /dev/sgx_enclave
 *   maps.c       mmap, mprotect, munmap of enclave memory
 *   vdso.c       a vDSO with __vdso_sgx_enter_enclave
 *   cpuid.c      CPUID of a machine with SGX
 *   aesm.c       the stand-in for aesmd
 *   memory.c     the program's memory, which may not be there
 *
 * The core is a static program with a libc of its own. It runs in signal handlers only, with all
 * signals blocked, on a stack and with an FS base of its own, so it needs nothing of the program's
 * TLS, heap or signal masks, and is never interrupted.
 */
#pragma once

#include "sgx/emulate/handover.h"
#include "sgx/emulate/layout.h"

#include <stdatomic.h>
#include <sys/stat.h>

#include "sgx/emulator/emulator.h"

/* The kernel's struct sigaction */
struct host_action {
    uint64_t handler, flags, restorer, mask;
};
struct host_actions {
    struct host_action of[65];
};

/* At the start of a thread's block, where struct emu_thread is. */
struct host_thread {
    struct emu_thread core;
    _Alignas(0x200) uint64_t core_fs; /* the core's own TLS for this thread */
    uint64_t now_fs, now_gs;          /* what the context that is returned to has */
    uint64_t host_fs, host_gs;        /* while an enclave runs: the program's */
    void *frame;                      /* of a new thread: what its first rt_sigreturn takes */
    uint64_t enclu_mask;              /* the signal mask while the core runs without a signal */
    struct host_actions *actions;
    struct {
        uint64_t sp, flags, size;
    } stack;                  /* the program's sigaltstack */
    uint64_t blocked;         /* synchronous signals that the program thinks it blocked */
    uint64_t pending;         /* of them, held back */
    int exec_register;        /* after an exec that failed gets ... */
    uint64_t restore_rdx;     /* ... this */
    uint64_t after_exec;      /* RIP after it */
    uint64_t tid;             /* by which enclu.c knows it, or 0 */
    int pid;                  /* of this process, for process_vm_readv */
    _Atomic int dead;         /* tid of a thread that has called exit */
    struct host_thread *next; /* all blocks */
    bool own_actions, vforked, process;
};

extern struct host_handover *g_host_handover;
extern atomic_uint g_host_lock; /* what allocates, and what fork must not see half done */
extern const struct sgx_driver *g_host_driver;

static inline struct host_thread *host_of(struct emu_thread *t)
{
    return (struct host_thread *)t;
}

#define SIGNAL_BIT(signo) (1ull << ((signo)-1))
/* What the core needs: never really blocked. */
#define HOST_SYNCHRONOUS                                                                  \
    (SIGNAL_BIT(SIGSEGV) | SIGNAL_BIT(SIGILL) | SIGNAL_BIT(SIGBUS) | SIGNAL_BIT(SIGFPE) | \
     SIGNAL_BIT(SIGTRAP) | SIGNAL_BIT(SIGSYS))

/* entry.S */
void host_signal_entry(int signo, siginfo_t *info, void *context);
void host_restorer(void);
int host_attach(void);
long host_clone(uint64_t flags, void *stack, uint64_t ptid, uint64_t ctid, struct host_thread *t);
extern const char host_vdso_aep[], host_vdso_exit[], host_vdso_exception[];
int host_vdso_enter(unsigned long rdi, unsigned long rsi, unsigned long rdx, unsigned int function,
                    unsigned long r8, unsigned long r9, struct sgx_enclave_run *run);
long host_syscall(long number, ...); /* raw: -errno */

/* start.c */
int host_attach_thread(struct host_thread *t);
int host_attach_first(struct host_thread *t); /* entry.S */
void host_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
int host_dispatch(void); /* Syscall User Dispatch for this thread */

/* block.c; with g_host_lock */
int host_block_setup(void);
void host_block_set_tid(struct host_thread *t); /* on the thread itself */
struct host_thread *host_block_new(void);
void host_block_free(struct host_thread *t);
void host_block_fork(struct host_thread *keep); /* in a child: only this thread is left */
bool host_anybody_in(const struct sgx_handle *e);
extern struct host_actions g_host_actions;

/* memory.c: 0 or -EFAULT */
int host_read(const struct host_thread *t, void *to, uint64_t from, size_t size);
int host_write(const struct host_thread *t, uint64_t to, const void *from, size_t size);
/* A path or other string that is shorter than `size`; -ENAMETOOLONG */
int host_read_text(const struct host_thread *t, char *to, uint64_t from, size_t size);

struct host_mapping {
    uint64_t start, end;
    char how[5]; /* "r-xp" */
    bool anonymous;
};
/* By /proc/self/maps */
bool host_mapping_find(uint64_t address, struct host_mapping *out);
struct host_source {
    int pagemap;
    struct host_mapping mapping;
};
void host_source_open(struct host_source *s);
void host_source_close(const struct host_source *s);
/*
 * How many bytes from `from` on, of `size`, both of whole pages, are readable private memory that
 * nobody has ever written: zeros that need not be read. It may be fewer.
 */
uint64_t host_source_untouched(struct host_source *s, uint64_t from, uint64_t size);

/* signal.c: called by entry.S */
void host_signal(int signo, siginfo_t *info, ucontext_t *uc, struct host_thread *t);
void host_load(greg_t *regs, const struct emu_image *i);

/* deliver.c */
void host_deliver(struct host_thread *t, int signo, const siginfo_t *info, ucontext_t *uc);
void host_sigreturn(struct host_thread *t, ucontext_t *uc);
long host_sigaction(struct host_thread *t, int signo, uint64_t act, uint64_t old, uint64_t size);
long host_sigprocmask(struct host_thread *t, ucontext_t *uc, int how, uint64_t set, uint64_t old,
                      uint64_t size);
long host_sigaltstack(struct host_thread *t, const ucontext_t *uc, uint64_t ss, uint64_t old);
int host_signals_setup(void);
bool host_handles(const struct host_thread *t, int signo);
void host_xsave_store(ucontext_t *uc, const uint8_t *xsave, uint64_t xfrm);

/* calls.c */
#define HOST_CALLS 512u /* numbers from here on are seen, each */
void host_call(struct host_thread *t, ucontext_t *uc);
/* Calls that the core never looks at, so that their place may go to the kernel for good. */
bool host_call_is_plain(uint64_t number);

/* gate.c */
int host_gates_setup(void);
/* Go on at the gate of the `syscall` before `after`. patch: it may be made a jump. */
uint64_t host_gate(const struct host_thread *t, uint64_t after, uint64_t number, bool patch);
/* RIP in a gate is RIP at the program's instruction. */
uint64_t host_gate_origin(uint64_t rip);
/* Around fork(): nobody is half-way through making a gate. */
void host_gates_lock(void);
void host_gates_unlock(void);
uint64_t host_gate_exec(void); /* a `syscall` and a `ud2` behind it */
/* A gate's trap for a call that the core is to see: the address behind it in the program, or 0. */
uint64_t host_gate_seen(uint64_t rip);

/* An ENCLU at `at` has trapped: of e's code, for EEXIT, or with NULL of the program's. Often
 * enough, and it is made a jump. */
void host_gate_enclu_hit(uint64_t at, struct sgx_handle *e);
/* RIP in the gate of an ENCLU of the program: the address behind that, else 0. */
uint64_t host_gate_enclu(uint64_t rip, uint64_t *offset);

/* enclu.c */
void host_enclu_setup(void);
void host_enclu_thread(
    struct host_thread *t); /* on the thread: ENCLU without a signal from now on */
void host_enclu_thread_gone(struct host_thread *t);
extern atomic_uint g_host_enclu_off; /* another process shares our memory, so TIDs may be double */
int host_enclu_fast(const struct emu_image *given, struct host_thread *t, uint8_t *xsave,
                    struct emu_image *image); /* entry.S */
/* RIP between an ENCLU and its emulation: all is as before it. The address behind it, or 0. */
uint64_t host_enclu_rewind(const struct host_thread *t, ucontext_t *uc);
/* RIP behind that: what is being loaded counts as loaded. */
bool host_enclu_committed(uint64_t rip);
/* RIP in the course of an EEXIT: it is done. */
bool host_eexit_finish(struct host_thread *t, ucontext_t *uc);
/* The ENCLU at `at` becomes a jump to `gate`. With the gates' lock. */
bool host_eexit_patch(struct sgx_handle *e, uint64_t at, uint64_t gate);
extern const char host_vdso_enclu[], host_enclu_start[], host_enclu_based[], host_enclu_saved[],
    host_enclu_crit[], host_enclu_crit_end[], host_enclu_end[], host_eexit[], host_eexit_left[],
    host_eexit_free[], host_eexit_end[]; /* entry.S */

/* site.c; with the gates' lock where not said otherwise */
/*
 * The instruction `expected` of `size` bytes (2 or 3) at `at`, of text that nobody writes, becomes
 * a jump to `target`. memory: a descriptor of /proc/self/mem. False: it cannot be, or is something
 * else by now, and nothing is changed.
 */
bool host_site_patch(uint64_t at, const uint8_t *expected, unsigned size, uint64_t target,
                     int memory);
#define HOST_SITE_FOLLOWING 4 /* bytes behind the instruction that must stay as they are */
/* Without the lock: RIP in a slot is where that jumps to. */
uint64_t host_site_target(uint64_t rip);
/* Without the lock: the INT3 of an instruction that is being changed; run it again. */
bool host_site_trap(const struct host_thread *t, ucontext_t *uc);
/* Without the lock: where the first page of slots in [start, end) is, or end. */
uint64_t host_sites_next(uint64_t start, uint64_t end);

/* process.c */
void host_process_clone(struct host_thread *t, ucontext_t *uc, uint64_t flags, uint64_t stack,
                        uint64_t ptid, uint64_t ctid, uint64_t tls);
void host_process_child(struct host_thread *t); /* entry.S: a new thread is there */
void host_process_exec(struct host_thread *t, ucontext_t *uc);
bool host_process_exec_failed(struct host_thread *t, ucontext_t *uc);
/* Call serve(fd) in a process that has no other descriptor, and is no child of the program's. */
long host_process_serve(struct host_thread *t, void (*serve)(int fd), int fd);
_Noreturn void host_process_exit(struct host_thread *t, uint64_t status);

/* device.c; with g_host_lock */
#define HOST_DEVICES EMU_RANGE_COUNT
struct host_map {
    uint64_t start, end; /* addresses */
    int prot;
};
struct host_device {
    struct sgx_handle *handle;
    int watch; /* reading end: hangs up when the last descriptor is closed */
    uint64_t inode;
    bool closed;
    struct host_map *maps; /* sorted, disjoint */
    size_t map_count, map_room;
};
extern struct host_device g_host_devices[HOST_DEVICES];
extern _Atomic unsigned g_host_device_count;
void host_device_setup(void);
bool host_device_path(const struct host_thread *t, uint64_t path);
long host_device_open(const struct host_thread *t, uint64_t path, uint64_t flags);
struct host_device *host_device_of(int fd);
long host_device_ioctl(struct host_thread *t, struct host_device *d, uint64_t request,
                       uint64_t arg);
bool host_device_adopt(int fd, uint64_t request, struct host_device **out);
bool host_device_is_own(int fd);
void host_device_closed(void); /* some descriptor was closed */
void host_device_fork(void);
void host_device_settle(struct host_device *d); /* the end, when nothing holds it */

/* maps.c; with g_host_lock */
long host_mmap(struct host_device *d, uint64_t addr, uint64_t length, int prot, int flags);
/* Enclave memory in [addr, addr+length)? */
bool host_maps_touch(uint64_t addr, uint64_t length);
long host_mprotect(uint64_t addr, uint64_t length, int prot);
long host_munmap(uint64_t addr, uint64_t length);
int host_maps_reserve(struct host_device *d, uint64_t base, uint64_t size, struct error *err);
int host_maps_apply(struct host_device *d, struct error *err);

/* vdso.c */
int host_vdso_setup(uint64_t *auxv);

/* cpuid.c */
void host_cpuid_setup(void);
void host_cpuid_thread(void);
bool host_cpuid(ucontext_t *uc, const struct host_thread *t);

/* aesm.c */
bool host_aesm_address(const struct host_thread *t, uint64_t address, uint64_t size);
long host_aesm_connect(struct host_thread *t, int socket);
