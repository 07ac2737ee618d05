/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "sgx.h"

/* Why this enclave must not run as the host started it, or NULL. A constant of the image. */
const char *self_refusal(const struct sgx_report_body *self, u32 manifest_flags);
