/* SPDX-License-Identifier: Apache-2.0 */
/* Copies from or to memory that may not be there: how many bytes were NOT copied. No check of
 * addresses. */
#pragma once

#include "types.h"

size_t copy_may_fault(void *dst, const void *src, size_t n);
