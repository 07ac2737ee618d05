/* SPDX-License-Identifier: Apache-2.0 */
/* Device rules on the unified hierarchy: a BPF program made from the rules, attached to the cgroup.
 * Runs in rune. */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "container/private.h"

/* What every container may use, whatever the rules say (runtime-spec, default devices), and ptys.
 */
const struct oci_device_rule cgroup_default_devices[] = {
    {true, 'c', -1, -1, "m"}, {true, 'b', -1, -1, "m"}, {true, 'c', 1, 3, "rwm"},
    {true, 'c', 1, 8, "rwm"}, {true, 'c', 1, 7, "rwm"}, {true, 'c', 5, 0, "rwm"},
    {true, 'c', 1, 5, "rwm"}, {true, 'c', 1, 9, "rwm"}, {true, 'c', 136, -1, "rwm"},
    {true, 'c', 5, 2, "rwm"},
};
const size_t cgroup_default_device_count = array_count(cgroup_default_devices);

enum { INSTRUCTIONS_MAX = 4096 };

struct program {
    struct bpf_insn *code;
    size_t count;
};

static void emit(struct program *p, uint8_t code, uint8_t dst, uint8_t src, int16_t off,
                 int32_t imm)
{
    if (p->count < INSTRUCTIONS_MAX)
        p->code[p->count++] = (struct bpf_insn){code, dst, src, off, imm};
}

/* r1: context; afterwards r2: type, r3: access, r4: major, r5: minor (struct
 * bpf_cgroup_dev_ctx). */
static void emit_prologue(struct program *p)
{
    emit(p, BPF_LDX | BPF_MEM | BPF_W, BPF_REG_2, BPF_REG_1, 0, 0);
    emit(p, BPF_ALU | BPF_AND | BPF_K, BPF_REG_2, 0, 0, 0xffff);
    emit(p, BPF_LDX | BPF_MEM | BPF_W, BPF_REG_3, BPF_REG_1, 0, 0);
    emit(p, BPF_ALU | BPF_RSH | BPF_K, BPF_REG_3, 0, 0, 16);
    emit(p, BPF_LDX | BPF_MEM | BPF_W, BPF_REG_4, BPF_REG_1, 4, 0);
    emit(p, BPF_LDX | BPF_MEM | BPF_W, BPF_REG_5, BPF_REG_1, 8, 0);
}

static int32_t access_bits(const struct oci_device_rule *rule)
{
    int32_t access = 0;
    for (const char *c = rule->access; *c; c++) {
        if (*c == 'r')
            access |= BPF_DEVCG_ACC_READ;
        else if (*c == 'w')
            access |= BPF_DEVCG_ACC_WRITE;
        else
            access |= BPF_DEVCG_ACC_MKNOD;
    }
    return access;
}

/* A rule about every device and every access: it decides, what comes behind it is never asked. */
static bool decides_all(const struct oci_device_rule *rule)
{
    return rule->type == 'a' &&
           access_bits(rule) == (BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE | BPF_DEVCG_ACC_MKNOD);
}

static void emit_answer(struct program *p, bool allow)
{
    emit(p, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, allow);
    emit(p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

/*
 * r3 is what of the access is still undecided. A rule for this device decides its part: a deny rule
 * that hits any of it ends with no, an allow rule that leaves nothing ends with yes.
 */
static void emit_rule(struct program *p, const struct oci_device_rule *rule)
{
    int32_t access = access_bits(rule);
    size_t jumps[4], jump_count = 0;
    if (rule->type != 'a') {
        jumps[jump_count++] = p->count;
        emit(p, BPF_JMP | BPF_JNE | BPF_K, BPF_REG_2, 0, 0,
             rule->type == 'c' ? BPF_DEVCG_DEV_CHAR : BPF_DEVCG_DEV_BLOCK);
    }
    if (rule->type != 'a' && rule->major >= 0) {
        jumps[jump_count++] = p->count;
        emit(p, BPF_JMP | BPF_JNE | BPF_K, BPF_REG_4, 0, 0, (int32_t)rule->major);
    }
    if (rule->type != 'a' && rule->minor >= 0) {
        jumps[jump_count++] = p->count;
        emit(p, BPF_JMP | BPF_JNE | BPF_K, BPF_REG_5, 0, 0, (int32_t)rule->minor);
    }
    if (rule->allow) {
        emit(p, BPF_ALU | BPF_AND | BPF_K, BPF_REG_3, 0, 0, ~access);
        jumps[jump_count++] = p->count;
        emit(p, BPF_JMP | BPF_JNE | BPF_K, BPF_REG_3, 0, 0, 0);
    } else {
        emit(p, BPF_ALU | BPF_MOV | BPF_X, BPF_REG_1, BPF_REG_3, 0, 0);
        emit(p, BPF_ALU | BPF_AND | BPF_K, BPF_REG_1, 0, 0, access);
        jumps[jump_count++] = p->count;
        emit(p, BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_1, 0, 0, 0);
    }
    emit_answer(p, rule->allow);
    for (size_t i = 0; i < jump_count && jumps[i] < p->count; i++)
        p->code[jumps[i]].off = (int16_t)(p->count - jumps[i] - 1);
}

/*
 * On v1 the last rule that fits wins: so ask them from the last to the first, the defaults before
 * all. The verifier refuses code that cannot be reached: nothing follows a rule that decides all.
 */
static void emit_rules(struct program *p, const struct oci_resources *r)
{
    emit_prologue(p);
    const struct oci_device_rule *last = &r->devices[r->device_count - 1];
    if (!(last->allow && last->type == 'a'))
        for (size_t i = 0; i < cgroup_default_device_count; i++)
            emit_rule(p, &cgroup_default_devices[i]);
    for (size_t i = r->device_count; i-- > 0;) {
        if (decides_all(&r->devices[i])) {
            emit_answer(p, r->devices[i].allow);
            return;
        }
        emit_rule(p, &r->devices[i]);
    }
    emit_answer(p, false);
}

static long bpf(int command, union bpf_attr *attr)
{
    return syscall(SYS_bpf, command, attr, sizeof(*attr));
}

/* Programs on the cgroup now, to be taken off once ours is there. */
static size_t attached_programs(int dir, uint32_t *ids, size_t room)
{
    union bpf_attr attr = {.query = {.target_fd = (uint32_t)dir,
                                     .attach_type = BPF_CGROUP_DEVICE,
                                     .prog_ids = (uint64_t)(uintptr_t)ids,
                                     .prog_cnt = (uint32_t)room}};
    if (bpf(BPF_PROG_QUERY, &attr) < 0)
        return 0;
    return attr.query.prog_cnt;
}

static void detach(int dir, uint32_t id)
{
    union bpf_attr get = {.prog_id = id};
    cleanup_close int fd = (int)bpf(BPF_PROG_GET_FD_BY_ID, &get);
    if (fd < 0)
        return;
    union bpf_attr attr = {.target_fd = (uint32_t)dir,
                           .attach_bpf_fd = (uint32_t)fd,
                           .attach_type = BPF_CGROUP_DEVICE};
    (void)bpf(BPF_PROG_DETACH, &attr);
}

static int load(const struct program *p, struct error *err)
{
    static const char license[] = "Apache-2.0";
    char *log = xcalloc(1, 65536);
    union bpf_attr attr = {
        .prog_type = BPF_PROG_TYPE_CGROUP_DEVICE,
        .insn_cnt = (uint32_t)p->count,
        .insns = (uint64_t)(uintptr_t)p->code,
        .license = (uint64_t)(uintptr_t)license,
    };
    int fd = (int)bpf(BPF_PROG_LOAD, &attr);
    if (fd < 0) {
        int code = errno;
        attr.log_buf = (uint64_t)(uintptr_t)log;
        attr.log_size = 65536;
        attr.log_level = 1;
        (void)bpf(BPF_PROG_LOAD, &attr);
        log_debug("BPF verifier: %s", log);
        error_errno(err, code, "load the device filter");
    }
    free(log);
    return fd;
}

int cgroup_v2_devices(int dir, const struct oci_resources *r, struct error *err)
{
    if (r->device_count == 0)
        return 0;
    struct program program = {xcalloc(INSTRUCTIONS_MAX, sizeof(struct bpf_insn)), 0};
    emit_rules(&program, r);
    int ret = 0;
    cleanup_close int fd = -1;
    if (program.count >= INSTRUCTIONS_MAX) {
        ret = error_set(err, "too many device rules");
    } else {
        fd = load(&program, err);
        ret = fd < 0 ? fd : 0;
    }
    free(program.code);
    if (ret < 0)
        return ret;
    uint32_t old[64] = {0};
    size_t count = attached_programs(dir, old, array_count(old));
    union bpf_attr attr = {.target_fd = (uint32_t)dir,
                           .attach_bpf_fd = (uint32_t)fd,
                           .attach_type = BPF_CGROUP_DEVICE,
                           .attach_flags = BPF_F_ALLOW_MULTI};
    if (bpf(BPF_PROG_ATTACH, &attr) < 0)
        return error_errno(err, errno, "attach the device filter");
    for (size_t i = 0; i < count && i < array_count(old); i++)
        detach(dir, old[i]);
    return 0;
}
