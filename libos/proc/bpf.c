/* SPDX-License-Identifier: Apache-2.0 */
#include "bpf.h"

#define DATA_SIZE ((u32)sizeof(struct seccomp_data))

static bool known_alu(u16 op)
{
    switch (op) {
    case BPF_ADD:
    case BPF_SUB:
    case BPF_MUL:
    case BPF_DIV:
    case BPF_OR:
    case BPF_AND:
    case BPF_LSH:
    case BPF_RSH:
    case BPF_XOR:
    case BPF_NEG:
        return true;
    default: /* BPF_MOD is not for seccomp */
        return false;
    }
}

static bool jump_ok(const struct sock_filter *f, u32 left)
{
    switch (BPF_OP(f->code)) {
    case BPF_JA:
        return f->code == (BPF_JMP | BPF_JA) && f->k < left;
    case BPF_JEQ:
    case BPF_JGT:
    case BPF_JGE:
    case BPF_JSET:
        return (f->code & ~(BPF_X | 0xf0)) == BPF_JMP && f->jt < left && f->jf < left;
    default:
        return false;
    }
}

/* One instruction; left: how many follow it. */
static bool instruction_ok(const struct sock_filter *f, u32 left)
{
    switch (BPF_CLASS(f->code)) {
    case BPF_LD:
        if (f->code == (BPF_LD | BPF_W | BPF_ABS))
            return f->k < DATA_SIZE && !(f->k & 3);
        return f->code == (BPF_LD | BPF_W | BPF_LEN) || f->code == (BPF_LD | BPF_IMM) ||
               (f->code == (BPF_LD | BPF_MEM) && f->k < BPF_MEMWORDS);
    case BPF_LDX:
        return f->code == (BPF_LDX | BPF_W | BPF_LEN) || f->code == (BPF_LDX | BPF_IMM) ||
               (f->code == (BPF_LDX | BPF_MEM) && f->k < BPF_MEMWORDS);
    case BPF_ST:
    case BPF_STX:
        return (f->code == BPF_ST || f->code == BPF_STX) && f->k < BPF_MEMWORDS;
    case BPF_ALU:
        if ((f->code & ~(BPF_X | 0xf0)) != BPF_ALU || !known_alu(BPF_OP(f->code)))
            return false;
        if (BPF_SRC(f->code) == BPF_X)
            return BPF_OP(f->code) != BPF_NEG;
        if (BPF_OP(f->code) == BPF_DIV)
            return f->k != 0;
        return (BPF_OP(f->code) != BPF_LSH && BPF_OP(f->code) != BPF_RSH) || f->k < 32;
    case BPF_JMP:
        return jump_ok(f, left);
    case BPF_RET:
        return f->code == (BPF_RET | BPF_K) || f->code == (BPF_RET | BPF_A);
    default:
        return f->code == (BPF_MISC | BPF_TAX) || f->code == (BPF_MISC | BPF_TXA);
    }
}

int bpf_check(const struct sock_filter *code, u32 count)
{
    if (count == 0 || count > BPF_MAXINSNS || BPF_CLASS(code[count - 1].code) != BPF_RET)
        return -EINVAL;
    for (u32 i = 0; i < count; i++)
        if (!instruction_ok(&code[i], count - 1 - i))
            return -EINVAL;
    return 0;
}

static u32 alu(u16 op, u32 a, u32 b)
{
    switch (op) {
    case BPF_ADD:
        return a + b;
    case BPF_SUB:
        return a - b;
    case BPF_MUL:
        return a * b;
    case BPF_OR:
        return a | b;
    case BPF_AND:
        return a & b;
    case BPF_XOR:
        return a ^ b;
    case BPF_LSH:
        return a << (b & 31);
    case BPF_RSH:
        return a >> (b & 31);
    default:
        return -a;
    }
}

static bool compare(u16 op, u32 a, u32 b)
{
    switch (op) {
    case BPF_JEQ:
        return a == b;
    case BPF_JGT:
        return a > b;
    case BPF_JGE:
        return a >= b;
    default:
        return a & b;
    }
}

static u32 load(const struct sock_filter *f, const struct seccomp_data *data, const u32 *memory)
{
    switch (BPF_MODE(f->code)) {
    case BPF_IMM:
        return f->k;
    case BPF_MEM:
        return memory[f->k];
    case BPF_LEN:
        return DATA_SIZE;
    default: {
        u32 word;
        memcpy(&word, (const u8 *)data + f->k, sizeof(word));
        return word;
    }
    }
}

u32 bpf_run(const struct sock_filter *code, const struct seccomp_data *data)
{
    u32 a = 0, x = 0, memory[BPF_MEMWORDS] = {0};
    for (const struct sock_filter *f = code;; f++) {
        u32 operand = BPF_SRC(f->code) == BPF_X ? x : f->k;
        u16 op = BPF_OP(f->code);
        switch (BPF_CLASS(f->code)) {
        case BPF_LD:
            a = load(f, data, memory);
            break;
        case BPF_LDX:
            x = load(f, data, memory);
            break;
        case BPF_ST:
            memory[f->k] = a;
            break;
        case BPF_STX:
            memory[f->k] = x;
            break;
        case BPF_ALU:
            if (op == BPF_DIV && operand == 0)
                return 0;
            a = op == BPF_DIV ? a / operand : alu(op, a, operand);
            break;
        case BPF_JMP:
            f += op == BPF_JA ? f->k : compare(op, a, operand) ? f->jt : f->jf;
            break;
        case BPF_RET:
            return BPF_RVAL(f->code) == BPF_A ? a : f->k;
        default:
            if (f->code == (BPF_MISC | BPF_TAX))
                x = a;
            else
                a = x;
        }
    }
}
