/* SPDX-License-Identifier: Apache-2.0 */
/* AMD SEV-SNP attestation reports (AMD publication 56860; versions 2 to 5). */
#pragma once

#include "attest/span.h"
#include "base/error.h"

#define SNP_REPORT_SIZE 1184u

struct attest_verifier;
struct attest_collateral;
struct attest_answer;

/* By size and first word; a DCAP quote is never taken for one. */
bool snp_is_report(struct span evidence);
/* All checks that need no policy. */
void snp_verify(const struct attest_verifier *verifier, struct span report,
                const struct attest_collateral *collateral, struct attest_answer *answer);
/* SHA-256 of the public key (SubjectPublicKeyInfo) of an ARK. */
int snp_root_digest(struct span certificate, uint8_t digest[32], struct error *err);
