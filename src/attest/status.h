/* SPDX-License-Identifier: Apache-2.0 */
/* TCB statuses: Intel's names, and how those of parts make one of the whole. */
#pragma once

#include "attest/span.h"
#include "attest.h"

/* Short for the public names. */
enum tcb_status {
    TCB_UNKNOWN = ATTEST_TCB_UNKNOWN,
    TCB_UP_TO_DATE = ATTEST_TCB_UP_TO_DATE,
    TCB_SW_HARDENING = ATTEST_TCB_SW_HARDENING_NEEDED,
    TCB_CONFIGURATION = ATTEST_TCB_CONFIGURATION_NEEDED,
    TCB_CONFIGURATION_SW_HARDENING = ATTEST_TCB_CONFIGURATION_AND_SW_HARDENING_NEEDED,
    TCB_RELAUNCH = ATTEST_TCB_TD_RELAUNCH_ADVISED,
    TCB_RELAUNCH_CONFIGURATION = ATTEST_TCB_TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED,
    TCB_OUT_OF_DATE = ATTEST_TCB_OUT_OF_DATE,
    TCB_OUT_OF_DATE_CONFIGURATION = ATTEST_TCB_OUT_OF_DATE_CONFIGURATION_NEEDED,
    TCB_REVOKED = ATTEST_TCB_REVOKED,
    TCB_NOT_SUPPORTED = ATTEST_TCB_NOT_SUPPORTED,
};

/* TCB_UNKNOWN where Intel has no such name. */
enum tcb_status tcb_status_parse(struct span name);
/* The whole's status from the platform's and that of one more part (QE, TDX module). */
enum tcb_status tcb_status_converge(enum tcb_status platform, enum tcb_status part);
/* A TD that runs since before an update: its status at launch, and the platform's now. */
enum tcb_status tcb_status_relaunch(enum tcb_status launch, enum tcb_status current);
