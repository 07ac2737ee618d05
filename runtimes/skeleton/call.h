/* SPDX-License-Identifier: Apache-2.0 */
/* What crosses the enclave's boundary: one structure, written by pal.c, read by enclave.c. */
#pragma once

#include <stdint.h>

#define SKELETON_SIZE \
    0x100000ull /* ELRANGE, bytes; the loader chooses the base, a multiple of it */
#define SKELETON_STACK     0x4000ull /* below the SSA frames, these below the TCS: entry.S knows */
#define SKELETON_SSA_COUNT 2ull
#define SKELETON_DATA_MAX  4096u

enum skeleton_command {
    SKELETON_START = 1,  /* in: count strings, each with its NUL: argv */
    SKELETON_INPUT = 2,  /* in: some of the process's stdin; size 0 at its end */
    SKELETON_REPORT = 3, /* in: TARGETINFO; out: REPORT */
};

enum skeleton_state {
    SKELETON_DONE = 0,  /* the process ends with exit_code */
    SKELETON_READS = 1, /* it waits for SKELETON_INPUT */
};

struct skeleton_call {
    uint32_t command;
    uint32_t count;
    uint32_t in_size;
    uint32_t out_size; /* out */
    uint32_t state;    /* out */
    int32_t exit_code; /* out: 0..255; 127 when there is no such program */
    uint8_t in[SKELETON_DATA_MAX];
    uint8_t out[SKELETON_DATA_MAX];
};
