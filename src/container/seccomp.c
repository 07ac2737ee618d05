/* SPDX-License-Identifier: Apache-2.0 */
/* linux.seccomp of the configuration to a BPF program (libseccomp), and loading it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/cleanup.h"
#include "base/fd.h"
#include "base/json.h"
#include "container/feature_names.h"
#include "container/private.h"

static const struct {
    const char *name;
    uint32_t action;
} actions[] = {
    {"SCMP_ACT_KILL", SCMP_ACT_KILL},
    {"SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS},
    {"SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD},
    {"SCMP_ACT_TRAP", SCMP_ACT_TRAP},
    {"SCMP_ACT_ERRNO", SCMP_ACT_ERRNO(0)},
    {"SCMP_ACT_TRACE", SCMP_ACT_TRACE(0)},
    {"SCMP_ACT_ALLOW", SCMP_ACT_ALLOW},
    {"SCMP_ACT_LOG", SCMP_ACT_LOG},
    {"SCMP_ACT_NOTIFY", SCMP_ACT_NOTIFY},
};

static const struct {
    const char *name;
    enum scmp_compare op;
} operators[] = {
    {"SCMP_CMP_NE", SCMP_CMP_NE},
    {"SCMP_CMP_LT", SCMP_CMP_LT},
    {"SCMP_CMP_LE", SCMP_CMP_LE},
    {"SCMP_CMP_EQ", SCMP_CMP_EQ},
    {"SCMP_CMP_GE", SCMP_CMP_GE},
    {"SCMP_CMP_GT", SCMP_CMP_GT},
    {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ},
};

/* Linux 5.19; older headers lack it. */
static const unsigned FLAG_WAIT_KILLABLE_RECV = 1u << 5;

static const struct {
    const char *name;
    unsigned flag;
} flag_names[] = {
    {"SECCOMP_FILTER_FLAG_TSYNC", SECCOMP_FILTER_FLAG_TSYNC},
    {"SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG},
    {"SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW},
    {"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", FLAG_WAIT_KILLABLE_RECV},
};

static int parse_action(const json_t *object, const char *key, const char *errno_key, uint32_t *out,
                        bool *notify, struct error *err)
{
    const char *name = NULL;
    uint32_t number = EPERM;
    int ret = json_get_string(object, "linux.seccomp", key, &name, err);
    int with_errno = ret < 0 ? ret
                             : json_get_uint32(object, "linux.seccomp", errno_key, &number, err);
    if (ret < 0 || with_errno < 0)
        return -1;
    for (size_t i = 0; name && i < array_count(actions); i++) {
        if (strcmp(name, actions[i].name) != 0)
            continue;
        *out = actions[i].action;
        bool takes = *out == SCMP_ACT_ERRNO(0) || *out == SCMP_ACT_TRACE(0);
        if (takes)
            *out |= number & 0xffff;
        else if (with_errno > 0)
            return error_set(err, "linux.seccomp: errnoRet is not for action %s", name);
        if (notify && *out == SCMP_ACT_NOTIFY)
            *notify = true;
        return 0;
    }
    return error_set(err, "linux.seccomp.%s: unknown action %s", key, name ? name : "(none)");
}

static int add_architectures(scmp_filter_ctx ctx, const json_t *profile, struct error *err)
{
    json_t *list = NULL, *item;
    if (json_get_array(profile, "linux.seccomp", "architectures", &list, err) < 0)
        return -1;
    size_t i;
    json_array_foreach (list, i, item) {
        const char *name = json_string_value(item);
        if (!name || strncmp(name, "SCMP_ARCH_", 10) != 0)
            return error_set(err, "linux.seccomp.architectures[%zu]: unknown architecture", i);
        char lower[32];
        size_t length = strlen(name + 10);
        if (length >= sizeof(lower))
            return error_set(err, "linux.seccomp.architectures[%zu]: unknown architecture %s", i,
                             name);
        for (size_t j = 0; j <= length; j++)
            lower[j] = (char)(name[10 + j] >= 'A' && name[10 + j] <= 'Z' ? name[10 + j] + 32
                                                                         : name[10 + j]);
        uint32_t arch = seccomp_arch_resolve_name(lower);
        if (!arch)
            return error_set(err, "linux.seccomp.architectures[%zu]: unknown architecture %s", i,
                             name);
        int ret = seccomp_arch_add(ctx, arch);
        if (ret < 0 && ret != -EEXIST)
            return error_errno(err, -ret, "seccomp: add architecture %s", name);
    }
    return 0;
}

enum { ARGS_MAX = 6 };

static int parse_args(const json_t *rule, struct scmp_arg_cmp *out, unsigned *count,
                      struct error *err)
{
    json_t *list = NULL, *item;
    if (json_get_array(rule, "linux.seccomp.syscalls", "args", &list, err) < 0)
        return -1;
    size_t i;
    *count = 0;
    if (json_array_size(list) > ARGS_MAX)
        return error_set(err, "linux.seccomp.syscalls: more than %d args", ARGS_MAX);
    json_array_foreach (list, i, item) {
        uint32_t index = 0;
        uint64_t value = 0, value_two = 0;
        const char *op = NULL;
        if (!json_is_object(item))
            return error_set(err, "linux.seccomp.syscalls: args[%zu]: expected an object", i);
        if (json_get_uint32(item, "args", "index", &index, err) < 0 ||
            json_get_uint64(item, "args", "value", &value, err) < 0 ||
            json_get_uint64(item, "args", "valueTwo", &value_two, err) < 0 ||
            json_get_string(item, "args", "op", &op, err) < 0)
            return -1;
        struct scmp_arg_cmp *cmp = &out[(*count)++];
        size_t n = 0;
        while (op && n < array_count(operators) && strcmp(op, operators[n].name) != 0)
            n++;
        if (!op || n == array_count(operators))
            return error_set(err, "linux.seccomp.syscalls: unknown operator %s",
                             op ? op : "(none)");
        if (index >= ARGS_MAX)
            return error_set(err, "linux.seccomp.syscalls: argument index %u", index);
        cmp->arg = index;
        cmp->op = operators[n].op;
        /* For a masked comparison libseccomp wants (mask, datum), as the specification has (value,
         * valueTwo). */
        cmp->datum_a = value;
        cmp->datum_b = value_two;
    }
    return 0;
}

static bool repeats_an_index(const struct scmp_arg_cmp *args, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        for (unsigned j = 0; j < i; j++)
            if (args[i].arg == args[j].arg)
                return true;
    return false;
}

static int add_rule(scmp_filter_ctx ctx, uint32_t action, const char *name,
                    const struct scmp_arg_cmp *args, unsigned count, struct error *err)
{
    int number = seccomp_syscall_resolve_name(name);
    if (number == __NR_SCMP_ERROR)
        return 0; /* newer than this libseccomp: the default action holds, as in runc */
    int ret = 0;
    if (repeats_an_index(args, count)) {
        /* libseccomp ANDs different arguments; two conditions on one argument mean OR in OCI
         * profiles. */
        for (unsigned i = 0; i < count && ret == 0; i++)
            ret = seccomp_rule_add_array(ctx, action, number, 1, &args[i]);
    } else {
        ret = seccomp_rule_add_array(ctx, action, number, count, args);
    }
    if (ret < 0 && ret != -EEXIST && ret != -EDOM)
        return error_errno(err, -ret, "seccomp: add a rule for %s", name);
    return 0;
}

static int add_syscalls(scmp_filter_ctx ctx, const json_t *profile, uint32_t default_action,
                        bool *notify, struct error *err)
{
    json_t *list = NULL, *rule;
    if (json_get_array(profile, "linux.seccomp", "syscalls", &list, err) < 0)
        return -1;
    size_t i;
    json_array_foreach (list, i, rule) {
        uint32_t action = 0;
        struct scmp_arg_cmp args[ARGS_MAX];
        unsigned count;
        json_t *names = NULL, *name;
        if (!json_is_object(rule))
            return error_set(err, "linux.seccomp.syscalls[%zu]: expected an object", i);
        if (parse_action(rule, "action", "errnoRet", &action, notify, err) < 0 ||
            parse_args(rule, args, &count, err) < 0 ||
            json_get_array(rule, "linux.seccomp.syscalls", "names", &names, err) < 0)
            return -1;
        if (json_array_size(names) == 0)
            return error_set(err, "linux.seccomp.syscalls[%zu]: names is empty", i);
        if (action == default_action)
            continue; /* libseccomp refuses what changes nothing */
        size_t n;
        json_array_foreach (names, n, name) {
            if (!json_is_string(name))
                return error_set(err, "linux.seccomp.syscalls[%zu].names: expected strings", i);
            /* The notify agent would have to let itself continue. */
            if (action == SCMP_ACT_NOTIFY && strcmp(json_string_value(name), "write") == 0)
                return error_set(err, "SCMP_ACT_NOTIFY cannot be used for the write syscall");
            if (add_rule(ctx, action, json_string_value(name), args, count, err) < 0)
                return -1;
        }
    }
    return 0;
}

static int parse_flags(const json_t *profile, struct seccomp_program *out, struct error *err)
{
    json_t *list = NULL, *item;
    int have = json_get_array(profile, "linux.seccomp", "flags", &list, err);
    if (have < 0)
        return -1;
    /* Without a word about flags runc asks for no speculation penalty where the kernel allows
     * that. */
    out->flags = have ? 0 : SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    size_t i;
    json_array_foreach (list, i, item) {
        const char *name = json_string_value(item);
        size_t n = 0;
        while (name && n < array_count(flag_names) && strcmp(flag_names[n].name, name) != 0)
            n++;
        if (!name || n == array_count(flag_names))
            return error_set(err, "seccomp flag \"%s\" not known", name ? name : "");
        out->flags |= flag_names[n].flag;
    }
    return 0;
}

static int export_program(scmp_filter_ctx ctx, struct buffer *out, struct error *err)
{
    /* seccomp_export_bpf writes to a descriptor only. */
    cleanup_close int fd = memfd_create("seccomp", MFD_CLOEXEC);
    if (fd < 0)
        return error_errno(err, errno, "create a memory file");
    int ret = seccomp_export_bpf(ctx, fd);
    if (ret < 0)
        return error_errno(err, -ret, "compile the seccomp filter");
    if (lseek(fd, 0, SEEK_SET) < 0)
        return error_errno(err, errno, "seek");
    enum { PROGRAM_MAX = 1 << 20 };
    ret = read_all(fd, out, PROGRAM_MAX);
    if (ret < 0)
        return error_errno(err, -ret, "read the seccomp filter");
    return 0;
}

/*
 * A program that asks for a system call newer than the profile gets the profile's EPERM and fails,
 * where an ENOSYS would have made it fall back. So what has a higher number than everything that
 * the profile names is answered with ENOSYS, by instructions in front of the filter; only where the
 * default action is a refusal.
 */
struct newest {
    uint32_t scmp_arch, audit_arch;
    int number; /* -1: none named */
};

static void note_newest(const json_t *profile, struct newest *newest)
{
    size_t i, n;
    json_t *rule, *name;
    json_array_foreach (json_object_get(profile, "syscalls"), i, rule) {
        json_array_foreach (json_object_get(rule, "names"), n, name) {
            int number = seccomp_syscall_resolve_name_arch(newest->scmp_arch,
                                                           json_string_value(name));
            if (number >= 0 && number > newest->number)
                newest->number = number;
        }
    }
}

static void append_block(struct buffer *out, const struct sock_filter *code, size_t count)
{
    buffer_append(out, code, count * sizeof(*code));
}

enum { X32_BIT = 0x40000000 };

static void add_enosys_for(scmp_filter_ctx ctx, const json_t *profile, const struct newest *newest,
                           struct buffer *front)
{
    const struct sock_filter load_arch = BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                                  offsetof(struct seccomp_data, arch));
    const struct sock_filter load_number = BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                                    offsetof(struct seccomp_data, nr));
    const struct sock_filter refuse = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS);
    uint32_t limit = (uint32_t)newest->number;
    if (newest->scmp_arch != SCMP_ARCH_X86_64) {
        const struct sock_filter block[] = {
            load_arch,   BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, newest->audit_arch, 0, 3),
            load_number, BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, limit, 0, 1),
            refuse,
        };
        append_block(front, block, array_count(block));
        return;
    }
    /* x32 shares the number of the architecture; its calls have a bit of their own. */
    struct newest x32 = {SCMP_ARCH_X32, 0, -1};
    if (seccomp_arch_exist(ctx, SCMP_ARCH_X32) == 0)
        note_newest(profile, &x32);
    uint32_t x32_limit = x32.number < 0 ? UINT32_MAX : (uint32_t)x32.number | X32_BIT;
    const struct sock_filter block[] = {
        load_arch,
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, newest->audit_arch, 0, 5),
        load_number,
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, limit, 1, 2),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, x32_limit, 0, 1),
        refuse,
    };
    append_block(front, block, array_count(block));
}

static void add_enosys(scmp_filter_ctx ctx, const json_t *profile, struct buffer *code)
{
    struct newest list[] = {
        {SCMP_ARCH_X86_64, 0xc000003e, -1},
        {SCMP_ARCH_X86, 0x40000003, -1},
        {SCMP_ARCH_AARCH64, 0xc00000b7, -1},
        {SCMP_ARCH_ARM, 0x40000028, -1},
    };
    struct buffer front = BUFFER_INIT;
    for (size_t i = 0; i < array_count(list); i++) {
        if (seccomp_arch_exist(ctx, list[i].scmp_arch) != 0)
            continue;
        note_newest(profile, &list[i]);
        if (list[i].number >= 0)
            add_enosys_for(ctx, profile, &list[i], &front);
    }
    buffer_append(&front, code->data, code->size);
    buffer_release(code);
    *code = front;
}

static bool refuses(uint32_t action)
{
    return action != SCMP_ACT_ALLOW && action != SCMP_ACT_LOG && action != SCMP_ACT_ERRNO(ENOSYS);
}

int seccomp_filter_compile(json_t *profile, struct seccomp_program *out, struct error *err)
{
    uint32_t default_action = 0;
    bool notify_default = false;
    if (parse_action(profile, "defaultAction", "defaultErrnoRet", &default_action, &notify_default,
                     err) < 0)
        return -1;
    if (notify_default)
        return error_set(err, "SCMP_ACT_NOTIFY cannot be used as default action");
    scmp_filter_ctx ctx = seccomp_init(default_action);
    if (!ctx)
        return error_set(err, "seccomp: cannot start a filter");
    seccomp_attr_set(ctx, SCMP_FLTATR_CTL_NNP, 0);
    seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a binary tree: Docker's list is long */
    int ret = parse_flags(profile, out, err);
    if (ret == 0)
        ret = add_architectures(ctx, profile, err);
    if (ret == 0)
        ret = add_syscalls(ctx, profile, default_action, &out->notify, err);
    if (ret == 0)
        ret = export_program(ctx, &out->code, err);
    if (ret == 0 && refuses(default_action))
        add_enosys(ctx, profile, &out->code);
    seccomp_release(ctx);
    const char *listener = NULL;
    if (ret == 0 && json_get_string(profile, "linux.seccomp", "listenerPath", &listener, err) < 0)
        ret = -1;
    if (ret == 0 && out->notify && (!listener || !*listener))
        ret = error_set(err, "linux.seccomp: SCMP_ACT_NOTIFY needs a listenerPath");
    if (ret == 0 && (!listener || !*listener) &&
        json_string_length(json_object_get(profile, "listenerMetadata")) > 0)
        ret = error_set(err, "linux.seccomp: listenerMetadata without a listenerPath");
    out->present = ret == 0;
    return ret;
}

int seccomp_filter_load(const struct seccomp_program *program, int *listener, struct error *err)
{
    *listener = -1;
    if (!program->present)
        return 0;
    struct sock_fprog prog = {
        .len = (unsigned short)(program->code.size / sizeof(struct sock_filter)),
        .filter = (struct sock_filter *)(void *)program->code.data,
    };
    unsigned flags = program->flags;
    if (program->notify) {
        flags |= SECCOMP_FILTER_FLAG_NEW_LISTENER;
        flags &= ~SECCOMP_FILTER_FLAG_TSYNC;
    } else {
        /* The kernel refuses it without a listener. */
        flags &= ~FLAG_WAIT_KILLABLE_RECV;
    }
    long ret = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);
    if (ret < 0 && errno == EINVAL && (flags & SECCOMP_FILTER_FLAG_SPEC_ALLOW)) {
        flags &= ~SECCOMP_FILTER_FLAG_SPEC_ALLOW;
        ret = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);
    }
    if (ret < 0)
        return error_errno(err, errno, "load the seccomp filter");
    if (program->notify)
        *listener = (int)ret;
    return 0;
}

int seccomp_send_listener(json_t *profile, int listener, const char *state, pid_t pid,
                          struct error *err)
{
    const char *path = NULL, *metadata = NULL;
    if (json_get_string(profile, "linux.seccomp", "listenerPath", &path, err) < 0 ||
        json_get_string(profile, "linux.seccomp", "listenerMetadata", &metadata, err) < 0)
        return -1;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!path || strlen(path) >= sizeof(address.sun_path))
        return error_set(err, "linux.seccomp.listenerPath is missing or too long");
    memcpy(address.sun_path, path, strlen(path) + 1);
    cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return error_errno(err, errno, "failed to connect with seccomp agent at %s", path);

    /* ContainerProcessState of the specification; the descriptor's name is its place in the
     * list. */
    cleanup_json json_t *message = json_pack("{s:s,s:[s],s:i}", "ociVersion", OCI_VERSION, "fds",
                                             "seccompFd", "pid", (int)pid);
    if (metadata)
        json_object_set_new(message, "metadata", json_string(metadata));
    json_t *document = json_loads(state, 0, NULL);
    json_object_set_new(message, "state", document ? document : json_object());
    cleanup_free char *text = json_text(message, JSON_COMPACT);
    int ret = fd_send(fd, text, strlen(text), &listener, 1);
    if (ret < 0)
        return error_errno(err, -ret, "send the seccomp descriptor to %s", path);
    return 0;
}

/* ---- names for `rune features` ---- */

const char *const *features_seccomp_actions(void)
{
    static const char *names[array_count(actions) + 1];
    for (size_t i = 0; i < array_count(actions); i++)
        names[i] = actions[i].name;
    return names;
}

const char *const *features_seccomp_operators(void)
{
    static const char *names[array_count(operators) + 1];
    for (size_t i = 0; i < array_count(operators); i++)
        names[i] = operators[i].name;
    return names;
}

const char *const *features_seccomp_flags(void)
{
    static const char *names[array_count(flag_names) + 1];
    for (size_t i = 0; i < array_count(flag_names); i++)
        names[i] = flag_names[i].name;
    return names;
}

bool features_seccomp_flag_supported(const char *name)
{
    for (size_t i = 0; i < array_count(flag_names); i++) {
        if (strcmp(flag_names[i].name, name) != 0)
            continue;
        unsigned flags = flag_names[i].flag;
        if (flags == FLAG_WAIT_KILLABLE_RECV)
            flags |= SECCOMP_FILTER_FLAG_NEW_LISTENER;
        /* Known flags get as far as the program, which is not there. */
        return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, NULL) < 0 && errno == EFAULT;
    }
    return false;
}

const char *const *features_seccomp_architectures(void)
{
    static const char *const names[] = {
        "SCMP_ARCH_AARCH64",  "SCMP_ARCH_ARM",         "SCMP_ARCH_MIPS",
        "SCMP_ARCH_MIPS64",   "SCMP_ARCH_MIPS64N32",   "SCMP_ARCH_MIPSEL",
        "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32", "SCMP_ARCH_PPC",
        "SCMP_ARCH_PPC64",    "SCMP_ARCH_PPC64LE",     "SCMP_ARCH_RISCV64",
        "SCMP_ARCH_S390",     "SCMP_ARCH_S390X",       "SCMP_ARCH_X32",
        "SCMP_ARCH_X86",      "SCMP_ARCH_X86_64",      NULL,
    };
    return names;
}
