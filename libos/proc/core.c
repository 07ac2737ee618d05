/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Core files: a process that a signal ends leaves its memory and registers in "core" of its working
 * directory, or what core_name.c says, in ELF's form, when RLIMIT_CORE allows it. The other threads
 * stand still meanwhile, each in core_wait(); the process counts as ending. The file lies in the
 * enclave's own memory, or is not written: nothing in clear goes to the host's files.
 */
#include "tracee.h"
#include "fs.h"
#include <linux/fcntl.h>
#include <linux/auxvec.h>
#include <linux/elf.h>
#include <linux/elf-em.h>
#include <linux/limits.h>
#include <linux/mman.h>
#include <linux/stat.h>

#define FSIZE        1 /* RLIMIT_FSIZE */
#define NAMES_MAX    (4u << 20)
#define NOTE_ALIGN   4u
#define ARGUMENT_MAX 80
#define WCOREFLAG    0x80u

struct core {
    struct thread *thread; /* writes it */
    u32 waiting;           /* other threads that stand still */
    bool killed;           /* SIGKILL: no more of it */
};

/* As struct elf_prstatus and struct elf_prpsinfo. */
struct status_note {
    i32 signo, code, error;
    u16 cursig;
    u64 pending, held;
    i32 pid, ppid, pgrp, sid;
    u64 times[8]; /* user, system, and of children: s and us */
    struct user_regs regs;
    i32 fpvalid;
};
_Static_assert(sizeof(struct status_note) == 336, "struct elf_prstatus");
struct info_note {
    u8 state, letter, zombie, nice;
    u64 flag;
    u32 uid, gid;
    i32 pid, ppid, pgrp, sid;
    char name[16], arguments[ARGUMENT_MAX];
};
_Static_assert(sizeof(struct info_note) == 136, "struct elf_prpsinfo");

struct segment {
    u64 start, end, dumped; /* bytes in the file */
    u32 prot;
    bool maybe_header; /* of a file that nobody changed: its ELF header is worth a page */
};

struct bytes {
    char *data;
    u64 used, room;
};

struct dump {
    struct process *p;
    const struct core *core;
    const struct siginfo_k *info;
    struct file *file;
    u64 at, limit, written;
    i32 ppid;                   /* its parent may end meanwhile */
    struct bytes segments;      /* struct segment */
    struct bytes ranges, names; /* NT_FILE: start, end and offset of each file; their paths */
    char *room;                 /* PATH_MAX, and a page */
    int error;
};

/* ---- standing still ---- */

void core_wait(void)
{
    struct thread *t = current();
    struct process *p = t->process;
    struct wait_entry w;
    if (likely(!__atomic_load_n(&p->core, __ATOMIC_ACQUIRE)))
        return;
    step_disarm(t);
    vector_user_area();
    mutex_lock(&g_process_lock);
    if (p->core && p->core->thread != t) {
        p->core->waiting++;
        thread_wake(p->core->thread);
        waitq_add(&p->stop_wait, &w);
        while (p->core) {
            mutex_unlock(&g_process_lock);
            thread_wait(NO_DEADLINE, false, NULL, 0);
            mutex_lock(&g_process_lock);
        }
        waitq_remove(&w);
    }
    mutex_unlock(&g_process_lock);
}

void core_thread_gone_locked(struct process *p)
{
    if (p->core)
        thread_wake(p->core->thread);
}

void core_killed_locked(struct process *p)
{
    if (p->core)
        p->core->killed = true;
}

static bool stop_others(struct process *p, struct core *core, u32 status)
{
    mutex_lock(&g_process_lock);
    bool mine = !p->group_exit && !p->exec_thread;
    if (mine) {
        __atomic_store_n(&p->core, core, __ATOMIC_RELEASE);
        process_begin_exit_locked(p, status);
        while (core->waiting + 1 < p->thread_count) {
            mutex_unlock(&g_process_lock);
            thread_wait(NO_DEADLINE, false, NULL, 0);
            mutex_lock(&g_process_lock);
        }
    }
    mutex_unlock(&g_process_lock);
    return mine;
}

/* ---- the file ---- */

/* As Linux: an older one goes, whatever it is, and nothing is written through it. */
static struct file *open_core(struct process *p, int sig, char *name)
{
    const u32 flags = O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW;
    struct file *f;
    core_name(name, sig);
    if (!core_place_is_ours(name)) {
        log_info("pid %d: no core file: its directory is the host's, or not there", p->pid);
        return NULL;
    }
    (void)path_unlink(AT_FDCWD, name, false);
    if (path_open(AT_FDCWD, name, flags, S_IRUSR | S_IWUSR, &f) < 0)
        return NULL;
    if (f->inode && !f->inode->super->untrusted)
        return f;
    file_put(f);
    return NULL;
}

static void emit(struct dump *d, const void *data, u64 size)
{
    if (d->error == 0 && (d->core->killed || d->written + size > d->limit))
        d->error = -EFBIG;
    if (d->error < 0)
        return;
    ssize_t n = file_write_kernel(d->file, data, size, &d->at);
    d->written += size;
    if (n != (ssize_t)size)
        d->error = n < 0 ? (int)n : -ENOSPC;
}

static u64 padding(u64 size)
{
    return -size % NOTE_ALIGN;
}

static u64 note_size(const char *name, u64 size)
{
    u64 n = strlen(name) + 1;
    return sizeof(Elf64_Nhdr) + n + padding(n) + size + padding(size);
}

static void emit_note(struct dump *d, const char *name, u32 type, const void *data, u64 size)
{
    static const char zeros[NOTE_ALIGN];
    u64 n = strlen(name) + 1;
    Elf64_Nhdr head = {.n_namesz = (u32)n, .n_descsz = (u32)size, .n_type = type};
    emit(d, &head, sizeof(head));
    emit(d, name, n);
    emit(d, zeros, padding(n));
    emit(d, data, size);
    emit(d, zeros, padding(size));
}

/* ---- what is in it ---- */

static int append(struct bytes *b, const void *data, u64 size)
{
    if (b->used + size > b->room) {
        u64 room = MAX(2 * b->room, PAGE_UP(size));
        char *more = krealloc(b->data, room);
        if (!more)
            return -ENOMEM;
        b->data = more;
        b->room = room;
    }
    memcpy(b->data + b->used, data, size);
    b->used += size;
    return 0;
}

/* As Linux's default filter: private memory and what has no name, without pages of files that are
 * as they were. */
static bool worth_dumping(const struct vma *v)
{
    if (v->flags & VMA_DONTDUMP)
        return false;
    if (!v->file)
        return mm_resident(v) != 0;
    if (v->flags & MAP_SHARED)
        return v->file->inode && v->file->inode->nlink == 0;
    return v->was_writable;
}

static int note_file(struct dump *d, const struct vma *v)
{
    char *path = dentry_path(v->file->dentry, d->room, PATH_MAX);
    u64 range[] = {v->node.key, v->end, v->file_offset >> PAGE_SHIFT};
    if (is_err(path) || d->names.used > NAMES_MAX)
        return 0;
    int r = append(&d->ranges, range, sizeof(range));
    return r < 0 ? r : append(&d->names, path, strlen(path) + 1);
}

static int gather_vma(const struct vma *v, void *context)
{
    struct dump *d = context;
    struct segment s = {.start = v->node.key, .end = v->end, .prot = v->prot};
    if (worth_dumping(v))
        s.dumped = s.end - s.start;
    else
        s.maybe_header = v->file && !(v->flags & VMA_DONTDUMP) && v->file_offset == 0 &&
                         (v->prot & PROT_READ);
    int r = v->file && v->file->dentry ? note_file(d, v) : 0;
    return r < 0 ? r : append(&d->segments, &s, sizeof(s));
}

static struct segment *segments(struct dump *d, u32 *count)
{
    *count = (u32)(d->segments.used / sizeof(struct segment));
    return (struct segment *)d->segments.data;
}

static void keep_elf_headers(struct dump *d)
{
    u32 count;
    struct segment *s = segments(d, &count);
    for (u32 i = 0; i < count; i++) {
        char magic[SELFMAG];
        if (s[i].maybe_header && mm_peek(d->p->mm, s[i].start, magic, SELFMAG) == SELFMAG &&
            memcmp(magic, ELFMAG, SELFMAG) == 0)
            s[i].dumped = PAGE_SIZE;
    }
}

/* NT_FILE: how many, the unit of offsets, ranges, paths; to be freed. */
static int file_note(struct dump *d, struct bytes *out)
{
    u64 head[] = {d->ranges.used / (3 * sizeof(u64)), PAGE_SIZE};
    int r = append(out, head, sizeof(head));
    if (r == 0)
        r = append(out, d->ranges.data, d->ranges.used);
    return r < 0 ? r : append(out, d->names.data, d->names.used);
}

/* ---- notes ---- */

static void emit_status(struct dump *d, const struct thread *t)
{
    const struct process *p = d->p;
    struct status_note n = {.signo = d->info->signo,
                            .cursig = (u16)d->info->signo,
                            .pending = t->sig_pending,
                            .held = t->sig_mask,
                            .pid = t->tid,
                            .ppid = d->ppid,
                            .pgrp = p->pgid,
                            .sid = p->session ? p->session->sid : 0,
                            .fpvalid = 1};
    registers_of(t, &n.regs);
    emit_note(d, "CORE", NT_PRSTATUS, &n, sizeof(n));
}

static void emit_vectors(struct dump *d, const struct thread *t)
{
    u8 *state = (u8 *)d->room;
    vectors_of(t, state);
    emit_note(d, "CORE", NT_PRFPREG, state, XSAVE_LEGACY);
    emit_note(d, "LINUX", NT_X86_XSTATE, state, xstate_size());
}

static void emit_process(struct dump *d, const struct bytes *files)
{
    struct process *p = d->p;
    struct mm *mm = p->mm;
    u8 siginfo[128];
    struct info_note n = {.letter = 'R',
                          .nice = (u8)p->nice,
                          .uid = p->cred.uid,
                          .gid = p->cred.gid,
                          .pid = p->pid,
                          .ppid = d->ppid,
                          .pgrp = p->pgid,
                          .sid = p->session ? p->session->sid : 0};
    memcpy(n.name, p->comm, sizeof(n.name));
    u64 size = MIN(mm->arg_end - mm->arg_start, ARGUMENT_MAX - 1);
    size = mm_peek(mm, mm->arg_start, n.arguments, size);
    for (u64 i = 0; i < size; i++)
        if (!n.arguments[i])
            n.arguments[i] = ' ';
    emit_note(d, "CORE", NT_PRPSINFO, &n, sizeof(n));
    siginfo_encode(d->info, siginfo);
    emit_note(d, "CORE", NT_SIGINFO, siginfo, sizeof(siginfo));
    emit_note(d, "CORE", NT_AUXV, mm->auxv, mm->auxv_count * sizeof(u64));
    emit_note(d, "CORE", NT_FILE, files->data, files->used);
}

/* The thread of the signal first. */
static void emit_notes(struct dump *d, const struct bytes *files)
{
    const struct thread *t, *first = d->core->thread;
    emit_status(d, first);
    emit_process(d, files);
    emit_vectors(d, first);
    list_for_each_entry (t, &d->p->threads, siblings) {
        if (t == first)
            continue;
        emit_status(d, t);
        emit_vectors(d, t);
    }
}

static u64 notes_size(const struct dump *d, const struct bytes *files)
{
    u64 thread = note_size("CORE", sizeof(struct status_note)) + note_size("CORE", XSAVE_LEGACY) +
                 note_size("LINUX", xstate_size());
    return d->p->thread_count * thread + note_size("CORE", sizeof(struct info_note)) +
           note_size("CORE", 128) + note_size("CORE", d->p->mm->auxv_count * sizeof(u64)) +
           note_size("CORE", files->used);
}

/* ---- the whole ---- */

static void emit_headers(struct dump *d, u64 notes)
{
    u32 count;
    const struct segment *s = segments(d, &count);
    Elf64_Ehdr head = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, 1},
                       .e_type = ET_CORE,
                       .e_machine = EM_X86_64,
                       .e_version = EV_CURRENT,
                       .e_phoff = sizeof(head),
                       .e_ehsize = sizeof(head),
                       .e_phentsize = sizeof(Elf64_Phdr),
                       .e_phnum = (u16)(count + 1)};
    u64 at = sizeof(head) + (count + 1) * sizeof(Elf64_Phdr);
    Elf64_Phdr note = {.p_type = PT_NOTE, .p_offset = at, .p_filesz = notes, .p_align = NOTE_ALIGN};
    emit(d, &head, sizeof(head));
    emit(d, &note, sizeof(note));
    at = PAGE_UP(at + notes);
    for (u32 i = 0; i < count; i++) {
        u32 flags = (s[i].prot & PROT_READ ? PF_R : 0) | (s[i].prot & PROT_WRITE ? PF_W : 0) |
                    (s[i].prot & PROT_EXEC ? PF_X : 0);
        Elf64_Phdr load = {.p_type = PT_LOAD,
                           .p_flags = flags,
                           .p_offset = at,
                           .p_vaddr = s[i].start,
                           .p_filesz = s[i].dumped,
                           .p_memsz = s[i].end - s[i].start,
                           .p_align = PAGE_SIZE};
        emit(d, &load, sizeof(load));
        at += s[i].dumped;
    }
}

static bool zero(const char *page)
{
    u64 all = 0, word;
    for (size_t i = 0; i < PAGE_SIZE; i += sizeof(word)) {
        memcpy(&word, page + i, sizeof(word));
        all |= word;
    }
    return all == 0;
}

/* Zeros are holes, also what cannot be read. */
static void emit_memory(struct dump *d)
{
    u32 count;
    const struct segment *s = segments(d, &count);
    char *page = d->room;
    d->at = PAGE_UP(d->at);
    for (u32 i = 0; i < count; i++) {
        u64 start = d->at;
        for (u64 done = 0; done < s[i].dumped && d->error == 0; done += PAGE_SIZE) {
            if (d->core->killed) /* holes take time, too */
                d->error = -EINTR;
            d->at = start + done;
            if (mm_peek(d->p->mm, s[i].start + done, page, PAGE_SIZE) == PAGE_SIZE && !zero(page))
                emit(d, page, PAGE_SIZE);
        }
        d->at = start + s[i].dumped;
    }
    if (d->error == 0)
        (void)inode_truncate(d->file->inode, d->at); /* a hole at the end */
}

static void write_core(struct dump *d)
{
    struct bytes files = {0};
    d->error = mm_for_each(d->p->mm, gather_vma, d);
    if (d->error == 0)
        d->error = file_note(d, &files);
    if (d->error == 0) {
        keep_elf_headers(d);
        emit_headers(d, notes_size(d, &files));
        emit_notes(d, &files);
        emit_memory(d);
    }
    kfree(files.data);
}

bool core_dump(const struct siginfo_k *info)
{
    struct thread *t = current();
    struct process *p = t->process;
    struct core core = {.thread = t};
    struct dump d = {.p = p, .core = &core, .info = info, .limit = p->rlimits[LIMIT_CORE].soft};
    /* Of process 1 nobody could read it. */
    if (p == g_init || p->dumpable != 1 || !p->mm || !t->regs || d.limit < PAGE_SIZE)
        return false;
    step_disarm(t);
    vector_user_area();
    if (!stop_others(p, &core, (u32)info->signo))
        return false;
    mutex_lock(&g_process_lock);
    d.ppid = p->parent ? p->parent->pid : 0;
    mutex_unlock(&g_process_lock);
    p->rlimits[FSIZE].soft = RLIMIT_INFINITE;
    d.room = kmalloc(MAX((u32)PATH_MAX, MAX(xstate_size(), (u32)PAGE_SIZE)));
    d.file = d.room ? open_core(p, info->signo, d.room) : NULL;
    if (d.file) {
        write_core(&d);
        log_debug("pid %d: core file: %llu bytes, error %d", p->pid, (unsigned long long)d.written,
                  -d.error);
        file_put(d.file);
    }
    kfree(d.segments.data);
    kfree(d.ranges.data);
    kfree(d.names.data);
    kfree(d.room);
    mutex_lock(&g_process_lock);
    __atomic_store_n(&p->core, NULL, __ATOMIC_RELEASE);
    if (d.file)
        p->exit_status |= WCOREFLAG;
    waitq_wake(&p->stop_wait, UINT32_MAX);
    mutex_unlock(&g_process_lock);
    return d.file != NULL;
}
