/* SPDX-License-Identifier: Apache-2.0 */
/* From a name to a program in memory: scripts, permissions, credentials, ELF and its interpreter,
 * the stack. */
#include "exec.h"
#include "tracee.h"
#include <linux/securebits.h>
#include <linux/auxvec.h>
#include <linux/mman.h>

#define STACK_DEFAULT (8ull << 20)
#define STACK_MAX     (64ull << 20)
#define STACK_MIN     (256ull << 10)
#define STACK_SLACK   (64ull << 10) /* what a program wants beyond its arguments */
#define S_IFMT_       0170000u
#define S_IFREG_      0100000u
#define S_ISUID_      04000u
#define S_ISGID_      02000u
#define S_IXGRP_      00010u
#define AT_FDCWD_     (-100)
#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif
#define HWCAP2_FSGSBASE 2u

/* What exec_load() works on while it goes from script to interpreter. */
struct program {
    struct dentry *dentry; /* +1 */
    struct file *file;     /* +1 */
    char **argv;           /* owned when a script changed it */
    bool argv_owned;
    char head[EXEC_HEAD_SIZE];
    size_t head_size;
};

/* keep: nobody may write it as long as the file is held (the program itself, not its
 * interpreter). */
static int open_program(struct dentry *d, bool keep, struct file **out)
{
    struct inode *i = d->inode;
    if (!i)
        return -ENOENT;
    if ((i->mode & S_IFMT_) != S_IFREG_)
        return -EACCES;
    if (dentry_noexec(d)) {
        static bool told;
        if (dentry_untrusted(d) && !__atomic_exchange_n(&told, true, __ATOMIC_RELAXED))
            log_warn("a program of the host's in a pass-through mount is not run "
                     "(enclave.mounts TARGET=insecure-exec would let it)");
        return -EACCES;
    }
    int r = inode_permission(i, MAY_EXEC);
    /* Not even root runs what nobody may execute. */
    if (r == 0 && !(i->mode & 0111))
        r = -EACCES;
    if (r == 0)
        r = inode_deny_write(i);
    if (r < 0)
        return r;
    r = dentry_open(d, 0, out);
    if (r < 0 || !keep)
        inode_allow_write(i);
    else
        (*out)->denies_write = true;
    return r;
}

static int program_open(struct program *p)
{
    u64 pos = 0;
    int r = open_program(p->dentry, true, &p->file);
    if (r < 0)
        return r;
    ssize_t n = file_read_kernel(p->file, p->head, sizeof(p->head), &pos);
    p->head_size = n > 0 ? (size_t)n : 0;
    return n < 0 ? (int)n : 0;
}

static void program_close(struct program *p)
{
    if (p->file)
        file_put(p->file);
    if (p->dentry)
        dentry_put(p->dentry);
    if (p->argv_owned)
        strings_free(p->argv);
    memset(p, 0, sizeof(*p));
}

/* argv of a script's interpreter: interpreter, its argument, the script, argv[1] and so on. */
static char **script_argv(const struct script_line *line, const char *script, char **old)
{
    size_t n = 0, at = 0;
    while (old[n])
        n++;
    char **v = kzalloc((n + 4) * sizeof(*v));
    if (!v)
        return NULL;
    v[at++] = kstrdup(line->interpreter);
    if (line->argument[0])
        v[at++] = kstrdup(line->argument);
    v[at++] = kstrdup(script);
    for (size_t i = 1; i < n; i++)
        v[at++] = kstrdup(old[i]);
    for (size_t i = 0; i < at; i++)
        if (!v[i]) {
            for (; at > 0; at--)
                kfree(v[at - 1]);
            kfree(v);
            return NULL;
        }
    return v;
}

/* p is a script: make it its interpreter. script: its name, replaced by the interpreter's. */
static int follow_script(struct program *p, char *script, size_t script_size)
{
    struct script_line line;
    int r = script_parse(p->head, p->head_size, &line);
    if (r < 0)
        return r;
    char **argv = script_argv(&line, script, p->argv);
    if (!argv)
        return -ENOMEM;
    program_close(p);
    p->argv = argv;
    p->argv_owned = true;
    strlcpy(script, line.interpreter, script_size);
    r = path_lookup(AT_FDCWD_, line.interpreter, 0, &p->dentry);
    return r < 0 ? r : program_open(p);
}

static int find_binary(struct program *p, const char *path)
{
    size_t size = strlen(path) + EXEC_HEAD_SIZE + 1;
    char *script = kmalloc(size);
    if (!script)
        return -ENOMEM;
    strlcpy(script, path, size);
    int r = program_open(p);
    for (int depth = 0; r == 0 && p->head_size >= 2 && p->head[0] == '#' && p->head[1] == '!';
         depth++)
        r = depth >= EXEC_DEPTH_MAX ? -ELOOP : follow_script(p, script, size);
    kfree(script);
    return r;
}

static void credentials(const struct program *p, struct exec_image *image)
{
    struct cred *c = &image->cred;
    const struct inode *i = p->dentry->inode;
    *c = current_process()->cred;
    u32 old_euid = c->euid, old_egid = c->egid;
    if (!c->no_new_privs && !dentry_nosuid(p->dentry) && !tracee_unsafe(current())) {
        if (i->mode & S_ISUID_)
            c->euid = i->uid;
        if ((i->mode & (S_ISGID_ | S_IXGRP_)) == (S_ISGID_ | S_IXGRP_))
            c->egid = i->gid;
    }
    bool changed = c->euid != old_euid || c->egid != old_egid;
    c->suid = c->fsuid = c->euid;
    c->sgid = c->fsgid = c->egid;
    /* capabilities(7), "Transformation of capabilities during execve()"; files here have no
     * capabilities of their own. */
    if (changed)
        c->cap_ambient = 0;
    u64 permitted = c->cap_ambient, effective = c->cap_ambient;
    bool root = !(c->securebits & SECBIT_NOROOT); /* are users with number 0 special? */
    if (root && (c->uid == 0 || c->euid == 0))
        permitted = c->cap_inheritable | c->cap_bounding;
    if (c->no_new_privs) /* the kernel's cap_bprm_creds_from_file: no more than before */
        permitted &= c->cap_permitted;
    if (root && c->euid == 0)
        effective = permitted;
    c->cap_permitted = permitted;
    c->cap_effective = effective;
    image->secure = changed || c->euid != c->uid || c->egid != c->gid;
}

/* entry/ overrides it when it has a vDSO. */
__attribute__((weak)) u64 vdso_address(void)
{
    return 0;
}

static u64 hwcap(void)
{
    struct uregs r = {.rax = 1};
    exception_cpuid(&r);
    return r.rdx;
}

static u32 auxv_fill(u64 *v, const struct elf_image *e, const struct elf_image *interpreter,
                     const struct exec_image *image)
{
    const struct cred *c = &image->cred;
    u64 vdso = vdso_address();
    const u64 pairs[][2] = {
        {AT_SYSINFO_EHDR, vdso},
        {AT_HWCAP, hwcap()},
        {AT_PAGESZ, PAGE_SIZE},
        {AT_CLKTCK, 100},
        {AT_PHDR, e->phdr},
        {AT_PHENT, 56},
        {AT_PHNUM, e->phnum},
        {AT_BASE, interpreter->base},
        {AT_FLAGS, 0},
        {AT_ENTRY, e->entry},
        {AT_UID, c->uid},
        {AT_EUID, c->euid},
        {AT_GID, c->gid},
        {AT_EGID, c->egid},
        {AT_SECURE, image->secure},
        {AT_HWCAP2, HWCAP2_FSGSBASE},
        {AT_MINSIGSTKSZ, signal_frame_max()},
    };
    u32 n = 0;
    for (u32 i = 0; i < ARRAY_SIZE(pairs); i++) {
        if (pairs[i][0] == AT_SYSINFO_EHDR && !vdso)
            continue;
        v[n++] = pairs[i][0];
        v[n++] = pairs[i][1];
    }
    return n;
}

static u64 stack_size(u64 arguments)
{
    u64 limit = current_process()->rlimits[LIMIT_STACK].soft;
    u64 size = limit ? MIN(limit, STACK_MAX) : STACK_DEFAULT;
    return PAGE_UP(MAX(size, MAX(STACK_MIN, arguments + STACK_SLACK)));
}

/* Maps the stack and writes the arguments to its end. */
static int build_stack(struct exec_image *image, struct stack_spec *s, bool executable)
{
    struct mm *mm = image->mm;
    size_t used = PAGE_UP(stack_size_needed(s));
    u64 size = stack_size(used);
    u32 prot = PROT_READ | PROT_WRITE | (executable ? PROT_EXEC : 0);
    i64 at = mm_map(mm, 0, size + PAGE_SIZE, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                    NULL, 0);
    if (at < 0)
        return (int)at;
    int r = mm_protect(mm, (u64)at, PAGE_SIZE, PROT_NONE); /* guard */
    u64 top = (u64)at + PAGE_SIZE + size;
    u8 *buf = r < 0 ? NULL : page_alloc(used / PAGE_SIZE);
    if (!buf)
        return r < 0 ? r : -ENOMEM;
    memset(buf, 0, used);
    r = stack_build(s, top, buf, used);
    if (r == 0)
        r = mm_populate(mm, top - used, used);
    if (r == 0)
        memcpy((void *)(top - used), buf, used);
    page_free(buf, used / PAGE_SIZE);
    image->sp = s->sp;
    mm->stack_top = top;
    mm->arg_start = s->arg_start;
    mm->arg_end = s->arg_end;
    mm->env_start = s->env_start;
    mm->env_end = s->env_end;
    memcpy(mm->auxv, s->auxv_final, s->auxv_final_words * 8);
    mm->auxv_count = s->auxv_final_words;
    return r;
}

static int load_interpreter(struct mm *mm, const char *name, const char *program,
                            struct elf_image *out)
{
    struct dentry *d = NULL;
    struct file *f = NULL;
    int r = path_lookup(AT_FDCWD_, name, 0, &d);
    if (r == 0)
        r = open_program(d, false, &f);
    if (r == 0)
        r = elf_load(mm, f, name, true, out);
    if (r < 0)
        log_info("%s: its program interpreter %s cannot be loaded: error %d", program, name, -r);
    if (f)
        file_put(f);
    if (d)
        dentry_put(d);
    return r;
}

static int load_into(struct exec_image *image, struct program *p, const char *path, char **env)
{
    struct elf_image e, interpreter = {0};
    u64 auxv[56];
    int r = elf_load(image->mm, p->file, path, false, &e);
    if (r == 0 && e.interpreter[0])
        r = load_interpreter(image->mm, e.interpreter, path, &interpreter);
    if (r < 0)
        return r;
    image->entry = e.interpreter[0] ? interpreter.entry : e.entry;
    image->mm->brk_start = image->mm->brk = PAGE_UP(e.brk);
    image->mm->exe = file_get(p->file);
    struct stack_spec s = {.argv = p->argv, .env = env, .execfn = path, .auxv = auxv};
    s.auxv_words = auxv_fill(auxv, &e, &interpreter, image);
    random_bytes(s.random, sizeof(s.random));
    return build_stack(image, &s, e.exec_stack);
}

static void set_comm(char comm[16], const char *path)
{
    const char *slash = strrchr(path, '/');
    strlcpy(comm, slash ? slash + 1 : path, 16);
}

int exec_load(struct dentry *program, const char *path, char **argv, char **env,
              struct exec_image *image)
{
    struct mm *old = current()->mm;
    struct program p = {.dentry = dentry_get(program), .argv = argv};
    memset(image, 0, sizeof(*image));
    int r = find_binary(&p, path);
    if (r == 0) {
        credentials(&p, image);
        set_comm(image->comm, path);
        image->mm = mm_create();
        if (image->mm) {
            image->mm->plain = current()->tracee != NULL;
            /* Resident from the first page on: another program that wants the same addresses waits
             * until this one rests. */
            mm_leave(old);
            mm_enter(image->mm);
        }
        r = image->mm ? load_into(image, &p, path, env) : -ENOMEM;
    }
    program_close(&p);
    if (r < 0 && image->mm) {
        mm_leave(image->mm);
        mm_put(image->mm);
        image->mm = NULL;
        if (old)
            mm_enter(old);
    }
    return r;
}
