/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/status.h"

static const char *const g_names[] = {
    [TCB_UNKNOWN] = "Unknown",
    [TCB_UP_TO_DATE] = "UpToDate",
    [TCB_SW_HARDENING] = "SWHardeningNeeded",
    [TCB_CONFIGURATION] = "ConfigurationNeeded",
    [TCB_CONFIGURATION_SW_HARDENING] = "ConfigurationAndSWHardeningNeeded",
    [TCB_RELAUNCH] = "TDRelaunchAdvised",
    [TCB_RELAUNCH_CONFIGURATION] = "TDRelaunchAdvisedConfigurationNeeded",
    [TCB_OUT_OF_DATE] = "OutOfDate",
    [TCB_OUT_OF_DATE_CONFIGURATION] = "OutOfDateConfigurationNeeded",
    [TCB_REVOKED] = "Revoked",
    [TCB_NOT_SUPPORTED] = "NotSupported",
};

const char *attest_tcb_status_name(enum attest_tcb_status status)
{
    return g_names[(unsigned)status < ATTEST_TCB_STATUS_COUNT ? (unsigned)status : 0];
}

enum tcb_status tcb_status_parse(struct span name)
{
    for (unsigned i = TCB_UP_TO_DATE; i <= TCB_REVOKED; i++)
        if (span_is(name, g_names[i]))
            return (enum tcb_status)i;
    return TCB_UNKNOWN;
}

static bool is_out_of_date(enum tcb_status status)
{
    return status == TCB_OUT_OF_DATE || status == TCB_OUT_OF_DATE_CONFIGURATION;
}

enum tcb_status tcb_status_converge(enum tcb_status platform, enum tcb_status part)
{
    if (platform == TCB_NOT_SUPPORTED || part == TCB_NOT_SUPPORTED)
        return TCB_NOT_SUPPORTED;
    if (platform == TCB_REVOKED || part == TCB_REVOKED)
        return TCB_REVOKED;
    /* Intel gives an enclave or a module no other status; if it did, it would not be in order. */
    if (part == TCB_UP_TO_DATE)
        return platform;
    switch (platform) {
    case TCB_UP_TO_DATE:
    case TCB_SW_HARDENING:
        return TCB_OUT_OF_DATE;
    case TCB_CONFIGURATION:
    case TCB_CONFIGURATION_SW_HARDENING:
        return TCB_OUT_OF_DATE_CONFIGURATION;
    default:
        return platform;
    }
}

enum tcb_status tcb_status_relaunch(enum tcb_status launch, enum tcb_status current)
{
    if (current == TCB_REVOKED || current == TCB_NOT_SUPPORTED)
        return current;
    if (!is_out_of_date(launch))
        return launch;
    switch (current) {
    case TCB_UP_TO_DATE:
    case TCB_SW_HARDENING:
        return launch == TCB_OUT_OF_DATE_CONFIGURATION ? TCB_RELAUNCH_CONFIGURATION : TCB_RELAUNCH;
    case TCB_CONFIGURATION:
    case TCB_CONFIGURATION_SW_HARDENING:
        return TCB_RELAUNCH_CONFIGURATION;
    default:
        return launch;
    }
}
