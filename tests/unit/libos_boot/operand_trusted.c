/* SPDX-License-Identifier: Apache-2.0 */
/* libos/entry/operand.c for operand.c, which has libc's headers: registers by their numbers. */
#include "operand.h"

u32 test_operands(const u64 regs[16], u64 rip, u64 fs_base, u64 end, u64 addr[OPERANDS],
                  u8 write[OPERANDS]);
u32 test_operands(const u64 regs[16], u64 rip, u64 fs_base, u64 end, u64 addr[OPERANDS],
                  u8 write[OPERANDS])
{
    const struct uregs r = {.rax = regs[0],
                            .rcx = regs[1],
                            .rdx = regs[2],
                            .rbx = regs[3],
                            .rsp = regs[4],
                            .rbp = regs[5],
                            .rsi = regs[6],
                            .rdi = regs[7],
                            .r8 = regs[8],
                            .r9 = regs[9],
                            .r10 = regs[10],
                            .r11 = regs[11],
                            .r12 = regs[12],
                            .r13 = regs[13],
                            .r14 = regs[14],
                            .r15 = regs[15],
                            .rip = rip};
    struct operand out[OPERANDS];
    u32 count = operands_of(&r, fs_base, end, out);

    for (u32 i = 0; i < count; i++) {
        addr[i] = out[i].addr;
        write[i] = out[i].write;
    }
    return count;
}
