/* SPDX-License-Identifier: Apache-2.0 */
/* The mounts of a container's root, in a mount namespace of the test's own. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/path.h"
#include "shim/shim.h"

enum { LAYERS = 80 };

static char g_top[] = "/tmp/test-shim-rootfs.XXXXXX";

static char *below(const char *name)
{
    return path_join(g_top, name);
}

static int set_up(void **state)
{
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return 0; /* each test says so */
    if (!mkdtemp(g_top) || mount("none", g_top, "tmpfs", 0, NULL) < 0)
        return -1;
    *state = g_top;
    return 0;
}

static int tear_down(void **state)
{
    if (*state) {
        umount2(g_top, MNT_DETACH);
        rmdir(g_top);
    }
    return 0;
}

static char *make_directory(const char *name)
{
    char *path = below(name);
    assert_int_equal(path_mkdir_p(path, 0755, NULL), 0);
    return path;
}

static int mount_all(const char *rootfs, Task__Mount *mount, const char *const *options,
                     size_t count, struct error *err)
{
    mount->options = (char **)options;
    mount->n_options = count;
    return rootfs_mount(rootfs, &mount, 1, err);
}

/* More directories than a page of options takes: their common beginning is entered instead. */
static void overlay_of_many_layers(void **state)
{
    if (!*state)
        skip(); /* mount namespaces need root */
    cleanup_buffer struct buffer lower = BUFFER_INIT;
    cleanup_error struct error err = ERROR_INIT;
    buffer_append_text(&lower, "lowerdir=");
    for (int i = 0; i < LAYERS; i++) {
        char name[80];
        snprintf(name, sizeof(name), "snapshots/a-long-name-as-snapshotters-have-them-%d/fs", i);
        cleanup_free char *layer = make_directory(name);
        snprintf(name, sizeof(name), "file-%d", i);
        cleanup_free char *own = path_join(layer, name);
        assert_int_equal(mkdir(own, 0755), 0);
        buffer_append_format(&lower, "%s%s", i > 0 ? ":" : "", layer);
    }
    assert_true(lower.size > 4096);
    cleanup_free char *upper = make_directory("snapshots/upper/fs");
    cleanup_free char *work = make_directory("snapshots/upper/work");
    cleanup_free char *rootfs = make_directory("rootfs");
    cleanup_free char *upper_option = NULL, *work_option = NULL;
    assert_true(asprintf(&upper_option, "upperdir=%s", upper) > 0);
    assert_true(asprintf(&work_option, "workdir=%s", work) > 0);
    const char *options[] = {work_option, upper_option, lower.data};
    Task__Mount mount = TASK__MOUNT__INIT;
    mount.type = mount.source = (char *)"overlay";
    if (mount_all(rootfs, &mount, options, 3, &err) < 0)
        fail_msg("%s", error_text(&err));
    for (int i = 0; i < LAYERS; i++) {
        char name[32];
        snprintf(name, sizeof(name), "rootfs/file-%d", i);
        cleanup_free char *path = below(name);
        assert_int_equal(access(path, F_OK), 0);
    }
    assert_int_equal(rootfs_unmount(rootfs, &err), 0);
    assert_int_equal(rmdir(rootfs), 0);
}

static void bind_mounts(void **state)
{
    if (!*state)
        skip();
    cleanup_error struct error err = ERROR_INIT;
    cleanup_free char *source = make_directory("source"), *rootfs = make_directory("bound");
    cleanup_free char *file = below("bound/file");
    const char *options[] = {"rbind", "ro"};
    Task__Mount mount = TASK__MOUNT__INIT;
    mount.type = (char *)"bind";
    mount.source = source;
    assert_int_equal(mount_all(rootfs, &mount, options, 2, &err), 0);
    assert_int_equal(mkdir(file, 0755), -1); /* read-only */
    assert_int_equal(rootfs_unmount(rootfs, &err), 0);
    assert_int_equal(mkdir(file, 0755), 0);
    /* Nothing is mounted: nothing to do. */
    assert_int_equal(rootfs_unmount(rootfs, &err), 0);
}

/* A failure says what of it, and leaves nothing. */
static void failures(void **state)
{
    if (!*state)
        skip();
    cleanup_error struct error err = ERROR_INIT;
    cleanup_free char *source = make_directory("one"), *rootfs = make_directory("failing");
    Task__Mount good = TASK__MOUNT__INIT, bad = TASK__MOUNT__INIT, *both[] = {&good, &bad};
    const char *options[] = {"bind"};
    good.type = (char *)"bind";
    good.source = source;
    good.options = (char **)options;
    good.n_options = 1;
    bad.type = (char *)"no-such-file-system";
    bad.source = (char *)"none";
    assert_true(rootfs_mount(rootfs, both, 2, &err) < 0);
    assert_non_null(strstr(error_text(&err), "no-such-file-system"));
    assert_int_equal(rmdir(rootfs), 0); /* not busy: the first one is undone */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(overlay_of_many_layers),
        cmocka_unit_test(bind_mounts),
        cmocka_unit_test(failures),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
