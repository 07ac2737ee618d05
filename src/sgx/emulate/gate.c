/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gates: a system call that is none of ours is done in the program's own context, with its stack,
 * its signal mask and all its registers, so that it may block and be interrupted. For each
 * `syscall` of the program there is one, where dispatch is off:
 *
 *     0   mov $number, %eax        entered here from a patched instruction only
 *     5   syscall
 *     7   jmp *16                  the address behind the program's instruction
 *    16   that address
 *    32   is the call plain?       entered here from a `syscall` that is a jump (site.c)
 *    49   jmp 5                    it is
 *    51   ud2                      it is not, and is seen to as if the `syscall` had trapped
 *
 * Where the program's code is `mov $number, %eax; syscall`, as nearly all of libc's is, and
 * nothing may ever want to see the call, the mov becomes a jump to the gate: then it costs no
 * signal. The `syscall` stays, for jumps to it. Elsewhere it becomes a jump itself once it has
 * trapped a few times. The question changes RCX and R11 only, as a system call does, and no flag.
 *
 * An ENCLU that is made a jump has a gate, too, which goes on in entry.S:
 *
 *     0   where
 *    16   the address behind ENCLU
 *    32   the program's: room for the registers, and which ENCLU it is; the enclave's: is it EEXIT,
 *         and to an address of the program? Else UD2, and it is as if the ENCLU had trapped
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "sgx/emulate/emulate.h"

#define GATE_SIZE    64
#define GATE_COUNT   (HOST_GATES_SIZE / GATE_SIZE)
#define GATE_EXEC    0 /* index of the gate for exec */
#define AT_CALL      5
#define AT_AFTER     7
#define AT_TARGET    16
#define AT_CODE      0 /* of the gate of an ENCLU: where it goes on */
#define AT_HITS      24
#define AT_KIND      25
#define AT_ASKS      32
#define AT_SEEN      51
#define SYSCALL_SIZE 2
#define ENCLU_SIZE   3
#define PROBES       64
#define HOT          8    /* traps before the instruction is made a jump */
#define TRIED        0xff /* it was tried */
#define PLAIN_COUNT  0x10000

enum kind { KIND_CALL, KIND_ENCLU, KIND_EEXIT };

static atomic_uint g_lock;
/* By the low 16 bits of the number: 1, the kernel may have it unseen. */
static uint8_t g_plain[PLAIN_COUNT];

static uint8_t *gate_at(uint64_t index)
{
    return (uint8_t *)g_host_handover->gates + index * GATE_SIZE;
}

static uint64_t target_of(const uint8_t *gate)
{
    uint64_t target;

    memcpy(&target, gate + AT_TARGET, sizeof(target));
    return target;
}

int host_gates_setup(void)
{
    static const uint8_t exec[] = {0x0f, 0x05, 0x0f, 0x0b}; /* syscall; ud2 */
    const uint64_t at = g_host_handover->gates;

    const long p = host_syscall(SYS_mmap, (long)at, (long)HOST_GATES_SIZE,
                                (long)(PROT_READ | PROT_WRITE | PROT_EXEC),
                                (long)(MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED), -1L, 0L);
    if (p < 0)
        return (int)p;
    memcpy(gate_at(GATE_EXEC) + AT_CALL, exec, sizeof(exec));
    for (uint64_t number = 0; number < HOST_CALLS; number++)
        g_plain[number] = host_call_is_plain(number);
    return 0;
}

uint64_t host_gate_exec(void)
{
    return (uint64_t)gate_at(GATE_EXEC) + AT_CALL;
}

static void fill(uint8_t *gate, uint64_t after, uint64_t number)
{
    static const uint8_t code[] = {0x0f, 0x05, 0xff, 0x25, 3, 0, 0, 0};
    static const uint8_t asks[] = {
        0x4c, 0x8d, 0x1d, 0,    0,    0, 0, /* lea g_plain(%rip), %r11 */
        0x0f, 0xb7, 0xc8,                   /* movzwl %ax, %ecx */
        0x41, 0x0f, 0xb6, 0x0c, 0x0b,       /* movzbl (%r11, %rcx), %ecx */
        0xe3, 0x02,                         /* jrcxz to the ud2 */
        0xeb, 0xd2,                         /* jmp to the syscall */
        0x0f, 0x0b,                         /* ud2 */
    };
    const uint32_t low = (uint32_t)number;
    const uint32_t plain = (uint32_t)((uint64_t)g_plain - ((uint64_t)gate + AT_ASKS + 7));

    gate[0] = 0xb8;
    memcpy(gate + 1, &low, sizeof(low));
    memcpy(gate + AT_CALL, code, sizeof(code));
    memcpy(gate + AT_ASKS, asks, sizeof(asks));
    memcpy(gate + AT_ASKS + 3, &plain, sizeof(plain));
    memcpy(gate + AT_TARGET, &after, sizeof(after));
}

static void fill_enclu(uint8_t *gate, uint64_t after)
{
    static const uint8_t code[] = {
        0x48, 0x8d, 0xa4, 0x24, 0,    0,    0,    0, /* lea -ENCLU_ROOM(%rsp), %rsp */
        0x4c, 0x89, 0x3c, 0x24,                      /* mov %r15, (%rsp) */
        0x4c, 0x8b, 0x3d, 0xdd, 0xff, 0xff, 0xff,    /* mov AT_TARGET, %r15 */
        0xff, 0x25, 0xc7, 0xff, 0xff, 0xff,          /* jmp *AT_CODE */
    };
    const int32_t room = -ENCLU_ROOM;
    const uint64_t next = (uint64_t)host_enclu_start;

    memcpy(gate + AT_CODE, &next, sizeof(next));
    memcpy(gate + AT_ASKS, code, sizeof(code));
    memcpy(gate + AT_ASKS + 4, &room, sizeof(room));
    gate[AT_KIND] = KIND_ENCLU;
    memcpy(gate + AT_TARGET, &after, sizeof(after));
}

static void fill_eexit(uint8_t *gate, uint64_t after)
{
    static const uint8_t code[] = {
        0x83, 0xf8, 0x04,                   /* cmp $EEXIT, %eax */
        0x75, 0x0f,                         /* jne to the ud2 */
        0x48, 0x89, 0xd9,                   /* mov %rbx, %rcx */
        0x48, 0xc1, 0xe9, 0x2f,             /* shr $47, %rcx */
        0x75, 0x06,                         /* jne to the ud2 */
        0xff, 0x25, 0xcc, 0xff, 0xff, 0xff, /* jmp *AT_CODE */
        0x0f, 0x0b,                         /* ud2 */
    };
    const uint64_t next = (uint64_t)host_eexit;

    memcpy(gate + AT_CODE, &next, sizeof(next));
    memcpy(gate + AT_ASKS, code, sizeof(code));
    gate[AT_KIND] = KIND_EEXIT;
    memcpy(gate + AT_TARGET, &after, sizeof(after));
}

/* The gate of a place, or a free one for it; NULL when there are too many. With g_lock. */
static uint8_t *place_of(uint64_t after)
{
    uint64_t at = (after * 0x9e3779b97f4a7c15ull) >> 32;

    for (unsigned i = 0; i < PROBES; i++, at++) {
        uint8_t *gate = gate_at(at % (GATE_COUNT - 1) + 1);
        const uint64_t target = target_of(gate);
        if (target == after || target == 0)
            return gate;
    }
    return NULL;
}

/* The gate of a system call, made at need. With g_lock. */
static uint8_t *find(uint64_t after, uint64_t number, bool *fresh)
{
    uint8_t *gate = place_of(after);

    *fresh = gate && target_of(gate) == 0;
    if (*fresh)
        fill(gate, after, number);
    return gate && gate[AT_KIND] == KIND_CALL ? gate : NULL;
}

/* Only private text that cannot be written is patched. */
static bool is_text(uint64_t address)
{
    struct host_mapping m;

    return host_mapping_find(address, &m) && strcmp(m.how, "r-xp") == 0;
}

/* One store of eight bytes within a cache line, which no other thread sees half of. */
static void patch(const struct host_thread *t, uint64_t after, uint64_t number, const uint8_t *gate)
{
    const uint64_t at = after - AT_AFTER;
    const int64_t distance = (int64_t)((uint64_t)gate - (at + 5));
    const int32_t relative = (int32_t)distance;
    uint8_t code[8], expected[AT_AFTER] = {0xb8, 0, 0, 0, 0, 0x0f, 0x05};
    const uint32_t low = (uint32_t)number;
    uint64_t word;

    memcpy(expected + 1, &low, sizeof(low));
    if (relative != distance || (at & 63) > 56 || number > UINT32_MAX ||
        host_read(t, code, at, sizeof(code)) < 0 || memcmp(code, expected, AT_AFTER) != 0 ||
        !is_text(at) || !is_text(at + AT_AFTER))
        return;
    code[0] = 0xe9;
    memcpy(code + 1, &relative, sizeof(relative));
    memcpy(&word, code, sizeof(word));
    const long page = (long)(at & ~(SGX_PAGE_SIZE - 1));
    if (host_syscall(SYS_mprotect, page, (long)SGX_PAGE_SIZE,
                     (long)(PROT_READ | PROT_WRITE | PROT_EXEC)) < 0)
        return;
    *(volatile uint64_t *)at = word;
    host_syscall(SYS_mprotect, page, (long)SGX_PAGE_SIZE, (long)(PROT_READ | PROT_EXEC));
}

/* The instruction behind which `after` is becomes a jump to its gate. */
static bool patch_text(uint64_t after, const uint8_t *gate, const uint8_t *expected, unsigned size)
{
    const uint64_t at = after - size;
    bool done = false;

    if (!is_text(at) || !is_text(after + HOST_SITE_FOLLOWING - 1))
        return false;
    const long memory = host_syscall(SYS_openat, (long)AT_FDCWD, "/proc/self/mem",
                                     (long)(O_RDWR | O_CLOEXEC));
    if (memory < 0)
        return false;
    done = host_site_patch(at, expected, size, (uint64_t)gate + AT_ASKS, (int)memory);
    host_syscall(SYS_close, memory);
    return done;
}

static void patch_call(uint64_t after, const uint8_t *gate)
{
    static const uint8_t call[SYSCALL_SIZE] = {0x0f, 0x05};

    (void)patch_text(after, gate, call, sizeof(call));
}

void host_gate_enclu_hit(uint64_t at, struct sgx_handle *e)
{
    static const uint8_t enclu[ENCLU_SIZE] = {0x0f, 0x01, 0xd7};
    const uint64_t after = at + sizeof(enclu);

    emu_word_lock(&g_lock);
    uint8_t *gate = place_of(after);
    if (gate && target_of(gate) == 0) {
        if (e)
            fill_eexit(gate, after);
        else
            fill_enclu(gate, after);
    }
    if (gate && gate[AT_KIND] == (e ? KIND_EEXIT : KIND_ENCLU) && gate[AT_HITS] != TRIED &&
        ++gate[AT_HITS] == HOT) {
        const bool done = e ? host_eexit_patch(e, at, (uint64_t)gate + AT_ASKS)
                            : patch_text(after, gate, enclu, sizeof(enclu));
        /* Another enclave may come to be in the same place. */
        gate[AT_HITS] = done ? 0 : TRIED;
    }
    emu_word_unlock(&g_lock);
}

uint64_t host_gate_enclu(uint64_t rip, uint64_t *offset)
{
    const uint64_t at = host_site_target(rip) - g_host_handover->gates;
    const uint8_t *gate = gate_at(at / GATE_SIZE);

    if (at >= HOST_GATES_SIZE || at < GATE_SIZE || gate[AT_KIND] != KIND_ENCLU)
        return 0;
    *offset = at % GATE_SIZE - AT_ASKS;
    return target_of(gate);
}

uint64_t host_gate(const struct host_thread *t, uint64_t after, uint64_t number, bool may_patch)
{
    bool fresh;

    emu_word_lock(&g_lock);
    uint8_t *gate = find(after, number, &fresh);
    if (gate && fresh && may_patch)
        patch(t, after, number, gate);
    if (gate && may_patch && gate[AT_HITS] != TRIED && ++gate[AT_HITS] == HOT) {
        gate[AT_HITS] = TRIED;
        patch_call(after, gate);
    }
    emu_word_unlock(&g_lock);
    return gate ? (uint64_t)gate + AT_CALL : 0;
}

void host_gates_lock(void)
{
    emu_word_lock(&g_lock);
}

void host_gates_unlock(void)
{
    emu_word_unlock(&g_lock);
}

uint64_t host_gate_origin(uint64_t rip)
{
    const uint64_t offset = host_site_target(rip) - g_host_handover->gates;

    if (offset >= HOST_GATES_SIZE || offset < GATE_SIZE)
        return rip;
    const uint8_t *gate = gate_at(offset / GATE_SIZE);
    const uint64_t after = target_of(gate);
    if (gate[AT_KIND] != KIND_CALL)
        return after - ENCLU_SIZE;
    switch (offset % GATE_SIZE) {
    case 0:
        return after - AT_AFTER;
    case AT_AFTER:
        return after;
    default:
        return after - SYSCALL_SIZE;
    }
}

uint64_t host_gate_seen(uint64_t rip)
{
    const uint64_t offset = rip - g_host_handover->gates;

    return offset < HOST_GATES_SIZE && offset % GATE_SIZE == AT_SEEN &&
                   gate_at(offset / GATE_SIZE)[AT_KIND] == KIND_CALL
               ? target_of(gate_at(offset / GATE_SIZE))
               : 0;
}
