/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of /proc, one file each. */
#pragma once

#include "pseudo.h"

#define LIBOS_RELEASE "6.13.0-libos"
#define LIBOS_VERSION "#1 SMP enclave LibOS"

extern const struct pseudo_entry g_proc_sys_entries[];            /* proc_sys.c */
extern const struct pseudo_entry g_proc_net_entries[];            /* proc_net.c */
struct inode *proc_pid_inode(struct super *s, struct process *p); /* proc_pid.c */
u64 proc_pid_ino(const struct process *p);
int proc_show_mounts(struct pseudo_inode *p, struct text *t); /* proc_mounts.c */
int proc_show_mountinfo(struct pseudo_inode *p, struct text *t);
int proc_show_mountstats(struct pseudo_inode *p, struct text *t);
int proc_show_maps(struct pseudo_inode *p, struct text *t); /* proc_maps.c */
long proc_maps_ioctl(struct pseudo_inode *p, u32 cmd, u64 arg);
extern const struct file_ops g_proc_mem_ops; /* proc_mem.c */
int proc_show_smaps(struct pseudo_inode *p, struct text *t);
int proc_show_smaps_rollup(struct pseudo_inode *p, struct text *t);
extern const struct proc_sources *g_proc_sources; /* procfs.c */
int proc_dir_process(struct file *f, struct process **out);
/* The process of an entry, +1, or NULL when it is gone. */
struct process *proc_process(struct pseudo_inode *p);
struct mm *proc_mm(struct pseudo_inode *p);       /* its memory, +1, or NULL */
struct files *proc_files(struct pseudo_inode *p); /* its descriptors, +1, or NULL */
/* As ptrace_may_access: another user's environment and descriptors are not shown. */
int proc_may_look(struct pseudo_inode *p);
int proc_parse_number(const char *name, size_t len); /* -1: not a number */
int proc_fd_lookup(struct pseudo_inode *dir, const char *name, size_t len, struct inode **out);
int proc_fd_iterate(struct pseudo_inode *dir, u64 pos, dirent_fn *fn, void *ctx);
int proc_fdinfo_lookup(struct pseudo_inode *dir, const char *name, size_t len, struct inode **out);
