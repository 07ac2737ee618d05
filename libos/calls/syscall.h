/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System calls. A call is `long sys_NAME(long a, long b, long c, long d, long e, long f)` (unused
 * arguments may be left out of the definition's use, never of its prototype) and returns >= 0 or
 * negative errno. The tables in libos/calls/table_*.h have one line per call: S(name, function,
 * status, "note"), status DONE or PARTIAL; calls of Linux without a line are missing: they return
 * -ENOSYS and are logged once by name. docs/syscalls.md is generated from them.
 */
#pragma once

#include "types.h"

typedef long syscall_fn(long a, long b, long c, long d, long e, long f);
#define SYSCALL_ARGS long a, long b, long c, long d, long e, long f

/* Prototypes of all of them. */
#define S(name, function, status, note) syscall_fn function;
#include "table_proc.h"
#include "table_mm.h"
#include "table_fs.h"
#include "table_net.h"
#undef S
