/* SPDX-License-Identifier: Apache-2.0 */
/* What other rooms call in libos/event. */
#pragma once

#include "fs.h"

struct process;

/* f's poll does not ask the host any more: what watches f forgets its host descriptor, which is
 * still open. */
void epoll_file_host_gone(struct file *f);
extern const struct file_async g_event_async; /* signals of files, for vfs */
void aio_process_exit(struct process *p);     /* also when it execs */
u32 aio_event_count(void);                    /* /proc/sys/fs/aio-nr */
