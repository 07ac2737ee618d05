/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"
#include "ratls.h"

/* The present key and certificate, or new ones when it is time; references for the caller. */
int prover_current(struct ratls_prover *prover, X509 **certificate, EVP_PKEY **key,
                   struct error *err);
