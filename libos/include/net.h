/* SPDX-License-Identifier: Apache-2.0 */
/* What other rooms call in libos/net; poll_wait() and friends are in fs.h. */
#pragma once

#include "fs.h"

/* file_put() calls this for the last reference, before ops->release, when f->epoll_watch is not
 * NULL. */
void epoll_file_closed(struct file *f);
