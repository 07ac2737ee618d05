/* SPDX-License-Identifier: Apache-2.0 */
/* AMD SEV-SNP attestation reports (AMD publication 56860; versions 2 to 5). */
#pragma once

#include "attest/span.h"
#include "base/error.h"

#define SNP_REPORT_SIZE 1184u

/*
 * The reported TCB's SVNs, whose places differ between processors, are put behind the report, one
 * byte each, once the certificate has said which processor it is.
 */
enum snp_svn { SNP_BOOT_LOADER, SNP_TEE, SNP_FIRMWARE, SNP_MICROCODE, SNP_FMC, SNP_SVN_COUNT };
#define SNP_SVN_AT(svn) (SNP_REPORT_SIZE + (svn))

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
