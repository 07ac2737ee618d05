/* SPDX-License-Identifier: Apache-2.0 */
/* The root file system of a container, mounted as the snapshotter says (overlay, bind, ...). */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/child.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/path.h"
#include "container/mount_options.h"
#include "shim/shim.h"

enum {
    /* mount(2) takes one page of data. */
    DATA_MAX = 4096 - 1,
    UNMOUNTS_MAX = 64,
};

struct job {
    const Task__Mount *mount;
    const char *target;
    struct mount_plan plan;
    char *directory; /* to be entered first: lower directories are relative to it; or NULL */
};

/*
 * The data of an overlay with many layers is longer than a page. Their directories have a beginning
 * in common
 * (.../snapshots/), which the process that mounts can enter.
 */
static void shorten(struct job *job)
{
    char *lower = strstr(buffer_text(&job->plan.data), "lowerdir=");
    if (job->plan.data.size <= DATA_MAX || !lower)
        return;
    lower += strlen("lowerdir=");
    cleanup_free char *list = xstrndup(lower, strcspn(lower, ","));
    cleanup_free char *common = xstrdup(list);
    common[strcspn(common, ":")] = '\0';
    cleanup_free char *copy = xstrdup(list);
    char *rest = copy;
    for (char *dir; (dir = strsep(&rest, ":"));) {
        size_t same = 0;
        while (common[same] && common[same] == dir[same])
            same++;
        common[same] = '\0';
    }
    char *slash = strrchr(common, '/');
    if (!slash || slash == common)
        return;
    slash[1] = '\0';
    size_t skip = strlen(common);
    struct buffer data = BUFFER_INIT;
    buffer_append(&data, job->plan.data.data, (size_t)(lower - job->plan.data.data));
    const char *tail = lower + strlen(list);
    cleanup_free char *again = xstrdup(list);
    rest = again;
    for (char *dir; (dir = strsep(&rest, ":"));) {
        buffer_append_text(&data, dir + skip);
        if (rest)
            buffer_append_char(&data, ':');
    }
    buffer_append_text(&data, tail);
    buffer_release(&job->plan.data);
    job->plan.data = data;
    job->directory = take_ptr(common);
}

static int mount_now(void *ctx, struct error *err)
{
    const struct job *job = ctx;
    const struct mount_plan *plan = &job->plan;
    const unsigned long own = plan->flags & ~(unsigned long)(MS_BIND | MS_REC);
    if (job->directory && chdir(job->directory) < 0)
        return error_errno(err, errno, "enter %s", job->directory);
    if (plan->data.size > DATA_MAX)
        return error_set(err, "the options of the mount are longer than a page");
    if (mount(job->mount->source, job->target, plan->bind ? NULL : job->mount->type,
              plan->bind ? MS_BIND | (plan->recursive ? MS_REC : 0) : own,
              plan->bind ? NULL : buffer_text(&plan->data)) < 0)
        return error_errno(err, errno, "mount %s on %s", job->mount->source, job->target);
    /* What a bind mount is to be besides is set in a second call. */
    if (plan->bind && own != 0 &&
        mount(NULL, job->target, NULL, MS_REMOUNT | MS_BIND | own, NULL) < 0)
        return error_errno(err, errno, "set the options of bind mount %s", job->mount->source);
    for (size_t i = 0; i < plan->propagation_count; i++)
        if (mount(NULL, job->target, NULL, plan->propagation[i], NULL) < 0)
            return error_errno(err, errno, "set the propagation of %s", job->target);
    return 0;
}

static int run_job(struct job *job, struct error *err)
{
    if (!job->directory)
        return mount_now(job, err);
    pid_t pid = child_start(mount_now, job, err);
    if (pid < 0)
        return -1;
    (void)child_wait(pid);
    return 0;
}

static int mount_one(const char *rootfs, const Task__Mount *mount, struct error *err)
{
    struct job job = {.mount = mount, .target = rootfs};
    struct fd_path inside;
    cleanup_close int root = open(rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC), made = -1;
    if (root < 0)
        return error_errno(err, errno, "open %s", rootfs);
    if (*mount->target) {
        /* Below a root that is an image's: never out of it. */
        made = path_mkdir_p_in_root(root, mount->target, 0755, err);
        if (made < 0)
            return error_wrap(err, "mount point %s", mount->target);
        job.target = fd_path_of(&inside, made);
    }
    struct oci_mount description = {.destination = job.target,
                                    .type = mount->type,
                                    .source = mount->source,
                                    .options = {(const char **)mount->options, mount->n_options}};
    mount_plan_parse(&description, &job.plan);
    if (!job.plan.bind)
        shorten(&job);
    int ret = run_job(&job, err);
    mount_plan_release(&job.plan);
    free(job.directory);
    return ret;
}

int rootfs_mount(const char *rootfs, Task__Mount *const *mounts, size_t count, struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (mount_one(rootfs, mounts[i], err) < 0) {
            error_wrap(err, "failed to mount rootfs component %s", mounts[i]->type);
            (void)rootfs_unmount(rootfs, NULL);
            return -1;
        }
    }
    return 0;
}

int rootfs_unmount(const char *rootfs, struct error *err)
{
    for (int i = 0; i < UNMOUNTS_MAX; i++) {
        if (umount2(rootfs, UMOUNT_NOFOLLOW) == 0)
            continue;
        if (errno == EINVAL || errno == ENOENT)
            return 0;
        /* Somebody looks at it: it goes with the last of them. */
        if (errno == EBUSY && umount2(rootfs, UMOUNT_NOFOLLOW | MNT_DETACH) == 0)
            continue;
        return error_errno(err, errno, "unmount %s", rootfs);
    }
    return error_set(err, "unmount %s: there is no end to it", rootfs);
}
