/* SPDX-License-Identifier: Apache-2.0 */
/*
 * decode_NAME(regs): the system call with the arguments that are in the registers. One decoder a
 * row. A register's low bytes are the parameter, so it is cut and its sign extended as Linux does.
 */
#pragma once

#include "current.h"
#include "syscall.h"

#define DECODE__(reg, kind) \
    (((union {              \
         u64 raw;           \
         arg_##kind value;  \
     }){regs->reg})         \
         .value)
#define DECODE_(reg, kind) DECODE__(reg, kind)
#define DECODE(reg, p)     DECODE_(reg, PARAMETER_KIND p)
#define CALL(name, status, note, ...)                                    \
    static inline long decode_##name(const struct uregs *regs)           \
    {                                                                    \
        return sys_##name(CALL_EACH(DECODE __VA_OPT__(, ) __VA_ARGS__)); \
    }
#define REFUSE(name, error, note, ...)                         \
    static inline long decode_##name(const struct uregs *regs) \
    {                                                          \
        return -(error);                                       \
    }
#include "calls.h"
#undef CALL
#undef REFUSE
