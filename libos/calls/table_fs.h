/* SPDX-License-Identifier: Apache-2.0 */
/* CALL(name, status, note, parameters...): see libos/calls/syscall.h. */
/* reading and writing */
CALL(read, DONE, "", (fd, fd), (out, buf, "void"), (size, size))
CALL(write, DONE, "", (fd, fd), (in, buf, "void"), (size, size))
CALL(pread64, DONE, "", (fd, fd), (out, buf, "void"), (size, size), (offset, offset))
CALL(pwrite64, DONE, "", (fd, fd), (in, buf, "void"), (size, size), (offset, offset))
CALL(readv, DONE, "", (fd, fd), (in, vector, "struct iovec"), (ulong, count))
CALL(writev, DONE, "", (fd, fd), (in, vector, "struct iovec"), (ulong, count))
CALL(preadv, DONE, "", (fd, fd), (in, vector, "struct iovec"), (ulong, count), (offset, low),
     (ulong, high))
CALL(pwritev, DONE, "", (fd, fd), (in, vector, "struct iovec"), (ulong, count), (offset, low),
     (ulong, high))
CALL(preadv2, PARTIAL, "RWF_NOWAIT and RWF_HIPRI change nothing", (fd, fd),
     (in, vector, "struct iovec"), (ulong, count), (offset, low), (ulong, high), (rwf, flags))
CALL(pwritev2, PARTIAL, "RWF_NOWAIT and RWF_HIPRI change nothing", (fd, fd),
     (in, vector, "struct iovec"), (ulong, count), (offset, low), (ulong, high), (rwf, flags))
CALL(lseek, DONE, "", (fd, fd), (offset, offset), (whence, whence))
CALL(sendfile, DONE, "", (fd, to), (fd, from), (inout, offset, "off_t"), (size, size))
CALL(copy_file_range, DONE, "", (fd, from), (inout, from_offset, "off_t"), (fd, to),
     (inout, to_offset, "off_t"), (size, size), (uint, flags))
CALL(splice, PARTIAL, "copies; SPLICE_F_MOVE and GIFT change nothing", (fd, from),
     (inout, from_offset, "off_t"), (fd, to), (inout, to_offset, "off_t"), (size, size),
     (uint, flags))
CALL(tee, DONE, "", (fd, from), (fd, to), (size, size), (uint, flags))
CALL(vmsplice, PARTIAL, "copies", (fd, fd), (in, vector, "struct iovec"), (ulong, count),
     (uint, flags))
CALL(truncate, DONE, "", (path, path), (offset, size))
CALL(ftruncate, DONE, "", (fd, fd), (offset, size))
CALL(fallocate, PARTIAL, "no COLLAPSE_RANGE, INSERT_RANGE", (fd, fd), (int, mode), (offset, offset),
     (offset, size))
CALL(fsync, DONE, "", (fd, fd))
CALL(fdatasync, DONE, "", (fd, fd))
CALL(sync, DONE, "")
CALL(syncfs, DONE, "", (fd, fd))
CALL(sync_file_range, DONE, "", (fd, fd), (offset, offset), (offset, size), (uint, flags))
CALL(fadvise64, DONE, "", (fd, fd), (offset, offset), (offset, size), (int, advice))
CALL(readahead, DONE, "", (fd, fd), (offset, offset), (size, size))
CALL(ioctl, PARTIAL, "by kind of file; see docs/design/files.md", (fd, fd), (hex32, command),
     (hex, argument))
/* descriptors */
CALL(open, DONE, "", (path, path), (open_flags, flags), (mode, mode))
CALL(openat, DONE, "", (at_fd, dir), (path, path), (open_flags, flags), (mode, mode))
CALL(openat2, PARTIAL, "RESOLVE_CACHED: EAGAIN", (at_fd, dir), (path, path),
     (in, how, "struct open_how"), (size, size))
CALL(creat, DONE, "", (path, path), (mode, mode))
CALL(close, DONE, "", (fd, fd))
CALL(close_range, PARTIAL, "UNSHARE: not for one of several threads (ENOMEM)", (uint, first),
     (uint, last), (uint, flags))
CALL(dup, DONE, "", (fd, fd))
CALL(dup2, DONE, "", (fd, from), (fd, to))
CALL(dup3, DONE, "", (fd, from), (fd, to), (fd_flags, flags))
CALL(fcntl, PARTIAL, "no SIGIO, leases and F_NOTIFY of files of the host", (fd, fd),
     (fcntl_command, command), (hex, argument))
CALL(flock, DONE, "", (fd, fd), (int, operation))
CALL(pipe, DONE, "", (out, fds, "int"))
CALL(pipe2, DONE, "", (out, fds, "int"), (fd_flags, flags))
CALL(memfd_create, PARTIAL, "no MFD_HUGETLB", (text, name), (uint, flags))
/* attributes */
CALL(stat, DONE, "", (path, path), (out, st, "struct stat"))
CALL(lstat, DONE, "", (path, path), (out, st, "struct stat"))
CALL(fstat, DONE, "", (fd, fd), (out, st, "struct stat"))
CALL(newfstatat, DONE, "", (at_fd, dir), (path, path), (out, st, "struct stat"), (at_flags, flags))
CALL(statx, DONE, "", (at_fd, dir), (path, path), (at_flags, flags), (hex32, mask),
     (out, st, "struct statx"))
CALL(statfs, DONE, "", (path, path), (out, st, "struct statfs"))
CALL(fstatfs, DONE, "", (fd, fd), (out, st, "struct statfs"))
CALL(ustat, DONE, "", (dev, dev), (out, st, "struct ustat"))
CALL(access, DONE, "", (path, path), (access_mode, mode))
CALL(faccessat, DONE, "", (at_fd, dir), (path, path), (access_mode, mode))
CALL(faccessat2, DONE, "", (at_fd, dir), (path, path), (access_mode, mode), (at_flags, flags))
CALL(chmod, DONE, "", (path, path), (mode, mode))
CALL(fchmod, DONE, "", (fd, fd), (mode, mode))
CALL(fchmodat, DONE, "", (at_fd, dir), (path, path), (mode, mode))
CALL(cachestat, PARTIAL, "files in memory; of others nothing is kept", (fd, fd),
     (in, range, "struct cachestat_range"), (out, result, "struct cachestat"), (uint, flags))
CALL(listmount, PARTIAL, "of the one namespace", (in, request, "struct mnt_id_req"),
     (out, ids, "u64"), (ulong, count), (uint, flags))
CALL(statmount, PARTIAL, "what Linux 6.8 tells", (in, request, "struct mnt_id_req"),
     (out, buf, "struct statmount"), (ulong, size), (uint, flags))
CALL(fchmodat2, DONE, "", (at_fd, dir), (path, path), (mode, mode), (uint, flags))
CALL(chown, DONE, "", (path, path), (id, uid), (id, gid))
CALL(lchown, DONE, "", (path, path), (id, uid), (id, gid))
CALL(fchown, DONE, "", (fd, fd), (id, uid), (id, gid))
CALL(fchownat, DONE, "", (at_fd, dir), (path, path), (id, uid), (id, gid), (at_flags, flags))
CALL(utime, DONE, "", (path, path), (in, times, "struct utimbuf"))
CALL(utimes, DONE, "", (path, path), (in, times, "struct timeval"))
CALL(futimesat, DONE, "", (at_fd, dir), (path, path), (in, times, "struct timeval"))
CALL(utimensat, DONE, "", (at_fd, dir), (path, path), (in, times, "struct timespec"),
     (at_flags, flags))
CALL(getxattr, PARTIAL, "no POSIX ACLs", (path, path), (text, name), (out, value, "void"),
     (size, size))
CALL(lgetxattr, PARTIAL, "no POSIX ACLs", (path, path), (text, name), (out, value, "void"),
     (size, size))
CALL(fgetxattr, PARTIAL, "no POSIX ACLs", (fd, fd), (text, name), (out, value, "void"),
     (size, size))
CALL(setxattr, PARTIAL, "no POSIX ACLs", (path, path), (text, name), (in, value, "void"),
     (size, size), (int, flags))
CALL(lsetxattr, PARTIAL, "no POSIX ACLs", (path, path), (text, name), (in, value, "void"),
     (size, size), (int, flags))
CALL(fsetxattr, PARTIAL, "no POSIX ACLs", (fd, fd), (text, name), (in, value, "void"), (size, size),
     (int, flags))
CALL(listxattr, DONE, "", (path, path), (out, list, "char"), (size, size))
CALL(llistxattr, DONE, "", (path, path), (out, list, "char"), (size, size))
CALL(flistxattr, DONE, "", (fd, fd), (out, list, "char"), (size, size))
CALL(removexattr, DONE, "", (path, path), (text, name))
CALL(lremovexattr, DONE, "", (path, path), (text, name))
CALL(fremovexattr, DONE, "", (fd, fd), (text, name))
/* names */
CALL(mkdir, DONE, "", (path, path), (mode, mode))
CALL(mkdirat, DONE, "", (at_fd, dir), (path, path), (mode, mode))
CALL(rmdir, DONE, "", (path, path))
CALL(unlink, DONE, "", (path, path))
CALL(unlinkat, DONE, "", (at_fd, dir), (path, path), (at_flags, flags))
CALL(rename, DONE, "", (path, from), (path, to))
CALL(renameat, DONE, "", (at_fd, from_dir), (path, from), (at_fd, to_dir), (path, to))
CALL(renameat2, PARTIAL, "no RENAME_WHITEOUT", (at_fd, from_dir), (path, from), (at_fd, to_dir),
     (path, to), (uint, flags))
CALL(link, DONE, "", (path, from), (path, to))
CALL(linkat, DONE, "", (at_fd, from_dir), (path, from), (at_fd, to_dir), (path, to),
     (at_flags, flags))
CALL(symlink, DONE, "", (text, target), (path, path))
CALL(symlinkat, DONE, "", (text, target), (at_fd, dir), (path, path))
CALL(readlink, DONE, "", (path, path), (out, buf, "char"), (int, size))
CALL(readlinkat, DONE, "", (at_fd, dir), (path, path), (out, buf, "char"), (int, size))
CALL(mknod, DONE, "", (path, path), (mode, mode), (dev, dev))
CALL(mknodat, DONE, "", (at_fd, dir), (path, path), (mode, mode), (dev, dev))
CALL(getdents, DONE, "", (fd, fd), (out, entries, "struct linux_dirent"), (uint, size))
CALL(getdents64, DONE, "", (fd, fd), (out, entries, "struct linux_dirent64"), (uint, size))
CALL(chdir, DONE, "", (path, path))
CALL(fchdir, DONE, "", (fd, fd))
CALL(getcwd, DONE, "", (out, buf, "char"), (ulong, size))
CALL(chroot, DONE, "", (path, path))
CALL(mount, PARTIAL, "tmpfs, proc, sysfs, devpts, mqueue, cgroup2, bind, remount; one namespace",
     (text, source), (path, target), (text, type), (hex, flags), (in, data, "void"))
CALL(umount2, DONE, "", (path, target), (int, flags))
CALL(sysfs, DONE, "", (int, option), (hex, a1), (hex, a2))
CALL(name_to_handle_at, PARTIAL, "files in memory; of others only AT_HANDLE_FID", (at_fd, dir),
     (path, path), (inout, handle, "struct file_handle"), (out, mount_id, "int"), (at_flags, flags))
CALL(open_by_handle_at, PARTIAL,
     "files in memory: the root, tmpfs, memfd; a handle lives as long as its file is known",
     (fd, mount), (in, handle, "struct file_handle"), (open_flags, flags))
CALL(pivot_root, PARTIAL, "EPERM", (path, root), (path, old))
