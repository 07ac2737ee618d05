/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Address spaces (libos/mm). All processes share the one user range of ELRANGE; an mm owns parts of
 * it (VMAs). Addresses are unique among mms, except inside a fork group, whose members own the same
 * addresses and take turns (group.c): exactly one member is resident, its private pages are in
 * place, the others' pages are saved; a thread may touch user memory or run user code only while
 * its mm is resident.
 */
#pragma once

#include "thread.h"

struct file;
struct process;
struct thread;

struct vma {
    struct rb_node node; /* key: start */
    u64 end;
    u32 prot;          /* PROT_* as the application asked */
    u32 flags;         /* MAP_SHARED, MAP_PRIVATE, MAP_ANONYMOUS, MAP_GROWSDOWN, MAP_NORESERVE */
    bool was_writable; /* pages may differ from the file's */
    struct file *file; /* NULL: anonymous */
    u64 file_offset;   /* of start */
    u64 trampolines;   /* executable file mapping: where its rewritten calls go, 0 none (sites.c) */
    u64 first_site;
    u32 copies; /* shared file mappings of the same pages that munmap() must undo before this one */
};

#define VMA_LOCKED \
    0x08000000u /* in flags: mlock(2), which only counts: nothing is ever paged out */

#define VMA_DONTDUMP 0x00020000u /* in flags: MADV_DONTDUMP */

#define MM_SEARCH_CLASSES 24u
#define MM_MAP_COUNT_MAX  65530u /* vm.max_map_count */

struct mm {
    struct refcount refs;
    struct mutex lock; /* VMAs, page states */
    struct rb_root vmas;
    struct space *space; /* the addresses it may use, and who shares them (fork group) */
    struct list_head member;
    struct list_head all;  /* cut.c */
    bool doomed;           /* there was no memory to make it resident (group.c) */
    u32 active;            /* threads that hold residency (atomic) */
    struct thread *alone;  /* the only one that may hold it now (residency.c) */
    u32 claims;            /* calls that take addresses for a mapping right now (atomic) */
    struct rb_root saved;  /* private pages while it is not resident */
    struct rb_root shares; /* private pages in place that other members have as well */
    u64 brk_start, brk, brk_max;
    u64 stack_top;
    u64 arg_start, arg_end, env_start, env_end; /* for /proc/self/cmdline, environ */
    u64 auxv[64];                               /* as put on the stack */
    u32 auxv_count;
    struct file *exe;
    u64 total;        /* pages in VMAs */
    u32 vma_count;    /* trampolines included */
    bool lock_future; /* mlockall(MCL_FUTURE) */
    u32 membarrier;   /* atomic: MEMBARRIER_CMD_REGISTER_* that it called */
    /* space.c: where a search for a free range of a class of sizes begins; top 0: at the end */
    struct mm_search {
        u64 size, top;
    } search[MM_SEARCH_CLASSES];
    bool told_full; /* that addresses ran out */
    bool plain;     /* it is debugged: the program's code as it is in its files (sites.c) */
};

struct mm *mm_create(void);
struct mm *mm_get(struct mm *mm);
void mm_put(struct mm *mm); /* the last one frees the range and leaves the group */
/*
 * A child's mm at the same addresses, with the memory as it is at one moment: the parent's other
 * threads are stopped meanwhile. Hold no lock. On success the calling thread has LOST residency of
 * the parent (current()->mm is NULL): the range is the child's now. Touch no user memory; set the
 * child up, thread_start() it, and only then mm_enter(parent), which waits until the child gives
 * the range up (blocks, execs, exits, or 10 ms pass). On an error of mm_fork: mm_enter(parent);
 * after it: mm_put(child) before that.
 */
int mm_fork(struct mm *parent, struct mm **child);

/* As mmap(2) and friends, on mm (the caller's own, or a fresh one that no thread runs in). Lengths
 * are bytes, addresses page aligned. */
i64 mm_map(struct mm *mm, u64 addr, u64 size, u32 prot, u32 flags, struct file *file, u64 off);
/* msync(2): pages of writable shared mappings go to their files. */
int mm_sync(struct mm *mm, u64 addr, u64 size);
int mm_unmap(struct mm *mm, u64 addr, u64 size);
int mm_protect(struct mm *mm, u64 addr, u64 size, u32 prot);
i64 mm_remap(struct mm *mm, u64 old, u64 old_size, u64 new_size, u32 flags, u64 new_addr);
i64 mm_brk(struct mm *mm, u64 brk);
/* Commit and fill [addr, addr+size) so that LibOS code can write into a fresh mm (exec's stack, ELF
 * segments). */
int mm_populate(struct mm *mm, u64 addr, u64 size);
/* A fault at addr (write/exec as flagged) of the resident mm: 0 repaired, else -EFAULT
 * (SIGSEGV/MAPERR), -EACCES (SEGV_ACCERR), -EIO (SIGBUS). */
#define FAULT_WRITE (1u << 0)
#define FAULT_EXEC  (1u << 1)
int mm_fault(struct mm *mm, u64 addr, u32 flags);
/* Is the page at addr in the enclave, and may the LibOS access it so? Without a lock, from any
 * code. */
bool mm_page_there(u64 addr, bool write);
/* Walk VMAs for /proc/self/maps: calls fn for each, in order. */
int mm_for_each(struct mm *mm, int (*fn)(const struct vma *vma, void *ctx), void *ctx);

/*
 * Residency. A thread that runs user code or touches user memory holds its mm: current()->mm.
 * mm_enter() when a thread starts (and after exec made a new mm), mm_leave() before it ends or
 * changes its mm; thread_wait() does both by itself. Without a fork group both are one atomic add;
 * entering what one holds, or leaving what one does not hold, does nothing. Building a fresh mm for
 * exec may make the caller hold it instead of the old one (a fixed address that others use): when
 * exec fails, mm_put(fresh), then mm_enter(old). The ATTENTION_GROUP flag asks a thread to do
 * mm_yield() on its way back to user code.
 *
 * mm_enter() fails when there is no memory for it: current()->mm stays NULL, access to user memory
 * is -EFAULT, calls that change the mm are -ENOMEM, and its processes have been told to end.
 */
/* The process of a doomed mm ends, with g_process_lock held; set by process_init(). */
extern void (*g_mm_kill_locked)(struct process *p, u32 status);
void mm_enter(struct mm *mm);
void mm_leave(struct mm *mm);
void mm_yield(void);

/* What a process uses, in pages: /proc/PID/status, statm and the like. */
struct mm_usage {
    u64 total;              /* in VMAs */
    u64 anon, file, shared; /* there: private ones without and with a file, shared ones */
    u64 data, stack, code;  /* in VMAs: private writable ones, the stack, executable ones */
    u64 locked;             /* in VMAs that mlock(2) was asked for */
};
void mm_usage(struct mm *mm, struct mm_usage *out);
u64 mm_resident(const struct vma *v); /* pages of v that are there; from a mm_for_each() function */
static inline u64 mm_usage_resident(const struct mm_usage *u)
{
    return u->anon + u->file + u->shared;
}

/* How often the file is mapped shared from its start, by all processes together: shm_nattch. */
u64 mm_count_maps(const struct file *file);

/* Read another process's memory (/proc/PID/cmdline, environ), resident or not; bytes read. */
size_t mm_peek(struct mm *mm, u64 addr, void *buf, size_t size);

/*
 * Read or write memory of any process as its own threads would (process_vm_readv(2),
 * /proc/PID/mem): bytes done, fewer where the mapping, its protection or memory ends. force:
 * private pages whatever their protection, as a debugger does.
 */
size_t mm_access(struct mm *mm, u64 addr, void *buf, size_t size, bool write, bool force);

/* Page of a MAP_SHARED file mapping that is in memory and so is the truth for [off, off +
 * PAGE_SIZE) of the inode: files read and write there. NULL: none. The caller holds inode->lock. */
struct inode;
void *mm_shared_page(struct inode *inode, u64 off);
/*
 * The same page is changed (data NULL: zeros) at off, n bytes within it, whatever its protection;
 * nothing happens when it is not in memory.
 */
void mm_shared_write(struct inode *inode, u64 off, const void *data, size_t n);

/*
 * The file has become shorter, size bytes: private mappings lose what is behind it. The caller
 * holds no lock that a fault takes (inode->lock), but what keeps the file from growing meanwhile.
 */
void mm_cut_file(struct inode *inode, u64 size);

/* A mask of memory nodes as user memory has it, of which only node 0 can be: -EINVAL, -EFAULT. */
int mempolicy_nodes(uaddr user_mask, u64 count, bool *node);

/* Called once at start: user range. */
struct enclave_layout;
/* measured: enclave.memory; wanted: what the host gives of the container's limit. 0: none. The
 * smaller one holds. */
int mm_init(const struct enclave_layout *layout, u64 measured, u64 wanted);
