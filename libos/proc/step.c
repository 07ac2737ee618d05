/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PTRACE_SINGLESTEP without the processor's trap flag, which an enclave that is entered without
 * opt-in does not obey: a breakpoint at the one instruction that comes next. The registers say
 * which, for the thread stands still. Encodings: SDM volume 2, chapter 2 and appendix A.
 */
#include "tracee.h"

#define LENGTH_MAX 15
#define WALK_MAX   32 /* instructions of a trampoline (mm/sites.c) */
#define INT3       0xcc

struct instruction {
    u8 bytes[LENGTH_MAX + 9]; /* behind what could be read: zeros */
    u32 length;
    u8 opcode, map; /* map 0: one byte; 1: 0f; 2: 0f 38; 3: 0f 3a */
    u8 modrm, rex, segment;
    bool operand16, address32, vex;
    u64 memory; /* address of the operand in memory, without the segment */
    u64 immediate;
};

static u64 reg_of(const struct uregs *r, u32 number)
{
    const u64 all[] = {r->rax, r->rcx, r->rdx, r->rbx, r->rsp, r->rbp, r->rsi, r->rdi,
                       r->r8,  r->r9,  r->r10, r->r11, r->r12, r->r13, r->r14, r->r15};
    return all[number & 15];
}

static u64 signed_at(const u8 *p, u32 bytes)
{
    const u64 sign = bytes ? 1ull << (8 * bytes - 1) : 0;
    u64 v = 0;
    memcpy(&v, p, bytes);
    return (v ^ sign) - sign;
}

static bool is_prefix(u8 b)
{
    return b == 0x26 || b == 0x2e || b == 0x36 || b == 0x3e || (b >= 0x64 && b <= 0x67) ||
           b == 0xf0 || b == 0xf2 || b == 0xf3;
}

static u32 take_prefixes(struct instruction *i)
{
    u32 at = 0;
    for (; at < LENGTH_MAX && is_prefix(i->bytes[at]); at++) {
        u8 b = i->bytes[at];
        if (b == 0x64 || b == 0x65)
            i->segment = b;
        i->operand16 |= b == 0x66;
        i->address32 |= b == 0x67;
    }
    if ((i->bytes[at] & 0xf0) == 0x40)
        i->rex = i->bytes[at++];
    return at;
}

/* The opcode's map and itself; returns where what follows begins. */
static u32 take_opcode(struct instruction *i, u32 at)
{
    const u8 *p = i->bytes + at;
    if (p[0] == 0xc5 || p[0] == 0xc4 || p[0] == 0x62) { /* VEX, EVEX: not in 64-bit mode else */
        u32 head = p[0] == 0xc5 ? 2 : 3;
        if (p[0] == 0x62)
            head = 4;
        i->vex = true;
        i->map = p[0] == 0xc5 ? 1 : p[1] & 7;
        i->opcode = p[head];
        return at + head + 1;
    }
    if (p[0] != 0x0f) {
        i->opcode = p[0];
        return at + 1;
    }
    i->map = p[1] == 0x38 ? 2 : 1;
    if (p[1] == 0x3a)
        i->map = 3;
    i->opcode = i->map == 1 ? p[1] : p[2];
    return at + (i->map == 1 ? 2 : 3);
}

static bool has_modrm(const struct instruction *i)
{
    u8 op = i->opcode;
    if (i->map == 1)
        return !((op >= 0x05 && op <= 0x09) || op == 0x0b || op == 0x0e || op == 0x77 ||
                 (op >= 0x30 && op <= 0x37) || (op & 0xf0) == 0x80 || (op >= 0xa0 && op <= 0xa2) ||
                 (op >= 0xa8 && op <= 0xaa) || (op >= 0xc8 && op <= 0xcf)) ||
               (i->vex && op != 0x77);
    if (i->map != 0)
        return true;
    return (op < 0x40 && (op & 7) < 4) || op == 0x63 || op == 0x69 || op == 0x6b ||
           (op >= 0x80 && op <= 0x8f) || op == 0xc0 || op == 0xc1 || op == 0xc6 || op == 0xc7 ||
           (op >= 0xd0 && op <= 0xd3) || (op >= 0xd8 && op <= 0xdf) || op == 0xf6 || op == 0xf7 ||
           op >= 0xfe;
}

static u32 immediate_size_0f(const struct instruction *i)
{
    u8 op = i->opcode;
    if (!i->vex && (op & 0xf0) == 0x80)
        return 4;
    return (op >= 0x70 && op <= 0x73) || op == 0xa4 || op == 0xac || op == 0xba || op == 0xc2 ||
                   (op >= 0xc4 && op <= 0xc6) || op == 0x0f
               ? 1
               : 0;
}

static u32 immediate_size(const struct instruction *i)
{
    u8 op = i->opcode;
    u32 z = i->operand16 && !(i->rex & 8) ? 2 : 4;
    if (i->map == 1)
        return immediate_size_0f(i);
    if (i->map != 0)
        return i->map == 3;
    if ((op < 0x40 && (op & 7) == 4) || op == 0x6a || op == 0x6b || (op & 0xf0) == 0x70 ||
        op == 0x80 || op == 0x83 || op == 0xa8 || (op & 0xf8) == 0xb0 || op == 0xc0 || op == 0xc1 ||
        op == 0xc6 || op == 0xcd || (op >= 0xe0 && op <= 0xe7) || op == 0xeb)
        return 1;
    if ((op < 0x40 && (op & 7) == 5) || op == 0x68 || op == 0x69 || op == 0x81 || op == 0xa9 ||
        op == 0xc7)
        return z;
    if (op == 0xe8 || op == 0xe9)
        return 4;
    if (op >= 0xa0 && op <= 0xa3)
        return i->address32 ? 4 : 8;
    if ((op & 0xf8) == 0xb8)
        return i->rex & 8 ? 8 : z;
    if (op == 0xc2 || op == 0xc8)
        return op == 0xc2 ? 2 : 3;
    if ((op == 0xf6 || op == 0xf7) && (i->modrm >> 3 & 7) < 2)
        return op == 0xf6 ? 1 : z;
    return 0;
}

/* ModRM and what belongs to it; RIP-relative addresses lack the length until it is known. */
static u32 take_modrm(struct instruction *i, const struct uregs *regs, u32 at, bool *relative)
{
    const u8 *p = i->bytes + at;
    u32 mod = p[0] >> 6, rm = p[0] & 7, used = 1, disp = mod == 1;
    if (mod == 2)
        disp = 4;
    i->modrm = p[0];
    if (mod == 3)
        return at + 1;
    if (rm == 4) {
        u32 base = p[1] & 7, index = (p[1] >> 3 & 7) | (i->rex & 2 ? 8 : 0);
        used = 2;
        if (base == 5 && mod == 0)
            disp = 4;
        else
            i->memory = reg_of(regs, base | (i->rex & 1 ? 8 : 0));
        if (index != 4)
            i->memory += reg_of(regs, index) << (p[1] >> 6);
    } else if (rm == 5 && mod == 0) {
        disp = 4;
        *relative = true;
    } else {
        i->memory = reg_of(regs, rm | (i->rex & 1 ? 8 : 0));
    }
    i->memory += signed_at(p + used, disp);
    return at + used + disp;
}

static bool decode(struct instruction *i, const struct uregs *regs, u64 rip)
{
    bool relative = false;
    memset(i, 0, sizeof(*i));
    u32 there = LENGTH_MAX;
    while (there && copy_from_user(i->bytes, user_at(rip), there) < 0)
        there--;
    u32 at = take_opcode(i, take_prefixes(i));
    if (has_modrm(i))
        at = take_modrm(i, regs, at, &relative);
    u32 size = immediate_size(i);
    i->immediate = signed_at(i->bytes + MIN(at, LENGTH_MAX), size);
    i->length = at + size;
    if (relative)
        i->memory += rip + i->length;
    if (i->address32)
        i->memory &= UINT32_MAX;
    return i->length <= there;
}

/* The condition codes of Jcc, by the low four bits of the opcode. */
static bool condition(u8 code, u64 flags)
{
    bool cf = flags & 1, pf = flags & 4, zf = flags & 0x40, sf = flags & 0x80, of = flags & 0x800;
    const bool holds[] = {of, cf, zf, cf || zf, sf, pf, sf != of, zf || sf != of};
    return holds[code >> 1 & 7] != (code & 1);
}

/* LOOPNE, LOOPE, LOOP, JRCXZ */
static bool loops(const struct instruction *i, const struct uregs *regs)
{
    u64 mask = i->address32 ? UINT32_MAX : UINT64_MAX, count = regs->rcx & mask;
    bool zf = regs->rflags & 0x40, again = ((count - 1) & mask) != 0;
    switch (i->opcode) {
    case 0xe0:
        return again && !zf;
    case 0xe1:
        return again && zf;
    case 0xe2:
        return again;
    default:
        return count == 0;
    }
}

static u64 indirect(const struct instruction *i, const struct uregs *regs, u64 fs_base)
{
    u64 to = 0;
    if (i->modrm >> 6 == 3)
        return reg_of(regs, (i->modrm & 7) | (i->rex & 1 ? 8 : 0));
    (void)get_user(to, user_at(i->memory + (i->segment == 0x64 ? fs_base : 0)));
    return to;
}

static u64 next_of(const struct instruction *i, const struct thread *t, const struct uregs *regs,
                   u64 rip)
{
    u64 next = rip + i->length, to = next + i->immediate;
    u8 op = i->opcode;
    if (i->vex || i->map > 1)
        return next;
    if (i->map == 1)
        return (op & 0xf0) == 0x80 && condition(op, regs->rflags) ? to : next;
    if ((op & 0xf0) == 0x70)
        return condition(op, regs->rflags) ? to : next;
    if (op >= 0xe0 && op <= 0xe3)
        return loops(i, regs) ? to : next;
    if (op == 0xe8 || op == 0xe9 || op == 0xeb)
        return to;
    if (op == 0xc3 || op == 0xc2)
        return get_user(to, user_at(regs->rsp)) == 0 ? to : next;
    if (op == 0xff && ((i->modrm >> 3 & 7) == 2 || (i->modrm >> 3 & 7) == 4))
        return indirect(i, regs, t->fs_base);
    return next;
}

static bool put_byte(struct thread *t, u64 at, u8 byte)
{
    return mm_access(t->process->mm, at, &byte, 1, true, true) == 1;
}

static void arm(struct thread *t, const struct uregs *regs)
{
    struct instruction i;
    u64 rip = regs->rip;
    /* Code that is no memory of the program's, a rewritten call, is walked through. */
    for (int n = 0; n < WALK_MAX; n++) {
        if (!decode(&i, regs, rip))
            return; /* it faults, or nobody can tell */
        bool gs = i.segment == 0x65 && i.map == 0 && i.opcode == 0xff;
        if (gs || (i.map == 1 && i.opcode == 0x05 && !i.vex)) {
            t->step_call = true;
            return;
        }
        if (i.map == 0 && (i.opcode == INT3 || i.opcode == 0xf1) && !i.vex)
            return;
        rip = next_of(&i, t, regs, rip);
        u8 was = 0;
        if (get_user(was, user_at(rip)) < 0)
            return;
        if (put_byte(t, rip, INT3)) {
            t->step_byte = was;
            t->step_at = rip;
            __atomic_store_n(&t->step_armed, true, __ATOMIC_RELEASE);
            return;
        }
    }
}

bool step_wanted(const struct thread *t)
{
    if (likely(t->tracee == NULL))
        return false;
    mutex_lock(&g_process_lock);
    bool wanted = t->tracee && t->tracee->resume == PTRACE_SINGLESTEP;
    mutex_unlock(&g_process_lock);
    return wanted;
}

void step_disarm(struct thread *t)
{
    t->step_call = false;
    if (!t->step_armed)
        return;
    put_byte(t, t->step_at, t->step_byte);
    __atomic_store_n(&t->step_armed, false, __ATOMIC_RELEASE);
}

void step_prepare(struct thread *t, const struct uregs *regs)
{
    bool wanted = step_wanted(t);
    if (!wanted)
        step_disarm(t);
    else if (!t->step_armed && !t->step_call)
        arm(t, regs);
}

static bool of_another_locked(const struct thread *t, u64 rip)
{
    const struct process *p;
    const struct thread *o;
    list_for_each_entry (p, &g_processes, all)
        if (p->mm == t->process->mm)
            list_for_each_entry (o, &p->threads, siblings)
                if (o->step_armed && o->step_at == rip)
                    return true;
    return false;
}

bool step_hit(struct thread *t, u64 rip)
{
    u8 byte = INT3;
    if (t->step_armed && t->step_at == rip) {
        step_disarm(t);
        signal_fault(SIGTRAP, TRAP_TRACE, rip, 1, 0);
        return true;
    }
    mutex_lock(&g_process_lock);
    bool wait = of_another_locked(t, rip);
    mutex_unlock(&g_process_lock);
    /* It is gone in a moment, or is already: the instruction is tried again. */
    return wait || (get_user(byte, user_at(rip)) == 0 && byte != INT3);
}
