/* SPDX-License-Identifier: Apache-2.0 */
/* sgx-tools: structures as lines of text. */
#pragma once

#include "sgx_arch.h"
#include "sgx/info.h"

void dump_sigstruct(const struct sgx_sigstruct *s);
void dump_report(const struct sgx_report_body *b);
void dump_info(const struct sgx_info *info);
void dump_hex(const char *label, const void *data, size_t size);
