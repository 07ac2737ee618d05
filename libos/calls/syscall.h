/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System calls. The tables libos/calls/table_*.h have one row a call, from which come the handler's
 * prototype (here), the decoding of its arguments (libos/calls/decode.h), the trace line
 * (libos/entry/trace.c) and docs/syscalls.md; docs/design/calls.md says how. A row is
 *
 *   CALL(name, status, "note", parameters...)   long sys_NAME(parameters...): >= 0, negative errno
 *   REFUSE(name, errno, "note", parameters...)  always this error: no handler
 *
 * status is DONE or PARTIAL. A parameter is (kind, name), or (kind, name, "type") for user memory;
 * libos/calls/kinds.h has the kinds. Calls of Linux without a row return -ENOSYS and are logged
 * once by name.
 */
#pragma once

#include "types.h"

/* The C type of a parameter: arg_KIND. */
#define KIND(name, type, show) typedef type arg_##name;
#include "kinds.h"
#undef KIND

/* EACH(m, parameters...): m(register, parameter), with commas between them. */
#define CALL_JOIN_(a, b)                                 a##b
#define CALL_JOIN(a, b)                                  CALL_JOIN_(a, b)
#define CALL_PICK_(none, p1, p2, p3, p4, p5, p6, n, ...) n

/* How many parameters. */
#define CALL_COUNT(...) CALL_PICK_(0 __VA_OPT__(, ) __VA_ARGS__, 6, 5, 4, 3, 2, 1, 0)

#define CALL_EACH_0(m, ...)
#define CALL_EACH_1(m, a)                m(rdi, a)
#define CALL_EACH_2(m, a, b)             CALL_EACH_1(m, a), m(rsi, b)
#define CALL_EACH_3(m, a, b, c)          CALL_EACH_2(m, a, b), m(rdx, c)
#define CALL_EACH_4(m, a, b, c, d)       CALL_EACH_3(m, a, b, c), m(r10, d)
#define CALL_EACH_5(m, a, b, c, d, e)    CALL_EACH_4(m, a, b, c, d), m(r8, e)
#define CALL_EACH_6(m, a, b, c, d, e, f) CALL_EACH_5(m, a, b, c, d, e), m(r9, f)
#define CALL_EACH(m, ...) \
    CALL_JOIN(CALL_EACH_, CALL_COUNT(__VA_ARGS__))(m __VA_OPT__(, ) __VA_ARGS__)

#define PARAMETER_KIND(kind, ...)           kind
#define PARAMETER_DECLARE_(kind, name, ...) arg_##kind name
#define PARAMETER_DECLARE(reg, parameter)   PARAMETER_DECLARE_ parameter
#define PARAMETERS_0                        void
#define PARAMETERS_1
#define PARAMETERS_2
#define PARAMETERS_3
#define PARAMETERS_4
#define PARAMETERS_5
#define PARAMETERS_6

/* Prototypes of all of them. */
#define CALL(name, status, note, ...)                               \
    long sys_##name(CALL_JOIN(PARAMETERS_, CALL_COUNT(__VA_ARGS__)) \
                        CALL_EACH(PARAMETER_DECLARE __VA_OPT__(, ) __VA_ARGS__));
#define REFUSE(name, error, note, ...)
#include "calls.h"
#undef CALL
#undef REFUSE
