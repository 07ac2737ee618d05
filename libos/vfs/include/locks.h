/* SPDX-License-Identifier: Apache-2.0 */
/* Advisory locks: locks.c has the LibOS's own, hostlocks.c in fs those of the host beside. */
#pragma once

#include "vfs.h"

enum lock_kind { LOCK_POSIX, LOCK_OFD, LOCK_FLOCK };

struct lock {
    struct lock *next;
    enum lock_kind kind;
    const void *owner; /* struct files or struct file */
    u64 start, end;    /* end inclusive */
    bool write;
    i32 pid;
};

/*
 * file_ops.lock, of files that others outside may lock too: called when the LibOS's own locks allow
 * it, with a mutex of the inode held. Never waits.
 *   LOCK_SET    0, or -EAGAIN: somebody outside has it
 *   LOCK_CLEAR  the owner's on the range go
 *   LOCK_TEST   0: free; 1: *k says by what it is not
 *   LOCK_DROP   the owner's POSIX locks of the inode go
 */
enum { LOCK_SET, LOCK_CLEAR, LOCK_TEST, LOCK_DROP };
