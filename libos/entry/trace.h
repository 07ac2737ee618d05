/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trace of system calls (enclave.trace): one line a call for the host's log, so in enclaves for
 * debugging only. It says what programs do, but never what they read or write.
 */
#pragma once

#include "current.h"

#define TRACE_SIZE 480

struct trace_line {
    u64 number;
    size_t size;
    char text[TRACE_SIZE];
};

extern bool g_tracing; /* some call is traced */

/* names: system calls, with commas between them, or "all". False: one of them is not known. */
bool trace_select(const char *names);
void trace_all(void);
bool trace_wants(u64 number);
/* The call and its arguments, before they change; of a call that may not return, the line at once.
 * trace_end() tells the result. */
void trace_begin(struct trace_line *line, u64 number, const struct uregs *regs);
void trace_end(struct trace_line *line, i64 result);
