/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/PID/mem: the memory of a process at the file's position, with the rights of ptrace. */
#include "procfs.h"
#include "mm.h"

static ssize_t transfer(struct file *f, struct uio *io, u64 *pos, bool write)
{
    struct pseudo_inode *p = pseudo_of(f->inode);
    struct process *proc = proc_process(p);
    struct mm *mm = NULL;
    char *buf = NULL;
    ssize_t done = 0, r = proc && process_may_access(proc) ? 0 : -EACCES;

    if (proc)
        process_put(proc);
    if (r == 0 && (mm = proc_mm(p)) == NULL)
        return 0; /* it has ended */
    if (r == 0 && (buf = page_alloc(1)) == NULL)
        r = -ENOMEM;
    while (r == 0 && io->left) {
        size_t n = MIN(io->left, PAGE_SIZE), got;

        if (write && (r = uio_from(io, buf, n)) <= 0)
            break;
        n = write ? (size_t)r : n;
        got = mm_access(mm, *pos, buf, n, write, true);
        r = got ? 0 : -EIO;
        if (!write && got && (r = uio_to(io, buf, got)) > 0) {
            got = (size_t)r;
            r = 0;
        }
        if (r < 0)
            break;
        *pos += got;
        done += (ssize_t)got;
        if (got < n)
            break;
    }
    if (buf)
        page_free(buf, 1);
    mm_put(mm);
    return done ? done : r;
}

static ssize_t mem_read(struct file *f, struct uio *io, u64 *pos)
{
    return transfer(f, io, pos, false);
}

static ssize_t mem_write(struct file *f, struct uio *io, u64 *pos)
{
    return transfer(f, io, pos, true);
}

static i64 mem_seek(struct file *f, i64 off, int whence)
{
    if (whence != SEEK_SET && whence != SEEK_CUR)
        return -EINVAL;
    f->pos = whence == SEEK_CUR ? f->pos + (u64)off : (u64)off;
    return (i64)f->pos;
}

const struct file_ops g_proc_mem_ops = {.read = mem_read, .write = mem_write, .seek = mem_seek};
