/* SPDX-License-Identifier: Apache-2.0 */
#include "operand.h"

#define REX_B 1u
#define REX_X 2u
#define REX_R 4u

#define MAP_ONE  0u /* one-byte opcodes */
#define MAP_0F   1u
#define MAP_0F38 2u
#define MAP_0F3A 3u

#define LENGTH_MAX 15

struct instruction {
    const struct uregs *regs;
    const u8 *next, *end;
    u32 rex, map;
    u8 opcode, modrm, segment;
    bool narrow; /* 67: addresses of 32 bits */
    bool vex;    /* C5, C4, 62 */
    bool evex;
    u32 scale;    /* of an EVEX displacement of 8 bits */
    bool repeat;  /* F2, F3 */
    bool operand; /* 66 */
};

AEX_CODE static u8 byte_of(struct instruction *i)
{
    return i->next < i->end ? *(const volatile u8 *)i->next++ : 0;
}

AEX_CODE static u64 signed_of(struct instruction *i, u32 bytes)
{
    const u64 sign = 1ull << (8 * bytes - 1);
    u64 v = 0;

    for (u32 n = 0; n < bytes; n++)
        v |= (u64)byte_of(i) << (8 * n);
    return (v ^ sign) - sign;
}

AEX_CODE static u64 reg_of(const struct uregs *r, u32 number)
{
    const u64 all[] = {r->rax, r->rcx, r->rdx, r->rbx, r->rsp, r->rbp, r->rsi, r->rdi,
                       r->r8,  r->r9,  r->r10, r->r11, r->r12, r->r13, r->r14, r->r15};

    return all[number & 15];
}

/* True while the byte is a legacy prefix. */
AEX_CODE static bool take_prefix(struct instruction *i, u8 b)
{
    if (b == 0x64 || b == 0x65)
        i->segment = b;
    else if (b == 0x67)
        i->narrow = true;
    else if (b == 0x66)
        i->operand = true;
    else if (b == 0xf2 || b == 0xf3)
        i->repeat = true;
    else
        return b == 0xf0 || b == 0x2e || b == 0x36 || b == 0x3e || b == 0x26;
    return true;
}

AEX_CODE static void take_vex(struct instruction *i, u8 first)
{
    u8 p0 = byte_of(i), p1 = first == 0xc5 ? 0 : byte_of(i);

    i->vex = true;
    i->rex = (p0 & 0x80 ? 0 : REX_R);
    i->map = MAP_0F;
    if (first != 0xc5) {
        i->rex |= (p0 & 0x40 ? 0 : REX_X) | (p0 & 0x20 ? 0 : REX_B);
        i->map = p0 & (first == 0x62 ? 7 : 31);
    }
    (void)p1;
    if (first == 0x62) {
        u8 p2 = byte_of(i);

        i->evex = true;
        /* Whole vectors, or one element that is broadcast. */
        i->scale = p2 & 0x10 ? (p1 & 0x80 ? 8 : 4) : 16u << ((p2 >> 5 & 3) % 3);
    }
    i->opcode = byte_of(i);
}

AEX_CODE static void take_opcode(struct instruction *i)
{
    u8 b = byte_of(i);

    while (i->next < i->end && take_prefix(i, b))
        b = byte_of(i);
    if ((b & 0xf0) == 0x40) {
        i->rex = b & 15;
        b = byte_of(i);
    }
    if (b == 0xc5 || b == 0xc4 || b == 0x62) {
        take_vex(i, b);
        return;
    }
    if (b == 0x0f) {
        b = byte_of(i);
        i->map = MAP_0F;
        if (b == 0x38 || b == 0x3a) {
            i->map = b == 0x38 ? MAP_0F38 : MAP_0F3A;
            b = byte_of(i);
        }
    }
    i->opcode = b;
}

/* Bytes of an immediate operand behind ModRM: RIP counts from the end of the instruction. */
AEX_CODE static u32 immediate_of(const struct instruction *i)
{
    u8 op = i->opcode, reg = i->modrm >> 3 & 7;

    if (i->map == MAP_0F3A)
        return 1;
    if (i->map == MAP_0F)
        return (op >= 0x70 && op <= 0x73) || op == 0xa4 || op == 0xac || op == 0xba || op == 0xc2 ||
               op == 0xc4 || op == 0xc5 || op == 0xc6;
    if (i->map != MAP_ONE)
        return 0;
    switch (op) {
    case 0x80:
    case 0x83:
    case 0x6b:
    case 0xc0:
    case 0xc1:
    case 0xc6:
        return 1;
    case 0x81:
    case 0x69:
    case 0xc7:
        return i->operand ? 2 : 4;
    case 0xf6:
        return reg < 2;
    case 0xf7:
        return reg >= 2 ? 0 : i->operand ? 2 : 4;
    default:
        return 0;
    }
}

AEX_CODE static bool has_modrm(const struct instruction *i)
{
    u8 op = i->opcode;

    if (i->vex)
        return i->map != MAP_0F || op != 0x77;
    if (i->map == MAP_0F)
        /* system, EMMS, Jcc, PUSH and POP of FS and GS, CPUID, BSWAP */
        return !((op >= 0x04 && op <= 0x0b) || (op >= 0x30 && op <= 0x37) || op == 0x77 ||
                 (op >= 0x80 && op <= 0x8f) || (op >= 0xa0 && op <= 0xa2) ||
                 (op >= 0xa8 && op <= 0xaa) || (op >= 0xc8 && op <= 0xcf));
    if (i->map != MAP_ONE)
        return true;
    if (op < 0x40)
        return (op & 7) < 4;
    return op == 0x63 || op == 0x69 || op == 0x6b || (op >= 0x80 && op <= 0x8f) || op == 0xc0 ||
           op == 0xc1 || op == 0xc6 || op == 0xc7 || (op >= 0xd0 && op <= 0xd3) ||
           (op >= 0xd8 && op <= 0xdf) || op == 0xf6 || op == 0xf7 || op >= 0xfe;
}

/* Does it have a memory operand by ModRM and use it for its address only, or not at all? */
AEX_CODE static bool is_not_accessed(const struct instruction *i)
{
    u8 op = i->opcode;

    if (i->map == MAP_ONE)
        return op == 0x8d; /* LEA */
    if (i->map == MAP_0F)
        return op == 0x0d || (op >= 0x18 && op <= 0x1f && !i->vex) || /* PREFETCH, NOP */
               (op == 0xae && (i->modrm >> 3 & 7) == 7);              /* CLFLUSH */
    return i->map == MAP_0F38 &&
           ((op >= 0x90 && op <= 0x93) || (op >= 0xa0 && op <= 0xa3) || op == 0xc6 || op == 0xc7) &&
           i->vex; /* VSIB */
}

/* Does it write its ModRM operand? */
AEX_CODE static bool is_store(const struct instruction *i)
{
    u8 op = i->opcode, reg = i->modrm >> 3 & 7;

    if (i->map == MAP_ONE) {
        if (op < 0x38) /* ADD to XOR */
            return (op & 7) < 2;
        switch (op) {
        case 0x80:
        case 0x81:
        case 0x83:
            return reg != 7; /* CMP */
        case 0x86:           /* XCHG, MOV, POP, shifts, MOV of an immediate */
        case 0x87:
        case 0x88:
        case 0x89:
        case 0x8c:
        case 0x8f:
        case 0xc0:
        case 0xc1:
        case 0xc6:
        case 0xc7:
        case 0xd0:
        case 0xd1:
        case 0xd2:
        case 0xd3:
            return true;
        case 0xd9: /* FST, FSTP, FNSTENV, FNSTCW */
            return reg == 2 || reg == 3 || reg >= 6;
        case 0xdb: /* FISTTP, FIST, FISTP, FSTP */
        case 0xdf:
            return (reg >= 1 && reg <= 3) || reg >= 6;
        case 0xdd:
            return (reg >= 1 && reg <= 3) || reg >= 6;
        case 0xf6:
        case 0xf7:
            return reg == 2 || reg == 3; /* NOT, NEG */
        case 0xfe:
        case 0xff:
            return reg < 2; /* INC, DEC */
        default:
            return false;
        }
    }
    if (i->map == MAP_0F3A) /* PEXTRx, EXTRACTPS, VEXTRACTx */
        return (op >= 0x14 && op <= 0x17) ||
               (i->vex && (op == 0x19 || op == 0x1b || op == 0x1d || op == 0x39 || op == 0x3b));
    if (i->map == MAP_0F38)
        return (i->vex && (op == 0x2e || op == 0x2f || op == 0x8e)) ||
               (!i->vex && op == 0xf1 && !i->repeat);
    switch (op) {
    case 0x11: /* MOVUPS and its kin */
    case 0x13:
    case 0x17:
    case 0x29:
    case 0x2b:
    case 0x7f:
    case 0xd6:
    case 0xe7:
        return true;
    case 0x7e: /* MOVD; with F3 a load */
        return !i->repeat && !i->vex;
    case 0xab: /* BTS, SHLD, SHRD, BTR, BTC, CMPXCHG, XADD, MOVNTI */
    case 0xa4:
    case 0xa5:
    case 0xac:
    case 0xad:
    case 0xb0:
    case 0xb1:
    case 0xb3:
    case 0xbb:
    case 0xc0:
    case 0xc1:
    case 0xc3:
        return !i->vex;
    case 0xba:
        return reg > 4; /* BT is the fourth */
    case 0xae:
        return reg == 0 || reg == 3 || reg == 4 || reg == 6; /* FXSAVE, STMXCSR, XSAVE */
    case 0xc7:
        return reg == 1 || reg == 4; /* CMPXCHG8B, XSAVEC */
    default:
        return !i->vex && op >= 0x90 && op <= 0x9f; /* SETcc */
    }
}

/* The address that ModRM and what follows name; 0 with *memory false for a register. */
AEX_CODE static u64 address_of(struct instruction *i, u64 fs_base, bool *memory)
{
    u32 mod = i->modrm >> 6, rm = i->modrm & 7;
    bool from_rip = mod == 0 && rm == 5;
    u64 addr = 0;

    *memory = mod != 3;
    if (!*memory)
        return 0;
    if (rm == 4) {
        u8 sib = byte_of(i);
        u32 base = sib & 7, index = (sib >> 3 & 7) | (i->rex & REX_X ? 8 : 0);

        if (index != 4)
            addr = reg_of(i->regs, index) << (sib >> 6);
        if (base == 5 && mod == 0)
            addr += signed_of(i, 4);
        else
            addr += reg_of(i->regs, base | (i->rex & REX_B ? 8 : 0));
    } else if (!from_rip) {
        addr = reg_of(i->regs, rm | (i->rex & REX_B ? 8 : 0));
    }
    if (mod == 1)
        addr += signed_of(i, 1) * (i->evex ? i->scale : 1);
    else if (mod == 2 || from_rip)
        addr += signed_of(i, 4);
    if (from_rip)
        addr += (u64)i->next + immediate_of(i);
    if (i->narrow)
        addr &= 0xffffffff;
    return i->segment == 0x64 ? addr + fs_base : addr;
}

/* Instructions whose operands are the stack, or RSI and RDI; how many were found. */
AEX_CODE static u32 implicit(const struct instruction *i, struct operand out[OPERANDS])
{
    const struct uregs *r = i->regs;
    u8 op = i->opcode, group = i->modrm >> 3 & 7;

    if (i->map != MAP_ONE || i->vex) /* VEX has no map 0, but bytes may say so */
        return 0;
    if ((op >= 0x50 && op <= 0x57) || op == 0x68 || op == 0x6a || op == 0xe8 || op == 0x9c ||
        (op == 0xff && (group == 2 || group == 6))) { /* PUSH, CALL */
        out[0] = (struct operand){r->rsp - 8, true};
        return 1;
    }
    if ((op >= 0x58 && op <= 0x5f) || op == 0xc3 || op == 0xc2 || op == 0x9d ||
        op == 0x8f) { /* POP, RET */
        out[0] = (struct operand){r->rsp, false};
        return 1;
    }
    if (op == 0xc9) { /* LEAVE */
        out[0] = (struct operand){r->rbp, false};
        return 1;
    }
    if (i->repeat && r->rcx == 0)
        return 0;
    switch (op & ~1) {
    case 0xa4: /* MOVS */
        out[0] = (struct operand){r->rsi, false};
        out[1] = (struct operand){r->rdi, true};
        return 2;
    case 0xa6: /* CMPS */
        out[0] = (struct operand){r->rsi, false};
        out[1] = (struct operand){r->rdi, false};
        return 2;
    case 0xaa: /* STOS */
        out[0] = (struct operand){r->rdi, true};
        return 1;
    case 0xac: /* LODS */
        out[0] = (struct operand){r->rsi, false};
        return 1;
    case 0xae: /* SCAS */
        out[0] = (struct operand){r->rdi, false};
        return 1;
    default:
        return 0;
    }
}

AEX_CODE u32 operands_of(const struct uregs *regs, u64 fs_base, u64 code_end,
                         struct operand out[OPERANDS])
{
    struct instruction i;
    bool memory = false;
    u32 count;

    i.regs = regs;
    i.next = (const u8 *)regs->rip;
    i.end = (const u8 *)(regs->rip + LENGTH_MAX < code_end ? regs->rip + LENGTH_MAX : code_end);
    i.rex = 0;
    i.map = MAP_ONE;
    i.modrm = i.segment = 0;
    i.narrow = i.vex = i.evex = i.repeat = i.operand = false;
    i.scale = 1;
    take_opcode(&i);
    if (!has_modrm(&i))
        return implicit(&i, out);
    i.modrm = byte_of(&i);
    count = implicit(&i, out);
    out[count].addr = address_of(&i, fs_base, &memory);
    out[count].write = is_store(&i);
    return memory && !is_not_accessed(&i) && i.segment != 0x65 ? count + 1 : count;
}
