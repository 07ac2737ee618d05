/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the LibOS enclave is laid out in ELRANGE. The bundle converter builds it (src/enclave), the
 * LibOS reads it; all of it is measured but the contents of stacks and heap, which it clears before
 * it uses them. ELRANGE starts at 0; user programs get
 * [64 KiB, libos_base), the LibOS [libos_base, size).
 *
 *   libos_base   LibOS image (position independent ELF, its segments at libos_base + p_vaddr)
 *   then         manifest page (R), layout page (R), bound (R, when there is one), trampoline hole
 *                (never added; the emulator's), for each static TCS: guard page (hole), stack (RW),
 *                TCS page, SSA pages (RW), tcb page (RW, GS base)
 *   heap         initial heap (RW, not measured), then the dynamic heap up to size
 */
#pragma once

#include <stdint.h>

#define LAYOUT_PAGE       4096ull
#define LAYOUT_USER_START 0x10000ull
/* What a program finds room in, whatever it reserves; less where the processor's enclaves are
 * smaller (CPUID leaf 12H, MaxEnclaveSize_64). */
#define LAYOUT_SIZE_DEFAULT (64ull << 40)
#define LAYOUT_STACK_SIZE   (64ull << 10) /* LibOS stack of a thread */
#define LAYOUT_NSSA         3u            /* SSA frames of a TCS */
#define LAYOUT_SSA_PAGES    1u            /* pages of an SSA frame: XSAVE up to AVX-512 */
#define LAYOUT_STATIC_TCS   16u
#define LAYOUT_HEAP_INITIAL (512ull << 10)
/* The LibOS part of ELRANGE: a quarter of it, at most 64 GiB. */
#define LAYOUT_LIBOS_MAX (64ull << 30)
#define LAYOUT_LIBOS_BASE(size) \
    ((size) - ((size) / 4 < LAYOUT_LIBOS_MAX ? (size) / 4 : LAYOUT_LIBOS_MAX))

/*
 * The head of every TCS's tcb page, which GS points to inside the enclave. The builder fills it for
 * static TCS, the LibOS for those it adds. The LibOS keeps its own fields behind it in the page.
 */
#define TCB_MAGIC 0x42435445554e5552ull
struct layout_tcb {
    uint64_t self;           /* address of this page */
    uint64_t magic;          /* TCB_MAGIC */
    uint64_t tcs;            /* address of the TCS page */
    uint64_t ssa;            /* address of SSA frame 0 */
    uint64_t stack_top;      /* 16-byte aligned */
    uint64_t layout;         /* address of struct enclave_layout */
    uint32_t index;          /* 0 for the first static TCS */
    uint32_t ssa_frame_size; /* bytes */
};

#define ENCLAVE_LAYOUT_MAGIC 0x3259414c454e5552ull /* "RUNELAY2" */
/* At the start of the manifest page's successor (its own measured R page). */
struct enclave_layout {
    uint64_t magic;
    uint64_t size; /* of ELRANGE */
    uint64_t libos_base;
    uint64_t libos_image_end; /* first address after the LibOS image's segments */
    uint64_t manifest;        /* address of struct manifest_image */
    uint64_t heap;            /* initial heap */
    uint64_t heap_initial;    /* bytes of it that are in the enclave file */
    uint64_t heap_end;        /* end of the dynamic heap = size */
    uint64_t user_start, user_end;
    uint64_t preadded_user; /* SGX1: bytes of user range added at load time, all of it; 0 with
                               SGX2 */
    uint32_t static_tcs;
    uint32_t flags; /* LAYOUT_FLAG_* */
    uint64_t bound; /* what deployments may say (bound.h); 0: anything */
    uint64_t bound_size;
};
#define LAYOUT_FLAG_SGX2      (1u << 0) /* memory and TCS are added on demand */
#define LAYOUT_FLAG_AEXNOTIFY (1u << 1) /* TCS.FLAGS.AEXNOTIFY: also of TCS that are added */
