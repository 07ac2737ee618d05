/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Address spaces (libos/mm). All processes share the one user range of ELRANGE; an mm owns parts of it (VMAs). Addresses are unique
 * among mms, except inside a fork group, whose members own the same addresses and take turns (group.c): exactly one member is
 * resident, its private pages are in place, the others' pages are saved; a thread may touch user memory or run user code only
 * while its mm is resident. mm->group == NULL (the normal case) costs nothing.
 */
#pragma once

#include "lib.h"

struct file;
struct thread;

struct vma {
    struct rb_node node;   /* key: start */
    u64 end;
    u32 prot;              /* PROT_* as the application asked */
    u32 flags;             /* MAP_SHARED, MAP_PRIVATE, MAP_ANONYMOUS, MAP_GROWSDOWN, MAP_NORESERVE */
    bool was_writable;     /* pages may differ from the file's */
    struct file *file;     /* NULL: anonymous */
    u64 file_offset;       /* of start */
};

struct mm {
    struct refcount refs;
    struct mutex lock;     /* VMAs, page states */
    struct rb_root vmas;
    struct group *group;
    u64 brk_start, brk, brk_max;
    u64 stack_top;
    u64 arg_start, arg_end, env_start, env_end; /* for /proc/self/cmdline, environ */
    u64 auxv[64];          /* as put on the stack */
    u32 auxv_count;
    struct file *exe;
    u64 committed;         /* pages */
    u64 total;             /* pages in VMAs */
    u64 locked_hint;
    struct list_head all;
};

struct mm *mm_create(void);
struct mm *mm_get(struct mm *mm);
void mm_put(struct mm *mm); /* the last one frees the range and leaves the group */
/* Copy of the calling process's mm for a child at the same addresses; the child's thread must run first or the parent waits. */
int mm_fork(struct mm *parent, struct mm **child);

/* As mmap(2) and friends, on mm (the caller's own, or a fresh one that no thread runs in). Lengths are bytes, addresses page aligned. */
i64 mm_map(struct mm *mm, u64 addr, u64 size, u32 prot, u32 flags, struct file *file, u64 off);
int mm_unmap(struct mm *mm, u64 addr, u64 size);
int mm_protect(struct mm *mm, u64 addr, u64 size, u32 prot);
i64 mm_remap(struct mm *mm, u64 old, u64 old_size, u64 new_size, u32 flags, u64 new_addr);
i64 mm_brk(struct mm *mm, u64 brk);
/* Commit and fill [addr, addr+size) so that LibOS code can write into a fresh mm (exec's stack, ELF segments). */
int mm_populate(struct mm *mm, u64 addr, u64 size);
/* A fault at addr (write/exec as flagged) of the resident mm: 0 repaired, else -EFAULT (SIGSEGV/MAPERR), -EACCES (SEGV_ACCERR),
 * -EIO (SIGBUS). */
#define FAULT_WRITE (1u << 0)
#define FAULT_EXEC  (1u << 1)
int mm_fault(struct mm *mm, u64 addr, u32 flags);
/* Walk VMAs for /proc/self/maps: calls fn for each, in order. */
int mm_for_each(struct mm *mm, int (*fn)(const struct vma *vma, void *ctx), void *ctx);

/* Residency: around every stretch in which the current thread runs user code or touches user memory. Nestable per thread; free
 * without a group. thread_wait() releases and takes it again by itself. */
void mm_enter(struct mm *mm);
void mm_leave(struct mm *mm);

struct mm_totals {
    u64 elrange_user, committed, peak, limit; /* bytes */
};
void mm_totals(struct mm_totals *out);
