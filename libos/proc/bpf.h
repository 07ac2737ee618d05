/* SPDX-License-Identifier: Apache-2.0 */
/* Classic BPF as seccomp(2) takes it. Source: Documentation/networking/filter.rst and
 * seccomp_filter.rst of Linux. */
#pragma once

#include "lib.h"
#include <linux/filter.h>
#include <linux/seccomp.h>

/* May the program run on a struct seccomp_data? Every jump is forwards and inside, every load
 * inside, and it ends with a return. 0 or -EINVAL. */
int bpf_check(const struct sock_filter *code, u32 count);
/* The value that a checked program returns. */
u32 bpf_run(const struct sock_filter *code, const struct seccomp_data *data);
