/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The software SGX, private to src/sgx/emulator. One process, its ELRANGEs mapped in its own
 * address space.
 *
 *   machine.c   what the machine offers: features, size of the EPC
 *   enclave.c   the driver table: open, reserve, create, add, init, map, close
 *   epcm.c      page permissions: EPCM and mappings to host protections, and page faults
 *   epc.c       how many pages there are; writing back and loading
 *   modify.c    SGX2 through the driver: EMODPR, EMODT, EREMOVE
 *   enter.S     __vdso_sgx_enter_enclave, ENCLU from outside, the start of every signal handler
 *   tcs.c       who is on a TCS
 *   enter.c     EENTER, ERESUME, EEXIT, AEX
 *   signal.c    which signal is an exception, which is an interrupt; handlers of the host
 *   thread.c    per-thread state, signal stacks, Syscall User Dispatch
 *   leaf.c      ENCLU leaves from inside
 *   accept.c    EACCEPT, EACCEPTCOPY and EMODPE, which use general registers only
 *   keys.c      EREPORT, EGETKEY
 *   trap.c      for tests: CPUID and RDTSC are #UD in the enclave
 *   isolate.c   for tests: host code that touches enclave memory ends the process
 *   sites.c, sites.S   ENCLU sites rewritten into calls
 *
 * A thread is `in the enclave` from the moment that EENTER or ERESUME loads its FS base until EEXIT
 * or AEX. Meanwhile no host code may run on it but enter.S, and C code called from there once FS is
 * the host's again.
 */
#pragma once

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <ucontext.h>

#include "base/error.h"
#include "sgx_arch.h"
#include "sgx/driver.h"
#include "sgx/emulator/layout.h"
#include "sgx/machine.h"
#include "sgx/measure.h"

/* ---- EPCM: one word a page, sparse; changed by atomic operations only ---- */

#define EPCM_R          (1u << 0)
#define EPCM_W          (1u << 1)
#define EPCM_X          (1u << 2)
#define EPCM_PERM       (7u)
#define EPCM_VALID      (1u << 3)
#define EPCM_PENDING    (1u << 4)
#define EPCM_MODIFIED   (1u << 5)
#define EPCM_PR         (1u << 6)
#define EPCM_TYPE_SHIFT 8
#define EPCM_TYPE_MASK  (0xfu << EPCM_TYPE_SHIFT)
#define EPCM_TYPE(t)    ((uint32_t)(t) << EPCM_TYPE_SHIFT)
#define EPCM_MAX_SHIFT \
    12 /* most that a mapping may ask for: the driver's limit, not the processor's */
#define EPCM_MAX_MASK   (7u << EPCM_MAX_SHIFT)
#define EPCM_HOST_SHIFT 16 /* protection that the host page has now; only with the lock */
#define EPCM_HOST_MASK  (7u << EPCM_HOST_SHIFT)
#define EPCM_EVICTED    (1u << 20) /* written back; only with the lock */
#define EPCM_PINNED     (1u << 21) /* is never written back, valid or not */
/* What EACCEPT compares with SECINFO */
#define EPCM_SECINFO_MASK (EPCM_PERM | EPCM_PENDING | EPCM_MODIFIED | EPCM_PR | EPCM_TYPE_MASK)

/* All bits of SECINFO.FLAGS that mean something */
#define EPCM_SECINFO_MASK_SDM                                                              \
    (SGX_SECINFO_PERM_MASK | SGX_SECINFO_PENDING | SGX_SECINFO_MODIFIED | SGX_SECINFO_PR | \
     SGX_SECINFO_TYPE_MASK)

#define EMU_MIN_ADDRESS 0x10000ull /* of an ELRANGE at 0 */
#define EMU_GROUP_SHIFT 21         /* pages of a group of chunks, for skipping terabytes */
#define EMU_CHUNK_SHIFT 9          /* pages of a chunk, for skipping what was never touched */

struct emu_mapping {
    uint64_t start, end; /* pages */
    uint8_t prot;        /* EPCM_R, W, X */
};

struct emu_tcs {
    struct emu_thread *thread; /* inside now; 0x00 */
    uint64_t aep;              /* 0x08 */
    atomic_uint busy;          /* 0x10 */
    uint32_t cssa;             /* only by the thread that has `busy` */
    uint64_t address;
    uint64_t entry, fsbase, gsbase, ssa; /* addresses, base added */
    uint32_t nssa;
    bool notify;       /* FLAGS.AEXNOTIFY */
    bool malformed;    /* EENTER and ERESUME refuse it */
    bool unacceptable; /* EACCEPT refuses it */
};

struct emu_root {
    uint8_t secret[32];
    uint8_t key_id[32]; /* of reports; random once a process, as a processor's once a boot */
};

/* struct sgx_handle of driver.h */
struct sgx_handle {
    uint64_t base, size, pages;
    uint64_t ssa_frame_size; /* bytes */
    bool reserved, created, initialized, provision;
    bool sgx2; /* the machine's */
    const struct sgx_machine *machine;
    struct sgx_secs secs;
    uint8_t isv_ext_prod_id[16], isv_family_id[16];
    struct sgx_measurement *measurement;
    struct emu_root root;

    pthread_mutex_t build; /* create, add, init */
    atomic_uint lock;      /* host protections, mappings; also taken by fault handlers */
    _Atomic uint32_t *epcm;
    _Atomic(struct emu_tcs *) *tcs;
    /* 1: some page of the chunk, of the group, has an EPCM entry (emu_use_chunk) */
    _Atomic uint8_t *chunks, *groups;
    struct emu_mapping *mappings;
    size_t mapping_count, mapping_room;

    uint64_t trampoline; /* address of the page, 0 without */
    uint8_t *trampoline_data;
    size_t trampoline_size;
    int slot;
    int memory_fd; /* /proc/self/mem, -1 without */

    /* epc.c; with the lock */
    uint64_t epc_resident, epc_backed; /* pages */
    uint64_t hand, keep;               /* next page to look at; page that must stay just now */
    uint64_t inside, next_lower;       /* isolate.c: threads, time in ns; with the lock */
    void *bounce;
    int backing_fd;
};

/* All registers that EENTER and ERESUME load. On the host's stack, as enter.S builds it. */
struct emu_image {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
    uint64_t rip, cs, rflags, rsp, ss;
    uint64_t fsbase, gsbase;
    uint64_t xfrm; /* load these components from the buffer; 0: none */
};

/* A fault of a leaf, or of enclave code */
struct emu_fault {
    uint8_t vector;
    uint32_t error;
    uint64_t address;
};

/* Registers of a leaf */
struct emu_leaf_regs {
    uint64_t rax, rbx, rcx, rdx, rflags;
};

/* At the start of a thread's block; what is above it are its stacks. */
struct emu_thread {
    uint64_t magic;
    uint64_t host_fs, host_gs; /* 0x08 */
    uint64_t enc_fs, enc_gs;   /* 0x18: as they were when a signal hit the enclave */
    /* 0x28: what is being loaded, between emu_crit_start and emu_crit_end. */
    struct emu_image *crit;
    struct emu_tcs *tcs;                 /* 0x30: inside now */
    uint64_t in_leaf;                    /* 0x38: a rewritten site's leaf is running, sites.c */
    uint64_t deferred;                   /* 0x40: signals are held back until it is done */
    struct emu_leaf_regs leaf;           /* 0x48 */
    uint64_t leaf_saved[6];              /* 0x70: rdi, rsi, r8 to r11 */
    uint64_t leaf_rsp, leaf_fs, leaf_gs; /* 0xa0 */
    struct emu_fault leaf_fault;
    uint64_t deferred_mask;
    struct sgx_handle *enclave;
    uint64_t guard_base, guard_size; /* ELRANGE that Syscall User Dispatch guards here */
    bool traps;                      /* trap.c */
    uint64_t host_tf;                /* RFLAGS.TF at EENTER or ERESUME */
    uint64_t rewritten; /* hosted: the ENCLU at this address raised the signal by other means */
};
#define EMU_THREAD_MAGIC 0x4541444852545845ull

/* enclave.c */
extern _Atomic(struct sgx_handle *) g_emu_enclaves[EMU_RANGE_COUNT];
struct emu_range {
    uint64_t start, size;
};
extern struct emu_range g_emu_ranges[EMU_RANGE_COUNT]; /* read by enter.S */
struct sgx_handle *emu_find(uint64_t address);
/* add_pages() of pages that are zero. */
int emu_add_zeros(struct sgx_handle *e, uint64_t offset, uint64_t length,
                  const struct sgx_secinfo *secinfo, bool measure, uint64_t *count,
                  struct error *err);
/* In a child that has the table, but neither memory nor descriptors of the enclave. */
void emu_forget(struct sgx_handle *e);

/* ---- which pages may have an EPCM entry ---- */

static inline void emu_use_chunk(struct sgx_handle *e, uint64_t page)
{
    atomic_store(&e->chunks[page >> EMU_CHUNK_SHIFT], 1);
    atomic_store(&e->groups[page >> EMU_GROUP_SHIFT], 1);
}

/* The first of them from page on, as far as chunks tell, or end. */
static inline uint64_t emu_used_from(const struct sgx_handle *e, uint64_t page, uint64_t end)
{
    while (page < end) {
        int shift = !atomic_load(&e->groups[page >> EMU_GROUP_SHIFT])   ? EMU_GROUP_SHIFT
                    : !atomic_load(&e->chunks[page >> EMU_CHUNK_SHIFT]) ? EMU_CHUNK_SHIFT
                                                                        : 0;
        if (shift == 0)
            return page;
        page = ((page >> shift) + 1) << shift;
    }
    return end;
}

static inline bool emu_inside(const struct sgx_handle *e, uint64_t address, uint64_t size)
{
    return address >= e->base && address - e->base < e->size &&
           size <= e->size - (address - e->base);
}

static inline bool emu_canonical(uint64_t address)
{
    return (int64_t)(address << 16) >> 16 == (int64_t)address;
}

static inline uint64_t emu_page(const struct sgx_handle *e, uint64_t address)
{
    return (address - e->base) >> SGX_PAGE_SHIFT;
}

static inline void *emu_address(const struct sgx_handle *e, uint64_t page)
{
    return (void *)(e->base + (page << SGX_PAGE_SHIFT));
}

/* epc.c */
struct emu_epc_stats {
    uint64_t size, used, backed; /* pages */
    uint64_t written, loaded;    /* pages written back and loaded so far */
};
void emu_epc_setup(uint64_t size, uint64_t backing); /* bytes */
void emu_epc_stats(struct emu_epc_stats *out);
int emu_epc_take(struct sgx_handle *e); /* one page for e; -ENOMEM */
/* Bring a page back that was written back; nothing to do for others. 0 or -ENOMEM. */
int emu_epc_load(struct sgx_handle *e, uint64_t page);
void emu_epc_give(struct sgx_handle *e, uint64_t page); /* the page of a valid entry goes away */
void emu_epc_unlink(struct sgx_handle *e);              /* nobody takes pages from e any more */
void emu_epc_close(struct sgx_handle *e);
/* Around fork(), after which the child calls emu_forget(): nobody is writing pages back. */
void emu_epc_lock(void);
void emu_epc_unlock(void);
#define EMU_KEEP_NONE UINT64_MAX

/* epcm.c */
void emu_word_lock(atomic_uint *lock);
void emu_word_unlock(atomic_uint *lock);
struct emu_guard {
    sigset_t old;
};
void emu_lock(struct sgx_handle *e);
void emu_unlock(struct sgx_handle *e);
/* The same from host code: no signal may come while the lock is held. */
void emu_lock_host(struct sgx_handle *e, struct emu_guard *guard);
void emu_unlock_host(struct sgx_handle *e, struct emu_guard *guard);
void emu_epcm_set(struct sgx_handle *e, uint64_t page, uint32_t value);
/* Set the mapping of pages [start, end). With the lock. */
int emu_mapping_set(struct sgx_handle *e, uint64_t start, uint64_t end, uint8_t prot);
uint8_t emu_mapping_prot(const struct sgx_handle *e, uint64_t page, uint64_t *start, uint64_t *end);
/*
 * Take from the host pages of [start, end) what EPCM and mappings do not allow. What they do allow
 * comes with the first access. With the lock. 0 or -errno.
 */
int emu_apply(struct sgx_handle *e, uint64_t start, uint64_t end);
/* All pages become inaccessible until their next access. With the lock, nobody inside. */
void emu_lower_everything(struct sgx_handle *e);
/*
 * Contents of pages, whatever their protection: 0, or -errno where that is not possible. With the
 * lock.
 */
int emu_store(struct sgx_handle *e, uint64_t address, const void *data, uint64_t size);
/* mprotect, and note it in the EPCM. With the lock. */
int emu_protect(struct sgx_handle *e, uint64_t start, uint64_t end, uint8_t prot);
/*
 * An access (EPCM_R, W or X) to `address`: 0 when it is allowed, and the host page then allows it
 * too; else the fault that the processor raises. Adds a page to the running enclave (EAUG) where
 * Linux would.
 */
int emu_access(struct sgx_handle *e, uint64_t address, uint8_t want, struct emu_fault *fault);
/* The same with the lock, until whose release the page stays. */
int emu_access_locked(struct sgx_handle *e, uint64_t address, uint8_t want,
                      struct emu_fault *fault);
/*
 * What a leaf, or a handler, reads and writes of the enclave's memory: another thread may have a
 * page written back at any moment, so it is looked at and copied under the lock.
 */
int emu_read(struct sgx_handle *e, uint64_t address, void *out, uint64_t size,
             struct emu_fault *fault);
int emu_write(struct sgx_handle *e, uint64_t address, const void *data, uint64_t size,
              struct emu_fault *fault);
/* The word at `address`, whatever the protection of its page: 0, or -EIO when it is not there. */
int emu_peek(struct sgx_handle *e, uint64_t address, uint64_t *value);
/* EAUG for an operand of EACCEPT: the page's entry, or 0 when the page cannot be added. */
uint32_t emu_augment(struct sgx_handle *e, uint64_t page);

/* modify.c */
int emu_restrict_permissions(struct sgx_handle *h, struct sgx_enclave_restrict_permissions *arg,
                             struct error *err);
int emu_modify_types(struct sgx_handle *h, struct sgx_enclave_modify_types *arg, struct error *err);
int emu_remove_pages(struct sgx_handle *h, struct sgx_enclave_remove_pages *arg, struct error *err);
/* Make or forget the emulator's copy of a TCS. */
int emu_tcs_new(struct sgx_handle *e, uint64_t page, const struct sgx_tcs *content);
void emu_tcs_drop(struct sgx_handle *e, uint64_t page);

/* trap.c */
#define EMU_TRAP_CPUID (1u << 0)
#define EMU_TRAP_RDTSC (1u << 1)
int emu_trap_setup(unsigned traps, struct error *err);
/* From now on for this thread. */
void emu_trap_thread(struct emu_thread *t);
/* Is the #GP of enclave code at `regs` one of ours, so #UD? */
bool emu_trap_is_undefined(struct sgx_handle *e, const greg_t *regs);
/* The same in host code: true when it was done in its place. */
bool emu_trap_host(ucontext_t *uc);

/* isolate.c */
enum emu_isolation { EMU_ISOLATE_NONE, EMU_ISOLATE_AUTO, EMU_ISOLATE_KEYS, EMU_ISOLATE_PAGES };
int emu_isolate_setup(enum emu_isolation wanted, struct error *err);
bool emu_isolated(void);
int emu_isolate_range(void *start, uint64_t size);
/* Code that plays the processor may access enclave memory, on this thread. */
void emu_processor_begin(void);
void emu_processor_end(void);
/* What code of `uc` may access when the handler returns to it. */
void emu_isolate_context(ucontext_t *uc, bool inside);
/* A thread goes in, or has left. Without the lock. */
void emu_isolate_enter(struct sgx_handle *e);
void emu_isolate_leave(struct sgx_handle *e);
/* A fault of host code: does not return when it is one that the mode is for. */
void emu_isolate_check(const ucontext_t *uc);

/* enter.S */
int emu_enter_enclave(unsigned long rdi, unsigned long rsi, unsigned long rdx,
                      unsigned int function, unsigned long r8, unsigned long r9,
                      struct sgx_enclave_run *run);
/* The same, callable from C: src/sgx/enter.S. */
int sgx_enter_emulated(unsigned long rdi, unsigned long rsi, unsigned long rdx,
                       unsigned int function, unsigned long r8, unsigned long r9,
                       struct sgx_enclave_run *run);
extern const char emu_aep[], emu_exit[], emu_exception[], emu_crit_start[], emu_crit_end[];
void emu_signal_entry(int signo, siginfo_t *info, void *context);
void emu_restorer(void);
_Noreturn void emu_run_on_stack(void *frame, void (*handler)(int, siginfo_t *, void *), int signo,
                                siginfo_t *info, void *context, const uint64_t *mask);

/* tcs.c */
/* Take the TCS in `image->rbx` for the calling thread; NULL, and how the leaf faults. Its fields
 * are then the caller's until `busy` is 0 again. */
struct emu_tcs *emu_tcs_take(struct sgx_handle *e, const struct emu_image *image,
                             struct emu_fault *fault);

/* enter.c */
/* EENTER or ERESUME of `image`: fills in what to load and returns the thread; NULL for a fault,
 * which is then in image. */
struct emu_thread *emu_enclu(struct emu_image *image, void *xsave);
/* Leave for the AEP; `fault` NULL for an interrupt. reported: the exit is to emu_exception. */
void emu_aex(struct emu_thread *t, ucontext_t *uc, const struct emu_fault *fault, bool reported);
void emu_eexit(struct emu_thread *t, ucontext_t *uc);
int emu_edeccssa(struct emu_thread *t, struct emu_fault *fault); /* a leaf */
_Noreturn void emu_die(const char *why);
uint64_t emu_xsave_size(uint64_t xfrm);

/* signal.c: called by enter.S */
int emu_signal_enclave(int signo, siginfo_t *info, ucontext_t *uc, struct emu_thread *t);
void emu_signal_host(int signo, siginfo_t *info, ucontext_t *uc);
int emu_sigaction(int signo, const struct sigaction *act, struct sigaction *old);
int emu_signal_setup(struct error *err);
/*
 * What a signal of a thread in the enclave is. SETTLED: go on in the enclave. LEFT: by EEXIT,
 * nothing more to do. OUTSIDE: left, and the signal is for the host. The others: the context is
 * one of enclave code, and is to be left by emu_aex().
 */
enum emu_verdict { EMU_SETTLED, EMU_LEFT, EMU_OUTSIDE, EMU_EXCEPTION, EMU_INTERRUPT };
enum emu_verdict emu_signal_judge(int signo, siginfo_t *info, ucontext_t *uc, struct emu_thread *t,
                                  struct emu_fault *fault);
bool emu_host_reads_enclave(const ucontext_t *uc);
/* Signals, threads and system calls are the caller's: src/sgx/emulate. */
void emu_hosted(void);
bool emu_is_hosted(void);

/* thread.c */
struct emu_thread *emu_thread_self(void);    /* made at need; NULL without memory */
struct emu_thread *emu_thread_current(void); /* NULL when this thread never entered */
void *emu_thread_block(void);                /* for a thread: zeros, a guard page, its stacks */
void emu_thread_adopt(struct emu_thread *t); /* the current one's */
void emu_thread_guard_syscalls(struct emu_thread *t, struct sgx_handle *e);

/* accept.c. All leaves return 0, or -1 with *fault. */
int emu_eaccept(struct sgx_handle *e, struct emu_leaf_regs *r, struct emu_fault *fault);
int emu_eacceptcopy(struct sgx_handle *e, struct emu_leaf_regs *r, struct emu_fault *fault);
int emu_emodpe(struct sgx_handle *e, struct emu_leaf_regs *r, struct emu_fault *fault);
int emu_get_secinfo(struct sgx_handle *e, uint64_t address, uint64_t *flags,
                    struct emu_fault *fault);

/* leaf.c */
int emu_leaf(struct emu_thread *t, struct emu_leaf_regs *r, struct emu_fault *fault);

/* keys.c */
int emu_root_load(struct emu_root *root, struct error *err);
int emu_ereport(struct sgx_handle *e, struct emu_leaf_regs *r, struct emu_fault *fault);
int emu_egetkey(struct sgx_handle *e, struct emu_leaf_regs *r, struct emu_fault *fault);

/* sites.c */
int emu_use_sites(struct sgx_handle *h, const uint64_t *sites, uint32_t count, uint64_t trampoline,
                  struct error *err);
void emu_site_add(struct emu_tcs *tcs);
/* enclave: all of it goes, so its GS bases are free for others. */
void emu_site_drop(const struct emu_tcs *tcs, bool enclave);
/*
 * A signal came while `t` was on its way from a rewritten site: what now? The context is settled as
 * if the leaf had not begun (EMU_SITE_ENCLAVE), had left (EMU_SITE_HOST), or the signal comes back
 * when the leaf is done (EMU_SITE_DEFERRED). EMU_SITE_FAULT: the leaf faulted, *fault says how.
 */
enum emu_site_verdict {
    EMU_SITE_NONE,
    EMU_SITE_ENCLAVE,
    EMU_SITE_HOST,
    EMU_SITE_DEFERRED,
    EMU_SITE_RESUMED, /* the signal was the leaf's own, for signals held back: go on */
    EMU_SITE_FAULT,
    EMU_SITE_LEAF, /* ENCLU of a site that is not worth more: emulate it at RIP */
};
enum emu_site_verdict emu_site_signal(struct emu_thread *t, int signo, siginfo_t *info,
                                      ucontext_t *uc, struct emu_fault *fault);
/* After a fault of EMU_SITE_LEAF: back to the site. */
void emu_site_rewind(ucontext_t *uc);

/* sites.S */
extern const char emu_site_entry[], emu_site_enclu[], emu_site_end[];
