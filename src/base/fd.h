/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/buffer.h"
#include "base/error.h"

/* Write everything, through short writes and EINTR. Returns 0 or -errno. */
int write_all(int fd, const void *data, size_t size);
/*
 * One write(2) to a pipe or socket whose reader may be gone: that is -EPIPE and no SIGPIPE, blocked
 * or not, now or later. Returns the number of bytes written or -errno.
 */
ssize_t write_no_sigpipe(int fd, const void *data, size_t size);
/* Read exactly `size` bytes. Returns 0, -errno, or -ENODATA on an early end. */
int read_exact(int fd, void *data, size_t size);
/* Append everything up to the end of the file; more than `limit` bytes is -EFBIG. Returns 0 or
 * -errno. */
int read_all(int fd, struct buffer *out, size_t limit);

/* Whole file to memory (dirfd may be AT_FDCWD), at most `limit` bytes. */
int read_file_at(int dirfd, const char *path, struct buffer *out, size_t limit, struct error *err);
/* Write to an existing file (procfs, cgroupfs) in one write(2); nothing is created. */
int write_file_at(int dirfd, const char *path, const char *data, size_t size, struct error *err);
/*
 * Replace a file so that a reader sees the old or the new content, never a part: temporary file and
 * rename. With `durable`, also fsync, so that it survives a power failure; state that dies with the
 * machine does not need that.
 */
int replace_file_at(int dirfd, const char *name, const void *data, size_t size, mode_t mode,
                    bool durable, struct error *err);

#define FD_PASS_MAX 32
/*
 * One message with descriptors over a UNIX socket (SCM_RIGHTS). `size` must be at least 1: a
 * message without bytes carries no descriptors on stream sockets. Returns 0 or -errno.
 */
int fd_send(int socket, const void *data, size_t size, const int *fds, size_t fd_count);
/*
 * Receive one message. *fd_count is the room in `fds` and becomes the number received; received
 * descriptors are O_CLOEXEC and the caller's. Descriptors or data that do not fit make the call
 * fail with -EMSGSIZE and are closed. Returns the number of bytes (0 at the end of the stream) or
 * -errno.
 */
ssize_t fd_recv(int socket, void *data, size_t size, int *fds, size_t *fd_count);

int fd_set_cloexec(int fd, bool on);
int fd_set_nonblock(int fd, bool on);
/* close_range(2) to the end, or its equivalent through /proc/self/fd. With cloexec only marks. 0 or
 * -errno. */
int fd_close_from(int first, bool cloexec);
/* Close every descriptor from `first` on but those in `keep` (any order, negative ones are
 * skipped). */
int fd_close_except(int first, const int *keep, size_t count);
