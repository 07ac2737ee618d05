/* SPDX-License-Identifier: Apache-2.0 */
/* Pages of the enclave (libos/heap/pages.c): what is there of the user range, and one account for
 * it and the heap. */
#pragma once

#include "types.h"

struct enclave_layout;

/* ---- the state of each page of the user range ---- */
#define PG_R        1u /* EPCM permissions, same bits as PROT_* */
#define PG_W        2u
#define PG_X        4u
#define PG_PERMS    7u
#define PG_ACCEPTED 8u  /* the page is there and ours */
#define PG_STALE    16u /* its content is nobody's (it was saved): to be filled before use */
#define PG_OPEN     32u /* SGX1: not accepted, but the host does not keep it closed */
#define PG_COW      64u /* members of a group have it in common (saved.c): never W */

void pages_init(const struct enclave_layout *layout, u64 measured, u64 wanted);
u8 page_state(u64 addr);
void page_set_flag(u64 addr, u8 flag, bool on);
/* Fresh zero page with prot; -ENOMEM. The page must not be accepted. */
int page_commit(u64 addr, u32 prot);
/* Fresh page with the content of src (page aligned, in the enclave) and prot. */
int page_commit_copy(u64 addr, const void *src, u32 prot);
/* Give accepted pages of the range exactly prot, PG_COW ones without W; PROT_NONE means read-only
 * here, see saved_put(). */
int pages_protect(u64 addr, u64 size, u32 prot);
/*
 * SGX1: let a range be filled with one call to the host, and close again what was not accepted.
 * Pages that are accepted in between are RWX until pages_protect().
 */
int pages_open(u64 addr, u64 end);
void pages_close(u64 addr, u64 end);
/* Give accepted pages of the range back to the host. */
void pages_trim(u64 addr, u64 size);
/* Let LibOS code write to an accepted page whatever its protection: returns the old one for
 * page_write_end(). */
u32 page_write_begin(u64 addr);
void page_write_end(u64 addr, u32 perms);
/* First accepted page at or after addr and before end; end when there is none. */
u64 page_next_accepted(u64 addr, u64 end);
u64 page_next_with(u64 addr, u64 end, u8 flag); /* accepted and with the flag */
u64 page_next_owned(u64 addr, u64 end);         /* accepted, and neither PG_STALE nor PG_COW */
/* Account count pages of enclave memory (user and heap alike); -ENOMEM with one clear log line at
 * the limit. */
int memory_charge(u64 count);
void memory_uncharge(u64 count);
void memory_refused(void); /* the host added no page: say so, once */
/* The container's limit was changed: it may rise above the first, never above the measured one.
 * -ERANGE: more was wanted. */
int memory_limit_changed(u64 wanted);
/* Process pid is about to be killed because memory ran out: libenclave is told, and of what. */
void memory_tell_killed(i32 pid);

/* Memory can be added while the enclave runs (SGX2); else all that is mapped is also committed. */
bool pages_dynamic(void);

struct mm_totals {
    u64 elrange_user, committed, peak, limit; /* bytes; limit 0: none */
    u64 total, free;                          /* what processes can have, and of it still get */
};
void mm_totals(struct mm_totals *out);
