/* SPDX-License-Identifier: Apache-2.0 */
/* <linux/resource.h>, whose struct rlimit64 has other names for the fields of ours. */
#pragma once

#define rlimit64 uapi_rlimit64
#include <linux/resource.h>
#undef rlimit64
