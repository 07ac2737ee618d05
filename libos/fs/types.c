/* SPDX-License-Identifier: Apache-2.0 */
/* File systems by the names that mount(2) knows. */
#include "fs_private.h"
#include "memfs.h"

static struct super *make_proc(const char *type, const char *options)
{
    return procfs_create();
}

static struct super *make_sys(const char *type, const char *options)
{
    return sysfs_create();
}

static struct super *make_dev(const char *type, const char *options)
{
    return devfs_create();
}

static struct super *make_pts(const char *type, const char *options)
{
    const char *gid = mount_option(options, "gid"), *mode = mount_option(options, "mode");
    const char *ptmx = mount_option(options, "ptmxmode");

    return devpts_create(gid ? (u32)mount_parse_size(gid) : 5,
                         mode ? mount_parse_octal(mode) : 0620,
                         ptmx ? mount_parse_octal(ptmx) : 0666);
}

static struct super *make_cgroup(const char *type, const char *options)
{
    return cgroupfs_create();
}

static const struct {
    const char *type;
    struct super *(*make)(const char *type, const char *options);
} g_table[] = {
    {"tmpfs", memfs_mount}, {"ramfs", memfs_mount},  {"mqueue", memfs_mount},
    {"proc", make_proc},    {"sysfs", make_sys},     {"devtmpfs", make_dev},
    {"devpts", make_pts},   {"cgroup", make_cgroup}, {"cgroup2", make_cgroup},
};

static struct super *make_super(const char *type, const char *options)
{
    for (size_t i = 0; i < ARRAY_SIZE(g_table); i++) {
        if (strcmp(type, g_table[i].type) == 0)
            return g_table[i].make(type, options);
    }
    return err_ptr(-ENODEV);
}

static const char *name_of(u32 index)
{
    return index < ARRAY_SIZE(g_table) ? g_table[index].type : NULL;
}

static const struct file_systems g_types = {make_super, device_open, name_of};

void file_systems_register(void)
{
    g_file_systems = &g_types;
}
