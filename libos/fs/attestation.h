/* SPDX-License-Identifier: Apache-2.0 */
/* Whose user_report_data and target_info a report is made over (attestation_data.c). */
#pragma once

#include "types.h"

#define REPORT_DATA_SIZE 64u
#define TARGET_INFO_SIZE 512u

enum attestation_kind { ATTESTATION_REPORT_DATA, ATTESTATION_TARGET_INFO, ATTESTATION_KINDS };

/* Of the calling process; zeros when there is nothing. */
void attestation_get(enum attestation_kind kind, u8 *out);
/* The rest is zeros; what is too much is dropped. 0 or -ENOMEM. */
int attestation_set(enum attestation_kind kind, const void *data, size_t size);
