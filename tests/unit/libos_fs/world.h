/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "../../../libos/fs/tmpfs/memfs.h"

extern struct process g_test_process;
void world_start(struct super *root);
void world_stop(void);

/* clang-format off */
#define SYSCALLS(X) \
    X(open) X(openat) X(close) X(read) X(write) X(pread64) X(pwrite64) X(lseek) X(stat) X(lstat) \
    X(mkdir) X(rmdir) X(unlink) X(rename) X(link) X(symlink) X(readlink) X(truncate) \
    X(ftruncate) X(fallocate) X(getdents64) X(chdir) X(getcwd) X(mount) X(umount2) X(pipe2) \
    X(fcntl) X(dup2) X(chmod) X(fchmod) X(chown) X(setxattr) X(getxattr) X(listxattr) X(chroot) \
    X(mknod) X(memfd_create) X(splice) X(access) X(statfs) X(lchown) X(utimensat) X(openat2) \
    X(renameat2) X(linkat) X(statx) X(lgetxattr) X(fstat) X(fchdir) X(newfstatat) \
    X(removexattr) X(fchownat)
/* clang-format on */
#define X(name) long sys_##name(SYSCALL_ARGS);
SYSCALLS(X)
#undef X
/* CALL(open, "/x", O_RDONLY): the arguments that are left out are 0. */
#define CALL(name, ...) CALL_(name, __VA_ARGS__, 0, 0, 0, 0, 0)
#define CALL_(name, a, b, c, d, e, f, ...) \
    sys_##name((long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
