/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of libos/fs share. */
#pragma once

#include "filesystems.h"
#include "host.h"
#include "pages.h"
#include "process.h"
#include "vfs.h"

/* ---- devices ---- */
int device_open(struct inode *i, struct file *f);
/* f becomes a stream of a descriptor of the host, which it owns, also when this fails. */
int host_stream_attach(struct file *f, hostfd hfd);
/* The next read gets this byte first. */
void host_stream_keep(struct file *f, u8 byte);

/* ---- file systems: each makes a super or a negative errno as err_ptr ---- */
struct super *memfs_create(const char *type, u64 limit, u32 mode, u32 uid, u32 gid);
void memfs_limit_inodes(struct super *super,
                        u64 limit); /* of one that has just been made; 0: none */
struct super *sealed_create(const struct manifest_image *m);
struct super *procfs_create(void);
struct super *devfs_create(void);
struct super *devpts_create(u32 gid, u32 mode, u32 ptmx_mode);
struct super *sysfs_create(void);
struct super *cgroupfs_create(void);
struct super *hostfs_create(hostfd hfd, u32 flags); /* MANIFEST_MOUNT_* */
/* The mount of a file is /etc/hosts: what it says of localhost is the enclave's own. At boot. */
int hostfs_keep_localhost(struct super *super);
struct super *attestation_create(void);
void file_systems_register(void); /* types.c: once, at start */

/* ---- options.c, besides those in the door ---- */
const char *mount_option(const char *options, const char *name); /* its value, or NULL */
u64 mount_parse_size(const char *s);                             /* with k, m, g */
u32 mount_parse_octal(const char *s);
