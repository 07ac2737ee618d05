/* SPDX-License-Identifier: Apache-2.0 */
/* System V shared memory: a file in memory that is mapped shared. Attaching counts are found by
 * looking for the file in the mms. */
#include "sysv.h"
#include "fs.h"
#include "mm.h"
#include <linux/capability.h>
#include <linux/mman.h>
#include <linux/shm.h>

int memfs_make_file(const char *name, u32 seals, struct file **out); /* fs/tmpfs/memfs.c */

#define SEGMENT_MAX (1ull << 40)

struct shm {
    struct sysv_object o;
    struct file *file; /* one reference; mappings have theirs */
    u64 size, attached_at, detached_at, changed;
    i32 creator, last;
    bool doomed; /* IPC_RMID while attached */
    bool locked; /* SHM_LOCK */
};

static void shm_destroy(struct sysv_object *o)
{
    struct shm *s = container_of(o, struct shm, o);
    file_put(s->file);
    kfree(s);
}

static struct sysv_class g_segments = {
    .limit = "shmmni", .next = "shm_next_id", .destroy = shm_destroy};

static u64 segment_max(void)
{
    return MIN(sysctl_number("shmmax", SEGMENT_MAX), SEGMENT_MAX);
}

static u64 seconds(void)
{
    return clock_realtime() / 1000000000;
}

static struct shm *find(i32 id)
{
    struct sysv_object *o = sysv_find(&g_segments, id);
    return o ? container_of(o, struct shm, o) : NULL;
}

/* References beyond the segment's own are mappings. */
static u64 attached(const struct shm *s)
{
    return __atomic_load_n(&s->file->refs.n, __ATOMIC_ACQUIRE) - 1;
}

/* Doomed segments that nobody has attached any more. */
static void collect_locked(void)
{
    struct sysv_object *o, *n;
    sysv_find(&g_segments, -1);
    list_for_each_entry_safe (o, n, &g_segments.objects, link) {
        struct shm *s = container_of(o, struct shm, o);
        if (s->doomed && attached(s) == 0)
            sysv_remove(&g_segments, o);
    }
}

static long create_locked(i32 key, u64 size, u32 flags)
{
    struct setattr set = {.valid = SETATTR_SIZE, .size = PAGE_UP(size)};
    struct shm *s = kzalloc(sizeof(*s));
    if (!s)
        return -ENOMEM;
    long r = memfs_make_file("SYSV", 0, &s->file);
    if (r == 0)
        r = s->file->inode->ops->setattr(s->file->inode, &set);
    if (r == 0) {
        s->size = size;
        s->creator = current_process()->pid;
        s->changed = seconds();
        r = sysv_add(&g_segments, &s->o, key, flags);
    }
    if (r < 0) {
        if (s->file)
            file_put(s->file);
        kfree(s);
    }
    return r;
}

long sys_shmget(int key, u64 size, u32 shmflg)
{
    struct sysv_object *o;
    u32 flags = shmflg & ~(u32)(SHM_HUGETLB | SHM_NORESERVE);
    bool huge = shmflg & SHM_HUGETLB; /* as when none is free */
    mutex_lock(&g_sysv_lock);
    collect_locked();
    long r = sysv_get(&g_segments, key, flags, &o);
    if (r == 0 && o)
        r = size > container_of(o, struct shm, o)->size ? -EINVAL : o->id;
    else if (r == 0 && huge)
        r = capable(CAP_IPC_LOCK) ? -ENOMEM : -EPERM;
    else if (r == 0)
        r = size < 1 || size > segment_max() ? -EINVAL : create_locked(key, size, flags);
    mutex_unlock(&g_sysv_lock);
    return r;
}

long sys_shmat(int id, u64 at, int flags)
{
    u64 addr = at;
    bool readonly = flags & SHM_RDONLY;
    if (addr & ~PAGE_MASK) {
        if (!(flags & SHM_RND))
            return -EINVAL;
        addr = PAGE_DOWN(addr);
    }
    mutex_lock(&g_sysv_lock);
    collect_locked();
    struct shm *s = find(id);
    struct file *f2 = NULL;
    u64 size = 0;
    long r = !s ? -EINVAL : sysv_permitted(&s->o, readonly ? 0400 : 0600) ? 0 : -EACCES;
    if (r == 0) {
        f2 = file_get(s->file);
        size = s->size;
    }
    mutex_unlock(&g_sysv_lock);
    if (r < 0)
        return r;
    u32 prot = PROT_READ | (readonly ? 0 : PROT_WRITE) | ((flags & SHM_EXEC) ? PROT_EXEC : 0);
    u32 how = MAP_SHARED | (addr ? ((flags & SHM_REMAP) ? MAP_FIXED : MAP_FIXED_NOREPLACE) : 0);
    r = mm_map(current_process()->mm, addr, size, prot, how, f2, 0);
    if (r == -EEXIST)
        r = -EINVAL;
    mutex_lock(&g_sysv_lock);
    s = find(id);
    if (s && r >= 0) {
        s->attached_at = seconds();
        s->last = current_process()->pid;
    }
    mutex_unlock(&g_sysv_lock);
    file_put(f2);
    return r;
}

struct detach {
    u64 addr, size;
    struct inode *inode; /* only to compare */
};

static int find_mapping(const struct vma *v, void *ctx)
{
    struct detach *d = ctx;
    if (v->node.key != d->addr || !v->file || !(v->flags & MAP_SHARED))
        return 0;
    d->size = v->end - v->node.key;
    d->inode = v->file->inode;
    return 1;
}

long sys_shmdt(u64 at)
{
    struct mm *mm = current_process()->mm;
    struct detach found = {.addr = at};
    if (found.addr & ~PAGE_MASK)
        return -EINVAL;
    mm_for_each(mm, find_mapping, &found);
    if (!found.size)
        return -EINVAL;
    struct inode *inode = found.inode;
    int r = mm_unmap(mm, found.addr, found.size);
    struct sysv_object *o;
    mutex_lock(&g_sysv_lock);
    sysv_find(&g_segments, -1); /* the list exists */
    list_for_each_entry (o, &g_segments.objects, link) {
        struct shm *s = container_of(o, struct shm, o);
        if (s->file->inode != inode)
            continue;
        s->detached_at = seconds();
        s->last = current_process()->pid;
    }
    collect_locked();
    mutex_unlock(&g_sysv_lock);
    return r;
}

static void stat_fill(const struct shm *s, struct shmid64_ds *out)
{
    memset(out, 0, sizeof(*out));
    sysv_perm_fill(&s->o, (struct ipc64_perm *)&out->shm_perm);
    if (s->doomed)
        out->shm_perm.mode |= 01000; /* SHM_DEST */
    if (s->locked)
        out->shm_perm.mode |= 02000; /* SHM_LOCKED */
    out->shm_segsz = s->size;
    out->shm_atime = (long)s->attached_at;
    out->shm_dtime = (long)s->detached_at;
    out->shm_ctime = (long)s->changed;
    out->shm_cpid = s->creator;
    out->shm_lpid = s->last;
    out->shm_nattch = mm_count_maps(s->file);
}

static long change_locked(struct shm *s, int cmd, const struct shmid64_ds *ds)
{
    if (!sysv_owned(&s->o))
        return -EPERM;
    if (cmd == IPC_SET) {
        sysv_perm_set(&s->o, (const struct ipc64_perm *)&ds->shm_perm);
        s->changed = seconds();
        return 0;
    }
    /* It goes with the last mapping; until then only its key is gone. */
    s->doomed = true;
    sysv_forget_key(&g_segments, &s->o);
    collect_locked();
    return 0;
}

static long information(int cmd, uaddr to)
{
    const u32 max = sysv_limit(&g_segments);
    struct shminfo64 limits = {.shmmax = segment_max(),
                               .shmmin = 1,
                               .shmmni = max,
                               .shmseg = max,
                               .shmall = SEGMENT_MAX / PAGE_SIZE};
    struct shm_info now = {0};
    struct sysv_object *o;
    mutex_lock(&g_sysv_lock);
    collect_locked();
    i32 top = sysv_top(&g_segments);
    now.used_ids = (int)g_segments.count;
    list_for_each_entry (o, &g_segments.objects, link)
        now.shm_tot += PAGE_UP(container_of(o, struct shm, o)->size) >> PAGE_SHIFT;
    mutex_unlock(&g_sysv_lock);
    now.shm_rss = now.shm_tot;
    if (cmd == SHM_INFO ? copy_to_user(to, &now, sizeof(now)) < 0
                        : copy_to_user(to, &limits, sizeof(limits)) < 0)
        return -EFAULT;
    return top;
}

static bool is_nth(int cmd)
{
    return cmd == SHM_STAT || cmd == SHM_STAT_ANY;
}

static struct shm *find_for(i32 id, int cmd)
{
    struct sysv_object *o = is_nth(cmd) ? sysv_nth(&g_segments, id) : sysv_find(&g_segments, id);
    return o ? container_of(o, struct shm, o) : NULL;
}

long sys_shmctl(int id, int command, uaddr data)
{
    struct shmid64_ds ds;
    int cmd = command;
    long r = -EINVAL;
    if (cmd == IPC_INFO || cmd == SHM_INFO)
        return information(cmd, data);
    if (cmd == IPC_SET && copy_from_user(&ds, data, sizeof(ds)) < 0)
        return -EFAULT;
    mutex_lock(&g_sysv_lock);
    collect_locked();
    struct shm *s = find_for(id, cmd);
    if (s && (cmd == IPC_STAT || is_nth(cmd))) {
        r = cmd == SHM_STAT_ANY || sysv_permitted(&s->o, 0400) ? 0 : -EACCES;
        if (r == 0 && is_nth(cmd))
            r = s->o.id;
        stat_fill(s, &ds);
    } else if (s && (cmd == IPC_RMID || cmd == IPC_SET)) {
        r = change_locked(s, cmd, &ds);
    } else if (s && (cmd == SHM_LOCK || cmd == SHM_UNLOCK)) {
        /* Enclave memory is never paged by the LibOS: it is only told. */
        r = capable(CAP_IPC_LOCK) || sysv_owned(&s->o) ? 0 : -EPERM;
        if (r == 0)
            s->locked = cmd == SHM_LOCK;
    }
    mutex_unlock(&g_sysv_lock);
    if (r >= 0 && (cmd == IPC_STAT || is_nth(cmd)) && copy_to_user(data, &ds, sizeof(ds)) < 0)
        r = -EFAULT;
    return r;
}

void sysv_show_shm(sysv_line *line, void *ctx)
{
    struct sysv_object *o;
    char text[256];
    line(ctx, "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  "
              "cuid  cgid "
              "     atime      dtime      ctime                   rss                  swap\n");
    mutex_lock(&g_sysv_lock);
    collect_locked();
    list_for_each_entry (o, &g_segments.objects, link) {
        struct shmid64_ds ds;
        stat_fill(container_of(o, struct shm, o), &ds);
        snprintf(
            text, sizeof(text),
            "%10d %10d  %4o %21lu %5d %5d  %5lu %5u %5u %5u %5u %10lu %10lu %10lu %21lu %21u\n",
            o->key, o->id, ds.shm_perm.mode, ds.shm_segsz, ds.shm_cpid, ds.shm_lpid, ds.shm_nattch,
            o->uid, o->gid, o->cuid, o->cgid, ds.shm_atime, ds.shm_dtime, ds.shm_ctime,
            PAGE_UP(ds.shm_segsz), 0u);
        line(ctx, text);
    }
    mutex_unlock(&g_sysv_lock);
}
