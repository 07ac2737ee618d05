/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds windows around `syscall` instructions that the LibOS may overwrite with a jump
 * (abi/manifest.h). Only functions with the bytes 0f 05 in them are disassembled. A window is taken
 * when nothing can enter its bytes 1..4: no label, no direct branch of this function, of its
 * neighbours (8-bit) or of anything executable in the file (32-bit, at any alignment), and, where
 * an indirect jump or an exception might, only when its first instruction covers all five bytes.
 */
#include "enclave/bundle/sites.h"

#include <capstone/capstone.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#define JUMP_SIZE   5u
#define WINDOW_MAX  32u
#define GUESS_MAX   65536u
#define NUMBER_MAX  1024u
#define SHORT_REACH 133u /* bytes around a window from where an 8-bit branch may reach it */

struct insn {
    uint32_t offset; /* in the function */
    uint8_t size;
    bool is_syscall;
};

struct scan {
    csh light, detailed;
    const uint8_t *file;
    struct elf_code code;
    /* of the function at hand */
    const struct function *function;
    struct function guess;
    const uint8_t *bytes;
    struct insn *insns;
    size_t insn_count, insn_room;
    uint64_t *targets; /* of direct branches, unsorted */
    size_t target_count, target_room;
    bool indirect_jump;
    uint64_t last_end; /* of the window before */
    struct sites_list *out;
    uint64_t *starts; /* of the windows in out: addresses */
    size_t start_room;
};

/* ---- branches, by their bytes ---- */

struct branch {
    bool direct, indirect_jump;
    uint64_t target;
};

static size_t prefix_size(const uint8_t *p, size_t size)
{
    size_t i = 0;
    while (i < size && (p[i] == 0x2e || p[i] == 0x3e || p[i] == 0x64 || p[i] == 0x65 ||
                        p[i] == 0x66 || p[i] == 0xf2 || p[i] == 0xf3 || (p[i] & 0xf0) == 0x40))
        i++;
    return i;
}

static bool short_branch_opcode(uint8_t op)
{
    return op == 0xeb || (op & 0xf0) == 0x70 || (op & 0xfc) == 0xe0;
}

static struct branch branch_of(const uint8_t *p, size_t size, uint64_t address)
{
    struct branch b = {0};
    size_t at = prefix_size(p, size);
    if (at >= size)
        return b;
    uint8_t op = p[at], next = at + 1 < size ? p[at + 1] : 0;
    if (short_branch_opcode(op) && at + 2 == size) {
        b.direct = true;
        b.target = address + size + (uint64_t)(int64_t)(int8_t)p[size - 1];
    } else if (size >= 5 && (op == 0xe8 || op == 0xe9 || (op == 0x0f && (next & 0xf0) == 0x80) ||
                             (op == 0xc7 && next == 0xf8))) {
        int32_t relative;
        memcpy(&relative, p + size - 4, 4);
        b.direct = true;
        b.target = address + size + (uint64_t)(int64_t)relative;
    } else if (op == 0xff && ((next >> 3) & 7) >= 4 && ((next >> 3) & 7) <= 5) {
        b.indirect_jump = true;
    }
    return b;
}

/* ---- one function ---- */

static const struct code_range *range_of(const struct elf_code *code, uint64_t address)
{
    for (size_t i = 0; i < code->range_count; i++)
        if (address >= code->ranges[i].address &&
            address - code->ranges[i].address < code->ranges[i].size)
            return &code->ranges[i];
    return NULL;
}

static const uint8_t *bytes_at(const struct scan *scan, uint64_t address)
{
    const struct code_range *range = range_of(&scan->code, address);
    return range ? scan->file + range->offset + (address - range->address) : NULL;
}

static void add_target(struct scan *scan, uint64_t target)
{
    if (scan->target_count == scan->target_room) {
        scan->target_room = scan->target_room ? scan->target_room * 2 : 64;
        scan->targets = xreallocarray(scan->targets, scan->target_room, sizeof(uint64_t));
    }
    scan->targets[scan->target_count++] = target;
}

static void add_insn(struct scan *scan, const struct insn *insn)
{
    if (scan->insn_count == scan->insn_room) {
        scan->insn_room = scan->insn_room ? scan->insn_room * 2 : 256;
        scan->insns = xreallocarray(scan->insns, scan->insn_room, sizeof(*scan->insns));
    }
    scan->insns[scan->insn_count++] = *insn;
}

/* Instructions and branches of a function; false when it does not decode to its very end (data in
 * it, or a wrong size). */
static bool decode(struct scan *scan, const struct function *function, cs_insn *room)
{
    scan->function = function;
    scan->bytes = bytes_at(scan, function->start);
    scan->insn_count = scan->target_count = 0;
    scan->indirect_jump = false;
    const uint8_t *p = scan->bytes;
    size_t left = function->end - function->start;
    uint64_t address = function->start;
    while (left) {
        const uint8_t *begin = p;
        uint64_t at = address;
        if (!cs_disasm_iter(scan->light, &p, &left, &address, room))
            return false;
        struct branch branch = branch_of(begin, (size_t)(p - begin), at);
        if (branch.direct)
            add_target(scan, branch.target);
        scan->indirect_jump |= branch.indirect_jump;
        add_insn(scan, &(struct insn){(uint32_t)(at - function->start), (uint8_t)(p - begin),
                                      room->id == X86_INS_SYSCALL && p - begin == 2});
    }
    return true;
}

/* Does the same thing at another address, and goes on behind itself. */
static bool movable(const struct scan *scan, const struct insn *insn)
{
    cs_insn *decoded = NULL;
    const uint8_t *p = scan->bytes + insn->offset;
    size_t count = cs_disasm(scan->detailed, p, insn->size, scan->function->start + insn->offset, 1,
                             &decoded);
    if (count != 1)
        return false;
    bool ok = decoded->id != X86_INS_SYSCALL && decoded->id != X86_INS_UD2 &&
              decoded->id != X86_INS_HLT && decoded->id != X86_INS_SYSENTER &&
              decoded->id != X86_INS_XBEGIN;
    const cs_detail *detail = decoded->detail;
    for (unsigned i = 0; ok && i < detail->groups_count; i++) {
        unsigned group = detail->groups[i];
        ok = group != X86_GRP_JUMP && group != X86_GRP_CALL && group != X86_GRP_RET &&
             group != X86_GRP_INT && group != X86_GRP_IRET && group != X86_GRP_PRIVILEGE &&
             group != X86_GRP_BRANCH_RELATIVE;
    }
    for (unsigned i = 0; ok && i < detail->x86.op_count; i++)
        ok = detail->x86.operands[i].type != X86_OP_MEM ||
             (detail->x86.operands[i].mem.base != X86_REG_RIP &&
              detail->x86.operands[i].mem.base != X86_REG_EIP);
    /* Capstone leaves some implicit operands out: mod 0, rm 5 is relative to RIP whatever it
     * says. */
    if (ok && detail->x86.modrm && (detail->x86.modrm & 0xc7) == 0x05)
        ok = false;
    cs_free(decoded, count);
    return ok;
}

static bool label_between(const struct elf_code *code, uint64_t first, uint64_t last)
{
    size_t low = 0, high = code->label_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (code->labels[middle] < first)
            low = middle + 1;
        else
            high = middle;
    }
    return low < code->label_count && code->labels[low] <= last;
}

/* mov $number, %eax */
static bool sets_number(const uint8_t *p, size_t size)
{
    uint32_t number;
    if (size != 5 || p[0] != 0xb8)
        return false;
    memcpy(&number, p + 1, sizeof(number));
    return number < NUMBER_MAX;
}

/* May the five bytes from insn `first` on become a jump, as far as this function and the labels
 * say? */
static bool may_overwrite(const struct scan *scan, size_t first)
{
    const struct insn *insn = &scan->insns[first];
    uint64_t start = scan->function->start + insn->offset;
    if (start < scan->last_end || label_between(&scan->code, start + 1, start + JUMP_SIZE - 1))
        return false;
    if (insn->size < JUMP_SIZE && (scan->indirect_jump || scan->function->many_entries))
        return false;
    if (scan->function->guessed && !sets_number(scan->bytes + insn->offset, insn->size))
        return false;
    for (size_t i = 0; i < scan->target_count; i++)
        if (scan->targets[i] > start && scan->targets[i] < start + JUMP_SIZE)
            return false;
    return true;
}

static void add_site(struct scan *scan, size_t first, unsigned before, unsigned after)
{
    struct sites_list *out = scan->out;
    uint64_t start = scan->function->start + scan->insns[first].offset;
    const struct code_range *range = range_of(&scan->code, start);
    uint64_t offset = range->offset + (start - range->address);
    if (offset > UINT32_MAX)
        return;
    if (out->count == out->room) {
        out->room = out->room ? out->room * 2 : 64;
        out->sites = xreallocarray(out->sites, out->room, sizeof(*out->sites));
        scan->starts = xreallocarray(scan->starts, out->room, sizeof(uint64_t));
    }
    scan->starts[out->count] = start;
    out->sites[out->count++] = (struct sites_entry){.offset = (uint32_t)offset,
                                                    .length = (uint8_t)(before + 2 + after),
                                                    .before_size = (uint8_t)before,
                                                    .after_size = (uint8_t)after};
    scan->last_end = start + before + 2 + after;
}

/*
 * The shortest window that ends with the syscall; else one that takes in what follows: then the
 * instruction after the syscall is overwritten, and a signal handler that returns there needs the
 * LibOS's help.
 */
static void choose_window(struct scan *scan, size_t at)
{
    unsigned before = 0;
    size_t first = at;
    while (first > 0 && movable(scan, &scan->insns[first - 1])) {
        unsigned size = scan->insns[first - 1].size;
        if (before + size + 2 > WINDOW_MAX)
            break;
        before += size;
        first--;
        if (before + 2 >= JUMP_SIZE && may_overwrite(scan, first)) {
            add_site(scan, first, before, 0);
            return;
        }
    }
    for (before = 0, first = at;;) {
        unsigned after = 0;
        for (size_t i = at + 1; i < scan->insn_count && before + 2 + after < JUMP_SIZE &&
                                movable(scan, &scan->insns[i]);
             i++)
            after += scan->insns[i].size;
        if (before + 2 + after >= JUMP_SIZE && before + 2 + after <= WINDOW_MAX &&
            may_overwrite(scan, first)) {
            add_site(scan, first, before, after);
            return;
        }
        if (first == 0 || !movable(scan, &scan->insns[first - 1]))
            return;
        before += scan->insns[--first].size;
        if (before + 2 >= JUMP_SIZE)
            return;
    }
}

/*
 * The return from a signal handler: unwinders and debuggers know a signal frame by these very bytes
 * (libgcc's fallback for code without .eh_frame, gdb), so they stay.
 */
static bool is_sigreturn(const struct scan *scan, size_t at)
{
    static const uint8_t mov_rax[] = {0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0},
                         mov_eax[] = {0xb8, 0x0f, 0, 0, 0};
    /* By bytes, not by instructions: glibc's call frame information has the function begin a byte
     * before its code. */
    uint32_t end = scan->insns[at].offset;
    const uint8_t *p = scan->bytes + end;
    return (end >= sizeof(mov_rax) && memcmp(p - sizeof(mov_rax), mov_rax, sizeof(mov_rax)) == 0) ||
           (end >= sizeof(mov_eax) && memcmp(p - sizeof(mov_eax), mov_eax, sizeof(mov_eax)) == 0);
}

static void scan_function(struct scan *scan, const struct function *function, cs_insn *room)
{
    if (!decode(scan, function, room))
        return;
    for (size_t i = 0; i < scan->insn_count; i++) {
        if (!scan->insns[i].is_syscall)
            continue;
        scan->out->syscalls++;
        if (!is_sigreturn(scan, i))
            choose_window(scan, i);
    }
}

/* How many functions start at or before the address; they are in order. */
static size_t functions_up_to(const struct elf_code *code, uint64_t address)
{
    size_t low = 0, high = code->function_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (code->functions[middle].start <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static const struct function *function_of(const struct elf_code *code, uint64_t address)
{
    size_t low = functions_up_to(code, address);
    return low && address < code->functions[low - 1].end ? &code->functions[low - 1] : NULL;
}

/*
 * The code around an address that no function covers, from the end of the one before to the start
 * of the next. Compilers put nothing but code and padding there; it must decode to its very end,
 * its windows must begin with a whole `mov $number, %eax`, and the number must be one of a system
 * call.
 */
static bool guess_function(const struct elf_code *code, const struct code_range *range,
                           uint64_t address, struct function *out)
{
    size_t low = functions_up_to(code, address);
    if (low == 0 || low == code->function_count)
        return false;
    *out = (struct function){code->functions[low - 1].end, code->functions[low].start, true, true};
    return out->start >= range->address && out->end <= range->address + range->size &&
           out->start <= address && out->end - out->start <= GUESS_MAX;
}

static void scan_range(struct scan *scan, const struct code_range *range, cs_insn *room)
{
    const uint8_t *begin = scan->file + range->offset, *end = begin + range->size;
    for (const uint8_t *p = begin; (p = memmem(p, (size_t)(end - p), "\x0f\x05", 2));) {
        uint64_t address = range->address + (uint64_t)(p - begin);
        const struct function *f = function_of(&scan->code, address);
        if (!f && guess_function(&scan->code, range, address, &scan->guess))
            f = &scan->guess;
        if (!f) {
            p++;
            continue;
        }
        scan_function(scan, f, room);
        p = begin + (f->end - range->address);
        if (p >= end)
            break;
    }
}

/* ---- branches from elsewhere ---- */

/* Is the instruction of function f that begins at `address` really one? */
static bool is_instruction(struct scan *scan, const struct function *f, uint64_t address,
                           cs_insn *room)
{
    if (!decode(scan, f, room))
        return true; /* not known: assume the worse */
    for (size_t i = 0; i < scan->insn_count; i++)
        if (scan->function->start + scan->insns[i].offset == address)
            return true;
    return false;
}

/* 8-bit branches into the window from outside its own function. */
static bool short_branch_into(struct scan *scan, uint64_t start, cs_insn *room)
{
    const struct code_range *range = range_of(&scan->code, start);
    const struct function *own = function_of(&scan->code, start);
    uint64_t low = start - range->address > SHORT_REACH ? start - SHORT_REACH : range->address;
    uint64_t high = start + JUMP_SIZE + SHORT_REACH;
    if (high > range->address + range->size - 1)
        high = range->address + range->size - 1;
    for (uint64_t at = low; at < high; at++) {
        const uint8_t *p = scan->file + range->offset + (at - range->address);
        uint64_t target = at + 2 + (uint64_t)(int64_t)(int8_t)p[1];
        if (!short_branch_opcode(p[0]) || target <= start || target >= start + JUMP_SIZE)
            continue;
        const struct function *f = function_of(&scan->code, at);
        if (f != own && (!f || is_instruction(scan, f, at, room)))
            return true;
    }
    return false;
}

struct bitmap {
    uint8_t *bits;
    uint64_t base, size;
};

static bool bit_test(const struct bitmap *map, uint64_t address)
{
    uint64_t i = address - map->base;
    return i < map->size && (map->bits[i / 8] >> (i % 8) & 1);
}

static void bit_put(struct bitmap *map, uint64_t address, bool value)
{
    uint64_t i = address - map->base;
    if (i >= map->size)
        return;
    if (value)
        map->bits[i / 8] |= (uint8_t)(1u << (i % 8));
    else
        map->bits[i / 8] &= (uint8_t) ~(1u << (i % 8));
}

/* Mark in `hit` which byte addresses of `wanted` any 32-bit branch may go to; opcodes are looked
 * for at every byte. */
static void find_near_branches(const struct scan *scan, const struct bitmap *wanted,
                               struct bitmap *hit)
{
    for (size_t i = 0; i < scan->code.range_count; i++) {
        const struct code_range *range = &scan->code.ranges[i];
        const uint8_t *p = scan->file + range->offset;
        for (uint64_t at = 0; at + 5 <= range->size; at++) {
            uint64_t operand = at + 1;
            if (p[at] == 0x0f && (p[at + 1] & 0xf0) == 0x80 && at + 6 <= range->size)
                operand = at + 2;
            else if ((p[at] & 0xfe) != 0xe8)
                continue;
            int32_t relative;
            memcpy(&relative, p + operand, 4);
            uint64_t target = range->address + operand + 4 + (uint64_t)(int64_t)relative;
            if (bit_test(wanted, target))
                bit_put(hit, target, true);
        }
    }
}

/* Drop the windows that something outside their functions may enter. */
static void drop_entered(struct scan *scan, cs_insn *room)
{
    struct sites_list *out = scan->out;
    if (!out->count)
        return;
    uint64_t low = UINT64_MAX, high = 0;
    for (size_t i = 0; i < out->count; i++) {
        low = scan->starts[i] < low ? scan->starts[i] : low;
        high = scan->starts[i] + JUMP_SIZE > high ? scan->starts[i] + JUMP_SIZE : high;
    }
    struct bitmap wanted = {xcalloc((high - low) / 8 + 1, 1), low, high - low};
    struct bitmap hit = {xcalloc((high - low) / 8 + 1, 1), low, high - low};
    for (size_t i = 0; i < out->count; i++)
        for (unsigned k = 1; k < JUMP_SIZE; k++)
            bit_put(&wanted, scan->starts[i] + k, true);
    find_near_branches(scan, &wanted, &hit);

    size_t kept = 0;
    for (size_t i = 0; i < out->count; i++) {
        bool entered = short_branch_into(scan, scan->starts[i], room);
        for (unsigned k = 1; k < JUMP_SIZE; k++)
            entered |= bit_test(&hit, scan->starts[i] + k);
        if (!entered)
            out->sites[kept++] = out->sites[i];
    }
    out->count = kept;
    free(wanted.bits);
    free(hit.bits);
}

static int compare_sites(const void *a, const void *b)
{
    const struct sites_entry *x = a, *y = b;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Two segments may show the same bytes of the file; keep windows that do not touch one another. */
static void sort_sites(struct sites_list *out)
{
    if (!out->count)
        return;
    qsort(out->sites, out->count, sizeof(*out->sites), compare_sites);
    size_t kept = 1;
    for (size_t i = 1; i < out->count; i++)
        if (out->sites[i].offset >= out->sites[kept - 1].offset + out->sites[kept - 1].length)
            out->sites[kept++] = out->sites[i];
    out->count = kept;
}

int sites_scan(const uint8_t *file, size_t size, struct sites_list *out)
{
    struct scan scan = {.file = file, .out = out};
    memset(out, 0, sizeof(*out));
    if (!elf_code_read(file, size, &scan.code)) {
        elf_code_release(&scan.code);
        return 0;
    }
    if (cs_open(CS_ARCH_X86, CS_MODE_64, &scan.light) != CS_ERR_OK) {
        elf_code_release(&scan.code);
        return -1;
    }
    int ret = -1;
    if (cs_open(CS_ARCH_X86, CS_MODE_64, &scan.detailed) == CS_ERR_OK) {
        cs_option(scan.detailed, CS_OPT_DETAIL, CS_OPT_ON);
        cs_insn *room = cs_malloc(scan.light);
        for (size_t i = 0; i < scan.code.range_count; i++) {
            scan.last_end = 0;
            scan_range(&scan, &scan.code.ranges[i], room);
        }
        drop_entered(&scan, room);
        sort_sites(out);
        cs_free(room, 1);
        cs_close(&scan.detailed);
        ret = 0;
    }
    cs_close(&scan.light);
    elf_code_release(&scan.code);
    free(scan.insns);
    free(scan.targets);
    free(scan.starts);
    return ret;
}

void sites_list_release(struct sites_list *list)
{
    free(list->sites);
    memset(list, 0, sizeof(*list));
}
