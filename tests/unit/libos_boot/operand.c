/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The LibOS's idea of an instruction's memory operands (libos/entry/operand.c) against capstone's,
 * for all code of the C library and of other ELF files.
 *   operand ELF...
 */
#include <capstone/capstone.h>
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define OPERANDS 2
#define SHOWN    20

uint32_t test_operands(const uint64_t regs[16], uint64_t rip, uint64_t fs_base, uint64_t end,
                       uint64_t addr[OPERANDS], uint8_t write[OPERANDS]);

static const uint64_t g_fs = 0x123456789000;
static uint64_t g_regs[16];
static unsigned long g_seen, g_memory, g_missed, g_wrong, g_writes_wrong;

static uint64_t value_of(x86_reg reg, uint64_t next, bool *known)
{
    static const x86_reg wide[] = {X86_REG_RAX, X86_REG_RCX, X86_REG_RDX, X86_REG_RBX,
                                   X86_REG_RSP, X86_REG_RBP, X86_REG_RSI, X86_REG_RDI,
                                   X86_REG_R8,  X86_REG_R9,  X86_REG_R10, X86_REG_R11,
                                   X86_REG_R12, X86_REG_R13, X86_REG_R14, X86_REG_R15};
    static const x86_reg narrow[] = {X86_REG_EAX,  X86_REG_ECX,  X86_REG_EDX,  X86_REG_EBX,
                                     X86_REG_ESP,  X86_REG_EBP,  X86_REG_ESI,  X86_REG_EDI,
                                     X86_REG_R8D,  X86_REG_R9D,  X86_REG_R10D, X86_REG_R11D,
                                     X86_REG_R12D, X86_REG_R13D, X86_REG_R14D, X86_REG_R15D};
    for (unsigned i = 0; i < 16; i++)
        if (reg == wide[i])
            return g_regs[i];
    for (unsigned i = 0; i < 16; i++)
        if (reg == narrow[i])
            return (uint32_t)g_regs[i];
    if (reg == X86_REG_RIP || reg == X86_REG_EIP)
        return next;
    *known = *known && (reg == X86_REG_INVALID || reg == X86_REG_RIZ || reg == X86_REG_EIZ);
    return 0;
}

/* Of a compressed displacement only the range is right: elements are not looked at one by one. */
static bool is_near(uint64_t found, uint64_t wanted, bool evex, int64_t displacement)
{
    const uint64_t distance = found > wanted ? found - wanted : wanted - found;
    const uint64_t reach = displacement < 0 ? (uint64_t)-displacement : (uint64_t)displacement;

    return distance == 0 || (evex && distance <= 64 * reach);
}

static void complain(const cs_insn *insn, const char *what, uint64_t found, uint64_t wanted)
{
    static unsigned shown;

    if (shown++ < SHOWN)
        printf("# %s: %s %s: %#lx, not %#lx\n", what, insn->mnemonic, insn->op_str,
               (unsigned long)found, (unsigned long)wanted);
}

static bool is_one_of(const cs_insn *insn, const char *const *names)
{
    for (; *names; names++)
        if (strncmp(insn->mnemonic, *names, strlen(*names)) == 0)
            return true;
    return false;
}

/* No access, vectors of addresses, and what is data in truth. */
static const char *const g_left_out[] = {"lea",      "nop",       "prefetch", "vgather", "vpgather",
                                         "vscatter", "vpscatter", "clflush",  "clwb",    "cldemote",
                                         "movabs",   "ins",       "outs",     NULL};
/* capstone 4 has these as stores, */
static const char *const g_no_stores[] = {"test", "frstor", NULL};
/* and many stores as loads: so what writes to its first operand is known by what does not. */
static const char *const g_loads[] = {"cmp",  "test", "bt ",     "mul",     "div",    "idiv",
                                      "fld",  "jmp",  "ldmxcsr", "fxrstor", "xrstor", "frstor",
                                      "fadd", "fsub", "fmul",    "fdiv",    NULL};

static void compare(const cs_insn *insn, const uint8_t *code, uint64_t end)
{
    const cs_x86 *x = &insn->detail->x86;
    uint64_t addr[OPERANDS] = {0};
    uint8_t write[OPERANDS] = {0};
    uint8_t first = 0;
    uint32_t count = test_operands(g_regs, (uint64_t)code, g_fs, end, addr, write);

    for (unsigned i = 0; i < insn->size && !first; i++) /* behind the legacy prefixes */
        first = strchr("\x66\x67\xf2\xf3\xf0\x2e\x36\x3e\x26\x64\x65", code[i]) ? 0 : code[i];
    g_seen++;
    for (unsigned i = 0; i < x->op_count; i++) {
        const cs_x86_op *op = &x->operands[i];
        bool known = true;
        if (op->type != X86_OP_MEM || op->mem.segment == X86_REG_GS || is_one_of(insn, g_left_out))
            continue;
        const uint64_t next = (uint64_t)code + insn->size;
        uint64_t wanted = value_of(op->mem.base, next, &known) +
                          value_of(op->mem.index, next, &known) * (uint64_t)op->mem.scale +
                          (uint64_t)op->mem.disp;
        if (x->addr_size == 4)
            wanted = (uint32_t)wanted;
        if (op->mem.segment == X86_REG_FS)
            wanted += g_fs;
        if (!known)
            continue;
        unsigned j = 0;
        while (j < count && !is_near(addr[j], wanted, first == 0x62, op->mem.disp))
            j++;
        g_memory++;
        if (count == 0) {
            g_missed++;
            complain(insn, "missed", 0, wanted);
        } else if (j == count) {
            g_wrong++;
            complain(insn, "wrong", addr[0], wanted);
        } else if (write[j] ? i != 0 || (is_one_of(insn, g_loads) &&
                                         strncmp(insn->mnemonic, "cmpxchg", 7) != 0)
                            : (op->access & CS_AC_WRITE) && !is_one_of(insn, g_no_stores)) {
            g_writes_wrong++;
            complain(insn, write[j] ? "no write" : "a write", addr[j], wanted);
        }
    }
}

static void compare_code(csh handle, const uint8_t *code, size_t size)
{
    const uint8_t *at = code;
    uint64_t address = (uint64_t)code, end = address + size;
    cs_insn *insn = cs_malloc(handle);

    while (size > 0) {
        const uint8_t *start = at;
        if (cs_disasm_iter(handle, &at, &size, &address, insn)) {
            compare(insn, start, end);
        } else { /* data, or newer than capstone */
            at = start + 1;
            address++;
            size--;
        }
    }
    cs_free(insn, 1);
}

static int compare_file(csh handle, const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return -1;
    const uint8_t *file = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (file == MAP_FAILED)
        return -1;
    const Elf64_Ehdr *h = (const Elf64_Ehdr *)file;
    const Elf64_Shdr *s = (const Elf64_Shdr *)(file + h->e_shoff);
    const char *names = (const char *)file + s[h->e_shstrndx].sh_offset;
    for (unsigned i = 0; i < h->e_shnum; i++)
        if (strcmp(names + s[i].sh_name, ".text") == 0)
            compare_code(handle, file + s[i].sh_offset, s[i].sh_size);
    munmap((void *)file, (size_t)st.st_size);
    return 0;
}

/* What is not in the C library, or what capstone does not say. */
static const struct {
    const char *what;
    uint8_t code[12];
    uint32_t count;
    uint64_t addr; /* of the first, in registers of the table below */
    uint8_t write;
} g_named[] = {
    {"push %rax", {0x50}, 1, 0x4000 - 8, 1},
    {"pop %rax", {0x58}, 1, 0x4000, 0},
    {"ret", {0xc3}, 1, 0x4000, 0},
    {"call", {0xe8, 1, 2, 3, 4}, 1, 0x4000 - 8, 1},
    {"rep movsb", {0xf3, 0xa4}, 2, 0x6000, 0},
    {"stosq", {0x48, 0xab}, 1, 0x7000, 1},
    {"leave", {0xc9}, 1, 0x5000, 0},
    {"lea", {0x48, 0x8d, 0x00}, 0, 0, 0},
    {"nopl", {0x0f, 0x1f, 0x00}, 0, 0, 0},
    {"cmpxchg16b (%rax)", {0x48, 0x0f, 0xc7, 0x08}, 1, 0, 1},
    {"mov %gs:8", {0x65, 0x48, 0x8b, 0x04, 0x25, 8, 0, 0, 0}, 0, 0, 0},
    {"mov %fs:8", {0x64, 0x48, 0x8b, 0x04, 0x25, 8, 0, 0, 0}, 1, 0x123456789008, 0},
    {"gather", {0xc4, 0xe2, 0x6d, 0x92, 0x0c, 0x98}, 0, 0, 0},
    {"VEX of map 0", {0xc4, 0xe0, 0x78, 0xa4, 0x00}, 1, 0, 0},
    {"EVEX of map 0", {0x62, 0xf0, 0x7c, 0x48, 0xa4, 0x00}, 1, 0, 0},
};

static unsigned named(void)
{
    unsigned bad = 0;

    for (unsigned i = 0; i < 16; i++)
        g_regs[i] = i * 0x1000;
    for (size_t i = 0; i < sizeof(g_named) / sizeof(g_named[0]); i++) {
        uint64_t addr[OPERANDS] = {0}, rip = (uint64_t)g_named[i].code;
        uint8_t write[OPERANDS] = {0};
        uint32_t count = test_operands(g_regs, rip, g_fs, rip + sizeof(g_named[i].code), addr,
                                       write);
        bool good = count == g_named[i].count &&
                    (count == 0 || (addr[0] == g_named[i].addr && write[0] == g_named[i].write));
        printf("%s - %s: %u, %#lx\n", good ? "ok" : "not ok", g_named[i].what, count,
               (unsigned long)addr[0]);
        bad += !good;
    }
    return bad;
}

int main(int argc, char **argv)
{
    csh handle;

    if (cs_open(CS_ARCH_X86, CS_MODE_64, &handle) != CS_ERR_OK)
        return 77;
    cs_option(handle, CS_OPT_DETAIL, CS_OPT_ON);
    unsigned bad = named();
    for (unsigned i = 0; i < 16; i++)
        g_regs[i] = 0x0001000000000123ull * (i + 3) ^ (uint64_t)i << 20;
    for (int i = 1; i < argc; i++)
        if (compare_file(handle, argv[i]) < 0)
            perror(argv[i]);
    cs_close(&handle);
    printf(
        "# %lu instructions, %lu memory operands: %lu missed, %lu wrong, %lu with another access\n",
        g_seen, g_memory, g_missed, g_wrong, g_writes_wrong);
    /* A thousandth is allowed: what compilers do not make, and where capstone errs. */
    bad += g_memory < 1000 || (g_missed + g_wrong + g_writes_wrong) * 1000 > g_memory;
    return bad != 0;
}
