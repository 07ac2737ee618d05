/* SPDX-License-Identifier: Apache-2.0 */
/* Private to libos/event: an eventfd that another descriptor tells (Linux AIO). */
#pragma once

#include "event.h"
#include "poll.h"
#include "process.h"

bool file_is_eventfd(const struct file *f);
void eventfd_signal(
    struct file *f); /* counts one more without waiting; at the end it stays there */
